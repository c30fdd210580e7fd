# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch is salted once, stored before it is sent, and takes the next seq of its key whatever happens between."""

from pathlib import Path

import pytest

from anchor import outbox
from anchor.batch import parse_body
from anchor.ijson import encode_b64url
from anchor.importer import DiaryError, Entry, read_diary
from anchor.keys import create_private_key
from anchor.outbox import Outbox, OutboxError, Stored, note_hash_of

ISSUER = "moneo.example/camau/2026/abcdefghijklmnop"
HEADINGS = "stage,time,product,gtin,lot\n"


def diary(rows: int, lot: str = "L") -> tuple[bytes, list[Entry]]:
    source = (HEADINGS + f"shipping,2026-01-02,Cua,09520001000034,{lot}\n" * rows).encode()
    return source, read_diary("a.csv", source)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    monkeypatch.setattr(outbox, "RECORDS_A_BATCH", 2)
    path = outbox.key_path(tmp_path, ISSUER)
    path.parent.mkdir()
    create_private_key(path)
    return Outbox(tmp_path, ISSUER)


def prepare(
    box: Outbox, source: bytes, entries: list[Entry], *, again: bool = False
) -> list[Stored]:
    with box.locked():
        return list(box.prepare(source, entries, "live", again=again))


def test_a_diary_becomes_batches_that_follow_one_another(box: Outbox) -> None:
    stored = prepare(box, *diary(5))
    notes = [parse_body(s.path.read_bytes()).note for s in stored]
    assert [(n.seq, n.size) for n in notes] == [(0, 2), (1, 2), (2, 1)]
    assert [n.prev for n in notes] == [bytes(32), *(note_hash_of(s) for s in stored[:-1])]
    assert all(s.path.stat().st_mode & 0o777 == 0o600 for s in stored)


def test_the_same_diary_again_is_the_same_bytes(box: Outbox) -> None:
    first = [s.path.read_bytes() for s in prepare(box, *diary(5))]
    assert [s.path.read_bytes() for s in prepare(box, *diary(5))] == first


def test_a_diary_stopped_half_way_goes_on_where_it_was(box: Outbox) -> None:
    source, entries = diary(5)
    with box.locked():
        begun = next(box.prepare(source, entries, "live"))
    stored = prepare(box, source, entries)
    assert stored[0] == begun
    assert [s.seq for s in stored] == [0, 1, 2]


def test_another_diary_takes_the_next_seq(box: Outbox) -> None:
    prepare(box, *diary(3))
    (stored,) = prepare(box, *diary(1, lot="M"))
    assert stored.seq == 2


def test_again_salts_anew_only_what_was_sent(box: Outbox) -> None:
    first = prepare(box, *diary(3))
    assert prepare(box, *diary(3), again=True) == first
    for stored in first:
        stored.receipt.write_bytes(b"receipt")
    assert [s.seq for s in prepare(box, *diary(3), again=True)] == [2, 3]
    assert [s.seq for s in prepare(box, *diary(3))] == [2, 3]


def test_a_diary_corrects_records_of_the_batches_that_are_kept(box: Outbox) -> None:
    first = prepare(box, *diary(3))
    wrong = parse_body(first[1].path.read_bytes()).records[0]
    identifier = f"{encode_b64url(note_hash_of(first[1]))}.0"
    source = f"{HEADINGS[:-1]},corrects\nshipping,2026-01-02,Cua,09520001000034,L,{identifier}\n"
    entries = read_diary("a.csv", source.encode(), box.finder())
    (stored,) = prepare(box, source.encode(), entries)
    (record,) = parse_body(stored.path.read_bytes()).records
    assert record.re == (wrong.leaf_hash(),)
    with pytest.raises(DiaryError, match="no record"):
        read_diary("a.csv", source.replace(".0", ".1").encode(), box.finder())


def test_a_lost_batch_stops_everything(box: Outbox) -> None:
    stored = prepare(box, *diary(5))
    stored[1].path.unlink()
    with pytest.raises(OutboxError, match="batch 1 is missing"):
        box.stored()


def test_two_commands_never_salt_at_once(box: Outbox) -> None:
    with box.locked(), pytest.raises(OutboxError, match="another command"), box.locked():
        pass


def test_an_issuer_without_its_key_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="moneo key new"):
        Outbox(tmp_path, ISSUER)
