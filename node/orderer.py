# SPDX-License-Identifier: GPL-3.0-or-later
"""What JSON-RPC asks of whoever orders transactions: the built-in sequencer, or CometBFT among many.

Behind it are `node.sequencer` and `node.abci`; `node.run` begins and ends either in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from node.light import LightBlock
from node.mempool import Mempool


@dataclass(frozen=True, slots=True)
class Peer:
    """A node that is connected: its id of 20 bytes, and where it said that it listens."""

    node_id: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Consensus:
    """How consensus does, as this node sees it.

    `newest` is the newest light block, none before the first height; `misbehaviour` is the newest
    that blocks have proven, oldest first, each with `kind`, `validator`, `height` and `time`.
    """

    newest: LightBlock | None
    is_catching_up: bool
    peers: tuple[Peer, ...] = ()
    misbehaviour: Sequence[Mapping[str, Any]] = ()


class Orderer(Protocol):
    """One validator's way to blocks. Reading is for any thread."""

    @property
    def mempool(self) -> Mempool:
        """What waits for its block, as far as this node knows."""

    @property
    def failure(self) -> BaseException | None:
        """Why it cannot go on, if it cannot."""

    @property
    def height(self) -> int:
        """The height committed last."""

    @property
    def validator(self) -> bytes:
        """The 20-byte address of this validator."""

    def start(self) -> None:
        """Begin to make blocks, or to take part."""

    def stop(self) -> None:
        """Finish the height at hand and return when nothing more is written."""

    def submit(self, raw: bytes) -> bytes:
        """Let a transaction wait for its block; return its hash. The same one again is no error.

        Raises TransactionRefused for one against the rules, NotTaken for one without room.
        """

    def height_of(self, number: int) -> int | None:
        """Return the height whose header carries the app hash of EVM block `number`, if any yet."""

    def light_block_json(self, height: int) -> dict[str, Any]:
        """Return the light block of a height in the JSON of CometBFT's RPC. Raises ChainError."""

    def consensus(self) -> Consensus:
        """Return how consensus does. Raises NotReady if nobody can say now."""

    def is_catching_up(self) -> bool:
        """Return whether the node still has to execute what the others have decided long since."""

    def peer_count(self) -> int:
        """Return how many nodes are connected. Raises NotReady."""
