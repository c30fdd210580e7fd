# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let in, by members, cards and the command line; on the real CometBFT it is test_consortium.py."""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import contracts
from node.abci.home import FOLDER
from node.abci.messages import MESSAGES
from node.abci.orderer import _RETRY_SECONDS, CometOrderer
from node.abci.peers import Peers
from node.abci.service import Service
from node.application import Application
from node.card import CARDS, keep_card
from node.chain import Chain
from node.db import LevelDB
from node.doctor import check
from node.errors import GenesisError
from node.genesis import GENESIS_FILE, KEY_FILE, consortium, encode
from node.known import KnownCards
from node.mempool import Mempool
from node.sequencer import final_key
from tests.contracts.provinces import CHAIN_ID, province
from tests.node.test_governance import codes, decided, signed
from tests.support.cards import card, cards
from tests.support.comet import wait_until
from tests.support.node_core import at

GIVEN = province(4)
OTHER = f"{province(9).member.node_id.hex()}@127.0.0.10:26656"


@dataclass
class Three:
    """Three members with cards, one that has a card and is about to join, and one given by --peer."""

    home: Path
    application: Application
    known: KnownCards
    peers: Peers

    def ids(self, *numbers: int) -> list[bool]:
        return [self.peers.is_allowed(province(n).member.node_id) for n in numbers]

    def called(self) -> set[str]:
        return {each.rpartition(":")[0].partition("@")[2] for each in self.peers.addresses()}


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    members = [each.member for each in cards(3)]
    made = consortium("test-0123456789abcdef", CHAIN_ID, "2025-11-22T08:26:40Z", members)
    for number in range(4):
        keep_card(tmp_path, card(number))
    database = LevelDB(tmp_path / "chain")
    application = Application(Chain(database, made))
    known = KnownCards(tmp_path)
    given = (f"{GIVEN.member.node_id.hex()}@127.0.0.5:26656", OTHER)
    own = province(0).member.node_id
    yield Three(tmp_path, application, known, Peers(application.chain, own, given, known))
    database.close()


def test_members_who_are_about_to_join_and_who_was_given_are_let_in(three: Three) -> None:
    assert three.ids(0, 1, 2, 3, 4) == [True] * 5
    assert three.ids(5, 6) == [False] * 2
    assert not three.peers.is_allowed(bytes(20))
    assert three.called() == {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.10"}


def test_removed_one_is_let_in_no_more_whatever_says_so(three: Three) -> None:
    """Neither its card nor the command line: its node id stands in the state as one that was used."""
    gone = province(2).member
    payload = decided(0, "remove", account=gone.account)
    assert codes(three.application, *payload)[:2] == [0, 0]
    # Three members decide with all three, so that it has agreed to leave.
    assert gone not in three.application.chain.consortium.members
    # The next height names the new validators, and is the old ones' to sign.
    assert three.ids(2, 3) == [True] * 2
    assert codes(three.application) == []
    named = (f"{gone.node_id.hex()}@127.0.0.3:26656",)
    peers = Peers(three.application.chain, b"", named, three.known)
    assert not peers.is_allowed(gone.node_id)
    assert named[0] not in peers.addresses()
    assert "127.0.0.3" not in three.called()
    assert three.ids(0, 1, 3) == [True] * 3


def test_where_one_leaves_another_both_are_let_in_until_the_height_that_says_so(
    tmp_path: Path,
) -> None:
    """One of two cannot make a block alone: kept out too early, the other would stand still for ever."""
    members = [each.member for each in cards(2)]
    made = consortium("test-0123456789abcdef", CHAIN_ID, "2025-11-22T08:26:40Z", members)
    database = LevelDB(tmp_path / "chain")
    application = Application(Chain(database, made))
    leaving = members[1].node_id
    peers = Peers(application.chain, members[0].node_id, ())
    payload = decided(0, "remove", account=members[1].account)[:2]
    allowed = []
    for txs in ([], payload, [], []):
        assert not any(codes(application, *txs))
        # As one that begins again in this moment sees it, too.
        fresh = Peers(Chain(database, made), members[0].node_id, ())
        assert fresh.is_allowed(leaving) == peers.is_allowed(leaving)
        allowed.append(peers.is_allowed(leaving))
    assert application.chain.consortium.members == (members[0],)
    assert allowed == [True, True, False, False]
    database.close()


def test_turns_are_different_and_a_stranger_is_last(three: Three) -> None:
    turns = [
        Peers(three.application.chain, province(n).member.node_id, ()).turn for n in (0, 1, 2, 7)
    ]
    assert sorted(turns[:3]) == [0, 1, 2]
    assert turns[3] == 3


def test_own_card_is_not_called_and_what_was_given_goes_before_a_card(three: Three) -> None:
    own, other = (province(n).member.node_id.hex() for n in (0, 1))
    told = Peers(
        three.application.chain, bytes.fromhex(own), [f"{other}@10.0.0.1:1"], three.known
    ).addresses()
    assert f"{other}@10.0.0.1:1" in told
    assert not any(own in each or "127.0.0.2" in each for each in told)


class TestCards:
    def test_new_one_is_seen_and_a_damaged_one_leaves_those_before(self, three: Three) -> None:
        keep_card(three.home, card(4))
        assert len(three.known()) == 5
        assert three.known() is three.known()
        damaged = three.home / CARDS / f"{card(1).member.account.hex()}.json"
        damaged.write_bytes(card(1).raw[:-40])
        assert len(three.known()) == 5
        with pytest.raises(GenesisError):
            KnownCards(three.home)
        keep_card(three.home, card(1))
        assert len(three.known()) == 5

    def test_none_where_there_is_no_folder(self, tmp_path: Path) -> None:
        assert KnownCards(tmp_path)() == []


class TestDoctor:
    @pytest.fixture
    def home(self, three: Three) -> Path:
        home = three.home
        (home / GENESIS_FILE).write_bytes(encode(three.application.chain.genesis))
        (home / FOLDER).mkdir()
        self.put_key(home, 0)
        return home

    def put_key(self, home: Path, number: int) -> None:
        key = province(number).validator_key
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (home / KEY_FILE).write_bytes(pem)
        (home / KEY_FILE).chmod(0o600)

    def states(self, home: Path) -> dict[str, str]:
        found = {each.what: each.state for each in check(home).findings}
        return {what: found[what] for what in ("node", "chain", "member", "cards")}

    def test_key_and_cards_are_those_of_the_newest_state(self, three: Three, home: Path) -> None:
        good = {"node": "good", "chain": "good", "member": "good", "cards": "good"}
        assert self.states(home) == good
        self.put_key(home, 3)
        assert self.states(home) == {**good, "member": "unknown"}
        joining = card(3, CHAIN_ID)
        three.application.finalize(
            1, at(1), decided(0, "admit", joining.proof, **joining.member.values())
        )
        three.application.commit({final_key(0): (1).to_bytes(8, "big")})
        assert self.states(home) == good
        (home / CARDS / f"{card(1).member.account.hex()}.json").unlink()
        assert self.states(home) == {**good, "cards": "unknown"}
        (home / CARDS / f"{card(2).member.account.hex()}.json").write_bytes(b"{}")
        assert self.states(home) == {**good, "cards": "damaged"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/p2p/filter/id/{province(1).member.node_id.hex()}", 0),
        (f"/p2p/filter/id/{province(6).member.node_id.hex()}", 1),
        (f"/p2p/filter/id/{province(1).member.node_id.hex().upper()}", 1),
        (f"/p2p/filter/id/{province(1).member.node_id.hex()}00", 1),
        (f"/p2p/filter/id/{province(1).member.node_id.hex()}\n", 1),
        ("/p2p/filter/id/", 1),
        ("/p2p/filter/addr/10.0.0.1:26656", 0),
        ("/p2p/filter/addr/[fe80::1%25eth0]:26656", 0),
        ("/p2p/filter/other", 1),
        ("", 1),
    ],
)
def test_query_is_answered_as_cometbft_asks_it(three: Three, path: str, code: int) -> None:
    failures: list[BaseException] = []
    pool = Mempool(three.application.next_nonce)
    service = Service(three.application, pool, failures.append, three.peers.is_allowed)
    answer = service.answer("Query", MESSAGES["RequestQuery"](path=path))
    assert (answer.code, failures) == (code, [])


def test_who_asks_without_peers_lets_nobody_in(three: Three) -> None:
    service = Service(three.application, Mempool(three.application.next_nonce), lambda _: None)
    path = f"/p2p/filter/id/{province(1).member.node_id.hex()}"
    answer: Any = service.answer("Query", MESSAGES["RequestQuery"](path=path))
    assert answer.code == 1


# Answers as CometBFT does who its peers are, keeps what it is sent, and is ended like it.
COMET = """\
import http.server, json, os, socketserver, sys
os.chdir(sys.argv[3])

class Answers(http.server.BaseHTTPRequestHandler):
    def address_string(self): return ""
    def log_message(self, *_): pass
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["method"] == "broadcast_tx_sync":
            open("sent", "a").write(asked["params"]["tx"] + "\\n")
        peers = [{"node_info": {"id": each, "listen_addr": "tcp://127.0.0.9:26656"}} for each in open("peers").read().split()]
        body = json.dumps({"result": {"peers": peers, "code": 0}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

socketserver.UnixStreamServer("rpc.sock", Answers).serve_forever()
"""


def test_cometbft_begins_again_only_where_a_removed_one_is_connected(
    three: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.abci.orderer.STAGGER_SECONDS", 0.0)
    folder, program = tmp_path / "cometbft", tmp_path / "program"
    folder.mkdir()
    program.write_text(f"#!{sys.executable}\n{COMET}")
    program.chmod(0o755)
    gone, staying = (province(n).member for n in (2, 1))
    connected = folder / "peers"
    connected.write_text(f"{gone.node_id.hex()} {staying.node_id.hex()}")
    orderer = CometOrderer(three.application, bytes(20), folder, program, peers=three.peers)
    orderer.start()
    try:
        first = orderer.pid
        orderer._drop_strangers()
        assert (orderer.pid, orderer.peer_count()) == (first, 2)
        waiting = [signed(1, n, "register_log", bytes([n + 1]) * 32, bytes(32)) for n in (1, 2)]
        codes(three.application, *decided(0, "remove", account=gone.account))
        for raw in waiting:
            orderer.mempool.add(raw, three.application.check(raw))
        # The next height, which names the new validators, may need the vote of the one that leaves.
        orderer._look.set()
        time.sleep(3 * _RETRY_SECONDS)
        assert orderer.pid == first
        connected.write_text(staying.node_id.hex())
        assert codes(three.application) == []
        orderer._drop_strangers()
        assert orderer.pid == first
        connected.write_text(f"{staying.node_id.hex()} {gone.node_id.hex()}")
        orderer._look.set()
        sent = folder / "sent"
        wait_until("sent again", lambda: sent.exists() and sent.read_text().count("\n") == 2)
        assert (orderer.pid == first, len(orderer.mempool)) == (False, 0)
        assert [base64.b64decode(line) for line in sent.read_text().split()] == waiting
        assert orderer.failure is None
    finally:
        orderer.stop()


def test_record_and_card_are_told_by_account(three: Three) -> None:
    told = answer(three, "moneo_getMembers")
    by_account = {each["account"]: each for each in told}
    for number in range(3):
        member = card(number).member
        found = by_account["0x" + member.account.hex()]
        assert found["card"]["proof"] == "0x" + card(number).proof.hex()
        assert found["validatorKey"] == "0x" + member.validator_key.hex()
        assert (found["name"], found["hosts"]) == ("0x" + member.name.hex(), "0x" + member.hosts.hex())  # fmt: skip
    ordered = [contracts.place(bytes.fromhex(each["validatorKey"][2:])) for each in told]
    assert ordered == sorted(ordered)


def test_who_was_a_member_is_told_by_its_card_and_who_is_about_to_join_is_not(three: Three) -> None:
    assert answer(three, "moneo_getFormerMembers") == []
    gone = card(2)
    codes(three.application, *decided(0, "remove", account=gone.member.account))
    (found,) = answer(three, "moneo_getFormerMembers")
    assert found["account"] == "0x" + gone.member.account.hex()
    assert hashlib.sha256(found["card"]["name"].encode()).hexdigest() == found["name"][2:]


def answer(three: Three, method: str) -> Any:
    from node.rpc.methods import METHODS

    class Node:
        """What the methods read of a node."""

        chain = three.application.chain
        cards = three.known

    return METHODS[method].function(Node())
