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
    RunStarted,
    SpecReplaced,
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
        kept: Of those that started and finished, the ones that were never made, because their
            answer was kept from an earlier call.
        missed: Calls that had to be made though their agent's answers are kept.
        saved: Pico-dollars that the kept answers would have cost, as far as priced.
        saved_tokens: Tokens that they would have read and written, as far as known.
        tokens_in: Tokens read, as far as known.
        tokens_cached: How many of them came from the providers' own caches, as far as known.
        tokens_out: Tokens written, as far as known.
        cost: Pico-dollars, as far as priced.
        unpriced: Calls with tokens whose price nobody knows.
        resumed: How often the run was taken up again.
    """

    def __init__(self, events: Iterable[AnyEvent] = ()) -> None:
        self.started = self.finished = self.failed = self.cancelled = self.lost = 0
        self.kept = self.missed = self.saved = self.saved_tokens = 0
        self.tokens_in = self.tokens_out = self.tokens_cached = 0
        self.cost = self.unpriced = self.resumed = 0
        self._keeping: frozenset[str] = frozenset()
        for event in events:
            self.add(event)

    def add(self, event: AnyEvent) -> None:
        """Take an event in."""
        kind = type(event)
        if isinstance(event, CallStarted):
            self.started += 1
            self.missed += event.agent in self._keeping
        elif isinstance(event, CallFinished):
            self.finished += 1
            self._spent(event.usage)
            if event.saved is not None:
                self._given(event.saved)
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
        elif isinstance(event, RunStarted | SpecReplaced):
            agents = event.spec.agents.items()
            self._keeping = frozenset([name for name, agent in agents if agent.cache is not None])

    def _spent(self, usage: Usage | None) -> None:
        if usage is None:
            return
        self.tokens_in += usage.tokens_in or 0
        self.tokens_out += usage.tokens_out or 0
        self.tokens_cached += usage.tokens_cached or 0
        self.cost += usage.cost or 0
        if usage.cost is None and (usage.tokens_in or usage.tokens_out):
            self.unpriced += 1

    def _given(self, saved: Usage) -> None:
        self.kept += 1
        # It had been counted as one that is made when it began.
        self.missed -= 1 if self.missed else 0
        self.saved += saved.cost or 0
        self.saved_tokens += (saved.tokens_in or 0) + (saved.tokens_out or 0)

    @property
    def made(self) -> int:
        """Calls that were really made."""
        return self.started - self.kept

    @property
    def dollars(self) -> float:
        """The cost in dollars, as far as priced."""
        return self.cost / 1e12
