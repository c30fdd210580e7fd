# SPDX-License-Identifier: GPL-3.0-or-later
"""What the province writes for a business is in order, once, and says whose key signed it."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select

from anchor import custody, idempotency
from anchor.batch import FIRST_PREV, build, check_body, open_batch_note
from anchor.codes import parse_path
from anchor.errors import BatchError, FormatError, KeyFileError
from anchor.idempotency import KEEP_SECONDS, KeyReused, digest, once
from anchor.importer import Entry
from anchor.keys import request, server_key
from anchor.note import Signer
from anchor.province import Accepted, BatchRefused, IssuerRefused, Province, found
from anchor.record import MAX_FIELDS
from anchor.settings import Settings
from anchor.store import batches
from tests.support.anchoring import ORIGIN, province_of

NOW = 1_800_000_000
COOP, NAME = "coop", f"{ORIGIN}/mfrggzdfmztwq2lk"
PREFIXES = ("/01/0952",)
CODE = parse_path("/01/09520001000034/10/HOP-01")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(tmp_path / "data", "Cà Mau", ORIGIN)
    found(settings)
    return settings


@pytest.fixture
def province(settings: Settings) -> Iterator[Province]:
    with province_of(settings) as province:
        yield province


def keep(province: Province) -> None:
    province.keep_issuer(COOP, NAME, PREFIXES, "HTX")


def entries(count: int = 1, text: str = "x") -> list[Entry]:
    return [Entry({"a": text, "n": n}, "epcis.objectevent", (CODE,)) for n in range(count)]


def notes(province: Province) -> list[tuple[int, bytes, bytes]]:
    columns = (batches.c.seq, batches.c.prev, batches.c.note_hash)
    with province.store.read() as connection:
        rows = connection.execute(select(*columns).order_by(batches.c.seq))
        return [(seq, bytes(prev), bytes(digest)) for seq, prev, digest in rows]


def test_a_kept_key_is_its_owners_alone_and_registered_with_custody_operator(
    settings: Settings, province: Province
) -> None:
    issuer = province.keep_issuer(COOP, NAME, PREFIXES, "HTX")
    path = custody.key_path(settings, NAME)
    assert path == settings.data / "keys" / "custody" / "mfrggzdfmztwq2lk.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (issuer.custody, issuer.state, issuer.name) == ("operator", "pending", NAME)
    assert province.keep_issuer(COOP, NAME, PREFIXES, "HTX") == issuer


def test_records_are_salted_signed_and_stored_as_a_batch_of_that_key(province: Province) -> None:
    keep(province)
    accepted = province.accept_entries(entries(3), "practice", COOP, NOW)
    status = province.status(accepted.batch)
    assert (status.custody, status.seq, status.size, accepted.size) == ("operator", 0, 3, 3)
    records = province.presentations(accepted.batch)
    assert [r.fields() for r in records] == [{"a": "x", "n": n} for n in range(3)]
    assert {(r.mode, r.codes) for r in records} == {("practice", (CODE.hash(),))}


def test_what_is_stored_is_a_body_that_the_signed_door_would_take(
    settings: Settings, province: Province
) -> None:
    keep(province)
    kept = custody.open_signer(settings, province.issuers(COOP))
    assert kept is not None
    salted = custody.salt_entries(entries(5), "live")
    made = custody.sign_records(salted, kept[0], log=ORIGIN, seq=0, prev=FIRST_PREV, time=NOW)
    assert check_body(made.note_bytes + b"\n" + made.records.presentations) == made
    assert open_batch_note(made.note_bytes, kept[0].public_key) == made.note


def test_without_a_kept_key_nothing_is_written(province: Province) -> None:
    with pytest.raises(BatchRefused) as refused:
        province.accept_entries(entries(), "live", COOP, NOW)
    assert refused.value.code == "no-custody"
    keep(province)
    with pytest.raises(BatchRefused):
        province.accept_entries(entries(), "live", "another", NOW)
    assert notes(province) == []


def test_a_revoked_key_signs_no_more_and_a_new_one_takes_its_place(
    settings: Settings, province: Province
) -> None:
    keep(province)
    first = province.issuers(COOP)[0]
    province.revoke_issuer(NAME, first.key_id)
    with pytest.raises(BatchRefused):
        province.accept_entries(entries(), "live", COOP, NOW)
    second = province.keep_issuer(COOP, NAME, PREFIXES, "HTX")
    assert second.key_id != first.key_id
    assert len(list(settings.custody.glob("*.revoked-*"))) == 1
    accepted = province.accept_entries(entries(), "live", COOP, NOW)
    assert province.status(accepted.batch).seq == 0


def test_a_missing_or_open_key_file_is_a_clear_error(
    settings: Settings, province: Province
) -> None:
    keep(province)
    path = custody.key_path(settings, NAME)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        province.accept_entries(entries(), "live", COOP, NOW)
    path.unlink()
    with pytest.raises(KeyFileError):
        province.accept_entries(entries(), "live", COOP, NOW)


def test_holder_and_operator_are_never_one_key(settings: Settings, province: Province) -> None:
    signer = custody.keep_key(settings, NAME, ())
    holder = province.add_issuer(COOP, request(signer), "holder", PREFIXES, "HTX")
    with pytest.raises(IssuerRefused):
        keep(province)
    assert province.issuers(COOP) == [holder]


def test_an_organisation_may_have_a_key_of_each_custody(province: Province) -> None:
    keep(province)
    own = Signer(NAME, Ed25519PrivateKey.generate())
    province.add_issuer(COOP, request(own), "holder", PREFIXES, "HTX")
    plain = province.accept_entries(entries(), "live", COOP, NOW)
    records = province.presentations(plain.batch)
    body = build(records, own, log=ORIGIN, seq=0, prev=FIRST_PREV, time=NOW + 1)
    signed = province.accept(body, COOP, NOW)
    found_custody = [province.status(b.batch).custody for b in (plain, signed)]
    assert found_custody == ["operator", "holder"]


def test_a_name_of_another_log_is_refused(province: Province) -> None:
    with pytest.raises(IssuerRefused):
        province.keep_issuer(COOP, "elsewhere.example/x/mfrggzdfmztwq2lk", PREFIXES, "HTX")


def test_many_at_once_make_one_sequence_without_gaps(province: Province) -> None:
    keep(province)
    done: list[Accepted] = []

    def work() -> None:
        done.extend(province.accept_entries(entries(2), "live", COOP, NOW) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = notes(province)
    assert len(done) == 30 and [seq for seq, _, _ in stored] == list(range(30))
    before = [FIRST_PREV, *(digest for _, _, digest in stored)]
    assert [prev for _, prev, _ in stored] == before[:-1]


def test_what_fails_before_the_commit_leaves_no_trace(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(province)
    ask = province.once(COOP, "k", b"1")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="no space"):
        broken.setattr("anchor.accept.remember", fail)
        province.accept_entries(entries(), "live", COOP, NOW, ask)
    assert notes(province) == []
    accepted = province.accept_entries(entries(), "live", COOP, NOW, ask)
    assert not accepted.duplicate and province.status(accepted.batch).seq == 0


@pytest.mark.parametrize(
    ("made", "record"),
    [
        ([], None),
        (entries(20_001), None),
        ([*entries(2), Entry({f"f{n}": 1 for n in range(MAX_FIELDS + 1)}, "epcis.x", ())], 2),
        ([Entry({"tên": 1}, "epcis.x", ())], 0),
        (entries(600, "y" * 45_000), 555),
    ],
)
def test_what_no_batch_can_hold_is_refused(made: list[Entry], record: int | None) -> None:
    with pytest.raises(BatchError) as refused:
        custody.salt_entries(made, "live")
    if record != 555:
        assert refused.value.record == record


# Once


def test_a_request_again_gets_its_batch_and_other_content_is_refused(province: Province) -> None:
    keep(province)
    ask = province.once(COOP, "k", b"one")
    first = province.accept_entries(entries(), "live", COOP, NOW, ask)
    again = province.accept_entries(entries(), "live", COOP, NOW + 9, ask)
    assert (again.batch, again.receipt, again.duplicate) == (first.batch, first.receipt, True)
    with pytest.raises(BatchRefused) as refused:
        province.accept_entries(entries(), "live", COOP, NOW, province.once(COOP, "k", b"two"))
    assert refused.value.code == "key-reused"
    assert len(notes(province)) == 1


def test_one_request_many_times_at_once_is_one_batch(province: Province) -> None:
    keep(province)
    ask = province.once(COOP, "k", b"one")
    done: list[str] = []

    def work() -> None:
        done.append(province.accept_entries(entries(), "live", COOP, NOW, ask).batch)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8 and len(set(done)) == 1 == len(notes(province))


def test_another_organisations_key_is_another_request(province: Province) -> None:
    keep(province)
    province.keep_issuer("other", f"{ORIGIN}/nnnggzdfmztwq2lk", PREFIXES, "HTX 2")
    first = province.accept_entries(entries(), "live", COOP, NOW, province.once(COOP, "k", b"1"))
    other = province.accept_entries(
        entries(), "live", "other", NOW, province.once("other", "k", b"2")
    )
    assert first.batch != other.batch and not other.duplicate


def test_a_refused_request_leaves_its_key_free(province: Province) -> None:
    keep(province)
    ask = province.once(COOP, "k", b"1")
    with pytest.raises(BatchRefused):
        province.accept_entries([], "live", COOP, NOW, ask)
    assert not province.accept_entries(entries(), "live", COOP, NOW, ask).duplicate


def test_a_request_is_forgotten_after_thirty_days(province: Province) -> None:
    keep(province)
    ask, other = province.once(COOP, "k", b"1"), province.once(COOP, "k", b"2")
    province.accept_entries(entries(), "live", COOP, NOW, ask)
    with pytest.raises(BatchRefused):
        province.accept_entries(entries(), "live", COOP, NOW + KEEP_SECONDS - 1, other)
    assert not province.accept_entries(entries(), "live", COOP, NOW + KEEP_SECONDS, other).duplicate
    province.forget(NOW + 2 * KEEP_SECONDS)
    with province.store.read() as connection:
        count = select(func.count()).select_from(idempotency.requests)
        assert connection.execute(count).scalar_one() == 0


def test_content_is_kept_only_as_a_keyed_hash(settings: Settings, province: Province) -> None:
    path = settings.server_key
    ask = province.once(COOP, "k", b"0900 000 002")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask.content == digest(server_key(path), "idempotency", b"0900 000 002")
    assert ask.content != digest(bytes(32), "idempotency", b"0900 000 002")
    assert digest(b"k", "a", b"xy", b"z") != digest(b"k", "a", b"x", b"yz")


def test_quotes_round_a_key_are_no_part_of_it() -> None:
    assert once(b"s", COOP, '"k"', b"1") == once(b"s", COOP, "k", b"1")


@pytest.mark.parametrize("key", ["", " ", "a b", "ệ", "x" * 201, "a\n"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(FormatError):
        once(b"s", COOP, key, b"1")


def test_a_key_for_other_content_is_an_error_of_its_own(province: Province) -> None:
    with province.store.write() as connection:
        idempotency.remember(connection, once(b"s", COOP, "k", b"1"), bytes(32), NOW)
    with province.store.read() as connection, pytest.raises(KeyReused):
        idempotency.answered(connection, once(b"s", COOP, "k", b"2"), NOW)


def test_the_servers_key_is_made_once_and_refused_when_open(tmp_path: Path) -> None:
    path = tmp_path / "server.key"
    first = server_key(path)
    assert len(first) == 32 and server_key(path) == first
    assert [p.name for p in tmp_path.iterdir()] == ["server.key"]
    path.chmod(0o640)
    with pytest.raises(KeyFileError):
        server_key(path)
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(KeyFileError):
        server_key(path)
