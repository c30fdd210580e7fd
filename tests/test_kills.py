# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes are killed while both doors take batches: nothing acknowledged is missing, nothing is twice.

Killed at random moments, and at each durable step of a cycle from a batch's acceptance to its anchor.
In the suite a few times; `--long` makes a thousand kills of each process and takes every step, prints
how far it is, and writes what it found in docs/kills.md, also when it is interrupted.
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from anchor.batch import note_hash, read_batch_note
from anchor.checkpoint import open_checkpoint
from anchor.keys import load_private_key
from anchor.note import Signer
from anchor.province import Province, found
from anchor.receipt import open_receipt
from anchor.settings import Settings, load
from anchor.store import batch_id
from anchor.tiles import Log
from anchor.verify import verify
from node.chain import Chain
from node.db import LevelDB
from node.genesis import CHAIN_FOLDER
from node.genesis import found as found_chain
from node.genesis import load as load_genesis
from node.light import from_rpc, timestamp
from node.sequencer import light_key
from node.signed import SIGNED_FILE
from tests.support.doors import MARK, Acknowledged, Business, at_plain_door, at_signed_door
from tests.support.province import ROOT, free_addresses, get, json_of, moneo, wait_until
from tests.support.victims import NAMES, Victims

ORIGIN = "moneo.example/kills/2026"
SEED = 20261122
DOORS = {"dong": at_signed_door, "tay": at_signed_door, "nam": at_plain_door, "bac": at_plain_door}
PAUSE = 0.7
# A third of the lives end within so many seconds of the start, the others within so many of serving.
LIVES = {"node": (1.0, 4.5), "anchor": (0.4, 4.0), "api": (0.4, 4.0)}
SUITE_KILLS, SUITE_STRIDE, LONG_KILLS = 2, 41, 1000
PROGRESS_SECONDS = 20.0
ANCHORED_SECONDS = 300.0
DOCTOR_SECONDS = 1200.0
PAGE = 500
COMMAND = "`./scripts/test tests/test_kills.py --long -k {}`"
INTERRUPTED = "interrupted: what was acknowledged until now is compared"


@dataclass
class Watcher:
    """Keeps what the province has shown of log and chain, as mirrors and other nodes would."""

    settings: Settings
    checkpoints: set[bytes] = field(default_factory=set)
    votes: dict[int, Any] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    read: dict[Path, bytes] = field(default_factory=dict)

    def watch(self, ending: threading.Event) -> None:
        """Look again and again until told to end."""
        asked = 0.0
        while not ending.wait(0.02):
            self._read(self.settings.log_path / "checkpoint", self.checkpoints.add)
            self._read(self.settings.node_home / SIGNED_FILE, self._vote)
            if time.monotonic() - asked > 0.2:
                asked = time.monotonic()
                self._ask()

    def _read(self, path: Path, take: Callable[[bytes], None]) -> None:
        data = path.read_bytes() if path.exists() else b""
        if data != self.read.get(path, b""):
            self.read[path] = data
            take(data)

    def _vote(self, data: bytes) -> None:
        light_block = from_rpc(json.loads(data)["light_block"])
        self._see(self.votes, light_block.header.height, light_block.block_id)

    def _ask(self) -> None:
        block = rpc(self.settings, "eth_getBlockByNumber", "latest", False)
        if block:
            self._see(self.heads, int(block["number"], 16), block["hash"])

    def _see(self, known: dict[int, Any], number: int, value: Any) -> None:
        if known.setdefault(number, value) != value:
            self.faults.append(f"{number}: seen as {known[number]} and as {value}")


def rpc(settings: Settings, method: str, *params: Any) -> Any:
    """What the node answers, None if it does not."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    query = Request(
        settings.rpc_url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urlopen(query, timeout=5) as answer:
            return json.load(answer).get("result")
    except (OSError, ValueError, HTTPException):
        return None


class Killer(threading.Thread):
    """Kills one process at random moments, and starts it again at once."""

    def __init__(self, victims: Victims, name: str, kills: int, ending: threading.Event) -> None:
        super().__init__(daemon=True)
        self.victims, self.process, self.kills, self.ending = victims, name, kills, ending
        self.chance = random.Random(f"{SEED} {name}")
        self.done = self.starting = 0
        self.faults: list[str] = []

    def run(self) -> None:
        while self.done < self.kills:
            starting, working = LIVES[self.process]
            is_starting = self.chance.randrange(3) == 0
            if not is_starting:
                self._await_work()
            if self.ending.wait(self.chance.uniform(0, starting if is_starting else working)):
                return
            if self.victims.has_ended(self.process):
                self.faults.append(f"{self.process} ended by itself: see {self.victims.output}")
            self.victims.kill(self.process)
            self.done += 1
            self.starting += is_starting
            self.victims.start(self.process)

    def _await_work(self) -> None:
        while not (self.victims.is_serving(self.process) or self.victims.has_ended(self.process)):
            if self.ending.wait(0.02):
                return


@dataclass
class Play:
    """A province with its businesses and who watches it; `say` prints how far it is."""

    victims: Victims
    businesses: list[Business]
    watcher: Watcher
    say: Callable[[str], None]
    began: float = field(default_factory=time.time)
    kills: Counter[str] = field(default_factory=Counter)
    submitting: list[threading.Thread] = field(default_factory=list)

    def kill_at_random(self, kills: int) -> list[Killer]:
        """Kill each process so often while all businesses submit; an interruption ends it early."""
        ending, stopping = threading.Event(), threading.Event()
        killers = [Killer(self.victims, name, kills, stopping) for name in NAMES]
        self.submitting = [
            threading.Thread(target=one.keep_submitting, args=(ending, PAUSE), daemon=True)
            for one in self.businesses
        ]
        for thread in (*self.submitting, *killers):
            thread.start()
        try:
            self._report(killers, 3 * kills)
        except KeyboardInterrupt:
            self.say(INTERRUPTED)
        stopping.set()
        for killer in killers:
            killer.join()
            self.kills[killer.process] = killer.done
        ending.set()
        self.settle()
        return killers

    def _report(self, killers: list[Killer], kills: int) -> None:
        said = time.time()
        while any(killer.is_alive() for killer in killers):
            time.sleep(0.2)
            if time.time() - said > PROGRESS_SECONDS:
                said, done = time.time(), sum(killer.done for killer in killers)
                rate = done / (said - self.began)
                faults = sum(map(len, self._told(*(killer.faults for killer in killers))))
                self.say(
                    f"{done} of {kills} kills, {rate:.1f}/s, "
                    f"{(kills - done) / max(rate, 0.01) / 60:.0f} min left, {self.acknowledged()} batches, "
                    f"{len(self.watcher.checkpoints)} checkpoints, height {max(self.watcher.votes, default=0)}, "
                    f"{faults} faults"
                )

    def kill_at_steps(self, name: str, stride: int = 1) -> None:
        """Kill a process at each of its steps, or each `stride`th, until a whole cycle has no more of them."""
        at = 1
        while self.is_killed_in_cycle(name, at):
            self.kills[name] += 1
            at += stride
            if self.kills[name] % 20 == 0:
                self.say(f"{name}: step {at}, {time.time() - self.began:.0f} s")
        # What it was started for must not happen to it later.
        self.start_again(name)

    def is_killed_in_cycle(self, name: str, at: int | None = None) -> bool:
        """Start a process to be killed at a step, take a batch from each business, see all of it anchored.

        Once killed the process is started again; one that ends by itself fails the test.
        """
        self.start_again(name, at)
        self.submitting = [
            threading.Thread(target=one.submit, daemon=True) for one in self.businesses
        ]
        for thread in self.submitting:
            thread.start()
        is_killed, until = False, time.monotonic() + ANCHORED_SECONDS
        while any(thread.is_alive() for thread in self.submitting) or not self.is_anchored():
            assert time.monotonic() < until, "not anchored in time"
            if self.victims.has_ended(name, 0.02):
                assert not is_killed, f"{name} ended by itself"
                is_killed = True
                self.start_again(name)
        return is_killed

    def settle(self) -> None:
        """Bring what was begun to its end; every process has to be running."""
        for thread in self.submitting:
            thread.join(ANCHORED_SECONDS)
            assert not thread.is_alive(), "a batch is not acknowledged with every process running"

    def start_again(self, name: str, at: int | None = None) -> None:
        """Kill a process, if it is there, and start it, to be killed at that step."""
        self.victims.kill(name)
        self.victims.start(name, at)

    def acknowledged(self) -> int:
        """How many batches are acknowledged."""
        return sum(len(one.acknowledged) for one in self.businesses)

    def is_anchored(self) -> bool:
        """Whether the newest batch of each business is anchored, by the API's word."""
        answers = (self._ask(f"/v1/batches/{one.batch}") for one in self._newest())
        return all(
            status == 200 and json.loads(body)["state"] == "anchored" for status, body in answers
        )

    def is_shown(self) -> bool:
        """Whether there is evidence of the newest batch of each business under its code."""
        return all(self._ask(evidence_of(one))[0] == 200 for one in self._newest())

    def _newest(self) -> list[Acknowledged]:
        return [one.acknowledged[-1] for one in self.businesses]

    def _ask(self, path: str) -> tuple[int, bytes]:
        try:
            return get(f"{self.victims.settings.public_url}{path}")
        except (OSError, HTTPException):
            return 0, b""

    def _told(self, *more: list[str]) -> list[list[str]]:
        return [*more, self.watcher.faults, *(one.faults for one in self.businesses)]

    def faults(self, *more: list[str]) -> list[str]:
        """Compare all that was acknowledged and shown with all that is there; stops the province."""
        wait_until("all is anchored", self.is_anchored, ANCHORED_SECONDS)
        wait_until("all is indexed", self.is_shown)
        settings, sent = self.victims.settings, [a for b in self.businesses for a in b.acknowledged]
        found = [fault for told in self._told(*more) for fault in told]
        found += in_database(settings, sent)
        found += in_log(settings, sent, self.watcher.checkpoints)
        found += in_evidence(settings, sent)
        found += by_doctor(settings)
        self.victims.stop()
        return [*found, *on_chain(settings, self.watcher)]


# What is compared


def in_database(settings: Settings, sent: list[Acknowledged]) -> Iterator[str]:
    """Every acknowledged record is there once, no other is; receipts are the log's, and the ones given."""
    public_key = Signer(settings.origin, load_private_key(settings.log_key)).public_key
    with closing(Province.open(settings)) as province:
        marks = Counter[str]()
        row = 0
        while page := province.batches_after(row, PAGE):
            row = page[-1].row
            marks.update(str(r.fields()[MARK]) for stored in page for r in stored.records())
        for mark, count in (marks - Counter(mark for one in sent for mark in one.marks)).items():
            yield f"{mark}: {count} times more than it was sent"
        for one in sent:
            missing = [mark for mark in one.marks if not marks[mark]]
            if missing:
                yield f"{one.batch}: acknowledged, and {missing} missing"
            receipt = open_receipt(one.receipt, settings.origin, public_key)
            if batch_id(receipt.batch) != one.batch or province.receipt(one.batch) != one.receipt:
                yield f"{one.batch}: another batch's receipt, or another receipt"


def in_log(settings: Settings, sent: list[Acknowledged], checkpoints: set[bytes]) -> Iterator[str]:
    """The log has each acknowledged batch once and nothing else, and goes on from every checkpoint."""
    public_key = Signer(settings.origin, load_private_key(settings.log_key)).public_key
    with Log(settings.log_path, settings.origin, public_key=public_key) as log:
        log.check()
        entries = log.entries(0, log.size)
        logged = Counter(batch_id(note_hash(read_batch_note(entry)[1])) for entry in entries)
        wanted = Counter(one.batch for one in sent)
        yield from (f"{batch}: twice in the log, or never sent" for batch in logged - wanted)
        yield from (f"{batch}: not in the log" for batch in wanted - logged)
        for note in checkpoints:
            seen = open_checkpoint(note, settings.origin, public_key)
            if seen.size > log.size or log.root(seen.size) != seen.root:
                yield f"the checkpoint over {seen.size} entries contradicts the log"


def in_evidence(settings: Settings, sent: list[Acknowledged]) -> Iterator[str]:
    """What a stranger gets for each batch's code over HTTP proves its records, and no others."""
    trust = settings.trust_path.read_bytes()
    for one in sent:
        status, evidence = get(settings.public_url + evidence_of(one))
        verdict = verify(evidence, trust, expect_code=one.code)
        shown = {(r.id, r.fields.get(MARK), r.custody) for r in verdict.records}
        wanted = {(f"{one.batch}.{n}", mark, one.custody) for n, mark in enumerate(one.marks)}
        if status != 200 or not verdict.proven or shown != wanted:
            yield f"{one.batch}: {status}, {verdict.failure}, {sorted(map(str, shown ^ wanted))}"


def evidence_of(one: Acknowledged) -> str:
    """Where the API has the evidence under a batch's code."""
    return f"/v1/evidence?code={quote(one.code, safe='')}"


def by_doctor(settings: Settings) -> Iterator[str]:
    """What `moneo doctor` has to say against any of it."""
    words = ("doctor", "--data", settings.data, "--json")
    said = moneo(*words, home=settings.data.parent, status=None, seconds=DOCTOR_SECONDS)
    for finding in json_of(said):
        if finding["state"] != "good":
            yield f"doctor: {finding}"


def on_chain(settings: Settings, watcher: Watcher) -> Iterator[str]:
    """Every vote and every head that was ever seen is the chain's own."""
    with closing(LevelDB(settings.node_home / CHAIN_FOLDER)) as database:
        chain = Chain(database, load_genesis(settings.node_home))
        for height, block_id in watcher.votes.items():
            stored = chain.get_extra(light_key(height))
            if not stored or from_rpc(json.loads(stored)["light_block"]).block_id != block_id:
                yield f"height {height}: another block than was voted for"
        for number, seen in watcher.heads.items():
            if number > chain.head().block_number or chain.hash_of(number).hex() != seen[2:]:
                yield f"EVM block {number}: another one than was shown"


# The tests


@pytest.fixture
def play(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Play]:
    def say(sentence: str) -> None:
        with capfd.disabled():
            print(f"\n{time.strftime('%H:%M:%S')} {sentence}", end="", flush=True)  # noqa: T201

    with province(tmp_path / "var") as victims, interruptible():
        businesses = [door(victims.settings, tmp_path, name) for name, door in DOORS.items()]
        with watching(Watcher(victims.settings)) as watcher:
            yield Play(victims, businesses, watcher, say)


@contextmanager
def province(data: Path) -> Iterator[Victims]:
    """Found a province that anchors five times a second, and run its processes."""
    api, rpc_address = free_addresses(2)
    settings = Settings(data, "Tỉnh thử", ORIGIN, (api,), rpc_address, interval=0.2, listen=api)
    settings = replace(settings, public_url=f"http://{api}")
    found_chain(settings.node_home, "kills", [found(settings)], timestamp(time.time_ns()))
    victims = Victims(load(data))
    try:
        victims.start_all()
        yield victims
    finally:
        victims.stop()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the killing, also where a shell has them ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def watching(watcher: Watcher) -> Iterator[Watcher]:
    ending = threading.Event()
    thread = threading.Thread(target=watcher.watch, args=(ending,), daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        ending.set()
        thread.join()


def test_nothing_acknowledged_is_lost_or_doubled_by_kills(play: Play) -> None:
    killers = play.kill_at_random(SUITE_KILLS)
    assert set(play.kills.values()) == {SUITE_KILLS}
    for name in NAMES:
        play.kill_at_steps(name, SUITE_STRIDE)
    assert min(play.kills.values()) > SUITE_KILLS
    assert not play.faults(*(killer.faults for killer in killers))
    assert len(play.watcher.checkpoints) > 1 and len(play.watcher.heads) > 1


@pytest.mark.long
def test_nothing_acknowledged_is_lost_or_doubled_by_a_thousand_kills_of_each(play: Play) -> None:
    killers = play.kill_at_random(int(os.environ.get("MONEO_KILLS", LONG_KILLS)))
    play.say(f"{listed(play.kills)}; comparing {play.acknowledged()} batches")
    faults = play.faults(*(killer.faults for killer in killers))
    starting = {killer.process: killer.starting for killer in killers}
    rows: dict[str, object] = {
        "command": COMMAND.format("thousand"),
        "kills": listed(play.kills),
        "of them while it was starting": listed(starting),
    }
    write_result("Random moments", rows | result_of(play, faults))
    assert not faults


@pytest.mark.long
def test_nothing_acknowledged_is_lost_or_doubled_by_a_kill_at_any_durable_step(play: Play) -> None:
    whole = []
    try:
        for name in NAMES:
            play.kill_at_steps(name)
            whole.append(name)
    except KeyboardInterrupt:
        play.say(INTERRUPTED)
        for name in NAMES:
            play.start_again(name)
        play.settle()
    play.say(f"{listed(play.kills)}; comparing {play.acknowledged()} batches")
    faults = play.faults()
    rows: dict[str, object] = {
        "command": COMMAND.format("durable"),
        "kills, each at another step": listed(play.kills),
        "every step of a cycle was taken": ", ".join(whole) or "of none",
    }
    write_result("Every durable step", rows | result_of(play, faults))
    assert not faults


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def result_of(play: Play, faults: list[str]) -> dict[str, object]:
    """What the tables have in common."""
    sent = [one for business in play.businesses for one in business.acknowledged]
    outcomes = sum((one.outcomes for one in play.businesses), Counter[str]())
    by_door = Counter(one.custody for one in sent)
    seen = play.watcher
    rows: dict[str, object] = {
        "batches acknowledged": f"{by_door['holder']:,} at the signed door, {by_door['operator']:,} at the plain one",
        "their records": f"{sum(len(one.marks) for one in sent):,}",
        "requests cut off without an answer": f"{outcomes['unclear']:,}",
        "of them kept, and answered so when they came again": f"{outcomes['had been kept']:,}",
        "lost, doubled, not proven by their evidence, contradicted": f"{len(faults):,}",
        "checkpoints seen published, all consistent with the final log": f"{len(seen.checkpoints):,}",
        "votes and chain heads seen, all of the final chain": f"{len(seen.votes):,}, {len(seen.heads):,}",
        "duration": f"{(time.time() - play.began) / 60:.0f} min",
        "date": time.strftime("%Y-%m-%d", time.gmtime(play.began)),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.0f}",
    }
    return rows | {f"fault {number}": fault for number, fault in enumerate(faults[:20], start=1)}


def write_result(title: str, rows: dict[str, object], name: str = "kills.md") -> None:
    """Put a table under its heading in a file of docs; the other headings stay as they are."""
    path = ROOT / "docs" / name
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    parts = path.read_text().split("\n## ")
    kept = [part for part in parts if not part.startswith(f"{title}\n")]
    path.write_text("\n## ".join([*kept, f"{title}\n\n| | |\n|---|---|\n{table}"]))
