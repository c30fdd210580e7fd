# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole walk on a real node: accepted, logged, anchored, and evidence that stands alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anchor.province import NotAnchored, NoTrust, Province
from anchor.settings import Settings
from anchor.verify import verify
from tests.support.anchoring import (
    CODE,
    ORGANISATION,
    Business,
    anchoring,
    found_province,
    province_of,
    running_node,
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_node(found_province(tmp_path_factory.mktemp("walk") / "data")) as settings:
        yield settings


@pytest.fixture(scope="module")
def province(settings: Settings) -> Iterator[Province]:
    with province_of(settings) as province:
        yield province


def test_a_batch_is_accepted_logged_anchored_and_proven_without_the_node(
    settings: Settings, province: Province
) -> None:
    business = Business.of(settings.origin)
    business.apply(province)
    with pytest.raises(NoTrust):
        province.trust()
    accepted = province.accept(business.batch(5), ORGANISATION)
    assert province.status(accepted.batch).state == "accepted"
    with pytest.raises(NotAnchored):
        province.evidence([(accepted.batch, 0)])
    with anchoring(settings) as parts:
        assert parts.pipeline.log_batches() == 1
        assert province.status(accepted.batch).state == "logged"
        done = parts.until_done()
    assert [one.size for one in done] == [1]
    status = province.status(accepted.batch)
    assert (status.state, status.checkpoint_size, status.log_index) == ("anchored", 1, 0)
    assert status.evm_block == done[0].block
    assert status.anchored_at == done[0].time
    evidence = province.evidence([(accepted.batch, index) for index in (4, 0, 4)])
    verdict = verify(evidence, province.trust(), CODE.path)
    assert verdict.proven, verdict.text("en")
    assert len(verdict.records) == 2
