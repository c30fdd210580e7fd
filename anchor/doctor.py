# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a province's log and database and names what is not as it was written; changes nothing.

Nothing is believed because it is stored: entries against tiles and checkpoint, batches against the
notes that their businesses signed, receipts against the log's key, and every anchor by making
evidence from it and judging that as a stranger would. May run beside the province: the log's
checkpoint is taken before the database is read, which therefore knows all that is in it.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from anchor.assemble import Assembler
from anchor.batch import FIRST_PREV, check_body, note_hash, open_batch_note
from anchor.capture import unpack
from anchor.checkpoint import open_checkpoint
from anchor.epochs import Epoch, Epochs, of_index, of_row
from anchor.errors import AnchorError, FormatError
from anchor.ijson import encode_b64
from anchor.issuers import Issuer, by_id
from anchor.keys import load_member_key, load_private_key
from anchor.note import key_hash
from anchor.receipt import open_receipt
from anchor.record import parse_record
from anchor.settings import SQLITE, Settings
from anchor.store import (
    HASH,
    PackedRecords,
    Store,
    ancestry,
    anchors,
    batch_id,
    batches,
    issuers,
    nodes,
    proofs,
    transactions,
)
from anchor.tiles import CHECKPOINT, Log, LogCorruptError
from anchor.trust import Trust, parse_trust
from anchor.verify import verify
from node.light import LightError, keccak256, leaf_hash, node_hash, parse_header, verify_eras

State = Literal["good", "damaged", "unknown"]
# Called with how much is done and how much there is, 0 if that is not known.
Progress = Callable[[int, int], None]
# Damaged items that one check names; more than these are counted.
MAX_NAMED: Final = 10
# What reading damaged bytes of any kind may raise.
_WRONG: Final = (
    AnchorError,
    LightError,
    SQLAlchemyError,
    sqlite3.Error,
    zlib.error,
    struct.error,
    ValueError,
    TypeError,
    LookupError,
)
_RESTORE: Final = (
    "dừng tỉnh và khôi phục từ bản sao lưu mới nhất",
    "stop the province and restore it from the newest backup",
)
_LOG: Final = (
    "dừng tiến trình neo và lấy lại tệp này từ bản sao lưu hoặc bản soi của nhật ký",
    "stop the anchor process and put this file back from a backup or a mirror of the log",
)
_NODE: Final = (
    "dừng nút và khôi phục node/ từ bản sao lưu mới nhất",
    "stop the node and restore node/ from the newest backup",
)
# SQLite could not be asked, which says nothing of what it holds.
_NOT_ASKED: Final = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_BUSY", "SQLITE_LOCKED")


class Finding(NamedTuple):
    """The answer of one check: `vi` and `en` say what was found, and what to do."""

    what: str
    state: State
    vi: str
    en: str


@dataclass(frozen=True)
class _Checked:
    """A check's result: how many things were looked at, and what is wrong with some."""

    count: int
    wrong: tuple[str, ...] = ()


def check(
    settings: Settings,
    blocks: list[bytes],
    progress: Progress = lambda _done, _all: None,
) -> Iterator[Finding]:
    """Check all that a province keeps beside its chain, one finding after another.

    `blocks` gets the leaves that the database has of the chain's blocks, for `compare`.
    """
    try:
        epochs = _epochs(settings)
        _check_log_keys(epochs)
        load_member_key(settings.member_key)
        trust = _read_trust(settings)
    except (AnchorError, LightError, OSError) as error:
        yield Finding("keys", "damaged", *_said(str(error), _RESTORE))
        return
    yield Finding("keys", "good", "khóa và tệp tin cậy đọc được", "keys and trust file are sound")
    logs: list[tuple[Epoch, Log]] = []
    for epoch in epochs:
        log, finding = _open_log(epoch)
        yield finding
        if log is None:
            return
        logs.append((epoch, log))
    yield from _check_database(settings, logs, trust, blocks, progress)


def _epochs(settings: Settings) -> list[Epoch]:
    """The province's logs; the first alone where the database does not tell, which has its own finding."""
    try:
        with _opened(settings) as store, store.read() as connection:
            return Epochs(settings).all(connection)
    except (*_WRONG, OSError):
        key = load_private_key(settings.log_key).public_key().public_bytes_raw()
        return [Epoch(settings, key)]


def _check_log_keys(epochs: Sequence[Epoch]) -> None:
    """The newest log's key has to be there; those of closed logs may be gone."""
    for epoch in epochs:
        is_needed = epoch.is_newest or epoch.settings.log_key.exists()
        if is_needed and epoch.signer().public_key != epoch.public_key:
            raise FormatError(f"{epoch.settings.log_key.name}: another key than {epoch.origin}'s")


def _open_log(epoch: Epoch) -> tuple[Log | None, Finding]:
    what, path = f"log {epoch.number}" if epoch.number > 1 else "log", epoch.settings.log_path
    try:
        log = Log(path, epoch.origin, public_key=epoch.public_key)
        if (path / CHECKPOINT).exists():
            return log, _found(what, _check_log(log), "mục nhật ký", "log entries", _LOG)
        if (path / "tile").exists():
            return None, Finding(what, "damaged", *_said("checkpoint: missing", _LOG))
        return log, _unknown(what, "nhật ký chưa được lập", "the log is not founded yet")
    except AnchorError as error:
        return None, Finding(what, "damaged", *_said(str(error), _LOG))
    except OSError as error:
        return None, _unknown(what, f"không đọc được: {error}", f"can't be read: {error}")


def compare(blocks: Sequence[bytes], hashes: Sequence[bytes]) -> Finding:
    """Compare what evidence was made of with the chain's blocks (hashes), which were read later."""
    if len(blocks) > len(hashes):
        wrong = f"the chain has lost the blocks {len(hashes)} to {len(blocks) - 1}"
        return Finding("chain and database", "damaged", *_said(wrong, _NODE))
    other = [
        number
        for number, (leaf, block) in enumerate(zip(blocks, hashes, strict=False))
        if leaf != leaf_hash(block)
    ]
    checked = _Checked(len(blocks), tuple(f"block {number} is another" for number in other))
    return _found("chain and database", checked, "khối giống nhau", "blocks agree", _NODE)


def _read_trust(settings: Settings) -> Trust | None:
    if settings.pilot_trust_path.exists():
        parse_trust(settings.pilot_trust_path.read_bytes())
    if not settings.trust_path.exists():
        return None
    return parse_trust(settings.trust_path.read_bytes())


def _check_log(log: Log) -> _Checked:
    try:
        log.check()
    except LogCorruptError:
        # A writer may have replaced a partial file while it was read: damage is there twice.
        log.refresh()
        log.check()
    return _Checked(log.size)


def _check_database(
    settings: Settings,
    logs: Sequence[tuple[Epoch, Log]],
    trust: Trust | None,
    blocks: list[bytes],
    progress: Progress,
) -> Iterator[Finding]:
    try:
        with _opened(settings) as store, store.read() as connection:
            yield _found(
                "database", _check_pages(settings), "trang SQLite", "SQLite's pages", _RESTORE
            )
            examiner = _Examiner(settings, store, connection, logs, trust, progress)
            for what, names, examine in (
                ("issuers", ("khóa tổ chức", "issuer keys"), examiner.issuers),
                ("batches", ("lô đã nhận", "accepted batches"), examiner.batches),
                ("anchors", ("mốc neo", "anchors"), examiner.anchors),
                ("evidence", ("bằng chứng thử", "evidence files"), examiner.evidence),
                ("chain copy", ("nút cây", "tree nodes"), lambda: examiner.copies(blocks)),
            ):
                yield _found(what, examine(), *names, _RESTORE)
    except OSError as error:
        if error.errno == ENOENT and any(log.size for _, log in logs):
            yield Finding("database", "damaged", *_said(str(error), _RESTORE))
            return
        yield _unknown("database", f"không đọc được: {error}", f"can't be read: {error}")
    except _WRONG as error:
        if _was_not_asked(error):
            yield _unknown("database", f"không mở được: {error}", f"can't be opened: {error}")
            return
        yield Finding("database", "damaged", *_said(str(error), _RESTORE))


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    """Open the database for reading only."""
    url = settings.database_url
    if url.startswith(SQLITE):
        path = Path(url.removeprefix(SQLITE))
        if not path.exists():
            raise FileNotFoundError(ENOENT, "không có · there is none", str(path))
        url = f"{SQLITE}file:{quote(str(path))}?mode=ro&uri=true"
    store = Store(create_engine(url))
    try:
        yield store
    finally:
        store.close()


def _check_pages(settings: Settings) -> _Checked:
    """SQLite's own check of its trees and indexes; other databases have their own tools."""
    url = settings.database_url
    if not url.startswith(SQLITE):
        return _Checked(0)
    path = quote(url.removeprefix(SQLITE))
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        said = [row[0] for row in connection.execute(f"PRAGMA integrity_check({MAX_NAMED})")]
        said = [] if said == ["ok"] else said
        said += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    finally:
        connection.close()
    return _Checked(pages, tuple(said))


class _Examiner:
    """Looks at every row whose content something signed or hashed vouches for."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        connection: Connection,
        logs: Sequence[tuple[Epoch, Log]],
        trust: Trust | None,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._store = store
        self._connection = connection
        self._epochs = [epoch for epoch, _ in logs]
        self._logs = {epoch.number: log for epoch, log in logs}
        self._trust = trust
        self._progress = progress
        self._known: dict[int, Issuer] = {}

    def issuers(self) -> _Checked:
        """Each key against its id and the registration that the chain commits to."""
        wrong, numbers = [], self._numbers(select(issuers.c.id).order_by(issuers.c.id))
        for number in numbers:
            try:
                self._known[number] = self._issuer(number)
            except _WRONG as error:
                wrong.append(f"issuer {number}: {error}")
        return _Checked(len(numbers), tuple(wrong))

    def _issuer(self, number: int) -> Issuer:
        issuer = by_id(self._connection, number)
        record = parse_record(issuer.registration)
        fields = record.fields()
        _require(issuer.key_id == key_hash(issuer.name, issuer.public_key), "its key id")
        _require(record.leaf_hash() == issuer.registration_leaf, "its registration")
        told = [fields.get(name) for name in ("issuer", "key", "prefixes", "name")]
        key = encode_b64(issuer.public_key)
        _require(told == [issuer.name, key, list(issuer.prefixes), issuer.display], "its words")
        return issuer

    def batches(self) -> _Checked:
        """Each batch against its note, its records, its receipt and its place in the log."""
        wrong: list[str] = []
        last: dict[int, tuple[int, bytes]] = {}
        places = 0
        numbers = self._numbers(select(batches.c.id).order_by(batches.c.id))
        for done, number in enumerate(numbers):
            row = self._connection.execute(select(batches).where(batches.c.id == number)).one()
            try:
                self._batch(row, last)
                places += self._is_logged(row)
            except _WRONG as error:
                wrong.append(f"batch {_name(row.note_hash)}: {error}")
            self._progress(done + 1, len(numbers))
        entries = sum(log.size for log in self._logs.values())
        if not wrong and places != entries:
            wrong.append(f"{entries - places} log entries are in no batch")
        return _Checked(len(numbers), tuple(wrong))

    def _batch(self, row: Any, last: dict[int, tuple[int, bytes]]) -> None:
        issuer, note_bytes = self._known[row.issuer_id], bytes(row.note)
        note = open_batch_note(note_bytes, issuer.public_key)
        packed = PackedRecords(bytes(row.offsets), bytes(row.presentations))
        checked = check_body(note_bytes + b"\n" + packed.unpack())
        digest = note_hash(checked.note_text)
        _require(digest == bytes(row.note_hash), "its note's hash")
        _require((note.seq, note.size) == (row.seq, row.size), "its numbers")
        _require(note.prev == bytes(row.prev), "its place after the one before")
        _require(checked.records.leaf_hashes == bytes(row.leaves), "its leaves")
        starts = struct.pack(f">{checked.note.size}I", *checked.records.offsets)
        _require(starts == bytes(row.offsets), "its offsets")
        epoch = of_row(self._epochs, row.id)
        _require(note.log == epoch.origin, "its log")
        receipt = open_receipt(bytes(row.receipt), epoch.origin, epoch.public_key)
        _require((receipt.batch, receipt.time) == (digest, row.accepted_at), "its receipt")
        seq, prev = last.get(row.issuer_id, (-1, FIRST_PREV))
        last[row.issuer_id] = (note.seq, digest)
        _require((seq + 1, prev) == (note.seq, note.prev), "the batch before it is missing")

    def _is_logged(self, row: Any) -> bool:
        epoch = of_row(self._epochs, row.id)
        log = self._logs[epoch.number]
        if row.log_index is None or row.log_index - epoch.base >= log.size:
            return False
        _require(log.entry(row.log_index - epoch.base) == bytes(row.note), "its log entry")
        return True

    def anchors(self) -> _Checked:
        """Each anchored checkpoint against the log, and its light block from trust on."""
        wrong, query = [], select(anchors).order_by(anchors.c.size)
        rows = self._connection.execute(query).all()
        for done, row in enumerate(rows):
            try:
                self._anchor(row)
            except _WRONG as error:
                wrong.append(
                    f"anchor of {row.size - of_index(self._epochs, row.size).base}: {error}"
                )
            self._progress(done + 1, len(rows))
        return _Checked(len(rows), tuple(wrong))

    def _anchor(self, row: Any) -> None:
        epoch = of_index(self._epochs, row.size)
        log, size = self._logs[epoch.number], row.size - epoch.base
        key_id = key_hash(epoch.origin, epoch.public_key)
        _require(bytes(row.log_key_id) == key_id, "its log key")
        if size <= log.size:
            _require(log.root(size) == bytes(row.root), "its root")
        elif row.state == "anchored" and log.refresh().size < size:
            raise AnchorError("the log has lost entries that are anchored")
        if row.checkpoint is not None:
            seen = open_checkpoint(bytes(row.checkpoint), epoch.origin, epoch.public_key)
            _require((seen.size, seen.root) == (size, bytes(row.root)), "its checkpoint")
        if row.state == "anchored":
            header, light_block = parse_header(bytes(row.header)), unpack(bytes(row.light_block))
            _require(light_block.header.app_hash == header.hash, "its header")
            _require(light_block.header.time.seconds == row.anchored_at, "its time")
            if self._trust is None:
                raise AnchorError("trust.json is missing")
            verify_eras(self._trust.chain).finality(light_block)

    def evidence(self) -> _Checked:
        """One evidence file of each anchor and issuer that prove a batch, judged like a stranger's."""
        wrong: list[str] = []
        query = (
            select(func.max(batches.c.log_index))
            .join(proofs, proofs.c.subject == batches.c.issuer_id)
            .where(batches.c.log_index < proofs.c.size, batches.c.logged_at.is_not(None))
            .group_by(proofs.c.size, proofs.c.subject)
        )
        rows = sorted(set(self._numbers(query)))
        assembler = Assembler(self._store, Epochs(self._settings))
        try:
            for done, index in enumerate(rows):
                try:
                    self._judge(assembler, index)
                except _WRONG as error:
                    wrong.append(f"evidence of log entry {index}: {error}")
                self._progress(done + 1, len(rows))
        finally:
            assembler.close()
        return _Checked(len(rows), tuple(wrong))

    def _judge(self, assembler: Assembler, index: int) -> None:
        query = select(batches.c.note_hash).where(batches.c.log_index == index)
        batch = batch_id(self._connection.execute(query).scalar_one())
        file = assembler.evidence([(batch, 0)], lambda _issuer, _field: False)
        failure = verify(file, self._settings.trust_path.read_bytes()).failure
        if failure is not None:
            raise AnchorError(failure.detail)

    def copies(self, blocks: list[bytes]) -> _Checked:
        """What was copied from the chain: trie nodes, sent transactions, the tree over blocks."""
        wrong: list[str] = []
        count = 0
        for table, value in ((nodes, nodes.c.data), (transactions, transactions.c.raw)):
            for digest, data in self._connection.execute(select(table.c.hash, value)):
                count += 1
                if keccak256(bytes(data)) != bytes(digest):
                    wrong.append(f"{table.name} {bytes(digest).hex()}: other bytes than its hash")
        wrong += self._check_ancestry(blocks)
        return _Checked(count, tuple(wrong))

    def _check_ancestry(self, blocks: list[bytes]) -> Iterator[str]:
        columns = (ancestry.c.level, ancestry.c.index, ancestry.c.hash)
        query = select(*columns).order_by(ancestry.c.level, ancestry.c.index)
        below: list[bytes] = []
        row = blocks
        at = 0
        for level, index, stored in self._connection.execute(query):
            if level != at:
                if len(row) // 2 == 0 or level != at + 1:
                    yield f"ancestry level {level}: of no block"
                below, row, at = row, [], level
            row.append(bytes(stored))
            pair = below[2 * index : 2 * index + 2]
            if index != len(row) - 1 or (level and [node_hash(*pair)] != row[-1:]):
                yield f"ancestry level {level}, {index}: not the hash of the two below"
                return

    def _numbers(self, query: Any) -> list[int]:
        return [row[0] for row in self._connection.execute(query)]


def _name(digest: Any) -> str:
    return batch_id(bytes(digest)) if len(digest) == HASH else repr(digest)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise FormatError(f"{what} is not what it was")


def _found(what: str, checked: _Checked, vi: str, en: str, advice: tuple[str, str]) -> Finding:
    if not checked.wrong:
        return Finding(what, "good", f"{checked.count} {vi}", f"{checked.count} {en}")
    named = "; ".join(checked.wrong[:MAX_NAMED])
    more = len(checked.wrong) - MAX_NAMED
    return Finding(what, "damaged", *_said(f"{named} (+{more})" if more > 0 else named, advice))


def _unknown(what: str, vi: str, en: str) -> Finding:
    return Finding(what, "unknown", vi, en)


def _was_not_asked(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlite_errorname", "")).startswith(_NOT_ASKED)


def _said(what: str, advice: tuple[str, str]) -> tuple[str, str]:
    return f"hỏng · {what}: {advice[0]}", f"damaged · {what}: {advice[1]}"
