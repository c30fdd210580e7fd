# SPDX-License-Identifier: GPL-3.0-or-later
"""So that a block is stored whole or not at all: LevelDB behind py-evm's database interface.

`LevelDB` is the data folder of a node; its `write` is one synchronous LevelDB batch, the only
step in a node after which something is kept. `Overlay` lets the EVM read through to it while
everything written stays in memory until the block is committed, or is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import plyvel
from eth.abc import AtomicWriteBatchAPI, DatabaseAPI
from eth.db.backends.base import BaseAtomicDB

from node.errors import StorageError, StorageLocked

# A trie node that is not there is the usual question when new state is written: the filter
# answers it without touching the disk.
_BLOOM_FILTER_BITS: Final = 10
# How LevelDB says that another process, or this one, has the folder open.
_HELD: Final = ("temporarily unavailable", "already held")
_CACHE_BYTES: Final = 32 * 1024 * 1024


class LevelDB(BaseAtomicDB):
    """The data folder of a node. One process at a time; any number of threads in it."""

    def __init__(self, path: Path) -> None:
        """Open the LevelDB in the folder `path`, making it if need be.

        Raises StorageLocked if another process has it open, StorageError for all else.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            _check_not_headless(path)
            self._handle: Any = plyvel.DB(
                str(path),
                create_if_missing=True,
                paranoid_checks=True,
                bloom_filter_bits=_BLOOM_FILTER_BITS,
                lru_cache_size=_CACHE_BYTES,
            )
        except plyvel.IOError as error:
            raise _opening_failed(path, error) from error
        except (plyvel.Error, OSError) as error:
            raise StorageError(_not_opened(path, error)) from error

    def __getitem__(self, key: bytes) -> bytes:
        value = self._read(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.write({key: value})

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self.write({key: None})

    def _exists(self, key: bytes) -> bool:
        return self._read(key) is not None

    def _read(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        # RuntimeError: another thread has closed the folder in this moment.
        except (plyvel.Error, RuntimeError) as error:
            raise StorageError(
                "không đọc được dữ liệu của chuỗi · "
                f"cannot read the chain's data in {self.path}: {error}"
            ) from error
        return value

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        """Write all of `batch` (None deletes) at once and return when it is on the disk.

        Raises StorageError, and then nothing of it is seen by any reader.
        """
        try:
            with self._db.write_batch(transaction=True, sync=True) as writes:
                for key, value in batch.items():
                    if value is None:
                        writes.delete(key)
                    else:
                        writes.put(key, value)
        except plyvel.Error as error:
            raise StorageError(
                "không ghi được dữ liệu của chuỗi · "
                f"cannot write the chain's data in {self.path}: {error}"
            ) from error

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Collect writes, readable in the block at once, and write them together at its end."""
        overlay = Overlay(self)
        yield overlay
        self.write(overlay.changes)

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield everything stored, in order of keys, each block of the files checked.

        Raises StorageError where the bytes on the disk are not those that were written.
        """
        try:
            with self._db.iterator(verify_checksums=True, fill_cache=False) as rows:
                yield from rows
        except (plyvel.Error, RuntimeError) as error:
            raise StorageError(
                "không đọc được dữ liệu của chuỗi · "
                f"cannot read the chain's data in {self.path}: {error}"
            ) from error

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written yet."""
        with self._db.iterator(include_value=False) as keys:
            return next(keys, None) is None

    def close(self) -> None:
        """Let go of the folder. Reading afterwards is a StorageError; closing again is nothing."""
        # plyvel's handle must not live on in some cycle of objects: freed by the interpreter's
        # last collection, it prints an empty exception at the end of the process.
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._handle is None

    @property
    def _db(self) -> Any:
        handle = self._handle
        if handle is None:
            raise StorageError(f"the chain's data in {self.path} has been closed")
        return handle


class Overlay(BaseAtomicDB, AtomicWriteBatchAPI):
    """Reads through to `base`; keeps in `changes` what is written, under keys of `base`.

    `prefix` goes before every key, so that the EVM's bare hashes cannot meet other keys.
    """

    def __init__(self, base: DatabaseAPI, prefix: bytes = b"") -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self._base = base
        self._prefix = prefix

    def __getitem__(self, key: bytes) -> bytes:
        full = self._prefix + key
        if full not in self.changes:
            return self._base[full]
        value = self.changes[full]
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.changes[self._prefix + key] = value

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self.changes[self._prefix + key] = None

    def _exists(self, key: bytes) -> bool:
        full = self._prefix + key
        if full in self.changes:
            return self.changes[full] is not None
        return full in self._base

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Everything here is thrown away or kept as one already, so this is the overlay."""
        yield self


def _check_not_headless(path: Path) -> None:
    """Refuse a folder that has lost the file which names all others: LevelDB would begin anew."""
    if not (path / "CURRENT").exists() and any(path.glob("[0-9]*.*")):
        raise StorageError(
            "dữ liệu của chuỗi mất tệp CURRENT, hãy khôi phục từ bản sao lưu · "
            f"the chain's data in {path} has lost its file CURRENT: restore it from a backup"
        )


def _opening_failed(path: Path, error: Exception) -> StorageError:
    """Tell a held lock, which an operator can do something about, from any other failure."""
    # The path in every such message ends in LOCK: only its end tells a held lock from a read-only disk.
    if any(words in str(error) for words in _HELD):
        return StorageLocked(
            f"nút khác đang chạy với thư mục này · another node is running on {path}"
        )
    return StorageError(_not_opened(path, error))


def _not_opened(path: Path, error: Exception) -> str:
    return f"không mở được dữ liệu của chuỗi · cannot open the chain's data in {path}: {error}"
