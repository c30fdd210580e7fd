# SPDX-License-Identifier: GPL-3.0-or-later
"""A trace code has one spelling, whatever label it came from."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.codes import (
    GS,
    Code,
    check_digit,
    code_hash,
    from_digital_link,
    from_element_string,
    parse_code,
    parse_path,
)
from anchor.errors import CodeError

GTIN = "09521234543213"
SET_82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
components = st.text(SET_82, min_size=1, max_size=20).filter(lambda t: t not in {".", ".."})


def encoded(text: str) -> str:
    return "".join(f"%{ord(c):02x}" for c in text)


@given(components, components)
def test_every_spelling_of_a_code_becomes_one_path(lot: str, serial: str) -> None:
    code = parse_path(f"/01/{GTIN}/10/{encoded(lot)}/21/{encoded(serial)}")
    assert (code.gtin, code.lot, code.serial) == (GTIN, lot, serial)
    assert parse_path(code.path) == code
    assert code.path.isascii()


@given(components, components)
def test_a_scanned_element_string_says_the_same_as_the_path(lot: str, serial: str) -> None:
    text = f"]d201{GTIN}10{lot}{GS}17261122" + f"21{serial}"
    code = from_element_string(text)
    assert (code.gtin, code.lot, code.serial) == (GTIN, lot, serial)
    assert parse_code(code.path) == parse_code(text) == code


def test_a_printed_element_string_says_the_same_as_the_link() -> None:
    link = parse_code(f"https://h.example/01/{GTIN}/10/L%281%29/21/S")
    assert parse_code(f"(01){GTIN}(10)L(1)(21)S") == link


def test_the_set_has_82_characters() -> None:
    assert len(set(SET_82)) == 82


def test_the_canonical_path_leaves_unreserved_characters_alone() -> None:
    assert parse_path(f"/01/{GTIN}/10/a%2db%2FC+%5f").path == f"/01/{GTIN}/10/a-b%2FC%2B_"


def test_levels_go_from_the_narrowest_to_the_widest() -> None:
    code = parse_path(f"/01/{GTIN}/10/L1/21/S1")
    assert [(level, c.path) for level, c in code.levels()] == [
        ("serial", f"/01/{GTIN}/10/L1/21/S1"),
        ("lot", f"/01/{GTIN}/10/L1"),
        ("gtin", f"/01/{GTIN}"),
    ]
    assert [level for level, _ in parse_path(f"/01/{GTIN}/21/S").levels()] == ["serial", "gtin"]
    assert parse_path("/c/camau/ao-12").levels() == [("own", Code("/c/camau/ao-12"))]
    assert parse_path("/c/camau/ao-12").gtin is None


def test_hash_is_over_title_and_path() -> None:
    path = f"/01/{GTIN}"
    expected = hashlib.sha256(b"moneo/code/v1\n" + path.encode()).digest()
    assert code_hash(path) == parse_path(path).hash() == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/01",
        "/01/",
        GTIN,
        f"01/{GTIN}",
        f"/01/{GTIN}/",
        f"/01/{GTIN[:-1]}4",
        "/01/9521234543213",
        "/01/0952123454321٣",
        f"/01/{GTIN}/10",
        f"/01/{GTIN}/10/",
        f"/01/{GTIN}/21/S/10/L",
        f"/01/{GTIN}/10/L/10/L",
        f"/01/{GTIN}/10/L/21/S/17/261122",
        f"/00/{GTIN}",
        f"/01/{GTIN}/10/" + "x" * 21,
        f"/01/{GTIN}/10/cà",
        f"/01/{GTIN}/10/c%C3%A0",
        f"/01/{GTIN}/10/a b",
        f"/01/{GTIN}/10/a%",
        f"/01/{GTIN}/10/a%2",
        f"/01/{GTIN}/10/a%zz",
        f"/01/{GTIN}/10/a%00",
        f"/01/{GTIN}/10/a#b",
        f"/01/{GTIN}/10/.",
        f"/01/{GTIN}/10/%2E%2e",
        f"/01/{GTIN}/10/~",
        "/c/",
        "/c/a/",
        "/c/a/../b",
        "/c/a%20b",
        "/c/" + "/".join("abcdefghi"),
        "/c/" + "x" * 65,
        "/c/" + "x" * 3000,
    ],
)
def test_what_is_no_code_is_refused(path: str) -> None:
    with pytest.raises(CodeError):
        parse_path(path)


def test_a_wrong_check_digit_is_told_with_the_right_one() -> None:
    with pytest.raises(CodeError, match="should end in 3"):
        parse_path(f"/01/{GTIN[:-1]}4")
    assert check_digit(GTIN[:-1]) == "3"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"https://id.gs1.org/01/{GTIN}", f"/01/{GTIN}"),
        (f"http://h:8080/01/{GTIN}/10/01/21/01?17=261122#top", f"/01/{GTIN}/10/01/21/01"),
        (f"https://h/some/01/stem/01/{GTIN}/10/a", f"/01/{GTIN}/10/a"),
        (f"https://h/01/{GTIN}/10/01/21/{GTIN}", f"/01/{GTIN}/10/01/21/{GTIN}"),
        ("https://h/c/ao/12", "/c/ao/12"),
    ],
)
def test_a_digital_link_gives_its_code(url: str, path: str) -> None:
    assert from_digital_link(url).path == path


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://h/01/{GTIN}",
        f"/01/{GTIN}",
        "https://h/",
        "https://h/01/123",
        f"https:///01/{GTIN}",
        "https://[::1/01/2",
        f"https://h/01/{GTIN}/",
        "https://h/" + "x" * 3000,
    ],
)
def test_what_is_no_digital_link_is_refused(url: str) -> None:
    with pytest.raises(CodeError):
        from_digital_link(url)
