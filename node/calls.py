# SPDX-License-Identifier: GPL-3.0-or-later
"""So that no question can delay a block: calls run in processes apart from the one that makes blocks.

A worker (`node.call_worker`) is a process of its own with a lower priority and bounded memory. It
has no database: what it needs of the state it asks for over a socket, by hash, and this side
answers from LevelDB. Whatever a call does, an endless loop or a precompile that takes seconds, it
has the gas of one block and `SECONDS` of the clock; then its process is killed and another takes
its place.

One message is a kind (1 byte), a length (4 bytes, big-endian) and that many bytes. The worker sends
`READY` when it has started, and is sent `CALL` (JSON); it sends `NODE` (a 32-byte hash) or `HASH` (a block number, 8 bytes) and each
is answered with `VALUE` (a byte 1 and the bytes, or a byte 0 for "not here"), at last `DONE`
(JSON). Nothing but bytes and plain JSON is taken from it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Lock
from typing import Any, Final

from node.chain import Chain
from node.errors import NodeError, UnknownBlock

SECONDS: Final = 5.0
WORKERS: Final = 2
# How long a call may wait for a free worker before it is turned away.
QUEUE_SECONDS: Final = 5.0
# To start and to load the EVM, on a slow machine with other things to do.
START_SECONDS: Final = 60.0
MAX_MESSAGE: Final = 16 * 1024 * 1024

READY: Final = b"R"
CALL: Final = b"C"
NODE: Final = b"N"
HASH: Final = b"H"
VALUE: Final = b"V"
DONE: Final = b"D"
_HEAD: Final = struct.Struct(">cI")
_ROOT: Final = Path(__file__).resolve().parent.parent


class CallFailed(NodeError):  # noqa: N818 - what became of a call
    """A call did not come to an end: out of gas, an invalid opcode, value without funds."""


class CallReverted(CallFailed):
    """A call reverted; `data` is what the contract returned as the reason."""

    def __init__(self, data: bytes) -> None:
        super().__init__("execution reverted")
        self.data = data


class CallStopped(CallFailed):
    """A call was stopped after `SECONDS`, or its worker came to an end."""


class CallsBusy(CallFailed):
    """Every worker is at work and enough calls are waiting already."""


class ChannelClosed(NodeError):  # noqa: N818 - a state of the channel
    """The other process has gone, or has not kept to the protocol."""


# EIP-2930: addresses (20 bytes), each with slots (32 bytes).
AccessList = tuple[tuple[bytes, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A message call upon a block's state; `to` is None for a creation, amounts are in wei."""

    to: bytes | None
    sender: bytes
    data: bytes
    value: int
    gas: int
    access_list: AccessList = ()


@dataclass(frozen=True, slots=True)
class Accessed:
    """What a call touches, what it uses with that as its access list, and why it failed if it did."""

    accesses: AccessList
    gas_used: int
    error: str | None


class Channel:
    """Messages over a connected stream socket, read whole and within `MAX_MESSAGE`."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, kind: bytes, payload: bytes) -> None:
        """Send a message. Raises ChannelClosed, TimeoutError."""
        try:
            self._socket.sendall(_HEAD.pack(kind, len(payload)) + payload)
        except (BrokenPipeError, ConnectionError) as error:
            raise ChannelClosed("the other process has gone") from error

    def receive(self, deadline: float | None = None) -> tuple[bytes, bytes]:
        """Return the next message. Raises ChannelClosed, and TimeoutError after `deadline`."""
        kind, size = _HEAD.unpack(self._exactly(_HEAD.size, deadline))
        if size > MAX_MESSAGE:
            raise ChannelClosed("a message is too long")
        return kind, self._exactly(size, deadline)

    def end(self) -> None:
        """End the conversation; who waits for a message, in any thread, gets ChannelClosed."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back; nobody may be using it."""
        self._socket.close()

    def _exactly(self, size: int, deadline: float | None) -> bytes:
        buffer = bytearray()
        while len(buffer) < size:
            self._socket.settimeout(_remaining(deadline))
            try:
                chunk = self._socket.recv(size - len(buffer))
            except ConnectionError as error:
                raise ChannelClosed("the other process has gone") from error
            if not chunk:
                raise ChannelClosed("the other process has gone")
            buffer += chunk
        return bytes(buffer)


class _Worker:
    """One worker process and this side's end of its socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P keeps the caller's folder off the path: only this package's own is on it.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "node.call_worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )
        self.channel = Channel(ours)
        self._ready = False

    def wait_ready(self) -> None:
        """Wait for the worker's own start, which no call is charged for."""
        if not self._ready:
            kind, _ = self.channel.receive(time.monotonic() + START_SECONDS)
            if kind != READY:
                raise ChannelClosed("the worker begins with something else")
            self._ready = True

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self.channel.end()
        self._process.kill()
        self._process.wait()


class CallPool:
    """A few workers for calls upon the states of one chain. Any thread may call."""

    def __init__(self, chain: Chain, *, workers: int = WORKERS, seconds: float = SECONDS) -> None:
        """Start the workers; they get ready while this goes on."""
        self._chain = chain
        self._seconds = seconds
        self._lock = Lock()
        self._closed = False
        self._all: set[_Worker] = set()
        self._idle: Queue[_Worker] = Queue()
        for _ in range(workers):
            self._hire()

    def call(self, call: Call, number: int) -> bytes:
        """Return what a call returns upon the state of block `number`.

        Raises CallFailed (its kinds say why) and UnknownBlock.
        """
        result = self._run("call", call, number)
        return bytes.fromhex(result["data"])

    def estimate(self, call: Call, number: int) -> int:
        """Return the least gas that a transaction making this call needs, up to `call.gas`.

        It is at most 1.5% too much. Raises as `call` does.
        """
        return int(self._run("estimate", call, number)["gas"])

    def access_list(self, call: Call, number: int) -> Accessed:
        """Return what a call touches beyond its sender, its target and the precompiles.

        A call that reverts has an answer too. Raises CallStopped, CallsBusy and UnknownBlock.
        """
        result = self._run("access_list", call, number)
        accesses = tuple(
            (bytes.fromhex(address), tuple(bytes.fromhex(slot) for slot in slots))
            for address, slots in result["accesses"]
        )
        return Accessed(accesses, int(result["gas"]), result["error"])

    def pids(self) -> list[int]:
        """Return the process ids of the workers."""
        with self._lock:
            return sorted(worker.pid for worker in self._all)

    def close(self) -> None:
        """End all workers; a call that one is at is stopped, and so is every later one."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
            while not self._idle.empty():
                self._idle.get().channel.close()
        for worker in workers:
            worker.kill()

    def _hire(self) -> None:
        with self._lock:
            if not self._closed:
                worker = _Worker()
                self._all.add(worker)
                self._idle.put(worker)

    def _dismiss(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.kill()
        worker.channel.close()
        self._hire()

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if self._closed:
                worker.channel.close()
            else:
                self._idle.put(worker)

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        """Lend a worker; one that fails to answer is replaced."""
        if self._closed:
            raise CallStopped("the node is stopping")
        try:
            worker = self._idle.get(timeout=QUEUE_SECONDS)
        except Empty as error:
            raise CallsBusy("all workers are busy: try again later") from error
        try:
            yield worker
        except (TimeoutError, ChannelClosed) as error:
            self._dismiss(worker)
            seconds = f"{self._seconds:g} s"
            raise CallStopped(f"execution stopped: it has at most {seconds}") from error
        except BaseException:
            # Half a conversation is left in the socket.
            self._dismiss(worker)
            raise
        else:
            self._give_back(worker)

    def _run(self, mode: str, call: Call, number: int) -> dict[str, Any]:
        header = self._chain.header_rlp(number)
        order = {
            "mode": mode,
            "header": header.hex(),
            "chain_id": self._chain.chain_id,
            "to": None if call.to is None else call.to.hex(),
            "sender": call.sender.hex(),
            "data": call.data.hex(),
            "value": call.value,
            "gas": call.gas,
            "access_list": [
                [address.hex(), [slot.hex() for slot in slots]]
                for address, slots in call.access_list
            ],
        }
        with self._worker() as worker:
            worker.wait_ready()
            result = self._converse(worker.channel, json.dumps(order).encode())
        return _judged(result)

    def _converse(self, channel: Channel, order: bytes) -> dict[str, Any]:
        deadline = time.monotonic() + self._seconds
        channel.send(CALL, order)
        while True:
            kind, payload = channel.receive(deadline)
            if kind == DONE:
                result: dict[str, Any] = json.loads(payload)
                return result
            channel.send(VALUE, self._answer(kind, payload))

    def _answer(self, kind: bytes, payload: bytes) -> bytes:
        answers: Mapping[bytes, Callable[[bytes], bytes | None]] = {
            NODE: self._chain.state_node,
            HASH: self._block_hash,
        }
        if kind not in answers:
            raise ChannelClosed("the worker asks for what there is not")
        value = answers[kind](payload)
        return b"\0" if value is None else b"\1" + value

    def _block_hash(self, number: bytes) -> bytes | None:
        try:
            return self._chain.hash_of(int.from_bytes(number, "big"))
        except UnknownBlock:
            return None


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _judged(result: dict[str, Any]) -> dict[str, Any]:
    if "reverted" in result:
        raise CallReverted(bytes.fromhex(result["reverted"]))
    if "failed" in result:
        raise CallFailed(result["failed"])
    return result
