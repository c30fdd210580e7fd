# SPDX-License-Identifier: GPL-3.0-or-later
"""A diary is read as its keeper meant it, or refused with row and column before anything is sent."""

import csv
import io
import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import xlsxwriter

from anchor.corrections import MAX_LOOKUPS, Finder
from anchor.ijson import encode_b64url
from anchor.importer import DiaryError, Entry, cells_of, check_row, plain, read_diary, read_row

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "api" / "sample" / "nhat-ky-cua.csv"
CRAB, BOX = "09520001000027", "09520001000034"
HEADINGS = "Giai đoạn;Thời gian;Sản phẩm;GTIN;Lô;Số lượng;Đơn vị;GTIN nguồn;Lô nguồn"


def one(row: str, headings: str = HEADINGS) -> Entry:
    (entry,) = read_diary("a.csv", f"{headings}\n{row}\n".encode())
    return entry


def refusals(data: str | bytes, name: str = "a.csv") -> tuple[str, ...]:
    with pytest.raises(DiaryError) as caught:
        read_diary(name, data.encode() if isinstance(data, str) else data)
    return caught.value.complaints


def test_the_sample_is_what_its_script_writes() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts/make-sample"], capture_output=True, check=True
    )
    assert made.stdout == SAMPLE.read_bytes()


def test_the_sample_has_200_events_over_four_stages_with_codes() -> None:
    entries = read_diary(SAMPLE.name, SAMPLE.read_bytes())
    stages = [entry.fields["moneo:cte"] for entry in entries]
    assert {s: stages.count(s) for s in set(stages)} == {
        "stocking": 20, "harvest": 60, "packing": 60, "shipping": 60,
    }  # fmt: skip
    assert all(entry.codes and "952" in entry.codes[0].path for entry in entries)
    assert all("mẫu" in entry.fields["moneo:product"] for entry in entries)


def test_a_row_becomes_an_epcis_event_of_its_stage() -> None:
    entry = one(f"Xuất hàng;31/12/2025 00:30;Cua;{BOX};LÔ-1;1,5;kg;;".replace("LÔ", "LO"))
    assert entry.type == "epcis.objectevent"
    assert entry.fields["eventTime"] == "2025-12-30T17:30:00Z"
    assert entry.fields["quantityList"] == [
        {"epcClass": f"https://id.gs1.org/01/{BOX}/10/LO-1", "quantity": 1.5, "uom": "KGM"}
    ]
    assert [code.path for code in entry.codes] == [f"/01/{BOX}/10/LO-1"]


def test_a_transformation_speaks_of_both_its_lots() -> None:
    entry = one(f"dong goi;2026-01-02 10:00;Cua;{BOX};B1;3;thùng;{CRAB};C1")
    assert entry.type == "epcis.transformationevent"
    assert {code.path for code in entry.codes} == {f"/01/{BOX}/10/B1", f"/01/{CRAB}/10/C1"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"nấu;2026-01-02;Cua;{BOX};1;;;;", "'stage'"),
        (f"xuất hàng;hôm qua;Cua;{BOX};1;;;;", "'time'"),
        (f"xuất hàng;2026-01-02;Cua;{BOX[:-1]}5;1;;;;", "'gtin'"),
        (f"xuất hàng;2026-01-02;Cua;{BOX};;;;;", "'lot'"),
        (f"xuất hàng;2026-01-02;Cua;{BOX};1;nhiều;kg;;", "'quantity'"),
        (f"xuất hàng;2026-01-02;Cua;{BOX};1;-1;kg;;", "'quantity'"),
        (f"xuất hàng;2026-01-02;Cua;{BOX};1;2;yến;;", "'unit'"),
        (f"thu hoạch;2026-01-02;Cua;{BOX};1;2;kg;;", "'input_lot'"),
        (f"xuất hàng;2026-01-02;Cua;{BOX};1;2;kg;;;;thừa", "nhiều ô"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(row: str, said: str) -> None:
    (complaint,) = refusals(f"{HEADINGS}\n{row}\n")
    assert "line 2" in complaint
    assert said in complaint


def test_every_wrong_row_is_named_up_to_twenty() -> None:
    assert len(refusals(HEADINGS + "\n" + "nấu;2026-01-02;Cua;1;1\n" * 30)) == 20


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        ("", "a.csv", "missing column"),
        (HEADINGS + "\n", "a.csv", "holds no rows"),
        (HEADINGS + ";Lô\n", "a.csv", "twice"),
        (HEADINGS + ";Màu\n", "a.csv", "“Màu”"),
        (b"\xff\xfe", "a.csv", "missing column"),
        (b"\xff\xfe\x00", "a.csv", "cannot be read"),
        (b"stage\x00", "a.csv", "cannot be read"),
        (b"\x8d", "a.csv", "cannot be read"),
        (b"\xff\xfe", "a.jsonl", "UTF-8"),
        (b"PK\x03\x04", "a.xlsx", "cannot be read"),
        ("x", "a.xls", ".csv"),
        ("[1]\n", "a.jsonl", "object"),
        ('{"type":"Feast"}\n', "a.jsonl", "EPCIS"),
        ('{"type":"ObjectEvent","a":1,"a":2}\n', "a.jsonl", "line 1"),
        ('{"type":"ObjectEvent","epcList":["urn:x"]}\n', "a.jsonl", "epcList"),
        (b"x" * (32 * 1024 * 1024 + 1), "a.csv", "32 MiB"),
    ],
)
def test_a_file_that_is_no_diary_is_refused(data: str | bytes, name: str, said: str) -> None:
    assert said in refusals(data, name)[0]


def test_a_json_line_is_kept_member_by_member() -> None:
    event = {
        "type": "AggregationEvent",
        "eventTime": "2026-01-02T03:04:05Z",
        "childEPCs": [f"https://id.gs1.org/01/{BOX}/21/A1"],
        "x:nested": {"a": [1, None, "ệ"]},
    }
    (entry,) = read_diary("a.jsonl", json.dumps(event).encode())
    assert entry.type == "epcis.aggregationevent"
    assert entry.fields == {k: v for k, v in event.items() if k != "type"}
    assert [code.path for code in entry.codes] == [f"/01/{BOX}/21/A1"]


def test_headings_are_folded_and_a_byte_order_mark_is_met() -> None:
    assert plain("  GIAI  Đoạn ") == "giai doan"
    data = "\ufeffstage,time,product,gtin,lot\nshipping,2026-01-02,Crab," + BOX + ",1\n"
    assert len(read_diary("a.csv", data.encode())) == 1


# What spreadsheets do


def cells(**changed: str) -> dict[str, str]:
    row = {"stage": "Xuất hàng", "time": "23/07/2026", "product": "Cua", "gtin": BOX, "lot": "1"}
    row |= {"quantity": "2", "unit": "kg"} | changed
    return cells_of(list(row), list(row.values()))


@pytest.mark.parametrize(
    ("column", "text", "read"),
    [
        ("gtin", "9520001000034", "9520001000034"),
        ("gtin", "9520001000034.0", "9520001000034"),
        ("gtin", "9520001000034,00", "9520001000034"),
        ("gtin", "9.520001000034E+12", "9520001000034"),
        ("gtin", "9,520001000034E+12", "9520001000034"),
        ("gtin", "'09520001000034", BOX),
        ("gtin", "0952 0001 000034\u00a0", BOX),
        ("gtin", "8.93E+12", "8.93E+12"),
        ("lot", "  HOP\u00a01 \u200b", "HOP 1"),
        ("time", "46226.604166666664", "23/07/2026 14:30:00"),
        ("time", "46226,604166666664", "23/07/2026 14:30:00"),
        ("time", "46226", "23/07/2026 00:00:00"),
        ("time", "12345", "12345"),
        ("time", "99999", "99999"),
        ("quantity", "1.550,5", "1550.5"),
        ("quantity", "1,550.5", "1550.5"),
        ("quantity", "1\u00a0550", "1550"),
        ("quantity", "1 550,25", "1550.25"),
        ("product", "Cua  thi\u0323t\n", "Cua thịt"),
    ],
)
def test_a_habit_with_one_reading_is_put_right(column: str, text: str, read: str) -> None:
    assert cells(**{column: text})[column] == read


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("gtin", "8.93E+12", "mất chữ số"),
        ("gtin", "9,52E+12", "mất chữ số"),
        ("lot", "2.02607E+13", "mất chữ số"),
        ("serial", "1E+20", "mất chữ số"),
        ("quantity", "1.550", "hai cách"),
        ("quantity", "1,550", "hai cách"),
        ("quantity", "1.550.000", "hai cách"),
        ("quantity", "nan", "không phải số"),
        ("quantity", "inf", "không phải số"),
        ("quantity", "1_0", "không phải số"),
        ("quantity", "٣", "không phải số"),
        ("quantity", "0", "lớn hơn 0"),
        ("quantity", "1e12", "lớn hơn 0"),
        ("product", "#REF!", "công thức"),
        ("product", "x" * 501, "dài hơn"),
        ("corrects", "x" * 501, "dài hơn"),
        ("corrects", "#REF!", "công thức"),
        ("time", "0001-01-01T00:00:00+23:00", "viết như"),
        ("time", "9999-12-31T23:59:59-23:00", "viết như"),
        ("time", "07/23/2026", "viết như"),
    ],
)
def test_a_habit_with_two_readings_or_none_is_refused(column: str, text: str, said: str) -> None:
    row = cells(**{column: text})
    wrong = check_row(row)
    assert [error.column for error in wrong] == [column] and said in wrong[0].vi
    with pytest.raises(ValueError, match=column):
        read_row(row)


def test_small_fractions_and_many_places_have_one_reading() -> None:
    for text, value in (("0,125", 0.125), ("1.5500", 1.55), ("32,5", 32.5), ("1234567", 1234567)):
        entry = read_row(cells(quantity=text))
        assert entry.fields["quantityList"][0]["quantity"] == value


def test_a_lot_with_signs_that_addresses_encode_is_kept_as_written() -> None:
    assert read_row(cells(lot="A/1%")).codes[0].lot == "A/1%"


def test_every_wrong_cell_of_a_row_is_named() -> None:
    wrong = check_row(cells(stage="x", time="x", gtin="1", quantity="x", unit="x"))
    assert {error.column for error in wrong} == {"stage", "time", "gtin", "quantity", "unit"}
    assert len(wrong) == 5 and all(error.vi and error.en for error in wrong)
    made = check_row(cells(stage="thu hoạch", gtin="1", lot="x" * 30))
    assert [error.column for error in made] == ["gtin", "input_lot"]


@pytest.mark.parametrize("member", ["epcList", "quantityList", "childEPCs"])
@pytest.mark.parametrize("value", [5, "x", {"a": 1}, [[]], [5], [None], True])
def test_odd_shapes_of_an_event_are_refused(member: str, value: object) -> None:
    line = json.dumps({"type": "ObjectEvent", member: value}).encode()
    assert member in refusals(line.decode(), "a.jsonl")[0]
    assert "type" in refusals(json.dumps({"type": [value]}), "a.jsonl")[0]


# How a file is written


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.csv", "utf-8"),
        ("a.csv", "utf-8-sig"),
        ("Văn bản Unicode.txt", "utf-16"),
        ("a.tsv", "utf-16"),
        ("a.csv", "cp1258"),
    ],
)
def test_a_table_is_read_in_the_encodings_that_excel_writes(name: str, encoding: str) -> None:
    row = f"Đóng gói;02/01/2026;Cua thịt;{BOX};B1;3;thùng;{CRAB};C1".replace(";", "\t")
    text = "\r\n".join((HEADINGS.replace(";", "\t"), row, ""))
    if encoding == "cp1258":
        # Windows-1258 writes most tone marks apart, after their letter.
        for mark in "\u0300\u0301\u0303\u0309\u0323":
            for base in "aăâeêioôơuưyAĂÂEÊIOÔƠUƯY":
                text = text.replace(unicodedata.normalize("NFC", base + mark), base + mark)
    (entry,) = read_diary(name, text.encode(encoding))
    assert entry.fields["moneo:product"] == "Cua thịt"
    assert entry.fields["outputQuantityList"][0]["uom"] == "CT"


def test_what_stands_above_the_headings_is_passed_over_and_rows_keep_their_numbers() -> None:
    row = f"xuất hàng;2026-01-02;Cua;{BOX};B1;;;;"
    assert len(read_diary("a.csv", f"sep=;\n{HEADINGS}\n{row}\n".encode())) == 1
    bad = f"sep=;\nNHẬT KÝ 2026;;\n\n{HEADINGS}\n{row}\nnấu{row[9:]}\n"
    assert refusals(bad)[0].startswith("a.csv: dòng · line 6: ")


def test_a_spreadsheet_is_read_as_its_csv_is() -> None:
    made = io.BytesIO()
    rows = list(csv.reader(SAMPLE.read_text("utf-8-sig").splitlines(), delimiter=";"))
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate(rows):
            sheet.write_row(at + 1, 0, row)
    assert read_diary("a.xlsx", made.getvalue()) == read_diary(SAMPLE.name, SAMPLE.read_bytes())


# What a record takes the place of

BATCH = encode_b64url(bytes(range(32)))
LEAVES = bytes(64) + b"\x01" * 32
LEAF = encode_b64url(b"\x01" * 32)


def finder() -> Finder:
    return Finder(lambda batch: LEAVES if batch == BATCH else None)


def correcting(*names: object) -> bytes:
    return json.dumps({"type": "ObjectEvent", "a": 1, "moneo:re": names}).encode()


@pytest.mark.parametrize(
    "name",
    [
        LEAF,
        f"{BATCH}.2",
        f"https://truyxuat.example/v1/records/{BATCH}.2/evidence?lang=vi",
        f"/v1/records/{BATCH}.2",
    ],
)
def test_an_event_says_which_records_it_takes_the_place_of(name: str) -> None:
    (entry,) = read_diary("a.jsonl", correcting(name, name), finder())
    assert entry.re == (b"\x01" * 32,)
    assert entry.fields == {"a": 1}
    headings, row = HEADINGS + ";Sửa bản ghi", f"xuất hàng;2026-01-02;Cua;{BOX};1;;;;"
    diary = f'{headings}\n{row};"{BATCH}.0;{name}, "\n{row};\n'.encode()
    first, second = read_diary("a.csv", diary, finder())
    assert (first.re, second.re) == ((bytes(32), b"\x01" * 32), ())
    assert first.fields == second.fields


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "names no record"),
        ("HOP-1", "names no record"),
        (LEAF[:-1], "names no record"),
        (LEAF[:-1] + "B", "names no record"),
        (f"{BATCH}.02", "names no record"),
        (f"{BATCH}.9999999999", "names no record"),
        (f"{BATCH}.2 x", "names no record"),
        (5, "names no record"),
        (None, "names no record"),
        ([LEAF], "names no record"),
        (f"{BATCH}.3", "no record"),
        (f"{LEAF}.0", "no record"),
    ],
)
def test_what_names_no_record_of_the_writer_is_refused(name: object, said: str) -> None:
    with pytest.raises(DiaryError) as caught:
        read_diary("a.jsonl", b'{"type":"ObjectEvent"}\n' + correcting(name), finder())
    assert "line 2" in str(caught.value) and "moneo:re" in str(caught.value)
    assert said in str(caught.value) and caught.value.record == 1
    if isinstance(name, str) and name:
        (wrong,) = check_row(cells(corrects=name.replace(" ", "")), finder())
        assert wrong.column == "corrects"


def test_a_record_takes_the_place_of_eight_at_most_and_a_diary_looks_up_a_bounded_number() -> None:
    many = [encode_b64url(bytes([n]) * 32) for n in range(9)]
    (entry,) = read_diary("a.jsonl", correcting(*many[:8]))
    assert len(entry.re) == 8
    assert "at most 8" in refusals(correcting(*many), "a.jsonl")[0]
    assert "a list" in refusals('{"type":"ObjectEvent","moneo:re":"x"}', "a.jsonl")[0]
    everything = Finder(lambda _: bytes(32) * (MAX_LOOKUPS + 1))
    for index in range(MAX_LOOKUPS):
        everything.find(BATCH, index)
    everything.find(BATCH, 0)
    with pytest.raises(ValueError, match="split it"):
        everything.find(BATCH, MAX_LOOKUPS)


def test_without_a_place_to_look_only_leaf_hashes_are_taken() -> None:
    assert "leaf hash" in refusals(correcting(f"{BATCH}.2"), "a.jsonl")[0]


def test_a_table_of_a_thousand_columns_is_refused_in_one_sentence() -> None:
    with pytest.raises(DiaryError) as refused:
        read_diary("nhat-ky.csv", b"cot," * 999 + b"cot\n" + b"1," * 999 + b"1\n")
    assert len(refused.value.complaints) == 1 and "1000" in refused.value.complaints[0]
