# SPDX-License-Identifier: GPL-3.0-or-later
"""What proves, handed out: refused until it is anchored, then checked by the verifier itself."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from anchor.verify import verify
from tests.support.anchoring import found_province, running_node, serving, wait_until
from tests.support.site import BOX, ORIGIN, PUBLIC_URL, Business, Site, diary, open_site

PRIVATE = ["moneo:phone", "moneo:recordedBy"]
PHONE = "moneo:phone"


@pytest.fixture(scope="module")
def coop(site: Site) -> Business:
    return site.business("HTX Cua", ["/01/0952"], PRIVATE)


@pytest.fixture(scope="module")
def batch(site: Site, coop: Business) -> str:
    return site.submit(coop, *diary())


def test_what_is_not_anchored_has_no_evidence_yet(site: Site, batch: str) -> None:
    for url in (f"/v1/records/{batch}.0/evidence", f"/v1/evidence?code={BOX}"):
        answer = site.browser.get(url)
        assert answer.status_code == 409 and int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"] == "/problems/not-anchored"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "record",
    [
        "x",
        "x.0",
        "{batch}",
        "{batch}.",
        "{batch}.00",
        "{batch}.-1",
        "{batch}.99",
        "{batch}.9999999999",
        "A" * 43 + ".0",
    ],
)
def test_an_unknown_record_is_not_found(site: Site, batch: str, record: str) -> None:
    answer = site.browser.get(f"/v1/records/{record.format(batch=batch)}/evidence")
    assert answer.status_code in (404, 409)
    assert answer.status_code == 404 or record in ("{batch}.99", "{batch}.9999999999")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("?code=" + "A" * 2049, 422),
        ("?code=", 400),
        ("?code=/01/09520001000035", 400),
        ("?code=https://evil.example/x", 400),
        ("?code=/01/09520001000034/10/NOPE", 404),
    ],
)
def test_a_bad_or_unknown_code_has_no_evidence(site: Site, query: str, status: int) -> None:
    answer = site.browser.get("/v1/evidence" + query)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_a_product_without_its_lot_is_told_to_add_the_lot(site: Site, batch: str) -> None:
    product = BOX.partition("/10/")[0]
    for url in (product, f"/v1/evidence?code={product}"):
        for language, said in (("vi", "hãy thêm số lô"), ("en", "add the lot or serial number")):
            answer = site.browser.get(url, headers={"Accept-Language": language})
            assert answer.status_code == 404
            assert said in answer.json()["detail"] and f"{product}/10/" in answer.json()["detail"]
    unknown = site.browser.get(f"{product}/10/NOBODY-SPEAKS-OF")
    assert "thêm số lô" not in unknown.json()["detail"]


def test_a_bad_token_is_never_taken_for_the_public(site: Site, batch: str) -> None:
    headers = {"Authorization": "Bearer moneo_wrong"}
    for url in (f"/v1/records/{batch}.0/evidence", f"/v1/evidence?code={BOX}"):
        assert site.browser.get(url, headers=headers).status_code == 401


def test_the_trust_file_waits_for_the_node(site: Site) -> None:
    answer = site.browser.get("/v1/trust")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")


def test_the_trust_file_of_the_pilot_is_found_once_the_log_has_moved(site: Site) -> None:
    answer = site.browser.get("/v1/trust/pilot")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert "/v1/trust/pilot" not in site.browser.get("/").text
    site.settings.pilot.mkdir()
    site.settings.pilot_trust_path.write_bytes(b"{}")
    answer = site.browser.get("/v1/trust/pilot")
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert "/v1/trust/pilot" in site.browser.get("/").text


# The log


def test_the_log_serves_its_files_and_nothing_else(site: Site) -> None:
    log, data = site.settings.log_path, site.settings.data
    for name in ("checkpoint", "tile/0/000.p/3", "tile/entries/x001/234", "tile/0/secret"):
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        (log / name).write_bytes(name.encode())
    checkpoint = site.browser.get("/log/checkpoint")
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "public, no-cache"
    for name in ("tile/0/000.p/3", "tile/entries/x001/234"):
        tile = site.browser.get(f"/log/{name}")
        assert tile.content == name.encode()
        assert tile.headers["content-type"] == "application/octet-stream"
        assert "immutable" in tile.headers["cache-control"]
    assert (data / "moneo.toml").exists()
    (log / "checkpoint").unlink()


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/000",
        "tile/0/000.p",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/0",
        "tile/64/000",
        "tile/00/000",
        "tile/0/x000",
        "tile/0/secret",
        "tile/0/../../../moneo.toml",
        "../moneo.toml",
        "..%2fmoneo.toml",
        "%2e%2e/moneo.toml",
        "%2e%2e%2fkeys%2flog.key",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "checkpoint%00",
        "tile/0/000%0a",
        "checkpoint/..",
        "tile/" + "x000/" * 30 + "000",
    ],
)
def test_no_path_leads_out_of_the_log(site: Site, path: str) -> None:
    answer = site.browser.get(f"/log/{path}")
    assert answer.status_code == 404
    assert b"origin" not in answer.content and b"PRIVATE" not in answer.content


# With a node, an anchor process and the verifier


@pytest.fixture(scope="module")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Business, str]]:
    """A province whose one batch is anchored, with everything but the API stopped again."""
    data = tmp_path_factory.mktemp("anchored") / "var"
    settings = replace(found_province(data, ORIGIN), public_url=PUBLIC_URL)
    with open_site(settings) as site:
        coop = site.business("HTX Cua", ["/01/0952"], PRIVATE)
        batch = site.submit(coop, *diary())
        with running_node(settings) as reachable, serving(reachable):
            wait_until(lambda: site.province.status(batch).state == "anchored")
        yield site, coop, batch


def test_public_evidence_of_a_journey_is_proven_and_withholds(
    anchored: tuple[Site, Business, str],
) -> None:
    site, _, _ = anchored
    answer = site.browser.get("/v1/evidence", params={"code": PUBLIC_URL + BOX})
    trust = site.browser.get("/v1/trust")
    assert (answer.status_code, trust.status_code) == (200, 200), answer.text
    assert answer.headers["content-type"] == "application/vnd.moneo.evidence+json"
    assert "09520001000034_HOP-01.evidence.json" in answer.headers["content-disposition"]
    assert trust.headers["content-type"] == "application/vnd.moneo.trust+json"
    verdict = verify(answer.content, trust.content, expect_code=BOX)
    assert verdict.proven and verdict.assurance == "one-validator", verdict.text("en")
    assert {one.statement for one in verdict.records} == {"owner"}
    shown = [one.fields for one in verdict.records]
    assert len(shown) == 4
    assert not any(name in fields for fields in shown for name in PRIVATE)
    assert [one.hidden for one in verdict.records].count((PHONE,)) == 1


def test_its_own_organisation_sees_its_private_fields_and_others_do_not(
    anchored: tuple[Site, Business, str],
) -> None:
    site, coop, batch = anchored
    rival = site.business("HTX Tôm", ["/01/0953"])
    url, trust = f"/v1/records/{batch}.0/evidence", site.browser.get("/v1/trust").content
    fields = {}
    for name, headers in {
        "public": {},
        "own": {"Authorization": f"Bearer {coop.token}"},
        "rival": {"Authorization": f"bearer {rival.token}"},
    }.items():
        answer = site.browser.get(url, headers=headers)
        assert answer.headers["vary"] == "Authorization, Accept-Encoding"
        assert ("no-store" in answer.headers["cache-control"]) == (name != "public")
        verdict = verify(answer.content, trust)
        assert verdict.proven
        fields[name] = verdict.records[0].fields
    assert fields["own"][PHONE] == "0900 000 002"
    assert fields["public"] == fields["rival"] and PHONE not in fields["public"]


def test_an_anchored_journey_says_so_on_its_page(anchored: tuple[Site, Business, str]) -> None:
    site, _, batch = anchored
    html = site.browser.get(BOX, headers={"Accept": "text/html"}).text
    assert "Đã neo" in html and "Một nút kiểm chứng: chính tỉnh" in html
    assert "/v1/evidence?code=%2F01%2F09520001000034%2F10%2FHOP-01" in html
    assert html.count("/evidence") >= 4 and f"/v1/records/{batch}.0/evidence" in html
    home = site.browser.get("/").text
    from anchor.trust import fingerprint

    assert str(fingerprint(site.browser.get("/v1/trust").content)) in home


def test_the_log_that_was_anchored_can_be_read(anchored: tuple[Site, Business, str]) -> None:
    site, _, batch = anchored
    checkpoint = site.browser.get("/log/checkpoint").text
    assert checkpoint.splitlines()[:2] == [ORIGIN, "1"]
    assert site.browser.get("/log/tile/0/000.p/1").status_code == 200
    assert b"moneo/batch/v1" in site.browser.get("/log/tile/entries/000.p/1").content
    status = site.browser.get(f"/v1/batches/{batch}").json()
    assert (status["state"], status["log_index"], status["checkpoint_size"]) == ("anchored", 0, 1)
    assert status["evm_block"] > 0 and status["anchored_at"] >= status["accepted_at"] - 1


def test_ready_says_that_nothing_waits(anchored: tuple[Site, Business, str]) -> None:
    site, _, _ = anchored
    said = site.browser.get("/readyz").json()
    assert said["anchor"] == {"state": "ok", "waiting": 0, "oldest_seconds": 0}
    assert json.loads(site.browser.get("/healthz").content) == {"status": "ok"}
