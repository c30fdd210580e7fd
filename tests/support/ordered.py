# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain with its sequencer but no JSON-RPC, for tests that look at every height it makes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.application import Application, Finalized
from node.chain import Chain
from node.db import LevelDB
from node.genesis import Genesis
from node.light import Header, Timestamp, format_time, from_rpc, timestamp
from node.sequencer import Sequencer
from tests.support import node_core

KEY = Ed25519PrivateKey.from_private_bytes(bytes([0x55]) * 32)
SECOND = 1_000_000_000
NO_FAULTS: Mapping[str, int] = MappingProxyType({})


def founded(seconds_ago: int = 3600) -> Genesis:
    """Return a genesis of one validator, KEY, and node_core's members."""
    key = KEY.public_key().public_bytes_raw()
    moment = timestamp(time.time_ns() - seconds_ago * SECOND)
    return replace(node_core.genesis(), validators=((key, 10),), time=format_time(moment))


class Crash(Exception):  # noqa: N818 - what a test makes happen
    """Stands for a power cut."""


class Watched(Application):
    """An application that keeps what it answered and, told so, fails at a height or refuses."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.finalized: dict[int, Finalized] = {}
        self.crash_before = 0
        self.crash_after = 0
        self.refuse = False

    def process(self, txs: Sequence[bytes]) -> bool:
        return super().process(txs) and not self.refuse

    def finalize(self, height: int, time: Timestamp, txs: Sequence[bytes]) -> Finalized:
        finalized = super().finalize(height, time, txs)
        if height == self.crash_before:
            raise Crash
        self.finalized[height] = finalized
        return finalized

    def commit(self, extra: Mapping[bytes, bytes] = MappingProxyType({})) -> None:
        super().commit(extra)
        if self.info().height == self.crash_after:
            raise Crash


class Clock:
    """A wall clock that a test sets, in nanoseconds; it starts an hour ago and stands still."""

    def __init__(self) -> None:
        self.now = time.time_ns() - 3600 * SECOND

    def __call__(self) -> int:
        return self.now


class Ordered:
    """A chain in a folder with its sequencer, which makes a height when told to."""

    def __init__(
        self, home: Path, genesis: Genesis, clock: Clock, faults: Mapping[str, int]
    ) -> None:
        self.clock = clock
        self.failed = False
        self.database = LevelDB(home / "chain")
        self.application = Watched(Chain(self.database, genesis))
        for name, height in faults.items():
            setattr(self.application, name, height)
        try:
            self.sequencer = Sequencer(
                self.application, KEY, now_nanos=clock, on_failure=self._note_failure
            )
        except Crash:
            self.database.close()
            raise

    def _note_failure(self) -> None:
        self.failed = True

    def send(self, *transactions: bytes) -> list[bytes]:
        """Submit transactions; return their hashes."""
        return [self.sequencer.submit(each) for each in transactions]

    def settle(self) -> int:
        """Wait until nothing can run and the last header carries the app hash; return the height."""
        until = time.monotonic() + 30
        while not self._settled() and not self.failed:
            assert time.monotonic() < until, "the chain does not come to rest"
            time.sleep(0.005)
        return self.sequencer.height

    def _settled(self) -> bool:
        # The head is read last: a block that empties the mempool meanwhile is then the one asked for.
        if self.sequencer.mempool.ready():
            return False
        head = self.application.chain.head().block_number
        return self.sequencer.height_of(head) is not None

    def headers(self) -> list[Header]:
        return [from_rpc(each).header for each in self.light_blocks()]

    def light_blocks(self) -> list[dict[str, Any]]:
        return [self.sequencer.light_block_json(h) for h in range(1, self.sequencer.height + 1)]

    def close(self) -> None:
        self.sequencer.stop()
        self.database.close()


@contextmanager
def ordering(
    home: Path, genesis: Genesis, clock: Clock | None = None, faults: Mapping[str, int] = NO_FAULTS
) -> Iterator[Ordered]:
    """Keep a chain with its sequencer open for as long as the block takes; `start` is the caller's."""
    ordered = Ordered(home, genesis, clock or Clock(), faults)
    try:
        yield ordered
    finally:
        ordered.close()


def ascending(values: Sequence[Any]) -> bool:
    """Whether each value is greater than the one before."""
    return all(before < after for before, after in pairwise(values))
