# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes the API (OpenAPI 3.1): examples of every answer, and the pages that routes cannot express.

Each constant is what FastAPI's route decorators take; `describe` adds what is common to all.
"""

from collections.abc import Collection, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import PROBLEM_TYPE, PROBLEMS

BATCH = "q1kZk1cI0d1mY0hN0G0dU3m3vJ9mZ3l2sG4b8nF1aXs"
CODE = "/01/09520001000034/10/HOP-01-1"
ORIGIN = "moneo.example/camau/2026"
ISSUER = f"{ORIGIN}/mfrggzdfmztwq2lk"
SIGNATURE = "AAAAAGJhc2U2NCBvZiBrZXkgaWQgYW5kIEVkMjU1MTkgc2lnbmF0dXJl"
BATCH_TEXT = (
    f"moneo/batch/v1\nlog {ORIGIN}\nissuer {ISSUER}\nseq 0\nprev {'A' * 43}=\ntime 1794200000\n"
    f"size 1\nroot …\ncodes …\n\n— {ISSUER} {SIGNATURE}\n\nmoneo/record/v1\ntype epcis.objectevent\n"
    "mode live\ncode …\n~…~\n"
)
RECEIPT_TEXT = (
    f"moneo/receipt/v1\nlog {ORIGIN}\nbatch …\ntime 1794200001\nby 1794286401\n\n"
    f"— {ORIGIN} {SIGNATURE}\n"
)
LINKS = {"status": f"/v1/batches/{BATCH}", "receipt": f"/v1/batches/{BATCH}/receipt"}
ACCEPTED = {
    "batch": BATCH,
    "state": "accepted",
    "custody": "holder",
    "size": 1,
    "duplicate": False,
    "receipt": RECEIPT_TEXT,
    "links": LINKS,
}
ANCHORED = {
    "batch": BATCH,
    "state": "anchored",
    "issuer": ISSUER,
    "custody": "holder",
    "seq": 0,
    "size": 1,
    "accepted_at": 1794200001,
    "log_index": 0,
    "logged_at": 1794200002,
    "checkpoint_size": 1,
    "evm_block": 3,
    "anchored_at": 1794200003,
    "links": LINKS,
}
# Null until it has happened.
NOT_YET = ("log_index", "logged_at", "checkpoint_size", "evm_block", "anchored_at")
# What problems of these kinds say besides.
MORE: Mapping[str, Mapping[str, Any]] = {
    "malformed": {"record": 17, "field": "moneo:phone"},
    "wrong-seq": {"expected_seq": 4},
}
_TYPES: Mapping[type, str] = {str: "string", int: "integer", bool: "boolean"}
BEARER: Mapping[str, Any] = {"security": [{"bearer": []}]}
OPTIONAL_BEARER: Mapping[str, Any] = {"security": [{}, {"bearer": []}]}


def _problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for problem codes, those of one status together."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = PROBLEMS[code]
        answer = found.setdefault(
            kind.status,
            {
                "description": kind.title.en,
                "content": {
                    PROBLEM_TYPE: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        answer["content"][PROBLEM_TYPE]["examples"][code] = {"value": _example(code)}
    return found


def _example(code: str) -> dict[str, Any]:
    kind = PROBLEMS[code]
    return {
        "type": f"/problems/{code}",
        "title": kind.title.en,
        "status": kind.status,
        "detail": f"{kind.title.en}.",
        "instance": "/v1/batches",
        **MORE.get(code, {}),
    }


def _body(description: str, kind: str, example: Any, schema: Any = None) -> dict[str, Any]:
    content = {kind: {"schema": schema or {"type": "string"}, "example": example}}
    return {"description": description, "content": content}


def _json(description: str, example: Any, nullable: Collection[str] = ()) -> dict[str, Any]:
    return _body(description, "application/json", example, _schema(example, nullable))


def _schema(example: Any, nullable: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema of what has exactly an example's members; the `nullable` may be null."""
    if not isinstance(example, Mapping):
        return {"type": _TYPES[type(example)]}
    properties = {name: _schema(value) for name, value in example.items()}
    for name in nullable:
        properties[name]["type"] = [properties[name]["type"], "null"]
    return {
        "type": "object",
        "properties": properties,
        "required": list(example),
        "additionalProperties": False,
    }


def _file(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a file that says its format; docs/evidence.md has the rest."""
    known = {"format": {"const": example["format"]}}
    return {"type": "object", "properties": known, "required": list(example)}


IDEMPOTENCY: Mapping[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "Names this request among the organisation's own: the same key with the same content gets "
        "the same batch again, with other content 409. Forgotten after 30 days."
    ),
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    "example": "nhat-ky-2026-11-22",
}
EVENT_TEXT = (
    '{"type":"ObjectEvent","eventTime":"2026-07-23T07:30:00Z","bizStep":"shipping",'
    '"epcList":["https://id.gs1.org/01/09520001000034/10/HOP-01-1"],"moneo:customer":"…"}\n'
)
SUBMIT: dict[str, Any] = {
    "summary": "Gửi một lô hồ sơ đã ký · Submit a signed batch",
    "responses": {
        202: _json("The batch is on disk; keep the receipt", ACCEPTED),
        **_problems(
            "unauthorized",
            "unknown-issuer",
            "not-yours",
            "revoked",
            "not-ready",
            "timeout",
            "wrong-seq",
            "wrong-prev",
            "key-reused",
            "log-closed",
            "length",
            "too-large",
            "media-type",
            "not-valid",
            "malformed",
            "mismatch",
            "signature",
            "wrong-log",
            "future",
        ),
    },
    "openapi_extra": {
        **BEARER,
        "parameters": [IDEMPOTENCY],
        "requestBody": {
            "required": True,
            "description": "The signed note, an empty line, then the records' presentations",
            "content": {
                "application/vnd.moneo.batch": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": BATCH_TEXT,
                }
            },
        },
    },
}
RECORDS: dict[str, Any] = {
    "summary": "Gửi sự kiện chưa ký; tỉnh ký thay · Send events unsigned; the province signs for you",
    "responses": {
        202: _json(
            "The batch is on disk, salted and signed by the province for the organisation",
            {**ACCEPTED, "custody": "operator"},
        ),
        **_problems(
            "unauthorized",
            "no-custody",
            "not-ready",
            "timeout",
            "key-reused",
            "length",
            "media-type",
            "not-valid",
            "malformed",
        ),
    },
    "openapi_extra": {
        **BEARER,
        "parameters": [IDEMPOTENCY],
        "requestBody": {
            "required": True,
            "description": (
                "EPCIS 2.0 events, one JSON object a line; each top-level member becomes a field "
                "that can be shown, withheld or erased alone. `moneo:re`, a list of up to 8, names the "
                "organisation's earlier records that this one takes the place of, each by its id "
                "`<batch>.<index>`, the address of its evidence, or its leaf hash: it becomes `re` lines "
                "of the record instead of a field. EPCIS's `errorDeclaration` is a field as any other "
                "and supersedes nothing"
            ),
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}, "example": EVENT_TEXT}
            },
        },
    },
}
STATUS: dict[str, Any] = {
    "summary": "Lô hồ sơ đã đi đến đâu · How far a batch has come",
    "responses": {200: _json("Its state", ANCHORED, NOT_YET), **_problems("not-found")},
}
RECEIPT: dict[str, Any] = {
    "summary": "Biên nhận có chữ ký của nhật ký · The log's signed receipt",
    "responses": {
        200: _body("A C2SP signed note", "text/plain", RECEIPT_TEXT),
        **_problems("not-found"),
    },
}
EVIDENCE_EXAMPLE = {
    "format": "moneo/evidence/v1",
    "records": [{"record": "moneo/record/v1\n…", "batch": 0, "index": 17, "path": ["…"]}],
    "batches": [{"note": "…", "key": "…", "proof": "…", "anchor": 0, "issuer": {}}],
    "anchors": [{"log_key": "…", "head": {}, "header": "…", "nodes": ["…"], "finality": {}}],
    "light_blocks": [{}],
    "eras": [],
}
EVIDENCE_BODY = _body(
    "An evidence file (docs/evidence.md)",
    "application/vnd.moneo.evidence+json",
    EVIDENCE_EXAMPLE,
    _file(EVIDENCE_EXAMPLE),
)
RECORD_EVIDENCE: dict[str, Any] = {
    "summary": "Bằng chứng của một hồ sơ · Evidence of one record",
    "responses": {
        200: EVIDENCE_BODY,
        **_problems("unauthorized", "not-found", "not-anchored", "journey-too-large"),
    },
    "openapi_extra": OPTIONAL_BEARER,
}
CODE_EVIDENCE: dict[str, Any] = {
    "summary": "Bằng chứng của cả hành trình một mã · Evidence of a code's whole journey",
    "responses": {
        200: EVIDENCE_BODY,
        **_problems(
            "bad-code",
            "unauthorized",
            "unknown-code",
            "not-anchored",
            "not-valid",
            "journey-too-large",
        ),
    },
    "openapi_extra": OPTIONAL_BEARER,
}
TRUST: dict[str, Any] = {
    "summary": "Tệp tin cậy · The trust file",
    "responses": {
        200: _body(
            "Compare its fingerprint before pinning it",
            "application/vnd.moneo.trust+json",
            {
                "format": "moneo/trust/v1",
                "date": "2026-11-22T00:00:00Z",
                "evm_chain_id": 4503599627370,
            },
            {"type": "object"},
        ),
        **_problems("not-ready"),
    },
}
PILOT_TRUST: dict[str, Any] = {
    "summary": "Tệp tin cậy cũ, của chuỗi riêng trước khi vào liên minh · The old trust file, of the province's own chain before it joined",
    "responses": {200: TRUST["responses"][200], **_problems("not-found")},
}
LOG: dict[str, Any] = {
    "summary": "Nhật ký chỉ ghi thêm · The append-only log (C2SP tlog-tiles)",
    "responses": {
        200: {
            "description": "checkpoint, tile/<level>/<index>[.p/<width>], tile/entries/<index>[.p/<width>]",
            "content": {
                "text/plain": {"example": f"{ORIGIN}\n1\n…\n\n— {ORIGIN} {SIGNATURE}\n"},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **_problems("not-found"),
    },
}
HEALTH: dict[str, Any] = {
    "summary": "Tiến trình còn sống · The process is alive",
    "responses": {200: _json("Alive", {"status": "ok"})},
}
READY: dict[str, Any] = {
    "summary": "Sẵn sàng nhận lô hồ sơ · Ready for batches",
    "responses": {
        200: _json(
            "Ready; `anchor` says how far the anchor process is",
            {
                "status": "ok",
                "database": "ok",
                "log": "ok",
                "anchor": {"state": "ok", "waiting": 0, "oldest_seconds": 0},
            },
        ),
        **_problems("not-ready"),
    },
}

_SET_82 = r"^[!\"%-?A-Z_a-z]{1,20}$"
_HASH = "[A-Za-z0-9_-]{43}"
_CODE_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "gtin": {"description": "14 digits with a valid check digit", "example": "09520001000034"},
    "lot": {"description": "1 to 20 characters of GS1's set 82", "example": "HOP-01-1"},
    "serial": {"description": "1 to 20 characters of GS1's set 82", "example": "K7MQ2XZ94BTA"},
}
# What stands for the parts of an address; anything else is answered 400 or 404.
_PATTERNS: Mapping[str, str] = {
    "gtin": "^[0-9]{14}$",
    "lot": _SET_82,
    "serial": _SET_82,
    "batch": f"^{_HASH}$",
    "record": rf"^{_HASH}\.(0|[1-9][0-9]{{0,9}})$",
    "path": r"^(checkpoint|tile/(entries|[0-9]{1,2})(/x[0-9]{3})*/[0-9]{3}(\.p/[1-9][0-9]{0,2})?)$",
}
_CODE_PATHS = (
    "/01/{gtin}",
    "/01/{gtin}/10/{lot}",
    "/01/{gtin}/21/{serial}",
    "/01/{gtin}/10/{lot}/21/{serial}",
)
_CODE_ANSWERS: Mapping[str, tuple[str, str, Any]] = {
    "": ("Trang của một mã · The page of a code", "text/html", "<!doctype html>…"),
    "/qr.svg": ("Mã QR, SVG · Its QR code, SVG", "image/svg+xml", "<svg …>…</svg>"),
    "/qr.png": ("Mã QR, PNG · Its QR code, PNG", "image/png", "binary"),
}
PROBLEM_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Whoever would rather have text/html gets the same as a page.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "record": {"type": "integer", "description": "Index of the record at fault, from 0"},
        "field": {"type": "string", "description": "Its field at fault"},
        "expected_seq": {"type": "integer", "description": "The seq that the log expects"},
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the whole OpenAPI document of the application, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        document["components"] = {
            "schemas": {"Problem": PROBLEM_SCHEMA},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        }
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"] = _ours(operation["responses"])
                for parameter in operation.get("parameters", ()):
                    if parameter["in"] == "path":
                        parameter["schema"]["pattern"] = _PATTERNS[parameter["name"]]
        document["paths"].update(_code_pages())
        app.openapi_schema = document
    return app.openapi_schema


def _ours(responses: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers that we describe, without those that the framework would give in our stead."""
    found = {}
    for status, answer in responses.items():
        contents = {
            kind: content
            for kind, content in answer.get("content", {}).items()
            if {"example", "examples"} & content.keys()
            or content.get("schema", {}).get("format") == "binary"
        }
        if contents:
            found[status] = {**answer, "content": contents}
    return found


def _code_pages() -> dict[str, Any]:
    return {
        path + suffix: {"get": _code_page(path, *answer)}
        for path in _CODE_PATHS
        for suffix, answer in _CODE_ANSWERS.items()
    }


def _code_page(path: str, summary: str, kind: str, example: Any) -> dict[str, Any]:
    names = [name for name in _CODE_PARAMETERS if f"{{{name}}}" in path]
    answers = {200: _body(summary, kind, example), **_problems("bad-code", "unknown-code")}
    return {
        "tags": ["pages"],
        "summary": summary,
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": _PATTERNS[name]},
                **_CODE_PARAMETERS[name],
            }
            for name in names
        ],
        "responses": {str(status): answer for status, answer in answers.items()},
    }
