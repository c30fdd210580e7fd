# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells which link of the evidence a verification spends its time on, from outside the verifier.

The functions that a link consists of are replaced by timed ones while it is measured. Processor time counts
for the innermost of them, so that the shares add up to the whole.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from anchor import verify as verifier
from anchor.record import Record

REST: Final = "verdict"
# The verifier's steps, in its order.
STEPS: Final = (
    "reading the file",
    "batch path",
    "note signature",
    "log inclusion",
    "chain proof",
    "header",
    "light block",
    "code",
    "age",
)
# What is a link of its own within a step: (where, function, link).
PARTS: Final[tuple[tuple[Any, str, str], ...]] = (
    (verifier, "parse_record", "disclosures"),
    (Record, "leaf_hash", "disclosures"),
    (Record, "fields", "disclosures"),
    (verifier, "open_checkpoint", "checkpoint signature"),
    (verifier, "parse_header", "header"),
)
LINKS: Final = (
    *STEPS[:1],
    "disclosures",
    *STEPS[1:4],
    "checkpoint signature",
    *STEPS[4:],
    REST,
)


class Shares:
    """Seconds spent in each link."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stack: list[str] = []
        self._since = 0.0

    def timed(self, link: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time counted for a link."""

        def call(*arguments: Any, **named: Any) -> Any:
            self._switch()
            self._stack.append(link)
            try:
                return function(*arguments, **named)
            finally:
                self._switch()
                self._stack.pop()

        return call

    def _switch(self) -> None:
        now = time.process_time()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    @contextmanager
    def watching(self) -> Iterator[Callable[..., Any]]:
        """Yield a `verify` whose links are timed."""
        checks = verifier._CHECKS
        steps = [self.timed(link, check) for link, check in zip(STEPS, checks, strict=True)]
        with ExitStack() as patches:
            patches.enter_context(patch.object(verifier, "_CHECKS", steps))
            for where, name, link in PARTS:
                timed = self.timed(link, getattr(where, name))
                patches.enter_context(patch.object(where, name, timed))
            yield self.timed(REST, verifier.verify)

    def of(self, link: str) -> str:
        """Return a link's share."""
        return f"{100 * self.seconds[link] / sum(self.seconds.values()):.1f}%"
