# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/evidence.md says of light blocks and eras is enough: a second verifier agrees on every vector.

`tests.support.second_opinion` is that verifier, of step 6 and of how light blocks are read. Where the
first one fails before step 6 the two have nothing to compare.
"""

import json
import random
from typing import Any

import pytest

from anchor.verdict import ASSURANCES, Verdict
from anchor.verify import verify
from node.light import SignatureError, check_public_key
from tests.support import edwards, second_opinion
from tests.support.consensus_mutations import mutate_consensus
from tests.support.second_opinion import Refused, opinion
from tests.vectors.make import FOLDER, HERE

SEED = 20_261_124
SHORT, LONG = 250, 20_000
# Signatures of 34 validators in plain Python take their time.
SHORT_BYTES = 10_000
LIGHT_BLOCK = "light_blocks["

INDEX: list[dict[str, Any]] = [
    row for row in json.loads((FOLDER / "index.json").read_text()) if "trust_refused" not in row
]


def files_of(row: dict[str, Any]) -> tuple[bytes, bytes, str | None]:
    """Return evidence, trust file and code of a vector."""
    evidence = (FOLDER / f"{row['name']}.json").read_bytes()
    return evidence, (FOLDER / row["trust"]).read_bytes(), row["code"]


def agree(evidence: bytes, trust: bytes, code: str | None) -> bool:
    """Hold the two verifiers to one verdict; return whether there was anything to compare."""
    first = verify(evidence, trust, code)
    failure = first.failure
    if failure and failure.step < 6 and not failure.detail.startswith(LIGHT_BLOCK):
        return False
    try:
        second = opinion(evidence, trust).light_blocks
    except Refused as refused:
        assert failure is not None, refused
        assert (failure.step in {0, 6}, failure.kind) == (True, str(refused)), failure
        return True
    assert failure is None or failure.step > 6, failure
    if first.proven:
        compare(first, second)
    return True


def compare(first: Verdict, second: tuple[tuple[str, int], ...]) -> None:
    """Hold assurance and "when" to each other."""
    assert first.assurance == min((one for one, _ in second), key=ASSURANCES.index)
    assert {(one.assurance, one.when) for one in first.records} == set(second)


def test_both_verifiers_agree_on_every_vector(request: pytest.FixtureRequest) -> None:
    is_long = request.config.getoption("--long")
    compared = 0
    for row in INDEX:
        files = files_of(row)
        if is_long or len(files[0]) < SHORT_BYTES:
            compared += agree(*files)
    assert compared > 150


def test_both_verifiers_agree_on_evidence_of_a_real_network() -> None:
    folder = HERE / "network"
    rows = json.loads((folder / "index.json").read_text())
    for row in rows:
        evidence = (folder / f"{row['name']}.json").read_bytes()
        assert agree(evidence, (folder / row["trust"]).read_bytes(), row["code"])
    assert len(rows) == 6


def test_both_verifiers_agree_on_mutated_vectors(request: pytest.FixtureRequest) -> None:
    rounds = LONG if request.config.getoption("--long") else SHORT
    rows = [row for row in INDEX if row["name"].endswith("-of-four") and row["proven"]]
    made = [files_of(row) for row in rows]
    values = [json.loads(evidence) for evidence, _, _ in made]
    chance = random.Random(SEED)
    compared = 0
    for _ in range(rounds):
        at, other = chance.randrange(len(made)), chance.choice(values)
        value = mutate_consensus(values[at], other, chance)
        compared += agree(json.dumps(value).encode(), *made[at][1:])
    assert compared > rounds / 4


def test_both_verifiers_know_the_same_points_of_small_order() -> None:
    for point in edwards.TORSION:
        encoded = edwards.encode(point)
        assert not second_opinion.is_allowed(encoded)
        with pytest.raises(SignatureError):
            check_public_key(encoded)
    assert second_opinion.is_allowed(edwards.encode(edwards.BASE))
