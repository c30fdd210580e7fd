# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how fast evidence comes out of a full province, and how fast it is verified.

`python -m bench.evidence --data DIR` goes on with the province that `bench.latency` has kept there
(without, it fills one itself), and adds 10,000 small batches. Then it is started anew, its files
are taken out of the page cache, and evidence of random records and of journeys of 30 records in
6 batches of 4 businesses is asked for by one client. The same files are verified, link by link.
"""

import http.client
import os
import random
import sqlite3
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anchor.store import batch_id
from anchor.verify import verify
from bench import latency
from bench.clients import JOURNEY_BATCHES, JOURNEY_EACH, Sender, lot_of, send_at_once
from bench.shares import LINKS, Shares
from bench.support import (
    CLIENTS,
    GTIN,
    Filled,
    Place,
    arguments,
    found,
    machine,
    ms,
    note_filled,
    quantile,
    read_filled,
    say,
    table,
    workplace,
)
from tests.support.province import wait_until

BATCHES: Final = 10_000
SMALL: Final = 10
SMALL_TAG: Final = "C"
RECORDS: Final = 400
JOURNEYS: Final = 150
JOURNEY: Final = JOURNEY_BATCHES * JOURNEY_EACH
# Batches of one client between two signs of life.
STEP: Final = 250


@dataclass(frozen=True)
class Asked:
    """Evidence files of one kind, each with the code that its label would show, and how long each took."""

    name: str
    files: Sequence[tuple[bytes, str | None]]
    seconds: Sequence[float]


def add_batches(place: Place, count: int) -> Filled:
    """Have new businesses submit small batches, and wait until all is anchored and indexed."""
    senders = [Sender(place.settings.listen, one) for one in place.admit("signed")]
    each, done = count // CLIENTS, 0
    try:
        with place.serving():
            while done < each:
                step = min(STEP, each - done)
                send_at_once(senders, SMALL_TAG, SMALL, step)
                done += step
                say(f"{done * CLIENTS:,} of {count:,} batches of {SMALL} accepted")
            wait_until("anchored", lambda: _all_anchored(place), latency.LONGEST_SECONDS)
            latency.wait_indexed(place)
    finally:
        for sender in senders:
            sender.stop()
    return Filled(SMALL_TAG, SMALL, each * CLIENTS)


def _all_anchored(place: Place) -> bool:
    return latency.anchored_size(place) == latency.accepted(place)


def records_of(place: Place, filled: Filled, count: int) -> list[str]:
    """Return where the evidence of random records is that lie in batches of this size."""
    with closing(sqlite3.connect(place.database)) as connection:
        query = "SELECT note_hash FROM batches WHERE size = ? ORDER BY random() LIMIT ?"
        ids = [batch_id(row[0]) for row in connection.execute(query, (filled.size, count))]
    picked = random.choices(ids, k=count) if len(ids) < count else ids
    return [f"/v1/records/{one}.{random.randrange(filled.size)}/evidence" for one in picked]


def journeys_of(filled: Filled, count: int) -> list[str]:
    """Return random lots whose journeys are whole."""
    groups = filled.batches // JOURNEY_BATCHES
    lots = []
    for _ in range(count):
        batch = random.randrange(groups) * JOURNEY_BATCHES
        lots.append(
            f"{GTIN}/10/{lot_of(filled.tag, batch, filled.size, random.randrange(filled.size))}"
        )
    return lots


def ask(place: Place, name: str, addresses: Sequence[tuple[str, str | None]]) -> Asked:
    """Get each address, by one client over one connection."""
    say(f"asking for {name}")
    connection = http.client.HTTPConnection(place.settings.listen, timeout=60)
    files, seconds = [], []
    for address, code in addresses:
        began = time.perf_counter()
        connection.request("GET", address)
        answer = connection.getresponse()
        data = answer.read()
        seconds.append(time.perf_counter() - began)
        assert answer.status == 200, data[:500]
        files.append((data, code))
    connection.close()
    return Asked(name, files, seconds)


def forget(place: Place) -> None:
    """Take the province's files out of the page cache, as far as the system lets us."""
    for file in place.data.rglob("*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def ask_all(place: Place, filled: Sequence[Filled], records: int, journeys: int) -> Iterator[Asked]:
    """Yield what was asked for of each filling, records first."""
    for one in filled:
        forget(place)
        inside = f"batches of {one.size:,}"
        urls = records_of(place, one, records)
        yield ask(place, f"one record, {inside}", [(url, None) for url in urls])
        lots = journeys_of(one, journeys)
        yield ask(
            place,
            f"journey of {JOURNEY}, {inside}",
            [(f"/v1/evidence?code={lot}", lot) for lot in lots],
        )


def http_row(asked: Asked) -> Sequence[str]:
    """Return a row on how long getting evidence took."""
    figures = (quantile(asked.seconds, share) for share in (0.5, 0.99))
    return asked.name, *map(ms, figures), ms(max(asked.seconds)), str(len(asked.files))


def verify_all(place: Place, asked: Asked) -> tuple[Sequence[str], Shares]:
    """Verify all files; return a row, and the links' shares of a second pass."""
    say(f"verifying {asked.name}")
    trust = place.settings.trust_path.read_bytes()
    seconds, sizes, packed, shares = [], [], [], Shares()
    for data, code in asked.files:
        began = time.perf_counter()
        verdict = verify(data, trust, code)
        seconds.append(time.perf_counter() - began)
        assert verdict.proven, verdict.failure
        sizes.append(float(len(data)))
        packed.append(float(len(zlib.compress(data, 9))))
    with shares.watching() as watched:
        for data, code in asked.files:
            watched(data, trust, code)
    row = (
        asked.name,
        *(ms(quantile(seconds, share)) for share in (0.5, 0.99)),
        *(f"{quantile(bytes_, 0.5):,.0f}" for bytes_ in (sizes, packed)),
    )
    return row, shares


def measure(place: Place, filled: list[Filled], batches: int, records: int, journeys: int) -> None:
    """Print the tables of a filled province."""
    if batches and all(one.tag != SMALL_TAG for one in filled):
        filled.append(add_batches(place, batches))
        note_filled(place.folder, filled)
    counts = ((one.size * one.batches, one.batches, one.size) for one in filled)
    print("In the province: " + "; ".join("{:,} records in {:,} batches of {:,}".format(*one) for one in counts) + ".\n")  # fmt: skip
    with place.serving():
        asked = list(ask_all(place, filled, records, journeys))
    table(
        ("evidence over HTTP, 1 client", "p50 ms", "p99 ms", "most ms", "files"),
        map(http_row, asked),
    )
    verified = [verify_all(place, one) for one in asked]
    table(
        ("verification", "p50 ms", "p99 ms", "bytes", "bytes, zlib"), (row for row, _ in verified)
    )
    rows = ((link, *(shares.of(link) for _, shares in verified)) for link in LINKS)
    table(("link's share of a verification", *(row[0] for row, _ in verified)), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, help="the folder that bench.latency --data has kept")
    parser.add_argument(
        "--fill", type=int, default=latency.RECORDS, help="records, where there is none"
    )
    parser.add_argument("--batches", type=int, default=BATCHES, help=f"batches of {SMALL} to add")
    parser.add_argument("--records", type=int, default=RECORDS, help="single records of each kind")
    parser.add_argument("--journeys", type=int, default=JOURNEYS, help="journeys of each kind")
    options = parser.parse_args(argv)
    print(f"{machine()}\n")
    filled = read_filled(options.data) if options.data else []
    if options.data and not filled:
        say(f"nothing is kept in {options.data}: filling a province")
    with nullcontext(options.data) if filled else workplace() as folder:
        place = Place(folder.resolve()) if filled else found(folder)
        filled = filled or [latency.only_fill(place, options.fill)]
        measure(place, filled, options.batches, options.records, options.journeys)
    return 0


if __name__ == "__main__":
    sys.exit(main())
