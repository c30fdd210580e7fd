# SPDX-License-Identifier: GPL-3.0-or-later
"""A single flipped bit: the verdict is not proven, or what it reports as proven is unchanged."""

from collections.abc import Iterable
from functools import lru_cache

import pytest

from anchor.evidence import encode_evidence
from anchor.verdict import Verdict
from anchor.verify import verify
from tests.support.flips import flip_bit
from tests.support.makeevidence import CRAB_LOT, Made, Province, journey, one_record, record

POWERS = {"one validator": (1,), "four validators": (1, 1, 1, 1)}


@lru_cache
def smallest() -> Made:
    """Return about the smallest evidence there is: one record of one field, alone in its log."""
    province = Province()
    farm = province.issuer("f")
    batch = province.batch(farm, [record({"a": 1, "b": 2}, [CRAB_LOT]).hide(["b"])])
    return Made(province, province.evidence([(batch, 0)], province.anchor()), province.trust_file())


def shown(verdict: Verdict) -> object:
    """Return what a verdict reports as proven."""
    return (verdict.records, verdict.assurance, verdict.notes, verdict.expect_code)


def survivors(made: Made, bits: Iterable[int]) -> list[int]:
    """Return the flipped bits after which the same is still proven; none may prove anything else."""
    data = encode_evidence(made.evidence)
    expected = shown(verify(data, made.trust, CRAB_LOT))
    proven = []
    for bit in bits:
        verdict = verify(flip_bit(data, bit), made.trust, CRAB_LOT)
        if verdict.proven:
            assert shown(verdict) == expected, f"bit {bit % 8} of byte {bit // 8}"
            proven.append(bit)
    return proven


def test_one_flipped_bit_of_every_byte_proves_nothing_else() -> None:
    """A different bit of each byte, so that all eight places have their turn."""
    size = len(encode_evidence(smallest().evidence))
    assert survivors(smallest(), (8 * at + at % 8 for at in range(size))) == []


@pytest.mark.long
@pytest.mark.parametrize("powers", POWERS.values(), ids=POWERS)
def test_any_flipped_bit_proves_nothing_else(powers: tuple[int, ...]) -> None:
    made = one_record(powers)
    size = len(encode_evidence(made.evidence))
    assert survivors(made, range(8 * size)) == []


@pytest.mark.long
def test_any_flipped_bit_of_a_journey_proves_nothing_else() -> None:
    made = journey(6)
    size = len(encode_evidence(made.evidence))
    assert survivors(made, range(8 * size)) == []
