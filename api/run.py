# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the API: one sentence when it cannot start, a clean end on SIGTERM and SIGINT.

The socket is bound before anything else, so that a port in use is said before the database is opened.
Behind it stand as many worker processes as the settings say, forked before anything is open or any
thread runs; the parent accepts connections and hands them out in turn. When one worker ends, all end,
and whoever started the API starts it again: half an API would be found out last.
"""

import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from anchor.errors import AnchorError
from anchor.settings import Settings, load
from api.app import create_app
from api.connections import Connection

OK, FAILED = 0, 1
BACKLOG = 2048
# Requests at once: more are told to come back (503), so that memory stays bounded.
MAX_CONCURRENT = 256
GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 20
# What accepting meets now and then, and what is over soon: a peer that left, no room for another file.
_PASSING = frozenset({errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
ACCEPT_PAUSE = 0.05
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StartError(Exception):
    """The process cannot start; the message is one sentence that says what to do."""


def run(data: Path) -> int:
    """Serve the province of a data folder until told to stop; returns the exit status."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s api %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    logger = logging.getLogger("moneo.api")
    try:
        settings = load(data)
        with _bind(settings.listen) as listener:
            logger.info(
                "listening on http://%s, public address %s", settings.listen, settings.public_url
            )
            served = _Workers(settings, listener).wait()
        logger.info("stopped")
        return OK if served else FAILED
    except (StartError, AnchorError) as error:
        logger.error("%s", error)
        return FAILED


class _Workers:
    """The processes that answer, each at the other end of a pair of sockets."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._listener = listener
        self._before = {number: signal.signal(number, self._stop) for number in STOP_SIGNALS}
        self._running: set[int] = set()
        self._stopping = False
        pairs = [socket.socketpair() for _ in range(settings.workers)]
        ours, theirs = zip(*pairs, strict=True)
        for own in theirs:
            if (child := os.fork()) == 0:
                os._exit(self._work(settings, own, {listener, *ours, *theirs} - {own}))
            self._running.add(child)
        for end in theirs:
            end.close()
        threading.Thread(target=_hand_out, args=(listener, ours), daemon=True).start()
        if self._stopping:
            self._stop()

    def wait(self) -> bool:
        """Wait until all have ended; whether all of them had served and were told to stop."""
        statuses = []
        while self._running:
            child, status = os.wait()
            self._running.discard(child)
            statuses.append(status)
            self._stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return not any(statuses)

    def _stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._stopping = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for child in self._running:
            os.kill(child, signal.SIGTERM)

    def _work(self, settings: Settings, own: socket.socket, others: set[socket.socket]) -> int:
        """Serve, in the child; returns its exit status. Never raises: the parent's work is not its."""
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            for other in others:
                other.close()
            return _serve(settings, _Handed(fileno=own.detach()))
        except BaseException:
            logging.getLogger("moneo.api").exception("a worker of the API failed")
            return FAILED
        finally:
            logging.shutdown()


def _hand_out(listener: socket.socket, workers: Sequence[socket.socket]) -> None:
    """Give each connection to the next worker: left to themselves, the first to wake takes all that wait."""
    for worker in workers:
        # A worker that takes none any more loses its own, and keeps nobody else waiting.
        worker.setblocking(False)
    for worker in cycle(workers):
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno not in _PASSING:
                return
            time.sleep(ACCEPT_PAUSE)
            continue
        with connection, suppress(OSError):
            socket.send_fds(worker, [b"."], [connection.fileno()])


class _Handed(socket.socket):
    """What a worker listens on: its end of a pair of sockets, from which accepted connections come."""

    def listen(self, _backlog: int = 0, /) -> None:
        """Nothing is to be done: the parent listens."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection; BlockingIOError while there is none."""
        data, handed, _, _ = socket.recv_fds(self, 1, 1)
        if not data:
            # The parent is gone, and with it whoever stops us.
            os.kill(os.getpid(), signal.SIGTERM)
        if not handed:
            raise BlockingIOError
        connection = socket.socket(fileno=handed[0])
        return connection, connection.getpeername()


def _serve(settings: Settings, listener: socket.socket) -> int:
    server = _Server(
        uvicorn.Config(
            create_app(settings),
            http=Connection,
            # Uvicorn's own messages would be a second log in another form; errors still come through.
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            limit_concurrency=MAX_CONCURRENT,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    server.run(sockets=[listener])
    return OK if server.started else FAILED


class _Server(uvicorn.Server):
    """Uvicorn's server, which ends with a status instead of raising the signal that stopped it anew."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        before = {number: signal.signal(number, self._stop) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)


def _bind(listen: str) -> socket.socket:
    """Return a listening socket.

    Raises:
        StartError: the address is in use or not this machine's.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        # With its protocol named, asyncio turns Nagle's algorithm off: it held every answer for 40 ms.
        listener = socket.socket(*found[0][:3])
    except OSError as error:
        raise StartError(_sentence(listen, error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(_sentence(listen, error)) from error
    return listener


def _sentence(listen: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"cổng {listen} đang có chương trình khác dùng; hãy dừng nó hoặc đổi [api] listen trong moneo.toml"
            f" · {listen} is in use: stop what uses it, or change [api] listen in moneo.toml"
        )
    return (
        f"không mở được {listen} ({error.strerror}); hãy sửa [api] listen trong moneo.toml"
        f" · {listen} cannot be opened ({error.strerror}): change [api] listen in moneo.toml"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("cách dùng · usage: python -m api.run DATA")
    sys.exit(run(Path(sys.argv[1])))
