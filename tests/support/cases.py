# SPDX-License-Identifier: GPL-3.0-or-later
"""All cases of evidence by name: what must verify, and what must fail, at which step and as what."""

from tests.support import attacks_consensus, attacks_trust, shapes
from tests.support.attacks import CASES, Case

__all__ = ["CASES", "Case", "attacks_consensus", "attacks_trust", "shapes"]
