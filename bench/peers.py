# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares our tree and our verifier with pymerkle's and proofbundle's, on the same work in one run.

`python -m bench.peers` builds a tree over 100,000 leaves of 500 bytes, makes and verifies inclusion
proofs with each, and verifies whole evidence. Roots are compared first, so that all do the same.
Theirs are the in-memory tree of pymerkle, which keeps its nodes, and proofbundle's functions over a
list; ours are `node.light.merkle` over leaf hashes, and the stored tree's levels as evidence is made.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from proofbundle import emit_bundle, generate_signer, verify_bundle
from proofbundle import merkle as theirs
from pymerkle import InmemoryTree
from pymerkle import verify_inclusion as pymerkle_verify

from anchor.assemble import tree_levels, tree_path
from anchor.batch import open_batch_note
from anchor.evidence import parse_evidence
from anchor.record import parse_record
from anchor.verify import verify
from bench.clients import Sender, send_at_once
from bench.latency import evidence_url
from bench.support import arguments, found, machine, ms, quantile, say, table, workplace
from node.light import merkle
from tests.support.province import get, wait_until

LEAVES: Final = 100_000
LEAF_BYTES: Final = 500
PROOFS: Final = 300
# proofbundle hashes the whole tree anew for each proof.
SLOW_PROOFS: Final = 2
VERIFICATIONS: Final = 200
ROOTS: Final = 3
SMALL_TREE: Final = 1_000
Work = Callable[[], object]


def timed(work: Work, times: int = 1) -> float:
    """Return the seconds that one call takes, the best of so many."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def each(work: Callable[[int], object], numbers: Sequence[int]) -> float:
    """Return the median seconds of a call, over these numbers."""
    return quantile([timed(lambda number=number: work(number)) for number in numbers], 0.5)  # type: ignore[misc]


def row(work: str, ours: float, *others: float | None) -> Sequence[str]:
    """Return a row: our milliseconds, theirs, and how many times ours theirs are."""
    cells = ((ms(its), f"{its / ours:,.1f}") if its is not None else ("–", "–") for its in others)
    return work, ms(ours), *(cell for pair in cells for cell in pair)


def tree_rows(count: int) -> Iterator[Sequence[str]]:
    """Yield what a tree over `count` leaves takes."""
    say(f"trees over {count:,} leaves")
    rng = random.Random(9162)
    leaves = [rng.randbytes(LEAF_BYTES) for _ in range(count)]

    def pymerkle_tree() -> Any:
        tree = InmemoryTree(algorithm="sha256")
        for leaf in leaves:
            tree.append_entry(leaf)
        tree.get_root()
        return tree

    hashes, tree = [merkle.leaf_hash(leaf) for leaf in leaves], pymerkle_tree()
    root = merkle.root(hashes)
    assert root == tree.get_root() == theirs.merkle_tree_hash(leaves)
    yield row(
        f"root over {count:,} leaves, from their data",
        timed(lambda: merkle.root(map(merkle.leaf_hash, leaves)), ROOTS),
        timed(pymerkle_tree, ROOTS),
        timed(lambda: theirs.merkle_tree_hash(leaves), ROOTS),
    )
    say("inclusion proofs")
    indices = [rng.randrange(count) for _ in range(PROOFS)]
    levels = tree_levels(hashes)
    mine = each(lambda at: tree_path(levels, at), indices)
    pymerkles = each(lambda at: tree.prove_inclusion(at + 1), indices)
    bundles = each(lambda at: theirs.inclusion_proof(leaves, at), indices[:SLOW_PROOFS])
    yield row("inclusion proof made, tree in memory", mine, pymerkles, None)
    once = each(lambda at: merkle.inclusion_path(hashes, at), indices[:SLOW_PROOFS])
    yield row("inclusion proof made, from leaf hashes or data alone", once, None, bundles)
    yield _verified(leaves, hashes, root, tree, levels, indices)


def _verified(
    leaves: Sequence[bytes],
    hashes: Sequence[bytes],
    root: bytes,
    tree: Any,
    levels: list[list[bytes]],
    indices: Sequence[int],
) -> Sequence[str]:
    size = len(leaves)
    paths = {at: tree_path(levels, at) for at in indices}
    proofs = {at: tree.prove_inclusion(at + 1) for at in indices}
    at = indices[0]
    assert theirs.verify_inclusion(leaves[at], at, size, list(paths[at]), root)
    return row(
        "inclusion proof verified",
        each(
            lambda at: merkle.verify_inclusion(
                merkle.leaf_hash(leaves[at]), at, size, paths[at], root
            ),
            indices,
        ),
        each(lambda at: pymerkle_verify(hashes[at], root, proofs[at]), indices),
        each(
            lambda at: theirs.verify_inclusion(leaves[at], at, size, list(paths[at]), root), indices
        ),
    )


def bundle_seconds(count: int) -> float:
    """Return the seconds of verifying a proofbundle: one payload in a tree of SMALL_TREE leaves."""
    leaves = [random.randbytes(LEAF_BYTES) for _ in range(SMALL_TREE - 1)]
    bundle = emit_bundle(random.randbytes(LEAF_BYTES), generate_signer(), prior_leaves=leaves)
    assert verify_bundle(bundle).ok
    return each(lambda _: verify_bundle(bundle), range(count))


def our_seconds(folder: Path, count: int) -> tuple[float, float]:
    """Return the seconds of verifying our evidence of one record in a batch of SMALL_TREE.

    Once whole, and once no more than what a proofbundle holds: a signature and an inclusion.
    """
    place = found(folder)
    (client,) = place.admit("signed", 1)
    sender = Sender(place.settings.listen, client)
    try:
        with place.serving():
            (sent,) = send_at_once([sender], "P", SMALL_TREE, 1)
            url = evidence_url(place, sent.last, SMALL_TREE - 1)
            wait_until("evidence", lambda: get(url)[0] == 200)
            data = get(url)[1]
    finally:
        sender.stop()
    trust = place.settings.trust_path.read_bytes()
    assert verify(data, trust).proven
    whole = each(lambda _: verify(data, trust), range(count))
    return whole, each(lambda _: same_checks(data), range(count))


def same_checks(data: bytes) -> None:
    """Read our evidence and check the issuer's signature and the record's inclusion, nothing else."""
    evidence = parse_evidence(data)
    record, batch = evidence.records[0], evidence.batches[0]
    note = open_batch_note(batch.note, batch.key)
    leaf = parse_record(record.record).leaf_hash()
    merkle.verify_inclusion(leaf, record.index, note.size, record.path, note.root)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--leaves", type=int, default=LEAVES, help="leaves of the tree")
    options = parser.parse_args(argv)
    print(f"{machine()}\n")
    head = ("median ms", "ours", "pymerkle", "× ours", "proofbundle", "× ours")
    table(head, tree_rows(options.leaves))
    say("whole evidence")
    with workplace() as folder:
        (whole, same), bundle = our_seconds(folder, VERIFICATIONS), bundle_seconds(VERIFICATIONS)
    rows = (
        ("proofbundle `verify_bundle`", bundle, "signed by the key in the bundle; in the tree whose root is in the bundle"),
        ("ours, the same two checks", same, "signed by the key in the evidence; in the batch that it signed, from salted disclosures"),
        ("ours, `anchor.verify`", whole, "that, and: issuer registered on the chain, log, checkpoint, anchor, two contracts' state, block signed by trusted validators"),
    )  # fmt: skip
    table(
        (f"one item in a tree of {SMALL_TREE:,}, verified", "median ms", "× proofbundle", "proves"),
        ((name, ms(its), f"{its / bundle:.1f}", proves) for name, its, proves in rows),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
