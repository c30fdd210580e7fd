# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the API: one sentence when it cannot start, a clean end on SIGTERM and SIGINT.

The socket is bound before anything else, so that a port in use is said before the database is opened.
Behind it stand as many worker processes as the settings say, forked before anything is open or any
thread runs; each takes the next connection that it has time for. When one ends, all end, and whoever
started the API starts it again: half an API would be found out last.
"""

import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from anchor.errors import AnchorError
from anchor.settings import Settings, load
from api.app import create_app

OK, FAILED = 0, 1
BACKLOG = 2048
# Requests at once: more are told to come back (503), so that memory stays bounded.
MAX_CONCURRENT = 256
GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 20
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
    """The processes that answer, and the parent's end of the pipe whose other end says that it lives."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._alive, self._parent = os.pipe()
        self._before = {number: signal.signal(number, self._stop) for number in STOP_SIGNALS}
        self._running: set[int] = set()
        self._stopping = False
        for _ in range(settings.workers):
            if (child := os.fork()) == 0:
                os._exit(self._work(settings, listener))
            self._running.add(child)
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
        os.close(self._parent)
        os.close(self._alive)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return not any(statuses)

    def _stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._stopping = True
        for child in self._running:
            os.kill(child, signal.SIGTERM)

    def _work(self, settings: Settings, listener: socket.socket) -> int:
        """Serve, in the child; returns its exit status. Never raises: the parent's work is not its."""
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            os.close(self._parent)
            threading.Thread(target=_end_with_parent, args=(self._alive,), daemon=True).start()
            return _serve(settings, listener)
        except BaseException:
            logging.getLogger("moneo.api").exception("a worker of the API failed")
            return FAILED
        finally:
            logging.shutdown()


def _end_with_parent(alive: int) -> None:
    """Wait for the end of a pipe that nobody writes to: the parent is gone, and with it whoever stops us."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(settings: Settings, listener: socket.socket) -> int:
    server = _Server(
        uvicorn.Config(
            create_app(settings),
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
