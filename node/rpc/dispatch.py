# SPDX-License-Identifier: GPL-3.0-or-later
"""From the bytes of a request to the bytes of its answer: JSON-RPC 2.0, sections 4 to 6.

Methods run in threads, what other processes are asked for (calls, CometBFT) in a lane of its own, so that a slow one holds up neither the
others nor the event loop. Whatever a method raises becomes an error object.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from anyio import CapacityLimiter, to_thread

from node.errors import NotReady, UnknownBlock
from node.rpc.errors import (
    InternalError,
    InvalidParams,
    InvalidRequest,
    LimitExceeded,
    MethodNotFound,
    ParseError,
    Refused,
    RpcError,
)
from node.rpc.methods import METHODS, Backend, Method

MAX_BATCH: Final = 100
# All answers of a batch together; one more may go over it.
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
READ_THREADS: Final = 4
CALL_THREADS: Final = 8
_MAX_ID: Final = 256

_log = logging.getLogger("moneo.node")


class Dispatcher:
    """Answers requests from one backend, in one event loop."""

    def __init__(self, backend: Backend, methods: Mapping[str, Method] = METHODS) -> None:
        self._backend = backend
        self._methods = methods
        self._lanes = {False: CapacityLimiter(READ_THREADS), True: CapacityLimiter(CALL_THREADS)}

    @property
    def reads(self) -> CapacityLimiter:
        """The lane for whatever else reads the chain."""
        return self._lanes[False]

    def with_methods(self, own: Mapping[str, Method]) -> Dispatcher:
        """Return a dispatcher in the same lanes in which these methods are other ones."""
        other = Dispatcher(self._backend, {**self._methods, **own})
        other._lanes = self._lanes
        return other

    async def answer(self, body: bytes) -> bytes | None:
        """Return the answer to a request or batch; None if nothing in it asks for one."""
        try:
            request = _parse(body)
            if isinstance(request, list):
                return await self._batch(request)
        except RpcError as error:
            return _error(None, error)
        return await self._one(request)

    async def _batch(self, requests: list[Any]) -> bytes | None:
        if not requests:
            raise InvalidRequest("an empty batch")
        if len(requests) > MAX_BATCH:
            raise InvalidRequest(f"a batch has at most {MAX_BATCH} requests, got {len(requests)}")
        answers: list[bytes] = []
        size = 0
        for request in requests:
            answer = _too_much(request) if size > MAX_ANSWER_BYTES else await self._one(request)
            if answer is not None:
                answers.append(answer)
                size += len(answer)
        return b"[" + b",".join(answers) + b"]" if answers else None

    async def _one(self, request: Any) -> bytes | None:
        try:
            name, values, is_notification = _read(request)
        except RpcError as error:
            return _error(_id(request), error)
        try:
            result = await self._call(name, values)
            answer = _encode({"jsonrpc": "2.0", "id": request.get("id"), "result": result})
        except RpcError as error:
            answer = _error(request.get("id"), error)
        return None if is_notification else answer

    async def _call(self, name: str, values: list[Any]) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise MethodNotFound(f"there is no method {name[:_MAX_ID]!r} here")
        arguments = method.read(values)
        try:
            return await to_thread.run_sync(
                method.function, self._backend, *arguments, limiter=self._lanes[method.calls]
            )
        except UnknownBlock as error:
            raise Refused(f"header not found: {error}") from error
        except NotReady as error:
            raise Refused(str(error)) from error
        except RpcError:
            raise
        except Exception as error:
            _log.exception("method %s failed", name)
            raise InternalError("the node failed to answer: see its log") from error


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ParseError("the body is not JSON") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """Refuse what overflows: it could only be answered as a word that is not JSON."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond what JSON's readers can hold")
    return number


def _read(request: Any) -> tuple[str, list[Any], bool]:
    """Return method, parameters, and whether no answer is wanted. Raises InvalidRequest."""
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
        raise InvalidRequest("expected an object with jsonrpc 2.0")
    name = request.get("method")
    if not isinstance(name, str):
        raise InvalidRequest("method is not a string")
    if "id" in request and request["id"] is not None and _id(request) is None:
        raise InvalidRequest("id is neither a number, a short string nor null")
    values = request.get("params")
    if isinstance(values, dict):
        raise InvalidParams("parameters are given by position")
    if values is not None and not isinstance(values, list):
        raise InvalidRequest("params is not a list")
    return name, values or [], "id" not in request


def _id(request: Any) -> Any:
    """Return the id to answer with, None where there is none that can be told."""
    found = request.get("id") if isinstance(request, dict) else None
    if isinstance(found, str) and len(found) <= _MAX_ID:
        return found
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _too_much(request: Any) -> bytes:
    return _error(_id(request), LimitExceeded("the batch's answers are too long"))


def _error(request_id: Any, error: RpcError) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": request_id, "error": error.to_json()})


def _encode(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
