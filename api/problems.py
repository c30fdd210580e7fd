# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what went wrong, as problem documents (RFC 9457) for machines and as pages for people.

Every problem has one row in `PROBLEMS`: its status and its title in both languages. `type` is the
address of a page that explains it. A problem about a submitted record names it with the members
`record` (index in the batch) and `field`; both may be missing, never null.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.words import Language, Wording, choose, preferences

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """One kind of problem: the HTTP status it has and its title."""

    status: int
    title: Wording


def _kind(status: int, vi: str, en: str) -> Kind:
    return Kind(status, Wording(vi, en))


PROBLEMS: Mapping[str, Kind] = {
    # the request itself
    "bad-request": _kind(400, "Yêu cầu không đọc được", "The request cannot be read"),
    "bad-code": _kind(400, "Mã không hợp lệ", "The code is not valid"),
    "unauthorized": _kind(401, "Cần mã truy cập", "A token is needed"),
    "forbidden": _kind(403, "Không được phép", "Not allowed"),
    "not-found": _kind(404, "Không tìm thấy", "Not found"),
    "unknown-code": _kind(404, "Chưa có hồ sơ nào mang mã này", "No record bears this code"),
    "method-not-allowed": _kind(
        405, "Phương thức không dùng được ở đây", "Method not allowed here"
    ),
    "timeout": _kind(408, "Dữ liệu đến quá chậm", "The body came too slowly"),
    "length": _kind(413, "Dữ liệu quá lớn", "The body is too large"),
    "media-type": _kind(415, "Sai loại nội dung", "Wrong media type"),
    "not-valid": _kind(422, "Dữ liệu không hợp lệ", "The data is not valid"),
    # a batch that is refused
    "malformed": _kind(422, "Lô hồ sơ sai định dạng", "The batch is malformed"),
    "mismatch": _kind(
        422, "Lô hồ sơ không khớp chữ ký", "The batch does not match what was signed"
    ),
    "signature": _kind(422, "Chữ ký không đúng", "The signature is wrong"),
    "too-large": _kind(413, "Lô hồ sơ quá lớn", "The batch is too large"),
    "wrong-log": _kind(422, "Lô hồ sơ dành cho nhật ký khác", "The batch is for another log"),
    "log-closed": _kind(
        410, "Nhật ký đã đóng, tỉnh có nhật ký mới", "The log is closed; the province has a new one"
    ),
    "unknown-issuer": _kind(403, "Khóa ký chưa được đăng ký", "The signing key is not registered"),
    "not-yours": _kind(
        403, "Khóa ký thuộc tổ chức khác", "The signing key is another organisation's"
    ),
    "revoked": _kind(403, "Khóa ký đã bị thu hồi", "The signing key is revoked"),
    "wrong-seq": _kind(409, "Sai số thứ tự lô", "The batch's sequence number is not the next"),
    "no-custody": _kind(
        403, "Tỉnh không giữ khóa ký của tổ chức", "The province keeps no key for the organisation"
    ),
    "key-reused": _kind(
        409, "Idempotency-Key đã dùng cho nội dung khác", "The Idempotency-Key was used before"
    ),
    "wrong-prev": _kind(409, "Lô trước không khớp", "The batch does not follow the last one"),
    "future": _kind(422, "Thời điểm nằm trong tương lai", "The batch's time is in the future"),
    # evidence
    "not-anchored": _kind(409, "Hồ sơ chưa được neo", "The record is not anchored yet"),
    "journey-too-large": _kind(
        422, "Hành trình quá dài cho một tệp", "The journey is too long for one file"
    ),
    # this server
    "failed": _kind(500, "Máy chủ gặp lỗi", "The server failed"),
    "not-ready": _kind(503, "Máy chủ chưa sẵn sàng", "The server is not ready"),
}


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - RFC 9457 names it
    """Ends a request with the problem `code` of `PROBLEMS`.

    `more` are further members of the document (`record`, `field`, `expected_seq` …).
    """

    code: str
    detail: Wording
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Its row of `PROBLEMS`."""
        return PROBLEMS[self.code]


def document(problem: Problem, language: Language, instance: str) -> dict[str, Any]:
    """Return the members of the RFC 9457 document of a problem, in one language."""
    return {
        "type": f"/problems/{problem.code}",
        "title": problem.kind.title.pick(language),
        "status": problem.kind.status,
        "detail": problem.detail.pick(language),
        "instance": instance,
        **{key: value for key, value in problem.more.items() if value is not None},
    }


def request_language(request: Request) -> Language:
    """Return the language a request asks for, by `?lang=` or Accept-Language."""
    return choose(request.headers.get("accept-language", ""), request.query_params.get("lang", ""))


def wants_page(request: Request) -> bool:
    """Whether the client is a browser: it accepts HTML and does not prefer JSON to it."""
    weights = preferences(request.headers.get("accept", ""))
    page = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    machine = max(weights.get("application/json", 0.0), weights.get(PROBLEM_TYPE, 0.0))
    return page > 0 and page >= machine


def respond(request: Request, problem: Problem) -> Response:
    """Return the problem document as a response."""
    language = request_language(request)
    body = document(problem, language, request.scope["path"])
    return Response(
        json.dumps(body, ensure_ascii=False).encode(),
        problem.kind.status,
        {
            "Content-Language": language,
            "Vary": "Accept, Accept-Language",
            "Cache-Control": "no-store",
            **problem.headers,
        },
        PROBLEM_TYPE,
    )
