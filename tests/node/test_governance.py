# SPDX-License-Identifier: GPL-3.0-or-later
"""That CometBFT is only ever handed updates it can take, and the contract only keys shown to be held.

What the contract lets come about is played through in tests/contracts/test_consortium_model.py;
here is what it never lets come about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.exceptions import ValidationError

import contracts
from node.application import Application
from node.chain import Chain
from node.db import LevelDB
from node.errors import ChainError, Code, OrderError, TransactionRefused, UpgradeNeeded
from node.genesis import consortium, encode, parse
from node.governance import (
    Consortium,
    admission_proof,
    check_proposal,
    key_proof,
    read,
    validator_updates,
)
from node.light import Validator, in_order, validators_hash
from node.vm import MoneoVM
from tests.contracts.evm import calldata
from tests.contracts.provinces import CHAIN_ID, Council, province, provinces, public
from tests.support.node_core import Call, at

FIFTH = province(40)
IDENTITY = b"\1" + bytes(31)


def of(*members: contracts.Member, **changes: Any) -> Consortium:
    """A consortium as the contract would leave it with these members, but for the changes."""
    validators = in_order(Validator(each.validator_key, 1) for each in members)
    by_key = {each.validator_key: each for each in members}
    ordered = tuple(by_key[each.public_key] for each in validators)
    return replace(Consortium(1, 0, validators_hash(validators), ordered, 1, None), **changes)


MEMBERS = [province(number).member for number in range(4)]
CURRENT = of(*MEMBERS).validators


class TestUpdates:
    def test_none_while_nothing_has_changed(self) -> None:
        assert validator_updates(CURRENT, of(*MEMBERS)) == ()
        assert validator_updates(CURRENT[::-1], of(*MEMBERS)) == ()

    def test_add_and_remove_what_differs_by_address(self) -> None:
        wanted = of(*MEMBERS[1:], FIFTH.member)
        expected = {(MEMBERS[0].validator_key, 0), (FIFTH.member.validator_key, 1)}
        updates = validator_updates(CURRENT, wanted)
        assert {(each.public_key, each.power) for each in updates} == expected
        places = [contracts.place(each.public_key) for each in updates]
        assert places == sorted(places)
        assert validator_updates(CURRENT[::-1], wanted) == updates

    def test_bring_every_power_to_one(self) -> None:
        heavy = [replace(CURRENT[0], power=10), *CURRENT[1:]]
        assert validator_updates(heavy, of(*MEMBERS)) == (CURRENT[0],)

    def test_none_where_votes_do_not_govern(self) -> None:
        assert validator_updates(CURRENT, of(*MEMBERS[1:], era=0)) == ()

    def test_none_to_an_empty_set(self) -> None:
        nobody = replace(of(*MEMBERS), members=(), validators_hash=validators_hash(()))
        assert validator_updates(CURRENT, nobody) == ()

    def test_none_to_a_set_of_another_hash(self) -> None:
        assert validator_updates(CURRENT, of(*MEMBERS[1:], validators_hash=bytes(32))) == ()
        unordered = replace(of(*MEMBERS[1:]), members=of(*MEMBERS[1:]).members[::-1])
        assert validator_updates(CURRENT, unordered) == ()

    def test_none_to_a_set_with_a_key_twice(self) -> None:
        twice = (MEMBERS[0], replace(MEMBERS[0], account=bytes(20)))
        same = [Validator(MEMBERS[0].validator_key, 1)] * 2
        wanted = replace(of(MEMBERS[0]), members=twice, validators_hash=validators_hash(same))
        assert validator_updates(CURRENT, wanted) == ()

    @pytest.mark.parametrize("weak", [IDENTITY, bytes(32), b"\xff" * 32])
    def test_leave_out_keys_that_cannot_sign(self, weak: bytes) -> None:
        with_weak = of(*MEMBERS, replace(FIFTH.member, validator_key=weak))
        assert validator_updates(CURRENT, with_weak) == ()
        gone = of(*MEMBERS[1:], replace(FIFTH.member, validator_key=weak))
        assert validator_updates(CURRENT, gone) == (Validator(MEMBERS[0].validator_key, 0),)
        alone = of(replace(FIFTH.member, validator_key=weak))
        assert validator_updates(CURRENT, alone) == ()


class TestOnTheChain:
    """Four founders, from a genesis file on, with signed transactions through the application."""

    @pytest.fixture
    def app(self, tmp_path: Path) -> Iterator[Application]:
        members = [each.member for each in provinces(4)]
        made = consortium("test-0123456789abcdef", CHAIN_ID, "2025-11-22T08:26:40Z", members)
        db = LevelDB(tmp_path / "chain")
        yield Application(Chain(db, parse(encode(made))))
        db.close()

    def test_fifth_is_voted_in_and_handed_to_cometbft(self, app: Application) -> None:
        before = governance(app)
        assert (
            in_order(Validator(*each) for each in app.chain.genesis.validators) == before.validators
        )
        assert validator_updates(before.validators, before) == ()
        kind, payload = 1, contracts.encode_payload("admit", **FIFTH.member.values())
        first = signed(0, 0, "propose", kind, payload, FIFTH.proof())
        others = [signed(n, 0, "vote", 1, True, kind, payload) for n in (1, 2, 3)]
        assert codes(app, first, *others[:1]) == [Code.OK] * 2
        assert governance(app) == before
        # The fourth vote comes after the decision, and reverts.
        assert codes(app, *others[1:]) == [Code.OK, Code.REVERTED]
        now = governance(app)
        assert validator_updates(before.validators, now) == (
            Validator(FIFTH.member.validator_key, 1),
        )
        assert codes(app, signed(40, 0, "register_log", FIFTH.member.origin, IDENTITY)) == [Code.OK]
        assert validator_updates(now.validators, governance(app)) == ()

    def test_removed_member_is_stopped_at_the_door_in_the_same_block(
        self, app: Application
    ) -> None:
        kind, payload = 2, contracts.encode_payload("remove", account=province(3).account)
        votes = [signed(n, 0, "vote", 1, True, kind, payload) for n in (1, 2)]
        last = signed(3, 0, "vote", 1, False, kind, payload)
        txs = [signed(0, 0, "propose", kind, payload, b""), *votes, last]
        assert codes(app, *txs) == [Code.OK] * 3 + [Code.NOT_ALLOWED]
        gone = Validator(province(3).member.validator_key, 0)
        assert validator_updates(CURRENT, governance(app)) == (gone,)

    def test_updates_are_those_since_the_last_and_the_same_after_a_crash(
        self, app: Application
    ) -> None:
        joining = decided(0, "admit", FIFTH.proof(), **FIFTH.member.values())
        leaving = decided(1, "remove", account=province(3).account)
        # With five members four have to agree, and the newest may.
        leaving.append(
            signed(40, 0, "vote", 2, True, *about("remove", account=province(3).account))
        )
        joined = ((FIFTH.member.validator_key, 1),)
        left = ((province(3).member.validator_key, 0),)
        wanted = {1: ((), ()), 2: (joining, joined), 3: ((), ()), 4: (leaving, left), 5: ((), ())}
        for height, (txs, updates) in wanted.items():
            # What was finalized and not committed is gone with the process.
            assert app.finalize(height, at(9), decided(1, "remove", account=FIFTH.account))
            done = app.finalize(height, at(height), txs)
            again = Application(app.chain).finalize(height, at(height), txs)
            assert (done, done.validators) == (again, updates)
            app.commit()
            app = Application(Chain(app.chain.db, app.chain.genesis))
        assert set(app.validators()) == set(governance(app).validators)
        assert [app.era_height(era) for era in range(1, 5)] == [None, 3, 5, None]

    def test_era_that_changes_nothing_for_cometbft_has_no_height(
        self, app: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("node.application.validator_updates", lambda _current, _wanted: ())
        before = app.validators()
        codes(app, *decided(0, "remove", account=province(3).account))
        assert governance(app).era == 2
        assert (app.era_height(2), app.validators()) == (None, before)

    def test_voted_gas_limit_holds_from_the_next_block_on(self, app: Application) -> None:
        votes = decided(0, "gas-limit", gas_limit=1_000_000)
        after = signed(3, 0, "register_log", bytes(31) + b"\1", IDENTITY)
        assert codes(app, *votes, after) == [Code.OK] * 4
        assert app.chain.gas_limit == 1_000_000
        two = [signed(n, 1, "register_log", bytes([n]) * 32, IDENTITY) for n in range(2)]
        assert app.process(two[:1])
        assert not app.process(two)
        assert not app.process([b""] * 48)
        assert app.propose(two, 100_000) == two[:1]
        assert codes(app, *two) == [Code.OK, Code.BLOCK_FULL]
        opened = Chain(app.chain.db, app.chain.genesis)
        limits = [opened.header(number).gas_limit for number in range(3)]
        assert limits == [3_000_000, 3_000_000, opened.gas_limit]
        header, parent = opened.header(2), opened.header(1)
        MoneoVM.validate_header(header, parent, opened.gas_limit_after(parent))
        for limit in (None, 3_000_000, 1_000_001):
            with pytest.raises(ValidationError, match="gas limit"):
                MoneoVM.validate_header(header, parent, limit)

    def test_program_that_does_not_know_the_plan_stops_at_its_height(
        self, app: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan = bytes([5]) * 32
        assert codes(app) == []
        votes = decided(0, "upgrade", height=3, plan=plan)
        assert codes(app, *votes) == [Code.OK] * 3
        later = signed(3, 0, "register_log", bytes([3]) * 32, IDENTITY)
        before = app.info()
        for step in (
            app.check_upgrade,
            lambda: app.propose([later], 100_000),
            lambda: app.process([later]),
            lambda: app.finalize(3, at(3), [later]),
        ):
            with pytest.raises(UpgradeNeeded, match=f"height 3 .* plan {plan.hex()}"):
                step()
        with pytest.raises(OrderError):
            app.commit()
        assert Application(Chain(app.chain.db, app.chain.genesis)).info() == before
        monkeypatch.setattr("node.governance.KNOWN_PLANS", frozenset({plan}))
        assert codes(app, later) == [Code.OK]

    def test_results_of_a_great_block_stay_below_what_cometbft_reads(
        self, app: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A voted gas limit has room for more results than CometBFT reads of an answer."""
        monkeypatch.setattr("node.application.MAX_RESULTS_BYTES", 40)
        refused = (*about("gas-limit", gas_limit=1), b"")
        txs = [signed(n, 0, "propose", *refused) for n in range(3)]
        results = app.finalize(1, at(1), txs).results
        assert [len(each.data) for each in results] == [40, 0, 0]

    def test_keys_not_shown_to_be_held_never_reach_a_block(self, app: Application) -> None:
        payload = contracts.encode_payload("admit", **FIFTH.member.values())
        for proof, code in ((_changed(100), Code.BAD_SIGNATURE), (FIFTH.proof(), Code.OK)):
            raw = signed(0, 0, "propose", 1, payload, proof)
            assert app.process([raw]) is (code == Code.OK)
            assert codes(app, raw) == [code]


def governance(app: Application) -> Consortium:
    return read(app.chain.state_at(app.chain.head()))


def signed(number: int, nonce: int, function: str, *arguments: Any) -> bytes:
    """A transaction of this province to Consortium."""
    data = calldata("Consortium", function, arguments)
    key = province(number).account_key
    return Call(nonce, data=data, gas=1_000_000, chain_id=CHAIN_ID, key=key).typed()


def decided(nonce: int, kind: str, proof: bytes = b"", **values: Any) -> list[bytes]:
    """Transactions by which the first three of four decide as their proposal of this nonce from 0."""
    content = about(kind, **values)
    votes = [signed(n, nonce, "vote", nonce + 1, True, *content) for n in (1, 2)]
    return [signed(0, nonce, "propose", *content, proof), *votes]


def about(kind: str, **values: Any) -> tuple[int, bytes]:
    return contracts.kind_number(kind), contracts.encode_payload(kind, **values)


def codes(app: Application, *txs: bytes) -> list[int]:
    """Execute and commit the next height; return what became of its transactions."""
    height = app.info().height + 1
    results = app.finalize(height, at(height), txs).results
    app.commit()
    return [result.code for result in results]


def test_list_longer_than_can_be_is_damage() -> None:
    council = Council(1)
    slot = contracts.CONSORTIUM_SLOTS["member_count"].to_bytes(32, "big")
    council.evm.put("Consortium", slot, (65).to_bytes(32, "big"))
    with pytest.raises(ChainError, match="damaged"):
        read(council.evm.state)


def proposing(kind: str, proof: bytes, **values: Any) -> bytes:
    payload = contracts.encode_payload(kind, **values)
    return calldata("Consortium", "propose", (contracts.kind_number(kind), payload, proof))


def admission(proof: bytes, **changes: Any) -> bytes:
    return proposing("admit", proof, **FIFTH.member.values() | changes)


def _changed(at: int) -> bytes:
    proof = bytearray(FIFTH.proof())
    proof[at] ^= 1
    return bytes(proof)


def _proof(**keys: Any) -> bytes:
    usual = {
        "account": FIFTH.account_key,
        "validator": FIFTH.validator_key,
        "node": FIFTH.node_key,
        "log": FIFTH.log_key,
    }
    return admission_proof(CHAIN_ID, FIFTH.member, **{**usual, **keys})


HELD = key_proof(CHAIN_ID, FIFTH.account, FIFTH.validator_key)
CHANGE = {"account": FIFTH.account, "validator_key": public(FIFTH.validator_key)}

REFUSED: dict[str, Callable[[], bytes]] = {
    "validator's signature changed": lambda: admission(_changed(96)),
    "node key changed": lambda: admission(_changed(160)),
    "node's signature changed": lambda: admission(_changed(192)),
    "log key changed": lambda: admission(_changed(256)),
    "log's signature changed": lambda: admission(_changed(351)),
    "another record": lambda: admission(FIFTH.proof(), hosts=bytes(32)),
    "validator key of another": lambda: admission(_proof(validator=province(41).validator_key)),
    "node key of another": lambda: admission(_proof(node=province(41).node_key)),
    "log key that validates": lambda: admission(_proof(log=FIFTH.validator_key)),
    "log key of the node": lambda: admission(_proof(log=FIFTH.node_key)),
    "signed for another chain": lambda: admission(
        admission_proof(
            2,
            FIFTH.member,
            FIFTH.account_key,
            FIFTH.validator_key,
            FIFTH.node_key,
            FIFTH.log_key,
        )
    ),
    "no proof": lambda: admission(b""),
    "proof short": lambda: admission(FIFTH.proof()[:-1]),
    "proof long": lambda: admission(FIFTH.proof() + b"\0"),
    "identity, which signs anything": lambda: proposing(
        "change-key", IDENTITY + bytes(32), account=FIFTH.account, validator_key=IDENTITY
    ),
    "change by another key": lambda: proposing(
        "change-key", key_proof(CHAIN_ID, FIFTH.account, FIFTH.node_key), **CHANGE
    ),
    "change for another account": lambda: proposing(
        "change-key", HELD, **CHANGE | {"account": province(1).account}
    ),
    "change signed for an admission": lambda: proposing("change-key", _proof()[96:160], **CHANGE),
    "unknown kind": lambda: calldata("Consortium", "propose", (8, bytes(32), b"")),
    "payload of another kind": lambda: calldata("Consortium", "propose", (1, bytes(32), b"")),
    "arguments cut": lambda: admission(FIFTH.proof())[:-32],
    "nothing but the selector": lambda: admission(b"")[:4],
    "word after the end": lambda: admission(FIFTH.proof()) + bytes(32),
}


def _elsewhere(data: bytes) -> bytes:
    """Move the proof a word on, and its offset with it: it decodes alike, and is encoded otherwise."""
    offset = int.from_bytes(data[68:100], "big")
    start = 4 + offset
    return (
        data[:68] + (offset + 32).to_bytes(32, "big") + data[100:start] + bytes(32) + data[start:]
    )


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_keys_not_shown_to_be_held_are_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(TransactionRefused) as refused:
        check_proposal(make(), CHAIN_ID)
    assert refused.value.code == Code.BAD_SIGNATURE


def test_keys_that_are_held_and_all_else_pass() -> None:
    gas_limit = {"gas_limit": 5_000_000}
    for data in (
        admission(FIFTH.proof()),
        proposing("change-key", HELD, **CHANGE),
        proposing("gas-limit", b"", **gas_limit),
        calldata("Consortium", "register_log", (bytes(32), bytes(32))),
        b"",
        b"\xff" * 1000,
    ):
        check_proposal(data, CHAIN_ID)


def test_calldata_that_another_decoder_might_read_otherwise_is_refused() -> None:
    with pytest.raises(TransactionRefused, match="in the one way"):
        check_proposal(_elsewhere(proposing("change-key", HELD, **CHANGE)), CHAIN_ID)


def test_longest_proposal_is_not_too_long() -> None:
    """The bound on calldata is what an admission takes, to the word."""
    with pytest.raises(TransactionRefused, match="too long"):
        check_proposal(admission(FIFTH.proof()) + bytes(32), CHAIN_ID)
