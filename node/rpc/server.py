# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for JSON-RPC and the way to its WebSocket, and who is kept out: pages in somebody's browser, and bodies without end.

A page cannot read from this node: there are no CORS headers, and without `application/json`,
which a page may not send across origins unasked, nothing is answered. Nor can it through a name
that it has pointed at this machine (DNS rebinding): the `Host` has to be an address, `localhost`,
or the name that the node was told to listen on. Bodies are bounded before they are read, RFC 9110
sections 8.3, 15.5.14 and 15.5.16; section 7.4 for a Host that is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Final

from anyio import fail_after
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from node.rpc.dispatch import Dispatcher
from node.rpc.methods import Backend
from node.rpc.sockets import Sockets

MAX_BODY_BYTES: Final = 1024 * 1024
# A whole body has to come within this time, so that slow senders cannot hold all connections.
BODY_SECONDS: Final = 10.0
_JSON: Final = "application/json"


def create_app(backend: Backend, host: str) -> Starlette:
    """Return the ASGI application; `host` is the name or address that the node listens on."""
    dispatcher = Dispatcher(backend)
    names = frozenset({"localhost", host.lower()})
    sockets = Sockets(dispatcher, backend, lambda header: _is_known(header, names))
    return Starlette(
        routes=[
            Route("/", _endpoint(dispatcher, names), methods=["POST"]),
            WebSocketRoute("/", sockets.serve),
        ]
    )


def _endpoint(
    dispatcher: Dispatcher, names: frozenset[str]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not _is_known(request.headers.get("host", ""), names):
            raise HTTPException(421, "this node is not known by that name")
        _check_type(request.headers.get("content-type", ""))
        try:
            with fail_after(BODY_SECONDS):
                body = await _read(request)
        except TimeoutError as error:
            raise HTTPException(408, "the body took too long") from error
        except ClientDisconnect:
            return PlainTextResponse("gone", 400)
        answer = await dispatcher.answer(body)
        if answer is None:
            return Response(status_code=204)
        return Response(answer, media_type=_JSON)

    return endpoint


def _is_known(header: str, names: frozenset[str]) -> bool:
    name = _without_port(header.lower())
    return name in names or _is_address(name)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_type(header: str) -> None:
    if header.partition(";")[0].strip().lower() != _JSON:
        raise HTTPException(415, f"the body has to be {_JSON}")


async def _read(request: Request) -> bytes:
    """Return the body; refuse one that says it is too long, or turns out to be."""
    length = request.headers.get("content-length", "0")
    # The server has checked that it is a number; an absurdly long one is too long as well.
    if len(length) > 12 or int(length) > MAX_BODY_BYTES:
        raise _too_long()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _too_long()
    return bytes(body)


def _too_long() -> HTTPException:
    return HTTPException(
        413, f"a body has at most {MAX_BODY_BYTES} bytes", headers={"Connection": "close"}
    )
