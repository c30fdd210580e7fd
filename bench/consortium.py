# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures four provinces on one machine: a checkpoint's way, how many go at once, memory, disk and replay.

`python -m bench.consortium` needs CometBFT (scripts/tools). Nodes are what `moneo` runs, each with a
CometBFT of its own; province n is on 127.0.0.n.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx

from anchor.chain import GAS, Chain
from anchor.keys import load_member_key, load_private_key
from anchor.note import Signer
from anchor.pipeline import Pipeline
from anchor.province import Province
from anchor.settings import load
from anchor.store import Store
from anchor.tiles import Log
from anchor.verify import verify
from bench.growth import LEVELDB, chain_sizes
from bench.memory import Memory
from bench.support import arguments, machine, quantile, say, table, workplace
from node.abci.home import FOLDER
from node.abci.process import CometMissing, find_program
from node.genesis import CHAIN_FOLDER
from node.light import EMPTY_ROOT, consistency_ranges, keccak256, leaf_hash, root
from tests.support.anchoring import ORGANISATION, Business
from tests.support.comet import Rpc
from tests.support.consortium import CHAIN_ID, Consortium, Place
from tests.support.doors import PlainDoor, at_plain_door
from tests.support.node_core import ANCHOR_LOG, CONSORTIUM, Call, calldata
from tests.support.province import MONEO, get, wait_until
from tests.support.victims import Forked

PROVINCES: Final = 4
SAMPLES: Final = 60
WAVES: Final = 12
FLIGHTS: Final = (1, 4, 12, 24, 48)
INTERVAL: Final = 0.05
POLL_SECONDS: Final = 0.01
LONGEST_SECONDS: Final = 600
# What a year is reckoned for.
MANY: Final = 34
EVERY_SECONDS: Final = 10
YEAR_SECONDS: Final = 365 * 86_400
# A CommitSig of CometBFT 0.38 as protobuf: flag, address, time, signature; and where each height's
# is kept: in the next block, as its commit, and as the commit that the node has seen.
SIGNATURE_BYTES: Final = 106
SIGNATURE_PLACES: Final = 3
WAY_HEAD: Final = ("four validators", "least s", "median s", "p99 s", "samples")
RATE_HEAD: Final = ("checkpoints at once", "checkpoints/s", "checkpoints a block", "s a block")
_HEAD: Final = "(address,bytes32,uint256,bytes32,bytes32,uint256)"
_ANCHOR: Final = f"anchor(bytes32,{_HEAD},uint256,bytes32,bytes32[])"


class Spawner:
    """Starts commands of `moneo` as they are, so that their memory is their own."""

    def __init__(self) -> None:
        # Kept, so that each can be waited for.
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], output: Path, *, first: Sequence[str] = ()) -> Forked:
        """Start one, whose words are added to a file."""
        assert not first, "these are what they are"
        with output.open("ab") as file:
            process = subprocess.Popen(
                [*MONEO, *command], stdout=file, stderr=file, start_new_session=True
            )
        self._started.append(process)
        return Forked(process.pid)


# A checkpoint's way


@contextmanager
def pipeline(place: Place) -> Iterator[tuple[Province, Pipeline, list[float]]]:
    """Yield a province's own pipeline, and where it notes when it has sent a transaction."""
    settings = replace(load(place.settings.data), interval=INTERVAL)
    signer = Signer(settings.origin, load_private_key(settings.log_key))
    sent: list[float] = []

    class Watched(Chain):
        def send(self, raw: bytes) -> None:
            sent.append(time.perf_counter())
            super().send(raw)

    with (
        Log(settings.log_path, settings.origin, signer) as log,
        closing(Store.open(settings.database_url)) as store,
        closing(Watched(settings.rpc_url, load_member_key(settings.member_key))) as chain,
        closing(Province.open(settings)) as province,
    ):
        steps = Pipeline(settings, store, log, chain, signer, say)
        steps.reconcile()
        yield province, steps, sent


def checkpoint_ways(place: Place, samples: int) -> list[float]:
    """Return the seconds from each checkpoint sent to its evidence complete."""
    ways = []
    with pipeline(place) as (province, steps, sent):
        business = Business.of(place.settings.origin)
        business.apply(province)
        steps.advance()
        for _ in range(samples):
            accepted = province.accept(business.batch(1), ORGANISATION)
            steps.log_batches()
            while not steps.is_due():
                time.sleep(POLL_SECONDS)
            sent.clear()
            (anchored,) = steps.advance()
            ways.append(time.perf_counter() - sent[0])
            evidence = province.evidence([(accepted.batch, 0)])
            assert verify(evidence, province.trust()).proven, anchored
    return ways


def http_ways(consortium: Consortium, samples: int) -> list[float]:
    """Return the seconds from a 202 of a whole province to a verdict on the record's evidence."""
    settings = consortium[1].settings
    consortium.start(1, ("anchor", "api"))
    consortium.wait_api(1)
    # What it says to a person is no part of the tables.
    with redirect_stdout(sys.stderr):
        business = at_plain_door(settings, consortium.folder, "htx-do")
    ways = []
    assert isinstance(business, PlainDoor)
    for _ in range(samples + 1):
        business.submit()
        began, newest = time.perf_counter(), business.acknowledged[-1]
        url = f"{settings.public_url}/v1/records/{newest.batch}.0/evidence"
        while (answer := get(url))[0] != 200:
            time.sleep(POLL_SECONDS)
        assert verify(answer[1], settings.trust_path.read_bytes()).proven
        ways.append(time.perf_counter() - began)
        # Not right behind an anchor, which would wait for the interval.
        time.sleep(2 * settings.interval)
    consortium.kill(1, ("anchor", "api"))
    # The first one's key had to be registered.
    return ways[1:]


# Many at once


@dataclass
class Small:
    """A log that grows by one entry a checkpoint, and its head on the chain."""

    place: Place
    number: int
    size: int = 0
    block: int = 0

    @property
    def origin(self) -> bytes:
        """The hash of its name."""
        return sha256(f"{self.place.settings.origin}/{self.number}".encode()).digest()

    def call(self, nonce: int, to: bytes, gas: int, data: bytes) -> bytes:
        """Sign a transaction of its member's key."""
        return Call(nonce, to, data, gas, chain_id=CHAIN_ID, key=self.place.account).typed()

    def registration(self, nonce: int) -> bytes:
        """The transaction that registers it."""
        data = calldata("register_log(bytes32,bytes32)", self.origin, self.place.member.log_key_id)
        return self.call(nonce, CONSORTIUM, GAS["register_log"], data)

    def checkpoint(self, nonce: int) -> bytes:
        """The transaction that anchors its next checkpoint."""
        leaves = [leaf_hash(n.to_bytes(8, "big")) for n in range(self.size + 1)]
        head = root(leaves[:-1]) if self.size else EMPTY_ROOT
        member = self.place.member
        preimage = (member.account, member.log_key_id, self.size, head, bytes(32), self.block)
        path = [root(leaves[a:b]) for a, b in consistency_ranges(self.size, self.size + 1)]
        data = calldata(_ANCHOR, self.origin, preimage, self.size + 1, root(leaves), path)
        return self.call(nonce, ANCHOR_LOG, GAS["anchor"], data)


class Logs:
    """Logs of all provinces that are anchored as often as the chain takes them."""

    def __init__(self, consortium: Consortium, count: int) -> None:
        self._nonces = {number: place.nonce() for number, place in consortium.places.items()}
        self._numbers = [1 + n % PROVINCES for n in range(count)]
        self.logs = [Small(consortium[at], n) for n, at in enumerate(self._numbers)]
        for log, block in zip(self.logs, self._all("registration", count), strict=True):
            log.block = block

    def wave(self, flight: int) -> set[int]:
        """Anchor the next checkpoint of so many logs at once; return the blocks."""
        blocks = self._all("checkpoint", flight)
        for log, block in zip(self.logs, blocks, strict=False):
            log.size, log.block = log.size + 1, block
        return set(blocks)

    def _all(self, what: str, count: int) -> list[int]:
        """Have so many logs send something, the provinces at the same time; return the blocks."""
        taken = list(zip(self._numbers, self.logs, strict=True))[:count]

        def send(province: int) -> dict[int, int]:
            raws = []
            for number, log in taken:
                if number == province:
                    raws.append((log.number, getattr(log, what)(self._nonces[number])))
                    self._nonces[number] += 1
                    log.place.rpc("eth_sendRawTransaction", "0x" + raws[-1][1].hex())
            rpc = self.logs[province - 1].place.rpc if raws else None
            return {log: mined(rpc, raw) for log, raw in raws if rpc}

        blocks: dict[int, int] = {}
        with ThreadPoolExecutor(PROVINCES) as threads:
            for found in threads.map(send, range(1, PROVINCES + 1)):
                blocks.update(found)
        return [blocks[log.number] for _, log in taken]


def mined(rpc: Rpc, raw: bytes) -> int:
    """Return the block of a transaction, which has to succeed."""
    tx_hash = "0x" + keccak256(raw).hex()
    while (receipt := rpc("eth_getTransactionReceipt", tx_hash)) is None:
        time.sleep(POLL_SECONDS)
    assert receipt["status"] == "0x1", receipt
    return int(receipt["blockNumber"], 16)


@dataclass(frozen=True)
class Rate:
    """So many checkpoints at once: how many of them, in how many blocks and seconds."""

    flight: int
    checkpoints: int
    blocks: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Checkpoints a second."""
        return self.checkpoints / self.seconds


def rates(logs: Logs, flights: Sequence[int], waves: int) -> Iterator[Rate]:
    """Yield what the chain takes at each number of checkpoints at once."""
    for flight in flights:
        say(f"{flight} checkpoints at once")
        began, blocks = time.perf_counter(), set[int]()
        for _ in range(waves):
            blocks |= logs.wave(flight)
        yield Rate(flight, flight * waves, len(blocks), time.perf_counter() - began)


# The disk


def sizes(place: Place) -> dict[str, float]:
    """Return bytes by kind of a node that has ended; compacts its databases."""
    found: dict[str, float] = {}
    for name, size in chain_sizes(place.home / CHAIN_FOLDER):
        found[name] = found.get(name, 0) + size
    folder = place.home / FOLDER
    command = [str(find_program()), "experimental-compact-goleveldb", "--home", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=LONGEST_SECONDS)
    for name, kind in COMET.items():
        files = (folder / "data" / name).rglob("*")
        found[kind] = float(sum(file.stat().st_size for file in files if file.is_file()))
    return found


COMET: Final = {
    "blockstore.db": "CometBFT: block store",
    "state.db": "CometBFT: state",
    "cs.wal": "CometBFT: write-ahead log, bounded",
}


@dataclass(frozen=True)
class Filling:
    """What a number of checkpoints in a number of blocks have added to a node's disk."""

    checkpoints: int
    blocks: int
    bytes: Mapping[str, float]


def fill(consortium: Consortium, logs: Logs, flight: int, waves: int) -> Filling:
    """Anchor, and see how much one node's disk grows by it."""
    place, blocks = consortium[PROVINCES], set[int]()
    before = resting(consortium)
    for _ in range(waves):
        blocks |= logs.wave(flight)
    consortium.wait_one_head()
    after = resting(consortium)
    grown = {kind: size - before[kind] for kind, size in after.items()}
    assert place.rpc.is_up()
    return Filling(flight * waves, len(blocks), grown)


def resting(consortium: Consortium) -> dict[str, float]:
    """Return what lies on the disk of a node, which is stopped for it and started again."""
    consortium.wait_one_head()
    consortium.stop(PROVINCES)
    found = sizes(consortium[PROVINCES])
    consortium.start(PROVINCES)
    consortium.wait_up(PROVINCES)
    return found


def parts(few: Filling, many: Filling, kind: str) -> tuple[float, float] | None:
    """Return the bytes of a kind that a checkpoint and that a block takes, from two fillings.

    None where they cannot be told apart: a database that has tidied up in between has shrunk.
    """
    left = few.checkpoints * many.blocks - many.checkpoints * few.blocks
    by_few, by_many = few.bytes[kind], many.bytes[kind]
    if not left:
        # At small sizes it may be one to a block both times.
        return 0.0, by_few / few.blocks
    checkpoint = max(0.0, (by_few * many.blocks - by_many * few.blocks) / left)
    block = (by_few - checkpoint * few.checkpoints) / few.blocks
    return None if block < 0 else (checkpoint, block)


# Replay


@dataclass(frozen=True)
class Replay:
    """What a node that had nothing has replayed."""

    heights: int
    blocks: int
    seconds: float


def replay(consortium: Consortium) -> Replay:
    """Take a node's blocks away, and see how fast it is back by the others' ones."""
    consortium.wait_one_head()
    place = consortium[PROVINCES]
    consortium.stop(PROVINCES)
    shutil.rmtree(place.home / CHAIN_FOLDER)
    for path in (place.home / FOLDER / "data").iterdir():
        # What it has signed it may not forget.
        if path.is_dir():
            shutil.rmtree(path)
    consortium.start(PROVINCES)
    wait_until("its chain begins", lambda: status(place)["height"] > 0)
    began, first = time.perf_counter(), status(place)
    wanted = status(consortium[1])["height"]
    wait_until("replayed", lambda: status(place)["height"] >= wanted, LONGEST_SECONDS)
    last, seconds = status(place), time.perf_counter() - began
    heights = last["height"] - first["height"]
    return Replay(heights, last["blockNumber"] - first["blockNumber"], seconds)


def answers_calls(rpc: Rpc) -> bool:
    """Whether a node's workers for calls have started."""
    call = {"to": "0x" + CONSORTIUM.hex(), "data": "0x" + calldata("era()").hex()}
    try:
        return bool(rpc.ask("eth_call", call, "latest").get("result"))
    except httpx.TransportError:
        return False


def status(place: Place) -> dict[str, Any]:
    """Return what a node says of itself; nothing done while it does not answer."""
    try:
        answer: dict[str, Any] = place.rpc("moneo_status")
    except httpx.TransportError:
        return {"height": 0, "blockNumber": 0}
    return answer


# The tables


def way_rows(groups: Mapping[str, Sequence[float]]) -> Iterator[Sequence[str]]:
    """Yield a row for each way."""
    for name, ways in groups.items():
        figures = [quantile(ways, share) for share in (0.5, 0.99)]
        yield name, f"{min(ways):.2f}", *(f"{each:.2f}" for each in figures), str(len(ways))


def rate_rows(measured: Sequence[Rate]) -> Iterator[Sequence[str]]:
    """Yield a row for each number at once."""
    for rate in measured:
        yield (
            str(rate.flight),
            f"{rate.per_second:.1f}",
            f"{rate.checkpoints / rate.blocks:.1f}",
            f"{rate.seconds / rate.blocks:.2f}",
        )


def byte_rows(few: Filling, many: Filling) -> Iterator[Sequence[str]]:
    """Yield a row for each kind of bytes."""
    for kind in few.bytes:
        if not few.bytes[kind]:
            continue
        told = parts(few, many, kind)
        yield kind, *(f"{each:,.0f}" for each in told or ()), *(() if told else ("–", "–"))


def year_rows(measured: Sequence[Rate], few: Filling, many: Filling) -> Iterator[Sequence[str]]:
    """Yield what a year of many provinces needs, if they go on like these."""
    checkpoints = MANY * YEAR_SECONDS // EVERY_SECONDS
    pace = min(rate.seconds / rate.blocks for rate in measured)
    blocks = min(checkpoints, int(YEAR_SECONDS / pace))
    yield "checkpoints", f"{checkpoints:,}"
    yield "EVM blocks, made one after another at the quickest pace above", f"{blocks:,}"
    best = max(rate.per_second for rate in measured)
    share = checkpoints / YEAR_SECONDS / best
    yield "of what the chain takes at most", f"{share:.0%}"
    kept = [LEVELDB, *(kind for kind in COMET.values() if "bounded" not in kind)]
    total = 0.0
    for kind in kept:
        told = parts(few, many, kind)
        if told is None:
            yield f"{kind}, GB", "–"
            continue
        size = told[0] * checkpoints + told[1] * blocks
        total += size
        yield f"{kind}, GB", f"{size / 1e9:,.0f}"
    signatures = 2 * blocks * (MANY - PROVINCES) * SIGNATURE_BYTES * SIGNATURE_PLACES
    yield f"signatures of {MANY - PROVINCES} more validators, GB", f"{signatures / 1e9:,.0f}"
    yield "all that is told above, a node, GB", f"{(total + signatures) / 1e9:,.0f}"


def measure(folder: Path, samples: int, waves: int, flights: Sequence[int]) -> None:
    """Print the tables."""
    with Consortium(folder, PROVINCES, starter=Spawner()) as consortium:
        for number in consortium.places:
            consortium.start(number)
        consortium.wait_up()
        for place in consortium.places.values():
            wait_until("calls are answered", lambda rpc=place.rpc: answers_calls(rpc))  # type: ignore[misc]
        say("single checkpoints")
        ways = {
            "checkpoint sent → evidence complete": checkpoint_ways(consortium[2], samples),
            "202 → verdict, over HTTP": http_ways(consortium, samples),
        }
        table(WAY_HEAD, way_rows(ways))
        logs = Logs(consortium, max(flights))
        measured = list(rates(logs, flights, waves))
        table(RATE_HEAD, rate_rows(measured))
        memory = Memory(consortium.pid(1))
        memory.look()
        table(*memory.table())
        say("the disk")
        full = max(flights)
        few, many = fill(consortium, logs, 1, waves * 8), fill(consortium, logs, full, waves)
        table(("bytes on a node's disk", "a checkpoint", "a block"), byte_rows(few, many))
        say("replay")
        replayed = replay(consortium)
        rows = [
            ("heights of consensus/s", f"{replayed.heights / replayed.seconds:,.0f}"),
            ("EVM blocks/s", f"{replayed.blocks / replayed.seconds:,.0f}"),
            ("EVM blocks", f"{replayed.blocks:,}"),
        ]
        table(("replay by a node that joins", ""), rows)
        head = (f"a year of {MANY} provinces, each anchoring every {EVERY_SECONDS} s", "")
        table(head, year_rows(measured, few, many))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="single checkpoints")
    parser.add_argument("--waves", type=int, default=WAVES, help="rounds of many at once")
    parser.add_argument("--flights", type=int, nargs="+", default=FLIGHTS, help="how many at once")
    parser.add_argument("--quick", action="store_true", help="small sizes: figures say little")
    options = parser.parse_args(argv)
    if options.quick:
        options.samples, options.waves, options.flights = 4, 3, (1, 12)
    print(f"{machine()}\n")
    try:
        find_program()
    except CometMissing as error:
        print(f"not measured: {error}")
        return 0
    with workplace() as folder:
        measure(folder, options.samples, options.waves, options.flights)
    return 0


if __name__ == "__main__":
    sys.exit(main())
