# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks traceability evidence from its bytes alone: `from moneo import verify`.

    from moneo import verify

    verdict = verify(evidence, trust, expect_code="/01/09520001000034/10/HOP-01-1")
    if verdict.proven:
        for record in verdict.records:
            print(record.when, record.issuer_name, record.fields)
    print(verdict.text("en"))

`evidence` and `trust` are the bytes of two files; docs/evidence.md specifies both, and what each word of
a verdict means. `verify` reads no clock, disk or network. Whatever the evidence's bytes are it returns a
`Verdict`; it raises `TrustError` for a trust file that can't be believed and `CodeError` for an expected
code that is none, and nothing else. Both are a `FormatError`, which is a `ValueError`.

The trust file must never come with the evidence: pin one after comparing its `fingerprint` with paper
or with several members' pages, and let another take its place only if `replaces` says so.

These names need the base install only (`cryptography` and `pycryptodome`). What runs a province is in
the extras, and not for import: it has a command line.
"""

from collections.abc import Sequence

from anchor.errors import CodeError, FormatError
from anchor.trust import Member, TrustError, fingerprint, replaces
from anchor.verdict import Failure, Note, ProvenRecord, Step, Verdict
from anchor.verify import verify

__all__ = [
    "CodeError",
    "Failure",
    "FormatError",
    "Member",
    "Note",
    "ProvenRecord",
    "Step",
    "TrustError",
    "Verdict",
    "fingerprint",
    "main",
    "replaces",
    "verify",
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of `moneo` (those of this process if None) and return its exit status."""
    # What the command line needs is loaded for it alone.
    from front.commands import main as run

    return run(argv)


if __name__ == "__main__":
    raise SystemExit(main())
