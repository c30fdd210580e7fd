# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how many records a second a province acknowledges, each after it is on disk.

`python -m bench.ingest` founds a province in a temporary folder, runs it whole (node, anchor, API) and
has four clients submit batches of 1 to 10,000 records of about 500 bytes and 8 fields over HTTP, by
both doors; then the accept path alone, without HTTP and in one process. Tessera is measured first,
in the same run. What the clients send is made beforehand: that work is the business's.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from anchor.importer import read_diary
from anchor.province import Province
from bench.clients import Maker, Sender, send_at_once
from bench.support import (
    CLIENTS,
    Client,
    Door,
    Place,
    arguments,
    found,
    machine,
    ms,
    quantile,
    say,
    table,
    workplace,
)
from bench.tessera.run import BATCH, VERSION, WRITERS, Figures, NoTessera, Tessera, measure

SIZES: Final = (1, 10, 100, 1_000, 10_000)
DOORS: Final[tuple[Door, ...]] = ("signed", "plain")
NAMES: Final = {"signed": "signed (`/v1/batches`)", "plain": "plain (`/v1/records`)"}
# What a line is expected to take in a second, at most; how many batches it sends follows from it.
BATCHES_A_SECOND: Final = 400
RECORDS_A_SECOND: Final = {"signed": 25_000, "plain": 12_000}
# A line has at least this many of each client.
FEWEST: Final = 3
HEAD: Final = ("records a batch", "records/s", "× Tessera", "p50 ms", "p99 ms", "records")


@dataclass(frozen=True)
class Line:
    """One line of a table: what was acknowledged in how many seconds, and each acknowledgement's."""

    name: str
    size: int
    seconds: float
    latencies: Sequence[float]
    cpu: float | None = None

    def row(self, beside: Figures | None) -> Sequence[str]:
        """Return the cells of a table's row."""
        records = self.size * len(self.latencies)
        rate = records / self.seconds
        return (
            f"{self.name}, {self.size:,}",
            f"{rate:,.0f}",
            f"{rate / beside.rate:.2f}" if beside else "–",
            ms(quantile(self.latencies, 0.5)),
            ms(quantile(self.latencies, 0.99)),
            f"{records:,}",
            *([f"{100 * self.cpu / self.seconds:.0f}%"] if self.cpu is not None else []),
        )


def batches_each(door: Door, size: int, seconds: float, clients: int) -> int:
    """Return how many batches each of so many clients sends in about so many seconds."""
    expected = min(BATCHES_A_SECOND, RECORDS_A_SECOND[door] / size)
    return max(FEWEST, round(expected * seconds / clients))


def over_http(senders: Sequence[Sender], door: Door, size: int, seconds: float) -> Line:
    """Have all clients submit at once, and measure from the first byte to the last acknowledgement."""
    say(f"{door} door, batches of {size:,}")
    each = batches_each(door, size, seconds, CLIENTS)
    sent = send_at_once(senders, f"{door[0].upper()}{size}", size, each, seconds)
    times = [one for client in sent for one in client.times]
    took = max(end for _, end in times) - min(began for began, _ in times)
    cpu = sum(client.cpu for client in sent)
    return Line(NAMES[door], size, took, [end - began for began, end in times], cpu)


def alone(province: Province, client: Client, door: Door, size: int, seconds: float) -> Line:
    """Measure the accept path without HTTP: one process, one thread, fsync a batch."""
    say(f"{door} door without HTTP, batches of {size:,}")
    count = batches_each(door, size, seconds, 1)
    bodies = list(Maker(client).bodies(f"A{size}", size, count))
    latencies: list[float] = []
    for body in bodies:
        if sum(latencies) > seconds:
            break
        before = time.perf_counter()
        if client.key:
            province.accept(body, client.organisation)
        else:
            province.accept_entries(read_diary("records.ndjson", body), "live", client.organisation)
        latencies.append(time.perf_counter() - before)
    return Line(NAMES[door], size, sum(latencies), latencies)


def http_lines(place: Place, sizes: Sequence[int], seconds: float) -> Iterator[Line]:
    """Yield the lines over HTTP."""
    listen = place.settings.listen
    clients = {door: place.admit(door) for door in DOORS}
    senders = {door: [Sender(listen, client) for client in clients[door]] for door in DOORS}
    try:
        with place.serving():
            for door, size in product(DOORS, sizes):
                yield over_http(senders[door], door, size, seconds)
    finally:
        for sender in (one for each in senders.values() for one in each):
            sender.stop()


def alone_lines(place: Place, sizes: Sequence[int], seconds: float) -> Iterator[Line]:
    """Yield the lines without HTTP; a business a line, since each begins its own sequence."""
    lines = [(door, size) for door in DOORS for size in sizes]
    businesses = {door: iter(place.admit(door, len(sizes))) for door in DOORS}
    with place.opened() as province:
        for door, size in lines:
            yield alone(province, next(businesses[door]), door, size, seconds)


def beside(folder: Path, seconds: float) -> Tessera | None:
    """Measure Tessera, or say why not."""
    try:
        return measure(folder, seconds)
    except NoTessera as error:
        print(f"Tessera was not measured: {error}.\n")
        return None


def tessera_rows(tessera: Tessera) -> Iterator[Sequence[str]]:
    """Yield Tessera's own table."""
    lines = (
        (f"POSIX server, its hammer, {WRITERS} writers", tessera.hammered),
        (f"POSIX server, our load, {WRITERS} writers", tessera.loaded),
        (f"POSIX storage in process, batches of {BATCH:,}", tessera.in_process),
    )
    for name, its in lines:
        yield name, f"{its.rate:,.0f}", *("–" if x is None else ms(x) for x in (its.p50, its.p99))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long each line runs")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="records a batch")
    parser.add_argument("--no-tessera", action="store_true", help="leave Tessera out")
    options = parser.parse_args(argv)
    print(f"{machine()}\n")
    with workplace() as folder:
        tessera = None if options.no_tessera else beside(folder, max(5.0, options.seconds))
        if tessera:
            head = (f"Tessera {VERSION}, entries of 500 bytes", "entries/s", "p50 ms", "p99 ms")
            table(head, tessera_rows(tessera))
        place = found(folder)
        over = f"door over HTTP, {CLIENTS} clients, {HEAD[0]}"
        lines = http_lines(place, options.sizes, options.seconds)
        rival = tessera.over_http if tessera else None
        table((over, *HEAD[1:], "clients' CPU"), (line.row(rival) for line in lines))
        without = f"door without HTTP, 1 thread, {HEAD[0]}"
        lines = alone_lines(place, options.sizes, options.seconds)
        rival = tessera.in_process if tessera else None
        table((without, *HEAD[1:]), (line.row(rival) for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
