# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verifier can be asked: every vector, and vectors that were changed in all ways that break one.

Drawn by a seed, so that a question which was answered wrongly once can be asked again.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tests.support.consensus_mutations import mutate_consensus, nudged, texts_of
from tests.support.labels import ELEMENTS, LINKS, PATHS
from tests.support.makeevidence import FOUNDED
from tests.support.mutations import draw, mutate, mutate_json, mutate_text
from tests.support.spellings import spelled
from tests.vectors.make import HERE

# So many in a row are judged by one trust file, which a verifier remembers as borne out.
ALIKE = 20


@dataclass(frozen=True)
class Question:
    """What a verifier is asked."""

    evidence: bytes
    trust: bytes
    code: str | None = None
    now: int | None = None


@cache
def kept() -> tuple[tuple[str, Question], ...]:
    """Return every vector as a question, by name."""
    found = []
    for folder in ("evidence", "network"):
        for row in json.loads((HERE / folder / "index.json").read_text()):
            evidence, trust = (
                (HERE / folder / name).read_bytes()
                for name in (f"{row['name']}.json", row["trust"])
            )
            found.append((row["name"], Question(evidence, trust, row["code"])))
    return tuple(found)


class Mutator:
    """Draws questions that are vectors but for something."""

    def __init__(self, seed: int, most_bytes: int) -> None:
        self._chance = random.Random(seed)
        small = [one for _, one in kept() if len(one.evidence) < most_bytes]
        self._vectors = [one for one in small if _value(one.evidence)]
        self._values = [_value(one.evidence) for one in self._vectors]
        self._labels = (*PATHS, *LINKS, *ELEMENTS)
        # How often each kind is drawn, of a hundred.
        kinds: tuple[tuple[int, Callable[[int], Question]], ...] = (
            (28, self._consensus),
            (18, self._json),
            (18, self._spelling),
            (14, self._inner),
            (8, self._bytes),
            (8, self._trust),
            (6, self._code),
        )
        self._kinds = [kind for many, kind in kinds for _ in range(many)]

    def questions(self, count: int) -> Iterator[Question]:
        """Yield so many."""
        alike: list[int] = []
        for number in range(count):
            if number % ALIKE == 0:
                trust = self._chance.choice(self._vectors).trust
                alike = [at for at, one in enumerate(self._vectors) if one.trust == trust]
            at = self._chance.choice(alike)
            question = self._chance.choice(self._kinds)(at)
            yield replace(question, now=self._chance.choice((None, None, FOUNDED, FOUNDED + 10**7)))

    def _other(self) -> Any:
        return self._values[self._chance.randrange(len(self._values))]

    def _changed(self, at: int, data: bytes) -> Question:
        return replace(self._vectors[at], evidence=data)

    def _consensus(self, at: int) -> Question:
        try:
            value = mutate_consensus(self._values[at], self._other(), self._chance)
        except (KeyError, TypeError, AttributeError, IndexError):
            # Of a vector that is itself not of the form: its own shape is changed instead.
            return self._json(at)
        return self._changed(at, json.dumps(value).encode())

    def _json(self, at: int) -> Question:
        value = mutate_json(self._values[at], draw(self._chance))
        return self._changed(at, _written(value))

    def _spelling(self, at: int) -> Question:
        return self._changed(at, spelled(self._values[at], self._chance))

    def _inner(self, at: int) -> Question:
        """Change a text that has a form of its own, or count a number up or down."""
        value = json.loads(json.dumps(self._values[at]))
        places = [(where, name) for where, name in texts_of(value) if isinstance(where, dict)]
        long = [
            (where, name)
            for where, name in places
            if name in ("record", "note", "proof", "registration")
        ]
        where, name = self._chance.choice(long if long and self._chance.random() < 0.8 else places)
        item = where[name]
        if isinstance(item, str) and self._chance.random() < 0.8:
            where[name] = mutate_text(item, draw(self._chance, 2), str(self._other()))
        elif isinstance(item, int | str):
            where[name] = nudged(item, self._chance)
        return self._changed(at, _written(value))

    def _bytes(self, at: int) -> Question:
        data = self._vectors[self._chance.randrange(len(self._vectors))].evidence
        return self._changed(at, mutate(self._vectors[at].evidence, draw(self._chance), data))

    def _trust(self, at: int) -> Question:
        """Change the trust file; the evidence stays."""
        question = self._vectors[at]
        value, kind = _value(question.trust), self._chance.random()
        if value is None or kind < 0.15:
            data = mutate(question.trust, draw(self._chance))
        elif kind < 0.4:
            data = spelled(value, self._chance)
        elif kind < 0.7:
            data = _written(mutate_json(value, draw(self._chance, 2)))
        else:
            where, name = self._chance.choice(list(texts_of(value)))
            where[name] = (
                nudged(where[name], self._chance) if isinstance(where[name], int | str) else 0
            )
            data = _written(value)
        return replace(question, trust=data)

    def _code(self, at: int) -> Question:
        text = self._chance.choice((*self._labels, self._vectors[at].code or ""))
        if self._chance.random() < 0.8:
            text = mutate_text(text, draw(self._chance, 2), self._chance.choice(self._labels))
        # Whoever asks has a text: half a surrogate pair can't be asked for in either language's files.
        text = text.encode("utf-8", "replace").decode()
        evidence = self._vectors[at].evidence if self._chance.random() < 0.3 else b""
        return replace(self._vectors[at], evidence=evidence, code=text)


@cache
def _value(data: bytes) -> Any:
    """Return a file's value if it is an object in JSON."""
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _written(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")
