# SPDX-License-Identifier: GPL-3.0-or-later
"""Homes for validators that CometBFT orders for, and what is asked of them from outside."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.abci.client import Client, CometRefused, CometSilent
from node.abci.home import FOLDER, RPC_SOCKET
from node.application import Application
from node.chain import Chain
from node.db import LevelDB
from node.genesis import GENESIS_FILE, KEY_FILE, Genesis, encode
from node.light import format_time, parse_time, timestamp
from tests.support import node_core
from tests.support.loopback import HTTP
from tests.support.tools import ROOT, tool

WAIT_SECONDS = 60.0


def need_cometbft() -> None:
    """Skip the test where CometBFT is not; fail it in CI."""
    tool("cometbft", "scripts/tools (needs Go)")


def found_homes(folder: Path, count: int) -> list[Path]:
    """Make the homes of so many validators of one chain, with node_core's members."""
    keys = [Ed25519PrivateKey.from_private_bytes(bytes([0x60 + n]) * 32) for n in range(count)]
    genesis = replace(
        node_core.genesis(),
        validators=tuple((key.public_key().public_bytes_raw(), 10) for key in keys),
        time=format_time(timestamp(time.time_ns() - 60 * 10**9)),
    )
    return [_home(folder / f"n{number}", genesis, key) for number, key in enumerate(keys)]


def _home(home: Path, genesis: Genesis, key: Ed25519PrivateKey) -> Path:
    home.mkdir(parents=True)
    (home / GENESIS_FILE).write_bytes(encode(genesis))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (home / KEY_FILE).write_bytes(pem)
    (home / KEY_FILE).chmod(0o600)
    return home


def started(*words: str | Path, **environ: str) -> subprocess.Popen[str]:
    """Start a Python program of ours in the checkout."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(what: str, ready: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Wait until there is an answer that is true, and return it; fail the test naming it."""
    until = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.03)
    return answer


class Comet:
    """A validator's CometBFT, asked at its socket."""

    def __init__(self, home: Path) -> None:
        self.client = Client(home / FOLDER / RPC_SOCKET)

    def height(self) -> int:
        """Return the height, 0 while nobody answers."""
        try:
            return int(self.client.ask("status")["sync_info"]["latest_block_height"])
        except (CometSilent, CometRefused):
            return 0

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.client.ask("health") == {})
        except (CometSilent, CometRefused):
            return False

    def wait_height(self, height: int) -> None:
        wait_until(f"height {height}", lambda: self.height() >= height)

    def send(self, raw: bytes) -> dict[str, Any]:
        return self.client.broadcast(raw)

    def blocks(self) -> list[dict[str, Any]]:
        """Return every block, from height 1."""
        heights = range(1, self.height() + 1)
        return [self.client.ask("block", height=str(each))["block"] for each in heights]


def executed_again(folder: Path, genesis: Genesis, blocks: Sequence[dict[str, Any]]) -> list[bytes]:
    """Execute CometBFT's blocks on a fresh chain; return the app hash before each and after all."""
    database = LevelDB(folder)
    application = Application(Chain(database, genesis))
    hashes = [application.info().app_hash]
    for height, block in enumerate(blocks, start=1):
        txs = [base64.b64decode(each) for each in block["data"]["txs"]]
        application.finalize(height, parse_time(block["header"]["time"]), txs)
        application.commit()
        hashes.append(application.info().app_hash)
    database.close()
    return hashes


class Rpc:
    """JSON-RPC of a node."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"

    def __call__(self, method: str, *params: Any) -> Any:
        """Return the result; an error fails the test."""
        answer = self.ask(method, *params)
        assert "result" in answer, answer
        return answer["result"]

    def ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return HTTP.post(self.url, json=body).json()

    def is_up(self) -> bool:
        """Whether it answers and its chain has begun."""
        try:
            return bool(self("moneo_status")["height"] > 0)
        except httpx.TransportError:
            return False
