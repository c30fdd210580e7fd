# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a diary (CSV from a spreadsheet, or JSON Lines) into EPCIS 2.0 shaped events with their codes.

A CSV row is one event of the diary: stocking, harvest, packing or shipping. Headings are Vietnamese
or English, with or without accents. A JSON line is one EPCIS event (EPCIS 2.0 §9, JSON binding), kept
member by member. Nothing is guessed: what cannot be read is refused with its row and column.
"""

import csv
import io
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from anchor import ijson
from anchor.codes import Code, CodeError, from_digital_link, parse_path
from anchor.errors import AnchorError

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_ROWS = 100_000
MAX_LINE_BYTES = 64 * 1024
MAX_COMPLAINTS = 20
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
# EPCIS members that name what an event is about, as lists of URIs or of {epcClass, quantity, uom}.
EPC_LISTS = ("epcList", "childEPCs", "inputEPCList", "outputEPCList")
QUANTITY_LISTS = (
    "quantityList",
    "childQuantityList",
    "inputQuantityList",
    "outputQuantityList",
)


class DiaryError(AnchorError):
    """A diary that cannot be read; `complaints` holds one sentence for each row and column at fault."""

    def __init__(self, complaints: Sequence[str]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(complaints))


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


def read_diary(name: str, data: bytes) -> list[Entry]:
    """Return the entries of a diary file in its order.

    Args:
        name: the file's name; its ending says the format (.csv, .jsonl, .ndjson).
        data: the file's bytes, UTF-8 with or without a byte order mark.

    Raises:
        DiaryError: with a sentence for every row that cannot be read (the first twenty).
    """
    if len(data) > MAX_FILE_BYTES:
        raise DiaryError([f"{name}: tệp lớn hơn 32 MiB · the file is larger than 32 MiB: split it"])
    readers: dict[str, Callable[[str], Iterator[tuple[int, Callable[[], Entry]]]]] = {
        "csv": _csv_rows,
        "jsonl": _json_rows,
        "ndjson": _json_rows,
    }
    reader = readers.get(name.rpartition(".")[2].lower())
    if reader is None:
        raise DiaryError([f"{name}: cần tệp .csv hoặc .jsonl · a .csv or .jsonl file is needed"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DiaryError(
            [
                f"{name}: byte {error.start} không phải UTF-8; hãy lưu lại dạng “CSV UTF-8” · "
                f"byte {error.start} is not UTF-8: save the sheet as “CSV UTF-8”"
            ]
        ) from error
    return _collect(name, reader(text))


def _collect(name: str, rows: Iterator[tuple[int, Callable[[], Entry]]]) -> list[Entry]:
    entries: list[Entry] = []
    complaints: list[str] = []
    for line, read in rows:
        if len(entries) >= MAX_ROWS:
            raise DiaryError([f"{name}: quá {MAX_ROWS} dòng · more than {MAX_ROWS} rows: split it"])
        try:
            entries.append(read())
        except (ValueError, AnchorError) as error:
            complaints.append(f"{name}: dòng · line {line}: {error}")
            if len(complaints) == MAX_COMPLAINTS:
                break
    if complaints:
        raise DiaryError(complaints)
    if not entries:
        raise DiaryError([f"{name}: không có dòng nào · it holds no rows"])
    return entries


# JSON Lines


def _json_rows(text: str) -> Iterator[tuple[int, Callable[[], Entry]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, lambda line=line: _json_entry(line)  # type: ignore[misc]


def _json_entry(line: str) -> Entry:
    event = ijson.parse(line.encode(), max_bytes=MAX_LINE_BYTES)
    if not isinstance(event, dict):
        raise ValueError("một đối tượng JSON được chờ đợi · a JSON object is expected")
    kind = event.pop("type", None)
    if kind not in EVENT_TYPES:
        raise ValueError(
            f"cột · member 'type': {kind!r} không phải sự kiện EPCIS · is no EPCIS event"
        )
    return Entry(event, f"epcis.{kind.lower()}", codes_of(event))


def codes_of(event: Mapping[str, Any]) -> tuple[Code, ...]:
    """Return the trace codes an EPCIS event speaks of: its Digital Link URIs, in order, once each.

    Raises:
        ValueError: a URI that is no Digital Link, or a GTIN with a wrong check digit, by member.
    """
    found: dict[str, Code] = {}
    for member in (*EPC_LISTS, *QUANTITY_LISTS):
        for item in event.get(member, ()):
            uri = item.get("epcClass") if isinstance(item, dict) else item
            try:
                code = from_digital_link(str(uri))
            except CodeError as error:
                raise ValueError(f"cột · member '{member}': {error}") from error
            found[code.path] = code
    return tuple(found.values())


# CSV


def _csv_rows(text: str) -> Iterator[tuple[int, Callable[[], Entry]]]:
    first = text.split("\n", 1)[0]
    # Vietnamese Excel writes semicolons where the decimal sign is a comma.
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = _columns(next(reader, []))
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, lambda row=row: _csv_entry(_cells(columns, row))  # type: ignore[misc]
    except csv.Error as error:
        raise DiaryError([f"dòng · line {reader.line_num}: {error}"]) from error


def _columns(headings: Sequence[str]) -> list[str]:
    columns = [HEADINGS.get(plain(heading), "") for heading in headings]
    complaints = [
        f"cột · column “{heading}”: không nhận ra · not known; các cột · columns: {', '.join(COLUMNS)}"
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
        raise DiaryError(complaints)
    return columns


def _cells(columns: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    if len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
        raise ValueError("nhiều ô hơn tiêu đề · more cells than headings")
    cells = {c: unicodedata.normalize("NFC", v.strip()) for c, v in zip(columns, row, strict=False)}
    return {column: value for column, value in cells.items() if value}


def _csv_entry(cells: Mapping[str, str]) -> Entry:
    for column in REQUIRED:
        if column not in cells:
            raise ValueError(f"cột · column '{column}': trống · is empty")
    name = STAGE_NAMES.get(plain(cells["stage"]))
    if name is None:
        raise ValueError(
            f"cột · column 'stage': “{cells['stage']}” không phải · is none of: "
            "thả giống, thu hoạch, đóng gói, xuất hàng"
        )
    event = _event(STAGES[name], cells)
    codes = codes_of(event)
    return Entry(event, f"epcis.{STAGES[name].event.lower()}", codes)


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
        if "input_lot" not in cells:
            raise ValueError(
                "cột · column 'input_lot': cần lô nguồn · the lot it came from is needed"
            )
        event["inputQuantityList"] = [_quantity(cells, "input_")]
        event["outputQuantityList"] = [own]
    elif "serial" in cells:
        event["epcList"] = [own["epcClass"]]
    else:
        event["quantityList"] = [own]
    event.update({member: cells[c] for c, member in OWN_MEMBERS.items() if c in cells})
    return event


def _quantity(cells: Mapping[str, str], prefix: str) -> dict[str, Any]:
    gtin = cells.get(f"{prefix}gtin", cells["gtin"])
    path = f"/01/{gtin.zfill(14)}/10/{cells[f'{prefix}lot']}"
    if not prefix and "serial" in cells:
        path += f"/21/{cells['serial']}"
    try:
        item: dict[str, Any] = {"epcClass": ID_HOST + parse_path(path).path}
    except CodeError as error:
        raise ValueError(f"cột · column '{prefix}gtin', '{prefix}lot': {error}") from error
    if amount := cells.get(f"{prefix}quantity"):
        item["quantity"] = _number(f"{prefix}quantity", amount)
        item["uom"] = _unit(f"{prefix}unit", cells.get(f"{prefix}unit", ""))
    return item


def _number(column: str, text: str) -> int | float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(
            f"cột · column '{column}': “{text}” không phải số · is no number"
        ) from None
    if not 0 < value < 1e12:
        raise ValueError(f"cột · column '{column}': “{text}” phải lớn hơn 0 · must be above 0")
    return int(value) if value.is_integer() else value


def _unit(column: str, text: str) -> str:
    unit = UNITS.get(plain(text))
    if unit is None:
        raise ValueError(f"cột · column '{column}': “{text}”: dùng · use kg, con, thùng (case)")
    return unit


TIME_FORMATS = ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def _time(text: str) -> str:
    """Return a time of the diary as RFC 3339 UTC; times without a zone are Vietnam's."""
    moment = _iso_time(text) or _local_time(text)
    if moment is None:
        raise ValueError(
            f"cột · column 'time': “{text}”: viết như · write it like 31/12/2026 14:30"
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
