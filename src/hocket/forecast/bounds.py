"""How long paths are, and the instant before which no schedule can end, whatever the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hocket.forecast.project import Pool, Project

_HEADS: Final = 64
"""Of more distinct beginnings than this, so many are looked at; the bound stays a bound."""


def tails_of(project: Project) -> list[int]:
    """Give for each task how long it takes from its start to the end of all that follows it."""
    return _longest(project.takes, project.follows, project.precedes, project)


def heads_of(project: Project) -> list[int]:
    """Give for each task the instant before which it cannot begin."""
    heads = [0] * len(project.takes)
    for end, i in project.begun:
        heads[i] = end - project.takes[i]
    for i in topological(project.left, project.follows, project.precedes):
        end = heads[i] + project.takes[i]
        for j in project.follows[i]:
            # Who waits for some of several only can begin before the last of them has ended.
            if project.left[j] == len(project.precedes[j]) and heads[j] < end:
                heads[j] = end
    return heads


def bound_of(project: Project, heads: Sequence[int], tails: Sequence[int]) -> int:
    """Give the instant before which the project cannot end.

    That is its longest path, or what some tasks have to do of one pool, after the earliest of them
    can begin and before the shortest way from one of them to the end.
    """
    best = 0
    by_pool: list[list[tuple[int, int, int]]] = [[] for _ in project.pools]
    for i, task in enumerate(project.tasks):
        if not task.counts:
            continue
        best = max(best, heads[i] + tails[i])
        if task.since is not None:
            continue
        for index, units in task.claim or ():
            pool = project.pools[index]
            units = min(units, pool.size)
            if pool.hold is None:
                after, work = tails[i] - task.takes, units * task.takes
            else:
                after, work = tails[i], units
            by_pool[index].append((after, heads[i], work))
    for pool, items in zip(project.pools, by_pool, strict=True):
        best = max(best, _crowded(pool, items))
    return best


def _crowded(pool: Pool, items: list[tuple[int, int, int]]) -> int:
    best = 0
    items.sort(reverse=True)
    heads = sorted(dict.fromkeys([head for _, head, _ in items]))
    if len(heads) > _HEADS:
        heads = [heads[k * len(heads) // _HEADS] for k in range(_HEADS)]
    for earliest in heads:
        work = 0
        for after, head, part in items:
            if head < earliest:
                continue
            work += part
            if pool.hold is None:
                stretch = -(-work // pool.size)
            else:
                stretch = (-(-work // pool.size) - 1) * pool.hold
            best = max(best, earliest + stretch + after)
    return best


def topological(
    left: Sequence[int], follows: Sequence[Sequence[int]], precedes: Sequence[Sequence[int]]
) -> list[int]:
    """Give the tasks so that each comes behind all that it follows."""
    count = [len(before) for before in precedes]
    found = [i for i in range(len(left)) if not count[i]]
    for i in found:
        for j in follows[i]:
            count[j] -= 1
            if not count[j]:
                found.append(j)
    return found


def _longest(
    takes: Sequence[int],
    follows: Sequence[Sequence[int]],
    precedes: Sequence[Sequence[int]],
    project: Project,
) -> list[int]:
    tails = [0] * len(takes)
    for i in reversed(topological(takes, follows, precedes)):
        after = 0
        for j in follows[i]:
            needed = project.left[j] == len(precedes[j])
            if needed and tails[j] > after and project.tasks[j].counts:
                after = tails[j]
        # Nobody waits for the end of what does not count itself.
        tails[i] = after + (takes[i] if project.tasks[i].counts else 0)
    return tails
