# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps an uploaded diary between its check and its confirmation, on disk, for two hours at most.

    DATA/uploads/<organisation id>/<32 hex digits>.json        0600, in folders of 0700

What was sent is cut down to the rows that still have to be mended: nothing of a diary lies here in the
clear longer than it is needed. Another organisation's drafts are not found.
"""

import json
import math
import re
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from anchor.corrections import Finder
from anchor.durable import write_durably
from anchor.record import Mode
from api.sheets import Diary

KEEP_SECONDS = 2 * 3600
MAX_DRAFTS = 10
PRIVATE = 0o600
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Draft:
    """A diary that was checked: its id, file name and mode; `batch` once its good rows were sent."""

    id: str
    name: str
    mode: Mode
    diary: Diary
    batch: str = ""
    sent: int = 0
    codes: tuple[str, ...] = ()


class Drafts:
    """The drafts of all organisations of one province."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "uploads"

    def add(self, organisation: str, name: str, mode: Mode, diary: Diary) -> Draft:
        """Keep a diary that was checked; the organisation's oldest ones make room for it."""
        self.forget()
        kept = sorted(self._of(organisation).glob("*.json"), key=_age, reverse=True)
        for path in kept[: max(0, len(kept) - MAX_DRAFTS + 1)]:
            path.unlink(missing_ok=True)
        draft = Draft(secrets.token_hex(16), name, mode, diary)
        self._write(organisation, draft)
        return draft

    def get(self, organisation: str, identifier: str, finder: Finder | None = None) -> Draft | None:
        """Return a draft of this organisation, None if there is none (any more)."""
        if not _ID.fullmatch(identifier):
            return None
        path = self._path(organisation, identifier)
        try:
            if _age(path) > KEEP_SECONDS:
                return None
            name, mode, diary, batch, sent, codes = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        diary = Diary.decode(diary.encode(), finder)
        return Draft(identifier, name, mode, diary, batch, sent, tuple(codes))

    def sent(self, organisation: str, draft: Draft, batch: str, codes: Sequence[str]) -> None:
        """Note that the good rows are in `batch` and speak of `codes`, and let go of them."""
        left, sent = draft.diary.only(draft.diary.bad), len(draft.diary.good)
        done = replace(draft, diary=left, batch=batch, sent=sent, codes=tuple(codes))
        self._write(organisation, done)

    def forget(self) -> None:
        """Delete what is older than two hours."""
        for path in self._folder.glob("*/*.json"):
            # A disk that takes no changes keeps it a little longer; it is not shown any more.
            with suppress(OSError):
                if _age(path) > KEEP_SECONDS:
                    path.unlink()

    def _of(self, organisation: str) -> Path:
        return self._folder / organisation

    def _path(self, organisation: str, identifier: str) -> Path:
        return self._of(organisation) / f"{identifier}.json"

    def _write(self, organisation: str, draft: Draft) -> None:
        diary = draft.diary.encode().decode()
        values = [draft.name, draft.mode, diary, draft.batch, draft.sent, draft.codes]
        text = json.dumps(values, ensure_ascii=False).encode()
        write_durably(self._path(organisation, draft.id), text, PRIVATE)


def _age(path: Path) -> float:
    """Seconds since a draft was written, endless if another process has just deleted it."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
