# SPDX-License-Identifier: GPL-3.0-or-later
"""What a light block is made of, as values that hold only what is hashed or signed.

CometBFT 0.38, `spec/core/data_structures.md`. Hashes, keys, addresses and signatures are raw bytes.
"""

from dataclasses import dataclass

from node.light.cometbft.times import Timestamp

BLOCK_PROTOCOL = 11
# The largest integer that every JSON reader keeps; CometBFT's own limits lie beyond.
MAX_INTEGER = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Version:
    """Version of the block protocol and of the application."""

    block: int = BLOCK_PROTOCOL
    app: int = 0


@dataclass(frozen=True, slots=True)
class BlockId:
    """A block by its header's hash and the root over the parts it was gossiped in.

    Both hashes are empty in the block before the first.
    """

    hash: bytes = b""
    parts_total: int = 0
    parts_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header; its field order is the order of the hash's leaves."""

    version: Version
    chain_id: str
    height: int
    time: Timestamp
    last_block_id: BlockId
    last_commit_hash: bytes
    data_hash: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    consensus_hash: bytes
    app_hash: bytes
    last_results_hash: bytes
    evidence_hash: bytes
    proposer_address: bytes


@dataclass(frozen=True, slots=True)
class Validator:
    """An Ed25519 public key (32 bytes) and its voting power."""

    public_key: bytes
    power: int


@dataclass(frozen=True, slots=True)
class Vote:
    """A COMMIT vote for a light block's block id by the validator at `index`."""

    index: int
    time: Timestamp
    signature: bytes


@dataclass(frozen=True, slots=True)
class LightBlock:
    """A header, the votes that commit it, and the validators it names, in the order of their hash.

    Votes for nil and absent ones are not kept: they prove nothing.
    """

    header: Header
    round: int
    block_id: BlockId
    votes: tuple[Vote, ...]
    validators: tuple[Validator, ...]


# BlockIDFlag of CometBFT's `types/block.go`.
ABSENT, COMMIT, NIL = 1, 2, 3
# Go's zero time, which an absent vote carries.
ZERO_TIME = Timestamp(-62_135_596_800)


@dataclass(frozen=True, slots=True)
class CommitSig:
    """One validator's place in a commit: its flag, and if it is not absent, what it signed."""

    flag: int = ABSENT
    address: bytes = b""
    time: Timestamp = ZERO_TIME
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit with a place for every validator, as the next block hashes it.

    The default is the empty commit that the first block carries.
    """

    height: int = 0
    round: int = 0
    block_id: BlockId = BlockId()
    signatures: tuple[CommitSig, ...] = ()
