"""The longest remaining path of each step: its rank, where nobody has found a better order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from hocket.core.specs import StepSpec
from hocket.core.values import step_of
from hocket.workflows.shape import Shape
from hocket.workflows.stages import stages

Expected: TypeAlias = Callable[[str, StepSpec, str], int]
"""How long one call is expected to take, in nanoseconds: by its path without items and rounds, its
step, and its agent."""


def rank_of(ranks: Mapping[str, int], path: str) -> int:
    """Give the rank of a call; those of steps that nobody has ranked go last."""
    rank = ranks.get(path)
    if rank is not None:
        return rank
    path = step_of(path)
    while path not in ranks and "/" in path:
        # A turn of a conversation goes by what it is a turn of.
        path = path.rpartition("/")[0]
    return ranks.get(path, 0)


def ranks(shape: Shape, expected: Expected) -> dict[str, int]:
    """Give for each step by its path how long it is from its start to the end of the run.

    An item of ``each`` counts once, as all may go at once, and so does a round of ``repeat``.
    """
    found: dict[str, int] = {}
    _plan(shape, expected, "", 0, found)
    return found


def _plan(shape: Shape, expected: Expected, prefix: str, after: int, found: dict[str, int]) -> int:
    """Note the ranks of a plan's steps, and give its longest path."""
    nodes = shape.nodes
    tails = [0] * len(nodes)
    longest = 0
    for node in reversed(list(shape.in_order())):
        tail = 0
        for i in node.dependents:
            tail = max(tail, tails[i])
        for i in node.wanters:
            tail = max(tail, tails[i])
        if node.child is not None:
            tail += _plan(node.child, expected, f"{prefix}{node.spec.name}/", after + tail, found)
        elif node.team is not None:
            path = prefix + node.spec.name
            for stage in reversed(stages(node.spec, shape.agents)):
                before = tail
                for inner, agent in stage:
                    rank = before + expected(f"{path}/{inner}", node.spec, agent)
                    found[f"{path}/{inner}"] = after + rank
                    tail = max(tail, rank)
            found[path] = after + tail
        elif node.job is not None:
            path = prefix + node.spec.name
            tail += expected(path, node.spec, node.spec.agent)
            found[path] = after + tail
        tails[node.index] = tail
        longest = max(longest, tail)
    return longest
