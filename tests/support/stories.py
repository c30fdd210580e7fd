# SPDX-License-Identifier: GPL-3.0-or-later
"""Journeys as chance has them: whose word a record is depends on so much that no list of cases holds it all.

Everything is signed and anchored as it should be, and proven; what differs is what the records say: of
which codes, as what event, with which inputs, outputs, parties, prefixes, times and odd values.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from anchor.evidence import encode_evidence
from anchor.record import Record
from tests.support.attacks import Case
from tests.support.makeevidence import FOUNDED, Province, record

G1, G2, G3 = "/01/09521234000013", "/01/09521234000020", "/01/09529999000019"
CODES: Sequence[str] = (
    G1, f"{G1}/10/A", f"{G1}/10/A/21/1", f"{G1}/21/1", f"{G1}/10/B", G2, f"{G2}/10/P", f"{G2}/10/a%2Fb", G3, f"{G3}/10/Z", "/c/ao/1", "/c/ao/2",
)  # fmt: skip
NAMES: Sequence[Any] = (
    *CODES, *CODES, *(f"https://id.gs1.org{code}" for code in CODES), f"HTTPS://h/stem{G2}/10/P?x=1#y", f"http://h{G2}/10/P/", "https://h/c/ao/1", f"{G2}/10/a%2fb", f"{G2}/10/%50", f"(01){G2[4:]}(10)P",
    f"https://h/01/{G2[4:]}5{G2}", f"https://h\\{G2}", f" {G2}", f"{G2[:-1]}1", "urn:epc:id:sgtin:1", "", "/", 5, None, [], {}, True,
)  # fmt: skip
PREFIXES: Sequence[Any] = (
    "/01/09521234", "/01/09521234", "/01/0952", "/01/", "/c/", "/c/ao/1", "/c", "/01", "/", "", "/01/09529999", f"{G1}/10/A", f"{G2}/10/P", G1, "01/0952", 5, None, ["/01/"], {"a": 1},
)  # fmt: skip
OWNED: Sequence[Sequence[str]] = (
    ("/01/09521234",),
    ("/01/09521234", "/01/09529999", "/c/"),
    (f"{G2}/",),
    (),
)
TYPES: Sequence[str] = ("epcis.objectevent", "epcis.objectevent", "epcis.transformationevent", "epcis.transformationevent", "epcis.aggregationevent", "x")  # fmt: skip
STEPS: Sequence[Any] = ("shipping", "shipping", "urn:epcglobal:cbv:bizstep:shipping", "https://ref.gs1.org/cbv/BizStep-shipping", "Shipping", "harvest", ["shipping"], 1)  # fmt: skip
TIMES: Sequence[Any] = (
    "2026-09-21T20:00:00+07:00", "2026-09-21T20:00:00Z", "2026-09-10T20:00:00.5-03:30", "2026-09-21T20:00:00.1234567890Z", "2026-02-29T20:00:00Z", "2024-02-29T20:00:00Z", "2026-09-21t20:00:00z", "2026-09-21 20:00:00Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-09-21T24:00:00Z", "2026-09-21T23:59:60Z", "2026-09-21T20:00:00+24:00", "2026-09-21T20:00Z", "0000-01-01T00:00:00Z", "2026-09-21T20:00:00", "٢026-09-21T20:00:00Z", "2026-09-21T20:00:00Z\n", 1, None,
)  # fmt: skip
VALUES: Sequence[Any] = (
    0, -1, 1.0, 1.5, -0.0, 1e-7, 1e-300, 123456789.123, 2**53 - 1, -(2**53) + 1, 1e15, 0.1, True, None, "", "\u00e9", "e\u0301", "\U0001f980", "\u2028", "\x7f", '"\\', [], {}, [[]], {"": {"__proto__": 1, "constructor": [None]}}, {"b": 1, "a": 2, "10": 3, "9": 4},
)  # fmt: skip
FIELDS: Sequence[str] = ("inputEPCList", "inputQuantityList", "outputEPCList", "outputQuantityList")
TEXTS: Sequence[str] = ("{}", "https://id.gs1.org{}", "HTTP://h.example/x{}?a=1")


def stories(chance: random.Random) -> Iterator[Case]:
    """Yield proven evidence of a few records that say what chance has them say, asked for by several codes."""
    province = Province((1,) * chance.choice((1, 4)), crowd=2)
    issuers = [
        province.issuer(
            name,
            [*chance.sample(PREFIXES, chance.randint(0, 3)), *chance.choice(OWNED)],
            custody=chance.choice(("holder", "operator")),
            hide=chance.choice(((), (), ("prefixes",), ("name",), ("issuer", "key"))),
        )
        for name in ("farm", "mill", "shop")[: chance.randint(1, 3)]
    ]
    teller = _Teller(chance, [one.signer.name for one in issuers])
    picked = []
    for _ in range(chance.randint(1, 5)):
        records = [teller.record() for _ in range(chance.randint(1, 2))]
        claimed = province.time(1) + chance.choice((-60, -60, 3 * 86_400, -4 * 86_400, 600, 601, 0))
        batch = province.batch(chance.choice(issuers), records, time=claimed)
        picked += [(batch, index) for index in range(len(records))]
    anchored = province.anchor()
    trust = province.trust_file() if chance.random() < 0.9 else _others(province)
    for code in (*teller.known[:3], chance.choice(CODES), None):
        chance.shuffle(picked)
        evidence = province.evidence(picked[: chance.randint(1, len(picked))], anchored)
        asked = chance.choice(TEXTS).format(code) if code else None
        yield Case(encode_evidence(evidence), trust, asked)


def _others(province: Province) -> bytes:
    """Return a trust file that does not name the log's owner."""
    member = replace(province.trust().members[0], owner=b"\7" * 20)
    return province.trust_file(members=(member,), date=FOUNDED + 10 * 86_400)


class _Teller:
    """Tells records one after the other: most are of a code that has come up, as those of a journey are."""

    def __init__(self, chance: random.Random, names: Sequence[str]) -> None:
        self._chance = chance
        self._names = names
        self._leaves: list[bytes] = []
        self.known = [chance.choice(CODES)]

    def record(self) -> Record:
        """Return the next one."""
        chance = self._chance
        codes = {chance.choice(self.known)} if chance.random() < 0.9 else set()
        codes |= set(chance.sample(CODES, chance.choice((0, 0, 1, 2))))
        self.known += sorted(codes - set(self.known))
        made = record(
            fields := self._fields(sorted(codes)),
            codes,
            kind=chance.choice(TYPES),
            mode=chance.choice(("live", "live", "live", "practice")),
            supersedes=set(
                chance.sample(self._leaves, min(len(self._leaves), chance.choice((0, 0, 0, 1, 2))))
            ),
        )
        self._leaves.append(made.leaf_hash())
        return made.hide([name for name in fields if chance.random() < 0.1])

    def _fields(self, codes: Sequence[str]) -> dict[str, Any]:
        chance, fields = self._chance, {}
        for name in FIELDS:
            if chance.random() < 0.35:
                # Of its own codes more often than of others: else nothing is linked.
                fields[name] = _listed(chance, [*NAMES, *list(codes) * 10])
        if chance.random() < 0.6:
            fields["bizStep"] = chance.choice(STEPS)
        if chance.random() < 0.5:
            fields["moneo:parties"] = _listed(
                chance, (*self._names, *self._names, "nobody", 1, None)
            )
        if chance.random() < 0.6:
            fields["eventTime"] = chance.choice(TIMES)
        if chance.random() < 0.6 or not fields:
            fields["value"] = chance.choice(VALUES)
        return fields


def _listed(chance: random.Random, items: Sequence[Any]) -> Any:
    """Return a list of a few of these, some within objects; now and then a long one, or none."""
    found = [
        {chance.choice(("epcClass", "epcClass", "epc")): one, "quantity": 1}
        if chance.random() < 0.3
        else one
        for one in chance.sample(items, chance.randint(0, 4))
    ]
    kind = chance.random()
    if kind < 0.05:
        return ["x"] * chance.choice((253, 255, 256)) + found
    return {"epcClass": found} if kind < 0.08 else found
