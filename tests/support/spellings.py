# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a JSON value as somebody else might: other white space, order, escapes; now and then not as JSON at all.

Two parsers that are not equally strict part here: over `1.0`, `-0`, a name twice, half a surrogate pair.
"""

import json
import random
from collections.abc import Sequence
from typing import Any

SPACE: Sequence[str] = ("", "", "", "", " ", "\n", "\t", "\r", "  ")
# What is no white space of JSON.
ODD_SPACE: Sequence[str] = ("\x0b", "\x0c", "\u00a0", "\ufeff", "\u2028", "/**/", ",", "\0")
ODD_CHARACTERS: Sequence[str] = (
    "\\ud800", "\\udc00", "\\ud800\\ud800", "\\udfff\\ud800", "\\ufffe", "\\ufdd0", "\\ud83f\\udffe", "\ufffe", "\U0001ffff", "\ufdd0", "\x1f", "\t",
    "\\x41", "\\u41", "\\u+041", "\\U00000041", "\\'", "\\\n", "\\a", "\\", '"', "\\u0000", "\x7f", "\\ud83e\\udd80", "\u00e9", "e\u0301", "\\u00E9",
)  # fmt: skip
ODD_NUMBERS: Sequence[str] = (
    "{0}.0", "{0}e0", "{0}E+0", "{0}.", "0{0}", "+{0}", "-{0}", "-0", "-0.0", "0.0", "1e400", "-1e400", "1e-400", "9007199254740991", "9007199254740992", "9007199254740991.4", "9007199254740991.6",
    "0x{0}", "{0}n", "NaN", "Infinity", "{0}_0", "{0}e", ".5", "18446744073709551616", "9" * 400, "true", '"{0}"', "null", "0." + "0" * 400 + "1", "{0}.00000000000000000000001",
)  # fmt: skip
ODD_WORDS: Sequence[str] = ("True", "None", "nul", "undefined", "nullx", "TRUE")


class Spelling:
    """One way to write a value; `odd` of its tokens, about, are written as they may not be."""

    def __init__(self, chance: random.Random, value: Any, odd: float) -> None:
        self._chance = chance
        self._rate = odd / max(1, _tokens(value))
        self._value = value

    def write(self) -> bytes:
        """Return the text as UTF-8."""
        text = f"{self._space()}{self._any(self._value)}{self._space()}"
        text = self._chance.choice(("\ufeff", "")) + text if self._is_odd() else text
        return text.encode("utf-8", "surrogatepass")

    def _is_odd(self) -> bool:
        return self._chance.random() < self._rate

    def _space(self) -> str:
        return self._chance.choice(ODD_SPACE if self._is_odd() else SPACE)

    def _any(self, value: Any) -> str:
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return self._list([self._any(one) for one in value], "[]")
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, bool) or value is None:
            return self._chance.choice(ODD_WORDS) if self._is_odd() else json.dumps(value)
        text = json.dumps(value)
        return self._chance.choice(ODD_NUMBERS).replace("{0}", text) if self._is_odd() else text

    def _object(self, value: dict[str, Any]) -> str:
        members = list(value.items())
        if self._chance.random() < 0.3:
            self._chance.shuffle(members)
        if members and self._is_odd():
            members.insert(self._chance.randrange(len(members) + 1), self._chance.choice(members))
        return self._list([f"{self._string(n)}{self._space()}:{self._space()}{self._any(v)}" for n, v in members], "{}")  # fmt: skip

    def _list(self, items: list[str], ends: str) -> str:
        comma = f"{self._space()},{self._space()}"
        inside = comma.join(items) + (self._chance.choice((",", ",,")) if self._is_odd() else "")
        return f"{ends[0]}{self._space()}{inside}{self._space()}{ends[1]}"

    def _string(self, value: str) -> str:
        if self._chance.random() < 0.9 and self._rate == 0:
            return json.dumps(value, ensure_ascii=False)
        text = json.dumps(value, ensure_ascii=self._chance.random() < 0.5)[1:-1]
        if self._chance.random() < 0.2 and text.isalnum():
            at = self._chance.randrange(len(text))
            escape = f"\\u{ord(text[at]):04x}"
            text = (
                text[:at] + self._chance.choice((escape, escape.replace("a", "A"))) + text[at + 1 :]
            )
        if self._is_odd():
            at = self._chance.randrange(len(text) + 1)
            text = text[:at] + self._chance.choice(ODD_CHARACTERS) + text[at:]
        return f'"{text}"'


def spelled(value: Any, chance: random.Random) -> bytes:
    """Return the value in some spelling, in half of the cases with something in it that is none."""
    return Spelling(chance, value, chance.choice((0, 0, 1, 3))).write()


def _tokens(value: Any) -> int:
    if isinstance(value, dict):
        return 4 + sum(3 + _tokens(one) for one in value.values())
    return 4 + sum(2 + _tokens(one) for one in value) if isinstance(value, list) else 1
