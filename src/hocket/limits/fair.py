"""Weighted fair shares of one contended limit between runs (start-time fair queueing).

Each run has a tag, the virtual instant of its next start; the lowest goes first, and a start moves
the run's tag on by its cost over its weight.
"""

from __future__ import annotations

from typing import Self


class Share:
    """The shares that runs of equal priority and deadline have of one limit.

    Attributes:
        now: The highest tag that was served: where a run begins that comes, or comes back.
        tags: The tag of each run that was here.
        waiting: How many classes of a run wait for this limit, for runs that have any.
            Such a run keeps its tag; any other has no claim on what it did not use.
    """

    __slots__ = ("now", "tags", "waiting")

    def __init__(self) -> None:
        self.now = 0.0
        self.tags: dict[str, float] = {}
        self.waiting: dict[str, int] = {}

    def tag(self, run: str) -> float:
        """Give the virtual instant at which the run's next call is due."""
        tag = self.tags.get(run, self.now)
        return tag if tag > self.now or run in self.waiting else self.now

    def contested(self, run: str) -> bool:
        """Tell whether any other run waits for this limit."""
        return len(self.waiting) > (run in self.waiting)

    def join(self, run: str) -> None:
        """A class of the run waits for this limit from now on."""
        if run in self.waiting:
            self.waiting[run] += 1
        else:
            self.tags[run] = self.tag(run)
            self.waiting[run] = 1

    def leave(self, run: str) -> None:
        """A class of the run does not wait for this limit any more."""
        self.waiting[run] -= 1
        if not self.waiting[run]:
            del self.waiting[run]

    def charge(self, run: str, cost: float) -> None:
        """A call of the run was let through."""
        tag = self.tag(run)
        self.tags[run] = tag + cost
        self.now = max(self.now, tag)

    def refund(self, run: str, cost: float) -> None:
        """A call of the run that was let through has not left."""
        if run in self.tags:
            self.tags[run] -= cost

    def fork(self) -> Self:
        """Copy it."""
        copy = type(self)()
        copy.now = self.now
        copy.tags = self.tags.copy()
        copy.waiting = self.waiting.copy()
        return copy
