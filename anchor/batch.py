# SPDX-License-Identifier: GPL-3.0-or-later
"""Binds a business's records together under its signature, in an order that nobody can change.

The batch note (PROTOCOL §2) is an entry of the log. Its `codes` is the RFC 9162 root over the
entries K(32) ‖ record index (4, big-endian) ‖ leaf hash(32), one for each code line of each
record, sorted as bytes.

The *body* is how a batch travels: the signed note's bytes, one empty line, then the records'
presentations one after another in the order of submission.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from anchor import ijson
from anchor.errors import BatchError, NoteError, RecordError
from anchor.keys import issuer_name
from anchor.note import (
    Signer,
    decimal,
    encode_statement,
    hash32,
    key_name,
    open_note,
    parse_statement,
    split_note,
)
from anchor.note import sign as sign_note
from anchor.record import TITLE_LINE, Record, check_plain, check_record, parse_record
from node.light import merkle

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_BATCH_RECORDS",
    "BatchError",
    "BatchNote",
    "CheckedBody",
    "CheckedRecords",
    "SubmittedBatch",
    "build",
    "check_body",
    "check_records",
    "code_entries",
    "codes_root",
    "entries_root",
    "note_hash",
    "open_batch_note",
    "parse_batch_note",
    "parse_body",
    "read_batch_note",
    "records_root",
    "split_body",
    "split_presentations",
]

MAX_BATCH_BYTES = 32 * 1024 * 1024
MAX_BATCH_RECORDS = 20_000
MAX_SIZE = 2**32 - 1
# Checked together: enough to be quick, and few enough that one odd record slows only these.
RECORDS_A_STEP = 64
TITLE = "moneo/batch/v1"
FIRST_PREV = bytes(32)
_RULES = (
    ("log", key_name),
    ("issuer", issuer_name),
    ("seq", decimal(0, ijson.MAX_INTEGER)),
    ("prev", hash32),
    ("time", decimal(0, ijson.MAX_INTEGER)),
    ("size", decimal(1, MAX_SIZE)),
    ("root", hash32),
    ("codes", hash32),
)


@dataclass(frozen=True)
class BatchNote:
    """What a business signs of a batch; hashes are 32 bytes, `time` POSIX seconds as it claims."""

    log: str
    issuer: str
    seq: int
    prev: bytes
    time: int
    size: int
    root: bytes
    codes: bytes

    def encode(self) -> bytes:
        """Return the note text."""
        return encode_statement(
            TITLE,
            (
                ("log", self.log),
                ("issuer", self.issuer),
                ("seq", str(self.seq)),
                ("prev", ijson.encode_b64(self.prev)),
                ("time", str(self.time)),
                ("size", str(self.size)),
                ("root", ijson.encode_b64(self.root)),
                ("codes", ijson.encode_b64(self.codes)),
            ),
        )


@dataclass(frozen=True)
class SubmittedBatch:
    """A body's parts, checked against each other. The signature is not verified here."""

    note_bytes: bytes
    note_text: bytes
    note: BatchNote
    records: tuple[Record, ...]


@dataclass(frozen=True)
class CheckedRecords:
    """Records in the order of submission, as accepting a batch stores them.

    `offsets` are where each presentation begins in `presentations`; `leaf_hashes` 32 bytes each,
    one after another; `root` and `codes` what the batch's note says of them.
    """

    presentations: bytes = field(repr=False)
    offsets: tuple[int, ...] = field(repr=False)
    leaf_hashes: bytes = field(repr=False)
    root: bytes
    codes: bytes


@dataclass(frozen=True)
class CheckedBody:
    """A batch whose note is its records'. The signature is not verified here."""

    note_bytes: bytes
    note_text: bytes
    note: BatchNote
    records: CheckedRecords


def parse_batch_note(text: bytes) -> BatchNote:
    """Return the batch of a note text; the inverse of `BatchNote.encode`.

    Raises:
        BatchError: a missing, unknown or reordered line or a bad value; names the line.
    """
    note = BatchNote(*parse_statement(text, TITLE, _RULES, BatchError))
    if note.issuer.rpartition("/")[0] != note.log:
        raise BatchError(f"the issuer's name does not begin with {note.log}/", line=3)
    if note.seq == 0 and note.prev != FIRST_PREV:
        raise BatchError("the first batch of a key follows 32 zero bytes", line=5)
    return note


def read_batch_note(note_bytes: bytes) -> tuple[BatchNote, bytes]:
    """Return (batch, note text) of a signed note whose one signature line names its issuer, unverified.

    For finding the key that `open_batch_note` needs.

    Raises:
        BatchError: not a batch note with exactly one signature line.
    """
    try:
        text, signatures = split_note(note_bytes, 1)
    except NoteError as error:
        raise BatchError(str(error)) from error
    note = parse_batch_note(text)
    if signatures[0].name != note.issuer:
        raise BatchError(
            f"signed in the name of {signatures[0].name}, not of its issuer {note.issuer}"
        )
    return note, text


def open_batch_note(note_bytes: bytes, public_key: bytes) -> BatchNote:
    """Return the batch that this issuer key has signed.

    Raises:
        BatchError: not a batch note with exactly one signature line.
        NotSignedError: the signature does not verify with this key.
    """
    note, _ = read_batch_note(note_bytes)
    open_note(note_bytes, note.issuer, public_key, 1)
    return note


def note_hash(text: bytes) -> bytes:
    """Return SHA-256 of a note's text, 32 bytes: the next batch's `prev`, and what a receipt names."""
    return hashlib.sha256(text).digest()


def records_root(records: Iterable[Record]) -> bytes:
    """Return the root over the records' leaves, in this order."""
    return merkle.root([record.leaf_hash() for record in records])


def codes_root(records: Iterable[Record]) -> bytes:
    """Return the root over the sorted code entries of these records."""
    return entries_root(
        entry
        for index, record in enumerate(records)
        for entry in code_entries(record.codes, index, record.leaf_hash())
    )


def code_entries(codes: Iterable[bytes], index: int, leaf: bytes) -> list[bytes]:
    """Return the code entries of one record: K ‖ its index in the batch, 4 bytes ‖ its leaf hash."""
    tail = index.to_bytes(4, "big") + leaf
    return [code + tail for code in codes]


def entries_root(entries: Iterable[bytes]) -> bytes:
    """Return the root over a batch's code entries, which it sorts."""
    return merkle.root(map(merkle.leaf_hash, sorted(entries)))


def build(
    records: Sequence[Record], signer: Signer, *, log: str, seq: int, prev: bytes, time: int
) -> bytes:
    """Return the body of a batch of these records.

    Args:
        records: in the order of submission.
        signer: the issuer's; its name is `<log>/<issuer id>`.
        log: the log's origin.
        seq: from 0, of this key.
        prev: `note_hash` of this key's previous note, 32 zero bytes for the first.
        time: POSIX seconds.

    Raises:
        BatchError: no records or too many, or a name or number that a note can't hold.
    """
    if not 1 <= len(records) <= MAX_BATCH_RECORDS:
        raise BatchError(f"{len(records)} records, a batch has 1 to {MAX_BATCH_RECORDS}")
    root, codes = records_root(records), codes_root(records)
    text = BatchNote(log, signer.name, seq, prev, time, len(records), root, codes).encode()
    parse_batch_note(text)
    return b"".join([sign_note(text, signer), b"\n", *(record.encode() for record in records)])


def split_body(body: bytes) -> tuple[bytes, bytes]:
    """Return (signed note, presentations) of a body, neither of them looked at.

    Raises:
        BatchError: too long, or no note followed by an empty line.
    """
    if len(body) > MAX_BATCH_BYTES:
        raise BatchError(f"{len(body)} bytes, at most {MAX_BATCH_BYTES} make a batch")
    # A note ends with its signature lines; the presentations are ASCII and have no empty line.
    end = body.find(b"\n\n" + TITLE_LINE)
    if end < 0:
        raise BatchError("expected a signed note, an empty line and the records")
    return body[: end + 1], body[end + 2 :]


def split_presentations(presentations: bytes) -> list[bytes]:
    """Return the presentations of a body's second part, one by one, not parsed.

    Raises:
        BatchError: it does not begin with a record, or holds more than MAX_BATCH_RECORDS.
    """
    # No other line of a record can hold the first one's text: only this one has a slash.
    before, *rest = presentations.split(TITLE_LINE)
    if before or not rest:
        raise BatchError(f"expected {TITLE_LINE.decode().strip()!r}", record=0)
    if len(rest) > MAX_BATCH_RECORDS:
        raise BatchError(f"more than {MAX_BATCH_RECORDS} records")
    return [TITLE_LINE + piece for piece in rest]


def parse_body(body: bytes) -> SubmittedBatch:
    """Return the parts of a body, roots recomputed; for whoever needs the records themselves.

    Raises:
        BatchError: as `check_body`.
    """
    checked = check_body(body)
    pieces = split_presentations(checked.records.presentations)
    records = tuple(map(parse_record, pieces))
    return SubmittedBatch(checked.note_bytes, checked.note_text, checked.note, records)


def check_body(body: bytes) -> CheckedBody:
    """Check every record of a body and that the note's size, root and codes are theirs.

    The signature is verified apart, by `open_batch_note`.

    Raises:
        BatchError: names the record and field at fault, where there is one.
    """
    note_bytes, presentations = split_body(body)
    note, text = read_batch_note(note_bytes)
    pieces = split_presentations(presentations)
    if len(pieces) != note.size:
        raise BatchError(f"{len(pieces)} records follow a note of size {note.size}")
    records = check_records(pieces)
    if records.root != note.root:
        raise BatchError("the records' root is not the note's", line=8)
    if records.codes != note.codes:
        raise BatchError("the root over the records' codes is not the note's", line=9)
    return CheckedBody(note_bytes, text, note, records)


def check_records(pieces: Sequence[bytes]) -> CheckedRecords:
    """Check presentations one by one and return them as one batch's.

    Raises:
        BatchError: names the record and field at fault.
    """
    leaves: list[bytes] = []
    codes: list[bytes] = []
    for start in range(0, len(pieces), RECORDS_A_STEP):
        for index, (leaf, named) in enumerate(_check_step(pieces, start), start):
            leaves.append(leaf)
            codes += code_entries(named, index, leaf)
    offsets = tuple(accumulate(map(len, pieces[:-1]), initial=0))
    hashes = b"".join(leaves)
    return CheckedRecords(
        b"".join(pieces), offsets, hashes, merkle.root(leaves), entries_root(codes)
    )


def _check_step(pieces: Sequence[bytes], start: int) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Return (leaf hash, K values) of each of the next records."""
    step = pieces[start : start + RECORDS_A_STEP]
    found = check_plain(step)
    if found is None:
        found = [_check_record(piece, index) for index, piece in enumerate(step, start)]
    return found


def _check_record(piece: bytes, index: int) -> tuple[bytes, tuple[bytes, ...]]:
    try:
        return check_record(piece)
    except RecordError as error:
        raise BatchError(str(error), record=index, field=error.field) from error
