# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of Ethereum's JSON-RPC: each parser takes one JSON value and refuses what is not exact.

execution-apis, "Hex value encoding": a quantity is 0x and hexadecimal digits without leading
zeros, data is 0x and two digits a byte. Every parser raises InvalidParams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.rpc.errors import InvalidParams

# As many digits as a 256-bit word has.
_QUANTITY: Final = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})", re.ASCII)
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
ADDRESS_SIZE: Final = 20
HASH_SIZE: Final = 32
MAX_BLOCK_NUMBER: Final = 2**64 - 1
# The head; all of them are one where a block is never taken back and pending ones hold nothing.
LATEST: Final = "latest"
TAGS: Final = ("latest", "pending", "safe", "finalized", "earliest")


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by exactly one of tag, number and hash."""

    tag: str | None = None
    number: int | None = None
    hash: bytes | None = None


def quantity(number: int) -> str:
    """Return a number as JSON-RPC writes it."""
    return hex(number)


def data(value: bytes) -> str:
    """Return bytes as JSON-RPC writes them."""
    return "0x" + value.hex()


def parse_quantity(value: Any) -> int:
    """Return the number that a quantity is."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise InvalidParams("expected a quantity: 0x and hex digits without leading zeros")
    return int(value, 16)


def parse_data(value: Any) -> bytes:
    """Return the bytes that a hex string is."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise InvalidParams("expected data: 0x and an even number of hex digits")
    return bytes.fromhex(value[2:])


def parse_sized(size: int) -> Callable[[Any], bytes]:
    """Return the parser for data of exactly `size` bytes."""

    def parse(value: Any) -> bytes:
        parsed = parse_data(value)
        if len(parsed) != size:
            raise InvalidParams(f"expected {size} bytes, got {len(parsed)}")
        return parsed

    return parse


parse_address = parse_sized(ADDRESS_SIZE)
parse_hash = parse_sized(HASH_SIZE)


def parse_slot(value: Any) -> bytes:
    """Return a storage slot's 32 bytes, given in full or as a quantity, which clients both send."""
    if isinstance(value, str) and len(value) == 2 + 2 * HASH_SIZE:
        return parse_hash(value)
    return parse_quantity(value).to_bytes(HASH_SIZE, "big")


def parse_flag(value: Any) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise InvalidParams("expected true or false")
    return value


def parse_count(value: Any) -> int:
    """Return a number of things, which some clients send as a JSON number."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return parse_quantity(value)


def parse_number_or_tag(value: Any) -> BlockRef:
    """Return a block named by tag or number."""
    if value in TAGS:
        return BlockRef(tag=value)
    number = parse_quantity(value)
    if number > MAX_BLOCK_NUMBER:
        raise InvalidParams("a block number has at most 64 bits")
    return BlockRef(number=number)


def parse_block(value: Any) -> BlockRef:
    """Return a block named by tag, number, or EIP-1898's object with a number or a hash."""
    if not isinstance(value, Mapping):
        return parse_number_or_tag(value)
    known = {"blockNumber", "blockHash", "requireCanonical"}
    if set(value) - known or ("blockNumber" in value) == ("blockHash" in value):
        raise InvalidParams("expected one of blockNumber and blockHash")
    if "blockHash" in value:
        return BlockRef(hash=parse_hash(value["blockHash"]))
    return BlockRef(number=parse_quantity(value["blockNumber"]))


def parse_list(item: Callable[[Any], Any], most: int) -> Callable[[Any], list[Any]]:
    """Return the parser for a list of at most `most` items."""

    def parse(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise InvalidParams(f"expected a list of at most {most}")
        return [item(each) for each in value]

    return parse


def parse_members(
    value: Any, members: Mapping[str, Callable[[Any], Any]], what: str
) -> dict[str, Any]:
    """Return an object's members parsed by name; null stands for absent, unknown ones are refused."""
    if not isinstance(value, Mapping):
        raise InvalidParams(f"expected {what}")
    parsed = {}
    for name, member in value.items():
        if name not in members:
            raise InvalidParams(f"{what} has no member {name!r}")
        if member is not None:
            parsed[name] = _named(name, members[name], member)
    return parsed


def _named(name: str, parse: Callable[[Any], Any], value: Any) -> Any:
    try:
        return parse(value)
    except InvalidParams as error:
        raise InvalidParams(f"{name}: {error.message}") from error
