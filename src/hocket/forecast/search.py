"""Look-ahead: looks for an order of calls by which a run ends sooner than by longest path first.

It is an evolution of orders: it begins with those that rules of thumb give, plays each forwards and
backwards, mixes the better ones and changes them a little, and stops when the budget of simulated
events is used up or when no order can be better.
The same seed finds the same order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Final

import msgspec

from hocket.forecast.bounds import bound_of, heads_of, tails_of
from hocket.forecast.chance import Chance
from hocket.forecast.play import Played, play
from hocket.forecast.project import Project, Task, places
from hocket.forecast.rules import ranks_by_rule

BUDGET: Final = 100_000
"""Simulated events that a search may cost: starts and ends of calls, as far as they are played."""
_KEPT: Final = 40
_LEAST_KEPT: Final = 5
_TURNED: Final = 6
"""How many of the first orders, the best ones, are played backwards and forwards again."""
_SPREAD: Final = 0.35
"""How far chance moves the steps of the first orders, as a share of all places."""
_SHIFTED: Final = 0.2
"""The share of steps that change places in a new order."""


class Order(msgspec.Struct, frozen=True):
    """An order and what it leads to.

    Fields:
        end: When the run ends by it, counted from the beginning of the project.
        rank: The rank of each step by its path, higher ones first.
    """

    end: int
    rank: dict[str, int]


class Found(msgspec.Struct, frozen=True):
    """What a search has found.

    Fields:
        first: When the run ends by longest path first.
        bound: The instant before which it cannot end, by any order.
        orders: The best orders, none worse than by longest path first, the best one first.
        tried: How many orders were tried.
        events: How many events that took.
    """

    first: int
    bound: int
    orders: tuple[Order, ...]
    tried: int
    events: int


def search(project: Project, *, budget: int = BUDGET, seed: int = 0, best: int = 3) -> Found:
    """Look for an order.

    Args:
        project: What is left of the run.
        budget: How many events may be simulated; longest path first is played in any case.
        seed: Where chance comes from.
        best: How many orders to give at most.
    """
    hunt = _Hunt(project, budget, seed)
    hunt.go()
    orders = [hunt.order_of(end, order) for end, _, _, order in hunt.kept[:best]]
    return Found(
        hunt.first,
        hunt.bound,
        tuple(order for order in orders if order.end <= hunt.first),
        hunt.tried,
        hunt.events,
    )


class _Hunt:
    """One search.

    Attributes:
        kept: The best orders: (end, number, steps by their starts, order), the best first.
        first: The end by longest path first.
        bound: What no order can be below.
        tried: How many orders were played.
        events: How many events that took.
    """

    def __init__(self, project: Project, budget: int, seed: int) -> None:
        self.project = project
        self.budget = budget
        self.chance = Chance(seed)
        self.tails = tails_of(project)
        self.heads = heads_of(project)
        self.bound = bound_of(project, self.heads, self.tails)
        self.kept: list[tuple[int, int, list[int], list[int]]] = []
        self.first = 0
        self.tried = 0
        self.events = 0
        self._seen: dict[tuple[int, ...], None] = {}
        schedules = budget // max(1, 2 * project.calls)
        self._most = max(_LEAST_KEPT, min(_KEPT, schedules // 20))
        self._turns = 0
        """How many new orders were played backwards and forwards again."""
        self._gains = 0
        """How many of those led to one that was kept."""
        self._mirror: Project | None = None
        self._mirror_tails: list[int] = []

    def over(self) -> bool:
        """Whether there is nothing left to spend, or nothing left to find."""
        return self.events >= self.budget or (bool(self.kept) and self.kept[0][0] <= self.bound)

    def order_of(self, end: int, order: Sequence[int]) -> Order:
        """Write an order down by the paths of its steps, the first one first."""
        steps, count = self.project.steps, len(order)
        ranked = sorted(range(count), key=lambda s: order[s])
        return Order(end, {steps[s]: count - order[s] for s in ranked})

    def go(self) -> None:
        """Search."""
        by_rule: list[tuple[int, int, Played]] = []
        for number, rank in enumerate(ranks_by_rule(self.project, self.tails)):
            played = self._forwards(places(self._by_step(rank)))
            assert played.end is not None
            by_rule.append((played.end, number, played))
            if not number:
                self.first = played.end
                if len(self.project.steps) < 2:
                    return
            if self.over():
                return
        for _, _, played in sorted(by_rule)[:_TURNED]:
            self._mirrored(played)
            if self.over():
                return
        self._scatter()
        while not self.over():
            played = self._forwards(self._child(), self._worst())
            # As often as it has been worth it, which depends on the kinds of limits.
            often = (1 + self._gains) / (3 + self._turns)
            if played.end is not None and not self.over() and self.chance.unit() < often:
                before = len(self._seen)
                self._mirrored(played)
                self._turns += 1
                self._gains += len(self._seen) > before

    def _scatter(self) -> None:
        """Try orders around the best ones by rule."""
        rules = [order for *_, order in self.kept]
        count = len(self.project.steps)
        for number in range(3 * self._most):
            if self.over() or len(self.kept) >= self._most:
                return
            base = rules[number % min(4, len(rules))]
            ranks = [-place - _SPREAD * count * self.chance.unit() for place in base]
            played = self._forwards(places(ranks))
            if not self.over():
                self._mirrored(played)

    def _by_step(self, rank: Sequence[float]) -> list[float]:
        """Give each step the rank of the first of its tasks to go."""
        project = self.project
        ranks = [float("-inf")] * len(project.steps)
        for i, s in enumerate(project.step_of):
            if s >= 0 and rank[i] > ranks[s]:
                ranks[s] = rank[i]
        return ranks

    def _forwards(self, order: list[int], below: int | None = None) -> Played:
        """Play an order, and keep it if it is good."""
        if below is None:
            played = play(self.project, order, self.tails)
        else:
            played = play(self.project, order, self.tails, below)
        self.tried += 1
        self.events += played.events
        if played.end is not None:
            self._keep(played.end, played.starts, order)
        return played

    def _keep(self, end: int, starts: list[int], order: list[int]) -> None:
        if len(self.kept) >= self._most and end > self.kept[-1][0]:
            return
        key = tuple(starts)
        if key in self._seen:
            return
        self._seen[key] = None
        # Calls in the order of their starts are scheduled alike, or nearly if steps have several,
        # and orders are better mixed that way.
        ranks = self._by_step([-start for start in starts])
        sequence = sorted(range(len(ranks)), key=lambda s: (-ranks[s], order[s]))
        insort(self.kept, (end, len(self._seen), sequence, order))
        if len(self.kept) > self._most:
            self.kept.pop()

    def _worst(self) -> int | None:
        """Give what an order must be below to be of use."""
        return self.kept[-1][0] + 1 if len(self.kept) >= self._most else None

    def _mirrored(self, played: Played) -> None:
        """Play backwards from the end, what ended last first, and forwards again."""
        project = self.project
        if self._mirror is None:
            self._mirror = _mirror(project)
            self._mirror_tails = tails_of(self._mirror)
        mirror, takes = self._mirror, project.takes
        for source in (False, True):
            ends = [start + length for start, length in zip(played.starts, takes, strict=True)]
            if source:
                self._forwards(places(self._by_step(ends)))
                return
            latest = dict.fromkeys(mirror.steps, 0)
            for i, task in enumerate(mirror.tasks):
                if task.claim is not None:
                    latest[task.step] = max(latest[task.step], ends[i])
            order = places([latest[step] for step in mirror.steps])
            played = play(mirror, order, self._mirror_tails)
            self.events += played.events

    def _child(self) -> list[int]:
        """Mix two of the kept orders, the better ones rather, and let steps change places."""
        kept, chance = self.kept, self.chance
        count = len(self.project.steps)
        one = kept[min(chance.below(len(kept)), chance.below(len(kept)))][2]
        two = kept[chance.below(len(kept))][2]
        low, high = sorted((chance.below(count + 1), chance.below(count + 1)))
        if one is two:
            child = one.copy()
        elif chance.below(2):
            # What lies between goes as in the other order.
            ours = dict.fromkeys(one[low:high])
            child = one[:low] + [s for s in two if s in ours] + one[high:]
        else:
            ours = dict.fromkeys(one[low:high])
            others = [s for s in two if s not in ours]
            child = others[:low] + one[low:high] + others[low:]
        for k in range(count - 1):
            if chance.unit() < _SHIFTED:
                other = min(count - 1, k + 1 + chance.below(4))
                child[k], child[other] = child[other], child[k]
        order = [0] * count
        for k, s in enumerate(child):
            order[s] = k
        return order


def _mirror(project: Project) -> Project:
    """Turn time round: what follows precedes."""
    ends = dict((i, end) for end, i in project.begun)
    tasks = [
        Task(
            task.path,
            task.step,
            ends.get(i, task.takes),
            task.claim,
            len(project.follows[i]),
            tuple(project.precedes[i]),
        )
        for i, task in enumerate(project.tasks)
    ]
    return Project(tasks, project.pools)
