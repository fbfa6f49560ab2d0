"""What is assumed of what nobody can know yet, so that a plan can be played to its end.

Outputs are unknown before the calls were made. So it is assumed that every call succeeds, that each
``when`` holds, that ``repeat`` needs no further round, that people answer at once, and that an
``each`` whose list cannot be computed yet has as many items as is said, or `ITEMS`.
A call is taken to end at its time-out at the latest, and the plan's own time limit to suffice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hocket.core.errors import ExprError, Refused
from hocket.core.expr import Expr
from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, StepSpec
from hocket.core.values import Json
from hocket.workflows.plan import PlanMachine, assuming
from hocket.workflows.shape import Node, Shape

ITEMS: Final = 4
"""How many items an ``each`` is taken to have if nobody says and it cannot be computed."""


class Counts:
    """How many items each ``each`` has.

    Args:
        machine: The run.
        said: The numbers that somebody has stated, by the path of the step.

    Attributes:
        assumed: The paths of steps of which nobody knows and nobody has said.
    """

    def __init__(self, machine: RunMachine, said: Mapping[str, int]) -> None:
        self._machine = machine
        self._said = said
        self._done = frozenset(v.path for v in machine.view() if v.status == "succeeded")
        self.assumed: dict[str, None] = {}

    def of(self, node: Node, path: str) -> int:
        """Give the number of items of a step that has not begun; `path` is that of the step."""
        if path in self._said:
            return self._said[path]
        if node.each is not None:
            # What a nested plan is given is known only once it begins.
            lookup = _nothing if "/" in path else self._lookup
            try:
                items = node.each.evaluate(lookup)
            except ExprError:
                items = None
            if isinstance(items, list):
                return len(items)
        self.assumed[path] = None
        return ITEMS

    def _lookup(self, name: str) -> Json:
        workflow = self._machine.workflow
        if name == "inputs" and isinstance(workflow, PlanMachine):
            return workflow.inputs
        if name in self._done:
            try:
                return workflow.result(name)
            except Refused as error:
                raise ExprError(str(error)) from error
        raise ExprError(f"{name!r} is not known yet")


def _nothing(name: str) -> Json:
    raise ExprError(f"{name!r} is not known yet")


def assumed_machine(machine: RunMachine, counts: Counts) -> RunMachine:
    """Copy a run so that it goes on under these assumptions, whatever its calls give.

    Raises:
        TypeError: Its workflow is no plan.
    """
    copy = machine.fork()
    copy.workflow = assuming(plan_of(machine), _assumed(plan_of(machine).shape, counts, "", copy))
    return copy


def plan_of(machine: RunMachine) -> PlanMachine:
    """Give a run's plan.

    Raises:
        TypeError: Its workflow is no plan.
    """
    if not isinstance(machine.workflow, PlanMachine):
        raise TypeError(f"a {type(machine.workflow).__name__} cannot be forecast")
    return machine.workflow


def _assumed(shape: Shape, counts: Counts, prefix: str, run: RunMachine) -> Shape:
    """Make a shape with the same steps and edges that reads nothing."""
    lists: list[int | None] = [
        None if node.each is None else counts.of(node, prefix + node.spec.name)
        for node in shape.nodes
    ]
    steps = tuple(_step(node, shape) for node in shape.nodes)
    spec: PlanSpec = msgspec.structs.replace(shape.spec, steps=steps, inputs={}, output=None)
    copy = Shape(spec, run.spec.agents)
    copy.uses = shape.uses
    for node, ours, count in zip(shape.nodes, copy.nodes, lists, strict=True):
        if count is not None:
            ours.each = Expr("assumed", (), _items(count))
        if node.child is not None:
            ours.child = _assumed(node.child, counts, f"{prefix}{node.spec.name}/", run)
        ours.settle()
    return copy


def _step(node: Node, shape: Shape) -> StepSpec:
    def names(indexes: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(shape.nodes[i].spec.name for i in indexes)

    spec: StepSpec = msgspec.structs.replace(
        node.spec,
        input=None,
        when=None,
        each=None,
        repeat=None,
        output=None,
        needs=names(node.needs),
        wants=names(node.wants),
    )
    return spec


def _items(count: int) -> Callable[[object], list[None]]:
    return lambda lookup: [None] * count
