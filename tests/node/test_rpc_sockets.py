# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON-RPC over a WebSocket: web3.py's provider, subscriptions, bounds, and who is kept out."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from web3 import AsyncWeb3, WebSocketProvider
from web3.exceptions import ContractLogicError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import contracts
import node.rpc.sockets
from node.chain import Chain
from node.rpc.server import MAX_BODY_BYTES
from node.rpc.sockets import MAX_PONG_BYTES, MAX_SOCKETS
from node.rpc.subscriptions import MAX_SUBSCRIPTIONS, Subscriptions
from tests.support.running_node import MEMBER, Client, found_home, running, wait_until

LOG_KEY_ID = bytes([0x55]) * 32


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("node") / "node"
    found_home(home)
    with running(home) as client:
        yield client


def address(client: Client) -> str:
    return client.node.url.replace("http://", "ws://")


def opened(client: Client, **options: Any) -> AbstractContextManager[ClientConnection]:
    connection: AbstractContextManager[ClientConnection] = connect(address(client), **options)
    return connection


def ask(connection: ClientConnection, method: str, *params: Any) -> Any:
    """Return the answer to one request; nothing else may come before it."""
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
    connection.send(json.dumps(body))
    answer = json.loads(connection.recv(timeout=20))
    assert answer["id"] == 7
    return answer


def told(connection: ClientConnection, name: str) -> Any:
    """Return what the next notification says; it has to be of this subscription."""
    message = json.loads(connection.recv(timeout=20))
    assert message["method"] == "eth_subscription"
    assert message["params"]["subscription"] == name
    return message["params"]["result"]


def registration(client: Client, name: str) -> Any:
    origin = sha256(name.encode()).digest()
    return client.contract("Consortium").functions.register_log(origin, LOG_KEY_ID)


def test_web3_reads_sends_waits_and_is_told(client: Client) -> None:
    asyncio.run(_web3_all_the_way(client))


async def _web3_all_the_way(client: Client) -> None:
    async with AsyncWeb3(WebSocketProvider(address(client))) as web3:
        eth: Any = web3.eth
        assert await eth.chain_id == client.node.chain.chain_id
        heads = await eth.subscribe("newHeads")
        logs = await eth.subscribe("logs", {"address": client.contract("AnchorLog").address})
        raw = client.sign(registration(client, "over a WebSocket"))
        tx_hash = await eth.send_raw_transaction(raw)
        receipt = await eth.wait_for_transaction_receipt(tx_hash, timeout=30)
        assert receipt["status"] == 1
        seen: dict[str, Any] = {}
        async with asyncio.timeout(30):
            async for message in web3.socket.process_subscriptions():
                seen.setdefault(message["subscription"], message["result"])
                if len(seen) == 2:
                    break
        assert seen[heads]["hash"] == receipt["blockHash"]
        assert seen[heads]["number"] == receipt["blockNumber"]
        assert seen[logs]["transactionHash"] == tx_hash
        assert await eth.unsubscribe(heads)
        contract = eth.contract(
            client.contract("Consortium").address, abi=contracts.abi("Consortium")
        )
        again = contract.functions.register_log(sha256(b"over a WebSocket").digest(), LOG_KEY_ID)
        with pytest.raises(ContractLogicError, match="registered before"):
            await again.call({"from": MEMBER.address})


def test_heads_and_logs_come_once_each_and_in_order(client: Client) -> None:
    with opened(client) as heads, opened(client) as logs:
        of_heads = ask(heads, "eth_subscribe", "newHeads")["result"]
        anchor_log = contracts.ADDRESSES["AnchorLog"]
        topics = [None, "0x" + sha256(b"two").hexdigest()]
        query = {"address": "0x" + anchor_log.hex(), "topics": topics}
        of_logs = ask(logs, "eth_subscribe", "logs", query)["result"]
        receipts = [client.send(registration(client, name)) for name in ("one", "two")]
        for receipt in receipts:
            head = told(heads, of_heads)
            assert head["hash"] == receipt.blockHash.to_0x_hex()
            block = client.rpc("eth_getBlockByHash", head["hash"], False)["result"]
            assert head.items() <= block.items()
        log = told(logs, of_logs)
        assert log["transactionHash"] == receipts[1].transactionHash.to_0x_hex()
        assert log in client.rpc("eth_getLogs", {"fromBlock": "0x0"})["result"]
        # Nothing more had come before these answers.
        assert ask(heads, "eth_unsubscribe", of_heads)["result"] is True
        assert ask(logs, "eth_chainId")["result"]
        client.send(registration(client, "three"))
        assert ask(heads, "eth_unsubscribe", of_heads)["result"] is False
        assert ask(logs, "eth_chainId")["result"]


def test_batches_bytes_and_wrong_requests_are_answered_as_over_http(client: Client) -> None:
    with opened(client) as connection:
        batch = [{"jsonrpc": "2.0", "id": n, "method": "eth_chainId"} for n in range(3)]
        connection.send(json.dumps(batch).encode())
        assert [each["id"] for each in json.loads(connection.recv(timeout=20))] == [0, 1, 2]
        for body, code in ((b"{", -32700), (b"\xff", -32700), (b"[]", -32600), (b"", -32700)):
            connection.send(body)
            assert json.loads(connection.recv(timeout=20))["error"]["code"] == code
        assert ask(connection, "eth_nothing")["error"]["code"] == -32601


@pytest.mark.parametrize(
    "params",
    [
        [],
        ["syncing"],
        ["newHeads", {}],
        ["logs", {"fromBlock": "0x1"}],
        ["logs", {"blockHash": "0x" + "00" * 32}],
        ["logs", {"topics": [None] * 5}],
        ["logs", {}, 1],
        [["logs"]],
    ],
    ids=str,
)
def test_subscription_that_is_none_is_refused(params: list[Any], client: Client) -> None:
    with opened(client) as connection:
        assert ask(connection, "eth_subscribe", *params)["error"]["code"] == -32602


def test_subscription_belongs_to_its_connection(client: Client) -> None:
    with opened(client) as one, opened(client) as other:
        name = ask(one, "eth_subscribe", "newHeads")["result"]
        assert ask(other, "eth_unsubscribe", name)["result"] is False
        assert ask(one, "eth_unsubscribe", name)["result"] is True


def test_subscriptions_of_a_connection_are_bounded(client: Client) -> None:
    with opened(client) as connection:
        names = [
            ask(connection, "eth_subscribe", "logs")["result"] for _ in range(MAX_SUBSCRIPTIONS)
        ]
        assert len(set(names)) == MAX_SUBSCRIPTIONS
        assert ask(connection, "eth_subscribe", "newHeads")["error"]["code"] == -32005
        ask(connection, "eth_unsubscribe", names[0])
        assert ask(connection, "eth_subscribe", "newHeads")["result"]


def test_subscribing_over_http_says_where_to_go(client: Client) -> None:
    for method, params in (("eth_subscribe", ["newHeads"]), ("eth_unsubscribe", ["0x1"])):
        error = client.rpc(method, *params)["error"]
        assert error["code"] == -32000
        assert "WebSocket" in error["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://localhost:8545"}, 403),
    ],
    ids=str,
)
def test_page_is_refused(headers: dict[str, str], status: int, client: Client) -> None:
    with pytest.raises(InvalidStatus) as caught, opened(client, additional_headers=headers):
        pass
    assert caught.value.response.status_code == status


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8545", ""])
def test_foreign_host_is_refused(host: str, client: Client) -> None:
    assert handshake(client, f"Host: {host}").startswith("HTTP/1.1 421 ")


def test_own_name_is_taken_and_other_paths_are_not(client: Client) -> None:
    assert handshake(client, "Host: localhost:1").startswith("HTTP/1.1 101 ")
    assert handshake(client, "Host: localhost", path="/other").startswith("HTTP/1.1 403 ")


def handshake(client: Client, host: str, path: str = "/") -> str:
    """Return the head of what a WebSocket handshake written by hand is answered."""
    with raw_socket(client) as connection:
        return shake_hands(connection, host, path)


def shake_hands(connection: socket.socket, host: str, path: str = "/") -> str:
    lines = [
        f"GET {path} HTTP/1.1",
        host,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection.recv(4096).decode()


def raw_socket(client: Client, receive_buffer: int = 0) -> socket.socket:
    host, port = client.node.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.settimeout(20)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((host, int(port)))
    return connection


def test_connections_are_bounded_and_given_back(client: Client) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_SOCKETS):
            stack.enter_context(opened(client))
        with pytest.raises(InvalidStatus) as caught, opened(client):
            pass
        assert caught.value.response.status_code == 503
        # The other door is not closed by this.
        assert client.rpc("eth_chainId")["result"]

    def is_let_in() -> bool:
        try:
            with opened(client):
                return True
        except InvalidStatus:
            return False

    wait_until(is_let_in)


def test_message_is_bounded_in_one_piece_and_in_many(client: Client) -> None:
    for message in ("x" * (MAX_BODY_BYTES + 1), ["x" * 65_536] * 17):
        with opened(client) as connection:
            with pytest.raises(ConnectionClosed):
                connection.send(message)
                connection.recv(timeout=20)
            assert connection.close_code in {1009, 1006}
    with opened(client, compression="deflate") as connection:
        assert connection.protocol.extensions == []


CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{}]}).encode()
# A frame of text (RFC 6455 section 5.2), masked with zeros.
CALL_FRAME = b"\x81" + bytes([128 + len(CALL)]) + bytes(4) + CALL


def connections_of(client: Client) -> set[Any]:
    found: set[Any] = client.node._server.server_state.connections
    return found


def test_client_that_does_not_read_is_cut_off(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.rpc.sockets, "STALL_SECONDS", 0.3)
    connections = connections_of(client)
    monkeypatch.setattr(type(client.node.calls), "call", lambda *_: bytes(500_000))
    with raw_socket(client, receive_buffer=4096) as connection:
        assert " 101 " in shake_hands(connection, "Host: localhost")
        ours = max(connections, key=lambda each: each.client[1] == connection.getsockname()[1])
        with suppress(ConnectionError):
            connection.sendall(CALL_FRAME * 30)
        wait_until(lambda: ours not in connections)
        assert client.rpc("eth_chainId")["result"]


def test_what_all_clients_leave_unread_is_bounded_and_one_that_reads_is_not_cut_off(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    most, clients = 2 * 2**20, 24
    monkeypatch.setattr(node.rpc.sockets, "MAX_UNREAD_BYTES", most)
    monkeypatch.setattr(type(client.node.calls), "call", lambda *_: bytes(150_000))
    wait_until(lambda: not connections_of(client))
    with ExitStack() as stack:
        reader = stack.enter_context(opened(client, max_size=None))
        for _ in range(clients):
            connection = stack.enter_context(raw_socket(client, receive_buffer=4096))
            assert " 101 " in shake_hands(connection, "Host: localhost")
            connection.sendall(CALL_FRAME * 30)
        ended = time.monotonic() + 2
        while time.monotonic() < ended:
            assert len(ask(reader, "eth_call", {})["result"]) == 300_002
            waiting = [each.transport.get_write_buffer_size() for each in connections_of(client)]
            assert sum(waiting) <= most
        # Long before anyone has stalled for too long.
        assert len(waiting) < clients
        assert "cut off a WebSocket that does not read" in caplog.text
    wait_until(lambda: not connections_of(client))
    assert node.rpc.sockets._unread._held == {}


def test_pongs_that_nobody_reads_end_the_connection(client: Client) -> None:
    connections = connections_of(client)
    ping = b"\x89" + bytes([128 + 125]) + bytes(4) + bytes(125)
    with raw_socket(client, receive_buffer=4096) as connection:
        assert " 101 " in shake_hands(connection, "Host: localhost")
        ours = next(each for each in connections if each.client == connection.getsockname())
        with pytest.raises(ConnectionError):
            for _ in range(200):
                connection.sendall(ping * 1_000)
                assert ours.transport.get_write_buffer_size() < 2 * MAX_PONG_BYTES
    wait_until(lambda: ours not in connections)


def test_requests_of_a_connection_do_not_wait_for_a_slow_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: Any) -> Any:
        time.sleep(1)
        return b""

    monkeypatch.setattr(type(client.node.calls), "call", slow)
    with opened(client) as connection:
        for method, number in (("eth_call", 1), ("eth_chainId", 2)):
            params = [{"to": MEMBER.address}] if method == "eth_call" else []
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            connection.send(json.dumps(request))
        assert [json.loads(connection.recv(timeout=20))["id"] for _ in range(2)] == [2, 1]


def test_node_that_stops_says_so_to_its_subscribers(tmp_path: Path) -> None:
    found_home(tmp_path / "node")
    with ExitStack() as stack:
        with running(tmp_path / "node") as client:
            connection = stack.enter_context(opened(client))
            ask(connection, "eth_subscribe", "newHeads")
            started = time.monotonic()
        assert time.monotonic() - started < 10
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=20)
        assert connection.close_code == 1012


def test_lagging_subscription_takes_a_block_at_a_time(client: Client) -> None:
    head = client.node.chain.head().block_number
    assert head >= 1
    subscriptions = Subscriptions(client.node.chain)
    read: list[int] = []

    def read_block(_chain: Chain, number: int) -> list[dict[str, Any]]:
        read.append(number)
        return []

    name = subscriptions.add(read_block)
    client.send(registration(client, "lagging"))
    client.send(registration(client, "lagging more"))
    assert not subscriptions.behind()
    assert subscriptions.take() == []
    subscriptions.announce(name)
    assert subscriptions.behind()
    for expected in ([head + 1], [head + 1, head + 2], [head + 1, head + 2]):
        subscriptions.take()
        assert read == expected
    assert not subscriptions.behind()


# Frames that RFC 6455 forbids: not UTF-8, not masked, a reserved bit, a kind that is none, a ping in
# parts, a continuation of nothing, and a length that is announced and beyond the bound.
FORBIDDEN = [
    b"\x81\x81\0\0\0\0\xff",
    b"\x81\x01x",
    b"\xc1\x80\0\0\0\0",
    b"\x83\x80\0\0\0\0",
    b"\x09\x80\0\0\0\0",
    b"\x80\x80\0\0\0\0",
    b"\x82\xff" + (2**62).to_bytes(8, "big") + bytes(4),
]


@pytest.mark.parametrize("frame", FORBIDDEN, ids=bytes.hex)
def test_forbidden_frame_ends_its_connection_only(frame: bytes, client: Client) -> None:
    with raw_socket(client) as connection:
        assert " 101 " in shake_hands(connection, "Host: localhost")
        connection.sendall(frame)
        received = b""
        while chunk := connection.recv(4096):
            received += chunk
        # A close frame, and the end.
        assert received[:1] == b"\x88"
    assert client.rpc("eth_chainId")["result"]
