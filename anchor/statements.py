# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells whose word a record is, so that a stranger's statement never passes for the maker's.

PROTOCOL §7.7. Given the code on the label, every record is matched to it and its statement gets a
class: `owner`, `party` or `third-party`. The rules, which docs/evidence.md explains:

- A record matches at `serial`, `lot`, `gtin` or `own`, the narrowest level of the expected code
  that one of its `code` lines names. It is `linked` if it shares a code with a transformation that
  matches, is of class owner or party, and doesn't show that code as an output; and so on from
  there, until nothing more matches.
- `owner`: a shown prefix of the issuer's registration begins the path of a code that the record
  was matched by. Paths are those of the expected code and those that a transformation shows as
  inputs (and commits to in its code lines).
- `party`: an owner's shipping record that shares a code with the record names its issuer.
- What is practice gives nothing to what is live, nor does what its issuer has superseded.

Only verified values come in here, so nothing here can fail.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from anchor.codes import Code, CodeError, from_digital_link, parse_path
from anchor.verdict import Level, Statement

TRANSFORMATION: Final = "epcis.transformationevent"
OBJECT_EVENT: Final = "epcis.objectevent"
PARTIES: Final = "moneo:parties"
# EPCIS 2.0 writes a business step as a bare word; CBV 2.0 knows these two longer forms of it too.
SHIPPING: Final = frozenset(
    {
        "shipping",
        "urn:epcglobal:cbv:bizstep:shipping",
        "https://ref.gs1.org/cbv/BizStep-shipping",
    }
)
INPUTS: Final = ("inputEPCList", "inputQuantityList")
# A record has 64 code lines at most; more strings than this can't all be of codes it commits to.
MAX_STRINGS: Final = 256
OUTPUTS: Final = ("outputEPCList", "outputQuantityList")


@dataclass(frozen=True)
class Spoken:
    """What is verified of one record, as far as its class depends on it."""

    type: str
    is_live: bool
    is_superseded: bool
    codes: frozenset[bytes]
    fields: Mapping[str, Any]
    issuer: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class Class:
    """How a record belongs to the expected code, and whose word it is."""

    level: Level
    statement: Statement


def classify(expected: Code, records: Sequence[Spoken]) -> list[Class | None]:
    """Return the class of each record, None for one that the expected code doesn't lead to.

    A record is looked at again only when something new is known of one of its codes, so that the
    work stays in proportion to the code lines, whatever the records say of each other. Classes only
    ever rise: the order in which records are looked at makes no difference.
    """
    known = _Known(expected)
    index: dict[_Fact, list[int]] = {}
    for at, one in enumerate(records):
        for fact in (fact for code in one.codes for fact in (code, (one.issuer, code))):
            index.setdefault(fact, []).append(at)
    classes: list[Class | None] = [None] * len(records)
    waiting = deque(range(len(records)))
    while waiting:
        at = waiting.popleft()
        its = known.class_of(records[at])
        if its is not None and its != classes[at]:
            classes[at] = its
            for fact in known.learn(records[at], its):
                waiting.extend(index.get(fact, ()))
    return classes


# Something newly known: of a code, or of an issuer as party to a code.
_Fact = bytes | tuple[str, bytes]


class _Known:
    """What the records matched so far have told: codes, their paths, and who is a party to them."""

    def __init__(self, expected: Code) -> None:
        self._levels: list[tuple[Level, bytes]] = [
            (level, code.hash()) for level, code in expected.levels()
        ]
        # By whether it holds for live records too: paths of codes; linked codes, and (issuer, code) of parties.
        paths = {code.hash(): code.path for _, code in expected.levels()}
        self._paths: dict[bool, dict[bytes, str]] = {True: paths, False: dict(paths)}
        self._facts: dict[bool, set[_Fact]] = {True: set(), False: set()}

    def class_of(self, one: Spoken) -> Class | None:
        """Return the class that follows from what is known."""
        facts = self._facts[one.is_live]
        direct = [(level, code) for level, code in self._levels if code in one.codes]
        linked = one.codes & facts
        if not direct and not linked:
            return None
        level: Level = direct[0][0] if direct else "linked"
        if any(self._owns(one, code) for code in linked.union(code for _, code in direct)):
            return Class(level, "owner")
        is_party = any((one.issuer, code) in facts for code in one.codes)
        return Class(level, "party" if is_party else "third-party")

    def _owns(self, one: Spoken, code: bytes) -> bool:
        paths = self._paths[one.is_live]
        return code in paths and paths[code].startswith(one.prefixes)

    def learn(self, one: Spoken, its: Class) -> set[_Fact]:
        """Take up what a record says of other codes and issuers; return what is new of it."""
        if its.statement == "third-party" or one.is_superseded:
            return set()
        told: set[_Fact] = set()
        inputs: dict[bytes, str] = {}
        if one.type == TRANSFORMATION:
            inputs = dict(_paths(one, INPUTS))
            told |= one.codes - dict(_paths(one, OUTPUTS)).keys()
        if its.statement == "owner" and one.type == OBJECT_EVENT and _is_shipping(one):
            named = set(_strings(one.fields.get(PARTIES)))
            told |= {(issuer, code) for issuer in named for code in one.codes}
        new: set[_Fact] = set()
        # A live record speaks to all; a practice record to practice alone.
        for mode in {one.is_live, False}:
            facts, paths = self._facts[mode], self._paths[mode]
            new |= (told - facts) | (inputs.keys() - paths.keys())
            facts.update(told)
            paths.update(inputs)
        return new


def _is_shipping(one: Spoken) -> bool:
    step = one.fields.get("bizStep")
    return isinstance(step, str) and step in SHIPPING


def _paths(one: Spoken, names: Sequence[str]) -> Iterator[tuple[bytes, str]]:
    """Yield hash and path of each code that shown fields name and a code line commits to."""
    for text in (text for name in names for text in _strings(one.fields.get(name))):
        try:
            code = parse_path(text) if text.startswith("/") else from_digital_link(text)
        except CodeError:
            continue
        for _, within in code.levels():
            if (digest := within.hash()) in one.codes:
                yield digest, within.path


def _strings(value: Any) -> Iterator[str]:
    """Yield the strings of a list, and the epcClass of its objects (EPCIS 2.0 QuantityElement)."""
    for item in value[:MAX_STRINGS] if isinstance(value, list) else ():
        text = item.get("epcClass") if isinstance(item, dict) else item
        if isinstance(text, str):
            yield text
