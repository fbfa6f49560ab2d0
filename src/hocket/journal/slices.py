"""Work that would keep the loop: in slices, or aside where it may wait for another machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

SLICE: Final = 100
"""How many events are worked on in one turn: about 2 ms, less than a frame of a screen.

They are counted, not timed: so a loop whose time is simulated does the same each time.
"""


class Far(Protocol):
    """What a journal may have besides: it is another machine's, and its answers may not come."""

    far: bool


async def in_slices(items: Iterable[T], source: object = None) -> AsyncIterator[T]:
    """Give items one after another; whoever else waits has a turn after each slice of them.

    Args:
        items: What there is.
        source: The journal that they are read from meanwhile, if they are.
    """
    them = iter(items)
    while some := await aside(source, lambda: list(islice(them, SLICE))):
        for item in some:
            yield item
        if len(some) < SLICE:
            return
        await asyncio.sleep(0)


async def aside(journal: object, work: Callable[[], T]) -> T:
    """Do some work that reads from a journal, beside the loop if that is `Far`."""
    return await asyncio.to_thread(work) if getattr(journal, "far", False) else work()
