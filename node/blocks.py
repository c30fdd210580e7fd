# SPDX-License-Identifier: GPL-3.0-or-later
"""So that one validator's blocks look to everyone like a CometBFT network's: block building.

CometBFT 0.38, `spec/core/data_structures.md` (blocks, commits) and `spec/consensus/bft-time.md`
(a header's time comes from the votes for the block before it). What is hashed and signed is
`node.light.cometbft`'s; here a header is filled in from the block before and a vote is cast. All
of it is a function of its arguments: clock, key and storage are the sequencer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.genesis import Genesis
from node.light import (
    BlockId,
    Commit,
    Header,
    LightBlock,
    Timestamp,
    Validator,
    Version,
    Vote,
    block_id_of,
    commit_hash,
    commit_of,
    consensus_params_hash,
    data_hash,
    encode_block,
    evidence_hash,
    parse_time,
    results_hash,
    sign_bytes,
    timestamp,
    validator_address,
    validators_hash,
)

# ConsensusParams.Block of every header. Calldata costs gas, so that a full block of the EVM
# stays under three quarters of this; -1 leaves gas to the application, which cuts blocks itself.
MAX_BLOCK_BYTES: Final = 1_048_576
MAX_BLOCK_GAS: Final = -1
# A header, a commit of one vote and their framing take under 1 kB of a block.
MAX_DATA_BYTES: Final = MAX_BLOCK_BYTES - 4_096
# What a vote's time is at least after its block's time (bft-time.md; CometBFT's "time iota").
_VOTE_STEP_NANOS: Final = 1_000_000
NO_RESULTS_HASH: Final = results_hash(())


@dataclass(frozen=True, slots=True)
class Tip:
    """The last committed block as the next one refers to it, with the hash of its results."""

    light_block: LightBlock
    results_hash: bytes = NO_RESULTS_HASH


@dataclass(frozen=True, slots=True)
class Block:
    """A proposed block: `last_commit` commits the one before it, `id` covers all of it."""

    header: Header
    transactions: tuple[bytes, ...]
    last_commit: Commit
    id: BlockId

    def encode(self) -> bytes:
        """Return the block's protobuf bytes, the ones that its part set is cut from."""
        return encode_block(self.header, self.transactions, self.last_commit)


def validators_of(genesis: Genesis) -> tuple[Validator, ...]:
    """Return the validator set in CometBFT's order: power descending, then address ascending."""
    validators = (Validator(public_key, power) for public_key, power in genesis.validators)
    return tuple(sorted(validators, key=_validator_order))


def make_block(
    genesis: Genesis, tip: Tip | None, app_hash: bytes, txs: Sequence[bytes], proposer: bytes
) -> Block:
    """Return the block after `tip` (None: the first) with these transactions.

    `app_hash` is the application's after the block before; `proposer` is a validator's address.
    """
    validators = validators_of(genesis)
    last_commit = commit_of(tip.light_block) if tip else Commit()
    known = validators_hash(validators)
    header = Header(
        version=Version(),
        chain_id=genesis.cometbft_chain_id,
        height=tip.light_block.header.height + 1 if tip else 1,
        time=median_time(last_commit, validators) if tip else parse_time(genesis.time),
        last_block_id=last_commit.block_id,
        last_commit_hash=commit_hash(last_commit),
        data_hash=data_hash(txs),
        validators_hash=known,
        next_validators_hash=known,
        consensus_hash=consensus_params_hash(MAX_BLOCK_BYTES, MAX_BLOCK_GAS),
        app_hash=app_hash,
        last_results_hash=tip.results_hash if tip else NO_RESULTS_HASH,
        evidence_hash=evidence_hash(),
        proposer_address=proposer,
    )
    return Block(header, tuple(txs), last_commit, block_id_of(header, txs, last_commit))


def commit_alone(
    block: Block, key: Ed25519PrivateKey, validators: tuple[Validator, ...], now_nanos: int
) -> LightBlock:
    """Return the block committed in round 0 by the one vote of `key`, the only validator.

    The vote's time is `now_nanos` (since 1970), or a step after the block's own time where the
    clock is behind it, so that times grow from block to block whatever the clock does.
    """
    header = block.header
    time = timestamp(max(now_nanos, header.time.nanoseconds() + _VOTE_STEP_NANOS))
    signature = key.sign(sign_bytes(header.chain_id, header.height, 0, block.id, time))
    return LightBlock(header, 0, block.id, (Vote(0, time, signature),), validators)


def median_time(commit: Commit, validators: Sequence[Validator]) -> Timestamp:
    """Return BFT time: the median of a commit's vote times, weighted by voting power.

    Raises ValueError for a commit in which nobody has voted.
    """
    powers = {validator_address(each.public_key): each.power for each in validators}
    votes = sorted((vote.time, powers[vote.address]) for vote in commit.signatures if vote.address)
    rest = sum(power for _, power in votes) // 2
    for time, power in votes:
        if rest <= power:
            return time
        rest -= power
    raise ValueError("a commit without votes has no time")


def _validator_order(validator: Validator) -> tuple[int, bytes]:
    return -validator.power, validator_address(validator.public_key)
