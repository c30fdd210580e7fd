# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON-RPC over a WebSocket (RFC 6455), and who is kept out: pages, and those who do not read.

A browser lets any page open a WebSocket anywhere and read from it, whatever CORS says, but always
sends an `Origin` with it; no other client has to. So whoever says one is refused (section 10.2).
A message has the bound of a body over HTTP and is never compressed. A few requests of a connection
run at a time; beyond that nothing more is read from it. Nothing waits without bound for clients
that do not read: one is cut off after a time, and when all of them together have left too much
unread, whoever has left the most.
"""

from __future__ import annotations

import logging
from asyncio import Lock, TimerHandle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from anyio import Semaphore, create_task_group, sleep, to_thread
from anyio.abc import TaskGroup
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from node.rpc.dispatch import MAX_ANSWER_BYTES, Dispatcher
from node.rpc.logs import LogQuery
from node.rpc.methods import METHODS, Backend
from node.rpc.subscriptions import Subscriptions, reader

MAX_SOCKETS: Final = 64
# Requests (or batches) of one connection that are answered at a time.
IN_FLIGHT: Final = 4
# How often a connection with nothing to tell looks at the head: nothing on the way to a block
# knows of subscribers, so that none can hold one up.
POLL_SECONDS: Final = 0.05
# A client has this long to take what has been sent before it is cut off.
STALL_SECONDS: Final = 20.0
# What all clients together may leave unread: the answers of one that asks for the longest as often
# as it may. Each byte is held twice until it is read.
MAX_UNREAD_BYTES: Final = IN_FLIGHT * MAX_ANSWER_BYTES
# What may wait besides: pongs, which are sent unasked for.
MAX_PONG_BYTES: Final = 256 * 1024
# Found out: a client that has gone without saying so.
PING_SECONDS: Final = 20.0
PONG_SECONDS: Final = 60.0
# RFC 6455 section 7.4.1: a message's data is not of its type.
NOT_CONSISTENT: Final = 1007


_log = logging.getLogger("moneo.node")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Unread:
    """How many bytes each connection of this process has been sent, or is about to be, and has not read."""

    def __init__(self) -> None:
        self._held: dict[SocketProtocol, int] = {}

    @contextmanager
    def holding(self, protocol: SocketProtocol, size: int) -> Iterator[None]:
        """Count a message until it is read; cut off whoever has left the most if it is too much."""
        self._held[protocol] = self._held.get(protocol, 0) + size
        try:
            while sum(self._held.values()) > MAX_UNREAD_BYTES:
                worst = max(self._held, key=self._held.__getitem__)
                worst.cut_off(f"{self._held.pop(worst):,} byte")
            yield
        finally:
            left = self._held.get(protocol, 0) - size
            if left > 0:
                self._held[protocol] = left
            else:
                self._held.pop(protocol, None)


_unread = _Unread()


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol; a peer that does not read is cut off, by time and by bytes.

    Messages go out one at a time, and sending one ends when it was read, but for a few KiB.
    """

    _stalled: TimerHandle | None = None
    _sending = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._turn = Lock()

    def pause_writing(self) -> None:
        """Begin to wait for a peer that is behind."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_SECONDS, self.cut_off, f"{STALL_SECONDS:g} s")

    def resume_writing(self) -> None:
        """Go on: the peer has read."""
        self._stop_waiting()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take bytes; also a peer's pings are answered, so that they count against what waits."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > self._sending + MAX_PONG_BYTES:
            self.cut_off("pong")

    def send_receive_event_to_app(self) -> None:
        """Hand over a message; a text that is no UTF-8 ends the connection, and fills no log."""
        if self.curr_msg_data_type == "bytes" or _is_utf8(b"".join(self.frames)):
            super().send_receive_event_to_app()
        # Else the peer itself has closed already, right behind its text.
        elif self.conn.state is State.OPEN:
            self.conn.send_close(NOT_CONSISTENT)
            self.handle_parser_exception()

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a refusal that is complete completes the handshake, which uvicorn forgets."""
        text: object = message.get("text")
        size = len(text) if isinstance(text, str) else 0
        with _unread.holding(self, size):
            async with self._turn:
                if self.transport.is_closing() and size:
                    raise ClientDisconnected
                self._sending = size
                await super().send(message)
                if size:
                    await self.writable.wait()
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nobody any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def cut_off(self, why: str) -> None:
        """End the connection of a peer that does not read; what waits for it is dropped."""
        if not self.transport.is_closing():
            _log.warning(
                "ngắt một WebSocket không đọc · cut off a WebSocket that does not read: %s, %s",
                self.client and self.client[0],
                why,
            )
        self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class Sockets:
    """The WebSocket endpoint: lets connections in, a bounded number at a time."""

    def __init__(
        self, dispatcher: Dispatcher, backend: Backend, knows: Callable[[str], bool]
    ) -> None:
        """Serve with the dispatcher; `knows` tells whether a Host header names this node."""
        self._dispatcher = dispatcher
        self._backend = backend
        self._knows = knows
        self._open = 0

    async def serve(self, socket: WebSocket) -> None:
        """Refuse a connection, or serve it until it ends."""
        if refusal := self._refusal(socket.headers):
            status, reason = refusal
            await socket.send_denial_response(PlainTextResponse(reason, status))
            return
        self._open += 1
        try:
            await socket.accept()
            await _Connection(socket, self._dispatcher, self._backend).run()
        finally:
            self._open -= 1

    def _refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        if not self._knows(headers.get("host", "")):
            return 421, "this node is not known by that name"
        if "origin" in headers:
            return 403, "no page may connect to this node"
        if self._open >= MAX_SOCKETS:
            return 503, f"there are {MAX_SOCKETS} connections already"
        return None


class _Connection:
    """One client: what it asks is answered, what it has subscribed to is sent."""

    def __init__(self, socket: WebSocket, dispatcher: Dispatcher, backend: Backend) -> None:
        self._socket = socket
        self._dispatcher = dispatcher
        self._subscriptions = Subscriptions(backend.chain)
        self._slots = Semaphore(IN_FLIGHT)

    async def run(self) -> None:
        """Serve until the client goes or the node stops."""
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._push)
                await self._receive(tasks)
                tasks.cancel_scope.cancel()
        except* WebSocketDisconnect:
            pass

    async def _receive(self, tasks: TaskGroup) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            body: bytes = message["bytes"] if text is None else text.encode()
            await self._slots.acquire()
            tasks.start_soon(self._answer, body)

    async def _answer(self, body: bytes) -> None:
        fresh: list[str] = []
        try:
            answer = await self._text(body, fresh)
            if answer is not None:
                await self._send(answer)
            # Only now: no client knows what to do with a notification before the id.
            for name in fresh:
                self._subscriptions.announce(name)
        finally:
            self._slots.release()

    async def _text(self, body: bytes, fresh: list[str]) -> str | None:
        answer = await self._dispatcher.with_methods(self._own(fresh)).answer(body)
        return None if answer is None else answer.decode()

    def _own(self, fresh: list[str]) -> dict[str, Any]:
        """Return the methods that are about this connection; new subscriptions go into `fresh`."""
        own: dict[str, Callable[..., Any]] = {
            "eth_subscribe": partial(self._subscribe, fresh),
            "eth_unsubscribe": self._unsubscribe,
        }
        return {name: replace(METHODS[name], function=function) for name, function in own.items()}

    def _subscribe(
        self, fresh: list[str], _node: Backend, kind: str, query: LogQuery | None
    ) -> str:
        name = self._subscriptions.add(reader(kind, query))
        fresh.append(name)
        return name

    def _unsubscribe(self, _node: Backend, name: str) -> bool:
        return self._subscriptions.remove(name)

    async def _push(self) -> None:
        while True:
            if not self._subscriptions.behind():
                await sleep(POLL_SECONDS)
                continue
            for notification in await to_thread.run_sync(
                self._subscriptions.take, limiter=self._dispatcher.reads
            ):
                await self._send(notification)

    async def _send(self, text: str) -> None:
        try:
            await self._socket.send_text(text)
        except RuntimeError as error:
            # uvicorn's word for a connection that it has closed meanwhile.
            raise WebSocketDisconnect from error
