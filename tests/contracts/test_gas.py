# SPDX-License-Identifier: GPL-3.0-or-later
"""What anchoring costs stays within its goals; gas is the same on every machine."""

import random
import statistics

import contracts
from bench import gas


def test_sample_of_steps_stays_within_the_goals() -> None:
    steps = gas.run(100)
    assert statistics.median(step.gas for step in steps) < gas.MEDIAN_GOAL
    assert max(step.gas for step in steps) <= gas.WORST_GOAL


def test_dearest_step_of_the_range_stays_within_the_goal() -> None:
    step = gas.measure((gas.HIGH - 1, gas.HIGH), random.Random(1))
    assert gas.MEDIAN_GOAL < step.gas <= gas.WORST_GOAL


def test_steps_cover_the_range_and_its_powers_of_two() -> None:
    steps = list(gas.draw(gas.STEPS, random.Random(gas.SEED)))
    assert len(steps) == gas.STEPS
    assert all(gas.LOW <= old < new <= gas.HIGH for old, new in steps)
    assert gas.HIGH // 2 in {old for old, _ in steps}
    assert {gas.HIGH // 2, gas.HIGH} <= {new for _, new in steps}


def test_table_in_the_docs_is_of_this_code() -> None:
    text = gas.DOCUMENT.read_text(encoding="utf-8")
    assert f"`{contracts.code_hash('AnchorLog').hex()}`" in text
    assert f"{gas.STEPS:,} random steps" in text


def test_same_seed_gives_the_same_gas() -> None:
    assert gas.run(3) == gas.run(3)
