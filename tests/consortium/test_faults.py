# SPDX-License-Identifier: GPL-3.0-or-later
"""Four provinces whose nodes are killed, stopped and cut off from each other while batches are anchored.

One has made a history alone, the others have replayed it and were voted in. Two of them take
batches, each by another door; the other two send transactions of their own, so that the chain never
rests. What was acknowledged is in the end compared with all that is there, as tests/test_kills.py does
it for one province. The long forms write what they found in docs/faults.md.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anchor.settings import Settings
from tests.support.comet import need_cometbft, wait_until
from tests.support.consortium import ALL, HOSTS, NODE, Chatter, Consortium, Place, same_history
from tests.support.doors import Acknowledged, Business, at_plain_door, at_signed_door
from tests.support.province import get, json_of
from tests.test_kills import in_database, in_evidence, in_log, write_result

SEED = 20261122
DOORS = {1: at_signed_door, 2: at_plain_door}
BACK_SECONDS = 30.0
SUITE_KILLS, LONG_KILLS = 5, int(os.environ.get("MONEO_KILLS", "50"))
# Blocks of consensus that there are in the end, and how many of them one validator makes alone.
SUITE_HEIGHTS, SUITE_HISTORY = 200, 150
LONG_HEIGHTS = int(os.environ.get("MONEO_HEIGHTS", "10000"))
# While it does, so many transactions come together, each time that so many heights have been made.
TOGETHER, APART = 10, 50
FILLING_GAS = 150_000
# Long enough to see a chain that goes on: it makes a block in less than a second.
LOOK_SECONDS = 2.0
# CometBFT calls a lost peer every few seconds for so long, and then more and more seldom.
LONG_CUT_SECONDS = 240.0
PAUSE = 0.3
RESULTS = "faults.md"
SMALLER = "".join(
    f"{name}={os.environ[name]} " for name in ("MONEO_HEIGHTS", "MONEO_KILLS") if name in os.environ
)
COMMAND = f"`{SMALLER}./scripts/test tests/consortium/test_faults.py --long -k {{}}`"


class Scene:
    """Four provinces, their businesses, and what was acknowledged."""

    def __init__(self, consortium: Consortium) -> None:
        self.consortium = consortium
        self.businesses: dict[int, Business] = {}
        self.chatters: dict[int, Chatter] = {}
        # Seconds until what waited was anchored, once the fault was over.
        self.back: dict[str, float] = {}
        # What is worth telling of how it all began.
        self.rows: dict[str, object] = {}

    def __getitem__(self, number: int) -> Place:
        return self.consortium[number]

    def open(self) -> None:
        """Start what does not run, and let two provinces have a business each."""
        for number in self.consortium.places:
            wanted = ALL if number in DOORS else NODE
            names = [name for name in wanted if not self.consortium.is_running(number, name)]
            self.consortium.start(number, names, keep=True)
        self.consortium.wait_up()
        self.consortium.wait_api(*DOORS)
        for number, door in DOORS.items():
            place = self[number]
            self.businesses[number] = door(place.settings, self.consortium.folder, f"p{number}")
        for number in set(self.consortium.places) - set(DOORS):
            self.chatters[number] = Chatter(self.consortium, number)

    def close(self) -> None:
        for chatter in self.chatters.values():
            chatter.give_up()

    def submit(self, *numbers: int) -> None:
        """Submit a batch at provinces; return when each is acknowledged."""
        for number in numbers or DOORS:
            self.businesses[number].submit()

    def state(self, number: int) -> str:
        """Return what a province says of its business's newest batch."""
        newest = self.businesses[number].acknowledged[-1]
        status, body = get(f"{self[number].settings.public_url}/v1/batches/{newest.batch}")
        assert status == 200, body
        return str(json_of(body.decode())["state"])

    def wait_anchored(self, *numbers: int, seconds: float = 60.0) -> float:
        """Wait until the newest batch of provinces is anchored; return how long it took."""
        began = time.monotonic()
        for number in numbers or DOORS:
            wait_until(
                f"anchored by province {number}",
                lambda number=number: self.state(number) == "anchored",  # type: ignore[misc]
                began + seconds - time.monotonic(),
            )
        return time.monotonic() - began

    def goes_on(self, fault: str, *numbers: int) -> None:
        """See that it goes on by itself, and soon, now that a fault is over."""
        self.back[fault] = self.wait_anchored(*numbers, seconds=BACK_SECONDS)

    def heights(self, *numbers: int) -> list[int]:
        """Return how far CometBFT is at provinces; one that is just starting is waited for."""
        return [wait_until(f"height of {n}", self[n].comet.height) for n in numbers]

    def wait_heights(self, count: int) -> None:
        """Wait until all have made so many; transactions are sent as long as that takes."""
        for number in self.consortium.places:
            self[number].comet.wait_height(count)

    def stands_still(self, *numbers: int) -> None:
        """See that the chain stands still at provinces, though transactions wait."""
        waiting = [self[number].rpc for number in numbers if number in DOORS]
        for rpc in waiting:
            wait_until("a transaction that waits", lambda rpc=rpc: rpc("moneo_status")["waiting"])  # type: ignore[misc]
        # A block that was as good as decided is still made.
        before: list[int] = []
        until = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < until:
            if before != (now := self.heights(*numbers)):
                assert len(before) == 0 or sum(now) - sum(before) <= 2 * len(now), "it goes on"
                before, until = now, time.monotonic() + LOOK_SECONDS
            time.sleep(0.2)
        for number in numbers:
            if number in DOORS:
                assert self.state(number) == "logged"

    def faults(self) -> list[str]:
        """Compare all that was acknowledged with all that is there; ends the processes."""
        self.wait_anchored()
        found = []
        for number, business in self.businesses.items():
            found += business.faults
            found += compared(self[number].settings, business.acknowledged)
        for number, chatter in self.chatters.items():
            done, place = chatter.end(), self[number]
            if done != place.nonce():
                found.append(f"province {number}: {done} executed, its nonce is {place.nonce()}")
        self.consortium.wait_one_head()
        self.consortium.stop(*self.consortium.places)
        return found


def compared(settings: Settings, sent: list[Acknowledged]) -> Iterator[str]:
    """Say what of a province's batches is lost, doubled or not proven by its evidence."""
    yield from in_database(settings, sent)
    yield from in_log(settings, sent, set())
    wait_until("indexed", lambda: not list(in_evidence(settings, sent[-1:])))
    yield from in_evidence(settings, sent)


@contextmanager
def scene(
    folder: Path, history: int = 0, say: Callable[[str], None] = lambda _: None
) -> Iterator[Scene]:
    """Four provinces that have founded a chain; with a history, one has, and let the others join."""
    need_cometbft()
    with Consortium(folder, 4, founders=1 if history else 4) as consortium, consortium.keeping():
        opened = Scene(consortium)
        if history:
            opened.rows |= make_history(consortium, history, say)
            opened.rows |= join_all(consortium, say)
        try:
            opened.open()
            yield opened
        finally:
            opened.close()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("four"), SUITE_HISTORY) as opened:
        yield opened


# The tests of the suite go on from each other; the last one compares all.


def test_one_of_four_down_and_anchoring_goes_on(four: Scene) -> None:
    four.consortium.kill(4)
    four.submit()
    four.wait_anchored()
    four.consortium.start(4, keep=True)
    four.consortium.wait_up(4)


def test_two_of_four_down_and_nothing_is_called_anchored_until_they_are_back(four: Scene) -> None:
    four.consortium.kill(3)
    four.consortium.pause(4)
    four.submit()
    four.stands_still(1, 2)
    # Acknowledged all the same, and none of it is anchored.
    four.submit()
    assert {four.state(number) for number in DOORS} <= {"accepted", "logged"}
    four.consortium.start(3, keep=True)
    four.goes_on("two of four killed, one of them back")
    four.consortium.resume(4)


@pytest.mark.parametrize("how", ["silent", pytest.param("closed", marks=pytest.mark.long)])
def test_cut_in_halves_it_halts_and_healed_it_goes_on(four: Scene, how: Any) -> None:
    four.consortium.cut({1, 3}, {2, 4}, how)
    four.submit()
    four.stands_still(1, 2, 3, 4)
    four.consortium.heal()
    four.goes_on(f"cut in halves, {how}")


def test_one_cut_off_anchors_nothing_the_others_go_on_and_healed_it_follows(four: Scene) -> None:
    four.consortium.cut({1}, {2, 3, 4})
    four.submit()
    four.wait_anchored(2)
    four.stands_still(1)
    four.consortium.heal()
    four.goes_on("one cut off", 1)


def test_killed_and_stopped_at_random_all_come_to_the_same_blocks(four: Scene) -> None:
    harm_at_random(four, SUITE_KILLS)
    four.wait_heights(SUITE_HEIGHTS)
    assert four.faults() == []
    assert same_history(four.consortium.places) > SUITE_HISTORY // APART


def harm_at_random(
    at: Scene, kills: int, say: Callable[[str], None] = lambda _: None
) -> Counter[str]:
    """Kill nodes and CometBFTs, and stop some for a while, while batches are submitted."""
    chance, done, ending = random.Random(SEED), Counter[str](), threading.Event()
    submitting = [
        threading.Thread(target=business.keep_submitting, args=(ending, PAUSE), daemon=True)
        for business in at.businesses.values()
    ]
    for thread in submitting:
        thread.start()
    for number in range(kills):
        victim, what = chance.randint(1, 4), ("node", "comet", "both", "comet", "pause")[number % 5]
        time.sleep(chance.uniform(0, 2))
        harm(at.consortium, victim, what)
        done["pauses" if what == "pause" else f"kills of {what}"] += 1
        if number % 10 == 9:
            say(f"{number + 1} of {kills}, height {at.heights(1)[0]}")
        # Most are killed while another is not back yet; some times there is a quorum again.
        if number % 3 == 2:
            at.consortium.wait_up()
    at.consortium.wait_up()
    ending.set()
    for thread in submitting:
        thread.join(60)
        assert not thread.is_alive(), "a batch is not acknowledged"
    return done


def harm(consortium: Consortium, victim: int, what: str) -> None:
    if what == "pause":
        consortium.pause(victim)
        time.sleep(1.5)
        consortium.resume(victim)
    elif what == "both":
        consortium.kill_again(victim, "node")
        consortium.kill_again(victim % 4 + 1, "comet")
    else:
        consortium.kill_again(victim, what)


# The long forms


@pytest.mark.long
def test_long_history_is_replayed_by_those_who_join_and_survives_fifty_kills(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One validator makes 10,000 heights, three more replay them and are voted in; then they are killed."""
    began = time.time()
    rows: dict[str, object] = {"command": COMMAND.format("fifty")}

    def say(sentence: str) -> None:
        with capfd.disabled():
            print(f"\n{time.strftime('%H:%M:%S')} {sentence}", end="", flush=True)  # noqa: T201

    with scene(tmp_path, LONG_HEIGHTS, say) as at:
        consortium = at.consortium
        rows |= at.rows
        done = harm_at_random(at, LONG_KILLS, say)
        rows |= {name: f"{count:,}" for name, count in sorted(done.items())}
        at.submit()
        rows["heights in the end"] = f"{max(at.heights(*consortium.places)):,}"
        faults = at.faults()
        blocks = same_history(consortium.places)
        for number in consortium.places:
            if consortium[number].evm_hashes()[blocks:]:
                faults.append(f"province {number} has more blocks than another")
        sent = [one for business in at.businesses.values() for one in business.acknowledged]
        rows |= {
            "batches acknowledged": f"{len(sent):,}",
            "transactions sent beside them": f"{sum(c.executed for c in at.chatters.values()):,}",
            "nodes started again after their CometBFT or they were killed": f"{consortium.restarts:,}",
            "EVM blocks, the same everywhere": f"{blocks:,}",
            "lost, doubled, not proven by their evidence": f"{len(faults):,}",
        }
    rows |= closing_rows(began, faults)
    write_result("A long history and many kills", rows, RESULTS)
    assert not faults


def make_history(
    consortium: Consortium, heights: int, say: Callable[[str], None]
) -> dict[str, object]:
    """Have one validator make a long history, without a pause between its heights."""
    place = consortium[1]
    consortium.first[1] = ("tests.support.byzantine:hurry", "0s", "true")
    consortium.start(1)
    consortium.wait_up(1)
    began = time.monotonic()
    for part in range(heights // APART):
        for nonce in range(part * TOGETHER, (part + 1) * TOGETHER):
            values = (place.member.node_id, (nonce + 1).to_bytes(32, "big"))
            consortium.send(place.call(nonce, HOSTS, *values, gas=FILLING_GAS), 1)
        height = (part + 1) * APART
        place.comet.wait_height(height)
        if height % 1_000 == 0:
            say(f"height {height:,}, {height / (time.monotonic() - began):.0f}/s")
    seconds = time.monotonic() - began
    wait_until("all executed", lambda: place.rpc("moneo_status")["waiting"] == 0)
    consortium.stop(1)
    del consortium.first[1]
    consortium.start(1, keep=True)
    consortium.wait_up(1)
    return {
        "heights made by one validator": f"{heights:,}, {heights / seconds:.0f}/s",
        "their transactions": f"{heights // APART * TOGETHER:,}",
    }


def join_all(consortium: Consortium, say: Callable[[str], None]) -> dict[str, object]:
    """Have the others replay all that there is at once, and then vote them in one after another."""
    wanted, began = int(consortium[1].rpc("moneo_status")["height"]), time.monotonic()
    joining = list(consortium.places)[1:]
    for number in joining:
        # One that met only others without any block would take itself for up to date.
        consortium.cut({number}, set(joining) - {number})
        consortium.start(number, keep=True)
    for number in joining:
        reached = consortium[number].comet.height
        wait_until(f"replayed by {number}", lambda at=reached: at() >= wanted, 3_600)  # type: ignore[misc]
    rate = f"{wanted / (time.monotonic() - began):.0f}/s"
    say(f"the others have replayed {wanted:,} heights, {rate}")
    consortium.heal()
    for number in joining:
        place = consortium[number]
        consortium.decide("admit", place.admission(), range(1, number), **place.member.values())
        consortium.wait_one_head(*range(1, number + 1))
    return {f"heights replayed by each of {len(joining)} others at once": f"{wanted:,}, {rate}"}


@pytest.mark.long
def test_cut_for_minutes_it_goes_on_as_soon_as_it_is_healed(tmp_path: Path) -> None:
    began, rows = time.time(), dict[str, object]({"command": COMMAND.format("minutes")})
    with scene(tmp_path) as at:
        at.consortium.cut({1, 3}, {2, 4})
        at.submit()
        at.stands_still(1, 2, 3, 4)
        time.sleep(LONG_CUT_SECONDS)
        at.consortium.heal()
        at.goes_on("cut in halves for minutes")
        faults = at.faults()
        rows["seconds cut"] = f"{LONG_CUT_SECONDS:.0f}"
        rows["seconds until what waited was anchored"] = f"{at.back.popitem()[1]:.1f}"
        rows["EVM blocks, the same everywhere"] = same_history(at.consortium.places)
    write_result("A long cut", rows | closing_rows(began, faults), RESULTS)
    assert not faults


def closing_rows(began: float, faults: list[str]) -> dict[str, object]:
    rows: dict[str, object] = {
        "duration": f"{(time.time() - began) / 60:.0f} min",
        "date": time.strftime("%Y-%m-%d", time.gmtime(began)),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.0f}",
    }
    return rows | {f"fault {number}": fault for number, fault in enumerate(faults[:20], start=1)}
