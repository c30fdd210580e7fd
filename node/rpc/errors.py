# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: N818 - the names are those of JSON-RPC
"""So that a client is told by a number whether to mend its request, wait, or read a revert's reason.

JSON-RPC 2.0 section 5.1 and EIP-1474; code 3 with the returned bytes as `data` is geth's way to
report a revert, which client libraries decode.

    RpcError
    ├── ParseError        -32700  not JSON
    ├── InvalidRequest    -32600  not a request of JSON-RPC 2.0
    ├── MethodNotFound    -32601
    ├── InvalidParams     -32602
    ├── InternalError     -32603  the node's fault, said without details
    ├── Refused           -32000  understood, and not done: the message says why
    ├── LimitExceeded     -32005  more than this node answers at once
    └── Reverted               3  a call reverted
"""

from typing import Any, ClassVar


class RpcError(Exception):
    """An answer that is an error object; `data` is added to it unless None."""

    code: ClassVar[int]

    def __init__(self, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, Any]:
        """Return the error object."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return error if self.data is None else error | {"data": self.data}


class ParseError(RpcError):
    """The body is not JSON."""

    code = -32700


class InvalidRequest(RpcError):
    """The JSON is no request."""

    code = -32600


class MethodNotFound(RpcError):
    """There is no such method here."""

    code = -32601


class InvalidParams(RpcError):
    """A parameter is missing, malformed or one too many."""

    code = -32602


class InternalError(RpcError):
    """The node failed."""

    code = -32603


class Refused(RpcError):
    """The request was understood and is not carried out."""

    code = -32000


class LimitExceeded(RpcError):
    """The answer would take more than one request may cost."""

    code = -32005


class Reverted(RpcError):
    """A call reverted; `data` holds what it returned."""

    code = 3
