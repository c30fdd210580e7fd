# SPDX-License-Identifier: GPL-3.0-or-later
"""The anchor process goes on from whatever it finds: on its disk, in its database, on the chain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from anchor.chain import ChainRefused, ChainUnreachable
from anchor.province import BatchRefused, Province
from anchor.sequencing import PipelineError
from anchor.settings import Settings
from anchor.store import anchors, issuers, transactions
from anchor.verify import verify
from tests.support.anchoring import (
    CODE,
    ORGANISATION,
    Anchoring,
    Business,
    anchoring,
    found_beside,
    found_province,
    province_of,
    running_node,
)

NUMBERS = count()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_node(found_province(tmp_path_factory.mktemp("pipeline") / "data")) as settings:
        yield settings


@pytest.fixture
def settings(chain: Settings, tmp_path: Path) -> Settings:
    """A log of its own on the chain that all tests here share."""
    return found_beside(tmp_path / "data", chain, f"test.example/log/{next(NUMBERS)}")


@pytest.fixture
def business(settings: Settings) -> Business:
    business = Business.of(settings.origin)
    with province_of(settings) as province:
        business.apply(province)
    return business


def accept(settings: Settings, business: Business, batches: int = 1) -> list[str]:
    with province_of(settings) as province:
        bodies = [business.batch(2) for _ in range(batches)]
        return [province.accept(body, ORGANISATION).batch for body in bodies]


def work(settings: Settings) -> list[int]:
    """Run the anchor process until all is done; return the sizes that it anchored."""
    with anchoring(settings) as parts:
        return [one.size for one in parts.until_done()]


def check(settings: Settings, batches: list[str]) -> None:
    """All batches are anchored in order, and evidence over them verifies."""
    with province_of(settings) as province:
        status = [province.status(one) for one in batches]
        assert [one.log_index for one in status] == list(range(len(batches)))
        assert {one.state for one in status} == {"anchored"}
        evidence = province.evidence([(one, 1) for one in batches])
        verdict = verify(evidence, province.trust(), CODE.path)
        assert verdict.proven, verdict.text("en")


@contextmanager
def database_of_before(settings: Settings, keep: Path) -> Iterator[None]:
    """Put the database back, at the end of the block, to what it was at its beginning."""
    # A closed SQLite database is one file: its last connection takes the WAL in.
    kept, current = keep / "kept.db", settings.data / "moneo.db"
    shutil.copy(current, kept)
    yield
    shutil.copy(kept, current)


def count_sent(parts: Anchoring) -> int:
    with parts.store.read() as connection:
        return len(connection.execute(select(transactions.c.id)).all())


def test_with_nothing_new_nothing_is_sent(settings: Settings, business: Business) -> None:
    batches = accept(settings, business, 2)
    with anchoring(settings) as parts:
        assert [one.size for one in parts.until_done()] == [2]
        sent = count_sent(parts)
        assert not parts.pipeline.is_due()
        assert parts.pipeline.advance() == []
        assert count_sent(parts) == sent == 3
    check(settings, batches)


def test_checkpoints_keep_their_distance(settings: Settings, business: Business) -> None:
    slow = replace(settings, interval=60.0)
    accept(slow, business)
    with anchoring(slow) as parts:
        parts.until_done()
        accept(slow, business)
        assert parts.pipeline.log_batches() == 1
        assert not parts.pipeline.is_due()
        assert parts.pipeline.advance() == []


def test_a_database_from_before_the_anchor_was_sent_recognises_it(
    settings: Settings, business: Business, tmp_path: Path
) -> None:
    first = accept(settings, business)
    work(settings)
    second = accept(settings, business)
    with anchoring(settings) as parts:
        parts.pipeline.log_batches()
    with database_of_before(settings, tmp_path):
        work(settings)
    assert work(settings) == [2]
    third = accept(settings, business)
    assert work(settings) == [3]
    check(settings, first + second + third)


def test_a_database_from_before_logging_takes_its_places_from_the_log(
    settings: Settings, business: Business, tmp_path: Path
) -> None:
    batches = accept(settings, business, 3)
    with database_of_before(settings, tmp_path):
        work(settings)
    assert work(settings) == [3]
    check(settings, batches)


def test_a_database_that_never_accepted_a_logged_batch_stops_the_process(
    settings: Settings, business: Business, tmp_path: Path
) -> None:
    with database_of_before(settings, tmp_path):
        accept(settings, business)
        work(settings)
    with pytest.raises(PipelineError, match="entry 0 of the log"):
        work(settings)


@pytest.mark.parametrize("kept", [0, 1])
def test_entries_that_the_disk_has_lost_are_logged_again_under_the_same_roots(
    settings: Settings, business: Business, tmp_path: Path, kept: int
) -> None:
    batches = accept(settings, business, kept)
    work(settings)
    shutil.copytree(settings.log_path, tmp_path / "log")
    batches += accept(settings, business, 2)
    work(settings)
    before = (settings.log_path / "checkpoint").read_bytes()
    shutil.rmtree(settings.log_path)
    shutil.copytree(tmp_path / "log", settings.log_path)
    assert work(settings) == []
    assert (settings.log_path / "checkpoint").read_bytes() == before
    check(settings, batches)


def test_another_chain_stops_the_process(
    settings: Settings, business: Business, tmp_path: Path
) -> None:
    accept(settings, business)
    work(settings)
    elsewhere = found_province(tmp_path / "elsewhere")
    with (
        running_node(elsewhere) as other,
        pytest.raises(PipelineError, match="serves chain"),
    ):
        work(replace(settings, rpc=other.rpc))


def test_without_the_node_batches_are_logged_and_later_anchored(
    settings: Settings, business: Business
) -> None:
    batches = accept(settings, business, 2)
    with anchoring(replace(settings, rpc="127.0.0.1:1")) as parts:
        assert parts.pipeline.log_batches() == 2
        with pytest.raises(ChainUnreachable):
            parts.pipeline.advance()
    assert work(settings) == [2]
    check(settings, batches)


def test_a_key_given_up_is_revoked_after_its_batches_are_anchored(
    settings: Settings, business: Business
) -> None:
    batches = accept(settings, business, 2)
    with province_of(settings) as province:
        province.revoke_issuer(business.signer.name, business.signer.key_hash)
        work(settings)
        issuer = province.issuer(business.signer.name)
        assert issuer
        assert issuer.state == "revoked"
        assert 0 < issuer.registered < (province.status(batches[1]).evm_block or 0)
        assert issuer.revoked > (province.status(batches[1]).evm_block or 0)
        with pytest.raises(BatchRefused, match="revoked"):
            province.accept(business.batch(), ORGANISATION)
    check(settings, batches)


def test_a_registration_and_a_revocation_that_were_forgotten_are_recognised(
    settings: Settings, business: Business
) -> None:
    batches = accept(settings, business)
    work(settings)
    name, key_id = business.signer.name, business.signer.key_hash
    with province_of(settings) as province:
        forget(province, state="pending", registered=0)
        work(settings)
        assert (found := province.issuer(name))
        assert found.state == "registered"
        province.revoke_issuer(name, key_id)
        work(settings)
        assert (revoked := province.issuer(name))
        forget(province, state="revoking", revoked=0)
        work(settings)
        assert province.issuer(name) == revoked
    check(settings, batches)


def test_a_key_that_the_chain_knows_otherwise_is_refused(
    settings: Settings, business: Business
) -> None:
    accept(settings, business)
    work(settings)
    with province_of(settings) as province:
        forget(province, state="pending", registered=0, registration_leaf=b"x" * 32)
        work(settings)
        assert (issuer := province.issuer(business.signer.name))
        assert issuer.state == "refused"
        with pytest.raises(BatchRefused):
            province.accept(business.batch(), ORGANISATION)


def forget(province: Province, **values: Any) -> None:
    with province.store.write() as connection:
        connection.execute(update(issuers).values(values))


def test_a_capture_that_the_node_no_longer_serves_is_made_at_a_newer_block(
    settings: Settings, business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = accept(settings, business)
    with anchoring(settings) as parts:
        asked: list[int] = []
        capturer = parts.pipeline._capturer
        capture = capturer.capture

        def pruned(trust: Any, head: Any, known: Any, block: int) -> int:
            asked.append(block)
            if len(asked) == 1:
                raise ChainRefused("state of this block is gone")
            return capture(trust, head, known, block)

        monkeypatch.setattr(capturer, "capture", pruned)
        assert [one.size for one in parts.until_done()] == [1]
    assert len(asked) == 2
    check(settings, batches)


def test_a_capture_that_is_missed_is_made_up_at_the_next_anchor(
    settings: Settings, business: Business
) -> None:
    batches = accept(settings, business)
    with anchoring(settings) as parts:
        parts.until_done()
        with parts.store.write() as connection:
            connection.exec_driver_sql("delete from proofs")
            connection.execute(update(anchors).where(anchors.c.size == 1).values(state="missed"))
    assert work(settings) == []
    batches += accept(settings, business)
    assert work(settings) == [2]
    check(settings, batches)


def test_the_trust_file_is_made_once(settings: Settings, business: Business) -> None:
    accept(settings, business)
    work(settings)
    before = settings.trust_path.read_bytes()
    accept(settings, business)
    work(settings)
    assert settings.trust_path.read_bytes() == before
