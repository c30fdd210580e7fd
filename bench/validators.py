# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures evidence of one, 4 and 34 validators: how large it is, and how long a verifier takes.

`python -m bench.validators` needs no node: it makes the files of a province whose registry has
thousands of issuers, whose log has a million entries and whose batches have a thousand records, with
real keys, and verifies them; what is timed is the processor's, since nothing waits. Some lie three changes of the set after the trust file. "New trust
file" is the first verification by a trust file, which is verified itself then, and once only.
"""

import gzip
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from anchor.evidence import Evidence, encode_evidence
from anchor.record import Record, salt
from anchor.verify import _trusted, verify
from bench.shares import LINKS, Shares
from bench.support import arguments, machine, ms, say, table
from node.light import root_from_inclusion
from tests.support.light_blocks import Signers, council
from tests.support.makeevidence import CRAB_LOT, Batch, Province, code, made_up_path

ISSUERS: Final = 3_000
LOG: Final = 1_000_000
BATCH: Final = 1_000
OTHERS: Final = 10_000
JOURNEY: Final = 30
ROUNDS: Final = 100
SETS: Final = (1, 4, 34)


@dataclass(frozen=True)
class File:
    """An evidence file with the trust file to judge it by."""

    name: str
    validators: int
    evidence: bytes
    trust: bytes


def event(number: int) -> Record:
    """Return an EPCIS event as a farm's app would write it, the person's number withheld."""
    fields: dict[str, Any] = {
        "action": "OBSERVE",
        "bizLocation": {"id": "https://id.gs1.org/414/9521234000037"},
        "bizStep": "commissioning",
        "disposition": "active",
        "eventID": f"urn:uuid:6f9619ff-8b86-d011-b42d-{number:012}",
        "eventTime": "2026-09-21T20:00:00+07:00",
        "eventTimeZoneOffset": "+07:00",
        "operator": "+84 900 000 000",
        "quantityList": [{"epcClass": f"https://id.gs1.org{CRAB_LOT}", "quantity": 120}],
        "readPoint": {"id": "https://id.gs1.org/414/9521234000037/254/ao-7"},
    }
    made = salt(fields, type="epcis.objectevent", mode="live", codes=[code(CRAB_LOT)])
    return made.hide(["operator"])


def members(count: int, changed: int = 0) -> Signers:
    """Return a set of so many, the first few of whom have new keys."""
    return council([f"p{number}{'-new' * (number < changed)}" for number in range(count)])


def province_of(validators: int) -> Province:
    """Return a province with one business that files and many that don't."""
    province = Province(council=members(validators), crowd=ISSUERS)
    province.issuer("Hợp tác xã Mẫu")
    return province


def in_a_large_batch(evidence: Evidence) -> Evidence:
    """Return the evidence of a record with its place in the middle of a batch of a thousand."""
    middle = tuple(made_up_path(BATCH // 2, BATCH))
    part = replace(evidence.records[0], index=BATCH // 2, path=middle)
    return replace(evidence, records=(part,))


def large_batch(province: Province, number: int) -> Batch:
    """Log a batch of a thousand, one record of which is known."""
    one = event(number)
    middle = made_up_path(BATCH // 2, BATCH)
    root = root_from_inclusion(one.leaf_hash(), BATCH // 2, BATCH, middle)
    return province.batch(province.issuers[0], [one], size=BATCH, root=root)


def one_record(validators: int, changes: int = 0) -> File:
    """Return the evidence of one record, the set changed so often since the founding."""
    province = province_of(validators)
    for changed in range(1, changes + 1):
        province.hand_over(members(validators, changed))
    province.place = (LOG // 2, LOG)
    batch = large_batch(province, 0)
    made = province.evidence([(batch, 0)], province.anchor(), province.eras)
    name = f"one record, {changes} changes of the set" if changes else "one record"
    trust = province.trust_file()
    return File(name, validators, encode_evidence(in_a_large_batch(made)), trust)


def journey(validators: int) -> File:
    """Return the evidence of a journey of 30 records in six batches of a log of ten thousand."""
    province = province_of(validators)
    batches = [
        province.batch(province.issuers[0], [event(5 * at + n) for n in range(5)])
        for at in range(JOURNEY // 5)
    ]
    province.entries += [b"another batch %d" % number for number in range(OTHERS)]
    picked = [(batch, index) for batch in batches for index in range(5)]
    made = province.evidence(picked, province.anchor())
    return File(f"journey of {JOURNEY}", validators, encode_evidence(made), province.trust_file())


def seconds_of(file: File, rounds: int) -> tuple[float, float]:
    """Return the median of a verification, and that of the first one by a new trust file."""
    known: list[float] = []
    new: list[float] = []
    for at in range(rounds):
        is_new = at % 5 == 0
        if is_new:
            _trusted.cache_clear()
        began = time.process_time()
        verdict = verify(file.evidence, file.trust, CRAB_LOT)
        (new if is_new else known).append(time.process_time() - began)
        assert verdict.proven, verdict.failure
    return statistics.median(known), statistics.median(new)


def row(file: File, rounds: int) -> Sequence[str]:
    """Return a file's row."""
    known, new = seconds_of(file, rounds)
    packed = len(gzip.compress(file.evidence, 9, mtime=0))
    sizes = (len(file.evidence), packed, len(file.trust))
    return (
        f"{file.name}, validators: {file.validators}",
        *(f"{size:,}" for size in sizes),
        ms(known),
        ms(new),
    )


def shares_of(file: File, rounds: int) -> Shares:
    """Return how a file's verifications spend their time."""
    shares = Shares()
    with shares.watching() as watched:
        for _ in range(rounds):
            watched(file.evidence, file.trust, CRAB_LOT)
    return shares


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="verifications of each file")
    options = parser.parse_args(argv)
    print(f"{machine()}\n")
    files = []
    for count in SETS:
        say(f"making the files of {count} validators")
        files += [one_record(count), journey(count)]
    files += [one_record(4, 3), one_record(34, 3)]
    table(
        ("evidence", "bytes", "gzip", "trust file", "verified, p50 CPU ms", "new trust file"),
        [row(file, options.rounds) for file in files],
    )
    shown = [file for file in files if file.validators == 4 or file.name == "one record"]
    shares = [shares_of(file, options.rounds) for file in shown]
    table(
        ("link's share", *(f"{file.name}, {file.validators}" for file in shown)),
        ((link, *(each.of(link) for each in shares)) for link in LINKS),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
