# SPDX-License-Identifier: GPL-3.0-or-later
"""The harness that kills at durable steps kills where it says, or says that it did not."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.killat import KillAt, KillAtError


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return int(database.execute("SELECT count(*) FROM t").fetchone()[0]) if found else 0


def test_commits_have_a_step_before_and_one_after(tmp_path: Path) -> None:
    with KillAt("tests.support.commitwork:commit_three") as tries:
        assert tries.run([str(tmp_path / "whole.db")]) == 6
        counts = []
        for at in range(1, 7):
            path = tmp_path / f"{at}.db"
            assert tries.run([str(path)], at=at) == at
            counts.append(rows(path))
    assert counts == [0, 1, 1, 2, 2, 3]


def test_work_that_fails_or_ends_too_early_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with KillAt("tests.support.commitwork:fail") as tries, pytest.raises(KillAtError):
        tries.run()
    assert "meant to" in capfd.readouterr().err
    with KillAt("tests.support.logwork:root_of") as tries, pytest.raises(KillAtError):
        tries.run([1], at=99)
