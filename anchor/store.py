# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of a province, so that what was acknowledged survives and every step is taken once.

One row a batch, never one a record: presentations lie in one compressed blob, leaf hashes and
offsets in plain ones. The same tables hold what the chain has confirmed, as bytes that evidence is
later made of. Only SQL that SQLite and PostgreSQL both have is used; SQLite runs in WAL mode with
synchronous=FULL, so a commit that returned is on disk.

A batch is *accepted* when its row is there, *logged* when `logged_at` is set, *anchored* when an
anchor with state "anchored" has a size above its `log_index`.
"""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Final, Literal

import zstandard
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from anchor import ijson
from anchor.batch import MAX_BATCH_BYTES
from anchor.errors import AnchorError, FormatError
from anchor.record import Record, parse_record
from anchor.settings import SQLITE

SCHEMA: Final = b"2"
# Of a database with a second log, which programs that know of one only must not write.
SCHEMA_OF_LOGS: Final = b"3"
HASH: Final = 32
OPEN_SECONDS: Final = 10.0
BUSY_SECONDS: Final = 30
TURN_SECONDS: Final = 0.0005
_OFFSET: Final = 4
_PATIENT: Final = f"busy_timeout = {1000 * BUSY_SECONDS}"
_BEGIN_WRITING: Final = "BEGIN IMMEDIATE"

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

issuers = Table(
    "issuers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("organisation", String(200), nullable=False, index=True),
    Column("name", String(256), nullable=False, index=True),
    Column("public_key", LargeBinary(HASH), nullable=False, unique=True),
    Column("key_id", LargeBinary(HASH), nullable=False, unique=True),
    Column("custody", String(16), nullable=False),
    Column("prefixes", Text, nullable=False),
    Column("display", String(200), nullable=False),
    Column("registration", LargeBinary, nullable=False),
    Column("registration_leaf", LargeBinary(HASH), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("registered", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# The blobs come last: SQLite reads a row from its start, and what is looked up is small.
batches = Table(
    "batches",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("note_hash", LargeBinary(HASH), nullable=False, unique=True),
    Column("issuer_id", BigInteger, ForeignKey("issuers.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("prev", LargeBinary(HASH), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=True, unique=True),
    Column("logged_at", BigInteger, nullable=True),
    Column("note", LargeBinary, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Column("offsets", LargeBinary, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
    Column("presentations", LargeBinary, nullable=False),
    UniqueConstraint("issuer_id", "seq"),
    UniqueConstraint("issuer_id", "prev"),
    # A log index is assigned before the log is written; `logged_at` is set after it.
    Index("ix_batches_unlogged", "logged_at", "log_index", "id"),
)

# A province's logs, one after another, once there is more than one (anchor.epochs). All logs share the
# numbering of `log_index` and `anchors.size`, in which each begins at its own `base`.
epochs = Table(
    "epochs",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("origin", String(256), nullable=False, unique=True),
    Column("public_key", LargeBinary(HASH), nullable=False, unique=True),
    Column("first_batch", BigInteger, nullable=False),
    Column("base", BigInteger, nullable=False),
    Column("given_up", BigInteger, nullable=False),
)

# What a person wants sent with the member's key: a call of Consortium, its arguments as JSON.
wishes = Table(
    "wishes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("function", String(32), nullable=False),
    Column("arguments", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("block", BigInteger, nullable=True),
    Column("reason", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
)

# Raw signed transactions are here before they are sent, so that a resend is the same bytes.
transactions = Table(
    "transactions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("nonce", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", BigInteger, nullable=False),
    Column("hash", LargeBinary(HASH), nullable=False, unique=True),
    Column("state", String(16), nullable=False, index=True),
    Column("block", BigInteger, nullable=True),
    Column("raw", LargeBinary, nullable=False),
)

# One row a size: the head preimage and, once captured, what proves it. Size 0 is the registration.
anchors = Table(
    "anchors",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False, index=True),
    Column("owner", LargeBinary(20), nullable=False),
    Column("log_key_id", LargeBinary(HASH), nullable=False),
    Column("root", LargeBinary(HASH), nullable=False),
    Column("aux", LargeBinary(HASH), nullable=False),
    Column("block", BigInteger, nullable=True),
    Column("anchored_at", BigInteger, nullable=True),
    Column("checkpoint", LargeBinary, nullable=True),
    Column("header", LargeBinary, nullable=True),
    Column("light_block", LargeBinary, nullable=True),
)

# Which trie nodes prove what in an anchor's state: subject 0 is the head, else an issuer's id.
proofs = Table(
    "proofs",
    metadata,
    Column("size", BigInteger, ForeignKey("anchors.size"), primary_key=True, autoincrement=False),
    Column("subject", BigInteger, primary_key=True, autoincrement=False),
    Column("nodes", LargeBinary, nullable=False),
    Index("ix_proofs_subject", "subject", "size"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("hash", LargeBinary(HASH), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# The tree over the hashes of all EVM blocks: its perfect subtrees by level and index (PROTOCOL §5).
ancestry = Table(
    "ancestry",
    metadata,
    Column("level", BigInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(HASH), nullable=False),
)

# Where the validators changed, by CometBFT's height, and the EVM header that each light block carries.
eras = Table(
    "eras",
    metadata,
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("header", LargeBinary, nullable=False),
    Column("light_block", LargeBinary, nullable=False),
)

# Built once: to build a statement takes longer than to carry it out.
_META: Final = select(meta.c.value).where(meta.c.key == bindparam("key"))
_LOCK: Final = _META.with_for_update()


class StoreError(AnchorError):
    """The database can't be used; the text says what to do."""


class UnknownBatch(AnchorError):  # noqa: N818 - a verdict, said as one
    """No batch has this id, or it has no record of this index."""


@dataclass(frozen=True)
class BatchRow:
    """A batch without its blobs; what has not happened yet is None."""

    row: int
    batch: str
    issuer_id: int
    issuer: str
    organisation: str
    seq: int
    size: int
    accepted_at: int
    log_index: int | None
    logged_at: int | None
    custody: Literal["holder", "operator"]


@dataclass(frozen=True)
class StoredBatch:
    """A batch as an index of records reads it: `row` counts from 1 in order of acceptance."""

    row: int
    batch: str
    issuer: str
    organisation: str
    accepted_at: int
    size: int
    packed: PackedRecords = field(repr=False)

    def records(self) -> list[Record]:
        """All records with every stored disclosure, in order of submission."""
        return self.packed.records()


@dataclass(frozen=True)
class PackedRecords:
    """The presentations of a batch as they are stored: one Zstandard frame and where each begins."""

    offsets: bytes
    blob: bytes

    def texts(self) -> list[bytes]:
        """The presentations, one after another."""
        data = self.unpack()
        starts = [*struct.unpack(f">{len(self.offsets) // _OFFSET}I", self.offsets), len(data)]
        return [data[a:b] for a, b in pairwise(starts)]

    def records(self) -> list[Record]:
        """The presentations, parsed."""
        return [parse_record(text) for text in self.texts()]

    def unpack(self) -> bytes:
        """The presentations as they came; FormatError if they are not what was stored."""
        try:
            # A damaged frame could claim any size, and room for it would be made first.
            if not 0 < zstandard.frame_content_size(self.blob) <= MAX_BATCH_BYTES:
                raise FormatError("the frame of a batch's records has a size that no batch has")
            return zstandard.ZstdDecompressor().decompress(self.blob, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise FormatError(f"a batch's records can't be unpacked: {error}") from error

    @classmethod
    def pack(cls, presentations: bytes, offsets: Sequence[int]) -> PackedRecords:
        """Compress presentations. Zstandard takes a seventh of zlib's time, and reads back in a tenth."""
        starts = struct.pack(f">{len(offsets)}I", *offsets)
        # A compressor is one thread's at a time; the checksum tells damage before anything is parsed.
        packed = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(presentations)
        return cls(starts, packed)


@dataclass(frozen=True)
class AnchorRow:
    """An anchored checkpoint's place: its size, EVM block and consensus time (POSIX seconds)."""

    size: int
    block: int
    anchored_at: int


class Store:
    """A province's database. Safe for threads; any number of processes may have it open."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database at `url` and make its tables if they are missing; StoreError."""
        store = cls(open_engine(url))
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                store._create()
                return store
            except DBAPIError as error:
                # Two processes that start at once both find no tables: the second looks again.
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"không mở được cơ sở dữ liệu · the database can't be opened: {error.orig}"
                    ) from error
                time.sleep(0.05)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def ready(self) -> bool:
        """Whether the database answers."""
        try:
            with self.read() as connection:
                return connection.execute(select(meta.c.value)).first() is not None
        except SQLAlchemyError:
            return False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database and changes nothing."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is the only writing one, committed durably at the end.

        Writers queue here: in SQLite behind its write lock, elsewhere behind one locked row. So
        numbers given out inside have no gaps and become visible in order.
        """
        with writing(self.engine) as connection:
            if connection.dialect.name != "sqlite":
                connection.execute(_LOCK, {"key": "schema"})
            yield connection

    def _create(self) -> None:
        metadata.create_all(self.engine)
        with self.engine.connect() as plain, plain.begin():
            schema = get_meta(plain, "schema")
            if schema is None:
                set_meta(plain, "schema", SCHEMA)
            elif schema not in (SCHEMA, SCHEMA_OF_LOGS):
                raise StoreError(
                    "cơ sở dữ liệu thuộc phiên bản khác, hãy dùng chương trình đã tạo ra nó · "
                    f"the database has schema {schema.decode('ascii', 'replace')} and this program "
                    f"reads {SCHEMA_OF_LOGS.decode()}: use the program that made it"
                )

    def batch(self, batch: str) -> BatchRow:
        """The batch with this id; UnknownBatch."""
        with self.read() as connection:
            return read_batch(connection, batch)

    def receipt(self, batch: str) -> bytes:
        """The receipt of the batch; UnknownBatch."""
        return bytes(self._one(select(batches.c.receipt), batch)[0])

    def records(self, batch: str) -> list[Record]:
        """All records of the batch; UnknownBatch."""
        return self._packed(batch).records()

    def leaves(self, organisation: str, batch: str) -> bytes | None:
        """The leaf hashes of a batch of this organisation, 32 bytes each; None if it has no such."""
        query = (
            select(batches.c.leaves)
            .join(issuers, issuers.c.id == batches.c.issuer_id)
            .where(issuers.c.organisation == organisation)
        )
        try:
            return bytes(self._one(query, batch)[0])
        except UnknownBatch:
            return None

    def record(self, batch: str, index: int) -> Record:
        """One record of the batch; UnknownBatch, also for an index it has not."""
        return self.pick(batch, [index])[0]

    def pick(self, batch: str, indices: Sequence[int]) -> list[Record]:
        """Some records of the batch, only these parsed; as `record`."""
        texts = self._packed(batch).texts()
        for index in indices:
            if not 0 <= index < len(texts):
                raise UnknownBatch(f"batch {batch} has no record {index}")
        return [parse_record(texts[index]) for index in indices]

    def batches_after(self, row: int, limit: int) -> list[StoredBatch]:
        """Up to `limit` batches above `row`, in order of acceptance."""
        query = (
            select(
                batches.c.id,
                batches.c.note_hash,
                issuers.c.name,
                issuers.c.organisation,
                batches.c.accepted_at,
                batches.c.size,
                batches.c.offsets,
                batches.c.presentations,
            )
            .join(issuers, issuers.c.id == batches.c.issuer_id)
            .where(batches.c.id > row)
            .order_by(batches.c.id)
            .limit(limit)
        )
        with self.read() as connection:
            return [
                StoredBatch(r[0], batch_id(r[1]), *r[2:6], PackedRecords(bytes(r[6]), bytes(r[7])))
                for r in connection.execute(query)
            ]

    def first_anchor_over(self, log_index: int, *of_log: ColumnElement[bool]) -> AnchorRow | None:
        """The smallest captured anchor of a log that covers its entry, or None."""
        query = (
            select(anchors.c.size, anchors.c.block, anchors.c.anchored_at)
            .where(anchors.c.size > log_index, anchors.c.state == "anchored", *of_log)
            .order_by(anchors.c.size)
            .limit(1)
        )
        with self.read() as connection:
            row = connection.execute(query).first()
        return AnchorRow(*row) if row else None

    def _packed(self, batch: str) -> PackedRecords:
        row = self._one(select(batches.c.offsets, batches.c.presentations), batch)
        return PackedRecords(bytes(row[0]), bytes(row[1]))

    def _one(self, query: Select[Any], batch: str) -> Any:
        with self.read() as connection:
            found = connection.execute(query.where(batches.c.note_hash == note_hash_of(batch)))
            row = found.first()
        if row is None:
            raise UnknownBatch(f"there is no batch {batch}")
        return row


def batch_id(note_hash: bytes) -> str:
    """The id of the batch with this note hash: base64url, 43 characters."""
    return ijson.encode_b64url(bytes(note_hash))


def note_hash_of(batch: str) -> bytes:
    """The note hash of a batch id, the inverse of `batch_id`; UnknownBatch if it is none."""
    try:
        return ijson.parse_b64url(batch, HASH)
    except FormatError as error:
        raise UnknownBatch(f"{batch[:64]} is no id of a batch") from error


def read_batch(connection: Connection, batch: str) -> BatchRow:
    """The batch with this id, without its blobs; UnknownBatch."""
    query = (
        select(
            batches.c.id,
            batches.c.issuer_id,
            issuers.c.name,
            issuers.c.organisation,
            batches.c.seq,
            batches.c.size,
            batches.c.accepted_at,
            batches.c.log_index,
            batches.c.logged_at,
            issuers.c.custody,
        )
        .join(issuers, issuers.c.id == batches.c.issuer_id)
        .where(batches.c.note_hash == note_hash_of(batch))
    )
    row = connection.execute(query).first()
    if row is None:
        raise UnknownBatch(f"there is no batch {batch}")
    values: Sequence[Any] = row[1:]
    return BatchRow(row[0], batch, *values)


def get_meta(connection: Connection, key: str) -> bytes | None:
    """The value stored under `key`, or None."""
    row = connection.execute(_META, {"key": key}).first()
    return bytes(row[0]) if row else None


def set_meta(connection: Connection, key: str, value: bytes) -> None:
    """Store `value` under `key`, over what was there."""
    changed = connection.execute(update(meta).where(meta.c.key == key).values(value=value))
    if not changed.rowcount:
        connection.execute(insert(meta).values(key=key, value=value))


def next_id(connection: Connection, table: Table) -> int:
    """The next number of `table`, from 1; only inside `Store.write`, where nobody else takes it."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()) + 1


def open_engine(url: str, *, durable: bool = True) -> Engine:
    """The database at `url`, its connections tuned; nothing is opened yet.

    Not `durable`: the last commits may be gone after a power failure, each of them whole.
    """
    engine = create_engine(url, pool_pre_ping=not url.startswith(SQLITE))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_tune, synchronous="FULL" if durable else "NORMAL"))
        event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that in SQLite is the only writing one from its beginning."""
    with engine.connect() as plain:
        connection = plain.execution_options(moneo_writes=True)
        with connection.begin():
            yield connection


def _tune(connection: Any, _record: object, *, synchronous: str) -> None:
    # The driver would open transactions by itself, and too late; _begin does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        _PATIENT,
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later could meet another writer in between and
    # fail at once; one that says so at its beginning waits.
    if connection.get_execution_options().get("moneo_writes"):
        _begin_writing(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: Connection) -> None:
    # SQLite's own waiting sleeps up to a tenth of a second between its tries: most of a writer's turn.
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + BUSY_SECONDS
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while time.monotonic() < deadline:
            try:
                driver.execute(_BEGIN_WRITING)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    break
            time.sleep(TURN_SECONDS)
    finally:
        driver.execute(f"PRAGMA {_PATIENT}")
    # Once more, for the error that every other statement would raise.
    connection.exec_driver_sql(_BEGIN_WRITING)
