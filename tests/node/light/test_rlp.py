# SPDX-License-Identifier: GPL-3.0-or-later
"""RLP has one spelling for every item: it is read, and every other is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.light import RlpError, RlpItem, rlp_decode, rlp_encode
from node.light.evm import MAX_RLP_DEPTH

# Yellow Paper, appendix B, and the examples of Ethereum's documentation.
PAIRS: list[tuple[RlpItem, str]] = [
    (b"", "80"),
    (b"\0", "00"),
    (b"\x7f", "7f"),
    (b"\x80", "8180"),
    (b"dog", "83646f67"),
    (b"a" * 55, "b7" + "61" * 55),
    (b"a" * 56, "b838" + "61" * 56),
    (b"a" * 1024, "b90400" + "61" * 1024),
    ([], "c0"),
    ([b"cat", b"dog"], "c88363617483646f67"),
    ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
    ([b"a" * 54], "f7b6" + "61" * 54),
    ([b"a" * 55], "f838b7" + "61" * 55),
]

REFUSED = {
    "nothing": "",
    "byte with a needless prefix": "8100",
    "largest byte with a needless prefix": "817f",
    "string that ends early": "83646f",
    "string followed by something": "83646f6700",
    "two items": "8080",
    "list that ends early": "c88363617483646f",
    "item that reaches out of its list": "c483646f6767",
    "list that ends within an item's length": "c1b8",
    "long form for 55 bytes": "b837" + "61" * 55,
    "long form for nothing": "b800",
    "long list form for 55 bytes": "f837" + "61" * 55,
    "length with a leading zero": "b90038" + "61" * 56,
    "list length with a leading zero": "f90038" + "61" * 56,
    "length that ends early": "b9",
    "length beyond the data": "bfffffffffffffffff",
    "list length beyond the data": "ffffffffffffffffff",
    "length of one byte too many": "b839" + "61" * 56,
}

items: st.SearchStrategy[RlpItem] = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=30
)


@pytest.mark.parametrize(("item", "encoded"), PAIRS)
def test_examples_are_read_and_written(item: RlpItem, encoded: str) -> None:
    assert rlp_encode(item).hex() == encoded
    assert rlp_decode(bytes.fromhex(encoded)) == item


@pytest.mark.parametrize("encoded", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(encoded: str) -> None:
    with pytest.raises(RlpError):
        rlp_decode(bytes.fromhex(encoded))


@given(items)
def test_what_is_written_is_read(item: RlpItem) -> None:
    assert rlp_decode(rlp_encode(item)) == item


@given(st.binary(max_size=80))
def test_whatever_is_read_has_no_other_spelling(data: bytes) -> None:
    try:
        item = rlp_decode(data)
    except RlpError:
        return
    assert rlp_encode(item) == data


def test_depth_is_bounded() -> None:
    rlp_decode(nested(MAX_RLP_DEPTH))
    for depth in (MAX_RLP_DEPTH + 1, 10_000):
        with pytest.raises(RlpError, match="deep"):
            rlp_decode(nested(depth))


def test_length_is_bounded() -> None:
    assert rlp_decode(b"\x83dog", max_bytes=4) == b"dog"
    with pytest.raises(RlpError, match="longer"):
        rlp_decode(b"\x83dog", max_bytes=3)


def nested(depth: int) -> bytes:
    encoded = b""
    for _ in range(depth):
        size = len(encoded)
        length = size.to_bytes((size.bit_length() + 7) // 8)
        prefix = bytes([0xC0 + size]) if size <= 55 else bytes([0xF7 + len(length)]) + length
        encoded = prefix + encoded
    return encoded
