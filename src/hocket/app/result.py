"""What a run gave."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from hocket.config.builder import Plan
from hocket.config.handles import Step
from hocket.config.types import convert
from hocket.core.machine import StepView
from hocket.core.reports import Report
from hocket.core.run import RunMachine
from hocket.core.values import Json
from hocket.core.views import stands
from hocket.insight.tally import Tally

T = TypeVar("T")


class Result:
    """A run's result: its output, each step's output, and what it cost.

    ``result[handle]`` is the step's output as a value of its declared type; ``result["name"]`` is
    its JSON.

    Attributes:
        id: The run's id.
        status: ``succeeded``, ``failed``, ``cancelled``, or ``paused``.
        reason: Why, if it did not succeed.
        output: The plan's output, JSON.
        tally: Calls, tokens and cost.
    """

    def __init__(self, machine: RunMachine, tally: Tally, plan: Plan | None = None) -> None:
        self._machine = machine
        self._plan = plan
        self.id = machine.run
        self.status = machine.said
        end = machine.end
        self.reason = end.reason if end is not None else machine.pause_reason
        self.output: Json = end.output if end is not None else None
        self.tally = tally

    @property
    def steps(self) -> list[StepView]:
        """Every step's state."""
        return self._machine.view()

    @property
    def teams(self) -> dict[str, Report]:
        """What each team has done: a consensus, a review, an agent with tools, by its step."""
        return self._machine.workflow.reports()

    def team(self, step: Step[Any] | str) -> Report:
        """Give what the team of a step has done: answers, votes, coordination table, fates.

        Raises:
            KeyError: There is no such step, or no team has begun it.
        """
        name = step if isinstance(step, str) else step.name
        found = self.teams
        if name not in found:
            known = f"; there are {', '.join(found)}" if found else ""
            raise KeyError(f"no team has begun a step {name!r} in run {self.id}{known}")
        return found[name]

    @overload
    def __getitem__(self, step: Step[T]) -> T: ...
    @overload
    def __getitem__(self, step: str) -> Json: ...
    def __getitem__(self, step: Step[T] | str) -> T | Json:
        """Give a step's output.

        Raises:
            KeyError: There is no such step, or it has not succeeded.
            ValueError: Its output is not of the declared type.
        """
        name = step if isinstance(step, str) else step.name
        found = [view for view in self.steps if view.path == name]
        if not found:
            raise KeyError(f"there is no step {name!r} in run {self.id}")
        if found[0].status != "succeeded":
            raise KeyError(f"step {name!r} has no output: it {stands(found[0].status)}")
        value = self._machine.workflow.result(name)
        if isinstance(step, Step) and self._plan is not None:
            return convert(self._plan.type_of(step), value)
        return value

    def __repr__(self) -> str:
        return f"<Result of run {self.id}: {self.status}>"
