"""Finds steps that wait for each other.

Pure and without recursion: a loop of 100,000 steps is found like one of two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_EFFORT: Final = 300_000
"""Edges followed in search of a shorter loop, once one is known."""


def loops(edges: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Give one loop of each knot of nodes that can reach each other, as short as is found quickly.

    Each node of a loop leads to the next one, and the last to the first.
    """
    for knot in _knots(edges):
        yield _shortest(knot, edges)


def _knots(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Give the nodes that lie on loops, by strongly connected component, in order of appearance."""
    left = _without_ends(edges)
    order: list[str] = []
    seen: dict[str, None] = {}
    for node in left:
        _visit(node, left, seen, order)
    back: dict[str, list[str]] = {node: [] for node in left}
    for node, targets in left.items():
        for target in targets:
            back[target].append(node)
    found: list[list[str]] = []
    seen = {}
    place = {node: i for i, node in enumerate(edges)}
    for node in reversed(order):
        knot: list[str] = []
        _visit(node, back, seen, knot)
        if len(knot) > 1:
            found.append(sorted(knot, key=place.__getitem__))
    return sorted(found, key=lambda knot: place[knot[0]])


def _without_ends(edges: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Drop again and again what waits for nothing: in a plan without loops nothing is left."""
    waits = {node: len(targets) for node, targets in edges.items()}
    back: dict[str, list[str]] = {node: [] for node in edges}
    for node, targets in edges.items():
        for target in targets:
            back[target].append(node)
    ready = [node for node, count in waits.items() if count == 0]
    while ready:
        for node in back[ready.pop()]:
            waits[node] -= 1
            if waits[node] == 0:
                ready.append(node)
    return {
        node: [target for target in edges[node] if waits[target] > 0]
        for node, count in waits.items()
        if count > 0
    }


def _visit(
    start: str, edges: Mapping[str, Sequence[str]], seen: dict[str, None], order: list[str]
) -> None:
    """Append what is reached from `start` and was not seen, each node after those it leads to."""
    if start in seen:
        return
    seen[start] = None
    stack = [(start, iter(edges[start]))]
    while stack:
        node, targets = stack[-1]
        for target in targets:
            if target not in seen:
                seen[target] = None
                stack.append((target, iter(edges[target])))
                break
        else:
            order.append(node)
            stack.pop()


def _shortest(knot: Sequence[str], edges: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    inside = dict.fromkeys(knot)
    effort = _EFFORT
    best: tuple[str, ...] = ()
    for start in knot:
        loop, spent = _loop_through(start, edges, inside, len(best))
        if loop and (not best or len(loop) < len(best)):
            best = loop
        effort -= spent
        if effort < 0 or len(best) == 2:
            break
    return best


def _loop_through(
    start: str, edges: Mapping[str, Sequence[str]], inside: dict[str, None], bound: int
) -> tuple[tuple[str, ...], int]:
    """Give the shortest loop through a node and the edges followed; () if none is below `bound`."""
    came_from: dict[str, str] = {}
    depth = {start: 1}
    queue = deque([start])
    spent = 0
    while queue:
        node = queue.popleft()
        if bound and depth[node] >= bound:
            break
        for target in edges[node]:
            spent += 1
            if target == start:
                loop = [node]
                while loop[-1] != start:
                    loop.append(came_from[loop[-1]])
                return tuple(reversed(loop)), spent
            if target in inside and target not in depth:
                depth[target] = depth[node] + 1
                came_from[target] = node
                queue.append(target)
    return (), spent
