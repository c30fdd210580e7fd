# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands before every route: security headers on every answer, HEAD, OPTIONS, and one line a request.

HEAD is GET without its body (RFC 9110 §9.3.2); OPTIONS tells what an address allows (§9.3.7) and
lets pages of other members read what is public (CORS, without credentials: a token is sent by
programs, never by a browser of its own accord). A slash at the end of an address is passed over. What fails
unexpectedly is logged and answered as a problem that gives nothing away. Query strings and headers
never reach the log.
"""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, respond
from api.words import Wording

log = logging.getLogger("moneo.api")

_POLICY: Mapping[str, str] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?", re.ASCII | re.I)


def policy(**more: str) -> str:
    """Return a Content-Security-Policy: that of all pages, and what a page with a script needs besides."""
    added = {name.replace("_", "-"): sources for name, sources in more.items()}
    return "; ".join(f"{name} {sources}" for name, sources in {**_POLICY, **added}.items())


def checking_policy(hosts: Iterable[str]) -> str:
    """Return the policy of /verify, which may also fetch evidence from pages of other members."""
    # A trust file's hosts are signed by nobody: what is no name of a host never gets into a header.
    named = sorted({f"https://{host}" for host in hosts if _HOST.fullmatch(host)})
    return policy(
        script_src="'self' 'wasm-unsafe-eval'",
        connect_src=" ".join(["'self'", *named]),
        worker_src="'self'",
        manifest_src="'self'",
    )


# A page whose script asks this server alone, and writes nothing but text.
SCRIPTED: Mapping[str, str] = {
    "Content-Security-Policy": policy(
        script_src="'self'",
        connect_src="'self'",
        require_trusted_types_for="'script'",
        trusted_types="'none'",
    )
}
# A route may give its own policies in the place of the first two.
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": policy(),
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
CORS_HEADERS: Mapping[str, str] = {"Access-Control-Allow-Origin": "*"}
FAILED = Wording(
    "Máy chủ gặp lỗi ngoài dự kiến; đã ghi lại để người vận hành xem.",
    "The server failed unexpectedly; it is logged for the operator.",
)
NOTHING = Wording("Không có gì ở địa chỉ này.", "There is nothing at this address.")


class Guard:
    """The outermost layer of the application, as plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or pass on what is no HTTP."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = time.perf_counter(), _Answer(send, bodiless=scope["method"] == "HEAD")
        inner = _without_slash(scope)
        try:
            if scope["method"] == "OPTIONS":
                await (await self._options(inner, receive))(inner, receive, answer)
            else:
                await self._app({**inner, "method": _method(scope)}, receive, answer)
        except Exception:
            log.exception("%s %s failed", scope["method"], _printable(scope["path"]))
            if answer.status:
                raise
            await respond(Request(inner), Problem("failed", FAILED))(inner, receive, answer)
        milliseconds = (time.perf_counter() - started) * 1000
        path = _printable(scope["path"])
        log.info("%s %s %d %.0f ms", scope["method"], path, answer.status, milliseconds)

    async def _options(self, scope: Scope, receive: Receive) -> Response:
        """Ask the router: it refuses OPTIONS and names what it would take instead."""
        refusal = _Answer(_nowhere, bodiless=True)
        await self._app(scope, receive, refusal)
        if refusal.status != HTTPStatus.METHOD_NOT_ALLOWED:
            return respond(Request(scope), Problem("not-found", NOTHING))
        headers = {
            "Allow": refusal.allow,
            "Access-Control-Allow-Methods": "GET, HEAD",
            "Access-Control-Max-Age": "600",
        }
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)


class _Answer:
    """Passes an answer on with our headers, without its body for HEAD."""

    def __init__(self, send: Send, *, bodiless: bool) -> None:
        self._send = send
        self._bodiless = bodiless
        self.status = 0
        self.allow = ""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in {**SECURITY_HEADERS, **CORS_HEADERS}.items():
                headers.setdefault(name, value)
            if "allow" in headers:
                self.allow = headers["allow"] = _allowed(headers["allow"])
        elif self._bodiless and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _method(scope: Scope) -> str:
    return "GET" if scope["method"] == "HEAD" else str(scope["method"])


def _without_slash(scope: Scope) -> Scope:
    path, raw = scope["path"], scope.get("raw_path") or scope["path"].encode()
    if len(path) < 2 or not path.endswith("/"):
        return {**scope, "raw_path": raw}
    return {**scope, "path": path[:-1], "raw_path": raw.removesuffix(b"/")}


def _allowed(methods: str) -> str:
    """Complete what the router knows: it has routes for neither HEAD nor OPTIONS."""
    known = {method.strip() for method in methods.split(",")}
    return ", ".join(sorted(known | {"OPTIONS"} | ({"HEAD"} if "GET" in known else set())))


async def _nowhere(_message: Message) -> None:
    """Send nothing: the answer was a question of our own."""


def _printable(path: Any) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(path)[:200])
