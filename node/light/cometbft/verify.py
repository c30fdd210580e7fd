# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a light block is committed: by more than two thirds of the voting power it names itself.

Whether those validators are the ones to believe is for `node.light.eras` to say. The rules are
CometBFT's (`types/light.go`, `types/validation.go`), with these differences: signatures follow the
one rule of `node.light.ed25519`, every vote listed must hold, and all numbers stay below 2^53.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from node.light import ed25519
from node.light.cometbft.hashes import ADDRESS_SIZE, header_hash, sign_bytes, validators_hash
from node.light.cometbft.types import BLOCK_PROTOCOL, MAX_INTEGER, Header, LightBlock, Vote
from node.light.errors import LightBlockError, SignatureError

HASH_SIZE = 32
MAX_CHAIN_ID = 50
MAX_VALIDATORS = 512
MAX_ROUND = 2**31 - 1
# CometBFT's MaxBlockPartsCount: 100 MiB in parts of 64 KiB, and one.
MAX_PARTS = 1601
MAX_APP_HASH = 64

# CometBFT lets a header leave empty what it never leaves empty itself; its own hash needs the rest.
_HASH_LENGTHS = {
    "last_commit_hash": (0, HASH_SIZE),
    "data_hash": (0, HASH_SIZE),
    "validators_hash": (HASH_SIZE,),
    "next_validators_hash": (HASH_SIZE,),
    "consensus_hash": (0, HASH_SIZE),
    "app_hash": range(MAX_APP_HASH + 1),
    "last_results_hash": (0, HASH_SIZE),
    "evidence_hash": (0, HASH_SIZE),
    "proposer_address": (ADDRESS_SIZE,),
}


def verify_light_block(block: LightBlock, chain_id: str) -> None:
    """Verify that a light block of this chain is committed by more than 2/3 of its validators' power.

    Raises LightBlockError if its parts do not agree, a number is out of bounds, any vote listed
    does not verify, or their power does not suffice.
    """
    _check_header(block.header, chain_id)
    _check_block_id(block)
    _check_validators(block)
    _check_votes(block)
    if not _suffices(_power(block, block.votes), block):
        raise LightBlockError("votes do not hold more than two thirds of the voting power")


def minimal(block: LightBlock) -> LightBlock:
    """Return the light block with no more votes than pass two thirds, the strongest first.

    Votes that do not verify are left out. Raises LightBlockError if the rest does not suffice.
    """
    _check_order(block)
    kept: list[Vote] = []
    for vote in sorted(_valid_votes(block), key=lambda vote: (-_power(block, [vote]), vote.index)):
        kept.append(vote)
        if _suffices(_power(block, kept), block):
            return replace(block, votes=tuple(sorted(kept, key=lambda vote: vote.index)))
    raise LightBlockError("valid votes do not hold more than two thirds of the voting power")


def check_minimal(block: LightBlock) -> None:
    """Refuse a light block one of whose votes could be left out, with LightBlockError."""
    weakest = min((_power(block, [vote]) for vote in block.votes), default=0)
    if _suffices(_power(block, block.votes) - weakest, block):
        raise LightBlockError("more votes than are needed")


def _check_header(header: Header, chain_id: str) -> None:
    if header.chain_id != chain_id or len(chain_id) > MAX_CHAIN_ID:
        raise LightBlockError("light block is of another chain")
    if header.version.block != BLOCK_PROTOCOL:
        raise LightBlockError(f"block protocol is not {BLOCK_PROTOCOL}")
    if not 1 <= header.height <= MAX_INTEGER or not 0 <= header.version.app <= MAX_INTEGER:
        raise LightBlockError("height or application version is out of bounds")
    for name, lengths in _HASH_LENGTHS.items():
        if len(getattr(header, name)) not in lengths:
            raise LightBlockError(f"{name} has a wrong length")
    _check_last_block_id(header)


def _check_last_block_id(header: Header) -> None:
    last = header.last_block_id
    if not {len(last.hash), len(last.parts_hash)} <= {0, HASH_SIZE}:
        raise LightBlockError("last block id has a hash of a wrong length")
    if not 0 <= last.parts_total <= MAX_PARTS:
        raise LightBlockError("last block id's parts are out of bounds")


def _check_block_id(block: LightBlock) -> None:
    if block.block_id.hash != header_hash(block.header):
        raise LightBlockError("votes are for another block")
    if (
        len(block.block_id.parts_hash) != HASH_SIZE
        or not 1 <= block.block_id.parts_total <= MAX_PARTS
    ):
        raise LightBlockError("block id's parts are out of bounds")
    if not 0 <= block.round <= MAX_ROUND:
        raise LightBlockError("round is out of bounds")


def _check_validators(block: LightBlock) -> None:
    validators = block.validators
    if not 1 <= len(validators) <= MAX_VALIDATORS:
        raise LightBlockError("number of validators is out of bounds")
    # Only a header's hash says who they are; a key twice or without power is refused all the same,
    # lest a set that its own chain should not have made counts one signer as two.
    if len({validator.public_key for validator in validators}) != len(validators):
        raise LightBlockError("a validator stands in the set twice")
    if min(validator.power for validator in validators) <= 0 or _total(block) > MAX_INTEGER:
        raise LightBlockError("voting power is out of bounds")
    try:
        for validator in validators:
            ed25519.check_public_key(validator.public_key)
    except SignatureError as error:
        raise LightBlockError("a validator's key is refused") from error
    if validators_hash(validators) != block.header.validators_hash:
        raise LightBlockError("validators are not those of the header")


def _check_votes(block: LightBlock) -> None:
    _check_order(block)
    for vote in block.votes:
        try:
            _verify_vote(block, vote)
        except SignatureError as error:
            raise LightBlockError(f"vote of validator {vote.index} does not verify") from error


def _check_order(block: LightBlock) -> None:
    # Strictly ascending, so that no validator is counted twice.
    before = -1
    for vote in block.votes:
        if not before < vote.index < len(block.validators):
            raise LightBlockError("votes are not in ascending order of the validators")
        before = vote.index


def _verify_vote(block: LightBlock, vote: Vote) -> None:
    header = block.header
    signed = sign_bytes(header.chain_id, header.height, block.round, block.block_id, vote.time)
    ed25519.verify(block.validators[vote.index].public_key, vote.signature, signed)


def _valid_votes(block: LightBlock) -> Iterator[Vote]:
    for vote in block.votes:
        try:
            _verify_vote(block, vote)
        except SignatureError:
            continue
        yield vote


def _power(block: LightBlock, votes: Sequence[Vote]) -> int:
    return sum(block.validators[vote.index].power for vote in votes)


def _total(block: LightBlock) -> int:
    return sum(validator.power for validator in block.validators)


def _suffices(power: int, block: LightBlock) -> bool:
    return 3 * power > 2 * _total(block)
