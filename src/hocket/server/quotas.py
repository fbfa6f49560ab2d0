"""Buckets of requests and counts of connections: no client takes the server from the others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hocket.core.errors import CallerError

_MOST_KEYS: Final = 4096
Clock = Callable[[], float]


class TooMany(CallerError):
    """A client asks for more than its share.

    Attributes:
        wait: In how many seconds it may ask again.
    """

    def __init__(self, message: str, wait: float) -> None:
        self.wait = wait
        super().__init__(message)


class Buckets:
    """A bucket of requests for each client, refilled as time passes.

    Args:
        rate: How many a second come back.
        burst: How many there are at most.
        clock: Gives the seconds that have passed since some instant.
    """

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; gives 0.0, or in how many seconds there will be one."""
        now = self._clock()
        left, since = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        enough = left >= 1.0
        self._left[key] = (left - 1.0 if enough else left, now)
        if len(self._left) > _MOST_KEYS:
            # Whoever has not asked for longest has a full bucket, or nearly so.
            self._left.popitem(last=False)
        return 0.0 if enough else (1.0 - left) / self._rate


class Places:
    """Counts what is open, of each client and in all.

    Args:
        each: The most that one client may have open.
        total: The most that all may, over every kind that shares it.
    """

    def __init__(self, each: int, total: Total) -> None:
        self._each = each
        self._total = total
        self._open: dict[str, int] = {}

    @contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Hold one open for as long as the block lasts.

        Raises:
            TooMany: The client has too many open, or all together have.
        """
        if self._open.get(key, 0) >= self._each:
            raise TooMany(f"you have {self._each} of these open: close one first", 1.0)
        with self._total.one():
            self._open[key] = self._open.get(key, 0) + 1
            try:
                yield
            finally:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]


class Total:
    """Counts what is open in all.

    Args:
        most: The most that may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold one open for as long as the block lasts.

        Raises:
            TooMany: Too many are open.
        """
        if self.open >= self._most:
            raise TooMany(f"{self._most} connections are open, more than that are not held", 5.0)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
