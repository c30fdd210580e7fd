# SPDX-License-Identifier: GPL-3.0-or-later
"""What verified once verifies for ever: each release's vectors are there, unchanged, with their verdicts.

That the files which are there get the verdicts that their index says is held by test_vectors.
"""

import tomllib
from pathlib import Path

import pytest

from tests.support.tools import ROOT
from tests.vectors.release import RELEASES, broken, current, main, read

LISTS = sorted(RELEASES.glob("*.txt"))


@pytest.mark.parametrize("path", LISTS, ids=[path.stem for path in LISTS])
def test_what_a_release_has_listed_is_there_and_unchanged(path: Path) -> None:
    listed = read(path)
    assert len(listed) > 1_000
    assert broken(listed) == []


def test_the_version_that_is_being_made_has_a_list_of_all_vectors() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert read(RELEASES / f"{version}.txt") == current(), "run: python -m tests.vectors.release"


def test_what_is_changed_or_gone_is_named_and_the_list_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = LISTS[-1].read_bytes()
    kept = current()
    changed = dict(kept) | {"evidence/four-validators.json": "0" * 64}
    del changed[next(name for name in kept if name.startswith("evidence/index.json:"))]
    monkeypatch.setattr("tests.vectors.release.current", lambda: changed)
    assert len(broken(read(LISTS[-1]))) == 2
    assert main(LISTS[-1].stem) == 1
    assert "evidence/four-validators.json" in capsys.readouterr().err
    assert LISTS[-1].read_bytes() == before
