# SPDX-License-Identifier: GPL-3.0-or-later
"""CometBFT hashes and signs protobuf messages; these few functions write them without a library.

Protocol Buffers encoding, proto3, fields in ascending order of their numbers: the only form that
CometBFT's generated code writes, so that the same values always give the same bytes. A field's
kind follows from its value's type:

    int         varint (a negative one as its 64-bit two's complement), left out if 0
    Fixed64     little-endian 64-bit two's complement, left out if 0
    bytes, str  length-delimited, left out if empty
    Message     embedded message, written even if empty (gogoproto's `nullable = false`)
"""

_VARINT, _FIXED64, _DELIMITED = 0, 1, 2
_UINT64_MASK = 2**64 - 1


class Fixed64(int):
    """A value of protobuf's type sfixed64."""


class Message(bytes):
    """The encoding of an embedded message that stands in its parent even if it is empty."""


Value = int | bytes | str


def varint(number: int) -> bytes:
    """Return the base-128 varint of an integer from -2^63 to 2^64 - 1."""
    rest = number & _UINT64_MASK
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def field(number: int, value: Value) -> bytes:
    """Return one encoded field, or nothing where proto3 leaves out the default value."""
    if isinstance(value, int):
        if not value:
            return b""
        if isinstance(value, Fixed64):
            return _tag(number, _FIXED64) + value.to_bytes(8, "little", signed=True)
        return _tag(number, _VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    if not data and not isinstance(value, Message):
        return b""
    return _tag(number, _DELIMITED) + delimited(data)


def message(*values: tuple[int, Value]) -> Message:
    """Return the encoding of a message given as (field number, value) in ascending order."""
    return Message(b"".join(field(number, value) for number, value in values))


def delimited(data: bytes) -> bytes:
    """Return data behind its length as a varint."""
    return varint(len(data)) + data


def _tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)
