# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the cells of a spreadsheet file (ECMA-376, Office Open XML) that a stranger made, within limits.

The parts of the zip are first streamed out and counted, whatever their headers claim; only then is
their XML read, event by event, with every count bounded: cells, characters, how far away a cell may
stand. Nothing is held that was not counted. Formulas are never evaluated: the value that the
spreadsheet showed last is taken. Macros, passwords, the format of 1997 and entities are refused.

Ready-made readers believe what a file says of itself: two cells far apart cost one of them 10 GB, and a
long text that many cells share is copied into each. A diary needs text, numbers and dates only.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from xml.parsers import expat

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_PARTS = 200
MAX_DIRECTORY = 64 * 1024
MAX_UNPACKED = 16 * 1024 * 1024
MAX_ELEMENTS = 500_000
MAX_CELLS = 150_000
MAX_ROW = 10_000
MAX_COLUMN = 64
MAX_TEXT = 8 * 1024 * 1024
MAX_MERGES = 5_000
CHUNK = 64 * 1024

ZIP_MAGIC = b"PK\x03\x04"
# The container of .xls, and of any Office file behind a password ([MS-CFB] §2.2).
OLD_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_END = b"PK\x05\x06"
_END_BYTES = 22
_END_64 = b"PK\x06\x07"
_END_64_BYTES = 20
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_NAMESPACES = frozenset(
    {
        "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
        "http://purl.oclc.org/ooxml/spreadsheetml/main",
        "http://schemas.openxmlformats.org/package/2006/relationships",
    }
)
_RELATION = re.compile(r"\S*/relationships id")
# Built-in number formats that show a date or a time (ECMA-376 §18.8.30).
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_DIGITS = 15
_SERIAL_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's times have no zone
_SERIAL_ZERO_1904 = datetime(1904, 1, 1)  # noqa: DTZ001
_MAX_SERIAL = 200_000


class SheetError(ValueError):
    """A file that cannot be taken for a spreadsheet of ours; `vi` and `en` say what to do."""

    def __init__(self, vi: str, en: str) -> None:
        self.vi = vi
        self.en = en
        super().__init__(f"{vi} · {en}")


Rows = list[tuple[int, list[str]]]


def read_xlsx(data: bytes) -> Rows:
    """Return (row number from 1, cells as text) of a file's first sheet, empty rows left out.

    Raises:
        SheetError: not such a file, or beyond one of the limits.
    """
    parts = _unpack(data)
    book = _read_book(parts)
    strings = _Strings()
    if "xl/sharedStrings.xml" in parts:
        _parse(parts["xl/sharedStrings.xml"], strings)
    sheet = _Cells(strings.all, book)
    _parse(parts[book.sheet], sheet)
    return sheet.rows()


# The zip


def _unpack(data: bytes) -> dict[str, bytes]:
    """Return the XML parts of the file by name, having counted every byte of every part."""
    _check_kind(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            infos = package.infolist()
            _check_parts(infos)
            return _stream(package, infos)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise _damaged() from error
    except (ValueError, RuntimeError) as error:
        if isinstance(error, SheetError):
            raise
        raise _damaged() from error


def _check_kind(data: bytes) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise _too_much()
    if data.startswith(OLD_MAGIC):
        raise SheetError(
            "Tệp này là .xls kiểu cũ hoặc có mật khẩu: hãy bỏ mật khẩu và lưu lại dạng .xlsx.",
            "This is an old .xls file or has a password: remove it and save the file as .xlsx.",
        )
    end = data[-_END_BYTES:]
    # No comment, one disk, no zip64: what every spreadsheet program writes, read in one way only.
    if (
        not data.startswith(ZIP_MAGIC)
        or not end.startswith(_END)
        or end[-2:] != b"\0\0"
        or data[-_END_BYTES - _END_64_BYTES :].startswith(_END_64)
    ):
        raise _damaged()
    count = int.from_bytes(end[10:12], "little")
    directory = int.from_bytes(end[12:16], "little")
    if count > MAX_PARTS or directory > MAX_DIRECTORY:
        raise _too_much()


def _check_parts(infos: list[zipfile.ZipInfo]) -> None:
    names = [info.filename.lower() for info in infos]
    if len(names) > MAX_PARTS:
        raise _too_much()
    if len(set(names)) != len(names):
        raise _damaged()
    if any(name.endswith("vbaproject.bin") or "/macrosheets/" in name for name in names):
        raise macros()
    for info in infos:
        if info.flag_bits & 0x1 or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise _damaged()


def _stream(package: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> dict[str, bytes]:
    left = MAX_UNPACKED
    parts: dict[str, bytes] = {}
    for info in infos:
        kept = bytearray()
        keep = info.filename.endswith((".xml", ".rels"))
        with package.open(info) as stream:
            while chunk := stream.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise _too_much()
                if keep:
                    kept += chunk
        if keep:
            parts[info.filename] = bytes(kept)
    if b"macroEnabled" in parts.get("[Content_Types].xml", b""):
        raise macros()
    return parts


# The XML


class _Handler:
    """What one part's events are given to; `name` has no namespace."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Take an element's start."""

    def end(self, name: str) -> None:
        """Take an element's end."""

    def text(self, data: str) -> None:
        """Take characters."""


def _parse(data: bytes, handler: _Handler) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")
    seen = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal seen
        seen += 1
        if seen > MAX_ELEMENTS:
            raise _too_much()
        if local := _local_name(name):
            handler.start(local, attributes)

    def end(name: str) -> None:
        if local := _local_name(name):
            handler.end(local)

    def refuse(*_: Any) -> None:
        raise _damaged()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = handler.text
    # Without a document type there are no entities to expand.
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except SheetError:
        raise
    # The others are for an encoding that nobody knows, or that is none of single bytes.
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise _damaged() from error


@lru_cache(maxsize=256)
def _local_name(name: str) -> str:
    """Return an element's name without its namespace, "" for one that is not of a spreadsheet."""
    namespace, _, local = name.rpartition(" ")
    return local if namespace in _NAMESPACES else ""


@dataclass
class _Book(_Handler):
    """The workbook: its first sheet's part, and how its numbers are to be read."""

    sheet: str = ""
    first: str = ""
    since_1904: bool = False
    targets: dict[str, str] = field(default_factory=dict)
    formats: dict[int, str] = field(default_factory=dict)
    styles: list[int] = field(default_factory=list)
    _in_styles: bool = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "sheet" and not self.first and attributes.get("state", "visible") == "visible":
            self.first = next((v for k, v in attributes.items() if _RELATION.fullmatch(k)), "")
        elif name == "workbookPr":
            self.since_1904 = attributes.get("date1904") in ("1", "true")
        elif name == "Relationship":
            self.targets[attributes.get("Id", "")] = attributes.get("Target", "")
        elif name == "numFmt":
            self.formats[_int(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            self._in_styles = True
        elif name == "xf" and self._in_styles:
            self.styles.append(_int(attributes.get("numFmtId", "0")))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._in_styles = False

    def number(self, text: str, style: str) -> str:
        """Return a number as the sheet's keeper sees it: a date, a code with its zeros, or plain digits."""
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise _damaged() from None
        at = _int(style)
        kind = self.styles[at] if at < len(self.styles) else 0
        code = self.formats.get(kind, "")
        if kind in _DATE_FORMATS or _shows_date(code):
            return self._date(value)
        digits = _plain(value)
        return digits.zfill(len(code)) if code and not code.strip("0") else digits

    def _date(self, days: Decimal) -> str:
        if not days.is_finite() or not 0 <= days < _MAX_SERIAL:
            return _plain(days)
        zero = _SERIAL_ZERO_1904 if self.since_1904 else _SERIAL_ZERO
        moment = zero + timedelta(seconds=round(float(days) * 86_400))
        return moment.strftime("%d/%m/%Y %H:%M:%S")


def _shows_date(code: str) -> bool:
    return bool(re.search("[dmyhs]", _QUOTED.sub("", code.partition(";")[0]), re.IGNORECASE))


def _plain(value: Decimal) -> str:
    """Write a number out, to the 15 digits that a spreadsheet has of it."""
    if not value.is_finite() or value.adjusted() > _DIGITS + 5:
        return str(value)[:40]
    if value.adjusted() < -_DIGITS:
        return "0"
    places = max(0, _DIGITS - 1 - value.adjusted())
    text = f"{value:.{places}f}"
    if "." not in text:
        return text
    text = text.rstrip("0").rstrip(".")
    # Three digits after the point could be taken for thousands; four can't.
    return text + "0" if re.fullmatch(r"-?[0-9]+\.[0-9]{3}", text) else text


def _read_book(parts: Mapping[str, bytes]) -> _Book:
    book = _Book()
    for part in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels"):
        if part not in parts:
            raise _damaged()
        _parse(parts[part], book)
    if "xl/styles.xml" in parts:
        _parse(parts["xl/styles.xml"], book)
    target = book.targets.get(book.first, "")
    book.sheet = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    if book.sheet not in parts:
        raise _damaged()
    return book


class _Strings(_Handler):
    """The shared strings (§18.4.9), without the readings that East Asian text may carry."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._parts: list[str] = []
        self._in_text = False
        self._in_reading = 0

    def start(self, name: str, _attributes: Mapping[str, str]) -> None:
        if name == "si":
            self._parts = []
        elif name == "rPh":
            self._in_reading += 1
        elif name == "t":
            self._in_text = not self._in_reading

    def end(self, name: str) -> None:
        if name == "si":
            self.all.append("".join(self._parts))
        elif name == "rPh":
            self._in_reading -= 1
        elif name == "t":
            self._in_text = False

    def text(self, data: str) -> None:
        if self._in_text:
            self._parts.append(data)


class _Cells(_Handler):
    """One sheet's cells (§18.3.1.4); what is merged is filled down from its first row."""

    def __init__(self, strings: list[str], book: _Book) -> None:
        self._strings = strings
        self._book = book
        self._grid: dict[int, dict[int, str]] = {}
        self._merged: list[tuple[int, int, int]] = []
        self._row = self._column = self._count = self._letters = self._area = 0
        self._kind = self._style = ""
        self._parts: list[str] = []
        self._taking = False
        self._starts: Mapping[str, Callable[[Mapping[str, str]], None]] = {
            "dimension": lambda a: self._range(a.get("ref", "")) and None,
            "row": self._start_row,
            "c": self._start_cell,
            "mergeCell": self._merge,
        }

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if known := self._starts.get(name):
            known(attributes)
        elif name == "v" or (name == "t" and self._kind == "inlineStr"):
            self._taking = True

    def end(self, name: str) -> None:
        if name in ("v", "t"):
            self._taking = False
        elif name == "c":
            self._end_cell()

    def text(self, data: str) -> None:
        if self._taking:
            self._parts.append(data)

    def rows(self) -> Rows:
        """Return the rows that hold something, in order."""
        for column, first, last in self._merged:
            value = self._grid.get(first, {}).get(column, "")
            for row in range(first + 1, last + 1) if value else ():
                self._count_text(value)
                self._grid.setdefault(row, {})[column] = value
        return [
            (number, [cells.get(c, "") for c in range(1, max(cells) + 1)])
            for number, cells in sorted(self._grid.items())
        ]

    def _start_row(self, attributes: Mapping[str, str]) -> None:
        self._row = _int(attributes["r"]) if "r" in attributes else self._row + 1
        self._column = 0
        if not 1 <= self._row <= MAX_ROW:
            raise _far(f"{self._row}")

    def _start_cell(self, attributes: Mapping[str, str]) -> None:
        self._count += 1
        if self._count > MAX_CELLS:
            raise _too_much()
        if "r" in attributes:
            self._column, self._row = _place(attributes["r"])
        else:
            self._column += 1
        if self._column > MAX_COLUMN:
            raise _far(f"{self._column}")
        self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "0")
        self._parts = []

    def _end_cell(self) -> None:
        value = self._value("".join(self._parts))
        self._kind = ""
        if value.strip():
            self._count_text(value)
            self._grid.setdefault(self._row, {})[self._column] = value

    def _value(self, text: str) -> str:
        if self._kind == "s":
            at = _int(text)
            if at >= len(self._strings):
                raise _damaged()
            return self._strings[at]
        if self._kind == "n" and text.strip():
            return self._book.number(text.strip()[:64], self._style)
        return text

    def _count_text(self, text: str) -> None:
        self._letters += len(text)
        if self._letters > MAX_TEXT:
            raise _too_much()

    def _merge(self, attributes: Mapping[str, str]) -> None:
        (left, top), (right, bottom) = self._range(attributes.get("ref", ""))
        self._area += (right - left + 1) * (bottom - top + 1)
        if len(self._merged) >= MAX_MERGES or self._area > MAX_CELLS:
            raise _too_much()
        # What is merged across holds its text in the first column, and the others nothing.
        self._merged.append((left, top, bottom))

    @staticmethod
    def _range(reference: str) -> tuple[tuple[int, int], tuple[int, int]]:
        first, _, last = reference.replace("$", "").partition(":")
        return _place(first), _place(last or first)


def _place(reference: str) -> tuple[int, int]:
    """Return (column, row), both from 1, of a reference such as "B7"."""
    match = _REFERENCE.fullmatch(reference)
    if not match:
        raise _damaged()
    column = 0
    for letter in match[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    row = int(match[2])
    if column > MAX_COLUMN or not 1 <= row <= MAX_ROW:
        raise _far(reference)
    return column, row


def _int(text: str | None) -> int:
    text = (text or "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise _damaged()
    return int(text)


# What is said


def macros() -> SheetError:
    """The error for a workbook that carries programs."""
    return SheetError(
        "Tệp có macro (.xlsm) không được nhận: hãy lưu lại dạng .xlsx không có macro.",
        "A workbook with macros (.xlsm) is not taken: save it as .xlsx, without macros.",
    )


def _damaged() -> SheetError:
    return SheetError(
        "Không đọc được tệp này như một bảng tính .xlsx: hãy mở bằng Excel và lưu lại dạng .xlsx.",
        "This cannot be read as an .xlsx workbook: open it in a spreadsheet and save it as .xlsx.",
    )


def _too_much() -> SheetError:
    return SheetError(
        "Bảng tính lớn quá mức cho phép khi mở ra: hãy bỏ hình và trang thừa, chia thành tệp nhỏ hơn.",
        "Unpacked, the workbook is larger than allowed: remove pictures and other sheets, or split it.",
    )


def _far(where: str) -> SheetError:
    return SheetError(
        f"Có ô nằm quá xa bảng ({where[:20]}): hãy xóa các dòng và cột trống ở xa rồi lưu lại. "
        f"Nhiều nhất {MAX_ROW} dòng và {MAX_COLUMN} cột.",
        f"A cell stands too far away ({where[:20]}): delete far empty rows and columns, save again. "
        f"At most {MAX_ROW} rows and {MAX_COLUMN} columns.",
    )
