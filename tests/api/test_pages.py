# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees after scanning a label, in both languages, for good codes and bad ones."""

import re
import struct
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from api import labels, qr
from api.problems import PROBLEMS
from api.texts import TEXTS
from api.words import Wording, choose
from tests.support.site import (
    BOX,
    CRAB,
    HOST,
    PUBLIC_URL,
    SEED,
    Business,
    Site,
    diary,
    event,
    shipping,
)

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
GTIN = "/01/09520001000034"


@pytest.fixture(scope="module")
def coop(site: Site) -> Business:
    business = site.business("HTX Cua Tân Ân", ["/01/0952"], ["moneo:phone", "moneo:recordedBy"])
    site.submit(business, *diary())
    return business


class _Reader(HTMLParser):
    """Collects what a person reads, every address the page asks for, and tags left open."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        found = dict(attrs)
        assert not any(name.startswith("on") or name == "style" for name in found)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action") and v]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def said(html: str) -> str:
    return " ".join("".join(read(html).text).split())


def test_a_lot_shows_its_journey_in_vietnamese_by_default(site: Site, coop: Business) -> None:
    answer = site.browser.get(BOX, headers=BROWSER)
    text = said(answer.text)
    assert answer.status_code == 200
    assert answer.headers["content-language"] == "vi"
    assert '<html lang="vi">' in answer.text
    order = [text.index(word) for word in ("Thả giống", "Thu hoạch", "Đóng gói", "Xuất hàng")]
    assert order == sorted(order)
    assert "Cua Cà Mau loại 1 (mẫu)" in text and "HTX Cua Tân Ân" in text
    assert "06:30, 03/03/2026" in text and "05:30, 23/07/2026" in text
    assert "1.550 con (lô GIONG-01)" in text and "32,5 kg (lô CUA-01)" in text
    assert "Ao 01, ấp Mẫu, xã Tân Ân" in text
    assert "Đã nhận" in text and "Tính đến" in text


def test_english_is_a_wish_away(site: Site, coop: Business) -> None:
    by_query = site.browser.get(f"{BOX}?lang=en", headers=BROWSER)
    by_header = site.browser.get(BOX, headers={**BROWSER, "Accept-Language": "en-US,en;q=0.9"})
    for answer in (by_query, by_header):
        text = said(answer.text)
        assert answer.headers["content-language"] == "en"
        assert "Stocking" in text and "3 Mar 2026, 06:30" in text and "1,550 pcs" in text


def test_private_fields_and_persons_are_on_no_page(site: Site, coop: Business) -> None:
    for headers in (BROWSER, {**BROWSER, "Authorization": f"Bearer {coop.token}"}):
        html = site.browser.get(BOX, headers=headers).text
        assert "0900 000 002" not in html and "Trần Thị Ví Dụ" not in html
        assert "1 mục không công khai" in said(html)


def test_a_page_says_what_is_proven_and_what_is_not(site: Site, coop: Business) -> None:
    vietnamese = said(site.browser.get(BOX, headers=BROWSER).text)
    english = said(site.browser.get(f"{BOX}?lang=en", headers=BROWSER).text)
    for words in (
        "Who said what.",
        "By when.",
        "That nothing has changed since.",
        "That the sticker in your hand is the original.",
        "That what a business wrote is true.",
        "That nothing was left out",
    ):
        assert words in english
    assert "Con tem trên tay bạn có phải là tem gốc hay không" in vietnamese
    assert f"moneo verify evidence.json --code {BOX}" in vietnamese


def test_a_page_asks_for_nothing_elsewhere_and_runs_only_what_is_ours(
    site: Site, coop: Business
) -> None:
    assets = site.app.state.moneo.assets
    scripts: dict[str, list[str]] = {path: [] for path in (BOX, "/", GTIN + "/10/NOPE")}
    if "product" in assets.names:
        scripts[BOX] = [assets.names["product"], *assets.imports["product"]]
    for path, ours in scripts.items():
        html = site.browser.get(path, headers=BROWSER).text
        reader = read(html)
        assert "iframe" not in reader.tags
        assert re.findall(r'<script type="module"[^>]* src="([^"]+)"[^>]*></script>', html) == ours
        assert html.count("<script") == len(ours)
        assert all(a.startswith(("/", "#")) and not a.startswith("//") for a in reader.addresses)
        for address in {a for a in reader.addresses if a.startswith("/static/")}:
            assert site.browser.get(address).status_code == 200


def test_a_step_taken_by_the_province_for_a_business_says_so(site: Site) -> None:
    small = site.business("HTX Nhỏ", ["/01/0953"], custody="operator")
    path = "/01/09530001000033/10/N1"
    site.submit(small, event("objectevent", path, bizStep="storing"))
    text = said(site.browser.get(path, headers=BROWSER).text)
    # Once above, of the product, and once at the step.
    assert text.count("do tỉnh viết thay cho HTX Nhỏ") == 2 and "Tỉnh giữ khóa ký" in text
    assert "Tỉnh giữ khóa ký" not in said(site.browser.get(BOX, headers=BROWSER).text)


def test_practice_and_sample_codes_are_marked(site: Site, coop: Business) -> None:
    path = GTIN + "/10/THU"
    site.submit(coop, event("objectevent", path, mode="practice", bizStep="packing"))
    practice = said(site.browser.get(path, headers=BROWSER).text)
    live = said(site.browser.get(BOX, headers=BROWSER).text)
    assert "Hồ sơ thử" in practice and "Hồ sơ thử" not in live
    assert "Mã minh họa" in live


def test_a_stranger_stands_apart_from_the_journey(site: Site, coop: Business) -> None:
    path = GTIN + "/10/HAI"
    stranger = site.business("Người Lạ", ["/01/0893"])
    site.submit(stranger, event("objectevent", path, bizStep="receiving"))
    alone = said(site.browser.get(path, headers=BROWSER).text)
    assert "Chủ của mã này chưa viết hồ sơ nào" in alone
    site.submit(coop, event("objectevent", path, bizStep="packing"))
    both = said(site.browser.get(path, headers=BROWSER).text)
    assert both.index("Đóng gói") < both.index("Người khác nói về mã này") < both.index("Người Lạ")


def test_the_page_says_where_a_journey_begins_by_its_owners_word(
    site: Site, coop: Business
) -> None:
    path = GTIN + "/10/NOI"
    stranger = site.business("Người Xa", ["/01/0892"])
    times = [f"2026-07-0{day}T08:00:00+07:00" for day in (1, 2, 3)]
    site.submit(stranger, event("objectevent", path, eventTime=times[0], moneo__place="Nơi Khác"))
    wrong = event("objectevent", path, eventTime=times[1], moneo__place="Ao Sai")
    site.submit(coop, wrong)
    right = event(
        "objectevent", path, re=[wrong.leaf_hash()], eventTime=times[2], moneo__place="Ao Đúng"
    )
    site.submit(coop, right)
    html = site.browser.get(path, headers=BROWSER).text
    assert "<dt>Bắt đầu từ</dt><dd>Ao Đúng</dd>" in html
    # What is superseded is folded away, and still there.
    folded = html[html.index("<details>") : html.index("</details>")]
    assert "Ao Sai" in folded and "Ao Đúng" not in folded and html.count("<details>") == 1


def test_a_party_is_called_by_its_name(site: Site, coop: Business) -> None:
    path = GTIN + "/10/BEN"
    trader = site.business("Công ty Mẫu", ["/01/0891"])
    parties = [trader.organisation.issuer, "moneo.example/elsewhere/x"]
    site.submit(coop, event("objectevent", path, bizStep="shipping", moneo__parties=parties))
    site.submit(coop, event("objectevent", path, bizStep="shipping", moneo__parties=[{"x": 1}]))
    html = site.browser.get(path, headers=BROWSER).text
    assert "<dd>Công ty Mẫu; moneo.example/elsewhere/x</dd>" in html
    assert parties[0] not in html and "<dd>x: 1</dd>" in html


def test_a_step_back_leads_to_the_page_of_its_lot(site: Site, coop: Business) -> None:
    reader = read(site.browser.get(BOX, headers=BROWSER).text)
    assert f"{SEED}?lang=vi" in reader.addresses and f"{CRAB}?lang=vi" in reader.addresses
    assert site.browser.get(SEED, headers=BROWSER).status_code == 200


def test_what_a_business_writes_is_text_and_never_markup(site: Site, coop: Business) -> None:
    path = GTIN + "/10/XSS"
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    members: dict[str, Any] = {
        "moneo__product": evil,
        "bizStep": evil,
        "moneo__note": {"vi": evil},
        evil[1:7]: [evil],
    }
    site.submit(coop, event("objectevent", path, **members))
    html = site.browser.get(path, headers=BROWSER).text
    assert "<script>" not in html and "<img src=x" not in html
    assert evil in "".join(read(html).text)


def test_a_lot_with_a_slash_has_a_page_of_its_own(site: Site, coop: Business) -> None:
    path = GTIN + "/10/A%2FB"
    site.submit(coop, event("objectevent", path, bizStep="packing"))
    answer = site.browser.get(path, headers=BROWSER)
    assert answer.status_code == 200 and "A/B" in said(answer.text)
    assert site.browser.get(GTIN + "/10/A/B").status_code == 400
    assert site.browser.get(path + "/qr.svg").status_code == 200


def test_the_provinces_own_codes_have_pages_too(site: Site, coop: Business) -> None:
    site.submit(coop, event("objectevent", "/c/ao/7", bizStep="inspecting", eventTime="x"))
    answer = site.browser.get("/c/ao/7", headers=BROWSER)
    assert answer.status_code == 200 and "Kiểm tra" in said(answer.text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/01/09520001000035/10/HOP-01", 400),
        ("/01/9520001000034", 400),
        ("/01/x", 400),
        (GTIN + "/10", 400),
        (GTIN + "/99/x", 400),
        (GTIN + "/10/" + "A" * 21, 400),
        (GTIN + "/10/%20", 400),
        (GTIN + "/10/%ff", 400),
        (GTIN + "/21/a/10/b", 400),
        ("/01/09520001000035/10/HOP-01/qr.png", 400),
        (GTIN + "/10/NOPE", 404),
        (GTIN + "/21/NOPE", 404),
        ("/c/none", 404),
        ("/nothing", 404),
        ("/problems/nothing", 404),
    ],
)
def test_a_bad_or_unknown_code_is_said_to_people_and_to_machines(
    site: Site, coop: Business, path: str, status: int
) -> None:
    page = site.browser.get(path, headers=BROWSER)
    machine = site.browser.get(path, headers={"Accept": "application/json"})
    assert page.status_code == machine.status_code == status
    assert page.headers["content-type"].startswith("text/html") and said(page.text)
    assert machine.headers["content-type"] == "application/problem+json"
    assert machine.json()["status"] == status


def test_a_wrong_check_digit_is_told_with_the_right_one(site: Site) -> None:
    answer = site.browser.get("/01/09520001000035", headers={"Accept-Language": "en"})
    assert "should be 4" in answer.json()["detail"]


def test_a_slash_at_the_end_is_passed_over(site: Site, coop: Business) -> None:
    for path in (BOX + "/", "/healthz/", "/v1/evidence/?code=" + BOX):
        assert site.browser.get(path).status_code in (200, 409)


def test_every_problem_type_has_a_page(site: Site) -> None:
    for code, kind in PROBLEMS.items():
        answer = site.browser.get(f"/problems/{code}?lang=en", headers=BROWSER)
        assert answer.status_code == 200 and kind.title.en in said(answer.text)


def test_the_front_page_leads_to_a_code(site: Site, coop: Business) -> None:
    home = site.browser.get("/", headers=BROWSER)
    assert home.status_code == 200 and "Cà Mau" in said(home.text)
    for code in (BOX, f"  {BOX}/ ", PUBLIC_URL + BOX, "https://id.gs1.org" + BOX):
        answer = site.browser.get("/find", params={"code": code, "lang": "en"})
        assert (answer.status_code, answer.headers["location"]) == (303, BOX + "?lang=en")
    for code in ("", "x", "//evil.example", "https://evil.example", "javascript:alert(1)"):
        assert site.browser.get("/find", params={"code": code}).status_code == 400


# QR


def test_the_qr_code_is_the_digital_link_on_the_provinces_address(site: Site) -> None:
    drawn = site.browser.get(BOX + "/qr.svg")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.content == qr.svg(PUBLIC_URL + BOX)
    assert drawn.text.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ')
    picture = site.browser.get(BOX + "/qr.png")
    assert picture.headers["content-type"] == "image/png"
    width, height = struct.unpack(">II", picture.content[16:24])
    assert picture.content[:8] == b"\x89PNG\r\n\x1a\n" and width == height


# Words


@pytest.mark.parametrize(
    ("header", "asked", "language"),
    [
        ("", "", "vi"),
        ("en", "", "en"),
        ("en-US,en;q=0.9,vi;q=0.8", "", "en"),
        ("vi,en;q=0.9", "", "vi"),
        ("fr, *;q=0.5", "", "vi"),
        ("en;q=0", "", "vi"),
        ("en;q=x", "", "vi"),
        ("en;q=7", "", "vi"),
        (",,;;=", "", "vi"),
        ("en", "vi", "vi"),
        ("vi", "en", "en"),
        ("vi", "xx", "vi"),
    ],
)
def test_the_language_is_vietnamese_unless_english_is_preferred(
    header: str, asked: str, language: str
) -> None:
    assert choose(header, asked) == language


def test_every_wording_is_there_in_both_languages() -> None:
    tables: list[Mapping[str, Wording]] = [TEXTS, labels.FIELDS, labels.UNITS, labels.EVENT_TYPES]
    tables += [labels.TRACKING_EVENTS, labels.BUSINESS_STEPS]
    wordings = [wording for table in tables for wording in table.values()]
    wordings += [kind.title for kind in PROBLEMS.values()]
    assert all(wording.vi and wording.en for wording in wordings)


def test_templates_use_every_text_and_no_other() -> None:
    from api.static import WEB

    source = "".join(path.read_text() for path in (WEB / "templates").glob("*.html"))
    used = set(re.findall(r"\b(?:t\.|texts\.|say\(\")([a-z_0-9]+)", source))
    states = {"accepted", "logged", "anchored"}
    by_state = states | {f"{state}_long" for state in states}
    assert used | by_state == set(TEXTS)


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (True, "có"),
        (None, ""),
        (1234567, "1.234.567"),
        (0.5, "0,5"),
        ("Ao 1", "Ao 1"),
        (HOST + BOX, "lô HOP-01"),
        (HOST + BOX + "/21/K7", "lô HOP-01, số K7"),
        (HOST + GTIN, "GTIN 09520001000034"),
        ({"vi": "cua", "en": "crab"}, "cua"),
        ({"id": "x"}, "id: x"),
        ({"epcClass": HOST + BOX, "quantity": 10, "uom": "CT"}, "10 thùng (lô HOP-01)"),
        ({"epcClass": HOST + BOX, "quantity": 10}, "10 (lô HOP-01)"),
        ({"epcClass": HOST + BOX}, "lô HOP-01"),
        ([1, None, "a"], "1; a"),
        (["a"] * 21, "; ".join(["a"] * 20) + "; …"),
        ("x" * 900, "x" * 500),
    ],
)
def test_any_value_reads_as_text(thing: object, text: str) -> None:
    assert labels.value(thing, "vi") == text


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"moneo:cte": "harvest", "bizStep": "commissioning"}, "Thu hoạch"),
        ({"bizStep": "shipping"}, "Xuất hàng"),
        ({"bizStep": "urn:epcglobal:cbv:bizstep:shipping"}, "Xuất hàng"),
        ({"bizStep": "https://ref.gs1.org/cbv/BizStep-shipping"}, "Xuất hàng"),
        ({"bizStep": "own-step"}, "own-step"),
        ({}, "Sự kiện"),
    ],
)
def test_a_step_has_a_name_people_know(fields: dict[str, str], title: str) -> None:
    assert labels.step("epcis.objectevent", fields, "vi") == title


def test_a_record_of_another_kind_is_named_by_its_type() -> None:
    assert labels.step("moneo.product", {}, "vi") == "moneo.product"


def test_no_product_name_is_no_error(site: Site, coop: Business) -> None:
    path = GTIN + "/10/TRON"
    site.submit(coop, event("objectevent", path, x=1))
    assert "Sản phẩm chưa có tên" in said(site.browser.get(path, headers=BROWSER).text)
    site.submit(coop, shipping())
