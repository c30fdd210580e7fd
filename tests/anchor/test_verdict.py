# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and machines read of a verdict: plain, honest, the same in both languages."""

import json
from dataclasses import replace
from typing import Any

import pytest

from anchor.evidence import encode_evidence
from anchor.verdict import Language, Verdict
from anchor.verify import DAY, verify
from anchor.wording import _ADVICE, _KINDS, _STEPS, _WORDS, moment
from tests.support.attacks import CASES
from tests.support.makeevidence import (
    CRAB_LOT,
    Made,
    Province,
    harvest,
    journey,
    one_record,
    record,
)

LANGUAGES: tuple[Language, ...] = ("vi", "en")


def verdict_of(made: Made, **options: Any) -> Verdict:
    return verify(encode_evidence(made.evidence), made.trust, CRAB_LOT, **options)


def test_one_validator_is_the_first_thing_said() -> None:
    verdict = verdict_of(one_record())
    assert verdict.text("en").startswith("one validator: the province itself")
    assert verdict.text("vi").startswith("một nút kiểm chứng: chính tỉnh")


def test_a_consortium_is_said_with_its_number() -> None:
    verdict = verdict_of(one_record((1, 1, 1, 1)))
    assert verdict.text("en").splitlines()[0] == (
        "Proven: 1 record existed by 2026-09-21 21:24 (UTC+7), unchanged since. "
        "More than 2/3 of 4 validators signed."
    )


def test_one_of_several_that_decides_alone_is_said() -> None:
    text = verdict_of(one_record((10, 1, 1))).text("en")
    assert text.startswith("one validator decides alone")


@pytest.mark.parametrize("name", ["past-era", "past-era-by-the-evidence-itself"])
def test_a_past_era_is_said_first_with_the_reason(name: str) -> None:
    case = CASES[name]()
    verdict = verify(case.evidence, case.trust, case.code)
    head, why = verdict.text("en").splitlines()[:2]
    assert head.startswith("one validator: the province itself, since retired.")
    assert "today's validators" in why
    assert verdict.text("vi").startswith("một nút kiểm chứng: chính tỉnh đó, và nay đã nghỉ.")


def test_a_past_era_of_several_validators_is_said() -> None:
    verdict = verdict_of(one_record())
    one = replace(verdict.records[0], assurance="past-era", validators=4)
    past = replace(verdict, assurance="past-era", records=(one,))
    assert past.text("en").startswith("former validators signed")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_proven_stands_in_every_proven_verdict(language: Language) -> None:
    for made in (one_record(), journey(), one_record((1, 1, 1, 1))):
        assert _WORDS[language]["not-proven"] in verdict_of(made).text(language).splitlines()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [n for n, make in CASES.items() if make().step is not None])
def test_a_refusal_says_so_first_and_shows_nothing_of_the_file(
    name: str, language: Language
) -> None:
    case = CASES[name]()
    verdict = verify(case.evidence, case.trust, case.code)
    lines = verdict.text(language).splitlines()
    assert lines[0].startswith(("NOT proven: ", "KHÔNG chứng minh được: "))
    assert lines[1] == _ADVICE[language][case.kind]
    assert lines[2].count(str(case.step))
    assert len(lines) == 4
    assert "Hợp tác xã" not in verdict.text(language)


def test_a_newer_format_asks_for_a_newer_verifier() -> None:
    case = CASES["newer-format"]()
    verdict = verify(case.evidence, case.trust)
    assert "needs a newer verifier" in verdict.text("en")
    assert "bản kiểm tra mới hơn" in verdict.text("vi")


def test_both_languages_have_the_same_sentences() -> None:
    for table in (_WORDS, _KINDS, _ADVICE, _STEPS):
        assert table["vi"].keys() == table["en"].keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_record_is_shown_with_its_fields(language: Language) -> None:
    text = verdict_of(one_record(), now=one_record().province.time(1) + 3 * DAY).text(language)
    assert "Cua gạch, thu hoạch mẫu" in text
    assert "phone" in text
    assert CRAB_LOT in text
    assert "Tỉnh Mẫu (sample)" in text


def test_a_long_journey_is_a_list_that_ends() -> None:
    lines = verdict_of(journey(60)).text("en").splitlines()
    assert sum(line.startswith("•") for line in lines) == 40
    assert "… and 20 more records" in lines


def test_a_third_partys_word_stands_apart() -> None:
    province = Province()
    farm = province.issuer("farm")
    rival = province.issuer("rival", ["/01/0952999"])
    ours = province.batch(farm, [harvest()])
    theirs = province.batch(rival, [record({"bizStep": "destroying"}, [CRAB_LOT])])
    picked = [(theirs, 0), (ours, 0)]
    made = Made(province, province.evidence(picked, province.anchor()), province.trust_file())
    lines = verdict_of(made).text("en").splitlines()
    apart = lines.index("What others say of this code (not its owner, not part of the diary):")
    (destroyed,) = (at for at, line in enumerate(lines) if "destroying; written by rival" in line)
    (harvested,) = (at for at, line in enumerate(lines) if "written by farm" in line)
    assert harvested < apart < destroyed


def test_what_was_superseded_is_said() -> None:
    province = Province()
    farm = province.issuer("farm")
    old = harvest()
    fixed = record({"note": "x"}, [CRAB_LOT], supersedes=[old.leaf_hash()])
    batch = province.batch(farm, [old, fixed])
    evidence = province.evidence([(batch, 0), (batch, 1)], province.anchor())
    verdict = verdict_of(Made(province, evidence, province.trust_file()))
    assert f"replaced or voided by its own writer ({verdict.records[1].id})" in verdict.text("en")


def test_nothing_that_a_terminal_obeys_gets_through() -> None:
    province = Province()
    farm = province.issuer("farm\x1b[2J\u202e")
    batch = province.batch(
        farm, [record({"note": "a\x1b]0;x\x07\r\nProven: all", "bizStep": "\x1b[1m"}, [CRAB_LOT])]
    )
    evidence = province.evidence([(batch, 0)], province.anchor())
    text = verdict_of(Made(province, evidence, province.trust_file())).text("en")
    assert all(c.isprintable() or c == "\n" for c in text)
    assert sum(line.startswith("Proven") for line in text.splitlines()) == 0
    assert "\x1b" not in (
        verify(b'{"format":"moneo/evidence/\x1b"}', one_record().trust).text("en")
    )


def test_a_long_value_is_cut() -> None:
    province = Province()
    farm = province.issuer("farm")
    batch = province.batch(farm, [record({"note": "x" * 5000}, [CRAB_LOT])])
    evidence = province.evidence([(batch, 0)], province.anchor())
    lines = verdict_of(Made(province, evidence, province.trust_file())).text("en").splitlines()
    assert max(map(len, lines)) < 300


def test_machines_get_the_same_as_json() -> None:
    verdict = verdict_of(one_record(), now=one_record().province.time(2))
    value = json.loads(json.dumps(verdict.to_json()))
    assert value["proven"] is True
    assert value["assurance"] == "one-validator"
    assert [step["number"] for step in value["steps"]] == list(range(9))
    assert value["records"][0]["fields"]["note"] == "Cua gạch, thu hoạch mẫu"
    assert value["not_proven"] == ["original", "true", "complete"]
    refused = json.loads(json.dumps(verify(b"", one_record().trust).to_json()))
    assert refused["failure"]["step"] == 0


@pytest.mark.parametrize(
    ("seconds", "up", "expected"),
    [
        (0, False, "1970-01-01 07:00 (UTC+7)"),
        (1, False, "1970-01-01 07:00 (UTC+7)"),
        (1, True, "1970-01-01 07:01 (UTC+7)"),
        (60, True, "1970-01-01 07:01 (UTC+7)"),
        (2**53 - 1, True, str(2**53 - 1)),
    ],
)
def test_what_is_proven_is_rounded_up_never_down(seconds: int, up: bool, expected: str) -> None:
    assert moment(seconds, "en", up=up) == expected


def test_vietnamese_dates_are_written_as_people_write_them() -> None:
    assert moment(0, "vi") == "07:00 01/01/1970 (giờ Việt Nam)"
