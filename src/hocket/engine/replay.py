"""What the events of a run say to whoever drives it from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hocket.core.events import AnyEvent
from hocket.core.run import RunMachine
from hocket.engine.foresight import MOST_EVENTS
from hocket.limits.spending import Spending

Replayed: TypeAlias = Callable[[AnyEvent], None]
"""Is shown each event of a run."""

Checked: TypeAlias = Callable[[RunMachine], None]
"""Is shown a run that is about to be driven; it may refuse that."""


class Replay:
    """Takes the events of a run in, once for all who need them.

    Args:
        machine: A new machine, which becomes what the run was.
        also: Who else is shown each event.
        check: Is shown the run once all were taken in.

    Attributes:
        spending: What the run has spent.
        before: The run's first events, which a forecast begins with.
    """

    def __init__(
        self, machine: RunMachine, also: Replayed | None = None, check: Checked | None = None
    ) -> None:
        self.machine = machine
        self.spending = Spending()
        self.before: list[AnyEvent] = []
        self._also = also
        self._check = check

    def add(self, event: AnyEvent) -> None:
        """Take the next event in."""
        self.machine.apply(event)
        self.spending.add(event)
        if len(self.before) <= MOST_EVENTS:
            self.before.append(event)
        if self._also is not None:
            self._also(event)

    def check(self) -> None:
        """See whether the run may be driven.

        Raises:
            Refused: It may not.
        """
        if self._check is not None:
            self._check(self.machine)
