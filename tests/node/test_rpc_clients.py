# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of others, from npm, at a real node: cast and viem read, send, wait, decode a revert, verify a proof."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import contracts
from node.light import TrieNodes, parse_header
from tests.support.running_node import MEMBER, Client, found_home, running
from tests.support.tools import ROOT, node_packages, node_program

LOG_KEY_ID = bytes([0x66]) * 32
CONSORTIUM = "0x" + contracts.ADDRESSES["Consortium"].hex()
ANCHOR_LOG = "0x" + contracts.ADDRESSES["AnchorLog"].hex()
KEY = "0x" + bytes(MEMBER.key).hex()
REGISTER = "register_log(bytes32,bytes32)"


@pytest.fixture(scope="module")
def packages() -> Path:
    return node_packages()


@pytest.fixture(scope="module")
def client(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("node") / "node"
    found_home(home)
    with running(home) as client:
        yield client


def origin(name: str) -> bytes:
    return sha256(name.encode()).digest()


def run(packages: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # A home of its own: cast looks there for settings. Left alone it adds a fee of 1 wei, which
    # nobody has here.
    fees = {"ETH_GAS_PRICE": "0", "ETH_PRIORITY_GAS_PRICE": "0"}
    environ = {**os.environ, **fees, "HOME": str(packages), "NO_COLOR": "1"}
    return subprocess.run(
        words, cwd=packages, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


class Cast:
    """cast, at one node."""

    def __init__(self, url: str) -> None:
        self._program = node_program("cast")
        self._url = url

    def __call__(self, *words: str) -> str:
        """Return what a command prints; it has to end well."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run(node_packages(), str(self._program), *words, "--rpc-url", self._url)


@pytest.fixture(scope="module")
def cast(client: Client) -> Cast:
    return Cast(client.node.url)


def test_cast_reads(cast: Cast, client: Client) -> None:
    assert cast("chain-id") == str(client.node.chain.chain_id)
    assert cast("client").startswith("moneo/")
    assert cast("code", CONSORTIUM) == "0x" + contracts.runtime_code("Consortium").hex()
    assert cast("call", CONSORTIUM, "is_member(address)(bool)", MEMBER.address) == "true"
    assert cast("gas-price") == cast("base-fee") == cast("balance", MEMBER.address) == "0"
    assert json.loads(cast("block", "finalized", "--json"))["number"]


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_cast_sends_waits_and_finds_the_log(scheme: str, client: Client) -> None:
    cast = Cast(client.node.url.replace("http", scheme))
    words = ("send", CONSORTIUM, REGISTER, hex_of(origin(scheme)), hex_of(LOG_KEY_ID))
    receipt = json.loads(cast(*words, "--private-key", KEY, "--json"))
    assert receipt["status"] == "0x1"
    assert json.loads(cast("receipt", receipt["transactionHash"], "--json")) == receipt
    found = json.loads(cast("logs", "--from-block", "0", "--address", ANCHOR_LOG, "--json"))
    assert receipt["transactionHash"] in [each["transactionHash"] for each in found]
    assert int(cast("block-number")) >= int(receipt["blockNumber"], 16)


def test_cast_says_why_it_reverts(cast: Cast) -> None:
    words = (CONSORTIUM, REGISTER, hex_of(origin("twice")), hex_of(LOG_KEY_ID))
    cast("send", *words, "--private-key", KEY)
    for refused in (
        cast.run("call", *words, "--from", MEMBER.address),
        cast.run("estimate", *words, "--from", MEMBER.address),
        cast.run("send", *words, "--private-key", KEY),
    ):
        assert refused.returncode != 0
        assert "registered before" in refused.stderr


def test_cast_publishes_the_same_bytes_twice(cast: Cast, client: Client) -> None:
    register = client.contract("Consortium").functions.register_log(origin("again"), LOG_KEY_ID)
    raw = hex_of(client.sign(register))
    first = json.loads(cast("publish", raw))
    assert first["status"] == "0x1"
    assert json.loads(cast("publish", raw)) == first


def test_cast_makes_an_access_list_and_uses_it(cast: Cast, client: Client) -> None:
    words = (CONSORTIUM, REGISTER, hex_of(origin("listed")), hex_of(LOG_KEY_ID))
    made = json.loads(cast("access-list", *words, "--from", MEMBER.address, "--json"))
    listed = {each["address"]: each["storageKeys"] for each in made["accessList"]}
    assert set(listed) == {CONSORTIUM, ANCHOR_LOG}
    slot = hex_of(contracts.head_slot(origin("listed")))
    assert slot in listed[ANCHOR_LOG]
    options = ("--access-list", json.dumps(made["accessList"]), "--private-key", KEY, "--json")
    receipt = json.loads(cast("send", *words, *options))
    assert receipt["status"] == "0x1"
    assert int(receipt["gasUsed"], 16) <= int(made["gasUsed"], 16)
    sent = client.rpc("eth_getTransactionByHash", receipt["transactionHash"])["result"]
    assert sent["accessList"] == made["accessList"]


def test_proof_that_cast_prints_holds(cast: Cast, client: Client) -> None:
    slot = contracts.head_slot(origin("proven"))
    words = ("send", CONSORTIUM, REGISTER, hex_of(origin("proven")), hex_of(LOG_KEY_ID))
    number = int(json.loads(cast(*words, "--private-key", KEY, "--json"))["blockNumber"], 16)
    proof = json.loads(cast("proof", ANCHOR_LOG, hex_of(slot), "--block", str(number)))
    (storage,) = proof["storageProof"]
    nodes = dict.fromkeys(
        bytes.fromhex(node[2:]) for node in proof["accountProof"] + storage["proof"]
    )
    trie = TrieNodes(list(nodes))
    header = parse_header(client.node.chain.header_rlp(number))
    account = trie.account(header.state_root, contracts.ADDRESSES["AnchorLog"])
    assert account is not None
    assert (
        int.from_bytes(trie.slot(account.storage_root, slot), "big")
        == int(storage["value"], 16)
        > 0
    )
    trie.finish()


def test_viem_all_the_way(packages: Path, client: Client) -> None:
    name = origin("viem")
    register = client.contract("Consortium").functions.register_log(name, LOG_KEY_ID)
    given: dict[str, Any] = {
        "url": client.node.url,
        "key": KEY,
        "chainId": client.node.chain.chain_id,
        "consortium": {"address": CONSORTIUM, "abi": contracts.abi("Consortium")},
        "anchorLog": {"address": ANCHOR_LOG},
        "origin": hex_of(name),
        "logKeyId": hex_of(LOG_KEY_ID),
        "calldata": register._encode_transaction_data(),
        "slot": hex_of(contracts.head_slot(name)),
    }
    done = run(packages, "node", "viem.mjs", json.dumps(given))
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert all("registered before" in reason for reason in saw["reasons"])
    receipt = client.rpc("eth_getTransactionReceipt", saw["hash"])["result"]
    assert int(receipt["blockNumber"], 16) == saw["block"]
    head = (bytes.fromhex(MEMBER.address[2:]), LOG_KEY_ID, 0, sha256(b"").digest(), bytes(32))
    assert saw["value"] == hex_of(contracts.head_commitment(*head, saw["block"]))
    assert hex_of(contracts.head_slot(name)) in str(saw["accessList"])


def test_lock_names_no_registry() -> None:
    lock = (ROOT / "tests" / "js" / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert not [name for name, each in packages.items() if "resolved" in each]
    assert all("integrity" in each for name, each in packages.items() if name)
    assert not re.search(r"registry", lock)


def hex_of(value: bytes) -> str:
    return "0x" + value.hex()
