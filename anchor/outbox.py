# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a business's key, its salted batches and its trust files on its own machine.

A batch is salted once and stored before it is sent, so that a retry sends the same bytes and a second
batch never takes the same `seq`. What was sent is kept: its salts are the business's only way to show
a withheld field later. The next `seq` and `prev` are read from these files and from nowhere else: a
province that disagrees with them is not followed (PROTOCOL §2).

    HOME/keys/<issuer id>.key             Ed25519, 0600; <issuer id>-2.key in the province's next log, …
    HOME/keys/<same>.request              which says the whole name, with the log's
    HOME/batches/<same>/<seq>-<diary>-<part>of<parts>.batch     salted, in order of seq
    HOME/batches/<same>/<same>.receipt                          once the province has accepted it
    HOME/trust/<chain id>.json            pinned trust files
"""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from anchor import batch as batches
from anchor.corrections import Finder, of_closed_log
from anchor.durable import write_durably
from anchor.errors import AnchorError, FormatError
from anchor.ijson import encode_b64url
from anchor.importer import Entry
from anchor.keys import load_private_key, open_request
from anchor.note import Signer
from anchor.record import salt

RECORDS_A_BATCH = 1_000
PRIVATE = 0o600
NAME = re.compile(r"(\d{10})-([0-9a-f]{16})-(\d+)of(\d+)\.batch")


class OutboxError(AnchorError):
    """The business's own folder is in a state that a command cannot go on from; says what to do."""


@dataclass(frozen=True)
class Stored:
    """One salted batch on disk: its place in the key's sequence and in the diary it was made from."""

    path: Path
    seq: int
    diary: str
    part: int
    parts: int

    @property
    def receipt(self) -> Path:
        """Where the province's signed receipt is kept once the batch was accepted."""
        return self.path.with_suffix(".receipt")

    @property
    def sent(self) -> bool:
        """Whether the province has accepted this batch."""
        return self.receipt.exists()


def home() -> Path:
    """Return the business's folder: MONEO_HOME, or .moneo in the home directory."""
    return Path(os.environ.get("MONEO_HOME") or Path.home() / ".moneo")


def key_path(base: Path, issuer: str) -> Path:
    """Return where the key of an issuer name `<origin>/<issuer id>` is kept, or is to be kept.

    A business keeps its id when its province begins another log: that key stands beside the one before.
    """
    issuer_id = issuer.rpartition("/")[2]
    for number in count(1):
        path = base / "keys" / f"{issuer_id}{f'-{number}' if number > 1 else ''}.key"
        if not path.exists() or _name_of(path) in (issuer, ""):
            return path
    raise AssertionError("an endless count has ended")


def newest_names(base: Path) -> list[str]:
    """Return the issuer names that have keys here, of each business only the one in its newest log."""
    newest: dict[str, tuple[int, str]] = {}
    for path in (base / "keys").glob("*.key"):
        issuer_id, _, number = path.stem.partition("-")
        if name := _name_of(path):
            newest[issuer_id] = max(newest.get(issuer_id, (0, "")), (int(number or 1), name))
    return sorted(name for _, name in newest.values())


def _name_of(key: Path) -> str:
    try:
        return open_request(key.with_suffix(".request").read_bytes())[0]
    except FileNotFoundError:
        return ""
    except FormatError as error:
        raise OutboxError(
            f"{key.with_suffix('.request')}: yêu cầu khóa không đúng · the key request is no good: {error}"
        ) from error


class Outbox:
    """The salted batches of one issuer key, in order. Hold it open while preparing and sending."""

    def __init__(self, base: Path, issuer: str) -> None:
        self.issuer = issuer
        self.log = issuer.rpartition("/")[0]
        key = key_path(base, issuer)
        self.folder = base / "batches" / key.stem
        if not key.exists():
            raise OutboxError(
                f"không có khóa của {issuer} ở {key} · there is no key of {issuer} at {key}: "
                "run 'moneo key new' first, or set MONEO_HOME to the folder that has it"
            )
        self.signer = Signer(issuer, load_private_key(key))
        self._by_id: dict[str, Stored] | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this issuer's outbox, so that two commands never salt two batches of one seq."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutboxError(
                    "một lệnh khác đang gửi cho doanh nghiệp này · another command is submitting for "
                    "this issuer: wait until it ends"
                ) from None
            yield

    def stored(self) -> list[Stored]:
        """Return every salted batch of this key in order of seq.

        Raises:
            OutboxError: a seq is missing, so that `prev` cannot be known.
        """
        found = _stored_in(self.folder)
        for expected, stored in enumerate(found):
            if stored.seq != expected:
                raise OutboxError(
                    f"thiếu lô số {expected} trong {self.folder} · batch {expected} is missing from "
                    f"{self.folder}: restore the folder from its backup"
                )
        return found

    def finder(self) -> Finder:
        """Look up records of the batches that are stored here."""
        return Finder(self._leaves)

    def _leaves(self, batch: str) -> bytes | None:
        if self._by_id is None:
            self._by_id = {encode_b64url(note_hash_of(one)): one for one in self.stored()}
        found = self._by_id.get(batch)
        if found is None and any(
            encode_b64url(note_hash_of(one)) == batch for one in self._elsewhere()
        ):
            raise of_closed_log(batch)
        return batches.check_body(found.path.read_bytes()).records.leaf_hashes if found else None

    def _elsewhere(self) -> Iterator[Stored]:
        """Yield the batches of this business for other logs of its province."""
        issuer_id = self.issuer.rpartition("/")[2]
        for folder in self.folder.parent.glob(f"{issuer_id}*"):
            if folder != self.folder:
                yield from _stored_in(folder)

    def prepare(
        self,
        source: bytes,
        entries: Sequence[Entry],
        mode: Literal["live", "practice"],
        *,
        again: bool = False,
    ) -> Iterator[Stored]:
        """Salt and sign a diary's entries in batches, storing each before it is yielded.

        A diary that was begun before (same bytes) goes on where it stopped, with the batches it has; also
        one that was begun in a log that was closed then.

        Args:
            source: the diary file's bytes, which name the work.
            entries: what `read_diary` made of them.
            mode: whether the records are live or practice (a line of each leaf).
            again: treat a diary that was submitted before as a new one.
        """
        stored = self.stored()
        diary = hashlib.sha256(source).hexdigest()[:16]
        mine = [s for s in stored if s.diary == diary]
        if again and mine and all(s.sent for s in mine):
            mine = []
        parts = -(-len(entries) // RECORDS_A_BATCH)
        run = _newest_run(mine)
        taken = [one.part for one in self._elsewhere() if one.diary == diary and one.sent]
        begun = run[-1].part if run else 0 if again else max(taken, default=0)
        yield from run
        for part in range(begun, parts):
            chunk = entries[part * RECORDS_A_BATCH : (part + 1) * RECORDS_A_BATCH]
            new = self._salt(chunk, mode, stored, diary, part, parts)
            stored.append(new)
            yield new

    def _salt(
        self,
        entries: Sequence[Entry],
        mode: Literal["live", "practice"],
        before: Sequence[Stored],
        diary: str,
        part: int,
        parts: int,
    ) -> Stored:
        prev = note_hash_of(before[-1]) if before else batches.FIRST_PREV
        records = [salt(e.fields, type=e.type, mode=mode, codes=e.codes, re=e.re) for e in entries]
        seq = len(before)
        body = batches.build(
            records, self.signer, log=self.log, seq=seq, prev=prev, time=int(time.time())
        )
        path = self.folder / f"{seq:010d}-{diary}-{part + 1}of{parts}.batch"
        write_durably(path, body, PRIVATE)
        return Stored(path, seq, diary, part + 1, parts)


def note_hash_of(stored: Stored) -> bytes:
    """Return SHA-256 of a stored batch's note text, the next batch's `prev`."""
    note, _ = batches.split_body(stored.path.read_bytes())
    return batches.note_hash(batches.read_batch_note(note)[1])


def _stored_in(folder: Path) -> list[Stored]:
    found = []
    for path in folder.glob("*.batch"):
        if match := NAME.fullmatch(path.name):
            seq, diary, part, parts = match.groups()
            found.append(Stored(path, int(seq), diary, int(part), int(parts)))
    return sorted(found, key=lambda stored: stored.seq)


def _newest_run(mine: Sequence[Stored]) -> list[Stored]:
    """The batches of one diary that were made the last time it was submitted, part after part."""
    run: list[Stored] = []
    for one in reversed(mine):
        if run and one.part != run[-1].part - 1:
            break
        run.append(one)
    return run[::-1]
