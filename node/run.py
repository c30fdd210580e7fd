# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's process: chain, orderer, workers for calls and JSON-RPC, started and ended in order.

The orderer is the built-in sequencer or, given where its peers are, CometBFT (`node.abci`).

`Node` is all of it but signals and the process's exit status, so that a test can run one in a
thread. What keeps a node from starting is one sentence in a StartError.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Final, Self

import uvicorn

from node.application import Application
from node.calls import CallPool
from node.chain import Chain
from node.db import LevelDB
from node.errors import NodeError
from node.genesis import CHAIN_FOLDER, load
from node.known import KnownCards
from node.orderer import Orderer
from node.rpc import Backend, create_app
from node.rpc.connections import Connection
from node.rpc.logs import Filters
from node.rpc.server import MAX_BODY_BYTES
from node.rpc.sockets import PING_SECONDS, PONG_SECONDS, SocketProtocol
from node.sequencer import open_sequencer

if TYPE_CHECKING:
    from node.abci import Peering

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8545
MAX_CONNECTIONS: Final = 256
# Requests that are being answered when the node is told to stop have this long to end.
STOP_SECONDS: Final = 3
_BACKLOG: Final = 128

_log = logging.getLogger("moneo.node")


class StartError(NodeError):
    """The node cannot start; the message says what to do."""


class Node:
    """A node's parts. Use as a context manager: leaving it stops them, last one first."""

    def __init__(
        self,
        home: Path,
        listener: socket.socket,
        host: str = DEFAULT_HOST,
        peering: Peering | None = None,
    ) -> None:
        """Open the chain in `home` and go on where it stands; the listener is closed at the end.

        With `peering` CometBFT orders, without the built-in sequencer. Raises StartError.
        """
        self._parts = ExitStack()
        self._listener = self._parts.enter_context(listener)
        try:
            self._open(home, host, peering)
        except NodeError as error:
            self._parts.close()
            raise StartError(str(error)) from error
        except BaseException:
            self._parts.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def url(self) -> str:
        """The address of JSON-RPC."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def serve(self) -> None:
        """Answer and make blocks until `stop` is called. Raises NodeError if it cannot go on."""
        self.sequencer.start()
        _log.info(
            "%s: block %d, height %d, JSON-RPC on %s",
            self.chain.genesis.cometbft_chain_id,
            self.chain.head().block_number,
            self.sequencer.height,
            self.url,
        )
        asyncio.run(self._server.serve(sockets=[self._listener]))
        self.sequencer.stop()
        if self.sequencer.failure is not None:
            raise NodeError(
                f"nút đã dừng · the node stopped: {self.sequencer.failure}"
            ) from self.sequencer.failure

    def stop(self) -> None:
        """Make `serve` return soon. Any thread and any signal handler may call this."""
        self._server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether JSON-RPC answers."""
        return self._server.started

    def _open(self, home: Path, host: str, peering: Peering | None) -> None:
        genesis = load(home)
        database = LevelDB(home / CHAIN_FOLDER)
        self._parts.callback(database.close)
        self.chain = Chain(database, genesis)
        self.application = Application(self.chain)
        self.application.check_upgrade()
        self.cards = KnownCards(home)
        self.sequencer = self._open_orderer(home, peering)
        self._parts.callback(self.sequencer.stop)
        self.calls = CallPool(self.chain)
        self._parts.callback(self.calls.close)
        self._server = self._make_server(host)

    def _open_orderer(self, home: Path, peering: Peering | None) -> Orderer:
        if peering is None:
            return open_sequencer(self.application, home, on_failure=self.stop)
        from node.abci import open_comet

        return open_comet(self.application, home, peering, self.stop, self.cards)

    def _make_server(self, host: str) -> uvicorn.Server:
        filters = Filters(self.chain)
        backend = Backend(
            self.chain, self.application, self.sequencer, self.calls, filters, self.cards
        )
        config = uvicorn.Config(
            create_app(backend, host),
            http=Connection,
            ws=SocketProtocol,
            ws_max_size=MAX_BODY_BYTES,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PONG_SECONDS,
            # What is unpacked is not bounded by what is sent.
            ws_per_message_deflate=False,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        return _Server(config, self.calls)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, which would raise the signal again at the end."""

    def __init__(self, config: uvicorn.Config, calls: CallPool) -> None:
        super().__init__(config)
        self._calls = calls

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Nobody should wait for a call that takes its whole time.
        self._calls.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one. Raises StartError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"không mở được địa chỉ này · cannot listen on {host}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(_listening_failed(host, port, error)) from error
    return listener


def run(
    home: Path,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    peering: Peering | None = None,
) -> None:
    """Run a node until SIGTERM or SIGINT; with `peering` CometBFT orders.

    Raises StartError if it cannot start, another NodeError if it cannot go on.
    """
    with Node(home, listen(host, port), host, peering) as node, _stopped_by_signals(node):
        node.serve()
        _log.info("stopped at height %d", node.sequencer.height)


@contextmanager
def _stopped_by_signals(node: Node) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        node.stop()

    signals = (signal.SIGTERM, signal.SIGINT) if current_thread() is main_thread() else ()
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listening_failed(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "cổng đang có chương trình khác dùng, hãy dừng nó hoặc chọn cổng khác bằng --rpc · "
            f"port {port} on {host} is in use: stop what uses it, or choose another with --rpc"
        )
    if error.errno == errno.EACCES:
        return (
            "không được phép mở cổng này, hãy chọn cổng trên 1023 bằng --rpc · "
            f"not allowed to listen on port {port}: choose one above 1023 with --rpc"
        )
    return f"không mở được địa chỉ này · cannot listen on {host} port {port}: {error.strerror}"
