# SPDX-License-Identifier: GPL-3.0-or-later
"""State of an EVM chain is proven from a block's header alone; this reads such proofs.

Ethereum Yellow Paper, appendices B (RLP) and D (Merkle Patricia tree); EIP-1186 for what a proof
holds. Proofs of several accounts and slots share one pool of nodes, in which each node has to be
there once and to be needed: nothing may ride along unproven.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from Crypto.Hash import keccak

from node.light.errors import HeaderError, RlpError, TrieError

HASH_SIZE = 32
ADDRESS_SIZE = 20
# A header has about 600 bytes; chains that keep signatures in it have some more.
MAX_HEADER_BYTES = 4096
MAX_HEADER_FIELDS = 32
# A branch with 16 hashes and no value has 532 bytes, an account's leaf less.
MAX_NODE_BYTES = 1024
MAX_NODES = 4096
# Transactions reach depth 4, nodes with others inside them less.
MAX_RLP_DEPTH = 16
MAX_RLP_BYTES = 2**24


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 hash of data."""
    return keccak.new(digest_bits=256, data=data).digest()


# A trie without entries is the RLP of the empty string; an account without code has its hash.
EMPTY_TRIE_ROOT = keccak256(b"\x80")
EMPTY_CODE_HASH = keccak256(b"")

RlpItem = bytes | list["RlpItem"]


def rlp_encode(item: RlpItem) -> bytes:
    """Return the RLP of a byte string or a nested list of them."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    payload = b"".join(map(rlp_encode, item))
    return _prefix(len(payload), 0xC0) + payload


def rlp_decode(data: bytes, max_bytes: int = MAX_RLP_BYTES) -> RlpItem:
    """Return the item whose one canonical RLP is `data`.

    Raises RlpError if it is longer than `max_bytes`, nested deeper than `MAX_RLP_DEPTH`, has a
    second spelling, or does not end where the item ends.
    """
    if len(data) > max_bytes:
        raise RlpError(f"RLP is longer than {max_bytes} bytes")
    item, end = _decode(data, 0, len(data), MAX_RLP_DEPTH)
    if end != len(data):
        raise RlpError("something follows after the RLP item")
    return item


@dataclass(frozen=True, slots=True)
class EvmHeader:
    """An EVM block's header: its RLP, its hash, and what stands in its first 16 fields.

    Fields are known by position, so that a header of a later fork reads the same.
    """

    raw: bytes
    hash: bytes
    parent_hash: bytes
    ommers_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes
    nonce: bytes
    base_fee: int


@dataclass(frozen=True, slots=True)
class Account:
    """What a state trie says of an account."""

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


# Position is order. A width in bytes, None for bytes of any width; an integer's is its greatest.
_HEADER_FIELDS: tuple[tuple[str, type, int | None], ...] = (
    ("parent_hash", bytes, 32),
    ("ommers_hash", bytes, 32),
    ("coinbase", bytes, 20),
    ("state_root", bytes, 32),
    ("transactions_root", bytes, 32),
    ("receipts_root", bytes, 32),
    ("logs_bloom", bytes, 256),
    ("difficulty", int, 32),
    ("number", int, 8),
    ("gas_limit", int, 8),
    ("gas_used", int, 8),
    ("timestamp", int, 8),
    ("extra_data", bytes, None),
    ("mix_hash", bytes, 32),
    ("nonce", bytes, 8),
    ("base_fee", int, 32),
)


def parse_header(rlp: bytes) -> EvmHeader:
    """Return the header whose RLP this is; any byte strings may follow the 16 fields known.

    Raises RlpError or HeaderError.
    """
    items = rlp_decode(rlp, MAX_HEADER_BYTES)
    if not isinstance(items, list) or not len(_HEADER_FIELDS) <= len(items) <= MAX_HEADER_FIELDS:
        raise HeaderError("header is not a list of 16 to 32 fields")
    values = [item for item in items if isinstance(item, bytes)]
    if len(values) != len(items):
        raise HeaderError("a field of the header is a list")
    read: dict[str, Any] = {
        name: _header_field(name, kind, width, value)
        for (name, kind, width), value in zip(_HEADER_FIELDS, values, strict=False)
    }
    return EvmHeader(raw=rlp, hash=keccak256(rlp), **read)


class TrieNodes:
    """The nodes of any number of proofs, found by their hashes; each has to be needed by one."""

    def __init__(self, nodes: Iterable[bytes]) -> None:
        """Take up the RLP of each node; raises TrieError for one too many, too long or doubled."""
        self._nodes: dict[bytes, bytes] = {}
        for node in nodes:
            self._add(node)
        self._unused = set(self._nodes)

    def account(self, state_root: bytes, address: bytes) -> Account | None:
        """Return the account at a 20-byte address, or None if the state is proven to lack it.

        Raises TrieError if the nodes prove neither.
        """
        if len(address) != ADDRESS_SIZE:
            raise TrieError("address is not 20 bytes long")
        value = self._value(state_root, address)
        return None if value is None else _parse_account(value)

    def slot(self, storage_root: bytes, slot: bytes) -> bytes:
        """Return the 32 bytes in a storage slot, zeros if it is proven to be empty.

        `slot` is its 32-byte number. Raises TrieError if the nodes prove neither.
        """
        if len(slot) != HASH_SIZE:
            raise TrieError("slot is not 32 bytes long")
        value = self._value(storage_root, slot)
        return bytes(HASH_SIZE) if value is None else _parse_slot(value)

    def finish(self) -> None:
        """Raise TrieError if there is a node that no proof has needed."""
        if self._unused:
            raise TrieError(f"{len(self._unused)} nodes belong to no proof")

    def _add(self, node: bytes) -> None:
        if len(self._nodes) == MAX_NODES or len(node) > MAX_NODE_BYTES:
            raise TrieError("too many nodes, or one too long")
        digest = keccak256(node)
        if digest in self._nodes:
            raise TrieError("a node is given twice")
        self._nodes[digest] = node

    def _value(self, root: bytes, key: bytes) -> bytes | None:
        """Return what the trie holds under the hash of `key`, None if proven to hold nothing."""
        if root == EMPTY_TRIE_ROOT:
            return None
        node = self._fetch(root)
        path = keccak256(key).hex()
        while True:
            step = _branch(node, path) if len(node) == 17 else _short(node, path)
            if not isinstance(step, _Child):
                return step
            node, path = self._resolve(step.reference), step.path

    def _resolve(self, reference: RlpItem) -> list[RlpItem]:
        """Return the node that another refers to, by hash or, if it is short, by holding it."""
        if isinstance(reference, list):
            if len(rlp_encode(reference)) >= HASH_SIZE:
                raise TrieError("a node inside another is too long to be there")
            return reference
        if len(reference) != HASH_SIZE:
            raise TrieError("a node's reference is not a hash")
        node = self._fetch(reference)
        if len(self._nodes[reference]) < HASH_SIZE:
            raise TrieError("a node is too short to stand apart")
        return node

    def _fetch(self, digest: bytes) -> list[RlpItem]:
        rlp = self._nodes.get(digest)
        if rlp is None:
            raise TrieError("a node is missing")
        self._unused.discard(digest)
        try:
            node = rlp_decode(rlp)
        except RlpError as error:
            raise TrieError("a node is not RLP") from error
        if not isinstance(node, list):
            raise TrieError("a node is not a list")
        return node


@dataclass(frozen=True, slots=True)
class _Child:
    """The reference to the next node on the way, and the nibbles still to go, as hex digits."""

    reference: RlpItem
    path: str


def _branch(node: list[RlpItem], path: str) -> _Child | None:
    # All keys are hashes of one length, so none ends in a branch.
    if not path or node[16] != b"":
        raise TrieError("a branch holds a value")
    reference = node[int(path[0], 16)]
    return None if reference == b"" else _Child(reference, path[1:])


def _short(node: list[RlpItem], path: str) -> _Child | bytes | None:
    """Go through a leaf or an extension."""
    if len(node) != 2:
        raise TrieError("a node has neither 2 nor 17 items")
    piece, is_leaf = _parse_piece(node[0])
    if is_leaf:
        if len(piece) != len(path) or not isinstance(node[1], bytes):
            raise TrieError("a leaf stands at a wrong depth or holds a list")
        return node[1] if piece == path else None
    if not piece or len(piece) >= len(path):
        raise TrieError("an extension leads nowhere")
    return _Child(node[1], path[len(piece) :]) if path.startswith(piece) else None


def _parse_piece(encoded: RlpItem) -> tuple[str, bool]:
    """Return a short node's piece of the path as hex digits, and whether it is a leaf's.

    Yellow Paper, appendix C: the first nibble is 2 for a leaf plus 1 for an odd length, and an
    even length has a zero nibble behind it.
    """
    if not isinstance(encoded, bytes) or not encoded or encoded[0] >> 4 > 3:
        raise TrieError("a node's path has no valid prefix")
    digits, flag = encoded.hex(), encoded[0] >> 4
    if not flag & 1 and digits[1] != "0":
        raise TrieError("a node's path has no valid padding")
    return digits[1 if flag & 1 else 2 :], bool(flag & 2)


def _parse_account(value: bytes) -> Account:
    try:
        items = rlp_decode(value)
    except RlpError as error:
        raise TrieError("an account is not RLP") from error
    fields = [item for item in items if isinstance(item, bytes)] if isinstance(items, list) else []
    if len(fields) != 4 or len(items) != 4:
        raise TrieError("an account does not have four fields")
    nonce, balance, storage_root, code_hash = fields
    if {len(storage_root), len(code_hash)} != {HASH_SIZE}:
        raise TrieError("an account's root or code hash is not 32 bytes long")
    if not (_is_scalar(nonce, 8) and _is_scalar(balance, 32)):
        raise TrieError("an account's nonce or balance is not an integer")
    return Account(int.from_bytes(nonce), int.from_bytes(balance), storage_root, code_hash)


def _parse_slot(value: bytes) -> bytes:
    try:
        content = rlp_decode(value)
    except RlpError as error:
        raise TrieError("a slot's value is not RLP") from error
    # Zero is never stored.
    if not isinstance(content, bytes) or not content or not _is_scalar(content, HASH_SIZE):
        raise TrieError("a slot's value is not an integer above 0")
    return content.rjust(HASH_SIZE, b"\0")


def _header_field(name: str, kind: type, width: int | None, value: bytes) -> bytes | int:
    if kind is int:
        if not _is_scalar(value, width or 0):
            raise HeaderError(f"{name} is not an integer of at most {width} bytes")
        return int.from_bytes(value)
    if width is not None and len(value) != width:
        raise HeaderError(f"{name} is not {width} bytes long")
    return value


def _is_scalar(value: bytes, max_width: int) -> bool:
    return len(value) <= max_width and not value.startswith(b"\0")


def _prefix(length: int, offset: int) -> bytes:
    if length <= 55:
        return bytes([offset + length])
    digits = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([offset + 55 + len(digits)]) + digits


def _decode(data: bytes, start: int, limit: int, depth: int) -> tuple[RlpItem, int]:
    """Return the item at `start` and where it ends, at most at `limit`."""
    is_list, begin, end = _extent(data, start, limit)
    if not is_list:
        return data[begin:end], end
    if depth == 0:
        raise RlpError("RLP is nested too deeply")
    return list(_items(data, begin, end, depth - 1)), end


def _items(data: bytes, start: int, limit: int, depth: int) -> Iterator[RlpItem]:
    while start < limit:
        item, start = _decode(data, start, limit, depth)
        yield item


def _extent(data: bytes, start: int, limit: int) -> tuple[bool, int, int]:
    """Return whether a list stands at `start`, and where its content begins and ends."""
    if start >= limit:
        raise RlpError("RLP ends early")
    first = data[start]
    if first < 0x80:
        return False, start, start + 1
    is_list, length = first >= 0xC0, first & 0x3F
    begin = start + 1
    if length > 55:
        begin += length - 55
        length = _long_length(data[start + 1 : min(begin, limit)], length - 55)
    end = begin + length
    if end > limit:
        raise RlpError("RLP ends early")
    if not is_list and length == 1 and data[begin] < 0x80:
        raise RlpError("a single byte has a needless prefix")
    return is_list, begin, end


def _long_length(digits: bytes, count: int) -> int:
    length = int.from_bytes(digits)
    if len(digits) != count or digits[0] == 0 or length <= 55:
        raise RlpError("a length is not written in its shortest form")
    return length
