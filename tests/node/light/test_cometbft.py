# SPDX-License-Identifier: GPL-3.0-or-later
"""Light blocks of a real CometBFT network are accepted, and refused after any change to them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from node.light import (
    BlockId,
    Commit,
    LightBlock,
    LightBlockError,
    Timestamp,
    Validator,
    Version,
    block_id_of,
    check_minimal,
    commit_hash,
    commit_of,
    consensus_params_hash,
    data_hash,
    encode_block,
    encode_light_block,
    evidence_hash,
    from_rpc,
    header_hash,
    in_order,
    minimal,
    parse_light_block,
    parts_of,
    results_hash,
    sign_bytes,
    to_rpc,
    validator_address,
    validators_hash,
    verify_light_block,
)
from node.light.cometbft import parse_commit_json
from node.light.cometbft.verify import MAX_VALIDATORS
from tests.support.flips import flips
from tests.support.light_blocks import CHAIN_ID, Signers, light_block, signed, signers
from tests.support.vectors import vector_json


@pytest.fixture(scope="module")
def vectors() -> Any:
    return vector_json("cometbft-light-blocks.json")


@pytest.fixture
def chain_id(vectors: Any) -> str:
    name: str = vectors["genesis"]["chain_id"]
    return name


@pytest.fixture
def blocks(vectors: Any) -> list[LightBlock]:
    return [from_rpc(block) for block in vectors["light_blocks"]]


def refuse(block: LightBlock, match: str, chain_id: str = CHAIN_ID) -> None:
    with pytest.raises(LightBlockError, match=match):
        verify_light_block(block, chain_id)


def resigned(block: LightBlock, by: Signers, **changes: Any) -> LightBlock:
    """Return a light block whose header was changed before its validators signed it."""
    changed = replace(block, header=replace(block.header, **changes))
    block_id = replace(block.block_id, hash=header_hash(changed.header))
    return signed(replace(changed, block_id=block_id), by, range(len(by.keys)))


# What a real network made.


def test_all_real_light_blocks_are_accepted(blocks: list[LightBlock], chain_id: str) -> None:
    assert len(blocks) == 12
    for block in blocks:
        verify_light_block(block, chain_id)
        verify_light_block(minimal(block), chain_id)


def test_real_header_follows_from_the_block_before_it(vectors: Any) -> None:
    commit = Commit()
    last_block_id = BlockId()
    for answer in vectors["light_blocks"]:
        block = from_rpc(answer)
        header = block.header
        assert header_hash(header) == block.block_id.hash
        assert header.last_block_id == last_block_id
        assert header.last_commit_hash == commit_hash(commit)
        commit = parse_commit_json(answer["signed_header"]["commit"])
        assert commit == commit_of(block)
        last_block_id = block.block_id


def test_hashes_for_producing_a_block_are_the_real_ones(vectors: Any) -> None:
    limits = vectors["genesis"]["consensus_params"]["block"]
    commit = Commit()
    empty = 0
    for answer in vectors["light_blocks"]:
        block = from_rpc(answer)
        header = block.header
        assert header.consensus_hash == consensus_params_hash(
            int(limits["max_bytes"]), int(limits["max_gas"])
        )
        assert header.evidence_hash == evidence_hash()
        if header.data_hash == data_hash([]):
            # The parts hold the whole block, the last commit's signatures among it.
            assert block_id_of(header, [], commit) == block.block_id
            empty += 1
        else:
            assert header.last_results_hash == results_hash([])
        commit = parse_commit_json(answer["signed_header"]["commit"])
    assert empty == 6


@pytest.mark.parametrize(("height", "gas_used"), [(5, 91_169), (7, 91_181), (11, 91_181)])
def test_results_hash_is_the_real_one(blocks: list[LightBlock], height: int, gas_used: int) -> None:
    # Each block before these had one successful transaction without data.
    expected = blocks[height - 1].header.last_results_hash
    assert results_hash([(0, b"", 0, gas_used)]) == expected


def test_genesis_validators_have_their_addresses_and_hash(vectors: Any) -> None:
    block = from_rpc(vectors["light_blocks"][0])
    addresses = {each["address"] for each in vectors["genesis"]["validators"]}
    keys = [validator.public_key for validator in block.validators]
    assert {validator_address(key).hex().upper() for key in keys} == addresses
    assert validators_hash(block.validators) == block.header.validators_hash
    assert in_order(block.validators[::-1]) == block.validators


def flips_of_all(blocks: list[LightBlock], every_byte: bool) -> Iterator[tuple[str, LightBlock]]:
    for block in blocks:
        for where, flipped in flips(block, every_byte=every_byte):
            yield f"height {block.header.height}: {where}", flipped


def test_flipped_bits_of_one_byte_a_field_are_refused(
    blocks: list[LightBlock], chain_id: str
) -> None:
    count = 0
    for where, flipped in flips_of_all(blocks, every_byte=False):
        with pytest.raises(LightBlockError):
            verify_light_block(flipped, chain_id)
            pytest.fail(where)
        count += 1
    # 18 values in the header, 4 beside it, 4 votes of 4 and 4 validators of 2; a chain id's letter
    # has 7 bits, and the first block has no two hashes of a block before it.
    assert count == 12 * ((18 + 4 + 16 + 8) * 8 - 1) - 2 * 8


@pytest.mark.long
def test_every_flipped_bit_is_refused(blocks: list[LightBlock], chain_id: str) -> None:
    for where, flipped in flips_of_all(blocks, every_byte=True):
        with pytest.raises(LightBlockError):
            verify_light_block(flipped, chain_id)
            pytest.fail(where)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(8, id="a bit of each byte"),
        pytest.param(1, marks=pytest.mark.long, id="every bit"),
    ],
)
def test_flipped_bit_of_the_compact_text_is_refused_or_changes_nothing(
    step: int, blocks: list[LightBlock], chain_id: str
) -> None:
    block = minimal(blocks[1])
    text = json.dumps(encode_light_block(block)).encode()
    for bit in range(0, len(text) * 8, step):
        at = bit + bit // 8 % step
        changed = bytearray(text)
        changed[at // 8] ^= 1 << at % 8
        try:
            read = parse_light_block(json.loads(changed))
            verify_light_block(read, chain_id)
        except (LightBlockError, ValueError):
            continue
        assert read == block


def test_real_light_block_of_another_chain_is_refused(blocks: list[LightBlock]) -> None:
    for block in blocks:
        refuse(block, "another chain", "chain-m8OGQH")


# Power.


@pytest.mark.parametrize(
    ("powers", "silent"),
    [
        ((1, 1, 1), {0}),
        ((2, 1), {1}),
        ((10, 10, 10, 30), {3}),
        ((4, 3, 2), {1}),
        ((2**50, 2**50, 2**50), {2}),
    ],
)
def test_exactly_two_thirds_do_not_suffice(powers: tuple[int, ...], silent: set[int]) -> None:
    refuse(light_block(signers("a", powers), silent=silent), "two thirds")


@pytest.mark.parametrize(
    ("powers", "silent"),
    [
        ((1,), set()),
        ((1, 1, 1, 1), {2}),
        ((5, 2), {1}),
        ((2**50, 2**50, 2**50 - 1), {2}),
        ((1,) * 34, set(range(11))),
    ],
)
def test_more_than_two_thirds_suffice(powers: tuple[int, ...], silent: set[int]) -> None:
    verify_light_block(light_block(signers("a", powers), silent=silent), CHAIN_ID)


def test_no_vote_at_all_does_not_suffice() -> None:
    refuse(light_block(signers("a"), silent=range(4)), "two thirds")


def test_nil_and_absent_votes_do_not_count() -> None:
    rpc = to_rpc(light_block(signers("a"), silent={3}))
    signatures = rpc["signed_header"]["commit"]["signatures"]
    verify_light_block(from_rpc(rpc), CHAIN_ID)
    signatures[1]["block_id_flag"] = 3
    block = from_rpc(rpc)
    assert [vote.index for vote in block.votes] == [0, 2]
    refuse(block, "two thirds")


def test_vote_for_nil_passed_off_as_a_commit_is_refused() -> None:
    by = signers("a")
    block = light_block(by)
    header = block.header
    vote = block.votes[0]
    nil = sign_bytes(CHAIN_ID, header.height, 0, BlockId(), vote.time)
    votes = (replace(vote, signature=by.keys[0].sign(nil)), *block.votes[1:])
    refuse(replace(block, votes=votes), "vote of validator 0")


@pytest.mark.parametrize("round_", [0, 1, 2**31 - 1])
def test_round_is_signed(round_: int) -> None:
    block = light_block(signers("a"), round_=round_)
    verify_light_block(block, CHAIN_ID)
    refuse(replace(block, round=round_ ^ 1), "vote")


@pytest.mark.parametrize("round_", [-1, 2**31])
def test_round_out_of_bounds_is_refused(round_: int) -> None:
    refuse(replace(light_block(signers("a")), round=round_), "round")


def test_one_bad_vote_spoils_enough_good_ones() -> None:
    by = signers("a")
    block = light_block(by)
    votes = (*block.votes[:3], replace(block.votes[3], signature=block.votes[2].signature))
    spoiled = replace(block, votes=votes)
    refuse(spoiled, "vote of validator 3")
    # The assembler leaves it out.
    verify_light_block(minimal(spoiled), CHAIN_ID)


def test_small_order_signature_and_key_are_refused() -> None:
    by = signers("a")
    identity = b"\1" + bytes(31)
    block = light_block(by)
    votes = (replace(block.votes[0], signature=identity + bytes(32)), *block.votes[1:])
    refuse(replace(block, votes=votes), "vote of validator 0")
    validators = (Validator(identity, 1), *block.validators[1:])
    changed = resigned(block, by, validators_hash=validators_hash(validators))
    refuse(replace(changed, validators=validators, votes=changed.votes[1:]), "key is refused")


# Structure.


def test_votes_twice_or_out_of_order_are_refused() -> None:
    block = light_block(signers("a"))
    first, second, third, fourth = block.votes
    for votes in ((first, first, second), (second, first, third), (first, third, second, fourth)):
        refuse(replace(block, votes=votes), "ascending")
        with pytest.raises(LightBlockError, match="ascending"):
            minimal(replace(block, votes=votes))


@pytest.mark.parametrize("index", [-1, 4, 2**60])
def test_vote_of_nobody_is_refused(index: int) -> None:
    block = light_block(signers("a"))
    votes = (replace(block.votes[0], index=index),)
    refuse(replace(block, votes=votes), "ascending")


def test_doubled_validator_is_refused() -> None:
    one = signers("a", [1])
    refuse(light_block(Signers(one.keys * 2, (1, 1))), "twice")
    refuse(light_block(Signers(one.keys * 2, (1, 2))), "twice")


@pytest.mark.parametrize("powers", [(0, 1), (-1, 5), (0,), (2**53,), (2**52, 2**52)])
def test_power_out_of_bounds_is_refused(powers: tuple[int, ...]) -> None:
    refuse(light_block(signers("a", powers)), "power is out of bounds")


def test_number_of_validators_is_bounded() -> None:
    block = light_block(signers("a"))
    refuse(replace(block, validators=(), votes=()), "number of validators")
    many = tuple(Validator(index.to_bytes(32), 1) for index in range(MAX_VALIDATORS + 1))
    refuse(replace(block, validators=many), "number of validators")


def test_other_validators_than_the_headers_are_refused() -> None:
    block = light_block(signers("a"))
    refuse(replace(block, validators=signers("b").validators), "not those of the header")
    refuse(replace(block, validators=block.validators[::-1]), "not those of the header")
    refuse(replace(block, validators=block.validators[:3]), "not those of the header")


def test_votes_for_another_header_are_refused() -> None:
    block = light_block(signers("a"))
    other = light_block(signers("a"), app_hash=b"\1" * 32)
    refuse(replace(block, header=other.header), "another block")
    refuse(replace(block, block_id=other.block_id), "another block")
    refuse(replace(block, header=other.header, block_id=other.block_id), "vote")


BAD_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "block protocol 10": ({"version": Version(10)}, "protocol"),
    "block protocol 12": ({"version": Version(12)}, "protocol"),
    "application version below 0": ({"version": Version(11, -1)}, "out of bounds"),
    "height 0": ({"height": 0}, "out of bounds"),
    "height below 0": ({"height": -1}, "out of bounds"),
    "height too large": ({"height": 2**53}, "out of bounds"),
    "no next validators": ({"next_validators_hash": b""}, "next_validators_hash"),
    "short next validators": ({"next_validators_hash": b"\1" * 31}, "next_validators_hash"),
    "short data hash": ({"data_hash": b"\1" * 31}, "data_hash"),
    "long app hash": ({"app_hash": bytes(65)}, "app_hash"),
    "no proposer": ({"proposer_address": b""}, "proposer_address"),
    "short last block id": ({"last_block_id": BlockId(b"\1")}, "last block id"),
    "last block's parts": ({"last_block_id": BlockId(b"", -1)}, "last block id"),
}


@pytest.mark.parametrize(("changes", "match"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_signed_header_out_of_bounds_is_refused(changes: dict[str, Any], match: str) -> None:
    by = signers("a")
    refuse(resigned(light_block(by), by, **changes), match)


@pytest.mark.parametrize("parts", [(0, bytes(32)), (1602, bytes(32)), (1, b""), (1, bytes(31))])
def test_parts_out_of_bounds_are_refused(parts: tuple[int, bytes]) -> None:
    by = signers("a")
    block = light_block(by)
    changed = replace(block, block_id=BlockId(block.block_id.hash, *parts))
    refuse(signed(changed, by, range(4)), "parts")


def test_chain_id_beyond_the_bound_is_refused() -> None:
    for size, is_accepted in ((50, True), (51, False)):
        block = light_block(signers("a"), chain_id="c" * size)
        if is_accepted:
            verify_light_block(block, "c" * size)
        else:
            refuse(block, "another chain", "c" * size)


# Minimal.


@pytest.mark.parametrize(
    ("powers", "kept"),
    [
        ((1,), [0]),
        ((1, 1, 1, 1), [0, 1, 2]),
        ((1, 2, 3, 9), [2, 3]),
        ((9, 1, 1, 1), [0]),
        ((1,) * 34, list(range(23))),
    ],
)
def test_minimal_keeps_the_strongest_that_suffice(powers: tuple[int, ...], kept: list[int]) -> None:
    block = minimal(light_block(signers("a", powers)))
    assert [vote.index for vote in block.votes] == kept
    check_minimal(block)
    verify_light_block(block, CHAIN_ID)


def test_needless_vote_is_refused_where_minimal_is_asked_for() -> None:
    block = light_block(signers("a", (9, 1, 1, 1)), silent={2, 3})
    verify_light_block(block, CHAIN_ID)
    with pytest.raises(LightBlockError, match="more votes"):
        check_minimal(block)


def test_minimal_of_too_little_is_refused() -> None:
    with pytest.raises(LightBlockError, match="two thirds"):
        minimal(light_block(signers("a"), silent={0, 1}))


# Producing.


def test_validators_stand_by_power_then_by_address() -> None:
    validators = signers("a", (1, 3, 1, 2, 1)).validators
    ordered = in_order(validators)
    assert [validator.power for validator in ordered] == [3, 2, 1, 1, 1]
    addresses = [validator_address(validator.public_key) for validator in ordered[2:]]
    assert addresses == sorted(addresses)
    assert in_order(ordered[::-1]) == ordered


def test_results_hash_leaves_out_what_is_not_deterministic() -> None:
    assert results_hash([]).hex().startswith("e3b0c442")
    # One successful transaction without data and gas is an empty message.
    assert results_hash([(0, b"", 0, 0)]).hex().startswith("6e340b9c")
    assert results_hash([(1, b"", 0, 0)]) != results_hash([(0, b"", 0, 1)])


def test_large_block_is_cut_into_parts() -> None:
    block = light_block(signers("a"))
    encoded = encode_block(block.header, [bytes(70_000)], commit_of(block))
    assert parts_of(encoded)[0] == 2
    assert parts_of(bytes(65_536))[0] == 1
    assert parts_of(bytes(65_537))[0] == 2


def test_empty_transaction_stays_in_the_block() -> None:
    header = light_block(signers("a")).header
    assert encode_block(header, [b""], Commit()) != encode_block(header, [], Commit())


def test_compact_form_of_34_validators_is_small() -> None:
    block = minimal(light_block(signers("a", (1,) * 34)))
    text = json.dumps(encode_light_block(block), separators=(",", ":"))
    assert len(text) < 8_000
    assert parse_light_block(json.loads(text)) == block


def test_time_is_signed_to_the_nanosecond() -> None:
    block = light_block(signers("a"))
    vote = block.votes[0]
    later = Timestamp(vote.time.seconds, vote.time.nanos + 1)
    refuse(replace(block, votes=(replace(vote, time=later), *block.votes[1:])), "validator 0")
