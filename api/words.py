# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the language of an answer (RFC 9110 §12.5.4): Vietnamese, unless English is preferred.

The wordings themselves stand in tables beside what they speak of, as `Wording(vi, en)`.
"""

from typing import Literal, NamedTuple

Language = Literal["vi", "en"]
MAX_ACCEPT_LENGTH = 500


class Wording(NamedTuple):
    """One text in both languages; index it with a Language through `pick`."""

    vi: str
    en: str

    def pick(self, language: Language) -> str:
        """Return the text in `language`."""
        return self.en if language == "en" else self.vi


def choose(accept_language: str, asked: str = "") -> Language:
    """Return the language for a request.

    Args:
        accept_language: the header's value, or "".
        asked: an explicit wish from the query string; anything but "vi" and "en" is ignored.
    """
    if asked in ("vi", "en"):
        return "en" if asked == "en" else "vi"
    weights = preferences(accept_language)
    return "en" if weights.get("en", 0.0) > weights.get("vi", weights.get("*", 0.0)) else "vi"


def preferences(header: str) -> dict[str, float]:
    """Return what an Accept or Accept-Language header prefers: primary value → highest weight, 0 to 1.

    Languages are reduced to their primary subtag (`en-GB` → `en`). Malformed parts count as not sent.
    """
    weights: dict[str, float] = {}
    for part in header[:MAX_ACCEPT_LENGTH].split(","):
        value, *parameters = (piece.strip() for piece in part.lower().split(";"))
        weight = _weight(parameters)
        key = value if "/" in value else value.partition("-")[0]
        if key and weight is not None:
            weights[key] = max(weight, weights.get(key, 0.0))
    return weights


def _weight(parameters: list[str]) -> float | None:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                weight = float(parameter[2:])
            except ValueError:
                return None
            return weight if 0.0 <= weight <= 1.0 else None
    return 1.0
