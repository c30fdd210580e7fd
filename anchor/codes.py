# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives each trace code one spelling, so that the same label always leads to the same records.

GS1 Digital Link URI syntax 1.6, uncompressed, of a GTIN (AI 01) with lot (AI 10) and serial (AI 21):
`/01/{gtin}[/10/{lot}][/21/{serial}]`. Lot and serial are 1 to 20 characters of GS1's set 82
(General Specifications, figure 7.11-1). The canonical path leaves letters, digits and `-._` as they
are (RFC 3986's unreserved characters) and percent-encodes all others with upper-case digits.

Codes of a province's own (TCVN 13275:2020 allows them) are `/c/` and 1 to 8 segments of
unreserved characters.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, urlsplit

from anchor.errors import CodeError

__all__ = [
    "Code",
    "CodeError",
    "Level",
    "check_digit",
    "code_hash",
    "from_digital_link",
    "parse_path",
]

MAX_URL = 2048
HASH_TITLE = b"moneo/code/v1\n"

Level = Literal["gtin", "lot", "serial", "own"]
_KEYS: dict[str, Level] = {"01": "gtin", "10": "lot", "21": "serial"}
_NAMES = {"10": "lô", "21": "số sê-ri"}
_SET_82 = re.compile(r"""[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,20}""")
_OWN = re.compile(r"/c(?:/[A-Za-z0-9._~-]{1,64}){1,8}")
_PRIMARY_KEY = re.compile(r"/01/[0-9]{14}(?=/|$)")
_GTIN = re.compile(r"[0-9]{14}")
# A path that is its own canonical spelling, but for its check digit.
_PLAIN = re.compile(r"/01/([0-9]{14})(?:/10/[A-Za-z0-9_-]{1,20})?(?:/21/[A-Za-z0-9_-]{1,20})?")
_ENCODED = re.compile(r"%(?:[0-9A-Fa-f]{2})?")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]+")
# A URL's parser takes these out of a path, also when their dots are percent-encoded.
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, order=True)
class Code:
    """A trace code by its canonical path. Made by `parse_path` and `from_digital_link`."""

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
    if len(path) > MAX_URL:
        raise CodeError(f"dài hơn {MAX_URL} ký tự", f"longer than {MAX_URL} characters")
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


def from_digital_link(url: str) -> Code:
    """Return the code of an uncompressed GS1 Digital Link, whatever its host; query and fragment are left out.

    Raises:
        CodeError: not http(s), or its path does not end in a code.
    """
    if len(url) > MAX_URL:
        raise CodeError(f"dài hơn {MAX_URL} ký tự", f"longer than {MAX_URL} characters")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise CodeError("không phải địa chỉ URL", f"not a URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise CodeError(
            "mã dạng địa chỉ bắt đầu bằng https:// và tên máy chủ",
            "a Digital Link begins with https:// and a host",
        )
    # A host may keep its codes below a path of its own.
    key = None if parts.path.startswith("/c/") else _PRIMARY_KEY.search(parts.path)
    return parse_path(parts.path[key.start() :] if key else parts.path)


@lru_cache(maxsize=1024)
def check_digit(digits: str) -> str:
    """Return the check digit that GS1's modulo 10 gives for the digits before it."""
    weighted = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return str(-weighted % 10)


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
