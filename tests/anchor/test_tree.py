# SPDX-License-Identifier: GPL-3.0-or-later
"""pymerkle over tiles gives what pymerkle in memory gives, and what our own RFC 9162 code gives."""

from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from anchor.tiles import Log
from anchor.tree import TileTree
from node.light import merkle
from tests.support.logwork import ORIGIN, entry, grow

SIZE = 300


@pytest.fixture
def log(tmp_path: Path) -> Log:
    grow(str(tmp_path), [SIZE])
    return Log(tmp_path / "log", ORIGIN)


def test_roots_and_paths_are_those_of_pymerkle_in_memory(log: Log) -> None:
    memory = InmemoryTree(algorithm="sha256")
    memory.append_entries([entry(i) for i in range(SIZE)])
    tree = TileTree(log)
    for size in (1, 2, 3, 64, 255, 256, 257, SIZE):
        assert tree.root(size) == memory.get_root(size)
        for index in (0, size // 2, size - 1):
            expected = memory.prove_inclusion(index + 1, size).path[1:]
            assert tree.inclusion_path(index, size) == expected


def test_roots_and_paths_are_those_of_the_light_client(log: Log) -> None:
    tree = TileTree(log)
    leaves = [merkle.leaf_hash(entry(i)) for i in range(SIZE)]
    assert tree.root(0) == merkle.EMPTY_ROOT
    assert tree.range_root(256, SIZE) == merkle.root(leaves[256:])
    assert tree.get_leaf(SIZE) == leaves[-1]
    for index in range(0, SIZE, 7):
        assert tree.inclusion_path(index, SIZE) == merkle.inclusion_path(leaves, index)


def test_nothing_is_appended_through_the_tree(log: Log) -> None:
    with pytest.raises(TypeError):
        TileTree(log).append_entry(b"x")
