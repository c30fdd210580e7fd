# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client on a WebSocket is told unasked: new heads and logs, read block by block as it takes them.

The `eth_subscribe` of geth, which client libraries know. A subscription holds a position and never
results: whoever reads slowly lags behind, and takes no memory. A block is never taken back, so that
nothing is ever told twice or withdrawn.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from node.chain import Chain
from node.rpc.errors import InvalidParams, LimitExceeded
from node.rpc.logs import LogQuery, block_matches, parse_query
from node.rpc.shapes import header_json

MAX_SUBSCRIPTIONS: Final = 16
# What a subscription's range may say: it begins now and has no end.
_OPEN_ENDED: Final = frozenset({"latest", "pending"})

# Reads what one block has for a subscription.
Reader = Callable[[Chain, int], list[dict[str, Any]]]


def reader(kind: str, query: LogQuery | None) -> Reader:
    """Return how a subscription of this kind reads a block. Raises InvalidParams."""
    if kind == "logs":
        logs = (query or parse_query({})).logs
        return lambda chain, number: list(block_matches(chain, logs, number))
    if query is not None:
        raise InvalidParams(f"{kind} takes no filter")
    return lambda chain, number: [header_json(chain, number)]


def parse_kind(value: Any) -> str:
    """Return the kind of a subscription."""
    if value not in ("newHeads", "logs"):
        raise InvalidParams("expected newHeads or logs")
    return str(value)


def parse_open_query(value: Any) -> LogQuery:
    """Return a filter that reads what comes from now on."""
    query = parse_query(value)
    tags = {query.first.tag, query.last.tag}
    if query.block_hash is not None or not tags <= _OPEN_ENDED:
        raise InvalidParams("a subscription begins now: leave the blocks out")
    return query


@dataclass(slots=True)
class _Subscription:
    """How it reads a block, which it reads next, and whether its client has been told its id."""

    read: Reader
    next: int
    announced: bool = False


class Subscriptions:
    """The subscriptions of one connection. Any thread may add and remove; one at a time takes."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._lock = Lock()
        self._all: dict[str, _Subscription] = {}

    def add(self, read: Reader) -> str:
        """Subscribe to what comes from now on; return the id. Raises LimitExceeded."""
        with self._lock:
            if len(self._all) >= MAX_SUBSCRIPTIONS:
                raise LimitExceeded(f"a connection has at most {MAX_SUBSCRIPTIONS} subscriptions")
            name = hex(secrets.randbits(127) | 1 << 127)
            self._all[name] = _Subscription(read, self._chain.head().block_number + 1)
        return name

    def announce(self, name: str) -> None:
        """Begin to give out what a subscription reads: its client now knows the id."""
        with self._lock:
            if found := self._all.get(name):
                found.announced = True

    def remove(self, name: str) -> bool:
        """End a subscription; return whether there was one."""
        with self._lock:
            return self._all.pop(name, None) is not None

    def take(self) -> list[str]:
        """Return the next notifications, one block's for the subscription furthest behind, and move on.

        No more at a time: until they are read, they are held.
        """
        with self._lock:
            due = self._due()
        if not due:
            return []
        name, each = min(due, key=lambda item: item[1].next)
        told = [_notification(name, found) for found in each.read(self._chain, each.next)]
        each.next += 1
        return told

    def behind(self) -> bool:
        """Whether a block waits to be taken."""
        with self._lock:
            return bool(self._due())

    def _due(self) -> list[tuple[str, _Subscription]]:
        head = self._chain.head().block_number
        return [
            (name, each) for name, each in self._all.items() if each.announced and each.next <= head
        ]


def _notification(name: str, result: Mapping[str, Any]) -> str:
    params = {"subscription": name, "result": result}
    notification = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
    return json.dumps(notification, separators=(",", ":"))
