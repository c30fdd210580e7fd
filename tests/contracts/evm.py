# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the compiled contracts on py-evm's Cancun rules, in memory and without a chain around them.

The contract tests and the gas bench share it. Every call is a whole transaction with its intrinsic
gas, only without a signature; the state is what `contracts.genesis_accounts` founds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from eth.abc import SignedTransactionAPI, StateAPI
from eth.constants import BLANK_ROOT_HASH, ZERO_ADDRESS, ZERO_HASH32
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.cancun.state import CancunState
from eth.vm.spoof import SpoofTransaction
from eth_abi.abi import decode, encode
from eth_typing import Address, BlockNumber
from eth_utils.crypto import keccak

import contracts

GAS_LIMIT = 3_000_000
"""Of a block, and so the most that a transaction can have."""

_REASON = keccak(b"Error(string)")[:4]


@dataclass(frozen=True)
class Event:
    """A log entry, decoded by the contract's ABI."""

    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a transaction did: its whole gas, what it returned or reverted with, its events.

    `logs` are the events as they stand in a receipt: address, topics of 32 bytes, data.
    """

    gas: int
    output: bytes
    reverted: bool
    events: tuple[Event, ...]
    logs: tuple[tuple[bytes, tuple[bytes, ...], bytes], ...]

    @property
    def reason(self) -> str:
        """The reason string of a revert; empty for a success or a revert without one."""
        if not self.reverted or self.output[:4] != _REASON:
            return ""
        return str(decode(["string"], self.output[4:])[0])


class Evm:
    """The founded contracts; `transact` changes their state, `view` only looks."""

    def __init__(self, members: Sequence[bytes] | contracts.Founding, block: int = 1) -> None:
        """Found as a province's own chain with these accounts, or as told."""
        if not isinstance(members, contracts.Founding):
            members = _own_chain(members)
        self._state = CancunState(AtomicDB(), _context(block), BLANK_ROOT_HASH)
        self._nonces: dict[bytes, int] = {}
        for address, account in contracts.genesis_accounts(members).items():
            self._state.set_code(Address(address), account.code)
            self._state.set_nonce(Address(address), 1)
            for slot, value in account.storage.items():
                self._state.set_storage(Address(address), slot, value)
        self._state.persist()

    @property
    def state(self) -> StateAPI:
        """The state as it is, to read."""
        return self._state

    @property
    def block(self) -> int:
        """The number that the contracts see as `block.number`."""
        return self._state.block_number

    def mine(self, block: int) -> None:
        """Go on in the given block with the state as it is."""
        self._state.execution_context = _context(block)

    def slot(self, contract: str, slot: bytes) -> bytes:
        """Return what lies in a contract's slot."""
        value = self._state.get_storage(
            Address(contracts.ADDRESSES[contract]), int.from_bytes(slot, "big")
        )
        return value.to_bytes(32, "big")

    def put(self, contract: str, slot: bytes, value: bytes) -> None:
        """Set a contract's slot from outside, to begin a test in any state."""
        self._state.set_storage(
            Address(contracts.ADDRESSES[contract]),
            int.from_bytes(slot, "big"),
            int.from_bytes(value, "big"),
        )
        self._state.lock_changes()

    def transact(self, sender: bytes, contract: str, function: str, *arguments: Any) -> Outcome:
        """Apply one transaction of `sender` that calls `function`, and return what it did."""
        return self.send(
            sender, contracts.ADDRESSES[contract], calldata(contract, function, arguments)
        )

    def view(self, contract: str, function: str, *arguments: Any) -> Any:
        """Return the one value that a view function gives."""
        outcome = self.transact(ZERO_ADDRESS, contract, function, *arguments)
        assert not outcome.reverted, outcome.reason
        (output,) = _entry(contract, "function", function)["outputs"]
        return decode([_type(output)], outcome.output)[0]

    def send(self, sender: bytes, to: bytes, data: bytes) -> Outcome:
        """Apply one transaction with the given calldata."""
        transaction = self._transaction(sender, to, data)
        computation = self._state.apply_transaction(transaction)
        self._state.lock_changes()
        return Outcome(
            gas=CancunVM.finalize_gas_used(transaction, computation),
            output=computation.output,
            reverted=computation.is_error,
            events=tuple(_event(*entry) for entry in computation.get_log_entries()),
            logs=tuple(
                (bytes(address), tuple(topic.to_bytes(32, "big") for topic in topics), data)
                for address, topics, data in computation.get_log_entries()
            ),
        )

    def _transaction(self, sender: bytes, to: bytes, data: bytes) -> SignedTransactionAPI:
        plain = CancunVM.get_transaction_builder().create_unsigned_transaction(
            nonce=self._state.get_nonce(Address(sender)),
            gas_price=0,
            gas=GAS_LIMIT,
            to=Address(to),
            value=0,
            data=data,
        )
        return cast("SignedTransactionAPI", SpoofTransaction(plain, from_=Address(sender)))


def _own_chain(accounts: Sequence[bytes]) -> contracts.Founding:
    members = [contracts.Member(account) for account in accounts]
    return contracts.Founding(members, bytes(range(32)), GAS_LIMIT, governed=False)


def calldata(contract: str, function: str, arguments: Sequence[Any]) -> bytes:
    """Return the calldata of a call as the contract's ABI has it."""
    types = [_type(item) for item in _entry(contract, "function", function)["inputs"]]
    return _selector(function, types) + encode(types, arguments)


def _context(block: int) -> ExecutionContext:
    return ExecutionContext(
        coinbase=ZERO_ADDRESS,
        timestamp=0,
        block_number=BlockNumber(block),
        difficulty=0,
        mix_hash=ZERO_HASH32,
        gas_limit=GAS_LIMIT,
        prev_hashes=(),
        chain_id=1,
        base_fee_per_gas=0,
        excess_blob_gas=0,
    )


@cache
def _entry(contract: str, kind: str, name: str) -> dict[str, Any]:
    (entry,) = (
        item for item in contracts.abi(contract) if item["type"] == kind and item["name"] == name
    )
    return entry


def _type(item: dict[str, Any]) -> str:
    name: str = item["type"]
    if not name.startswith("tuple"):
        return name
    return "(" + ",".join(map(_type, item["components"])) + ")" + name.removeprefix("tuple")


def _selector(name: str, types: Sequence[str]) -> bytes:
    return keccak(f"{name}({','.join(types)})".encode())[:4]


def _event(address: bytes, topics: Sequence[int], data: bytes) -> Event:
    contract = {value: name for name, value in contracts.ADDRESSES.items()}[address]
    for entry in contracts.abi(contract):
        if entry["type"] == "event" and _topic(entry) == topics[0]:
            return Event(entry["name"], _values(entry["inputs"], topics[1:], data))
    raise AssertionError("an event that the ABI does not have")


def _topic(entry: dict[str, Any]) -> int:
    signature = f"{entry['name']}({','.join(map(_type, entry['inputs']))})"
    return int.from_bytes(keccak(signature.encode()), "big")


def _values(inputs: Sequence[dict[str, Any]], topics: Sequence[int], data: bytes) -> dict[str, Any]:
    indexed = [item for item in inputs if item["indexed"]]
    plain = [item for item in inputs if not item["indexed"]]
    words = b"".join(topic.to_bytes(32, "big") for topic in topics)
    found = [
        *zip(indexed, decode(list(map(_type, indexed)), words), strict=True),
        *zip(plain, decode(list(map(_type, plain)), data), strict=True),
    ]
    return {item["name"]: value for item, value in found}
