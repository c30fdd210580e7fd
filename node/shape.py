# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the JSON of a founding strictly, so that two nodes never read one file differently.

JSON (RFC 8259) in ASCII, no member twice, no NaN, exactly the members asked for, canonical base64 and
small hexadecimal digits. Whatever else there is raises GenesisError.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from node.errors import GenesisError

_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


def parse_json(data: bytes, max_brackets: int) -> Any:
    """Return the value that JSON in ASCII says; more objects and lists than that are not read."""
    # Deep ones would overflow the parser's stack.
    if data.count(b"{") + data.count(b"[") > max_brackets:
        raise GenesisError("quá nhiều phần · it has too many members")
    try:
        return json.loads(
            data.decode("ascii"), object_pairs_hook=_unique_members, parse_constant=_no_constant
        )
    except ValueError as error:
        raise GenesisError("không phải JSON dạng ASCII · it is not JSON in ASCII") from error


def members(value: Any, name: str, parsers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Return the members of a JSON object parsed, which have to be exactly those in `parsers`."""
    if not isinstance(value, dict) or value.keys() != parsers.keys():
        raise GenesisError(f"{name}: thiếu hoặc thừa phần · {name} is incomplete, or has more")
    return {member: parser(value[member]) for member, parser in parsers.items()}


def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise GenesisError("thiếu một đoạn chữ · a text is missing")
    return value


def integer(value: Any) -> int:
    """Return a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise GenesisError("thiếu một số · a number is missing")
    return value


def items(value: Any) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise GenesisError("thiếu một danh sách · a list is missing")
    return value


def base64_bytes(value: Any) -> bytes:
    """Return the bytes of canonical base64 (RFC 4648 §4)."""
    encoded = text(value)
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise GenesisError("khóa không phải base64 · a key is not base64") from error
    if base64.b64encode(data).decode("ascii") != encoded:
        raise GenesisError("khóa không phải base64 chuẩn tắc · a key is not canonical base64")
    return data


def address(value: Any) -> bytes:
    """Return 20 bytes of 0x and small hexadecimal digits."""
    if not _ADDRESS.fullmatch(digits := text(value)):
        raise GenesisError(
            "thành viên cần 0x và 40 chữ số hex nhỏ · a member is not 0x and 40 small hex digits"
        )
    return bytes.fromhex(digits[2:])


def hash32(value: Any) -> bytes:
    """Return 32 bytes of 0x and small hexadecimal digits."""
    if not _HASH.fullmatch(digits := text(value)):
        raise GenesisError(
            "mã băm cần 0x và 64 chữ số hex nhỏ · a hash is not 0x and 64 small hex digits"
        )
    return bytes.fromhex(digits[2:])


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise GenesisError("có phần ghi hai lần · a member is there twice")
    return value


def _no_constant(name: str) -> Any:
    raise GenesisError(f"{name} không phải JSON · {name} is no JSON")
