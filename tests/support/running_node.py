# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole node for tests: founded in a folder, listening on a free port, in a thread of this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3

import contracts
from node.genesis import Genesis, found
from node.light import timestamp
from node.run import Node, listen
from tests.support.loopback import HTTP

MEMBER: LocalAccount = Account.from_key("0x" + "11" * 32)
OTHER: LocalAccount = Account.from_key("0x" + "22" * 32)
STRANGER: LocalAccount = Account.from_key("0x" + "33" * 32)
WAIT_SECONDS = 30


def found_home(home: Path) -> Genesis:
    """Found a chain of one validator whose members are MEMBER and OTHER."""
    members = [bytes.fromhex(each.address[2:]) for each in (MEMBER, OTHER)]
    return found(home, "test", members, timestamp(time.time_ns()))


@dataclass(frozen=True)
class Client:
    """web3.py at a running node, and what the tests do with it again and again."""

    node: Node
    # Its own types are too narrow for how it is called (fee fields, tags, named members).
    web3: Any

    def contract(self, name: str) -> Any:
        address = Web3.to_checksum_address(contracts.ADDRESSES[name])
        return self.web3.eth.contract(address=address, abi=contracts.abi(name))

    def sign(self, function: Any, account: LocalAccount = MEMBER, **fields: Any) -> bytes:
        """Return the raw transaction that calls a contract's function."""
        address = account.address
        base = {
            "from": address,
            "nonce": self.web3.eth.get_transaction_count(address, "pending"),
            "chainId": self.node.chain.chain_id,
            "gas": 200_000,
            "maxFeePerGas": 0,
            "maxPriorityFeePerGas": 0,
        }
        transaction = function.build_transaction(base | fields)
        return bytes(account.sign_transaction(transaction).raw_transaction)

    def send(self, function: Any, account: LocalAccount = MEMBER, **fields: Any) -> Any:
        """Send a call and wait for its receipt."""
        raw = self.sign(function, account, **fields)
        tx_hash = self.web3.eth.send_raw_transaction(raw)
        return self.web3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.02)

    def rpc(self, method: str, *params: Any) -> Any:
        """Return the whole answer to one request."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return self.post(body).json()

    def post(self, body: Any, **headers: str) -> httpx.Response:
        return HTTP.post(self.node.url, json=body, headers=headers, timeout=WAIT_SECONDS)


@contextmanager
def running(home: Path) -> Iterator[Client]:
    """Run the node of a home for as long as the block takes."""
    with Node(home, listen("127.0.0.1", 0)) as node:
        thread = Thread(target=node.serve)
        thread.start()
        provider = HTTPProvider(node.url)
        try:
            wait_until(lambda: node.started)
            yield Client(node, Web3(provider))
        finally:
            node.stop()
            thread.join()
            _close_sessions(provider)


def wait_until(ready: Any, seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition; fail the test if it does not come."""
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.01)


def wait_final(client: Client, number: int) -> Any:
    """Return the light block of an EVM block as soon as there is one."""
    wait_until(lambda: client.node.sequencer.height_of(number) is not None)
    return client.rpc("moneo_getLightBlock", hex(number))["result"]


def _close_sessions(provider: HTTPProvider) -> None:
    for _, session in provider._request_session_manager.session_cache.items():  # noqa: PERF102 - its own cache class
        session.close()
