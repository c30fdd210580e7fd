# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how many records a second a province acknowledges, each after it is on disk.

`python -m bench.ingest` founds a province in a temporary folder, runs it whole (node, anchor, API) and
has four clients submit signed batches of 1 to 10,000 records of about 500 bytes and 8 fields, over
HTTP; then the accept path alone, without HTTP and in one process. What the clients send is salted
and signed beforehand: that work is the business's. `--seconds` says how long each line runs.
"""

import argparse
import http.client
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from anchor.batch import FIRST_PREV, build, note_hash, read_batch_note, split_body
from anchor.codes import parse_path
from anchor.keys import create_private_key, load_private_key, request
from anchor.note import Signer
from anchor.province import Province
from anchor.record import Record, salt
from anchor.settings import Settings, load
from api.organisations import Organisations
from tests.support.province import Running, free_addresses, moneo

CLIENTS: Final = 4
SIZES: Final = (1, 10, 100, 1_000, 10_000)
ORIGIN: Final = "moneo.example/bench/2026"
# More than this many records are not made for one line: making them takes longer than sending them.
MOST_RECORDS: Final = 160_000


@dataclass(frozen=True)
class Client:
    """One business of the benchmark: its key, its organisation's id and token."""

    signer: Signer
    organisation: str
    token: str


@dataclass(frozen=True)
class Line:
    """One line of the table: a batch size and what was acknowledged of it."""

    size: int
    records: int
    seconds: float
    latencies: Sequence[float]

    def row(self) -> str:
        """Return the line as Markdown: records/s, then milliseconds of one acknowledgement."""
        slow = statistics.quantiles(self.latencies, n=100)[98] if len(self.latencies) > 1 else 0.0
        return (
            f"| {self.size:,} | {self.records / self.seconds:,.0f} | "
            f"{1000 * statistics.median(self.latencies):,.1f} | {1000 * slow:,.1f} | {self.records:,} |"
        )


def record(number: int) -> Record:
    """Return a salted record of 8 fields, about 490 bytes of JSON, that speaks of one lot."""
    lot = parse_path(f"/01/09520001000034/10/B-{number % 9973}")
    fields = {
        "eventTime": "2026-03-03T23:30:00Z",
        "eventTimeZoneOffset": "+07:00",
        "bizStep": "shipping",
        "quantityList": [
            {"epcClass": f"https://id.gs1.org{lot.path}", "quantity": 10, "uom": "CT"}
        ],
        "moneo:product": "Cua Cà Mau loại 1, hộp 3 kg (mẫu)",
        "moneo:place": "Nhà sơ chế HTX Cua Mẫu, xã Tân Ân, tỉnh Cà Mau (mẫu), khu vực tiếp nhận 1",
        "moneo:document": f"PX-{number:09d}",
        "moneo:note": "Kiểm tra cảm quan đạt, nhiệt độ xe 4 độ, niêm phong nguyên vẹn khi giao.",
    }
    return salt(fields, type="epcis.objectevent", mode="practice", codes=[lot])


def batches(client: Client, size: int, count: int, first: int, prev: bytes) -> Iterator[bytes]:
    """Yield `count` signed batches that follow one another from seq `first`."""
    for seq in range(first, first + count):
        records = [record(seq * size + number) for number in range(size)]
        now = int(time.time())
        body = build(records, client.signer, log=ORIGIN, seq=seq, prev=prev, time=now)
        prev = note_hash(read_batch_note(split_body(body)[0])[1])
        yield body


def submit(host: str, token: str, results: Connection, work: Connection) -> None:
    """Be one client: for each list of bodies that comes, send them all and report each latency."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/vnd.moneo.batch"}
    while bodies := work.recv():
        results.send(len(bodies))
        work.recv()
        # Making the bodies may have taken longer than the server keeps an idle connection.
        connection = http.client.HTTPConnection(host)
        latencies = []
        for body in bodies:
            started = time.perf_counter()
            connection.request("POST", "/v1/batches", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 202:
                raise SystemExit(f"the province answered {answer.status}")
            latencies.append(time.perf_counter() - started)
        results.send(latencies)


class Sender:
    """A client process with its two pipes, and where its sequence of batches stands."""

    def __init__(self, host: str, client: Client) -> None:
        self.client = client
        self.seq, self.prev = 0, FIRST_PREV
        self.results, results = multiprocessing.Pipe()
        self.work, work = multiprocessing.Pipe()
        arguments = (host, client.token, results, work)
        self.process = multiprocessing.Process(target=submit, args=arguments, daemon=True)
        self.process.start()

    def load(self, size: int, count: int) -> None:
        """Make batches and hand them to the client process, which waits for `go`."""
        bodies = list(batches(self.client, size, count, self.seq, self.prev))
        self.seq += count
        self.prev = note_hash(read_batch_note(split_body(bodies[-1])[0])[1])
        self.work.send(bodies)
        self.results.recv()

    def go(self) -> None:
        """Let it send."""
        self.work.send(True)

    def latencies(self) -> list[float]:
        """Wait until all is acknowledged; return the seconds of each acknowledgement."""
        found: list[float] = self.results.recv()
        return found


def over_http(senders: Sequence[Sender], size: int, batches_each: int) -> Line:
    """Have all clients submit at once, and measure until the last acknowledgement."""
    for sender in senders:
        sender.load(size, batches_each)
    started = time.perf_counter()
    for sender in senders:
        sender.go()
    latencies = [one for sender in senders for one in sender.latencies()]
    seconds = time.perf_counter() - started
    return Line(size, size * len(latencies), seconds, latencies)


def alone(settings: Settings, client: Client, size: int, count: int) -> Line:
    """Measure the accept path without HTTP: one process, one thread, fsync a batch."""
    province = Province.open(settings)
    bodies = list(batches(client, size, count, 0, FIRST_PREV))
    latencies = []
    started = time.perf_counter()
    for body in bodies:
        before = time.perf_counter()
        province.accept(body, client.organisation)
        latencies.append(time.perf_counter() - before)
    seconds = time.perf_counter() - started
    province.close()
    return Line(size, size * count, seconds, latencies)


def admit(settings: Settings, folder: Path, count: int) -> list[Client]:
    """Add organisations with a key and a token each."""
    province = Province.open(settings)
    organisations = Organisations(province.store.engine, settings.origin)
    clients = []
    for number in range(count):
        name = f"HTX {number}"
        issuer = organisations.add_organisation(name, ["/01/09520001"])
        create_private_key(folder / f"{number}.key")
        signer = Signer(issuer, load_private_key(folder / f"{number}.key"))
        organisation = organisations.by_name(name)
        province.add_issuer(organisation.id, request(signer), "holder", [], name)
        clients.append(Client(signer, organisation.id, organisations.new_token(name).secret))
    province.close()
    return clients


def batches_for(size: int, seconds: float) -> int:
    """Return how many batches each client sends, from what a machine of two cores takes about."""
    expected = min(250 * size, 20_000) * seconds
    return max(2, int(min(expected, MOST_RECORDS) / size / CLIENTS))


def measure(seconds: float) -> Iterator[str]:
    """Yield the lines of both tables as Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listen, rpc = free_addresses(2)
        data = folder / "var"
        addresses = ("--api", listen, "--rpc", rpc)
        moneo("init", "Tỉnh đo", ORIGIN, "--data", data, *addresses, home=folder)
        settings = load(data)
        clients = admit(settings, folder, CLIENTS + len(SIZES))
        with Running("serve", "--data", data) as serving:
            serving.wait_for("Serving")
            senders = [Sender(listen, client) for client in clients[:CLIENTS]]
            yield f"| records a batch | records/s over HTTP, {CLIENTS} clients | p50 ms | p99 ms | records |"
            yield "|---:|---:|---:|---:|---:|"
            for size in SIZES:
                yield over_http(senders, size, batches_for(size, seconds)).row()
            for sender in senders:
                sender.work.send([])
        yield ""
        yield "| records a batch | records/s without HTTP, 1 thread | p50 ms | p99 ms | records |"
        yield "|---:|---:|---:|---:|---:|"
        for size, client in zip(SIZES, clients[CLIENTS:], strict=True):
            yield alone(settings, client, size, 2 * batches_for(size, seconds)).row()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long each line runs")
    options = parser.parse_args(argv)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    for line in measure(options.seconds):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
