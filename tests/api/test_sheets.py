# SPDX-License-Identifier: GPL-3.0-or-later
"""A spreadsheet of a stranger is read as its keeper sees it, or refused before it costs anything."""

import io
import tracemalloc
import zipfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.xlsx import MAX_PARTS, MAX_UNPACKED, SheetError, read_xlsx
from api import sheets
from api.sheets import Diary

GTIN = "09520001000034"
HEADINGS = ("Giai đoạn", "Thời gian", "Sản phẩm", "GTIN", "Lô", "Số lượng", "Đơn vị")
ROW = ("Xuất hàng", "23/07/2026 14:30", "Cua (mẫu)", GTIN, "HOP-1", "10", "thùng")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TEMPLATE = sheets.template("crab")
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"


def book(fill: Any, **options: Any) -> bytes:
    output = io.BytesIO()
    with xlsxwriter.Workbook(output, {"in_memory": True, **options}) as workbook:
        fill(workbook, workbook.add_worksheet())
    return output.getvalue()


def parts(
    sheet: str = "", strings: str = "", more: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    made = {
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{REL}"><sheets>'
        '<sheet name="a" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{RELS}">'
        '<Relationship Id="rId1" Type="t" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}">{sheet}</worksheet>',
    }
    if strings:
        made["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN}">{strings}</sst>'
    return {**{name: text.encode() for name, text in made.items()}, **(more or {})}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", method) as package:
        for name, data in files.items():
            package.writestr(name, data)
    return output.getvalue()


def refused(data: bytes) -> str:
    with pytest.raises(SheetError) as caught:
        read_xlsx(data)
    assert caught.value.vi and caught.value.en
    return caught.value.en


# As its keeper sees it


def test_what_a_spreadsheet_makes_of_a_diary_is_read_back() -> None:
    def fill(workbook: Any, sheet: Any) -> None:
        date = workbook.add_format({"num_format": "dd/mm/yyyy hh:mm"})
        zeros = workbook.add_format({"num_format": "00000000000000"})
        sheet.merge_range(0, 0, 0, 6, "NHẬT KÝ 2026")
        sheet.write_row(1, 0, HEADINGS)
        sheet.merge_range(2, 0, 3, 0, "Xuất hàng")
        for line in (2, 3):
            sheet.write_datetime(line, 1, datetime(2026, 7, 23, 14, 30), date)  # noqa: DTZ001
            sheet.write(line, 2, " Cua\xa0(mẫu)  ")
            sheet.write_string(line, 6, "thùng")
        sheet.write_number(2, 3, 9520001000034)
        sheet.write_number(3, 3, 9520001000034, zeros)
        sheet.write_number(2, 4, 12)
        sheet.write_formula(3, 4, '=CONCAT("HOP-",1)', None, "HOP-1")
        sheet.write_number(2, 5, 1.125)
        sheet.write_number(3, 5, 0.1 + 0.2)

    diary = sheets.read("a.xlsx", book(fill))
    assert diary.headings == HEADINGS
    assert [row.number for row in diary.rows] == [3, 4] and not diary.bad
    first, second = (row.entry.fields for row in diary.rows if row.entry)
    assert first["eventTime"] == second["eventTime"] == "2026-07-23T07:30:00Z"
    assert first["moneo:product"] == "Cua (mẫu)"
    path = f"https://id.gs1.org/01/{GTIN}/10"
    assert first["quantityList"] == [{"epcClass": f"{path}/12", "quantity": 1.125, "uom": "CT"}]
    assert second["quantityList"] == [{"epcClass": f"{path}/HOP-1", "quantity": 0.3, "uom": "CT"}]


def test_dates_since_1904_are_the_same_dates() -> None:
    def fill(workbook: Any, sheet: Any) -> None:
        date = workbook.add_format({"num_format": 'dd "tháng" mm'})
        sheet.write_datetime(0, 0, datetime(2026, 7, 23, 14, 30), date)  # noqa: DTZ001

    assert read_xlsx(book(fill, date_1904=True)) == [(1, ["23/07/2026 14:30:00"])]
    assert read_xlsx(book(fill)) == [(1, ["23/07/2026 14:30:00"])]


def test_rich_and_inline_text_booleans_and_errors_are_text() -> None:
    strings = "<si><r><t>Cua </t></r><r><t>thịt</t></r><rPh sb='0' eb='1'><t>x</t></rPh></si>"
    sheet = (
        "<sheetData><row><c t='s'><v>0</v></c><c t='inlineStr'><is><t>a</t></is></c>"
        "<c t='b'><v>1</v></c><c t='e'><f>1/0</f><v>#DIV/0!</v></c><c t='str'><v>s</v></c>"
        "<c/><c><v>1E3</v></c></row></sheetData>"
    )
    (row,) = read_xlsx(zipped(parts(sheet, strings)))
    assert row == (1, ["Cua thịt", "a", "1", "#DIV/0!", "s", "", "1000"])


def test_a_formula_is_never_evaluated_nor_written() -> None:
    sheet = "<sheetData><row><c><f>1+1</f></c><c><f>1+1</f><v>7</v></c></row></sheetData>"
    assert read_xlsx(zipped(parts(sheet))) == [(1, ["", "7"])]
    evil = Diary(HEADINGS, ((2, ('=HYPERLINK("http://x")', "@SUM(1)", "+1", "-1", "", "", "")),))
    made = sheets.marked(evil)
    with zipfile.ZipFile(io.BytesIO(made)) as package:
        assert b"<f>" not in package.read("xl/worksheets/sheet1.xml")
        assert not [name for name in package.namelist() if "xternal" in name]
    assert sheets.read("a.xlsx", made).rows[0].cells[0] == '=HYPERLINK("http://x")'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1258"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_csv_is_read_in_every_encoding_that_vietnam_uses(encoding: str, separator: str) -> None:
    import unicodedata

    text = "\r\n".join(separator.join(line) for line in (HEADINGS, ROW)) + "\r\n"
    if encoding == "cp1258":
        # Windows-1258 has letters with their circumflex or horn, and the tone marks apart.
        marks = "\u0300\u0301\u0303\u0309\u0323"
        text = "".join(
            c if not (d := unicodedata.normalize("NFD", c)) or not set(d) & set(marks)
            else unicodedata.normalize("NFC", "".join(x for x in d if x not in marks))
            + "".join(x for x in d if x in marks)
            for c in text
        )  # fmt: skip
    diary = sheets.read("a.csv", text.encode(encoding))
    assert not diary.bad and len(diary.good) == 1
    assert diary.rows[0].entry is not None
    assert diary.rows[0].entry.fields["moneo:product"] == "Cua (mẫu)"


def test_the_line_that_names_the_separator_is_passed_over() -> None:
    text = "sep=;\r\n" + ";".join(HEADINGS) + "\r\n" + ";".join(ROW) + "\r\n"
    assert len(sheets.read("a.csv", text.encode()).good) == 1


def test_only_the_first_visible_sheet_is_read() -> None:
    def fill(workbook: Any, sheet: Any) -> None:
        shown = workbook.add_worksheet()
        shown.write(0, 0, "seen")
        sheet.write(0, 0, "hidden")
        shown.activate()
        shown.set_first_sheet()
        sheet.hide()

    assert read_xlsx(book(fill)) == [(1, ["seen"])]


# Before it costs anything


def bounded(data: bytes) -> str:
    """Refuse a file within 100 MiB."""
    tracemalloc.start()
    try:
        said = refused(data)
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
    return said


def test_two_cells_far_apart_cost_nothing() -> None:
    for far in ("XFD1048576", "A1048576", "XFD1", "BM1", "A10001", "ZZZ9999999"):
        sheet = f"<sheetData><row r='1'><c r='A1'><v>1</v></c><c r='{far}'><v>1</v></c></row></sheetData>"
        assert "too far away" in bounded(zipped(parts(sheet)))
        assert "too far away" in bounded(zipped(parts(f"<dimension ref='A1:{far}'/>")))
        sheet = f"<mergeCells><mergeCell ref='A1:{far}'/></mergeCells>"
        assert "too far away" in bounded(zipped(parts(sheet)))
    assert "too far away" in bounded(zipped(parts("<sheetData><row r='99999999'/></sheetData>")))


def test_a_long_text_that_many_cells_share_is_counted_each_time() -> None:
    strings = f"<si><t>{'x' * 30_000}</t></si>"
    row = "<row>" + "<c t='s'><v>0</v></c>" * 60 + "</row>"
    assert "larger" in bounded(zipped(parts(f"<sheetData>{row * 500}</sheetData>", strings)))
    merged = (
        "<sheetData><row><c t='s'><v>0</v></c></row></sheetData><mergeCells>"
        + "<mergeCell ref='A1:A9999'/>" * 3
        + "</mergeCells>"
    )
    assert "larger" in bounded(zipped(parts(merged, strings)))
    many = "<mergeCells>" + "<mergeCell ref='A1:BL9999'/>" * 4_000 + "</mergeCells>"
    assert "larger" in bounded(zipped(parts(many)))


def test_a_zip_bomb_is_left_where_it_is() -> None:
    bomb = {"xl/media/a.bin": bytes(MAX_UNPACKED + 1)}
    assert "larger" in bounded(zipped(parts(more=bomb)))
    many = {f"xl/media/{n}.xml": bytes(MAX_UNPACKED // 20) for n in range(40)}
    assert "larger" in bounded(zipped(parts(more=many)))
    assert "larger" in bounded(zipped(parts("<a/>" * 500_001)))
    assert "larger" in bounded(zipped(parts(("<row>" + "<c/>" * 60 + "</row>") * 2_501)))
    too_many = {f"{n}.xml": b"" for n in range(MAX_PARTS + 1)}
    assert "larger" in bounded(zipped(too_many))


def test_a_size_that_lies_is_not_believed() -> None:
    data = bytearray(zipped(parts(more={"xl/media/a.bin": bytes(MAX_UNPACKED + 1)})))
    real = (MAX_UNPACKED + 1).to_bytes(4, "little")
    refused(bytes(data.replace(real, (5).to_bytes(4, "little"))))


def test_entities_are_refused() -> None:
    for declared in (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
    ):
        sheet = f'{declared}<worksheet xmlns="{MAIN}"><sheetData/></worksheet>'.encode()
        assert "cannot be read" in bounded(zipped(parts() | {"xl/worksheets/sheet1.xml": sheet}))


def test_macros_are_refused_by_what_the_file_holds() -> None:
    assert "macros" in refused(zipped(parts(more={"xl/vbaProject.bin": b"x"})))
    kind = b'<Types><Override ContentType="application/vnd.ms-excel.sheet.macroEnabled.main+xml"/></Types>'
    assert "macros" in refused(zipped(parts(more={"[Content_Types].xml": kind})))


def test_odd_zips_are_refused() -> None:
    whole = zipped(parts("<sheetData/>"))
    assert read_xlsx(whole) == []
    twice = io.BytesIO(whole)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as package:
        package.writestr("xl/workbook.xml", b"<a/>")
    commented = io.BytesIO(whole)
    with zipfile.ZipFile(commented, "a") as package:
        package.comment = b"x"
    packed = zipped(parts(), zipfile.ZIP_LZMA)
    locked = whole.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    for odd in (twice.getvalue(), commented.getvalue(), packed, locked, whole[:-1], b"x" + whole):
        assert "cannot be read" in refused(odd)
    assert "larger" in refused(whole + bytes(5 * 2**20))


@pytest.mark.parametrize(
    "sheet",
    [
        "<sheetData><row r='0'/></sheetData>",
        "<sheetData><row r='-1'/></sheetData>",
        "<sheetData><row r='x'/></sheetData>",
        "<sheetData><row><c r='1A'/></row></sheetData>",
        "<sheetData><row><c t='s'><v>0</v></c></row></sheetData>",
        "<sheetData><row><c t='s'><v>-1</v></c></row></sheetData>",
        "<sheetData><row><c><v>x</v></c></row></sheetData>",
        "<sheetData><row><c s='x'><v>1</v></c></row></sheetData>",
        "<dimension ref='x'/>",
        "<mergeCells><mergeCell ref=''/></mergeCells>",
        "<sheetData>",
        "&nbsp;",
    ],
)
def test_xml_that_is_wrong_is_refused(sheet: str) -> None:
    refused(zipped(parts(sheet)))


@pytest.mark.parametrize("number", ["1E400", "-5", "NaN", "Infinity", "1E-400", "0", "9" * 60])
def test_odd_numbers_are_text_or_refused_and_never_an_exception(number: str) -> None:
    read_xlsx(zipped(parts(f"<sheetData><row><c><v>{number}</v></c></row></sheetData>")))
    sheet = f"<sheetData><row><c s='0'><v>{number}</v></c></row></sheetData>"
    style = f'<styleSheet xmlns="{MAIN}"><cellXfs><xf numFmtId="14"/></cellXfs></styleSheet>'
    read_xlsx(zipped(parts(sheet, more={"xl/styles.xml": style.encode()})))


@pytest.mark.parametrize("missing", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml"])  # fmt: skip
def test_a_missing_part_is_refused(missing: str) -> None:
    refused(zipped({name: data for name, data in parts().items() if name != missing}))


@settings(max_examples=200)
@given(st.data())
def test_any_bytes_are_read_or_refused(data: st.DataObject) -> None:
    flips: Iterable[tuple[int, int]] = data.draw(
        st.lists(st.tuples(st.integers(0, len(TEMPLATE) - 1), st.integers(0, 255)), max_size=8)
    )
    changed = bytearray(TEMPLATE)
    for at, byte in flips:
        changed[at] = byte
    for name in ("a.xlsx", "a.csv"):
        try:
            sheets.read(name, bytes(changed[: data.draw(st.integers(0, len(changed)))]))
        except SheetError as error:
            assert error.vi


@settings(max_examples=200)
@given(st.lists(st.lists(st.text(max_size=20), max_size=8), max_size=6))
def test_any_table_is_checked_row_by_row(table: list[list[str]]) -> None:
    diary = Diary(HEADINGS, tuple((n, tuple(cells)) for n, cells in enumerate(table)))
    assert len(diary.rows) == len(table)
    assert all(bool(row.wrong) == (row.entry is None) for row in diary.rows)
    sheets.marked(diary)
    assert Diary.decode(diary.encode()) == diary
