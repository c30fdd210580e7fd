# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads JSON values whose shape is known, so that a file of another shape is refused, never guessed.

The evidence and trust files are objects of fixed members (docs/evidence.md). Each function takes a
value that `anchor.ijson` has parsed and returns it checked, or raises `ShapeError` naming where.
"""

import re
from typing import Any

from anchor.errors import Base64Error, FormatError
from anchor.ijson import encode_b64, parse_b64

MAX_NATURAL = 2**53 - 1
"""The largest integer that every JSON reader holds exactly (RFC 7493 section 2.2)."""

_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)


class ShapeError(FormatError):
    """A value is not of the kind, length or range that its place in the file asks for."""


def members(value: Any, where: str, *names: str) -> list[Any]:
    """Return the values of exactly these members, in this order; any other member is refused."""
    if not isinstance(value, dict):
        raise ShapeError(f"{where} is not an object")
    if value.keys() != set(names):
        odd = sorted(value.keys() ^ set(names))
        raise ShapeError(f"{where} has a missing or an unknown member: {odd[0][:64]}")
    return [value[name] for name in names]


def items(value: Any, where: str, most: int, least: int = 0) -> list[Any]:
    """Return a list of `least` to `most` items."""
    if not isinstance(value, list):
        raise ShapeError(f"{where} is not a list")
    if not least <= len(value) <= most:
        raise ShapeError(f"{where} has {len(value)} items; {least} to {most} are allowed")
    return value


def text(value: Any, where: str, most: int) -> str:
    """Return a string of 1 to `most` characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise ShapeError(f"{where} is not a text of 1 to {most} characters")
    return value


def octets(value: Any, where: str, most: int) -> bytes:
    """Return the UTF-8 bytes of a string of 1 to `most` characters."""
    return text(value, where, most).encode()


def natural(value: Any, where: str, most: int = MAX_NATURAL) -> int:
    """Return an integer from 0 to `most`; true and 1.0 are not integers here."""
    if type(value) is not int or not 0 <= value <= most:
        raise ShapeError(f"{where} is not an integer from 0 to {most}")
    return value


def base64(value: Any, where: str, length: int | None = None) -> bytes:
    """Return the bytes of canonical standard base64, of exactly `length` bytes where given."""
    if not isinstance(value, str):
        raise ShapeError(f"{where} is not base64")
    try:
        return parse_b64(value, length)
    except Base64Error as error:
        raise ShapeError(f"{where}: {error}") from error


def hexadecimal(value: Any, where: str, length: int) -> bytes:
    """Return the `length` bytes of a string of 0x and lower-case hexadecimal digits."""
    if not isinstance(value, str) or len(value) != 2 + 2 * length or not _HEX.fullmatch(value):
        raise ShapeError(f"{where} is not 0x and {2 * length} lower-case hexadecimal digits")
    return bytes.fromhex(value[2:])


def to_hex(value: bytes) -> str:
    """Return 0x and lower-case digits, the inverse of `hexadecimal`."""
    return "0x" + value.hex()


def to_base64(value: bytes) -> str:
    """Return canonical standard base64, the inverse of `base64`."""
    return encode_b64(value)
