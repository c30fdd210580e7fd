# SPDX-License-Identifier: GPL-3.0-or-later
"""A record's leaf stands whatever is shown of it, and one presentation says one thing."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.codes import parse_path
from anchor.errors import RecordError
from anchor.ijson import MAX_INTEGER, encode_b64url
from anchor.record import (
    MAX_FIELDS,
    MAX_RECORD_BYTES,
    Record,
    check_plain,
    check_record,
    open_disclosure,
    parse_record,
    salt,
)
from node.light.merkle import leaf_hash

LOT = parse_path("/01/09521234543213/10/L1")
GTIN = parse_path("/01/09521234543213")
SALT = "A" * 22
HASH = "A" * 43
names = st.text("abcXYZ019_.:@-", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text('aệ😀"\\\n[{'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(names, values, min_size=1, max_size=10)


def record(obj: dict[str, Any] | None = None) -> Record:
    fields = {"kg": 12.5, "person": "Nguyễn Văn A", "pond": "Ao 3"} if obj is None else obj
    return salt(fields, type="epcis.objectevent", mode="live", codes=[LOT, GTIN])


def b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def disclosure(name: Any, value: Any = 1, salted: Any = SALT) -> str:
    return b64url(json.dumps([salted, name, value]).encode())


def presentation(*disclosures: str, lines: str = "") -> bytes:
    shown = "".join(f"{d}~" for d in disclosures)
    return f"moneo/record/v1\ntype a\nmode live\n{lines}~{shown}\n".encode()


@given(objects, st.sets(names), st.sampled_from(["live", "practice"]))
def test_encode_and_parse_are_inverses_and_hiding_keeps_the_leaf(
    obj: dict[str, Any], hidden: set[str], mode: Any
) -> None:
    whole = salt(obj, type="x.y", mode=mode, codes=[LOT], re=[bytes(32)])
    part = whole.hide(hidden)
    for one in (whole, part):
        again = parse_record(one.encode())
        assert again == one
        assert again.encode() == one.encode()
        assert again.leaf() == whole.leaf()
        assert check_record(one.encode()) == (whole.leaf_hash(), (LOT.hash(),))
        fresh = Record(one.type, one.mode, one.re, one.codes, one.hidden, one.disclosures)
        assert fresh.leaf() == whole.leaf()
        assert fresh.fields() == again.fields()
    assert whole.fields() == obj
    assert part.fields() == {name: obj[name] for name in obj if name not in hidden}


def test_the_leaf_is_the_lines_of_the_protocol() -> None:
    first, second = disclosure("a", "é"), disclosure("b")
    text = presentation(first, second, lines=f"re {HASH}\ncode {HASH}\n")
    digests = [b64url(hashlib.sha256(d.encode()).digest()) for d in (first, second)]
    leaf = (
        f"moneo/record/v1\ntype a\nmode live\nre {HASH}\ncode {HASH}\n"
        f"field a {digests[0]}\nfield b {digests[1]}\n"
    ).encode()
    assert parse_record(text).leaf() == leaf
    assert parse_record(text).leaf_hash() == hashlib.sha256(b"\x00" + leaf).digest()
    assert leaf_hash(leaf) == parse_record(text).leaf_hash()


def test_an_independent_reading_of_a_disclosure_agrees() -> None:
    made = record()
    for text, (name, value) in zip(made.disclosures, sorted(made.fields().items()), strict=True):
        salted, *rest = json.loads(urlsafe_b64decode(text + "=="))
        assert rest == [name, value]
        assert len(salted) == 22
        assert open_disclosure(text) == (name, value)


def test_salts_are_never_the_same() -> None:
    fields = {f"f{i}": None for i in range(200)}
    texts = [d for _ in range(5) for d in record(fields).disclosures]
    assert len(set(texts)) == 1000


def test_a_record_with_all_fields_hidden_still_has_its_leaf() -> None:
    made = record()
    hidden = made.hide(made.fields())
    assert hidden.encode().endswith(b"\n~\n")
    assert parse_record(hidden.encode()).leaf_hash() == made.leaf_hash()


def test_codes_and_re_lines_are_sorted_as_text() -> None:
    res = [hashlib.sha256(bytes([i])).digest() for i in range(8)]
    made = salt({"a": 1}, type="a", mode="live", codes=[GTIN, LOT, GTIN], re=res)
    assert len(made.codes) == 2
    for lines in (made.codes, made.re):
        assert [encode_b64url(h) for h in lines] == sorted(encode_b64url(h) for h in lines)


GOOD = presentation(disclosure("a"), lines=f"re {HASH}\ncode {HASH}\n")


def edited(old: bytes, new: bytes) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", 1),
        (b"\n", 1),
        (edited(b"moneo/record/v1", b"moneo/record/v2"), 1),
        (edited(b"type a\n", b""), 2),
        (edited(b"type a", b"type A"), 2),
        (edited(b"type a", b"type " + b"a" * 41), 2),
        (edited(b"type a", b"type "), 2),
        (edited(b"mode live", b"mode dead"), 3),
        (edited(b"mode live\n", b""), 3),
        (edited(b"mode live\n", b"mode live\nmode live\n"), 4),
        (edited(b"re A", b"re B" + b"A"), 4),
        (edited(b"A\ncode", b"B\ncode"), 4),
        (edited(b"\ncode", b" \ncode"), 4),
        (edited(b"code " + b"A" * 43, b"code " + b"A" * 42 + b"="), 5),
        (edited(b"re " + b"A" * 43, b"code " + b"A" * 43).replace(b"~", b"re x\n~", 1), 6),
        (edited(b"\n~", b"\nfield a " + b"A" * 42 + b"\n~"), 6),
        (edited(b"\n~", b"\nother\n~"), 6),
        (edited(b"\n~", b"\n\n~"), 6),
        (edited(b"\n", b"\r\n"), 1),
        (GOOD[:-1], 7),
        (GOOD + b"\n", 7),
        (GOOD + b"~\n", 7),
        (GOOD[:-2] + b"\n", 6),
        (edited(b"\n~", b"\n~~"), 6),
        (edited(b"\n~", b"\n~=~"), 6),
        (presentation(lines="re A\n" * 2), 4),
    ],
)
def test_a_line_that_is_wrong_is_named(text: bytes, line: int) -> None:
    with pytest.raises(RecordError) as caught:
        parse_record(text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        presentation(disclosure("b"), disclosure("a")),
        presentation(disclosure("a"), disclosure("a")),
        presentation(disclosure("a"), disclosure("a", 2)),
        presentation(disclosure("a"), lines=f"field a {HASH}\n"),
        presentation(lines=f"field b {HASH}\nfield a {HASH}\n"),
        presentation(lines=f"field a {HASH}\nfield a {HASH}\n"),
        presentation(lines=f"field a {HASH}\nfield a {HASH[:-1]}E\n"),
        presentation(disclosure("a"), lines=f"re {HASH}\nre {HASH}\n"),
        presentation(disclosure("a"), lines=f"code B{HASH[1:]}\ncode {HASH}\n"),
        presentation(),
        presentation(disclosure("")),
        presentation(disclosure("a b")),
        presentation(disclosure("à")),
        presentation(disclosure("a\n")),
        presentation(disclosure("a" * 65)),
        presentation(disclosure(1)),
        presentation(disclosure(["a"])),
        presentation(disclosure("a", salted="A" * 21)),
        presentation(disclosure("a", salted="A" * 23)),
        presentation(disclosure("a", salted="A" * 21 + "B")),
        presentation(disclosure("a", salted="A" * 21 + "+")),
        presentation(disclosure("a", salted="A" * 22 + "\n")),
        presentation(disclosure("a", salted=None)),
        presentation(b64url(b'["' + SALT.encode() + b'","a"]')),
        presentation(b64url(b'["' + SALT.encode() + b'","a",1,2]')),
        presentation(b64url(b'{"a":1}')),
        presentation(b64url(b'["' + SALT.encode() + b'","a",NaN]')),
        presentation(b64url(b'["' + SALT.encode() + b'","a",9007199254740992]')),
        presentation(b64url(b'["' + SALT.encode() + b'","a",{"x":1,"x":2}]')),
        presentation(b64url(b'["' + SALT.encode() + b'","a","\\ud800"]')),
        presentation(b64url(b'["' + SALT.encode() + b'","a",' + b"[" * 16 + b"]" * 17)),
        presentation(b64url(b'["' + SALT.encode() + b'","a",1'), b64url(b"]")),
        presentation(disclosure("a")[:-1]),
        presentation(disclosure("a") + "A"),
        presentation("A"),
        presentation("AAAAB"),
    ],
)
def test_disclosures_that_are_wrong_are_refused(text: bytes) -> None:
    with pytest.raises(RecordError):
        parse_record(text)
    with pytest.raises(RecordError):
        check_record(text)


def test_trailing_bits_of_a_disclosure_are_refused() -> None:
    good = next(d for d in (disclosure("a", "x" * n) for n in range(3)) if len(d) % 4 == 2)
    parse_record(presentation(good))
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    worse = good[:-1] + other[other.index(good[-1]) + 1]
    with pytest.raises(RecordError, match="base64url"):
        parse_record(presentation(worse))


def test_the_field_at_fault_is_named() -> None:
    bad = b64url(b'["short","pond",1]')
    with pytest.raises(RecordError) as caught:
        parse_record(presentation(disclosure("a"), bad))
    assert caught.value.field == "pond"
    with pytest.raises(RecordError) as caught:
        parse_record(presentation(disclosure("b"), disclosure("a")))
    assert caught.value.field == "a"


def test_counts_up_to_their_bounds_are_accepted_and_beyond_refused() -> None:
    salt({f"f{i:03}": i for i in range(MAX_FIELDS)}, type="a", mode="live", codes=[])
    codes = [parse_path(f"/c/{i}") for i in range(65)]
    res = [bytes([i]) * 32 for i in range(9)]
    salt({"a": 1}, type="a", mode="live", codes=codes[:64], re=res[:8])
    refusals: list[Callable[[], Record]] = [
        lambda: salt({f"f{i:03}": i for i in range(257)}, type="a", mode="live", codes=[]),
        lambda: salt({"a": 1}, type="a", mode="live", codes=codes),
        lambda: salt({"a": 1}, type="a", mode="live", codes=[], re=res),
        lambda: salt({}, type="a", mode="live", codes=[]),
        lambda: salt({"a": "x" * MAX_RECORD_BYTES}, type="a", mode="live", codes=[]),
        lambda: salt({"a": 2**53}, type="a", mode="live", codes=[]),
        lambda: salt({"a": "\ud800"}, type="a", mode="live", codes=[]),
        lambda: salt({"ô": 1}, type="a", mode="live", codes=[]),
        lambda: salt({"a": 1}, type="Á", mode="live", codes=[]),
        lambda: salt({"a": 1}, type="a", mode="other", codes=[]),  # type: ignore[arg-type]
    ]
    for refusal in refusals:
        with pytest.raises(RecordError):
            refusal()


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_other_byte_anywhere_is_refused_or_another_leaf(at: int, byte: int) -> None:
    text = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    try:
        parsed = parse_record(text)
    except RecordError:
        return
    assert parsed.encode() == text
    assert (text == GOOD) == (parsed.leaf() == parse_record(GOOD).leaf())


@given(st.binary(max_size=40), st.integers(0, len(GOOD)), st.integers(0, 60))
def test_any_bytes_are_a_record_or_a_record_error(junk: bytes, at: int, length: int) -> None:
    try:
        parsed = parse_record(GOOD[:at] + junk + GOOD[at + length :])
    except RecordError as error:
        assert str(error)
    else:
        assert parsed.leaf_hash()


# Values as they may be written: what the quick way reads, what it leaves to the parser, and what is none.
VALUES = [
    *(json.dumps(v, ensure_ascii=False) for v in ["Cua Cà Mau", "", 0, -1.5, True, None, [1], {"a": [2]}]),
    r'"\u1ea5 \n \/ \" \\"', r'"\ud83e\udd80"', r'"\ud800"', r'"\ufffe"', r'"\uFDD0"', '"\ufffe"', '"\U0001ffff"',
    '"\ufdd0"', '"\ufdf0"', "1e3", "1E400", "01", "1.", "-", "9007199254740991", "9007199254740992", "1" * 400, "NaN", "tru",
    '"', '"a', '"\t"', '"\x00"', "[", "{}", "[1],2", "[" * 15 + "]" * 15, "[" * 16 + "]" * 16, '{"a":1,"a":2}', " 1", "1 ", "",
]  # fmt: skip
HEADS = ["", f"code {'A' * 43}\n", f"code {'B' * 42}A\ncode {'A' * 43}\n", f"field b {'A' * 43}\n"]


def written(name: str, value: str, salted: str) -> bytes:
    return f'["{salted}","{name}",{value}]'.encode("utf-8", "surrogatepass")


disclosures = st.builds(
    written,
    st.sampled_from(["a", "b", "c", "a b", "\\u0061", "", "moneo:cte"]),
    st.one_of(st.sampled_from(VALUES), st.text(max_size=8)),
    st.sampled_from([SALT, SALT, SALT[:-1] + "B", SALT[1:]]),
)


def agree(texts: list[bytes]) -> bool:
    try:
        expected = [check_record(text) for text in texts]
    except RecordError:
        expected = None
    return check_plain(texts) in (None, expected)


@given(
    st.lists(st.lists(disclosures, max_size=4), min_size=1, max_size=3),
    st.sampled_from(HEADS),
    st.integers(0, 400),
    st.sampled_from(["", "", "=", "+", "~", "B", "\n"]),
)
def test_the_quick_way_says_what_the_careful_one_says_or_nothing(
    records: list[list[bytes]], head: str, at: int, junk: str
) -> None:
    texts = [presentation(*map(b64url, shown), lines=head) for shown in records]
    texts[0] = texts[0][:at] + junk.encode() + texts[0][at:]
    assert agree(texts)


@pytest.mark.parametrize("head", HEADS)
def test_both_ways_agree_on_each_value(head: str) -> None:
    for value in VALUES:
        assert agree([presentation(b64url(written("a", value, SALT)), lines=head)]), value


@pytest.mark.parametrize("value", [*VALUES[:8], VALUES[8]])
def test_the_quick_way_takes_what_people_write(value: str) -> None:
    text = presentation(b64url(written("a", value, SALT)), b64url(written("b", value, SALT)))
    assert check_plain([text, text]) == [check_record(text)] * 2
