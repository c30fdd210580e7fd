# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain as it is kept: every block, every state and every proof can be read here, later too.

Blocks, the state tries (Yellow Paper, appendix D), receipts and the tree over the block hashes
(RFC 9162, in `extra_data`: PROTOCOL §5) lie in one LevelDB under the keys of `_Key` and nowhere
else. Nothing in this module writes but the founding of an empty folder: `writes` says what a block
adds, and `node.application` commits it with all else of its height in one batch.

Reading is safe from any thread while a block is executed: what is stored never changes, a state is
named by its root, and the head is replaced in one assignment after its block has been written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import rlp
from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.rlp.accounts import Account
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.cancun.receipts import CancunReceiptBuilder
from eth.vm.interrupt import EVMMissingData
from eth_typing import Address, Hash32
from trie.exceptions import MissingTrieNode
from trie.hexary import HexaryTrie

import contracts
from node.db import LevelDB, Overlay
from node.errors import ChainError, UnknownBlock
from node.genesis import Genesis, encode
from node.governance import Consortium, gas_limit, read
from node.light import (
    EMPTY_ROOT,
    CompactRange,
    MerkleError,
    inclusion_ranges,
    keccak256,
    leaf_hash,
    node_hash,
)
from node.transactions import stored_transaction
from node.vm import MAX_ANCESTOR_DEPTH, Block, BlockRun, build_state, create_header

# Raised whenever a stored value changes its form; a folder of another version is refused.
FORMAT: Final = b"1"
# A trie node shorter than this stands inside its parent (Yellow Paper, appendix D).
_HASHED_NODE_SIZE: Final = 32
# EIP-161: what an account of a contract begins with.
_CONTRACT_NONCE: Final = 1


# What a key of the state begins with; the rest is the hash of its value.
STATE_KIND: Final = b"s"


class _Key:
    """Every key in the data folder. The first byte tells the kinds apart."""

    STATE: Final = STATE_KIND  # + hash: a trie node or a contract's code
    FORMAT: Final = b"mformat"
    GENESIS: Final = b"mgenesis"
    HEAD: Final = b"mhead"
    HEIGHT: Final = b"mheight"

    @staticmethod
    def header(number: int) -> bytes:
        return b"h" + _u64(number)

    @staticmethod
    def hash(number: int) -> bytes:
        return b"c" + _u64(number)

    @staticmethod
    def number(block_hash: bytes) -> bytes:
        return b"n" + block_hash

    @staticmethod
    def body(number: int) -> bytes:
        return b"b" + _u64(number)

    @staticmethod
    def receipts(number: int) -> bytes:
        return b"r" + _u64(number)

    @staticmethod
    def transaction(tx_hash: bytes) -> bytes:
        return b"t" + tx_hash

    @staticmethod
    def ancestry(level: int, index: int) -> bytes:
        return b"a" + bytes([level]) + _u64(index)

    @staticmethod
    def orderer(key: bytes) -> bytes:
        return b"x" + key


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class StorageProof:
    """EIP-1186: one slot (bytes32), its value (0 if absent), trie nodes from the storage root."""

    slot: bytes
    value: int
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AccountProof:
    """EIP-1186: an account, with the trie nodes from the state root that prove it.

    One that is not there has nonce and balance 0 and the two hashes of nothing.
    """

    address: bytes
    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes
    nodes: tuple[bytes, ...]
    storage: tuple[StorageProof, ...]


@dataclass(frozen=True, slots=True)
class _Tip:
    """The newest block, and the right border of the tree over all block hashes, its own too.

    `consortium` is what stands in its state.
    """

    header: BlockHeaderAPI
    border: tuple[bytes, ...]
    consortium: Consortium

    def ancestry(self) -> CompactRange:
        return CompactRange(self.header.block_number + 1, self.border)


class Chain:
    """The chain of one genesis in one data folder."""

    def __init__(self, db: LevelDB, genesis: Genesis) -> None:
        """Open the chain in `db`; an empty one is founded by writing the genesis block.

        Raises ChainError if the folder belongs to another genesis, version or program.
        """
        self.db = db
        self.genesis = genesis
        if db.is_empty:
            self._found()
        self._check_belonging()
        self._tip = self._load_tip()

    @property
    def chain_id(self) -> int:
        """The EVM chain id."""
        return self.genesis.evm_chain_id

    # Blocks

    def head(self) -> BlockHeaderAPI:
        """Return the newest committed header."""
        return self._tip.header

    def header(self, number: int) -> BlockHeaderAPI:
        """Return the header of a block; raises UnknownBlock."""
        return _decode_header(self.header_rlp(number))

    def header_rlp(self, number: int) -> bytes:
        """Return the header of a block as the bytes whose keccak256 is its hash."""
        return self._of_block(_Key.header, number)

    def hash_of(self, number: int) -> Hash32:
        """Return the hash of a block; raises UnknownBlock."""
        return Hash32(self._of_block(_Key.hash, number))

    def number_of(self, block_hash: bytes) -> int | None:
        """Return the number of the block with this hash, None if there is none."""
        stored = self.db.get(_Key.number(block_hash))
        return None if stored is None else int.from_bytes(stored, "big")

    def header_by_hash(self, block_hash: bytes) -> BlockHeaderAPI:
        """Return the header with this hash; raises UnknownBlock."""
        number = self.number_of(block_hash)
        if number is None:
            raise UnknownBlock(f"no block has the hash 0x{block_hash.hex()}")
        return self.header(number)

    def block_transactions(self, number: int) -> list[SignedTransactionAPI]:
        """Return a block's transactions in order; raises UnknownBlock."""
        return [stored_transaction(raw) for raw in rlp.decode(self._of_block(_Key.body, number))]

    def receipts(self, number: int) -> list[ReceiptAPI]:
        """Return the receipts of a block's transactions in order; raises UnknownBlock."""
        stored = rlp.decode(self._of_block(_Key.receipts, number))
        return [CancunReceiptBuilder.decode(raw) for raw in stored]

    def transaction_location(self, tx_hash: bytes) -> tuple[int, int] | None:
        """Return (block number, index in it) of a transaction, None if it is in no block."""
        stored = self.db.get(_Key.transaction(tx_hash))
        if stored is None:
            return None
        return int.from_bytes(stored[:8], "big"), int.from_bytes(stored[8:], "big")

    # State

    @property
    def consortium(self) -> Consortium:
        """What the members have decided, as of the head."""
        return self._tip.consortium

    @property
    def gas_limit(self) -> int:
        """The gas limit of the block after the head."""
        # A Consortium from before there were votes has none.
        return self._tip.consortium.gas_limit or self.genesis.gas_limit

    def gas_limit_after(self, header: BlockHeaderAPI) -> int:
        """Return the gas limit of the block after this one. Raises UnknownBlock."""
        with _whole_state():
            return gas_limit(self.state_at(header)) or self.genesis.gas_limit

    def state_at(self, header: BlockHeaderAPI) -> StateAPI:
        """Return the state after a block, to read or to call in; what is written is thrown away.

        For one thread at a time. Raises UnknownBlock if the state is not here.
        """
        self._check_state(header)
        previous = self._previous_hashes(header.block_number)
        return build_state(Overlay(self.db, _Key.STATE), header, self.chain_id, previous)

    def state_node(self, digest: bytes) -> bytes | None:
        """Return a trie node or a contract's code by its hash, None if it is not here."""
        return self.db.get(_Key.STATE + digest)

    def prove(
        self, header: BlockHeaderAPI, address: bytes, slots: Sequence[bytes] = ()
    ) -> AccountProof:
        """Prove an account and slots (32 bytes each) of it, there or not, in a block's state.

        Raises UnknownBlock if the state is not here.
        """
        self._check_state(header)
        encoded, nodes = self._prove_in(header.state_root, address)
        account = rlp.decode(encoded, Account) if encoded else None
        root = account.storage_root if account else BLANK_ROOT_HASH
        return AccountProof(
            address=address,
            nonce=account.nonce if account else 0,
            balance=account.balance if account else 0,
            storage_root=root,
            code_hash=account.code_hash if account else EMPTY_SHA3,
            nodes=nodes,
            storage=tuple(self._prove_slot(root, slot) for slot in slots),
        )

    # Ancestry

    def ancestry_root(self, size: int) -> bytes:
        """Return the root over the hashes of blocks 0 … size-1: `extra_data` of block `size`.

        Raises UnknownBlock if there are not as many blocks.
        """
        return CompactRange(size, self._border(size)).root()

    def ancestry_path(self, number: int, of_number: int) -> list[bytes]:
        """Return the inclusion path of block `number` in the `extra_data` of block `of_number`.

        Raises UnknownBlock unless 0 <= number < of_number <= head.
        """
        if of_number > self.head().block_number:
            raise UnknownBlock(f"there is no block {of_number}")
        try:
            ranges = inclusion_ranges(number, of_number)
        except MerkleError as error:
            raise UnknownBlock(f"block {number} is no ancestor of block {of_number}") from error
        return [self._subtree_root(start, end) for start, end in ranges]

    # Heights, and what the orderer keeps

    def height(self) -> int:
        """Return the consensus height committed last, 0 before the first."""
        return int.from_bytes(self.db.get(_Key.HEIGHT, b""), "big")

    def get_extra(self, key: bytes) -> bytes | None:
        """Return what the orderer committed last under its own key, None if nothing."""
        return self.db.get(_Key.orderer(key))

    # The next block

    def begin(self, seconds: int) -> tuple[Overlay, BlockRun]:
        """Begin the block after the head, at this time (POSIX seconds) or the head's if later.

        The overlay collects the state that the block will write.
        """
        tip = self._tip
        header = create_header(
            tip.header,
            timestamp=max(tip.header.timestamp, seconds),
            gas_limit=self.gas_limit,
            extra_data=tip.ancestry().root(),
        )
        overlay = Overlay(self.db, _Key.STATE)
        previous = self._previous_hashes(header.block_number)
        return overlay, BlockRun(overlay, header, self.chain_id, previous)

    def writes(self, block: Block) -> dict[bytes, bytes | None]:
        """Return what committing this next block writes, beyond the state in its overlay."""
        return _block_writes(block) | _ancestry_writes(self._ancestry_before(block), block)

    def height_writes(self, height: int, extra: Mapping[bytes, bytes]) -> dict[bytes, bytes | None]:
        """Return what committing a consensus height writes, with the orderer's own values."""
        return {_Key.HEIGHT: _u64(height), **{_Key.orderer(k): v for k, v in extra.items()}}

    def adopt(self, block: Block, consortium: Consortium) -> None:
        """Take a block that has been written, with what then stands in Consortium, as the head."""
        ancestry = self._ancestry_before(block)
        ancestry.append(leaf_hash(block.header.hash))
        self._tip = _Tip(block.header, ancestry.hashes, consortium)

    # Founding and opening

    def _found(self) -> None:
        overlay = Overlay(self.db, _Key.STATE)
        block = Block(_genesis_header(overlay, self.genesis), (), ())
        self.db.write(
            overlay.changes
            | _block_writes(block)
            | _ancestry_writes(CompactRange(), block)
            | {_Key.FORMAT: FORMAT, _Key.GENESIS: self._genesis_digest()}
        )

    def _genesis_digest(self) -> bytes:
        return sha256(encode(self.genesis)).digest()

    def _check_belonging(self) -> None:
        if self.db.get(_Key.FORMAT) != FORMAT:
            raise ChainError(
                "dữ liệu của phiên bản hoặc chương trình khác · "
                f"the data in {self.db.path} is of another version or program"
            )
        if self.db.get(_Key.GENESIS) != self._genesis_digest():
            raise ChainError(
                "chuỗi này được lập từ tệp khác · "
                f"the chain in {self.db.path} began with another genesis file"
            )

    def _load_tip(self) -> _Tip:
        """Read the head, with as much of a check as costs nothing: its state and its ancestors."""
        try:
            number = int.from_bytes(self.db[_Key.HEAD], "big")
            header = self.header(number)
            self._check_state(header)
            if self.ancestry_root(number) != header.extra_data:
                raise ChainError(
                    "dữ liệu của chuỗi bị hỏng, hãy khôi phục từ bản sao lưu · "
                    "the tree over the block hashes is damaged"
                )
            with _whole_state():
                consortium = read(self.state_at(header))
            return _Tip(header, self._border(number + 1), consortium)
        except (KeyError, UnknownBlock) as error:
            raise ChainError(
                "dữ liệu của chuỗi bị thiếu, hãy khôi phục từ bản sao lưu · "
                f"the chain in {self.db.path} is incomplete: {error}"
            ) from error

    # Reading

    def _of_block(self, key: Callable[[int], bytes], number: int) -> bytes:
        stored = self.db.get(key(number)) if 0 <= number < 1 << 64 else None
        if stored is None:
            raise UnknownBlock(f"there is no block {number}")
        return stored

    def _check_state(self, header: BlockHeaderAPI) -> None:
        if _Key.STATE + header.state_root not in self.db:
            raise UnknownBlock(f"the state of block {header.block_number} is not here")

    def _previous_hashes(self, number: int) -> Iterator[Hash32]:
        """Yield the hashes that BLOCKHASH can ask for in block `number`, its parent's first.

        A missing one raises: py-evm would take a shorter list for a young chain, and fork.
        """
        for ancestor in range(number - 1, max(number - 1 - MAX_ANCESTOR_DEPTH, -1), -1):
            yield self.hash_of(ancestor)

    def _prove_slot(self, storage_root: bytes, slot: bytes) -> StorageProof:
        encoded, nodes = self._prove_in(storage_root, slot)
        value = int.from_bytes(rlp.decode(encoded), "big") if encoded else 0
        return StorageProof(slot, value, nodes)

    def _prove_in(self, root: bytes, key: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the value under keccak256(key) in a trie (empty if absent) and its proof."""
        trie = HexaryTrie(Overlay(self.db, _Key.STATE), Hash32(root))
        hashed = keccak256(key)
        try:
            nodes = trie.get_proof(hashed)  # type: ignore[no-untyped-call]
            value = trie.get(hashed)
        except MissingTrieNode as error:
            raise ChainError(f"the stored state is damaged: {error}") from error
        encoded = enumerate(map(rlp.encode, nodes))
        # The root is always hashed, any other node only if it is long enough.
        kept = (node for depth, node in encoded if depth == 0 or len(node) >= _HASHED_NODE_SIZE)
        return value, tuple(kept)

    def _ancestry_before(self, block: Block) -> CompactRange:
        if block.header.parent_hash != self._tip.header.hash:
            raise ChainError("the block does not follow the head")
        return self._tip.ancestry()

    def _border(self, size: int) -> tuple[bytes, ...]:
        """Return the perfect subtrees' roots of the tree over the first `size` block hashes."""
        if size < 0:
            raise UnknownBlock("blocks are numbered from 0")
        return tuple(self._perfect(level, index) for level, index in _perfect_subtrees(0, size))

    def _subtree_root(self, start: int, end: int) -> bytes:
        """Return the root over the leaves [start, end), a subtree of the ancestry tree."""
        current, *lefts = [self._perfect(*at) for at in _perfect_subtrees(start, end)][::-1]
        for left in lefts:
            current = node_hash(left, current)
        return current

    def _perfect(self, level: int, index: int) -> bytes:
        try:
            return self.db[_Key.ancestry(level, index)]
        except KeyError as error:
            raise UnknownBlock(f"there is no block {(index + 1 << level) - 1}") from error


@contextmanager
def _whole_state() -> Iterator[None]:
    """Name a node of the state's tries that is missing as the damage that it is."""
    try:
        yield
    except (EVMMissingData, MissingTrieNode) as error:
        raise ChainError(
            "dữ liệu của chuỗi bị hỏng, hãy khôi phục từ bản sao lưu · "
            f"the stored state is damaged: {error}"
        ) from error


def _decode_header(encoded: bytes) -> BlockHeaderAPI:
    header: BlockHeaderAPI = rlp.decode(encoded, CancunBlockHeader)
    return header


def _perfect_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the perfect subtrees that make up a subtree, from the left."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _block_writes(block: Block) -> dict[bytes, bytes | None]:
    number, block_hash = block.header.block_number, block.header.hash
    located = {
        _Key.transaction(transaction.hash): _u64(number) + index.to_bytes(4, "big")
        for index, transaction in enumerate(block.transactions)
    }
    return {
        **located,
        _Key.header(number): rlp.encode(block.header),
        _Key.hash(number): block_hash,
        _Key.number(block_hash): _u64(number),
        _Key.body(number): rlp.encode([each.encode() for each in block.transactions]),
        _Key.receipts(number): rlp.encode([each.encode() for each in block.receipts]),
        _Key.HEAD: _u64(number),
    }


def _ancestry_writes(before: CompactRange, block: Block) -> dict[bytes, bytes | None]:
    completed = before.append(leaf_hash(block.header.hash))
    return {_Key.ancestry(level, index): value for level, index, value in completed}


def _genesis_header(overlay: Overlay, genesis: Genesis) -> BlockHeaderAPI:
    """Return the genesis block's header; its state is left in the overlay."""
    header = create_header(
        None,
        timestamp=genesis.timestamp.seconds,
        gas_limit=genesis.gas_limit,
        extra_data=EMPTY_ROOT,
    )
    state = build_state(overlay, header, genesis.evm_chain_id, ())
    try:
        accounts = contracts.genesis_accounts(genesis.founding)
    except ValueError as error:
        raise ChainError(
            "không lập được chuỗi với các thành viên này · "
            f"no chain can begin with these members: {error}"
        ) from error
    for address, account in accounts.items():
        state.set_code(Address(address), account.code)
        state.set_nonce(Address(address), _CONTRACT_NONCE)
        for slot, value in account.storage.items():
            state.set_storage(Address(address), slot, value)
    state.persist()
    return header.copy(state_root=state.state_root)
