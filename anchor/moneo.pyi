# SPDX-License-Identifier: GPL-3.0-or-later
"""What `moneo` says to a type checker: a module that is one file can't say itself that it is typed (PEP 561)."""

from collections.abc import Sequence

from anchor.errors import CodeError as CodeError
from anchor.errors import FormatError as FormatError
from anchor.trust import Member as Member
from anchor.trust import TrustError as TrustError
from anchor.trust import fingerprint as fingerprint
from anchor.trust import replaces as replaces
from anchor.verdict import Failure as Failure
from anchor.verdict import Note as Note
from anchor.verdict import ProvenRecord as ProvenRecord
from anchor.verdict import Step as Step
from anchor.verdict import Verdict as Verdict
from anchor.verify import verify as verify

def main(argv: Sequence[str] | None = None) -> int: ...
