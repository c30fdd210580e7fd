# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to change a value by one bit, so that a test can ask whether anybody notices."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

# Bits of an integer that the formats could carry.
INTEGER_BITS = 53


def flips(value: Any, *, every_byte: bool) -> Iterator[tuple[str, Any]]:
    """Yield (where, value) for one flipped bit at a time in each leaf of nested frozen values.

    Goes through dataclasses and tuples down to bytes, str and int. All bits of one byte a leaf, or
    with `every_byte` all bits of it.
    """
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for where, flipped in flips(getattr(value, field.name), every_byte=every_byte):
                yield f"{field.name}.{where}", replace(value, **{field.name: flipped})
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            for where, flipped in flips(item, every_byte=every_byte):
                yield f"{index}.{where}", _rebuild(value, index, flipped)
    elif isinstance(value, int):
        for bit in range(INTEGER_BITS if every_byte else 8):
            yield f"bit {bit}", value ^ 1 << bit
    else:
        yield from _flip_text(value, every_byte)


def flip_bit(data: bytes, bit: int) -> bytes:
    """Return data with one bit changed; bit 0 is the lowest of the first byte."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _flip_text(value: bytes | str, every_byte: bool) -> Iterator[tuple[str, bytes | str]]:
    data = value.encode() if isinstance(value, str) else value
    positions: Sequence[int] = (
        range(len(data)) if every_byte else range(len(data))[len(data) // 2 :][:1]
    )
    # ASCII has seven bits.
    width = 7 if isinstance(value, str) else 8
    for position in positions:
        for bit in range(width):
            flipped = flip_bit(data, position * 8 + bit)
            yield f"bit {position * 8 + bit}", flipped.decode() if width == 7 else flipped


def _rebuild(value: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    items = (*value[:index], item, *value[index + 1 :])
    # A named tuple takes its items one by one.
    return type(value)(*items) if hasattr(value, "_fields") else items
