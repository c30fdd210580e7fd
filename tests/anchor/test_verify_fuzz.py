# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the bytes: a verdict or the verifier's own error, in both languages, with bounded work.

Work is counted, not timed: signatures are what costs.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchor.errors import CodeError
from anchor.evidence import MAX_EVIDENCE_BYTES, MAX_SIGNATURES
from anchor.trust import TrustError
from anchor.verdict import STEPS, Verdict
from anchor.verify import verify
from node.light import ed25519
from tests.support.mutations import BOUNDS, Change, mutate, mutate_json
from tests.support.questions import Mutator, Question, kept

SEED = 20_261_126
SHORT, LONG, PARTS = 2_000, 1_000_000, 10
SHORT_BYTES = 9_500
VICTIMS = {
    name: one
    for name, one in kept()
    if name in ("four-validators", "journey-across-eras-of-four", "diary-with-others-words")
}

changes = st.lists(st.builds(Change, *(st.integers(0, most) for most in BOUNDS)), max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
quietly = settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)


def judged(question: Question) -> Verdict | None:
    """Return the verdict, None if trust file or code are refused; anything else is a fault."""
    try:
        verdict = verify(question.evidence, question.trust, question.code, question.now)
    except (TrustError, CodeError) as error:
        assert str(error)
        return None
    assert verdict.proven == (verdict.failure is None) == bool(verdict.records)
    assert [step.number for step in verdict.steps] == list(range(len(STEPS)))
    assert json.loads(json.dumps(verdict.to_json()))["proven"] == verdict.proven
    for text in (verdict.text("vi"), verdict.text("en")):
        assert all(character == "\n" or character.isprintable() for character in text)
    return verdict


@quietly
@given(st.sampled_from(sorted(VICTIMS)), changes, st.binary(max_size=60))
def test_bytes_that_were_changed_get_a_verdict(name: str, how: list[Change], other: bytes) -> None:
    victim = VICTIMS[name]
    judged(Question(mutate(victim.evidence, how, other), victim.trust, victim.code, 0))


@quietly
@given(st.sampled_from(sorted(VICTIMS)), changes)
def test_values_that_were_changed_get_a_verdict(name: str, how: list[Change]) -> None:
    victim = VICTIMS[name]
    data = json.dumps(mutate_json(json.loads(victim.evidence), how))
    judged(Question(data.encode("utf-8", "surrogatepass"), victim.trust, victim.code, 0))


@quietly
@given(
    st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.text(max_size=60)
)
def test_bytes_and_codes_from_anywhere_get_a_verdict(data: bytes, code: str) -> None:
    trust = VICTIMS["four-validators"].trust
    assert judged(Question(data, trust)) is not None
    judged(Question(data, data, code))
    judged(Question(data, trust, code))


def test_mutated_vectors_get_a_verdict() -> None:
    found = Counter(map(_kind, Mutator(SEED, SHORT_BYTES).questions(SHORT)))
    # The mutations reach every step, or they would say little.
    assert {step for step, _ in found} >= {None, *range(8)}


def _kind(question: Question) -> tuple[int | None, str]:
    verdict = judged(question)
    failure = verdict.failure if verdict else None
    return (failure.step, failure.kind) if failure else (None, "")


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_a_million_mutated_vectors_get_a_verdict(part: int) -> None:
    for question in Mutator(SEED + 1 + part, MAX_EVIDENCE_BYTES).questions(LONG // PARTS):
        judged(question)


# Work ----------------------------------------------------------------------------------------------------


def test_no_file_costs_more_signatures_than_the_limit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Counter[str]()

    def counted(*arguments: bytes) -> None:
        asked["signatures"] += 1
        check(*arguments)

    check = ed25519.verify
    monkeypatch.setattr(ed25519, "verify", counted)
    most = 0
    for question in (*(one for _, one in kept()), *Mutator(SEED, 40_000).questions(300)):
        with contextlib.suppress(TrustError):
            # What the trust file costs is spent once for all evidence that is judged by it.
            verify(b"", question.trust)
            asked.clear()
            judged(question)
            most = max(most, asked["signatures"])
    # Every signature is looked at once: the vector at the limit has three batches under one checkpoint.
    assert most == MAX_SIGNATURES - 2


@pytest.mark.parametrize("size", [MAX_EVIDENCE_BYTES + 1, 64 << 20])
def test_what_is_too_long_is_not_looked_at(size: int) -> None:
    class Watched(bytes):
        """Bytes that nobody may decode."""

        def decode(self, *_: Any, **__: Any) -> str:
            raise AssertionError

    verdict = verify(Watched(size), VICTIMS["four-validators"].trust)
    assert verdict.failure
    assert (verdict.failure.step, verdict.failure.kind) == (0, "too-large")


def _nested() -> Iterator[bytes]:
    for opening in (b"[", b'{"a":', b'[{"a":', b'["",'):
        yield opening * (MAX_EVIDENCE_BYTES // len(opening))
        yield b'{"format":"moneo/evidence/v1","records":' + opening * (MAX_EVIDENCE_BYTES // 8)


@pytest.mark.parametrize("data", list(_nested()), ids=range(8))
def test_depth_is_refused_before_a_parser_meets_it(data: bytes) -> None:
    verdict = verify(data[:MAX_EVIDENCE_BYTES], VICTIMS["four-validators"].trust)
    assert verdict.failure
    assert (verdict.failure.step, verdict.failure.kind) == (0, "malformed")
