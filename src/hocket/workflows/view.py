"""Single steps of a plan as people see them: for whoever looks again and again at what has changed.

`PlanMachine.view` gives all of it at once, which for a large plan is much.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hocket.core.machine import StepView, Workflow
from hocket.core.reports import Fate
from hocket.workflows.live import read_place, unit_path
from hocket.workflows.plan import PlanMachine, fates_of, state_of, view_of


class Steps:
    """The steps of the plan that a run does, by their numbers.

    Args:
        workflow: The run's workflow.

    Attributes:
        names: The steps' names, in the plan's order.
    """

    def __init__(self, workflow: Workflow) -> None:
        assert isinstance(workflow, PlanMachine)
        self._state = state_of(workflow)
        self._nodes = workflow.shape.nodes
        self._index = workflow.shape.index
        self.names = [node.spec.name for node in self._nodes]

    def number(self, name: str) -> int | None:
        """Give a step's number."""
        return self._index.get(name)

    @property
    def statuses(self) -> bytes:
        """The state of each step, as a place in `hocket.workflows.progress.STATUS`."""
        return bytes(self._state.progress.status)

    def same(self, statuses: bytes) -> bool:
        """Tell whether these are the states that the steps are in."""
        return self._state.progress.status == statuses

    def several(self) -> list[int]:
        """Give the numbers of the steps that have units: items, rounds, or what is nested."""
        return list(self._state.live)

    def done(self, number: int) -> bool:
        """Tell whether a step has come to an end."""
        return self._state.progress.done(number)

    def view(self, number: int) -> StepView:
        """Give a step's own state, without what is nested in it."""
        return view_of(self._nodes[number], self._state)

    def units(self, number: int) -> Mapping[str, Workflow]:
        """Give the nested workflows of a step by their paths."""
        live = self._state.live.get(number)
        return {} if live is None else live.children

    def below(self, number: int) -> list[StepView]:
        """Give the state of all that is nested in a step."""
        return [view for path, unit in self.units(number).items() for view in views_in(path, unit)]


def views_in(path: str, unit: Workflow) -> list[StepView]:
    """Give the states of the steps of a nested workflow."""
    return [msgspec.structs.replace(view, path=f"{path}/{view.path}") for view in unit.view()]


def unit_at(path: str) -> str:
    """Give the path of the first unit that a path leads through: ``a/3~2`` of ``a/3~2/b``."""
    place = read_place(path)
    return path if place is None else unit_path(place.name, place.item, place.round)


def view_at(workflow: Workflow, path: str) -> StepView | None:
    """Give the state of one step, wherever it is nested; None if there is none of that path."""
    before = ""
    while isinstance(workflow, PlanMachine):
        state, place = state_of(workflow), read_place(path)
        number = None if place is None else state.shape.index.get(place.name)
        if place is None or number is None:
            return None
        if path == place.name:
            found = view_of(state.shape.nodes[number], state)
            return msgspec.structs.replace(found, path=before + path) if before else found
        live = state.live.get(number)
        unit = unit_path(place.name, place.item, place.round)
        if not place.rest or live is None or unit not in live.children:
            return None
        before, workflow, path = f"{before}{unit}/", live.children[unit], place.rest
    found_in = [view for view in workflow.view() if view.path == path]
    return msgspec.structs.replace(found_in[0], path=before + path) if found_in else None


def fates_at(workflow: Workflow, path: str) -> dict[str, Fate]:
    """Give what became of the calls of the teams that are nested in a step, by the calls' names."""
    if not isinstance(workflow, PlanMachine):
        return {}
    place = read_place(path)
    number = None if place is None else workflow.shape.index.get(place.name)
    live = None if number is None else state_of(workflow).live.get(number)
    return {
        f"{unit}/{name}": fate
        for unit, child in (live.children.items() if live is not None else ())
        if path.startswith(unit) or unit.startswith(path)
        for name, fate in fates_of(child).items()
    }
