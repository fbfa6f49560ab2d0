"""A provider's own window of requests, worked out from which calls of a record it refused.

Whoever sends more than a provider allows is refused by how much was sent, and not by chance.
A window explains a record if at each refusal so many calls had been let through within it, and at
no call that was let through.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from hocket.core.errors import Fault
from hocket.core.values import DAY, HOUR, MINUTE, MS, SECOND, format_duration
from hocket.simulator.agents import Act, Asked
from hocket.simulator.observed import Observed

_LENGTHS: Final = (MINUTE, SECOND, HOUR, DAY)
"""The windows that providers are known to have, the commonest first."""
_LATE: Final = 250 * MS
"""By how much later than another call one may have reached the provider that left as late."""


class Window(NamedTuple):
    """So many requests in any stretch of so many nanoseconds."""

    amount: int
    per: int

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.amount} requests in {format_duration(self.per)}"


def window_of(through: Sequence[int], refused: Sequence[int]) -> Window | None:
    """Work out which window a provider has; None if none explains what it did.

    Args:
        through: When the calls left that were let through, in ascending order.
        refused: When those left that were not.
    """
    if not refused:
        return None
    for per in _LENGTHS:
        late = min(_LATE, per // 10)
        amount = min(
            bisect_right(through, at + late) - bisect_right(through, at - per) for at in refused
        )
        least = max(
            (i - bisect_right(through, at - per + late) for i, at in enumerate(through)), default=0
        )
        if amount > least:
            return Window(amount, per)
    return None


def tells(window: Window, through: Sequence[int], tries: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a provider seems to have said how long to wait.

    Args:
        window: What it allows.
        through: When the calls left that were let through, in ascending order.
        tries: When calls left that were refused, and when they were tried again: after there was
            room again, if somebody knew when that would be.
    """
    patient = 0
    for refused, again in tries:
        place = bisect_right(through, refused + _LATE) - window.amount
        patient += place >= 0 and again >= through[place] + window.per - _LATE
    return 2 * patient > len(tries)


class Refusing(NamedTuple):
    """How a provider refuses.

    Fields:
        agents: Whom it serves.
        window: What it allows.
        tells: Whether it says how long to wait.
        lasts: How long a refusal takes.
    """

    agents: list[str]
    window: Window
    tells: bool
    lasts: Observed


class Provider:
    """A provider with a window; it counts what it lets through.

    It sees the calls of one simulation after the other: another one has begun when time goes back,
    when chance comes from elsewhere, or when a call comes that has been there before.

    Args:
        how: How it refuses.
    """

    def __init__(self, how: Refusing) -> None:
        self._how = how
        self._through: deque[int] = deque()
        self._seen: dict[tuple[str, str, int], None] = {}
        self._last = 0
        self._seed: int | None = None

    def refuses(self, asked: Asked) -> Act | None:
        """Refuse a call, or count it."""
        at, name = asked.at, (asked.run, asked.path, asked.attempt)
        if at < self._last or asked.seed != self._seed or name in self._seen:
            self._through.clear()
            self._seen.clear()
            self._seed = asked.seed
        self._last = at
        self._seen[name] = None
        through, (amount, per) = self._through, self._how.window
        while through and through[0] <= at - per:
            through.popleft()
        if len(through) < amount:
            through.append(at)
            return None
        wait = through[0] + per - at if self._how.tells else None
        fault = Fault(kind="rate_limited", message="too many requests", retry_after=wait)
        return Act(self._how.lasts.at(asked.draw("latency")), fault)
