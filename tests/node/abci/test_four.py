# SPDX-License-Identifier: GPL-3.0-or-later
"""Four validators on the real CometBFT, each a node with JSON-RPC at an address of its own."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.abci.home import node_id
from node.doctor import check
from node.genesis import load
from node.light import from_rpc, keccak256, verify_light_block
from tests.go.test_cometbft_judge import Judge, judge  # noqa: F401 - a fixture
from tests.support.comet import (
    Comet,
    Rpc,
    found_homes,
    need_cometbft,
    started,
    wait_until,
)
from tests.support.loopback import free_address
from tests.support.node_core import ANCHOR_LOG, OTHER_MEMBER, Head, register_log

# `moneo node` without workers for eth_call, which take half of the time to start and are not asked.
COMMAND = (
    "from node.calls import CallPool; CallPool.__init__.__kwdefaults__['workers'] = 0; "
    "from node.cli import app; app()"
)


@dataclass
class Province:
    """One validator: its home, its addresses, its process."""

    home: Path
    rpc: Rpc
    words: tuple[str, ...]
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = started("-c", COMMAND, "run", "--home", self.home, *self.words)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        assert "Traceback" not in said, said
        return self.process.returncode


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Province]]:
    need_cometbft()
    homes = found_homes(tmp_path_factory.mktemp("four"), 4)
    listens, rpcs = ([free_address(number) for number in range(1, 5)] for _ in range(2))
    names = [f"{node_id(home)}@{at}" for home, at in zip(homes, listens, strict=True)]
    provinces = []
    for home, at, rpc in zip(homes, listens, rpcs, strict=True):
        peers = [word for name in names if at not in name for word in ("--peer", name)]
        provinces.append(Province(home, Rpc(rpc), ("--rpc", rpc, "--comet", at, *peers)))
    try:
        for each in provinces:
            each.start()
        for each in provinces:
            wait_until("a chain", each.rpc.is_up)
        yield provinces
    finally:
        for each in provinces:
            if each.process is not None:
                each.process.kill()
                each.process.communicate()


def receipt(province: Province, raw: bytes) -> Any:
    """Return a transaction's receipt from a node, which may have to wait for its block."""
    tx_hash = "0x" + keccak256(raw).hex()
    return wait_until("a receipt", lambda: province.rpc("eth_getTransactionReceipt", tx_hash))


def send(province: Province, raw: bytes) -> None:
    assert province.rpc("eth_sendRawTransaction", "0x" + raw.hex()) == "0x" + keccak256(raw).hex()


def final(province: Province, number: int) -> Any:
    """Return what proves an EVM block final, which comes with the next header."""
    return wait_until(
        "a light block", lambda: province.rpc("moneo_getLightBlock", hex(number)), seconds=30
    )


def test_what_one_is_sent_all_execute_and_prove(four: list[Province], judge: Judge) -> None:  # noqa: F811
    chain_id = load(four[0].home).cometbft_chain_id
    mine, others = register_log(0).typed(), register_log(0, "other", OTHER_MEMBER).typed()
    send(four[0], mine)
    send(four[3], others)
    send(four[3], others)
    for raw in (mine, others):
        receipts = [receipt(each, raw) for each in four]
        assert receipts[0]["status"] == "0x1"
        assert all(each == receipts[0] for each in receipts)
    anchored = Head(0, int(receipt(four[0], mine)["blockNumber"], 16)).anchor(9, nonce=1).typed()
    send(four[1], anchored)
    number = int(receipt(four[2], anchored)["blockNumber"], 16)
    told = []
    for each in four:
        receipt(each, anchored)
        query = {"fromBlock": "0x0", "toBlock": hex(number), "address": "0x" + ANCHOR_LOG.hex()}
        told.append(
            (
                each.rpc("eth_getBlockByNumber", hex(number), False)["hash"],
                each.rpc("eth_getLogs", query),
                each.rpc("eth_getProof", "0x" + ANCHOR_LOG.hex(), ["0x0"], hex(number)),
            )
        )
    assert all(each == told[0] for each in told)
    assert told[0][1], "the anchor leaves a log"
    for each in four:
        proof = final(each, number)
        light_block = from_rpc(proof["lightBlock"])
        verify_light_block(light_block, chain_id)
        assert 3 <= len(light_block.votes) <= 4
        assert light_block.header.app_hash == keccak256(bytes.fromhex(proof["evmHeader"][2:]))
    shown = [final(four[2], at)["lightBlock"] for at in range(number + 1)]
    done = judge("light", shown)
    assert done.stdout == f"accepted {number + 1}\n", done.stderr


def test_transactions_out_of_turn_wait_for_those_before(four: list[Province]) -> None:
    nonce = int(four[0].rpc("eth_getTransactionCount", _address(four), "pending"), 16)
    first, second = (register_log(nonce + n, f"turn {n}").typed() for n in range(2))
    with ThreadPoolExecutor() as threads:
        later = threads.submit(send, four[0], second)
        time.sleep(0.1)
        send(four[0], first)
        later.result()
    for raw in (first, second):
        assert receipt(four[3], raw)["status"] == "0x1"
    gap = register_log(nonce + 7).typed()
    assert "nonce too high" in four[1].rpc.ask("eth_sendRawTransaction", "0x" + gap.hex())["error"]["message"]  # fmt: skip
    junk = four[1].rpc.ask("eth_sendRawTransaction", "0x02c0")["error"]["message"]
    assert junk.startswith("malformed transaction")


def _address(four: list[Province]) -> str:
    return "0x" + load(four[0].home).members[0].hex()


def test_one_of_four_killed_is_not_missed_and_comes_back(four: list[Province]) -> None:
    assert four[3].end(signal.SIGKILL) == -signal.SIGKILL
    nonce = int(four[0].rpc("eth_getTransactionCount", _address(four), "pending"), 16)
    raw = register_log(nonce, "without the fourth").typed()
    send(four[1], raw)
    assert receipt(four[2], raw)["status"] == "0x1"
    four[3].start()
    wait_until("the fourth", four[3].rpc.is_up)
    assert receipt(four[3], raw) == receipt(four[0], raw)
    heads = [each.rpc("moneo_status")["blockHash"] for each in four]
    assert len(set(heads)) == 1


def test_doctor_says_how_consensus_does(four: list[Province]) -> None:
    wait_until("all the others", lambda: four[2].rpc("net_peerCount") == "0x3")
    program, running = check(four[2].home).findings[2:]
    assert (program.what, program.state) == ("CometBFT", "good")
    assert (running.state, "3 peers" in running.en) == ("good", True), running
    process = four[2].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        stuck = check(four[2].home).findings[3]
    finally:
        process.send_signal(signal.SIGCONT)
    assert (stuck.state, "cannot reach the application" in stuck.en) == ("damaged", True), stuck


def test_all_end_cleanly_and_have_one_app_hash(four: list[Province]) -> None:
    wait_until(
        "one head", lambda: len({each.rpc("moneo_status")["blockHash"] for each in four}) == 1
    )
    assert [each.end(signal.SIGTERM) for each in four] == [0, 0, 0, 0]
    assert Comet(four[0].home).height() == 0
    findings = check(four[0].home).findings
    assert [each.state for each in findings] == ["good", "good", "good", "unknown"]
