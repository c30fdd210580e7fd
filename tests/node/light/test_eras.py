# SPDX-License-Identifier: GPL-3.0-or-later
"""Eras are left only as more than two thirds of the set in power say, and never skipped."""

from dataclasses import replace

import pytest

from node.light import (
    EraError,
    Eras,
    EvmHeader,
    Finality,
    LightBlock,
    LightBlockError,
    MerkleError,
    TrustedChain,
    inclusion_path,
    leaf_hash,
    parse_header,
    rlp_encode,
    root,
    verify_ancestry,
    verify_eras,
)
from node.light.eras import MAX_ERAS
from tests.support.light_blocks import CHAIN_ID, light_block, signers

A, B, C = signers("a"), signers("b", (3, 2, 2)), signers("c", (1,))
A_TO_B = light_block(A, 10, then=B)
B_TO_C = light_block(B, 20, then=C)
TRUSTED = TrustedChain(CHAIN_ID, light_block(A, 5))
KNOWN = replace(TRUSTED, eras=(A_TO_B, B_TO_C))


def refuse(eras: Eras, block: LightBlock, match: str) -> None:
    with pytest.raises(EraError, match=match):
        eras.finality(block)


def refuse_eras(match: str, *more: LightBlock, trusted: TrustedChain = TRUSTED) -> None:
    with pytest.raises(EraError, match=match):
        verify_eras(trusted, more)


@pytest.mark.parametrize("height", [1, 4, 5, 6, 10, 1000])
def test_trusted_set_is_believed_at_any_height_while_no_other_is_known(height: int) -> None:
    block = light_block(A, height)
    expected = Finality(block.header.time, height, validators=4, era=0, past=False)
    assert verify_eras(TRUSTED).finality(block) == expected


@pytest.mark.parametrize("trusted", [TRUSTED, replace(TRUSTED, eras=(A_TO_B,)), KNOWN])
def test_eras_from_trust_and_from_evidence_lead_to_the_same(trusted: TrustedChain) -> None:
    eras = verify_eras(trusted, [A_TO_B, B_TO_C])
    assert eras.newest == 2
    heights = {1: (A, 0), 9: (A, 0), 10: (A, 0), 11: (B, 1), 20: (B, 1), 21: (C, 2), 999: (C, 2)}
    for height, (by, era) in heights.items():
        block = {10: A_TO_B, 20: B_TO_C}.get(height) or light_block(by, height)
        finality = eras.finality(block)
        assert (finality.era, finality.past) == (era, era < 2)
        assert finality.validators == len(by.keys)


def test_validators_of_another_era_than_the_heights_are_refused() -> None:
    eras = verify_eras(KNOWN)
    for by, height in ((B, 9), (A, 11), (C, 20), (A, 21), (B, 21), (B, 1), (C, 11)):
        refuse(eras, light_block(by, height), "trust does not lead to")


def test_set_that_comes_back_is_believed_in_its_own_eras_only() -> None:
    eras = verify_eras(TRUSTED, [A_TO_B, light_block(B, 20, then=A)])
    for height, era in ((8, 0), (21, 2)):
        assert eras.finality(light_block(A, height)).era == era
    refuse(eras, light_block(A, 15), "trust does not lead to")


def test_trusted_light_block_may_itself_end_an_era() -> None:
    eras = verify_eras(TrustedChain(CHAIN_ID, A_TO_B), [B_TO_C])
    assert eras.finality(A_TO_B).past
    assert eras.finality(light_block(B, 11)).era == 1
    refuse(eras, light_block(A, 11), "trust does not lead to")


def test_unknown_set_is_refused() -> None:
    refuse(verify_eras(TRUSTED), light_block(B, 11), "trust does not lead to")
    refuse(verify_eras(replace(TRUSTED, eras=(A_TO_B,))), light_block(C, 21), "trust does not")


def test_era_is_not_skipped_even_by_a_shared_third() -> None:
    # Half of the new set's members are the old one's: CometBFT would skip, this does not.
    mixed = replace(A, keys=(*A.keys[:2], *B.keys[:2]))
    refuse(verify_eras(TRUSTED), light_block(mixed, 50), "trust does not lead to")
    refuse_eras("trust does not lead to", light_block(mixed, 50, then=C))


def test_skipped_link_is_refused() -> None:
    refuse_eras("trust does not lead to", B_TO_C)


def test_light_block_signed_by_too_few_ends_no_era() -> None:
    with pytest.raises(LightBlockError, match="two thirds"):
        verify_eras(TRUSTED, [light_block(A, 10, then=B, silent={0, 1})])
    with pytest.raises(LightBlockError, match="two thirds"):
        verify_eras(TRUSTED, [A_TO_B, light_block(B, 20, then=C, silent={0})])


def test_light_block_without_a_change_ends_no_era() -> None:
    refuse_eras("does not change", light_block(A, 10))


def test_eras_out_of_order_are_refused() -> None:
    refuse_eras("ascending", B_TO_C, A_TO_B, trusted=KNOWN)
    refuse_eras("ascending", A_TO_B, A_TO_B)
    refuse_eras("ascending", light_block(A, 8, then=B), trusted=replace(TRUSTED, eras=(A_TO_B,)))
    with pytest.raises(EraError):
        verify_eras(replace(TRUSTED, eras=(A_TO_B, A_TO_B)))
    with pytest.raises(EraError):
        verify_eras(replace(TRUSTED, eras=(light_block(A, 3, then=B),)))


def test_another_change_than_the_known_one_is_refused() -> None:
    fork = light_block(A, 10, then=C)
    refuse_eras("contradicts", fork, trusted=replace(TRUSTED, eras=(A_TO_B,)))


def test_eras_below_the_trusted_light_block_are_passed_over() -> None:
    trusted = TrustedChain(CHAIN_ID, light_block(C, 25))
    eras = verify_eras(trusted, [A_TO_B, B_TO_C])
    assert eras.newest == 0
    assert not eras.finality(light_block(C, 30)).past
    refuse(eras, light_block(B, 15), "trust does not lead to")


def test_eras_that_are_passed_over_must_hold_all_the_same() -> None:
    below = TrustedChain(CHAIN_ID, light_block(C, 25))
    for trusted in (below, replace(TRUSTED, eras=(A_TO_B,))):
        for wrong in (
            replace(A_TO_B, votes=A_TO_B.votes[:2]),
            replace(A_TO_B, votes=(replace(A_TO_B.votes[0], index=1), *A_TO_B.votes[2:])),
            light_block(A, 10, then=B, chain_id="other"),
        ):
            with pytest.raises(LightBlockError):
                verify_eras(trusted, [wrong])
    refuse_eras("contradicts", light_block(A, 25), trusted=below)
    refuse_eras("time contradicts", light_block(A, 24, seconds=1_800_000_025), trusted=below)


def test_eras_that_lead_on_leave_those_they_lead_on_from() -> None:
    first = verify_eras(TRUSTED)
    assert [first.through(more).newest for more in ([A_TO_B], [A_TO_B, B_TO_C], [])] == [1, 2, 0]
    assert first.newest == 0
    refuse(first, light_block(B, 11), "trust does not lead to")


def test_fork_of_a_known_light_block_is_refused() -> None:
    refuse(verify_eras(TRUSTED), light_block(A, 5, app_hash=b"\1" * 32), "contradicts a known one")


@pytest.mark.parametrize(
    ("height", "seconds"), [(6, 1_800_000_005), (6, 0), (4, 1_800_000_005), (4, 1_800_000_009)]
)
def test_time_that_runs_against_the_heights_is_refused(height: int, seconds: int) -> None:
    block = light_block(A, height, seconds=seconds)
    refuse(verify_eras(TRUSTED), block, "time contradicts")


def test_light_block_of_another_chain_is_refused() -> None:
    other = light_block(A, 11, chain_id="other")
    with pytest.raises(LightBlockError, match="another chain"):
        verify_eras(TRUSTED).finality(other)
    with pytest.raises(LightBlockError, match="another chain"):
        verify_eras(TRUSTED, [light_block(A, 10, then=B, chain_id="other")])
    with pytest.raises(LightBlockError, match="another chain"):
        verify_eras(replace(TRUSTED, chain_id="other"))


def test_trusted_light_block_must_be_committed_too() -> None:
    with pytest.raises(LightBlockError, match="two thirds"):
        verify_eras(TrustedChain(CHAIN_ID, light_block(A, 5, silent={0, 1})))


def test_number_of_eras_is_bounded() -> None:
    first, second = signers("x", (1,)), signers("y", (1,))
    sets = (first, second)
    changes = tuple(
        light_block(sets[index % 2], 10 + index, then=sets[(index + 1) % 2])
        for index in range(MAX_ERAS)
    )
    trusted = TrustedChain(CHAIN_ID, light_block(first, 5))
    assert verify_eras(trusted, changes[:-1]).newest == MAX_ERAS - 1
    refuse_eras("more than", *changes, trusted=trusted)


HASHES = [bytes([number]) * 32 for number in range(20)]


def evm_header(number: int, extra_data: bytes | None = None) -> EvmHeader:
    """Return a header that carries the root over the hashes of the blocks before it."""
    extra = root(map(leaf_hash, HASHES[:number])) if extra_data is None else extra_data
    zeros = [bytes(width) for width in (32, 32, 20, 32, 32, 32, 256)]
    digits = bytes([number]) if number else b""
    return parse_header(
        rlp_encode([*zeros, b"", digits, b"", b"", b"", extra, bytes(32), bytes(8), b""])
    )


@pytest.mark.parametrize("number", range(1, 20))
def test_every_ancestor_is_proven_and_no_other(number: int) -> None:
    newer = evm_header(number)
    leaves = [leaf_hash(each) for each in HASHES[:number]]
    for old in range(number):
        path = inclusion_path(leaves, old)
        verify_ancestry(HASHES[old], old, newer, path)
        with pytest.raises(MerkleError):
            verify_ancestry(HASHES[old + 1], old, newer, path)
        with pytest.raises(MerkleError):
            verify_ancestry(HASHES[old], old + 1, newer, path)


def test_block_is_no_ancestor_of_itself_or_of_genesis() -> None:
    for number in (0, 1, 5):
        with pytest.raises(MerkleError):
            verify_ancestry(HASHES[number], number, evm_header(number), [])


@pytest.mark.parametrize("extra", [b"", bytes(31), bytes(33)])
def test_header_without_a_root_proves_no_ancestor(extra: bytes) -> None:
    with pytest.raises(EraError, match="no root"):
        verify_ancestry(HASHES[0], 0, evm_header(1, extra), [])
    with pytest.raises(EraError, match="no root"):
        verify_ancestry(b"", 0, evm_header(1), [])
