# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI document is true: schemathesis asks every operation, and judges what comes back by it.

With a token, without one and with one that is not valid; what the document allows and what it does not.
No answer has a status, a type, a header or a body that is not described there, so no 5xx but the 503
that is. The same examples every time; `--long` draws a hundred times as many.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as judges

from anchor.settings import Settings
from api.app import create_app
from tests.support.site import (
    BATCH_TYPE,
    BOX,
    ORIGIN,
    PUBLIC_URL,
    Business,
    Site,
    diary,
    event,
    shipping,
)

SUITE_EXAMPLES, LONG_FACTOR = 5, 100
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
CHECKS = [
    judges.status_code_conformance,
    judges.content_type_conformance,
    judges.response_headers_conformance,
    judges.response_schema_conformance,
]


@schemathesis.serializer("application/vnd.moneo.batch")
def batch_bytes(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


schemathesis.serializer.alias("application/x-ndjson", "application/vnd.moneo.batch")


@cache
def schema() -> Any:
    """The document as it is served, which it takes no province to write."""
    described = create_app(Settings(Path("nowhere"), "Cà Mau", ORIGIN)).openapi()
    return schemathesis.openapi.from_dict(described)


Case = schemathesis.Case[Any]
OPERATIONS = {
    f"{each.method.upper()} {each.path}": each
    for each in (found.ok() for found in schema().get_all_operations())
}
by_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@pytest.fixture(scope="module")
def member(site: Site) -> Business:
    """A business that has submitted a diary, and whose second key the province keeps."""
    made = site.business("HTX Cua", ["/01/0952"], ["moneo:phone"])
    known = made.organisation
    site.province.keep_issuer(known.id, known.issuer, list(known.prefixes), known.name)
    return made


def send(site: Site, case: Case, headers: Mapping[str, str]) -> httpx.Response:
    """Send a case to the application without a socket."""
    asked = case.as_transport_kwargs(base_url=PUBLIC_URL)
    body = asked.get("data") or b""
    return site.browser.send(
        asked["method"],
        asked["url"],
        params=asked.get("params"),
        content=body if isinstance(body, bytes) else str(body).encode(),
        headers={
            **{k: v.encode("latin-1", "replace") for k, v in (asked.get("headers") or {}).items()},
            **headers,
        },
    )


def ask(
    site: Site, operation: Any, mode: GenerationMode, headers: Mapping[str, str], count: int
) -> None:
    """Ask cases of one mode, and judge each answer by the document."""

    @settings(
        max_examples=count, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        case.validate_response(send(site, case, headers), checks=CHECKS)

    run()


def fuzz(site: Site, member: Business, operation: Any, count: int) -> None:
    """Ask what is allowed and what is not, where it matters with each kind of token."""
    described = operation.definition.raw
    tokens = [{}, bearer(member.token), bearer("moneo_0")] if "security" in described else [{}]
    modes = (
        list(GenerationMode)
        if {"parameters", "requestBody"} & described.keys()
        else [GenerationMode.POSITIVE]
    )
    for mode in modes:
        for token in tokens:
            ask(site, operation, mode, token, count)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@by_operation
def test_every_answer_is_as_described(site: Site, member: Business, operation: Any) -> None:
    fuzz(site, member, operation, SUITE_EXAMPLES)


@pytest.mark.long
@by_operation
def test_every_answer_to_many_is_as_described(site: Site, member: Business, operation: Any) -> None:
    fuzz(site, member, operation, SUITE_EXAMPLES * LONG_FACTOR)


def good_cases(site: Site, member: Business) -> dict[str, dict[str, Any]]:
    """What is asked rightly, by operation: path, query and body of something that is there."""
    batch = site.submit(member, *diary())
    parts = {
        "gtin": BOX[4:18],
        "lot": "HOP-01",
        "serial": "X1",
        "batch": batch,
        "path": "checkpoint",
    }
    site.submit(
        member,
        shipping(),
        event("objectevent", BOX[:18], a=1),
        event("objectevent", f"{BOX}/21/X1", a=1),
        event("objectevent", f"{BOX[:18]}/21/X1", a=1),
    )
    found: dict[str, dict[str, Any]] = {
        name: {"path_parameters": {n: v for n, v in parts.items() if f"{{{n}}}" in name}}
        for name in OPERATIONS
    }
    found["POST /v1/batches"] |= {"body": member.body([shipping()]), "media_type": BATCH_TYPE}
    lines = b'{"type":"ObjectEvent","epcList":["https://id.gs1.org/01/09520001000034/10/A"]}'
    found["POST /v1/records"] |= {"body": lines, "media_type": "application/x-ndjson"}
    found["GET /v1/evidence"] |= {"query": {"code": BOX}}
    found["GET /v1/records/{record}/evidence"]["path_parameters"] = {"record": f"{batch}.0"}
    return found


# Without an anchor process: no checkpoint, no trust file, nothing anchored. tests/test_walk.py has those.
NOT_YET = {
    "GET /v1/evidence": 409,
    "GET /v1/records/{record}/evidence": 409,
    "GET /v1/trust": 503,
    "GET /v1/trust/pilot": 404,
    "GET /log/{path}": 404,
}


def test_what_is_asked_rightly_is_answered_as_described(site: Site, member: Business) -> None:
    for name, parts in good_cases(site, member).items():
        case = OPERATIONS[name].Case(method=name.split()[0], **parts)
        answer = send(site, case, bearer(member.token))
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code == NOT_YET.get(name, answer.status_code), name
        assert name in NOT_YET or answer.is_success, (name, answer.text)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_not_described_is_refused(
    site: Site, member: Business, method: str
) -> None:
    for path, described in schema().raw_schema["paths"].items():
        taken = (
            {each.upper() for each in described}
            | {"OPTIONS"}
            | ({"HEAD"} if "get" in described else set())
        )
        address = path.replace("{gtin}", BOX[4:18]).replace("{", "").replace("}", "")
        answer = site.browser.send(method, address, headers=bearer(member.token))
        assert (answer.status_code == 405) == (method not in taken), (
            method,
            path,
            answer.status_code,
        )
        assert answer.status_code < 500 or path in ("/v1/trust", "/readyz")
        if answer.status_code == 405:
            assert set(answer.headers["allow"].split(", ")) == taken, path
            assert answer.headers["content-type"] == "application/problem+json"
