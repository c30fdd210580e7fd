# SPDX-License-Identifier: GPL-3.0-or-later
"""A diary as a spreadsheet: what a cooperative downloads, what it sends back, what it has to mend.

Reading takes XLSX and CSV to the same table of texts, whatever the spreadsheet did to them; each row
is then checked as `anchor.importer` checks it, every cell on its own. Writing makes a template with
value lists and a filled example, and gives wrong rows back with the cells marked.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import xlsxwriter

from anchor.corrections import Finder
from anchor.importer import (
    CODE_COLUMNS,
    HEADING_ROWS,
    CellError,
    DiaryError,
    Entry,
    cells_of,
    check_row,
    columns_of,
    csv_table,
    decode_text,
    heading_at,
    read_row,
)
from anchor.xlsx import MAX_COLUMN, MAX_FILE_BYTES, Rows, SheetError, macros, read_xlsx
from api.words import Wording

MAX_ROWS = 5_000
MAX_CELL_READ = 32_767
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DIARY_ROWS = 1_000
Kind = Literal["crab", "shrimp"]

NAMES: Mapping[str, Wording] = {
    "stage": Wording("Giai đoạn", "Stage"),
    "time": Wording("Thời gian", "Time"),
    "product": Wording("Sản phẩm", "Product"),
    "gtin": Wording("GTIN", "GTIN"),
    "lot": Wording("Lô", "Lot"),
    "serial": Wording("Số sê-ri", "Serial"),
    "quantity": Wording("Số lượng", "Quantity"),
    "unit": Wording("Đơn vị", "Unit"),
    "input_gtin": Wording("GTIN nguồn", "Input GTIN"),
    "input_lot": Wording("Lô nguồn", "Input lot"),
    "input_quantity": Wording("Số lượng nguồn", "Input quantity"),
    "input_unit": Wording("Đơn vị nguồn", "Input unit"),
    "place": Wording("Nơi thực hiện", "Place"),
    "species": Wording("Tên khoa học", "Species"),
    "hatchery": Wording("Trại giống", "Hatchery"),
    "method": Wording("Cách thực hiện", "Method"),
    "customer": Wording("Khách hàng", "Customer"),
    "document": Wording("Chứng từ", "Document"),
    "vehicle": Wording("Phương tiện", "Vehicle"),
    "recorded_by": Wording("Người ghi", "Recorded by"),
    "phone": Wording("Điện thoại", "Phone"),
    "note": Wording("Ghi chú", "Note"),
    "corrects": Wording("Sửa bản ghi", "Corrects"),
}
MEND = Wording("Cần sửa", "Mend")
STAGE_LIST = ("Thả giống", "Thu hoạch", "Đóng gói", "Xuất hàng")
UNIT_LIST = ("kg", "con", "thùng")
SPECIES: Mapping[Kind, tuple[str, ...]] = {
    "crab": ("Scylla paramamosain", "Scylla serrata", "Scylla olivacea"),
    "shrimp": ("Penaeus monodon", "Litopenaeus vannamei"),
}
# Products of the filled example by stage, and their numbers: 0952 is GS1's for demonstrations.
_EXAMPLES: Mapping[Kind, tuple[str, str, str]] = {
    "crab": ("Cua giống (mẫu)", "Cua thịt (mẫu)", "Cua hộp (mẫu)"),
    "shrimp": ("Tôm giống (mẫu)", "Tôm nguyên liệu (mẫu)", "Tôm hộp (mẫu)"),
}
_GTINS = ("09520001000010", "09520001000027", "09520001000034")


@dataclass(frozen=True)
class Row:
    """One row of a diary: its number in the file, its cells as sent, and what they are worth.

    `wrong` is empty exactly if `entry` is there.
    """

    number: int
    cells: tuple[str, ...]
    wrong: tuple[CellError, ...]
    entry: Entry | None


@dataclass(frozen=True)
class Diary:
    """A table as it was sent: headings as written, rows as (number in the file, cells).

    `finder` looks up the records that rows correct.
    """

    headings: tuple[str, ...]
    table: tuple[tuple[int, tuple[str, ...]], ...]
    finder: Finder | None = field(default=None, compare=False, repr=False)

    @cached_property
    def columns(self) -> list[str]:
        """Which column of the importer each heading is."""
        return columns_of(self.headings)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Every row, checked."""
        return tuple(self._check(number, cells) for number, cells in self.table)

    @property
    def good(self) -> list[Row]:
        """The rows that can go ahead."""
        return [row for row in self.rows if not row.wrong]

    @property
    def bad(self) -> list[Row]:
        """The rows that have to be mended."""
        return [row for row in self.rows if row.wrong]

    def _check(self, number: int, cells: tuple[str, ...]) -> Row:
        try:
            known = cells_of(self.columns, cells)
            wrong = check_row(known, self.finder)
            entry = None if wrong else read_row(known, self.finder)
        except CellError as error:
            wrong, entry = [error], None
        return Row(number, cells, tuple(wrong), entry)

    def only(self, rows: Iterable[Row]) -> "Diary":
        """The same table with these rows only."""
        table = tuple((row.number, row.cells) for row in rows)
        return Diary(self.headings, table, self.finder)

    def encode(self) -> bytes:
        """Return the table as JSON."""
        return json.dumps([self.headings, self.table], ensure_ascii=False).encode()

    @classmethod
    def decode(cls, data: bytes, finder: Finder | None = None) -> "Diary":
        """Return the table of what `encode` has made."""
        headings, table = json.loads(data)
        rows = tuple((number, tuple(cells)) for number, cells in table)
        return cls(tuple(headings), rows, finder)


# Reading


def read(name: str, data: bytes, finder: Finder | None = None) -> Diary:
    """Return the diary of a file.

    Args:
        name: the file's name; only its ending counts, and its first bytes more than that.
        data: at most 4 MiB.
        finder: looks up the records that rows correct.

    Raises:
        SheetError: no spreadsheet of ours, beyond a limit, or headings that are not a diary's.
    """
    ending = name.rpartition(".")[2].lower()
    if ending in ("xlsm", "xltm", "xlam", "xlsb"):
        raise macros()
    if len(data) > MAX_FILE_BYTES:
        most = MAX_FILE_BYTES // 2**20
        raise SheetError(f"Tệp lớn hơn {most} MiB.", f"The file is larger than {most} MiB.")
    is_csv = ending in ("csv", "txt", "tsv") and not data.startswith(b"PK\x03\x04")
    try:
        diary = _diary(_read_csv(data) if is_csv else read_xlsx(data), finder)
        _ = diary.columns
    except DiaryError as error:
        text = "; ".join(error.complaints[:3])
        raise SheetError(f"{text}.", f"{text}.") from error
    return diary


def _diary(rows: Rows, finder: Finder | None) -> Diary:
    start = heading_at(rows)
    if len(rows) <= start + 1:
        raise SheetError(
            "Bảng không có dòng nào dưới dòng tiêu đề.", "There are no rows below the headings."
        )
    if len(rows) - start - 1 > MAX_ROWS:
        raise SheetError(
            f"Nhiều hơn {MAX_ROWS} dòng: hãy chia thành nhiều tệp.",
            f"More than {MAX_ROWS} rows: split it into several files.",
        )
    headings = [" ".join(cell.split()) for cell in rows[start][1]]
    while headings and not headings[-1]:
        headings.pop()
    if len(headings) > MAX_COLUMN:
        raise SheetError(
            f"Nhiều hơn {MAX_COLUMN} cột.", f"There are more than {MAX_COLUMN} columns."
        )
    table = tuple(
        (number, tuple(cell[:MAX_CELL_READ] for cell in cells))
        for number, cells in rows[start + 1 :]
    )
    return Diary(tuple(headings), table, finder)


def _read_csv(data: bytes) -> Rows:
    rows: Rows = []
    for number, cells in csv_table(decode_text(data)):
        rows.append((number, cells))
        if len(rows) > MAX_ROWS + HEADING_ROWS:
            break
    return rows


# Writing


def template(kind: Kind) -> bytes:
    """Return an XLSX diary to fill in: value lists on its cells, and a filled example beside it."""
    output = io.BytesIO()
    with xlsxwriter.Workbook(output, {"in_memory": True}) as book:
        styles = _styles(book)
        diary = book.add_worksheet("Nhật ký")
        _write_headings(diary, styles, [name.vi for name in NAMES.values()])
        _write_lists(diary, styles, kind)
        example = book.add_worksheet("Ví dụ")
        _write_headings(example, styles, [name.vi for name in NAMES.values()])
        for at, row in enumerate(_example(kind), start=1):
            for column, name in enumerate(NAMES):
                example.write_string(at, column, row.get(name, ""), styles["text"])
        _write_help(book.add_worksheet("Hướng dẫn"), styles, kind)
    return output.getvalue()


def marked(diary: Diary) -> bytes:
    """Return the wrong rows as they were sent, in XLSX, with the cells marked and said why."""
    output = io.BytesIO()
    with xlsxwriter.Workbook(output, {"in_memory": True}) as book:
        styles = _styles(book)
        sheet = book.add_worksheet("Nhật ký")
        kept = [at for at, name in enumerate(diary.columns) if name != "mend"]
        _write_headings(sheet, styles, [*(diary.headings[at] for at in kept), MEND.vi])
        places = {diary.columns[at]: place for place, at in enumerate(kept)}
        for line, row in enumerate(diary.bad, start=1):
            _write_marked(sheet, styles, line, row, kept, places)
    return output.getvalue()


def _write_marked(
    sheet: Any,
    styles: Mapping[str, Any],
    line: int,
    row: Row,
    kept: Sequence[int],
    places: Mapping[str, int],
) -> None:
    said: dict[int, str] = {}
    missing = []
    for error in row.wrong:
        text = f"{error.vi} · {error.en}"
        if error.column in places:
            place = places[error.column]
            said[place] = f"{said[place]}; {text}" if place in said else text
        missing.append(f"{label(error.column).vi}: {text}")
    for place, at in enumerate(kept):
        value = row.cells[at] if at < len(row.cells) else ""
        # Always as text: what a stranger wrote never becomes a formula.
        sheet.write_string(line, place, value, styles["wrong" if place in said else "text"])
        if place in said:
            sheet.write_comment(line, place, said[place])
    sheet.write_string(line, len(kept), "; ".join(missing)[:MAX_CELL_READ], styles["said"])


def label(column: str) -> Wording:
    """Return a column's heading."""
    return NAMES.get(column, Wording(column, column))


def _styles(book: Any) -> dict[str, Any]:
    return {
        "head": book.add_format(
            {"bold": True, "bg_color": "#0D5752", "font_color": "#FFFFFF", "text_wrap": True}
        ),
        # Text, so that a code keeps its zeros and all its digits.
        "text": book.add_format({"num_format": "@"}),
        "time": book.add_format({"num_format": "dd/mm/yyyy hh:mm"}),
        "wrong": book.add_format({"num_format": "@", "bg_color": "#F8C9C0", "border": 1}),
        "said": book.add_format({"num_format": "@", "font_color": "#8A1F11", "text_wrap": True}),
    }


def _write_headings(sheet: Any, styles: Mapping[str, Any], headings: Sequence[str]) -> None:
    for at, heading in enumerate(headings):
        sheet.write_string(0, at, heading, styles["head"])
    sheet.set_column(0, len(headings) - 1, 17)
    sheet.freeze_panes(1, 0)


def _write_lists(sheet: Any, styles: Mapping[str, Any], kind: Kind) -> None:
    lists = {
        "stage": STAGE_LIST,
        "unit": UNIT_LIST,
        "input_unit": UNIT_LIST,
        "species": SPECIES[kind],
    }
    for at, name in enumerate(NAMES):
        if name in CODE_COLUMNS or name in ("phone", "corrects"):
            sheet.set_column(at, at, 17, styles["text"])
        elif name == "time":
            sheet.set_column(at, at, 17, styles["time"])
        if name in lists:
            sheet.data_validation(
                1,
                at,
                DIARY_ROWS,
                at,
                {"validate": "list", "source": list(lists[name]), "ignore_blank": True},
            )


def _example(kind: Kind) -> list[dict[str, str]]:
    seed, grown, boxed = _EXAMPLES[kind]
    pond = "Ao 01, ấp Mẫu, xã Tân Ân, tỉnh Cà Mau (mẫu)"
    person = {"recorded_by": "Trần Thị Ví Dụ", "phone": "0900 000 002 (số mẫu)"}
    first = {"species": SPECIES[kind][0], "hatchery": "Trại giống Mẫu (mẫu)", "place": pond}
    return [
        _step(0, "03/03/2026 06:30", seed, 0, "GIONG-01", ("1550", "con"), None, first | person),
        _step(1, "22/07/2026 05:30", grown, 1, "CUA-01", ("32.5", "kg"), (0, "GIONG-01", "98", "con"),
              {"place": pond, "method": "Đặt lú"} | person),
        _step(2, "23/07/2026 09:30", boxed, 2, "HOP-01", ("10", "thùng"), (1, "CUA-01", "30", "kg"),
              person),
        _step(3, "23/07/2026 14:30", boxed, 2, "HOP-01", ("10", "thùng"), None,
              {"customer": "Nhà hàng Mẫu, Hà Nội", "vehicle": "Xe lạnh 69C-000.00 (mẫu)"} | person),
    ]  # fmt: skip


def _step(
    stage: int,
    time: str,
    product: str,
    gtin: int,
    lot: str,
    amount: tuple[str, str],
    made_of: tuple[int, str, str, str] | None,
    more: Mapping[str, str],
) -> dict[str, str]:
    row = {"stage": STAGE_LIST[stage], "time": time, "product": product, "gtin": _GTINS[gtin]}
    row |= {"lot": lot, "quantity": amount[0], "unit": amount[1]}
    if made_of:
        row |= {"input_gtin": _GTINS[made_of[0]], "input_lot": made_of[1]}
        row |= {"input_quantity": made_of[2], "input_unit": made_of[3]}
    return row | dict(more)


_HELP = (
    "Ghi mỗi việc một dòng ở trang “Nhật ký”; trang “Ví dụ” là một nhật ký đã điền.",
    "Bắt buộc: Giai đoạn, Thời gian, Sản phẩm, GTIN, Lô. Thu hoạch và Đóng gói cần thêm Lô nguồn.",
    "Thời gian viết như 31/12/2026 14:30, giờ Việt Nam.",
    "Số lẻ viết bằng dấu phẩy hoặc dấu chấm: 32,5 hoặc 32.5. Đừng viết dấu ngăn hàng nghìn.",
    "GTIN có 14 chữ số (số 0 ở đầu có thể bỏ). Cột mã ở dạng Văn bản để không mất chữ số.",
    "Sửa bản ghi: để trống; chỉ khi dòng này thay cho bản ghi đã gửi sai thì chép vào địa chỉ “Bằng chứng” "
    "của bản ghi đó từ trang sản phẩm. Giữ đúng mã và lô của bản ghi cũ để trang của lô thấy bản sửa.",
    "Người ghi và Điện thoại là thông tin cá nhân: tổ chức có thể nhờ tỉnh đặt là không công khai.",
)


def _write_help(sheet: Any, styles: Mapping[str, Any], kind: Kind) -> None:
    sheet.set_column(0, 0, 100)
    lines = (
        *_HELP,
        f"Giai đoạn: {', '.join(STAGE_LIST)}",
        f"Đơn vị: {', '.join(UNIT_LIST)}",
        f"Tên khoa học: {', '.join(SPECIES[kind])}",
    )
    for at, line in enumerate(lines):
        sheet.write_string(at, 0, line, styles["text"])
