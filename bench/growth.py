# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how much a province's disk grows by a record, by a batch and by a checkpoint.

`python -m bench.growth` fills one province with batches of 100 and another with batches of 1,000,
each twice with the same number of records, stops it after each and looks: what is fixed drops out
of the difference. Anchors come as fast as the chain takes them, so that there are enough of them.
Files are as they lie after a clean stop; LevelDB is compacted first.
"""

import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import plyvel

from anchor.tiles import log_files
from bench.clients import Sender, send_at_once
from bench.latency import anchored_size, wait_indexed
from bench.support import CLIENTS, Place, arguments, found, machine, say, table, workplace
from tests.support.province import wait_until

RECORDS: Final = 40_000
# Each filling goes in by so many steps, each anchored by itself.
STEPS: Final = 20
SIZES: Final = (100, 1_000)
INTERVAL: Final = 0.05
# A year's records of a large province, and what is assumed of its anchors.
YEAR: Final = 100_000_000
INTERVALS: Final = (2, 60, 600)
YEAR_SECONDS: Final = 365 * 86_400
# Tables that grow with checkpoints; the others of the database grow with batches.
PROOFS: Final = ("anchors", "proofs", "nodes", "ancestry", "transactions")
# The first byte of a key of the chain's LevelDB.
CHAIN: Final = {
    b"s": "EVM state",
    b"h": "EVM headers",
    b"c": "EVM headers",
    b"n": "EVM headers",
    b"b": "EVM bodies and receipts",
    b"r": "EVM bodies and receipts",
    b"t": "EVM bodies and receipts",
    b"a": "ancestry",
    b"x": "light blocks and consensus",
}
LEVELDB: Final = "LevelDB, the whole folder"
Sizes = Mapping[str, float]


@dataclass(frozen=True)
class Look:
    """What lies on the disk, by kind, in bytes, and how much of what it holds."""

    bytes: Sizes
    records: int
    batches: int
    checkpoints: int

    def __sub__(self, before: "Look") -> "Look":
        """Return the growth."""
        return Look(
            {kind: size - before.bytes.get(kind, 0) for kind, size in self.bytes.items()},
            self.records - before.records,
            self.batches - before.batches,
            self.checkpoints - before.checkpoints,
        )

    def each(self, number: int, *beginnings: str) -> float:
        """Return the bytes of the kinds that begin so, over a number."""
        return (
            sum(size for kind, size in self.bytes.items() if kind.startswith(beginnings)) / number
        )


def look(place: Place) -> Look:
    """Measure a province that has stopped."""
    sizes: dict[str, float] = defaultdict(float)
    with closing(sqlite3.connect(place.database)) as database:
        records, batches = database.execute("SELECT sum(size), count(*) FROM batches").fetchone()
        (checkpoints,) = database.execute("SELECT count(*) FROM anchors WHERE size > 0").fetchone()
        for name, size in _columns(database) + _tables(database):
            sizes[name] += size
    with closing(sqlite3.connect(place.index)) as index:
        sizes["index"] = sum(size for _, size in _tables(index))
    # Partial tiles that a later checkpoint has grown past go as soon as the full one is there.
    log = place.settings.log_path
    sizes["log"] = float(sum((log / name).stat().st_size for name in log_files(batches)))
    for name, size in chain_sizes(place.data / "node" / "chain"):
        sizes[name] += size
    return Look(sizes, records, batches, checkpoints)


def _columns(database: sqlite3.Connection) -> list[tuple[str, float]]:
    """Return the blobs of the batches."""
    names = ("presentations", "leaves", "offsets")
    sums = database.execute(f"SELECT {', '.join(f'sum(length({n}))' for n in names)} FROM batches")  # noqa: S608  our own names
    return [(f"blob: {name}", size) for name, size in zip(names, sums.fetchone(), strict=True)]


def _tables(database: sqlite3.Connection) -> list[tuple[str, float]]:
    """Return the pages of each table with its indexes."""
    query = (
        "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) GROUP BY tbl_name"
    )
    pages = database.execute(query).fetchall()
    return [("proofs" if name in PROOFS else "records", float(size)) for name, size in pages]


def chain_sizes(folder: Path) -> list[tuple[str, float]]:
    """Return keys and values by kind, and the folder's size once it is compacted."""
    with plyvel.DB(str(folder)) as database:
        database.compact_range()
        kinds = [
            (f"chain: {CHAIN.get(key[:1], 'other')}", float(len(key) + len(value)))
            for key, value in database
        ]
    return [*kinds, (LEVELDB, float(sum(file.stat().st_size for file in folder.iterdir())))]


def fill(place: Place, size: int, records: int) -> Iterator[Look]:
    """Fill a province twice with the same number of records; yield what lies there each time."""
    senders = [Sender(place.settings.listen, client) for client in place.admit("signed")]
    each, batches = max(1, records // size // CLIENTS // STEPS), 0
    try:
        for _ in range(2):
            with place.serving():
                for _ in range(max(1, records // size // CLIENTS // each)):
                    sent = send_at_once(senders, "G", size, each)
                    batches += sum(len(one.times) for one in sent)
                    wait_until("anchored", lambda want=batches: anchored_size(place) == want, 600)  # type: ignore[misc]
                say(f"{batches * size:,} records anchored in batches of {size:,}")
                wait_indexed(place)
                # The chain stores a light block behind the anchor's.
                time.sleep(1)
            yield look(place)
    finally:
        for sender in senders:
            sender.stop()


def growth_of(folder: Path, size: int, records: int) -> Look:
    """Return what a second filling adds."""
    folder.mkdir()
    first, second = fill(found(folder, INTERVAL), size, records)
    return second - first


def record_rows(looks: Mapping[int, Look]) -> Iterator[Sequence[str]]:
    """Yield bytes a record."""
    kinds = (
        ("all", ("records", "index")),
        ("database: batches", ("records",)),
        ("… blob: presentations, compressed", ("blob: presentations",)),
        ("… blob: leaf hashes", ("blob: leaves",)),
        ("… blob: offsets", ("blob: offsets",)),
        ("code index, one code a record", ("index",)),
    )
    for name, beginnings in kinds:
        yield name, *(f"{its.each(its.records, *beginnings):,.1f}" for its in looks.values())


def batch_rows(looks: Mapping[int, Look]) -> Iterator[Sequence[str]]:
    """Yield bytes a batch and a checkpoint."""
    yield (
        "log: tiles and entries, a batch",
        *(f"{its.each(its.batches, 'log'):,.0f}" for its in looks.values()),
    )
    kinds = (
        ("database: proofs, light block, ancestry", ("proofs",)),
        *((name, (f"chain: {name}",)) for name in dict.fromkeys(CHAIN.values())),
        (LEVELDB, (LEVELDB,)),
    )
    for name, beginnings in kinds:
        yield (
            f"{name}, a checkpoint",
            *(f"{its.each(its.checkpoints, *beginnings):,.0f}" for its in looks.values()),
        )
    yield (
        "(batches under a checkpoint here)",
        *(f"{its.batches / its.checkpoints:.1f}" for its in looks.values()),
    )


def year_rows(looks: Mapping[int, Look]) -> Iterator[Sequence[str]]:
    """Yield what 10^8 records a year take, batches coming evenly through the year."""
    for size, its in looks.items():
        batches = YEAR // size
        for interval in INTERVALS:
            checkpoints = min(batches, YEAR_SECONDS // interval)
            parts = (
                YEAR * its.each(its.records, "records", "index"),
                batches * its.each(its.batches, "log"),
                checkpoints * its.each(its.checkpoints, "proofs"),
                checkpoints * its.each(its.checkpoints, LEVELDB),
            )
            gigabytes = (f"{part / 1e9:,.2f}" for part in (*parts, sum(parts)))
            yield (
                f"batches of {size:,}, an anchor every {interval} s at most",
                f"{checkpoints:,}",
                *gigabytes,
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help="records of each filling")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="records a batch")
    options = parser.parse_args(argv)
    print(f"{machine()}\n")
    with workplace() as folder:
        looks = {
            size: growth_of(folder / str(size), size, options.records) for size in options.sizes
        }
    heads = [f"batches of {size:,}" for size in looks]
    table(("bytes a record", *heads), record_rows(looks))
    table(("bytes", *heads), batch_rows(looks))
    head = (
        "10^8 records a year",
        "checkpoints",
        "records GB",
        "log GB",
        "proofs GB",
        "chain GB",
        "all GB",
    )
    table(head, year_rows(looks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
