"""What the app itself watches of a run, beside the caller's observers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hocket.app.livelog import LiveLog
from hocket.core.events import AnyEvent, Recorded, RunEnded
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
        left: The folder of what calls have saved to go on with; it goes when the run has ended for
            good. One that failed may have its failed steps done again.

    Attributes:
        tally: What the run has spent.
        also: What else is folded of its events.
    """

    def __init__(self, log: LiveLog, observers: Sequence[Observer], left: Path) -> None:
        self._left = left
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
            if isinstance(recorded.event, RunEnded) and recorded.event.status != "failed":
                shutil.rmtree(self._left, ignore_errors=True)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """Nothing of it counts before it is on disk."""
