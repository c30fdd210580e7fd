# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes the door is on disk with a receipt; what does not leaves no trace and is told why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anchor.accept import Problem
from anchor.batch import MAX_BATCH_BYTES, build
from anchor.keys import load_private_key
from anchor.note import Signer
from anchor.province import Accepted, BatchRefused, Province, UnknownBatch, found
from anchor.receipt import open_receipt
from anchor.settings import Settings
from tests.support.anchoring import ORGANISATION, ORIGIN, Business, hash_of, province_of, record

NOW = 1_800_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(tmp_path / "data", "Cà Mau", ORIGIN)
    found(settings)
    return settings


@pytest.fixture
def province(settings: Settings) -> Iterator[Province]:
    with province_of(settings) as province:
        yield province


@pytest.fixture
def business(province: Province) -> Business:
    business = Business.of(ORIGIN)
    business.apply(province)
    return business


def test_a_batch_is_kept_as_it_came_and_its_receipt_is_the_logs(
    settings: Settings, province: Province, business: Business
) -> None:
    records = [record(0, index) for index in range(3)]
    body = business.sign(records, at=NOW)
    accepted = province.accept(body, ORGANISATION, NOW)
    key = Signer(ORIGIN, load_private_key(settings.log_key)).public_key
    receipt = open_receipt(accepted.receipt, ORIGIN, key)
    assert (receipt.batch, receipt.time, receipt.by) == (
        hash_of(body),
        NOW,
        NOW + settings.log_by,
    )
    assert province.presentations(accepted.batch) == records
    assert province.presentation(accepted.batch, 2) == records[2]
    assert province.receipt(accepted.batch) == accepted.receipt
    status = province.status(accepted.batch)
    assert (status.state, status.seq, status.size) == ("accepted", 0, 3)
    assert (status.organisation, status.issuer) == (ORGANISATION, business.signer.name)
    assert (status.log_index, status.checkpoint_size, status.anchored_at) == (None, None, None)


def test_the_same_note_again_gets_the_same_answer(province: Province, business: Business) -> None:
    first = province.accept(business.batch(at=NOW), ORGANISATION, NOW)
    province.accept(business.batch(at=NOW), ORGANISATION, NOW)
    again = province.accept(business.sent[0], ORGANISATION, NOW + 10**6)
    assert not first.duplicate
    assert again == replace(first, duplicate=True)
    assert len(province.batches_after(0, 10)) == 2


def test_a_duplicate_is_answered_after_its_key_was_given_up(
    province: Province, business: Business
) -> None:
    first = province.accept(business.batch(at=NOW), ORGANISATION, NOW)
    province.revoke_issuer(business.signer.name, business.signer.key_hash)
    assert province.accept(business.sent[0], ORGANISATION, NOW).receipt == first.receipt


def refused(province: Province, body: bytes, organisation: str = ORGANISATION) -> BatchRefused:
    with pytest.raises(BatchRefused) as caught:
        province.accept(body, organisation, NOW)
    assert province.batches_after(0, 10) == []
    return caught.value


def flipped_signature(business: Business) -> bytes:
    note, _, rest = business.batch(at=NOW).partition(b"\n\xe2\x80\x94")
    at = len(rest.partition(b"\n\n")[0]) - 6
    other = b"B" if rest[at : at + 1] == b"A" else b"A"  # of base64's alphabet too
    return note + b"\n\xe2\x80\x94" + rest[:at] + other + rest[at + 1 :]


def of_another_log(business: Business) -> bytes:
    other = Business.of("test.example/elsewhere")
    return other.batch(at=NOW)


def of_an_unknown_key(business: Business) -> bytes:
    return Business.of(ORIGIN, 5).batch(at=NOW)


def from_the_future(business: Business) -> bytes:
    return business.batch(at=NOW + 301)


def with_another_record(business: Business) -> bytes:
    body = business.sign([record(0, 0)], at=NOW)
    return body[: body.index(b"\n\nmoneo/record")] + b"\n\n" + record(0, 1).encode()


def with_a_broken_record(business: Business) -> bytes:
    return business.batch(at=NOW).replace(b"\nmode live\n", b"\nmode lively\n")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (flipped_signature, "signature"),
        (of_another_log, "wrong-log"),
        (of_an_unknown_key, "unknown-issuer"),
        (from_the_future, "future"),
        (with_another_record, "mismatch"),
        (with_a_broken_record, "malformed"),
        (lambda _: b"", "malformed"),
        (lambda _: bytes(MAX_BATCH_BYTES + 1), "too-large"),
    ],
)
def test_what_does_not_pass_is_told_why(
    province: Province, business: Business, make: Callable[[Business], bytes], code: Problem
) -> None:
    error = refused(province, make(business))
    assert error.code == code
    assert error.vi in str(error)
    assert error.en in error.detail


def test_a_refusal_names_the_record_and_the_field(province: Province, business: Business) -> None:
    body = business.sign([record(0, 0), record(0, 1)], at=NOW)
    head, _, tail = body.rpartition(b"\n~")
    error = refused(province, head + b"\n~" + tail.replace(b"~", b"~AAAA~", 1))
    assert (error.code, error.record) == ("malformed", 1)


def test_a_batch_as_far_ahead_as_allowed_passes(province: Province, business: Business) -> None:
    assert province.accept(business.batch(at=NOW + 300), ORGANISATION, NOW)


def test_a_key_of_another_organisation_is_refused(province: Province, business: Business) -> None:
    assert refused(province, business.batch(at=NOW), "other").code == "not-yours"


def test_a_key_given_up_is_refused(province: Province, business: Business) -> None:
    province.revoke_issuer(business.signer.name, business.signer.key_hash)
    assert refused(province, business.batch(at=NOW)).code == "revoked"


def test_a_batch_out_of_order_is_told_what_is_expected(
    province: Province, business: Business
) -> None:
    first, second = business.batch(at=NOW), business.batch(at=NOW)
    error = refused(province, second)
    assert (error.code, error.expected_seq, error.expected_prev) == ("wrong-seq", 0, bytes(32))
    province.accept(first, ORGANISATION, NOW)
    fork = build([record(9, 9)], business.signer, log=ORIGIN, seq=1, prev=b"x" * 32, time=NOW)
    with pytest.raises(BatchRefused) as caught:
        province.accept(fork, ORGANISATION, NOW)
    assert caught.value.code == "wrong-prev"
    assert (caught.value.expected_seq, caught.value.expected_prev) == (1, hash_of(first))
    assert not province.accept(second, ORGANISATION, NOW).duplicate


def test_two_keys_have_sequences_of_their_own(province: Province, business: Business) -> None:
    other = Business.of(ORIGIN, 1)
    other.apply(province)
    for body in (business.batch(at=NOW), other.batch(at=NOW), business.batch(at=NOW)):
        assert not province.accept(body, ORGANISATION, NOW).duplicate


def test_what_arrives_at_once_is_accepted_once_and_without_gaps(
    settings: Settings, province: Province
) -> None:
    businesses = [Business.of(ORIGIN, number) for number in range(4)]
    for business in businesses:
        business.apply(province)
    bodies = [[business.batch(at=NOW) for _ in range(5)] for business in businesses]
    answers: list[Accepted] = []

    def send(mine: list[bytes]) -> None:
        # A connection of its own, as another process has; every batch is sent twice.
        with province_of(settings) as own:
            for body in mine:
                answers.extend(own.accept(body, ORGANISATION, NOW) for _ in range(2))

    threads = [threading.Thread(target=send, args=(mine,)) for mine in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not answer.duplicate for answer in answers) == 20
    assert len(answers) == 40
    stored = province.batches_after(0, 100)
    assert [one.row for one in stored] == list(range(1, 21))
    assert [one.row for one in province.batches_after(7, 3)] == [8, 9, 10]
    assert [len(one.records()) for one in stored] == [3] * 20


def test_a_batch_that_is_not_there_is_unknown(province: Province) -> None:
    for batch in ("A" * 43, "no id", "", "A" * 42 + "B"):
        for question in (province.status, province.receipt, province.presentations):
            with pytest.raises(UnknownBatch):
                question(batch)


def test_a_thousand_records_are_accepted_in_well_under_a_second(
    province: Province, business: Business
) -> None:
    body = business.batch(1_000, at=NOW)
    began = time.perf_counter()
    province.accept(body, ORGANISATION, NOW)
    assert time.perf_counter() - began < 2
