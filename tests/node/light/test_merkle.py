# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees against RFC 9162's own recursive definitions, written down once more, and pymerkle."""

import random
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from node.light import (
    EMPTY_ROOT,
    CompactRange,
    MerkleError,
    consistency_ranges,
    inclusion_path,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    root,
    root_from_inclusion,
    verify_consistency,
    verify_inclusion,
)
from tests.support.flips import flip_bit

SIZES = range(65)
DATA = [f"entry {index}".encode() for index in range(64)]
LEAVES = [leaf_hash(data) for data in DATA]


def split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def rfc_root(data: Sequence[bytes]) -> bytes:
    """MTH of §2.1.1."""
    if not data:
        return sha256().digest()
    if len(data) == 1:
        return sha256(b"\0" + data[0]).digest()
    k = split(len(data))
    return sha256(b"\1" + rfc_root(data[:k]) + rfc_root(data[k:])).digest()


def rfc_path(m: int, data: Sequence[bytes]) -> list[bytes]:
    """PATH of §2.1.3.1."""
    if len(data) == 1:
        return []
    k = split(len(data))
    if m < k:
        return [*rfc_path(m, data[:k]), rfc_root(data[k:])]
    return [*rfc_path(m - k, data[k:]), rfc_root(data[:k])]


def rfc_subproof(m: int, data: Sequence[bytes], is_whole: bool = True) -> list[bytes]:
    """SUBPROOF of §2.1.4.1."""
    if m == len(data):
        return [] if is_whole else [rfc_root(data)]
    k = split(len(data))
    if m <= k:
        return [*rfc_subproof(m, data[:k], is_whole), rfc_root(data[k:])]
    return [*rfc_subproof(m - k, data[k:], False), rfc_root(data[:k])]


ROOTS = [rfc_root(DATA[:size]) for size in SIZES]


def proof(old: int, new: int) -> list[bytes]:
    return [root(LEAVES[start:end]) for start, end in consistency_ranges(old, new)]


@pytest.mark.parametrize("size", SIZES)
def test_root_is_the_rfcs(size: int) -> None:
    assert root(LEAVES[:size]) == ROOTS[size]


def test_empty_root_is_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 65))
def test_inclusion_paths_are_the_rfcs_and_verify(size: int) -> None:
    for index in range(size):
        path = inclusion_path(LEAVES[:size], index)
        assert path == rfc_path(index, DATA[:size])
        verify_inclusion(LEAVES[index], index, size, path, ROOTS[size])


@pytest.mark.parametrize("new", SIZES)
def test_consistency_paths_are_the_rfcs_and_verify(new: int) -> None:
    for old in range(new + 1):
        path = proof(old, new)
        assert path == (rfc_subproof(old, DATA[:new]) if old else [])
        verify_consistency(old, ROOTS[old], new, ROOTS[new], path)


def test_roots_and_inclusion_paths_are_pymerkles() -> None:
    tree = InmemoryTree(algorithm="sha256")
    for size in range(1, 65):
        tree.append_entry(DATA[size - 1])
        assert tree.get_root() == ROOTS[size]
        for index in range(size):
            theirs = tree.prove_inclusion(index + 1, size).path[1:]
            assert theirs == inclusion_path(LEAVES[:size], index)


@pytest.mark.parametrize("size", range(1, 65))
def test_leaf_at_any_other_index_or_size_is_refused(size: int) -> None:
    for index in range(size):
        path = inclusion_path(LEAVES[:size], index)
        for wrong in set(range(size)) - {index}:
            with pytest.raises(MerkleError):
                verify_inclusion(LEAVES[index], wrong, size, path, ROOTS[size])
        with pytest.raises(MerkleError):
            verify_inclusion(LEAVES[index], index, size, path, ROOTS[size - 1])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (0, -1), (-1, 1), (1, 1), (2, 1), (0, 2**64)])
def test_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(MerkleError):
        root_from_inclusion(LEAVES[0], index, size, [])
    with pytest.raises(MerkleError):
        inclusion_ranges(index, size)


@pytest.mark.parametrize(("old", "new"), [(1, 0), (-1, 1), (-1, -1), (3, 2), (1, 2**64)])
def test_consistency_of_impossible_sizes_is_refused(old: int, new: int) -> None:
    with pytest.raises(MerkleError):
        verify_consistency(old, EMPTY_ROOT, new, EMPTY_ROOT, [])
    with pytest.raises(MerkleError):
        consistency_ranges(old, new)


def spoiled(path: list[bytes]) -> list[list[bytes]]:
    """Every path with a hash changed, dropped, doubled, added, swapped or of another length."""
    paths = [[*path, LEAVES[0]], [LEAVES[0], *path], [*path, b""]]
    for position, each in enumerate(path):
        before, after = path[:position], path[position + 1 :]
        paths += [[*before, *after], [*before, each, each, *after]]
        paths += [[*before, wrong, *after] for wrong in (flip_bit(each, 255), each[:31], b"")]
        if after:
            paths.append([*before, after[0], each, *after[1:]])
    return paths


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 33, 64])
def test_spoiled_inclusion_path_is_refused(size: int) -> None:
    for index in range(size):
        for path in spoiled(inclusion_path(LEAVES[:size], index)):
            with pytest.raises(MerkleError):
                verify_inclusion(LEAVES[index], index, size, path, ROOTS[size])


@pytest.mark.parametrize("new", [0, 1, 2, 3, 7, 8, 9, 31, 33, 64])
def test_spoiled_consistency_path_is_refused(new: int) -> None:
    for old in range(new + 1):
        for path in spoiled(proof(old, new)):
            with pytest.raises(MerkleError):
                verify_consistency(old, ROOTS[old], new, ROOTS[new], path)


@pytest.mark.parametrize("new", range(1, 33))
def test_consistency_of_wrong_roots_or_sizes_is_refused(new: int) -> None:
    for old in range(new + 1):
        path = proof(old, new)
        wrong = leaf_hash(b"other")
        cases = [(old, wrong, new, ROOTS[new]), (old + 1, ROOTS[old], new, ROOTS[new])]
        if old > 0:
            # From size 0 any tree follows.
            cases.append((old, ROOTS[old], new, wrong))
            cases.append((old - 1, ROOTS[old], new, ROOTS[new]))
        for case in cases:
            with pytest.raises(MerkleError):
                verify_consistency(*case, path)


def test_root_of_another_length_is_refused() -> None:
    for wrong in (b"", ROOTS[1][:31], ROOTS[1] + b"\0"):
        with pytest.raises(MerkleError):
            verify_consistency(1, wrong, 1, wrong, [])
        with pytest.raises(MerkleError):
            root([wrong])
        with pytest.raises(MerkleError):
            root_from_inclusion(wrong, 0, 1, [])


def test_compact_range_grows_like_the_tree() -> None:
    tree = CompactRange()
    nodes: dict[tuple[int, int], bytes] = {}
    for size in SIZES[:-1]:
        assert (tree.size, tree.root()) == (size, ROOTS[size])
        assert CompactRange(size, tree.hashes).root() == ROOTS[size]
        completed = tree.append(LEAVES[size])
        assert completed[0] == (0, size, LEAVES[size])
        nodes.update({(level, index): digest for level, index, digest in completed})
    assert nodes == {
        (level, index): root(LEAVES[index << level : index + 1 << level])
        for level in range(7)
        for index in range(64 >> level)
    }


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 0), (3, 1), (4, 2), (-1, 1), (2**64, 1)])
def test_compact_range_that_does_not_fit_its_size_is_refused(size: int, count: int) -> None:
    with pytest.raises(MerkleError):
        CompactRange(size, LEAVES[:count])


def test_compact_range_refuses_what_is_no_hash_or_too_much() -> None:
    with pytest.raises(MerkleError):
        CompactRange(1, [b""])
    with pytest.raises(MerkleError):
        CompactRange().append(b"")
    with pytest.raises(MerkleError, match="full"):
        CompactRange(2**64 - 1, [LEAVES[0]] * 64).append(LEAVES[0])


def climb(start: int, end: int, parts: dict[tuple[int, int], bytes]) -> bytes:
    """Return the root of a range of leaves from the roots of the ranges that it is made of."""
    if (start, end) in parts:
        return parts[start, end]
    middle = start + split(end - start)
    return node_hash(climb(start, middle, parts), climb(middle, end, parts))


@given(
    st.integers(1, 2**64 - 1).flatmap(
        lambda size: st.tuples(st.integers(0, size - 1), st.just(size))
    )
)
@settings(max_examples=200)
def test_inclusion_holds_in_trees_of_any_size(where: tuple[int, int]) -> None:
    index, size = where
    ranges = inclusion_ranges(index, size)
    parts = {each: leaf_hash(repr(each).encode()) for each in [*ranges, (index, index + 1)]}
    path = [parts[each] for each in ranges]
    verify_inclusion(parts[index, index + 1], index, size, path, climb(0, size, parts))


@pytest.mark.parametrize("seed", range(20))
def test_consistency_holds_between_large_random_sizes(seed: int) -> None:
    chance = random.Random(seed)
    leaves = [leaf_hash(index.to_bytes(4)) for index in range(chance.randrange(1000, 3000))]
    old = chance.randrange(1, len(leaves))
    ranges = consistency_ranges(old, len(leaves))
    path = [root(leaves[start:end]) for start, end in ranges]
    verify_consistency(old, root(leaves[:old]), len(leaves), root(leaves), path)
