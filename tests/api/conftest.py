# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the provinces that the tests of the API talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anchor.settings import Settings
from tests.support.site import Site, new_settings, open_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One province for the tests of a module, to which they add organisations of their own."""
    with open_site(new_settings(tmp_path_factory.mktemp("site"))) as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path: Path) -> Settings:
    """The settings of a province nobody has opened yet."""
    return new_settings(tmp_path / "var")
