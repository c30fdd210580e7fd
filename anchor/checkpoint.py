# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what a log holds, in the formats that other people's log tools read.

C2SP tlog-checkpoint: origin, size and root as three lines, signed as a note; extension lines are
refused (PROTOCOL §3). C2SP tlog-proof v1: an entry's index and inclusion path, then the checkpoint
verbatim.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from anchor import ijson
from anchor.errors import Base64Error, CheckpointError, FormatError, ProofError
from anchor.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Signer,
    check_name,
    decimal,
    hash32,
    open_note,
)
from anchor.note import sign as sign_note
from node.light.merkle import EMPTY_ROOT

__all__ = [
    "MAX_PATH",
    "Checkpoint",
    "CheckpointError",
    "ProofError",
    "TlogProof",
    "open_checkpoint",
    "parse_checkpoint",
    "parse_tlog_proof",
]

T = TypeVar("T")

HASH_BYTES = 32
# A tree of fewer than 2^53 leaves is at most 53 levels high.
MAX_PATH = 53
MAX_EXTRA_BYTES = 4096
PROOF_TITLE = "c2sp.org/tlog-proof@v1"
_SIZE = decimal(0, ijson.MAX_INTEGER)


@dataclass(frozen=True)
class Checkpoint:
    """A log's tree head: its origin, its number of entries and the RFC 9162 root over them."""

    origin: str
    size: int
    root: bytes

    def encode(self) -> bytes:
        """Return the note text: three lines."""
        return f"{self.origin}\n{self.size}\n{ijson.encode_b64(self.root)}\n".encode()

    def sign(self, signer: Signer) -> bytes:
        """Return the signed note, with this signer's line."""
        return sign_note(self.encode(), signer)


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Return the checkpoint of a note text; the inverse of `Checkpoint.encode`.

    Raises:
        CheckpointError: not exactly three well formed lines, or a wrong root for size 0.
    """
    try:
        lines = text.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError("a character outside ASCII") from error
    if len(lines) != 4 or lines[3]:
        raise CheckpointError(
            "a checkpoint has three lines: origin, size, root", line=min(len(lines), 4)
        )
    checkpoint = Checkpoint(
        _value(check_name, lines, 1), _value(_SIZE, lines, 2), _value(hash32, lines, 3)
    )
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise CheckpointError("not the root of the empty tree", line=3)
    return checkpoint


def _value(read: Callable[[str], T], lines: list[str], number: int) -> T:
    try:
        return read(lines[number - 1])
    except FormatError as error:
        raise CheckpointError(str(error), line=number) from error


def open_checkpoint(
    note: bytes, origin: str, public_key: bytes, max_signatures: int = MAX_SIGNATURES
) -> Checkpoint:
    """Return a checkpoint that this log's key has signed.

    Args:
        note: the signed checkpoint.
        origin: the log's origin, which is also its key's name.
        public_key: the log key's 32 bytes.
        max_signatures: how many lines, cosignatures included, there may be.

    Raises:
        NoteError: not a signed note.
        NotSignedError: not signed by the log key.
        CheckpointError: not a checkpoint, or another log's.
    """
    checkpoint = parse_checkpoint(open_note(note, origin, public_key, max_signatures))
    if checkpoint.origin != origin:
        raise CheckpointError(f"the origin is {checkpoint.origin}, expected {origin}", line=1)
    return checkpoint


@dataclass(frozen=True)
class TlogProof:
    """An entry's place in a log: index, inclusion path from leaf to root, signed checkpoint verbatim.

    `extra` is what C2SP lets a proof carry besides; nobody has signed it.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """Return the proof's text."""
        lines = [PROOF_TITLE]
        if self.extra is not None:
            lines.append(f"extra {ijson.encode_b64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(ijson.encode_b64, self.path)
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint


_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})")


def parse_tlog_proof(data: bytes) -> TlogProof:
    """Return the proof of a C2SP tlog-proof v1 text; the inverse of `TlogProof.encode`.

    The checkpoint within is not opened, and the path's length not compared with the size: both
    happen where the proof is verified.

    Raises:
        ProofError: not a tlog-proof, or a bound exceeded.
    """
    if len(data) > 2 * MAX_NOTE_BYTES:
        raise ProofError(f"a proof of {len(data)} bytes, at most {2 * MAX_NOTE_BYTES} are read")
    head, empty, checkpoint = data.partition(b"\n\n")
    if not empty or not checkpoint:
        raise ProofError("no checkpoint after an empty line")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise ProofError(
            "a character outside ASCII", line=head.count(b"\n", 0, error.start) + 1
        ) from error
    if lines[0] != PROOF_TITLE:
        raise ProofError(f"expected {PROOF_TITLE!r}", line=1)
    extra = _parse_extra(lines[1]) if len(lines) > 1 and lines[1].startswith("extra ") else None
    at = 1 if extra is None else 2
    match = _INDEX.fullmatch(lines[at]) if len(lines) > at else None
    if not match or int(match[1]) > ijson.MAX_INTEGER:
        raise ProofError("expected 'index …'", line=at + 1)
    return TlogProof(int(match[1]), _parse_path(lines[at + 1 :], at + 2), checkpoint, extra)


def _parse_extra(line: str) -> bytes:
    try:
        extra = ijson.parse_b64(line.removeprefix("extra "))
    except Base64Error as error:
        raise ProofError(f"extra: {error}", line=2) from error
    if len(extra) > MAX_EXTRA_BYTES:
        raise ProofError(f"more than {MAX_EXTRA_BYTES} bytes of extra data", line=2)
    return extra


def _parse_path(lines: list[str], first: int) -> tuple[bytes, ...]:
    if len(lines) > MAX_PATH:
        raise ProofError(f"a path of more than {MAX_PATH} hashes", line=first + MAX_PATH)
    path = []
    for number, line in enumerate(lines, start=first):
        try:
            path.append(ijson.parse_b64(line, HASH_BYTES))
        except Base64Error as error:
            raise ProofError(str(error), line=number) from error
    return tuple(path)
