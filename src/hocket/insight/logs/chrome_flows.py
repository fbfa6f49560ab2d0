"""Finds the spans between which Chrome's flow events go."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from hocket.insight.logs.links import Flow
from hocket.insight.logs.spans import Tree


class Arrow(NamedTuple):
    """One end of a flow, or a step of it.

    Fields:
        flow: Which flow.
        at: When.
        lane: On which thread.
        first: Whether the flow begins here.
    """

    flow: str
    at: int
    lane: str
    first: bool


def flows_of(tree: Tree, arrows: Sequence[Arrow], named: Mapping[str, str]) -> dict[int, Flow]:
    """Give the links that flows state, by the index of the span that was let begin.

    Args:
        tree: The spans.
        arrows: The ends and steps of flows.
        named: What lanes are called.
    """
    lanes: dict[str, list[int]] = {}
    for index, span in enumerate(tree.spans):
        if not tree.children.get(index):
            lanes.setdefault(span.lane, []).append(index)
    begins = {lane: [tree.spans[i].began for i in found] for lane, found in lanes.items()}
    ways: dict[str, list[Arrow]] = {}
    for arrow in sorted(arrows, key=lambda arrow: (arrow.at, not arrow.first)):
        ways.setdefault(arrow.flow, []).append(arrow)
    found: dict[int, Flow] = {}
    for way in ways.values():
        for here, there in pairwise(way):
            if there.first:
                continue
            source = _at(tree, lanes, begins, named.get(here.lane, here.lane), here.at)
            target = _next(lanes, begins, named.get(there.lane, there.lane), there.at)
            within = _at(tree, lanes, begins, named.get(there.lane, there.lane), there.at)
            if within is not None and tree.spans[within].began >= here.at:
                target = within
            if source is None or target is None or source == target:
                continue
            if tree.spans[target].began >= here.at and (
                target not in found or found[target].at < here.at
            ):
                found[target] = Flow(source, here.at)
    return found


def _at(
    tree: Tree, lanes: dict[str, list[int]], begins: dict[str, list[int]], lane: str, at: int
) -> int | None:
    """Find the work of a lane that had begun last at an instant."""
    if lane not in lanes:
        return None
    place = bisect_right(begins[lane], at) - 1
    return lanes[lane][place] if place >= 0 else None


def _next(
    lanes: dict[str, list[int]], begins: dict[str, list[int]], lane: str, at: int
) -> int | None:
    """Find the work of a lane that began next after an instant."""
    if lane not in lanes:
        return None
    place = bisect_right(begins[lane], at)
    return lanes[lane][place] if place < len(lanes[lane]) else None
