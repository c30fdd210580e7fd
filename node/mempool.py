# SPDX-License-Identifier: GPL-3.0-or-later
"""Where admitted transactions wait for their block, bounded so that no sender can fill the memory.

A nonce may run ahead of the account's by a small window, because clients send several
transactions at once and over several connections; the gap then waits to be closed. A nonce is
taken once: gas is free, so nothing could outbid what already waits. What waits longer than
`LIFETIME_SECONDS` is forgotten, or a gap that nobody closes would hold its nonces for ever.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from node.application import Admitted
from node.errors import NodeError

MAX_COUNT: Final = 4_096
MAX_BYTES: Final = 16 * 1024 * 1024
# Also the most transactions of one sender that wait at a time.
NONCE_WINDOW: Final = 64
LIFETIME_SECONDS: Final = 600.0


class NotTaken(NodeError):  # noqa: N818 - a verdict about a transaction
    """The rules allow the transaction, but it cannot wait here; the message is for its sender."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction as it came in, what the application said of it, and when (monotonic s)."""

    raw: bytes
    admitted: Admitted
    since: float


class Mempool:
    """Transactions by sender and nonce. Any thread may call any method.

    `next_nonce` gives an account's next nonce in the head's state.
    """

    def __init__(
        self, next_nonce: Callable[[bytes], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._next_nonce = next_nonce
        self._clock = clock
        self._lock = Lock()
        self._senders: defaultdict[bytes, dict[int, Waiting]] = defaultdict(dict)
        self._by_hash: dict[bytes, Waiting] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def get(self, tx_hash: bytes) -> bytes | None:
        """Return the raw transaction with this hash if it waits here."""
        waiting = self._by_hash.get(tx_hash)
        return waiting.raw if waiting else None

    def add(self, raw: bytes, admitted: Admitted) -> None:
        """Let an admitted transaction wait. The same one again is no error.

        Raises NotTaken when there is no room, its nonce is too far ahead, or another transaction
        with this sender and nonce waits.
        """
        next_nonce = self._next_nonce(admitted.sender)
        with self._lock:
            if admitted.hash in self._by_hash:
                return
            self._forget_old()
            self._check_room(len(raw))
            _check_nonce(admitted, next_nonce, self._senders.get(admitted.sender, {}))
            waiting = Waiting(raw, admitted, self._clock())
            self._senders[admitted.sender][admitted.nonce] = waiting
            self._by_hash[admitted.hash] = waiting
            self._bytes += len(raw)

    def ready(self) -> list[bytes]:
        """Return the hashes of what can run now: per sender, nonces without a gap, ascending.

        Used nonces are dropped on the way. Senders come in the order of their oldest transaction.
        """
        with self._lock:
            runs = [self._run(sender) for sender in list(self._senders)]
        return [each.admitted.hash for run in sorted(runs, key=_age) for each in run]

    def pending_nonce(self, sender: bytes) -> int:
        """Return the nonce that a sender's next transaction should have."""
        nonce = self._next_nonce(sender)
        with self._lock:
            waiting = self._senders.get(sender, {})
            while nonce in waiting:
                nonce += 1
        return nonce

    def take(self) -> list[bytes]:
        """Forget all; return what could run next, in the order of `ready`."""
        waiting = [self._by_hash[tx_hash].raw for tx_hash in self.ready()]
        with self._lock:
            for each in list(self._by_hash.values()):
                self._drop(each)
        return waiting

    def remove(self, hashes: Iterable[bytes]) -> None:
        """Forget these transactions; those that don't wait here are skipped."""
        with self._lock:
            for tx_hash in hashes:
                if waiting := self._by_hash.get(tx_hash):
                    self._drop(waiting)

    def _run(self, sender: bytes) -> list[Waiting]:
        nonce = self._next_nonce(sender)
        waiting = self._senders[sender]
        for used in [each for each in waiting if each < nonce]:
            self._drop(waiting[used])
        run = []
        while nonce in waiting:
            run.append(waiting[nonce])
            nonce += 1
        return run

    def _check_room(self, size: int) -> None:
        if len(self._by_hash) >= MAX_COUNT or self._bytes + size > MAX_BYTES:
            raise NotTaken("the node has too many transactions waiting: send it again later")

    def _forget_old(self) -> None:
        deadline = self._clock() - LIFETIME_SECONDS
        for waiting in [each for each in self._by_hash.values() if each.since < deadline]:
            self._drop(waiting)

    def _drop(self, waiting: Waiting) -> None:
        admitted = waiting.admitted
        del self._by_hash[admitted.hash]
        del self._senders[admitted.sender][admitted.nonce]
        if not self._senders[admitted.sender]:
            del self._senders[admitted.sender]
        self._bytes -= len(waiting.raw)


def _check_nonce(admitted: Admitted, next_nonce: int, waiting: dict[int, Waiting]) -> None:
    if admitted.nonce >= next_nonce + NONCE_WINDOW:
        raise NotTaken(
            f"nonce too high: {admitted.nonce}, the account's next is {next_nonce} "
            f"and at most {NONCE_WINDOW} may wait"
        )
    if admitted.nonce in waiting:
        raise NotTaken(f"another transaction with nonce {admitted.nonce} is already waiting")


def _age(run: list[Waiting]) -> float:
    return run[0].since if run else 0.0
