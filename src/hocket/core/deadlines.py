"""The instants at which a machine wants to be woken, soonest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, Generic, Self, TypeVar

K = TypeVar("K")
_TIDY_AT: Final = 4_096


class Deadlines(Generic[K]):
    """A heap of (instant, key) whose stale entries are dropped when they surface.

    An entry is stale once `holds(key)` is false for it; nobody has to remove it.

    Attributes:
        heap: The entries, stale or not: before the first one's instant nothing is to be done.
    """

    __slots__ = ("_added", "_tidy_at", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, K]] = []
        self._added = 0
        self._tidy_at = _TIDY_AT

    def __len__(self) -> int:
        return len(self.heap)

    def add(self, at: int, key: K, holds: Callable[[K], bool] | None = None) -> None:
        """Remember to wake for `key` at `at`; with `holds` trim a heap that has grown long."""
        if holds is not None and len(self.heap) >= self._tidy_at:
            self.trim(holds)
        # The number breaks ties in the order of adding, so keys are never compared.
        self._added += 1
        heapq.heappush(self.heap, (at, self._added, key))

    def take(self, key: K) -> int | None:
        """Take a key out before its time; give the instant that it was there for."""
        found = [at for at, _, known in self.heap if known == key]
        if found:
            self.tidy(lambda known: known != key)
        return min(found, default=None)

    def next(self, holds: Callable[[K], bool]) -> int | None:
        """Give the soonest instant whose key still holds."""
        heap = self.heap
        while heap and not holds(heap[0][2]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, at: int, holds: Callable[[K], bool]) -> list[K]:
        """Take out the keys that still hold and whose instant has come, soonest first."""
        heap, found = self.heap, []
        while heap and (heap[0][0] <= at or not holds(heap[0][2])):
            key = heapq.heappop(heap)[2]
            if holds(key):
                found.append(key)
        return found

    def tidy(self, holds: Callable[[K], bool]) -> None:
        """Drop all stale entries; worth it once they are most of the heap."""
        self.heap = [entry for entry in self.heap if holds(entry[2])]
        heapq.heapify(self.heap)

    def trim(self, holds: Callable[[K], bool]) -> None:
        """Drop all stale entries now and then, so that they are never most of a long heap."""
        if len(self.heap) >= self._tidy_at:
            self.tidy(holds)
            self._tidy_at = max(_TIDY_AT, 2 * len(self.heap))

    def fork(self) -> Self:
        """Copy it."""
        other = type(self)()
        other.heap = self.heap.copy()
        other._added = self._added
        other._tidy_at = self._tidy_at
        return other
