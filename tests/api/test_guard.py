# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every answer: headers, methods, health, the API's description, and failures."""

import re
import shutil
from typing import Any

import pytest

from anchor.settings import Settings
from api import health
from api.guard import SCRIPTED, SECURITY_HEADERS, checking_policy
from tests.support.site import BOX, PUBLIC_URL, Business, Site, diary, open_site, shipping

EVERYWHERE = ["/", BOX, BOX + "/qr.svg", "/01/x", "/nothing", "/healthz", "/readyz", "/v1/trust",
              "/v1/batches", "/v1/evidence", "/log/checkpoint", "/openapi.json", "/robots.txt",
              "/static/moneo.svg"]  # fmt: skip


@pytest.fixture(scope="module")
def coop(site: Site) -> Business:
    business = site.business("HTX Cua", ["/01/0952"])
    site.submit(business, *diary())
    return business


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
def test_every_answer_carries_the_security_headers(
    site: Site, coop: Business, method: str, path: str
) -> None:
    answer = site.browser.send(method, path)
    shown = method in ("GET", "HEAD") and path == BOX
    for name, value in {**SECURITY_HEADERS, **(SCRIPTED if shown else {})}.items():
        assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert "set-cookie" not in answer.headers and "server" not in answer.headers


def test_only_what_names_a_host_gets_into_the_policy_of_the_page_that_checks() -> None:
    hostile = ["a.example; script-src *", "b.example\r\nX: y", "*", "-d", "e.example:", "f:8:8", ""]
    said = checking_policy(["camau.example", "127.0.0.1:8081", "camau.example", *hostile])
    assert "connect-src 'self' https://127.0.0.1:8081 https://camau.example; " in f"{said}; "
    assert "script-src 'self' 'wasm-unsafe-eval'; " in said and "*" not in said


@pytest.mark.parametrize("path", EVERYWHERE)
def test_head_is_get_without_its_body(site: Site, coop: Business, path: str) -> None:
    get, head = site.browser.get(path), site.browser.send("HEAD", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for name in ("content-type", "content-length"):
        if path != "/readyz":  # whose age of waiting batches may have grown a digit
            assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (BOX, "GET, HEAD, OPTIONS"),
        ("/v1/batches", "OPTIONS, POST"),
        ("/v1/trust", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_and_refusals_name_what_is_allowed(site: Site, path: str, allow: str) -> None:
    options, refused = site.browser.send("OPTIONS", path), site.browser.send("PATCH", path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")
    assert (refused.status_code, refused.headers["allow"]) == (405, allow)
    assert refused.json()["type"] == "/problems/method-not-allowed"
    assert site.browser.send("OPTIONS", "/nothing").status_code == 404


def test_other_members_pages_may_read_what_is_public(site: Site) -> None:
    answer = site.browser.get("/v1/trust", headers={"Origin": "https://other.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_a_failure_gives_nothing_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(site.app.state.moneo.index, "journey", broken, raising=False)
    answer = site.browser.get(BOX)
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/failed")
    assert "secret" not in answer.text and "default-src 'none'" in str(answer.headers)


@pytest.mark.parametrize("host", ["[", "evil.example", "a/b?c#d", "\xff"])
def test_the_host_header_decides_nothing(site: Site, coop: Business, host: str) -> None:
    headers = {"Host": host.encode("latin-1"), "Accept": "text/html"}
    for path in (BOX, "/nothing", "/"):
        answer = site.browser.get(path, headers=headers)
        assert answer.status_code == (404 if path == "/nothing" else 200)
        assert "evil" not in answer.text
    assert site.browser.get("/nothing", headers={"Host": host.encode("latin-1")}).status_code == 404


def test_a_page_about_a_strange_address_links_to_this_host_only(site: Site) -> None:
    answer = site.browser.get(f"{PUBLIC_URL}//evil.example/x", headers={"Accept": "text/html"})
    assert answer.status_code == 404 and 'href="/evil.example/x?lang=en"' in answer.text


# Health


def test_ready_says_how_many_wait_for_the_anchor(
    site: Site, coop: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.submit(coop, shipping())
    said = site.browser.get("/readyz").json()
    assert (said["database"], said["log"]) == ("ok", "ok")
    assert said["anchor"]["waiting"] >= 1 and said["anchor"]["state"] == "ok"
    monkeypatch.setattr(health, "LATE_SECONDS", -1)
    assert site.browser.get("/readyz").json()["anchor"]["state"] == "late"


def test_without_its_database_it_is_alive_but_not_ready(fresh: Settings) -> None:
    with open_site(fresh) as site:
        site.province.store.engine.dispose()
        for path in fresh.data.glob("moneo.db*"):
            path.unlink()
        fresh.log_path.mkdir(exist_ok=True)
        (fresh.log_path / "checkpoint").mkdir()
        answer = site.browser.get("/readyz")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
        assert (answer.json()["database"], answer.json()["log"]) == ("not writable", "not readable")
        assert site.browser.get("/healthz").status_code == 200
        shutil.rmtree(fresh.log_path)


# OpenAPI


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_is_described_with_examples(site: Site) -> None:
    document = site.browser.get("/openapi.json").json()
    described = operations(document)
    assert len(described) == 11 + 12
    for method, path, operation in described:
        assert " · " in operation["summary"], path
        for status, answer in operation["responses"].items():
            contents = answer["content"]
            assert (status >= "400") == ("application/problem+json" in contents), (method, path)
            for kind, content in contents.items():
                is_file = content.get("schema", {}).get("format") == "binary"
                assert is_file or "example" in content or content.get("examples"), (path, kind)
    body = document["paths"]["/v1/batches"]["post"]["requestBody"]["content"]
    assert body["application/vnd.moneo.batch"]["example"].startswith("moneo/batch/v1\n")


def test_what_is_described_is_what_is_answered(site: Site, coop: Business) -> None:
    document = site.browser.get("/openapi.json").json()
    values = {"gtin": "09520001000034", "lot": "HOP-01", "serial": "X", "batch": "A" * 43}
    for method, path, operation in operations(document):
        url = re.sub(r"\{(\w+)(:path)?\}", lambda m: values.get(m[1], "x"), path)
        answer = site.browser.send(method.upper(), url)
        assert str(answer.status_code) in operation["responses"], (path, answer.status_code)


def test_no_page_of_the_framework_is_served(site: Site) -> None:
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert site.browser.get(path).status_code == 404
