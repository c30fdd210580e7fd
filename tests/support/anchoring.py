# SPDX-License-Identifier: GPL-3.0-or-later
"""A province on a real node: founded in a folder, with issuers that sign real batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anchor.batch import FIRST_PREV, build, note_hash, read_batch_note, split_body
from anchor.chain import Chain
from anchor.codes import parse_path
from anchor.issuers import Custody, Issuer
from anchor.keys import load_member_key, load_private_key, request
from anchor.note import Signer
from anchor.pipeline import Anchored, Pipeline
from anchor.province import Province, found
from anchor.record import Record, salt
from anchor.run import serve
from anchor.settings import Settings, load
from anchor.store import Store
from anchor.tiles import Log
from node.genesis import found as found_chain
from node.light import timestamp
from node.run import Node, listen

ORIGIN = "test.example/camau/2026"
CODE = parse_path("/01/09521234543213/10/LO-1")
ORGANISATION = "coop"
WAIT_SECONDS = 30.0


def found_province(data: Path, origin: str = ORIGIN, **changes: object) -> Settings:
    """Found a province's folder and a chain whose only member it is."""
    settings = replace(
        Settings(data, "Cà Mau", origin, hosts=("test.example",), interval=0.05),
        **changes,  # type: ignore[arg-type]
    )
    address = found(settings)
    found_chain(settings.node_home, "test", [address], timestamp(time.time_ns()))
    return settings


def found_beside(data: Path, other: Settings, origin: str) -> Settings:
    """Found a province's folder for another log of the same member on the same chain."""
    settings = replace(other, data=data, origin=origin)
    found(settings)
    settings.member_key.write_bytes(other.member_key.read_bytes())
    return settings


@contextmanager
def running_node(settings: Settings) -> Iterator[Settings]:
    """Run the province's node; yields its settings with the address that the node got."""
    with Node(settings.node_home, listen("127.0.0.1", 0)) as node:
        thread = Thread(target=node.serve)
        thread.start()
        try:
            wait_until(lambda: node.started)
            yield replace(settings, rpc=node.url)
        finally:
            node.stop()
            thread.join()


def wait_until(ready: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition; fail the test if it does not come."""
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)


@dataclass
class Business:
    """An issuer with its own key, which remembers its sequence as a client does."""

    signer: Signer
    log: str
    seq: int = 0
    prev: bytes = FIRST_PREV
    sent: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, origin: str, number: int = 0) -> Business:
        """The business of this number: key and name are the same in every process."""
        seed = sha256(f"{origin} {number}".encode()).digest()
        name = f"{origin}/{'abcdefgh'}{'abcdefgh'[number % 8] * 8}"
        return cls(Signer(name, Ed25519PrivateKey.from_private_bytes(seed)), origin)

    def apply(self, province: Province, custody: Custody = "holder") -> Issuer:
        """Ask the province for this key's registration."""
        wanted = request(self.signer)
        return province.add_issuer(ORGANISATION, wanted, custody, ["/01/09521234"], "HTX Cua")

    def batch(self, size: int = 3, at: int | None = None) -> bytes:
        """Sign the next batch, of fresh records."""
        records = [record(self.seq, index) for index in range(size)]
        return self.sign(records, at)

    def sign(self, records: list[Record], at: int | None = None) -> bytes:
        """Sign the next batch, of these records."""
        when = int(time.time()) if at is None else at
        body = build(records, self.signer, log=self.log, seq=self.seq, prev=self.prev, time=when)
        self.sent.append(body)
        self.seq, self.prev = self.seq + 1, hash_of(body)
        return body


def hash_of(body: bytes) -> bytes:
    """The note hash of a signed batch."""
    return note_hash(read_batch_note(split_body(body)[0])[1])


def record(seq: int, index: int) -> Record:
    """A small record of a diary, one field of which is to be withheld."""
    fields = {"note": f"nhật ký {seq}.{index}", "quantity": index, "phone": "0900 000 000"}
    return salt(fields, type="epcis.objectevent", mode="live", codes=[CODE])


@dataclass
class Anchoring:
    """The anchor process's parts, opened for stepping by hand."""

    pipeline: Pipeline
    log: Log
    chain: Chain
    store: Store
    said: list[str]

    def until_done(self) -> list[Anchored]:
        """Do all there is to do."""
        done: list[Anchored] = []
        until = time.monotonic() + WAIT_SECONDS
        while self.pipeline.log_batches() or self.pipeline.is_due() or self._is_behind():
            assert time.monotonic() < until, "not done in time"
            done += self.pipeline.advance()
        return done

    def _is_behind(self) -> bool:
        with self.store.read() as connection:
            text = "select max(size) from anchors where state in ('anchored', 'missed')"
            size = connection.exec_driver_sql(text).scalar_one()
        return self.log.size > (size or 0)


@contextmanager
def anchoring(settings: Settings) -> Iterator[Anchoring]:
    """Open the anchor process's parts and reconcile, as the process does at its start."""
    signer = Signer(settings.origin, load_private_key(settings.log_key))
    said: list[str] = []
    with Log(settings.log_path, settings.origin, signer) as log:
        store = Store.open(settings.database_url)
        chain = Chain(settings.rpc_url, load_member_key(settings.member_key))
        try:
            pipeline = Pipeline(settings, store, log, chain, signer, said.append)
            pipeline.reconcile()
            yield Anchoring(pipeline, log, chain, store, said)
        finally:
            chain.close()
            store.close()


@contextmanager
def serving(settings: Settings) -> Iterator[list[str]]:
    """Run the anchor process's loop in a thread; yields the list of what it says."""
    stop, said = Event(), list[str]()
    thread = Thread(target=serve, args=(settings, stop, said.append))
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


@contextmanager
def province_of(settings: Settings) -> Iterator[Province]:
    """Open a province for as long as the block takes."""
    province = Province.open(settings)
    try:
        yield province
    finally:
        province.close()


def accept_batches(data: str, count: int) -> None:
    """Accept the first `count` batches that lie in the folder; note each once acknowledged."""
    folder = Path(data)
    with province_of(load(folder)) as province:
        for number in range(count):
            accepted = province.accept((folder / f"{number}.batch").read_bytes(), ORGANISATION)
            with (folder / "acknowledged").open("a") as file:
                file.write(accepted.batch + "\n")


def anchor_all(data: str, rpc: str) -> None:
    """Run the anchor process's steps until all is anchored."""
    with anchoring(replace(load(Path(data)), rpc=rpc)) as parts:
        parts.until_done()
