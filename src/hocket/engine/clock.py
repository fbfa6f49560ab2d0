"""What time it is for a run: nanoseconds since the epoch that never go back."""

from __future__ import annotations

import asyncio
from typing import Final

_NS: Final = 1_000_000_000


class Clock:
    """The loop's own time, put at the wall's time once.

    So a run's instants follow a monotonic clock, and virtual time needs nothing else than a
    virtual loop.

    Args:
        loop: Whose time it follows.
        wall: The wall's time now, in nanoseconds since the epoch.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: int) -> None:
        self._loop = loop
        self._start = loop.time()
        self._wall = wall

    def now(self) -> int:
        """Give the present instant."""
        return self._wall + round((self._loop.time() - self._start) * _NS)

    def loop_time(self, at: int) -> float:
        """Give the loop's time of an instant."""
        return self._start + (at - self._wall) / _NS
