# SPDX-License-Identifier: GPL-3.0-or-later
"""That a ceremony takes sound cards only and names who sent another, and that each member checks its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from node.card import Card, card_json, cards, keep_card
from node.errors import GenesisError
from node.founding import Founding, check_own, found, founding_of, parse_founding, settle
from node.genesis import GENESIS_FILE, encode, load, record_json
from node.light import Timestamp
from tests.support import cards as made
from tests.support.cards import card, changed_card, keys

NOW = Timestamp(1_763_800_000, 0)


def ceremony(*given: Card) -> Founding:
    return found("moneo", [(f"{n}.json", one.raw) for n, one in enumerate(given)], NOW)


def founded(count: int = 4) -> Founding:
    return ceremony(*made.cards(count))


def test_founding_is_read_as_it_was_written() -> None:
    one = founded()
    assert parse_founding(one.raw) == one
    assert one.cards == tuple(made.cards(4))
    assert one.genesis.records == tuple(each.member for each in made.cards(4))
    assert one.genesis.timestamp == NOW


def test_hash_is_that_of_genesis_json_in_groups_of_four() -> None:
    one = founded()
    assert one.hash.replace(" ", "") == sha256(encode(one.genesis)).hexdigest()
    assert [len(group) for group in one.hash.split(" ")] == [4] * 16
    assert one.hash in {replace(one, cards=()).hash}


def test_each_ceremony_makes_another_chain() -> None:
    first, second = founded(), founded()
    assert first.genesis.cometbft_chain_id != second.genesis.cometbft_chain_id
    assert first.genesis.evm_chain_id != second.genesis.evm_chain_id
    assert first.hash != second.hash


def shares(use: str) -> Callable[[], Card]:
    """A second province's card with one key of the first's."""
    return lambda: changed_card(1, keys=replace(keys(1), **{use: getattr(keys(0), use)}))


def crosses(use: str, other: str) -> Callable[[], Card]:
    """A second province's card which uses a key of the first's for something else."""
    return lambda: changed_card(1, keys=replace(keys(1), **{use: getattr(keys(0), other)}))


REUSED: dict[str, tuple[Callable[[], Card], str]] = {
    "the same card": (card, "account"),
    "account": (shares("account"), "account"),
    "validator key": (shares("validator"), "validator key"),
    "node key": (shares("node"), "node key"),
    "log key": (shares("log"), "log key"),
    "validator key as node key": (crosses("node", "validator"), "node key"),
    "validator key as log key": (crosses("log", "validator"), "log key"),
    "node key as validator key": (crosses("validator", "node"), "validator key"),
    "log key as node key": (crosses("node", "log"), "node key"),
    "log": (lambda: changed_card(1, log=card().log), "log"),
    "name": (lambda: changed_card(1, name="CÀ MAU"), "name"),
    "peer": (lambda: changed_card(1, peer=card().peer), "peer address"),
    "page": (lambda: changed_card(1, pages=("b.example", "P0.EXAMPLE")), "page"),
}


@pytest.mark.parametrize(("other", "what"), REUSED.values(), ids=REUSED.keys())
def test_what_two_provinces_share_is_refused_by_both_names(
    other: Callable[[], Card], what: str
) -> None:
    with pytest.raises(
        GenesisError, match=rf"^{other().name} – 1\.json: .* the same {what} as Cà Mau – 0\.json"
    ) as caught:
        ceremony(card(), other())
    assert " · " in str(caught.value)


def test_same_card_twice_is_refused() -> None:
    with pytest.raises(GenesisError, match="same account"):
        found("moneo", [("a", card().raw)] * 2, NOW)


def test_malformed_card_is_refused_by_its_sender() -> None:
    wrong = card(1).raw.replace(b'"log": "moneo', b'"log": "other')
    given = [("camau.json", card().raw), ("daklak.json", wrong)]
    with pytest.raises(GenesisError, match=r"^Đắk Lắk – daklak\.json: "):
        found("moneo", given, NOW)
    with pytest.raises(GenesisError, match=r"^daklak\.json: "):
        found("moneo", [("daklak.json", b"hello")], NOW)


def test_card_for_a_chain_that_exists_is_refused_by_its_sender() -> None:
    with pytest.raises(GenesisError, match=r"^Đắk Lắk – 1\.json: .* exists already"):
        ceremony(card(), card(1, evm_chain_id=5))


def test_as_many_as_the_contract_has_room_for_found_a_chain_and_no_more() -> None:
    many = [_numbered(number) for number in range(65)]
    assert len(parse_founding(ceremony(*many[:64]).raw).cards) == 64
    with pytest.raises(GenesisError, match="1 to 64 members"):
        ceremony(*many)


def _numbered(number: int) -> Card:
    names = {"name": f"P{number}", "pages": (), "log": f"a.example/p{number}"}
    return changed_card(0, keys=keys(number), peer=f"p{number}.example:1", **names)


def test_nobody_and_a_wrong_name_found_nothing() -> None:
    with pytest.raises(GenesisError):
        ceremony()
    with pytest.raises(GenesisError, match="name"):
        found("Moneo", [("a", card().raw)], NOW)


def rewritten(**changes: Any) -> bytes:
    return json.dumps({**json.loads(founded(2).raw), **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        rewritten(format="moneo/founding/v2"),
        rewritten(more=1),
        rewritten(genesis={}),
        rewritten(genesis=[]),
        rewritten(cards={}),
        rewritten(cards=[1]),
        rewritten(cards=[card_json(card()), card_json(card())]),
        rewritten(cards=[card_json(card()), card_json(card(1, evm_chain_id=5))]),
    ],
)
def test_bytes_that_are_no_founding_are_refused(data: bytes) -> None:
    with pytest.raises(GenesisError):
        parse_founding(data)


def test_each_member_finds_its_card_in_it() -> None:
    for own in made.cards(4):
        check_own(parse_founding(founded().raw), own)


def test_member_whose_card_was_left_out_or_changed_does_not_join() -> None:
    one = founded()
    for own in (card(4), changed_card(0, before=card(), peer="127.0.0.9:1")):
        with pytest.raises(GenesisError, match="do not join") as caught:
            check_own(one, own)
        assert own.name in str(caught.value)


def with_cards(some: Sequence[Card]) -> Founding:
    return replace(founded(), cards=tuple(some))


def test_member_does_not_join_with_cards_that_are_not_the_genesis_s() -> None:
    four = made.cards(4)
    moved = changed_card(1, before=card(1), peer="127.0.0.9:1")
    for others in (four[:3], [*four, card(4)], [four[0], moved, *four[2:]]):
        with pytest.raises(GenesisError, match="not exactly"):
            check_own(with_cards(others), card())


def test_genesis_changed_after_the_ceremony_is_found_out() -> None:
    value = json.loads(founded().raw)
    value["genesis"]["members"][1] = record_json(card(4).member)
    with pytest.raises(GenesisError, match="not exactly"):
        check_own(parse_founding(json.dumps(value).encode()), card())


def test_province_that_is_admitted_later_joins_with_the_cards_of_that_day() -> None:
    one = founded()
    chain = one.genesis.evm_chain_id
    moved = changed_card(1, before=card(1), peer="127.0.0.9:1", evm_chain_id=chain)
    today = replace(one, cards=(card(), moved, card(3)))
    own = changed_card(4, evm_chain_id=chain)
    check_own(parse_founding(today.raw), own)
    check_own(replace(today, cards=(*today.cards, own)), own)
    with pytest.raises(GenesisError, match="same peer address"):
        check_own(today, changed_card(4, evm_chain_id=chain, peer="127.0.0.9:1"))
    with pytest.raises(GenesisError, match="another chain"):
        check_own(today, card(4, evm_chain_id=5))


def test_settling_writes_genesis_and_cards_and_again_nothing_new(tmp_path: Path) -> None:
    one = founded()
    for _ in range(2):
        settle(tmp_path, one, card())
        assert load(tmp_path) == one.genesis
        assert sorted(cards(tmp_path), key=lambda each: each.name) == sorted(
            one.cards, key=lambda each: each.name
        )
    assert replace(founding_of(tmp_path), cards=()) == replace(one, cards=())
    assert sha256((tmp_path / GENESIS_FILE).read_bytes()).hexdigest() == one.hash.replace(" ", "")


def test_settling_over_another_chain_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    one = founded()
    settle(tmp_path, one, card())
    with pytest.raises(GenesisError, match="another chain already"):
        settle(tmp_path, founded(2), card())
    assert load(tmp_path) == one.genesis and len(cards(tmp_path)) == 4


def test_node_of_a_province_s_own_chain_has_no_founding_to_hand_on(tmp_path: Path) -> None:
    from node.genesis import found as found_alone

    found_alone(tmp_path, "camau", [card().member.account], NOW)
    keep_card(tmp_path, card())
    with pytest.raises(GenesisError, match="its province's own"):
        founding_of(tmp_path)
