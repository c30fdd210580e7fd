# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives each trace code one spelling, so that the same label always leads to the same records.

GS1 Digital Link URI syntax 1.6, uncompressed, of a GTIN (AI 01) with lot (AI 10) and serial (AI 21):
`/01/{gtin}[/10/{lot}][/21/{serial}]`. Lot and serial are 1 to 20 characters of GS1's set 82
(General Specifications, figure 7.11-1). The canonical path leaves letters, digits and `-._` as they
are (RFC 3986's unreserved characters) and percent-encodes all others with upper-case digits.

Codes of a province's own (TCVN 13275:2020 allows them) are `/c/` and 1 to 8 segments of
unreserved characters.

A label carries the path in a Digital Link, or the same three identifiers as a GS1 element string
(General Specifications, sections 3 and 7.8). docs/evidence.md, “Codes”, has the exact rules, since
verifiers in other languages must come to the same code.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

from anchor.errors import CodeError

__all__ = [
    "Code",
    "CodeError",
    "Level",
    "check_digit",
    "code_hash",
    "from_digital_link",
    "from_element_string",
    "parse_code",
    "parse_path",
]

MAX_URL = 2048
HASH_TITLE = b"moneo/code/v1\n"

Level = Literal["gtin", "lot", "serial", "own"]
_KEYS: dict[str, Level] = {"01": "gtin", "10": "lot", "21": "serial"}
_NAMES = {"10": "lô", "21": "số sê-ri"}
_SET_82 = re.compile(r"""[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,20}""")
_OWN = re.compile(r"/c(?:/[A-Za-z0-9._~-]{1,64}){1,8}")
_PRIMARY_KEY = re.compile(r"/01/[0-9]{14}(?=/|\Z)")
# No parser of URLs is asked: on odd ones no two agree.
_LINK = re.compile(
    r"[Hh][Tt][Tt][Pp][Ss]?://[^\0- \x7f\\/?#]+(/[^\0- \x7f\\?#]*)(?:[?#][^\0- \x7f]*)?"
)
GS = "\x1d"
# GS1 element strings: how a reader names the symbol (GS1-128, DataBar, DataMatrix, QR, DotCode), an
# element in its printed form, and the identifiers whose length is set (figure 7.8.5-2), identifier included.
_SYMBOLOGY = re.compile(r"\](?:C1|e0|d2|Q3|J1)")
_BRACKETED = re.compile(r"\(([0-9]{2,4})\)")
_SET_LENGTHS: dict[str, int] = {
    "00": 20, "01": 16, "02": 16, "03": 16, "04": 18,
    **dict.fromkeys(("11", "12", "13", "14", "15", "16", "17", "18", "19"), 8), "20": 4,
    **dict.fromkeys(("31", "32", "33", "34", "35", "36"), 10), "41": 16,
}  # fmt: skip
_ELEMENT = re.compile(r"""[0-9]{2}[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]+""")
_GTIN = re.compile(r"[0-9]{14}")
# A path that is its own canonical spelling, but for its check digit.
_PLAIN = re.compile(r"/01/([0-9]{14})(?:/10/[A-Za-z0-9_-]{1,20})?(?:/21/[A-Za-z0-9_-]{1,20})?")
_ENCODED = re.compile(r"%(?:[0-9A-Fa-f]{2})?")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]+")
# A URL's parser takes these out of a path, also when their dots are percent-encoded.
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, order=True)
class Code:
    """A trace code by its canonical path. Made by `parse_code` and the functions it chooses from."""

    path: str

    @property
    def level(self) -> Level:
        """How narrow it is: gtin, lot, serial, or own for a code that is not GS1's."""
        parts = self.path.split("/")
        return "own" if parts[1] == "c" else _KEYS[parts[-2]]

    @property
    def gtin(self) -> str | None:
        """The 14 digits, or None for a code that is not GS1's."""
        return self._value("01")

    @property
    def lot(self) -> str | None:
        """The lot as printed, or None."""
        return self._value("10")

    @property
    def serial(self) -> str | None:
        """The serial as printed, or None."""
        return self._value("21")

    def levels(self) -> list[tuple[Level, "Code"]]:
        """Return the code and all it lies within, narrowest first: serial, lot, gtin."""
        if self.level == "own":
            return [("own", self)]
        parts = self.path.split("/")
        within = [Code("/".join(parts[:end])) for end in range(len(parts), 1, -2)]
        return [(code.level, code) for code in within]

    def hash(self) -> bytes:
        """Return K of PROTOCOL §1, 32 bytes."""
        return code_hash(self.path)

    def _value(self, key: str) -> str | None:
        parts = self.path.split("/")
        for name, value in zip(parts[1::2], parts[2::2], strict=False):
            if name == key:
                return _decode(value)
        return None


def code_hash(path: str) -> bytes:
    """Return K = SHA-256("moneo/code/v1" LF ‖ canonical path), 32 bytes (PROTOCOL §1)."""
    return hashlib.sha256(HASH_TITLE + path.encode("ascii")).digest()


def parse_path(path: str) -> Code:
    """Return the code of a path, GS1's or a province's own, in its canonical spelling.

    Raises:
        CodeError: another form, a wrong check digit, or characters a code can't have.
    """
    _check_length(path)
    if plain := _PLAIN.fullmatch(path):
        _check_gtin(plain[1])
        return Code(path)
    if path.startswith("/c/"):
        return _parse_own(path)
    parts = path.split("/")
    keys, values = parts[1::2], parts[2::2]
    if (
        parts[0]
        or len(keys) != len(values)
        or keys
        not in (
            ["01"],
            ["01", "10"],
            ["01", "21"],
            ["01", "10", "21"],
        )
    ):
        raise CodeError(
            "cần /01/{gtin}[/10/{lô}][/21/{số}] hoặc /c/{mã riêng}",
            "expected /01/{gtin}[/10/{lot}][/21/{serial}] or /c/{own code}",
        )
    _check_gtin(values[0])
    named = zip(keys[1:], values[1:], strict=True)
    tail = "".join(f"/{key}/{_canonical(key, value)}" for key, value in named)
    return Code(f"/01/{values[0]}{tail}")


def parse_code(text: str) -> Code:
    """Return the code of whatever a label says: a Digital Link, a path, or a GS1 element string.

    Raises:
        CodeError: it is none of them, or what it says is no code.
    """
    if "://" in text:
        return from_digital_link(text)
    return parse_path(text) if text.startswith("/") else from_element_string(text)


def from_digital_link(url: str) -> Code:
    """Return the code of an uncompressed GS1 Digital Link, whatever its host; query and fragment are left out.

    Raises:
        CodeError: not http(s), or its path does not end in a code.
    """
    _check_length(url)
    link = _LINK.fullmatch(url)
    if link is None:
        raise CodeError(
            "mã dạng địa chỉ bắt đầu bằng https:// và tên máy chủ",
            "a Digital Link begins with https:// and a host",
        )
    # A host may keep its codes below a path of its own.
    path = link[1]
    key = None if path.startswith("/c/") else _PRIMARY_KEY.search(path)
    return parse_path(path[key.start() :] if key else path)


def from_element_string(text: str) -> Code:
    """Return the code of a GS1 element string: as scanned, with GS as separator, or printed, `(01)…(10)…`.

    Identifiers other than 01, 10 and 21 are left out.

    Raises:
        CodeError: no element string, without a GTIN, with one of the three twice, or no code.
    """
    _check_length(text)
    elements = list(_elements(text))
    if not elements or not all(_ELEMENT.fullmatch(element) for element in elements):
        raise CodeError(
            "không phải đường dẫn, địa chỉ hay chuỗi GS1 (01)…(10)…",
            "neither a path, nor a Digital Link, nor a GS1 element string (01)…(10)…",
        )
    said = [(element[:2], element[2:]) for element in elements if element[:2] in _KEYS]
    values = dict(said)
    if "01" not in values or len(values) != len(said):
        raise CodeError(
            "chuỗi GS1 cần đúng một GTIN (01), nhiều nhất một lô (10) và một số sê-ri (21)",
            "a GS1 element string needs one GTIN (01), and one lot (10) and serial (21) at most",
        )
    tail = "".join(f"/{key}/{quote(values[key], safe='')}" for key in _NAMES if key in values)
    return parse_path(f"/01/{values['01']}{tail}")


def _elements(text: str) -> Iterator[str]:
    """Yield each element of an element string as identifier and value, without brackets."""
    text = _SYMBOLOGY.sub("", text, count=1) if text.startswith("]") else text
    if text.startswith("("):
        # What stands before the first bracket is empty; then identifiers and values take turns.
        parts = iter(_BRACKETED.split(text))
        yield from ([] if next(parts) == "" else [""])
        for key in parts:
            value = next(parts)
            # Only these two digits mean 01, 10, 21: (010) is another identifier than (01).
            yield f"{key}{value}" if len(key) == 2 else f"99{value}"
        return
    text = text.removeprefix(GS)
    while text:
        length = _SET_LENGTHS.get(text[:2]) or (text + GS).index(GS)
        yield text[:length]
        text = text[length:].removeprefix(GS)


@lru_cache(maxsize=1024)
def check_digit(digits: str) -> str:
    """Return the check digit that GS1's modulo 10 gives for the digits before it."""
    weighted = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return str(-weighted % 10)


def _check_length(text: str) -> None:
    if len(text) > MAX_URL:
        raise CodeError(f"dài hơn {MAX_URL} ký tự", f"longer than {MAX_URL} characters")


def _parse_own(path: str) -> Code:
    if not _OWN.fullmatch(path):
        raise CodeError(
            "mã riêng gồm /c/ và 1 đến 8 đoạn chữ A-Z a-z 0-9 - . _ ~",
            "an own code is /c/ and 1 to 8 segments of A-Z a-z 0-9 - . _ ~",
        )
    if _DOTS & set(path.split("/")):
        raise CodeError(
            "một đoạn chỉ có dấu chấm không dùng được trong địa chỉ",
            "a segment of dots alone can't be part of a URL",
        )
    return Code(path)


def _check_gtin(gtin: str) -> None:
    if not _GTIN.fullmatch(gtin):
        raise CodeError(
            "GTIN ở đây có 14 chữ số (thêm số 0 vào bên trái)",
            f"a GTIN has 14 digits here (pad with zeros on the left), not {gtin[:32]!r}",
        )
    if gtin[-1] != (right := check_digit(gtin[:-1])):
        raise CodeError(
            f"sai chữ số kiểm tra: số cuối phải là {right}",
            f"wrong check digit: {gtin} should end in {right}",
        )


def _canonical(key: str, value: str) -> str:
    text = _decode(value)
    if not _SET_82.fullmatch(text):
        raise CodeError(
            f"{_NAMES[key]} dài 1 đến 20 ký tự trong bộ 82 ký tự của GS1",
            f"a {_KEYS[key]} is 1 to 20 characters of GS1's set 82, not {text[:32]!r}",
        )
    if text in _DOTS:
        raise CodeError(
            f"{_NAMES[key]} chỉ có dấu chấm không dùng được trong địa chỉ",
            f"a {_KEYS[key]} of dots alone can't be part of a URL",
        )
    return quote(text, safe="")


def _decode(segment: str) -> str:
    if segment and not _SEGMENT.fullmatch(segment):
        raise CodeError(
            "có ký tự phải viết dạng %XX",
            f"characters that have to be percent-encoded in {segment[:64]!r}",
        )

    def replace(match: re.Match[str]) -> str:
        if len(match[0]) != 3:
            raise CodeError(
                "ký tự dạng %XX viết thiếu", f"an incomplete percent-encoding in {segment[:64]!r}"
            )
        return chr(int(match[0][1:], 16))

    return _ENCODED.sub(replace, segment)
