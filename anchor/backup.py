# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies a province as it is while it runs, and brings it back without ever signing against itself.

The order makes the copy whole: the chain first, then the log, the database last. So the database
knows every entry of the log. Anchoring rests meanwhile (a lock on `.anchoring`), so that chain and
database know the same anchors; batches are accepted and logged as ever. Of the log the checkpoint is
read first, then exactly the files that it needs, and it is written last.

What was signed after the backup is not in it. A restored folder therefore has a file `restored`:
while it is there the log gets no new entry until it has been compared with a file of evidence from
outside and with its head on the chain (the node keeps a mark of its own, see `node.backup`).

A key that the province keeps for a business may have signed batches since which nobody shows: neither
the log nor any evidence tells how far its sequence went (PROTOCOL §2). So it signs nothing more, and
a fresh key, which can't contradict itself, takes its place. What it signed before stays proven.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from anchor.checkpoint import Checkpoint, open_checkpoint, parse_tlog_proof
from anchor.custody import CUSTODY, keep_key
from anchor.durable import sync_folder, write_durably
from anchor.epochs import Epochs, settings_of_logs
from anchor.errors import AnchorError, FormatError
from anchor.evidence import Evidence, parse_evidence
from anchor.issuers import ACCEPTED_STATES, Issuers
from anchor.keys import request
from anchor.note import Signer
from anchor.sequencing import Sequencing
from anchor.settings import LATER_LOGS, SQLITE, Settings, load
from anchor.store import Store
from anchor.tiles import CHECKPOINT, Log, log_files
from node.light import LightBlock, LightError

RESTORED: Final = "restored"
_COMPARED: Final = b"compared\n"
TRIES: Final = 20
_DATABASE_TAILS: Final = ("-wal", "-shm", "-journal")
# What other functions copy, or nobody may.
_LOCK: Final = ".anchoring"
# Uploads are diaries in the clear that live two hours: no copy may outlive them.
_APART: Final = frozenset({"node", "log", LATER_LOGS, "uploads", RESTORED, _LOCK})
# What the API makes anew from the batches.
_DERIVED: Final = "index.db"

CopyNode = Callable[[Path, Path], None]


class BackupError(AnchorError):
    """A backup or a restoring that can't be done; the text says what to do."""


def backup(settings: Settings, target: Path, copy_node: CopyNode) -> None:
    """Copy the province to the new folder `target`, whole or not at all.

    `copy_node` copies the node's home to a folder. Raises BackupError, and OSError as the disk does.
    """
    _check_new(target)
    if target.resolve().is_relative_to(settings.data.resolve()):
        raise BackupError(
            "chỗ sao lưu nằm trong thư mục dữ liệu · the backup would be inside the data folder: "
            "choose a place outside, best on another disk"
        )
    database = _database(settings)
    beside = target.with_name(f"{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True, mode=0o700)
    try:
        with resting(settings):
            if settings.node_home.exists():
                copy_node(settings.node_home, beside / "node")
            for log in settings_of_logs(settings):
                _copy_log(log, beside / log.log_path.relative_to(settings.data))
            _copy_others(settings.data, beside, database)
            _copy_database(database, beside / database.name)
        _sync(beside)
        beside.replace(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@contextmanager
def anchoring(settings: Settings) -> Iterator[bool]:
    """Hold a backup off for a round of anchoring; yields False if one is being made."""
    with _lock(settings) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def resting(settings: Settings) -> Iterator[None]:
    """Wait for a round of anchoring to end and let none begin."""
    with _lock(settings) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _lock(settings: Settings) -> Iterator[int]:
    lock = os.open(settings.data / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def restore(source: Path, data: Path, mark_node: Callable[[Path], None]) -> Settings:
    """Put a backup in the place of a new data folder, marked as restored; return its settings.

    `mark_node` marks the node's home. Raises BackupError, SettingsError, and OSError as the disk
    does.
    """
    load(source)
    _check_new(data)
    beside = data.with_name(f"{data.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        shutil.copytree(source, beside)
        if (beside / "node").exists():
            mark_node(beside / "node")
        write_durably(beside / RESTORED, b"")
        _sync(beside)
        beside.replace(data)
        sync_folder(data.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return load(data)


def check_open(settings: Settings) -> None:
    """Refuse to take batches into a restored folder that has not been compared; raises BackupError."""
    mark = settings.data / RESTORED
    if mark.exists() and mark.read_bytes() != _COMPARED:
        raise BackupError(
            "thư mục này được khôi phục, hãy đối chiếu với bằng chứng mới nhất mà người khác giữ: "
            "moneo restore … --newest TỆP · this folder was restored: compare it with the newest "
            "evidence that anyone outside holds first: moneo restore … --newest FILE"
        )


def is_behind(settings: Settings) -> bool:
    """Whether the log has been compared but not yet with its head on the chain."""
    return (settings.data / RESTORED).exists()


def caught_up(settings: Settings) -> None:
    """Take the mark away: the log is at its head on the chain or beyond."""
    (settings.data / RESTORED).unlink(missing_ok=True)
    sync_folder(settings.data)


def give_up(settings: Settings, origin: str) -> None:
    """Note that a restored folder's log is not compared but followed by one of this origin, which has signed nothing."""
    if is_behind(settings):
        write_durably(settings.data / RESTORED, _given_up(origin))


def is_given_up(settings: Settings, origin: str) -> bool:
    """Whether that is noted."""
    return is_behind(settings) and (settings.data / RESTORED).read_bytes() == _given_up(origin)


def _given_up(origin: str) -> bytes:
    return f"followed by {origin}\n".encode()


def newest_light_block(evidence: bytes) -> LightBlock:
    """The newest light block of an evidence file; BackupError if it is none."""
    return max(_parse(evidence).light_blocks, key=lambda block: block.header.height)


@dataclass(frozen=True)
class Compared:
    """A restored log that may sign on: its size, and whose kept keys were replaced (issuer names)."""

    size: int
    renewed: tuple[str, ...]


def check_log(settings: Settings, evidence: bytes) -> Compared:
    """Compare a restored log with the newest checkpoint in an evidence file, and renew kept keys.

    What the database has accepted goes into the log first: places are given in order of acceptance,
    so that these are the entries which were logged before. Raises BackupError if the log has signed
    something since that it no longer knows; then it stays marked.
    """
    with closing(Store.open(settings.database_url)) as store:
        with store.read() as connection:
            epoch = Epochs(settings).newest(connection)
        signer = epoch.signer()
        newest = _newest_checkpoint(evidence, signer)
        with Log(epoch.settings.log_path, epoch.origin, signer) as log:
            if newest.size <= log.size:
                _compare(log, newest)
            sequencing = Sequencing(store, log, epoch)
            sequencing.reconcile()
            while sequencing.step():
                pass
            _compare(log, newest)
            mark = settings.data / RESTORED
            # Asked a second time, the keys are fresh already.
            is_new = mark.exists() and mark.read_bytes() != _COMPARED
            renewed = _renew_kept_keys(settings, store) if is_new else ()
            write_durably(mark, _COMPARED)
            return Compared(log.size, renewed)


def _renew_kept_keys(settings: Settings, store: Store) -> tuple[str, ...]:
    """Put a fresh key in the place of every one kept for a business; return their issuer names.

    The fresh key is asked for before the old one is given up: stopped in between and run again, no
    business is left without one.
    """
    logs = Epochs(settings)
    registry = Issuers(store, logs.all)
    with store.read() as connection:
        newest_log = logs.newest(connection).settings
    kept = [k for k in registry.of() if k.custody == CUSTODY and k.state in ACCEPTED_STATES]
    newest = {key.name: key for key in kept}
    for name, key in newest.items():
        spent = [replace(k, state="revoking") for k in registry.of(key.organisation)]
        wanted = request(keep_key(newest_log, name, spent))
        registry.add(key.organisation, wanted, CUSTODY, key.prefixes, key.display)
    for old in kept:
        registry.revoke(old.name, old.key_id)
    return tuple(newest)


def _parse(evidence: bytes) -> Evidence:
    try:
        return parse_evidence(evidence)
    except (FormatError, LightError) as error:
        raise BackupError(f"không phải tệp bằng chứng · no evidence file: {error}") from error


def _newest_checkpoint(evidence: bytes, signer: Signer) -> Checkpoint:
    """The largest checkpoint in the file, which this log's key has signed; batches of closed logs aside."""
    try:
        notes = [parse_tlog_proof(batch.proof).checkpoint for batch in _parse(evidence).batches]
        own = [note for note in notes if note.startswith(f"{signer.name}\n".encode())] or notes
        found = [open_checkpoint(note, signer.name, signer.public_key) for note in own]
    except FormatError as error:
        raise BackupError(
            f"bằng chứng của nhật ký khác · evidence of another log: {error}"
        ) from error
    return max(found, key=lambda checkpoint: checkpoint.size)


def _compare(log: Log, newest: Checkpoint) -> None:
    if log.size < newest.size or log.root(newest.size) != newest.root:
        raise BackupError(
            f"nhật ký khôi phục có {log.size} mục, khóa của nó đã ký {newest.size} mục: không được ký "
            f"tiếp · the restored log has {log.size} entries and its key has signed another tree of "
            f"{newest.size}: it must not sign again. Restore a newer backup, or begin another log: "
            "moneo node new-log ORIGIN --lost"
        )


def _check_new(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupError(
            f"{target} đã có, hãy chọn chỗ khác · {target} is there already: choose another place"
        )


def _database(settings: Settings) -> Path:
    if not settings.database_url.startswith(SQLITE):
        raise BackupError(
            "cơ sở dữ liệu không phải SQLite, hãy sao lưu bằng công cụ của nó · the database is not "
            "SQLite: back it up with its own tool, after the rest"
        )
    path = Path(settings.database_url.removeprefix(SQLITE))
    if path.parent != settings.data.absolute():
        raise BackupError(
            f"{path} nằm ngoài thư mục dữ liệu · {path} is outside the data folder: back it up apart"
        )
    return path


def _copy_log(settings: Settings, target: Path) -> None:
    """Copy the files that one checkpoint needs, then that checkpoint."""
    for _ in range(TRIES):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        if not (settings.log_path / CHECKPOINT).exists():
            return
        log = Log(settings.log_path, settings.origin)
        try:
            for name in log_files(log.size):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(settings.log_path / name, target / name)
        except FileNotFoundError:
            # A partial file has given way to its full one, and the checkpoint to a newer one.
            continue
        (target / CHECKPOINT).write_bytes(log.signed_checkpoint())
        return
    raise BackupError("nhật ký đang đổi, hãy thử lại · the log does not hold still: try again")


def _copy_others(data: Path, target: Path, database: Path) -> None:
    apart = _APART | {database.name, *(database.name + tail for tail in _DATABASE_TAILS)}
    for path in sorted(data.iterdir()):
        if path.name in apart or path.name.startswith(_DERIVED):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


def _copy_database(source: Path, target: Path) -> None:
    """Copy one state of the database; writers go on meanwhile (SQLite's online backup)."""
    if not source.exists():
        return
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
    target.chmod(0o600)


def _sync(folder: Path) -> None:
    """Have every file and name below a folder on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with (Path(place) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))
