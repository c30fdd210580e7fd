# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the API as a process: one sentence when it cannot start, a clean end on SIGTERM and SIGINT.

The socket is bound before anything else, so that a port in use is said before the database is opened.
"""

import errno
import logging
import signal
import socket
import sys
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
            return _serve(settings, listener, logger)
    except (StartError, AnchorError) as error:
        logger.error("%s", error)
        return FAILED


def _serve(settings: Settings, listener: socket.socket, logger: logging.Logger) -> int:
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
    logger.info("listening on http://%s, public address %s", settings.listen, settings.public_url)
    server.run(sockets=[listener])
    logger.info("stopped")
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
