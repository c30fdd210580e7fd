# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: made once by whoever comes first, durable, and small."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from anchor.capture import ancestry_path, load_ancestry
from anchor.store import (
    PackedRecords,
    Store,
    StoreError,
    UnknownBatch,
    ancestry,
    batch_id,
    get_meta,
    meta,
    metadata,
    note_hash_of,
    set_meta,
)
from node.light import CompactRange, inclusion_path, leaf_hash, root


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/moneo.db"


def test_many_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    failed: list[Exception] = []

    def work() -> None:
        try:
            Store.open(url(tmp_path)).close()
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_commits_are_durable_and_readers_see_one_state(tmp_path: Path) -> None:
    store = Store.open(url(tmp_path))
    with store.read() as reading:
        assert reading.exec_driver_sql("pragma journal_mode").scalar_one() == "wal"
        assert reading.exec_driver_sql("pragma synchronous").scalar_one() == 2
        assert get_meta(reading, "key") is None
        with store.write() as writing:
            set_meta(writing, "key", b"one")
            set_meta(writing, "key", b"two")
        assert get_meta(reading, "key") is None
    with store.read() as reading:
        assert get_meta(reading, "key") == b"two"
    assert store.ready()
    store.close()


def test_what_fails_inside_a_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = Store.open(url(tmp_path))
    with pytest.raises(ValueError, match="half"), store.write() as writing:
        set_meta(writing, "key", b"half")
        raise ValueError("half way")
    with store.read() as reading:
        assert get_meta(reading, "key") is None
    store.close()


def test_a_database_of_another_schema_is_refused(tmp_path: Path) -> None:
    store = Store.open(url(tmp_path))
    with store.write() as writing:
        set_meta(writing, "schema", b"99")
    store.close()
    with pytest.raises(StoreError, match="schema 99"):
        Store.open(url(tmp_path))


def test_a_database_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    store = Store(create_engine(f"sqlite:///{tmp_path}/none/moneo.db"))
    assert not store.ready()
    store.close()


def test_every_table_and_lock_is_postgresqls_too() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        assert "SERIAL" not in str(CreateTable(table).compile(dialect=dialect))
    lock = select(meta.c.value).with_for_update()
    assert "FOR UPDATE" in str(lock.compile(dialect=dialect))


def test_batch_ids_are_note_hashes_in_base64url() -> None:
    for digest in (bytes(32), b"\xff" * 32, bytes(range(32))):
        assert note_hash_of(batch_id(digest)) == digest
    for wrong in ("", "A" * 42, "A" * 42 + "B", "A" * 44, "+" * 43, "ă" * 43):
        with pytest.raises(UnknownBatch):
            note_hash_of(wrong)


def test_presentations_come_back_as_they_were_packed() -> None:
    texts = [b"one\n~\n", b"", b"three\n~\n"]
    packed = PackedRecords.pack(b"".join(texts), [0, 6, 6])
    assert packed.texts() == texts


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_stored_ancestry_gives_the_paths_of_every_newer_header(tmp_path: Path, size: int) -> None:
    leaves = [leaf_hash(bytes([number]) * 32) for number in range(size)]
    store = Store.open(url(tmp_path))
    tree = CompactRange()
    with store.write() as writing:
        for leaf in leaves:
            for level, index, digest in tree.append(leaf):
                values = {"level": level, "index": index, "hash": digest}
                writing.execute(ancestry.insert().values(values))
    assert load_ancestry(store).root() == root(leaves)
    with store.read() as reading:
        for newer in range(1, size + 1):
            for number in range(newer):
                path = ancestry_path(reading, number, newer)
                assert path == inclusion_path(leaves[:newer], number)
    store.close()
