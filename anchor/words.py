# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks the language a person reads: Vietnamese unless they ask for English."""

import os
from typing import Literal

Language = Literal["vi", "en"]


def language(environ: dict[str, str] | None = None) -> Language:
    """Return "en" when MONEO_LANG begins with it, else "vi": the users' own language comes first."""
    wanted = (os.environ if environ is None else environ).get("MONEO_LANG", "")
    return "en" if wanted.lower().startswith("en") else "vi"


def pick(vi: str, en: str) -> str:
    """Return the one of two wordings that the person at this terminal reads."""
    return en if language() == "en" else vi
