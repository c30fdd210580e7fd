# SPDX-License-Identifier: GPL-3.0-or-later
"""Provinces with keys of their own, and the consortium that they found, vote in and are admitted to."""

from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_keys.datatypes import PrivateKey

import contracts
from node import governance
from node.light import Validator, in_order, validators_hash
from tests.contracts.evm import GAS_LIMIT, Evm, Outcome

CHAIN_ID = 1
"""The one that `Evm` runs with."""


class Province:
    """All the keys of a province; of one that returns, only the account stays as it was."""

    def __init__(self, number: int, generation: int = 0) -> None:
        self.number = number
        self._generation = generation
        self.account_key = PrivateKey(_hash("account", number))
        self.validator_key = self.new_key("validator")
        self.node_key = self.new_key("node")
        self.log_key = self.new_key("log")

    def new_key(self, name: str) -> Ed25519PrivateKey:
        """Return a key of this province; another for each name."""
        return Ed25519PrivateKey.from_private_bytes(self._hash(name))

    @property
    def account(self) -> bytes:
        return bytes(self.account_key.public_key.to_canonical_address())

    @property
    def member(self) -> contracts.Member:
        """Its record as it applies for admission."""
        return contracts.Member(
            account=self.account,
            validator_key=public(self.validator_key),
            node_id=contracts.place(public(self.node_key)),
            origin=self._hash("origin"),
            log_key_id=self._hash("log key id"),
            name=self._hash("name"),
            hosts=self._hash("hosts"),
        )

    def _hash(self, name: str) -> bytes:
        return _hash(f"{name} {self._generation}", self.number)

    def proof(self, member: contracts.Member | None = None) -> bytes:
        """Return the proof of possession of this record, or of its own."""
        keys = (self.account_key, self.validator_key, self.node_key, self.log_key)
        return governance.admission_proof(CHAIN_ID, member or self.member, *keys)


@cache
def province(number: int, generation: int = 0) -> Province:
    return Province(number, generation)


def provinces(count: int) -> list[Province]:
    return [province(number) for number in range(count)]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def founding(count: int) -> contracts.Founding:
    """Return a consortium of the first `count` provinces."""
    members = [each.member for each in provinces(count)]
    validators = in_order(Validator(each.validator_key, 1) for each in members)
    return contracts.Founding(members, validators_hash(validators), GAS_LIMIT, governed=True)


class Council:
    """A consortium on an EVM, and what its members have sent; every call is of one block.

    Proposals and votes take the values of `contracts.KINDS` by name, after their own arguments.
    """

    def __init__(self, count: int, chain: contracts.Founding | None = None) -> None:
        self.evm = Evm(chain or founding(count), block=1)
        self.logs: list[tuple[tuple[bytes, ...], bytes]] = []
        self.proposals = 0

    def send(self, sender: bytes, function: str, *arguments: Any) -> Outcome:
        """Call Consortium as this account, in the block as it is."""
        outcome = self.evm.transact(sender, "Consortium", function, *arguments)
        self.logs += [
            (topics, data)
            for address, topics, data in outcome.logs
            if address == contracts.ADDRESSES["Consortium"]
        ]
        return outcome

    def next_block(self, blocks: int = 1) -> None:
        self.evm.mine(self.evm.block + blocks)

    def propose(
        self, sender: Province | bytes, kind: str, proof: Any = b"", **values: Any
    ) -> Outcome:
        """Propose as this member; the number is then `proposals`, if it was taken."""
        payload = contracts.encode_payload(kind, **values)
        number = contracts.kind_number(kind)
        outcome = self.send(_account(sender), "propose", number, payload, proof)
        self.proposals += not outcome.reverted
        return outcome

    def admit(self, sender: Province | bytes, new: Province, **changes: Any) -> Outcome:
        """Propose to admit a province, with proofs of its keys for the record as changed."""
        member = replace(new.member, **changes)
        return self.propose(sender, "admit", new.proof(member), **member.values())

    def change_key(self, sender: Province, key: Ed25519PrivateKey) -> Outcome:
        values = {"account": sender.account, "validator_key": public(key)}
        proof = governance.key_proof(CHAIN_ID, sender.account, key)
        return self.propose(sender, "change-key", proof, **values)

    def vote(
        self,
        sender: Province | bytes,
        kind: str,
        approve: Any = True,
        number: Any = None,
        **values: Any,
    ) -> Outcome:
        """Vote on the proposal with this number, or the last, as being of this content."""
        payload = contracts.encode_payload(kind, **values)
        about = (contracts.kind_number(kind), payload)
        number = self.proposals if number is None else number
        return self.send(_account(sender), "vote", number, approve, *about)

    def decide(
        self, members: list[Province], kind: str, proof: Any = b"", **values: Any
    ) -> Outcome:
        """Propose as the first and let the others vote for it until it is accepted; the last outcome."""
        outcome = self.propose(members[0], kind, proof, **values)
        for voter in members[1:]:
            if outcome.reverted or self.outcome() != "open":
                break
            outcome = self.vote(voter, kind, **values)
        return outcome

    def outcome(self, number: int | None = None) -> str:
        number = self.proposals if number is None else number
        word = self.evm.slot("Consortium", contracts.proposal_slot(number, "outcome"))
        return contracts.OUTCOMES[int.from_bytes(word, "big")]

    def read(self) -> governance.Consortium:
        return governance.read(self.evm.state)

    def accounts(self) -> set[bytes]:
        return {each.account for each in self.read().members}

    def history(self) -> list[governance.Proposal]:
        return governance.history(self.logs)


def _account(sender: Province | bytes) -> bytes:
    return sender.account if isinstance(sender, Province) else sender


def _hash(name: str, number: int) -> bytes:
    return sha256(f"{name} {number}".encode()).digest()
