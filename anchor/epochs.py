# SPDX-License-Identifier: GPL-3.0-or-later
"""A province's logs, one after another: a new key needs a new origin, and so a new log (a log *epoch*).

AnchorLog gives an origin to one key for ever. So whoever has lost the log's key, fears that it is
stolen, or has merged with a neighbour begins a log of another origin, and closes the one before: that
gets what was accepted for it, is anchored once more as a whole, and stays as it is. Its records go on
being proven, and journeys go through both.

All that changes is changed in one transaction (`begin`), after the new keys are on the disk: from its
commit on batches belong to the new log. What follows is found in the database at every start
(`anchor.run`): each log has its pipeline, and the oldest that is not finished is anchored first.

    log/, keys/log.key               the first log; no file of it is ever moved
    logs/<n>/, keys/log-<n>.key,     the n-th
    keys/custody-<n>/

Batches belong to logs by their row numbers, which have no gaps. The database numbers the entries of all
logs as one: each log's begin at its `base`, and the number between two is that of the older one's whole tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from anchor.custody import CUSTODY, keep_key
from anchor.errors import AnchorError, KeyFileError
from anchor.issuers import ACCEPTED_STATES, Issuer, hand_over, read_issuer
from anchor.keys import create_private_key, load_private_key
from anchor.note import Signer
from anchor.settings import SQLITE, Settings, is_origin
from anchor.store import (
    SCHEMA_OF_LOGS,
    Store,
    batches,
    epochs,
    get_meta,
    issuers,
    set_meta,
)

# The first log's public key, kept for the day when its key is lost.
_FIRST_KEY: Final = "log_key"
# Built once: to build a statement takes longer than to carry it out.
_ROWS: Final = select(epochs).order_by(epochs.c.number)


class EpochError(AnchorError):
    """A new log can't be begun; the text says why, and what to do."""


@dataclass(frozen=True)
class Epoch:
    """One of a province's logs.

    `settings` are the province's, with this log's origin, number and folders. Its batches are the rows
    from `first_batch` up to, without it, `end` (0: it is the newest log, and gets more). In the
    database its entry n is the log index `base` + n, and its tree of n entries the size `base` + n.
    `given_up`: its key is lost, and it gets no entry any more.
    """

    settings: Settings
    public_key: bytes
    first_batch: int = 1
    base: int = 0
    end: int = 0
    given_up: bool = False

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.settings.origin

    @property
    def number(self) -> int:
        """Which of the province's logs it is, counted from 1."""
        return self.settings.log_number

    @property
    def is_newest(self) -> bool:
        """Whether batches are accepted into it."""
        return not self.end

    def holds(self, column: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
        """Conditions: a log index, or an anchor's size, is one of this log's."""
        last = self.base + self.end - self.first_batch
        return (column >= self.base, *([column <= last] if self.end else []))

    def signer(self) -> Signer:
        """The log's key. Raises KeyFileError."""
        return Signer(self.origin, load_private_key(self.settings.log_key))


class Epochs:
    """The logs of one province, as its database has them. Safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signers: dict[int, Signer] = {}
        self._first: Epoch | None = None
        # What was read last: a log that is there stays, and most questions are about those.
        self.origins: frozenset[str] = frozenset()

    def all(self, connection: Connection) -> list[Epoch]:
        """All logs, oldest first; there is always one. Raises KeyFileError if nothing tells its key."""
        if get_meta(connection, "schema") != SCHEMA_OF_LOGS:
            self._first = self._first or Epoch(self._settings, self._first_key(connection))
            self.origins = frozenset([self._first.origin])
            return [self._first]
        rows = _rows(connection)
        self.origins = frozenset(row.origin for row in rows)
        ends = [*(row.first_batch for row in rows[1:]), 0]
        return [
            Epoch(
                _settings_of(self._settings, row),
                bytes(row.public_key),
                row.first_batch,
                row.base,
                end,
                bool(row.given_up),
            )
            for row, end in zip(rows, ends, strict=True)
        ]

    def newest(self, connection: Connection) -> Epoch:
        """The log that batches are accepted into."""
        return self.all(connection)[-1]

    def signer(self, epoch: Epoch) -> Signer:
        """The key of a log, read once. Raises KeyFileError."""
        if epoch.number not in self._signers:
            self._signers[epoch.number] = epoch.signer()
        return self._signers[epoch.number]

    def _first_key(self, connection: Connection) -> bytes:
        try:
            return load_private_key(self._settings.log_key).public_key().public_bytes_raw()
        except KeyFileError:
            known = get_meta(connection, _FIRST_KEY)
            if known is None:
                raise
            return known


def of_index(logs: Sequence[Epoch], place: int) -> Epoch:
    """The log that a log index, or an anchor's size, of the database is one of."""
    return next(epoch for epoch in reversed(logs) if epoch.base <= place)


def of_row(logs: Sequence[Epoch], row: int) -> Epoch:
    """The log that the batch of this row number is of."""
    return next(epoch for epoch in reversed(logs) if epoch.first_batch <= row)


def end_of(connection: Connection, number: int) -> int:
    """The row of the first batch that is not this log's any more; 0 if it is the newest."""
    query = select(epochs.c.first_batch).where(epochs.c.number == number + 1)
    return int(connection.execute(query).scalar() or 0)


def settings_of_logs(settings: Settings) -> list[Settings]:
    """The settings with origin, key and folder of each of the province's logs, oldest first."""
    url = settings.database_url
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        return [settings]
    store = Store.open(url)
    try:
        with store.read() as connection:
            rows = _rows(connection)
    finally:
        store.close()
    return [_settings_of(settings, row) for row in rows] or [settings]


def newest_settings(settings: Settings) -> Settings:
    """The settings with origin, key and folder of the province's newest log."""
    return settings_of_logs(settings)[-1]


def _rows(connection: Connection) -> Sequence[Any]:
    return connection.execute(_ROWS).all()


def _settings_of(settings: Settings, row: Any) -> Settings:
    return replace(settings, origin=row.origin, log_number=row.number)


def remember(store: Store, epoch: Epoch) -> None:
    """Keep the first log's public key, so that the log can be read and closed when its key is lost."""
    if epoch.number == 1:
        with store.write() as connection:
            if get_meta(connection, _FIRST_KEY) != epoch.public_key:
                set_meta(connection, _FIRST_KEY, epoch.public_key)


def prepared(
    settings: Settings, store: Store, origin: str, *, lost: bool, restored: bool = False
) -> Signer:
    """Make sure that a log of this origin can follow, and that its key is on the disk; return the key.

    `lost` says that the key of the log before is gone, or must not sign any more: only in a folder that
    was `restored` may it be there. Raises EpochError.
    """
    with store.read() as connection:
        logs = Epochs(settings).all(connection)
    if origin in [epoch.origin for epoch in logs[:-1]]:
        raise EpochError(
            f"{origin}: nhật ký đã đóng, hãy chọn tên khác · closed: choose another name"
        )
    if not is_origin(origin):
        raise EpochError(
            f"{origin}: không phải tên nhật ký, cần như example.vn/camau/2027 · no log's name: it has to "
            "be like example.vn/camau/2027"
        )
    if origin == logs[-1].origin:
        if len(logs) == 1:
            raise EpochError(
                f"{origin}: nhật ký này đang dùng, nhật ký mới cần tên khác · this log is in use, a new "
                "one needs another name"
            )
        return logs[-1].signer()
    _check_old_key(logs[-1], lost=lost, restored=restored)
    return _made(_following(logs[-1], origin))


def begin(
    settings: Settings, store: Store, origin: str, *, lost: bool = False, restored: bool = False
) -> Epoch:
    """Close the newest log and begin one of this origin; begun before, this changes nothing.

    From the commit on whatever is accepted belongs to the new log, businesses' own keys are those of
    the log before and sign no more, and keys that the province keeps have new ones in their place.
    Raises EpochError, KeyFileError.
    """
    signer = prepared(settings, store, origin, lost=lost, restored=restored)
    with store.read() as connection:
        logs = Epochs(settings).all(connection)
        if logs[-1].origin == origin:
            return logs[-1]
        # Here for the time that it takes: in the transaction all accepting waits.
        _keep_keys(_following(logs[-1], origin), _kept(connection))
    with store.write() as connection:
        old = Epochs(settings).newest(connection)
        if old.origin == origin:
            return old
        if old != logs[-1]:
            raise EpochError(f"đã có nhật ký mới khác · another log was begun: {old.origin}")
        following = _following(old, origin)
        first = connection.execute(select(func.max(batches.c.id))).scalar_one() or 0
        new = Epoch(following, signer.public_key, first + 1, old.base + first + 2 - old.first_batch)
        _hand_over(connection, following)
        _store(connection, replace(old, given_up=lost))
        _store(connection, new)
        set_meta(connection, "schema", SCHEMA_OF_LOGS)
    return new


def _following(old: Epoch, origin: str) -> Settings:
    return replace(old.settings, origin=origin, log_number=old.number + 1)


def _made(following: Settings) -> Signer:
    """The new log's key; one that was made before an interruption has signed nothing yet."""
    path = following.log_key
    key = load_private_key(path) if path.exists() else create_private_key(path)
    return Signer(following.origin, key)


def _check_old_key(old: Epoch, *, lost: bool, restored: bool) -> None:
    if restored:
        if lost:
            return
        raise EpochError(
            "thư mục này được khôi phục: hãy đối chiếu trước (moneo restore … --newest TỆP); nếu nhật ký không ký "
            "tiếp được, thêm --lost · this folder was restored: compare it first (moneo restore … --newest FILE); "
            "if the log must not sign again, add --lost"
        )
    try:
        old.signer()
    except KeyFileError as error:
        if lost:
            return
        raise EpochError(
            f"không dùng được khóa của nhật ký cũ: khôi phục nó từ bản sao lưu; nếu mất hẳn, thêm --lost · "
            f"the old log's key cannot be used: restore it from a backup; if it is lost for good, add --lost: {error}"
        ) from error
    if lost:
        raise EpochError(
            f"khóa cũ còn ở {old.settings.log_key.name}: bỏ --lost để nó ký nốt những gì đã nhận · the old key "
            "is there: leave out --lost, so that it signs what was accepted for it"
        )


def _kept(connection: Connection) -> list[Issuer]:
    """The newest key that the province keeps for each business, as far as it is in use."""
    query = select(issuers).where(
        issuers.c.custody == CUSTODY, issuers.c.state.in_(ACCEPTED_STATES)
    )
    found = connection.execute(query.order_by(issuers.c.id)).mappings()
    return list({one.name: one for one in map(read_issuer, found)}.values())


def _keep_keys(following: Settings, kept: Sequence[Issuer]) -> list[Signer]:
    return [
        keep_key(following, f"{following.origin}/{one.name.rpartition('/')[2]}", ()) for one in kept
    ]


def _hand_over(connection: Connection, following: Settings) -> None:
    """End all keys of the log before; those that the province keeps have successors."""
    kept = _kept(connection)
    in_use = issuers.c.state.in_(ACCEPTED_STATES)
    connection.execute(update(issuers).where(in_use).values(state="revoking"))
    for old, signer in zip(kept, _keep_keys(following, kept), strict=True):
        hand_over(connection, old, signer.name, signer.public_key)


def _store(connection: Connection, epoch: Epoch) -> None:
    values = {
        "origin": epoch.origin,
        "public_key": epoch.public_key,
        "first_batch": epoch.first_batch,
        "base": epoch.base,
        "given_up": int(epoch.given_up),
    }
    here = epochs.c.number == epoch.number
    if not connection.execute(update(epochs).where(here).values(values)).rowcount:
        connection.execute(insert(epochs).values(number=epoch.number, **values))
