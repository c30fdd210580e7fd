# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long after its acknowledgement a record is anchored and its evidence can be had.

`python -m bench.latency` founds a province of one validator and submits single records, each after
the last one's evidence has verified. Then four clients send 1,000,000 records as fast as they are
taken; meanwhile it asks how far the anchors have come, and how much memory each process takes.
`--data DIR` keeps the province for `bench.evidence`.
"""

import random
import sqlite3
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anchor.verify import verify
from bench.clients import Sender, Sent, send_at_once
from bench.memory import Memory
from bench.support import (
    CLIENTS,
    Filled,
    Place,
    arguments,
    found,
    free_bytes,
    machine,
    note_filled,
    quantile,
    say,
    table,
    workplace,
)
from tests.support.province import get, wait_until

RECORDS: Final = 1_000_000
BATCH: Final = 1_000
SAMPLES: Final = 60
POLL_SECONDS: Final = 0.01
SAMPLE_SECONDS: Final = 0.5
SAY_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 600
# What a kept record takes on the disk at most, spooled body included.
BYTES_A_RECORD: Final = 2_500
TAG: Final = "B"


@dataclass(frozen=True)
class Way:
    """One record's way: seconds from its 202 to anchored, to its evidence, to a verdict."""

    anchored: float
    evidence: float
    verdict: float


@dataclass
class Progress:
    """What was seen while records went in: (when, anchored batches) and the memory of the province."""

    memory: Memory
    anchored: list[tuple[float, int]] = field(default_factory=list)

    def lags(self, acknowledged: Sequence[float]) -> Iterator[float]:
        """Yield at each look how long ago the oldest batch not yet anchored was acknowledged."""
        for when, size in self.anchored:
            if bisect_right(acknowledged, when) > size:
                yield when - acknowledged[size]


def read(file: Path, query: str) -> int:
    """Return the number that a query of an SQLite file gives, 0 for none; the file may be in use."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        return int(connection.execute(query).fetchone()[0] or 0)


def anchored_size(place: Place) -> int:
    """Return how many batches lie under the newest captured anchor."""
    return read(place.database, "SELECT max(size) FROM anchors WHERE state = 'anchored'")


def accepted(place: Place) -> int:
    """Return how many batches are accepted."""
    return read(place.database, "SELECT max(id) FROM batches")


def evidence_url(place: Place, batch: str, index: int = 0) -> str:
    """Return where a record's evidence is."""
    return f"http://{place.settings.listen}/v1/records/{batch}.{index}/evidence"


def follow(place: Place, batch: str, acknowledged: float) -> Way:
    """Ask for a batch's first record until its evidence is there, and verify it."""
    url, trust = evidence_url(place, batch), place.settings.trust_path.read_bytes()
    status = f"http://{place.settings.listen}/v1/batches/{batch}"
    wait_until("anchored", lambda: b'"anchored"' in get(status)[1])
    anchored = time.perf_counter()
    while (answer := get(url))[0] != 200:
        time.sleep(POLL_SECONDS)
    evidence = time.perf_counter()
    assert verify(answer[1], trust).proven
    return Way(*(moment - acknowledged for moment in (anchored, evidence, time.perf_counter())))


def single_records(place: Place, sender: Sender, samples: int) -> Iterator[tuple[str, list[Way]]]:
    """Yield the ways of single records: in a quiet province, and right behind another's anchor."""
    interval = place.settings.interval
    for name, pause in (
        ("nothing anchored just before", 1.5 * interval),
        ("right behind an anchor", 0.0),
    ):
        say(f"single records, {name}")
        ways = []
        for _ in range(samples // 2):
            time.sleep(random.uniform(pause, 1.2 * pause))
            (sent,) = send_at_once([sender], TAG, 1, 1)
            ways.append(follow(place, sent.last, sent.times[-1][1]))
        yield name, ways


def way_rows(groups: Iterator[tuple[str, list[Way]]]) -> Iterator[Sequence[str]]:
    """Yield a row for each part of the way."""
    for name, ways in groups:
        for part in ("anchored", "evidence", "verdict"):
            seconds = [getattr(way, part) for way in ways]
            figures = (quantile(seconds, share) for share in (0.5, 0.99))
            yield f"202 → {part}, {name}", *(f"{figure:.2f}" for figure in figures), str(len(ways))


def fill(place: Place, senders: Sequence[Sender], records: int, progress: Progress) -> list[Sent]:
    """Have the clients send records at full speed, looking on."""
    each = max(1, records // BATCH // CLIENTS)
    say(f"making {each * CLIENTS * BATCH:,} records in {CLIENTS} processes")
    for sender in senders:
        sender.load(TAG, BATCH, each)
    for sender in senders:
        sender.ready()
    say("sending")
    for sender in senders:
        sender.go()
    said = time.perf_counter()
    while not all(sender.poll() for sender in senders):
        look(place, progress)
        if time.perf_counter() - said > SAY_SECONDS:
            said = time.perf_counter()
            say(f"{progress.anchored[-1][1]:,} of {each * CLIENTS:,} batches are anchored")
        time.sleep(SAMPLE_SECONDS)
    return [sender.sent() for sender in senders]


def look(place: Place, progress: Progress) -> int:
    """Note how far the anchors have come."""
    size = anchored_size(place)
    progress.anchored.append((time.perf_counter(), size))
    progress.memory.look()
    return size


def lag_rows(
    place: Place, sent: Sequence[Sent], progress: Progress, before: int
) -> Iterator[Sequence[str]]:
    """Wait until all is anchored, and yield what that took."""
    times = [one for client in sent for one in client.times]
    ends = sorted(end for _, end in times)
    began, last = min(start for start, _ in times), ends[-1]
    newest = max(sent, key=lambda client: client.times[-1][1])
    records = len(times) * BATCH
    yield "records", f"{records:,}"
    yield "acknowledged in", f"{last - began:.1f} s"
    yield "records/s", f"{records / (last - began):,.0f}"
    wait_until("anchored", lambda: look(place, progress) == before + len(times), LONGEST_SECONDS)
    yield "last 202 → all anchored", f"{time.perf_counter() - last:.2f} s"
    way = follow(place, newest.last, last)
    yield "last 202 → evidence of the last record verified", f"{way.verdict:.2f} s"
    lags = list(progress.lags([began] * before + ends))
    yield "largest lag of the anchors meanwhile", f"{max(lags, default=0):.2f} s"
    yield "median lag", f"{quantile(lags, 0.5):.2f} s"
    yield "anchors meanwhile", f"{len({size for _, size in progress.anchored}) - 1:,}"


def wait_indexed(place: Place) -> float:
    """Wait until every batch is in the code index; return the seconds."""
    began, wanted = time.perf_counter(), accepted(place)
    query = 'SELECT max("row") FROM code_index_batch'
    wait_until("indexed", lambda: read(place.index, query) == wanted, LONGEST_SECONDS)
    return time.perf_counter() - began


def measure(place: Place, records: int, samples: int) -> None:
    """Print the tables of a fresh province."""
    listen = place.settings.listen
    businesses = place.admit("signed")
    senders = [Sender(listen, client) for client in businesses]
    (single,) = [Sender(listen, client) for client in place.admit("signed", 1)]
    try:
        with place.serving() as running:
            wait_until("trust", place.settings.trust_path.exists)
            progress = Progress(Memory(running.process.pid))
            head = ("a single record", "median s", "p99 s", "samples")
            table(head, way_rows(single_records(place, single, samples)))
            before = anchored_size(place)
            sent = fill(place, senders, records, progress)
            table(
                (f"{CLIENTS} clients, batches of {BATCH:,}", ""),
                lag_rows(place, sent, progress, before),
            )
            table(
                ("then", ""), [("all found by their codes after", f"{wait_indexed(place):.1f} s")]
            )
            progress.memory.look()
            table(*progress.memory.table())
    finally:
        for sender in (*senders, single):
            sender.stop()
    note_filled(place.folder, [Filled(TAG, BATCH, sum(len(one.times) for one in sent))])


def only_fill(place: Place, records: int) -> Filled:
    """Fill a fresh province at full speed and print nothing."""
    senders = [Sender(place.settings.listen, client) for client in place.admit("signed")]
    try:
        with place.serving() as running:
            progress = Progress(Memory(running.process.pid))
            sent = fill(place, senders, records, progress)
            batches = sum(len(one.times) for one in sent)
            wait_until("anchored", lambda: look(place, progress) == batches, LONGEST_SECONDS)
            wait_indexed(place)
    finally:
        for sender in senders:
            sender.stop()
    return Filled(TAG, BATCH, batches)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help="how many go in at full speed")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="single records, half of them each way"
    )
    parser.add_argument(
        "--data", type=Path, help="keep the province in this folder, which must be new"
    )
    options = parser.parse_args(argv)
    print(f"{machine()}\n")
    if options.data and options.data.exists():
        parser.error(f"{options.data} is there already")
    if options.data:
        options.data.mkdir(parents=True)
    with nullcontext(options.data) if options.data else workplace() as folder:
        if free_bytes(folder) < BYTES_A_RECORD * options.records:
            print(f"{folder} has too little room for {options.records:,} records", file=sys.stderr)
            return 1
        measure(found(folder.resolve()), options.records, options.samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
