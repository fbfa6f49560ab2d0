"""Rules of thumb for who goes first; the search begins with the orders that they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Final

from hocket.forecast.project import Project

_FEW: Final = 2_000
"""Up to so many tasks it is worth knowing which tasks come after each, near or far."""


def ranks_by_rule(project: Project, tails: Sequence[int]) -> Iterator[Sequence[float]]:
    """Give a rank for each task by one rule after the other; the first is the longest path."""
    takes, follows = project.takes, project.follows
    yield tails
    yield [tail - length for tail, length in zip(tails, takes, strict=True)]
    shares = [_share(project, i) for i in range(len(takes))]
    work = [length * share for length, share in zip(takes, shares, strict=True)]
    if len(takes) <= _FEW:
        after = _after(follows, tails, takes)
        yield [count for count, _ in _sums(after, work)]
        yield [work[i] + total for i, (_, total) in enumerate(_sums(after, work))]
    yield [takes[i] + sum([takes[j] for j in follows[i]]) for i in range(len(takes))]
    yield takes
    yield work
    if len(project.pools) > 1:
        yield from _mixed(takes, tails)
        yield _balanced(project, tails)
        yield _balanced(project, takes)


def _mixed(takes: Sequence[int], tails: Sequence[int]) -> Iterator[Sequence[float]]:
    """Mix long and short tasks evenly, and go by the longest path as well, more or less.

    Where a rate and slots bind both, long tasks in a row leave the rate idle, and short ones in a
    row the slots.
    """
    longest = max(tails, default=0) or 1
    by_tail = sorted(range(len(takes)), key=lambda i: -tails[i])
    for width in (1, 2):
        alike: dict[int, list[int]] = {}
        for i in by_tail:
            alike.setdefault(takes[i].bit_length() // width, []).append(i)
        share = [0.0] * len(takes)
        for group in alike.values():
            for k, i in enumerate(group):
                share[i] = 1 - (k + 0.5) / len(group)
        for weight in (0.0, 0.3, 0.6):
            yield [
                weight * tail / longest + (1 - weight) * part
                for tail, part in zip(tails, share, strict=True)
            ]


def _balanced(project: Project, rank: Sequence[int]) -> list[int]:
    """List the tasks, each behind those that it follows, so that their mean length stays alike.

    After too many long ones comes a short one, and the other way round; of each kind the one whose
    rank is the highest, or the lowest if the rank is the length itself.
    """
    takes, follows = project.takes, project.follows
    mean = sum(takes) / len(takes)
    left = [len(before) for before in project.precedes]
    down = -1 if rank is takes else 1
    heaps: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    found = [0] * len(takes)
    ahead = 0.0
    ready = [i for i, count in enumerate(left) if not count]
    for place in range(len(takes)):
        for i in ready:
            long = takes[i] >= mean
            heappush(heaps[long], (-rank[i] if long else -down * rank[i], i))
        wanted = ahead <= 0
        i = heappop(heaps[wanted] or heaps[not wanted])[1]
        found[i] = -place
        ahead += takes[i] - mean
        ready = []
        for j in follows[i]:
            left[j] -= 1
            if not left[j]:
                ready.append(j)
    return found


def _share(project: Project, i: int) -> float:
    """Say how much of all pools a task takes."""
    return sum(
        [
            min(1.0, units / project.pools[pool].size)
            for pool, units in project.tasks[i].claim or ()
            if project.pools[pool].size
        ]
    )


def _after(
    follows: Sequence[Sequence[int]], tails: Sequence[int], takes: Sequence[int]
) -> list[int]:
    """Give for each task all that come after it, as bits."""
    after = [0] * len(follows)
    left = [len(each) for each in follows]
    before: list[list[int]] = [[] for _ in follows]
    for i, each in enumerate(follows):
        for j in each:
            before[j].append(i)
    found = [i for i, count in enumerate(left) if not count]
    for j in found:
        for i in before[j]:
            after[i] |= after[j] | (1 << j)
            left[i] -= 1
            if not left[i]:
                found.append(i)
    return after


def _sums(after: Sequence[int], work: Sequence[float]) -> Iterator[tuple[int, float]]:
    for bits in after:
        total, rest = 0.0, bits
        while rest:
            low = rest & -rest
            total += work[low.bit_length() - 1]
            rest ^= low
        yield bits.bit_count(), total
