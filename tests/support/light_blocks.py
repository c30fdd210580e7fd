# SPDX-License-Identifier: GPL-3.0-or-later
"""Validators to test with: real keys that sign real light blocks, of any power and at any height."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.light import (
    BlockId,
    Header,
    LightBlock,
    Timestamp,
    Validator,
    Version,
    Vote,
    consensus_params_hash,
    data_hash,
    evidence_hash,
    header_hash,
    results_hash,
    sign_bytes,
    validator_address,
    validators_hash,
)

CHAIN_ID = "test-0123456789abcdef"


@dataclass(frozen=True)
class Signers:
    """A validator set with its private keys, in the order of the set."""

    keys: tuple[Ed25519PrivateKey, ...]
    powers: tuple[int, ...]

    @property
    def validators(self) -> tuple[Validator, ...]:
        """The set without its private keys."""
        public_keys = (key.public_key().public_bytes_raw() for key in self.keys)
        return tuple(map(Validator, public_keys, self.powers))


def signers(name: str, powers: Sequence[int] = (1, 1, 1, 1)) -> Signers:
    """Return a validator set whose keys follow from a name, one for each power.

    Equal powers are in CometBFT's order; unequal ones stand as given, so that tests can name them.
    """
    seeds = (sha256(f"{name} {index}".encode()).digest() for index in range(len(powers)))
    keys = sorted(map(Ed25519PrivateKey.from_private_bytes, seeds), key=_address)
    return Signers(tuple(keys), tuple(powers))


def council(names: Sequence[str], power: int = 1) -> Signers:
    """Return the set of these members, whose keys follow from their names, in CometBFT's order."""
    seeds = (sha256(f"member {name}".encode()).digest() for name in names)
    keys = sorted(map(Ed25519PrivateKey.from_private_bytes, seeds), key=_address)
    return Signers(tuple(keys), (power,) * len(keys))


@dataclass(frozen=True)
class Posed(Signers):
    """A set that shows other validators than those who hold the keys."""

    shown: tuple[Validator, ...] = ()

    @property
    def validators(self) -> tuple[Validator, ...]:
        """The validators as shown."""
        return self.shown


def light_block(
    by: Signers,
    height: int = 5,
    *,
    then: Signers | None = None,
    app_hash: bytes = bytes(32),
    seconds: int | None = None,
    silent: Collection[int] = (),
    chain_id: str = CHAIN_ID,
    round_: int = 0,
) -> LightBlock:
    """Return a light block that all of a set sign but the `silent`, and which names the next set.

    Its time follows from the height unless `seconds` since 1970 are given.
    """
    header = Header(
        version=Version(),
        chain_id=chain_id,
        height=height,
        time=Timestamp(1_800_000_000 + height if seconds is None else seconds, 123_456_789),
        last_block_id=BlockId(b"\1" * 32, 1, b"\2" * 32) if height > 1 else BlockId(),
        last_commit_hash=b"\3" * 32,
        data_hash=data_hash([]),
        validators_hash=validators_hash(by.validators),
        next_validators_hash=validators_hash((then or by).validators),
        consensus_hash=consensus_params_hash(22_020_096, -1),
        app_hash=app_hash,
        last_results_hash=results_hash([]),
        evidence_hash=evidence_hash(),
        proposer_address=validator_address(by.validators[0].public_key),
    )
    block_id = BlockId(header_hash(header), 1, b"\4" * 32)
    block = LightBlock(header, round_, block_id, (), by.validators)
    return signed(block, by, [index for index in range(len(by.keys)) if index not in silent])


def signed(block: LightBlock, by: Signers, indices: Sequence[int]) -> LightBlock:
    """Return the light block with votes of the signers at these places instead of its own."""
    header = block.header
    votes = []
    for index in indices:
        time = Timestamp(header.time.seconds + 1, index)
        message = sign_bytes(header.chain_id, header.height, block.round, block.block_id, time)
        votes.append(Vote(index, time, by.keys[index].sign(message)))
    return replace(block, votes=tuple(votes))


def _address(key: Ed25519PrivateKey) -> bytes:
    return validator_address(key.public_key().public_bytes_raw())
