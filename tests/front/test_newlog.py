# SPDX-License-Identifier: GPL-3.0-or-later
"""A province whose log's key is not to be used any more goes on in a new log, by one command, while it serves."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

import moneo
from anchor.settings import Settings
from anchor.trust import parse_trust
from anchor.verdict import Verdict
from anchor.verify import verify
from front.provinces import found_alone
from tests.anchor.test_moving import Processes, found_consortium, new_province, processes
from tests.support.comet import need_cometbft, wait_until
from tests.support.province import answers, get

OLD, NEW = "moneo.example/camau/2026", "moneo.example/camau-baclieu/2027"
CODE = "/01/09520001000034/10/HOP-01"


@dataclass
class Place:
    """A province, the machine of a business that keeps its key, and the tokens of both businesses."""

    settings: Settings
    home: Path
    capture: pytest.CaptureFixture[str]
    tokens: dict[str, str] = field(default_factory=dict)
    written: int = 0

    def run(self, *words: str | Path, status: int = 0) -> str:
        """Run a command; return what it printed."""
        environ = {
            "MONEO_HOME": str(self.home),
            "MONEO_LANG": "en",
            "COLUMNS": "200",
            "MONEO_DATA": str(self.settings.data),
            "MONEO_URL": self.settings.public_url,
            "MONEO_TOKEN": self.tokens.get("HTX Cua", ""),
        }
        self.capture.readouterr()
        with patch.dict(os.environ, environ):
            found = moneo.main([str(word) for word in words])
        said = self.capture.readouterr()
        assert found == status, said.out + said.err
        return said.out if status == 0 else said.err

    def told(self, *words: str | Path) -> Any:
        return json.loads(self.run(*words, "--json"))

    def add(self, name: str) -> str:
        """Add a business; return its issuer name."""
        issuer = str(self.told("org", "add", name, "--prefix", "/01/0952000")["issuer"])
        self.tokens[name] = str(self.told("org", "token", name)["token"])
        return issuer

    def make_key(self, issuer: str) -> None:
        """The business makes a key on its machine, and the province's operator registers it."""
        request = self.told("key", "new", issuer)["request"]
        assert self.told("org", "key", "HTX Cua", request)["state"] == "registered"

    def diary(self) -> Path:
        """A diary of one event that no other has."""
        self.written += 1
        path = self.home / f"{self.written}.jsonl"
        path.write_text(json.dumps(self.event(f"việc {self.written}")) + "\n")
        return path

    def event(self, note: str) -> dict[str, Any]:
        return {
            "type": "ObjectEvent",
            "eventTime": "2026-11-23T07:30:00Z",
            "bizStep": "stocking",
            "epcList": [f"https://id.gs1.org{CODE}"],
            "moneo:note": note,
        }

    def submit(self) -> None:
        """The business with a key of its own submits."""
        self.run("batch", "submit", self.diary())

    def submit_plain(self) -> None:
        """The business whose key the province keeps submits."""
        self.written += 1
        body = json.dumps(self.event(f"việc {self.written}")).encode() + b"\n"
        headers = {
            "Authorization": f"Bearer {self.tokens['HTX Tôm']}",
            "Content-Type": "application/x-ndjson",
        }
        query = Request(f"{self.settings.public_url}/v1/records", body, headers)
        with urlopen(query, timeout=60) as answer:
            assert answer.status == 202

    def journey(self) -> bytes:
        """The evidence of the code, once all of it is anchored."""
        url = f"{self.settings.public_url}/v1/evidence?code={quote(CODE, safe='')}"

        def all_of_it() -> bytes:
            status, evidence = get(url)
            is_whole = status == 200 and len(json.loads(evidence)["records"]) == self.written
            return evidence if is_whole else b""

        return bytes(wait_until("all is anchored", all_of_it))

    def get(self, path: str) -> tuple[int, str]:
        status, body = get(self.settings.public_url + path, {"Accept": "text/html"})
        return status, body.decode(errors="replace")

    def trust(self) -> bytes:
        return get(f"{self.settings.public_url}/v1/trust")[1]


def judged(evidence: bytes, *trusts: bytes) -> list[Verdict]:
    verdicts = [verify(evidence, trust, CODE) for trust in trusts]
    for verdict in verdicts:
        assert verdict.proven, verdict.text("en")
    return verdicts


def logs_of(evidence: bytes) -> set[str]:
    notes = [batch["note"] for batch in json.loads(evidence)["batches"]]
    return {note.splitlines()[1].removeprefix("log ") for note in notes}


def begin_diaries(place: Place) -> None:
    """Two businesses write, one with a key of its own."""
    place.make_key(place.add("HTX Cua"))
    place.add("HTX Tôm")
    assert place.told("org", "custody", "HTX Tôm")["custody"] == "operator"
    place.submit()
    place.submit_plain()


def serve(running: Processes, settings: Settings) -> None:
    for name in ("node", "anchor", "api"):
        running.start(settings, name)
    wait_until("the API answers", lambda: answers(f"{settings.public_url}/healthz"))


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "two members"])
def test_a_log_is_closed_and_followed_by_another_while_its_province_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_alone: bool
) -> None:
    if not is_alone:
        need_cometbft()
    (tmp_path / "business").mkdir()
    with processes() as running:
        mine = new_province(tmp_path / "a", "Cà Mau", OLD)
        other = new_province(tmp_path / "b", "Đắk Lắk", "moneo.example/daklak/2026")
        if is_alone:
            found_alone(mine)
        else:
            found_consortium(mine, other)
            running.start(other, "node")
        serve(running, mine)
        place = Place(mine, tmp_path / "business", capsys)
        begin_diaries(place)
        given_out, before = place.journey(), place.trust()
        # These are not anchored yet, perhaps not even logged, when the log is closed.
        place.submit()
        place.submit_plain()

        card = tmp_path / "new.card.json"
        found = place.told("node", "new-log", NEW, "--yes", "-o", card)

        assert (found["done"], found["closed"], found["log"]) == (True, OLD, 2)
        assert (found["kept"], found["not_proven"]) == (["HTX Tôm"], [])
        (own,) = found["to_renew"]
        assert own["organisation"] == "HTX Cua"
        place.submit_plain()
        check_refusal(place, own["issuer"])
        place.make_key(own["issuer"])
        place.submit()
        journey, trust = place.journey(), place.trust()
        assert logs_of(journey) == {OLD, NEW}
        for verdict in judged(journey, before, trust):
            assert [one.statement for one in verdict.records] == ["owner"] * 6
        judged(given_out, before, trust)
        check_pages(place, journey)
        assert place.told("node", "new-log", NEW, "--yes", "-o", card)["done"]
        assert {each["state"] for each in place.told("doctor")} == {"good"}
        if is_alone:
            assert found["card"] is None
            assert [each.log for each in parse_trust(trust).members] == [NEW]
        else:
            check_other_member(place, other, card, journey)
        for settings in (mine, other):
            running.stop(settings)


def check_refusal(place: Place, issuer: str) -> None:
    """What the business submits to the closed log is refused, with what it has to do."""
    diary = place.diary()
    said = place.run("batch", "submit", diary, status=1)
    assert "410" in said
    assert f"moneo key new {issuer}" in said
    # It is submitted again, to the new log, as a diary that was never sent.
    place.written -= 1


def check_pages(place: Place, journey: bytes) -> None:
    """The code's page shows what both logs hold; each log is served under its own address."""
    status, page = place.get(CODE)
    assert status == 200
    ids = [record.id for record in verify(journey, place.trust(), CODE).records]
    assert len(ids) == 6
    assert all(each in page for each in ids)
    assert page.count("HTX Cua") >= 3
    for path, origin in (("/log/checkpoint", OLD), ("/log/2/checkpoint", NEW)):
        status, checkpoint = place.get(path)
        assert (status, checkpoint.splitlines()[0]) == (200, origin)
    assert place.get("/log/2/tile/0/000.p/2")[0] == 200
    assert {place.get(path)[0] for path in ("/log/3/checkpoint", "/log/1/checkpoint")} == {404}
    status, home = place.get("/?lang=en")
    assert f"An earlier log, closed: {OLD}" in home
    assert 'href="/log/2/checkpoint"' in home
    status, ready = get(f"{place.settings.public_url}/readyz")
    assert (status, json.loads(ready)["anchor"]["waiting"]) == (200, 0)


def check_other_member(place: Place, other: Settings, card: Path, journey: bytes) -> None:
    """The other member keeps the new card, and its trust file names the new log."""
    place.run("node", "keep", card, "--data", other.data)
    exported = card.with_name("exported.json")
    place.run("node", "export-trust", "--rpc", other.rpc, "-o", exported)
    logs: Mapping[str, str] = {
        each.name: each.log for each in parse_trust(exported.read_bytes()).members
    }
    assert logs["Cà Mau"] == NEW
    (verdict,) = judged(journey, exported.read_bytes())
    assert verdict.assurance == "consortium"
