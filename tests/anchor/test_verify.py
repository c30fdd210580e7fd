# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifier's promise: exactly what is proven, the step that fails otherwise, never an exception."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchor.codes import CodeError
from anchor.evidence import encode_evidence
from anchor.trust import TrustError
from anchor.verdict import Verdict
from anchor.verify import DAY, verify
from tests.support.makeevidence import (
    CRAB_LOT,
    Made,
    Province,
    harvest,
    journey,
    one_record,
    record,
)


def verdict_of(made: Made, **options: Any) -> Verdict:
    return verify(encode_evidence(made.evidence), made.trust, CRAB_LOT, **options)


def test_a_verdict_reports_what_the_bytes_say() -> None:
    made = one_record()
    one = verdict_of(made).records[0]
    issuer = made.province.issuers[0].signer.name
    assert (one.type, one.mode, one.hidden, one.issuer) == (
        "epcis.objectevent",
        "live",
        ("phone",),
        issuer,
    )
    assert (one.issuer_name, one.province, one.custody) == (
        "Hợp tác xã Mẫu",
        made.province.name,
        "holder",
    )
    assert (one.statement, one.level) == ("owner", "lot")
    assert one.fields["note"] == "Cua gạch, thu hoạch mẫu"
    assert "phone" not in one.fields
    # The light block's time has a fraction: "no later than" is the next whole second.
    assert one.when == made.province.time(1) + 1
    assert one.claimed == made.province.time(1) - 60
    assert one.id.endswith(".1")


def test_the_fingerprint_of_the_trust_file_is_in_every_verdict() -> None:
    proven, refused = verdict_of(one_record()), verify(b"", one_record().trust)
    assert proven.fingerprint == refused.fingerprint
    assert len(proven.fingerprint.split()) == 16


@pytest.mark.parametrize(
    "text", [CRAB_LOT, f"https://another.example/x{CRAB_LOT}?a=b", f"http://id.gs1.org{CRAB_LOT}"]
)
def test_a_code_is_expected_as_path_or_link(text: str) -> None:
    made = one_record()
    verdict = verify(encode_evidence(made.evidence), made.trust, text)
    assert verdict.proven
    assert verdict.expect_code == CRAB_LOT


def test_a_serial_of_the_lot_matches_at_the_lot() -> None:
    made = one_record()
    verdict = verify(encode_evidence(made.evidence), made.trust, f"{CRAB_LOT}/21/A1")
    assert [one.level for one in verdict.records] == ["lot"]


def test_a_text_that_is_no_code_is_the_callers_mistake() -> None:
    with pytest.raises(CodeError):
        verify(b"", one_record().trust, "/01/123")


def test_a_bad_trust_file_is_never_judged_by() -> None:
    with pytest.raises(TrustError):
        verify(encode_evidence(one_record().evidence), b"{}")


def test_without_a_code_nothing_is_said_of_whose_word_it_is() -> None:
    verdict = verify(encode_evidence(one_record().evidence), one_record().trust)
    assert verdict.steps[7].state == "skipped"
    assert [(one.statement, one.level) for one in verdict.records] == [(None, None)]


def test_ages_are_counted_from_now() -> None:
    made = one_record()
    verdict = verdict_of(made, now=made.province.time(1) + 40 * DAY)
    assert {note.key: note.days for note in verdict.notes} == {"evidence-age": 39, "trust-age": 40}
    assert verdict.steps[8].state == "ok"
    assert verdict_of(made).steps[8].state == "skipped"


def test_a_clock_behind_the_evidence_is_said() -> None:
    verdict = verdict_of(one_record(), now=1_000_000_000)
    assert "clock-behind" in {note.key for note in verdict.notes}


@pytest.mark.parametrize(
    ("change", "event", "expected"),
    [
        (-60, None, None),
        (-10 * DAY, None, ("written-later", 10)),
        (3600, None, ("claimed-after", None)),
        (-60, "2026-09-01T00:00:00+07:00", ("written-later", 20)),
        (-60, "2026-08-31T17:00:00.5Z", ("written-later", 20)),
        (-60, "2026-08-31T12:00:00-05:00", ("written-later", 20)),
        (-60, "2026-02-30T00:00:00Z", None),
        (-60, "yesterday", None),
    ],
)
def test_claimed_times_far_from_the_proven_one_are_said(
    change: int, event: str | None, expected: tuple[str, int | None] | None
) -> None:
    province = Province()
    farm = province.issuer("farm")
    fields = {"eventTime": event} if event else {"a": 1}
    batch = province.batch(farm, [record(fields, [CRAB_LOT])], time=province.time(1) + change)
    made = Made(province, province.evidence([(batch, 0)], province.anchor()), province.trust_file())
    notes = [(note.key, note.days) for note in verdict_of(made).notes if note.record == 0]
    assert notes == ([expected] if expected else [])


def test_operator_custody_and_practice_are_said() -> None:
    province = Province()
    farm = province.issuer("farm", custody="operator")
    batch = province.batch(farm, [record({"a": 1}, [CRAB_LOT], mode="practice")])
    made = Made(province, province.evidence([(batch, 0)], province.anchor()), province.trust_file())
    verdict = verdict_of(made)
    assert {note.key for note in verdict.notes} == {"operator", "practice"}
    assert "written by the province for farm" in verdict.text("en")


def test_a_superseding_record_counts_only_from_the_same_issuer_and_mode() -> None:
    province = Province()
    farm, rival = province.issuer("farm"), province.issuer("rival")
    old = harvest()
    leaf = [old.leaf_hash()]
    ours = [
        old,
        harvest(note="sửa"),
        record({"note": "x"}, [CRAB_LOT], mode="practice", supersedes=leaf),
        record({"note": "y"}, [CRAB_LOT], supersedes=leaf),
    ]
    batch = province.batch(farm, ours)
    theirs = province.batch(rival, [record({"note": "recall!"}, [CRAB_LOT], supersedes=leaf)])
    picked = [(batch, 0), (batch, 1), (batch, 2), (batch, 3), (theirs, 0)]
    made = Made(province, province.evidence(picked, province.anchor()), province.trust_file())
    records = verdict_of(made).records
    assert records[0].superseded_by == (records[3].id,)
    assert all(one.superseded_by == () for one in records[1:])


def test_an_owner_that_the_trust_file_does_not_name_is_said() -> None:
    made = one_record()
    member = made.province.trust().members[0]
    other = made.province.trust_file(members=(replace(member, owner=bytes(19) + b"\1"),))
    verdict = verify(encode_evidence(made.evidence), other, CRAB_LOT)
    assert verdict.proven
    assert "unknown-member" in {note.key for note in verdict.notes}
    assert verdict.records[0].province == ""


def test_a_registration_may_hide_its_name() -> None:
    province = Province()
    farm = province.issuer("farm", hide=["name", "key", "issuer", "prefixes"])
    batch = province.batch(farm, [harvest()])
    made = Made(province, province.evidence([(batch, 0)], province.anchor()), province.trust_file())
    one = verdict_of(made).records[0]
    assert (one.issuer_name, one.statement) == ("", "third-party")


def test_a_light_block_of_the_trust_file_itself_is_never_of_the_past() -> None:
    province = Province()
    farm = province.issuer("farm")
    batch = province.batch(farm, [harvest()])
    anchored = province.anchor()
    era = province.change_validators("others", (1, 1, 1, 1))
    evidence = encode_evidence(province.evidence([(batch, 0)], anchored))
    pinned = {"light_block": anchored.light_block, "header": province.headers[1], "eras": (era,)}
    assert verify(evidence, province.trust_file(**pinned)).assurance == "one-validator"
    assert verify(evidence, province.trust_file(eras=(era,))).assurance == "past-era"


# Parts of two valid files, swapped -------------------------------------------------------------


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value within a JSON value."""
    if at:
        yield at
    for name, item in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from paths(item, (*at, name))


def place(value: Any, at: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the container of a place and its last step."""
    for name in at[:-1]:
        value = value[name]
    return value, at[-1]


NOTHINGS: tuple[Any, ...] = ("absent", None, 0, "", [], {}, True)


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any, bytes, list[Verdict]]:
    made = Province()
    farm = made.issuer("farm")
    first = made.batch(farm, [harvest(), record({"a": 3})])
    one = made.evidence([(first, 0)], made.anchor())
    second = made.batch(farm, [harvest(note="khác"), harvest(note="nữa")])
    two = made.evidence([(second, 1)], made.anchor())
    trust = made.trust_file()
    files_ = [encode_evidence(one), encode_evidence(two)]
    verdicts = [verify(data, trust, CRAB_LOT) for data in files_]
    assert all(verdict.proven for verdict in verdicts)
    return json.loads(files_[0]), json.loads(files_[1]), trust, verdicts


def test_parts_swapped_between_two_valid_files_never_prove_anything_else(
    pair: tuple[Any, Any, bytes, list[Verdict]],
) -> None:
    first, second, trust, verdicts = pair
    known = [verdict.records for verdict in verdicts]
    shared = [at for at in paths(first) if at in set(paths(second))]
    assert len(shared) > 60
    for at in shared:
        text = json.dumps(first)
        value = json.loads(text)
        (target, name), (source, _) = place(value, at), place(second, at)
        target[name] = source[name]
        verdict = verify(json.dumps(value).encode(), trust, CRAB_LOT)
        assert not verdict.proven or verdict.records in known, at


def test_any_part_left_out_or_set_to_nothing_proves_nothing(
    pair: tuple[Any, Any, bytes, list[Verdict]],
) -> None:
    first, _, trust, _ = pair
    for at in paths(first):
        for nothing in NOTHINGS:
            value = json.loads(json.dumps(first))
            container, name = place(value, at)
            if container[name] == nothing and type(container[name]) is type(nothing):
                continue
            if nothing == "absent":
                del container[name]
            else:
                container[name] = nothing
            verdict = verify(json.dumps(value).encode(), trust, CRAB_LOT)
            assert not verdict.proven, (at, nothing)


# Fuzz -------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
ALL_PATHS = list(paths(json.loads(encode_evidence(one_record().evidence))))
QUICK = settings(max_examples=150, suppress_health_check=list(HealthCheck))


@QUICK
@given(st.binary(max_size=400))
def test_random_bytes_get_a_verdict(data: bytes) -> None:
    assert not verify(data, one_record().trust, CRAB_LOT).proven


@QUICK
@given(st.sampled_from(ALL_PATHS), JSON)
def test_random_json_in_any_place_gets_a_verdict(at: tuple[Any, ...], junk: Any) -> None:
    value = json.loads(encode_evidence(one_record().evidence))
    container, name = place(value, at)
    before = container[name]
    container[name] = junk
    verdict = verify(json.dumps(value).encode(), one_record().trust, CRAB_LOT)
    assert not verdict.proven or junk == before


@QUICK
@given(st.data())
def test_random_text_in_any_string_gets_a_verdict(data: st.DataObject) -> None:
    value = json.loads(encode_evidence(one_record().evidence))
    strings = [at for at in ALL_PATHS if isinstance(place(value, at)[0][at[-1]], str)]
    container, name = place(value, data.draw(st.sampled_from(strings)))
    text = container[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    container[name] = text[:start] + data.draw(st.text(max_size=10)) + text[end:]
    verdict = verify(json.dumps(value).encode(), one_record().trust, CRAB_LOT)
    assert not verdict.proven or container[name] == text


def test_a_journey_is_proven_as_a_whole() -> None:
    verdict = verdict_of(journey())
    assert len(verdict.records) == 30
    assert len({one.id for one in verdict.records}) == 30
    assert {one.custody for one in verdict.records} == {"holder", "operator"}
