# SPDX-License-Identifier: GPL-3.0-or-later
"""A log on the contract as its owner sees it: what the head's preimage is, and how to anchor."""

from dataclasses import dataclass, replace
from typing import Any

import contracts
from tests.contracts.evm import Evm, Outcome

OWNER = b"\x11" * 20
STRANGER = b"\x22" * 20
ORIGIN = bytes.fromhex("6d6f") * 16
LOG_KEY_ID = bytes(range(0x40, 0x60))


@dataclass(frozen=True)
class Head:
    """The preimage of a head slot, in the order of the contract's struct."""

    size: int = 0
    root: bytes = contracts.EMPTY_ROOT
    block: int = 1
    owner: bytes = OWNER
    log_key_id: bytes = LOG_KEY_ID
    aux: bytes = bytes(32)

    def words(self) -> tuple[Any, ...]:
        """Return the struct's values for a call."""
        return (self.owner, self.log_key_id, self.size, self.root, self.aux, self.block)

    def commitment(self) -> bytes:
        """Return what the slot holds for this head."""
        return contracts.head_commitment(*self.words())

    def moved(self, size: int, root: bytes, block: int) -> "Head":
        """Return the head that anchoring this checkpoint in this block leaves."""
        return replace(self, size=size, root=root, block=block)


def stored(evm: Evm, origin: bytes = ORIGIN) -> bytes:
    """Return what the origin's head slot holds."""
    return evm.slot("AnchorLog", contracts.head_slot(origin))


def place(evm: Evm, head: Head, origin: bytes = ORIGIN) -> None:
    """Put a head into the slot as if it had been anchored long ago."""
    evm.put("AnchorLog", contracts.head_slot(origin), head.commitment())


def anchor(
    evm: Evm,
    head: Head,
    size: int,
    root: bytes,
    proof: list[bytes],
    sender: bytes = OWNER,
) -> Outcome:
    """Call `anchor` with this preimage, as the owner unless told otherwise."""
    return evm.transact(sender, "AnchorLog", "anchor", ORIGIN, head.words(), size, root, proof)
