# SPDX-License-Identifier: GPL-3.0-or-later
"""The proofs that AnchorLog takes are exactly those of RFC 9162 §2.1.4.1, and no other passes."""

import random
from collections.abc import Iterator
from itertools import combinations

import pytest

from tests.contracts.evm import Evm
from tests.contracts.logs import STRANGER, Head, anchor, place, stored
from tests.contracts.trees import Tree, proves

SMALL = 64
LARGE = 1 << 20
TREE = Tree(range(SMALL + 1))
PAIRS = list(combinations(range(1, SMALL + 1), 2))
WRONG_PROOF = {
    "proof has the wrong length",
    "proof does not give the old root",
    "proof does not give the new root",
}


def test_proofs_between_all_sizes_up_to_64_are_taken(evm: Evm) -> None:
    for old, new in PAIRS:
        _accept(evm, TREE, old, new)


def test_proofs_between_large_sizes_are_taken(evm: Evm) -> None:
    for old, new in _large_pairs(random.Random(9162), 120):
        _accept(evm, Tree((old, new)), old, new)


def test_longest_path_of_the_largest_size_is_taken(evm: Evm) -> None:
    largest = 2**53 - 1
    for old, new in ((largest - 1, largest), (2**52 + 1, largest), (2**52, largest), (1, largest)):
        _accept(evm, Tree((old, new)), old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [(1, 2), (1, 3), (2, 3), (3, 4), (3, 7), (4, 7), (6, 8), (7, 8), (8, 64), (13, 21), (37, 64)],
)
def test_every_wrong_proof_between_small_sizes_is_refused(evm: Evm, old: int, new: int) -> None:
    _refuse_all(evm, TREE, old, new)


@pytest.mark.parametrize(
    ("old", "new"), [(524_287, 524_288), (524_288, 700_001), (611_953, LARGE), (LARGE - 1, LARGE)]
)
def test_every_wrong_proof_between_large_sizes_is_refused(evm: Evm, old: int, new: int) -> None:
    _refuse_all(evm, Tree((old, new)), old, new)


@pytest.mark.long
def test_every_wrong_proof_between_all_sizes_is_refused(evm: Evm) -> None:
    for old, new in PAIRS:
        _refuse_all(evm, TREE, old, new)


def test_proof_for_other_sizes_is_refused(evm: Evm) -> None:
    """Each of the other proofs up to size 24, offered between 13 and 21."""
    old, new = 13, 21
    right = TREE.proof(old, new)
    place(evm, Head(old, TREE.root(old)))
    for sizes in combinations(range(1, 25), 2):
        proof = TREE.proof(*sizes)
        if proof != right:
            _refuse(evm, Head(old, TREE.root(old)), new, TREE.root(new), proof)


@pytest.mark.parametrize(("old", "new"), [(3, 7), (8, 13), (13, 21), (16, 17)])
def test_other_sizes_are_judged_as_the_definition_does(evm: Evm, old: int, new: int) -> None:
    """The same roots and path under every other pair of sizes: right is right, wrong is wrong."""
    roots, path = (TREE.root(old), TREE.root(new)), TREE.proof(old, new)
    verdicts = {_judge(evm, pair, *roots, path) for pair in combinations(range(1, 25), 2)}
    assert verdicts == {True, False}


def test_definition_read_backwards_agrees_with_itself() -> None:
    for old, new in PAIRS:
        proof = TREE.proof(old, new)
        assert proves(old, TREE.root(old), new, TREE.root(new), proof)
        assert not proves(old, TREE.root(old), new, TREE.root(new), [*proof, TREE.root(1)])
        assert not proves(old, TREE.root(old), new, TREE.root(new), proof[:-1])


def test_made_up_subtrees_change_neither_shape_nor_length() -> None:
    for old, new in PAIRS:
        assert len(Tree((old, new)).proof(old, new)) == len(TREE.proof(old, new))


def _accept(evm: Evm, tree: Tree, old: int, new: int) -> None:
    head = Head(old, tree.root(old))
    place(evm, head)
    outcome = anchor(evm, head, new, tree.root(new), tree.proof(old, new))
    assert not outcome.reverted, (old, new, outcome.reason)
    assert stored(evm) == head.moved(new, tree.root(new), evm.block).commitment()


def _refuse_all(evm: Evm, tree: Tree, old: int, new: int) -> None:
    """Offer every kind of wrong step between two sizes; only the last, right one may pass."""
    head, root, proof = Head(old, tree.root(old)), tree.root(new), tree.proof(old, new)
    place(evm, head)
    for wrong in _wrong_proofs(proof):
        _refuse(evm, head, new, root, wrong)
    for other in (_flipped(root), head.root, tree.root(1) if old > 1 else _flipped(root)):
        _refuse(evm, head, new, other, proof)
    _judge_other_sizes(evm, (old, new), head.root, root, proof)
    place(evm, head)
    stranger = anchor(evm, head, new, root, proof, sender=STRANGER)
    assert stranger.reason == "sender is not the owner"
    other_old = Head(old, _flipped(head.root))
    assert anchor(evm, other_old, new, root, proof).reason == "head preimage is not the stored one"
    place(evm, other_old)
    _refuse(evm, other_old, new, root, proof)
    _accept(evm, tree, old, new)


def _judge_other_sizes(
    evm: Evm, sizes: tuple[int, int], old_root: bytes, new_root: bytes, proof: list[bytes]
) -> None:
    old, new = sizes
    for pair in ((old, new - 1), (old, new + 1), (old - 1, new), (old + 1, new)):
        if 0 < pair[0] < pair[1]:
            _judge(evm, pair, old_root, new_root, proof)


def _judge(
    evm: Evm, sizes: tuple[int, int], old_root: bytes, new_root: bytes, proof: list[bytes]
) -> bool:
    """Let contract and definition judge a step and return their one verdict.

    A path binds roots, not always sizes: trees of 3 and 4 leaves with the same two subtrees have
    the same root, and the same path leads there. What binds the size to the root is the signature
    on the checkpoint; what must hold here is that the contract says what the definition says.
    """
    old, new = sizes
    head = Head(old, old_root)
    place(evm, head)
    outcome = anchor(evm, head, new, new_root, proof)
    verdict = proves(old, old_root, new, new_root, proof)
    assert outcome.reverted != verdict, (sizes, outcome.reason)
    assert verdict or outcome.reason in WRONG_PROOF
    return verdict


def _refuse(evm: Evm, head: Head, size: int, root: bytes, proof: list[bytes]) -> None:
    before = stored(evm)
    outcome = anchor(evm, head, size, root, proof)
    assert outcome.reason in WRONG_PROOF, (head.size, size, proof, outcome.reason)
    assert stored(evm) == before


def _wrong_proofs(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Each hash flipped, missing, doubled; hashes swapped; surplus in front and behind."""
    yield []
    yield [*proof, proof[-1]]
    yield [bytes(32), *proof]
    yield [*proof, bytes(32)]
    yield [*proof, *[bytes(32)] * (64 - len(proof))]
    for i, value in enumerate(proof):
        yield [*proof[:i], _flipped(value), *proof[i + 1 :]]
        yield [*proof[:i], *proof[i + 1 :]]
        yield [*proof[:i], bytes(32), *proof[i:]]
    for i in range(len(proof) - 1):
        yield [*proof[:i], proof[i + 1], proof[i], *proof[i + 2 :]]


def _flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 0x80]) + value[1:]


def _large_pairs(rng: random.Random, count: int) -> Iterator[tuple[int, int]]:
    """Random steps up to 2^20, short and long, with powers of two on either side."""
    yield from ((1 << k, LARGE) for k in range(0, 20, 3))
    yield from ((LARGE - (1 << k), LARGE) for k in range(0, 20, 3))
    yield from (((1 << k) - 1, (1 << k) + 1) for k in range(7, 20, 3))
    for _ in range(count):
        old = rng.randrange(1, LARGE)
        yield old, min(LARGE, old + rng.randrange(1, 1 << rng.randrange(1, 21)))
