# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL at each durable step of accepting and of anchoring: nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from anchor.checkpoint import open_checkpoint
from anchor.keys import load_private_key
from anchor.note import Signer
from anchor.province import Province
from anchor.settings import Settings, load
from anchor.store import anchors, batch_id, transactions
from anchor.tiles import Log
from anchor.verify import verify
from node.light import leaf_hash, root
from tests.support.anchoring import (
    Business,
    accept_batches,
    anchor_all,
    found_beside,
    found_province,
    hash_of,
    province_of,
    running_node,
)
from tests.support.killat import KillAt, KillAtError

BATCHES = 3
ACCEPT = "tests.support.anchoring:accept_batches"
ANCHOR = "tests.support.anchoring:anchor_all"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_node(found_province(tmp_path_factory.mktemp("crash") / "data")) as settings:
        yield settings


def seeded(data: Path, settings: Settings, count: int = BATCHES) -> list[str]:
    """Found a log of its own with an issuer asked for and signed batches; return their ids."""
    founded = found_beside(data, settings, f"test.example/{data.name}")
    business = Business.of(founded.origin)
    with province_of(founded) as province:
        business.apply(province)
    for number in range(count):
        (data / f"{number}.batch").write_bytes(business.batch(2))
    return [batch_id(hash_of(body)) for body in business.sent]


def kept_in(data: Path) -> list[tuple[int, str]]:
    with province_of(load(data)) as province:
        return [(one.row, one.batch) for one in province.batches_after(0, 1_000)]


def test_no_batch_acknowledged_is_lost_wherever_accepting_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    with KillAt(ACCEPT) as tries:
        seeded(tmp_path / "whole", settings)
        steps = tries.run([str(tmp_path / "whole"), BATCHES])
        assert steps >= 2 * BATCHES
        for step in range(1, steps + 1):
            data = tmp_path / f"accept{step}"
            ids = seeded(data, settings)
            tries.run([str(data), BATCHES], at=step)
            noted = data / "acknowledged"
            acknowledged = noted.read_text().split() if noted.exists() else []
            assert [batch for _, batch in kept_in(data)][: len(acknowledged)] == acknowledged
            accept_batches(str(data), BATCHES)
            assert kept_in(data) == list(enumerate(ids, start=1))


def check_anchored(data: Path, ids: list[str]) -> None:
    """All batches are anchored once each, in order, and all that was signed agrees."""
    settings = load(data)
    with province_of(settings) as province:
        assert [province.status(one).log_index for one in ids] == list(range(len(ids)))
        assert {province.status(one).state for one in ids} == {"anchored"}
        verdict = verify(province.evidence([(one, 0) for one in ids[-BATCHES:]]), province.trust())
        assert verdict.proven, verdict.text("en")
        check_log(settings, province)


def check_log(settings: Settings, province: Province) -> None:
    """Every checkpoint ever signed is a prefix of the log; nothing was sent under two nonces."""
    key = Signer(settings.origin, load_private_key(settings.log_key)).public_key
    with Log(settings.log_path, settings.origin) as log, province.store.read() as connection:
        log.check()
        leaves = [leaf_hash(entry) for entry in log.entries(0, log.size)]
        assert len(set(leaves)) == len(leaves)
        for row in connection.execute(anchors.select()):
            assert bytes(row.root) == root(leaves[: row.size])
            if row.checkpoint:
                signed = open_checkpoint(bytes(row.checkpoint), settings.origin, key)
                assert (signed.size, signed.root) == (row.size, bytes(row.root))
        sent = [(row.kind, row.subject) for row in connection.execute(transactions.select())]
        assert sorted(sent) == sorted(set(sent))


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.long)])
def test_nothing_is_lost_or_done_twice_wherever_the_first_anchor_is_killed(
    settings: Settings, tmp_path: Path, stride: int
) -> None:
    with KillAt(ANCHOR) as tries:
        data = tmp_path / f"whole{stride}"
        ids = seeded(data, settings)
        accept_batches(str(data), BATCHES)
        steps = tries.run([str(data), settings.rpc])
        check_anchored(data, ids)
        for step in range(1, steps + 1, stride):
            data = tmp_path / f"first{stride}x{step}"
            ids = seeded(data, settings)
            accept_batches(str(data), BATCHES)
            tries.run([str(data), settings.rpc], at=step)
            anchor_all(str(data), settings.rpc)
            check_anchored(data, ids)


def test_nothing_is_lost_or_done_twice_wherever_a_later_anchor_is_killed(
    settings: Settings, tmp_path: Path
) -> None:
    data = tmp_path / "later"
    business = Business.of(f"test.example/{data.name}")
    seeded(data, settings, count=0)
    with KillAt(ANCHOR) as tries, province_of(load(data)) as province:
        ids = []
        for step in range(200):
            ids.append(province.accept(business.batch(1), "coop").batch)
            try:
                tries.run([str(data), settings.rpc], at=step or None)
            except KillAtError as error:
                assert "ended with 0" in str(error)
                break
        assert step > 20
    anchor_all(str(data), settings.rpc)
    check_anchored(data, ids)
