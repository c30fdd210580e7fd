# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads JSON and base64 so strictly that no second verifier can read the same bytes differently.

I-JSON (RFC 7493) as PROTOCOL §7 narrows it: UTF-8 without byte order mark; no repeated names at any
depth; no surrogates or noncharacters (RFC 7493 §2.1); no NaN or infinities; every number's value
strictly between -2^53 and 2^53, whether written as an integer or not (a double of 2^53 or more is
an integer, and one that a neighbour may round to); at most 16 containers deep. White space around
the value is allowed, as in RFC 8259 §2.

Base64 (RFC 4648 §4, padded) and base64url (§5, unpadded) with zero trailing bits: one text for
each string of bytes.
"""

import binascii
import json
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any, NoReturn

from anchor.errors import Base64Error, IJsonError

__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER",
    "Base64Error",
    "IJsonError",
    "encode",
    "encode_b64",
    "encode_b64url",
    "may_hold_noncharacters",
    "parse",
    "parse_b64",
    "parse_b64url",
    "parse_many",
    "parse_text",
]

MAX_DEPTH = 16
MAX_INTEGER = 2**53 - 1
_MAX_DIGITS = 17

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
# Brackets of both kinds as one kind; everything else is left out.
_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# An escape by which a surrogate, half a pair too, or a noncharacter can be written.
_RISKY_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|[fF][dD][dDeE]|[fF]{3}[eEfF])")
# A string, or what begins like one and never ends: it matches at every quote, in one pass.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)', re.DOTALL)
# Every noncharacter is beyond this range, and one range is searched for quicker than 34.
_HIGH = re.compile("[^\x00-\ufdcf]")
_NONCHARACTER = re.compile(
    "[\ufdd0-\ufdef"
    + "".join(chr(p << 16 | low) for p in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


def parse(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of one I-JSON text.

    Args:
        data: the text as UTF-8.
        max_bytes: refuse anything longer before looking at it.
        max_depth: containers within containers, the outermost counted as 1.

    Raises:
        IJsonError: too long, too deep, malformed, or ambiguous.
    """
    if len(data) > max_bytes:
        raise IJsonError(f"{len(data)} bytes of JSON, at most {max_bytes} are read")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise IJsonError(f"not UTF-8 at byte {error.start}") from error
    return parse_text(text, max_depth)


def parse_text(text: str, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of one I-JSON text that is bounded and decoded already; as `parse` otherwise."""
    _check_depth(text, max_depth)
    try:
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            value = _DECODER.decode(text)
    except json.JSONDecodeError:
        value = _decode_spaced(text)
    # The walk over the value costs more than the parser; it is needed only where such escapes are.
    if _RISKY_ESCAPE.search(text):
        _check_escapes(value)
    _check_high(text)
    return value


def parse_many(texts: Sequence[bytes]) -> list[Any]:
    """Return the values of I-JSON texts that are bounded already: `parse` of each, in half the time.

    Raises:
        IJsonError: one of them is not I-JSON; which one, `parse` tells.
    """
    # NUL can't be part of a JSON text, so that no value reaches over it.
    try:
        joined = (b"\0".join(texts) + b"\0").decode("utf-8")
    except UnicodeDecodeError as error:
        raise IJsonError("not UTF-8") from error
    values: list[Any] = []
    at = 0
    if not _is_plain(joined, texts):
        return [parse(text, max_bytes=len(text)) for text in texts]
    try:
        for _ in texts:
            value, at = _DECODER.raw_decode(joined, at)
            if joined[at] != "\0":
                break
            values.append(value)
            at += 1
    except json.JSONDecodeError:
        values.clear()
    if at != len(joined) or len(values) != len(texts):
        return [parse(text, max_bytes=len(text)) for text in texts]
    return values


def _is_plain(joined: str, texts: Sequence[bytes]) -> bool:
    """Whether nothing in these texts can be too deep, a surrogate or a noncharacter."""
    if "\\u" in joined or not (joined.isascii() or not _HIGH.search(joined)):
        return False
    return joined.count("[") + joined.count("{") <= MAX_DEPTH or all(
        text.count(b"[") + text.count(b"{") <= MAX_DEPTH for text in texts
    )


def encode(value: Any) -> bytes:
    """Return a value as compact UTF-8 JSON that `parse` reads back as the same value.

    Raises:
        IJsonError: the value holds what I-JSON has not (NaN, 2^53, a lone surrogate, a non-string key).
    """
    try:
        # A string, which most values are, is looked at itself rather than read back.
        text = encode_basestring(value) if type(value) is str else _ENCODER.encode(value)
        data = text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise IJsonError(f"not JSON: {error}") from error
    if type(value) is not str:
        parse_text(text)
    elif may_hold_noncharacters(data):
        _check_high(text)
    return data


def may_hold_noncharacters(data: bytes) -> bool:
    """Return False if there is no noncharacter in this UTF-8, quicker than by looking for one."""
    # In UTF-8 each of them, and some other characters, have one of these.
    return b"\xef\xb7" in data or b"\xbf\xbe" in data or b"\xbf\xbf" in data


def parse_b64(text: str, length: int | None = None) -> bytes:
    """Return the bytes of canonical padded base64 (RFC 4648 §4), `length` of them if given."""
    try:
        data = binascii.a2b_base64(text)
    except ValueError as error:
        raise Base64Error("not base64") from error
    # The one spelling of these bytes: no other alphabet, padding or trailing bits.
    if encode_b64(data) != text:
        raise Base64Error("not base64, or with trailing bits that are not zero")
    return _sized(data, length)


def encode_b64(data: bytes) -> str:
    """Return canonical padded base64 (RFC 4648 §4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def parse_b64url(text: str, length: int | None = None) -> bytes:
    """Return the bytes of canonical unpadded base64url (RFC 4648 §5), `length` of them if given."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise Base64Error("not base64url")
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    data = binascii.a2b_base64(padded)
    if encode_b64url(data) != text:
        raise Base64Error("base64url with trailing bits that are not zero")
    return _sized(data, length)


def encode_b64url(data: bytes) -> str:
    """Return canonical unpadded base64url (RFC 4648 §5)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _sized(data: bytes, length: int | None) -> bytes:
    if length is not None and len(data) != length:
        raise Base64Error(f"{len(data)} bytes in base64, expected {length}")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise IJsonError(f"the name {twice[:64]!r} stands twice in one object")
    return value


def _integer(text: str) -> int:
    # The length is looked at first: turning digits into a number takes time quadratic in them.
    if len(text) > _MAX_DIGITS or not -MAX_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        raise IJsonError(f"the number {text[:24]} is 2^53 or beyond: write it as a string")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or abs(value) > MAX_INTEGER:
        raise IJsonError(f"the number {text[:24]} is 2^53 or beyond: write it as a string")
    return value


def _constant(text: str) -> NoReturn:
    raise IJsonError(f"{text} is not JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_constant,
)


def _decode_spaced(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise IJsonError(f"not JSON at character {error.pos}: {error.msg}") from error


def _check_depth(text: str, max_depth: int) -> None:
    """Refuse depth before the parser meets it: how deep Python's goes is a setting of the process.

    Libraries raise that setting (py_ecc to 100,000), and then nested arrays end the process.
    """
    if text.count("[") + text.count("{") <= max_depth:
        return
    outside = _STRING.sub("", text).encode("utf-8", "surrogatepass")
    brackets = outside.translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(max_depth):
        # Each time the innermost go; brackets that do not fit are no JSON, whatever is said of them.
        brackets = brackets.replace(b"()", b"")
    if brackets:
        raise IJsonError(f"deeper than {max_depth} levels, or not closed")


def _check_high(text: str) -> None:
    if not text.isascii() and _HIGH.search(text) and (found := _NONCHARACTER.search(text)):
        raise IJsonError(f"noncharacter U+{ord(found[0]):04X} at {found.start()}")


def _check_escapes(value: Any) -> None:
    """Look at every string of a value of bounded depth for what only an escape can write."""
    if isinstance(value, str):
        _check_characters(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_characters(name)
            _check_escapes(item)
    elif isinstance(value, list):
        for item in value:
            _check_escapes(item)


def _check_characters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise IJsonError(f"lone surrogate U+{ord(text[error.start]):04X} in a string") from error
    if found := _NONCHARACTER.search(text):
        raise IJsonError(f"noncharacter U+{ord(found[0]):04X} in a string")
