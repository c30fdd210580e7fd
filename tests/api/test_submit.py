# SPDX-License-Identifier: GPL-3.0-or-later
"""The door for batches, seen from the outside: who gets in, what is refused and how it is named."""

import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator

import pytest

from anchor.batch import MAX_BATCH_BYTES
from anchor.note import open_note, split_note
from anchor.record import Record
from tests.support.site import BATCH_TYPE, Business, Site, shipping, stocking

URL = "/v1/batches"


@pytest.fixture(scope="module")
def coop(site: Site) -> Business:
    return site.business("HTX Cua", ["/01/0952"])


@pytest.fixture(scope="module")
def rival(site: Site) -> Business:
    return site.business("HTX Tôm", ["/01/0953"])


def test_a_batch_is_accepted_with_a_receipt_by_the_log_key(site: Site, coop: Business) -> None:
    body = coop.body([shipping()])
    answer = site.browser.send("POST", URL, content=body, headers=coop.headers)
    coop.follow(body)
    said = answer.json()
    assert answer.status_code == 202
    assert (said["state"], said["size"], said["duplicate"]) == ("accepted", 1, False)
    assert answer.headers["location"] == said["links"]["status"] == f"{URL}/{said['batch']}"
    split_note(said["receipt"].encode(), 1)
    receipt = site.browser.get(said["links"]["receipt"])
    assert receipt.text == said["receipt"]
    assert receipt.headers["content-type"].startswith("text/plain")
    public = site.province.log().public_key
    assert b"moneo/receipt/v1\n" in open_note(receipt.content, site.settings.origin, public, 1)


def test_what_is_acknowledged_is_in_the_database_for_everybody(site: Site, coop: Business) -> None:
    batch = site.submit(coop, shipping(), stocking())
    database = sqlite3.connect(site.settings.data / "moneo.db")
    rows = database.execute("select max(size) from batches").fetchone()
    database.close()
    status = site.browser.get(f"{URL}/{batch}").json()
    assert rows == (2,)
    assert (status["state"], status["size"], status["seq"]) == ("accepted", 2, coop.seq - 1)
    assert status["issuer"] == coop.organisation.issuer and status["anchored_at"] is None


def test_the_same_bytes_again_get_the_same_answer(site: Site, coop: Business) -> None:
    body = coop.body([shipping()])
    first, again = (
        site.browser.send("POST", URL, content=body, headers=coop.headers) for _ in range(2)
    )
    coop.follow(body)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == {**first.json(), "duplicate": True}


def test_a_wrong_seq_is_told_the_next_one(site: Site, coop: Business) -> None:
    body = coop.body([shipping()])
    skipped = Business(coop.organisation, coop.token, coop.signer, coop.seq + 5, coop.prev)
    answer = site.browser.send(
        "POST", URL, content=skipped.body([shipping()]), headers=coop.headers
    )
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/wrong-seq"
    assert answer.json()["expected_seq"] == coop.seq
    forked = Business(coop.organisation, coop.token, coop.signer, coop.seq, bytes(32))
    answer = site.browser.send("POST", URL, content=forked.body([shipping()]), headers=coop.headers)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/wrong-prev")
    assert site.browser.send("POST", URL, content=body, headers=coop.headers).status_code == 202
    coop.follow(body)


def test_a_malformed_record_is_named_with_its_field(site: Site, coop: Business) -> None:
    records = [stocking(), shipping()]
    body = coop.body(records)
    last = records[1].disclosures[-1].encode()
    torn = body.replace(last, last[:8] + b"AAAA" + last[12:])
    answer = site.browser.send("POST", URL, content=torn, headers=coop.headers)
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/problems/malformed" and problem["record"] == 1


def test_a_repeated_member_inside_a_field_is_refused(site: Site, coop: Business) -> None:
    record = shipping()
    text = _with_disclosure(record, b'["AAAAAAAAAAAAAAAAAAAAAA","bizStep",{"a":1,"a":2}]')
    head, _, _ = coop.body([record]).partition(b"moneo/record/v1\n")
    answer = site.browser.send("POST", URL, content=head + text, headers=coop.headers)
    assert (answer.status_code, answer.json()["record"]) == (422, 0)


def _with_disclosure(record: Record, json: bytes) -> bytes:
    from anchor.ijson import encode_b64url

    lines = record.encode().split(b"\n")
    return b"\n".join([*lines[:-2], b"~" + encode_b64url(json).encode() + b"~", b""])


def test_a_record_that_was_not_signed_does_not_match(site: Site, coop: Business) -> None:
    first, second = shipping(), shipping()
    body = coop.body([first]).replace(first.encode(), second.encode())
    answer = site.browser.send("POST", URL, content=body, headers=coop.headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/mismatch")


@pytest.mark.parametrize("body", [b"", b"x", b"\x00" * 1000, b"moneo/batch/v1\n\n\n"])
def test_what_is_no_batch_is_refused(site: Site, coop: Business, body: bytes) -> None:
    answer = site.browser.send("POST", URL, content=body, headers=coop.headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/malformed")


# Who


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "moneo_x", f"Bearer {'a' * 5000}"],
)
def test_without_a_valid_token_nothing_is_read(
    site: Site, coop: Business, authorization: str | None
) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was asked for")
        yield b""

    headers = {"Content-Type": BATCH_TYPE}
    if authorization is not None:
        headers["Authorization"] = authorization
    answer = site.browser.send("POST", URL, content=never(), headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_token_is_refused(site: Site, coop: Business) -> None:
    token = site.organisations.new_token("HTX Cua")
    headers = {**coop.headers, "Authorization": f"Bearer {token.secret}"}
    assert site.browser.send("POST", URL, content=b"", headers=headers).status_code == 422
    site.organisations.revoke(token.id)
    assert site.browser.send("POST", URL, content=b"", headers=headers).status_code == 401


def test_nobody_submits_with_anothers_key(site: Site, coop: Business, rival: Business) -> None:
    body = coop.body([shipping()])
    answer = site.browser.send("POST", URL, content=body, headers=rival.headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not-yours")


def test_an_unregistered_key_is_refused(site: Site, coop: Business) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from anchor.note import Signer

    stranger = Signer(coop.organisation.issuer, Ed25519PrivateKey.generate())
    other = Business(coop.organisation, coop.token, stranger)
    answer = site.browser.send("POST", URL, content=other.body([shipping()]), headers=coop.headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/unknown-issuer")


def test_a_key_given_up_signs_nothing_more(site: Site) -> None:
    gone = site.business("HTX Cũ", ["/01/0954"])
    issuer = site.province.issuer(gone.organisation.issuer)
    assert issuer is not None
    site.province.revoke_issuer(issuer.name, issuer.key_id)
    answer = site.browser.send("POST", URL, content=gone.body([shipping()]), headers=gone.headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/revoked")


def test_tokens_and_query_strings_never_reach_the_log(
    site: Site, coop: Business, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    site.browser.send("POST", f"{URL}?token=TELLTALE", content=b"x", headers=coop.headers)
    site.browser.get("/v1/trust", headers={"Authorization": "Bearer moneo_TELLTALE"})
    site.browser.get("/a%0Aforged line")
    lines = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]
    assert "POST /v1/batches 422" in lines[0] and "GET /a?forged line 404" in lines[-1]
    assert not any(coop.token in line or "TELLTALE" in line for line in lines)


# How much


def test_another_media_type_is_refused(site: Site, coop: Business) -> None:
    for kind in ("application/json", "text/plain", "", "application/vnd.moneo.batches"):
        headers = {**coop.headers, "Content-Type": kind}
        answer = site.browser.send("POST", URL, content=b"x", headers=headers)
        assert (answer.status_code, answer.headers["accept-post"]) == (415, BATCH_TYPE)


def test_a_length_beyond_the_bound_is_refused_unread(site: Site, coop: Business) -> None:
    def chunks() -> AsyncIterator[bytes]:
        return _chunks([])

    for length in (str(MAX_BATCH_BYTES + 1), "9" * 30, "-1", "x"):
        headers = {**coop.headers, "Content-Length": length}
        answer = site.browser.send("POST", URL, content=chunks(), headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/length")


def test_a_body_without_length_is_cut_at_the_bound(site: Site, coop: Business) -> None:
    sent: list[int] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(3 * MAX_BATCH_BYTES // 2**20):
            sent.append(2**20)
            yield bytes(2**20)

    headers = {**coop.headers, "Transfer-Encoding": "chunked"}
    answer = site.browser.send("POST", URL, content=_chunks(pieces()), headers=headers)
    assert answer.status_code == 413
    assert sum(sent) <= MAX_BATCH_BYTES + 2**20


async def _chunks(pieces: Iterator[bytes] | list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


# Where it stands


@pytest.mark.parametrize("batch", ["x", "A" * 43, "%2e%2e", "A" * 42 + "B"])
def test_an_unknown_batch_is_not_found(site: Site, batch: str) -> None:
    for suffix in ("", "/receipt"):
        answer = site.browser.get(f"{URL}/{batch}{suffix}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


def test_problems_speak_the_readers_language(site: Site) -> None:
    vietnamese = site.browser.send("POST", URL)
    english = site.browser.send("POST", URL, headers={"Accept-Language": "en-GB,vi;q=0.5"})
    assert vietnamese.json()["title"] == "Cần mã truy cập"
    assert english.json()["title"] == "A token is needed"
    assert english.headers["content-language"] == "en"
    assert {"type", "title", "status", "detail", "instance"} == set(english.json())
