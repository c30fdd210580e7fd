# SPDX-License-Identifier: GPL-3.0-or-later
"""The node as a process: one line at the start, a clean end, one sentence for what is in the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from node.cli import parse_endpoint
from node.db import LevelDB
from node.errors import NodeError, StorageError
from node.overview import NodeSilent, Rpc, status
from node.run import Node, StartError, listen
from tests.support.node_core import register_log
from tests.support.province import free_addresses
from tests.support.running_node import found_home, running, wait_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "moneo.py", "node"]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def process(home: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    words = [*COMMAND, "run", "--home", str(home), "--rpc", address]
    started = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def workers(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in children.split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_starts_with_one_line_and_ends_cleanly(number: int, tmp_path: Path) -> None:
    home = tmp_path / "node"
    genesis = found_home(home)
    (address,) = free_addresses(1)
    with process(home, address) as node:
        assert node.stderr is not None
        line = node.stderr.readline()
        expected = f"{genesis.cometbft_chain_id}: block 0, height 1, JSON-RPC on http://{address}"
        assert line == f"node: {expected}\n"
        children = workers(node.pid)
        assert len(children) == 2
        if number == signal.SIGINT:
            said = command("status", "--rpc", address, "--json")
            assert json.loads(said.stdout)["height"] == 1
            assert "camau" not in command("status", "--rpc", address).stdout
        node.send_signal(number)
        assert node.wait(20) == 0
        assert node.stderr.read() == "node: stopped at height 1\n"
        assert not [each for each in children if Path(f"/proc/{each}").exists()]


def test_killed_node_leaves_no_workers_and_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "node"
    found_home(home)
    with process(home, *free_addresses(1)) as node:
        assert node.stderr is not None
        node.stderr.readline()
        children = workers(node.pid)
        os.kill(node.pid, signal.SIGKILL)
        node.wait()
    until = time.monotonic() + 20
    while [each for each in children if Path(f"/proc/{each}").exists()]:
        assert time.monotonic() < until
        time.sleep(0.05)
    with running(home) as client:
        assert client.web3.eth.block_number == 0
        assert status(Rpc(client.node.url))["height"] == 1


def test_what_is_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "node"
    found_home(home)
    with running(home) as client:
        address = client.node.url.removeprefix("http://")
        taken = command("run", "--home", str(home), "--rpc", address)
        assert taken.returncode == 2
        assert taken.stderr.count("\n") == 1
        assert "is in use" in taken.stderr
        locked = command("run", "--home", str(home), "--rpc", *free_addresses(1))
        assert locked.returncode == 2
        assert locked.stderr.count("\n") == 1
        assert "another node is running" in locked.stderr


def test_node_whose_disk_fails_says_so_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("no space left")

    found_home(tmp_path / "node")
    with Node(tmp_path / "node", listen("127.0.0.1", 0)) as node:
        monkeypatch.setattr(LevelDB, "write", full)
        with ThreadPoolExecutor() as threads:
            served = threads.submit(node.serve)
            wait_until(lambda: node.started)
            node.sequencer.submit(registration(node))
            with pytest.raises(NodeError, match="no space left"):
                served.result(timeout=30)


def registration(node: Node) -> bytes:
    """Return a transaction that can run in a new chain."""
    return register_log(0).with_(chain_id=node.chain.chain_id).typed()


def test_missing_home_and_silent_node_are_said(tmp_path: Path) -> None:
    missing = command("run", "--home", str(tmp_path / "none"), "--rpc", *free_addresses(1))
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    silent = command("status", "--rpc", *free_addresses(1))
    assert silent.returncode == 2
    assert "no node answers" in silent.stderr


def test_endpoint_is_read_strictly() -> None:
    assert parse_endpoint("127.0.0.1:8545") == ("127.0.0.1", 8545)
    assert parse_endpoint("[::1]:1") == ("::1", 1)
    for wrong in (
        "",
        "8545",
        "host",
        "host:",
        ":1",
        "a:b:1",
        "host:65536",
        "host:-1",
        "http://a:1",
    ):
        with pytest.raises(typer.BadParameter):
            parse_endpoint(wrong)


def test_name_that_is_no_host_is_said() -> None:
    with pytest.raises(StartError, match="cannot listen"):
        listen("no.such.host.invalid", 0)


def test_status_refuses_what_is_no_node() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(5)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NodeSilent, match="not a Moneo node"):
            status(Rpc(f"127.0.0.1:{port}"))
        thread.join()
