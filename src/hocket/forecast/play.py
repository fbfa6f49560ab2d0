"""Plays a project to its end: who starts when, if calls go by given ranks.

The rules are those of the admission queue: calls with equal claims form a class, and of the heads
that fit the one of the best rank goes first, at every instant at which something has ended.
A test holds that the outcome is that of the real machines, and `hocket.forecast.world` is asked
before an order is adopted.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from hocket.forecast.project import FREE, Project

_BITS: Final = 24
_INDEX: Final = (1 << _BITS) - 1
_ONE: Final = 1 << _BITS
_TIME: Final = 3 * _BITS
"""What happens stands in a heap as one integer: when, then a number that counts what was put
there, then the task, or `_INDEX` for units that come back by time alone.
Those who wait do so too: the place of the step, the number, the task.
"""
_NUMBER: Final = (1 << _TIME) - 1
NEVER: Final = 1 << 200


class Played(NamedTuple):
    """How a project went.

    Fields:
        end: When its last task ended; None if it was broken off, as it could not end in time.
        starts: When each task began; -1 for what had not.
        events: How many calls started and ended, as far as it was played.
    """

    end: int | None
    starts: list[int]
    events: int


def play(project: Project, order: list[int], tails: list[int], below: int = NEVER) -> Played:
    """Play a project.

    Args:
        project: What there is to do.
        order: The place of each step, lower ones first.
        tails: For each task, how long it takes from its start to the end of all that follows it.
        below: Break off once the end cannot be below this.
    """
    game = _Game(project, order)
    ready = project.first
    while True:
        if ready:
            game.join(ready)
        if game.heads and not game.admit(tails, below):
            return Played(None, game.starts, 2 * (project.calls - game.to_start))
        if not game.happens:
            break
        ready = game.advance()
    return Played(game.end, game.starts, 2 * project.calls)


class _Game:
    """A project under way.

    Attributes:
        starts: When each task began.
        end: When the last of those that began will have ended, of those that count.
        to_start: How many calls have not started.
        heads: The first of each class that has any waiting, in order.
        happens: What will end, as a heap.
    """

    __slots__ = (
        "back",
        "base",
        "behind",
        "end",
        "free",
        "happens",
        "head_of",
        "heads",
        "left",
        "now",
        "number",
        "project",
        "starts",
        "to_start",
    )

    def __init__(self, project: Project, order: list[int]) -> None:
        takes = project.takes
        self.project = project
        self.free = project.free
        self.left = project.left.copy()
        self.starts = [-1] * len(takes)
        self.base = [
            (order[s] << _TIME) | i if s >= 0 else i for i, s in enumerate(project.step_of)
        ]
        self.heads: list[int] = []
        self.head_of = [0] * len(project.classes)
        self.behind: list[list[int] | None] = [None] * len(project.classes)
        self.number = _ONE
        self.now = self.end = 0
        self.to_start = project.calls
        self.back: dict[int, int] = {}
        self.happens = [(end << _TIME) | i for end, i in project.begun]
        for end, i in project.begun:
            self.starts[i] = end - takes[i]
            if end > self.end and project.tasks[i].counts:
                self.end = end
        for when, units in project.given_back:
            self.happens.append(self._give_back(when, units))
        heapify(self.happens)

    def join(self, ready: list[int]) -> None:
        """Let what may begin do so, if it is a mark; a call joins its class."""
        project, base, behind, head_of = self.project, self.base, self.behind, self.head_of
        kind, heads, number = project.kind, self.heads, self.number
        for i in ready:
            c = kind[i]
            if c == FREE:
                self.number = number
                self._mark(i)
                number = self.number
                continue
            key = base[i] + number
            number += _ONE
            waiting = behind[c]
            if waiting is None:
                behind[c] = []
                head_of[c] = key
                insort(heads, key)
            elif key < head_of[c]:
                del heads[bisect_left(heads, head_of[c])]
                heappush(waiting, head_of[c])
                head_of[c] = key
                insort(heads, key)
            else:
                heappush(waiting, key)
        self.number = number

    def admit(self, tails: list[int], below: int) -> bool:
        """Let whoever fits go, by rank; tells whether the end can still be below a bound."""
        project, heads, now, number = self.project, self.heads, self.now, self.number
        kind, classes, guard, takes = project.kind, project.classes, project.guard, project.takes
        happens, free, end_of_all, counts = self.happens, self.free, self.end, project.counts
        k = 0
        while k < len(heads):
            i = heads[k] & _INDEX
            c = kind[i]
            take, _, holds = classes[c]
            rest = free - take
            if rest & guard != guard:
                k += 1
                continue
            if now + tails[i] >= below and counts[i]:
                return False
            free = rest
            self.starts[i] = now
            self.to_start -= 1
            end = now + takes[i]
            if end > end_of_all and counts[i]:
                end_of_all = end
            heappush(happens, (end << _TIME) | number | i)
            number += _ONE
            del heads[k]
            waiting = self.behind[c]
            if waiting:
                self.head_of[c] = key = heappop(waiting)
                insort(heads, key)
            else:
                self.behind[c] = None
            if holds:
                self.number = number
                for hold, units in holds:
                    heappush(happens, self._give_back(now + hold, units))
                number = self.number
        self.number, self.free, self.end = number, free, end_of_all
        return True

    def advance(self) -> list[int]:
        """Go on to the next instant at which anything ends; give what may begin then."""
        happens, left = self.happens, self.left
        follows, gives = self.project.follows, self.project.gives
        entry = heappop(happens)
        self.now = now = entry >> _TIME
        free, ready = self.free, list[int]()
        while True:
            i = entry & _INDEX
            if i == _INDEX:
                free += self.back.pop(entry & _NUMBER)
            else:
                free += gives[i]
                for j in follows[i]:
                    left[j] -= 1
                    if not left[j]:
                        ready.append(j)
            if not happens or happens[0] >> _TIME != now:
                break
            entry = heappop(happens)
        self.free = free
        return ready

    def _give_back(self, when: int, units: int) -> int:
        key = self.number | _INDEX
        self.number += _ONE
        self.back[key] = units
        return (when << _TIME) | key

    def _mark(self, i: int) -> None:
        """Let a mark go by, and others that it lets go by; a timer ends later."""
        project, left, now = self.project, self.left, self.now
        passed = [i]
        joining: list[int] = []
        for i in passed:
            if project.kind[i] != FREE:
                joining.append(i)
                continue
            self.starts[i] = now
            end = now + project.takes[i]
            if end > self.end and project.counts[i]:
                self.end = end
            if end > now:
                heappush(self.happens, (end << _TIME) | self.number | i)
                self.number += _ONE
                continue
            for j in project.follows[i]:
                left[j] -= 1
                if not left[j]:
                    passed.append(j)
        if joining:
            self.join(joining)
