# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets pymerkle give roots and inclusion paths over the log's tiles, without a tree in memory.

pymerkle 7 computes RFC 9162 trees over any storage; here a perfect subtree is read from the tiles
that hold it. Its consistency proofs are another protocol's, not RFC 9162 §2.1.4's, and are not used.
"""

from typing import NoReturn, Protocol

from pymerkle import BaseMerkleTree

__all__ = ["Subtrees", "TileTree"]


class Subtrees(Protocol):
    """What a tree needs of its storage."""

    @property
    def size(self) -> int:
        """Number of leaves."""

    def perfect_root(self, start: int, width: int) -> bytes:
        """Return the root over `width` leaves from `start`; a power of two that divides `start`."""


class TileTree(BaseMerkleTree):  # type: ignore[misc]
    """A read-only RFC 9162 tree over stored subtrees. Leaves count from 0 here, as in the log."""

    def __init__(self, storage: Subtrees) -> None:
        # The storage keeps its own cache of verified tiles.
        super().__init__(algorithm="sha256")
        self._storage = storage

    def root(self, size: int) -> bytes:
        """Return the root over the first `size` leaves."""
        return bytes(self.get_root(size))

    def range_root(self, start: int, end: int) -> bytes:
        """Return the root over leaves [start, end), a subtree of some RFC 9162 tree or its right edge."""
        return bytes(self._get_root(start, end))

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Return the RFC 9162 §2.1.3 path of a leaf in the tree of `size` leaves, leaf's sibling first."""
        # pymerkle counts leaves from 1 and puts the leaf's own hash first.
        return list(self.prove_inclusion(index + 1, size).path[1:])

    def _get_size(self) -> int:
        return self._storage.size

    def _get_leaf(self, index: int) -> bytes:
        return self._storage.perfect_root(index - 1, 1)

    def _get_leaves(self, offset: int, width: int) -> list[bytes]:
        return [self._storage.perfect_root(at, 1) for at in range(offset, offset + width)]

    def _get_subroot(self, offset: int, width: int) -> bytes:
        return self._storage.perfect_root(offset, width)

    def _encode_entry(self, _data: bytes) -> NoReturn:
        raise TypeError("entries are appended to the log, not to this view of it")

    def _store_leaf(self, _data: bytes, _digest: bytes) -> NoReturn:
        raise TypeError("entries are appended to the log, not to this view of it")
