# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the vectors in this folder, so that another verifier can be held to the same verdicts.

    python -m tests.vectors.make [--all] [FOLDER]

writes `FOLDER/evidence/`: an evidence file for each case of `tests.support.cases`, the trust files
they are judged by, and `index.json`, a row for each:

    name, about     of the case, and what it is about where the name is not enough
    trust, code     the trust file to judge by, the code to ask for (null for none)
    proven          true, with `assurance`, `records` (each with its statement, level, assurance,
                    when, and how many supersede it, in the order of the file) and `notes`
                    (key and index of the record); `now` is not given
    step, kind      else: the step that fails, and as what
    trust_refused   else: it is the trust file that is refused, and there is no verdict

`FOLDER/trust/`, pairs of trust files of `tests.support.pairs` with an `index.json`:

    name, about     of the pair
    pinned, fresh   the one that is pinned, and the one that would take its place
    replaces        whether it may
    rule            else: the first rule of docs/evidence.md that it breaks; 0 if one of the two is
                    refused in itself

and `FOLDER/codes.json`, texts of `tests.support.labels` with the canonical path of each or null.

Nothing in it is random: the tests make them again and compare. A file that is among them stays, and
its verdict with it. Files whose size is their point are written with --all only.

`light-blocks.json`, beside it, holds light blocks of a real CometBFT network with their verdicts;
`tests.vectors.light` makes it. `network/` holds evidence and trust files as `moneo demo --validators 4`
made them, with an index of the same kind: its keys are gone, so that nobody can make them again.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from anchor.verify import verify
from tests.support import labels
from tests.support.cases import CASES, Case
from tests.support.pairs import PAIRS
from tests.vectors.check import outcome

HERE = Path(__file__).parent
FOLDER = HERE / "evidence"
# Twenty-two light blocks of 34 validators are as much as is kept.
MAX_KEPT_BYTES = 160 << 10


def files(*, every: bool = False) -> dict[str, bytes]:
    """Return all files by name within the folder; `every` for those too that are not kept."""
    cases = {name: make() for name, make in CASES.items()}
    kept = {name: case for name, case in cases.items() if every or is_kept(case)}
    evidence = {f"{name}.json": case.evidence for name, case in kept.items()}
    trust = {_trust_name(case.trust): case.trust for case in kept.values()}
    made = {**evidence, **trust, "index.json": _index(kept)}
    return {
        **{f"evidence/{name}": data for name, data in made.items()},
        **{f"trust/{name}": data for name, data in _pairs().items()},
        "codes.json": _lines(
            {"text": text, "path": labels.expected(text)}
            for text in (*labels.PATHS, *labels.LINKS, *labels.ELEMENTS)
        ),
    }


def _pairs() -> dict[str, bytes]:
    """Return the pairs of trust files and their index."""
    pairs = {name: make() for name, make in PAIRS.items()}
    trust = {_trust_name(data): data for one in pairs.values() for data in (one.pinned, one.fresh)}
    rows = (
        {
            "name": name,
            "about": " ".join((PAIRS[name].__doc__ or "").split()),
            "pinned": _trust_name(one.pinned),
            "fresh": _trust_name(one.fresh),
            "replaces": one.rule is None,
            "rule": one.rule,
        }
        for name, one in pairs.items()
    )
    return {**trust, "index.json": _lines(rows)}


def is_kept(case: Case) -> bool:
    """Whether a case's files are small enough to be kept."""
    return max(len(case.evidence), len(case.trust)) <= MAX_KEPT_BYTES


def _trust_name(data: bytes) -> str:
    return f"trust-{hashlib.sha256(data).hexdigest()[:8]}.json"


def _index(cases: Mapping[str, Case]) -> bytes:
    """Return the index: the verdicts' outlines are the cases', the rest is computed."""
    return _lines(
        {
            "name": name,
            "about": " ".join((CASES[name].__doc__ or "").split()),
            "trust": _trust_name(case.trust),
            "code": case.code,
            **_outcome(case),
        }
        for name, case in cases.items()
    )


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a JSON list, an item a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f"[\n{lines}\n]\n".encode()


def _outcome(case: Case) -> dict[str, Any]:
    if case.trust_refused:
        return {"trust_refused": True}
    if case.step is not None:
        return {"proven": False, "step": case.step, "kind": case.kind}
    return {
        **outcome(verify(case.evidence, case.trust, case.code)),
        "proven": True,
        "assurance": case.assurance,
    }


def main(*arguments: str) -> None:
    """Write the files."""
    folders = [Path(one) for one in arguments if one != "--all"]
    folder = folders[0] if folders else HERE
    for name, data in files(every="--all" in arguments).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
