# SPDX-License-Identifier: GPL-3.0-or-later
"""The anchor process as a process: one at a time, told to stop, without a node for a while."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from anchor.chain import Chain, Mined
from anchor.errors import AnchorError
from anchor.run import run
from anchor.settings import Settings, SettingsError
from node.run import Node, listen
from tests.support.anchoring import (
    ORGANISATION,
    Business,
    found_province,
    province_of,
    running_node,
    serving,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def node_at(settings: Settings) -> Iterator[str]:
    """The province's node as a process of its own; yields its address."""
    with listen("127.0.0.1", 0) as probe:
        rpc = f"127.0.0.1:{probe.getsockname()[1]}"
    home = str(settings.node_home)
    command = [sys.executable, "moneo.py", "node", "run", "--home", home, "--rpc", rpc]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield rpc
    finally:
        process.terminate()
        assert process.wait(30) == 0


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_the_process_anchors_says_so_and_stops_when_told(tmp_path: Path) -> None:
    settings = found_province(tmp_path / "data")
    business = Business.of(settings.origin)
    with node_at(settings) as rpc, province_of(settings) as province:
        config = settings.data / "moneo.toml"
        config.write_text(config.read_text().replace(settings.rpc, rpc))
        business.apply(province)
        said = tmp_path / "said"
        code = f"from pathlib import Path; from anchor.run import run; run(Path({str(settings.data)!r}))"
        with said.open("w") as out:
            process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=out)
        batches = []
        for _ in range(2):
            batches.append(province.accept(business.batch(), ORGANISATION).batch)
            wait_until(lambda: province.status(batches[-1]).state == "anchored")
        with pytest.raises(AnchorError):
            run(settings.data)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    anchored = [line for line in lines(said) if line.startswith("đã neo · anchored: ")]
    assert len(anchored) == 2


def test_without_a_node_it_says_so_once_and_anchors_when_it_is_there(tmp_path: Path) -> None:
    settings = found_province(tmp_path / "data")
    business = Business.of(settings.origin)
    with listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    settings = replace(settings, rpc=f"127.0.0.1:{port}")
    with province_of(settings) as province, serving(settings) as said:
        business.apply(province)
        batch = province.accept(business.batch(), ORGANISATION).batch
        wait_until(lambda: province.status(batch).state == "logged")
        # Long enough for a second attempt.
        time.sleep(0.8)
        assert len([line for line in said if "will try again" in line]) == 1
        with Node(settings.node_home, listen("127.0.0.1", port)) as node:
            thread = Thread(target=node.serve)
            thread.start()
            try:
                wait_until(lambda: province.status(batch).state == "anchored")
                wait_until(lambda: any("answers again" in line for line in said))
            finally:
                node.stop()
                thread.join()


def test_while_the_chain_stands_still_batches_are_taken_and_later_anchored_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still, sent = Event(), list[bytes]()

    class Halting(Chain):
        """A chain that takes transactions and executes none while it stands still."""

        def send(self, raw: bytes) -> None:
            sent.append(raw)
            if not still.is_set():
                super().send(raw)

        def mined(self, digest: bytes) -> Mined | None:
            return None if still.is_set() else super().mined(digest)

    monkeypatch.setattr("anchor.run.Chain", Halting)
    monkeypatch.setattr("anchor.run.FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr("anchor.run.LAST_CHAIN_SECONDS", 0.1)
    monkeypatch.setattr("anchor.sender.MINED_SECONDS", 0.3)
    monkeypatch.setattr("anchor.sender.RESEND_SECONDS", 0.1)
    with (
        running_node(found_province(tmp_path / "data")) as settings,
        province_of(settings) as province,
        serving(settings) as said,
    ):
        business = Business.of(settings.origin)
        business.apply(province)
        first = province.accept(business.batch(), ORGANISATION).batch
        wait_until(lambda: province.status(first).state == "anchored")
        still.set()
        sent.clear()
        waiting = [province.accept(business.batch(), ORGANISATION).batch for _ in range(2)]
        wait_until(lambda: {province.status(each).state for each in waiting} == {"logged"})
        # Several rounds, each with the same bytes again.
        wait_until(lambda: len(sent) > 8)
        assert len(set(sent)) == 1
        assert len([line for line in said if "stands still" in line]) == 1
        waiting.append(province.accept(business.batch(), ORGANISATION).batch)
        wait_until(lambda: province.status(waiting[-1]).state == "logged")
        assert {province.status(each).state for each in waiting} == {"logged"}
        still.clear()
        wait_until(lambda: {province.status(each).state for each in waiting} == {"anchored"})
        assert [province.status(each).log_index for each in waiting] == [1, 2, 3]
        assert len([line for line in said if "will try again" in line]) == 1


def test_it_stops_while_it_waits_for_the_chain(tmp_path: Path) -> None:
    with running_node(found_province(tmp_path / "data")) as settings:
        began = time.monotonic()
        with serving(settings):
            pass
        assert time.monotonic() - began < 10


def test_a_folder_that_is_no_province_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        run(tmp_path)
