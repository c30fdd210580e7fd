# SPDX-License-Identifier: GPL-3.0-or-later
"""Businesses that submit as fast as the province takes it, at little cost to the machine they share.

Each is a process of its own. What it sends is made beforehand, in all of them at once, and lies in
a file that the kernel sends from: salting and signing are the business's work, and parsing our own
answers is nobody's. While sending, a client only writes and waits.
"""

import json
import multiprocessing
import os
import select
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection
from typing import IO, Any, Final

from anchor.batch import FIRST_PREV, build, note_hash, read_batch_note, split_body
from anchor.codes import parse_path
from anchor.record import salt
from bench.support import CLIENTS, GTIN, ORIGIN, Client, Door

DOORS: Final[dict[Door, tuple[str, str]]] = {
    "signed": ("/v1/batches", "application/vnd.moneo.batch"),
    "plain": ("/v1/records", "application/x-ndjson"),
}
# A journey: the records of one lot, in so many batches that follow one another, so many in each.
JOURNEY_BATCHES: Final = 6
JOURNEY_EACH: Final = 5
ANSWER_BYTES: Final = 64 * 1024
WAIT_SECONDS: Final = 120


@dataclass(frozen=True)
class Sent:
    """What one client sent: (began, acknowledged) of each batch, by the system's monotonic clock.

    `cpu` is the processor time that sending cost the client; `last` its last batch's id.
    """

    times: Sequence[tuple[float, float]]
    cpu: float
    last: str


def lot_of(tag: str, batch: int, size: int, index: int) -> str:
    """Return the lot that a record speaks of, by its batch's number and its place in there.

    Where a batch holds a multiple of JOURNEY_EACH records, a lot has JOURNEY_EACH of them in each
    of JOURNEY_BATCHES batches, so of every business.
    """
    return f"{tag}-{batch // JOURNEY_BATCHES}-{index % max(1, size // JOURNEY_EACH)}"


def fields(lot: str, number: str) -> dict[str, Any]:
    """Return 8 fields of a shipment, about 490 bytes of JSON, that speak of one lot."""
    return {
        "eventTime": "2026-11-20T23:30:00Z",
        "eventTimeZoneOffset": "+07:00",
        "bizStep": "shipping",
        "quantityList": [
            {"epcClass": f"https://id.gs1.org{GTIN}/10/{lot}", "quantity": 10, "uom": "CT"}
        ],
        "moneo:product": "Cua Cà Mau loại 1, hộp 3 kg (mẫu)",
        "moneo:place": "Nhà sơ chế HTX Cua Mẫu, xã Tân Ân, tỉnh Cà Mau (mẫu), khu vực tiếp nhận 1",
        "moneo:document": f"PX-{number}",
        "moneo:note": "Kiểm tra cảm quan đạt, nhiệt độ xe 4 độ, niêm phong nguyên vẹn khi giao.",
    }


class Maker:
    """Makes one business's batches, which follow one another."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._signer = client.signer() if client.key else None
        self._seq, self._prev = 0, FIRST_PREV
        self._places = [(0, FIRST_PREV)]

    def bodies(self, tag: str, size: int, count: int) -> Iterator[bytes]:
        """Yield `count` bodies of `size` records each, for the door that the business uses."""
        self._places = [(self._seq, self._prev)]
        for _ in range(count):
            batch = self._seq * CLIENTS + self._client.number % CLIENTS
            yield self._signed(tag, batch, size) if self._signer else _events(tag, batch, size)
            self._seq += 1
            self._places.append((self._seq, self._prev))

    def rewind(self, sent: int) -> None:
        """Go back to where only the first so many of the newest `bodies` have been sent."""
        self._seq, self._prev = self._places[sent]

    def _signed(self, tag: str, batch: int, size: int) -> bytes:
        assert self._signer is not None
        records = [
            salt(
                content,
                type="epcis.objectevent",
                mode="live",
                codes=[parse_path(f"{GTIN}/10/{lot}")],
            )
            for lot, content in _contents(tag, batch, size)
        ]
        place = {"seq": self._seq, "prev": self._prev, "time": int(time.time())}
        body = build(records, self._signer, log=ORIGIN, **place)  # type: ignore[arg-type]
        self._prev = note_hash(read_batch_note(split_body(body)[0])[1])
        return body


def _contents(tag: str, batch: int, size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for index in range(size):
        lot = lot_of(tag, batch, size, index)
        yield lot, fields(lot, f"{batch:05d}{index:04d}")


def _events(tag: str, batch: int, size: int) -> bytes:
    contents = (content for _, content in _contents(tag, batch, size))
    lines = ({"type": "ObjectEvent", **content} for content in contents)
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


class Sender:
    """A client process: `load` what it sends, let it `go`, and ask what it has `sent`."""

    def __init__(self, listen: str, client: Client) -> None:
        self._pipe, end = multiprocessing.Pipe()
        arguments = (listen, client, end)
        self._process = multiprocessing.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()

    def load(self, tag: str, size: int, count: int) -> None:
        """Have it make `count` batches; `ready` waits for them."""
        self._pipe.send((tag, size, count))

    def ready(self) -> None:
        """Wait until all is made and on the disk."""
        self._answer()

    def go(self, until: float = inf) -> None:
        """Let it send all that it has made, or what it can begin until then (`time.perf_counter`)."""
        self._pipe.send(until)

    def poll(self) -> bool:
        """Whether all is acknowledged."""
        return self._pipe.poll()

    def sent(self) -> Sent:
        """Wait until all is acknowledged."""
        found = self._answer()
        assert isinstance(found, Sent)
        return found

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()

    def _answer(self) -> object:
        while not self._pipe.poll(1):
            if not self._process.is_alive():
                raise RuntimeError("a client's process has ended")
        found: object = self._pipe.recv()
        if isinstance(found, Exception):
            raise found
        return found


def send_at_once(
    senders: Sequence[Sender], tag: str, size: int, each: int, seconds: float = inf
) -> list[Sent]:
    """Have all clients make `each` batches, then send them at the same time, for so long at most."""
    for sender in senders:
        sender.load(tag, size, each)
    for sender in senders:
        sender.ready()
    until = time.perf_counter() + seconds
    for sender in senders:
        sender.go(until)
    return [sender.sent() for sender in senders]


def _serve(listen: str, client: Client, pipe: Connection) -> None:
    """Be one client."""
    maker = Maker(client)
    while True:
        tag, size, count = pipe.recv()
        try:
            # On the disk before the clock starts, so that writing it back disturbs nobody's fsync.
            with tempfile.TemporaryFile() as spool:
                lengths = [spool.write(body) for body in maker.bodies(tag, size, count)]
                spool.flush()
                os.fsync(spool.fileno())
                pipe.send(len(lengths))
                sent = _send(listen, client, spool, lengths, pipe.recv())
                maker.rewind(len(sent.times))
                pipe.send(sent)
        except (OSError, RuntimeError) as error:
            pipe.send(error)


def _send(
    listen: str, client: Client, spool: IO[bytes], lengths: Sequence[int], until: float
) -> Sent:
    path, kind = DOORS["signed" if client.key else "plain"]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {listen}\r\nAuthorization: Bearer {client.token}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: "
    )
    host, _, port = listen.rpartition(":")
    times, at, before, answer = [], 0, time.process_time(), b""
    with socket.create_connection((host, int(port)), timeout=WAIT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for length in lengths:
            if (began := time.perf_counter()) > until:
                break
            connection.sendall(f"{head}{length}\r\n\r\n".encode(), socket.MSG_MORE)
            _send_file(connection, spool, at, length)
            answer = _answer(connection)
            times.append((began, time.perf_counter()))
            at += length
    return Sent(times, time.process_time() - before, str(json.loads(answer)["batch"]))


def _send_file(connection: socket.socket, spool: IO[bytes], at: int, length: int) -> None:
    while length:
        try:
            sent = os.sendfile(connection.fileno(), spool.fileno(), at, length)
        except BlockingIOError:
            # A socket with a timeout does not block; the answer is waited for by `recv`.
            select.select([], [connection], [], WAIT_SECONDS)
            continue
        at, length = at + sent, length - sent


def _answer(connection: socket.socket) -> bytes:
    """Return the body of a 202."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += _receive(connection)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        int(line[15:])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += _receive(connection)
    if not head.startswith(b"HTTP/1.1 202"):
        raise RuntimeError(f"the province answered {head[:32]!r}: {body[:500]!r}")
    return body


def _receive(connection: socket.socket) -> bytes:
    if not (chunk := connection.recv(ANSWER_BYTES)):
        raise RuntimeError("the province closed the connection")
    return chunk
