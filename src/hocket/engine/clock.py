"""What time it is for a run: nanoseconds since the epoch that never go back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_NS: Final = 1_000_000_000
EARLY: Final = 1_000
"""A loop counts in floating point and may call a fraction of a microsecond early."""


class Clock:
    """The loop's own time, put at the wall's time once.

    So a run's instants follow a monotonic clock, and virtual time needs nothing else than a
    virtual loop.

    Args:
        loop: Whose time it follows.
        wall: The wall's time now, in nanoseconds since the epoch.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: int) -> None:
        self.loop = loop
        self._start = loop.time()
        self._wall = wall

    def now(self) -> int:
        """Give the present instant."""
        return self._wall + round((self.loop.time() - self._start) * _NS)

    def loop_time(self, at: int) -> float:
        """Give the loop's time of an instant."""
        return self._start + (at - self._wall) / _NS


class Alarm:
    """Rings once at an instant, or at an earlier one that it was set to before.

    Args:
        loop: Whose timer it is.
        clock: What time it is.
        ring: Called then.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, ring: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0

    def set(self, at: int | None) -> None:
        """See to it that it rings at that instant at the latest; None asks for nothing."""
        if at is None or (self._timer is not None and self._at <= at):
            return
        self.stop()
        self._at = at
        self._timer = self._loop.call_at(self._clock.loop_time(at), self._rings)

    def stop(self) -> None:
        """Don't ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Never ring again, and let go of who was to hear it."""
        self.stop()
        self._ring = _nobody

    def _rings(self) -> None:
        self._timer = None
        self._ring()


def _nobody() -> None:
    """Nobody hears it."""
