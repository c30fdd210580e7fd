# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the verifier that is installed to every vector: `python check.py`, with nothing else but `moneo`.

Whoever packages Moneo, or has it from somewhere, can ask it. Exit status 1 and a line for each vector
that gets another verdict than it was kept with; else the number of those that were judged.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moneo import CodeError, TrustError, Verdict, replaces, verify

HERE = Path(__file__).parent


def outcome(verdict: Verdict) -> dict[str, Any]:
    """Return what an index says of a verdict."""
    if verdict.failure:
        return {"proven": False, "step": verdict.failure.step, "kind": verdict.failure.kind}
    records = [
        {
            "statement": one.statement,
            "level": one.level,
            "assurance": one.assurance,
            "when": one.when,
            "superseded": len(one.superseded_by),
        }
        for one in verdict.records
    ]
    notes = [[note.key, note.record] for note in verdict.notes]
    return {"proven": True, "assurance": verdict.assurance, "records": records, "notes": notes}


def index(name: str) -> list[dict[str, Any]]:
    """Return the rows of an index."""
    rows: list[dict[str, Any]] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return rows


def judged() -> Iterator[tuple[str, bool]]:
    """Yield each vector's name and whether it gets the verdict that it was kept with."""
    for folder in ("evidence", "network"):
        for row in index(f"{folder}/index.json"):
            yield row["name"], _evidence(HERE / folder, row)
    for row in index("trust/index.json"):
        yield row["name"], _pair(row) == row["replaces"]
    trust = (HERE / "network" / "trust-of-four.json").read_bytes()
    for row in index("codes.json"):
        yield repr(row["text"]), _code(row["text"], trust) == row["path"]


def _evidence(folder: Path, row: Mapping[str, Any]) -> bool:
    evidence, trust = (
        (folder / name).read_bytes() for name in (f"{row['name']}.json", row["trust"])
    )
    try:
        found = outcome(verify(evidence, trust, row["code"]))
    except TrustError:
        found = {"trust_refused": True}
    # What is refused has nothing else to say; of what is proven the index says it all.
    return found == {name: row.get(name) for name in found}


def _pair(row: Mapping[str, Any]) -> bool:
    pinned, fresh = ((HERE / "trust" / row[name]).read_bytes() for name in ("pinned", "fresh"))
    try:
        replaces(pinned, fresh)
    except TrustError:
        return False
    return True


def _code(text: str, trust: bytes) -> str | None:
    try:
        return verify(b"", trust, expect_code=text).expect_code
    except CodeError:
        return None


def main() -> int:
    """Judge all; return the exit status."""
    verdicts = list(judged())
    wrong = [name for name, is_right in verdicts if not is_right]
    said = [f"wrong: {name}" for name in wrong] or [f"{len(verdicts)} vectors"]
    sys.stdout.write("\n".join(said) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
