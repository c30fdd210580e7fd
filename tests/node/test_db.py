# SPDX-License-Identifier: GPL-3.0-or-later
"""That both databases of a node are what py-evm takes for one, and what only LevelDB promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth.abc import AtomicWriteBatchAPI
from eth.tools.db.base import DatabaseAPITestSuite

from node.db import LevelDB, Overlay
from node.errors import StorageError, StorageLocked


@pytest.fixture
def level(tmp_path: Path) -> Iterator[LevelDB]:
    db = LevelDB(tmp_path / "chain")
    yield db
    db.close()


class TestLevelDBIsADatabase(DatabaseAPITestSuite):
    @pytest.fixture
    def db(self, level: LevelDB) -> LevelDB:
        return level


class TestOverlayIsADatabase(DatabaseAPITestSuite):
    @pytest.fixture
    def db(self, level: LevelDB) -> Overlay:
        return Overlay(level, b"s")


class TestOverlayOfAnOverlayIsADatabase(DatabaseAPITestSuite):
    @pytest.fixture
    def db(self, level: LevelDB) -> Overlay:
        return Overlay(Overlay(level, b"s"))


class TestAtomicBatchIsADatabase(DatabaseAPITestSuite):
    @pytest.fixture
    def db(self, level: LevelDB) -> Iterator[AtomicWriteBatchAPI]:
        with level.atomic_batch() as batch:
            yield batch


def test_batch_is_written_whole_and_deletes(level: LevelDB) -> None:
    level[b"old"] = b"1"
    level.write({b"new": b"2", b"old": None, b"empty": b""})
    assert level[b"new"] == b"2"
    assert b"old" not in level
    assert level[b"empty"] == b""


def test_failed_atomic_batch_writes_nothing(level: LevelDB) -> None:
    with pytest.raises(RuntimeError), level.atomic_batch() as batch:
        batch[b"k"] = b"v"
        raise RuntimeError
    assert b"k" not in level


def test_overlay_hides_and_deletes_without_touching_its_base(level: LevelDB) -> None:
    level.write({b"sa": b"1", b"sb": b"2", b"xa": b"3"})
    overlay = Overlay(level, b"s")
    overlay[b"a"] = b"9"
    del overlay[b"b"]
    assert (overlay[b"a"], b"b" in overlay, b"xa" in overlay) == (b"9", False, False)
    with pytest.raises(KeyError):
        overlay[b"b"]
    assert (level[b"sa"], level[b"sb"]) == (b"1", b"2")
    assert overlay.changes == {b"sa": b"9", b"sb": None}


def test_reopened_folder_has_what_was_written(tmp_path: Path) -> None:
    first = LevelDB(tmp_path / "chain")
    first[b"k"] = b"v"
    first.close()
    first.close()
    assert first.closed
    second = LevelDB(tmp_path / "chain")
    assert second[b"k"] == b"v"
    second.close()


def test_folder_held_by_this_process_is_refused(level: LevelDB) -> None:
    with pytest.raises(StorageLocked, match="another node is running on"):
        LevelDB(level.path)


def test_folder_held_by_another_process_is_refused(level: LevelDB) -> None:
    code = (
        "import sys; from pathlib import Path; from node.db import LevelDB\n"
        "from node.errors import StorageLocked\n"
        "try: LevelDB(Path(sys.argv[1]))\n"
        "except StorageLocked as error: print(error)\n"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code, str(level.path)], capture_output=True, text=True, check=True
    )
    vi, en = seen.stdout.strip().split(" · ")
    assert vi == "nút khác đang chạy với thư mục này"
    assert en == f"another node is running on {level.path}"


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chain").write_text("")
    with pytest.raises(StorageError, match="cannot open"):
        LevelDB(tmp_path / "chain")


def test_damaged_folder_is_refused(tmp_path: Path) -> None:
    db = LevelDB(tmp_path / "chain")
    db[b"k"] = b"v"
    db.close()
    (tmp_path / "chain" / "CURRENT").write_text("nonsense\n")
    with pytest.raises(StorageError):
        LevelDB(tmp_path / "chain")
