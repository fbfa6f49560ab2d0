"""Finds the team that a call belongs to, from the call's path alone."""

from __future__ import annotations

from typing import NamedTuple

from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec
from hocket.workflows.live import read_place, unit_path
from hocket.workflows.teams import kind_of


class Place(NamedTuple):
    """A team's place in a run.

    Fields:
        path: The path of its step.
        step: The step.
        kind: What kind of team it is: ``consensus``, ``review`` or ``tools``.
    """

    path: str
    step: StepSpec
    kind: str

    @property
    def members(self) -> dict[str, str]:
        """Everybody of whom it is certain from the beginning that they take part; their agents."""
        team = self.step.team
        if isinstance(team, ConsensusSpec):
            return {member.name: member.agent for member in team.members}
        return {self.step.agent: self.step.agent} if self.kind == "tools" else {}


class Places:
    """The teams of a run; a look-up costs no more in a plan of many steps than in one of few.

    Args:
        spec: The run's spec.

    Attributes:
        any: Whether there is any team at all.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._agents = spec.agents
        self._steps: dict[int, dict[str, StepSpec]] = {}
        self._plan = spec.workflow
        self._known: dict[str, Place] = {}
        self.any = self._index(spec.workflow)

    def find(self, path: str) -> tuple[Place, str] | None:
        """Give the team that a call's path is of, and the rest of the path within it."""
        plan, before, rest = self._plan, "", path
        while (place := read_place(rest)) is not None:
            step = self._steps.get(id(plan), {}).get(place.name)
            if step is None:
                return None
            own = unit_path(place.name, place.item, place.round)
            own = f"{before}/{own}" if before else own
            if step.plan is None:
                return self._at(own, step), place.rest
            plan, before, rest = step.plan, own, place.rest
        return None

    def _at(self, path: str, step: StepSpec) -> Place:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = Place(path, step, kind_of(step, self._agents) or "")
        return known

    def _index(self, plan: PlanSpec) -> bool:
        """Note a plan's steps that are teams, or have some below them; tells if there are any."""
        if id(plan) in self._steps:
            return bool(self._steps[id(plan)])
        found = self._steps[id(plan)] = {}
        for step in plan.steps:
            nested = step.plan is not None and self._index(step.plan)
            if nested or kind_of(step, self._agents) is not None:
                found[step.name] = step
        return bool(found)
