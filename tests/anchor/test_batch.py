# SPDX-License-Identifier: GPL-3.0-or-later
"""A body is exactly what its signed note says, or the record at fault is named."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from anchor import batch
from anchor.batch import BatchNote, build, check_body, open_batch_note, parse_batch_note, parse_body
from anchor.codes import parse_path
from anchor.errors import BatchError, NoteError, NotSignedError
from anchor.ijson import encode_b64url
from anchor.note import Signer, open_note, sign
from anchor.record import Record, salt
from node.light import merkle

LOG = "camau.example/log/2026"
ISSUER = Signer(f"{LOG}/abcdefghijklmnop", Ed25519PrivateKey.from_private_bytes(bytes(32)))
LOT = parse_path("/01/09521234543213/10/L1")
GTIN = parse_path("/01/09521234543213")
ZERO = bytes(32)


def records(count: int) -> list[Record]:
    return [
        salt({"kg": i, "person": "A"}, type="epcis.objectevent", mode="live", codes=[LOT, GTIN])
        for i in range(count)
    ]


def body(count: int = 3, **changes: Any) -> bytes:
    values: dict[str, Any] = {"log": LOG, "seq": 0, "prev": ZERO, "time": 1_790_000_000} | changes
    return build(records(count), ISSUER, **values)


def signed(note: BatchNote) -> bytes:
    return sign(note.encode(), ISSUER)


BODY = body()
PARTS = parse_body(BODY)
NOTE = PARTS.note

hashes = st.binary(min_size=32, max_size=32)
integers = st.integers(0, 2**53 - 1)
notes = st.builds(
    BatchNote,
    log=st.just(LOG),
    issuer=st.text("az27", min_size=16, max_size=16).map(lambda one: f"{LOG}/{one}"),
    seq=integers.filter(bool),
    prev=hashes,
    time=integers,
    size=st.integers(1, 2**32 - 1),
    root=hashes,
    codes=hashes,
)


@given(notes)
def test_a_note_reads_back(note: BatchNote) -> None:
    assert parse_batch_note(note.encode()) == note


def test_the_note_has_the_lines_of_the_protocol() -> None:
    lines = PARTS.note_text.decode().splitlines()
    assert lines[:4] == ["moneo/batch/v1", f"log {LOG}", f"issuer {ISSUER.name}", "seq 0"]
    assert [line.split(" ")[0] for line in lines[4:]] == ["prev", "time", "size", "root", "codes"]
    assert PARTS.note_bytes.startswith(PARTS.note_text + "\n— ".encode() + ISSUER.name.encode())
    assert BODY.startswith(PARTS.note_bytes + b"\nmoneo/record/v1\n")
    assert batch.note_hash(PARTS.note_text) == hashlib.sha256(PARTS.note_text).digest()


def test_a_body_gives_its_records_back_in_order() -> None:
    assert [record.fields()["kg"] for record in PARTS.records] == [0, 1, 2]
    assert open_batch_note(PARTS.note_bytes, ISSUER.public_key) == NOTE
    assert open_note(PARTS.note_bytes, ISSUER.name, ISSUER.public_key, 1) == PARTS.note_text


def test_checking_gives_what_is_stored() -> None:
    checked = check_body(BODY)
    leaves = [record.leaf_hash() for record in PARTS.records]
    assert checked.records.leaf_hashes == b"".join(leaves)
    assert checked.note == NOTE
    texts, starts = checked.records.presentations, checked.records.offsets
    pieces = [texts[a:b] for a, b in zip(starts, [*starts[1:], len(texts)], strict=True)]
    assert pieces == [record.encode() for record in PARTS.records]
    assert NOTE.root == merkle.root(leaves)
    entries = [
        code.hash() + index.to_bytes(4, "big") + leaf
        for index, leaf in enumerate(leaves)
        for code in (LOT, GTIN)
    ]
    assert (
        checked.records.codes
        == NOTE.codes
        == merkle.root([merkle.leaf_hash(entry) for entry in sorted(entries)])
    )


def test_records_without_codes_have_the_empty_trees_root() -> None:
    plain = [salt({"a": 1}, type="a", mode="live", codes=[])]
    made = build(plain, ISSUER, log=LOG, seq=0, prev=ZERO, time=0)
    assert check_body(made).note.codes == merkle.EMPTY_ROOT
    assert batch.codes_root(plain) == merkle.EMPTY_ROOT


def test_hidden_fields_change_no_root() -> None:
    shown = parse_body(BODY).records
    hidden = [record.hide(["person"]).encode() for record in shown]
    checked = check_body(PARTS.note_bytes + b"\n" + b"".join(hidden))
    assert checked.note == NOTE


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ((b"moneo/batch/v1", b"moneo/batch/v2"), 1),
        ((b"log camau", b"log other"), 3),
        ((b"/abcdefghijklmnop", b"/abcdefghijklmno1"), 3),
        ((b"/abcdefghijklmnop", b"/abcdefghijklmno"), 3),
        ((b"/abcdefghijklmnop", b"/x/abcdefghijklmnop"), 3),
        ((b"seq 0", b"seq 00"), 4),
        ((b"seq 0", b"seq -1"), 4),
        ((b"prev AAAA", b"prev AAAB"), 5),
        ((b"prev AAAA", b"prev AAA"), 5),
        ((b"size 3", b"size 0"), 7),
        ((b"size 3", b"size 4294967296"), 7),
        ((b"time 1790000000\n", b""), 6),
    ],
)
def test_a_wrong_line_of_a_note_is_named(change: tuple[bytes, bytes], line: int) -> None:
    assert change[0] in PARTS.note_text
    with pytest.raises(BatchError, match=rf"^line {line}: ") as caught:
        parse_batch_note(PARTS.note_text.replace(*change, 1))
    assert caught.value.line == line


def test_a_note_of_two_signatures_or_of_another_name_is_refused() -> None:
    other = Signer(f"{LOG}/ponmlkjihgfedcba", ISSUER.private_key)
    second = sign(PARTS.note_text, other).splitlines(keepends=True)[-1]
    with pytest.raises(BatchError):
        open_batch_note(PARTS.note_bytes + second, ISSUER.public_key)
    with pytest.raises(BatchError):
        open_batch_note(sign(PARTS.note_text, other), ISSUER.public_key)
    with pytest.raises(BatchError):
        check_body(BODY.replace(PARTS.note_bytes, sign(PARTS.note_text, other)))


def test_another_key_has_not_signed_it() -> None:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(NotSignedError):
        open_batch_note(PARTS.note_bytes, key)


@pytest.mark.parametrize("name", ["root", "codes"])
def test_a_root_that_is_not_the_records_is_refused(name: str) -> None:
    change: dict[str, Any] = {name: ZERO}
    note = signed(replace(NOTE, **change))
    with pytest.raises(BatchError, match="root"):
        check_body(BODY.replace(PARTS.note_bytes, note))


def test_records_out_of_order_missing_or_too_many_are_refused() -> None:
    pieces = [record.encode() for record in PARTS.records]
    for wrong in (pieces[::-1], pieces[:2], [*pieces, pieces[0]]):
        with pytest.raises(BatchError):
            check_body(PARTS.note_bytes + b"\n" + b"".join(wrong))


def test_the_record_and_the_field_at_fault_are_named() -> None:
    pieces = [record.encode() for record in PARTS.records]
    bad = encode_b64url(b'["short","kg",1]')
    pieces[1] = b"moneo/record/v1\ntype a\nmode live\n~" + bad.encode() + b"~\n"
    with pytest.raises(BatchError) as caught:
        check_body(PARTS.note_bytes + b"\n" + b"".join(pieces))
    assert (caught.value.record, caught.value.field) == (1, "kg")
    assert str(caught.value).startswith("record 1: field kg: ")


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        PARTS.note_bytes,
        PARTS.note_bytes + b"\n",
        BODY[:-1],
        BODY + b"\n",
        BODY + b"moneo/record/v1\n",
        BODY.replace(b"\n\nmoneo/record", b"\nmoneo/record", 1),
        BODY.replace(b"\n\nmoneo/record", b"\n\n\nmoneo/record", 1),
        BODY.replace(b"~\nmoneo/record", b"~\n\nmoneo/record", 1),
        BODY.replace(b"~\nmoneo/record", b"~\nxmoneo/record", 1),
        BODY.replace(b"type epcis.objectevent\n", b"type moneo/record/v1\n", 1),
    ],
)
def test_what_is_no_body_is_refused(wrong: bytes) -> None:
    with pytest.raises(BatchError):
        check_body(wrong)


@given(st.integers(0, len(BODY) * 7))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(BODY)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises((BatchError, NoteError)):
        checked = check_body(bytes(data))
        open_batch_note(checked.note_bytes, ISSUER.public_key)


def test_bounds_are_kept() -> None:
    with pytest.raises(BatchError):
        build([], ISSUER, log=LOG, seq=0, prev=ZERO, time=0)
    with pytest.raises(BatchError):
        body(log="other.example/log")
    with pytest.raises(BatchError):
        body(prev=b"\x01" * 32)
    with pytest.raises(BatchError):
        check_body(bytes(batch.MAX_BATCH_BYTES + 1))
    with pytest.raises(BatchError, match="more than"):
        batch.split_presentations(b"moneo/record/v1\n" * (batch.MAX_BATCH_RECORDS + 1))
    assert check_body(body(seq=5, prev=b"\x01" * 32)).note.seq == 5
