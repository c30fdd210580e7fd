# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks are built as a real CometBFT network builds them, and committed by votes that verify."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.blocks import (
    NO_RESULTS_HASH,
    Tip,
    commit_alone,
    make_block,
    median_time,
    validators_of,
)
from node.genesis import Genesis
from node.light import (
    EMPTY_ROOT,
    BlockId,
    Commit,
    CommitSig,
    LightBlock,
    Timestamp,
    Validator,
    commit_hash,
    commit_of,
    data_hash,
    from_rpc,
    parse_time,
    parts_of,
    validator_address,
    verify_light_block,
)
from node.light.cometbft import ABSENT, COMMIT, NIL
from tests.support.ordered import KEY, SECOND, founded
from tests.support.vectors import vector_json

APP_HASH = bytes([7]) * 32


@pytest.fixture
def genesis() -> Genesis:
    return founded()


def proposer(genesis: Genesis) -> bytes:
    return validator_address(validators_of(genesis)[0].public_key)


def commit_first(genesis: Genesis, now: int) -> LightBlock:
    block = make_block(genesis, None, APP_HASH, (), proposer(genesis))
    return commit_alone(block, KEY, validators_of(genesis), now)


def test_first_block_has_genesis_time_and_hashes_of_nothing(genesis: Genesis) -> None:
    block = make_block(genesis, None, APP_HASH, (), proposer(genesis))
    header = block.header
    assert (header.height, header.app_hash) == (1, APP_HASH)
    assert header.time == parse_time(genesis.time)
    assert header.last_block_id == BlockId()
    assert block.last_commit == Commit()
    nothing = (header.last_commit_hash, header.data_hash, header.evidence_hash, NO_RESULTS_HASH)
    assert set(nothing) == {EMPTY_ROOT}


def test_next_block_refers_to_the_one_before(genesis: Genesis) -> None:
    first = commit_first(genesis, parse_time(genesis.time).nanoseconds() + SECOND)
    txs = [b"one", b"two"]
    block = make_block(genesis, Tip(first, bytes(32)), APP_HASH, txs, proposer(genesis))
    header = block.header
    assert header.height == 2
    assert header.last_block_id == first.block_id
    assert header.time == first.votes[0].time
    assert header.last_results_hash == bytes(32)
    assert header.data_hash == data_hash(txs)
    assert block.last_commit == commit_of(first)


def test_block_id_covers_all_bytes_of_the_block(genesis: Genesis) -> None:
    block = make_block(genesis, None, APP_HASH, [bytes(70_000)], proposer(genesis))
    assert (block.id.parts_total, block.id.parts_hash) == parts_of(block.encode())
    assert block.id.parts_total == 2


def test_commit_by_the_only_validator_verifies(genesis: Genesis) -> None:
    verify_light_block(commit_first(genesis, 0), genesis.cometbft_chain_id)


@pytest.mark.parametrize(
    ("behind", "expected"), [(-5, 5 * SECOND), (0, 1_000_000), (3600, 1_000_000)]
)
def test_vote_is_after_its_block_whatever_the_clock_says(
    behind: int, expected: int, genesis: Genesis
) -> None:
    start = parse_time(genesis.time).nanoseconds()
    light_block = commit_first(genesis, start - behind * SECOND)
    assert light_block.votes[0].time.nanoseconds() - start == expected


def commit(*votes: tuple[int, int]) -> tuple[Commit, list[Validator]]:
    """Return a commit of votes given as (time, power) and its validators."""
    validators = [Validator(bytes([i + 1]) * 32, power) for i, (_, power) in enumerate(votes)]
    signatures = tuple(
        CommitSig(COMMIT, validator_address(validator.public_key), Timestamp(time), bytes(64))
        for (time, _), validator in zip(votes, validators, strict=True)
    )
    return Commit(1, 0, BlockId(), signatures), validators


# Votes as (time, power), and the median by CometBFT's rule: the first time at which the power of
# the votes up to it reaches half of what voted, rounded down.
MEDIANS = [
    ([(5, 1)], 5),
    ([(9, 1), (3, 1)], 3),
    ([(9, 1), (3, 1), (7, 1)], 3),
    ([(9, 2), (3, 1), (7, 1)], 7),
    ([(9, 5), (3, 1), (7, 1)], 9),
    ([(1, 1), (2, 1), (3, 1), (4, 1)], 2),
]


@pytest.mark.parametrize(("votes", "expected"), MEDIANS)
def test_median_is_weighted_by_power(votes: list[tuple[int, int]], expected: int) -> None:
    assert median_time(*commit(*votes)) == Timestamp(expected)


def test_absent_votes_have_no_say_and_nil_ones_have() -> None:
    made, validators = commit((1, 10), (5, 2), (9, 1))
    absent = replace(made, signatures=(CommitSig(ABSENT), *made.signatures[1:]))
    assert median_time(absent, validators) == Timestamp(5)
    nil = replace(made, signatures=(replace(made.signatures[0], flag=NIL), *made.signatures[1:]))
    assert median_time(nil, validators) == Timestamp(1)


def test_commit_without_votes_has_no_time() -> None:
    with pytest.raises(ValueError, match="without votes"):
        median_time(Commit(), [])


def test_real_network_has_these_times_and_links() -> None:
    blocks = [from_rpc(each) for each in _real_blocks()]
    checked = 0
    for before, after in pairwise(blocks):
        # The RPC's commit may hold a vote more or less than the one in the next block.
        if after.header.last_commit_hash == commit_hash(commit_of(before)):
            assert after.header.time == median_time(commit_of(before), before.validators)
            checked += 1
    assert checked > 0


def test_validators_are_ordered_by_power_then_address() -> None:
    keys = [Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in range(1, 6)]
    public = [key.public_key().public_bytes_raw() for key in keys]
    genesis = replace(founded(), validators=tuple(zip(public, (1, 3, 3, 1, 9), strict=True)))
    ordered = validators_of(genesis)
    assert [each.power for each in ordered] == [9, 3, 3, 1, 1]
    addresses = [validator_address(each.public_key) for each in ordered]
    assert addresses[1] < addresses[2]
    assert addresses[3] < addresses[4]


def _real_blocks() -> Any:
    return vector_json("cometbft-light-blocks.json")["light_blocks"]
