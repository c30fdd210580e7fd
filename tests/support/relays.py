# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP relays, so that a network between processes on one machine can be cut and healed without being root."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future
from threading import Thread
from typing import Any, Literal

Pair = tuple[int, int]
Cut = Literal["closed", "silent"]
_CHUNK = 65_536
_SECONDS = 10.0


class _Link:
    """One relay: what goes from whoever calls it to the target, and back."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.is_closed = False
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both = [writer]
        try:
            if self.is_closed:
                return
            host, _, port = self.target.rpartition(":")
            there, back = await asyncio.open_connection(host, int(port))
            both.append(back)
            self.writers.update(both)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in both:
                self.writers.discard(each)
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()
        # Both ways end together: half a connection is of no use to CometBFT.
        raise asyncio.IncompleteReadError(b"", None)

    def cut(self, how: Cut) -> None:
        if how == "silent":
            self.flowing.clear()
            return
        self.is_closed = True
        for writer in self.writers:
            writer.transport.abort()

    def heal(self) -> None:
        self.is_closed = False
        self.flowing.set()


class Relays:
    """A relay for each ordered pair of places. Safe for threads; `close` ends them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._links: dict[Pair, _Link] = {}
        self._servers: list[asyncio.Server] = []
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def open(self, pair: Pair, target: str) -> str:
        """Begin to relay from the one place to the other; return the address that the one calls."""

        async def listen() -> str:
            link = self._links[pair] = _Link(target)
            server = await asyncio.start_server(link.serve, target.rpartition(":")[0], 0)
            self._servers.append(server)
            host, port = server.sockets[0].getsockname()
            return f"{host}:{port}"

        return str(self._do(listen()))

    def cut(self, left: Iterable[int], right: Iterable[int], how: Cut = "closed") -> None:
        """Let nothing through between two sides.

        "closed": connections end, and new ones too; "silent": nothing arrives, as when a cable is
        cut, and what was on its way comes later.
        """
        sides = set(left), set(right)

        async def cut() -> None:
            for (one, other), link in self._links.items():
                if {one, other} & sides[0] and {one, other} & sides[1]:
                    link.cut(how)

        self._do(cut())

    def heal(self) -> None:
        """Let everything through again."""

        async def heal() -> None:
            for link in self._links.values():
                link.heal()

        self._do(heal())

    def close(self) -> None:
        async def close() -> None:
            for server in self._servers:
                server.close()
            for link in self._links.values():
                link.cut("closed")
                link.heal()
            # What was cut off still has to come to its end.
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait(rest, timeout=_SECONDS) if rest else None

        self._do(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(_SECONDS * 2)
