# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain answers, as values, and how it fails: for those who handle it and never ask.

web3.py takes longer to import than all the rest of an API together; `anchor.chain` alone needs it.

    ChainError
    ├── ChainUnreachable     nobody answers, or not in time: try again later
    ├── ChainRefused         the node answers with an error
    │   └── ChainReverted    a call reverts, and the contract says why
    └── ChainAnswerError     the answer is not what the method returns, or does not verify
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import contracts
from anchor.errors import AnchorError
from node.light import LightBlock


class ChainError(AnchorError):
    """The chain can't be used now; nothing that was stored is lost."""


class ChainUnreachable(ChainError):  # noqa: N818 - a verdict, said as one
    """No answer from the node."""


class ChainRefused(ChainError):  # noqa: N818 - a verdict, said as one
    """The node refuses, and says why."""


class ChainReverted(ChainRefused):
    """A call would fail; `reason` has the contract's own words."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ChainAnswerError(ChainError):
    """The node's answer is malformed or does not verify."""


@dataclass(frozen=True)
class Head:
    """The preimage of a log's head slot (PROTOCOL §4)."""

    owner: bytes
    log_key_id: bytes
    size: int
    root: bytes
    aux: bytes
    block: int

    def commitment(self) -> bytes:
        """What the slot holds for this preimage."""
        return contracts.head_commitment(
            self.owner, self.log_key_id, self.size, self.root, self.aux, self.block
        )


@dataclass(frozen=True)
class IssuerState:
    """The preimage of an issuer's slot; `custody` is contracts.CUSTODY's number."""

    custody: int
    registered: int
    revoked: int
    registration: bytes

    def commitment(self) -> bytes:
        """What the slot holds for this preimage."""
        return contracts.issuer_commitment(
            self.custody, self.registered, self.revoked, self.registration
        )


@dataclass(frozen=True)
class Call:
    """A call of a contract's function, to be tried or sent."""

    contract: str
    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class SignedCall:
    """A signed transaction, ready to be sent any number of times."""

    nonce: int
    hash: bytes
    raw: bytes


class Mined(NamedTuple):
    """A transaction's receipt: its block and whether it succeeded."""

    block: int
    succeeded: bool


@dataclass(frozen=True)
class FinalBlock:
    """An EVM header (RLP) and the light block that is said to carry it."""

    header: bytes
    light_block: LightBlock


@dataclass(frozen=True)
class AccountProof:
    """EIP-1186 proof nodes of one account, and of each slot asked for, in that order."""

    account: tuple[bytes, ...]
    slots: tuple[tuple[bytes, ...], ...]


class KnownMember(NamedTuple):
    """A member's account, and its card as the node gave it: None, or any JSON at all."""

    account: bytes
    card: Any
