# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup taken at any moment is whole, and what is restored never signs against what was signed before."""

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from anchor import backup as province_backup
from anchor.backup import BackupError
from anchor.backup import anchoring as anchoring_lock
from anchor.checkpoint import parse_checkpoint
from anchor.importer import Entry
from anchor.issuers import Issuers
from anchor.note import Signature, split_note
from anchor.settings import Settings, load
from anchor.store import batches, note_hash_of
from anchor.tiles import Log, bundle_name, log_files, tile_name
from anchor.verify import verify
from node import backup as node_backup
from node.errors import ChainError
from node.run import StartError
from tests.support.anchoring import (
    CODE,
    ORGANISATION,
    Business,
    anchoring,
    found_province,
    province_of,
    running_node,
    serving,
)
from tests.support.province import moneo, wait_until
from tests.support.site import SEED, new_settings, open_site, stocking
from tests.test_doctor import diagnose, start_node

KEPT = "tôm"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return found_province(tmp_path / "var")


def back_up(settings: Settings, target: Path) -> Path:
    province_backup.backup(settings, target, node_backup.copy_home)
    return target


def put_back(source: Path, data: Path) -> Settings:
    return province_backup.restore(source, data, node_backup.mark_restored)


def confirm(settings: Settings, evidence: bytes) -> int:
    newest = province_backup.newest_light_block(evidence)
    node_backup.confirm(settings.node_home, newest)
    return province_backup.check_log(settings, evidence).size


def keep(settings: Settings) -> None:
    """Keep a key for a business that has none of its own."""
    with province_of(settings) as province:
        province.keep_issuer(KEPT, f"{settings.origin}/{'k' * 16}", ["/01/09521234"], "HTX Tôm")


def write_for(settings: Settings) -> tuple[str, Signature]:
    """Write a record for that business; return the batch's id and the signature on it."""
    with province_of(settings) as province:
        entry = Entry({"note": str(time.time_ns())}, "epcis.objectevent", (CODE,))
        batch = province.accept_entries([entry], "live", KEPT).batch
        with province.store.read() as connection:
            query = select(batches.c.note).where(batches.c.note_hash == note_hash_of(batch))
            note = bytes(connection.execute(query).scalar_one())
    return batch, split_note(note)[1][0]


def grow(settings: Settings, business: Business, count: int) -> list[str]:
    """Accept and anchor some batches, one anchor each; return their ids."""
    with province_of(settings) as province, anchoring(settings) as parts:
        if not business.sent:
            business.apply(province)
            parts.until_done()
        batches = []
        for _ in range(count):
            batches.append(province.accept(business.batch(), ORGANISATION).batch)
            parts.until_done()
    return batches


def evidence_of(settings: Settings, batch: str) -> bytes:
    with province_of(settings) as province:
        return province.evidence([(batch, 0)])


# Taking one


def test_a_backup_taken_while_batches_come_in_is_whole_and_served_ones_are_in_it(
    settings: Settings, tmp_path: Path
) -> None:
    business, accepted = Business.of(settings.origin), list[str]()
    with running_node(settings) as running, province_of(running) as province:
        business.apply(province)
        with serving(running) as said:
            wait_until("registered", lambda: bool(province.issuers()[0].registered))
            ending = threading.Event()

            def submit() -> None:
                while not ending.is_set():
                    accepted.append(province.accept(business.batch(), ORGANISATION).batch)

            thread = threading.Thread(target=submit)
            thread.start()
            try:
                for number in range(3):
                    time.sleep(0.5)
                    before = list(accepted)
                    copy = load(back_up(running, tmp_path / f"backup{number}"))
                    wrong = [one for one in diagnose(copy) if one.state != "good"]
                    assert not wrong
                    with province_of(copy) as old:
                        for batch in before:
                            assert old.receipt(batch)
            finally:
                ending.set()
                thread.join()
            wait_until("all is anchored", lambda: province.status(accepted[-1]).state == "anchored")
        assert not [line for line in said if "will try again" in line]


def test_the_files_of_a_log_are_exactly_those_that_it_needs() -> None:
    assert list(log_files(0)) == []
    assert list(log_files(1)) == [bundle_name(0, 1), tile_name(0, 0, 1)]
    assert list(log_files(256)) == [bundle_name(0), tile_name(0, 0), tile_name(1, 0, 1)]
    assert list(log_files(257)) == [
        bundle_name(0),
        bundle_name(1, 1),
        tile_name(0, 0),
        tile_name(0, 1, 1),
        tile_name(1, 0, 1),
    ]


def test_anchoring_rests_while_a_backup_is_made(settings: Settings) -> None:
    with anchoring_lock(settings) as may:
        assert may
    with province_backup.resting(settings), anchoring_lock(settings) as may:
        assert not may


def test_a_backup_is_never_half_made_and_never_over_another(
    settings: Settings, tmp_path: Path
) -> None:
    def fails(_home: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        province_backup.backup(settings, tmp_path / "backup", fails)
    assert not (tmp_path / "backup").exists()
    assert not (tmp_path / "backup.partial").exists()
    back_up(settings, tmp_path / "backup")
    with pytest.raises(BackupError, match="already"):
        back_up(settings, tmp_path / "backup")
    with pytest.raises(BackupError, match="outside"):
        back_up(settings, settings.data / "backup")


def test_keys_stay_their_owners_alone(settings: Settings, tmp_path: Path) -> None:
    copy = put_back(back_up(settings, tmp_path / "backup"), tmp_path / "new")
    for path in (copy.log_key, copy.member_key, copy.node_home / "validator.key"):
        assert path.stat().st_mode & 0o077 == 0


# Restoring one


@pytest.fixture
def restored(settings: Settings, tmp_path: Path) -> Iterator[tuple[Settings, bytes, Business]]:
    """A folder restored from a backup that nothing was signed after, and evidence from outside."""
    business = Business.of(settings.origin)
    with running_node(settings) as running:
        batches = grow(running, business, 3)
        back_up(running, tmp_path / "backup")
    evidence = evidence_of(settings, batches[-1])
    yield put_back(tmp_path / "backup", tmp_path / "new"), evidence, business


def test_a_restored_province_signs_and_takes_nothing_before_it_is_compared(
    restored: tuple[Settings, bytes, Business],
) -> None:
    settings, _, business = restored
    with pytest.raises(StartError, match="restored"):
        start_node(settings.node_home)
    with province_of(settings) as province, pytest.raises(BackupError, match="newest"):
        province.accept(business.batch(), ORGANISATION)
    with pytest.raises(BackupError, match="newest"), serving_alone(settings):
        pass


class serving_alone:  # noqa: N801  used as a context
    """The anchor process's loop in this thread, so that what it raises is seen."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __enter__(self) -> None:
        from anchor.run import serve

        stop = threading.Event()
        stop.set()
        serve(self.settings, stop, lambda _line: None)

    def __exit__(self, *_: object) -> None:
        pass


def test_a_restored_province_shows_what_it_has(
    restored: tuple[Settings, bytes, Business],
) -> None:
    settings, evidence, _ = restored
    with province_of(settings) as province:
        batch = province.batches_after(0, 10)[-1].batch
        assert province.evidence([(batch, 0)]) == evidence
        assert verify(evidence, province.trust()).proven


def test_once_compared_it_catches_up_with_the_chain_says_so_and_goes_on(
    restored: tuple[Settings, bytes, Business],
) -> None:
    settings, evidence, business = restored
    old = Log(settings.log_path, settings.origin).checkpoint()
    assert confirm(settings, evidence) == 3
    with running_node(replace(settings, interval=0.05)) as running:
        with province_of(running) as province, serving(running) as said:
            batch = province.accept(business.batch(), ORGANISATION).batch
            wait_until("anchored", lambda: province.status(batch).state == "anchored")
            file = province.evidence([(batch, 0)])
            assert verify(file, province.trust()).proven
        assert "at its head on the chain" in said[0]
        log = Log(settings.log_path, settings.origin)
        assert log.size == old.size + 1
        assert log.root(old.size) == old.root
        assert {one.state for one in diagnose(running)} == {"good"}


def test_a_kept_key_signs_nothing_more_after_restoring_and_a_fresh_one_does(
    settings: Settings, tmp_path: Path
) -> None:
    keep(settings)
    with running_node(settings) as running:
        first, old = write_for(running)
        evidence = evidence_of(running, grow(running, Business.of(settings.origin), 1)[-1])
        back_up(running, tmp_path / "backup")
        # Accepted, and lost with the disk: the business has its receipt, no evidence shows it.
        _, lost = write_for(running)
    assert lost.key_id == old.key_id
    copy = put_back(tmp_path / "backup", tmp_path / "new")
    with pytest.raises(BackupError, match="newest"):
        write_for(copy)
    node_backup.confirm(copy.node_home, province_backup.newest_light_block(evidence))
    compared = province_backup.check_log(copy, evidence)
    assert compared.renewed == (f"{settings.origin}/{'k' * 16}",)
    assert province_backup.check_log(copy, evidence).renewed == ()
    again, new = write_for(copy)
    assert new.key_id != old.key_id
    with running_node(copy) as running:
        with anchoring(running) as parts:
            parts.until_done()
        with province_of(running) as province:
            assert province.status(again).seq == 0
            assert [k.state for k in province.issuers(KEPT)] == ["revoked", "registered"]
            for batch in (first, again):
                file = province.evidence([(batch, 0)])
                assert verify(file, province.trust()).proven
        assert {one.state for one in diagnose(running)} == {"good"}
    aside = [path.name for path in copy.custody.iterdir() if "revoked" in path.name]
    assert len(aside) == 1 and not [p for p in settings.custody.iterdir() if "revoked" in p.name]


def test_renewing_that_was_stopped_leaves_no_business_without_a_key(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(settings)
    with running_node(settings) as running:
        _, old = write_for(running)
        evidence = evidence_of(running, grow(running, Business.of(settings.origin), 1)[-1])
        back_up(running, tmp_path / "backup")
    for name in ("add", "revoke"):
        copy = put_back(tmp_path / "backup", tmp_path / name)
        node_backup.confirm(copy.node_home, province_backup.newest_light_block(evidence))

        def stop(*_: object) -> None:
            raise OSError("stopped")

        with monkeypatch.context() as broken, pytest.raises(OSError, match="stopped"):
            broken.setattr(Issuers, name, stop)
            province_backup.check_log(copy, evidence)
        with pytest.raises(BackupError, match="newest"):
            write_for(copy)
        assert len(province_backup.check_log(copy, evidence).renewed) == 1
        assert write_for(copy)[1].key_id != old.key_id
        with province_of(copy) as province:
            *gone, last = [k.state for k in province.issuers(KEPT)]
        assert set(gone) == {"revoking"} and last == "pending"


def test_a_log_older_than_its_backup_of_the_database_is_completed_with_the_same_roots(
    settings: Settings, tmp_path: Path
) -> None:
    business = Business.of(settings.origin)
    with running_node(settings) as running:
        grow(running, business, 2)
        shutil.copytree(settings.log_path, tmp_path / "older-log")
        batches = grow(running, business, 2)
        back_up(running, tmp_path / "backup")
        evidence = evidence_of(running, batches[-1])
    published = split_note((settings.log_path / "checkpoint").read_bytes())[0]
    copy = put_back(tmp_path / "backup", tmp_path / "new")
    shutil.rmtree(copy.log_path)
    shutil.copytree(tmp_path / "older-log", copy.log_path)
    assert confirm(copy, evidence) == 4
    log = Log(copy.log_path, copy.origin)
    assert log.checkpoint() == parse_checkpoint(published)


def test_what_was_signed_after_the_backup_keeps_validator_and_log_from_signing(
    settings: Settings, tmp_path: Path
) -> None:
    business = Business.of(settings.origin)
    with running_node(settings) as running:
        grow(running, business, 1)
        back_up(running, tmp_path / "backup")
        later = evidence_of(running, grow(running, business, 1)[-1])
    copy = put_back(tmp_path / "backup", tmp_path / "new")
    with pytest.raises(ChainError, match="must not sign again"):
        node_backup.confirm(copy.node_home, province_backup.newest_light_block(later))
    before = (copy.log_path / "checkpoint").read_bytes()
    with pytest.raises(BackupError, match="must not sign again"):
        province_backup.check_log(copy, later)
    assert (copy.log_path / "checkpoint").read_bytes() == before
    with pytest.raises(StartError, match="restored"):
        start_node(copy.node_home)
    with pytest.raises(BackupError):
        province_backup.check_open(copy)


def test_evidence_of_another_chain_confirms_nothing(
    restored: tuple[Settings, bytes, Business], tmp_path: Path
) -> None:
    other = found_province(tmp_path / "other")
    with running_node(other) as running:
        foreign = evidence_of(running, grow(running, Business.of(other.origin, 1), 1)[-1])
    with pytest.raises(ChainError, match="not of this chain"):
        node_backup.confirm(restored[0].node_home, province_backup.newest_light_block(foreign))
    with pytest.raises(BackupError, match="another log"):
        province_backup.check_log(restored[0], foreign)
    with pytest.raises(BackupError, match="no evidence"):
        province_backup.check_log(restored[0], b"{}")


# The commands


def test_backup_and_restore_by_command(settings: Settings, tmp_path: Path) -> None:
    keep(settings)
    with running_node(settings) as running:
        batches = grow(running, Business.of(settings.origin), 2)
        moneo("backup", "--data", settings.data, tmp_path / "backup", home=tmp_path)
    evidence = tmp_path / "newest.json"
    evidence.write_bytes(evidence_of(settings, batches[-1]))
    moneo("doctor", "--data", tmp_path / "backup", home=tmp_path)
    words = ("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert "signs nothing yet" in moneo(*words, home=tmp_path)
    assert "restored" in moneo("serve", "--data", tmp_path / "new", home=tmp_path, status=2)
    said = moneo(*words, "--newest", evidence, home=tmp_path)
    assert "They agree" in said and "1 keys kept" in said and f"{settings.origin}/kkkk" in said
    start_node(tmp_path / "new" / "node")
    assert "already" in moneo(
        "backup", "--data", settings.data, tmp_path / "backup", home=tmp_path, status=2
    )


def test_the_door_of_a_restored_province_says_why_it_is_closed(tmp_path: Path) -> None:
    with open_site(new_settings(tmp_path / "var")) as site:
        coop = site.business("HTX", ["/01/09520001"])
        site.submit(coop, stocking())
        back_up(site.settings, tmp_path / "backup")
    with open_site(put_back(tmp_path / "backup", tmp_path / "new")) as site:
        headers = coop.headers | {"Accept-Language": "en"}
        answer = site.browser.send(
            "POST", "/v1/batches", content=coop.body([stocking()]), headers=headers
        )
        assert answer.status_code == 503
        assert "restored" in answer.json()["detail"]
        # The index is no part of a backup.
        site.app.state.moneo.index.catch_up()
        assert site.browser.get(SEED).status_code == 200
