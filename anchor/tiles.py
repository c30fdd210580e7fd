# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the province's log on disk, so that no crash leaves a checkpoint that its files don't bear out.

C2SP tlog-tiles, as files that any web server can serve:

    checkpoint                     the signed tree head
    tile/<L>/<N>[.p/<W>]           256 (or W) hashes of level L, each the root over 256^L leaves
    tile/entries/<N>[.p/<W>]       256 (or W) entries, each behind its length as uint16
    .lock, .tmp/                   the writer's own

Writing: entry bundles, then tiles, each written whole under another name, synced and renamed; then
the folders are synced; then the checkpoint likewise. Only after it are partial files removed whose
full ones it covers. So a checkpoint on disk always has its files, and what a crash leaves behind
lies beyond the checkpoint, where the next writer removes it.

Reading: nothing is handed out that the checkpoint's root does not cover. A full tile is compared
with its hash in the tile above, the right edge with the root, a bundle with its leaf hashes.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from anchor.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from anchor.durable import sync_folder
from anchor.errors import FormatError, LogCorruptError, LogError, LogLockedError
from anchor.note import Signer, split_note
from anchor.tree import TileTree
from node.light import merkle

__all__ = [
    "MAX_ENTRY_BYTES",
    "TILE_WIDTH",
    "Log",
    "LogCorruptError",
    "LogError",
    "LogLockedError",
    "bundle_name",
    "tile_name",
]

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
HASH_BYTES = 32
LENGTH_BYTES = 2
MAX_ENTRY_BYTES = 2 ** (8 * LENGTH_BYTES) - 1
MAX_CHECKPOINT_BYTES = 64 * 1024
CACHED_TILES = 512
CACHED_BUNDLES = 32
FULL_TILE_BYTES = TILE_WIDTH * HASH_BYTES
MAX_BUNDLE_BYTES = TILE_WIDTH * (LENGTH_BYTES + MAX_ENTRY_BYTES)
ENTRIES = "entries"
TEMPORARY = ".tmp"
CHECKPOINT = "checkpoint"

_FILE = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


def tile_name(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return a tile's path below the log's folder; `width` below 256 names a partial tile."""
    return _name(str(level), index, width)


def bundle_name(index: int, width: int = TILE_WIDTH) -> str:
    """Return an entry bundle's path below the log's folder; `width` below 256 names a partial one."""
    return _name(ENTRIES, index, width)


def log_files(size: int) -> Iterator[str]:
    """Yield the paths of the files that a log of this size needs beside its checkpoint."""
    for index in range(-(-size // TILE_WIDTH)):
        yield bundle_name(index, min(size - (index << TILE_HEIGHT), TILE_WIDTH))
    for level, (full, width) in enumerate(_edge_places(size)):
        yield from (tile_name(level, index) for index in range(full))
        if width:
            yield tile_name(level, full, width)


class Log:
    """One log on disk: any number of readers, and one writer at a time.

    A writer (with a signer) creates the log if there is none, and on opening removes what a crash
    left beyond the checkpoint. A reader sees the checkpoint it opened until it calls `refresh`;
    before the log is founded it sees an empty one. Use it as a context manager, or `close` it.
    """

    def __init__(
        self,
        path: Path,
        origin: str,
        signer: Signer | None = None,
        *,
        public_key: bytes | None = None,
    ) -> None:
        """Open the log in a folder.

        Args:
            path: the folder.
            origin: the log's origin.
            signer: the log's key, named like the origin, for the writer.
            public_key: the log key's 32 bytes; a reader that has it verifies the checkpoint's signature.

        Raises:
            LogLockedError: another writer has it open.
            LogCorruptError: a file is not what the checkpoint says.
        """
        if signer and signer.name != origin:
            raise LogError(f"the signer's name {signer.name} is not the log's origin {origin}")
        self.path = path
        self.origin = origin
        self._signer = signer
        self._public_key = signer.public_key if signer else public_key
        self._full_tile = lru_cache(CACHED_TILES)(self._read_full_tile)
        self._full_bundle = lru_cache(CACHED_BUNDLES)(self._read_full_bundle)
        self._tree = TileTree(self)
        self._failed = False
        self._lock: int | None = None
        self._disk = _Disk(path)
        self._view = _EMPTY
        try:
            if signer:
                self._lock = _take_lock(path)
                self._found(signer)
                self._view = self._load()
                self._recover()
            else:
                self.refresh()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another writer have the log."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def size(self) -> int:
        """Number of entries under the checkpoint in view."""
        return self._view.size

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint in view."""
        return Checkpoint(self.origin, self._view.size, self._view.root)

    def signed_checkpoint(self) -> bytes:
        """Return the signed note of the checkpoint in view, as published.

        Raises:
            LogError: the log is not founded yet.
        """
        if not self._view.note:
            raise LogError("the log has no checkpoint yet")
        return self._view.note

    def refresh(self) -> Checkpoint:
        """Take the checkpoint on disk into view and return it.

        Raises:
            LogCorruptError: its files do not bear it out, or it is smaller than the one in view.
        """
        if self._lock is None and (self.path / CHECKPOINT).exists():
            view = self._load()
            if view.size < self._view.size:
                raise LogCorruptError(CHECKPOINT, f"size {view.size} after {self._view.size}")
            self._view = view
        return self.checkpoint()

    def append(self, entries: Sequence[bytes]) -> Checkpoint:
        """Append entries and publish a checkpoint over them; durable when it returns.

        With no entries nothing is written. After an OSError the log has to be opened anew.

        Args:
            entries: at most MAX_ENTRY_BYTES each.

        Raises:
            LogError: not opened for writing, or an entry is too long.
        """
        if self._signer is None or self._lock is None:
            raise LogError("the log is open for reading only")
        if self._failed:
            raise LogError("an append has failed half-way: open the log anew")
        if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
            raise LogError(f"an entry of more than {MAX_ENTRY_BYTES} bytes")
        if entries:
            self._failed = True
            self._append(self._signer, entries)
            self._failed = False
        return self.checkpoint()

    def entry(self, index: int) -> bytes:
        """Return one entry, compared with its leaf hash.

        Raises:
            LogError: there is no such entry.
            LogCorruptError: the bundle's bytes are wrong.
        """
        return self.entries(index, index + 1)[0]

    def entries(self, start: int, end: int) -> list[bytes]:
        """Return the entries [start, end); as `entry`."""
        self._check_range(start, end, self.size)
        found: list[bytes] = []
        for bundle in range(start >> TILE_HEIGHT, (end + TILE_WIDTH - 1) >> TILE_HEIGHT):
            first = bundle << TILE_HEIGHT
            found += self._bundle(bundle)[max(start - first, 0) : end - first]
        return found

    def root(self, size: int) -> bytes:
        """Return the root over the first `size` entries."""
        self._check_range(0, size, self.size)
        return self._tree.root(size)

    def subtree_root(self, start: int, end: int) -> bytes:
        """Return the RFC 9162 root over entries [start, end), reading a number of tiles logarithmic in it.

        Args:
            start: a multiple of the smallest power of two that is not below end - start.
            end: at most the size.
        """
        self._check_range(start, end, self.size)
        if start % (1 << max(end - start - 1, 0).bit_length()):
            raise LogError(f"no tree has a subtree over the entries {start} to {end}")
        return self._tree.range_root(start, end)

    def inclusion_path(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the RFC 9162 §2.1.3 path of an entry in the tree of `size` entries (the view's if None)."""
        size = self.size if size is None else size
        self._check_range(index, index + 1, size)
        self._check_range(0, size, self.size)
        return self._tree.inclusion_path(index, size)

    def consistency_path(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Return the RFC 9162 §2.1.4 path between two sizes; empty from size 0 and between equal ones."""
        new_size = self.size if new_size is None else new_size
        self._check_range(old_size, new_size, self.size)
        ranges = merkle.consistency_ranges(old_size, new_size)
        return [self._tree.range_root(start, end) for start, end in ranges]

    def perfect_root(self, start: int, width: int) -> bytes:
        """Return the root over `width` entries from `start`; a power of two that divides `start`."""
        level, height = divmod(width.bit_length() - 1, TILE_HEIGHT)
        first = start >> (level * TILE_HEIGHT)
        at = first % TILE_WIDTH * HASH_BYTES
        hashes = self._tile(level, first >> TILE_HEIGHT)[at : at + (HASH_BYTES << height)]
        return merkle.root(_split(hashes))

    def check(self) -> None:
        """Recompute the whole log from its entries and compare every file with it.

        Files beyond the checkpoint are a fault only in the writer's eyes: a reader may be seeing an
        append under way.

        Raises:
            LogCorruptError: names the first file that is wrong, missing or out of place.
        """
        view = self._view
        self._full_tile.cache_clear()
        self._full_bundle.cache_clear()
        rows = self._leaf_rows(view)
        edges = []
        for level in range(len(view.edges)):
            edge, above = self._check_level(level, rows)
            edges.append(edge)
            rows = iter(_rows(above))
        if _View.over(view.size, edges).root != view.root:
            raise LogCorruptError(CHECKPOINT, "its root is not the root over the entries")
        self._check_strays(view)

    def _check_range(self, start: int, end: int, size: int) -> None:
        if not 0 <= start <= end <= size:
            raise LogError(f"no entries {start} to {end} in a log of {size}")

    def _append(self, signer: Signer, entries: Sequence[bytes]) -> None:
        old = self._view
        self._write_bundles(old, entries)
        edges = self._write_tiles(old, entries)
        self._disk.sync_folders()
        new = _View.over(old.size + len(entries), edges)
        note = Checkpoint(self.origin, new.size, new.root).sign(signer)
        self._disk.write(CHECKPOINT, note)
        self._disk.sync_folders()
        self._view = new._replace(note=note)
        self._remove_partials(old)

    def _write_bundles(self, old: "_View", entries: Sequence[bytes]) -> None:
        first = old.size >> TILE_HEIGHT
        pending = [*(self._bundle(first) if old.size % TILE_WIDTH else ()), *entries]
        for at in range(0, len(pending), TILE_WIDTH):
            bundle = pending[at : at + TILE_WIDTH]
            data = b"".join([len(e).to_bytes(LENGTH_BYTES, "big") + e for e in bundle])
            self._disk.write(bundle_name(first + (at >> TILE_HEIGHT), len(bundle)), data)

    def _write_tiles(self, old: "_View", entries: Sequence[bytes]) -> list[bytes]:
        """Write the tiles that change; return the new right edge."""
        hashes = b"".join(map(merkle.leaf_hash, entries))
        edges: list[bytes] = []
        while hashes or len(edges) < len(old.edges):
            level = len(edges)
            above = bytearray()
            row = old.edge(level) + hashes
            first = old.size >> (TILE_HEIGHT * (level + 1))
            for index, tile in enumerate(_rows(row) if hashes else (), first):
                self._disk.write(tile_name(level, index, len(tile) // HASH_BYTES), tile)
                if len(tile) == FULL_TILE_BYTES:
                    above += merkle.root(_split(tile))
            edges.append(row[len(row) // FULL_TILE_BYTES * FULL_TILE_BYTES :])
            hashes = bytes(above)
        return edges

    def _remove_partials(self, old: "_View") -> None:
        """Remove the partial files of the tiles that were at the right edge and now are full."""
        for level in range(len(old.edges)):
            index = old.size >> (TILE_HEIGHT * (level + 1))
            if index < self._view.size >> (TILE_HEIGHT * (level + 1)):
                self._disk.remove(tile_name(level, index) + ".p")
                if level == 0:
                    self._disk.remove(bundle_name(index) + ".p")

    def _found(self, signer: Signer) -> None:
        """Publish the empty log's checkpoint, if this folder has no log."""
        if (self.path / CHECKPOINT).exists():
            return
        if (self.path / "tile").exists():
            # Taking this for a new log would remove every entry as left over from a crash.
            raise LogCorruptError(CHECKPOINT, "missing, though there are tiles")
        self._disk.write(CHECKPOINT, Checkpoint(self.origin, 0, merkle.EMPTY_ROOT).sign(signer))
        self._disk.sync_folders()

    def _load(self) -> "_View":
        """Return the checkpoint on disk, with the right edge that bears it out."""
        note = self._disk.read(CHECKPOINT, MAX_CHECKPOINT_BYTES) or b""
        try:
            if self._public_key is not None:
                checkpoint = open_checkpoint(note, self.origin, self._public_key)
            else:
                checkpoint = parse_checkpoint(split_note(note)[0])
        except FormatError as error:
            raise LogCorruptError(CHECKPOINT, str(error)) from error
        if checkpoint.origin != self.origin:
            raise LogCorruptError(CHECKPOINT, f"of the log {checkpoint.origin}, not {self.origin}")
        edges = [
            self._read_tile(level, index, width)
            for level, (index, width) in enumerate(_edge_places(checkpoint.size))
        ]
        view = _View.over(checkpoint.size, edges)
        if view.root != checkpoint.root:
            raise self._blame(view, checkpoint)
        return view._replace(note=note)

    def _recover(self) -> None:
        """Remove what a crash left beyond the checkpoint; make sure that appending can go on."""
        for name, file in self._disk.files():
            if file is None or file.is_beyond(self._view.size) or file.is_stale(self._view.size):
                self._disk.remove(name)
        self._disk.prepare()
        if self._view.size % TILE_WIDTH:
            self._bundle(self._view.size >> TILE_HEIGHT)

    def _tile(self, level: int, index: int) -> bytes:
        """Return the hashes of a tile as the view has it, full or at the right edge, verified."""
        if index < self._view.size >> (TILE_HEIGHT * (level + 1)):
            return self._full_tile(level, index)
        return self._view.edge(level)

    def _read_full_tile(self, level: int, index: int) -> bytes:
        hashes = self._read_tile(level, index, TILE_WIDTH)
        at = index % TILE_WIDTH * HASH_BYTES
        above = self._tile(level + 1, index >> TILE_HEIGHT)[at : at + HASH_BYTES]
        if merkle.root(_split(hashes)) != above:
            raise LogCorruptError(
                tile_name(level, index), "its root is not its hash in the tile above"
            )
        return hashes

    def _read_tile(self, level: int, index: int, width: int) -> bytes:
        """Return a tile's bytes of the right length, not verified; none for width 0."""
        if width == 0:
            return b""
        name = tile_name(level, index, width)
        hashes = self._disk.read(name, FULL_TILE_BYTES)
        if hashes is None and width < TILE_WIDTH:
            # A writer that is ahead of this view has removed the partial tile for the full one.
            full = self._disk.read(tile_name(level, index), FULL_TILE_BYTES)
            hashes = full and full[: width * HASH_BYTES]
        if hashes is None:
            raise LogCorruptError(name, "missing")
        if len(hashes) != width * HASH_BYTES:
            raise LogCorruptError(name, f"not {width} hashes of {HASH_BYTES} bytes")
        return hashes

    def _bundle(self, index: int) -> list[bytes]:
        """Return a bundle's entries as the view has them, verified."""
        if index < self._view.size >> TILE_HEIGHT:
            return self._full_bundle(index)
        return self._read_bundle(index, self._view.size % TILE_WIDTH)

    def _read_full_bundle(self, index: int) -> list[bytes]:
        return self._read_bundle(index, TILE_WIDTH)

    def _read_bundle(self, index: int, width: int) -> list[bytes]:
        entries = self._parse_bundle(index, width)
        if b"".join(map(merkle.leaf_hash, entries)) != self._tile(0, index):
            raise LogCorruptError(
                bundle_name(index, width), "an entry is not what its leaf hash says"
            )
        return entries

    def _parse_bundle(self, index: int, width: int) -> list[bytes]:
        """Return the entries of exactly `width` that a bundle's file holds, not verified."""
        name = bundle_name(index, width)
        data = self._disk.read(name, MAX_BUNDLE_BYTES)
        if data is None and width < TILE_WIDTH:
            data = self._disk.read(bundle_name(index), MAX_BUNDLE_BYTES)
            entries = _split_bundle(data) if data is not None else None
            if entries is not None and len(entries) == TILE_WIDTH:
                return entries[:width]
        entries = _split_bundle(data) if data is not None else None
        if entries is None or len(entries) != width:
            raise LogCorruptError(name, "missing" if data is None else f"not {width} whole entries")
        return entries

    def _blame(self, view: "_View", checkpoint: Checkpoint) -> LogCorruptError:
        """Return the error that names the one file whose repair would give the checkpoint's root."""
        for level, (index, width) in enumerate(_edge_places(view.size)):
            try:
                edge = self._edge_from_below(level, index, width)
            except LogCorruptError:
                continue
            repaired = [*view.edges[:level], edge, *view.edges[level + 1 :]]
            if _View.over(view.size, repaired).root == checkpoint.root:
                return LogCorruptError(
                    tile_name(level, index, width), "not the hashes it stands for"
                )
        return LogCorruptError(CHECKPOINT, "its root is not that of the tiles at the right edge")

    def _edge_from_below(self, level: int, index: int, width: int) -> bytes:
        first = index << TILE_HEIGHT
        if level == 0:
            entries = self._parse_bundle(index, width) if width else []
            return b"".join(map(merkle.leaf_hash, entries))
        below = (self._read_tile(level - 1, first + i, TILE_WIDTH) for i in range(width))
        return b"".join([merkle.root(_split(hashes)) for hashes in below])

    def _leaf_rows(self, view: "_View") -> Iterator[bytes]:
        """Yield the leaf hashes of each bundle, computed from the entries on disk."""
        for index in range(-(-view.size // TILE_WIDTH)):
            width = min(view.size - (index << TILE_HEIGHT), TILE_WIDTH)
            row = b"".join(map(merkle.leaf_hash, self._parse_bundle(index, width)))
            if row != self._tile(0, index):
                name = bundle_name(index, width)
                raise LogCorruptError(name, "an entry is not what its leaf hash says")
            yield row

    def _check_level(self, level: int, rows: Iterator[bytes]) -> tuple[bytes, bytes]:
        """Compare a level's tiles with the hashes they should hold; return (right edge, level above)."""
        above = bytearray()
        edge = b""
        for index, row in enumerate(rows):
            width = len(row) // HASH_BYTES
            if self._read_tile(level, index, width) != row:
                raise LogCorruptError(
                    tile_name(level, index, width), "not the hashes it stands for"
                )
            if width == TILE_WIDTH:
                above += merkle.root(_split(row))
            else:
                edge = row
        return edge, bytes(above)

    def _check_strays(self, view: "_View") -> None:
        for name, file in self._disk.files():
            if file is None:
                raise LogCorruptError(name, "no file of a log")
            if file.is_beyond(view.size):
                if self._lock is not None:
                    raise LogCorruptError(name, "beyond the checkpoint")
            elif file.width < TILE_WIDTH:
                self._check_partial(name, file)

    def _check_partial(self, name: str, file: "_File") -> None:
        """Compare a partial file of an earlier checkpoint with what the view has in its place."""
        data = self._disk.read(name, MAX_BUNDLE_BYTES)
        if data is None:
            return
        if file.level == ENTRIES:
            good = _split_bundle(data) == self._bundle(file.index)[: file.width]
        else:
            good = data == self._tile(int(file.level), file.index)[: file.width * HASH_BYTES]
        if not good:
            raise LogCorruptError(name, "not the beginning of what followed")


class _View(NamedTuple):
    """A checkpoint and the right edge that bears it out: each level's hashes not yet in a full tile."""

    size: int
    root: bytes
    edges: tuple[bytes, ...]
    note: bytes = b""

    @classmethod
    def over(cls, size: int, edges: Sequence[bytes]) -> "_View":
        """Return the view of this size whose root is the one over these edges."""
        perfect: list[bytes] = []
        for edge in reversed(edges):
            hashes = _split(edge)
            while hashes:
                width = 1 << (len(hashes).bit_length() - 1)
                perfect.append(merkle.root(hashes[:width]))
                hashes = hashes[width:]
        root = perfect.pop() if perfect else merkle.EMPTY_ROOT
        while perfect:
            root = merkle.node_hash(perfect.pop(), root)
        return cls(size, root, tuple(edges))

    def edge(self, level: int) -> bytes:
        """Return a level's right edge, empty above the top."""
        return self.edges[level] if level < len(self.edges) else b""


@dataclass(frozen=True)
class _File:
    """What a file's name says: level (or entries), index and width."""

    level: str
    index: int
    width: int

    def is_beyond(self, size: int) -> bool:
        """Whether it holds more than a log of this size has."""
        return (self.index << TILE_HEIGHT) + self.width > self._count(size)

    def is_stale(self, size: int) -> bool:
        """Whether it is partial and its full file is there."""
        return self.width < TILE_WIDTH and self.index < self._count(size) >> TILE_HEIGHT

    def _count(self, size: int) -> int:
        return size if self.level == ENTRIES else size >> (TILE_HEIGHT * int(self.level))


class _Disk:
    """Files of one folder, written whole and durably or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unsynced: set[Path] = set()

    def prepare(self) -> None:
        """Make an empty folder for files that are being written."""
        shutil.rmtree(self.path / TEMPORARY, ignore_errors=True)
        (self.path / TEMPORARY).mkdir()

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a file's bytes, at most one more than `limit`, or None if there is no such file."""
        try:
            with (self.path / name).open("rb") as file:
                return file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        """Put a file in its place with its bytes on the disk; its name is, after `sync_folders`."""
        target = self.path / name
        self._make_folder(target.parent)
        temporary = self.path / TEMPORARY / name.replace("/", ",")
        self._make_folder(temporary.parent)
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, target)  # noqa: PTH105 - the durable steps are all calls of os
        self._unsynced.add(target.parent)

    def sync_folders(self) -> None:
        """Make the names of all files written so far durable."""
        for folder in sorted(self._unsynced):
            sync_folder(folder)
        self._unsynced.clear()

    def remove(self, name: str) -> None:
        """Remove a file or a folder of partial files; that it is gone need not be durable."""
        path = self.path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
            if path.parent.suffix == ".p" and not any(path.parent.iterdir()):
                path.parent.rmdir()

    def files(self) -> Iterator[tuple[str, _File | None]]:
        """Yield (name, what it says) of each file below `tile`; None for a name no log has."""
        for folder, _, names in os.walk(self.path / "tile"):
            for file in names:
                name = (Path(folder) / file).relative_to(self.path).as_posix()
                yield name, _parse_name(name)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            self._unsynced.add(folder.parent)


_EMPTY = _View(0, merkle.EMPTY_ROOT, ())


def _name(level: str, index: int, width: int) -> str:
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    partial = f".p/{width}" if width < TILE_WIDTH else ""
    return f"tile/{level}/{'/'.join(reversed(parts))}{partial}"


def _parse_name(name: str) -> _File | None:
    match = _FILE.fullmatch(name)
    if not match:
        return None
    index, width = int(match[2].replace("x", "").replace("/", "")), int(match[3] or TILE_WIDTH)
    return _File(match[1], index, width) if name == _name(match[1], index, width) else None


def _edge_places(size: int) -> Iterator[tuple[int, int]]:
    """Yield (index, width) of each level's tile at the right edge, width 0 where it is full."""
    while size:
        yield size >> TILE_HEIGHT, size % TILE_WIDTH
        size >>= TILE_HEIGHT


def _rows(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + FULL_TILE_BYTES] for at in range(0, len(hashes), FULL_TILE_BYTES)]


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def _split_bundle(data: bytes) -> list[bytes] | None:
    """Return a bundle's entries, or None if its bytes end within one."""
    entries, at = [], 0
    while at < len(data):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    return entries if at == len(data) else None


def is_being_written(path: Path) -> bool:
    """Whether a process has the log in this folder open for writing."""
    try:
        lock = os.open(path / ".lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at once do not see each other.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _take_lock(path: Path) -> int:
    if not path.exists():
        path.mkdir(parents=True)
        sync_folder(path.parent)
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise LogLockedError(
            f"{path.name}: tiến trình khác đang ghi nhật ký này · "
            "another process is writing this log"
        ) from error
    return lock
