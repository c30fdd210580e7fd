# SPDX-License-Identifier: GPL-3.0-or-later
"""A cooperative's diary goes through a real browser to a verdict: sign in, template, upload, page, evidence, verify.

Chromium asks a province of real processes. The walk is taken without JavaScript, which no page needs but to prove itself,
in both languages, on a phone's and a desktop's screen; a second look judges how the pages stand there.
"""

import io
import os
import re
import signal
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from api import sheets
from api.labels import TRACKING_EVENTS
from api.pages import STATE_RANK
from api.words import Language
from tests.support.browser import (
    FAULTS,
    FOCUS,
    LANGUAGES,
    SCREENS,
    STOPS,
    WIDTHS,
    Person,
    opened,
    playing,
)
from tests.support.browser import visit as visiting
from tests.support.province import Running, free_addresses, get, json_of, moneo, wait_until

NAME = "HTX Cua Năm Căn"
GTIN = "09521234543213"
MAX_PAGE_BYTES = 100_000
SHIPMENTS = 27


@dataclass(frozen=True)
class Serving:
    """A province that runs, with one cooperative whose key it keeps."""

    url: str
    token: str
    children: dict[str, int]

    @contextmanager
    def paused(self, child: str) -> Iterator[None]:
        """Let one of its processes stand still."""
        os.kill(self.children[child], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.children[child], signal.SIGCONT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playing() as playwright, opened(playwright) as made:
        yield made


@pytest.fixture(scope="module")
def serving(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    base = tmp_path_factory.mktemp("browser")
    api, rpc = free_addresses(2)
    data = ("--data", base / "var")
    moneo(
        "init", "Cà Mau", "moneo.example/camau/2026", *data, "--api", api, "--rpc", rpc, home=base
    )
    with Running("serve", *data) as running:
        running.wait_for("Serving")
        org = ("--prefix", "/01/0952123", "--private", "moneo:phone")
        moneo("org", "add", NAME, *org, *data, home=base)
        moneo("org", "custody", NAME, *data, home=base)
        token = json_of(moneo("org", "token", NAME, *data, "--json", home=base))["token"]
        yield Serving(f"http://{api}", token, _children(running.process.pid))


def _children(parent: int) -> dict[str, int]:
    """Return the process ids of the node and of the anchor process."""
    words = {"node": b"\0node\0run\0", "anchor": b"\0run-anchor\0"}
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in listed}
    return {name: pid for name, word in words.items() for pid in lines if word in lines[pid]}


@dataclass
class Visit(Person):
    """One person's browser at one province."""

    token: str = ""

    def sign_in(self) -> None:
        """Sign in with the cooperative's token."""
        self.open("/upload")
        self.page.get_by_label(self.say("token_label")).fill(self.token)
        self.press("sign_in")
        expect(self.page.get_by_label(self.say("file_label"))).to_be_visible()

    def save(self, key: str) -> bytes:
        """Download what the link of that wording leads to."""
        with self.page.expect_download() as waiting:
            self.page.locator("main").get_by_role("link", name=self.say(key)).first.click()
        return Path(waiting.value.path()).read_bytes()

    def check(self, name: str, diary: bytes, good: int, bad: int) -> None:
        """Upload a diary and read how many of its rows are good."""
        file = FilePayload(name=name, mimeType=sheets.XLSX_TYPE, buffer=diary)
        self.page.get_by_label(self.say("file_label")).set_input_files(file)
        self.press("check_button")
        self.read("h1", "checked_title")
        said = [f"{good} {self.say('rows_good')}", f"{bad} {self.say('rows_bad')}"]
        expect(self.page.locator(".counts li")).to_have_text(said)

    def send(self, rows: int) -> None:
        """Confirm that the good rows are sent."""
        self.press("confirm_button")
        self.read("h1", "sent_title")
        expect(self.page.locator(".counts li").first).to_have_text(
            f"{rows} {self.say('rows_sent')}"
        )

    def read(self, selector: str, key: str) -> None:
        """Expect an element to have the wording of a key."""
        expect(self.page.locator(selector)).to_have_text(self.say(key))

    def look_until(self, state: str) -> None:
        """Look at the page again, by its own link, until it says how far its records have come."""
        at = self.page.locator(".standing [aria-current]")
        earlier = {self.say(s) for s in STATE_RANK if STATE_RANK[s] < STATE_RANK[state]}

        def there() -> bool:
            if at.inner_text() in earlier:
                self.page.get_by_role("link", name=self.say("look_again")).click()
            return at.inner_text() == self.say(state)

        wait_until(state, there)


@contextmanager
def visit(
    browser: Browser, serving: Serving, language: Language, screen: str, **more: Any
) -> Iterator[Visit]:
    """Open a browser for one person; at the end it must have had nothing to complain of."""
    with visiting(browser, serving.url, language, screen, **more) as one:
        yield Visit(one.url, one.page, one.language, one.complaints, serving.token)


# What a person types into a spreadsheet


def changed(workbook: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """Return a workbook with one of its parts changed and all others as they were."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data.decode()).encode() if name == part else data)
    return out.getvalue()


def filled(template: bytes, rows: Sequence[dict[str, str]]) -> bytes:
    """Return the template with rows written below its headings."""
    columns = list(sheets.NAMES)

    def cell(number: int, name: str, text: str) -> str:
        place = f"{chr(ord('A') + columns.index(name))}{number}"
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'

    def row(number: int, cells: dict[str, str]) -> str:
        said = "".join(cell(number, name, cells[name]) for name in columns if name in cells)
        return f'<row r="{number}">{said}</row>'

    written = "".join(row(number, cells) for number, cells in enumerate(rows, start=2))
    return changed(
        template,
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace("</sheetData>", f"{written}</sheetData>"),
    )


def step(stage: str, time: str, lot: str, unit: str, **more: str) -> dict[str, str]:
    cells = {"stage": stage, "time": time, "product": "Cua hộp (mẫu)", "gtin": GTIN, "lot": lot}
    return cells | {"quantity": "30,5", "unit": unit, "phone": "0900 000 002"} | more


def diary(tail: str) -> list[dict[str, str]]:
    """A journey of 30 steps to one lot, the last of them with a stage that is none."""
    sold = "HOP-" + tail
    made = {"input_gtin": GTIN, "input_quantity": "31", "input_unit": "con"}
    return [
        step("Thả giống", "03/03/2026 06:30", f"G-{tail}", "con", place="Vuông 3, xã Mẫu"),
        step("Thu hoạch", "22/07/2026 22:30", f"C-{tail}", "kg", **made, input_lot=f"G-{tail}"),
        step("Đóng gói", "23/07/2026 09:30", sold, "thùng", **made, input_lot=f"C-{tail}"),
        *(step("Xuất hàng", "24/07/2026 14:30", sold, "thùng") for _ in range(SHIPMENTS - 1)),
        step("Nấu", "25/07/2026 14:30", sold, "thùng"),
    ]


# The walk


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_diary_goes_from_the_browser_to_a_verdict(
    browser: Browser, serving: Serving, tmp_path: Path, language: Language, screen: str
) -> None:
    """Also says that every page works without JavaScript, asks nobody else, and is light."""
    tail = f"{language}-{screen}"
    code = f"/01/{GTIN}/10/HOP-{tail}"
    with visit(browser, serving, language, screen, java_script_enabled=False) as person:
        person.sign_in()
        template = person.save("template_crab")
        rows = diary(tail)
        person.check("nhật ký.xlsx", filled(template, rows), good=len(rows) - 1, bad=1)
        expect(person.page.locator(".wrong")).to_contain_text("“Nấu”")
        person.send(len(rows) - 1)
        person.look_until("anchored")
        to_mend = person.save("wrong_download")
        person.page.get_by_role("link", name=person.say("another_file")).click()
        with serving.paused("node"):
            with serving.paused("anchor"):
                person.check("can-sua.xlsx", mended(to_mend), good=1, bad=0)
                person.send(1)
                wait_until("indexed", lambda: get(serving.url + code)[1].count(b"step") > 0)
                person.page.get_by_role("link", name=code).click()
                person.look_until("accepted")
            person.look_until("logged")
        person.look_until("anchored")
        reads_the_journey(person, code, len(rows))
        assert weight(browser, serving.url + code) < MAX_PAGE_BYTES
        evidence, trust = person.save("evidence_link"), person.save("trust_link")
    (tmp_path / "evidence.json").write_bytes(evidence)
    (tmp_path / "trust.json").write_bytes(trust)
    verdict = judge(tmp_path, code)
    assert [verdict["proven"], len(verdict["records"])] == [True, len(rows)]
    assert {record["custody"] for record in verdict["records"]} == {"operator"}
    assert b"0900 000 002" not in evidence


def mended(workbook: bytes) -> bytes:
    """Return the rows to mend as a person sends them back: the one marked cell is corrected."""
    (row,) = sheets.read("can-sua.xlsx", workbook).rows
    assert [error.column for error in row.wrong] == ["stage"]
    with zipfile.ZipFile(io.BytesIO(workbook)) as book:
        assert "xl/comments1.xml" in book.namelist()
    return changed(
        workbook, "xl/sharedStrings.xml", lambda xml: xml.replace(">Nấu<", ">Xuất hàng<")
    )


def reads_the_journey(person: Visit, code: str, steps: int) -> None:
    """Read the product's page as a shopper does: every step in order, who wrote it, what is proven."""
    person.open(code)
    shown = person.page.locator(".timeline > .step")
    expect(shown).to_have_count(steps)
    for at, stage in enumerate(("stocking", "harvest", "packing", "shipping")):
        expect(shown.nth(at).locator("h3")).to_have_text(
            TRACKING_EVENTS[stage].pick(person.language)
        )
    expect(shown.last).to_contain_text(f"{person.say('written_for')} {NAME}", ignore_case=True)
    for key in ("as_of", "operator_title", "anchored_alone", "proven_1", "unproven_1"):
        expect(person.page.locator("main")).to_contain_text(person.say(key))
    expect(person.page.locator("main")).not_to_contain_text("0900")
    assert person.page.evaluate("document.querySelector('.qr img').naturalWidth") > 0


def weight(browser: Browser, url: str) -> int:
    """Return the bytes of a page and of all it asks for but pictures, as a first visit gets them."""
    sizes: dict[str, int] = {}
    context = browser.new_context()
    page = context.new_page()
    page.on("requestfinished", lambda it: sizes.update({it.url: it.sizes()["responseBodySize"]}))
    page.goto(url, wait_until="networkidle")
    styles = [size for address, size in sizes.items() if address.endswith(".css")]
    assert len(styles) == 1 and styles[0] > 0
    context.close()
    return sum(size for address, size in sizes.items() if not address.endswith(".svg"))


def judge(folder: Path, code: str) -> Any:
    """Verify the two downloaded files in a process of its own, which asks no network."""
    files = (folder / "evidence.json", "--trust", folder / "trust.json", "--code", code)
    return json_of(moneo("verify", *files, "--json", home=folder))[0]


# How the pages stand there


@pytest.mark.parametrize(("language", "scheme"), [("vi", "light"), ("en", "dark")])
def test_pages_are_readable_on_every_screen(
    browser: Browser, serving: Serving, language: Language, scheme: str
) -> None:
    """Contrast, tap targets and no sideways scrolling, from a small phone to a desktop."""
    with visit(browser, serving, language, "phone", color_scheme=scheme) as person:
        for path in pages(person):
            person.open(path)
            settled(person)
            for width in WIDTHS:
                person.page.set_viewport_size({"width": width, "height": 800})
                assert person.page.evaluate(FAULTS) == [], (path, width)
        forgive_refusals(person)


def test_a_keyboard_reaches_everything_and_shows_where_it_is(
    browser: Browser, serving: Serving
) -> None:
    with visit(browser, serving, "vi", "desktop") as person:
        for path in pages(person):
            person.open(path)
            settled(person)
            stops = person.page.locator(STOPS).count()
            reached = []
            for _ in range(stops):
                person.page.keyboard.press("Tab")
                reached.append(person.page.evaluate(FOCUS, STOPS))
            assert reached == [[at, True] for at in range(stops)], path
        forgive_refusals(person)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ("document.querySelector('h1').style.color = '#aaa'", "contrast"),
        ("document.querySelector('h1').style.width = '2000px'", "scrolls sideways"),
        (
            "document.querySelector('.button').style.cssText = 'min-height: 0; padding: 0'",
            "px high",
        ),
    ],
)
def test_the_look_finds_what_is_wrong(
    browser: Browser, serving: Serving, harm: str, found: str
) -> None:
    with visit(browser, serving, "vi", "phone") as person:
        person.open("/")
        assert person.page.evaluate(FAULTS) == []
        person.page.evaluate(harm)
        faults = person.page.evaluate(FAULTS)
        assert faults and all(found in fault for fault in faults), faults


@pytest.mark.parametrize(
    "harm",
    [
        "document.body.append(Object.assign(document.createElement('script'), {text: 'x = 1'}))",
        "new Image().src = 'https://elsewhere.example/x.png'",
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')",
    ],
)
def test_the_pages_policy_lets_nothing_strange_in_and_is_noticed(
    browser: Browser, serving: Serving, harm: str
) -> None:
    with visit(browser, serving, "vi", "phone") as person:
        person.open("/")
        with person.page.expect_console_message():
            person.page.evaluate(f"() => {{ {harm} }}")
        assert any("Content Security Policy" in said for said in person.complaints)
        person.complaints.clear()


def settled(person: Visit) -> None:
    """Wait until a product's page has checked itself (tests/browser/test_product_page.py): nothing moves then."""
    if urlsplit(person.page.url).path.startswith("/01/") and person.page.locator("#proof").count():
        expect(person.page.locator("#proof")).to_have_attribute("aria-busy", "false")


def pages(person: Visit) -> list[str]:
    """Return a page of every kind: signed out and in, checked and sent, a product's, and refusals."""
    person.sign_in()
    template = person.save("template_shrimp")
    seen = [step("Xuất hàng", "24/07/2026 14:30", f"X-{person.language}", "thùng")]
    person.check("a.xlsx", filled(template, seen * 2), good=2, bad=0)
    person.send(2)
    sent = urlsplit(person.page.url).path
    person.open("/upload")
    person.check("b.xlsx", filled(template, diary("B")), good=29, bad=1)
    product = f"/01/{GTIN}/10/X-{person.language}"
    wait_until("indexed", lambda: get(person.url + product)[0] == 200)
    refused = (f"/01/{GTIN}/10/KHONG", f"/01/{GTIN[:-1]}0", "/problems/not-ready")
    return ["/", "/upload", sent, urlsplit(person.page.url).path, product, *refused]


def forgive_refusals(person: Visit) -> None:
    """Leave out what the browser says of the pages that are refusals: their status."""
    status = re.compile(r"error: Failed to load resource: .* status of 40[04] ")
    person.complaints[:] = [said for said in person.complaints if not status.match(said)]
