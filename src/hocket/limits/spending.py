"""What the calls of a run have spent, folded from its events: what is left of a run's budget.

A crash must not grant a second budget: a call that was lost counts as the most that it may have
spent, and so does one whose usage nobody knows.
"""

from __future__ import annotations

from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    Reserved,
    Usage,
)
from hocket.core.values import Call

_NOTHING = Reserved(0, 0)


class Spending:
    """Sums by agent over a run's calls; costs O(1) for each event.

    Attributes:
        tokens: Tokens read and written, by agent.
        cost: Pico-dollars, by agent.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, int] = {}
        self.cost: dict[str, int] = {}
        self._flying: dict[Call, tuple[str, Reserved]] = {}

    def add(self, event: AnyEvent) -> None:
        """Take an event in."""
        if isinstance(event, CallStarted):
            self._flying[event.call] = event.agent, event.reserved or _NOTHING
        elif isinstance(event, CallFinished | CallFailed | CallCancelled):
            self._settle(event.call, event.usage)
        elif isinstance(event, CallLost):
            self._settle(event.call, None)

    def _settle(self, call: Call, usage: Usage | None) -> None:
        agent, reserved = self._flying.pop(call, ("", _NOTHING))
        if not agent:
            # It was never made, so it has spent nothing.
            return
        tokens, cost = reserved.tokens, reserved.cost
        if usage is not None:
            if usage.tokens_in is not None and usage.tokens_out is not None:
                tokens = usage.tokens_in + usage.tokens_out
            cost = cost if usage.cost is None else usage.cost
        if tokens:
            self.tokens[agent] = self.tokens.get(agent, 0) + tokens
        if cost:
            self.cost[agent] = self.cost.get(agent, 0) + cost
