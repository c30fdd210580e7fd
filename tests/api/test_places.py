# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever sends much, or slowly, waits for itself."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from api.places import Places


async def take(places: Places, held: AsyncExitStack, organisation: str) -> bool:
    """Take a place, if there is one at once."""
    try:
        async with asyncio.timeout(0.05):
            await held.enter_async_context(places.taken(organisation))
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(("most", "own"), [(1, 1), (2, 1), (4, 2), (5, 2)])
def test_one_organisation_has_half_and_the_others_the_rest(most: int, own: int) -> None:
    async def play() -> None:
        places = Places(most)
        async with AsyncExitStack() as held:
            assert [await take(places, held, "a") for _ in range(own + 1)] == [True] * own + [False]
            others = [await take(places, held, f"b{n}") for n in range(most - own + 1)]
            assert others == [True] * (most - own) + [False]
        async with AsyncExitStack() as held:
            assert [await take(places, held, "a") for _ in range(own)] == [True] * own

    asyncio.run(play())
