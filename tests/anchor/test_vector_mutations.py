# SPDX-License-Identifier: GPL-3.0-or-later
"""No mutation of a vector is believed, unless all that it shows was truly said by those who signed it.

What is accepted is explained: every light block and era is one that validators have signed, with
votes that they gave, every batch and anchor is one of the vectors', and every record proven is one
of those that they prove, at the same time. Such files differ from a vector in spelling, in what is
left out, in an order that means nothing, or by pieces of another vector of the same chain.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from anchor.checkpoint import parse_tlog_proof
from anchor.evidence import Evidence, EvidenceAnchor, EvidenceBatch, EvidenceError, parse_evidence
from anchor.verdict import Verdict
from anchor.verify import verify
from node.light import LightBlock
from tests.support.attacks import Case
from tests.support.consensus_mutations import blocks_of, consensus_places, mutate_consensus, nudged
from tests.support.mutations import draw, mutate, mutate_json
from tests.vectors.make import FOLDER

SHORT, LONG = 500, 100_000
PLACES = 40
MOST_BYTES = 40_000
SEED = 20_261_123
# Every text and number of these files' light blocks, eras and finality is changed in its turn.
VICTIMS = (
    "four-validators",
    "eras-in-the-evidence-of-four",
    "eras-in-both-files-of-four",
    "eras-below-the-trusted-light-block-of-four",
    "ancestry-across-three-eras-of-four",
    "past-era-in-the-middle-of-four",
    "journey-across-eras-of-four",
)


@cache
def kept() -> dict[str, Case]:
    """Return the vectors that are proven, of those small enough to be proven often."""
    found = {}
    for row in json.loads((FOLDER / "index.json").read_text()):
        evidence = (FOLDER / f"{row['name']}.json").read_bytes()
        if row.get("proven") and len(evidence) < MOST_BYTES:
            trust = (FOLDER / row["trust"]).read_bytes()
            found[row["name"]] = Case(evidence, trust, row["code"])
    return found


@dataclass
class Said:
    """What signers have truly said: everything in the vectors that are proven."""

    votes: set[Any] = field(default_factory=set)
    batches: set[Any] = field(default_factory=set)
    anchors: set[Any] = field(default_factory=set)
    records: set[Any] = field(default_factory=set)

    def add(self, case: Case) -> None:
        """Take up a proven vector."""
        evidence = parse_evidence(case.evidence)
        self.votes |= {vote for block in blocks(evidence) for vote in votes_of(block)}
        self.batches |= set(map(batch_of, evidence.batches))
        self.anchors |= set(map(anchor_of, evidence.anchors))
        self.records |= set(records_of(verify(case.evidence, case.trust, case.code)))

    def explain(self, evidence: Evidence, verdict: Verdict) -> None:
        """Fail unless a file that is believed shows nothing else."""
        for block in blocks(evidence):
            assert set(votes_of(block)) <= self.votes
        assert set(map(batch_of, evidence.batches)) <= self.batches
        assert set(map(anchor_of, evidence.anchors)) <= self.anchors
        assert set(records_of(verdict)) <= self.records


def blocks(evidence: Evidence) -> tuple[LightBlock, ...]:
    """Return light blocks and eras."""
    return (*evidence.light_blocks, *evidence.eras)


def votes_of(block: LightBlock) -> Iterator[Any]:
    """Yield each vote with all that it was given for."""
    for vote in block.votes:
        yield block.header, block.round, block.block_id, block.validators, vote


def batch_of(batch: EvidenceBatch) -> Any:
    """Return a batch without its place in the file and without witnesses' lines, which nobody reads."""
    proof = parse_tlog_proof(batch.proof)
    lines = proof.checkpoint.split(b"\n")
    origin = lines[0]
    own = tuple(line for line in lines if line.startswith("— ".encode() + origin + b" "))
    return batch.note, batch.key, batch.issuer, proof.index, proof.path, *lines[:4], own


def anchor_of(anchor: EvidenceAnchor) -> Any:
    """Return an anchor without its finality, its nodes in no order."""
    return anchor.log_key, anchor.head, anchor.header, frozenset(anchor.nodes)


def records_of(verdict: Verdict) -> Iterator[Any]:
    """Yield what is proven of each record, whose order and company change nothing of it."""
    for one in verdict.records:
        yield one.id, one.leaf, one.when, one.issuer, one.custody, one.log, repr(one.fields)


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return kept()


@pytest.fixture(scope="module")
def said(cases: dict[str, Case]) -> Said:
    found = Said()
    for case in cases.values():
        found.add(case)
    return found


def judge(data: bytes, case: Case, said: Said) -> bool:
    """Verify a mutation; return whether it is believed, which is explained then."""
    verdict = verify(data, case.trust, case.code)
    if verdict.proven:
        said.explain(parse_evidence(data), verdict)
    return verdict.proven


def is_the_same(data: bytes, case: Case) -> bool:
    """Whether this is the same evidence in another spelling."""
    try:
        return parse_evidence(data) == parse_evidence(case.evidence)
    except EvidenceError:
        return False


def believed(cases: dict[str, Case], said: Said, rounds: int, seed: int) -> int:
    """Mutate the vectors so many times; return how often a mutation was believed."""
    chance = random.Random(seed)
    names = sorted(cases)
    values = {name: json.loads(cases[name].evidence) for name in names}
    count = 0
    for _ in range(rounds):
        case, value = cases[name := chance.choice(names)], values[name]
        other = values[chance.choice(names)]
        kind = chance.random()
        if kind < 0.7:
            data = json.dumps(mutate_consensus(value, other, chance)).encode()
        elif kind < 0.9:
            data = json.dumps(mutate_json(value, draw(chance))).encode("utf-8", "surrogatepass")
        else:
            data = mutate(case.evidence, draw(chance), json.dumps(other).encode())
        count += judge(data, case, said)
    return count


def test_mutated_vectors_are_refused_or_show_only_what_was_said(
    cases: dict[str, Case], said: Said
) -> None:
    # Some are believed (an era left out that trust knows, nodes in another order), most are not.
    assert 0 < believed(cases, said, SHORT, SEED) < SHORT / 4


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_mutated_vectors_too(
    part: int, cases: dict[str, Case], said: Said
) -> None:
    rounds = LONG // 10
    assert 0 < believed(cases, said, rounds, SEED + part) < rounds / 4


@pytest.mark.parametrize("name", VICTIMS)
def test_no_word_of_validators_can_be_changed(name: str, request: pytest.FixtureRequest) -> None:
    """Some texts and numbers in the short form, each at many characters in the long one."""
    case = kept()[name]
    value = json.loads(case.evidence)
    chance = random.Random(name)
    is_long = request.config.getoption("--long")
    places = consensus_places(value)
    for container, key in places if is_long else chance.sample(places, min(PLACES, len(places))):
        before = container[key]
        tries = 4 * len(str(before)) if is_long else 1
        for _ in range(tries):
            container[key] = nudged(before, chance)
            data = json.dumps(value).encode()
            if container[key] != before:
                verdict = verify(data, case.trust, case.code)
                assert not verdict.proven or is_the_same(data, case), (key, container[key])
        container[key] = before


def test_a_time_may_be_spelled_with_zeros_at_its_end() -> None:
    """RFC 3339 allows it, and what is signed is the moment: the one second spelling in a light block."""
    case = kept()["four-validators"]
    value = json.loads(case.evidence)
    vote = value["light_blocks"][0]["votes"][0]
    vote[1] = vote[1].replace("Z", ".0Z" if "." not in vote[1] else "0Z")
    data = json.dumps(value).encode()
    assert verify(data, case.trust, case.code).proven
    assert is_the_same(data, case)


def test_an_era_that_trust_knows_may_be_left_out() -> None:
    case = kept()["eras-in-both-files-of-four"]
    value = json.loads(case.evidence)
    while value["eras"]:
        value["eras"].pop(0)
        verdict = verify(json.dumps(value).encode(), case.trust, case.code)
        assert verdict.assurance == "consortium"


@pytest.mark.parametrize(
    "name", ["eras-in-the-evidence-of-four", "eras-in-the-evidence-of-thirty-four"]
)
def test_eras_stand_in_one_order_and_none_is_missing(name: str) -> None:
    case = kept()[name]
    value = json.loads(case.evidence)
    eras = value["eras"]
    for order in ([0, 2, 1], [1, 0, 2], [2, 1, 0], [0, 1], [1, 2], [0, 2], [0], [1], [2], []):
        value["eras"] = [eras[at] for at in order]
        verdict = verify(json.dumps(value).encode(), case.trust, case.code)
        assert verdict.failure
        assert (verdict.failure.step, verdict.failure.kind) == (6, "untrusted")


def test_blocks_of_are_all_that_validators_sign() -> None:
    value = json.loads(kept()["eras-in-the-evidence-of-four"].evidence)
    assert len(blocks_of(value)) == 4
