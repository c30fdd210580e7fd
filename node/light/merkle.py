# SPDX-License-Identifier: GPL-3.0-or-later
"""Merkle trees are what every link of the evidence stands on; this is the one implementation.

RFC 9162, section 2.1, over SHA-256: a leaf is hashed behind 00, a node behind 01, and a tree of n
leaves splits at the largest power of two below n. Paths are the RFC's, in its order (2.1.3.1 for
inclusion, 2.1.4.1 for consistency), and of exactly the length that index and size ask for.

Hashes are 32 raw bytes throughout. The functions that end in `_ranges` name the subtrees of a path
by their leaves, so that whoever stores a tree in its own way can prove with it.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from node.light.errors import MerkleError

HASH_SIZE = 32
# RFC 9162 counts leaves in 64 bits; no path can then be longer than 64 hashes.
MAX_SIZE = 2**64 - 1
# RFC 9162 §2.1.1: the root of the tree without leaves is the hash of the empty string.
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf with this data."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two subtrees' hashes."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes in their order; `EMPTY_ROOT` if there are none.

    Raises MerkleError if one of them is not 32 bytes long.
    """
    level = list(leaf_hashes)
    _check_hashes(level)
    while len(level) > 1:
        # An odd one out goes up unchanged: this gives the RFC's tree without any recursion.
        above = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = above + level[len(above) * 2 :]
    return level[0] if level else EMPTY_ROOT


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the leaf ranges [start, end) whose subtree roots are the inclusion path, in its order.

    Raises MerkleError unless 0 <= index < size.
    """
    _check_index(index, size)
    ranges = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    return ranges[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[tuple[int, int]]:
    """Return the leaf ranges [start, end) whose subtree roots are the consistency path, in order.

    Empty from size 0 and between equal sizes. Raises MerkleError unless 0 <= old <= new.
    """
    _check_sizes(old_size, new_size)
    ranges: list[tuple[int, int]] = []
    if old_size in {0, new_size}:
        return ranges
    start, end = 0, new_size
    while old_size < end:
        split = start + _split(end - start)
        if old_size <= split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    # The verifier knows the subtree that ends at the old size only if it is the whole old tree.
    if start > 0:
        ranges.append((start, end))
    return ranges[::-1]


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the inclusion path of the leaf at `index` in the tree over these leaf hashes.

    Raises MerkleError if there is no such leaf.
    """
    ranges = inclusion_ranges(index, len(leaf_hashes))
    return [root(leaf_hashes[start:end]) for start, end in ranges]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the only root of a tree of `size` leaves that this path proves the leaf hash into.

    Raises MerkleError unless 0 <= index < size and the path has exactly the length for them.
    """
    _check_index(index, size)
    _check_hashes([leaf, *path])
    # Below the level where index and last leaf meet every node is full; above, only left
    # siblings of the tree's right border remain.
    inner = (index ^ (size - 1)).bit_length()
    if len(path) != inner + (index >> inner).bit_count():
        raise MerkleError(f"inclusion path of {len(path)} hashes for leaf {index} of {size}")
    current = leaf
    for level, sibling in enumerate(path):
        is_right = level >= inner or index >> level & 1
        current = node_hash(sibling, current) if is_right else node_hash(current, sibling)
    return current


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes
) -> None:
    """Verify that the leaf hash stands at `index` in the tree of `size` leaves with this root.

    Raises MerkleError if it does not.
    """
    if root_from_inclusion(leaf, index, size, path) != expected_root:
        raise MerkleError(f"inclusion path of leaf {index} of {size} does not lead to the root")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Verify that the newer tree only appends to the older one (RFC 9162 §2.1.4.2).

    From size 0, and between equal sizes, the path is empty. Raises MerkleError if it does not hold.
    """
    _check_sizes(old_size, new_size)
    _check_hashes([old_root, new_root, *path])
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise MerkleError("root of size 0 is not the empty tree's")
    if old_size in {0, new_size}:
        _check_trivial(old_size, old_root, new_size, new_root, path)
        return
    if _consistent_roots(old_size, old_root, new_size, path) != (old_root, new_root):
        raise MerkleError(f"tree of size {new_size} does not continue the one of size {old_size}")


class CompactRange:
    """The right border of a growing tree: all that is needed to append and to give the root.

    `hashes` are the roots of the perfect subtrees that make up the tree, from the left: one for
    each 1 in the binary digits of `size`.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Take up a tree of `size` leaves; raises MerkleError if the hashes do not fit it."""
        self._size = size
        self._hashes = list(hashes)
        if not 0 <= size <= MAX_SIZE or len(self._hashes) != size.bit_count():
            raise MerkleError(f"compact range of {len(self._hashes)} hashes for size {size}")
        _check_hashes(self._hashes)

    @property
    def size(self) -> int:
        """Number of leaves so far."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, from the left."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf hash; return each perfect subtree it completes as (level, index, hash).

        The first is the leaf itself, at level 0. `index` counts subtrees of that level from 0.
        Raises MerkleError if the hash is not 32 bytes long or the tree is full.
        """
        _check_hashes([leaf])
        if self._size == MAX_SIZE:
            raise MerkleError("tree is full")
        completed = [(0, self._size, leaf)]
        level, index, current = 0, self._size, leaf
        while index & 1:
            level, index, current = level + 1, index >> 1, node_hash(self._hashes.pop(), current)
            completed.append((level, index, current))
        self._hashes.append(current)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self._hashes:
            return EMPTY_ROOT
        current = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            current = node_hash(left, current)
        return current


def _split(size: int) -> int:
    """Return the largest power of two below `size`, for sizes of 2 and more."""
    return 1 << (size - 1).bit_length() - 1


def _check_hashes(hashes: Sequence[bytes]) -> None:
    # A hash of another length could shift the border between two siblings.
    if not set(map(len, hashes)) <= {HASH_SIZE}:
        raise MerkleError("a hash is not 32 bytes long")


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size <= MAX_SIZE:
        raise MerkleError(f"no leaf {index} in a tree of size {size}")


def _check_sizes(old_size: int, new_size: int) -> None:
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise MerkleError(f"tree of size {new_size} can't continue one of size {old_size}")


def _check_trivial(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    if path:
        raise MerkleError("consistency path must be empty here")
    if old_size == new_size and old_root != new_root:
        raise MerkleError(f"two roots for size {new_size}")


def _consistent_roots(
    old_size: int, old_root: bytes, new_size: int, path: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Return the old and the new root that the path leads to, for 0 < old size < new size."""
    if len(path) != len(consistency_ranges(old_size, new_size)):
        raise MerkleError(f"consistency path of {len(path)} hashes for {old_size} to {new_size}")
    # The largest perfect subtree that ends the old tree: the old tree itself if it is perfect,
    # which the path leaves out, and otherwise the path's first hash.
    shift = (old_size & -old_size).bit_length() - 1
    is_perfect = old_size & (old_size - 1) == 0
    old = new = old_root if is_perfect else path[0]
    left, last = (old_size - 1) >> shift, (new_size - 1) >> shift
    for sibling in path if is_perfect else path[1:]:
        # Nodes that are last in their row and a left child have no sibling: climb past them.
        while left == last and not left & 1:
            left, last = left >> 1, last >> 1
        if left & 1 or left == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
        left, last = left >> 1, last >> 1
    return old, new
