# SPDX-License-Identifier: GPL-3.0-or-later
"""Provinces that vote, on the real CometBFT: its set of validators and its peers follow what they decide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

import contracts
from node.doctor import check
from node.genesis import load_validator_key
from node.governance import key_proof
from node.light import LightBlock, TrustedChain, from_rpc, verify_eras, verify_light_block
from node.newkey import next_key
from tests.support.comet import need_cometbft, wait_until
from tests.support.consortium import CHAIN_ID, NODE, Consortium, Place, same_history
from tests.support.node_core import CONSORTIUM

STRANGER = 5


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """Four members' nodes."""
    need_cometbft()
    with Consortium(tmp_path_factory.mktemp("consortium"), 4) as running:
        for number in running.places:
            running.start(number)
        running.wait_up()
        yield running


def told(place: Place) -> Any:
    """Return how consensus does, when the node and its CometBFT answer."""

    def ask() -> Any:
        with suppress(httpx.TransportError):
            return place.rpc.ask("moneo_getConsensus").get("result")

    return wait_until("consensus", ask)


def peers(place: Place) -> set[bytes]:
    return {bytes.fromhex(each["nodeId"][2:]) for each in told(place)["peers"]}


def signs(seen_by: Place, place: Place) -> bool:
    """Whether a member's own key of today has signed the newest block."""
    key = load_validator_key(place.home).public_key().public_bytes_raw()
    account = "0x" + place.member.account.hex()
    wanted = (account, "0x" + key.hex(), True)
    validators = told(seen_by)["validators"]
    return wanted in [(each["account"], each["publicKey"], each["signed"]) for each in validators]


def advance(running: Consortium, number: int) -> None:
    """Let a block be made."""
    place = running[number]
    name = bytes([number]) * 31 + bytes([place.nonce()])
    running.send(place.call(place.nonce(), "register_log(bytes32,bytes32)", name, name), number)


def wait_signing(running: Consortium, seen_by: int, number: int) -> None:
    """Wait until a member signs a block; its vote may come too late for some."""

    def has_signed() -> bool:
        place = running[seen_by]
        if signs(place, running[number]):
            return True
        account = "0x" + place.member.account.hex()
        if place.nonce() == int(place.rpc("eth_getTransactionCount", account), 16):
            advance(running, seen_by)
        return False

    wait_until(f"a vote by member {number}", has_signed)


def eras(place: Place, after: int = 0) -> list[LightBlock]:
    return [from_rpc(each) for each in place.rpc("moneo_getEras", after)]


def hash_in_state(place: Place, era: int) -> bytes:
    slot = "0x" + contracts.validators_hash_slot(era).hex()
    return bytes.fromhex(place.rpc("eth_getStorageAt", "0x" + CONSORTIUM.hex(), slot)[2:])


def test_changed_key_takes_over_and_who_was_killed_comes_to_the_same(four: Consortium) -> None:
    assert eras(four[2]) == []
    four.kill(3, NODE)
    one = four[1]
    key = next_key(one.home)
    change = {"account": one.member.account, "validator_key": key.public_key().public_bytes_raw()}
    proof = key_proof(CHAIN_ID, one.member.account, key)
    four.decide("change-key", proof, (1, 2, 4), **change)
    # With one dead and the old key retired nothing goes on but with the new one.
    wait_signing(four, 2, 1)
    for number in (1, 4):
        four.kill(number, NODE)
    for number in (1, 3, 4):
        four.start(number)
    four.wait_up(1, 3, 4)
    wait_signing(four, 2, 1)
    four.wait_one_head(1, 2, 3, 4)
    (begun,) = eras(four[3])
    assert begun.header.next_validators_hash == hash_in_state(four[4], 2)
    assert {each["account"] for each in told(four[4])["validators"]} == {
        "0x" + four[number].member.account.hex() for number in (1, 2, 3, 4)
    }


def test_stranger_is_refused_until_it_is_voted_in_and_then_replays(four: Consortium) -> None:
    assert four.join() == STRANGER
    fifth = four[STRANGER]
    four.start(STRANGER)
    # It calls the others as soon as it has begun, and they go on without it.
    assert told(fifth)["catchingUp"]
    for number in (1, 2, 3, 4):
        advance(four, number)
        assert fifth.member.node_id not in peers(four[number])
    assert fifth.comet.height() == 0
    assert fifth.rpc("eth_syncing") is not False
    four.decide("admit", fifth.admission(), (1, 2, 3), **fifth.member.values())
    wait_until("the fifth's chain", fifth.rpc.is_up)
    four.wait_one_head()
    wait_signing(four, 1, STRANGER)
    assert fifth.rpc("eth_syncing") is False
    wait_until("all four", lambda: fifth.rpc("net_peerCount") == "0x4")
    members = fifth.rpc("moneo_getMembers")
    assert {each["account"] for each in members} == {
        "0x" + place.member.account.hex() for place in four.places.values()
    }
    assert [each["card"] for each in members] == [None] * 5


def test_removed_one_is_dropped_by_all_and_cannot_come_back(four: Consortium) -> None:
    two, staying = four[2], [four[number] for number in (1, 3, 4, STRANGER)]
    # It runs out of turn, and so waits for as long as its sender is a member.
    waiting = two.call(two.nonce(), "register_log(bytes32,bytes32)", b"\2" * 32, b"\2" * 32)
    assert all(two.member.node_id in peers(each) for each in staying)
    four.decide("remove", b"", (1, 3, 4, STRANGER), account=two.member.account)
    for each in staying:
        wait_until("dropped", lambda each=each: two.member.node_id not in peers(each))  # type: ignore[misc]
        answer = each.rpc.ask("eth_sendRawTransaction", "0x" + waiting.hex())
        assert "sender not allowed" in answer["error"]["message"]
    reached = two.comet.height()
    four.kill(2, NODE)
    four.start(2)
    wait_until("its own CometBFT", lambda: two.comet.height() >= reached)
    for number in (1, 3, 4, STRANGER):
        advance(four, number)
    four.wait_one_head(1, 3, 4, STRANGER)
    ids = {each.member.node_id for each in staying}
    for each in staying:
        others = ids - {each.member.node_id}
        wait_until("all the others", lambda each=each, others=others: peers(each) == others)  # type: ignore[misc]
    assert two.comet.height() < told(four[1])["height"]


def test_every_nodes_eras_lead_from_the_founding_to_today(four: Consortium) -> None:
    first = from_rpc(four[1].rpc("moneo_getLightBlock", "0x0")["lightBlock"])
    trusted = TrustedChain(four.genesis.cometbft_chain_id, first)
    told_final = ("blockNumber", "finalizedNumber")
    wait_until(
        "final", lambda: len({four[1].rpc("moneo_status")[each] for each in told_final}) == 1
    )
    newest = from_rpc(four[1].rpc("moneo_getLightBlock", "finalized")["lightBlock"])
    shown = [each.header for each in eras(four[1])]
    assert [each.next_validators_hash for each in shown] == [
        hash_in_state(four[3], era) for era in (2, 3, 4)
    ]
    for number in (1, 3, 4, STRANGER):
        found = eras(four[number])
        assert [each.header for each in found] == shown
        for each in found:
            verify_light_block(each, trusted.chain_id)
        finality = verify_eras(trusted, found).finality(newest)
        assert (finality.era, finality.past, finality.validators) == (3, False, 4)
        assert eras(four[number], shown[1].height) == found[2:]


def test_all_have_one_history_and_their_doctors_are_content(four: Consortium) -> None:
    staying = {number: four[number] for number in (1, 3, 4, STRANGER)}
    four.stop(*four.places)
    assert same_history(four.places) > 5
    for place in staying.values():
        findings = {each.what: each for each in check(place.home).findings}
        states = [findings[what].state for what in ("node", "chain", "member", "cards")]
        # They know each other from the command line.
        assert states == ["good", "good", "good", "unknown"], findings
    removed = {each.what: each for each in check(four[2].home).findings}
    assert removed["chain"].state == "good"
