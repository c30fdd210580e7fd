# SPDX-License-Identifier: GPL-3.0-or-later
"""A product's page proves itself in a real Chromium: for the code that was scanned, step by step, in both languages.

The province is one of real processes. What a server or somebody on the way might do is done to its answers: bytes
are altered, another code's evidence is given, a step is shown that no evidence has, nothing comes at all.
"""

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from anchor.verdict import Verdict
from anchor.verify import verify
from api.words import Language
from tests.support.browser import FAULTS, LANGUAGES, SCREENS, WIDTHS, Person, opened, playing, visit
from tests.support.province import Running, free_addresses, get, json_of, moneo, wait_until
from tests.support.site import HOST
from tests.support.tools import ROOT, built

OWN, OTHER = "HTX Cua Năm Căn", "Trạm kiểm nghiệm Mẫu"
GTIN = "09521234543213"
SEED, BOX, ALONE, LATE = (f"/01/{GTIN}/10/{lot}" for lot in ("GIONG", "HOP", "LE", "MUON"))
# A record that a real network of three anchored after the fourth had been voted out.
NETWORK = ROOT / "tests" / "vectors" / "network"
STRANGERS, LEFT = NETWORK / "trust-of-four.json", NETWORK / "trust-of-three.json"
VOTED = "/01/09520001000034/10/SAU-BO-PHIEU"
WORDS: dict[str, dict[Language, str]] = {
    "proven": {"vi": "Chứng minh được cả 2 bước", "en": "All 2 steps are proven"},
    "one": {"vi": "Chứng minh được bước duy nhất", "en": "The only step is proven"},
    "some": {"vi": "Chỉ chứng minh được 1 trong 2 bước", "en": "Only 1 of 2 steps are proven"},
    "none": {"vi": "Hành trình này không chứng minh được", "en": "This journey is not proven"},
    "waiting": {"vi": "Chưa có bằng chứng cho cả hành trình", "en": "There is no evidence of the whole journey yet"},
    "not-had": {"vi": "Chưa kiểm tra được", "en": "Could not check"},
    "again": {"vi": "Thử lại", "en": "Try again"},
    "others": {"vi": "Lời của bên khác (1)", "en": "What others say (1)"},
    "pinned": {"vi": "Kiểm tra bằng tệp tin cậy mà máy này đã ghim.", "en": "Checked by the trust file that this device has pinned."},
    "unpinned": {"vi": "máy bạn chưa ghim tệp nào", "en": "your device has pinned none"},
    "details": {"vi": "Xem từng mắt xích", "en": "Show link by link"},
}  # fmt: skip
INVALID = "một mắt xích trong tệp này sai"
PIN = """
async (text) => {
  const asked = indexedDB.open("moneo", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("trust");
  await new Promise((done) => { asked.onsuccess = done; });
  const put = asked.result.transaction("trust", "readwrite").objectStore("trust");
  const bytes = new TextEncoder().encode(text);
  await new Promise((done) => { put.put({bytes, compared: true}, "pinned").onsuccess = done; });
  asked.result.close();
}
"""


@dataclass(frozen=True)
class Province:
    """A province that runs: its address, tokens by organisation, and its anchor process."""

    url: str
    tokens: dict[str, str]
    anchor: int

    def submit(self, name: str, *events: dict[str, Any]) -> None:
        """Send records to the plain door, which salts and signs them."""
        body = "".join(json.dumps(event) + "\n" for event in events).encode()
        headers = {"Authorization": f"Bearer {self.tokens[name]}", "Content-Type": "application/x-ndjson"}  # fmt: skip
        query = urllib.request.Request(f"{self.url}/v1/records", body, headers)
        with urllib.request.urlopen(query, timeout=60) as answer:
            assert answer.status == 202

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let nothing be anchored meanwhile."""
        os.kill(self.anchor, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.anchor, signal.SIGCONT)

    def evidence(self, code: str) -> bytes:
        """Return a code's evidence once all of it is anchored."""
        address = f"{self.url}/v1/evidence?code={code}"
        wait_until(f"{code} anchored", lambda: get(address)[0] == 200)
        return get(address)[1]

    def verdict(self, code: str) -> Verdict:
        """Return what the other verifier says of a code."""
        return verify(self.evidence(code), get(f"{self.url}/v1/trust")[1], code, int(time.time()))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    built()
    with playing() as playwright, opened(playwright) as made:
        yield made


@pytest.fixture(scope="module")
def province(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    base = tmp_path_factory.mktemp("product")
    api, rpc = free_addresses(2)
    data = ("--data", base / "var")
    here = ("--api", api, "--rpc", rpc)
    moneo("init", "Cà Mau", "moneo.example/camau/2026", *data, *here, home=base)
    with Running("serve", *data) as running:
        running.wait_for("Serving")
        tokens = {}
        for name, prefix in ((OWN, "/01/0952123"), (OTHER, "/01/0952999")):
            moneo("org", "add", name, "--prefix", prefix, *data, home=base)
            moneo("org", "custody", name, *data, home=base)
            token = json_of(moneo("org", "token", name, *data, "--json", home=base))["token"]
            tokens[name] = token
        made = Province(f"http://{api}", tokens, _anchor(running.process.pid))
        stocked = seen(SEED, "stocking", eventTime="2026-03-03T06:30:00+07:00")
        packed = {
            "type": "TransformationEvent", "eventTime": "2026-07-23T09:30:00+07:00",
            "moneo:cte": "packing", "moneo:product": "Cua hộp (mẫu)",
            "inputQuantityList": [{"epcClass": HOST + SEED, "quantity": 98}],
            "outputQuantityList": [{"epcClass": HOST + BOX, "quantity": 30}],
        }  # fmt: skip
        made.submit(OWN, stocked, packed, seen(ALONE, "harvest"))
        made.submit(OTHER, seen(BOX, "storage", bizStep="inspecting"))
        made.evidence(BOX)
        made.evidence(ALONE)
        yield made


def seen(code: str, stage: str, **more: str) -> dict[str, Any]:
    """An event of one lot."""
    said = {"type": "ObjectEvent", "eventTime": "2026-07-24T09:30:00+07:00", "moneo:cte": stage}
    listed = [{"epcClass": HOST + code, "quantity": 30}]
    return {**said, "moneo:product": "Cua (mẫu)", "quantityList": listed, **more}


def _anchor(parent: int) -> int:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = [int(pid) for pid in listed if b"\0run-anchor\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]  # fmt: skip
    return found


# What a person sees


def judged(person: Person, code: str, title: str, tone: str) -> Locator:
    """Open a product's page and wait for what the browser makes of it; return the box that says so."""
    person.open(code)
    return finds(person, title, tone)


def finds(person: Person, title: str, tone: str) -> Locator:
    box = person.page.locator("#proof")
    expect(box).to_have_attribute("aria-busy", "false")
    expect(box.locator(".outcome")).to_have_text(WORDS[title][person.language])
    expect(box).to_have_class(f"proof {tone}")
    return box


def marks(person: Person) -> list[str]:
    """What every step is marked with, in the order of the page."""
    steps = person.page.locator("li[data-record]")
    expect(person.page.locator("li[data-record] .mark")).to_have_count(steps.count())
    found = person.page.locator(".mark").evaluate_all("all => all.map((it) => it.className)")
    return [name.removeprefix("mark ") for name in found]


def own_words(verdict: Verdict, language: Language) -> str:
    """The first line that `moneo verify` prints of the owner's records alone."""
    own = [record for record in verdict.records if record.statement != "third-party"]
    return replace(verdict, records=tuple(own)).text(language).splitlines()[0]


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_journey_is_proven_beside_what_the_province_says(
    browser: Browser, province: Province, language: Language, screen: str
) -> None:
    """In the words of `moneo verify`; what another says of the code is no part of it."""
    with visit(browser, province.url, language, screen) as person:
        box = judged(person, BOX, "proven", "some")
        assert marks(person) == ["proven", "proven", "other"]
        expect(box).to_contain_text(own_words(province.verdict(BOX), language), ignore_case=True)
        for key in ("others", "unpinned"):
            expect(box).to_contain_text(WORDS[key][language])
        expect(person.page.locator(".standing")).to_contain_text(person.say("anchored_alone"))
        expect(person.page.locator(".others .mark")).to_have_count(1)
        link = box.get_by_role("link", name=WORDS["details"][language])
        link.click()
        expect(person.page).to_have_url(re.compile(r"/verify\?lang=.*#code=%2F01%2F"))
    with visit(browser, province.url, language, screen) as person:
        judged(person, ALONE, "one", "some")
        assert marks(person) == ["proven"]


def test_the_page_stands_as_it_is_without_scripts(browser: Browser, province: Province) -> None:
    with visit(browser, province.url, "vi", "phone", java_script_enabled=False) as person:
        person.open(BOX)
        expect(person.page.locator("#proof")).to_be_hidden()
        expect(person.page.locator(".step")).to_have_count(3)
        expect(person.page.locator(".mark")).to_have_count(0)
        expect(person.page.locator(".standing")).to_contain_text(person.say("anchored_alone"))


# What is not proven


def answered(person: Person, pattern: str, body: bytes) -> None:
    """Let the network give these bytes for an address."""
    person.page.route(re.compile(pattern), lambda route: route.fulfill(body=body))


def altered(evidence: bytes) -> bytes:
    """Return evidence in which another time is written than the one that was signed for."""
    value = json.loads(evidence)
    text = value["batches"][0]["note"]
    value["batches"][0]["note"] = re.sub(r"(?m)^time \d+$", "time 1700000000", text)
    assert value["batches"][0]["note"] != text
    return json.dumps(value).encode()


def records_of(province: Province, code: str) -> dict[str, str]:
    """Return the address of each record's own evidence, by its step."""
    records = province.verdict(code).records
    return {str(record.fields["moneo:cte"]): f"/v1/records/{record.id}/evidence" for record in records}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_altered_evidence_is_not_proven_and_the_step_is_named(
    browser: Browser, province: Province, language: Language
) -> None:
    packing = records_of(province, BOX)["packing"]
    with visit(browser, province.url, language, "phone") as person:
        answered(person, r"/v1/evidence\?", altered(province.evidence(BOX)))
        answered(person, re.escape(packing), altered(get(province.url + packing)[1]))
        box = judged(person, BOX, "none", "bad")
        assert marks(person) == ["proven", "failed", "other"]
        if language == "vi":
            expect(box).to_contain_text(INVALID)
            expect(box).to_contain_text("chứng minh được 1 trong 2")
            failed = person.page.locator("li[data-record]").nth(1).locator(".mark")
            expect(failed).to_contain_text(INVALID)


def test_the_evidence_of_another_code_proves_nothing(browser: Browser, province: Province) -> None:
    with visit(browser, province.url, "vi", "desktop") as person:
        answered(person, r"/v1/evidence\?", province.evidence(ALONE))
        box = judged(person, BOX, "none", "bad")
        expect(box).to_contain_text("đây là bằng chứng của mã khác")
        assert marks(person) == ["proven", "proven", "other"]


def test_a_step_that_no_evidence_has_is_marked(browser: Browser, province: Province) -> None:
    """Whoever shows a step of his own invention, or another's word as the owner's, is found out."""
    batch, shown = province.verdict(BOX).records[0].id, get(province.url + BOX)[1].decode()
    strange = shown.replace(f'data-record="{batch}"', f'data-record="{"A" * 43}.0"')
    mixed = shown.replace(" data-other", "")
    assert strange != shown != mixed
    with visit(browser, province.url, "vi", "phone") as person:
        policy = {"Content-Type": "text/html; charset=utf-8"}
        person.page.route(f"{province.url}{BOX}?lang=vi", lambda it: it.fulfill(body=strange, headers=policy))  # fmt: skip
        judged(person, BOX, "some", "bad")
        assert sorted(marks(person)) == ["missing", "other", "proven"]
        person.page.unroute_all()
        person.page.route(f"{province.url}{BOX}?lang=vi", lambda it: it.fulfill(body=mixed, headers=policy))  # fmt: skip
        person.open(BOX)
        expect(person.page.locator("#proof")).to_have_class("proof bad")
        assert marks(person) == ["proven", "proven", "stranger"]


# What cannot be checked


def test_what_is_not_anchored_yet_is_said_to_wait_and_is_proven_later(
    browser: Browser, province: Province
) -> None:
    with visit(browser, province.url, "vi", "phone") as person:
        with province.waiting():
            province.submit(OWN, seen(LATE, "harvest"))
            wait_until("indexed", lambda: get(province.url + LATE)[0] == 200)
            judged(person, LATE, "waiting", "some")
            assert marks(person) == ["waiting"]
        province.evidence(LATE)
        person.page.get_by_role("link", name=person.say("look_again")).click()
        finds(person, "one", "some")
        assert marks(person) == ["proven"]


def test_without_a_network_it_says_so_and_tries_again(browser: Browser, province: Province) -> None:
    def fail(route: Route) -> None:
        route.abort("internetdisconnected")

    with visit(browser, province.url, "en", "phone") as person:
        person.page.route("**/v1/**", fail)
        box = judged(person, BOX, "not-had", "some")
        expect(box).to_contain_text("there is no network")
        expect(person.page.locator(".mark")).to_have_count(0)
        person.page.unroute("**/v1/**", fail)
        box.get_by_role("button", name=WORDS["again"]["en"]).click()
        finds(person, "proven", "some")
        # That nothing came is what the browser had to complain of.
        assert person.complaints
        assert all("ERR_INTERNET_DISCONNECTED" in said for said in person.complaints)
        person.complaints.clear()


# By whose trust


def test_the_trust_file_that_the_device_has_pinned_decides(
    browser: Browser, province: Province
) -> None:
    own, strange = get(f"{province.url}/v1/trust")[1].decode(), STRANGERS.read_text()
    with visit(browser, province.url, "vi", "phone") as person:
        judged(person, BOX, "proven", "some")
        person.page.evaluate(PIN, own)
        box = judged(person, BOX, "proven", "some")
        expect(box).to_contain_text(WORDS["pinned"]["vi"])
        person.page.evaluate(PIN, strange)
        box = judged(person, BOX, "none", "some")
        expect(box).to_contain_text("không dẫn đến bằng chứng này")
        assert marks(person) == ["failed", "failed", "failed"]
        # The members that this device trusts: their pages check the same.
        links = box.locator(".links a")
        hosts = [host for one in json.loads(strange)["members"] for host in one["hosts"]]
        expect(links).to_have_text(hosts)
        expect(links.first).to_have_attribute(
            "href", re.compile(rf"^https://{re.escape(hosts[0])}/verify\?lang=vi#code=http")
        )


def consortium(person: Person, province: Province) -> bytes:
    """Let the page of one record be that of a consortium's, and the network its; return its evidence."""
    evidence, trust = (NETWORK / "after-the-removal.json").read_bytes(), LEFT.read_bytes()
    (record,) = verify(evidence, trust, VOTED).records
    html = get(province.url + ALONE)[1].decode().replace(f'data-code="{ALONE}"', f'data-code="{VOTED}"')  # fmt: skip
    html, changed = re.subn('data-record="[^"]+"', f'data-record="{record.id}"', html)
    assert changed == 1
    page = {"Content-Type": "text/html; charset=utf-8"}
    person.page.route(re.compile(re.escape(ALONE)), lambda it: it.fulfill(body=html, headers=page))
    answered(person, r"/v1/evidence\?", evidence)
    answered(person, "/v1/trust$", trust)
    return evidence


def test_what_a_consortium_has_signed_is_good_and_other_members_pages_check_it_too(
    browser: Browser, province: Province
) -> None:
    with visit(browser, province.url, "vi", "phone") as person:
        consortium(person, province)
        box = judged(person, ALONE, "one", "good")
        expect(box).to_contain_text("Hơn 2/3 trong số 3 nút kiểm chứng đã ký")
        expect(box.locator(".links a")).to_have_count(3)


def test_a_newer_trust_file_that_follows_from_the_pinned_one_is_as_good(
    browser: Browser, province: Province
) -> None:
    with visit(browser, province.url, "vi", "phone") as person:
        # Without the era in between nothing leads there from the file of four.
        value = json.loads(consortium(person, province))
        value["eras"] = []
        answered(person, r"/v1/(evidence\?|records/)", json.dumps(value).encode())
        person.open("/")
        person.page.evaluate(PIN, STRANGERS.read_text())
        box = judged(person, ALONE, "one", "good")
        expect(box).to_contain_text(WORDS["pinned"]["vi"])
        # What does not follow from it takes nobody's place.
        person.page.unroute(re.compile("/v1/trust$"))
        answered(person, "/v1/trust$", get(f"{province.url}/v1/trust")[1])
        judged(person, ALONE, "none", "some")


# How it stands there


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_it_says_is_readable_on_every_screen(
    browser: Browser, province: Province, scheme: str
) -> None:
    """Also where something is wrong, and in both schemes of colour."""
    with visit(browser, province.url, "vi", "phone", color_scheme=scheme) as person:
        for title, tone in (("proven", "some"), ("none", "bad")):
            judged(person, BOX, title, tone)
            for width in WIDTHS:
                person.page.set_viewport_size({"width": width, "height": 800})
                assert person.page.evaluate(FAULTS) == [], (title, width)
            answered(person, r"/v1/(evidence\?|records/)", altered(province.evidence(BOX)))
