# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that sends whatever bytes it is given, and waits for what comes back only so long."""

import base64
import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import BinaryIO

ANSWER_SECONDS = 60.0
# How long bytes that may be no request are waited for before the client says that no more come.
PATIENCE = 0.03
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
_TEXT, _PING, _CLOSE = 0x1, 0x9, 0x8


class Hung(AssertionError):  # noqa: N818 - what is found
    """The server neither answered nor closed the connection in time."""


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request's bytes; what stands in path and headers is sent as it is."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


class Connection:
    """A kept connection to one server, opened anew when it was closed."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, *pieces: bytes) -> tuple[int, bytes]:
        """Send one well-formed request, in pieces with a pause between, and return status and body. Raises Hung."""
        for _ in range(2):
            fresh = self._socket is None
            self._socket = self._socket or self._open()
            try:
                with contextlib.suppress(BrokenPipeError):
                    # An answer may come before the whole body was taken.
                    self._socket.sendall(pieces[0])
                    for piece in pieces[1:]:
                        time.sleep(PATIENCE)
                        self._socket.sendall(piece)
                return self._answer(self._socket)
            except TimeoutError as error:
                raise Hung(pieces[0][:200]) from error
            except (OSError, HTTPException):
                # A kept connection may have been closed meanwhile, never a fresh one.
                self.close()
                if fresh:
                    raise
        raise AssertionError("a fresh connection was closed without an answer")

    def throw(self, sent: bytes) -> list[int]:
        """Send any bytes on a connection of their own; return the statuses that came back. Raises Hung."""
        with self._open() as sock:
            got = b""
            try:
                sock.sendall(sent)
                sock.settimeout(PATIENCE)
                got = sock.recv(2**16)
            except TimeoutError:
                pass
            except OSError:
                return []
            try:
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(ANSWER_SECONDS)
                while more := sock.recv(2**16):
                    got += more
            except TimeoutError as error:
                raise Hung(sent[:200]) from error
            except OSError:
                pass
        return [int(status) for status in _STATUS.findall(got)]

    def _open(self) -> socket.socket:
        return socket.create_connection(self._address, ANSWER_SECONDS)

    def _answer(self, sock: socket.socket) -> tuple[int, bytes]:
        with HTTPResponse(sock) as answer:
            answer.begin()
            body = answer.read()
            if answer.will_close:
                self.close()
            return answer.status, body


def frame(data: bytes, opcode: int = _TEXT, *, mask: bool = True) -> bytes:
    """Return a WebSocket frame (RFC 6455 §5.2), masked with zeros as a client's has to be."""
    bit = 0x80 if mask else 0
    head = bytes([0x80 | opcode])
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 2**16:
        head += bytes([bit | 126]) + len(data).to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + len(data).to_bytes(8, "big")
    return head + bytes(4 if mask else 0) + data


@contextmanager
def websocket(address: str) -> Iterator["Frames"]:
    """Open a WebSocket."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), ANSWER_SECONDS) as sock:
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key}
        sock.sendall(request("GET", "/", {**headers, "Sec-WebSocket-Version": "13"}))
        with sock.makefile("rb") as stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.readline()
            assert b" 101 " in head, head
            yield Frames(sock, stream)


class Frames:
    """What goes over an open WebSocket."""

    def __init__(self, sock: socket.socket, stream: BinaryIO) -> None:
        self._socket = sock
        self._stream = stream

    def send(self, data: bytes) -> None:
        """Send bytes as they are; whoever was sent no frame may have hung up."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def messages(self) -> Iterator[bytes]:
        """Yield the payloads of text frames until the server closes. Raises Hung."""
        while True:
            head = self._exactly(2)
            if len(head) < 2 or head[0] & 0xF == _CLOSE:
                return
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
            data = self._exactly(size)
            if head[0] & 0xF == _TEXT:
                yield data

    def _exactly(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except TimeoutError as error:
            raise Hung("a WebSocket") from error
        except OSError:
            return b""
