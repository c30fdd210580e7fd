# SPDX-License-Identifier: GPL-3.0-or-later
"""A new validator key takes its place only when the chain shows that the old one is needed no more."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.application import Application
from node.errors import GenesisError
from node.genesis import KEY_FILE, load_validator_key, validator_key
from node.newkey import NEXT_FOLDER, next_key, take_next_key


def public(home: Path) -> bytes:
    return load_validator_key(home).public_key().public_bytes_raw()


def chain(key: bytes, height: int, begun: int | None) -> Application:
    """Return an application whose chain lists this key, in an era that headers name from `begun` on."""
    members = [SimpleNamespace(validator_key=key), SimpleNamespace(validator_key=bytes(32))]
    told: Any = SimpleNamespace(
        chain=SimpleNamespace(consortium=SimpleNamespace(era=2, members=members)),
        info=lambda: SimpleNamespace(height=height),
        era_height=lambda era: begun if era == 2 else None,
    )
    return cast("Application", told)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    validator_key(tmp_path)
    return tmp_path


def test_the_key_that_waits_is_made_once_for_its_owner_only(home: Path) -> None:
    key = next_key(home).public_key().public_bytes_raw()
    assert next_key(home).public_key().public_bytes_raw() == key != public(home)
    path = home / NEXT_FOLDER / KEY_FILE
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_it_waits_for_the_members_and_for_the_height_that_the_old_key_signs(home: Path) -> None:
    before = public(home)
    assert not take_next_key(home, chain(before, 9, 7))
    key = next_key(home).public_key().public_bytes_raw()
    for early in (chain(before, 9, 7), chain(key, 6, 7), chain(key, 9, None)):
        assert not take_next_key(home, early)
        assert public(home) == before
    assert take_next_key(home, chain(key, 7, 7))
    assert public(home) == key
    assert not (home / NEXT_FOLDER / KEY_FILE).exists()
    assert not take_next_key(home, chain(key, 8, 7))


def test_a_key_that_others_can_read_is_not_taken(home: Path) -> None:
    next_key(home)
    (home / NEXT_FOLDER / KEY_FILE).chmod(0o644)
    with pytest.raises(GenesisError, match="can be read by others"):
        take_next_key(home, chain(bytes(32), 9, 7))
