"""Rules of thumb for who goes first; the search begins with the orders that they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
