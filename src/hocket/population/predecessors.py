"""Next-state lists turned round: for each state, where it can be reached from.

Sending shares to next states is a scatter: slow on a processor, and on a GPU its sums come in any
order.
Read the other way it is a sum of rows that are fetched, always in the same order, and each row is
contiguous over agents.
States that many others lead to are summed apart, in stages of a few rows at a time, like a tree, so
that no array is as wide as the most popular state asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hocket.population.transitions import Floats, Ints, Lists

WIDEST = 8
"""The most rows that one stage adds up."""


@dataclass(frozen=True, eq=False)
class Sums:
    """For each row of a result, which few rows it is the weighted sum of.

    Fields:
        source: Which rows, [width, rows]; with [actions, ...] before where actions are apart.
        weight: What each counts, the same shape; 0 where there are fewer.
    """

    source: Ints
    weight: Floats


@dataclass(frozen=True, eq=False)
class Predecessors:
    """Where each state can be reached from.

    Fields:
        few: The sums of the states that few lead to, straight from the belief, action by action.
        many: The sums of all other states and actions together, stage by stage; often none.
        popular: The row of each state at the end of `many`, [actions, states]; the row after the
            last, which is to be nothing, for the states that are in `few`.
    """

    few: Sums
    many: tuple[Sums, ...]
    popular: Ints


@dataclass(frozen=True, eq=False)
class _Edges:
    """Single steps of one action: the weight of `source` in the sum of `target`; sorted by both."""

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    weight: Floats

    def where(self, chosen: NDArray[np.bool_]) -> _Edges:
        """Some of the steps."""
        return _Edges(self.target[chosen], self.source[chosen], self.weight[chosen])


def predecessors_of(lists: Lists) -> Predecessors:
    """Turn next-state lists round.

    Args:
        lists: For each action and state the states that may come next.
    """
    states, actions = lists.states, lists.actions
    edges = [_edges(lists, action) for action in range(actions)]
    width = min(max(2 * -(-max(len(step.target) for step in edges) // states), 2), WIDEST)
    counts = np.stack([np.bincount(step.target, minlength=states) for step in edges])
    crowded = counts > width
    few = [step.where(~row[step.target]) for step, row in zip(edges, crowded, strict=True)]
    widest = max(*(_most(step) for step in few), 1)
    parts = [_sums(step, step.target, states, widest) for step in few]
    rows = int(crowded.sum())
    popular = np.where(crowded, np.cumsum(crowded).reshape(crowded.shape) - 1, rows)
    left = [step.where(row[step.target]) for step, row in zip(edges, crowded, strict=True)]
    return Predecessors(
        few=Sums(
            np.stack([part.source for part in parts]), np.stack([part.weight for part in parts])
        ),
        many=_stages(_join(left, popular), rows) if rows else (),
        popular=popular.astype(np.int32),
    )


def _join(edges: list[_Edges], row: NDArray[np.int64]) -> _Edges:
    """The steps of all actions to rows that are numbered through, in the order of these."""
    return _Edges(
        np.concatenate([row[action, step.target] for action, step in enumerate(edges)]),
        np.concatenate([step.source for step in edges]),
        np.concatenate([step.weight for step in edges]),
    )


def _stages(edges: _Edges, rows: int) -> tuple[Sums, ...]:
    """Sum in parts, and the parts in parts, until few enough are left for one row each."""
    stages: list[Sums] = []
    while _most(edges) > WIDEST:
        begins = _place(edges.target) % WIDEST == 0
        count = int(begins.sum())
        stages.append(_sums(edges, np.cumsum(begins) - 1, count, WIDEST))
        edges = _Edges(edges.target[begins], np.arange(count), np.ones(count))
    return (*stages, _sums(edges, edges.target, rows, _most(edges)))


def _edges(lists: Lists, action: int) -> _Edges:
    """All steps of one action that have a weight; those between the same states become one."""
    states, many = lists.next.shape[1:]
    target = lists.next[action].astype(np.int64).ravel()
    source = np.repeat(np.arange(states, dtype=np.int64), many)
    weight = np.asarray(lists.weight[action], np.float64).ravel()
    used = weight != 0
    pair, place = np.unique(target[used] * states + source[used], return_inverse=True)
    total = np.bincount(place, weight[used], len(pair)).astype(np.float64)
    return _Edges(pair // states, pair % states, total)


def _most(edges: _Edges) -> int:
    """The most rows that any state is the sum of."""
    return int(np.bincount(edges.target).max()) if len(edges.target) else 0


def _place(target: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many before it have the same target."""
    new = np.flatnonzero(np.diff(target, prepend=-1))
    return np.arange(len(target)) - np.repeat(new, np.diff(new, append=len(target)))


def _sums(step: _Edges, row: NDArray[np.int64], rows: int, width: int) -> Sums:
    """Steps written as sums of a fixed width."""
    source = np.zeros((width, rows), np.int32)
    weight = np.zeros((width, rows))
    place = _place(row)
    source[place, row] = step.source
    weight[place, row] = step.weight
    return Sums(source, weight)
