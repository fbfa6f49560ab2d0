"""The queue in which calls wait for their limits, and the decision whom to let through.

Calls that claim the same limits form a class and go through in the order in which they came.
No limit idles while the head of some class fits, and among heads that fit the oldest goes first.
An admission costs O(classes), however many calls wait, and tells of a bounded number of waits,
however often their cause has changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from hocket.core.events import Wait
from hocket.core.values import Call

PAUSE: Final = "pause"
COMMIT: Final = "commit"
MAX_WAITS: Final = 8
"""A call that was held up by more changing causes than this has the shortest of them counted to
the one before."""


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """A call that may start, and all that it waited for."""

    call: Call
    waits: tuple[Wait, ...]


class _Class:
    """The waiting calls that claim the same limits."""

    __slots__ = ("blocked", "count", "limits", "waiting")

    def __init__(self, limits: tuple[str, ...]) -> None:
        self.limits = limits
        self.waiting: deque[tuple[int, int, Call]] = deque()
        """(number, since, call), oldest first; withdrawn calls stay until they surface."""
        self.count = 0
        """How many of them were not withdrawn."""
        self.blocked: list[tuple[int, str]] = []
        """(since, cause): what has held the head up, each cause from when it began."""

    def note(self, cause: str, at: int) -> None:
        """Note what holds the head up from now on."""
        blocked = self.blocked
        if blocked and blocked[-1][0] == at:
            blocked.pop()
        if not blocked or blocked[-1][1] != cause:
            blocked.append((at, cause))
        if len(blocked) > MAX_WAITS:
            # The last one goes on, so nobody knows its length.
            closed = range(1, len(blocked) - 1)
            shortest = min(closed, key=lambda i: blocked[i + 1][0] - blocked[i][0])
            del blocked[shortest]
            if blocked[shortest - 1][1] == blocked[shortest][1]:
                del blocked[shortest]


class Admission:
    """Concurrency limits and the calls that wait for them.

    Args:
        capacities: How many calls each limit lets through at once.
    """

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self._capacity = dict(capacities)
        self._used = dict.fromkeys(capacities, 0)
        self._classes: dict[tuple[str, ...], _Class] = {}
        self._queued: dict[Call, tuple[int, _Class]] = {}
        self._admitted: dict[Call, tuple[str, ...]] = {}
        self._offered = 0

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._queued)

    @property
    def admitted(self) -> int:
        """How many calls hold their limits."""
        return len(self._admitted)

    def offer(self, call: Call, limits: tuple[str, ...], at: int) -> None:
        """Let a call wait for one unit of each limit."""
        group = self._classes.get(limits)
        if group is None:
            group = self._classes[limits] = _Class(limits)
        self._offered += 1
        self._queued[call] = self._offered, group
        if not group.count:
            # Nobody was held up until now.
            group.blocked.clear()
        group.count += 1
        group.waiting.append((self._offered, at, call))

    def withdraw(self, call: Call) -> bool:
        """Take a call out of the queue; tells whether it was there."""
        entry = self._queued.pop(call, None)
        if entry is None:
            return False
        entry[1].count -= 1
        return True

    def release(self, call: Call) -> None:
        """Give back what an admitted call holds."""
        for limit in self._admitted.pop(call):
            self._used[limit] -= 1

    def admit(self, at: int, held: str = "") -> list[Admitted]:
        """Let through every call that fits now, oldest first; none while `held` for a cause."""
        admitted: list[Admitted] = []
        while self._queued:
            best: _Class | None = None
            for group in self._classes.values():
                if not self._tidy(group):
                    continue
                blocking = held or self._blocking(group)
                if blocking:
                    group.note(blocking, at)
                elif best is None or group.waiting[0][0] < best.waiting[0][0]:
                    best = group
            if best is None:
                break
            admitted.append(self._take(best, at))
        return admitted

    def blocked(self) -> dict[str, int]:
        """Count the waiting calls by what holds up their class."""
        counts: dict[str, int] = {}
        for group in self._classes.values():
            if group.count and group.blocked:
                cause = group.blocked[-1][1]
                counts[cause] = counts.get(cause, 0) + group.count
        return counts

    def _tidy(self, group: _Class) -> bool:
        """Drop withdrawn heads; tells whether anybody waits."""
        waiting = group.waiting
        while waiting:
            entry = self._queued.get(waiting[0][2])
            if entry is not None and entry[0] == waiting[0][0]:
                return True
            waiting.popleft()
        return False

    def _blocking(self, group: _Class) -> str:
        for limit in group.limits:
            if self._used[limit] >= self._capacity[limit]:
                return f"slot:{limit}"
        return ""

    def _take(self, group: _Class, at: int) -> Admitted:
        _, since, call = group.waiting.popleft()
        del self._queued[call]
        group.count -= 1
        self._admitted[call] = group.limits
        for limit in group.limits:
            self._used[limit] += 1
        waits = () if since >= at else self._waits(group, since, at)
        return Admitted(call, waits)

    def _waits(self, group: _Class, since: int, at: int) -> tuple[Wait, ...]:
        """Cut the class's causes to the stretch that one call waited."""
        blocked = group.blocked
        # Those behind came later, so what ended before this call's wait is of no more use.
        over = 0
        while over + 1 < len(blocked) and blocked[over + 1][0] <= since:
            over += 1
        del blocked[:over]
        waits: list[Wait] = []
        for i, (begun, cause) in enumerate(blocked):
            until = blocked[i + 1][0] if i + 1 < len(blocked) else at
            begun = max(begun, since)
            if until > begun:
                waits.append(Wait(cause, begun, until))
        return tuple(waits)
