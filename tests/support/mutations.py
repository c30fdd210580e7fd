# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes wrong input out of right input: bits flipped, pieces cut, repeated, moved, and what breaks parsers.

The same changes as values, so that hypothesis can shrink them and a seeded generator can draw them.
"""

import copy
import io
import math
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

# Each has broken some parser somewhere: ends of lines and texts, numbers that are none or overflow,
# encodings cut short, lone surrogates, nesting, names of what stands in other places.
TOKENS: Sequence[bytes] = (
    b"", b"\0", b"\n", b"\r\n", b"\n\n", b" ", b"\t", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\xe2\x80\x94", b"=", b"~", b"/", b"%", b"%00", b"%F", b'"', b"'", b"{", b"}", b"[", b"]", b",", b":",
    b"-", b"-0", b"0", b"00", b"1e999", b"NaN", b"Infinity", b"9" * 400, b"18446744073709551616", b"1_0",
    b"\xd9\xa3", b"0x", b"\\ud800", b"\\u0000", b"null", b"true", b"[" * 200, b"a" * 5000, b"\x80" * 9,
)  # fmt: skip
_JUNK: Sequence[Callable[[], Any]] = (
    lambda: None, lambda: True, lambda: 0, lambda: -1, lambda: 2**53, lambda: 2**64, lambda: 2**2048,
    lambda: 1.5, lambda: -0.0, lambda: math.inf, lambda: math.nan, lambda: "", lambda: "0x", lambda: "0x0",
    lambda: "-1", lambda: "\ud800", lambda: "\0", lambda: "٣", lambda: "A" * 70_000, list,
    lambda: [[]], dict, lambda: {"": 0}, lambda: ["0x1"] * 300, lambda: _nested(60),
)  # fmt: skip


class Change(NamedTuple):
    """One change: what kind, where (taken modulo the length), how much, and a token to put in."""

    kind: int
    at: int
    length: int
    token: int


# Greatest values that the members of a change take, as hypothesis and `draw` draw them.
BOUNDS = Change(7, 2**20, 64, len(TOKENS) * len(_JUNK))


def draw(chance: random.Random, most: int = 4) -> list[Change]:
    """Draw a few changes."""
    return [
        Change(*(chance.randint(0, bound) for bound in BOUNDS))
        for _ in range(chance.randint(1, most))
    ]


def mutate(data: bytes, changes: Sequence[Change], other: bytes = b"") -> bytes:
    """Return bytes changed; pieces of `other` may be put in."""
    for kind, at, length, token in changes:
        start = at % (len(data) + 1)
        end = min(len(data), start + length)
        if kind == 0 and data:
            place = start % len(data)
            data = data[:place] + bytes([data[place] ^ 1 << length % 8]) + data[place + 1 :]
        elif kind == 1:
            data = data[:start] + data[end:]
        elif kind == 2:
            data = data[:start]
        elif kind == 3:
            data = data[:end] + data[start:end] * (1 + token % 30) + data[end:]
        elif kind == 4:
            place = token * 7 % (len(other) + 1)
            data = data[:start] + other[place : place + length] + data[end:]
        elif kind == 5:
            data = data[start:end] + data[:start] + data[end:]
        elif kind == 6:
            data = data[:start] + TOKENS[token % len(TOKENS)] + data[end:]
        else:
            data = data[:start] + TOKENS[token % len(TOKENS)] + data[start:]
    return data


def mutate_text(text: str, changes: Sequence[Change], other: str = "") -> str:
    """Return a text changed; what is no UTF-8 any more becomes lone surrogates, as JSON can carry them."""
    pair = (text.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
    return mutate(pair[0], changes, pair[1]).decode("utf-8", "surrogateescape")


def mutate_json(value: Any, changes: Sequence[Change]) -> Any:
    """Return a JSON value in which members are replaced, dropped, doubled, or their texts mutated."""
    root = [copy.deepcopy(value)]
    for change in changes:
        places = list(_places(root))
        container, name = places[change.at % len(places)]
        if change.kind == 0 and isinstance(container, dict):
            del container[name]
        elif change.kind == 1 and isinstance(container, dict):
            container[TOKENS[change.token % len(TOKENS)].decode("utf-8", "replace")] = container[
                name
            ]
        elif change.kind == 2 and isinstance(container, list) and container is not root:
            container.insert(name, copy.deepcopy(container[name]))
        elif change.kind <= 5 and isinstance(container[name], str):
            container[name] = mutate_text(
                container[name], [change._replace(kind=change.length % 8)]
            )
        else:
            container[name] = _JUNK[change.token % len(_JUNK)]()
    return root[0]


def repack(package: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a zip file with one part changed, so that what is behind the unpacking is reached."""
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(output, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == part else content)
    return output.getvalue()


def long_ones(sample: bytes, size: int) -> Iterator[bytes]:
    """Yield inputs of about `size` bytes on which a careless parser takes a time quadratic or worse."""
    half = len(sample) // 2
    for token in (
        b"[",
        b'{"":',
        b'"',
        b"9",
        b" ",
        b"\n",
        b"~",
        b"/",
        b"%41",
        b"A",
        b",",
        b"\xc0",
        b"a-",
    ):
        filling = token * (size // len(token))
        yield filling
        yield sample[:half] + filling + sample[half:]
    yield sample * (size // max(1, len(sample)))


def _places(container: Any) -> Iterator[tuple[Any, Any]]:
    names = container if isinstance(container, Mapping) else range(len(container))
    for name in list(names):
        yield container, name
        if isinstance(container[name], dict | list):
            yield from _places(container[name])


def _nested(depth: int) -> Any:
    return [_nested(depth - 1)] if depth else []
