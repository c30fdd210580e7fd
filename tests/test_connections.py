# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of peers that are slow, silent or talk nonsense: closed in time, and nothing is logged as failed."""

import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

import api.connections
import node.rpc.connections
from tests.support.province import wait_until
from tests.support.raw import request

SOON = 0.3
LONG_ANSWER = 64 * 1024 * 1024
KINDS = [api.connections.Connection, node.rpc.connections.Connection]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, then answer; a long answer if that is asked for."""
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    size = LONG_ANSWER if scope["path"] == "/long" else 2
    headers = [(b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * size})


@pytest.fixture(params=KINDS, ids=["api", "node"])
def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server whose patience is short."""
    module = sys.modules[request.param.__module__]
    monkeypatch.setattr(module, "HEAD_SECONDS", SOON)
    monkeypatch.setattr(module, "STALL_SECONDS", SOON)
    config = uvicorn.Config(application, http=request.param, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_until("it serves", lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(30)


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        yield sock


def is_closed_soon(sock: socket.socket) -> bool:
    started = time.monotonic()
    try:
        while sock.recv(2**16):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - started < 20


def answer(sock: socket.socket) -> bytes:
    with HTTPResponse(sock) as response:
        response.begin()
        assert response.status == 200
        return response.read()


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_request_that_never_becomes_whole_is_not_waited_for(port: int, said: bytes) -> None:
    with connected(port) as sock:
        sock.sendall(said)
        assert is_closed_soon(sock)


def test_a_head_that_comes_in_drops_is_not_waited_for(port: int) -> None:
    with connected(port) as sock:
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - started < 20:
                sock.sendall(b"GET / HTTP/1.1\r\n"[:1])
                time.sleep(0.05)


def test_after_an_answer_the_next_request_is_waited_for_as_long(port: int) -> None:
    with connected(port) as sock:
        for _ in range(3):
            sock.sendall(request("GET", "/", {}))
            assert answer(sock) == b"xx"
            time.sleep(SOON / 3)
        sock.sendall(b"GET")
        assert is_closed_soon(sock)


def test_a_body_is_waited_for(port: int) -> None:
    """How long is the application's business."""
    with connected(port) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
        time.sleep(3 * SOON)
        sock.sendall(b"y")
        assert answer(sock) == b"xx"


def test_a_peer_that_does_not_read_is_cut_off(port: int) -> None:
    with connected(port) as sock:
        sock.sendall(request("GET", "/long", {}))
        time.sleep(4 * SOON)
        got = 0
        with pytest.raises(ConnectionError):
            while data := sock.recv(2**20):
                got += len(data)
            raise ConnectionError("closed")
        assert got < LONG_ANSWER


@pytest.mark.parametrize("behind", [b"zz\r\n", b"5\r\nabcdefgh", b"-1\r\n\r\n"])
def test_nonsense_behind_a_head_is_refused_once_and_logs_no_failure(
    port: int, behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with caplog.at_level(logging.ERROR), connected(port) as sock:
        sock.sendall(head)
        time.sleep(0.1)
        sock.sendall(behind)
        got = b""
        while data := sock.recv(2**16):
            got += data
        assert got.startswith(b"HTTP/1.1 400") and got.count(b"HTTP/1.1") == 1
        time.sleep(0.1)
    assert not caplog.records


def test_both_rooms_have_the_same_file() -> None:
    api_file, node_file = api.connections.__file__, node.rpc.connections.__file__
    assert Path(api_file).read_bytes() == Path(node_file).read_bytes()
