# SPDX-License-Identifier: GPL-3.0-or-later
"""Three honest provinces and a dishonest one: what it proposes, spreads and signs changes nothing for them.

Then a fifth joins them by their votes, and one is removed. These nodes wait less for each other in
consensus than a province's do.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from node.abci.client import CometRefused, CometSilent
from node.light import keccak256
from node.overview import Rpc, status
from tests.support.byzantine import (
    BAD_BLOCKS,
    MODE,
    PROPOSED,
    REFUSED_BLOCKS,
    REFUSED_TXS,
    Mode,
    refused,
)
from tests.support.comet import need_cometbft, wait_until
from tests.support.consortium import CHAIN_ID, HOSTS, Consortium, Place, same_history
from tests.support.mutations import draw, mutate
from tests.support.node_core import STRANGER, Call, calldata

HONEST, DISHONEST = (1, 2, 3), 4
COUNT = 1_000
# Of the kinds of bad blocks; the long form makes all.
SUITE_BLOCKS = 5
SEED = 20261122


class Scene:
    """The provinces, and every transaction that was sent to be executed."""

    def __init__(self, consortium: Consortium) -> None:
        self.consortium = consortium
        self.sent: list[bytes] = []

    def __getitem__(self, number: int) -> Place:
        return self.consortium[number]

    def let(self, mode: Mode) -> None:
        """Say what the dishonest one does from now on."""
        (self[DISHONEST].settings.data / MODE).write_text(mode)

    def go_on(self, through: int = 1, by: tuple[int, ...] = HONEST) -> None:
        """Have a transaction executed by the honest ones."""
        place = self[through]
        raw = place.call(place.nonce(), *hosts(place, len(self.sent)))
        self.sent.append(raw)
        self.consortium.send(raw, through)
        tx_hash = "0x" + keccak256(raw).hex()
        for number in by:
            receipt = wait_until(
                "executed",
                lambda rpc=self[number].rpc: rpc("eth_getTransactionReceipt", tx_hash),  # type: ignore[misc]
            )
            assert receipt["status"] == "0x1"

    def decide(self, *about: Any, **values: Any) -> None:
        """Have the honest ones decide."""
        self.sent += self.consortium.decide(*about, **values)

    def refused(self, name: str) -> list[int]:
        return [refused(self[number].settings.data, name) for number in HONEST]


def hosts(place: Place, number: int) -> tuple[Any, ...]:
    return HOSTS, place.member.node_id, (number + 1).to_bytes(32, "big")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    need_cometbft()
    with Consortium(tmp_path_factory.mktemp("byzantine"), 4) as consortium:
        module = "tests.support.byzantine"
        for number, place in consortium.places.items():
            data = str(place.settings.data)
            consortium.first[number] = (f"{module}:witness", data)
            if number == DISHONEST:
                consortium.first[number] = (f"{module}:become", data, str(CHAIN_ID))
            consortium.start(number)
        consortium.wait_up()
        yield Scene(consortium)


def malformed(place: Place) -> list[bytes]:
    """Return transactions of which none may run: broken ones, and sound ones against a rule."""
    chance = random.Random(SEED)
    signature, *values = hosts(place, 0)
    fine = Call(
        place.nonce(), data=calldata(signature, *values), chain_id=CHAIN_ID, key=place.account
    )
    against: list[bytes] = [
        fine.with_(key=STRANGER, nonce=0).typed(),
        fine.with_(chain_id=CHAIN_ID + 1).typed(),
        fine.with_(to=b"Moneo" + bytes(15)).typed(),
        fine.with_(to=b"").typed(),
        fine.with_(value=1).typed(),
        fine.with_(fee=1, priority=1).typed(),
        fine.with_(gas=1_000_001).typed(),
        fine.with_(gas=20_999).typed(),
        fine.with_(data=bytes(300_000)).typed(),
        fine.legacy(protected=False),
        fine.with_(chain_id=1).legacy(),
        b"\x01" + fine.typed()[1:],
        b"\x03" + fine.typed()[1:],
        b"",
        bytes(1),
    ]
    sound = [fine.typed(), fine.legacy()]
    found = dict.fromkeys(against)
    while len(found) < COUNT:
        base, other = chance.choice(sound), chance.choice(against)[:1_000]
        changed = mutate(base, draw(chance), other)
        if changed not in sound:
            found[changed[:10_000]] = None
    return list(found)


def nothing_came_of_it(scene: Scene, by: tuple[int, ...] = HONEST) -> None:
    """See that all nodes run, that blocks hold what was sent and nothing else, and that it goes on."""
    scene.go_on(2, by)
    for number in by:
        assert scene.consortium.is_running(number)
    blocks = scene[1].comet.blocks()
    held = [base64.b64decode(raw) for block in blocks for raw in block["data"]["txs"]]
    assert sorted(held) == sorted(scene.sent)


def test_malformed_transactions_at_json_rpc_reach_no_block(scene: Scene) -> None:
    with httpx.Client(base_url=scene[1].rpc.url, timeout=60) as client:
        for raw in malformed(scene[1]):
            body = {"id": 1, "jsonrpc": "2.0", "method": "eth_sendRawTransaction"}
            answer = client.post("/", json={**body, "params": ["0x" + raw.hex()]}).json()
            assert answer["error"]["code"] != -32603, (answer, raw.hex())
    nothing_came_of_it(scene)


def test_malformed_transactions_at_cometbft_reach_no_block(scene: Scene) -> None:
    for raw in malformed(scene[2]):
        try:
            assert scene[2].comet.send(raw)["code"] != 0, raw.hex()
        except CometRefused:
            # CometBFT itself refuses one that is empty.
            assert raw == b""
    nothing_came_of_it(scene)


def test_malformed_transactions_that_a_member_spreads_reach_no_block(scene: Scene) -> None:
    scene.let("gossip")
    before, count = scene.refused(REFUSED_TXS), 0
    for raw in malformed(scene[DISHONEST]):
        if raw:
            count += scene[DISHONEST].comet.send(raw)["code"] == 0
    assert count == COUNT - 1
    wanted = [number + count for number in before]
    wait_until("each has refused all", lambda: scene.refused(REFUSED_TXS) >= wanted)
    nothing_came_of_it(scene)


def test_blocks_that_break_a_rule_are_refused_and_the_others_go_on(scene: Scene) -> None:
    refuse(scene, SUITE_BLOCKS)


@pytest.mark.long
def test_every_kind_of_block_that_breaks_a_rule_is_refused(scene: Scene) -> None:
    refuse(scene, len(BAD_BLOCKS))


def refuse(scene: Scene, kinds: int) -> None:
    """Have the dishonest one propose so many kinds, each when it is its turn."""
    scene.let("proposals")
    file = scene[DISHONEST].settings.data / PROPOSED

    def proposed() -> int:
        return len(file.read_text().splitlines()) if file.exists() else 0

    while proposed() < kinds:
        scene.go_on(1 + len(scene.sent) % 3)
    scene.let("honest")
    # One that hears of a proposal late has no need to judge it.
    assert min(scene.refused(REFUSED_BLOCKS)) >= kinds // 2
    nothing_came_of_it(scene)


def test_one_key_at_work_twice_is_shown_by_everybody(scene: Scene) -> None:
    """A province's home is copied and both run, as when a backup is started beside the machine it is of."""
    consortium, called = scene.consortium, scene[DISHONEST].called
    consortium.stop(DISHONEST)
    twin = consortium.twin(DISHONEST)
    # One node of this name is heard by each of the others: so the two see different blocks first.
    consortium.cut({DISHONEST}, {2, 3})
    consortium.cut({twin}, {1})
    for number in (DISHONEST, twin):
        consortium.start(number)

    def shown(number: int) -> list[Any]:
        told = status(Rpc(scene[number].settings.rpc))["misbehaviour"]
        return [each for each in told if each["validator"] == called]

    # When it is its turn to propose, each has a block of its own, and votes for that.
    for _ in range(40):
        scene.go_on(1 + len(scene.sent) % 3)
        if shown(1):
            break
    else:
        pytest.fail("nobody has seen it sign twice")
    for number in (*HONEST, twin):
        fault = wait_until("shown", lambda number=number: shown(number))[0]  # type: ignore[misc]
        assert fault["kind"] == "DUPLICATE_VOTE"
        assert 0 < fault["height"] <= scene[1].comet.height()
    told = wait_until("its own node says so", lambda: twice(scene[twin]))
    assert not told["healthy"]
    consortium.kill(twin)
    del consortium.places[twin]
    consortium.heal()
    nothing_came_of_it(scene)


def twice(place: Place) -> Any:
    """Return a node's status when it says that its key has signed twice."""
    told = status(Rpc(place.settings.rpc))
    return told if any("signed twice" in each["en"] for each in told["problems"]) else None


def test_a_fifth_is_kept_out_until_it_is_voted_in_and_then_replays_and_signs(scene: Scene) -> None:
    new = scene.consortium.join()
    place = scene[new]
    scene.consortium.start(new)
    wait_until("its CometBFT answers", place.comet.is_up)
    scene.go_on()
    assert (place.comet.height(), peers(place)) == (0, set())
    scene.decide("admit", place.admission(), HONEST, **place.member.values())
    scene.consortium.wait_one_head(*HONEST, new)
    for _ in range(20):
        scene.go_on(new)
        # Not in every commit: one is made as soon as there are votes enough.
        if signs(scene, new):
            break
    else:
        pytest.fail("it does not sign")
    assert len(scene[1].rpc("moneo_getConsensus")["validators"]) == 5


def test_who_computes_another_app_hash_falls_out_and_the_others_go_on(scene: Scene) -> None:
    scene.let("app hash")
    scene.go_on()
    scene.go_on()
    wait_until("it has ended", lambda: not scene.consortium.is_running(DISHONEST))
    nothing_came_of_it(scene)


def test_one_removed_keeps_trying_and_hears_nothing_more(scene: Scene) -> None:
    gone, place = 3, scene[3]
    scene.decide("remove", b"", (1, 2, 3, 5), account=place.member.account)
    staying = (1, 2, 5)
    for number in staying:
        wait_until("hung up", lambda at=scene[number]: not is_peer(at, place))  # type: ignore[misc]
    before = place.comet.height()
    scene.consortium.kill(gone)
    scene.consortium.start(gone)
    wait_until("it tries again", place.comet.is_up)
    for number in staying:
        scene.go_on(number, staying)
        wait_until("its CometBFT answers", scene[number].comet.is_up)
        assert not is_peer(scene[number], place)
    assert place.comet.height() <= before + 1
    raw = place.call(place.nonce(), *hosts(place, 0))
    refused = scene[1].rpc.ask("eth_sendRawTransaction", "0x" + raw.hex())
    assert "error" in refused, refused


def test_in_the_end_all_have_the_same_blocks(scene: Scene) -> None:
    staying = (1, 2, 5)
    nothing_came_of_it(scene, staying)
    scene.consortium.wait_one_head(*staying)
    scene.consortium.stop(*staying, 3)
    kept = {number: scene[number] for number in (*staying, 3)}
    assert same_history(kept) < same_history({number: scene[number] for number in staying})
    assert same_history({1: scene[1]}) == same_history({5: scene[5]})


def peers(place: Place) -> set[bytes]:
    """Return the node ids of a node's peers."""
    told = place.comet.client.ask("net_info")["peers"]
    return {bytes.fromhex(each["node_info"]["id"]) for each in told}


def is_peer(place: Place, other: Place) -> bool:
    """Whether the other may be a peer; while CometBFT begins again nobody knows."""
    try:
        return other.member.node_id in peers(place)
    except CometSilent:
        return True


def signs(scene: Scene, number: int) -> bool:
    """Whether a province's vote is in the newest commit, by another's word."""
    account = "0x" + scene[number].member.account.hex()
    told = scene[1].rpc("moneo_getConsensus")["validators"]
    return any(each["signed"] and each["account"] == account for each in told)
