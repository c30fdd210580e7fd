# SPDX-License-Identifier: GPL-3.0-or-later
"""So that every node computes the same block: the EVM rules of this chain, and nothing else.

Cancun as py-evm has it, with the rules of PROTOCOL §5 on top: what Ethereum takes from a beacon
chain, a miner or a fee market is constant here (coinbase, mix hash, difficulty, base fee, beacon
root, withdrawals, blobs), and what it lets an implementation choose (gas limit, timestamp, extra
data) has to be passed. A `BlockRun` executes one block over a database that keeps its writes in
memory; nothing in here touches a disk or a clock.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from eth import EVM_RECURSION_LIMIT
from eth.abc import (
    AtomicDatabaseAPI,
    BlockHeaderAPI,
    ComputationAPI,
    ReceiptAPI,
    SignedTransactionAPI,
    StateAPI,
)
from eth.constants import (
    BLANK_ROOT_HASH,
    EMPTY_UNCLE_HASH,
    POST_MERGE_NONCE,
    ZERO_ADDRESS,
    ZERO_HASH32,
)
from eth.db.trie import make_trie_root_and_nodes
from eth.exceptions import PyEVMError
from eth.vm.chain_context import ChainContext
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.cancun.state import CancunState, CancunTransactionExecutor
from eth.vm.interrupt import EVMMissingData
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.exceptions import ValidationError
from trie.exceptions import MissingTrieNode

import contracts
from node.errors import ChainError, Code, TransactionRefused
from node.governance import check_proposal

# py_ecc, which py-evm loads, raises the interpreter's limit to 100,000. That is deeper than the
# stack: a body of nested JSON would end the process instead of raising. py-evm's own figure is
# enough for calls 1,024 deep, and the gas cap ends them long before.
sys.setrecursionlimit(EVM_RECURSION_LIMIT)

# About a third of a block: no single transaction can keep a validator busy for longer than a
# third of a second, and a checkpoint with its proof takes a fifteenth of it.
MAX_TRANSACTION_GAS: Final = 1_000_000
# The opcode BLOCKHASH reaches this far back.
MAX_ANCESTOR_DEPTH: Final = 256
# EIP-2681.
MAX_NONCE: Final = 2**64 - 2

_CONSORTIUM: Final = Address(contracts.ADDRESSES["Consortium"])

# What Ethereum leaves to others and this chain to nobody.
_FIXED_FIELDS: Final[dict[str, Any]] = {
    "coinbase": ZERO_ADDRESS,
    "uncles_hash": EMPTY_UNCLE_HASH,
    "difficulty": 0,
    "mix_hash": ZERO_HASH32,
    "nonce": POST_MERGE_NONCE,
    "base_fee_per_gas": 0,
    "withdrawals_root": BLANK_ROOT_HASH,
    "blob_gas_used": 0,
    "excess_blob_gas": 0,
    "parent_beacon_block_root": ZERO_HASH32,
}

# What a bug in py-evm that some transaction's data wakes up could raise, and alike on every node.
# Damage, a full disk or memory are not among them: those stop a node instead of forking it.
_FAULTS: Final = (PyEVMError, ValidationError, ArithmeticError, IndexError, TypeError, ValueError)


def create_header(
    parent: BlockHeaderAPI | None, *, timestamp: int, gas_limit: int, extra_data: bytes
) -> BlockHeaderAPI:
    """Return the header of an empty block upon `parent` (None: genesis), without state or roots."""
    return CancunBlockHeader(
        parent_hash=parent.hash if parent else ZERO_HASH32,
        block_number=BlockNumber(parent.block_number + 1 if parent else 0),
        state_root=parent.state_root if parent else BLANK_ROOT_HASH,
        timestamp=timestamp,
        gas_limit=gas_limit,
        extra_data=extra_data,
        **_FIXED_FIELDS,
    )


class MoneoTransactionExecutor(CancunTransactionExecutor):
    """Executes what the door has let in: the signature is not recovered a second time."""

    def validate_transaction(self, transaction: SignedTransactionAPI) -> None:
        """Check the transaction against the state: fees, value, nonce."""
        self.vm_state.validate_transaction(transaction)


class MoneoState(CancunState):
    """Cancun's state without the system contract of EIP-4788: there is no beacon chain."""

    transaction_executor_class = MoneoTransactionExecutor

    def set_system_contracts(self) -> None:
        """Leave the state as it is."""


class MoneoVM(CancunVM):
    """Cancun with constant headers. Both creating and validating a header follow the same table."""

    fork = "moneo-1"
    _state_class = MoneoState
    create_header_from_parent = staticmethod(create_header)

    @classmethod
    def validate_gas(
        cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI, gas_limit: int | None = None
    ) -> None:
        """Raise ValidationError unless the gas limit is right and the base fee is zero.

        `gas_limit` is the one that the parent's state says; without it, the parent's own.
        """
        if header.gas_limit != (gas_limit or parent_header.gas_limit):
            raise ValidationError("the gas limit of a block is not the one decided before it")
        if header.base_fee_per_gas != 0 or header.gas_used > header.gas_limit:
            raise ValidationError("base fee is not zero, or more gas used than the limit")

    @classmethod
    def validate_header(
        cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI, gas_limit: int | None = None
    ) -> None:
        """Raise ValidationError unless `header` may follow its parent (PROTOCOL §5).

        `gas_limit` as in `validate_gas`.
        """
        cls.validate_gas(header, parent_header, gas_limit)
        for name, value in _FIXED_FIELDS.items():
            if getattr(header, name) != value:
                raise ValidationError(f"header field {name} is not the constant it has to be")
        if header.parent_hash != parent_header.hash:
            raise ValidationError("parent hash is not the parent's")
        if header.block_number != parent_header.block_number + 1:
            raise ValidationError("block number does not follow the parent's")
        if header.timestamp < parent_header.timestamp:
            raise ValidationError("timestamp is before the parent's")
        if len(header.extra_data) != cls.extra_data_max_bytes:
            raise ValidationError("extra data is not a tree's root")


def build_state(
    database: AtomicDatabaseAPI,
    header: BlockHeaderAPI,
    chain_id: int,
    previous_hashes: Iterable[Hash32],
) -> StateAPI:
    """Return the state after `header`'s state root, in the block context of `header`.

    `previous_hashes` are those of the blocks before it, the parent's first; they are read only
    when BLOCKHASH asks. Writes go to `database` when the state is persisted.
    """
    return MoneoVM.build_state(database, header, ChainContext(chain_id), previous_hashes)


def check_rules(state: StateAPI, transaction: SignedTransactionAPI) -> None:
    """Raise TransactionRefused unless the consortium lets this transaction run in this state.

    All rules but the nonce, which only its turn in a block can judge; a nonce already used is
    refused here too.
    """
    _check_gas(transaction)
    _check_target(state, transaction)
    if not _listed(state, contracts.member_slot(transaction.sender)):
        raise TransactionRefused(Code.NOT_ALLOWED, "the consortium does not list the sender")
    if transaction.to == _CONSORTIUM:
        check_proposal(transaction.data, state.execution_context.chain_id)
    cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
    if cost > state.get_balance(transaction.sender):
        raise TransactionRefused(
            Code.NO_FUNDS, "cannot pay its fees or value: this chain is free, set them to 0"
        )
    expected = state.get_nonce(transaction.sender)
    if not expected <= transaction.nonce <= MAX_NONCE:
        raise TransactionRefused(
            Code.NONCE_TOO_LOW, f"nonce is {transaction.nonce}, the account's next is {expected}"
        )


def _check_gas(transaction: SignedTransactionAPI) -> None:
    if transaction.gas > MAX_TRANSACTION_GAS:
        raise TransactionRefused(
            Code.WRONG_GAS, f"gas {transaction.gas} is over the cap of {MAX_TRANSACTION_GAS}"
        )
    if transaction.gas < transaction.intrinsic_gas:
        raise TransactionRefused(
            Code.WRONG_GAS, f"gas {transaction.gas} is under its own {transaction.intrinsic_gas}"
        )


def _check_target(state: StateAPI, transaction: SignedTransactionAPI) -> None:
    if not transaction.to:
        raise TransactionRefused(Code.NOT_CALLABLE, "contracts cannot be created")
    if not _listed(state, contracts.callable_slot(transaction.to)):
        raise TransactionRefused(Code.NOT_CALLABLE, "the consortium does not list the target")


def _listed(state: StateAPI, slot: bytes) -> bool:
    return state.get_storage(_CONSORTIUM, int.from_bytes(slot, "big")) != 0


@dataclass(frozen=True, slots=True)
class Block:
    """A block that has run: its header, and what it was made of, in order."""

    header: BlockHeaderAPI
    transactions: tuple[SignedTransactionAPI, ...]
    receipts: tuple[ReceiptAPI, ...]

    @property
    def may_decide(self) -> bool:
        """Whether it may have changed what stands in Consortium, which listens to members alone."""
        return any(each.to == _CONSORTIUM for each in self.transactions)


class BlockRun:
    """One block being executed. Writes of its state reach `database` in `seal`, not before."""

    def __init__(
        self,
        database: AtomicDatabaseAPI,
        header: BlockHeaderAPI,
        chain_id: int,
        previous_hashes: Iterable[Hash32],
    ) -> None:
        """Begin with `header` as `create_header` makes it: no gas used, the parent's state."""
        self._header = header
        self._state = build_state(database, header, chain_id, previous_hashes)
        self._transactions: list[SignedTransactionAPI] = []
        self._receipts: list[ReceiptAPI] = []

    def apply(self, transaction: SignedTransactionAPI) -> tuple[ComputationAPI, int]:
        """Run a transaction at the end of the block; return its computation and the gas it used.

        One that reverts is part of the block as well. Raises TransactionRefused for one that
        cannot be part of it, and then the block is as before. Raises ChainError when the state
        is damaged.
        """
        try:
            return self._apply(transaction)
        except (EVMMissingData, MissingTrieNode) as error:
            raise ChainError(f"the stored state is damaged: {error}") from error

    def _apply(self, transaction: SignedTransactionAPI) -> tuple[ComputationAPI, int]:
        check_rules(self._state, transaction)
        self._check_turn(transaction)
        computation = self._execute(transaction)
        before = self._header.gas_used
        receipt = MoneoVM.make_receipt(self._header, transaction, computation, self._state)
        self._header = self._header.copy(
            gas_used=receipt.gas_used, bloom=self._header.bloom | receipt.bloom
        )
        self._transactions.append(transaction)
        self._receipts.append(receipt)
        return computation, receipt.gas_used - before

    def _check_turn(self, transaction: SignedTransactionAPI) -> None:
        expected = self._state.get_nonce(transaction.sender)
        if transaction.nonce != expected:
            raise TransactionRefused(
                Code.NONCE_GAP, f"nonce is {transaction.nonce}, its turn is {expected}"
            )
        if self._header.gas_used + transaction.gas > self._header.gas_limit:
            raise TransactionRefused(Code.BLOCK_FULL, "no gas is left for it in this block")

    def _execute(self, transaction: SignedTransactionAPI) -> ComputationAPI:
        # What ran before is final; the checkpoint after it is what a fault goes back to.
        self._state.lock_changes()
        checkpoint = self._state.snapshot()
        try:
            computation = self._state.apply_transaction(transaction)
        except (EVMMissingData, MissingTrieNode):
            raise
        except _FAULTS as error:
            self._state.revert(checkpoint)
            self._state.clear_transient_storage()
            _refuse_fault(error)
        self._state.commit(checkpoint)
        return computation

    @property
    def state(self) -> StateAPI:
        """The state as it is now."""
        return self._state

    @property
    def is_empty(self) -> bool:
        """Whether no transaction has run so far."""
        return not self._transactions

    def seal(self) -> Block:
        """Write the state to the database and return the block with its roots filled in."""
        self._state.persist()
        transaction_root, _ = make_trie_root_and_nodes(self._transactions)
        receipt_root, _ = make_trie_root_and_nodes(self._receipts)
        header = self._header.copy(
            state_root=self._state.state_root,
            transaction_root=transaction_root,
            receipt_root=receipt_root,
        )
        return Block(header, tuple(self._transactions), tuple(self._receipts))


def _refuse_fault(error: Exception) -> NoReturn:
    raise TransactionRefused(Code.FAULT, f"the EVM failed: {type(error).__name__}") from error
