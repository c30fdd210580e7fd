# SPDX-License-Identifier: GPL-3.0-or-later
"""Consortium against a small model of it, and CometBFT's set against both, whatever is proposed.

Up to 40 provinces come, go and return, change keys and vote at random. After every step the
contract holds what the model does; after every block the updates that `node.governance` gives are
ones that CometBFT takes, and lead to the members' set; at the end the events tell the model's
history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import contracts
from node.governance import Proposal, validator_updates
from node.light import Validator, in_order, validators_hash
from tests.contracts.evm import GAS_LIMIT, Outcome
from tests.contracts.provinces import Council, Province, province, public

PROVINCES = 40
SET_CHANGES = ("admit", "remove", "change-key")
TARGET = bytes(range(20, 40))

anybody = st.integers(0, PROVINCES + 9)
generations = st.integers(0, 2)
# What the members do about a proposal: let it lie, or vote for it, at once or in the next block.
pushed = st.sampled_from(["not", "now", "later", "later"])


@dataclass
class Model:
    """What the rules make of the votes: no storage, no hashes, no encoding."""

    members: dict[bytes, contracts.Member]
    era: int = 1
    changed: bool = False
    used: set[bytes] = field(default_factory=set)
    origins: set[bytes] = field(default_factory=set)
    gas_limit: int = GAS_LIMIT
    listed: bool = False
    proposals: list[Proposal] = field(default_factory=list)

    def __post_init__(self) -> None:
        for member in self.members.values():
            self._use(member)

    def can(self, kind: str, values: Mapping[str, Any]) -> bool:
        """Whether this could happen, were it decided in a block of its own."""
        if kind == "admit":
            keys = {contracts.place(values["validator_key"]), values["node_id"]}
            free = not keys & self.used and values["origin"] not in self.origins
            return values["account"] not in self.members and len(keys) == 2 and free
        if kind == "remove":
            return values["account"] in self.members and len(self.members) > 1
        if kind == "change-key":
            key = contracts.place(values["validator_key"])
            return values["account"] in self.members and key not in self.used
        return True

    def propose(
        self, sender: bytes, kind: str, values: Mapping[str, Any], proof: bytes = b""
    ) -> bool:
        """Take a proposal with its proposer's vote, or return False."""
        own = kind != "change-key" or values["account"] == sender
        if sender not in self.members or not own or not self.can(kind, values):
            return False
        if self._decides(0) and kind in SET_CHANGES and self.changed:
            return False
        number = len(self.proposals) + 1
        self.proposals.append(Proposal(number, sender, kind, dict(values), proof))
        self._count(self.proposals[-1], sender, True)
        return True

    def vote(self, sender: bytes, number: int, approve: bool) -> bool:
        """Take a vote, or return False."""
        proposal = self.proposals[number - 1]
        if sender not in self.members or proposal.outcome != "open" or sender in proposal.votes:
            return False
        if approve and self._decides(sum(proposal.votes.values())):
            waits = proposal.kind in SET_CHANGES and self.changed
            if waits or not self.can(proposal.kind, proposal.values):
                return False
        self._count(proposal, sender, approve)
        return True

    def _decides(self, votes: int) -> bool:
        return 3 * (votes + 1) > 2 * len(self.members)

    def _count(self, proposal: Proposal, sender: bytes, approve: bool) -> None:
        decides = approve and self._decides(sum(proposal.votes.values()))
        proposal.votes[sender] = approve
        against = len(proposal.votes) - sum(proposal.votes.values())
        if decides:
            # The electorate at the time of taking effect: today's members, one vote each.
            assert set(proposal.votes) <= set(self.members)
            proposal.outcome = "accepted"
            self._do(proposal.kind, proposal.values)
        elif 3 * (len(self.members) - against) <= 2 * len(self.members):
            proposal.outcome = "rejected"

    def _do(self, kind: str, values: Mapping[str, Any]) -> None:
        if kind == "admit":
            self.members[values["account"]] = contracts.Member(**values)
        elif kind == "remove":
            del self.members[values["account"]]
        elif kind == "change-key":
            member = self.members[values["account"]]
            self.members[member.account] = replace(member, validator_key=values["validator_key"])
        elif kind == "gas-limit":
            self.gas_limit = values["gas_limit"]
        elif kind == "list":
            self.listed = values["listed"]
        if kind in SET_CHANGES:
            self._begin_era()

    def _begin_era(self) -> None:
        for member in self.members.values():
            self._use(member)
        self.era += 1
        self.changed = True
        for proposal in self.proposals:
            if proposal.outcome == "open":
                proposal.outcome = "lapsed"

    def _use(self, member: contracts.Member) -> None:
        self.used |= {contracts.place(member.validator_key), member.node_id}
        self.origins.add(member.origin)


class Comet:
    """CometBFT's validator set, and what it panics at (types/validator_set.go, updateWithChangeSet)."""

    def __init__(self, validators: Sequence[Validator]) -> None:
        self.powers = {each.public_key: each.power for each in validators}

    def update(self, updates: Sequence[Validator]) -> None:
        keys = [each.public_key for each in updates]
        assert len(set(keys)) == len(keys), "a key twice in one update"
        for each in updates:
            assert each.power >= 0
            assert each.power > 0 or each.public_key in self.powers, "removal of an unknown key"
        after = self.powers | {each.public_key: each.power for each in updates}
        self.powers = {key: power for key, power in after.items() if power > 0}
        assert self.powers, "nobody is left"

    @property
    def validators(self) -> tuple[Validator, ...]:
        return in_order(Validator(key, power) for key, power in self.powers.items())


class ConsortiumMachine(RuleBasedStateMachine):
    """Steps that members, former ones and strangers take."""

    @initialize(count=st.one_of(st.integers(1, 4), st.integers(1, 7), st.integers(1, 34)))
    def found(self, count: int) -> None:
        self.council = Council(count)
        members = self.council.read().members
        self.model = Model({each.account: each for each in members})
        self.comet = Comet(self.council.read().validators)

    @rule(pushed=pushed, by=anybody, number=st.integers(0, PROVINCES - 1), generation=generations)
    def admit(self, pushed: str, by: int, number: int, generation: int) -> None:
        new = province(number, generation)
        self._propose(pushed, by, "admit", new.member.values(), new.proof())

    @rule(
        pushed=pushed, by=anybody, borrowed=st.integers(0, PROVINCES - 1), number=st.integers(0, 39)
    )
    def admit_with_a_key_of_another(self, pushed: str, by: int, borrowed: int, number: int) -> None:
        new = province(number, 3)
        record = replace(new.member, validator_key=province(borrowed).member.validator_key)
        self._propose(pushed, by, "admit", record.values(), new.proof(record))

    @rule(pushed=pushed, by=anybody, whom=anybody)
    def remove(self, pushed: str, by: int, whom: int) -> None:
        self._propose(pushed, by, "remove", {"account": self._somebody(whom)})

    @rule(pushed=pushed, by=anybody, name=st.sampled_from(["second", "third", "fourth", "node"]))
    def change_key(self, pushed: str, by: int, name: str) -> None:
        account = self._somebody(by)
        key = _by_account(account).new_key(name)
        self._propose(
            pushed, by, "change-key", {"account": account, "validator_key": public(key)}, bytes(64)
        )

    @rule(pushed=pushed, by=anybody, limit=st.integers(1_000_000, 100_000_000))
    def change_gas_limit(self, pushed: str, by: int, limit: int) -> None:
        self._propose(pushed, by, "gas-limit", {"gas_limit": limit})

    @rule(pushed=pushed, by=anybody, listed=st.booleans())
    def list_contract(self, pushed: str, by: int, listed: bool) -> None:
        self._propose(pushed, by, "list", {"target": TARGET, "listed": listed})

    @rule(by=anybody, which=st.integers(0, 5), approve=st.booleans())
    def vote(self, by: int, which: int, approve: bool) -> None:
        self._vote(self._somebody(by), which, approve)

    @rule(which=st.integers(0, 2), against=st.integers(0, 4), random=st.randoms())
    def ask_everybody(self, which: int, against: int, random: Any) -> None:
        accounts = list(self.model.members)
        random.shuffle(accounts)
        self._campaign(accounts, which, against)

    @rule()
    def next_block(self) -> None:
        found = self.council.read()
        updates = validator_updates(self.comet.validators, found)
        assert len(updates) <= 2
        assert validator_updates(self.comet.validators, found) == updates
        self.comet.update(updates)
        assert self.comet.validators == found.validators
        assert validator_updates(self.comet.validators, found) == ()
        self.council.next_block()
        self.model.changed = False

    @invariant()
    def contract_holds_what_the_model_does(self) -> None:
        found = self.council.read()
        assert {each.account: each for each in found.members} == self.model.members
        assert len(found.members) == len(self.model.members) > 0
        assert found.validators == in_order(found.validators)
        assert found.validators_hash == validators_hash(found.validators)
        assert len({each.public_key for each in found.validators}) == len(found.members)
        assert (found.era, found.gas_limit) == (self.model.era, self.model.gas_limit)
        slot = self.council.evm.slot("Consortium", contracts.callable_slot(TARGET))
        assert slot == bytes(31) + bytes([self.model.listed])

    def teardown(self) -> None:
        assert self.council.history() == self.model.proposals
        for proposal in self.model.proposals:
            stored = self.council.outcome(proposal.number)
            assert stored == ("open" if proposal.outcome == "lapsed" else proposal.outcome)

    def _propose(
        self, pushed: str, by: int, kind: str, values: Mapping[str, Any], proof: bytes = b""
    ) -> None:
        sender = self._somebody(by)
        expected = self.model.propose(sender, kind, values, proof)
        _agree(self.council.propose(sender, kind, proof, **values), expected)
        if pushed == "later":
            self.next_block()
        if pushed != "not" and expected:
            self._campaign(sorted(self.model.members, reverse=by % 2 == 1), which=0)

    def _campaign(self, accounts: Sequence[bytes], which: int, against: int = 0) -> None:
        """Let accounts vote until it is decided; if `against`, the first of so many and one refuses."""
        for turn, account in enumerate(accounts):
            if not self.model.proposals or self._which(which).outcome != "open":
                break
            self._vote(account, which, approve=against == 0 or turn % (against + 1) != 0)

    def _vote(self, sender: bytes, which: int, approve: bool) -> None:
        if not self.model.proposals:
            return
        told = self._which(which)
        expected = self.model.vote(sender, told.number, approve)
        outcome = self.council.vote(sender, told.kind, approve, told.number, **told.values)
        _agree(outcome, expected)

    def _which(self, which: int) -> Proposal:
        """Return a proposal counted from the newest."""
        return self.model.proposals[-1 - which % len(self.model.proposals)]

    def _somebody(self, who: int) -> bytes:
        """Return a member for most numbers, anybody for the others."""
        if who >= PROVINCES:
            return province(who - 10).account
        accounts = sorted(self.model.members)
        return accounts[who % len(accounts)]


def _agree(outcome: Outcome, expected: bool) -> None:
    assert outcome.reverted is not expected, outcome.reason or "it was taken"


def _by_account(account: bytes) -> Province:
    return next(each for each in map(province, range(PROVINCES)) if each.account == account)


ConsortiumMachine.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestConsortiumModel = ConsortiumMachine.TestCase
