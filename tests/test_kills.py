# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes are killed at random while batches come in: nothing acknowledged is missing, nothing is twice.

A few kills in the suite; `--long` makes a hundred, and writes what it found in docs/kills.md.
"""

import os
import random
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from anchor.batch import FIRST_PREV, build, note_hash, read_batch_note, split_body
from anchor.checkpoint import open_checkpoint
from anchor.codes import parse_path
from anchor.keys import create_private_key, load_private_key, request
from anchor.note import Signer
from anchor.province import Province
from anchor.record import salt
from anchor.settings import Settings, load
from anchor.tiles import Log
from anchor.verify import verify
from api.cli import register_key
from api.organisations import Organisations
from tests.support.province import MONEO, ROOT, answers, free_addresses, moneo, wait_until

RECORDS_A_BATCH = 3
SUITE_KILLS, LONG_KILLS = 6, 100
SEED = 20261122


class Victims:
    """A province's three processes, started by hand so that each can be killed and started again."""

    def __init__(self, settings: Settings) -> None:
        data = ["--data", str(settings.data)]
        self.settings = settings
        self.commands = {
            "node": ["node", "run", "--home", str(settings.node_home), "--rpc", settings.rpc],
            "anchor": ["run-anchor", *data],
            "api": ["run-api", *data],
        }
        self.output = (settings.data / "output").open("ab")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = [*MONEO, *self.commands[name]]
        self.processes[name] = subprocess.Popen(
            command, stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def start_all(self) -> None:
        self.start("node")
        wait_until("the node answers", lambda: answers(self.settings.rpc_url))
        self.start("anchor")
        self.start("api")
        wait_until("the API answers", lambda: answers(f"{self.settings.public_url}/healthz"))

    def kill(self, name: str) -> None:
        # Its workers share its session and end with it, as they would with the machine.
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
            process.wait(30)
        self.output.close()


class Business(threading.Thread):
    """Submits one batch after another, each until it is acknowledged, always the same bytes."""

    def __init__(self, settings: Settings, signer: Signer, token: str) -> None:
        super().__init__(daemon=True)
        self.settings, self.signer, self.token = settings, signer, token
        self.acknowledged: list[bytes] = []
        self.refused: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        prev = FIRST_PREV
        while not self.ending.is_set():
            body = self._batch(len(self.acknowledged), prev)
            if self._submit(body):
                prev = note_hash(read_batch_note(split_body(body)[0])[1])
                self.acknowledged.append(prev)

    def _batch(self, seq: int, prev: bytes) -> bytes:
        code = parse_path(f"/01/09520001000034/10/K-{seq}")
        records = [
            salt({"n": n, "seq": seq}, type="epcis.objectevent", mode="practice", codes=[code])
            for n in range(RECORDS_A_BATCH)
        ]
        now = int(time.time())
        return build(records, self.signer, log=self.settings.origin, seq=seq, prev=prev, time=now)

    def _submit(self, body: bytes) -> bool:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/vnd.moneo.batch",
        }
        query = urllib.request.Request(f"{self.settings.public_url}/v1/batches", body, headers)
        while not self.ending.is_set():
            try:
                with urllib.request.urlopen(query, timeout=10) as answer:
                    return bool(answer.status == 202)
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    self.refused.append(error.read().decode())
                    self.ending.set()
            except OSError:
                pass
            time.sleep(0.1)
        return False


class Watcher(threading.Thread):
    """Keeps every checkpoint that was ever published, as a mirror would."""

    def __init__(self, log: Path) -> None:
        super().__init__(daemon=True)
        self.path = log / "checkpoint"
        self.seen: set[bytes] = set()
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.wait(0.02):
            if self.path.exists():
                self.seen.add(self.path.read_bytes())


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[Victims]:
    api, rpc = free_addresses(2)
    data = tmp_path / "var"
    moneo(
        "init",
        "Tỉnh thử",
        "moneo.example/kills/2026",
        "--data",
        data,
        "--api",
        api,
        "--rpc",
        rpc,
        home=tmp_path,
    )
    victims = Victims(load(data))
    victims.start_all()
    yield victims
    victims.stop()


def admit(settings: Settings, home: Path) -> tuple[Signer, str]:
    province = Province.open(settings)
    organisations = Organisations(province.store.engine, settings.origin)
    issuer = organisations.add_organisation("HTX thử", ["/01/09520001"])
    create_private_key(home / "key")
    signer = Signer(issuer, load_private_key(home / "key"))
    register_key(province, organisations.by_name(issuer), request(signer))
    token = organisations.new_token(issuer).secret
    province.close()
    return signer, token


def play(victims: Victims, home: Path, kills: int) -> tuple[Business, Watcher, Counter[str]]:
    signer, token = admit(victims.settings, home)
    business = Business(victims.settings, signer, token)
    watcher = Watcher(victims.settings.log_path)
    business.start()
    watcher.start()
    chance, killed = random.Random(SEED), Counter[str]()
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 2.0))
        name = chance.choice(["node", "anchor", "api"])
        victims.kill(name)
        killed[name] += 1
        victims.start(name)
    time.sleep(2)
    business.ending.set()
    business.join(30)
    return business, watcher, killed


def check(settings: Settings, business: Business, watcher: Watcher) -> None:
    assert not business.refused
    assert len(business.acknowledged) > 3
    from anchor.ijson import encode_b64url

    province = Province.open(settings)
    batches = [encode_b64url(note) for note in business.acknowledged]
    wait_until("all is anchored", lambda: province.status(batches[-1]).state == "anchored")
    watcher.ending.set()
    watcher.join(5)
    trust = province.trust()
    for batch in batches:
        verdict = verify(province.evidence([(batch, i) for i in range(RECORDS_A_BATCH)]), trust)
        assert verdict.proven, (batch, verdict.failure)
    province.close()
    log = Log(settings.log_path, settings.origin, None)
    log.check()
    entries = log.entries(0, log.checkpoint().size)
    logged = Counter(note_hash(read_batch_note(entry)[1]) for entry in entries)
    assert set(logged.values()) == {1}
    assert set(business.acknowledged) <= set(logged)
    public_key = Signer(settings.origin, load_private_key(settings.log_key)).public_key
    for note in watcher.seen:
        checkpoint = open_checkpoint(note, settings.origin, public_key)
        assert log.root(checkpoint.size) == checkpoint.root


def test_nothing_acknowledged_is_lost_or_doubled_by_kills(victims: Victims, tmp_path: Path) -> None:
    business, watcher, _ = play(victims, tmp_path, SUITE_KILLS)
    check(victims.settings, business, watcher)


@pytest.mark.long
def test_nothing_acknowledged_is_lost_or_doubled_by_a_hundred_kills(
    victims: Victims, tmp_path: Path
) -> None:
    started = time.time()
    business, watcher, killed = play(victims, tmp_path, LONG_KILLS)
    check(victims.settings, business, watcher)
    (ROOT / "docs" / "kills.md").write_text(
        "# Kills\n\nThe last result of `./scripts/test tests/test_kills.py --long`: SIGKILL at random moments while\n"
        "one business submits batch after batch.\n\n"
        f"| | |\n|---|---|\n| date | {time.strftime('%Y-%m-%d', time.gmtime(started))} |\n"
        f"| kills | {', '.join(f'{name} {count}' for name, count in sorted(killed.items()))} |\n"
        f"| batches acknowledged | {len(business.acknowledged)} |\n"
        f"| missing, doubled or not proven by their evidence | 0 |\n"
        f"| checkpoints seen published, all consistent with the final log | {len(watcher.seen)} |\n"
        f"| duration | {time.time() - started:.0f} s |\n"
    )
