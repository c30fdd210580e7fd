# SPDX-License-Identifier: GPL-3.0-or-later
"""The narrow boundary between ordering and execution, so that either can be replaced alone.

Shaped like CometBFT's ABCI 2.0 (methods Info, CheckTx, PrepareProposal, ProcessProposal,
FinalizeBlock, Commit): whoever orders transactions hands in opaque bytes and gets an app hash back,
keccak256 of the EVM head header. Finalizing is a pure function of the committed state and its
arguments, and keeps nothing; committing writes all of a height in one synchronous batch. So a crash
leaves a whole height or the one before, and finalizing again gives the same app hash.

A height none of whose transactions ran makes no EVM block, and the app hash stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from threading import Lock
from types import MappingProxyType
from typing import Final

from eth.abc import BlockHeaderAPI, ComputationAPI, SignedTransactionAPI, StateAPI
from eth_typing import Address

from node.chain import Chain
from node.errors import Code, OrderError, TransactionRefused
from node.governance import Consortium, check_upgrade, read, validator_updates
from node.light import Timestamp, Validator
from node.transactions import decode_transaction
from node.vm import Block, BlockRun, check_rules

__all__ = ["Admitted", "Application", "Code", "Finalized", "Info", "TxResult"]

# A transaction is decoded when it arrives, is proposed, judged and executed; recovering its sender
# takes 7 ms of Python each time.
_DECODED: Final = 256
# So often is the head's state asked at the door before it is read anew: what it has been asked stays in memory.
_STATE_USES: Final = 4_096
# What a transaction takes in a CometBFT block beyond its bytes: a field tag and its length.
_ENVELOPE_BYTES: Final = 4
# The least that any transaction's gas limit is (Yellow Paper, appendix G, Gtransaction).
_LEAST_GAS: Final = 21_000
# Of what a call returned, a result keeps this much: a reason fits. CometBFT reads no answer over
# 4 MiB, and a million gas can return most of one.
MAX_RESULT_BYTES: Final = 4_096
# And so much of all of a block, which at the gas limit of a founding is never reached.
MAX_RESULTS_BYTES: Final = 1024 * 1024
_NO_EXTRA: Final[Mapping[bytes, bytes]] = MappingProxyType({})
# Where the set is that CometBFT was brought to: each key and its power, once it is not genesis's.
VALIDATORS_KEY: Final = b"validators"
_KEY_SIZE: Final = 32
_POWER_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class Info:
    """Consensus height committed last (0: none yet) and keccak256 of the EVM head header."""

    height: int
    app_hash: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a mempool has to know of a transaction that `check` lets in."""

    hash: bytes
    sender: bytes
    nonce: int
    gas: int


@dataclass(frozen=True, slots=True)
class TxResult:
    """What became of one transaction: CometBFT's ExecTxResult.

    `code` is one of `Code`: OK and REVERTED are in the EVM block, any other is in none, and wants
    no gas. `data` is what the call returned or reverted with, up to `MAX_RESULT_BYTES`. `log` is
    for people and no part of consensus.
    """

    code: int
    data: bytes
    gas_wanted: int
    gas_used: int
    log: str


@dataclass(frozen=True, slots=True)
class Finalized:
    """The app hash after a height, and a result for each of its transactions, in their order.

    `validators` are the changes of the validator set that the height has brought about: public key
    (32 bytes) and new power, 0 for one who leaves.
    """

    app_hash: bytes
    results: tuple[TxResult, ...]
    validators: tuple[tuple[bytes, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Pending:
    """A height that has been finalized and waits for its commit."""

    height: int
    consortium: Consortium
    writes: Mapping[bytes, bytes | None]
    block: Block | None
    extra: Mapping[bytes, bytes]


@dataclass(slots=True)
class _Budget:
    """How much more goes into a block."""

    size: int | None
    gas: int

    def take(self, raw: bytes, gas: int) -> bool:
        """Take what a transaction needs, if there is as much."""
        size = len(raw) + _ENVELOPE_BYTES
        if gas > self.gas or (self.size is not None and size > self.size):
            return False
        self.gas -= gas
        if self.size is not None:
            self.size -= size
        return True


@dataclass(slots=True)
class _Queue:
    """One sender's transactions that wait for their turn, by nonce."""

    turn: int
    waiting: dict[int, tuple[bytes, SignedTransactionAPI]] = field(default_factory=dict)

    def add(self, raw: bytes, transaction: SignedTransactionAPI) -> None:
        self.waiting.setdefault(transaction.nonce, (raw, transaction))

    def take(self, budget: _Budget) -> Iterator[bytes]:
        """Yield the transactions whose turn it is, one after another, while the budget lasts."""
        while self.turn in self.waiting:
            raw, transaction = self.waiting[self.turn]
            if not budget.take(raw, transaction.gas):
                return
            del self.waiting[self.turn]
            self.turn += 1
            yield raw


class _Door:
    """The head's state for whoever comes to the door, one after another.

    After each block an orderer asks about all that waits. What was read for the one transaction, the
    lists of members and contracts above all, is there for the next.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._lock = Lock()
        self._head: BlockHeaderAPI | None = None
        self._state: StateAPI | None = None
        self._uses = 0

    @contextmanager
    def state(self) -> Iterator[StateAPI]:
        """Hold the state, to be read only, while the block goes on."""
        with self._lock:
            head = self._chain.head()
            if self._state is None or self._head is not head or self._uses == _STATE_USES:
                self._state, self._head, self._uses = self._chain.state_at(head), head, 0
            self._uses += 1
            yield self._state


class Application:
    """The chain as its orderer sees it.

    `propose`, `process`, `finalize` and `commit` are the orderer's, from one thread; the other
    methods may be called from any. Damaged storage raises ChainError or StorageError anywhere, and
    has to stop the node.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._pending: _Pending | None = None
        self._door = _Door(chain)
        self._decode = lru_cache(_DECODED)(partial(decode_transaction, chain_id=chain.chain_id))

    def info(self) -> Info:
        """Return the height committed last and the app hash after it."""
        return Info(self.chain.height(), self.chain.head().hash)

    def get_extra(self, key: bytes) -> bytes | None:
        """Return what a commit stored last under the orderer's own key, None if nothing."""
        return self.chain.get_extra(key)

    def check_upgrade(self) -> None:
        """Raise UpgradeNeeded if the members have decided that another program goes on from here."""
        check_upgrade(self.chain.consortium, self.chain.height() + 1)

    def validators(self) -> tuple[Validator, ...]:
        """Return the set that CometBFT has after all updates of the heights committed."""
        stored = self.get_extra(VALIDATORS_KEY)
        if stored is None:
            return tuple(Validator(*each) for each in self.chain.genesis.validators)
        size = _KEY_SIZE + _POWER_SIZE
        parts = (stored[at : at + size] for at in range(0, len(stored), size))
        return tuple(
            Validator(part[:_KEY_SIZE], int.from_bytes(part[_KEY_SIZE:], "big")) for part in parts
        )

    def era_height(self, era: int) -> int | None:
        """Return the height whose header names the validators of an era of Consortium, if any does.

        The first era has genesis's, and needs no height.
        """
        stored = self.get_extra(era_key(era))
        return int.from_bytes(stored, "big") if stored else None

    def next_nonce(self, sender: bytes) -> int:
        """Return the nonce that comes next for an address (20 bytes), as of the head."""
        with self._door.state() as state:
            return state.get_nonce(Address(sender))

    def check(self, tx: bytes) -> Admitted:
        """Judge a transaction for the mempool, as of the head.

        One with a later nonce than the account's next is let in: those before it may come yet.
        Raises TransactionRefused with the reason.
        """
        transaction = self._decode(tx)
        with self._door.state() as state:
            check_rules(state, transaction)
        return Admitted(transaction.hash, transaction.sender, transaction.nonce, transaction.gas)

    def propose(
        self, txs: Sequence[bytes], max_bytes: int, max_gas: int | None = None
    ) -> list[bytes]:
        """Choose and order transactions for the next height.

        They stay in the order given, but for those whose nonce's turn comes later; what cannot
        run is left out, and so is what would take the sum over `max_bytes`, as CometBFT counts
        them, or the gas limits over `max_gas` or the block's own limit. Raises UpgradeNeeded.
        """
        self.check_upgrade()
        return list(self._choose(txs, max_bytes, max_gas))

    def process(self, txs: Sequence[bytes]) -> bool:
        """Judge another's proposal: whether each transaction may run when its turn comes.

        Raises UpgradeNeeded.
        """
        self.check_upgrade()
        # Before anything is decoded: a block's bytes have room for a third of a million of junk.
        if len(txs) * _LEAST_GAS > self.chain.gas_limit:
            return False
        return list(self._choose(txs, None, None)) == list(txs)

    def finalize(self, height: int, time: Timestamp, txs: Sequence[bytes]) -> Finalized:
        """Execute a height upon the last committed one, whatever bytes it holds; keep nothing.

        Calling it again replaces what was finalized before. Raises OrderError if the height is
        not the next one, and UpgradeNeeded before anything is executed if the members have decided
        that another program does it.
        """
        if height != self.chain.height() + 1:
            raise OrderError(f"height {height} does not follow {self.chain.height()}")
        self.check_upgrade()
        overlay, run = self.chain.begin(time.seconds)
        results = _within(MAX_RESULTS_BYTES, (self._execute(run, tx) for tx in txs))
        before = self.chain.consortium
        if run.is_empty:
            self._pending = _Pending(height, before, {}, None, _NO_EXTRA)
            return Finalized(self.chain.head().hash, results)
        block = run.seal()
        after = read(run.state) if block.may_decide else before
        updates = self._updates(before, after)
        self._pending = _Pending(
            height,
            after,
            overlay.changes | self.chain.writes(block),
            block,
            _era_writes(height, after.era, self.validators(), updates) if updates else _NO_EXTRA,
        )
        validators = tuple((each.public_key, each.power) for each in updates)
        return Finalized(block.header.hash, results, validators)

    def commit(self, extra: Mapping[bytes, bytes] = _NO_EXTRA) -> None:
        """Write the finalized height and the orderer's own values, all at once and durably.

        Raises OrderError if nothing has been finalized since the last commit, and StorageError
        if it cannot be written; then the height is still the one before.
        """
        pending = self._pending
        if pending is None:
            raise OrderError("nothing has been finalized since the last commit")
        kept = self.chain.height_writes(pending.height, {**pending.extra, **extra})
        self.chain.db.write({**pending.writes, **kept})
        if pending.block is not None:
            self.chain.adopt(pending.block, pending.consortium)
        self._pending = None

    def _updates(self, before: Consortium, after: Consortium) -> tuple[Validator, ...]:
        return validator_updates(self.validators(), after) if after.era != before.era else ()

    def _choose(
        self, txs: Sequence[bytes], max_bytes: int | None, max_gas: int | None
    ) -> Iterator[bytes]:
        limit = self.chain.gas_limit
        budget = _Budget(max_bytes, limit if max_gas is None else min(limit, max_gas))
        queues: dict[bytes, _Queue] = {}
        state = self.chain.state_at(self.chain.head())
        for raw, transaction in self._runnable(state, txs):
            sender = transaction.sender
            if sender not in queues:
                queues[sender] = _Queue(state.get_nonce(sender))
            queues[sender].add(raw, transaction)
            yield from queues[sender].take(budget)

    def _runnable(
        self, state: StateAPI, txs: Iterable[bytes]
    ) -> Iterator[tuple[bytes, SignedTransactionAPI]]:
        """Yield those that the rules let run, but for their turn."""
        for raw in txs:
            try:
                transaction = self._decode(raw)
                check_rules(state, transaction)
            except TransactionRefused:
                continue
            yield raw, transaction

    def _execute(self, run: BlockRun, raw: bytes) -> TxResult:
        try:
            transaction = self._decode(raw)
            computation, gas_used = run.apply(transaction)
        except TransactionRefused as refused:
            # Its gas limit may be any number of 64 bits, which the message has no room for.
            return TxResult(refused.code, b"", 0, 0, refused.message)
        return _result(transaction, computation, gas_used)


def _within(size: int, results: Iterable[TxResult]) -> tuple[TxResult, ...]:
    """Return the results with as much of their data as goes into so many bytes, the first first."""
    kept = []
    for result in results:
        kept.append(replace(result, data=result.data[:size]))
        size -= len(kept[-1].data)
    return tuple(kept)


def era_key(era: int) -> bytes:
    """Where the height is whose header is the first to name the validators of an era."""
    return b"era/" + era.to_bytes(8, "big")


def _era_writes(
    height: int, era: int, before: Iterable[Validator], updates: Iterable[Validator]
) -> dict[bytes, bytes]:
    """Return what is kept where the set changes: the set, and where its hash is shown first.

    What is handed over at a height stands in the next header's `next_validators_hash`.
    """
    powers = {each.public_key: each.power for each in (*before, *updates)}
    validators = (
        key + power.to_bytes(_POWER_SIZE, "big") for key, power in powers.items() if power
    )
    return {
        VALIDATORS_KEY: b"".join(validators),
        era_key(era): (height + 1).to_bytes(8, "big"),
    }


def _result(
    transaction: SignedTransactionAPI, computation: ComputationAPI, gas_used: int
) -> TxResult:
    code, log = Code.OK, ""
    if computation.is_error:
        code, log = Code.REVERTED, type(computation.error).__name__
    data = computation.output[:MAX_RESULT_BYTES]
    return TxResult(code, data, transaction.gas, gas_used, log)
