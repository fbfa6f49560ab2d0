"""What a run has spent and how its calls ended, folded from its events."""

from __future__ import annotations

from collections.abc import Iterable

from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    RunResumed,
    Usage,
)


class Tally:
    """Sums over a run's calls; costs O(1) for each event.

    Attributes:
        started: Calls that left.
        finished: Calls that gave an output.
        failed: Calls that gave none.
        cancelled: Calls that were stopped.
        lost: Calls that were in flight when their owner died.
        tokens_in: Tokens read, as far as known.
        tokens_out: Tokens written, as far as known.
        cost: Pico-dollars, as far as priced.
        unpriced: Calls with tokens whose price nobody knows.
        resumed: How often the run was taken up again.
    """

    def __init__(self, events: Iterable[AnyEvent] = ()) -> None:
        self.started = self.finished = self.failed = self.cancelled = self.lost = 0
        self.tokens_in = self.tokens_out = self.cost = self.unpriced = self.resumed = 0
        for event in events:
            self.add(event)

    def add(self, event: AnyEvent) -> None:
        """Take an event in."""
        kind = type(event)
        if kind is CallStarted:
            self.started += 1
        elif isinstance(event, CallFinished):
            self.finished += 1
            self._spent(event.usage)
        elif isinstance(event, CallFailed):
            self.failed += 1
            self._spent(event.usage)
        elif isinstance(event, CallCancelled):
            self.cancelled += 1
            self._spent(event.usage)
        elif kind is CallLost:
            self.lost += 1
        elif kind is RunResumed:
            self.resumed += 1

    def _spent(self, usage: Usage | None) -> None:
        if usage is None:
            return
        self.tokens_in += usage.tokens_in or 0
        self.tokens_out += usage.tokens_out or 0
        self.cost += usage.cost or 0
        if usage.cost is None and (usage.tokens_in or usage.tokens_out):
            self.unpriced += 1

    @property
    def dollars(self) -> float:
        """The cost in dollars, as far as priced."""
        return self.cost / 1e12
