# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the vectors in `evidence/`, so that another verifier can be held to the same verdicts.

    python -m tests.vectors.make [FOLDER]

writes an evidence file for each valid case, attack and defect of `tests.support.attacks`, the trust
files they are judged by, and `index.json`: name, files, code asked for, and either the assurance
with which it is proven, or the step that fails and the kind of failure. Nothing in it is random: the
tests make them again and compare. A file that is among them stays, and its verdict with it.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.attacks import CASES, Case

FOLDER = Path(__file__).parent / "evidence"
# Files whose size is their point are made by the tests, not kept.
MAX_KEPT_BYTES = 64 << 10


def files() -> dict[str, bytes]:
    """Return all files of the folder by name."""
    cases = {name: make() for name, make in CASES.items()}
    kept = {name: case for name, case in cases.items() if len(case.evidence) <= MAX_KEPT_BYTES}
    evidence = {f"{name}.json": case.evidence for name, case in kept.items()}
    trust = {_trust_name(case): case.trust for case in kept.values()}
    return {**evidence, **trust, "index.json": _index(kept)}


def _trust_name(case: Case) -> str:
    return f"trust-{hashlib.sha256(case.trust).hexdigest()[:8]}.json"


def _index(cases: Mapping[str, Case]) -> bytes:
    rows = [
        {"name": name, "trust": _trust_name(case), **_outcome(case)} for name, case in cases.items()
    ]
    return (json.dumps(rows, indent=1) + "\n").encode()


def _outcome(case: Case) -> dict[str, object]:
    if case.step is None:
        return {"code": case.code, "proven": True, "assurance": case.assurance}
    return {"code": case.code, "proven": False, "step": case.step, "kind": case.kind}


def main(folder: Path = FOLDER) -> None:
    """Write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
