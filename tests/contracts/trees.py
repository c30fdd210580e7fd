# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 9162 §2.1 written straight from its definitions, to judge the contract's loop by.

Slow and recursive on purpose: nothing here shares a step with the algorithm of §2.1.4.2 that the
contract runs. D[0:n] are the leaves of a tree of size n, k the largest power of two below n.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache


class Tree:
    """The endless list of leaves D, of which a tree of size n has the first n.

    A perfect subtree without one of `sizes` inside it is never looked into by a proof between
    those sizes, so its root is made up, and a tree of a million leaves costs some twenty hashes.
    With every size listed, all leaves are real.
    """

    def __init__(self, sizes: Sequence[int], seed: int = 0) -> None:
        self._sizes = sizes
        self._seed = seed
        self.mth = cache(self._mth)

    def root(self, size: int) -> bytes:
        """Return MTH(D[0:size])."""
        return self.mth(0, size)

    def proof(self, m: int, n: int) -> list[bytes]:
        """Return PROOF(m, D[0:n]) of §2.1.4.1."""
        return self._subproof(m, 0, n, True)

    def _mth(self, start: int, end: int) -> bytes:
        n = end - start
        if n == 0:
            return hashlib.sha256().digest()
        if n == 1 or (is_power(n) and not any(start < size < end for size in self._sizes)):
            return hashlib.sha256(b"%d %d %d" % (self._seed, start, end)).digest()
        k = largest_power_below(n)
        return node(self.mth(start, start + k), self.mth(start + k, end))

    def _subproof(self, m: int, start: int, end: int, b: bool) -> list[bytes]:
        n = end - start
        if m == n:
            return [] if b else [self.mth(start, end)]
        k = largest_power_below(n)
        if m <= k:
            return [*self._subproof(m, start, start + k, b), self.mth(start + k, end)]
        return [*self._subproof(m - k, start + k, end, False), self.mth(start, start + k)]


def proves(m: int, old: bytes, n: int, new: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether `path` is what PROOF(m, D[0:n]) could be for trees with these roots.

    It takes the definition of SUBPROOF the other way round: each hash that the definition puts
    into the path is taken from it, and both roots are put together on the way back.
    """
    hashes = iter(path)
    try:
        roots = _rebuild(m, n, old, hashes, True)
    except StopIteration:
        return False
    return next(hashes, None) is None and roots == (old, new)


def _rebuild(m: int, n: int, old: bytes, hashes: Iterator[bytes], b: bool) -> tuple[bytes, bytes]:
    if m == n:
        same = old if b else next(hashes)
        return same, same
    k = largest_power_below(n)
    if m <= k:
        left, longer = _rebuild(m, k, old, hashes, b)
        return left, node(longer, next(hashes))
    right, longer = _rebuild(m - k, n - k, old, hashes, False)
    sibling = next(hashes)
    return node(sibling, right), node(sibling, longer)


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def largest_power_below(n: int) -> int:
    """Return k, the largest power of two smaller than n, for n > 1."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def is_power(n: int) -> bool:
    """Tell whether n is a power of two."""
    return n & (n - 1) == 0
