# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the worst that a file can do to the verifier: at its limits, and filled with what is cheap to write.

`python -m bench.worst` prints the processor's time for each, the least of a few runs, so that what else
the machine does counts little.
"""

import base64
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from anchor.evidence import MAX_EVIDENCE_BYTES, encode_evidence
from anchor.verify import verify
from bench.support import arguments, machine
from tests.support.cases import CASES
from tests.support.makeevidence import journey
from tests.support.questions import Question

ROUNDS: Final = 3


def proven() -> Iterator[tuple[str, Question]]:
    """Yield evidence that is proven, up to its limits."""
    for about, name in (
        ("one record, four validators", "four-validators"),
        ("512 signatures of 34 validators", "signatures-up-to-the-limit"),
        ("31 changes of validators", "eras-up-to-the-limit"),
        ("1,000 records", "as-many-records-as-there-may-be"),
    ):
        case = CASES[name]()
        yield about, Question(case.evidence, case.trust, case.code)
    made = journey(100, (1,) * 4)
    yield (
        "a journey of 100 records, four validators",
        Question(encode_evidence(made.evidence), made.trust),
    )


def refused() -> Iterator[tuple[str, Question]]:
    """Yield files of up to a mebibyte that are made to cost as much as they can."""
    case = CASES["four-validators"]()
    whole = json.loads(case.evidence)
    block, anchor, record = (whole[name][0] for name in ("light_blocks", "anchors", "records"))
    names = [f'["AAAAAAAAAAAAAAAAAAAAAA","{n:03d}",1]' for n in range(250)]
    shown = "".join(
        base64.urlsafe_b64encode(one.encode()).decode().rstrip("=") + "~" for one in names
    )
    filled: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("21,500 disclosures", lambda: {**whole, "records": [{**record, "record": f"moneo/record/v1\ntype x\nmode live\n~{shown}\n", "index": n} for n in range(86)]}),
        ("128,000 trie nodes", lambda: {**whole, "anchors": [{**anchor, "nodes": ["AA=="] * 1024}] * 125}),
        ("15,000 validators", lambda: {**whole, "eras": [{**block, "validators": [["A" * 43 + "=", 1]] * 512}] * 29}),
        ("8,600 votes", lambda: {**whole, "eras": [{**block, "votes": [block["votes"][0]] * 300}] * 28}),
        ("349,000 empty lists", lambda: [[]] * 349_000),
        ("524,000 numbers", lambda: [1] * 524_000),
        ("90,000 names", lambda: {f"{n:05x}": 0 for n in range(90_000)}),
    )  # fmt: skip
    for about, make in filled:
        data = json.dumps(make(), separators=(",", ":")).encode()
        yield about, Question(data[:MAX_EVIDENCE_BYTES], case.trust, case.code)
    yield "brackets alone", Question(b"[" * MAX_EVIDENCE_BYTES, case.trust)
    yield "64 MiB", Question(bytes(64 << 20), case.trust)


def milliseconds(question: Question) -> float:
    """Return the least time of a few runs; the trust file is remembered, as it is for many files."""
    taken = []
    for _ in range(ROUNDS + 1):
        began = time.process_time()
        verify(question.evidence, question.trust, question.code)
        taken.append(1000 * (time.process_time() - began))
    return min(taken[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    arguments(__doc__).parse_args(argv)
    print(f"{machine()}\n\n| file | bytes | ms | |\n|---|---:|---:|---|")
    for is_proven, found in ((True, proven()), (False, refused())):
        for about, question in found:
            said = "proven" if is_proven else "refused"
            print(
                f"| {about} | {len(question.evidence):,} | {milliseconds(question):.1f} | {said} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
