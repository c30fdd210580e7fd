# SPDX-License-Identifier: GPL-3.0-or-later
"""CometBFT in the place of the built-in sequencer: begun, asked and ended as that one is.

CometBFT is told whom to call, and again while they are not there: by itself it gives up after some
hours, and after some refusals at once. It does not hang up on a peer either, nor change its key.
Where a removed member's node is still connected, or the members have decided on a new key of ours,
CometBFT is ended and begun again; for a removal all do so in turn, and then `Peers` keeps it out.

A transaction reaches the others through CometBFT's mempool, with one condition: those before it are
there already, or come within `TURN_SECONDS`. Which header shows an EVM block is stored with the
height; the light block itself is CometBFT's to keep.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final

from node.abci.client import Client, CometRefused, CometSilent
from node.abci.home import APPLICATION_SOCKET, RPC_SOCKET, Peering, node_id, prepare
from node.abci.peers import Peers
from node.abci.process import Process, check_version, find_program
from node.abci.service import POOL_CODESPACE, Server, Service, read_misbehaviour
from node.application import Application
from node.card import Card
from node.errors import ChainError, Code, NodeError, NotReady, TransactionRefused, UnknownBlock
from node.genesis import load_validator_key
from node.known import KnownCards
from node.light import to_rpc, validator_address
from node.mempool import Mempool, NotTaken
from node.newkey import take_next_key
from node.orderer import Consensus, Peer
from node.sequencer import final_key, light_key
from node.signed import RESTORED_FILE

# Clients send several transactions at once and over several connections.
TURN_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.01
# From one member's restart to the next one's, when all have to drop a peer.
STAGGER_SECONDS: Final = 2.0
# How often those are called that should be peers and are not.
CALL_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 0.5
# CometBFT has far fewer.
_MAX_PEERS: Final = 256
# CometBFT's ErrTxInCache.
_KNOWN: Final = "tx already exists in cache"

_log = logging.getLogger("moneo.node")


class CometOrderer:
    """One of many validators' orderers. Reading is for any thread."""

    def __init__(
        self,
        application: Application,
        validator: bytes,
        folder: Path,
        program: Path,
        on_failure: Callable[[], None] = lambda: None,
        peers: Peers | None = None,
        renew: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        """Get ready to run `program` in `folder`; `validator` is this validator's address.

        `on_failure` is called, from any thread, if it cannot go on; `failure` then holds the reason.
        `peers` are let in and called, nobody without it. `renew` takes up a new validator's key that
        the members have decided on, and returns its address; None if there is none.
        """
        self.validator = validator
        self.failure: BaseException | None = None
        # What has no gap before it runs as soon as there are blocks: nothing is forgotten for its age.
        self.mempool = Mempool(application.next_nonce, clock=lambda: 0.0)
        self._application = application
        self._on_failure = on_failure
        self._failing = Lock()
        self._restarting = Lock()
        self._stopping = Event()
        # Set when members have changed, and with them who may be a peer.
        self._look = Event()
        self._client = Client(folder / RPC_SOCKET)
        self._rpc_socket = folder / RPC_SOCKET
        self._renew = renew
        self._peers = peers or Peers(application.chain, b"", ())
        service = Service(
            application, self.mempool, self._fail, self._peers.is_allowed, self._look.set
        )
        self._server = Server(service, folder / APPLICATION_SOCKET)
        self._program, self._folder = program, folder
        self._process = Process(program, folder, self._ended)
        self._keeper = Thread(target=self._follow, name="members", daemon=True)
        self._caller = Thread(target=self._call_peers, name="calls", daemon=True)

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
        self._keeper.start()
        self._caller.start()

    def stop(self) -> None:
        """End CometBFT, and then what answers it."""
        self._stopping.set()
        self._look.set()
        with self._restarting:
            self._process.stop()
        for thread in (self._keeper, self._caller):
            if thread.is_alive():
                thread.join()
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

    def consensus(self) -> Consensus:
        """Return how consensus does, as CometBFT says. Raises NotReady."""
        try:
            sync = self._client.ask("status")["sync_info"]
            height = int(sync["latest_block_height"])
            newest = self._client.light_block(height) if height else None
        except CometRefused as error:
            raise NotReady(f"CometBFT cannot say yet: {error}") from error
        return Consensus(
            newest,
            bool(sync["catching_up"]),
            self._connected(),
            read_misbehaviour(self._application),
        )

    def is_catching_up(self) -> bool:
        """Return whether CometBFT is fetching old blocks, or is not there yet."""
        try:
            return bool(self._client.ask("status")["sync_info"]["catching_up"])
        except (CometSilent, CometRefused):
            return True

    def peer_count(self) -> int:
        """Return how many peers are connected. Raises NotReady."""
        return len(self._connected())

    def _connected(self) -> tuple[Peer, ...]:
        """Return CometBFT's peers. Raises CometSilent."""
        try:
            told = self._client.ask("net_info")["peers"][:_MAX_PEERS]
            return tuple(_peer(each["node_info"]) for each in told)
        except (CometRefused, KeyError, TypeError, ValueError) as error:
            raise CometSilent(f"CometBFT does not say who its peers are: {error}") from error

    # Calling who should be there

    def _call_peers(self) -> None:
        """Have CometBFT call the peers that it does not have, again and again, until `stop`."""
        pause = _RETRY_SECONDS
        while not self._stopping.wait(pause):
            try:
                pause = CALL_SECONDS if self._call_missing() else _RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - who calls nobody stands alone, and silently
                _log.exception("peers cannot be called")
                self._fail(error)
                return

    def _call_missing(self) -> bool:
        """Call those that are missing; return whether CometBFT could be asked."""
        try:
            there = {each.node_id.hex() for each in self._connected()}
        except CometSilent:
            return False
        for address in self._peers.addresses():
            if self._stopping.is_set():
                break
            if address.partition("@")[0] in there:
                continue
            # One by one: where a name cannot be looked up the others are called all the same.
            with suppress(CometSilent, CometRefused):
                self._client.ask("dial_peers", peers=[address])
        return True

    # Following what the members decide

    def _follow(self) -> None:
        """Change the key and drop peers, each time the members have decided something, until `stop`."""
        try:
            while self._look.wait() and not self._stopping.is_set():
                self._look.clear()
                self._wait_shown()
                self._take_key()
                self._drop_strangers()
        except Exception as error:  # noqa: BLE001 - who is not kept out would go on listening
            _log.exception("what the members have decided cannot be followed")
            self._fail(error)

    def _wait_shown(self) -> None:
        """Wait for the block that names the newest validators.

        It is the old ones' to sign, also theirs who leave and with the keys that are given up: where
        there are few, there is none without each vote.
        """
        era = self._application.chain.consortium.era
        while self.height < (self._application.era_height(era) or 0):
            if self._stopping.wait(_RETRY_SECONDS):
                return

    def _take_key(self) -> None:
        if address := self._renew():
            _log.info("signs with its new key from now on: %s", address.hex())
            self.validator = address
            self._restart()

    def _drop_strangers(self) -> None:
        if not self._strangers() or self._stopping.wait(self._peers.turn * STAGGER_SECONDS):
            return
        if strangers := self._strangers():
            _log.warning("no members' nodes any more, dropped: %s", ", ".join(strangers))
            self._restart()

    def _strangers(self) -> list[str]:
        """Return the ids of peers that would not be let in now."""
        while not self._stopping.is_set():
            try:
                found = self._connected()
            except CometSilent:
                self._stopping.wait(_RETRY_SECONDS)
            else:
                return [each.node_id.hex() for each in found if not self._is_allowed(each)]
        return []

    def _is_allowed(self, peer: Peer) -> bool:
        return self._peers.is_allowed(peer.node_id)

    def _restart(self) -> None:
        """End CometBFT and begin it again; what waited in its mempool is spread again."""
        with self._restarting:
            if self._stopping.is_set():
                return
            self._process.stop()
            waiting = self.mempool.take()
            self._rpc_socket.unlink(missing_ok=True)
            self._process = Process(self._program, self._folder, self._ended)
            self._process.start()
        for raw in waiting:
            self._spread_again(raw)

    def _spread_again(self, raw: bytes) -> None:
        while not self._stopping.is_set():
            try:
                self._client.broadcast(raw)
            except CometSilent:
                self._stopping.wait(_RETRY_SECONDS)
                continue
            except CometRefused:
                pass
            return

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
    cards: Callable[[], list[Card]] | None = None,
) -> CometOrderer:
    """Return the orderer of a node's home, with CometBFT's own files written.

    Peers are those of `peering` and of the members' cards, which are the home's if not given.
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
    cards = cards or KnownCards(home)
    own = bytes.fromhex(node_id(home))
    others = [each for each in application.chain.consortium.members if each.node_id != own]

    def is_new(key: bytes) -> bool:
        return bool(genesis.records) and key not in [each.validator_key for each in others]

    peers = Peers(application.chain, own, peering.peers, cards)

    def write() -> Path:
        return prepare(home, genesis, application.chain.hash_of(0), peering.listen, is_new)

    def address() -> bytes:
        return validator_address(load_validator_key(home).public_key().public_bytes_raw())

    def renew() -> bytes | None:
        return address() if take_next_key(home, application) and write() else None

    take_next_key(home, application)
    folder = write()
    return CometOrderer(application, address(), folder, program, on_failure, peers, renew)


def _peer(told: dict[str, Any]) -> Peer:
    return Peer(bytes.fromhex(told["id"]), str(told["listen_addr"]).removeprefix("tcp://"))
