# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's commands refuse before anything is handed to the anchor process."""

from pathlib import Path

import pytest
import typer

from anchor.keys import create_private_key, request
from anchor.note import Signer
from anchor.province import Province, found
from anchor.settings import Settings
from api.cli import register_key
from api.organisations import Organisations


def test_another_organisations_key_request_leaves_nothing_to_register(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "var", "Tỉnh thử", "moneo.example/cli/2026")
    found(settings)
    province = Province.open(settings)
    organisations = Organisations(province.store.engine, province.origin)
    mine = organisations.add_organisation("HTX A")
    organisations.add_organisation("HTX B")
    wanted = request(Signer(mine, create_private_key(tmp_path / "key")))
    with pytest.raises(typer.Exit):
        register_key(province, organisations.by_name("HTX B"), wanted)
    assert province.issuers() == []
    province.close()
