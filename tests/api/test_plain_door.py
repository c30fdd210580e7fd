# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain door, seen from the outside: who gets in, who signs, what is done once, what is refused."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import typer
from sqlalchemy import update

from anchor.codes import parse_path
from anchor.store import issuers
from api import cli
from api.submit import MAX_RECORDS_BYTES, RECORDS_TYPE
from tests.support.site import BOX, HOST, Business, Site, shipping

URL = "/v1/records"


@pytest.fixture(scope="module")
def coop(site: Site) -> Business:
    """A cooperative whose key the province keeps, beside one of its own."""
    made = site.business("HTX Cua", ["/01/0952"], ["moneo:phone"])
    kept(site, made)
    return made


def kept(site: Site, business: Business) -> None:
    known = business.organisation
    site.province.keep_issuer(known.id, known.issuer, list(known.prefixes), known.name)


def events(*lots: str, **more: Any) -> bytes:
    lines = [
        {
            "type": "ObjectEvent",
            "eventTime": "2026-07-23T07:30:00Z",
            "bizStep": "shipping",
            "epcList": [f"{HOST}{BOX}-{lot}"],
            "moneo:product": "Cua Cà Mau (mẫu)",
            "moneo:phone": "0900 000 002",
            **more,
        }
        for lot in lots
    ]
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def headers(business: Business, **more: str) -> dict[str, str]:
    return {**business.headers, "Content-Type": RECORDS_TYPE, **more}


def test_events_are_salted_and_signed_by_the_province_and_say_so(
    site: Site, coop: Business
) -> None:
    answer = site.browser.send("POST", URL, content=events("1", "2"), headers=headers(coop))
    said = answer.json()
    assert answer.status_code == 202, said
    assert (said["custody"], said["size"], said["duplicate"]) == ("operator", 2, False)
    status = site.browser.get(answer.headers["location"]).json()
    assert (status["custody"], status["issuer"]) == ("operator", coop.organisation.issuer)
    site.app.state.moneo.index.catch_up()
    page = site.browser.get(f"{BOX}-1")
    assert "do tỉnh viết thay cho <strong>HTX Cua</strong>" in page.text
    assert "0900 000 002" not in page.text


def test_records_by_the_own_key_are_not_said_to_be_the_provinces(
    site: Site, coop: Business
) -> None:
    batch = site.submit(coop, shipping(epcList=[f"{HOST}{BOX}"]))
    assert site.browser.get(f"/v1/batches/{batch}").json()["custody"] == "holder"
    page = site.browser.get(BOX)
    assert "do tỉnh viết thay" not in page.text and "HTX Cua" in page.text


def test_practice_is_a_wish_in_the_address(site: Site, coop: Business) -> None:
    for mode in ("live", "practice"):
        answer = site.browser.send(
            "POST", f"{URL}?mode={mode}", content=events(mode), headers=headers(coop)
        )
        record = site.province.presentation(answer.json()["batch"], 0)
        assert record.mode == mode
    answer = site.browser.send("POST", f"{URL}?mode=x", content=b"", headers=headers(coop))
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/not-valid")


def test_a_record_takes_the_place_of_an_earlier_one(site: Site, coop: Business) -> None:
    lot = "CORRECTED"
    sent = site.browser.send("POST", URL, content=events("other", lot), headers=headers(coop))
    wrong = f"{sent.json()['batch']}.1"
    text = events(lot, **{"moneo:product": "Cua yếm (mẫu)", "moneo:re": [wrong]})
    answer = site.browser.send("POST", URL, content=text, headers=headers(coop))
    assert answer.status_code == 202, answer.text
    old = site.province.presentation(sent.json()["batch"], 1)
    new = site.province.presentation(answer.json()["batch"], 0)
    assert new.re == (old.leaf_hash(),)
    assert "moneo:re" not in new.fields()
    site.app.state.moneo.index.catch_up()
    journey = site.app.state.moneo.index.journey(parse_path(f"{BOX}-{lot}"), lambda *_: False)
    assert {found.id: found.superseded for found in journey.found} == {
        wrong: True,
        f"{answer.json()['batch']}.0": False,
    }


def test_a_record_that_is_not_there_or_anothers_is_not_corrected(
    site: Site, coop: Business
) -> None:
    rival = site.business("HTX Khác", ["/01/0954"])
    kept(site, rival)
    foreign = site.browser.send("POST", URL, content=events("1"), headers=headers(rival)).json()
    before = len(site.province.batches_after(0, 1000))
    for name in (f"{foreign['batch']}.0", f"{'A' * 43}.0", "HOP-1", 5):
        text = events("1") + events("1", **{"moneo:re": [name]})
        answer = site.browser.send("POST", URL, content=text, headers=headers(coop))
        said = answer.json()
        assert (answer.status_code, said["type"], said["record"]) == (422, "/problems/malformed", 1)
        assert "moneo:re" in said["detail"] and " · " in said["detail"]
    assert len(site.province.batches_after(0, 1000)) == before


# Who


@pytest.mark.parametrize("authorization", [None, "", "Bearer x", "Basic eDp5"])
def test_without_a_valid_token_nothing_is_read(
    site: Site, coop: Business, authorization: str | None
) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was asked for")
        yield b""

    sent = {"Content-Type": RECORDS_TYPE}
    if authorization is not None:
        sent["Authorization"] = authorization
    answer = site.browser.send("POST", URL, content=never(), headers=sent)
    assert answer.status_code == 401


def test_an_organisation_whose_key_is_not_kept_is_told_what_to_do(site: Site) -> None:
    own = site.business("HTX Tự giữ", ["/01/0953"])
    answer = site.browser.send("POST", URL, content=events("1"), headers=headers(own))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/no-custody")


def test_a_lost_key_file_is_the_operators_matter(site: Site) -> None:
    lost = site.business("HTX Mất khóa", ["/01/0955"])
    kept(site, lost)
    path = site.settings.custody / f"{lost.organisation.issuer.rpartition('/')[2]}.key"
    path.unlink()
    answer = site.browser.send("POST", URL, content=events("1"), headers=headers(lost))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
    assert str(path) not in answer.text


# Once


def test_a_request_with_a_key_is_carried_out_once(site: Site, coop: Business) -> None:
    sent = headers(coop, **{"Idempotency-Key": "diary-1"})
    first, again = (
        site.browser.send("POST", URL, content=events("9"), headers=sent) for _ in range(2)
    )
    assert again.json() == {**first.json(), "duplicate": True}
    other = site.browser.send("POST", URL, content=events("8"), headers=sent)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/key-reused")
    practice = site.browser.send("POST", f"{URL}?mode=practice", content=events("9"), headers=sent)
    assert practice.status_code == 409


def test_without_a_key_sending_again_writes_again(site: Site, coop: Business) -> None:
    first, again = (
        site.browser.send("POST", URL, content=events("7"), headers=headers(coop)).json()
        for _ in range(2)
    )
    assert first["batch"] != again["batch"]


def test_the_signed_door_takes_the_key_too(site: Site, coop: Business) -> None:
    sent = {**coop.headers, "Idempotency-Key": "signed-1"}
    body = coop.body([shipping()])
    first = site.browser.send("POST", "/v1/batches", content=body, headers=sent)
    coop.follow(body)
    assert first.status_code == 202
    again = site.browser.send("POST", "/v1/batches", content=body, headers=sent)
    assert again.json() == {**first.json(), "duplicate": True}
    other = coop.body([shipping()])
    answer = site.browser.send("POST", "/v1/batches", content=other, headers=sent)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/key-reused")
    answer = site.browser.send("POST", "/v1/batches", content=other, headers=coop.headers)
    assert answer.status_code == 202
    coop.follow(other)


@pytest.mark.parametrize("key", ["a b", "x" * 201, ""])
def test_a_key_that_is_none_is_refused(site: Site, coop: Business, key: str) -> None:
    sent = headers(coop, **{"Idempotency-Key": key})
    answer = site.browser.send("POST", URL, content=events("1"), headers=sent)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/not-valid")


# What


@pytest.mark.parametrize(
    ("lines", "record"),
    [
        (b"[1]\n", 0),
        (b'{"type":5}\n', 0),
        (b'{"type":[]}\n', 0),
        (events("1") + b'{"type":"Feast"}\n', 1),
        (events("1") + b'{"type":"ObjectEvent","epcList":5}\n', 1),
        (events("1") + b'{"type":"ObjectEvent","epcList":{"a":1}}\n', 1),
        (events("1") + b'{"type":"ObjectEvent","quantityList":[[]]}\n', 1),
        (events("1") + b'{"type":"ObjectEvent","a":1,"a":2}\n', 1),
        (events("1") + b'{"type":"ObjectEvent","a":' + b"[" * 40 + b"]" * 40 + b"}\n", 1),
        (events("1") + b'{"type":"ObjectEvent","t\\u00ean":1}\n', 1),
        (b'{"type":"ObjectEvent"}\n', None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"\n\n", None),
    ],
)
def test_what_is_no_event_is_named_and_nothing_is_written(
    site: Site, coop: Business, lines: bytes, record: int | None
) -> None:
    before = len(site.province.batches_after(0, 1000))
    answer = site.browser.send("POST", URL, content=lines, headers=headers(coop))
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/malformed"
    if record is not None:
        assert answer.json()["record"] == record
    assert len(site.province.batches_after(0, 1000)) == before


def test_another_media_type_is_refused(site: Site, coop: Business) -> None:
    for kind in ("application/json", "text/plain", "", coop.headers["Content-Type"]):
        sent = headers(coop, **{"Content-Type": kind})
        answer = site.browser.send("POST", URL, content=b"x", headers=sent)
        assert (answer.status_code, answer.headers["accept-post"]) == (415, RECORDS_TYPE)


def test_a_body_is_bounded(site: Site, coop: Business) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(2**20)

    sent = headers(coop, **{"Content-Length": str(MAX_RECORDS_BYTES + 1)})
    answer = site.browser.send("POST", URL, content=b"", headers=sent)
    assert answer.status_code == 413
    sent = headers(coop, **{"Transfer-Encoding": "chunked"})
    answer = site.browser.send("POST", URL, content=endless(), headers=sent)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/length")


def test_the_door_is_described(site: Site) -> None:
    described = site.app.openapi()["paths"][URL]["post"]
    assert [p["name"] for p in described["parameters"]] == ["mode", "Idempotency-Key"]
    assert RECORDS_TYPE in described["requestBody"]["content"]
    assert {"202", "401", "403", "409", "413", "415", "422"} <= described["responses"].keys()


# The operator's side


def test_the_operator_keeps_a_key_by_one_command(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "HTX Lệnh"
    site.organisations.add_organisation(name, ["/01/0956"])
    member = site.organisations.by_name(name)
    monkeypatch.setattr(cli, "REGISTRATION_SECONDS", 0.3)
    with pytest.raises(typer.Exit) as waiting:
        cli.org_custody(name, site.settings.data)
    assert waiting.value.exit_code == 2
    (issuer,) = site.province.issuers(member.id)
    assert (issuer.custody, issuer.state, issuer.name) == ("operator", "pending", member.issuer)
    with site.province.store.write() as connection:
        chosen = update(issuers).where(issuers.c.id == issuer.id)
        connection.execute(chosen.values(state="registered"))
    capsys.readouterr()
    cli.org_custody(name, site.settings.data, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["custody"], said["state"], said["issuer"]) == (
        "operator",
        "registered",
        member.issuer,
    )
    assert len(site.province.issuers(member.id)) == 1
    cli.org_list(site.settings.data, as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows[name]["key"], rows[name]["custody"]) == (None, "registered")


def test_of_two_keys_the_operator_says_which_to_revoke(site: Site) -> None:
    both = site.business("HTX Hai khóa", ["/01/0957"])
    kept(site, both)
    data = site.settings.data
    with pytest.raises(typer.Exit):
        cli.org_revoke("HTX Hai khóa", "", key=True, custody="", data=data)
    cli.org_revoke("HTX Hai khóa", "", key=True, custody="operator", data=data)
    found = {k.custody: k.state for k in site.province.issuers(both.organisation.id)}
    assert found == {"holder": "pending", "operator": "revoking"}
    cli.org_revoke("HTX Hai khóa", "", key=True, custody="", data=data)
    found = {k.custody: k.state for k in site.province.issuers(both.organisation.id)}
    assert found == {"holder": "revoking", "operator": "revoking"}
