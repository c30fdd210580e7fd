# SPDX-License-Identifier: GPL-3.0-or-later
"""What this node asks of its own CometBFT: to spread a transaction, and for a light block.

CometBFT 0.38, `rpc/openapi/openapi.yaml`: JSON-RPC 2.0 over HTTP, here over a socket in the node's
home. Light blocks are asked for when somebody wants one: ABCI hands over who has voted, but no
signatures, and CometBFT keeps them with its blocks anyway.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
from pathlib import Path
from typing import Any, Final

from node.errors import ChainError, NodeError, NotReady
from node.light import LightBlock, LightError, from_rpc

SECONDS: Final = 10.0
_MAX_ANSWER: Final = 4 * 1024 * 1024
# The most of a validator set that CometBFT gives at a time.
_PAGE: Final = 100
_MAX_PAGES: Final = 6


class CometSilent(NotReady):
    """CometBFT does not answer: it is just starting, or has ended."""


class CometRefused(NodeError):  # noqa: N818 - its answer
    """CometBFT answers with an error; the message is its own."""


class Client:
    """CometBFT's RPC at a socket. Any thread may ask; each question is a connection of its own."""

    def __init__(self, path: Path, seconds: float = SECONDS) -> None:
        self._path = path
        self._seconds = seconds

    def broadcast(self, raw: bytes) -> dict[str, Any]:
        """Hand a transaction to CometBFT's mempool; return CheckTx's answer (code, log, codespace).

        Raises CometSilent, and CometRefused where there is no room or it has been there before.
        """
        return self.ask("broadcast_tx_sync", tx=base64.b64encode(raw).decode("ascii"))

    def light_block(self, height: int) -> LightBlock:
        """Return the light block of a height that has been committed.

        Raises CometSilent, CometRefused, and ChainError if what comes is no light block.
        """
        signed_header = self.ask("commit", height=str(height))["signed_header"]
        try:
            return from_rpc(
                {"signed_header": signed_header, "validators": self._validators(height)}
            )
        except (LightError, KeyError, TypeError, ValueError) as error:
            raise ChainError(
                f"CometBFT gives no light block of height {height}: {error}"
            ) from error

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of one of CometBFT's methods. Raises CometSilent, CometRefused."""
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        connection = _Connection(self._path, self._seconds)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(question), headers)
            answer = json.loads(connection.getresponse().read(_MAX_ANSWER))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CometSilent(f"CometBFT does not answer: {error}") from error
        finally:
            connection.close()
        if refusal := answer.get("error"):
            raise CometRefused(f"{refusal.get('message')}: {refusal.get('data')}")
        result: dict[str, Any] = answer["result"]
        return result

    def _validators(self, height: int) -> list[Any]:
        found: list[Any] = []
        for page in range(1, _MAX_PAGES + 1):
            answer = self.ask("validators", height=str(height), page=str(page), per_page=str(_PAGE))
            found += answer["validators"]
            if len(found) >= int(answer["total"]):
                break
        return found


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
