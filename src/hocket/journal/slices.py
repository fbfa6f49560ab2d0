"""A long piece of work in the loop, with a turn for everybody else now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

SLICE: Final = 100
"""How many events are worked on in one turn: about 2 ms, less than a frame of a screen.

They are counted, not timed: so a loop whose time is simulated does the same each time.
"""


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """Give items one after another; whoever else waits has a turn after each slice of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % SLICE == 0:
            await asyncio.sleep(0)
