# SPDX-License-Identifier: GPL-3.0-or-later
"""The browser's pages say of a verdict what `moneo verify` says, sentence by sentence, in both languages.

The words stand twice, once for each language of programming; these tests hold them together.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from anchor import wording
from anchor.verdict import Failure, Note, Verdict
from anchor.verify import verify
from api import labels
from api.words import Language, Wording
from tests.support.tools import ROOT, missing

SOURCE = ROOT / "api" / "web" / "src"
VECTORS = Path(__file__).parent / "vectors"
# Of every assurance, shape and failure one; of journeys, notes, withheld, superseded and others' records, too.
NAMES = (
    "one-validator",
    "four-validators",
    "one-of-three-validators-decides",
    "journey-of-two-businesses",
    "past-era",
    "past-era-with-ancestry",
    "no-json",
    "newer-format",
    "too-many-signatures",
    "field-changed",
    "wrong-code-hash",
    "operator-custody",
    "practice-record",
    "all-fields-withheld",
    "superseded-record",
    "claimed-long-before-it-was-proven",
    "claimed-after-it-was-proven",
    "serial-of-a-lot",
    "own-code",
    "diary-with-others-words",
    "journey-through-two-provinces",
)
# Before the evidence, on its day, and more than a year after.
NOWS = (1_790_000_000, 1_790_000_601, 1_830_000_000)
LANGUAGES: tuple[Language, ...] = ("vi", "en")
FIELDS: Sequence[dict[str, Any]] = (
    {"moneo:cte": "nấu", "moneo:product": "Cua\u202e", "moneo:place": "Vuông 3\n", "x": None, "y": True},
    {"bizStep": "https://ref.gs1.org/cbv/BizStep-shipping", "moneo:customer": {"vi": "Chợ", "en": "Market"}},
    {"bizStep": "urn:epcglobal:cbv:bizstep:packing", "quantityList": [{"epcClass": "https://id.gs1.org/01/09520001000034/10/A%2FB/21/7", "quantity": 1234.5, "uom": "KGM"}] * 22},
    {"bizStep": "thử nghiệm", "a": [0, -1234567, 0.125, "https://a.example/c/ao/7", "https://id.gs1.org/01/09520001000034"], "b": {"c": {"d": "e"}}, "moneo:n": "w" * 600},
    {"moneo:product": "x" * 300, "f": {"epcClass": 7, "quantity": "x"}, "g": {"epcClass": "y", "quantity": 2, "uom": "thùng"}},
)  # fmt: skip


@cache
def verdicts() -> tuple[Verdict, ...]:
    """Verdicts of vectors at different times, and some that the vectors do not come to."""
    folder = VECTORS / "evidence"
    rows = {one["name"]: one for one in json.loads((folder / "index.json").read_bytes())}
    made = []
    for name in NAMES:
        row, evidence = rows[name], (folder / f"{name}.json").read_bytes()
        trust = (folder / row["trust"]).read_bytes()
        made += [verify(evidence, trust, row["code"], now) for now in NOWS]
    network = json.loads((VECTORS / "network" / "index.json").read_bytes())
    for row in network:
        files = [(VECTORS / "network" / name).read_bytes() for name in (f"{row['name']}.json", row["trust"])]  # fmt: skip
        made.append(verify(files[0], files[1], row["code"], NOWS[2]))
    return (*made, *_unusual(made))


def _unusual(made: Sequence[Verdict]) -> Iterator[Verdict]:
    good = next(one for one in made if one.proven and len(one.records) == 1)
    (record,) = good.records
    for fields in FIELDS:
        for time in (None, -62_135_596_800, 253_402_300_799, 0):
            yield replace(good, records=(replace(record, fields=fields, event_time=time),))
    strange = replace(record, issuer_name="", province="", hidden=("a", "b"), superseded_by=("x.1", "y.2"))  # fmt: skip
    yield replace(good, records=(strange,), notes=(Note("unknown-member", 0), Note("practice", 0)))
    yield replace(good, records=(strange,) * 99)
    refused = next(one for one in made if one.failure)
    yield replace(refused, failure=Failure(7, "mismatch", "none of these"))


def asked(lines: Sequence[str]) -> list[Any]:
    """Return what the browser's words say of each line."""
    node = shutil.which("node")
    if not node or not (SOURCE.parent / "node_modules").is_dir():
        raise missing("the browser's side is not installed; get it by: scripts/web")
    done = subprocess.run(
        [node, str(ROOT / "tests" / "js" / "words.mjs"), str(SOURCE)],
        input="\n".join([*lines, ""]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_verdict_is_told_in_the_same_words(language: Language) -> None:
    lines = [json.dumps({"verdict": one.to_json(), "language": language}) for one in verdicts()]
    said = asked(lines)
    assert len(said) == len(verdicts())
    for verdict, told in zip(verdicts(), said, strict=True):
        text = wording.render(verdict, language)
        assert told["text"] == text
        assert told["headline"] == text.partition("\n")[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_record_is_told_as_on_the_products_page(language: Language) -> None:
    told = [one for one in verdicts() if one.proven]
    lines = [json.dumps({"verdict": one.to_json(), "language": language}) for one in told]
    for verdict, said in zip(told, asked(lines), strict=True):
        for record, (heading, rows) in zip(verdict.records, said["records"], strict=True):
            assert heading == labels.step(record.type, record.fields, language)
            there = labels.rows(record.fields, language)
            # What would turn text round or break its line is not shown here, as in a terminal.
            assert rows == [
                [wording.printable(name), wording.printable(text)] for name, text in there
            ]


def test_the_tables_are_the_same_and_have_both_languages() -> None:
    (tables,) = asked([""])
    for table in (*tables["words"], tables["texts"]):
        assert list(table) == ["vi", "en"]
        assert list(table["vi"]) == list(table["en"])
        assert all(text for words in table.values() for text in words.values())
    for name in ("TRACKING_EVENTS", "BUSINESS_STEPS", "EVENT_TYPES", "FIELDS", "UNITS"):
        mine: dict[str, Wording] = getattr(labels, name)
        assert tables["labels"][name] == {key: [text.vi, text.en] for key, text in mine.items()}
    assert set(tables["labels"]["SAID_ELSEWHERE"]) == labels.SAID_ELSEWHERE
