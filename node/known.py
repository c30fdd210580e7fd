# SPDX-License-Identifier: GPL-3.0-or-later
"""The members' cards in a node's home, read anew only where a file has changed.

Whoever connects may have them looked at, and checking one's four signatures takes milliseconds.
"""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock
from typing import Final

from node.card import CARDS, Card, cards
from node.errors import GenesisError

_log = logging.getLogger("moneo.node")

_Stamp = tuple[tuple[str, int, int], ...]
_NONE: Final[_Stamp] = ()


class KnownCards:
    """The cards of a home as they are now. Any thread may ask."""

    def __init__(self, home: Path) -> None:
        """Read them. Raises GenesisError if one is damaged."""
        self._home = home
        self._lock = Lock()
        self._stamp = self._stamped()
        self._cards = cards(home)

    def __call__(self) -> list[Card]:
        """Return the cards; while one of them cannot be read, those that were there before."""
        with self._lock:
            stamp = self._stamped()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._cards = cards(self._home)
                except GenesisError as error:
                    _log.warning("a member's card is left out: %s", error)
            return self._cards

    def _stamped(self) -> _Stamp:
        try:
            found = [(each.name, each.stat()) for each in (self._home / CARDS).iterdir()]
        except OSError:
            return _NONE
        return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in found))
