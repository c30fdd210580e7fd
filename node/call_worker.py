# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that runs calls for `node.calls`, which says why it is one and what it is sent.

EVM rules are those of `node.vm`. A call runs as a transaction of its sender would, without its
signature, nonce, fees and the consortium's rules, and everything it writes is thrown away.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import rlp
from eth.abc import ComputationAPI, StateAPI
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.exceptions import Revert, VMError
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.cancun.transactions import CancunTransactionBuilder
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address, Hash32

from node.calls import CALL, DONE, HASH, NODE, READY, VALUE, Channel, ChannelClosed
from node.vm import MAX_ANCESTOR_DEPTH, build_state

# Below the node itself, so that a block comes first where there is one core for both.
NICENESS: Final = 10
MAX_MEMORY: Final = 2 * 1024 * 1024 * 1024
# Trie nodes and code stay the same for ever; what many calls read is asked for once.
CACHE_BYTES: Final = 32 * 1024 * 1024
# How much too high an estimate may be, as in other nodes: a search to the last unit costs more.
_TOLERANCE_PERCENT: Final = 1.5
# Each further run of a search for an access list needs a contract that looks at its gas.
_MAX_ACCESS_RUNS: Final = 4
# Constant on this chain, and warm for every transaction (EIP-3651).
COINBASE: Final = bytes(20)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: output, gas used before refunds and after, and the error if any."""

    output: bytes
    spent: int
    used: int
    error: VMError | None


class RemoteState(BaseDB):
    """The node's trie nodes and code, by hash, over the channel. Read only."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached = 0

    def __getitem__(self, key: bytes) -> bytes:
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        value = ask(self._channel, NODE, key)
        if value is None:
            raise KeyError(key)
        self._keep(key, value)
        return value

    def _exists(self, key: bytes) -> bool:
        return key in self._cache or ask(self._channel, NODE, key) is not None

    def __setitem__(self, key: bytes, value: bytes) -> None:
        raise TypeError("a call writes nothing")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("a call deletes nothing")

    def _keep(self, key: bytes, value: bytes) -> None:
        self._cache[key] = value
        self._cached += len(value)
        while self._cached > CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._cached -= len(dropped)


def ask(channel: Channel, kind: bytes, payload: bytes) -> bytes | None:
    """Ask the node for a value by hash or number; None if it is not there."""
    channel.send(kind, payload)
    answer, value = channel.receive()
    if answer != VALUE:
        raise ChannelClosed("the node answers something else")
    return value[1:] if value[:1] == b"\1" else None


def serve(channel: Channel) -> None:
    """Run one call after the other until the node closes the channel."""
    database = RemoteState(channel)
    channel.send(READY, b"")
    while True:
        kind, payload = channel.receive()
        if kind != CALL:
            raise ChannelClosed("the node sends something else")
        order = json.loads(payload)
        result = _MODES[order["mode"]](_state(channel, database, order), order)
        channel.send(DONE, json.dumps(result).encode())


def run(state: StateAPI, order: dict[str, Any], gas: int) -> Outcome:
    """Run a call with so much gas and undo what it wrote."""
    transaction = _transaction(state, order, gas)
    if transaction.intrinsic_gas > gas:
        return Outcome(b"", gas, gas, VMError("intrinsic gas too low"))
    if order["value"] > state.get_balance(transaction.sender):
        return Outcome(b"", 0, 0, VMError("insufficient funds for transfer"))
    executor = state.get_transaction_executor()
    checkpoint = state.snapshot()
    try:
        message = executor.build_evm_message(transaction)
        computation = executor.build_computation(message, transaction)
        return _outcome(transaction, computation)
    except VMError as error:
        return Outcome(b"", gas, gas, error)
    finally:
        state.revert(checkpoint)
        state.clear_transient_storage()
        # Forgets which slots are warm, or the next run would be cheaper than a transaction is.
        state.lock_changes()


def call(state: StateAPI, order: dict[str, Any]) -> dict[str, Any]:
    """Run once; return the output."""
    outcome = run(state, order, order["gas"])
    return _failure(outcome) or {"data": outcome.output.hex()}


def estimate(state: StateAPI, order: dict[str, Any]) -> dict[str, Any]:
    """Search for the least gas with which the call ends well."""
    outcome = run(state, order, order["gas"])
    if failure := _failure(outcome):
        return failure
    # Below what was used it cannot end well; a call that keeps 1/64 for itself, or looks at the
    # gas that it has left, may want more than was spent.
    low, high = outcome.used - 1, order["gas"]
    if outcome.spent < high and run(state, order, outcome.spent).error is None:
        high = outcome.spent
    while low + 1 < high and (high - low) * 100 > high * _TOLERANCE_PERCENT:
        middle = min((low + high) // 2, low * 2)
        if run(state, order, middle).error is None:
            high = middle
        else:
            low = middle
    return {"gas": high}


def access_list(state: StateAPI, order: dict[str, Any]) -> dict[str, Any]:
    """Find what a call touches: again with what was found, until nothing is new.

    What is warm is cheaper, so that a call that looks at its gas may then touch more.
    """
    found: list[Any] = order["access_list"]
    for _ in range(_MAX_ACCESS_RUNS):
        accesses = Accesses()
        accesses.watch(state)
        outcome = run(state, {**order, "access_list": found}, order["gas"])
        touched = accesses.beyond(order)
        if touched == found:
            break
        found = touched
    return {"accesses": found, "gas": outcome.used, "error": _reason(outcome)}


class Accesses:
    """Which addresses and slots a call makes warm (EIP-2929), also in parts that revert."""

    def __init__(self) -> None:
        self._touched: dict[bytes, set[int]] = {}

    def watch(self, state: StateAPI) -> None:
        """Write down from now on what becomes warm in this state."""
        # Bound to the class: a state that is watched already is watched by the newest only.
        warm_address = partial(type(state).mark_address_warm, state)
        warm_slot = partial(type(state).mark_storage_warm, state)

        def mark_address(address: Address) -> None:
            self._touched.setdefault(address, set())
            warm_address(address)

        def mark_slot(address: Address, slot: int) -> None:
            self._touched.setdefault(address, set()).add(slot)
            warm_slot(address, slot)

        state.mark_address_warm = mark_address  # type: ignore[method-assign]
        state.mark_storage_warm = mark_slot  # type: ignore[method-assign]

    def beyond(self, order: dict[str, Any]) -> list[Any]:
        """Return the list in order, without addresses that are warm from the start."""
        warm = {bytes.fromhex(order["sender"]), bytes.fromhex(order["to"] or ""), COINBASE}
        return [
            [address.hex(), [slot.to_bytes(32, "big").hex() for slot in sorted(slots)]]
            for address, slots in sorted(self._touched.items())
            if slots or address not in warm
        ]


_MODES: Final = {"call": call, "estimate": estimate, "access_list": access_list}


def main(descriptor: int) -> None:
    """Serve on an inherited socket until the node goes."""
    # Ctrl-C reaches the whole group; the node decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        serve(channel)
    except ChannelClosed:
        channel.close()


def _state(channel: Channel, database: RemoteState, order: dict[str, Any]) -> StateAPI:
    header = rlp.decode(bytes.fromhex(order["header"]), CancunBlockHeader)
    previous = _previous_hashes(channel, header.block_number)
    return build_state(AtomicDB(database), header, order["chain_id"], previous)


def _previous_hashes(channel: Channel, number: int) -> Iterator[Hash32]:
    for ancestor in range(number - 1, max(number - 1 - MAX_ANCESTOR_DEPTH, -1), -1):
        known = ask(channel, HASH, ancestor.to_bytes(8, "big"))
        if known is None:
            raise ChannelClosed("the node does not know its own blocks")
        yield Hash32(known)


def _transaction(state: StateAPI, order: dict[str, Any], gas: int) -> Any:
    sender = Address(bytes.fromhex(order["sender"]))
    unsigned = CancunTransactionBuilder.new_unsigned_dynamic_fee_transaction(
        chain_id=order["chain_id"],
        nonce=state.get_nonce(sender),
        max_priority_fee_per_gas=0,
        max_fee_per_gas=0,
        gas=gas,
        to=Address(bytes.fromhex(order["to"] or "")),
        value=order["value"],
        data=bytes.fromhex(order["data"]),
        access_list=[
            (Address(bytes.fromhex(address)), [int(slot, 16) for slot in slots])
            for address, slots in order["access_list"]
        ],
    )
    return SpoofTransaction(unsigned, from_=sender)


def _outcome(transaction: Any, computation: ComputationAPI) -> Outcome:
    spent = transaction.gas - computation.get_gas_remaining()
    # EIP-3529: at most a fifth comes back.
    used = spent - min(computation.get_gas_refund(), spent // 5)
    error = computation.error if computation.is_error else None
    return Outcome(computation.output, spent, used, error)


def _reason(outcome: Outcome) -> str | None:
    if outcome.error is None:
        return None
    if isinstance(outcome.error, Revert):
        return "execution reverted"
    return str(outcome.error) or type(outcome.error).__name__


def _failure(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.error is None:
        return None
    if isinstance(outcome.error, Revert):
        return {"reverted": outcome.output.hex()}
    return {"failed": _reason(outcome)}


if __name__ == "__main__":
    main(int(sys.argv[1]))
