# SPDX-License-Identifier: GPL-3.0-or-later
"""Commits to a record field by field, so that any field can be shown, withheld or erased on its own.

A record's leaf (PROTOCOL §1) is lines of ASCII, each ending in LF:

    moneo/record/v1
    type <[a-z.]{1,40}>
    mode live|practice
    re <base64url leaf hash>          0 to 8, ascending
    code <base64url K>                0 to 64, ascending
    field <name> <base64url digest>   1 to 256, strictly ascending

Its *presentation* is the one text in which a record travels and is stored: the same lines, but
`field` lines only for what is not shown, and then one line of the disclosures that are,
ascending by name, `~<disclosure>~<disclosure>~`, or `~` alone. A disclosure is RFC 9901 §4.2.1's:
base64url(JSON [salt, name, value]), and the field's digest is SHA-256 over those ASCII characters.
The leaf is rebuilt from the presentation; JSON is never written anew in order to verify.

Narrower than the lines above say, so that a record has one leaf: `re` and `code` lines don't
repeat. A salt is the 22 base64url characters of 16 bytes.
"""

import binascii
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any, Literal, cast

from anchor import ijson
from anchor.codes import Code
from anchor.errors import FormatError, RecordError
from node.light.merkle import leaf_hash

__all__ = [
    "MAX_CODES",
    "MAX_FIELDS",
    "MAX_RE",
    "MAX_RECORD_BYTES",
    "TITLE_LINE",
    "Mode",
    "Record",
    "RecordError",
    "check_plain",
    "check_record",
    "named_codes",
    "open_disclosure",
    "parse_record",
    "present",
    "salt",
]

MAX_RECORD_BYTES = 64 * 1024
MAX_RE = 8
MAX_CODES = 64
MAX_FIELDS = 256
SALT_BYTES = 16
TITLE_LINE = b"moneo/record/v1\n"

Mode = Literal["live", "practice"]

# 32 bytes are 43 characters of base64url, the last of which carries four bits.
_HASH = rb"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_NAME = rb"[A-Za-z0-9_.:@-]{1,64}"
_RECORD = re.compile(
    rb"moneo/record/v1\n"
    rb"type ([a-z.]{1,40})\n"
    rb"mode (live|practice)\n"
    rb"((?:re " + _HASH + rb"\n){0,8})"
    rb"((?:code " + _HASH + rb"\n){0,64})"
    rb"((?:field " + _NAME + rb" " + _HASH + rb"\n){0,256})"
    rb"~((?:[A-Za-z0-9_-]+~)*)\n"
)
_CHARACTERS = rb'[^"\\\x00-\x1f]*'
# An escape that writes neither a surrogate nor a noncharacter.
_ESCAPE = rb'\\(?:["\\/bfnrt]|u(?![Dd][89A-Fa-f]|[Ff](?:[Dd][DEde]|[Ff]{2}[EFef]))[0-9A-Fa-f]{4})'
# A record with nothing hidden, up to its first disclosure.
_PLAIN_HEAD = re.compile(
    rb"(moneo/record/v1\n"
    rb"type [a-z.]{1,40}\n"
    rb"mode (?:live|practice)\n"
    rb"((?:re " + _HASH + rb"\n){0,8})"
    rb"((?:code " + _HASH + rb"\n){0,64}))~"
)
# A disclosure as nearly all are written, between two NULs: group 1 is its name, group 2 its value if that
# is an array or object. Whatever else is one too is read by the JSON parser.
_PLAIN = re.compile(
    rb'(?<=\0)\["[A-Za-z0-9_-]{21}[AQgw]","(' + _NAME + rb')",(?:'
    rb'"' + _CHARACTERS + rb"(?:" + _ESCAPE + _CHARACTERS + rb')*"'
    rb"|-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?|true|false|null"
    rb"|([\[{][^\0]*))\]\0"
)
_FIELD_NAME = re.compile(_NAME.decode())
_SALT = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
# The same, line by line, for the error's sake.
_OPENING = (
    (re.compile(rb"moneo/record/v1"), "moneo/record/v1"),
    (re.compile(rb"type [a-z.]{1,40}"), "type <1 to 40 of a-z and .>"),
    (re.compile(rb"mode (?:live|practice)"), "mode live|practice"),
)
_DISCLOSURES = re.compile(rb"~(?:[A-Za-z0-9_-]+~)*")
_LINES = (
    ("re", re.compile(rb"re " + _HASH), MAX_RE),
    ("code", re.compile(rb"code " + _HASH), MAX_CODES),
    ("field", re.compile(rb"field " + _NAME + rb" " + _HASH), MAX_FIELDS),
)
_URL_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
# What is no base64url becomes "!", since the decoder would pass over it.
_URL_TO_STANDARD_ONLY = bytes(
    _URL_TO_STANDARD[c] if (chr(c).isalnum() and c < 128) or c in b"-_~" else ord("!")
    for c in range(256)
)
_STANDARD_TO_URL = bytes.maketrans(b"+/", b"-_")
# By length modulo 4: the padding, and which last characters leave no bit over.
_PADDING = (b"", b"", b"==", b"=")
_ANY = frozenset(range(256))
_LAST = (_ANY, frozenset[int](), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))


@dataclass(frozen=True)
class Record:
    """One record, some of whose fields may be hidden.

    `re` are leaf hashes and `codes` K values, 32 bytes each, in the order of their lines; `hidden`
    are (name, digest) of the fields not shown; `disclosures` the others', by name. Made by
    `parse_record`, `salt` and `hide`, which check it.
    """

    type: str
    mode: Mode
    re: tuple[bytes, ...]
    codes: tuple[bytes, ...]
    hidden: tuple[tuple[str, bytes], ...]
    disclosures: tuple[str, ...]

    @cached_property
    def _opened(self) -> dict[str, Any]:
        return dict(map(open_disclosure, self.disclosures))

    @cached_property
    def _leaf(self) -> bytes:
        fields = sorted(
            [*self.hidden, *zip(self._opened, map(_digest, self.disclosures), strict=True)]
        )
        return self._head() + b"".join(_field_line(*field) for field in fields)

    def leaf(self) -> bytes:
        """Return the leaf data, every field a digest."""
        return self._leaf

    def leaf_hash(self) -> bytes:
        """Return SHA-256(00 ‖ leaf data), 32 bytes."""
        return leaf_hash(self._leaf)

    def fields(self) -> dict[str, Any]:
        """Return the shown fields' values by name, in the order of names."""
        return dict(self._opened)

    def hide(self, names: Iterable[str]) -> "Record":
        """Return the same record with these fields hidden too; names it has not are passed over."""
        away = frozenset(names)
        fields = list(zip(self._opened, self.disclosures, strict=True))
        hidden = [(name, _digest(text)) for name, text in fields if name in away]
        shown = [text for name, text in fields if name not in away]
        return Record(
            self.type,
            self.mode,
            self.re,
            self.codes,
            tuple(sorted([*self.hidden, *hidden])),
            tuple(shown),
        )

    def encode(self) -> bytes:
        """Return the presentation."""
        hidden = b"".join(_field_line(name, digest) for name, digest in self.hidden)
        return self._head() + hidden + _disclosure_line(self.disclosures)

    def _head(self) -> bytes:
        lines = [f"type {self.type}\n", f"mode {self.mode}\n"]
        lines += [f"re {ijson.encode_b64url(h)}\n" for h in self.re]
        lines += [f"code {ijson.encode_b64url(k)}\n" for k in self.codes]
        return TITLE_LINE + "".join(lines).encode("ascii")


def salt(
    obj: Mapping[str, Any],
    *,
    type: str,  # noqa: A002 - the leaf's own word
    mode: Mode,
    codes: Sequence[Code],
    re: Sequence[bytes] = (),
) -> Record:
    """Return a new record of an object, each member salted as a field of its own: see `present`.

    Raises:
        RecordError: what a record can't hold, the field named.
    """
    return parse_record(present(obj, type=type, mode=mode, codes=codes, re=re))


def present(
    obj: Mapping[str, Any],
    *,
    type: str,  # noqa: A002 - the leaf's own word
    mode: Mode,
    codes: Sequence[Code],
    re: Sequence[bytes] = (),
) -> bytes:
    """Return the presentation of a new record, which is not checked as a whole yet.

    Args:
        obj: member names and JSON values.
        type: the leaf's type, for example `epcis.objectevent`.
        mode: live, or practice for what does not count.
        codes: the trace codes it speaks of.
        re: leaf hashes of records it supersedes, voids or erases from.

    Raises:
        RecordError: a member that no field can hold, the field named.
    """
    # One draw for all salts: a system call for each field would be the greater part of the work.
    randomness = secrets.token_bytes(SALT_BYTES * len(obj))
    shown = [b""]
    for at, name in enumerate(sorted(obj)):
        data = _disclose(randomness[at * SALT_BYTES : (at + 1) * SALT_BYTES], name, obj[name])
        shown.append(binascii.b2a_base64(data, newline=False))
    shown.append(b"\n")
    lines = [f"type {type}\n", f"mode {mode}\n"]
    lines += sorted({f"re {ijson.encode_b64url(leaf)}\n" for leaf in re})
    lines += sorted({f"code {ijson.encode_b64url(code.hash())}\n" for code in codes})
    head = TITLE_LINE + "".join(lines).encode("utf-8", "replace")
    return head + b"~".join(shown).translate(_STANDARD_TO_URL, b"=")


def parse_record(text: bytes) -> Record:
    """Return the record of a presentation; the inverse of `Record.encode`.

    Raises:
        RecordError: names the line and, where it is a field's fault, the field.
    """
    match, shown, opened, fields = _read(text)
    hidden = match[5].splitlines()
    record = Record(
        match[1].decode(),
        cast("Mode", match[2].decode()),
        _hashes(match[3]),
        _hashes(match[4]),
        tuple((line[6:-44].decode(), _unhash(line)) for line in hidden),
        tuple(map(bytes.decode, shown)),
    )
    # What checking has computed is kept: the verifier asks for it at once.
    known = record.__dict__
    known["_opened"] = opened
    known["_leaf"] = text[: match.start(5)] + fields
    return record


def check_record(text: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return (leaf hash, K values) of a presentation: `parse_record` for whoever needs no more.

    Raises:
        RecordError: as `parse_record`.
    """
    match, _, _, fields = _read(text)
    return leaf_hash(text[: match.start(5)] + fields), _hashes(match[4])


def named_codes(text: bytes) -> tuple[bytes, ...]:
    """Return the K values of a presentation that was checked before."""
    lines = text[: text.index(b"~")].split(b"\n")
    return tuple(_unhash(line) for line in lines if line.startswith(b"code "))


def check_plain(texts: Sequence[bytes]) -> list[tuple[bytes, tuple[bytes, ...]]] | None:
    """Return what `check_record` does for each presentation, in a third of its time, or None.

    None says nothing against them, only that one is not written as nearly all are.
    """
    found: list[tuple[bytes, tuple[bytes, ...]]] = []
    heads: list[re.Match[bytes]] = []
    shown: list[list[bytes]] = []
    for text in texts:
        head = _PLAIN_HEAD.match(text)
        if not head or len(text) > MAX_RECORD_BYTES or not text.endswith(b"~\n"):
            return None
        heads.append(head)
        shown.append(text[head.end() : -2].split(b"~"))
    flat = [text for one in shown for text in one]
    names = _plain_names(flat)
    if names is None:
        return None
    digests, at = _digest_texts(flat), 0
    for head, disclosures in zip(heads, shown, strict=True):
        end = at + len(disclosures)
        lines = _field_lines(tuple(names[at:end]))
        if lines is None or not (_ascends(head[2]) and _ascends(head[3])):
            return None
        leaf = leaf_hash(head[1] + lines % tuple(digests[at:end]))
        found.append((leaf, _hashes(head[3])))
        at = end
    return found


def open_disclosure(text: str) -> tuple[str, Any]:
    """Return (name, value) of one disclosure.

    Raises:
        RecordError: not base64url of the JSON `[salt, name, value]`.
    """
    try:
        data = ijson.parse_b64url(text)
        return _check_disclosure(ijson.parse(data, max_bytes=MAX_RECORD_BYTES))
    except RecordError:
        raise
    except FormatError as error:
        raise RecordError(str(error)) from error


def _read(text: bytes) -> tuple[re.Match[bytes], list[bytes], dict[str, Any], bytes]:
    """Check a presentation; return its parts, disclosures, values by name, and the leaf's field lines."""
    if len(text) > MAX_RECORD_BYTES:
        raise RecordError(f"{len(text)} bytes, at most {MAX_RECORD_BYTES} make a record")
    match = _RECORD.fullmatch(text)
    if not match:
        raise _explain(text)
    _check_ascending(match[3].splitlines())
    _check_ascending(match[4].splitlines())
    shown = match[6].split(b"~")
    shown.pop()
    opened, fields = _open_all(shown)
    count = len(shown)
    if match[5]:
        hidden = match[5].splitlines(keepends=True)
        fields = _merge(hidden, fields.splitlines(keepends=True))
        count += len(hidden)
    if not 1 <= count <= MAX_FIELDS:
        raise RecordError(f"{count} fields, a record has 1 to {MAX_FIELDS}")
    return match, shown, opened, fields


def _plain_names(shown: Sequence[bytes]) -> list[bytes] | None:
    """Return the disclosures' names if all of them are plainly written, else None."""
    joined = b"~".join(shown).translate(_URL_TO_STANDARD_ONLY)
    if b"!" in joined:
        return None
    decoded = [b""]
    for text in joined.split(b"~"):
        tail = len(text) & 3
        if tail and text[-1] not in _LAST[tail]:
            return None
        decoded.append(binascii.a2b_base64(text + _PADDING[tail]))
    decoded.append(b"")
    data = b"\0".join(decoded)
    if ijson.may_hold_noncharacters(data):
        return None
    found = _PLAIN.findall(data)
    # As many as there are, and no NUL but those between: so each is one match from end to end.
    if not len(found) == len(shown) == data.count(b"\0") - 1:
        return None
    try:
        data.decode("utf-8")
        values = ijson.parse_many([b"[%b]" % value for _, value in found if value])
    except (FormatError, UnicodeDecodeError):
        return None
    return [name for name, _ in found] if all(len(value) == 1 for value in values) else None


def _digest_texts(shown: Sequence[bytes]) -> list[bytes]:
    """Return the disclosures' digests in base64url."""
    # A 33rd byte makes whole groups of four characters, so that one pass encodes all.
    padded = b"".join([sha256(text).digest() + b"\0" for text in shown])
    encoded = binascii.b2a_base64(padded, newline=False).translate(_STANDARD_TO_URL)
    return [encoded[at : at + 43] for at in range(0, len(encoded), 44)]


# A batch has few sets of names. Bounded, since names are the sender's.
@lru_cache(maxsize=256)
def _field_lines(names: tuple[bytes, ...]) -> bytes | None:
    """Return a leaf's field lines with `%b` for each digest, None if no record has these names."""
    if not 1 <= len(names) <= MAX_FIELDS or any(a >= b for a, b in pairwise(names)):
        return None
    return b"".join(b"field %b %%b\n" % name for name in names)


def _ascends(lines: bytes) -> bool:
    return all(a < b for a, b in pairwise(lines.splitlines()))


def _open_all(shown: Sequence[bytes]) -> tuple[dict[str, Any], bytes]:
    """Return the disclosures' values by name, and their field lines in the leaf."""
    try:
        values = ijson.parse_many(list(map(_decode, shown)))
    except FormatError as error:
        raise _explain_disclosure(shown, error) from error
    opened: dict[str, Any] = {}
    lines: list[bytes] = []
    last = ""
    for text, value in zip(shown, values, strict=True):
        name, item = _check_disclosure(value)
        if name <= last:
            raise RecordError(f"stands after {last}, not in ascending order", field=name)
        last = name
        opened[name] = item
        lines.append(_field_prefix(name))
        lines.append(binascii.b2a_base64(sha256(text).digest()))
    # Names have none of + / =, so that one pass makes base64url of all the digests.
    return opened, b"".join(lines).translate(_STANDARD_TO_URL, b"=")


def _decode(disclosure: bytes) -> bytes:
    """Return the bytes of a disclosure, whose alphabet the record's form has made sure of."""
    tail = len(disclosure) & 3
    if disclosure[-1] not in _LAST[tail]:
        raise RecordError("a disclosure is not canonical base64url")
    return binascii.a2b_base64(disclosure.translate(_URL_TO_STANDARD) + _PADDING[tail])


def _check_disclosure(value: Any) -> tuple[str, Any]:
    if not isinstance(value, list) or len(value) != 3:
        raise RecordError("a disclosure is [salt, name, value]")
    salted, name, item = value
    if not isinstance(name, str):
        raise RecordError("a field's name is a string")
    _field_prefix(name)
    if not isinstance(salted, str) or not _SALT.fullmatch(salted):
        raise RecordError(f"the salt is {SALT_BYTES} bytes in base64url", field=name)
    return name, item


def _explain_disclosure(shown: Sequence[bytes], error: FormatError) -> RecordError:
    """Return the error of the first disclosure that can't be opened by itself, or else the one given."""
    for number, text in enumerate(shown, start=1):
        try:
            open_disclosure(text.decode())
        except RecordError as cause:
            return RecordError(f"disclosure {number}: {cause.reason}", field=cause.field)
    return RecordError(str(error))


@lru_cache(maxsize=4096)
def _field_prefix(name: str) -> bytes:
    """Return `field <name> `; a batch has few names, so that the check is made once for each."""
    if not _FIELD_NAME.fullmatch(name):
        raise RecordError(f"{name[:64]!r} is no field name: 1 to 64 of A-Z a-z 0-9 _ . : @ -")
    return b"field %b " % name.encode("ascii")


def _merge(hidden: Sequence[bytes], shown: Sequence[bytes]) -> bytes:
    """Return the leaf's field lines from those, LF included, of the hidden and of the shown fields."""
    _check_ascending([line[:-44] for line in hidden])
    # A space sorts before every character of a name, so that lines stand as their names do.
    lines = sorted([*hidden, *shown])
    for line, following in pairwise(lines):
        if line[:-44] == following[:-44]:
            raise RecordError("is both shown and hidden", field=line[6:-45].decode())
    return b"".join(lines)


def _hashes(lines: bytes) -> tuple[bytes, ...]:
    return tuple(map(_unhash, lines.splitlines()))


def _check_ascending(lines: Sequence[bytes]) -> None:
    for line, following in pairwise(lines):
        if line >= following:
            raise RecordError(f"{following.decode()!r} does not stand in ascending order")


def _unhash(line: bytes) -> bytes:
    """Return the 32 bytes that the last 43 characters of a line stand for."""
    return binascii.a2b_base64(line[-43:].translate(_URL_TO_STANDARD) + b"=")


def _digest(disclosure: str) -> bytes:
    return sha256(disclosure.encode("ascii")).digest()


def _field_line(name: str, digest: bytes) -> bytes:
    return f"field {name} {ijson.encode_b64url(digest)}\n".encode("ascii")


def _disclosure_line(disclosures: Iterable[str]) -> bytes:
    return "".join(["~", *(f"{text}~" for text in disclosures), "\n"]).encode("ascii")


def _disclose(random: bytes, name: str, value: Any) -> bytes:
    """Return the JSON of a disclosure."""
    try:
        parts = (ijson.encode_b64url(random).encode(), ijson.encode(name), ijson.encode(value))
    except FormatError as error:
        raise RecordError(str(error), field=str(name)[:64]) from error
    return b'["%b",%b,%b]' % parts


def _explain(text: bytes) -> RecordError:
    """Return the error for a text that is no presentation: its first line that is wrong."""
    lines = text.split(b"\n")
    for number, (form, what) in enumerate(_OPENING):
        if number >= len(lines) or not form.fullmatch(lines[number]):
            return RecordError(f"expected '{what}'", line=number + 1)
    at = len(_OPENING)
    for keyword, form, most in _LINES:
        first = at
        while at < len(lines) and lines[at].startswith(keyword.encode() + b" "):
            if not form.fullmatch(lines[at]):
                return RecordError(f"not a well formed {keyword} line", line=at + 1)
            if at - first == most:
                return RecordError(f"more than {most} {keyword} lines", line=at + 1)
            at += 1
    if at >= len(lines) or not _DISCLOSURES.fullmatch(lines[at]):
        return RecordError(
            "expected a re, code, field or disclosure line, in this order", line=at + 1
        )
    return RecordError("the record has to end here, with one LF", line=at + 2)
