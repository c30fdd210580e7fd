# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload page from the outside: who gets in, what is checked, what is sent, what comes back."""

import re
import stat
import time
from html import unescape

import httpx
import pytest

from anchor.xlsx import MAX_FILE_BYTES
from api import sheets
from api.drafts import KEEP_SECONDS, MAX_DRAFTS, Drafts
from api.forms import FormError, parse_form
from api.sheets import NAMES, Diary
from tests.support.site import Browser, Business, Site

HTML = {"Accept": "text/html"}
GTIN = "09520001000034"
HEADINGS = "Giai đoạn;Thời gian;Sản phẩm;GTIN;Lô;Số lượng;Đơn vị;Điện thoại"
GOOD = f"Xuất hàng;23/07/2026 14:30;Cua (mẫu);{GTIN};TAI-1;10;thùng;0900 000 002"
BAD = f"Nấu;hôm qua;Cua (mẫu);{GTIN[:-1]}5;TAI-2;nhiều;yến;"


class Visitor:
    """A browser of its own with cookies, which fills in the forms it is shown."""

    def __init__(self, site: Site) -> None:
        self.browser = Browser(site.browser._portal, site.app)
        self.word = ""

    def open(self, url: str = "/upload", **more: str) -> httpx.Response:
        answer = self.browser.get(url, headers={**HTML, **more})
        if found := re.search(r'name="word" value="([0-9a-f]+)"', answer.text):
            self.word = found[1]
        return answer

    def post(self, url: str, headers: dict[str, str] | None = None, **data: str) -> httpx.Response:
        form = {"word": self.word, **data}
        return self.browser.send("POST", url, data=form, headers={**HTML, **(headers or {})})

    def send(self, name: str, data: bytes, **fields: str) -> httpx.Response:
        form = {"word": self.word, **fields}
        return self.browser.send(
            "POST", "/upload", data=form, files={"file": (name, data)}, headers=HTML
        )

    def sign_in(self, token: str) -> httpx.Response:
        self.open()
        answer = self.post("/upload/sign-in", token=token)
        self.open()
        return answer

    def check(self, name: str, data: bytes, **fields: str) -> str:
        """Send a file to be checked and open the result; returns its address."""
        answer = self.send(name, data, **fields)
        assert answer.status_code == 303, text_of(answer)
        where = answer.headers["location"].partition("?")[0]
        assert self.open(where).status_code == 200
        return where


def text_of(answer: httpx.Response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def csv(*rows: str, headings: str = HEADINGS) -> bytes:
    return "\r\n".join([headings, *rows, ""]).encode()


@pytest.fixture(scope="module")
def coop(site: Site) -> Business:
    made = site.business("HTX Cua", ["/01/0952"], ["moneo:phone"])
    known = made.organisation
    site.province.keep_issuer(known.id, known.issuer, list(known.prefixes), known.name)
    return made


@pytest.fixture(scope="module")
def rival(site: Site) -> Business:
    made = site.business("HTX Tôm", ["/01/0953"])
    known = made.organisation
    site.province.keep_issuer(known.id, known.issuer, list(known.prefixes), known.name)
    return made


@pytest.fixture
def member(site: Site, coop: Business) -> Visitor:
    visitor = Visitor(site)
    visitor.sign_in(coop.token)
    return visitor


def batches(site: Site) -> int:
    return len(site.province.batches_after(0, 1000))


# From the file to the page


def test_a_diary_goes_from_the_browser_to_the_products_page(site: Site, member: Visitor) -> None:
    before = batches(site)
    where = member.check("nhật ký.csv", csv(GOOD, BAD))
    page = member.open(where)
    said = text_of(page)
    assert "1 dòng đúng 1 dòng cần sửa" in said and "nhật ký.csv" in said
    assert "Dòng 2 Xuất hàng · 23/07/2026 14:30 · TAI-1" in said
    assert "Dòng 3" in said and "Giai đoạn" in said and "“Nấu” không phải một trong" in said
    assert batches(site) == before
    answer = member.post(where)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{where}?lang=vi")
    assert batches(site) == before + 1
    sent = member.open(where)
    assert "1 dòng đã gửi" in text_of(sent) and f"/01/{GTIN}/10/TAI-1" in sent.text
    site.app.state.moneo.index.catch_up()
    product = site.browser.get(f"/01/{GTIN}/10/TAI-1", headers=HTML)
    assert "do tỉnh viết thay cho HTX Cua" in text_of(product)
    assert "0900" not in product.text


def test_a_row_corrects_a_record_that_was_sent(
    site: Site, member: Visitor, coop: Business, rival: Business
) -> None:
    where = member.check("a.csv", csv(GOOD.replace("TAI-1", "SUA-1")))
    assert member.post(where).status_code == 303
    wrong = site.province.batches_after(0, 1000)[-1].batch
    link = f"https://truyxuat.example/v1/records/{wrong}.0/evidence"
    row = GOOD.replace("TAI-1", "SUA-1").replace(";10;", ";12;")
    headings = HEADINGS + ";Sửa bản ghi"
    table = csv(f"{row};{link}", f"{row};{wrong}.1", f"{row};HOP-1", headings=headings)
    where = member.check("a.csv", table)
    said = text_of(member.open(where))
    assert "không có bản ghi" in said and "“HOP-1” không phải mã bản ghi" in said
    marked = member.browser.get(f"{where}/can-sua.xlsx").content
    assert len(sheets.read("a.xlsx", marked).rows) == 2
    assert member.post(where).status_code == 303
    old = site.province.presentation(wrong, 0)
    new = site.province.presentation(site.province.batches_after(0, 1000)[-1].batch, 0)
    assert new.re == (old.leaf_hash(),)
    visitor = Visitor(site)
    visitor.sign_in(rival.token)
    assert "không có bản ghi" in text_of(
        visitor.open(visitor.check("a.csv", csv(f"{row};{link}", headings=headings)))
    )


def test_confirming_again_sends_nothing_twice(site: Site, member: Visitor) -> None:
    where = member.check("a.csv", csv(GOOD.replace("TAI-1", "TAI-3")))
    before = batches(site)
    for _ in range(2):
        assert member.post(where).status_code == 303
    assert batches(site) == before + 1


def test_an_answer_that_was_lost_is_made_up_for_by_the_same_request(
    site: Site, member: Visitor, coop: Business
) -> None:
    where = member.check("a.csv", csv(GOOD.replace("TAI-1", "TAI-4")))
    path = next((site.settings.data / "uploads").glob(f"*/{where.rpartition('/')[2]}.json"))
    kept = path.read_bytes()
    assert member.post(where).status_code == 303
    before = batches(site)
    path.write_bytes(kept)
    assert member.post(where).status_code == 303
    assert batches(site) == before


def test_wrong_rows_come_back_marked_and_are_taken_once_mended(site: Site, member: Visitor) -> None:
    where = member.check("a.csv", csv(GOOD, BAD))
    answer = member.open(f"{where}/can-sua.xlsx")
    assert answer.headers["content-type"] == sheets.XLSX_TYPE
    assert 'filename="can-sua.xlsx"' in answer.headers["content-disposition"]
    diary = sheets.read("can-sua.xlsx", answer.content)
    assert diary.headings == (*HEADINGS.split(";"), "Cần sửa")
    (row,) = diary.rows
    assert row.cells[:5] == tuple(BAD.split(";")[:5])
    assert {e.column for e in row.wrong} == {"stage", "time", "gtin", "quantity", "unit"}
    assert "Giai đoạn: “Nấu”" in row.cells[-1] and "Thời gian" in row.cells[-1]
    mended = Diary(diary.headings, ((2, (*GOOD.split(";")[:8], row.cells[-1])),))
    assert not mended.bad and "mend" not in (mended.rows[0].entry or row.entry).fields  # type: ignore[union-attr]


def test_after_sending_only_wrong_rows_are_kept(site: Site, member: Visitor) -> None:
    where = member.check("a.csv", csv(GOOD.replace("0002", "0777"), BAD))
    path = next((site.settings.data / "uploads").glob(f"*/{where.rpartition('/')[2]}.json"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    member.post(where)
    assert b"TAI-1" not in path.read_bytes().replace(b"10/TAI-1", b"")
    assert len(sheets.read("x.xlsx", member.open(f"{where}/can-sua.xlsx").content).rows) == 1


def test_practice_is_a_tick(site: Site, member: Visitor) -> None:
    where = member.check("a.csv", csv(GOOD.replace("TAI-1", "TAI-5")), mode="practice")
    member.post(where)
    (last,) = site.province.batches_after(batches(site) - 1, 1)
    assert last.records()[0].mode == "practice"
    assert "Hồ sơ thử" in text_of(member.open(where))


def test_pages_speak_english_when_asked(site: Site, coop: Business, member: Visitor) -> None:
    answer = member.open("/upload?lang=en")
    assert "Send a production diary" in text_of(answer)
    assert answer.headers["content-language"] == "en"
    where = member.check("a.csv", csv(BAD))
    said = text_of(member.open(f"{where}?lang=en"))
    assert "is none of: stocking" in said and "0 good 1 to mend" in said
    assert "Gửi" not in re.sub(r"Tiếng Việt", "", said)


@pytest.mark.parametrize("kind", ["cua", "tom"])
def test_a_template_and_its_example_are_a_diary(site: Site, kind: str) -> None:
    answer = site.browser.get(f"/upload/nhat-ky-{kind}.xlsx")
    assert answer.status_code == 200 and answer.content.startswith(b"PK")
    example = sheets._example("crab" if kind == "cua" else "shrimp")
    headings = tuple(name.vi for name in NAMES.values())
    rows = tuple((n, tuple(row.get(c, "") for c in NAMES)) for n, row in enumerate(example, 2))
    assert not Diary(headings, rows).bad and len(rows) == 4
    with pytest.raises(ValueError, match="no rows"):
        sheets.read("x.xlsx", answer.content)
    assert site.browser.get("/upload/nhat-ky-ca.xlsx").status_code == 404


def test_pages_run_nothing_and_ask_nobody_else(site: Site, member: Visitor) -> None:
    where = member.check("<b>&.csv", csv(BAD.replace("Nấu", "<script>x</script>")))
    for url in ("/upload", where):
        answer = member.open(url)
        assert "script" not in answer.text.replace("&lt;script&gt;", "").replace("&lt;/script", "")
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "https://" not in answer.text and answer.headers["cache-control"] == "no-store"
        assert len(answer.content) < 100_000


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "mật khẩu"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "mật khẩu"),
        ("a.xlsm", b"PK\x03\x04", "macro"),
        ("a.xlsx", b"PK\x03\x04" + bytes(100), "Không đọc được"),
        ("a.pdf", b"%PDF-1.7", "Không đọc được"),
        ("a.csv", b"", "không có dòng nào"),
        ("a.csv", csv(), "không có dòng nào"),
        ("a.csv", csv("x", headings="Màu"), "không nhận ra"),
        ("a.csv", csv(*[GOOD] * 5_001), "5000 dòng"),
        ("a.csv", csv('"x'), "line"),
        ("a.csv", b"\xff\xfe\x00", "Không đọc được chữ"),
        ("a.csv", b"a\x00b", "Không đọc được chữ"),
        ("", b"", "Hãy chọn một tệp"),
    ],
)
def test_a_file_that_is_no_diary_is_told_what_to_do(
    member: Visitor, name: str, data: bytes, said: str
) -> None:
    answer = member.send(name, data)
    assert answer.status_code == 422 and said in text_of(answer)
    assert 'type="file"' in answer.text


# Who


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(
    site: Site, coop: Business
) -> None:
    visitor = Visitor(site)
    cookie = visitor.sign_in(coop.token).headers["set-cookie"]
    assert cookie.startswith("__Host-moneo=") and coop.token.split("_", 2)[2] not in cookie
    for part in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"):
        assert part in cookie
    assert "HTX Cua" in text_of(visitor.open())


def test_a_wrong_token_stays_outside(site: Site, coop: Business) -> None:
    visitor = Visitor(site)
    for token in ("", "x", coop.token[:-1] + "!", "moneo_" + "0" * 16 + "_" + "A" * 43):
        visitor.open()
        answer = visitor.post("/upload/sign-in", token=token)
        assert answer.status_code == 401 and "Mã truy cập không đúng" in text_of(answer)
    assert 'type="file"' not in visitor.open().text


def test_without_a_session_nothing_is_read_checked_or_shown(
    site: Site, coop: Business, member: Visitor
) -> None:
    where = member.check("a.csv", csv(GOOD))
    stranger = Visitor(site)
    stranger.open()
    assert stranger.send("a.csv", csv(GOOD)).status_code == 401
    assert stranger.post(where).status_code == 401
    for url in (where, f"{where}/can-sua.xlsx"):
        assert stranger.open(url).status_code == 401


def test_another_organisations_draft_is_not_found(
    site: Site, member: Visitor, rival: Business
) -> None:
    where = member.check("a.csv", csv(GOOD, BAD))
    other = Visitor(site)
    other.sign_in(rival.token)
    before = batches(site)
    assert other.open(where).status_code == 404
    assert other.open(f"{where}/can-sua.xlsx").status_code == 404
    assert other.post(where).status_code == 404
    assert batches(site) == before
    for odd in ("/upload/x", "/upload/..%2f..%2fkeys", f"/upload/{'0' * 32}"):
        assert member.open(odd).status_code == 404


def test_a_form_of_another_page_is_refused(site: Site, coop: Business, member: Visitor) -> None:
    where = member.check("a.csv", csv(GOOD))
    before = batches(site)
    word = member.word
    assert member.post(where, {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert member.post(where, {"Sec-Fetch-Site": "same-site"}).status_code == 403
    for forged in ("", "0" * 64, word[:-1]):
        member.word = forged
        assert member.post(where).status_code == 403
        assert member.send("a.csv", csv(GOOD)).status_code == 403
        assert member.post("/upload/sign-out").status_code == 403
        assert member.post("/upload/sign-in", token=coop.token).status_code == 403
    assert batches(site) == before
    member.word = word
    assert member.post(where, {"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_a_cookie_is_worth_nothing_once_changed_revoked_or_old(
    site: Site, coop: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = site.organisations.new_token("HTX Cua")
    visitor = Visitor(site)
    visitor.sign_in(token.secret)
    assert 'type="file"' in visitor.open().text
    cookie = visitor.browser._client.cookies["__Host-moneo"]
    identifier, nonce, until, seal = cookie.split(".")
    for forged in (
        f"{identifier}.{nonce}.{int(until) + 9}.{seal}",
        f"{coop.token.split('_')[1]}.{nonce}.{until}.{seal}",
        cookie[:-1],
        "x",
    ):
        answer = site.browser.get("/upload", headers={**HTML, "Cookie": f"__Host-moneo={forged}"})
        assert 'type="file"' not in answer.text
    then = time.time() + 9 * 3600
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: then)
        headers = {**HTML, "Cookie": f"__Host-moneo={cookie}"}
        assert 'type="file"' not in site.browser.get("/upload", headers=headers).text
    site.organisations.revoke(token.id)
    assert 'type="file"' not in visitor.open().text


def test_signing_out_ends_it(member: Visitor) -> None:
    assert member.post("/upload/sign-out").status_code == 303
    assert 'type="password"' in member.open().text


def test_an_organisation_whose_key_is_not_kept_is_told(site: Site) -> None:
    own = site.business("HTX Tự giữ", ["/01/0954"])
    visitor = Visitor(site)
    visitor.sign_in(own.token)
    page = visitor.open()
    assert "chưa giữ khóa ký" in text_of(page) and 'type="file"' not in page.text
    before = batches(site)
    where = visitor.check("a.csv", csv(GOOD))
    assert visitor.post(where).status_code == 403
    assert batches(site) == before


# How much


def test_a_form_is_bounded(site: Site, member: Visitor) -> None:
    assert member.send("a.csv", bytes(MAX_FILE_BYTES + 32 * 1024)).status_code == 413
    assert member.send("a.csv", b"x" * (MAX_FILE_BYTES + 1)).status_code == 422
    assert member.post("/upload/sign-out", padding="x" * 9_000).status_code == 413


def test_drafts_are_few_and_short_lived(
    site: Site, member: Visitor, coop: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [member.check("a.csv", csv(GOOD)) for _ in range(MAX_DRAFTS + 2)]
    folder = site.settings.data / "uploads" / coop.organisation.id
    assert len(list(folder.glob("*.json"))) == MAX_DRAFTS
    assert member.open(addresses[-1]).status_code == 200
    drafts = Drafts(site.settings.data)
    identifier = addresses[-1].rpartition("/")[2]
    then = time.time() + KEEP_SECONDS + 60
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: then)
        assert drafts.get(coop.organisation.id, identifier) is None
        drafts.forget()
    assert list(folder.glob("*.json")) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", b""),
        ("text/plain", b"word=x"),
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b'--x\r\nA: b; name="word"\r\n\r\n1'),
        ("multipart/form-data; boundary=x", b"--x--" * 1000),
        ("application/x-www-form-urlencoded", b"\xff=1"),
        ("application/x-www-form-urlencoded", b"a=1&" * 20),
        ("application/x-www-form-urlencoded", b"word=" + b"x" * 600),
        ("application/x-www-form-urlencoded", b"word=%ff"),
    ],
)
def test_what_is_no_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(FormError):
        parse_form(kind, body)


def test_a_files_bytes_come_through_as_they_are() -> None:
    data = bytes(range(256)) + b"\r\n--\r\n--y\r\n"
    part = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="C:\\d\\a\x01.csv"\r\n\r\n'
    )
    form = parse_form("multipart/form-data; boundary=x", part + data + b"\r\n--x--\r\n")
    assert form.file is not None and form.file.data == data and form.file.name == "a.csv"
