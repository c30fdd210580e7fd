# SPDX-License-Identifier: GPL-3.0-or-later
"""uvicorn's HTTP/1.1 for strangers: whoever connects has to ask in time, and to read the answer.

By itself uvicorn waits for ever for a request that never becomes whole, and for a peer that does
not read: so many connections as are allowed at once, and nobody else is served. What turns into nonsense
behind a request's head is refused by uvicorn (400), and the application would answer as well.

The API and the node each have this file: neither room may import the other, and a test holds both equal.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection, or the last answer, to the end of a request's head.
HEAD_SECONDS: Final = 20.0
# For reading what has been sent, the longest answer on a slow line.
STALL_SECONDS: Final = 120.0


class Connection(H11Protocol):
    """One connection; it is closed when its peer is too slow."""

    _waiting: TimerHandle | None = None
    _stalled: TimerHandle | None = None
    _upgraded = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a few now and then do not make a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the connection to the WebSocket's protocol."""
        self._upgraded = True
        self._watch()
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """Begin to wait for a peer that is behind."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the peer has read."""
        self._stop("_stalled")
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nobody any more."""
        self._upgraded = True
        self._watch()
        self._stop("_stalled")
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, unless an answer is on its way; the application's has nowhere to go then."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _watch(self) -> None:
        asked = self.cycle is not None and not self.cycle.response_complete
        if asked or self._upgraded:
            self._stop("_waiting")
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop(self, name: str) -> None:
        timer: TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)
