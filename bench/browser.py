# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how soon a person sees a verdict: evidence of four validators, verified by Python and by Chromium.

`python -m bench.browser` needs Chromium, Node and CometBFT (scripts/tools, scripts/web). One record and a journey of
30, as `bench.validators` makes them, are verified in Python, in Chromium and in Chromium with its processor slowed
six times. Then four real provinces anchor a journey of 30, three of them are stopped where they stand, and the
fourth's product page is opened anew again and again on a phone's screen, through a line of 1.6 Mbit/s.
"""

import base64
import gzip
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import httpx
from playwright.sync_api import Browser, Page, Request, Route

from anchor import verify as verifier
from anchor.province import Province
from api.cli import org_custody
from api.organisations import Organisations
from bench.clients import JOURNEY_BATCHES, JOURNEY_EACH, _events, lot_of
from bench.consortium import Spawner
from bench.support import GTIN, PREFIX, arguments, machine, ms, say, table, workplace
from bench.validators import File, journey, one_record
from tests.support.browser import SCREENS, opened, playing
from tests.support.consortium import Consortium
from tests.support.makeevidence import CRAB_LOT
from tests.support.province import get, wait_until
from tests.support.tools import ROOT

WEB: Final = ROOT / "api" / "web"
SITE: Final = "https://bench.example/"
VALIDATORS: Final = 4
JOURNEY: Final = JOURNEY_BATCHES * JOURNEY_EACH
ROUNDS: Final = 60
VISITS: Final = 7
SLOWER: Final = 6
BITS_PER_SECOND: Final = 1_600_000
UP_BITS_PER_SECOND: Final = 750_000
# Of a request on a slow mobile line, as Lighthouse takes it.
WAIT_MS: Final = 150
LONGEST_MS: Final = 120_000
# The verifiers' steps, by the names of their methods in JavaScript.
STEPS: Final = {
    "read": "read",
    "record": "records",
    "signature": "signatures",
    "log": "logs",
    "state": "states",
    "header": "headers",
    "finality": "finality",
    "code": "code",
    "age": "age",
}
REST: Final = "trust file, verdict"
WHOLE: Final = "whole"
HEADERS: Final = {
    # A page on its own is told the time to 5 µs.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}

# Verify so often; milliseconds of each time, and of each of its steps.
TIME: Final = """
async ({evidence, trust, code, rounds, steps}) => {
  const {verify, Verification} = await import('/verifier.js');
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const [file, by] = [bytes(evidence), bytes(trust)];
  let parts;
  for (const name of steps) {
    const usual = Verification.prototype[name];
    Verification.prototype[name] = async function (...given) {
      const began = performance.now();
      try { return await usual.apply(this, given); } finally { parts[name] = performance.now() - began; }
    };
  }
  const found = [];
  for (let n = 0; n < rounds; n++) {
    parts = {};
    const began = performance.now();
    const verdict = await verify(file, by, {code, now: Math.floor(Date.now() / 1000)});
    found.push({whole: performance.now() - began, ...parts});
    if (!verdict.proven) throw new Error(JSON.stringify(verdict.failure));
  }
  return found;
}
"""

# Note when the product page has shown its first verdict, since the tap that opened it.
NOTE: Final = """
new MutationObserver((_, watching) => {
  if (!document.querySelector('#proof[aria-busy="false"]')) return;
  window.verdictAfter = performance.now();
  watching.disconnect();
}).observe(document, {subtree: true, childList: true, attributes: true});
"""


# What a visit waits for, in milliseconds since the tap.
VERDICT: Final = "verdict shown"
MOMENTS: Final = f"""
() => {{
  const ends = (part) => performance.getEntriesByType('resource')
    .filter(({{name}}) => name.includes(part)).map(({{responseEnd}}) => responseEnd);
  return {{
    'page there': performance.getEntriesByType('navigation')[0].responseEnd,
    'scripts there': Math.max(...ends('.js')),
    'evidence there': Math.max(...ends('/v1/evidence')),
    'trust file there': Math.max(...ends('/v1/trust')),
    '{VERDICT}': window.verdictAfter,
  }};
}}
"""


@dataclass(frozen=True)
class Timed:
    """Milliseconds of a file's verification: the first one, of the others median and least, and each step's median.

    The least is what a machine would take that does nothing else.
    """

    first: float
    whole: float
    least: float
    steps: Mapping[str, float]


def in_python(file: File, rounds: int) -> Timed:
    """Verify in this process."""
    verifier._trusted.cache_clear()
    parts: dict[str, float] = {}

    def timed(name: str, check: Callable[..., Any]) -> Callable[..., Any]:
        def call(case: Any) -> Any:
            began = time.perf_counter()
            try:
                return check(case)
            finally:
                parts[name] = 1000 * (time.perf_counter() - began)

        return call

    checks = [timed(name, check) for name, check in zip(STEPS, verifier._CHECKS, strict=True)]
    found = []
    with patch.object(verifier, "_CHECKS", checks):
        for _ in range(rounds):
            began = time.perf_counter()
            verdict = verifier.verify(file.evidence, file.trust, CRAB_LOT, int(time.time()))
            found.append({WHOLE: 1000 * (time.perf_counter() - began), **parts})
            assert verdict.proven, verdict.failure
    return _timed(found)


def _timed(found: Sequence[Mapping[str, float]]) -> Timed:
    """Sum up runs; the first is apart, since much is done then once only."""
    first, *others = found
    rests = [2 * each[WHOLE] - sum(each.values()) for each in others]
    steps = {name: statistics.median(each[name] for each in others) for name in STEPS}
    wholes = [each[WHOLE] for each in others]
    whole, least = statistics.median(wholes), min(wholes)
    return Timed(first[WHOLE], whole, least, {**steps, REST: statistics.median(rests)})


def in_chromium(browser: Browser, script: bytes, file: File, rounds: int, slower: int) -> Timed:
    """Verify in a new page, its processor slowed so many times."""
    context = browser.new_context()
    page = context.new_page()

    def serve(route: Route) -> None:
        kinds = {"/verifier.js": ("text/javascript", script)}
        kind, body = kinds.get(
            route.request.url.removeprefix(SITE[:-1]), ("text/html", b"<!doctype html>")
        )
        route.fulfill(body=body, headers={**HEADERS, "Content-Type": kind})

    page.route(f"{SITE}**", serve)
    page.goto(SITE)
    slow_down(page, slower)
    page.set_default_timeout(LONGEST_MS)
    given = {
        "evidence": base64.b64encode(file.evidence).decode(),
        "trust": base64.b64encode(file.trust).decode(),
        "code": CRAB_LOT,
        "rounds": rounds,
        "steps": list(STEPS.values()),
    }
    found = page.evaluate(TIME, given)
    context.close()
    names = {WHOLE: WHOLE, **STEPS}
    return _timed([{name: each[its] for name, its in names.items()} for each in found])


def slow_down(page: Page, slower: int) -> Any:
    """Slow a page's processor; return the session that does."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    return session


# A product page


@contextmanager
def standing_still(folder: Path) -> Iterator[tuple[str, str]]:
    """Have four provinces anchor a journey of 30; yield the first one's address and the code once they all rest."""
    code = f"{GTIN}/10/{lot_of('J', 0, JOURNEY_EACH, 0)}"
    with Consortium(folder, VALIDATORS, starter=Spawner()) as provinces:
        for number in provinces.places:
            provinces.start(number)
        provinces.wait_up()
        provinces.start(1, ("anchor", "api"))
        provinces.wait_api(1)
        url = provinces[1].settings.public_url
        submit(provinces, url)
        asked = f"{url}/v1/evidence?code={code}"
        wait_until("evidence", lambda: get(asked)[0] == 200, 120)
        trust = provinces[1].settings.trust_path.read_bytes()
        evidence = json.loads(get(asked)[1])
        assert len(evidence["records"]) == JOURNEY
        assert verifier.verify(get(asked)[1], trust, code).assurance == "consortium"
        for number in range(2, VALIDATORS + 1):
            provinces.pause(number)
        yield url, code


def submit(provinces: Consortium, url: str) -> None:
    """Submit the journey's batches, as a business whose key the province keeps."""
    settings, name = provinces[1].settings, "HTX đo"
    with closing(Province.open(settings)) as province:
        organisations = Organisations(province.store.engine, province.origin)
        organisations.add_organisation(name, [PREFIX])
        token = organisations.new_token(name).secret
    # What it says to a person is no part of the tables.
    with redirect_stdout(sys.stderr):
        org_custody(name, settings.data)
    for number in range(JOURNEY_BATCHES):
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/x-ndjson",
            "Idempotency-Key": f"journey-{number}",
        }
        body = _events("J", number, JOURNEY_EACH)
        httpx.post(f"{url}/v1/records", content=body, headers=headers).raise_for_status()


def visit(browser: Browser, address: str, wait_ms: int) -> Mapping[str, float]:
    """Open a product page as a phone that was never there; return the milliseconds to each of MOMENTS."""
    context = browser.new_context(locale="vi", **SCREENS["phone"])
    page = context.new_page()
    page.add_init_script(NOTE)
    session = slow_down(page, SLOWER)
    session.send("Network.enable")
    rates = {"downloadThroughput": BITS_PER_SECOND / 8, "uploadThroughput": UP_BITS_PER_SECOND / 8}
    session.send(
        "Network.emulateNetworkConditions", {"offline": False, "latency": wait_ms, **rates}
    )
    page.goto(address, wait_until="commit")
    page.locator('#proof[aria-busy="false"]').wait_for(timeout=LONGEST_MS)
    # Otherwise it is not the whole way that was timed.
    assert "good" in (page.locator("#proof").get_attribute("class") or "").split()
    found: dict[str, float] = page.evaluate(MOMENTS)
    context.close()
    return found


def assets(browser: Browser, address: str) -> int:
    """Return the bytes that a page needs besides itself and the evidence, as they come over the line."""
    context = browser.new_context(locale="vi", **SCREENS["phone"])
    page, ended = context.new_page(), list[Request]()

    def note(request: Request) -> None:
        ended.append(request)

    page.on("requestfinished", note)
    page.goto(address, wait_until="networkidle")
    names = ("/static/", "/verify/")
    # The scanner comes when it is asked for, or once all else is there.
    late = ("scanner", "zxing", "icon-")
    sizes = [
        request.sizes()["responseBodySize"]
        for request in ended
        if any(name in request.url for name in names)
        and not any(name in request.url for name in late)
    ]
    context.close()
    return sum(sizes)


# The tables


@dataclass(frozen=True)
class Visits:
    """The milliseconds to each moment of some visits of a page."""

    each: Sequence[Mapping[str, float]]

    def median(self, moment: str) -> float:
        """Return the median of a moment."""
        return statistics.median(one[moment] for one in self.each)

    def told(self, moment: str) -> str:
        """Say a moment's median and least."""
        return f"{self.median(moment):,.0f} ({min(one[moment] for one in self.each):,.0f})"


def packed(data: bytes) -> int:
    """Return how many bytes it has compressed."""
    return len(gzip.compress(data, 9, mtime=0))


def goal(name: str, limit: float, reached: float, say_it: Callable[[float], str]) -> Sequence[str]:
    """Return a row: a goal, what was reached, whether that is enough."""
    verdict = "yes" if reached < limit else f"no, {reached / limit:.1f} times"
    return name, f"< {say_it(limit)}", say_it(reached), verdict


def milliseconds(value: float) -> str:
    """Say milliseconds."""
    return f"{ms(value / 1000)} ms"


def kilobytes(value: float) -> str:
    """Say bytes in thousands."""
    return f"{value / 1000:.1f} kB"


def line(wait_ms: int) -> str:
    """Say what a phone and its line are like."""
    wait = f", {wait_ms} ms a request" if wait_ms else ""
    return f"processor {SLOWER} times slower, 1.6 Mbit/s{wait}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="verifications of each file")
    parser.add_argument("--visits", type=int, default=VISITS, help="visits of the product page")
    options = parser.parse_args(argv)
    node = shutil.which("node")
    assert node, "Node is not there; get it by: nodejs.org"
    subprocess.run([str(ROOT / "scripts" / "web")], check=True, stdout=sys.stderr)
    print(f"{machine()}\n")
    command = [node, str(ROOT / "bench" / "browser.mjs"), str(WEB)]
    script = subprocess.run(command, check=True, capture_output=True).stdout
    files = {"one record": one_record(VALIDATORS), f"journey of {JOURNEY}": journey(VALIDATORS)}
    where = ("Python", "Chromium", f"Chromium, {SLOWER} times slower")
    found: dict[tuple[str, str], Timed] = {}
    with playing() as playwright, opened(playwright) as browser, workplace() as folder:
        for name, file in files.items():
            say(f"verifying {name}")
            rounds = options.rounds
            found[name, where[0]] = in_python(file, rounds)
            found[name, where[1]] = in_chromium(browser, script, file, rounds, 1)
            found[name, where[2]] = in_chromium(
                browser, script, file, max(3, rounds // SLOWER), SLOWER
            )
        say("four provinces anchor a journey")
        with standing_still(folder) as (url, code):
            page = assets(browser, f"{url}/verify")
            product = assets(browser, f"{url}{code}")
            say("visiting its page")
            visits = {
                wait: Visits([visit(browser, f"{url}{code}", wait) for _ in range(options.visits)])
                for wait in (0, WAIT_MS)
            }
    _print(files, found, where, page, product, visits)
    return 0


def _print(
    files: Mapping[str, File],
    found: Mapping[tuple[str, str], Timed],
    where: Sequence[str],
    page: int,
    product: int,
    visits: Mapping[int, Visits],
) -> None:
    one, whole = files
    limits = {
        (one, where[0]): 5,
        (whole, where[0]): 60,
        (one, where[1]): 50,
        (whole, where[1]): 300,
    }
    head = ("goal, four validators", "limit", "reached", "is it reached")
    rows = [
        goal(f"{one}, compressed", 10_000, packed(files[one].evidence), kilobytes),
        goal(f"{whole}, compressed", 45_000, packed(files[whole].evidence), kilobytes),
        *(
            goal(f"{name} verified, {place}", limit, found[name, place].whole, milliseconds)
            for (name, place), limit in limits.items()
        ),
        goal("what /verify loads, without the scanner", 60_000, page, kilobytes),
        goal("what a product page loads", 60_000, product, kilobytes),
        *(
            goal(
                f"first verdict on a phone, {whole}, {line(wait)}",
                2000,
                them.median(VERDICT),
                milliseconds,
            )
            for wait, them in visits.items()
        ),
    ]
    table(head, rows)
    table(
        ("ms from the tap, median (least) of visits", *map(line, visits)),
        [
            (name, *(them.told(name) for them in visits.values()))
            for name in next(iter(visits.values())).each[0]
        ],
    )
    columns = [(name, place) for name in files for place in where]
    table(
        ("ms", *(f"{name}, {place}" for name, place in columns)),
        [
            ("first", *(f"{found[column].first:.1f}" for column in columns)),
            ("median", *(f"{found[column].whole:.2f}" for column in columns)),
            ("least", *(f"{found[column].least:.2f}" for column in columns)),
            *(
                (name, *(f"{found[column].steps[name]:.2f}" for column in columns))
                for name in (*STEPS, REST)
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
