# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose word a record is: owner, party or third party, and how it belongs to the code."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest

from anchor.codes import parse_path
from anchor.statements import PARTIES, Class, Spoken, classify

GTIN = "/01/09521234000013"
LOT = f"{GTIN}/10/CRAB-7"
SERIAL = f"{LOT}/21/A1"
POND = "/01/09521234000020/10/POND-3"
FEED = "/01/09529999000026/10/FEED-9"
SIBLING = f"{GTIN}/10/CRAB-8"
OURS = ("/01/0952123",)


def link(path: str) -> str:
    return f"https://id.gs1.org{path}"


def spoken(
    *codes: str,
    kind: str = "epcis.objectevent",
    live: bool = True,
    superseded: bool = False,
    issuer: str = "farm",
    prefixes: Sequence[str] = OURS,
    **fields: Any,
) -> Spoken:
    hashes = frozenset(parse_path(code).hash() for code in codes)
    return Spoken(kind, live, superseded, hashes, fields, issuer, tuple(prefixes))


def classes(*records: Spoken, expected: str = LOT) -> list[tuple[str, str] | None]:
    found = classify(parse_path(expected), records)
    return [None if one is None else (one.level, one.statement) for one in found]


def transformation(inputs: Sequence[str], outputs: Sequence[str], **more: Any) -> Spoken:
    fields: Mapping[str, Any] = {
        "inputEPCList": [link(one) for one in inputs],
        "outputQuantityList": [{"epcClass": link(one), "quantity": 1} for one in outputs],
    }
    return spoken(*inputs, *outputs, kind="epcis.transformationevent", **{**fields, **more})


def shipping(*codes: str, to: Any, **more: Any) -> Spoken:
    return spoken(*codes, **{"bizStep": "shipping", PARTIES: to, **more})


@pytest.mark.parametrize(
    ("expected", "said", "level"),
    [
        (SERIAL, SERIAL, "serial"),
        (SERIAL, LOT, "lot"),
        (SERIAL, GTIN, "gtin"),
        (LOT, GTIN, "gtin"),
        (f"{GTIN}/21/A1", f"{GTIN}/21/A1", "serial"),
        ("/c/camau/pond-3", "/c/camau/pond-3", "own"),
    ],
)
def test_a_record_matches_at_the_level_its_code_line_names(
    expected: str, said: str, level: str
) -> None:
    one = spoken(said, prefixes=["/01/0952", "/c/camau/"])
    assert classes(one, expected=expected) == [(level, "owner")]


def test_of_several_code_lines_the_narrowest_level_counts() -> None:
    assert classes(spoken(GTIN, LOT, POND), expected=SERIAL) == [("lot", "owner")]


@pytest.mark.parametrize("said", [SERIAL, SIBLING, POND])
def test_a_record_of_another_code_belongs_to_nothing(said: str) -> None:
    assert classes(spoken(said), spoken()) == [None, None]


@pytest.mark.parametrize("prefixes", [[], ["/01/0952999"], ["/01/09521234000013/10/CRAB-77"]])
def test_without_a_fitting_prefix_it_is_a_third_partys_word(prefixes: list[str]) -> None:
    assert classes(spoken(LOT, prefixes=prefixes)) == [("lot", "third-party")]


@pytest.mark.parametrize(
    "step",
    ["shipping", "urn:epcglobal:cbv:bizstep:shipping", "https://ref.gs1.org/cbv/BizStep-shipping"],
)
def test_a_party_is_named_by_the_owners_shipping_record(step: str) -> None:
    sent = shipping(LOT, to=["shop"], bizStep=step)
    received = spoken(LOT, issuer="shop", prefixes=[])
    assert classes(received, sent) == [("lot", "party"), ("lot", "owner")]


NO_PARTY = {
    "sent by a stranger": shipping(LOT, to=["shop"], prefixes=[]),
    "another lot was sent": shipping(GTIN, to=["shop"]),
    "not a shipping record": shipping(LOT, to=["shop"], bizStep="packing"),
    "no step at all": shipping(LOT, to=["shop"], bizStep=None),
    "another event": shipping(LOT, to=["shop"], kind="epcis.transactionevent"),
    "names another": shipping(LOT, to=["other"]),
    "names nobody": shipping(LOT, to=None),
    "a text that holds the name": shipping(LOT, to="shop"),
    "practice": shipping(LOT, to=["shop"], live=False),
    "superseded": shipping(LOT, to=["shop"], superseded=True),
}


@pytest.mark.parametrize("sent", NO_PARTY.values(), ids=NO_PARTY)
def test_anything_less_makes_no_party(sent: Spoken) -> None:
    received = spoken(LOT, issuer="shop", prefixes=[])
    assert classes(received, sent)[0] == ("lot", "third-party")


def test_practice_makes_a_party_of_practice() -> None:
    sent = shipping(LOT, to=["shop"], live=False)
    received = spoken(LOT, issuer="shop", prefixes=[], live=False)
    assert classes(received, sent)[0] == ("lot", "party")


def test_what_went_in_is_linked_and_its_owner_known_by_the_shown_inputs() -> None:
    ours = spoken(POND)
    bought = spoken(FEED, issuer="mill", prefixes=["/01/0952999"])
    stranger = spoken(POND, issuer="mill", prefixes=["/01/0952999"])
    made = transformation([POND, FEED], [LOT])
    assert classes(ours, bought, stranger, made) == [
        ("linked", "owner"),
        ("linked", "owner"),
        ("linked", "third-party"),
        ("lot", "owner"),
    ]


def test_links_go_on_through_several_transformations() -> None:
    names = [f"/01/09521234000020/10/L{n}" for n in range(8)]
    steps = [transformation([old], [new]) for old, new in pairwise(names)]
    last = transformation([names[-1]], [LOT])
    assert classes(*steps, last, spoken(names[0])) == [("linked", "owner")] * 7 + [
        ("lot", "owner"),
        ("linked", "owner"),
    ]


def test_another_output_of_the_same_transformation_is_not_linked() -> None:
    made = transformation([POND], [LOT, SIBLING])
    assert classes(made, spoken(SIBLING)) == [("lot", "owner"), None]


@pytest.mark.parametrize(
    "change",
    [{"prefixes": []}, {"superseded": True}, {"live": False}, {"kind": "epcis.objectevent"}],
)
def test_no_link_leads_through_a_strangers_superseded_or_practice_record(
    change: dict[str, Any],
) -> None:
    made = spoken(POND, LOT, **{"kind": "epcis.transformationevent", **change})
    assert classes(spoken(POND), made)[0] is None


def test_hidden_inputs_still_link_but_say_nothing_of_the_owner() -> None:
    made = spoken(POND, LOT, kind="epcis.transformationevent")
    assert classes(spoken(POND), made)[0] == ("linked", "third-party")


@pytest.mark.parametrize(
    "inputs", ["x", [1, None, {"epcClass": 3}, "urn:epc:id:sgtin:1"], {}, [[]]]
)
def test_inputs_of_another_shape_say_nothing(inputs: Any) -> None:
    made = transformation([POND], [LOT], inputEPCList=inputs)
    assert classes(spoken(POND), made)[0] == ("linked", "third-party")


def test_a_shown_input_that_no_code_line_commits_to_says_nothing() -> None:
    made = transformation([POND], [LOT], inputEPCList=[link(FEED)])
    assert classes(spoken(FEED), made)[0] is None


def test_a_party_may_link_too() -> None:
    sent = shipping(LOT, to=["plant"])
    repacked = transformation([POND], [LOT], issuer="plant", prefixes=[])
    assert classes(spoken(POND), repacked, sent)[0] == ("linked", "owner")


def test_the_order_of_records_does_not_matter() -> None:
    records = [spoken(POND), transformation([POND], [LOT]), shipping(LOT, to=["shop"])]
    forward = classify(parse_path(LOT), records)
    assert list(reversed(classify(parse_path(LOT), records[::-1]))) == forward
    assert forward[0] == Class("linked", "owner")


def test_a_thousand_records_in_the_worst_order_take_no_time_to_speak_of() -> None:
    names = [f"/01/09521234000020/10/L{n}" for n in range(999)]
    steps = [transformation([old], [new]) for old, new in pairwise(names)]
    start = perf_counter()
    found = classes(*steps, transformation([names[-1]], [LOT]))
    assert None not in found
    assert perf_counter() - start < 2
