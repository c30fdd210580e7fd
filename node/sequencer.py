# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders transactions where the province is the only validator, as CometBFT does where it is one of many.

A block is made as soon as transactions wait, and at once after it the empty block whose header
carries the app hash that they led to: until then nothing shows the new state to a light client.
The block of height 1 is empty and carries the genesis app hash. Without transactions nothing is
made and the chain is quiet.

All that a height leaves behind is in the application's one synchronous write batch: EVM state,
the consensus height, and under the keys made here the block, its commit and which EVM block its
header shows. A crash therefore falls between two heights, and what was missing is seen from
comparing the last header's app hash with the application's. A vote is in `node.signed` before its
block is committed, and only then to be seen: a height that the chain has lost is made again with
the same vote, and if more than one is lost nothing is signed at all.
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
from node.genesis import Genesis, load_validator_key
from node.light import LightBlock, from_rpc, keccak256, results_hash, to_rpc, validator_address
from node.mempool import Mempool
from node.orderer import Consensus
from node.signed import RESTORED_FILE, SignedFile

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
        signed: SignedFile | None = None,
    ) -> None:
        """Go on where the application stands, up to a header that carries its app hash.

        `signed` keeps the newest vote; without it nothing guards against a chain that has lost
        blocks, which is for chains that nobody else sees. `on_failure` is called in the
        sequencer's thread if it cannot go on; `failure` then holds the reason. Raises GenesisError if `key` is not the only validator's, ChainError if what
        is stored does not fit.
        """
        self._application = application
        self._genesis = application.chain.genesis
        _check_alone(self._genesis)
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
        self._signed = signed
        self._tip = self._load_tip()
        self._make_again()
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
        stored = self._application.get_extra(final_key(number))
        return int.from_bytes(stored, "big") if stored else None

    def light_block_json(self, height: int) -> dict[str, Any]:
        """Return the light block of a height in the JSON of CometBFT's RPC. Raises ChainError."""
        light_block: dict[str, Any] = self._record(height)["light_block"]
        return light_block

    def consensus(self) -> Consensus:
        """Return how consensus does: a validator alone is never behind and has no peers."""
        return Consensus(self._tip.light_block if self._tip else None, is_catching_up=False)

    def is_catching_up(self) -> bool:
        """Return that it is not."""
        return False

    def peer_count(self) -> int:
        """Return that there are none."""
        return 0

    def block_bytes(self, height: int) -> bytes:
        """Return the protobuf bytes of the block of a height. Raises ChainError if it is not here."""
        return _found(self._application.get_extra(block_key(height)), height)

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
        app_hash = self._application.info().app_hash
        block = make_block(self._genesis, self._tip, app_hash, txs, self._address)
        light_block = commit_alone(block, self._key, self._validators, self._now_nanos())
        if self._signed is not None:
            self._signed.keep(light_block, txs)
        self._commit(block, light_block)

    def _commit(self, block: Block, light_block: LightBlock) -> None:
        """Execute a block that was voted for, and write all of its height."""
        shown, txs = self._application.chain.head().block_number, block.transactions
        finalized = self._application.finalize(block.header.height, block.header.time, txs)
        tip = Tip(light_block, _results_hash(finalized))
        self._application.commit(self._extra(block, tip, shown))
        self._tip = tip

    def _make_again(self) -> None:
        """Bring the chain up to the newest vote, or refuse to go on without what lies between."""
        newest = self._signed.load() if self._signed else None
        if newest is None or newest.height < self.height:
            return
        if newest.height > self.height + 1:
            raise ChainError(
                "chuỗi đã mất những khối mà nút này đã ký, ký lại sẽ mâu thuẫn: hãy khôi phục từ bản "
                f"sao lưu mới nhất · the chain's data ends at height {self.height}, but this validator "
                f"has signed up to {newest.height}, and signing again would contradict it: restore "
                "the node's folder from its newest backup (docs/reliability.md)"
            )
        if newest.height == self.height:
            stored = self._tip and self._tip.light_block.block_id
        else:
            app_hash = self._application.info().app_hash
            block = make_block(
                self._genesis, self._tip, app_hash, newest.transactions, self._address
            )
            stored = block.id
        if stored != newest.light_block.block_id:
            raise ChainError(
                "nút này đã ký một khối khác ở độ cao ấy: hãy khôi phục từ bản sao lưu mới nhất · "
                f"this validator has signed another block of height {newest.height} than its chain "
                "leads to: restore the node's folder from its newest backup (docs/reliability.md)"
            )
        if newest.height > self.height:
            _log.warning("height %d was signed but not stored: made again", newest.height)
            self._commit(block, newest.light_block)

    def _extra(self, block: Block, tip: Tip, shown: int) -> dict[bytes, bytes]:
        height = block.header.height
        record = {"light_block": to_rpc(tip.light_block), "results_hash": tip.results_hash.hex()}
        extra = {
            light_key(height): json.dumps(record, separators=(",", ":")).encode(),
            block_key(height): block.encode(),
        }
        if self.height_of(shown) is None:
            extra[final_key(shown)] = height.to_bytes(8, "big")
        return extra

    def _load_tip(self) -> Tip | None:
        height = self._application.info().height
        if height == 0:
            return None
        record = self._record(height)
        return Tip(from_rpc(record["light_block"]), bytes.fromhex(record["results_hash"]))

    def _record(self, height: int) -> dict[str, Any]:
        stored = _found(self._application.get_extra(light_key(height)), height)
        record: dict[str, Any] = json.loads(stored)
        return record


def open_sequencer(
    application: Application, home: Path, on_failure: Callable[[], None] = lambda: None
) -> Sequencer:
    """Return the sequencer with the validator key of a node's home. Raises as Sequencer does."""
    if (home / RESTORED_FILE).exists():
        raise ChainError(
            "nút này được khôi phục, có thể đã ký những khối sau bản sao lưu: moneo restore … --newest "
            "TỆP · this node was restored and may have signed blocks after its backup: confirm the "
            "newest evidence known outside first: moneo restore … --newest FILE"
        )
    signed = SignedFile(home, application.chain.genesis.cometbft_chain_id)
    key = load_validator_key(home)
    return Sequencer(application, key, on_failure=on_failure, signed=signed)


def _check_alone(genesis: Genesis) -> None:
    """Refuse a chain whose votes change the validators: only CometBFT takes up others."""
    if genesis.records:
        raise GenesisError(
            "chuỗi của liên minh do CometBFT xếp thứ tự, cả khi mới có một thành viên: hãy chạy với "
            "--comet · the chain of a consortium is ordered by CometBFT, also while it has one member: "
            "run the node with --comet"
        )


def _only_validator(public_key: bytes, key: Ed25519PrivateKey, count: int) -> bytes:
    if count != 1:
        raise GenesisError(
            "bộ xếp thứ tự có sẵn chỉ dùng cho một nút kiểm chứng · "
            f"the built-in sequencer orders for one validator, genesis has {count}"
        )
    if key.public_key().public_bytes_raw() != public_key:
        raise GenesisError(
            "validator.key không phải khóa của nút kiểm chứng trong genesis.json · "
            "validator.key is not the key of the validator in genesis.json"
        )
    return validator_address(public_key)


def _results_hash(finalized: Finalized) -> bytes:
    return results_hash(
        (result.code, result.data, result.gas_wanted, result.gas_used)
        for result in finalized.results
    )


def _found(stored: bytes | None, height: int) -> bytes:
    if stored is None:
        raise ChainError(
            "thiếu khối đồng thuận, dữ liệu của chuỗi không đầy đủ · "
            f"the consensus block of height {height} is not stored here"
        )
    return stored


def light_key(height: int) -> bytes:
    """Where the light block of a height is, and what its results hash to."""
    return b"light/" + height.to_bytes(8, "big")


def block_key(height: int) -> bytes:
    """Where the bytes of the block of a height are."""
    return b"block/" + height.to_bytes(8, "big")


def final_key(number: int) -> bytes:
    """Where the height is whose header shows an EVM block first."""
    return b"final/" + number.to_bytes(8, "big")
