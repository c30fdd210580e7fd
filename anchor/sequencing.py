# SPDX-License-Identifier: GPL-3.0-or-later
"""accepted → logged: gives each accepted batch its place in the log, once, in order of acceptance.

First the places are stored, then the log is written (entries, tiles, checkpoint), then the batches
are marked. A crash between any two of these is mended at the next start, when the log on disk is
compared with the database: what is in the log keeps its place, what is not goes in where it was
to go, so that no checkpoint ever published is contradicted.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from anchor.batch import note_hash
from anchor.epochs import Epoch, end_of
from anchor.errors import AnchorError
from anchor.note import split_note
from anchor.store import Store, anchors, batches
from anchor.tiles import Log

# Entries that are appended, or compared, at once.
CHUNK: Final = 1_000


class PipelineError(AnchorError):
    """Log, database and chain contradict each other: a person has to look, nothing was done."""


class Sequencing:
    """Moves a log's batches from the database into it; `log` is open for writing, and `epoch` says which it is."""

    def __init__(self, store: Store, log: Log, epoch: Epoch) -> None:
        self._store = store
        self._log = log
        self._epoch = epoch

    def reconcile(self) -> None:
        """Bring the database into line with the log on disk; once, before the first `step`.

        Raises PipelineError if the log has an entry that the database has never accepted, or the
        database a place that the log can't have.
        """
        for start in range(self._trusted_size(), self._log.size, CHUNK):
            self._reconcile(start, min(start + CHUNK, self._log.size))
        self._take_back()

    def step(self) -> int:
        """Log up to CHUNK accepted batches; return how many."""
        if not self._is_waiting():
            return 0
        with self._store.write() as connection:
            self._assign(connection)
            entries = self._places(connection, batches.c.logged_at.is_(None))[:CHUNK]
        if not entries:
            # What waits is another log's.
            return 0
        self._check_gapless([place for place, _ in entries])
        self._log.append([note for _, note in entries])
        self._mark()
        return len(entries)

    def _is_waiting(self) -> bool:
        with self._store.read() as connection:
            return any_unlogged(connection, self._epoch)

    def _mark(self) -> None:
        here = (batches.c.log_index >= self._epoch.base, batches.c.log_index < self._top)
        logged = (*here, batches.c.logged_at.is_(None))
        with self._store.write() as connection:
            connection.execute(update(batches).where(*logged).values(logged_at=int(time.time())))

    @property
    def _top(self) -> int:
        """The log index, in the database, of the log's next entry."""
        return self._epoch.base + self._log.size

    def _check_gapless(self, places: list[int]) -> None:
        if places != list(range(self._top, self._top + len(places))):
            raise PipelineError(
                "nhật ký trên đĩa thiếu mục so với cơ sở dữ liệu, hãy khôi phục thư mục nhật ký từ "
                f"bản sao lưu · the database has places {places[:3]} for a log of {self._log.size} entries: "
                "restore the log's folder from its backup"
            )

    def _trusted_size(self) -> int:
        """Up to where entries need no comparison: an anchored root is over them."""
        here = (anchors.c.size >= self._epoch.base, anchors.c.size <= self._top)
        query = (
            select(anchors.c.size, anchors.c.root)
            .where(anchors.c.block.is_not(None), *here)
            .order_by(anchors.c.size.desc())
            .limit(1)
        )
        with self._store.read() as connection:
            row = connection.execute(query).first()
        size = row[0] - self._epoch.base if row else 0
        return size if row and self._log.root(size) == bytes(row[1]) else 0

    def _reconcile(self, start: int, end: int) -> None:
        entries = self._log.entries(start, end)
        first, last = self._epoch.base + start, self._epoch.base + end
        inside = (batches.c.log_index >= first, batches.c.log_index < last)
        with self._store.read() as connection:
            stored = dict(self._places(connection, *inside))
        if [stored.get(first + at) for at in range(len(entries))] != entries:
            with self._store.write() as connection:
                _put_right(connection, self._epoch, first, entries)
        self._mark()

    def _take_back(self) -> None:
        """Log once more what the database has as logged and the disk has lost.

        The same entries in the same places give the same roots as were published over them.
        """
        beyond = (batches.c.log_index >= self._top, *self._epoch.holds(batches.c.log_index))
        with self._store.write() as connection:
            lost = [place for place, _ in self._places(connection, *beyond)]
            self._check_gapless(lost)
            connection.execute(update(batches).where(*beyond).values(logged_at=None))

    def _places(self, connection: Connection, *conditions: Any) -> list[tuple[int, bytes]]:
        """Return (log index, note) of the log's batches that have a place, in its order."""
        # All by log index: a row number beside it could keep SQLite from using the index.
        query = (
            select(batches.c.log_index, batches.c.note)
            .where(*self._epoch.holds(batches.c.log_index), *conditions)
            .order_by(batches.c.log_index)
        )
        return [(place, bytes(note)) for place, note in connection.execute(query)]

    def _assign(self, connection: Connection) -> None:
        """Give the next places to batches that have none, in order of acceptance."""
        # In this transaction it is certain whether another log has taken over meanwhile.
        epoch = replace(self._epoch, end=end_of(connection, self._epoch.number))
        taken = select(func.max(batches.c.log_index)).where(*epoch.holds(batches.c.log_index))
        top = connection.execute(taken).scalar_one()
        place = self._top if top is None else max(top + 1, self._top)
        query = (
            select(batches.c.id)
            .where(*_mine(epoch), batches.c.logged_at.is_(None), batches.c.log_index.is_(None))
            .order_by(batches.c.id)
            .limit(CHUNK)
        )
        for at, (number,) in enumerate(connection.execute(query).all()):
            where = batches.c.id == number
            connection.execute(update(batches).where(where).values(log_index=place + at))


def any_unlogged(connection: Connection, epoch: Epoch) -> bool:
    """Whether a batch of this log waits to be logged."""
    query = select(batches.c.id).where(*_mine(epoch), batches.c.logged_at.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def _mine(epoch: Epoch) -> tuple[ColumnElement[bool], ...]:
    later = batches.c.id >= epoch.first_batch
    return (later, batches.c.id < epoch.end) if epoch.end else (later,)


def _put_right(connection: Connection, epoch: Epoch, start: int, entries: list[bytes]) -> None:
    """Give batches the places that their notes have in the log."""
    found: list[int] = []
    for at, entry in enumerate(entries):
        digest = note_hash(split_note(entry)[0])
        query = select(batches.c.id).where(batches.c.note_hash == digest, *_mine(epoch))
        row = connection.execute(query).first()
        if row is None:
            raise PipelineError(
                "nhật ký có mục mà cơ sở dữ liệu không có, hãy khôi phục cơ sở dữ liệu từ bản sao lưu "
                f"mới nhất · entry {start + at - epoch.base} of the log is in no batch of the database: restore the "
                "database from its newest backup"
            )
        found.append(row[0])
    beyond = and_(batches.c.log_index >= start, *epoch.holds(batches.c.log_index))
    taken = beyond | batches.c.id.in_(found)
    connection.execute(update(batches).where(taken).values(log_index=None, logged_at=None))
    now = int(time.time())
    for at, number in enumerate(found):
        values = {"log_index": start + at, "logged_at": now}
        connection.execute(update(batches).where(batches.c.id == number).values(values))
