# SPDX-License-Identifier: GPL-3.0-or-later
"""`moneo verify` takes what an inspector has, asks no stranger, and says what failed first and what to do."""

import io
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

import moneo
from anchor import photo
from anchor.checking import _KINDS, _MARKS, _SURE
from anchor.codes import parse_code
from anchor.evidence import MAX_EVIDENCE_BYTES, encode_evidence
from anchor.gather import MAX_ASKED, Pages, UnknownCodeError
from anchor.trust import parse_trust
from anchor.wording import _KINDS as KINDS
from tests.support.makeevidence import CRAB_LOT, one_record
from tests.support.photographs import photograph

EVIDENCE = encode_evidence(one_record().evidence)
CODE = parse_code(CRAB_LOT)
ELEMENTS = f"(01){CODE.gtin}(10){CODE.lot}"


class Page(BaseHTTPRequestHandler):
    """A member's page, and one that misbehaves in each way that pages do."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query).get("code", [""])[0]
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if parts.path in ("/evidence.json", "/signed") or (parts.path, asked) == (
            "/v1/evidence",
            CRAB_LOT,
        ):
            self._answer(200, EVIDENCE)
        elif parts.path == "/again":
            self._answer(302, b"", "/evidence.json")
        elif parts.path == "/elsewhere":
            self._answer(302, b"", f"http://127.0.0.2:{self.server.server_port}/evidence.json")  # type: ignore[attr-defined]
        elif parts.path == "/file":
            self._answer(302, b"", "file:///etc/hostname")
        elif parts.path.startswith("/on"):
            self._answer(302, b"", parts.path + "n")
        elif parts.path == "/endless":
            self._answer(200, b" " * (2 * MAX_EVIDENCE_BYTES))
        elif parts.path == "/cut":
            self._answer(200, EVIDENCE, length=len(EVIDENCE) + 1)
        elif parts.path == "/broken":
            self._answer(500, b"")
        else:
            self._answer(404, b"")

    def _answer(
        self, status: int, body: bytes, location: str = "", length: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            return

    def log_message(self, *_: Any) -> None:
        return


@dataclass
class Station:
    """A machine with a pinned trust file, a member's page that it names, and a folder of things to check."""

    folder: Path
    trust: Path
    server: Any
    base: str
    capsys: pytest.CaptureFixture[str]

    def file(self, name: str, data: bytes = EVIDENCE) -> Path:
        """Write a file into the folder."""
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def verify(self, *words: str | Path, status: int = 0) -> str:
        """Run the command; return what it said on both streams."""
        found = moneo.main(["verify", "--trust", str(self.trust), *map(str, words)])
        said = self.capsys.readouterr()
        assert found == status, said
        return said.out + said.err

    def answers(self, *words: str | Path, status: int = 0) -> Any:
        """Run the command for machines; return its JSON."""
        return json.loads(self.verify(*words, "--json", status=status))


@pytest.fixture
def station(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Station]:
    monkeypatch.setenv("MONEO_LANG", "en")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.asked = []  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    host = f"127.0.0.1:{server.server_port}"
    province = one_record().province
    member = replace(province.trust().members[0], hosts=(host, "moneo.example"))
    trust = tmp_path / "trust.json"
    trust.write_bytes(province.trust_file(members=(member,)))
    folder = tmp_path / "truck"
    folder.mkdir()
    yield Station(folder, trust, server, f"http://{host}", capsys)
    server.shutdown()
    thread.join()
    server.server_close()


# Files, folders, standard input -----------------------------------------------------------------------


def test_one_file_is_told_in_sentences(station: Station) -> None:
    said = station.verify(station.file("a.json"), "--code", ELEMENTS)
    assert said.startswith("one validator: the province itself")
    assert f"Code: {CRAB_LOT}" in said


def test_a_folder_is_a_table_with_what_failed_first_and_the_counts_last(station: Station) -> None:
    station.file("a.json")
    station.file("b.json", EVIDENCE.replace(b"moneo/evidence/v1", b"moneo/evidence/v2"))
    (station.folder / "sub").mkdir()
    station.file("sub/z.json", b"{}")
    station.file("trust.json", station.trust.read_bytes())
    station.file("note.txt", b"x")
    said = station.verify(station.folder, status=1)
    assert [said.index(name) for name in ("z.json", "b.json", "a.json")] == sorted(
        said.index(name) for name in ("z.json", "b.json", "a.json")
    )
    assert "1 × no evidence, or damaged" in said
    assert "Fetch the evidence file again" in said
    assert said.splitlines()[-1] == "1 of 3 are proven, 1 are not, 1 could not be told"


def test_machines_read_each_verdict_or_why_there_is_none(station: Station) -> None:
    found = station.answers(station.file("a.json"), station.folder / "absent.json", status=2)
    assert [one.get("proven") for one in found] == [True, None]
    assert "No such file" in found[1]["problem"]


def test_the_status_tells_false_from_unknown(station: Station) -> None:
    good, bad = station.file("a.json"), station.file("b.json", b"{}")
    newer = station.file("c.json", EVIDENCE.replace(b"moneo/evidence/v1", b"moneo/evidence/v2"))
    station.verify(good, good)
    station.verify(good, newer, status=2)
    station.verify(newer, status=2)
    station.verify(newer, bad, good, status=1)
    station.verify(good, "--code", CRAB_LOT + "-other", status=1)


def test_standard_input_is_evidence_or_a_photograph(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (EVIDENCE, photograph(ELEMENTS, symbol="DataMatrix", gs1=True)):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert station.answers("-")[0]["proven"]


def test_an_empty_folder_is_said_to_be_one(station: Station) -> None:
    assert "holds no evidence" in station.verify(station.folder, status=2)


def test_a_file_that_is_too_large_is_refused_by_its_size(station: Station) -> None:
    data = EVIDENCE + b" " * MAX_EVIDENCE_BYTES * 3
    assert (
        station.answers(station.file("a.json", data), status=1)[0]["failure"]["kind"] == "too-large"
    )


def test_what_is_written_in_a_name_stays_text(station: Station) -> None:
    station.file("[red]a\x1b[2Jb.json", b"{}")
    said = station.verify(station.folder, station.file("b.json"), status=1)
    assert "\x1b" not in said
    assert "[red]a" in said


# Addresses ----------------------------------------------------------------------------------------------


def test_the_address_of_evidence_is_fetched(station: Station) -> None:
    assert station.answers(f"{station.base}/evidence.json")[0]["proven"]
    assert station.answers(f"{station.base}/again")[0]["proven"]


def test_the_address_of_a_products_page_leads_to_its_evidence(station: Station) -> None:
    found = station.answers(f"{station.base}{CRAB_LOT}?lang=en")[0]
    assert (found["proven"], found["expect_code"]) == (True, CRAB_LOT)


def test_an_address_that_asks_for_a_code_expects_it(station: Station) -> None:
    other = f"{station.base}/signed?code=/01/09521234543213"
    assert station.answers(other, status=1)[0]["failure"]["kind"] == "mismatch"


@pytest.mark.parametrize("text", [CRAB_LOT, ELEMENTS])
def test_a_code_is_asked_of_the_members(station: Station, text: str) -> None:
    assert station.answers(text)[0]["expect_code"] == CRAB_LOT


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/evidence.json",
        f"https://evil.example{CRAB_LOT}",
        "https://evil.example/01/123",
        "https://moneo.example.evil/x",
        "https://moneo.example:8443/x",
        "https://moneo.example@evil.example/x",
        f"http://127.0.0.2:1{CRAB_LOT}",
    ],
)
def test_a_stranger_is_named_and_not_asked(station: Station, url: str) -> None:
    said = station.verify(url, status=2)
    assert "stranger" in said or "no evidence" in said
    assert urlsplit(url).netloc.rpartition("@")[2] in said
    assert station.server.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://moneo.example/x",
        "ftp://moneo.example/x",
        "file:///etc/passwd",
        "https://",
        "https://[::1/x",
        "https://a_b/x",
    ],
)
def test_only_https_is_asked(station: Station, url: str) -> None:
    assert "https" in station.verify(url, status=2)


def test_a_stranger_is_asked_when_that_is_wanted(station: Station) -> None:
    province = one_record().province
    station.trust.write_bytes(province.trust_file())
    url = f"{station.base}/evidence.json"
    station.verify(url, status=2)
    assert station.answers(url, "--from-stranger")[0]["proven"]


def test_another_page_can_be_asked_for_a_label_of_a_stranger(station: Station) -> None:
    label = f"https://evil.example{CRAB_LOT}"
    assert station.answers(label, "--from", station.base)[0]["proven"]
    station.verify(label, "--from", "https://evil.example", status=2)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("elsewhere", "stranger"),
        ("file", "302"),
        ("on", "does not answer"),
        ("cut", "does not answer"),
        ("broken", "500"),
        ("nothing", "no record"),
    ],
)
def test_an_answer_that_is_none_is_said_to_be_none(station: Station, path: str, said: str) -> None:
    assert said in station.verify(f"{station.base}/{path}", status=2)


def test_an_endless_answer_is_read_no_further_than_evidence_goes(station: Station) -> None:
    found = station.answers(f"{station.base}/endless", status=1)[0]
    assert found["failure"]["kind"] == "too-large"


def test_a_code_that_nobody_has_is_said_to_be_unknown(station: Station) -> None:
    member = replace(parse_trust(station.trust.read_bytes()).members[0], hosts=(station.base[7:],))
    station.trust.write_bytes(one_record().province.trust_file(members=(member,)))
    assert "never have been issued" in station.verify("/01/09521234543213", status=2)


def test_so_many_members_are_asked_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    province = one_record().province
    member = province.trust().members[0]
    members = tuple(
        replace(member, owner=bytes([at]) * 20, name=str(at), hosts=(f"h{at}.example",))
        for at in range(2 * MAX_ASKED)
    )
    asked: list[str] = []

    def nothing(_: Pages, url: str) -> bytes:
        asked.append(url)
        raise UnknownCodeError("", "")

    monkeypatch.setattr(Pages, "fetch", nothing)
    with pytest.raises(UnknownCodeError):
        Pages([province.trust(members=members)]).evidence_of(CODE)
    assert len(asked) == len(set(asked)) == MAX_ASKED


# Photographs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["QRCode", "DataMatrix"])
def test_a_photograph_of_a_label_is_followed(station: Station, kind: str) -> None:
    link = station.file("link.png", photograph(f"{station.base}{CRAB_LOT}", symbol=kind))
    scanned = station.file("gs1.png", photograph(ELEMENTS, symbol=kind, gs1=True))
    found = station.answers(link, scanned)
    assert [(one["proven"], one["expect_code"]) for one in found] == [(True, CRAB_LOT)] * 2


def test_a_photograph_of_a_strangers_label_names_the_stranger(station: Station) -> None:
    for text in (f"https://evil.example{CRAB_LOT}", "https://evil.example/hello"):
        said = station.verify(station.file("a.png", photograph(text)), status=2)
        assert "evil.example is a stranger's" in said


def test_a_photograph_without_a_code_says_how_to_take_one(station: Station) -> None:
    data = io.BytesIO()
    Image.new("RGB", (60, 40)).save(data, "JPEG")
    assert "no QR code" in station.verify(station.file("a.jpg", data.getvalue()), status=2)
    assert "no code" in station.verify(
        station.file("b.png", photograph("hello")), status=2
    ).replace("neither", "no code")


def test_photographs_in_a_folder_are_rows_of_the_table(station: Station) -> None:
    station.file("label.PNG", photograph(ELEMENTS, gs1=True))
    station.file("a.json")
    assert [one["proven"] for one in station.answers(station.folder)] == [True, True]


def announced(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (announced(200_000, 200_000), "megapixels"),
        (announced(12_000, 12_000), "megapixels"),
        (announced(8_001, 8_000), "megapixels"),
        (announced(10, 10), "can't be read"),
        (b"\xff\xd8\xff" + bytes(photo.MAX_PHOTO_BYTES), "MiB"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\xff\xd8\xff", "can't be read"),
        (b"RIFF\0\0\0\0WEBP", "can't be read"),
    ],
    ids=[
        "bomb",
        "beyond-pillows-warning",
        "beyond-ours",
        "no-pixels",
        "long",
        "heic",
        "jpeg",
        "webp",
    ],
)
def test_a_picture_is_bounded_before_it_is_decoded(
    station: Station, data: bytes, said: str
) -> None:
    assert said in station.verify(station.file("a.png", data), status=2)


def test_without_the_extra_the_sentence_says_what_to_install(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    assert "pip install 'moneo[photo]'" in station.verify(
        station.file("a.png", photograph("x")), status=2
    )


def test_every_kind_and_note_has_its_short_words() -> None:
    assert _KINDS.keys() == KINDS["en"].keys()
    assert all(len(words) == 2 for table in (_KINDS, _MARKS, _SURE) for words in table.values())
