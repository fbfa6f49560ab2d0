"""What is left of a run, small enough to be played thousands of times.

A project holds numbers alone: tasks, how long each is assumed to take, what follows it, and what it
takes of the run's limits.
`hocket.forecast.outline` makes it of a run; `hocket.forecast.play` plays it.

All limits are pools of units, and a call takes units of several pools at once: a slot until its
end, a start in a window for as long as the window looks back, a spacing until the next start may
come.
The free units of all pools stand in one integer, each pool with a spare bit above it: a claim fits
if taking it away leaves every spare bit set, which costs two operations for any number of pools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Final, NamedTuple, Self

FREE: Final = -1
"""The class of a task that claims nothing: it begins the moment that it may."""


class Pool(NamedTuple):
    """Units of which calls take some.

    Fields:
        limit: The limit's name, for whoever asks what bound the run.
        size: How many units there are.
        hold: For how long a call keeps them from its start; None until its end.
    """

    limit: str
    size: int
    hold: int | None = None


class Task(NamedTuple):
    """A call, or a mark in time.

    Fields:
        path: Where it is in the run; "" for a mark.
        step: The path of its step, which ranks go by; "" for a mark.
        takes: How long it is assumed to take, in nanoseconds; a mark may be a timer.
        claim: The pools by number, and the units of each; None for a mark.
        left: How many of those that it follows must end before it may begin.
        follows: Those that wait for its end.
        since: When it began, if it is under way, counted from the project's beginning (≤ 0).
        counts: Whether the run waits for its end.
    """

    path: str
    step: str
    takes: int
    claim: tuple[tuple[int, int], ...] | None
    left: int
    follows: tuple[int, ...] = ()
    since: int | None = None
    counts: bool = True


class Claims(NamedTuple):
    """What the tasks of one class take: those with equal claims.

    Fields:
        take: The units of all pools, packed.
        until_end: Those of them that are given back at the end, packed.
        holds: For each other stretch of time: how long, and the units, packed.
    """

    take: int
    until_end: int
    holds: tuple[tuple[int, int], ...]


class Project:
    """Tasks and pools, made ready to be played.

    Args:
        tasks: The tasks.
        pools: The pools.
        held: What calls before the project's beginning still keep: until when, of which pool, how
            many units.

    Attributes:
        steps: The paths of the steps that have calls to start; ranks are given to these.
        step_of: For each task, its step's place in `steps`, or -1.
        takes: For each task, how long it takes.
        follows: For each task, those that wait for its end.
        precedes: For each task, those whose end it waits for.
        left: For each task, how many ends it waits for.
        counts: For each task, whether the run waits for its end.
        gives: For each task, what comes back at its end, packed.
        kind: For each task, its class, or `FREE`.
        classes: What each class takes.
        guard: The spare bits of all pools.
        free: The free units at the beginning, packed, spare bits set.
        begun: What is under way: (end, task), by end.
        given_back: What comes back by time alone: (when, units), by time.
        first: The tasks that may begin at once.
        shifts: Where the units of each pool stand in packed ones.
        calls: How many calls are still to start.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        pools: Sequence[Pool],
        held: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        self.tasks = tasks
        self.pools = pools
        self.takes = [task.takes for task in tasks]
        self.follows = [task.follows for task in tasks]
        self.left = [task.left for task in tasks]
        self.counts = [task.counts for task in tasks]
        self._pack(held)
        self._classify()
        self._number_steps()
        self.precedes = _reversed(self.follows)

    def lasting(self, takes: Sequence[int]) -> Self:
        """Give the same project with other durations."""
        other = copy(self)
        other.takes = list(takes)
        other.begun = sorted(
            (max((self.tasks[i].since or 0) + takes[i], 0), i) for _, i in self.begun
        )
        return other

    def order(self, rank: Mapping[str, int]) -> list[int]:
        """Turn the ranks of steps into places of steps: the highest rank is first."""
        ranks = [rank.get(step, 0) for step in self.steps]
        return places(ranks)

    def _pack(self, held: Sequence[tuple[int, int, int]]) -> None:
        shift, self.shifts, self.guard, self.free = 0, list[int](), 0, 0
        for pool in self.pools:
            width = max(pool.size, 1).bit_length()
            self.shifts.append(shift)
            self.guard |= 1 << (shift + width)
            self.free |= pool.size << shift
            shift += width + 1
        self.free |= self.guard
        self.given_back: list[tuple[int, int]] = []
        for until, pool_index, units in sorted(held):
            self._take(pool_index, units, until)

    def _take(self, pool: int, units: int, until: int | None) -> int:
        """Take units before the beginning, as far as there are any; give them packed."""
        shift = self.shifts[pool]
        mask = (1 << max(self.pools[pool].size, 1).bit_length()) - 1
        packed = min(units, (self.free >> shift) & mask) << shift
        self.free -= packed
        if until is not None and packed:
            self.given_back.append((until, packed))
        return packed

    def _classify(self) -> None:
        known: dict[tuple[tuple[int, int], ...], int] = {}
        self.classes: list[Claims] = []
        self.kind: list[int] = []
        self.begun: list[tuple[int, int]] = []
        self.gives: list[int] = []
        self.first: list[int] = []
        self.calls = 0
        for i, task in enumerate(self.tasks):
            if task.claim is None:
                self.kind.append(FREE)
                self.gives.append(0)
            else:
                kind = known.get(task.claim)
                if kind is None:
                    kind = known[task.claim] = len(self.classes)
                    self.classes.append(self._claims(task.claim))
                self.kind.append(kind)
                self.gives.append(self.classes[kind].until_end)
            if task.since is not None:
                self._under_way(i, task)
            elif task.claim is not None:
                self.calls += 1
            if task.since is None and not task.left:
                self.first.append(i)
        self.begun.sort()
        self.given_back.sort()

    def _claims(self, claim: tuple[tuple[int, int], ...]) -> Claims:
        take, until_end, holds = 0, 0, dict[int, int]()
        for index, units in claim:
            pool = self.pools[index]
            # Nobody knows what becomes of a claim above the whole limit; it is played as all of it.
            packed = min(units, pool.size) << self.shifts[index]
            take += packed
            if pool.hold is None:
                until_end += packed
            elif packed:
                holds[pool.hold] = holds.get(pool.hold, 0) + packed
        return Claims(take, until_end, tuple(holds.items()))

    def _under_way(self, i: int, task: Task) -> None:
        assert task.since is not None
        gives = 0
        for pool, units in task.claim or ():
            hold = self.pools[pool].hold
            if hold is None:
                gives += self._take(pool, units, None)
            elif task.since + hold > 0:
                self._take(pool, units, task.since + hold)
        self.gives[i] = gives
        # What should have ended by now may end at any moment.
        self.begun.append((max(task.since + task.takes, 0), i))

    def _number_steps(self) -> None:
        numbers: dict[str, int] = {}
        self.step_of: list[int] = []
        for task in self.tasks:
            if task.claim is None or task.since is not None:
                self.step_of.append(-1)
            else:
                self.step_of.append(numbers.setdefault(task.step, len(numbers)))
        self.steps = list(numbers)


def places(ranks: Sequence[float]) -> list[int]:
    """Give the place of each rank, the highest first; equal ones in the order given."""
    found = [0] * len(ranks)
    for place, index in enumerate(sorted(range(len(ranks)), key=lambda i: -ranks[i])):
        found[index] = place
    return found


def _reversed(follows: Sequence[tuple[int, ...]]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in follows]
    for i, after in enumerate(follows):
        for j in after:
            found[j].append(i)
    return found
