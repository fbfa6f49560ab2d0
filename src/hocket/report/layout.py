"""Where the steps of a plan stand when it is drawn: from left to right, nested plans as groups.

The browser, pictures and the command line all draw from this, so that they agree.
Places come from the plan alone: they stay while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hocket.core.specs import AgentSpec, PlanSpec, StepSpec
from hocket.core.teams import ConsensusSpec, ReviewSpec
from hocket.report.layering import Layers, Size, arrange
from hocket.workflows.panel import is_panel
from hocket.workflows.shape import Node, Shape

STEP: Final = Size(168, 38)
"""The box of a step."""
_EDGE: Final = 14
"""Pixels between the frame of a group and what is in it."""
_HEAD: Final = 26
"""The height of a group's headline."""


class Box(msgspec.Struct, kw_only=True):
    """A step as it is drawn.

    Fields:
        path: Its path, without items and rounds: all of them share one box.
        kind: What kind of step it is; ``panel`` and ``review`` besides those of `StepSpec`.
        group: The place of the nested plan that it belongs to among all boxes; -1 for none.
        layer: Its layer within its plan.
        x: Its left, in pixels.
        y: Its top.
        width: In pixels.
        height: In pixels.
        members: How many steps, members or reviewers there are within it; 0 for a plain step.
    """

    path: str
    kind: str
    group: int
    layer: int
    x: int
    y: int
    width: int
    height: int
    members: int = 0


class Layout(msgspec.Struct, kw_only=True):
    """A plan as it is drawn.

    Fields:
        boxes: The steps; a group comes before what is in it.
        edges: From which box to which, and whether it is only wanted.
        trunks: The points along which edges over several layers run, by the box they come from:
            such an edge leaves its trunk at the last point before the layer that it leads to.
        width: In pixels.
        height: In pixels.
    """

    boxes: list[Box]
    edges: list[tuple[int, int, bool]]
    trunks: dict[int, list[tuple[int, int]]]
    width: int
    height: int


def plan_layout(plan: PlanSpec, agents: Mapping[str, AgentSpec], *, closed: bool = False) -> Layout:
    """Find a place for each step of a plan.

    Args:
        plan: The plan; it has passed `hocket.workflows.check`.
        agents: Its agents.
        closed: Draw nested plans as plain steps.
    """
    layout = Layout(boxes=[], edges=[], trunks={}, width=0, height=0)
    shape = Shape(plan, agents)
    outer = _Level(shape, closed)
    outer.put(layout, "", -1, 0, 0)
    layout.width, layout.height = outer.layers.width, outer.layers.height
    return layout


def layout_document(layout: Layout) -> dict[str, Any]:
    """Give a layout for programs; sizes and trunks only of what has its own."""
    boxes = layout.boxes
    return {
        "nodes": [[box.path, box.kind, box.x, box.y, box.layer] for box in boxes],
        "edges": [
            [since, until, 1] if want else [since, until] for since, until, want in layout.edges
        ],
        "width": layout.width,
        "height": layout.height,
        "size": list(STEP),
        "sizes": {
            str(place): [box.width, box.height]
            for place, box in enumerate(boxes)
            if (box.width, box.height) != STEP
        },
        "groups": {str(place): box.group for place, box in enumerate(boxes) if box.group >= 0},
        "members": {str(place): box.members for place, box in enumerate(boxes) if box.members},
        "routes": {
            str(place): [list(point) for point in points] for place, points in layout.trunks.items()
        },
    }


class _Level:
    """One plan and those within it, each with its places counted from its own corner."""

    def __init__(self, shape: Shape, closed: bool) -> None:
        self.nodes = shape.nodes
        self.closed = closed
        self.inner = {
            node.index: _Level(node.child, closed)
            for node in shape.nodes
            if node.child is not None and not closed
        }
        self.edges = [
            (source, node.index, want)
            for node in shape.nodes
            for sources, want in ((node.needs, False), (node.wants, True))
            for source in sources
        ]
        sizes = [self._size(node) for node in shape.nodes]
        self.layers: Layers = arrange(sizes, [(since, until) for since, until, _ in self.edges])
        self.sizes = sizes

    def _size(self, node: Node) -> Size:
        inner = self.inner.get(node.index)
        if inner is None:
            return STEP
        layers = inner.layers
        return Size(max(STEP.width, layers.width + 2 * _EDGE), layers.height + 2 * _EDGE + _HEAD)

    def put(self, layout: Layout, before: str, group: int, left: int, top: int) -> None:
        """Add all boxes and edges to a layout, with the level's corner at a point."""
        layers, numbers = self.layers, {}
        for node in self.nodes:
            index, spec = node.index, node.spec
            numbers[index] = len(layout.boxes)
            x, y = left + layers.x[index], top + layers.y[index]
            path = before + spec.name
            layout.boxes.append(
                Box(
                    path=path,
                    kind=_kind(spec),
                    group=group,
                    layer=layers.layer[index],
                    x=x,
                    y=y,
                    width=self.sizes[index].width,
                    height=self.sizes[index].height,
                    members=_members(node),
                )
            )
            inner = self.inner.get(index)
            if inner is not None:
                inner.put(layout, f"{path}/", numbers[index], x + _EDGE, y + _EDGE + _HEAD)
        layout.edges += [
            (numbers[since], numbers[until], want) for since, until, want in self.edges
        ]
        for index, points in layers.trunks.items():
            layout.trunks[numbers[index]] = [(left + x, top + y) for x, y in points]


def _kind(spec: StepSpec) -> str:
    if spec.plan is not None and is_panel(spec.plan):
        return "panel"
    return "review" if spec.kind == "call" and spec.review is not None else spec.kind


def _members(node: Node) -> int:
    spec = node.spec
    if spec.plan is not None:
        return len(spec.plan.steps)
    match spec.review or spec.team:
        case ConsensusSpec(members=members):
            return len(members)
        case ReviewSpec(swarm=swarm):
            return swarm
        case None:
            return 0
