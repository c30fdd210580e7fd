# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds what is held in memory at once, without letting one organisation keep the others waiting."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial


class Places:
    """So many places, half of them at most for one organisation; whoever finds none waits."""

    def __init__(self, most: int) -> None:
        self._all = asyncio.Semaphore(most)
        # Organisations are the operator's: there are few, and none is made from outside.
        self._own = defaultdict[str, asyncio.Semaphore](
            partial(asyncio.Semaphore, max(1, most // 2))
        )

    @asynccontextmanager
    async def taken(self, organisation: str) -> AsyncIterator[None]:
        """Hold one place for an organisation that is known by its token."""
        async with self._own[organisation], self._all:
            yield
