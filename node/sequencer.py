# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders transactions where the province is the only validator, as CometBFT does where it is one of many.

A block is made as soon as transactions wait, and at once after it the empty block whose header
carries the app hash that they led to: until then nothing shows the new state to a light client.
The block of height 1 is empty and carries the genesis app hash. Without transactions nothing is
made and the chain is quiet.

All that a height leaves behind is in the application's one synchronous write batch: EVM state,
the consensus height, and under the keys made here the block, its commit and which EVM block its
header shows. A crash therefore falls between two heights, and what was missing is seen from
comparing the last header's app hash with the application's. A vote that a crash has lost was
never shown to anyone, so voting again for that height contradicts nothing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.application import Application, Finalized
from node.blocks import (
    MAX_DATA_BYTES,
    Block,
    Tip,
    commit_alone,
    make_block,
    validators_of,
)
from node.errors import ChainError, GenesisError
from node.genesis import load_validator_key
from node.light import from_rpc, keccak256, results_hash, to_rpc, validator_address
from node.mempool import Mempool

# Clients send in bursts: waiting this long for the rest of one saves two headers a transaction.
GATHER_SECONDS: Final = 0.02

_log = logging.getLogger("moneo.node")


class Sequencer:
    """One validator's orderer. Blocks are made by its own thread; reading is for any thread."""

    def __init__(
        self,
        application: Application,
        key: Ed25519PrivateKey,
        *,
        now_nanos: Callable[[], int] = time.time_ns,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Go on where the application stands, up to a header that carries its app hash.

        `on_failure` is called in the sequencer's thread if it cannot go on; `failure` then holds
        the reason. Raises GenesisError if `key` is not the only validator's, ChainError if what
        is stored does not fit.
        """
        self._application = application
        self._genesis = application.chain.genesis
        self._validators = validators_of(self._genesis)
        self._key = key
        self._address = _only_validator(self._validators[0].public_key, key, len(self._validators))
        self._now_nanos = now_nanos
        self._on_failure = on_failure
        self._wake = Condition()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="sequencer", daemon=True)
        self.failure: BaseException | None = None
        self.mempool = Mempool(application.next_nonce)
        self._tip = self._load_tip()
        self._show_app_hash()

    @property
    def height(self) -> int:
        """The height of the last committed block, which is 1 or more."""
        return self._tip.light_block.header.height if self._tip else 0

    @property
    def validator(self) -> bytes:
        """The 20-byte address of this validator."""
        return self._address

    def start(self) -> None:
        """Begin to make blocks."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the height at hand and return when the thread has ended."""
        self._stopping.set()
        self._signal()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, raw: bytes) -> bytes:
        """Let a transaction wait for its block; return its hash. The same one again is no error.

        Raises TransactionRefused for one against the rules, NotTaken for one without room.
        """
        tx_hash = keccak256(raw)
        if self.mempool.get(tx_hash) is None:
            self.mempool.add(raw, self._application.check(raw))
            self._signal()
        return tx_hash

    def height_of(self, number: int) -> int | None:
        """Return the height whose header carries the app hash of EVM block `number`, if any yet."""
        stored = self._application.get_extra(_final_key(number))
        return int.from_bytes(stored, "big") if stored else None

    def light_block_json(self, height: int) -> dict[str, Any]:
        """Return the light block of a height in the JSON of CometBFT's RPC. Raises ChainError."""
        light_block: dict[str, Any] = self._record(height)["light_block"]
        return light_block

    def block_bytes(self, height: int) -> bytes:
        """Return the protobuf bytes of the block of a height. Raises ChainError if it is not here."""
        return _found(self._application.get_extra(_block_key(height)), height)

    def _signal(self) -> None:
        with self._wake:
            self._wake.notify()

    def _run(self) -> None:
        try:
            while self._wait_for_transactions():
                self._order(self.mempool.ready())
        except Exception as error:  # noqa: BLE001 - a node that cannot go on has to say so and end
            _log.exception("the sequencer cannot go on")
            self.failure = error
            self._on_failure()

    def _wait_for_transactions(self) -> bool:
        """Return True once transactions can run, False when it is time to stop."""
        with self._wake:
            while not self._stopping.is_set():
                if self.mempool.ready():
                    break
                self._wake.wait()
        # What comes in during the pause wakes nobody, and is looked for after it.
        return not self._stopping.wait(GATHER_SECONDS)

    def _order(self, hashes: Sequence[bytes]) -> None:
        """Make a block of the transactions that can go into one, and the empty one after it."""
        offered = [raw for tx_hash in hashes if (raw := self.mempool.get(tx_hash))]
        txs = self._application.propose(offered, MAX_DATA_BYTES)
        if not txs or not self._application.process(txs):
            # None of them can run first in a block, so none can run at all as things stand.
            _log.warning("dropped %d transactions that cannot run", len(offered))
            self.mempool.remove(hashes)
            return
        self._make(txs)
        self.mempool.remove(map(keccak256, txs))
        self._show_app_hash()

    def _show_app_hash(self) -> None:
        app_hash = self._application.info().app_hash
        if self._tip is None or self._tip.light_block.header.app_hash != app_hash:
            self._make(())

    def _make(self, txs: Sequence[bytes]) -> None:
        """Build, vote for, execute and commit the next height."""
        chain = self._application.chain
        shown = chain.head().block_number
        app_hash = self._application.info().app_hash
        block = make_block(self._genesis, self._tip, app_hash, txs, self._address)
        light_block = commit_alone(block, self._key, self._validators, self._now_nanos())
        finalized = self._application.finalize(block.header.height, block.header.time, txs)
        tip = Tip(light_block, _results_hash(finalized))
        self._application.commit(self._extra(block, tip, shown))
        self._tip = tip

    def _extra(self, block: Block, tip: Tip, shown: int) -> dict[bytes, bytes]:
        height = block.header.height
        record = {"light_block": to_rpc(tip.light_block), "results_hash": tip.results_hash.hex()}
        extra = {
            _light_key(height): json.dumps(record, separators=(",", ":")).encode(),
            _block_key(height): block.encode(),
        }
        if self.height_of(shown) is None:
            extra[_final_key(shown)] = height.to_bytes(8, "big")
        return extra

    def _load_tip(self) -> Tip | None:
        height = self._application.info().height
        if height == 0:
            return None
        record = self._record(height)
        return Tip(from_rpc(record["light_block"]), bytes.fromhex(record["results_hash"]))

    def _record(self, height: int) -> dict[str, Any]:
        stored = _found(self._application.get_extra(_light_key(height)), height)
        record: dict[str, Any] = json.loads(stored)
        return record


def open_sequencer(
    application: Application, home: Path, on_failure: Callable[[], None] = lambda: None
) -> Sequencer:
    """Return the sequencer with the validator key of a node's home. Raises as Sequencer does."""
    return Sequencer(application, load_validator_key(home), on_failure=on_failure)


def _only_validator(public_key: bytes, key: Ed25519PrivateKey, count: int) -> bytes:
    if count != 1:
        raise GenesisError(f"the built-in sequencer orders for one validator, genesis has {count}")
    if key.public_key().public_bytes_raw() != public_key:
        raise GenesisError("validator.key is not the key of the validator in genesis.json")
    return validator_address(public_key)


def _results_hash(finalized: Finalized) -> bytes:
    return results_hash(
        (result.code, result.data, result.gas_wanted, result.gas_used)
        for result in finalized.results
    )


def _found(stored: bytes | None, height: int) -> bytes:
    if stored is None:
        raise ChainError(f"the consensus block of height {height} is not stored here")
    return stored


def _light_key(height: int) -> bytes:
    return b"light/" + height.to_bytes(8, "big")


def _block_key(height: int) -> bytes:
    return b"block/" + height.to_bytes(8, "big")


def _final_key(number: int) -> bytes:
    return b"final/" + number.to_bytes(8, "big")
