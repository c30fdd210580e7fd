# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes that CometBFT 0.38 hashes and signs, for those who verify and for those who produce.

`spec/core/encoding.md` and `data_structures.md`; message and field numbers are those of
`proto/tendermint/types/*.proto` and `proto/tendermint/abci/types.proto`. Every tree is the one of
RFC 6962 and RFC 9162 over the named messages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from hashlib import sha256

from node.light import merkle
from node.light.cometbft.times import Timestamp
from node.light.cometbft.types import (
    COMMIT,
    BlockId,
    Commit,
    CommitSig,
    Header,
    LightBlock,
    Validator,
    Version,
)
from node.light.cometbft.wire import Fixed64, Message, Value, delimited, message

ADDRESS_SIZE = 20
# A block is gossiped in parts of this many bytes (CometBFT's BlockPartSizeBytes).
PART_SIZE = 65_536
_PRECOMMIT = 2


def validator_address(public_key: bytes) -> bytes:
    """Return the 20-byte address of a validator's public key."""
    return sha256(public_key).digest()[:ADDRESS_SIZE]


def in_order(validators: Iterable[Validator]) -> tuple[Validator, ...]:
    """Return a validator set in CometBFT's order: by power, the greatest first, then by address."""
    return tuple(
        sorted(validators, key=lambda each: (-each.power, validator_address(each.public_key)))
    )


def validators_hash(validators: Iterable[Validator]) -> bytes:
    """Return the hash of a validator set in the order given, which is part of it."""
    return _tree(
        message((1, message((1, validator.public_key))), (2, validator.power))
        for validator in validators
    )


def header_hash(header: Header) -> bytes:
    """Return the hash of a header, which is the block's hash."""
    # A message stands as itself; a scalar is wrapped in a message as its field 1.
    values = (_header_value(header, name) for name in _HEADER_FIELDS)
    return _tree(value if isinstance(value, Message) else message((1, value)) for value in values)


def sign_bytes(
    chain_id: str, height: int, round_: int, block_id: BlockId, time: Timestamp
) -> bytes:
    """Return what a validator signs to commit a block: a delimited CanonicalVote."""
    vote = message(
        (1, _PRECOMMIT),
        (2, Fixed64(height)),
        (3, Fixed64(round_)),
        (4, _block_id(block_id)),
        (5, time.encode()),
        (6, chain_id),
    )
    return delimited(vote)


def commit_of(block: LightBlock) -> Commit:
    """Return the commit of a light block with a place for every validator, those unheard absent."""
    signatures = [CommitSig()] * len(block.validators)
    for vote in block.votes:
        address = validator_address(block.validators[vote.index].public_key)
        signatures[vote.index] = CommitSig(COMMIT, address, vote.time, vote.signature)
    return Commit(block.header.height, block.round, block.block_id, tuple(signatures))


def commit_hash(commit: Commit) -> bytes:
    """Return the hash of a commit: the `last_commit_hash` of the next header."""
    return _tree(map(_commit_sig, commit.signatures))


def data_hash(transactions: Iterable[bytes]) -> bytes:
    """Return the hash of a block's transactions: its header's `data_hash`."""
    return _tree(sha256(transaction).digest() for transaction in transactions)


def results_hash(results: Iterable[tuple[int, bytes, int, int]]) -> bytes:
    """Return the hash of transaction results (code, data, gas wanted, gas used).

    It is the `last_results_hash` of the next header.
    """
    return _tree(
        message((1, code), (2, data), (5, wanted), (6, used))
        for code, data, wanted, used in results
    )


def evidence_hash(evidence: Iterable[bytes] = ()) -> bytes:
    """Return the hash of a block's encoded evidence of misbehaviour."""
    return _tree(evidence)


def consensus_params_hash(max_bytes: int, max_gas: int) -> bytes:
    """Return the `consensus_hash` of a header: of the block size limits in force."""
    return sha256(message((1, max_bytes), (2, max_gas))).digest()


def encode_block(header: Header, transactions: Sequence[bytes], last_commit: Commit) -> bytes:
    """Return the encoding of a block without evidence of misbehaviour."""
    return message(
        (1, message(*_numbered(header))),
        (2, message(*((1, Message(transaction)) for transaction in transactions))),
        (3, Message()),
        (4, _commit(last_commit)),
    )


def parts_of(block: bytes) -> tuple[int, bytes]:
    """Return the number of parts that an encoded block is cut into, and the root over them."""
    parts = [block[start : start + PART_SIZE] for start in range(0, len(block), PART_SIZE)]
    return len(parts), _tree(parts)


def block_id_of(header: Header, transactions: Sequence[bytes], last_commit: Commit) -> BlockId:
    """Return the id of a block without evidence of misbehaviour."""
    return BlockId(header_hash(header), *parts_of(encode_block(header, transactions, last_commit)))


_HEADER_FIELDS = tuple(field.name for field in fields(Header))


def _header_value(header: Header, name: str) -> Value:
    value = getattr(header, name)
    if isinstance(value, Version):
        return message((1, value.block), (2, value.app))
    if isinstance(value, BlockId):
        return _block_id(value)
    if isinstance(value, Timestamp):
        return value.encode()
    scalar: Value = value
    return scalar


def _numbered(header: Header) -> Iterable[tuple[int, Value]]:
    return enumerate((_header_value(header, name) for name in _HEADER_FIELDS), start=1)


def _block_id(block_id: BlockId) -> Message:
    parts = message((1, block_id.parts_total), (2, block_id.parts_hash))
    return message((1, block_id.hash), (2, parts))


def _commit_sig(vote: CommitSig) -> Message:
    return message((1, vote.flag), (2, vote.address), (3, vote.time.encode()), (4, vote.signature))


def _commit(commit: Commit) -> Message:
    return message(
        (1, commit.height),
        (2, commit.round),
        (3, _block_id(commit.block_id)),
        *((4, _commit_sig(vote)) for vote in commit.signatures),
    )


def _tree(leaves: Iterable[bytes]) -> bytes:
    return merkle.root(map(merkle.leaf_hash, leaves))
