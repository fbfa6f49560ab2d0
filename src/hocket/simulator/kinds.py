"""Which kind of call stands at a path: of which step, and what it is for."""

from __future__ import annotations

from typing import NamedTuple

from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.workflows.live import read_place
from hocket.workflows.teams import kind_of


class KindOfCall(NamedTuple):
    """A kind of call.

    Fields:
        step: The path of its step, without items and rounds.
        what: What it is for within a team: ``answer``, ``vote``, ``judge``, ``answer/turn``; "" for
            a step of no team.
    """

    step: str
    what: str

    @property
    def task(self) -> str:
        """What the member was asked to do, of which this may be one turn."""
        return self.what.partition("/")[0]


class Kinds:
    """Names the kinds of a spec's calls.

    Args:
        spec: The spec.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._steps: dict[tuple[str, ...], dict[str, StepSpec]] = {}
        self._known: dict[str, KindOfCall] = {}

    def of(self, path: str) -> KindOfCall:
        """Name the kind of the call at a path; of one that no step makes, its names alone."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._find(path)
        return known

    def step(self, path: str) -> StepSpec | None:
        """Give the step that a call at a path is of."""
        return self._walk(path)[1]

    def _find(self, path: str) -> KindOfCall:
        where, step, rest = self._walk(path)
        names = _names(rest)
        if step is None:
            return KindOfCall("/".join([*where, *names]), "")
        if kind_of(step, self._spec.agents) != "tools" and len(names) > 1:
            # The first one is the member; authors and fixers have no seat.
            names = names if names[0] in {"author", "fixer"} else names[1:]
        return KindOfCall("/".join(where), "/".join(names))

    def _walk(self, path: str) -> tuple[list[str], StepSpec | None, str]:
        plan: PlanSpec | None = self._spec.workflow
        where: list[str] = []
        step = None
        while plan is not None and path:
            place = read_place(path)
            found = None if place is None else self._by_name(plan, where).get(place.name)
            if place is None or found is None:
                return where, None, path
            where.append(place.name)
            step, path, plan = found, place.rest, found.plan
        return where, step, path

    def _by_name(self, plan: PlanSpec, where: list[str]) -> dict[str, StepSpec]:
        key = tuple(where)
        known = self._steps.get(key)
        if known is None:
            known = self._steps[key] = {step.name: step for step in plan.steps}
        return known


def _names(rest: str) -> list[str]:
    names = [part.partition("~")[0] for part in rest.split("/") if part]
    return [name for name in names if not name[:1].isdigit()]
