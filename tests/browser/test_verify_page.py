# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever holds a product checks it on /verify: by camera, photograph, link, code or file; in a real Chromium.

The province is one of real processes with the sample diary; the consortium's files were made by the real network of
tests/vectors/network. No page may complain, load from elsewhere, or break its policy: each visit ends with that check.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import segno
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Locator, Playwright, Route, expect

from anchor.trust import fingerprint
from api.guard import checking_policy
from api.words import Language
from tests.support.browser import (
    CAMERA,
    FAULTS,
    LANGUAGES,
    STOPS,
    WIDTHS,
    Person,
    axe,
    clip,
    opened,
    playing,
    visit,
)
from tests.support.firefox import firefox
from tests.support.province import Running, free_addresses, get, wait_until
from tests.support.tools import built

CODE = "/01/09520001000034/10/HOP-01-1"
SERIAL = "(01)09520001000034(10)HOP-01-1(21)CUA-7"
OTHER = "/01/09520001000034/10/KHAC"
VECTORS = Path(__file__).parents[1] / "vectors"
NETWORK = VECTORS / "network"
# A name under which this machine is no longer itself: plain http to it is as insecure as to any other.
STRANGE = "cua.example"
MAX_BYTES = 60_000
# A mid-range phone on mobile data.
SLOW_CPU, SLOW_NETWORK = 6, {"latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 90_000}  # fmt: skip

TITLES: dict[str, dict[Language, str]] = {
    "practice": {"vi": "Hồ sơ thử", "en": "Practice records"},
    "consortium": {"vi": "nhiều bên cùng xác nhận", "en": "several parties confirm it"},
    "invalid": {"vi": "Không đúng: tệp đã bị sửa", "en": "Not right: the file was altered"},
    "mismatch": {"vi": "hồ sơ của mã khác", "en": "records of another code"},
    "untrusted": {"vi": "Chưa kết luận được", "en": "No answer"},
    "malformed": {"vi": "Không đọc được", "en": "Can not be read"},
    "stranger": {"vi": "Trang lạ", "en": "A stranger's page"},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a province with the sample diary, anchored, and return its address."""
    built()
    api, rpc = free_addresses(2)
    url, data = f"http://{api}", tmp_path_factory.mktemp("verify") / "var"
    with Running("demo", "--data", data, "--api", api, "--rpc", rpc) as running:
        running.wait_for(CODE)
        wait_until("anchored", lambda: get(f"{url}/v1/evidence?code={CODE}")[0] == 200)
        yield url


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with playing() as one:
        yield one


@pytest.fixture(scope="module")
def browser(playwright: Playwright, site: str) -> Iterator[Browser]:
    with opened(
        playwright, f"--host-resolver-rules=MAP {STRANGE} {urlsplit(site).hostname}"
    ) as one:
        yield one


# What a person does and reads


def arrive(person: Person, address: str = "/verify") -> None:
    """Open the page and wait until it has a trust file."""
    person.open(address)
    expect(person.page.locator("#trust .fingerprint")).to_be_visible()


def paste(person: Person, text: str) -> None:
    person.page.locator("#text").fill(text)
    person.page.locator("#text").press("Enter")


def choose(person: Person, *files: Path | FilePayload) -> None:
    person.page.locator("#files").set_input_files(list(files))  # type: ignore[arg-type]


def payload(name: str, data: bytes, kind: str = "application/json") -> FilePayload:
    return FilePayload(name=name, mimeType=kind, buffer=data)


def verdict(person: Person, title: str) -> Locator:
    """Wait for a verdict with this title, and return its card; the newest stands first."""
    card = person.page.locator(".verdict").first
    expect(card.locator("h2")).to_contain_text(TITLES[title][person.language])
    return card


def forget(person: Person) -> None:
    """Throw away the pinned trust file, which is asked for twice."""
    panel = person.page.locator("#trust-body > details")
    panel.locator("summary").click()
    panel.locator("button").last.click()
    panel.locator("button").last.click()
    expect(person.page.locator("#trust .fingerprint")).to_have_count(0)


def believe(person: Person, trust: Path) -> None:
    """Pin a trust file in the place of the province's."""
    forget(person)
    choose(person, trust)
    expect(person.page.locator("#trust .fingerprint")).to_have_text(fingerprint_of(trust))


def fingerprint_of(trust: Path) -> str:
    return str(fingerprint(trust.read_bytes()))


def evidence_of(site: str, code: str = CODE) -> bytes:
    return get(f"{site}/v1/evidence?code={code}")[1]


def tampered(evidence: bytes) -> bytes:
    """Return evidence in which a practice record is passed off as a real one."""
    assert evidence.count(b"mode practice") == 4
    return evidence.replace(b"mode practice", b"mode live", 1)


# Label in, verdict out


def qr(text: str) -> Image.Image:
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="png", scale=6, border=4)
    return Image.open(out).convert("RGB")


def data_matrix(elements: str) -> Image.Image:
    # The separator between lot and serial is in the symbol, as a label printer puts it there.
    made = zxingcpp.create_barcode(elements, zxingcpp.BarcodeFormat.DataMatrix, gs1=True)
    return Image.fromarray(made.to_image(scale=8)).convert("RGB")


@pytest.mark.parametrize(
    ("label", "language", "code"),
    [("qr", "vi", CODE), ("data-matrix", "en", f"{CODE}/21/CUA-7")],
)
def test_a_camera_reads_a_label_and_the_product_is_proven(
    playwright: Playwright, site: str, tmp_path: Path, label: str, language: Language, code: str
) -> None:
    picture = qr(site + CODE) if label == "qr" else data_matrix(SERIAL)
    nothing = Image.new("RGB", (8, 8), "white")
    camera = clip(tmp_path / "label.mjpeg", [nothing] * 3 + [picture] * 5)
    with (
        opened(playwright, *CAMERA, camera) as seeing,
        visit(seeing, site, language, "phone") as person,
    ):
        asked: list[str] = []
        person.page.on("request", lambda it: asked.append(urlsplit(it.url).path))
        arrive(person)
        assert not [path for path in asked if "scanner" in path or path.endswith(".wasm")]
        person.press("verify_scan")
        card = verdict(person, "practice")
        expect(card.locator(".kicker")).to_contain_text(code)
        expect(person.page.locator("#camera")).to_be_hidden()
        expect(card.locator(".chain > .ok")).to_have_count(6)
        expect(card.locator(".timeline > .step")).to_have_count(4)
        # Used once, the scanner is there without a network, too.
        kept_offline(person)
        person.page.context.set_offline(True)
        person.page.reload()
        person.press("verify_scan")
        expect(person.page.locator("#said")).to_contain_text(urlsplit(site).netloc)
        forgive_no_network(person)


def test_a_photograph_of_the_label_does_where_no_camera_is(browser: Browser, site: str) -> None:
    """As in the browsers inside of other apps, which hand out no camera."""
    with visit(browser, site, "vi", "phone") as person:
        person.page.add_init_script("delete Navigator.prototype.mediaDevices")
        arrive(person)
        expect(person.page.locator("#scan")).to_be_hidden()
        expect(person.page.locator("#limits")).to_contain_text("Zalo")
        out = io.BytesIO()
        data_matrix(SERIAL).rotate(7, expand=True, fillcolor="white").save(out, "JPEG")
        choose(person, payload("tem.jpg", out.getvalue(), "image/jpeg"))
        expect(verdict(person, "practice").locator(".kicker")).to_contain_text("CUA-7")
        blank = io.BytesIO()
        Image.new("RGB", (300, 200), "white").save(blank, "PNG")
        choose(person, payload("giay.png", blank.getvalue(), "image/png"))
        expect(person.page.locator("#said")).to_contain_text("Không thấy mã")
        choose(person, payload("hong.png", b"no picture", "image/png"))
        expect(person.page.locator("#said")).to_contain_text("Không mở được ảnh")


def test_plain_http_is_told_and_still_proves_by_other_means(browser: Browser, site: str) -> None:
    """Neither WebCrypto nor camera nor service worker: the signatures are checked all the same."""
    strange = f"http://{STRANGE}:{urlsplit(site).port}"
    with visit(browser, strange, "en", "phone") as person:
        arrive(person)
        said = person.page.evaluate(
            "[isSecureContext, !!crypto.subtle, 'serviceWorker' in navigator]"
        )
        assert said == [False, False, False]
        expect(person.page.locator("#limits")).to_contain_text("https")
        paste(person, CODE)
        expect(verdict(person, "practice").locator(".chain > .ok")).to_have_count(6)
        # The demonstration has registered its own address only.
        expect(person.page.locator("#trust")).to_contain_text(f"this very page ({STRANGE}")
        choose(person, payload("a.json", tampered(evidence_of(site))))
        verdict(person, "invalid")
        # Chromium says of the header that needs https that it does.
        person.complaints[:] = [it for it in person.complaints if "Opener-Policy" not in it]


# Files


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_is_proven_compared_with_labels_and_refused_when_altered(
    browser: Browser, site: str, language: Language
) -> None:
    with visit(browser, site, language, "desktop") as person:
        arrive(person)
        good = evidence_of(site)
        choose(person, payload("cua.json", good))
        card = verdict(person, "practice")
        expect(card.locator(".chain > .ok")).to_have_count(5)
        expect(card.locator(".chain > .skipped")).to_have_count(1)
        expect(card.locator("h2")).to_be_focused()
        card.locator("#label-code").fill(OTHER)
        card.locator("#label-code").press("Enter")
        card = verdict(person, "mismatch")
        expect(card).to_have_class(re.compile("bad"))
        expect(card.locator(".timeline, dl")).to_have_count(0)
        choose(person, payload("cua.json", good))
        verdict(person, "practice").locator("#label-code").fill(CODE)
        person.page.locator("#label-code").press("Enter")
        expect(person.page.locator(".verdict").first.locator(".chain > .ok")).to_have_count(6)
        choose(person, payload("sua.json", tampered(good)), payload("gi.json", b"{}"))
        verdict(person, "malformed")
        bad = person.page.locator(".verdict").nth(1)
        expect(bad.locator("h2")).to_contain_text(TITLES["invalid"][language])
        expect(bad.locator(".chain > .failed")).to_have_count(1)
        expect(bad.locator(".timeline, dl")).to_have_count(0)
        choose(person, VECTORS / "evidence" / "four-validators.json")
        expect(verdict(person, "untrusted").locator(".chain > .open")).to_have_count(1)
        choose(person, payload("lon.json", b" " * (1 << 20) + b"{}"))
        expect(person.page.locator("#said")).to_contain_text("1 MiB")
        assert person.page.locator(".verdict").count() == 5


def test_files_are_dropped_and_links_to_evidence_are_followed(browser: Browser, site: str) -> None:
    with visit(browser, site, "vi", "desktop") as person:
        arrive(person, f"/verify?evidence=/v1/evidence?code%3D{CODE}#code={OTHER}")
        verdict(person, "mismatch")
        arrive(person, f"/verify#code={CODE}")
        verdict(person, "practice")
        expect(person.page.locator("#text")).to_have_value(CODE)
        drop = """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], 'tha.json'));
          document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
        }"""
        person.page.evaluate(drop, list(evidence_of(site)))
        expect(verdict(person, "practice").locator(".kicker")).to_contain_text("tha.json")
        paste(person, "đây là gì")
        expect(person.page.locator("#said")).to_contain_text("đây là gì")
        paste(person, OTHER)
        expect(person.page.locator("#said")).to_contain_text("Chưa có hồ sơ nào")
        forgive_refusals(person)


# Whose page


def test_a_strangers_page_is_named_and_asked_for_nothing(browser: Browser, site: str) -> None:
    """Not even its name is looked up: the visit would complain of any request."""
    with visit(browser, site, "vi", "phone") as person:
        arrive(person)
        for link in (f"https://gia-mao.example{CODE}", f"gia-mao.example{CODE}"):
            paste(person, link)
            expect(verdict(person, "stranger").locator("h2")).to_contain_text("gia-mao.example")
        arrive(person, "/verify?evidence=//gia-mao.example/v1/evidence")
        verdict(person, "stranger")


def test_another_members_page_is_asked_over_tls(browser: Browser, site: str) -> None:
    """A member that the pinned trust file names; its server is played with what the real one serves."""
    trust = VECTORS / "evidence" / trust_of("four-validators")
    host = json.loads(trust.read_bytes())["members"][0]["hosts"][0]
    code = "/01/09521234000013/10/CRAB-7"
    asked: list[str] = []

    def serve(route: Route) -> None:
        asked.append(route.request.url)
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}
        body = (VECTORS / "evidence" / "four-validators.json").read_bytes()
        route.fulfill(status=200, headers=headers, body=body)

    def allow(route: Route) -> None:
        # The policy as the server writes it for a trust file that names this member.
        answer = route.fetch()
        policy = {"content-security-policy": checking_policy([host])}
        route.fulfill(response=answer, headers={**answer.headers, **policy})

    with visit(browser, site, "en", "phone", service_workers="block") as person:
        person.page.route(f"https://{host}/**", serve)
        person.page.route(re.compile(r"/verify\?"), allow)
        arrive(person)
        believe(person, trust)
        paste(person, f"http://{host}{code}?lang=vi")
        verdict(person, "consortium")
        assert asked == [f"https://{host}/v1/evidence?code={code.replace('/', '%2F')}"]
        person.complaints.remove(f"asked elsewhere: {asked[0]}")
        forgive_blocked_worker(person)


def trust_of(name: str) -> str:
    index = json.loads((VECTORS / "evidence" / "index.json").read_bytes())
    return next(str(one["trust"]) for one in index if one["name"] == name)


# Whom the device believes


def test_a_trust_file_is_replaced_only_by_its_successor_and_when_the_person_agrees(
    browser: Browser, site: str
) -> None:
    four, three = NETWORK / "trust-of-four.json", NETWORK / "trust-of-three.json"
    with visit(browser, site, "en", "desktop") as person:
        arrive(person)
        pinned = person.page.locator("#trust .fingerprint")
        first = pinned.inner_text()
        # What follows from nothing that is pinned takes nothing's place.
        choose(person, four)
        expect(person.page.locator("#said")).to_contain_text("does not follow")
        expect(pinned).to_have_text(first)
        believe(person, four)
        choose(person, NETWORK / "before-the-removal.json")
        card = verdict(person, "practice")
        expect(card).to_contain_text(fingerprint_of(four))
        choose(person, three)
        offer = person.page.locator(".offer")
        expect(offer).to_contain_text("Đắk Lắk")
        expect(pinned).to_have_text(fingerprint_of(four))
        offer.locator("button").last.click()
        expect(offer).to_have_count(0)
        expect(pinned).to_have_text(fingerprint_of(four))
        choose(person, three)
        offer.locator("button").first.click()
        expect(pinned).to_have_text(fingerprint_of(three))
        choose(person, four)
        expect(person.page.locator("#said")).to_contain_text("older")
        # The province hands out another: the pinned one stays, and that is said.
        person.page.locator("#trust .banner button").click()
        expect(person.page.locator("#trust")).to_contain_text("You have compared")
        arrive(person)
        expect(pinned).to_have_text(fingerprint_of(three))
        warning = "hands out a trust file that does not follow"
        expect(person.page.locator("#trust [role=alert]").first).to_contain_text(warning)
        expect(person.page.locator("#trust")).to_contain_text("You have compared")
        bad = three.read_bytes().replace(b'"round": 0', b'"round": 1')
        choose(person, payload("xau.json", bad))
        expect(person.page.locator("#said")).to_contain_text("not valid")


def test_a_province_can_renew_what_is_pinned(browser: Browser, site: str) -> None:
    """Its /v1/trust is played: a real consortium's next file, after one of four has left."""
    with visit(browser, site, "vi", "phone") as person:
        served = {"now": NETWORK / "trust-of-four.json"}
        person.page.route(
            "**/v1/trust", lambda route: route.fulfill(body=served["now"].read_bytes())
        )
        arrive(person)
        pinned = person.page.locator("#trust .fingerprint")
        expect(pinned).to_have_text(fingerprint_of(served["now"]))
        served["now"] = NETWORK / "trust-of-three.json"
        arrive(person)
        expect(person.page.locator(".offer")).to_contain_text("Không còn: Đắk Lắk")
        expect(pinned).to_have_text(fingerprint_of(NETWORK / "trust-of-four.json"))
        person.page.locator(".offer button").first.click()
        expect(pinned).to_have_text(fingerprint_of(served["now"]))


# Without a network, slowly, in both languages


def kept_offline(person: Person) -> None:
    """Wait until the page says that it is kept on the device."""
    said = {"vi": "Trang đã nằm trong máy", "en": "The page is kept on this device"}
    expect(person.page.locator("#trust")).to_contain_text(said[person.language])


def forgive_no_network(person: Person) -> None:
    person.complaints[:] = [it for it in person.complaints if "ERR_INTERNET_DISCONNECTED" not in it]


def forgive_refusals(person: Person) -> None:
    person.complaints[:] = [it for it in person.complaints if "status of 404" not in it]


def forgive_blocked_worker(person: Person) -> None:
    person.complaints[:] = [it for it in person.complaints if "Service Worker" not in it]


def test_after_the_first_visit_it_works_without_a_network(browser: Browser, site: str) -> None:
    with visit(browser, site, "vi", "phone") as person:
        evidence = evidence_of(site)
        arrive(person)
        kept_offline(person)
        printed = person.page.locator("#trust .fingerprint").inner_text()
        person.page.context.set_offline(True)
        for address in ("/verify", "/verify?from=home"):
            arrive(person, address)
            expect(person.page.locator("#trust .fingerprint")).to_have_text(printed)
            choose(person, payload("cua.json", evidence))
            verdict(person, "practice")
        # A link to the page in the other language is the same page.
        person.page.locator("a.language:visible").click()
        expect(person.page.get_by_role("heading", level=1)).to_have_accessible_name(
            "Check a product yourself"
        )
        paste(person, CODE)
        expect(person.page.locator("#said")).to_contain_text("no network")
        forgive_no_network(person)


class Versions(BaseHTTPRequestHandler):
    """A server with the real service worker and a page of two versions, each with a file of its own."""

    version = "a"
    worker = b""

    def do_GET(self) -> None:
        """Answer with the page, the worker, or the one file that there is now."""
        path = self.path.partition("?")[0]
        bodies = {
            "/verify": f'<!doctype html><title>{self.version}</title><link rel="icon" href="data:,">'
            f'<script src="/static/{self.version}.js"></script>'.encode(),
            "/verify/worker.js": self.worker,
            f"/static/{self.version}.js": b"navigator.serviceWorker.register('/verify/worker.js', {scope: '/verify'})",
        }
        self.send_response(200 if path in bodies else 404)
        self.send_header("Service-Worker-Allowed", "/verify")
        self.send_header("Content-Type", "text/html" if path == "/verify" else "text/javascript")
        self.end_headers()
        self.wfile.write(bodies.get(path, b""))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_what_is_kept_on_the_device_is_renewed_as_a_whole(playwright: Playwright) -> None:
    """A new version is shown at the visit after the one at which it was fetched, and then without a network."""
    files: list[str] = []
    kept = "caches.open('moneo-verify').then((cache) => cache.keys()).then((all) => all.map((one) => new URL(one.url).pathname).sort())"
    handler = type("Served", (Versions,), {"worker": (built() / "worker.js").read_bytes()})
    address = urlsplit(f"http://{free_addresses(1)[0]}")
    server = ThreadingHTTPServer((str(address.hostname), address.port or 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with (
            opened(playwright) as browser,
            visit(browser, address.geturl(), "vi", "phone") as person,
        ):

            def has(*names: str) -> bool:
                files[:] = person.page.evaluate(kept)
                return files == [*names, "/verify"]

            person.open("/verify")
            wait_until("kept", lambda: has("/static/a.js"))
            handler.version = "b"  # type: ignore[attr-defined]
            person.open("/verify")
            assert person.page.title() == "a"
            # What the page of before may still be loading stays as long as it does.
            wait_until("renewed", lambda: has("/static/a.js", "/static/b.js"))
            person.page.context.set_offline(True)
            person.open("/verify")
            assert person.page.title() == "b"
            person.page.context.set_offline(False)
            person.open("/verify")
            wait_until("tidied", lambda: has("/static/b.js"))
            forgive_no_network(person)
    finally:
        server.shutdown()
        server.server_close()


def test_it_can_be_installed(browser: Browser, site: str) -> None:
    with visit(browser, site, "vi", "phone") as person:
        arrive(person)
        kept_offline(person)
        session = person.page.context.new_cdp_session(person.page)
        manifest = session.send("Page.getAppManifest")
        assert manifest["errors"] == [] and json.loads(manifest["data"])["start_url"] == "/verify"
        assert session.send("Page.getInstallabilityErrors")["installabilityErrors"] in (
            [],
            # A visit that leaves no trace installs nothing: that is all Chromium has against it.
            [{"errorId": "in-incognito", "errorArguments": []}],
        )


def test_a_slow_phone_on_a_slow_network_gets_its_verdict(browser: Browser, site: str) -> None:
    with visit(browser, site, "vi", "phone") as person:
        session = person.page.context.new_cdp_session(person.page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOW_CPU})
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", {"offline": False, **SLOW_NETWORK})
        arrive(person, f"/verify#code={CODE}")
        verdict(person, "practice")


def test_the_language_changes_without_a_request(browser: Browser, site: str) -> None:
    with visit(browser, site, "vi", "desktop") as person:
        arrive(person)
        paste(person, CODE)
        verdict(person, "practice")
        kept_offline(person)
        asked: list[str] = []
        person.page.on("request", lambda it: asked.append(it.url))
        person.page.locator("a.language:visible").click()
        person.language = "en"
        verdict(person, "practice")
        expect(person.page.locator("a.language:visible")).to_be_focused()
        seen = person.page.locator("body").inner_text()
        assert not re.search(r"\b(Tự kiểm tra|Chuỗi bằng chứng|tin cậy|bước)\b", seen)
        assert person.page.evaluate("[document.documentElement.lang, document.title]") == [
            "en",
            "Check a product yourself · Moneo",
        ]
        person.page.reload()
        expect(person.page.get_by_role("heading", level=1)).to_have_accessible_name(
            "Check a product yourself"
        )
        assert [url for url in asked if not url.startswith(site + "/")] == []


# Another engine


def test_firefox_comes_to_the_same_verdicts(site: str, tmp_path: Path) -> None:
    label, altered = tmp_path / "tem.png", tmp_path / "sua.json"
    data_matrix(SERIAL).save(label)
    altered.write_bytes(tampered(evidence_of(site)))
    newest = "document.querySelector('.verdict h2')?.textContent.includes"
    with firefox(tmp_path) as person:
        person.open(f"{site}/verify?lang=vi#code={CODE}")
        person.wait(f"{newest}('{TITLES['practice']['vi']}')")
        assert person.look("document.querySelectorAll('.chain > .ok').length") == 6
        person.choose("#files", label)
        person.wait("document.querySelector('.kicker').textContent.includes('CUA-7')")
        person.choose("#files", altered)
        person.wait(f"{newest}('{TITLES['invalid']['vi']}')")
        person.wait("navigator.serviceWorker.controller")
        person.open(f"{site}/verify?lang=en")
        person.wait("document.querySelector('#trust .fingerprint')")
        assert person.look("[document.title, Boolean(navigator.serviceWorker.controller)]") == [
            "Check a product yourself · Moneo",
            True,
        ]
        assert person.complaints == []


# How it stands there

STATES: dict[str, Callable[[Person, str], Any]] = {
    "proven": lambda person, site: paste(person, CODE),
    "altered": lambda person, site: choose(person, payload("s.json", tampered(evidence_of(site)))),
    "stranger": lambda person, site: paste(person, f"https://gia-mao.example{CODE}"),
}


@pytest.mark.parametrize(("language", "scheme"), [("vi", "light"), ("en", "dark")])
def test_axe_and_the_eye_find_no_fault(
    browser: Browser, site: str, language: Language, scheme: str
) -> None:
    """Every state at once, everything unfolded, from 320 px to a desktop; and nothing moves."""
    with visit(browser, site, language, "phone", color_scheme=scheme) as person:
        arrive(person)
        assert axe(person.page) == [] and person.page.evaluate(FAULTS) == []
        for count, do in enumerate(STATES.values(), start=1):
            do(person, site)
            expect(person.page.locator(".verdict")).to_have_count(count)
        believe(person, NETWORK / "trust-of-four.json")
        choose(person, NETWORK / "before-the-removal.json")
        expect(person.page.locator(".verdict")).to_have_count(len(STATES) + 1)
        choose(person, NETWORK / "trust-of-three.json")
        expect(person.page.locator(".offer")).to_be_visible()
        person.page.evaluate(
            "document.querySelectorAll('details').forEach((one) => one.open = true)"
        )
        for width in reversed(WIDTHS):
            person.page.set_viewport_size({"width": width, "height": 844})
            assert person.page.evaluate(FAULTS) == [], width
        assert axe(person.page) == []
        assert person.page.evaluate("document.getAnimations().length") == 0


def test_a_keyboard_is_enough(browser: Browser, site: str) -> None:
    with visit(browser, site, "vi", "desktop") as person:
        arrive(person)
        keys = person.page.keyboard
        person.page.locator("#text").focus()
        keys.type(CODE)
        keys.press("Enter")
        card = verdict(person, "practice")
        expect(card.locator("h2")).to_be_focused()
        keys.press("Tab")
        keys.press("Enter")
        expect(card.locator(".chain details").first).to_have_attribute("open", "")
        person.page.locator("body").evaluate("document.activeElement.blur()")
        person.page.evaluate("scrollTo(0, 0)")
        stops = person.page.locator(f":is({STOPS}, pre[tabindex]):visible")
        reached = []
        person.page.locator(".skip").focus()
        for _ in range(stops.count()):
            reached.append(person.page.evaluate(SHOWN))
            keys.press("Tab")
        # In the order of the page, each where it can be seen, none twice.
        assert reached == sorted(reached) and len(set(map(tuple, reached))) == stops.count()
        assert all(seen for _, seen in reached)


# Where the focus is, counted over all elements, and whether one can see it.
SHOWN = """
() => {
  const at = document.activeElement.closest('.choose') ?? document.activeElement, style = getComputedStyle(at);
  return [[...document.querySelectorAll('*')].indexOf(at), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}
"""


def test_all_but_the_scanner_is_light(site: str) -> None:
    """What a first visit transfers, as a browser that takes Brotli gets it; the page itself is sent as it is."""
    status, page = get(f"{site}/verify")
    assert status == 200
    paths = set(re.findall(rb'(?:href|src)="(/static/[^"]+\.(?:js|css))"', page))
    sizes = {path.decode(): transferred(site + path.decode()) for path in paths}
    total = sum(sizes.values()) + len(gzip.compress(page))
    assert any("verify" in path for path in sizes) and any(".css" in path for path in sizes)
    assert total < MAX_BYTES, sizes


def transferred(url: str) -> int:
    with urlopen(Request(url, headers={"Accept-Encoding": "br, gzip"}), timeout=30) as answer:
        body = answer.read()
        packed = answer.headers["Content-Encoding"] is not None
    return len(body) if packed else len(zlib.compress(body, 9))
