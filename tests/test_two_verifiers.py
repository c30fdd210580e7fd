# SPDX-License-Identifier: GPL-3.0-or-later
"""Two verifiers, written apart from one document, give one verdict on the same bytes, without exception.

One is `anchor.verify`, the other `api/web/src/verifier`, which runs in Node here as it does in a browser.
Each verdict is compared as a whole, but for what it says in free text. A difference is a vulnerability.
"""

import base64
import json
import random
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from anchor.errors import CodeError
from anchor.trust import TrustError
from anchor.verify import verify
from tests.support.labels import ELEMENTS, LINKS, PATHS
from tests.support.makeevidence import FOUNDED
from tests.support.questions import Mutator, Question, kept
from tests.support.stories import stories
from tests.support.tools import ROOT, missing

SEED = 20_261_125
SHORT, LONG, PARTS = 10_000, 1_000_000, 10
# In the short form most time goes to small files; the long one takes all that are kept.
SHORT_BYTES, LONG_BYTES = 9_500, 1 << 20
SHORT_STORIES, LONG_STORIES = 60, 4_000
TOGETHER = 500
# What may differ: sentences for people.
FREE = frozenset({"detail"})


def line(question: Question) -> bytes:
    """Return a question as the driver reads it."""
    files = {"evidence": question.evidence, "trust": question.trust}
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    return json.dumps({**encoded, "code": question.code, "now": question.now}).encode() + b"\n"


def ours(question: Question) -> Any:
    """Return what the Python verifier says."""
    try:
        verdict = verify(question.evidence, question.trust, question.code, question.now)
    except (TrustError, CodeError) as error:
        return {"error": type(error).__name__.replace("UnknownTrust", "TrustError")}
    return {"verdict": _without_free_text(json.loads(json.dumps(verdict.to_json())))}


def _without_free_text(value: Any) -> Any:
    if isinstance(value, dict) and "fields" in value:
        # What a business has written is compared as it stands, whatever its names are.
        rest = {name: one for name, one in value.items() if name != "fields"}
        return {**_without_free_text(rest), "fields": value["fields"]}
    if isinstance(value, dict):
        return {name: _without_free_text(one) for name, one in value.items() if name not in FREE}
    return [_without_free_text(one) for one in value] if isinstance(value, list) else value


def _shortly(said: Any) -> str:
    verdict = said.get("verdict", said)
    return json.dumps(verdict.get("failure") or {**verdict, "steps": []})[:1500]


@dataclass
class Other:
    """The other verifier, in one process of Node for all questions."""

    process: "subprocess.Popen[bytes]"
    found: Path
    compared: int = 0
    proven: int = 0

    def agrees(self, questions: Iterable[Question]) -> None:
        """Ask both; fail with the first difference. Both work at the same time, on so many at once."""
        waiting = iter(questions)
        while part := list(islice(waiting, TOGETHER)):
            assert self.process.stdin
            assert self.process.stdout
            thread = Thread(target=self._ask, args=(part,))
            thread.start()
            mine = [ours(one) for one in part]
            for question, said in zip(part, mine, strict=True):
                self._compare(question, said, json.loads(self.process.stdout.readline()))
            thread.join()

    def _ask(self, part: Sequence[Question]) -> None:
        assert self.process.stdin
        for one in part:
            self.process.stdin.write(line(one))
        self.process.stdin.flush()

    def _compare(self, question: Question, mine: Any, answer: Any) -> None:
        said = {"error": answer["error"]} if "error" in answer else _without_free_text(answer)
        if said != mine:
            self.found.write_bytes(line(question))
            both = [_shortly(one) for one in (mine, answer)]
            pytest.fail(f"the verifiers disagree, {both[0]} and {both[1]}: see {self.found}")
        self.compared += 1
        self.proven += bool(mine.get("verdict", {}).get("proven"))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    """Start the driver: one process for a test, so that a difference in one is none in another."""
    node, folder = shutil.which("node"), ROOT / "api" / "web"
    if not node or not (folder / "node_modules").is_dir():
        raise missing("the JavaScript verifier's packages are not there; get them by: scripts/web")
    command = [node, str(ROOT / "tests" / "js" / "judge.mjs"), str(folder / "src" / "verifier")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Other(process, tmp_path / "disagreement.json")
    finally:
        assert process.stdin
        assert process.stdout
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue


# The vectors -----------------------------------------------------------------------------------------


def test_both_verifiers_give_every_vector_the_same_verdict(other: Other) -> None:
    before = other.compared
    other.agrees(one for _, one in kept())
    small = [one for _, one in kept() if len(one.evidence) < SHORT_BYTES]
    other.agrees(
        replace(one, now=FOUNDED + (400 * 86_400, -10)[at % 2]) for at, one in enumerate(small)
    )
    assert other.compared - before > 600


def test_both_verifiers_read_the_same_code_from_every_label(other: Other) -> None:
    trust = dict(kept())["four-validators"].trust
    other.agrees(Question(b"", trust, text) for text in (*PATHS, *LINKS, *ELEMENTS))


# Mutations ----------------------------------------------------------------------------------------------


def test_both_verifiers_give_ten_thousand_mutations_the_same_verdict(other: Other) -> None:
    before = other.proven
    other.agrees(Mutator(SEED, SHORT_BYTES).questions(SHORT))
    # Some of them are still evidence: in another spelling, or without what nobody needs.
    assert other.proven - before > SHORT / 50


def test_both_verifiers_agree_whose_word_each_record_is(other: Other) -> None:
    before = other.proven
    chance = random.Random(SEED)
    other.agrees(_told(one) for _ in range(SHORT_STORIES) for one in stories(chance))
    assert other.proven - before > SHORT_STORIES


def _told(case: Any) -> Question:
    return Question(case.evidence, case.trust, case.code, FOUNDED + 86_400)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_both_verifiers_give_a_million_mutations_the_same_verdict(part: int, other: Other) -> None:
    mutator = Mutator(SEED + 1 + part, LONG_BYTES if part % 2 else 2 * SHORT_BYTES)
    other.agrees(mutator.questions(LONG // PARTS))
    chance = random.Random(SEED + 1 + part)
    other.agrees(_told(one) for _ in range(LONG_STORIES // PARTS) for one in stories(chance))
