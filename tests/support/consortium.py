# SPDX-License-Identifier: GPL-3.0-or-later
"""Many provinces on one machine, to be killed, stopped and cut off from each other.

Each has a data folder of its own, a node with the real CometBFT and, where a test wants them, its
anchor process and API. Each has a loopback address of its own. Peers call each other through relays, which can
be cut; ordinary members of `moneo` run, forked (tests.support.victims). What ends by itself, as a
node does when its CometBFT is killed, is started again while `keeping`, as `moneo serve` would.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_keys.datatypes import PrivateKey

import contracts
from anchor.keys import create_private_key, load_member_key, load_private_key
from anchor.note import Signer
from anchor.province import found, member_address
from anchor.settings import Settings
from node import governance
from node.abci.home import FOLDER, node_id
from node.chain import Chain
from node.db import LevelDB
from node.genesis import (
    CHAIN_FOLDER,
    GAS_LIMIT,
    GENESIS_FILE,
    KEY_FILE,
    Genesis,
    consortium,
    encode,
    load,
    load_validator_key,
)
from node.light import format_time, keccak256, timestamp
from node.overview import Member
from tests.support.comet import WAIT_SECONDS, Comet, Rpc, wait_until
from tests.support.loopback import free_addresses
from tests.support.node_core import CONSORTIUM, Call, calldata
from tests.support.province import answers
from tests.support.relays import Cut, Relays
from tests.support.victims import STOP_SECONDS, Forked, driver

CHAIN_ID = 7_700_000_000_038
GAS = 1_000_000
# Seconds between two anchors at least.
INTERVAL = 0.2
# A call that every member may make at any time.
HOSTS = "change_hosts(bytes20,bytes32)"
RESEND_SECONDS = 3.0
# The number of a province's twin is so much higher than its own.
TWIN = 100
NODE = ("node",)
ALL = ("node", "anchor", "api")
_NODE_KEY = "config/node_key.json"


@dataclass(frozen=True)
class Place:
    """A province: where its data lies and where its CometBFT listens."""

    settings: Settings
    peer: str

    @property
    def home(self) -> Path:
        return self.settings.node_home

    @property
    def rpc(self) -> Rpc:
        return Rpc(self.settings.rpc)

    @property
    def comet(self) -> Comet:
        return Comet(self.home)

    @cached_property
    def account(self) -> PrivateKey:
        return PrivateKey(load_member_key(self.settings.member_key))

    @cached_property
    def member(self) -> contracts.Member:
        """Its record, as it is founded or applies with it."""
        log = Signer(self.settings.origin, load_private_key(self.settings.log_key))
        hidden = [sha256(f"{self.settings.name} {what}".encode()).digest() for what in ("n", "h")]
        return contracts.Member(
            account=member_address(load_member_key(self.settings.member_key)),
            validator_key=load_validator_key(self.home).public_key().public_bytes_raw(),
            node_id=bytes.fromhex(node_id(self.home)),
            origin=sha256(self.settings.origin.encode()).digest(),
            log_key_id=log.key_hash,
            name=hidden[0],
            hosts=hidden[1],
        )

    @property
    def called(self) -> str:
        """What other nodes, which have no card of it, call it for people."""
        return Member("0x" + self.member.account.hex()).called

    def admission(self) -> bytes:
        """What shows that it holds its keys."""
        path = self.home / FOLDER / _NODE_KEY
        node_key = Ed25519PrivateKey.from_private_bytes(_seed_of(path))
        keys = (self.account, load_validator_key(self.home), node_key)
        log = load_private_key(self.settings.log_key)
        return governance.admission_proof(CHAIN_ID, self.member, *keys, log)

    def call(self, nonce: int, signature: str, *values: Any, gas: int = GAS) -> bytes:
        """Sign a call of Consortium with its member's key."""
        data = calldata(signature, *values)
        call = Call(nonce, CONSORTIUM, data, gas, chain_id=CHAIN_ID, key=self.account)
        return call.typed()

    def nonce(self) -> int:
        account = "0x" + self.member.account.hex()
        return int(self.rpc("eth_getTransactionCount", account, "pending"), 16)

    def evm_hashes(self) -> list[bytes]:
        """Return the hash of every EVM block on its disk; its node must have ended."""
        database = LevelDB(self.home / CHAIN_FOLDER)
        try:
            chain = Chain(database, load(self.home))
            return [chain.hash_of(number) for number in range(chain.head().block_number + 1)]
        finally:
            database.close()


def _seed_of(path: Path) -> bytes:
    value: str = json.loads(path.read_bytes())["priv_key"]["value"]
    return base64.b64decode(value)[:32]


def _new_place(folder: Path, number: int) -> Place:
    api, rpc, peer = free_addresses(3, number)
    origin = f"moneo.example/province{number}/2026"
    settings = Settings(
        folder / str(number),
        f"Tỉnh {number}",
        origin,
        (api,),
        rpc,
        INTERVAL,
        listen=api,
        public_url=f"http://{api}",
        # All share this machine's cores.
        workers=1,
    )
    found(settings)
    settings.node_home.mkdir(mode=0o700)
    create_private_key(settings.node_home / KEY_FILE)
    return Place(settings, peer)


class Starter(Protocol):
    """Who starts commands of `moneo`."""

    def start(
        self, command: Sequence[str], output: Path, *, first: Sequence[str] = ()
    ) -> Forked: ...


class Consortium:
    """Provinces by number, from 1, and their processes. Leaving the `with` block ends all of them."""

    def __init__(
        self,
        folder: Path,
        count: int,
        founders: int = 0,
        gas_limit: int = GAS_LIMIT,
        starter: Starter | None = None,
    ) -> None:
        """Found provinces below a folder; of so many of them, if not all, is the chain's founding.

        `starter` starts their processes, forked ones without it.
        """
        self.folder = folder
        self.places = {n: _new_place(folder, n) for n in range(1, count + 1)}
        # What a province's node does first, for those that are not what they should be.
        self.first: dict[int, Sequence[str]] = {}
        self.relays = Relays()
        self._targets: dict[tuple[int, int], str] = {}
        self._starter = starter or driver()
        self._running: dict[tuple[int, str], Forked] = {}
        self._lock = threading.RLock()
        self._is_kept: set[tuple[int, str]] = set()
        self.restarts = 0
        genesis = consortium(
            "faults-0123456789abcdef",
            CHAIN_ID,
            format_time(timestamp(time.time_ns() - 60 * 10**9)),
            [place.member for place in self.places.values()][: founders or count],
            gas_limit,
        )
        self.genesis: Genesis = genesis
        for number in list(self.places):
            self._settle_in(number)

    def __enter__(self) -> Consortium:
        return self

    def __exit__(self, *_: object) -> None:
        for number in self.places:
            # SIGKILL ends what stands still, too.
            self.kill(number)
        self.relays.close()

    def __getitem__(self, number: int) -> Place:
        return self.places[number]

    def join(self) -> int:
        """Make one more province, whose node may be started; return its number."""
        number = len(self.places) + 1
        self.places[number] = _new_place(self.folder, number)
        self._settle_in(number)
        return number

    def twin(self, number: int) -> int:
        """Copy the home of a province whose node has ended, keys and all; return the copy's number.

        The others take its node for the province's own, whichever of the two they hear first.
        """
        copy = number + TWIN
        self.places[copy] = _new_place(self.folder, copy)
        shutil.rmtree(self[copy].home)
        shutil.copytree(self[number].home, self[copy].home)
        self._settle_in(copy)
        return copy

    def _settle_in(self, number: int) -> None:
        (self[number].home / GENESIS_FILE).write_bytes(encode(self.genesis))
        for other in self.places:
            for pair in {(number, other), (other, number)} - {(number, number)}:
                if pair not in self._targets:
                    self._targets[pair] = self.relays.open(pair, self[pair[1]].peer)

    # Processes

    def start(self, number: int, names: Iterable[str] = NODE, keep: bool = False) -> None:
        """Start processes of a province, to be started again if they end, if `keep`."""
        for name in names:
            with self._lock:
                first = self.first.get(number, ()) if name == "node" else ()
                output = self[number].settings.data / f"{name}.output"
                command = self._command(number, name)
                self._running[number, name] = self._starter.start(command, output, first=first)
                if keep:
                    self._is_kept.add((number, name))

    def _command(self, number: int, name: str) -> list[str]:
        place = self[number]
        if name != "node":
            return [f"run-{name}", "--data", str(place.settings.data)]
        words = ["node", "run", "--home", str(place.home), "--rpc", place.settings.rpc]
        words += ["--comet", place.peer]
        for (one, other), relay in self._targets.items():
            if one == number and other in self.places:
                words += ["--peer", f"{node_id(self[other].home)}@{relay}"]
        return words

    def wait_up(self, *numbers: int) -> None:
        """Wait until nodes of provinces answer and their chain has begun."""
        for number in numbers or self.places:
            wait_until(f"province {number}", self[number].rpc.is_up)

    def wait_api(self, *numbers: int) -> None:
        """Wait until APIs answer, and there is a trust file."""
        for number in numbers:
            url = f"{self[number].settings.public_url}/healthz"
            wait_until(f"API {number}", lambda url=url: answers(url))  # type: ignore[misc]
            wait_until(f"trust {number}", self[number].settings.trust_path.exists)

    def is_running(self, number: int, name: str = "node") -> bool:
        with self._lock:
            process = self._running.get((number, name))
            return process is not None and not process.has_ended()

    def kill(self, number: int, names: Iterable[str] = ALL) -> None:
        """Kill processes of a province, CometBFT with its node, and leave them dead."""
        for name in names:
            with self._lock:
                self._is_kept.discard((number, name))
                if process := self._running.pop((number, name), None):
                    process.kill()
                    process.close()

    def kill_again(self, number: int, what: str) -> None:
        """Kill the node ("node") or the CometBFT ("comet") of a province that is kept."""
        # Not under the lock: whoever starts it again has to get at it.
        pid = self.pid(number) if what == "node" else self.comet_pid(number)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def stop(self, *numbers: int) -> None:
        """Ask processes of provinces to end, the nodes last, and wait until they have."""
        for name in reversed(ALL):
            with self._lock:
                self._is_kept -= {(number, name) for number in numbers}
                found = [self._running.pop((number, name), None) for number in numbers]
            ending = [each for each in found if each]
            for process in ending:
                process.ask_to_end()
            for process in ending:
                process.has_ended(STOP_SECONDS)
                process.close()

    def pid(self, number: int, name: str = "node") -> int:
        """Return a process id."""
        with self._lock:
            return self._running[number, name].pid

    def comet_pid(self, number: int) -> int:
        """Return the process id of a province's CometBFT; wait until there is one."""

        def find() -> int:
            return next((pid for pid in children(self.pid(number)) if _is_comet(pid)), 0)

        return int(wait_until(f"CometBFT {number}", find))

    def pause(self, number: int) -> None:
        """Stop node and CometBFT of a province where they stand (SIGSTOP)."""
        comet = self.comet_pid(number)
        for pid in (self.pid(number), comet):
            os.kill(pid, signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """Let them go on (SIGCONT)."""
        node = self.pid(number)
        for pid in (*children(node), node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Start again what ends by itself and is kept, as `moneo serve` does."""
        ending = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ending,), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ending.set()
            keeper.join()

    def _keep(self, ending: threading.Event) -> None:
        while not ending.wait(0.1):
            with self._lock:
                for number, name in list(self._is_kept):
                    process = self._running[number, name]
                    if process.has_ended():
                        # Its workers may be there for a moment, and CometBFT with its sockets.
                        process.kill()
                        process.close()
                        self.start(number, (name,), keep=True)
                        self.restarts += 1

    # The network

    def cut(self, left: Iterable[int], right: Iterable[int], how: Cut = "closed") -> None:
        self.relays.cut(left, right, how)

    def heal(self) -> None:
        self.relays.heal()

    # What the chain says

    def head(self, number: int) -> str:
        """Return the hash of the newest EVM block of a node; nothing while it does not answer."""
        with suppress(httpx.TransportError):
            return str(self[number].rpc("moneo_status")["blockHash"])
        return ""

    def wait_one_head(self, *numbers: int) -> None:
        """Wait until nodes have the same newest EVM block."""
        wanted = numbers or tuple(self.places)

        def is_one() -> bool:
            heads = {self.head(number) for number in wanted}
            return len(heads) == 1 and "" not in heads

        wait_until("one head", is_one)

    def send(self, raw: bytes, *through: int) -> None:
        """Send a transaction through some nodes; the others hear of it."""
        for number in through:
            self[number].rpc("eth_sendRawTransaction", "0x" + raw.hex())

    def decide(self, kind: str, proof: bytes, voters: Sequence[int], **values: Any) -> list[bytes]:
        """Propose as the first voter, and let the others vote for it, each through its own node.

        Return the transactions.
        """
        number, payload = contracts.kind_number(kind), contracts.encode_payload(kind, **values)
        slot = hex(contracts.CONSORTIUM_SLOTS["proposal_count"])
        proposer, *others = (self[voter] for voter in voters)
        told = proposer.rpc("eth_getStorageAt", "0x" + CONSORTIUM.hex(), slot, "latest")
        proposal = int(told, 16) + 1
        sent = [_succeed(proposer, "propose(uint256,bytes,bytes)", number, payload, proof)]
        for voter in others:
            vote = (proposal, True, number, payload)
            sent.append(_succeed(voter, "vote(uint256,bool,uint256,bytes)", *vote))
        return sent


def _succeed(place: Place, signature: str, *values: Any) -> bytes:
    raw = place.call(place.nonce(), signature, *values)
    tx_hash = place.rpc("eth_sendRawTransaction", "0x" + raw.hex())
    receipt = wait_until(signature, lambda: place.rpc("eth_getTransactionReceipt", tx_hash))
    assert receipt["status"] == "0x1", receipt
    return raw


class Chatter(threading.Thread):
    """Sends transactions of one province, each when the one before has been executed, until `end`."""

    def __init__(self, consortium: Consortium, number: int) -> None:
        super().__init__(daemon=True)
        self._consortium, self._place = consortium, consortium[number]
        self._ending, self._giving_up = threading.Event(), threading.Event()
        self.executed, self._first = 0, self._place.nonce()
        self.start()

    def run(self) -> None:
        nonce = self._first
        while not self._ending.is_set():
            self._execute(nonce)
            nonce += 1

    def end(self) -> int:
        """Stop when what was sent is executed; return how many were, the province's earlier ones too."""
        self._ending.set()
        self.join(WAIT_SECONDS)
        assert not self.is_alive(), "a transaction is not executed"
        return self._first + self.executed

    def give_up(self) -> None:
        """Stop at once."""
        self._ending.set()
        self._giving_up.set()
        self.join()

    def _execute(self, nonce: int) -> None:
        hosts = sha256(nonce.to_bytes(8, "big")).digest()
        raw = self._place.call(nonce, HOSTS, self._place.member.node_id, hosts)
        asked = 0.0
        while not self._giving_up.is_set():
            with suppress(httpx.TransportError):
                if time.monotonic() - asked > RESEND_SECONDS:
                    asked = time.monotonic()
                    # Refused, once the node has it: what counts is the receipt.
                    self._place.rpc.ask("eth_sendRawTransaction", "0x" + raw.hex())
                if self._place.rpc.ask(
                    "eth_getTransactionReceipt", "0x" + keccak256(raw).hex()
                ).get("result"):
                    self.executed += 1
                    return
            self._giving_up.wait(0.05)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that are there."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def _is_comet(pid: int) -> bool:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return words[0].endswith(b"cometbft")
    return False


def same_history(places: Mapping[int, Place]) -> int:
    """Check that the ended nodes of provinces have the same EVM blocks; return how many they share."""
    told = {number: place.evm_hashes() for number, place in places.items()}
    shortest = min(map(len, told.values()))
    first = next(iter(told.values()))[:shortest]
    for number, hashes in told.items():
        assert hashes[:shortest] == first, f"province {number} has other blocks"
    return shortest
