# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator is told follows from what the node says, and nonsense is not believed."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node import overview
from node.light import format_time, timestamp, to_rpc, validator_address
from node.overview import LOG_RANGE, NodeRefused, NodeSilent, Rpc, disclosed, peers, status
from tests.support.light_blocks import light_block, signers
from tests.support.mutations import draw, mutate_json

NAMES = ("Cà Mau", "Đắk Lắk", "Lào Cai", "Quảng Trị")
SIGNERS = signers("overview")
KEYS = [each.public_key for each in SIGNERS.validators]
ZERO = "0x" + "0" * 64


def disclosure(name: str, value: Any) -> str:
    text = json.dumps(["AAAAAAAAAAAAAAAAAAAAAA", name, value])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def hashed(text: str) -> str:
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def account(number: int) -> str:
    return "0x" + f"{number + 1:02x}" * 20


def node_id(number: int) -> str:
    return "0x" + f"{number + 0xA1:02x}" * 20


def address(number: int) -> str:
    return "0x" + validator_address(KEYS[number]).hex()


def member(number: int) -> dict[str, Any]:
    name = disclosure("name", NAMES[number])
    hosts = disclosure("hosts", {"pages": [], "peer": f"127.0.0.{number + 1}:26656"})
    return {
        "account": account(number),
        "validatorKey": "0x" + KEYS[number].hex(),
        "nodeId": node_id(number),
        "origin": "0x" + f"{number + 0x51:02x}" * 32,
        "logKeyId": ZERO,
        "name": hashed(name),
        "hosts": hashed(hosts),
        "card": {"name": name, "hosts": hosts},
    }


def answers() -> dict[str, Any]:
    """Return what the first of four healthy provinces' nodes says; the fourth's vote came late once."""
    now = format_time(timestamp(time.time_ns()))
    block = to_rpc(light_block(SIGNERS))
    return {
        "moneo_status": {
            "chainId": 7,
            "cometbftChainId": "test-1",
            "blockNumber": 9,
            "blockHash": ZERO,
            "finalizedNumber": 9,
            "height": 20,
            "validator": address(0)[2:].upper(),
            "waiting": 0,
        },
        "moneo_getConsensus": {
            "height": 20,
            "time": now,
            "catchingUp": False,
            "validator": address(0),
            "validators": [
                {
                    "address": address(number),
                    "publicKey": "0x" + KEYS[number].hex(),
                    "power": 1,
                    "account": account(number),
                    "signed": number != 3,
                }
                for number in range(4)
            ],
            "peers": [
                {"nodeId": node_id(n), "account": account(n), "address": f"127.0.0.{n + 1}:26656"}
                for n in range(1, 4)
            ],
            "misbehaviour": [],
        },
        "moneo_getMembers": [member(number) for number in range(4)],
        "moneo_getLightBlock": {"evmHeader": "0x", "lightBlock": block},
        "eth_getLogs": [
            {
                "topics": [],
                "data": "0x" + "00" * 64 + f"{41:064x}" + "00" * 96,
                "blockNumber": "0x8",
            }
        ],
        "eth_getStorageAt": ZERO,
    }


class Told(Rpc):
    """A node that gives these answers, whatever the parameters; remembers what it was asked."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__("127.0.0.1:1")
        self.known = known
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def ask(self, method: str, *params: Any) -> Any:
        self.asked.append((method, params))
        answer = self.known[method]
        return answer(*params) if callable(answer) else deepcopy(answer)


def told(changes: Mapping[str, Any]) -> Told:
    """Return a node whose answers differ in these places: "method/member/…"."""
    known = answers()
    for path, value in changes.items():
        *parts, last = path.split("/")
        place: Any = known
        for part in parts:
            place = place[int(part) if isinstance(place, list) else part]
        place[int(last) if isinstance(place, list) else last] = value
    return Told(known)


def test_all_is_well_and_a_late_vote_means_nothing() -> None:
    node = told({})
    found = status(node)
    assert found["healthy"], found["problems"]
    assert found["member"] == {"account": account(0), "name": "Cà Mau"}
    assert (found["signs"], found["missing"], found["unconnected"]) == (True, [], [])
    assert (found["log"]["size"], found["log"]["block"]) == (41, 8)
    (query,) = [params[0] for method, params in node.asked if method == "eth_getLogs"]
    assert query["topics"][1] == "0x" + "51" * 32
    text = "\n".join(overview.status_lines(found))
    assert "✓ Mọi việc đều ổn · All is well" in text
    assert "Cà Mau" in text


OLD = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"moneo_getConsensus/catchingUp": True}, "still catching up"),
        ({"moneo_getMembers/0/validatorKey": "0x" + "77" * 32}, "no validator's"),
        ({"moneo_getLightBlock": None, "moneo_getConsensus/validators/0/signed": False}, "missing"),
        ({"moneo_getConsensus/time": OLD, "moneo_status/waiting": 1}, "no block comes"),
        ({"moneo_getConsensus/time": OLD, "moneo_status/finalizedNumber": 8}, "no block comes"),
        ({"moneo_getConsensus/peers": []}, "not connected to more than 2/3"),
        (
            {
                "moneo_getConsensus/misbehaviour": [
                    {
                        "kind": "duplicate vote",
                        "validator": address(0),
                        "height": 3,
                        "time": OLD,
                    }
                ]
            },
            "signed twice",
        ),
        ({"eth_getStorageAt": "0x" + f"{25:064x}"}, "An upgrade is near: from height 25"),
    ],
)
def test_what_is_to_be_done_is_said(
    monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any], problem: str
) -> None:
    monkeypatch.setattr(overview, "LOOK_SECONDS", 0.0)
    found = status(told(changes))
    (said,) = found["problems"]
    assert not found["healthy"]
    assert problem in said["en"]
    assert f"✗ {said['vi']} · {said['en']}" in overview.status_lines(found)


def test_what_is_only_to_be_known_is_no_problem() -> None:
    another = [{"kind": "duplicate vote", "validator": address(2), "height": 3, "time": OLD}]
    found = status(
        told(
            {
                "moneo_getLightBlock": None,
                "moneo_getConsensus/misbehaviour": another,
                "moneo_getConsensus/time": OLD,
                "eth_getLogs": [],
                "eth_getStorageAt": "0x" + f"{10**6:064x}",
            }
        )
    )
    assert found["healthy"], found["problems"]
    assert found["missing"] == ["Quảng Trị"]
    assert found["misbehaviour"][0]["validator"] == "Lào Cai"
    assert (found["log"], found["upgrade"]["left"]) == (None, 10**6 - 20)
    assert "Quảng Trị" in "\n".join(overview.status_lines(found))


def test_who_is_admitted_signs_from_the_next_block_on() -> None:
    known = answers()
    del known["moneo_getConsensus"]["validators"][0]
    found = status(Told(known))
    assert found["healthy"], found["problems"]
    assert found["signs"] is None
    assert "from the next block on" in "\n".join(overview.status_lines(found))


def test_who_was_removed_signs_no_more_though_it_has_signed_the_newest_block() -> None:
    known = answers()
    del known["moneo_getMembers"][0]
    found = status(Told(known))
    assert (found["inSet"], found["signs"]) == (False, False)
    assert "KHÔNG · NO" in next(
        line for line in overview.status_lines(found) if line.startswith("Ký")
    )


def test_today_s_members_are_needed_not_those_of_the_newest_block() -> None:
    known = answers()
    del known["moneo_getMembers"][3]
    del known["moneo_getConsensus"]["peers"][1:]
    known["moneo_getConsensus"]["validators"][3]["account"] = None
    found = status(Told(known))
    assert (found["finality"], found["unconnected"]) == ("too-few", ["Lào Cai"])


def test_peers_are_members_connected_or_not_and_strangers() -> None:
    stranger = {"nodeId": "0x" + "ee" * 20, "account": None, "address": "203.0.113.7:26656"}
    node = told({"moneo_getConsensus/peers/2": stranger})
    found = peers(node)
    assert [(each["member"], each["connected"]) for each in found] == [
        ("Đắk Lắk", True),
        ("Lào Cai", True),
        ("Quảng Trị", False),
        (None, True),
    ]
    assert [each["address"] for each in found[2:]] == ["127.0.0.4:26656", "203.0.113.7:26656"]
    hostile = stranger | {"address": "\x1b[2J"}
    assert peers(told({"moneo_getConsensus/peers/2": hostile}))[-1]["address"] is None
    lines = overview.peer_lines(found)
    assert "not connected" in lines[2]
    assert "a stranger" in lines[3]


def test_a_name_is_believed_only_if_the_chain_has_its_hash() -> None:
    text = disclosure("name", "Cà Mau")
    digest = hashlib.sha256(text.encode()).digest()
    assert disclosed(text, "name", digest) == "Cà Mau"
    assert disclosed(text, "hosts", digest) is None
    assert disclosed(text, "name", bytes(32)) is None
    assert disclosed(None, "name", digest) is None
    lie = status(told({"moneo_getMembers/0/card/name": disclosure("name", "Hà Nội")}))
    assert lie["member"]["name"] is None
    spoofed = disclosure("name", "\x1b[2J")
    escape = {"moneo_getMembers/0/card/name": spoofed, "moneo_getMembers/0/name": hashed(spoofed)}
    assert status(told(escape))["member"]["name"] is None


def test_logs_are_asked_in_ranges_and_in_halves_where_there_are_too_many() -> None:
    asked = []

    def find(query: Mapping[str, Any]) -> list[int]:
        first, last = (int(query[name], 16) for name in ("fromBlock", "toBlock"))
        assert last - first < LOG_RANGE
        asked.append((first, last))
        if last - first > LOG_RANGE // 3:
            raise NodeRefused("more than 2000 logs", -32005)
        return list(range(first, last + 1))

    newest = 2 * LOG_RANGE + 17
    node = Told({"eth_getLogs": find})
    assert overview.logs(node, "Consortium", (), 0, newest) == list(range(newest + 1))
    assert len(asked) == 7 + 7 + 1
    with pytest.raises(NodeRefused):
        overview.logs(Told({"eth_getLogs": refuse}), "Consortium", (), 5, 5)


def refuse(_query: Any) -> Any:
    raise NodeRefused("never", -32005)


@settings(max_examples=60)
@given(st.sampled_from(sorted(answers())), st.randoms(use_true_random=False))
def test_whatever_a_node_answers_there_is_a_status_or_a_sentence(
    method: str, chance: random.Random
) -> None:
    known = answers()
    known[method] = mutate_json(known[method], draw(chance))
    node = Told(known)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(overview, "LOOK_SECONDS", 0.0)
            overview.status_lines(status(node))
            overview.peer_lines(peers(node))
    except NodeSilent as error:
        assert " · " in str(error)
