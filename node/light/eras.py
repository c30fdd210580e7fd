# SPDX-License-Identifier: GPL-3.0-or-later
"""Validators change, evidence does not: from one trusted light block, which set was in power when.

An era is the time of one validator set. It is left only by a light block that more than two thirds
of that set signed and whose `next_validators_hash` names the next one. There is no skipping by a
third of the power, as CometBFT's light client allows: it would let a third of the keys forge.

Retired keys can still sign light blocks of their past era. What `Finality.past` marks is therefore
to be believed only as far as the retired are, or when `verify_ancestry` proves the same EVM block
from a header of a later era.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from node.light import merkle
from node.light.cometbft import LightBlock, Timestamp, verify_light_block
from node.light.errors import EraError
from node.light.evm import HASH_SIZE, EvmHeader

MAX_ERAS = 256


@dataclass(frozen=True, slots=True)
class TrustedChain:
    """What a verifier believes from the start: a chain's id, a light block, the eras since it.

    `eras` are the light blocks at which the validator set changes, in ascending order.
    """

    chain_id: str
    light_block: LightBlock
    eras: tuple[LightBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Finality:
    """What a verified light block says: that its block existed no later than `time`.

    `era` counts from 0, the trusted light block's; `past` says that a later one is known.
    """

    time: Timestamp
    height: int
    validators: int
    era: int
    past: bool


@dataclass(frozen=True, slots=True)
class _Era:
    """The set in power from a height on, until the next era begins."""

    validators_hash: bytes
    first: int


class Eras:
    """The eras of one chain that are reached from trust; made by `verify_eras`."""

    def __init__(self, chain_id: str, first: LightBlock) -> None:
        """Begin with a trusted light block; raises LightBlockError if it is not committed."""
        verify_light_block(first, chain_id)
        self._chain_id = chain_id
        self._known = [first]
        # The trusted set is believed for earlier heights too: its signatures are worth no less.
        self._eras = [_Era(first.header.validators_hash, first=1)]
        if _changes(first):
            self._open(first)

    @property
    def newest(self) -> int:
        """Number of the newest era known, from 0."""
        return len(self._eras) - 1

    def finality(self, block: LightBlock) -> Finality:
        """Return what a light block of any known era proves.

        Raises LightBlockError if it is not committed, EraError if its validators are not those of
        its height or it contradicts a light block already known.
        """
        verify_light_block(block, self._chain_id)
        header = block.header
        era = self._number_at(header.height)
        if header.validators_hash != self._eras[era].validators_hash:
            raise EraError("light block is signed by validators that trust does not lead to")
        self._check_order(block)
        is_past = era != self.newest
        return Finality(header.time, header.height, len(block.validators), era, is_past)

    def through(self, more: Sequence[LightBlock]) -> "Eras":
        """Return the eras that lead on from these through `more`; these stay as they are.

        `more` and the errors are those of `verify_eras`.
        """
        eras = copy(self)
        eras._known, eras._eras = [*self._known], [*self._eras]
        before = 0
        for block in more:
            height = block.header.height
            if height <= before:
                raise EraError("eras are not in ascending order")
            before = height
            if height > self._known[0].header.height and not self._is_known(block):
                eras._advance(block)
            else:
                eras._pass_over(block)
        return eras

    def _pass_over(self, block: LightBlock) -> None:
        """Look at a light block that leads nowhere: it may not be false for all that."""
        verify_light_block(block, self._chain_id)
        self._check_order(block)

    def _advance(self, block: LightBlock) -> None:
        """Take up the light block that ends the newest era."""
        self.finality(block)
        if block.header.height <= self._known[-1].header.height:
            raise EraError("eras are not in ascending order")
        if not _changes(block):
            raise EraError("light block does not change the validators")
        if len(self._eras) == MAX_ERAS:
            raise EraError(f"more than {MAX_ERAS} eras")
        self._open(block)
        self._known.append(block)

    def _open(self, block: LightBlock) -> None:
        header = block.header
        self._eras.append(_Era(header.next_validators_hash, header.height + 1))

    def _is_known(self, block: LightBlock) -> bool:
        return any(known.header == block.header for known in self._known)

    def _number_at(self, height: int) -> int:
        return max(number for number, era in enumerate(self._eras) if era.first <= height)

    def _check_order(self, block: LightBlock) -> None:
        """Refuse a block whose height and time are not in one order with every one known."""
        header = block.header
        for known in self._known:
            other = known.header
            if header.height == other.height and header != other:
                raise EraError("light block contradicts a known one of its height")
            lower, higher = sorted((header, other), key=lambda each: each.height)
            if lower.height < higher.height and lower.time >= higher.time:
                raise EraError("light block's time contradicts that of a known one")


def verify_eras(trusted: TrustedChain, more: Sequence[LightBlock] = ()) -> Eras:
    """Return the eras that lead on from trust: through those it knows, then `more` of them.

    `more` ascends by height. Of it, light blocks that trust knows already are passed over, and so
    are those not above the trusted light block, which prove nothing from it. Raises LightBlockError
    if one is not committed (passed over or not), EraError if one does not lead from one era to the
    next or contradicts a light block already known.
    """
    eras = Eras(trusted.chain_id, trusted.light_block)
    for block in trusted.eras:
        eras._advance(block)
    return eras.through(more)


def verify_ancestry(
    old_header_hash: bytes, old_number: int, newer: EvmHeader, path: Sequence[bytes]
) -> None:
    """Verify that the EVM block of this hash and number is an ancestor of a newer header.

    The newer header's `extra_data` is the root over the hashes of all blocks before it, by number;
    `path` is the inclusion path in that tree. Raises EraError, or MerkleError if the path is wrong.
    """
    if len(old_header_hash) != HASH_SIZE or len(newer.extra_data) != HASH_SIZE:
        raise EraError("newer header carries no root of its ancestors")
    leaf = merkle.leaf_hash(old_header_hash)
    merkle.verify_inclusion(leaf, old_number, newer.number, path, newer.extra_data)


def _changes(block: LightBlock) -> bool:
    return block.header.next_validators_hash != block.header.validators_hash
