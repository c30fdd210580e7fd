# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a diary (CSV or XLSX from a spreadsheet, or JSON Lines) into EPCIS 2.0 shaped events with their codes.

A row is one event of the diary: stocking, harvest, packing or shipping. Headings are Vietnamese
or English, with or without accents. A JSON line is one EPCIS event (EPCIS 2.0 §9, JSON binding), kept
member by member. Nothing is guessed: what cannot be read is refused with its row and column.
"""

import codecs
import csv
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import chain, islice
from typing import Any
from urllib.parse import quote

from anchor import ijson
from anchor.codes import Code, CodeError, from_digital_link, parse_path
from anchor.corrections import CorrectionError, Finder, superseded
from anchor.errors import AnchorError
from anchor.xlsx import SheetError, read_xlsx

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_ROWS = 100_000
MAX_LINE_BYTES = 64 * 1024
# More than twice the columns that there are.
MAX_HEADINGS = 64
MAX_COMPLAINTS = 20
# Above the headings there may be a title.
HEADING_ROWS = 10
# A cell: the 23 columns of a row together stay below what a record may have.
MAX_CELL = 500
CODE_COLUMNS = frozenset({"gtin", "lot", "serial", "input_gtin", "input_lot"})
# ECMA-376 §18.17.3
FORMULA_ERRORS = frozenset(
    {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA"}
)
MAX_QUANTITY = 1e12
# A year outside of these is a slip of the pen, and time zones can't be reckoned at the ends.
FIRST_YEAR, LAST_YEAR = 1900, 9998
ID_HOST = "https://id.gs1.org"
VIETNAM = timezone(timedelta(hours=7))
EVENT_TYPES = frozenset(
    {
        "ObjectEvent",
        "AggregationEvent",
        "TransformationEvent",
        "TransactionEvent",
        "AssociationEvent",
    }
)
# The member of an event that names the records it takes the place of: it becomes `re` lines, and
# no field, which could be withheld.
RE_MEMBER = "moneo:re"
# EPCIS members that name what an event is about, as lists of URIs or of {epcClass, quantity, uom}.
EPC_LISTS = ("epcList", "childEPCs", "inputEPCList", "outputEPCList")
QUANTITY_LISTS = (
    "quantityList",
    "childQuantityList",
    "inputQuantityList",
    "outputQuantityList",
)


class DiaryError(AnchorError):
    """A diary that cannot be read; `complaints` holds one sentence for each row and column at fault.

    `record` is the index of the first record at fault, None where it is the file's.
    """

    def __init__(self, complaints: Sequence[str], record: int | None = None) -> None:
        self.complaints = tuple(complaints)
        self.record = record
        super().__init__("\n".join(complaints))


class CellError(ValueError):
    """One cell of a diary that cannot be read: its column, and why, in both languages."""

    def __init__(self, column: str, vi: str, en: str) -> None:
        self.column = column
        self.vi = vi
        self.en = en
        super().__init__(f"cột · column '{column}': {vi} · {en}")


_Check = Callable[[Mapping[str, str]], object]


@dataclass(frozen=True)
class Entry:
    """One event to be salted: its fields, its leaf type, the codes it speaks of, what it supersedes."""

    fields: Mapping[str, Any]
    type: str
    codes: tuple[Code, ...]
    re: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Stage:
    """How a row of the diary becomes an EPCIS event: event type, CBV 2.0 business step, tracking event."""

    event: str
    step: str
    cte: str
    action: str | None = None


STAGES = {
    "stocking": Stage("ObjectEvent", "commissioning", "stocking", "ADD"),
    "harvest": Stage("TransformationEvent", "commissioning", "harvest"),
    "packing": Stage("TransformationEvent", "packing", "packing"),
    "shipping": Stage("ObjectEvent", "shipping", "shipping", "OBSERVE"),
}
STAGE_NAMES = {
    "stocking": "stocking",
    "tha giong": "stocking",
    "harvest": "harvest",
    "thu hoach": "harvest",
    "packing": "packing",
    "dong goi": "packing",
    "shipping": "shipping",
    "xuat hang": "shipping",
    "giao hang": "shipping",
}
COLUMNS = {
    "stage": ("stage", "giai doan"),
    "time": ("time", "thoi gian", "ngay gio"),
    "product": ("product", "san pham"),
    "gtin": ("gtin", "ma gtin"),
    "lot": ("lot", "so lo", "lo"),
    "serial": ("serial", "so se-ri", "serial con"),
    "quantity": ("quantity", "so luong"),
    "unit": ("unit", "don vi"),
    "input_gtin": ("input gtin", "gtin nguon"),
    "input_lot": ("input lot", "lo nguon"),
    "input_quantity": ("input quantity", "so luong nguon"),
    "input_unit": ("input unit", "don vi nguon"),
    "place": ("place", "noi thuc hien", "ao"),
    "customer": ("customer", "khach hang"),
    "document": ("document", "chung tu"),
    "vehicle": ("vehicle", "phuong tien"),
    "species": ("species", "ten khoa hoc"),
    "hatchery": ("hatchery", "trai giong"),
    "method": ("method", "cach thuc hien"),
    "recorded_by": ("recorded by", "nguoi ghi"),
    "phone": ("phone", "dien thoai"),
    "note": ("note", "ghi chu"),
    "corrects": ("corrects", "sua ban ghi"),
    # What a marked spreadsheet says of a row; it comes back with the row and is no part of it.
    "mend": ("mend", "can sua"),
}
HEADINGS = {heading: column for column, headings in COLUMNS.items() for heading in headings}
REQUIRED = ("stage", "time", "product", "gtin", "lot")
# Members of our own, in the namespace `moneo:`. A person's name and phone stand at the top level, so
# that each can be withheld or erased alone.
OWN_MEMBERS = {
    "product": "moneo:product",
    "place": "moneo:place",
    "customer": "moneo:customer",
    "document": "moneo:document",
    "vehicle": "moneo:vehicle",
    "species": "moneo:scientificName",
    "hatchery": "moneo:hatchery",
    "method": "moneo:method",
    "recorded_by": "moneo:recordedBy",
    "phone": "moneo:phone",
    "note": "moneo:note",
}
UNITS = {"kg": "KGM", "con": "H87", "thung": "CT", "piece": "H87", "case": "CT", "kgm": "KGM"}


def plain(text: str) -> str:
    """Fold a heading or a keyword: lower case, no accents, single spaces ("Giai đoạn" → "giai doan")."""
    folded = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D")).casefold()
    kept = "".join(c for c in folded if not unicodedata.combining(c))
    return " ".join(kept.replace("_", " ").split())


def read_diary(name: str, data: bytes, finder: Finder | None = None) -> list[Entry]:
    """Return the entries of a diary file in its order.

    Args:
        name: the file's name; its ending says the format (`FORMATS`).
        data: the file's bytes; JSON Lines are UTF-8, with or without a byte order mark.
        finder: looks up the records that are corrected by their ids.

    Raises:
        DiaryError: with a sentence for every row that cannot be read (the first twenty).
    """
    if len(data) > MAX_FILE_BYTES:
        raise DiaryError([f"{name}: tệp lớn hơn 32 MiB · the file is larger than 32 MiB: split it"])
    reader = FORMATS.get(name.rpartition(".")[2].lower())
    if reader is None:
        raise DiaryError(
            [f"{name}: cần tệp .xlsx, .csv hoặc .jsonl · a .xlsx, .csv or .jsonl file is needed"]
        )
    try:
        return _collect(name, reader(data, finder))
    except SheetError as error:
        raise DiaryError([f"{name}: {error}"]) from error


# A line's number, and what reads its entry.
_Lines = Iterator[tuple[int, Callable[[], Entry]]]


def _collect(name: str, rows: _Lines) -> list[Entry]:
    entries: list[Entry] = []
    complaints: list[str] = []
    first = None
    for index, (line, read) in enumerate(rows):
        if index >= MAX_ROWS:
            raise DiaryError([f"{name}: quá {MAX_ROWS} dòng · more than {MAX_ROWS} rows: split it"])
        try:
            entries.append(read())
        except (ValueError, AnchorError) as error:
            first = index if first is None else first
            complaints.append(f"{name}: dòng · line {line}: {error}")
            if len(complaints) == MAX_COMPLAINTS:
                break
    if complaints:
        raise DiaryError(complaints, first)
    if not entries:
        raise DiaryError([f"{name}: không có dòng nào · it holds no rows"])
    return entries


# JSON Lines


def _json_rows(data: bytes, finder: Finder | None) -> _Lines:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DiaryError(
            [
                f"byte {error.start} không phải UTF-8: JSON phải là UTF-8 · "
                f"byte {error.start} is not UTF-8, which JSON has to be"
            ]
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, partial(_json_entry, line, finder)


def _json_entry(line: str, finder: Finder | None) -> Entry:
    event = ijson.parse(line.encode(), max_bytes=MAX_LINE_BYTES)
    if not isinstance(event, dict):
        raise ValueError("một đối tượng JSON được chờ đợi · a JSON object is expected")
    kind = event.pop("type", None)
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        raise ValueError(
            f"cột · member 'type': {kind!r} không phải sự kiện EPCIS · is no EPCIS event"
        )
    return Entry(event, f"epcis.{kind.lower()}", codes_of(event), _re_of(event, finder))


def _re_of(event: dict[str, Any], finder: Finder | None) -> tuple[bytes, ...]:
    """Take the records that an event corrects out of its members."""
    names = event.pop(RE_MEMBER, [])
    if not isinstance(names, list):
        raise ValueError(f"cột · member '{RE_MEMBER}': cần một danh sách · has to be a list")
    try:
        return superseded(names, finder)
    except CorrectionError as error:
        raise ValueError(f"cột · member '{RE_MEMBER}': {error}") from error


def codes_of(event: Mapping[str, Any]) -> tuple[Code, ...]:
    """Return the trace codes an EPCIS event speaks of: its Digital Link URIs, in order, once each.

    Raises:
        ValueError: a URI that is no Digital Link, or a GTIN with a wrong check digit, by member.
    """
    found: dict[str, Code] = {}
    for member in (*EPC_LISTS, *QUANTITY_LISTS):
        items = event.get(member, [])
        if not isinstance(items, list):
            raise ValueError(f"cột · member '{member}': cần một danh sách · has to be a list")
        for item in items:
            uri = item.get("epcClass") if isinstance(item, dict) else item
            try:
                code = from_digital_link(str(uri))
            except CodeError as error:
                raise ValueError(f"cột · member '{member}': {error}") from error
            found[code.path] = code
    return tuple(found.values())


# Tables


def _csv_rows(data: bytes, finder: Finder | None) -> _Lines:
    return _table_rows(csv_table(decode_text(data)), finder)


def _xlsx_rows(data: bytes, finder: Finder | None) -> _Lines:
    return _table_rows(iter(read_xlsx(data)), finder)


FORMATS: dict[str, Callable[[bytes, Finder | None], _Lines]] = {
    "csv": _csv_rows,
    "txt": _csv_rows,
    "tsv": _csv_rows,
    "xlsx": _xlsx_rows,
    "jsonl": _json_rows,
    "ndjson": _json_rows,
}


def _table_rows(rows: Iterator[tuple[int, list[str]]], finder: Finder | None) -> _Lines:
    top = list(islice(rows, HEADING_ROWS))
    start = heading_at(top)
    columns = columns_of(top[start][1] if top else [])
    for number, row in chain(top[start + 1 :], rows):
        yield number, partial(_table_entry, columns, row, finder)


def _table_entry(columns: Sequence[str], row: Sequence[str], finder: Finder | None) -> Entry:
    return read_row(cells_of(columns, row), finder)


def heading_at(rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    """Return which of a table's first rows holds the headings, 0 if none looks like it."""
    named = (
        at
        for at, (_, cells) in enumerate(rows[:HEADING_ROWS])
        if "stage" in {HEADINGS.get(plain(cell[:64])) for cell in cells}
    )
    return next(named, 0)


def decode_text(data: bytes) -> str:
    """Return the text of a CSV file: UTF-8 or UTF-16 by its mark, UTF-8, else Windows-1258.

    Raises:
        SheetError: it is none of them.
    """
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for name in ("utf-16",) if marked else ("utf-8-sig", "cp1258"):
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise SheetError(
        "Không đọc được chữ trong tệp: hãy lưu lại dạng “CSV UTF-8” hoặc .xlsx.",
        "The file's text cannot be read: save it as “CSV UTF-8” or .xlsx.",
    )


def csv_table(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the lines of a CSV file that are not empty.

    Raises:
        DiaryError: a quote that does not end, or a cell without end.
    """
    first = text.split("\n", 1)[0]
    # A first line by which some spreadsheets tell each other the separator.
    named = first[:4].lower() == "sep="
    # Vietnamese Excel writes semicolons where the decimal sign is a comma.
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row) and not (named and reader.line_num == 1):
                yield reader.line_num, row
    except csv.Error as error:
        raise DiaryError([f"dòng · line {reader.line_num}: {error}"]) from error


def columns_of(headings: Sequence[str]) -> list[str]:
    """Return which columns of `COLUMNS` these headings name, in their order.

    Raises:
        DiaryError: unknown, missing and repeated ones, a sentence each.
    """
    if len(headings) > MAX_HEADINGS:
        raise DiaryError(
            [
                f"bảng có {len(headings)} cột, nhiều nhất {MAX_HEADINGS} · "
                f"the table has {len(headings)} columns, at most {MAX_HEADINGS}"
            ]
        )
    columns = [HEADINGS.get(plain(heading), "") for heading in headings]
    complaints = [
        f"cột · column “{heading[:64]}”: không nhận ra · not known; các cột · columns: "
        f"{', '.join(COLUMNS)}"
        for heading, column in zip(headings, columns, strict=True)
        if not column
    ]
    complaints += [
        f"thiếu cột · missing column: {COLUMNS[name][-1]} ({name})"
        for name in REQUIRED
        if name not in columns
    ]
    complaints += [
        f"cột lặp · column twice: {c}" for c in set(columns) if c and columns.count(c) > 1
    ]
    if complaints:
        raise DiaryError(complaints[:MAX_COMPLAINTS])
    return columns


def cells_of(columns: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """Return the cells of a row that hold something, by column, without spaces round them.

    Raises:
        CellError: there are more cells than headings.
    """
    if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
        raise CellError(columns[-1], "nhiều ô hơn tiêu đề", "more cells than headings")
    cells = {c: _tidy(c, v) for c, v in zip(columns, row, strict=False)}
    return {column: value for column, value in cells.items() if value and column != "mend"}


# What spreadsheets do to a cell without being asked. Only what has one reading is put right here;
# the rest is refused where the cell is read.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_POWER = re.compile(r"([0-9])(?:[.,]([0-9]+))?[eE]\+([0-9]{1,3})", re.ASCII)
_WHOLE = re.compile(r"([0-9]+)[.,]0+", re.ASCII)
_GROUPED = re.compile(
    r"(?:[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+"
    r"|[0-9]{1,3}(?: [0-9]{3})+(?:[.,][0-9]+)?)",
    re.ASCII,
)
_AMBIGUOUS = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{3})+", re.ASCII)
_SERIAL = re.compile(r"[0-9]{5}(?:[.,][0-9]+)?", re.ASCII)
# A serial date counts days from here (ECMA-376 §18.17.4.1): 1900 is taken for a leap year.
_SERIAL_ZERO = datetime(1899, 12, 30, tzinfo=VIETNAM)
_FIRST_SERIAL, _LAST_SERIAL = 20_000, 80_000


def _tidy(column: str, text: str) -> str:
    text = " ".join(unicodedata.normalize("NFC", text.translate(_INVISIBLE)).split())
    mend = _MENDERS.get(column)
    return mend(text) if mend else text


def _tidy_gtin(text: str) -> str:
    """Undo what makes a number of a GTIN: groups, an apostrophe, a fraction of nought, a power of ten."""
    text = text.lstrip("'").replace(" ", "")
    if match := _WHOLE.fullmatch(text):
        return match[1]
    if match := _POWER.fullmatch(text):
        digits, power = match[1] + (match[2] or ""), int(match[3])
        # Only with every digit there is it the same number.
        return digits[: power + 1] if _has_all(digits, power) else text
    return text


def _has_all(digits: str, power: int) -> bool:
    return len(digits) > power and not digits[power + 1 :].strip("0")


def _tidy_number(text: str) -> str:
    if not _GROUPED.fullmatch(text):
        return text
    mark = max(text.rfind(","), text.rfind("."))
    if mark < 0:
        return text.replace(" ", "")
    return "".join(c for c in text[:mark] if c.isdigit()) + "." + text[mark + 1 :]


def _tidy_time(text: str) -> str:
    """Turn the serial number of a date into the date."""
    days = float(text.replace(",", ".")) if _SERIAL.fullmatch(text) else 0.0
    if not _FIRST_SERIAL <= days < _LAST_SERIAL:
        return text
    moment = _SERIAL_ZERO + timedelta(seconds=round(days * 86_400))
    return moment.strftime("%d/%m/%Y %H:%M:%S")


_MENDERS: dict[str, Callable[[str], str]] = {
    "time": _tidy_time,
    "gtin": _tidy_gtin,
    "input_gtin": _tidy_gtin,
    "quantity": _tidy_number,
    "input_quantity": _tidy_number,
}


def read_row(cells: Mapping[str, str], finder: Finder | None = None) -> Entry:
    """Return the entry of one row of a diary.

    Raises:
        CellError: the first cell that cannot be read.
    """
    for error in check_row(cells, finder):
        raise error
    stage = _stage(cells)
    event = _event(stage, cells)
    return Entry(event, f"epcis.{stage.event.lower()}", codes_of(event), _corrects(cells, finder))


def check_row(cells: Mapping[str, str], finder: Finder | None = None) -> list[CellError]:
    """Return what is wrong with a row, every cell on its own; empty if `read_row` takes it."""
    wrong = [CellError(c, "trống", "is empty") for c in REQUIRED if c not in cells]
    missing = {error.column for error in wrong}
    wrong += [error for column in cells if (error := _check_text(column, cells[column]))]
    missing |= {error.column for error in wrong}
    for needs, check in (*_CHECKS, (("corrects",), lambda cells: _corrects(cells, finder))):
        if missing.isdisjoint(needs):
            try:
                check(cells)
            except CellError as error:
                wrong.append(error)
                # What depends on this cell would only say the same again.
                missing.add(error.column)
    return wrong


def _check_text(column: str, text: str) -> CellError | None:
    """What is wrong with a cell whatever it should hold."""
    if len(text) > MAX_CELL:
        return CellError(
            column, f"dài hơn {MAX_CELL} ký tự", f"is longer than {MAX_CELL} characters"
        )
    if text in FORMULA_ERRORS:
        return CellError(column, f"công thức báo lỗi {text}", f"the formula failed: {text}")
    if column in CODE_COLUMNS and _POWER.fullmatch(text) and not text.isdigit():
        return CellError(
            column,
            f"bảng tính đã viết mã thành {text} và làm mất chữ số: đổi cột sang dạng Văn bản (Text) "
            "rồi nhập lại mã",
            f"the spreadsheet wrote the code as {text} and lost digits: format the column as Text, "
            "then type the code again",
        )
    return None


def _stage(cells: Mapping[str, str]) -> Stage:
    name = STAGE_NAMES.get(plain(cells["stage"]))
    if name is None:
        raise CellError(
            "stage",
            f"“{cells['stage'][:64]}” không phải một trong: thả giống, thu hoạch, đóng gói, xuất hàng",
            f"“{cells['stage'][:64]}” is none of: stocking, harvest, packing, shipping",
        )
    return STAGES[name]


def _event(stage: Stage, cells: Mapping[str, str]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "eventTime": _time(cells["time"]),
        "eventTimeZoneOffset": "+07:00",
        "bizStep": stage.step,
        "moneo:cte": stage.cte,
    }
    if stage.action:
        event["action"] = stage.action
    own = _quantity(cells, "")
    if stage.event == "TransformationEvent":
        event["inputQuantityList"] = [_quantity(cells, "input_")]
        event["outputQuantityList"] = [own]
    elif "serial" in cells:
        event["epcList"] = [own["epcClass"]]
    else:
        event["quantityList"] = [own]
    event.update({member: cells[c] for c, member in OWN_MEMBERS.items() if c in cells})
    return event


def _quantity(cells: Mapping[str, str], prefix: str) -> dict[str, Any]:
    item: dict[str, Any] = {"epcClass": _class(cells, prefix)}
    if f"{prefix}quantity" in cells:
        item["quantity"] = _number(cells, prefix)
        item["uom"] = _unit(cells, prefix)
    return item


def _class(cells: Mapping[str, str], prefix: str) -> str:
    gtin = _gtin(cells, prefix)
    for column, key in ((f"{prefix}lot", "10"), ("" if prefix else "serial", "21")):
        if column in cells:
            gtin += f"/{key}/{quote(cells[column], safe='')}"
            _path(column, gtin)
    return ID_HOST + _path(f"{prefix}lot", gtin)


def _gtin(cells: Mapping[str, str], prefix: str) -> str:
    column = f"{prefix}gtin" if f"{prefix}gtin" in cells else "gtin"
    path = f"/01/{cells[column].zfill(14)}"
    _path(column, path)
    return path


def _path(column: str, path: str) -> str:
    try:
        return parse_path(path).path
    except CodeError as error:
        raise CellError(column, error.vi, error.en) from error


def _number(cells: Mapping[str, str], prefix: str) -> int | float:
    column = f"{prefix}quantity"
    text = cells[column]
    try:
        value = float(text.replace(",", ".")) if text.isascii() else math.nan
    except ValueError:
        value = math.nan
    if _AMBIGUOUS.fullmatch(text) and not text.startswith("0"):
        plainly = re.sub("[.,]", "", text)
        raise CellError(
            column,
            f"“{text}” đọc được hai cách: viết {plainly} hoặc thêm một số 0 sau phần lẻ",
            f"“{text}” can be read in two ways: write {plainly}, or one more 0 after the fraction",
        )
    if not math.isfinite(value) or "_" in text:
        raise CellError(column, f"“{text[:64]}” không phải số", f"“{text[:64]}” is no number")
    if not 0 < value < MAX_QUANTITY:
        raise CellError(column, f"“{text[:64]}” phải lớn hơn 0", f"“{text[:64]}” must be above 0")
    return int(value) if value.is_integer() else value


def _unit(cells: Mapping[str, str], prefix: str) -> str:
    column = f"{prefix}unit"
    text = cells.get(column, "")
    unit = UNITS.get(plain(text))
    if unit is None:
        raise CellError(
            column,
            f"“{text[:64]}”: dùng kg, con hoặc thùng",
            f"“{text[:64]}”: use kg, piece or case",
        )
    return unit


def _input_lot(cells: Mapping[str, str]) -> None:
    if _stage(cells).event == "TransformationEvent" and "input_lot" not in cells:
        raise CellError("input_lot", "cần lô nguồn", "the lot it came from is needed")


def _input(cells: Mapping[str, str]) -> None:
    if _stage(cells).event == "TransformationEvent":
        _class(cells, "input_")


def _corrects(cells: Mapping[str, str], finder: Finder | None) -> tuple[bytes, ...]:
    try:
        return superseded(re.findall(r"[^\s,;]+", cells.get("corrects", "")), finder)
    except CorrectionError as error:
        raise CellError("corrects", error.vi, error.en) from error


def _amount(prefix: str, read: Callable[[Mapping[str, str], str], object]) -> _Check:
    return lambda cells: read(cells, prefix) if f"{prefix}quantity" in cells else None


# Which cells a check needs, and the check; those that fail are named on their own.
_CHECKS: tuple[tuple[tuple[str, ...], _Check], ...] = (
    (("stage",), _stage),
    (("time",), lambda cells: _time(cells["time"])),
    (("gtin",), lambda cells: _class(cells, "")),
    (("stage",), _input_lot),
    (("stage", "gtin", "input_lot"), _input),
    ((), _amount("", _number)),
    ((), _amount("", _unit)),
    ((), _amount("input_", _number)),
    ((), _amount("input_", _unit)),
)


TIME_FORMATS = ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def _time(text: str) -> str:
    """Return a time of the diary as RFC 3339 UTC; times without a zone are Vietnam's."""
    moment = _iso_time(text) or _local_time(text)
    if moment is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise CellError(
            "time",
            f"“{text[:64]}”: viết như 31/12/2026 14:30",
            f"“{text[:64]}”: write it like 31/12/2026 14:30",
        )
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=VIETNAM)
    return zoned.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _iso_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if "T" in text else None
    except ValueError:
        return None


def _local_time(text: str) -> datetime | None:
    for pattern in TIME_FORMATS:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=VIETNAM)
        except ValueError:
            continue
    return None
