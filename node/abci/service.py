# SPDX-License-Identifier: GPL-3.0-or-later
"""What CometBFT asks of the application, and the gRPC server that it asks over.

CometBFT 0.38, `spec/abci/abci++_methods.md`. What is decided is `node.application`'s, the same for
every orderer; here messages become its arguments. A transaction against the rules is a code in an
answer. Whatever else goes wrong (a damaged or full disk, a fault of the program, a step out of
turn) has no answer: the node ends, CometBFT with it, and both begin again where the disk says.

`pool` knows what waits in CometBFT's mempool and admits a transaction only when those before it are
there: a gap would have CometBFT make empty blocks for as long as nobody closes it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import grpc

from node.abci.messages import (
    ABORT,
    ACCEPT,
    MESSAGES,
    METHODS,
    MISBEHAVIOURS,
    RECHECK,
    REJECT,
    REJECT_OFFER,
    SERVICE,
)
from node.application import Admitted, Application, TxResult
from node.blocks import validators_of
from node.errors import Code, GenesisError, NodeError, OrderError, TransactionRefused
from node.light import LightError, Timestamp, Validator, format_time, in_order, keccak256
from node.mempool import Mempool, NotTaken
from node.sequencer import final_key

# CometBFT's answer where the rules allow a transaction but there is no room for it; else it is "".
POOL_CODESPACE: Final = "moneo-pool"
# `filter_peers`: a peer's id, or its address, of which nothing depends.
_FILTER: Final = re.compile(r"/p2p/filter/(?:id/([0-9a-f]{40})|addr/.*)", re.ASCII)
# Where misbehaviour is kept, and how much of it.
_MISBEHAVIOUR: Final = b"misbehaviour"
MAX_MISBEHAVIOUR: Final = 100
_NO_ROOM: Final = 1
_NOT_HERE: Final = 1
# A full block with its votes and evidence is far below.
_MAX_MESSAGE: Final = 8 * 1024 * 1024
# CometBFT keeps four connections, and checks transactions of several peers at once.
_THREADS: Final = 8
_STOP_SECONDS: Final = 3.0

_log = logging.getLogger("moneo.node")


class Service:
    """Answers CometBFT. Its four connections ask at the same time; what orders blocks is serial."""

    def __init__(
        self,
        application: Application,
        pool: Mempool,
        on_failure: Callable[[BaseException], None],
        is_allowed: Callable[[bytes], bool] = lambda _node_id: False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Answer for `application`; `on_failure` gets what has no answer, from any thread.

        `is_allowed` says of a node's id whether it is let in; `on_change` is called after a height
        that has changed what the members have decided.
        """
        self._application = application
        self._pool = pool
        self._on_failure = on_failure
        self._is_allowed = is_allowed
        self._on_change = on_change
        self._ordering = Lock()
        self._admitting = Lock()
        self._pending: _Pending | None = None

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the service for a gRPC server."""
        methods = {name: self._handler(name) for name in METHODS}
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def answer(self, name: str, request: Any) -> Any:
        """Return the answer to a request of the method `name`. What has none raises."""
        response = MESSAGES[f"Response{name}"]
        try:
            return response(**_ANSWERS[name](self, request))
        except Exception as error:
            self._on_failure(error)
            raise

    def _handler(self, name: str) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: self.answer(name, request),
            request_deserializer=MESSAGES[f"Request{name}"].FromString,
            response_serializer=MESSAGES[f"Response{name}"].SerializeToString,
        )

    # What begins a chain or a process

    def info(self, _request: Any) -> dict[str, Any]:
        """Say where the disk stands, so that CometBFT replays what is missing."""
        info = self._application.info()
        return {
            "data": "moneo",
            "last_block_height": info.height,
            "last_block_app_hash": info.app_hash,
        }

    def init_chain(self, request: Any) -> dict[str, Any]:
        """Begin where genesis.json says. Raises GenesisError if CometBFT begins with anything else."""
        genesis = self._application.chain.genesis
        said = in_order(Validator(each.pub_key.ed25519, each.power) for each in request.validators)
        ours = (genesis.cometbft_chain_id, 1, validators_of(genesis))
        if (request.chain_id, request.initial_height, said) != ours:
            raise GenesisError(
                "CometBFT được lập từ tệp khác với genesis.json · "
                "CometBFT begins with another chain id, height or validators than genesis.json"
            )
        return {"app_hash": self._application.info().app_hash}

    # The mempool

    def check_tx(self, request: Any) -> dict[str, Any]:
        """Judge a transaction that came in, or (RECHECK) one that waits, after a block."""
        try:
            admitted = self._application.check(request.tx)
            self._admit(request.tx, admitted)
        except TransactionRefused as refused:
            self._forget(request)
            return {"code": refused.code, "log": refused.message}
        except NotTaken as error:
            self._forget(request)
            return {"code": _NO_ROOM, "codespace": POOL_CODESPACE, "log": str(error)}
        except NodeError:
            raise
        except Exception:  # noqa: BLE001 - what some bytes wake up must not end everybody's node
            _log.exception("a transaction could not be judged")
            self._forget(request)
            return {"code": Code.FAULT, "log": "the node could not judge it"}
        return {"gas_wanted": admitted.gas}

    def _admit(self, raw: bytes, admitted: Admitted) -> None:
        with self._admitting:
            turn = self._pool.pending_nonce(admitted.sender)
            if admitted.nonce > turn:
                raise TransactionRefused(
                    Code.NONCE_GAP, f"nonce is {admitted.nonce}, the next to come is {turn}"
                )
            self._pool.add(raw, admitted)

    def _forget(self, request: Any) -> None:
        if request.type == RECHECK:
            self._pool.remove([keccak256(request.tx)])

    # Blocks

    def prepare_proposal(self, request: Any) -> dict[str, Any]:
        """Choose what goes into a block of ours."""
        with self._ordering:
            return {"txs": self._application.propose(request.txs, request.max_tx_bytes)}

    def process_proposal(self, request: Any) -> dict[str, Any]:
        """Judge another's block."""
        with self._ordering:
            return {"status": ACCEPT if self._application.process(request.txs) else REJECT}

    def finalize_block(self, request: Any) -> dict[str, Any]:
        """Execute what was decided, whatever it is; nothing of it is on the disk before Commit."""
        time = Timestamp(request.time.seconds, request.time.nanos)
        with self._ordering:
            shown = self._application.chain.head().block_number
            done = self._application.finalize(request.height, time, request.txs)
            hashes = [keccak256(raw) for raw in request.txs]
            self._pending = _Pending(request.height, shown, hashes, self._misbehaviour(request))
        return {
            "app_hash": done.app_hash,
            "tx_results": [_result(each) for each in done.results],
            "validator_updates": [
                {"pub_key": {"ed25519": key}, "power": power} for key, power in done.validators
            ],
        }

    def commit(self, _request: Any) -> dict[str, Any]:
        """Write all of the height at once, with the EVM block that its header shows."""
        with self._ordering:
            if self._pending is None:
                raise OrderError("CometBFT commits what was not finalized")
            pending, chain = self._pending, self._application.chain
            key, before = final_key(pending.shown), chain.consortium
            # An empty height shows again what one before it has shown.
            first = self._application.get_extra(key) is None
            shown = {key: pending.height.to_bytes(8, "big")} if first else {}
            self._application.commit({**shown, **pending.misbehaviour})
            self._pending = None
        self._pool.remove(pending.hashes)
        if chain.consortium is not before:
            self._on_change()
        # Everything is kept: a light block is asked for as long as there is evidence to make.
        return {"retain_height": 0}

    def _misbehaviour(self, request: Any) -> dict[bytes, bytes]:
        """Return what is kept of the misbehaviour that a block proves, with that of blocks before."""
        found = [_misbehaviour_json(each) for each in request.misbehavior]
        if not found:
            return {}
        kept = [*read_misbehaviour(self._application), *found][-MAX_MISBEHAVIOUR:]
        return {_MISBEHAVIOUR: json.dumps(kept, separators=(",", ":")).encode()}

    # Peers

    def query(self, request: Any) -> dict[str, Any]:
        """Say whether a peer is let in. Other questions have their own door."""
        asked = _FILTER.fullmatch(request.path)
        if asked is None:
            return {"code": _NOT_HERE, "log": "ask over JSON-RPC"}
        if asked[1] and not self._is_allowed(bytes.fromhex(asked[1])):
            return {"code": _NOT_HERE, "log": "this node is no member's"}
        return {}


@dataclass(frozen=True, slots=True)
class _Pending:
    """What was finalized and waits for its commit: `shown` is the block that its header shows."""

    height: int
    shown: int
    hashes: list[bytes]
    misbehaviour: dict[bytes, bytes]


def read_misbehaviour(application: Application) -> list[dict[str, Any]]:
    """Return the newest misbehaviour that blocks have proven, oldest first."""
    kept: list[dict[str, Any]] = json.loads(application.get_extra(_MISBEHAVIOUR) or b"[]")
    return kept


def _misbehaviour_json(each: Any) -> dict[str, Any]:
    known = 0 <= each.type < len(MISBEHAVIOURS)
    try:
        time = format_time(Timestamp(each.time.seconds, each.time.nanos))
    except LightError:
        time = ""
    return {
        "kind": MISBEHAVIOURS[each.type if known else 0],
        "validator": "0x" + each.validator.address.hex(),
        "height": each.height,
        "time": time,
    }


def _result(result: TxResult) -> dict[str, Any]:
    # Words are for CheckTx: in a block of junk they would outgrow what CometBFT reads of an answer.
    return {
        "code": result.code,
        "data": result.data,
        "gas_wanted": result.gas_wanted,
        "gas_used": result.gas_used,
    }


_ANSWERS: Final[dict[str, Callable[[Service, Any], dict[str, Any]]]] = {
    "Echo": lambda _service, request: {"message": request.message},
    "Flush": lambda _service, _request: {},
    "Info": Service.info,
    "InitChain": Service.init_chain,
    "CheckTx": Service.check_tx,
    "Query": Service.query,
    "PrepareProposal": Service.prepare_proposal,
    "ProcessProposal": Service.process_proposal,
    "FinalizeBlock": Service.finalize_block,
    "Commit": Service.commit,
    # Votes carry nothing of ours, and are valid as they are.
    "ExtendVote": lambda _service, _request: {},
    "VerifyVoteExtension": lambda _service, _request: {"status": ACCEPT},
    # There are no snapshots to give, and none is taken: a new node executes from genesis.
    "ListSnapshots": lambda _service, _request: {},
    "OfferSnapshot": lambda _service, _request: {"result": REJECT_OFFER},
    "LoadSnapshotChunk": lambda _service, _request: {},
    "ApplySnapshotChunk": lambda _service, _request: {"result": ABORT},
}


class Server:
    """The gRPC server, on a socket in a folder that only its owner can enter."""

    def __init__(self, service: Service, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="abci")
        options = [("grpc.max_receive_message_length", _MAX_MESSAGE)]
        self._server = grpc.server(self._threads, options=options)
        self._server.add_generic_rpc_handlers((service.handlers(),))

    def start(self) -> None:
        """Begin to answer. Raises NodeError if the socket cannot be made."""
        try:
            self._path.unlink(missing_ok=True)
            self._server.add_insecure_port(f"unix:{self._path}")
        except (OSError, RuntimeError) as error:
            raise NodeError(
                f"không mở được · cannot answer CometBFT on {self._path}: {error}"
            ) from error
        self._server.start()

    def stop(self) -> None:
        """Answer what is being asked, and return when that has ended."""
        self._server.stop(_STOP_SECONDS).wait()
        self._threads.shutdown()
