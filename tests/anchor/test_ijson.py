# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON and base64 have one reading each, or none."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor import ijson
from anchor.errors import Base64Error, IJsonError

LIMIT = 10_000


def is_noncharacter(character: str) -> bool:
    code = ord(character)
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


strings = st.text().filter(lambda text: not any(map(is_noncharacter, text)))
numbers = st.integers(-ijson.MAX_INTEGER, ijson.MAX_INTEGER) | st.floats(
    -1e15, 1e15, allow_nan=False
)
values = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda inner: st.lists(inner) | st.dictionaries(strings, inner),
    max_leaves=12,
)


@given(values)
def test_what_is_encoded_reads_back_the_same(value: Any) -> None:
    assert ijson.parse(ijson.encode(value), max_bytes=LIMIT) == value


@given(st.lists(values, max_size=6))
def test_many_texts_read_as_each_alone(many: list[Any]) -> None:
    texts = [json.dumps(value).encode() for value in many]
    assert ijson.parse_many(texts) == [ijson.parse(text, max_bytes=LIMIT) for text in texts]


REFUSED = [
    b'{"a":1,"a":2}',
    b'[{"b":{"a":1,"\\u0061":2}}]',
    b"NaN",
    b"[Infinity]",
    b"-Infinity",
    b"9007199254740992",
    b"-9007199254740992",
    b"9007199254740992.0",
    b"1e16",
    b"1e400",
    b"1" * 5000,
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'{"\\ud800":1}',
    b'"\xed\xa0\x80"',
    b'"\\ufffe"',
    b'"\xef\xbf\xbf"',
    b'"\xf0\x9f\xbf\xbe"',
    b'"\\ud83f\\udffe"',
    "\ufeff1".encode(),
    b"",
    b" ",
    b"1 2",
    b"[1,]",
    b"{a:1}",
    b"'a'",
    b"01",
    b"+1",
    b".5",
    b"\xff",
    b'"a\x00b"',
    b'"a\nb"',
    b"1\x00",
    b"[[1]",
    b"[" * 17 + b"]" * 17,
    b'{"a":' * 17 + b"1" + b"}" * 17,
    b"[" * 5000,
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:24]))
def test_what_two_parsers_could_read_differently_is_refused(text: bytes) -> None:
    with pytest.raises(IJsonError):
        ijson.parse(text, max_bytes=LIMIT)
    for texts in ([text], [b"1", text], [text, b"1"], [b'["a"]', text, b'"\\u0061"']):
        with pytest.raises(IJsonError):
            ijson.parse_many(texts)


@pytest.mark.parametrize(
    "texts", [[b'["a",[1', b"2]]"], [b'"a', b'b"'], [b'["a"],["b"', b"]"], [b"1\x002"], [b"", b"1"]]
)
def test_texts_never_reach_into_each_other(texts: list[bytes]) -> None:
    with pytest.raises(IJsonError):
        ijson.parse_many(texts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"9007199254740991", 2**53 - 1),
        (b"-9007199254740991", -(2**53) + 1),
        (b' \t\r\n{"a" : [ ] }\n', {"a": []}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\ud800"', "\\ud800"),
        (b"[" * 16 + b"]" * 16, json.loads("[" * 16 + "]" * 16)),
        (b'"' + b"[{" * 40 + b'"', "[{" * 40),
        (b"-0", 0),
        ("\u1ec7 Cà Mau".join('""').encode(), "ệ Cà Mau"),
    ],
)
def test_what_is_allowed_is_read(text: bytes, value: Any) -> None:
    assert ijson.parse(text, max_bytes=LIMIT) == value
    assert ijson.parse_many([text, b"1", text]) == [value, 1, value]


def test_longer_than_the_bound_is_not_looked_at() -> None:
    assert ijson.parse(b"123", max_bytes=3) == 123
    with pytest.raises(IJsonError):
        ijson.parse(b"123", max_bytes=2)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, "\ud800", b"x", {1: [object()]}]
)
def test_what_is_not_json_is_not_encoded(value: Any) -> None:
    with pytest.raises(IJsonError):
        ijson.encode(value)


@given(st.binary(max_size=70))
def test_base64_reads_back_the_same(data: bytes) -> None:
    assert ijson.parse_b64(ijson.encode_b64(data), len(data)) == data
    assert ijson.parse_b64url(ijson.encode_b64url(data), len(data)) == data


@given(st.text("AQgwBab+/-_= \n", max_size=9))
def test_no_two_base64_texts_are_the_same_bytes(text: str) -> None:
    for parse, encode in (
        (ijson.parse_b64, ijson.encode_b64),
        (ijson.parse_b64url, ijson.encode_b64url),
    ):
        try:
            data = parse(text)
        except Base64Error:
            continue
        assert encode(data) == text


@pytest.mark.parametrize(
    "text", ["QQ", "QR==", "Q===", "QQ==\n", "QQ=", "Q-==", "QUE", "A", "QQ==QQ=="]
)
def test_base64_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(Base64Error):
        ijson.parse_b64(text)


@pytest.mark.parametrize("text", ["QR", "QQ==", "Q", "Q+", "QQ\n", "QUF"])
def test_base64url_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(Base64Error):
        ijson.parse_b64url(text)


def test_another_length_is_refused() -> None:
    with pytest.raises(Base64Error):
        ijson.parse_b64("QUE=", 3)
    with pytest.raises(Base64Error):
        ijson.parse_b64url("QUE", 1)


@pytest.mark.parametrize(
    "text", ["[" * 500_000, '{"a":' * 200_000, '["' + "\\\\" * 300_000, '["' + '\\"' * 300_000]
)
def test_nesting_is_bounded_whatever_the_process_allows(text: str) -> None:
    """py_ecc raises Python's recursion limit so far that the parser would end the process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(IJsonError):
            ijson.parse(text.encode(), max_bytes=2**20)
        with pytest.raises(IJsonError):
            ijson.parse_many([text.encode()])
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_in_strings_are_not_nesting() -> None:
    text = '["' + "[{" * 20 + '\\"' + "[{" * 20 + '"]'
    assert ijson.parse(text.encode(), max_bytes=1000) == ["[{" * 20 + '"' + "[{" * 20]
