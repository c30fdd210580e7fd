# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs and opens texts, so that batches, receipts, checkpoints and key requests share one signature.

C2SP signed-note: a text that ends in LF, an empty line, then signature lines
`— <key name> <base64(key id ‖ signature)>`. The only signature type made and verified here is
Ed25519 (0x01); lines of other keys are carried along unread. Ed25519 is verified by the one rule
of PROTOCOL §6.

The texts of this project, PROTOCOL §2 and its siblings, are *statements*: a title line, then
lines `<name> <value>` in a fixed order.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anchor import ijson
from anchor.errors import Base64Error, FormatError, NoteError, NotSignedError
from node.light import ed25519
from node.light.errors import SignatureError

__all__ = [
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "NotSignedError",
    "NoteError",
    "Signature",
    "Signer",
    "check_name",
    "decimal",
    "encode_statement",
    "hash32",
    "key_hash",
    "key_id4",
    "key_name",
    "open_note",
    "parse_statement",
    "parse_verifier_key",
    "sign",
    "split_note",
    "verifier_key",
]

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 64
MAX_NAME = 256
ED25519 = b"\x01"
KEY_ID_BYTES = 4

# No space of any script and no plus (C2SP signed-note); ASCII only, so that a name has one spelling.
_NAME = re.compile(rf"[!-*,-~]{{1,{MAX_NAME}}}")
_SIGNATURE_LINE = re.compile(rf"— ([!-*,-~]{{1,{MAX_NAME}}}) ([A-Za-z0-9+/=]{{8,8192}})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")


class Signature(NamedTuple):
    """One signature line, unverified: the key's name, its 4-byte id and the signature's bytes."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Signer:
    """A named Ed25519 key that signs notes."""

    name: str
    private_key: Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def public_key(self) -> bytes:
        """The public key's 32 bytes (RFC 8032)."""
        return self.private_key.public_key().public_bytes_raw()

    @property
    def key_hash(self) -> bytes:
        """The untruncated key id, 32 bytes; the chain knows keys by it."""
        return key_hash(self.name, self.public_key)


def check_name(name: str) -> str:
    """Return a key name that is fit for a signature line.

    Raises:
        NoteError: empty, too long, or with a space, a plus or a character outside ASCII.
    """
    if not _NAME.fullmatch(name):
        raise NoteError(
            f"{name[:64]!r} is no key name: 1 to {MAX_NAME} ASCII signs, no space, no +"
        )
    return name


def key_hash(name: str, public_key: bytes) -> bytes:
    """Return SHA-256(name ‖ LF ‖ 01 ‖ public key), 32 bytes: the key id before C2SP truncates it."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()


def key_id4(name: str, public_key: bytes) -> bytes:
    """Return the 4-byte key id of a signature line (C2SP signed-note)."""
    return key_hash(name, public_key)[:KEY_ID_BYTES]


def verifier_key(name: str, public_key: bytes) -> str:
    """Return `name+keyid+base64(01 ‖ public key)`, the form that other log tools read."""
    key_id = key_id4(name, public_key).hex()
    return f"{name}+{key_id}+{ijson.encode_b64(ED25519 + public_key)}"


def parse_verifier_key(text: str) -> tuple[str, bytes]:
    """Return (name, public key) of `name+keyid+base64(01 ‖ public key)`.

    Raises:
        NoteError: malformed, not Ed25519, or an id that is not this key's.
    """
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        key = ijson.parse_b64(encoded, 33)
    except Base64Error as error:
        raise NoteError(f"verifier key: {error}") from error
    if key[:1] != ED25519:
        raise NoteError("verifier key: not an Ed25519 key")
    if key_id4(check_name(name), key[1:]).hex() != key_id:
        raise NoteError("verifier key: its id is not this key's")
    return name, key[1:]


def sign(text: bytes, signer: Signer) -> bytes:
    """Return the signed note of a text, with one signature line.

    Args:
        text: the note's text; UTF-8, ends in LF, no control character but LF.
        signer: whose signature it gets.

    Raises:
        NoteError: the text is not fit for a note.
    """
    _check_text(text)
    signature = key_id4(signer.name, signer.public_key) + signer.private_key.sign(text)
    return text + f"\n— {signer.name} {ijson.encode_b64(signature)}\n".encode()


def split_note(
    note: bytes, max_signatures: int = MAX_SIGNATURES
) -> tuple[bytes, tuple[Signature, ...]]:
    """Return a note's text and its signature lines, none of them verified.

    Raises:
        NoteError: not a signed note, or more than `max_signatures` lines.
    """
    if len(note) > MAX_NOTE_BYTES:
        raise NoteError(f"a note of {len(note)} bytes, at most {MAX_NOTE_BYTES} are read")
    end = note.rfind(b"\n\n")
    if end < 0:
        raise NoteError("no empty line between text and signatures")
    text = note[: end + 1]
    _check_text(text)
    first = text.count(b"\n") + 2
    return text, _parse_signatures(note[end + 2 :], first, max_signatures)


def open_note(
    note: bytes, name: str, public_key: bytes, max_signatures: int = MAX_SIGNATURES
) -> bytes:
    """Return the text of a note that this key has signed.

    Args:
        note: the whole signed note.
        name: the key's name.
        public_key: its 32 bytes.
        max_signatures: how many signature lines there may be; 1 = this key's alone.

    Raises:
        NoteError: not a signed note.
        NotSignedError: no signature line of this key, or one that does not verify.
    """
    text, signatures = split_note(note, max_signatures)
    key_id = key_id4(name, public_key)
    mine = [s.signature for s in signatures if s.name == name and s.key_id == key_id]
    if not mine:
        raise NotSignedError(f"not signed by {name} ({key_id.hex()})")
    try:
        ed25519.verify(public_key, mine[0], text)
    except SignatureError as error:
        raise NotSignedError(f"the signature of {name} does not verify: {error}") from error
    return text


def encode_statement(title: str, lines: Sequence[tuple[str, str]]) -> bytes:
    """Return a statement's text: the title, then a line `<name> <value>` for each pair."""
    return "".join([f"{title}\n", *(f"{name} {value}\n" for name, value in lines)]).encode()


def parse_statement(
    text: bytes,
    title: str,
    rules: Sequence[tuple[str, Callable[[str], Any]]],
    error: type[FormatError] = FormatError,
) -> list[Any]:
    """Return the values of a statement's lines, each made by its rule.

    Args:
        text: the whole text.
        title: its first line.
        rules: name and reader of each line that follows, in order; a reader raises FormatError.
        error: what to raise.

    Raises:
        FormatError: a missing, unknown or reordered line, or a value its reader refuses; has `line`.
    """
    try:
        lines = text.decode("ascii").split("\n")
    except UnicodeDecodeError as cause:
        line = text.count(b"\n", 0, cause.start) + 1
        raise error("a character outside ASCII", line=line) from cause
    if lines[0] != title:
        raise error(f"expected {title!r}", line=1)
    values = []
    for number, (name, read) in enumerate(rules, start=2):
        line_text = lines[number - 1] if number <= len(lines) else ""
        if not line_text.startswith(f"{name} "):
            raise error(f"expected '{name} …'", line=number)
        try:
            values.append(read(line_text[len(name) + 1 :]))
        except FormatError as cause:
            raise error(f"{name}: {cause}", line=number) from cause
    if lines[len(rules) + 1 :] != [""]:
        raise error("the text has to end here, with LF", line=len(rules) + 2)
    return values


def decimal(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of decimals without leading zeros from `low` to `high` (below 2^53)."""

    def read(text: str) -> int:
        if not _DECIMAL.fullmatch(text) or not low <= int(text) <= min(high, ijson.MAX_INTEGER):
            raise FormatError(f"{text[:24]!r} is not a decimal from {low} to {high}")
        return int(text)

    return read


def hash32(text: str) -> bytes:
    """Read 32 bytes in base64."""
    return ijson.parse_b64(text, 32)


def key_name(text: str) -> str:
    """Read a key name."""
    return check_name(text)


def _check_text(text: bytes) -> None:
    if not text.endswith(b"\n"):
        raise NoteError("a note's text ends in LF")
    if len(text) > MAX_NOTE_BYTES:
        raise NoteError(f"a note's text of {len(text)} bytes, at most {MAX_NOTE_BYTES} are read")
    try:
        found = _CONTROL.search(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NoteError("not UTF-8", line=text.count(b"\n", 0, error.start) + 1) from error
    if found:
        line = found.string.count("\n", 0, found.start()) + 1
        raise NoteError(f"control character U+{ord(found[0]):04X}", line=line)


def _parse_signatures(data: bytes, first: int, most: int) -> tuple[Signature, ...]:
    if not data.endswith(b"\n"):
        raise NoteError("the last signature line ends in LF")
    lines = data[:-1].split(b"\n", most)
    if len(lines) > most:
        raise NoteError(f"more than {most} signature lines")
    signatures = tuple(_parse_signature(line, first + i) for i, line in enumerate(lines))
    if len({(s.name, s.key_id) for s in signatures}) != len(signatures):
        raise NoteError("two signature lines of one key")
    return signatures


def _parse_signature(line: bytes, number: int) -> Signature:
    match = _SIGNATURE_LINE.fullmatch(line.decode("utf-8", "replace"))
    if not match:
        raise NoteError("not a signature line", line=number)
    try:
        blob = ijson.parse_b64(match[2])
    except Base64Error as error:
        raise NoteError(str(error), line=number) from error
    if len(blob) <= KEY_ID_BYTES:
        raise NoteError("a signature of no bytes", line=number)
    return Signature(match[1], blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])
