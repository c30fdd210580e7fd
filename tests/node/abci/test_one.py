# SPDX-License-Identifier: GPL-3.0-or-later
"""One validator on the real CometBFT, killed wherever it hurts: each transaction runs once, one app hash."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.abci.client import CometRefused
from node.chain import Chain
from node.db import LevelDB
from node.doctor import check
from node.errors import Code
from node.genesis import CHAIN_FOLDER, load
from tests.support.comet import (
    Comet,
    executed_again,
    found_homes,
    need_cometbft,
    started,
    wait_until,
)
from tests.support.comet_work import STEPS
from tests.support.loopback import free_address
from tests.support.node_core import register_log


@contextmanager
def validator(home: Path, listen: str, *armed: str) -> Iterator[subprocess.Popen[str]]:
    """Run a validator, told perhaps where to kill itself; at the end it is killed."""
    program = started("-m", "tests.support.comet_work", "run", home, listen, *armed)
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def pid_of_comet(program: subprocess.Popen[str]) -> int:
    assert program.stdout is not None
    return int(program.stdout.readline())


def stored(home: Path) -> tuple[int, bytes]:
    """Return the height and the app hash on the disk."""
    database = LevelDB(home / CHAIN_FOLDER)
    try:
        chain = Chain(database, load(home))
        return chain.height(), chain.head().hash
    finally:
        database.close()


def test_killed_where_it_writes_it_comes_back_to_the_same_app_hash(tmp_path: Path) -> None:
    killed_and_back(tmp_path, ["after finalize", "before write", "after write"])


@pytest.mark.long
def test_killed_anywhere_it_comes_back_to_the_same_app_hash(tmp_path: Path) -> None:
    killed_and_back(tmp_path, [*STEPS, *reversed(STEPS)])


def killed_and_back(tmp_path: Path, steps: Sequence[str]) -> None:
    """Each start goes on after the kill before it, and is killed at the next step of the next block."""
    need_cometbft()
    (home,) = found_homes(tmp_path, 1)
    address, comet, height = free_address(), Comet(home), 1
    calls = [register_log(n, f"log {n}") for n in range(len(steps) + 2)]
    for number, step in enumerate(steps):
        # A block with a transaction and the empty one that shows what became of it.
        height = 2 * number + 2
        with validator(home, address, step, str(height)) as program:
            comet.wait_height(height - 1)
            assert comet.send(calls[number].typed())["code"] == Code.OK
            assert program.wait(60) == -signal.SIGKILL, program.communicate()
        reached = height if step in {"after write", "after commit"} else height - 1
        assert stored(home)[0] == reached, step
    with validator(home, address) as program:
        pid = pid_of_comet(program)
        comet.wait_height(height + 1)
        assert comet.send(calls[-2].typed())["code"] == Code.OK
        os.kill(pid, signal.SIGKILL)
        assert program.wait(60) == 1
        assert "CometBFT ended" in program.communicate()[1]
    with validator(home, address):
        comet.wait_height(height + 1)
        # What waited in its memory is gone with it, unless it was in a block: the sender sends again.
        answer = comet.send(calls[-2].typed())
        assert answer["code"] in {Code.OK, Code.NONCE_TOO_LOW}
        assert comet.send(calls[-1].typed())["code"] == Code.OK
        blocks = wait_until("all in blocks, and shown", lambda: settled(comet, len(calls)))
    check_history(home, blocks, [call.typed() for call in calls])


@pytest.mark.long
def test_killed_at_random_it_comes_back_to_the_same_app_hash(tmp_path: Path) -> None:
    need_cometbft()
    (home,) = found_homes(tmp_path, 1)
    address, comet, dice = free_address(), Comet(home), random.Random(38)
    raws = [register_log(n, f"log {n}").typed() for n in range(200)]
    for _ in range(20):
        with validator(home, address) as program:
            pid = pid_of_comet(program)
            comet.wait_height(1)
            until = time.monotonic() + dice.uniform(0, 2)
            while time.monotonic() < until:
                send_next(comet, raws)
            os.kill(dice.choice([pid, program.pid]), signal.SIGKILL)
            program.wait(60)
    with validator(home, address):
        comet.wait_height(1)
        while send_next(comet, raws):
            time.sleep(0.01)
        blocks = wait_until("all in blocks, and shown", lambda: settled(comet, len(raws)))
    check_history(home, blocks, raws)


def send_next(comet: Comet, raws: Sequence[bytes]) -> bool:
    """Send the first transaction that is in no block and does not wait; return whether there is one."""
    for raw in raws:
        try:
            if comet.send(raw)["code"] == Code.OK:
                return True
        except CometRefused:
            continue
    return False


def settled(comet: Comet, count: int) -> list[dict[str, Any]] | None:
    """Return all blocks once all transactions are in some, and an executed empty one shows the last."""
    blocks = comet.blocks()
    txs = [len(block["data"]["txs"]) for block in blocks]
    executed = comet.client.ask("abci_info")["response"]["last_block_height"]
    done = sum(txs) == count and txs[-1] == 0 and int(executed) == len(blocks)
    return blocks if done else None


def check_history(home: Path, blocks: Sequence[dict[str, Any]], raws: Sequence[bytes]) -> None:
    """Check that every transaction ran once, and that all headers and the disk have their app hash."""
    held = [base64.b64decode(raw) for block in blocks for raw in block["data"]["txs"]]
    assert held == list(raws)
    again = executed_again(home.parent / "again", load(home), blocks)
    assert stored(home) == (len(blocks), again[-1])
    assert [bytes.fromhex(block["header"]["app_hash"]) for block in blocks] == again[:-1]
    finding = check(home).findings[1]
    assert (finding.what, finding.state) == ("chain", "good"), finding
