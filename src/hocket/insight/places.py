"""Where calls stand in a plan, and what their steps wait for, read off the spec.

A path says which step a call is of, through which nested plans, items and rounds; the spec says
what that step needs and wants.
Whatever was last done for a step is noted here, so that what waits for the step finds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import step_of
from hocket.insight.trace import START, Activity

_MANY: Final = 32
"""A step with more units than this is named whole once; after that by two of them."""
_DEEP: Final = 20
"""Through how many steps that called nobody what they waited for is looked for."""


class Place(NamedTuple):
    """Where a path points.

    Fields:
        step: The step, without items and rounds.
        spec: Its spec; None if the plan has no such step.
        instance: The step within its plan's own path: ``e/3/inner`` for every round of it.
        unit: The item or round of the step that it is of.
        prefix: What stands before the names of its plan's steps.
        team: The path of the team's step, or "".
        outer: The nested plan that it is in; None for the run's own plan.
    """

    step: str
    spec: StepSpec | None
    instance: str
    unit: str
    prefix: str = ""
    team: str = ""
    outer: Place | None = None


NOWHERE: Final = Place("", None, "", "")
"""Where the run as a whole stands."""


class Unit(NamedTuple):
    """The last round of one unit: its path, and what was last done in it."""

    path: str
    done: int


class Places:
    """The steps of a run's plan, and what was last done for each.

    Args:
        activities: What was done; it grows outside.
    """

    def __init__(self, activities: list[Activity]) -> None:
        self.last: dict[str, int] = {}
        """The last activity at each path."""
        self.open: dict[str, dict[int, None]] = {}
        """By step instance and by team, what is under way; plain steps stand in `last` alone."""
        self._activities = activities
        self._units: dict[str, dict[str, Unit]] = {}
        self._named: dict[str, list[int]] = {}
        """Steps with many units that were named whole, with the two that stand for them."""
        self._plans: dict[str, dict[str, StepSpec]] = {}
        """The steps of each plan by the path of the step that it is nested in."""

    def read(self, spec: RunSpec) -> None:
        """Read a run's spec, instead of any other."""
        self._plans = {"": {step.name: step for step in spec.workflow.steps}}

    def find(self, path: str) -> Place:
        """Say where a path points."""
        steps = self._plans[""]
        spec = steps.get(path)
        if spec is not None:
            return Place(path, spec, path, path)
        parts, number = path.split("/"), 0
        names: list[str] = []
        prefix, outer = "", None
        while True:
            name = parts[number].partition("~")[0]
            spec = steps.get(name)
            if spec is None:
                return Place(step_of(path), None, path, path, prefix, "", outer)
            names.append(name)
            unit = prefix + parts[number]
            number += 1
            if spec.each is not None and number < len(parts) and parts[number][:1].isdigit():
                unit = f"{unit}/{parts[number]}"
                number += 1
            step = "/".join(names)
            ends = number == len(parts)
            team = "" if ends or spec.plan is not None else unit
            place = Place(step, spec, prefix + name, unit, prefix, team, outer)
            if ends or spec.plan is None:
                return place
            outer, prefix = place, f"{unit}/"
            steps = self._steps(step, spec.plan)

    def asked(self, index: int, path: str, place: Place) -> None:
        """Note that something was asked for at a path."""
        self.last[path] = index
        if place.instance == path:
            # A plain step, or a question; if it is in a nested plan, that has it under way.
            inner: Place | None = place.outer
        else:
            inner = place
        while inner is not None:
            self.open.setdefault(inner.instance, {})[index] = None
            self._note(inner, index)
            inner = inner.outer
        if place.team and place.team != place.instance:
            self.open.setdefault(place.team, {})[index] = None

    def ended(self, index: int, path: str, place: Place, *, counts: bool) -> None:
        """Note that something has ended; `counts` says whether anything can follow from it."""
        if counts:
            self.last[path] = index
        inner = place.outer if place.instance == path else place
        while inner is not None:
            self.open[inner.instance].pop(index, None)
            if counts:
                self._note(inner, index)
            inner = inner.outer
        if place.team and place.team != place.instance:
            self.open[place.team].pop(index, None)

    def needs(self, place: Place) -> tuple[list[int], bool]:
        """Give what a step has waited for, and whether that may be given to others as well."""
        found: dict[int, None] = {}
        alike, activities, last = True, self._activities, self.last
        for instance in self.waits_for(place):
            if instance not in self._units and instance in last:
                # A plain step: by far the most are.
                index = last[instance]
                if activities[index].ended is not None:
                    found[index] = None
                continue
            ends, same = self._ends(instance)
            alike = alike and same
            for index in ends:
                found[index] = None
        return list(found), alike

    def waits_for(self, place: Place) -> list[str]:
        """Name the step instances that a step waits for; within a nested plan, maybe outer ones."""
        inner: Place | None = place
        while inner is not None:
            spec = inner.spec
            if spec is not None and (spec.needs or spec.wants):
                return [inner.prefix + name for name in (*spec.needs, *spec.wants)]
            inner = inner.outer
        return []

    def under_way(self, instance: str, depth: int = 0) -> list[int]:
        """Give what is under way for a step or a team; if it has not begun, for what it needs."""
        found = self.open.get(instance)
        if found is not None:
            return list(found)
        index = self.last.get(instance, START)
        if index >= 0:
            return [index] if self._activities[index].ended is None else []
        place = self.find(instance)
        if place.spec is None or depth >= _DEEP:
            return []
        names = [place.prefix + name for name in (*place.spec.needs, *place.spec.wants)]
        return [i for name in names for i in self.under_way(name, depth + 1)]

    # -- within -----------------------------------------------------------------------------

    def _steps(self, path: str, plan: PlanSpec) -> dict[str, StepSpec]:
        known = self._plans.get(path)
        if known is None:
            known = self._plans[path] = {step.name: step for step in plan.steps}
        return known

    def _note(self, place: Place, index: int) -> None:
        """Note what was last done in a unit; a later round takes the place of an earlier one."""
        key = place.unit.rpartition("/")[2].partition("~")[0]
        units = self._units.get(place.instance)
        if units is None:
            units = self._units[place.instance] = {}
        units[key] = Unit(place.unit, index)
        if place.instance in self._named:
            del self._named[place.instance]

    def _ends(self, instance: str, depth: int = 0) -> tuple[Iterable[int], bool]:
        """Give what was last done for a step, as far as it has ended.

        Of many units all are named once; whoever asks again gets the longest and the last.
        """
        units = self._units.get(instance)
        if units is None:
            index = self.last.get(instance, START)
            if index >= 0:
                return self._over((index,)), True
            return self._through(instance, depth), True
        two = self._named.get(instance)
        if two is not None:
            return two, True
        ends = self._over([unit.done for unit in units.values()])
        if len(ends) <= _MANY:
            place = self.find(instance)
            if place.spec is not None and place.spec.plan is not None and depth < _DEEP:
                return self._sinks(place.spec.plan, units, depth), True
            return ends, True
        self._named[instance] = self._two(ends)
        return ends, False

    def _over(self, indexes: Iterable[int]) -> list[int]:
        activities = self._activities
        return [index for index in indexes if activities[index].ended is not None]

    def _two(self, ends: list[int]) -> list[int]:
        """Give the one that took longest and the one that ended last."""
        activities = self._activities

        def took(index: int) -> int:
            activity = activities[index]
            return (activity.ended or activity.began) - activity.began

        longest = max(ends, key=took)
        last = max(ends, key=lambda index: activities[index].ended or 0)
        return [longest] if longest == last else [longest, last]

    def _sinks(self, plan: PlanSpec, units: dict[str, Unit], depth: int) -> list[int]:
        """Give the ends of a nested plan's last steps, for each of its units."""
        used = {name for step in plan.steps for name in (*step.needs, *step.wants)}
        sinks = [step.name for step in plan.steps if step.name not in used]
        found: dict[int, None] = {}
        for unit in units.values():
            for name in sinks:
                for index in self._ends(f"{unit.path}/{name}", depth + 1)[0]:
                    found[index] = None
        return list(found)

    def _through(self, instance: str, depth: int) -> list[int]:
        """Look through a step that called nobody at what it waited for."""
        if depth >= _DEEP:
            return []
        place = self.find(instance)
        if place.spec is None:
            return []
        names = [place.prefix + name for name in (*place.spec.needs, *place.spec.wants)]
        found: dict[int, None] = {}
        for name in names:
            for index in self._ends(name, depth + 1)[0]:
                found[index] = None
        return list(found)
