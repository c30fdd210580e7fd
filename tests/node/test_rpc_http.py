# SPDX-License-Identifier: GPL-3.0-or-later
"""What the door lets in: JSON-RPC's envelope, bounds, and requests that a browser was tricked into."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from node.rpc.dispatch import MAX_BATCH
from node.rpc.errors import InvalidParams
from node.rpc.hexes import (
    BlockRef,
    parse_block,
    parse_count,
    parse_data,
    parse_flag,
    parse_quantity,
    parse_slot,
)
from node.rpc.logs import MAX_FILTERS, Filters
from node.rpc.methods import METHODS
from node.rpc.server import MAX_BODY_BYTES
from tests.support.loopback import HTTP
from tests.support.running_node import Client, found_home, running


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("node") / "node"
    found_home(home)
    with running(home) as client:
        yield client


def request(method: Any = "eth_chainId", request_id: Any = 1, **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": [], **members}


def post_bytes(client: Client, body: bytes, **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", **headers}
    return HTTP.post(client.node.url, content=body, headers=headers)


# A body, and the code of the error that answers it.
WRONG: list[tuple[bytes, int]] = [
    (b"", -32700),
    (b"{", -32700),
    (b'{"jsonrpc":"2.0","id":NaN,"method":"eth_chainId"}', -32700),
    (b"[" * 100_000, -32700),
    (b"\xff\xfe", -32700),
    (b"[]", -32600),
    (b"1", -32600),
    (b"null", -32600),
    (b"{}", -32600),
    (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":1}', -32600),
    (b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":1}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}', -32601),
    (b'{"jsonrpc":"2.0","id":1,"method":"__class__"}', -32601),
]


@pytest.mark.parametrize(("body", "code"), WRONG, ids=[str(each[0][:60]) for each in WRONG])
def test_wrong_requests_have_their_standard_code(body: bytes, code: int, client: Client) -> None:
    answer = post_bytes(client, body)
    assert answer.status_code == 200
    assert answer.json()["error"]["code"] == code


WRONG_PARAMS: list[tuple[str, list[Any]]] = [
    ("eth_getBalance", []),
    ("eth_getBalance", ["0x12"]),
    ("eth_getBalance", ["0x" + "00" * 20, "newest"]),
    ("eth_getBalance", ["0x" + "00" * 20, "0x01"]),
    ("eth_getBalance", ["0x" + "00" * 20, {"blockNumber": "0x1", "blockHash": "0x" + "00" * 32}]),
    ("eth_getBlockByNumber", ["latest", "yes"]),
    ("eth_getTransactionByHash", ["0x" + "00" * 31]),
    ("eth_call", [{"to": "0x12"}]),
    ("eth_call", [{"data": "0x00", "input": "0x01"}]),
    ("eth_call", [{"to": "0x" + "00" * 20, "unknown": 1}]),
    ("eth_call", [{}, "latest", {"0x" + "00" * 20: {"balance": "0x1"}}]),
    ("eth_getLogs", [{"address": ["0x" + "00" * 20] * 101}]),
    ("eth_getLogs", [{"topics": [None] * 5}]),
    ("eth_getLogs", ["latest"]),
    ("eth_getProof", ["0x" + "00" * 20, ["0x0"] * 129, "latest"]),
    ("eth_sendRawTransaction", ["02"]),
    ("eth_sendRawTransaction", [None]),
    ("moneo_getAncestry", [1, -1]),
]


@pytest.mark.parametrize(("method", "params"), WRONG_PARAMS, ids=str)
def test_wrong_parameters_are_named(method: str, params: list[Any], client: Client) -> None:
    error = client.rpc(method, *params)["error"]
    assert error["code"] == -32602
    assert "parameter" in error["message"]


def test_answers_keep_the_id_and_their_order(client: Client) -> None:
    ids = [1, "two", None, 4.5]
    answers = client.post([request("eth_chainId", each) for each in ids]).json()
    assert [each["id"] for each in answers] == ids
    assert {each["result"] for each in answers} == {hex(client.node.chain.chain_id)}


def test_batch_answers_right_and_wrong_requests_each(client: Client) -> None:
    answers = client.post([request(), 1, request("eth_nothing", 3)]).json()
    assert ["result" in each for each in answers] == [True, False, False]
    assert [each["error"]["code"] for each in answers[1:]] == [-32600, -32601]


def test_notifications_are_not_answered(client: Client) -> None:
    silent = {"jsonrpc": "2.0", "method": "eth_chainId"}
    assert client.post(silent).status_code == client.post([silent, silent]).status_code == 204
    assert len(client.post([silent, request()]).json()) == 1


def test_batch_is_bounded(client: Client) -> None:
    assert len(client.post([request()] * MAX_BATCH).json()) == MAX_BATCH
    refused = client.post([request()] * (MAX_BATCH + 1)).json()
    assert refused["error"]["code"] == -32600


def test_long_body_is_refused_before_it_is_read(client: Client) -> None:
    host, port = client.node.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode()
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_long_body_of_unsaid_length_is_refused(client: Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 65_536] * 20

    try:
        answer = HTTP.post(
            client.node.url, content=chunks(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 413
    except httpx.TransportError:
        # The node may close before all of it was sent.
        pass
    assert client.rpc("eth_chainId")["result"]


def test_body_of_just_the_limit_is_read(client: Client) -> None:
    body = json.dumps(request()).encode()
    assert post_bytes(client, body.ljust(MAX_BODY_BYTES)).json()["result"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8545", "", "127.0.0.1.evil.example"]
)
def test_foreign_host_is_refused(host: str, client: Client) -> None:
    assert client.post(request(), Host=host).status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8545", "10.0.0.1"]
)
def test_own_name_and_addresses_are_taken(host: str, client: Client) -> None:
    assert client.post(request(), Host=host).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_page_may_send_unasked_is_refused(kind: str, client: Client) -> None:
    body = json.dumps(request()).encode()
    assert post_bytes(client, body, **{"Content-Type": kind}).status_code == 415


def test_no_page_is_told_that_it_may_read(client: Client) -> None:
    asked = HTTP.options(
        client.node.url,
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert asked.status_code == 405
    answer = client.post(request(), Origin="https://evil.example")
    for headers in (asked.headers, answer.headers):
        assert not [name for name in headers if name.startswith("access-control")]
    assert HTTP.get(client.node.url).status_code == 405
    assert client.post(request()).headers.get("server") is None


def test_failure_of_the_node_is_said_without_details(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(client.node.chain), "prove", fail)
    answer = client.rpc("eth_getProof", "0x" + "00" * 20, [], "latest")
    assert answer["error"]["code"] == -32603
    assert "secret" not in json.dumps(answer)


def test_filters_are_bounded_and_forgotten(client: Client) -> None:
    now = 0.0
    filters = Filters(client.node.chain, lambda: now)
    names = [filters.add(None) for _ in range(MAX_FILTERS)]
    assert len(set(names)) == MAX_FILTERS
    with pytest.raises(Exception, match=str(MAX_FILTERS)):
        filters.add(None)
    now = 301.0
    filters.add(None)
    assert not filters.remove(names[0])


def test_every_method_has_a_name_of_its_namespace() -> None:
    assert {name.partition("_")[0] for name in METHODS} == {"eth", "net", "web3", "moneo"}


QUANTITIES = {"0x0": 0, "0x1": 1, "0xfF": 255, "0x" + "f" * 64: 2**256 - 1}
NO_QUANTITIES = [
    "",
    "0x",
    "0x00",
    "0x01",
    "1",
    "0xg",
    "0X1",
    "0x" + "1" * 65,
    "-0x1",
    1,
    None,
    "0x1\n",
]


@pytest.mark.parametrize("text", QUANTITIES)
def test_quantity_is_read(text: str) -> None:
    assert parse_quantity(text) == QUANTITIES[text]


@pytest.mark.parametrize("value", NO_QUANTITIES)
def test_no_quantity_is_refused(value: Any) -> None:
    with pytest.raises(InvalidParams):
        parse_quantity(value)


@pytest.mark.parametrize("value", ["0x0", "00", "0xzz", "0x 00", None, 1])
def test_no_data_is_refused(value: Any) -> None:
    with pytest.raises(InvalidParams):
        parse_data(value)


def test_other_words() -> None:
    assert parse_data("0x") == b""
    assert parse_slot("0x1") == parse_slot("0x" + "00" * 31 + "01") == bytes(31) + b"\1"
    assert parse_count(3) == parse_count("0x3") == 3
    assert parse_block({"blockNumber": "0x5"}) == BlockRef(number=5)
    assert parse_block({"blockHash": "0x" + "11" * 32}) == BlockRef(hash=bytes([17]) * 32)
    for parse, value in (
        (parse_flag, 1),
        (parse_count, True),
        (parse_count, -1),
        (parse_block, []),
    ):
        with pytest.raises(InvalidParams):
            parse(value)
    with pytest.raises(InvalidParams):
        parse_block("0x10000000000000000")
