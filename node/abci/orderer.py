# SPDX-License-Identifier: GPL-3.0-or-later
"""CometBFT in the place of the built-in sequencer: begun, asked and ended as that one is.

A transaction reaches the others through CometBFT's mempool, with one condition: those before it are
there already, or come within `TURN_SECONDS`. Which header shows an EVM block is stored with the
height; the light block itself is CometBFT's to keep.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Final

from node.abci.client import Client, CometRefused, CometSilent
from node.abci.home import APPLICATION_SOCKET, RPC_SOCKET, Peering, prepare
from node.abci.process import Process, check_version, find_program
from node.abci.service import POOL_CODESPACE, Server, Service
from node.application import Application
from node.errors import ChainError, Code, NodeError, TransactionRefused, UnknownBlock
from node.genesis import load_validator_key
from node.light import to_rpc, validator_address
from node.mempool import Mempool, NotTaken
from node.sequencer import final_key, light_key
from node.signed import RESTORED_FILE

# Clients send several transactions at once and over several connections.
TURN_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.01
# CometBFT's ErrTxInCache.
_KNOWN: Final = "tx already exists in cache"


class CometOrderer:
    """One of many validators' orderers. Reading is for any thread."""

    def __init__(
        self,
        application: Application,
        validator: bytes,
        folder: Path,
        program: Path,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Get ready to run `program` in `folder`; `validator` is this validator's address.

        `on_failure` is called, from any thread, if it cannot go on; `failure` then holds the reason.
        """
        self.validator = validator
        self.failure: BaseException | None = None
        # What has no gap before it runs as soon as there are blocks: nothing is forgotten for its age.
        self.mempool = Mempool(application.next_nonce, clock=lambda: 0.0)
        self._application = application
        self._on_failure = on_failure
        self._failing = Lock()
        self._client = Client(folder / RPC_SOCKET)
        self._rpc_socket = folder / RPC_SOCKET
        service = Service(application, self.mempool, self._fail)
        self._server = Server(service, folder / APPLICATION_SOCKET)
        self._process = Process(program, folder, self._ended)

    @property
    def height(self) -> int:
        """The height of the last committed block."""
        return self._application.info().height

    @property
    def pid(self) -> int:
        """CometBFT's process id."""
        return self._process.pid

    def start(self) -> None:
        """Begin to answer CometBFT, and begin CometBFT. The calling thread has to live as long."""
        # A process that was killed leaves its socket, and Go does not take it over.
        self._rpc_socket.unlink(missing_ok=True)
        self._server.start()
        self._process.start()

    def stop(self) -> None:
        """End CometBFT, and then what answers it."""
        self._process.stop()
        self._server.stop()

    def submit(self, raw: bytes) -> bytes:
        """Spread a transaction; return its hash. The same one again is no error.

        Raises TransactionRefused for one against the rules, NotTaken if it cannot be spread now.
        """
        admitted = self._application.check(raw)
        self._wait_turn(admitted.sender, admitted.nonce)
        try:
            answer = self._client.broadcast(raw)
        except CometRefused as error:
            if _KNOWN not in str(error):
                raise NotTaken(f"not taken by CometBFT: {error}") from error
            return admitted.hash
        except CometSilent as error:
            raise NotTaken("the node's CometBFT is not ready: send it again later") from error
        if answer["code"] != Code.OK:
            if answer["codespace"] == POOL_CODESPACE:
                raise NotTaken(answer["log"])
            raise TransactionRefused(Code(answer["code"]), answer["log"])
        return admitted.hash

    def height_of(self, number: int) -> int | None:
        """Return the height whose header carries the app hash of EVM block `number`, if any yet."""
        stored = self._application.get_extra(final_key(number))
        return int.from_bytes(stored, "big") if stored else None

    def light_block_json(self, height: int) -> dict[str, Any]:
        """Return the light block of a height in the JSON of CometBFT's RPC. Raises ChainError."""
        try:
            found = self._client.light_block(height)
        except (CometRefused, CometSilent) as error:
            raise UnknownBlock(f"no light block of height {height} now: {error}") from error
        ours = self._application.chain.genesis.cometbft_chain_id
        if (found.header.chain_id, found.header.height) != (ours, height):
            raise ChainError("CometBFT gives a light block of another chain or height")
        return to_rpc(found)

    def _wait_turn(self, sender: bytes, nonce: int) -> None:
        """Wait for the transactions before this one, which may be on their way."""
        deadline = time.monotonic() + TURN_SECONDS
        while nonce > (turn := self.mempool.pending_nonce(sender)):
            if time.monotonic() > deadline:
                raise TransactionRefused(
                    Code.NONCE_GAP, f"nonce is {nonce}, the next to come is {turn}"
                )
            time.sleep(_POLL_SECONDS)

    def _ended(self, reason: str) -> None:
        self._fail(NodeError(f"CometBFT đã dừng · CometBFT ended: {reason}"))

    def _fail(self, error: BaseException) -> None:
        with self._failing:
            # What follows from the first failure says less.
            self.failure = self.failure or error
        self._on_failure()


def open_comet(
    application: Application,
    home: Path,
    peering: Peering,
    on_failure: Callable[[], None] = lambda: None,
) -> CometOrderer:
    """Return the orderer of a node's home, with CometBFT's own files written.

    Raises GenesisError for keys and files, CometMissing without the right program, ChainError for a
    home that must not sign with CometBFT.
    """
    if (home / RESTORED_FILE).exists():
        raise ChainError(
            "nút này được khôi phục, không biết đã ký gì: hãy bắt đầu với khóa mới · this home was "
            "restored and does not know what its validator has signed: begin with a new key"
        )
    if application.get_extra(light_key(1)) is not None:
        raise ChainError(
            "chuỗi này do bộ xếp thứ tự có sẵn lập: hãy chạy không có --comet · the built-in "
            "sequencer has made this chain: run it without --comet"
        )
    program = find_program()
    check_version(program)
    genesis = application.chain.genesis
    folder = prepare(home, genesis, application.chain.hash_of(0), peering)
    key = load_validator_key(home).public_key().public_bytes_raw()
    return CometOrderer(application, validator_address(key), folder, program, on_failure)
