# SPDX-License-Identifier: GPL-3.0-or-later
"""Members propose and vote by commands, on a real chain, and read what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account.signers.local import LocalAccount
from eth_keys.datatypes import PrivateKey
from typer.testing import CliRunner
from web3.exceptions import ContractLogicError

import contracts
from node.card import Keys, card_of, keep_card, make_card
from node.governance import Proposal
from node.governing import Seat, SendRefused, add_to
from node.overview import Member, Rpc
from node.proposals import ProposalError, account_of, every, lines, same_card, shown
from tests.support.running_node import MEMBER, OTHER, Client, found_home, running

CHAIN = 7_700_000_000_001


@dataclass
class Commands:
    """`moneo node` of two members at one node."""

    client: Client
    folder: Path
    who: LocalAccount = MEMBER

    def __call__(self, *words: str, status: int = 0) -> Any:
        """Run a command as the member whose turn it is; return its JSON, or what it said."""
        app = typer.Typer()
        add_to(app, lambda _data: self.seat(), lambda _data: self.client.node.url)
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == status, done.output
        return json.loads(done.output) if status == 0 else done.output

    def seat(self) -> Seat:
        account = bytes.fromhex(self.who.address[2:])
        return Seat(self.folder, self.client.node.url, account, self.send, lambda: keys(1))

    def send(self, function: str, arguments: tuple[Any, ...]) -> int:
        call = getattr(self.client.contract("Consortium").functions, function)(*arguments)
        try:
            call.call({"from": self.who.address})
        except ContractLogicError as error:
            raise SendRefused(str(error)) from error
        receipt = self.client.send(call, self.who, gas=1_000_000)
        assert receipt["status"] == 1
        return int(receipt["blockNumber"])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("governing") / "node"
    found_home(home)
    with running(home) as client:
        yield client


@pytest.fixture
def run(client: Client, tmp_path: Path) -> Commands:
    return Commands(client, tmp_path)


def accepted(run: Commands, *words: str) -> dict[str, Any]:
    """Propose as one member and vote yes as the other; return the proposal in the end."""
    run.who = MEMBER
    proposed = run("propose", *words)
    assert (proposed["outcome"], proposed["missing"]) == ("open", 1)
    run.who = OTHER
    decided: dict[str, Any] = run("vote", str(proposed["number"]), "yes")
    assert (decided["outcome"], decided["missing"]) == ("accepted", None)
    assert run("proposals", str(proposed["number"])) == [decided]
    return decided


def slot(client: Client, number: int) -> int:
    told = client.rpc(
        "eth_getStorageAt", "0x" + contracts.ADDRESSES["Consortium"].hex(), hex(number)
    )
    return int(told["result"], 16)


def test_what_two_members_agree_on_is_in_effect(run: Commands, client: Client) -> None:
    accepted(run, "gas-limit", "4000000")
    assert slot(client, contracts.CONSORTIUM_SLOTS["gas_limit"]) == 4_000_000
    target = "0x" + "77" * 20
    consortium = client.contract("Consortium").functions
    for words, listed in ((("list", target), True), (("list", target, "--not"), False)):
        accepted(run, *words)
        assert consortium.is_callable("0x" + "77" * 20).call() is listed
    plan = run.folder / "plan"
    plan.write_bytes(b"moneo 2")
    values = accepted(run, "upgrade", "500000", str(plan))["values"]
    assert values == {"height": 500_000, "plan": "0x" + sha256(b"moneo 2").hexdigest()}
    assert slot(client, contracts.CONSORTIUM_SLOTS["upgrade_height"]) == 500_000
    accepted(run, "upgrade", "--none")
    assert slot(client, contracts.CONSORTIUM_SLOTS["upgrade_height"]) == 0
    origin = sha256(b"moneo.example/old/2026").digest()
    client.send(consortium.register_log(origin, bytes([7]) * 32), MEMBER)
    accepted(run, "retire", "moneo.example/old/2026", "moneo.example/new/2026")
    assert client.contract("AnchorLog").functions.successor(origin).call() == (
        sha256(b"moneo.example/new/2026").digest()
    )


def test_a_vote_against_and_one_too_many(run: Commands) -> None:
    number = str(run("propose", "gas-limit", "5000000")["number"])
    assert "sender has voted before" in run("vote", number, "no", status=1)
    run.who = OTHER
    told = run("vote", number, "no")
    assert told["outcome"] == "rejected"
    assert [each["account"] for each in told["no"]] == [OTHER.address.lower()]
    assert "decided before" in run("vote", number, "yes", status=1)


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("propose", "gas-limit", "1"), 1, "gas limit is out of range"),
        (("propose", "gas-limit", str(1 << 256)), 2, "cannot be proposed"),
        (("propose", "remove", MEMBER.address.lower()), 1, "validators of this chain are fixed"),
        (("propose", "change-key"), 1, "validators of this chain are fixed"),
        (("propose", "remove", "Cà Mau"), 2, "not exactly one member"),
        (("propose", "list", "0x1234"), 2, "no contract's address"),
        (("propose", "list", "Consortium"), 1, "the Consortium stays callable"),
        (("propose", "upgrade", "5"), 2, "or --none"),
        (("propose", "upgrade", "5", "/nowhere"), 2, "cannot be read"),
        (("propose", "admit", "/nowhere"), 2, "cannot be read"),
        (("vote", "999", "yes"), 2, "no proposal 999"),
        (("proposals", "999"), 2, "no proposal 999"),
        (("keep", "/nowhere"), 2, "cannot be read"),
        (("hosts", "--peer", "127.0.0.1:1", "-o", "x"), 2, "own card is not here"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    run: Commands, words: tuple[str, ...], status: int, reason: str
) -> None:
    assert reason in run(*words, status=status)


def test_voting_ends_by_itself(
    run: Commands, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = run("propose", "gas-limit", "6000000")["number"]
    rpc = Rpc(client.node.url)
    assert every(rpc)[-1].outcome == "open"
    head = client.web3.eth.block_number
    for last_block, outcome in ((head, "lapsed"), (head + 1, "open")):
        monkeypatch.setattr("node.proposals._last_block", lambda *_, last=last_block: last)
        told = shown(
            every(rpc)[-1], [Member(MEMBER.address.lower()), Member(OTHER.address.lower())]
        )
        assert (told["number"], told["outcome"]) == (number, outcome)
        assert ("needs 1 more" in "".join(lines(told))) == (outcome == "open")


def test_who_was_a_member_is_called_by_the_name_on_its_card() -> None:
    gone = Member("0x" + "77" * 20, name="Hà Tây")
    removal = Proposal(
        3, b"\x77" * 20, "remove", {"account": b"\x77" * 20}, b"", {b"\x77" * 20: True}
    )
    assert shown(removal, [])["proposer"]["name"] is None
    found = shown(removal, [], [gone])
    assert [found["name"], found["proposer"]["name"], found["yes"][0]["name"]] == ["Hà Tây"] * 3


def keys(number: int) -> Keys:
    made = [Ed25519PrivateKey.from_private_bytes(bytes([number, use]) * 16) for use in range(3)]
    return Keys(PrivateKey(bytes([number]) * 32), *made)


def test_a_vote_takes_only_the_card_that_is_proposed(tmp_path: Path) -> None:
    card = make_card(
        "An Giang", [], "127.0.0.1:26656", "moneo.example/angiang/2026", keys(7), CHAIN
    )
    proposal = Proposal(1, bytes(20), "admit", card.member.values(), card.proof)
    path = tmp_path / "card.json"
    path.write_bytes(card.raw)
    assert same_card(path, proposal, CHAIN) == card
    other = make_card(
        "An Giang", [], "127.0.0.1:26656", "moneo.example/angiang/2026", keys(8), CHAIN
    )
    with pytest.raises(ProposalError, match="not what proposal 1 admits"):
        same_card(path, replace(proposal, values=other.member.values()), CHAIN)
    with pytest.raises(ProposalError, match="not shown to be held"):
        same_card(path, replace(proposal, proof=other.proof), CHAIN)
    with pytest.raises(ProposalError, match=f"for chain {CHAIN}, not for 5"):
        same_card(path, proposal, 5)
    keep_card(tmp_path, card)
    assert card_of(tmp_path, card.member.account) == card


def test_a_member_is_found_by_account_or_name() -> None:
    known = [Member("0x" + "11" * 20, name="Cà Mau"), Member("0x" + "22" * 20, name="Đắk Lắk")]
    assert account_of("cà mau", known) == bytes([0x11]) * 20
    assert account_of("0x" + "22" * 20, known) == bytes([0x22]) * 20
    for unknown in ("", "Hà Nội", "0x" + "33" * 20):
        with pytest.raises(ProposalError, match="Cà Mau, Đắk Lắk"):
            account_of(unknown, known)
    with pytest.raises(ProposalError, match="0x44444444…"):
        account_of("", [Member("0x" + "44" * 20)])
