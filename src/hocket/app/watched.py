"""What the app itself watches of a run, beside the caller's observers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hocket.app.livelog import LiveLog
from hocket.core.events import AnyEvent, Recorded
from hocket.core.values import Call
from hocket.engine.runner import Observer
from hocket.insight.tally import Tally


class Adding(Protocol):
    """Folds something of a run's events."""

    def add(self, event: AnyEvent) -> None:
        """Take an event in; costs O(1)."""


class Watched:
    """Sums a run up while it goes; an observer of it.

    Args:
        log: Keeps what calls say.
        observers: The caller's.

    Attributes:
        tally: What the run has spent.
        also: What else is folded of its events.
    """

    def __init__(self, log: LiveLog, observers: Sequence[Observer]) -> None:
        self.tally = Tally()
        self.also: list[Adding] = []
        self.log = log
        self.observers: list[Observer] = [self, log, *observers]

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Take in what is on disk."""
        for recorded in events:
            self.tally.add(recorded.event)
            for one in self.also:
                one.add(recorded.event)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """Nothing of it counts before it is on disk."""
