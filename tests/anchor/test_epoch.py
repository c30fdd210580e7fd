# SPDX-License-Identifier: GPL-3.0-or-later
"""A province closes its log and goes on in another: what was accepted is proven, in whichever it is."""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import func, select, update

from anchor import backup as province_backup
from anchor import outbox
from anchor.chain import ChainRefused, ChainUnreachable
from anchor.checkpoint import open_checkpoint
from anchor.corrections import CorrectionError
from anchor.doctor import check as examine
from anchor.epochs import Epoch, EpochError, begin, newest_settings
from anchor.errors import KeyFileError
from anchor.importer import Entry
from anchor.keys import create_private_key, load_member_key, request
from anchor.note import Signer
from anchor.province import BatchRefused, IssuerRefused, Province, member_address
from anchor.run import serve
from anchor.settings import Settings, load
from anchor.store import (
    SCHEMA_OF_LOGS,
    Store,
    StoreError,
    batch_id,
    batches,
    get_meta,
    set_meta,
    transactions,
)
from anchor.tiles import Log
from anchor.trust import parse_trust
from anchor.verify import verify
from anchor.wishes import is_running
from front import newlog
from node.genesis import found as found_chain
from node.light import timestamp
from tests.support.anchoring import (
    CODE,
    ORGANISATION,
    Business,
    found_beside,
    found_province,
    province_of,
    running_node,
    serving,
)
from tests.support.killat import KillAt, KillAtError

NUMBERS = count()
KEPT = "abcdefghijklmnop"
SECONDS = 120.0
WORK = "tests.anchor.test_epoch"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_node(found_province(tmp_path_factory.mktemp("epoch") / "data")) as settings:
        yield settings


@pytest.fixture
def settings(chain: Settings, tmp_path: Path) -> Settings:
    """A log of its own on the chain that all tests here share."""
    return found_beside(tmp_path / "data", chain, f"test.example/epoch/{next(NUMBERS)}")


def second_of(settings: Settings) -> str:
    """The second log's name: no other test's log on this chain has it."""
    return f"{settings.origin}-2"


@dataclass
class Diary:
    """A business with a key of its own, and one whose key the province keeps, at one province."""

    settings: Settings
    business: Business

    @classmethod
    def of(cls, settings: Settings) -> Diary:
        business = Business.of(settings.origin)
        with province_of(settings) as province:
            business.apply(province)
            name = f"{settings.origin}/{KEPT}"
            province.keep_issuer("kept", name, ["/01/09521234"], "HTX Tôm")
        return cls(settings, business)

    def write(self) -> list[str]:
        """Have a batch of each accepted."""
        with province_of(self.settings) as province:
            own = province.accept(self.business.batch(2), ORGANISATION).batch
            return [own, kept_batch(province)]

    def go_on(self, origin: str) -> Diary:
        """The business makes a key for a new log, of its name there, and has it registered."""
        diary = Diary(self.settings, Business.of(origin))
        with province_of(self.settings) as province:
            diary.business.apply(province)
        return diary


def kept_batch(province: Province) -> str:
    entry = Entry({"note": "nhật ký", "n": 1}, "epcis.objectevent", (CODE,))
    return province.accept_entries([entry], "live", "kept").batch


def change(settings: Settings, origin: str, *, lost: bool = False) -> None:
    store = Store.open(settings.database_url)
    try:
        begin(settings, store, origin, lost=lost)
    finally:
        store.close()


def change_log(data: str, origin: str) -> None:
    """Close the log of a data folder and begin another: work to be killed."""
    change(load(Path(data)), origin)


def anchor_logs(data: str, rpc: str) -> None:
    """Run the anchor process until there is nothing left to do: work to be killed."""
    settings = replace(load(Path(data)), rpc=rpc)
    with province_of(settings) as province:
        serve(settings, Until(lambda: is_done(province)), lambda _said: None)


class Until(Event):
    """An event that sets itself, when it is waited for, once something holds."""

    def __init__(self, holds: Callable[[], bool]) -> None:
        super().__init__()
        self._holds = holds
        self._last = time.monotonic() + SECONDS

    def wait(self, timeout: float | None = None) -> bool:
        assert time.monotonic() < self._last, "not in time"
        if self._holds():
            self.set()
        return super().wait(timeout)


def is_done(province: Province) -> bool:
    """Whether every batch is anchored, and every key where it is to be."""
    found = [province.status(each.batch).state for each in province.batches_after(0, 1_000)]
    keys = {each.state for each in province.issuers()}
    return set(found) <= {"anchored"} and keys <= {"registered", "revoked"}


def wait_until(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)


def all_anchored(settings: Settings) -> None:
    with serving(settings), province_of(settings) as province:
        wait_until(lambda: is_done(province))


def proven(settings: Settings, batches: list[str], *trusts: bytes) -> bytes:
    """Check that one file proves these batches by every trust file; return it."""
    with province_of(settings) as province:
        evidence = province.evidence([(each, 0) for each in batches])
        for trust in (*trusts, province.trust()):
            verdict = verify(evidence, trust, CODE.path)
            assert verdict.proven, verdict.text("en")
            assert {one.province for one in verdict.records} == {"Cà Mau"}
    return evidence


def refused(settings: Settings, body: bytes) -> BatchRefused:
    with province_of(settings) as province, pytest.raises(BatchRefused) as said:
        province.accept(body, ORGANISATION)
    return said.value


def sent(settings: Settings) -> list[tuple[str, int]]:
    """What was sent to the chain: the kind and the subject of each transaction, in order."""
    with province_of(settings) as province, province.store.read() as connection:
        rows = connection.execute(select(transactions).order_by(transactions.c.nonce))
        return [(row.kind, row.subject) for row in rows]


def epochs_of(settings: Settings) -> list[Epoch]:
    with province_of(settings) as province:
        return province.logs()


def good(settings: Settings) -> None:
    """What the doctor says of it."""
    found = list(examine(settings, []))
    assert {each.state for each in found} == {"good"}, found


def test_a_closed_log_gets_what_was_accepted_for_it_and_all_that_follows_is_the_new_ones(
    settings: Settings,
) -> None:
    diary = Diary.of(settings)
    old = diary.write()
    all_anchored(settings)
    with province_of(settings) as province:
        before, given_out = province.trust(), province.evidence([(each, 0) for each in old])
    old += diary.write()
    second = second_of(settings)

    change(settings, second)

    new = [diary_of_kept(settings)]
    said = refused(settings, diary.business.batch(1))
    assert (said.code, said.issuer) == (
        "log-closed",
        f"{second}/{diary.business.signer.name[-16:]}",
    )
    assert f"moneo key new {said.issuer}" in said.detail
    following = diary.go_on(second)
    new += following.write()
    all_anchored(settings)

    proven(settings, [*old, *new], before)
    with province_of(settings) as province:
        states = [province.status(each) for each in [*old, *new]]
        assert [each.log_index for each in states] == [0, 1, 2, 3, 0, 1, 2]
        assert [each.checkpoint_size for each in states[:4]] == [2, 2, 4, 4]
        assert {each.checkpoint_size for each in states[4:]} <= {1, 2, 3}
        trust = province.trust()
        keys = {each.name: (each.state, each.custody) for each in province.issuers()}
    assert verify(given_out, trust, CODE.path).proven
    assert [each.log for each in parse_trust(trust).members] == [second]
    custodies = ((diary.business.signer.name[-16:], "holder"), (KEPT, "operator"))
    assert keys == {
        f"{origin}/{name}": (state, custody)
        for origin, state in ((settings.origin, "revoked"), (second, "registered"))
        for name, custody in custodies
    }
    good(settings)


def diary_of_kept(settings: Settings) -> str:
    with province_of(settings) as province:
        return kept_batch(province)


def test_the_old_log_stays_as_it_is_and_both_have_keys_that_only_their_owner_reads(
    settings: Settings,
) -> None:
    diary = Diary.of(settings)
    diary.write()
    all_anchored(settings)
    change(settings, second_of(settings))
    checkpoint = (settings.log_path / "checkpoint").read_bytes()
    diary_of_kept(settings)
    all_anchored(settings)
    newest = newest_settings(settings)
    assert (settings.log_path / "checkpoint").read_bytes() == checkpoint
    epochs = epochs_of(settings)
    assert [each.settings.log_path for each in epochs] == [settings.log_path, newest.log_path]
    for epoch, size in zip(epochs, (2, 1), strict=True):
        assert stat.S_IMODE(epoch.settings.log_key.stat().st_mode) == 0o600
        with Log(epoch.settings.log_path, epoch.origin, public_key=epoch.public_key) as log:
            log.check()
            assert log.size == size
            seen = open_checkpoint(log.signed_checkpoint(), epoch.origin, epoch.public_key)
            assert seen.size == size
    assert epochs[0].public_key != epochs[1].public_key
    kept = [each for each in (newest.custody, settings.custody) for each in each.glob("*.key")]
    assert {stat.S_IMODE(each.stat().st_mode) for each in kept} == {0o600}
    assert len({each.read_bytes() for each in kept}) == len(kept) == 2


def test_an_answer_that_was_lost_is_given_again_after_the_log_was_closed(
    settings: Settings,
) -> None:
    diary = Diary.of(settings)
    body = diary.business.batch(1)
    with province_of(settings) as province:
        first = province.accept(body, ORGANISATION)
        change(settings, second_of(settings))
        again = province.accept(body, ORGANISATION)
    assert (again.receipt, again.duplicate) == (first.receipt, True)


def test_a_process_that_was_running_accepts_for_the_new_log_at_once(settings: Settings) -> None:
    diary = Diary.of(settings)
    with serving(settings), province_of(settings) as province:
        old = kept_batch(province)
        wait_until(lambda: province.status(old).state == "anchored")
        change(settings, second_of(settings))
        new = kept_batch(province)
        with pytest.raises(BatchRefused, match="moneo key new"):
            province.accept(diary.business.batch(1), ORGANISATION)
        with pytest.raises(IssuerRefused, match=second_of(settings)):
            business = Business.of(settings.origin, 1)
            business.apply(province)
        wait_until(lambda: province.status(new).state == "anchored")
        assert is_running(settings)
        notes = [each.issuer for each in province.batches_after(0, 10)]
        assert notes == [f"{settings.origin}/{KEPT}", f"{second_of(settings)}/{KEPT}"]
    proven(settings, [old, new])


def test_a_log_that_held_nothing_is_never_registered(settings: Settings) -> None:
    change(settings, second_of(settings))
    Diary.of(newest_settings(settings)).write()
    all_anchored(settings)
    assert [kind for kind, _ in sent(settings)].count("log") == 1
    good(settings)


def test_a_third_log_follows_the_second(settings: Settings) -> None:
    diary = Diary.of(settings)
    batches = diary.write()
    for origin in (second_of(settings), f"{settings.origin}-3"):
        change(settings, origin)
        diary = diary.go_on(origin)
        batches += diary.write()
    all_anchored(settings)
    proven(settings, batches)
    with province_of(settings) as province:
        assert [province.status(each).log_index for each in batches] == [0, 1, 0, 1, 0, 1]
    good(settings)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("{origin}", "another name|needs another name"),
        ("no name", "no log's name"),
        ("", "no log's name"),
        ("test.example/a+b", "no log's name"),
        ("test.example/" + "a" * 300, "no log's name"),
    ],
)
def test_a_name_that_cannot_be_a_new_logs_is_refused(
    settings: Settings, origin: str, words: str
) -> None:
    with pytest.raises(EpochError, match=words):
        change(settings, origin.format(origin=settings.origin))
    assert newest_settings(settings) == settings
    assert not list((settings.data / "keys").glob("log-*"))


def test_a_closed_log_is_not_opened_again_and_the_same_wish_changes_nothing(
    settings: Settings,
) -> None:
    second = second_of(settings)
    change(settings, second)
    change(settings, second)
    with pytest.raises(EpochError, match="closed"):
        change(settings, settings.origin)
    assert newest_settings(settings).log_number == 2


def test_a_program_that_knows_of_one_log_does_not_open_the_database(settings: Settings) -> None:
    change(settings, second_of(settings))
    store = Store.open(settings.database_url)
    with store.write() as connection:
        assert get_meta(connection, "schema") == SCHEMA_OF_LOGS
        set_meta(connection, "schema", b"4")
    with pytest.raises(StoreError, match="schema 4"):
        Store.open(settings.database_url)


# When the old key is lost


def test_without_its_key_what_was_logged_is_anchored_and_the_rest_stays_accepted(
    settings: Settings,
) -> None:
    diary = Diary.of(settings)
    logged = diary.write()
    with serving(replace(settings, rpc="127.0.0.1:1")), province_of(settings) as province:
        wait_until(lambda: {province.status(each).state for each in logged} == {"logged"})
    waiting = diary.write()
    with closing(Store.open(settings.database_url)) as store, store.write() as connection:
        # Stopped when its place was stored, and before it was in the log.
        unlogged = batches.c.logged_at.is_(None)
        first = select(func.min(batches.c.id)).where(unlogged).scalar_subquery()
        connection.execute(update(batches).where(batches.c.id == first).values(log_index=2))
    settings.log_key.unlink()
    with pytest.raises(EpochError, match="--lost"):
        change(settings, second_of(settings))

    change(settings, second_of(settings), lost=True)

    new = diary.go_on(second_of(settings)).write()
    with serving(settings), province_of(settings) as province:
        wait_until(lambda: {province.status(each).state for each in logged + new} == {"anchored"})
        assert {province.status(each).state for each in waiting} == {"accepted"}
        assert province.presentations(waiting[0])
    proven(settings, [*logged, *new])
    good(settings)


def test_a_key_that_is_there_is_not_given_up(settings: Settings) -> None:
    Diary.of(settings)
    with pytest.raises(EpochError, match="leave out --lost"):
        change(settings, second_of(settings), lost=True)


def test_a_key_that_is_lost_while_batches_wait_for_it_stops_the_process(
    settings: Settings,
) -> None:
    diary = Diary.of(settings)
    with serving(replace(settings, rpc="127.0.0.1:1")):
        wait_until((settings.log_path / "checkpoint").exists)
    diary.write()
    change(settings, second_of(settings))
    settings.log_key.unlink()
    with pytest.raises(KeyFileError):
        serve(settings, Event(), lambda _said: None)


def test_a_closed_logs_key_may_go_once_all_of_it_is_anchored(settings: Settings) -> None:
    diary = Diary.of(settings)
    batches = diary.write()
    change(settings, second_of(settings))
    all_anchored(settings)
    settings.log_key.unlink()
    batches.append(diary_of_kept(settings))
    all_anchored(settings)
    proven(settings, batches)
    good(settings)


# Crashes


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.long)])
def test_wherever_the_change_is_killed_it_is_done_once_and_no_batch_is_between_the_logs(
    settings: Settings, tmp_path: Path, stride: int
) -> None:
    with KillAt(f"{WORK}:change_log") as tries:
        steps, step = 1, 0
        while step < steps:
            data = tmp_path / f"kill{step}"
            here = found_beside(data, settings, f"{settings.origin}-{step}")
            batches = Diary.of(here).write()
            words = [str(data), second_of(here)]
            steps = max(steps, tries.run(words) if step == 0 else steps)
            if step:
                tries.run(words, at=step)
                change_log(*words)
            new = diary_of_kept(here)
            with province_of(here) as province:
                logs = province.logs()
                assert [each.origin for each in logs] == [here.origin, second_of(here)]
                rows = {each.batch: each.row for each in province.batches_after(0, 10)}
                assert [rows[each] >= logs[1].first_batch for each in [*batches, new]] == [
                    False,
                    False,
                    True,
                ]
                kept = [each.state for each in province.issuers("kept")]
                assert kept == ["revoking", "pending"]
            step += stride
    assert steps > 8


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.long)])
def test_wherever_the_anchor_process_is_killed_both_logs_are_whole_and_anchored_once(
    settings: Settings, stride: int
) -> None:
    diary = Diary.of(settings)
    batches = diary.write()
    all_anchored(settings)
    batches += diary.write()
    change(settings, second_of(settings))
    batches += diary.go_on(second_of(settings)).write()
    with KillAt(f"{WORK}:anchor_logs") as tries:
        for step in range(1, 2_000, stride):
            try:
                tries.run([str(settings.data), settings.rpc], at=step)
            except KillAtError as error:
                assert "ended with 0" in str(error)
                break
    assert step > 20
    proven(settings, batches)
    good(settings)
    assert sorted(sent(settings)) == sorted(set(sent(settings)))


# Beside it


def test_a_backup_holds_both_logs_and_what_is_restored_goes_on_in_the_new_one(
    settings: Settings, tmp_path: Path
) -> None:
    diary = Diary.of(settings)
    batches = diary.write()
    change(settings, second_of(settings))
    diary = diary.go_on(second_of(settings))
    batches += diary.write()
    all_anchored(settings)
    evidence = proven(settings, batches)
    copy, new = tmp_path / "copy", tmp_path / "new"
    province_backup.backup(settings, copy, lambda _home, _to: None)
    good(load(copy))
    restored = replace(province_backup.restore(copy, new, lambda _home: None), rpc=settings.rpc)
    compared = province_backup.check_log(restored, evidence)
    assert (compared.size, compared.renewed) == (2, (f"{second_of(settings)}/{KEPT}",))
    diary.settings = restored
    batches += diary.write()
    all_anchored(restored)
    proven(restored, batches)


def test_a_backup_of_before_the_new_log_is_not_gone_on_with(
    settings: Settings, tmp_path: Path
) -> None:
    diary = Diary.of(settings)
    diary.write()
    all_anchored(settings)
    copy = tmp_path / "copy"
    province_backup.backup(settings, copy, lambda _home, _to: None)
    change(settings, second_of(settings))
    batch = diary_of_kept(settings)
    all_anchored(settings)
    evidence = proven(settings, [batch])
    restored = province_backup.restore(copy, tmp_path / "new", lambda _home: None)
    with pytest.raises(province_backup.BackupError, match="evidence of another log"):
        province_backup.check_log(restored, evidence)


def test_a_log_restored_from_too_old_a_backup_signs_no_more_and_another_follows_it(
    settings: Settings, tmp_path: Path
) -> None:
    diary = Diary.of(settings)
    kept = diary.write()
    all_anchored(settings)
    waiting = diary.write()
    copy = tmp_path / "copy"
    province_backup.backup(settings, copy, lambda _home, _to: None)
    lost = diary.write()
    all_anchored(settings)
    evidence = proven(settings, lost)
    restored = province_backup.restore(copy, tmp_path / "new", lambda _home: None)
    restored = replace(restored, rpc=settings.rpc)
    with pytest.raises(province_backup.BackupError, match="moneo node new-log ORIGIN --lost"):
        province_backup.check_log(restored, evidence)
    second = second_of(restored)
    with pytest.raises(EpochError, match="compare it first"):
        follow(restored, second, lost=False)
    checkpoint = (restored.log_path / "checkpoint").read_bytes()

    follow(restored, second, lost=True)

    new = diary_of_kept(restored)
    with serving(restored) as said, province_of(restored) as province:
        wait_until(lambda: province.status(new).state == "anchored")
        assert [province.status(each).state for each in waiting] == ["logged", "logged"]
        assert any("given up" in each for each in said)
    assert (restored.log_path / "checkpoint").read_bytes() == checkpoint
    proven(restored, [*kept, new])
    # Restored once more, it is the new log that has to be compared.
    province_backup.backup(restored, tmp_path / "again", lambda _home, _to: None)
    again = province_backup.restore(tmp_path / "again", tmp_path / "third", lambda _home: None)
    with pytest.raises(EpochError, match="compare this log first"):
        follow(replace(again, rpc=settings.rpc), second, lost=True)


def follow(settings: Settings, origin: str, *, lost: bool) -> None:
    """What the command does before it waits."""
    store = Store.open(settings.database_url)
    try:
        newlog.check(settings, store, origin, lost=lost)
        newlog.change(settings, store, origin, lost=lost)
    finally:
        store.close()


def test_what_the_chain_would_refuse_is_refused_before_anything_is_changed(
    settings: Settings, chain: Settings
) -> None:
    Diary.of(chain).write()
    all_anchored(chain)
    with pytest.raises(ChainRefused, match="registered before"):
        follow(settings, chain.origin, lost=False)
    with pytest.raises(ChainUnreachable):
        follow(replace(settings, rpc="127.0.0.1:1"), second_of(settings), lost=False)
    assert newest_settings(settings) == settings


def test_both_logs_go_on_from_a_pilots_chain_to_another_in_their_order(
    settings: Settings, chain: Settings
) -> None:
    diary = Diary.of(settings)
    batches = diary.write()
    all_anchored(settings)
    change(settings, second_of(settings))
    batches += diary.go_on(second_of(settings)).write()
    all_anchored(settings)
    old_trust = settings.trust_path.read_bytes()
    given_out = proven(settings, batches)
    # As `moneo node join` leaves it.
    settings.pilot.mkdir()
    shutil.copy(chain.node_home / "genesis.json", settings.pilot)
    found_chain(settings.node_home, "other", [member_of(settings)], timestamp(time.time_ns()))
    with running_node(settings) as moved:
        with serving(moved) as said, province_of(moved) as province:
            wait_until(lambda: any("goes on from chain" in each for each in said))
            wait_until(lambda: is_done(province))
        proven(moved, batches)
        good(moved)
        # The newest last: the chain names it as the member's.
        bases = [each.base for each in epochs_of(moved)]
        assert [subject for kind, subject in sent(moved) if kind == "log"] == bases
        assert verify(given_out, old_trust, CODE.path).proven


def member_of(settings: Settings) -> bytes:
    return member_address(load_member_key(settings.member_key))


# A business's own machine


def test_a_business_has_a_key_for_each_log_and_submits_to_the_newest(tmp_path: Path) -> None:
    names = [f"test.example/camau/{year}/{KEPT}" for year in (2026, 2027, 2028)]
    assert outbox.newest_names(tmp_path) == []
    for number, name in enumerate(names, 1):
        path = outbox.key_path(tmp_path, name)
        later = f"-{number}" if number > 1 else ""
        assert path == tmp_path / "keys" / f"{KEPT}{later}.key"
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".request").write_bytes(request(Signer(name, create_private_key(path))))
        assert outbox.newest_names(tmp_path) == [name]
    boxes = [outbox.Outbox(tmp_path, name) for name in names]
    assert [box.signer.name for box in boxes] == names
    assert len({box.signer.public_key for box in boxes} | {box.folder for box in boxes}) == 6
    for box in boxes:
        with box.locked():
            (stored,) = box.prepare(
                b"diary", [Entry({"a": 1}, "epcis.objectevent", (CODE,))], "live"
            )
        assert stored.seq == 0
    other = "test.example/camau/2028/ponmlkjihgfedcba"
    path = outbox.key_path(tmp_path, other)
    path.with_suffix(".request").write_bytes(request(Signer(other, create_private_key(path))))
    assert outbox.newest_names(tmp_path) == sorted([names[-1], other])


def test_a_request_that_is_none_is_named(tmp_path: Path) -> None:
    path = outbox.key_path(tmp_path, f"test.example/camau/2026/{KEPT}")
    path.parent.mkdir()
    create_private_key(path)
    path.with_suffix(".request").write_bytes(b"no request\n")
    for ask in (
        lambda: outbox.newest_names(tmp_path),
        lambda: outbox.key_path(tmp_path, f"b/{KEPT}"),
    ):
        with pytest.raises(outbox.OutboxError, match=r"\.request"):
            ask()


def test_a_record_of_a_closed_log_is_not_replaced_and_the_writer_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    diary = Diary.of(settings)
    old = diary.write()[1]
    change(settings, second_of(settings))
    new = diary_of_kept(settings)
    with province_of(settings) as province:
        finder = province.finder("kept")
        assert finder.find(new, 0) == province.presentation(new, 0).leaf_hash()
        with pytest.raises(CorrectionError, match="closed log"):
            finder.find(old, 0)
    boxes = []
    for name in (f"{settings.origin}/{KEPT}", f"{second_of(settings)}/{KEPT}"):
        path = outbox.key_path(tmp_path, name)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".request").write_bytes(request(Signer(name, create_private_key(path))))
        boxes.append(outbox.Outbox(tmp_path, name))
    entry = Entry({"a": 1}, "epcis.objectevent", (CODE,))
    with boxes[0].locked():
        (stored,) = boxes[0].prepare(b"diary", [entry], "live")
    batch = batch_id(outbox.note_hash_of(stored))
    assert boxes[0].finder().find(batch, 0)
    with pytest.raises(CorrectionError, match="closed log"):
        boxes[1].finder().find(batch, 0)
    with pytest.raises(CorrectionError, match="no record"):
        boxes[1].finder().find("A" * 43, 0)


def test_a_diary_of_which_the_closed_log_took_a_part_goes_on_in_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RECORDS_A_BATCH", 1)
    entries = [Entry({"n": n}, "epcis.objectevent", (CODE,)) for n in range(4)]
    boxes = []
    for year in (2026, 2027):
        name = f"test.example/camau/{year}/{KEPT}"
        path = outbox.key_path(tmp_path, name)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".request").write_bytes(request(Signer(name, create_private_key(path))))
        boxes.append(outbox.Outbox(tmp_path, name))
    with boxes[0].locked():
        for stored in boxes[0].prepare(b"diary", entries, "live"):
            if stored.part == 3:
                break
            stored.receipt.write_bytes(b"receipt")
    for _ in range(2):
        with boxes[1].locked():
            rest = list(boxes[1].prepare(b"diary", entries, "live"))
        # The third was salted for the closed log, which has never taken it.
        assert [(one.seq, one.part) for one in rest] == [(0, 3), (1, 4)]
    for one in rest:
        one.receipt.write_bytes(b"receipt")
    with boxes[1].locked():
        anew = list(boxes[1].prepare(b"diary", entries, "live", again=True))
    assert [(one.seq, one.part) for one in anew] == [(2, 1), (3, 2), (4, 3), (5, 4)]
