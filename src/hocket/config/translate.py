"""Turns the parts of a file into specs, and remembers which part each piece came from.

Each plan of a file is translated once, however often others run it: a few lines of plans that run
each other many times must not fill the memory.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.config import models as part
from hocket.config.approval import UNSAID, filled, patient_steps, size_of
from hocket.config.bounds import Bounds, Presets, built_in
from hocket.config.panel_parts import ConsensusStep, PanelStep, ReviewStep
from hocket.config.places import Path, Places
from hocket.config.population_parts import PopulationStep
from hocket.config.staff import Staff
from hocket.config.step_parts import (
    AgentStep,
    ApproveStep,
    CommandStep,
    FunctionStep,
    InputStep,
    NestedStep,
    ShellStep,
    StepPart,
    WorkPart,
)
from hocket.config.translate_calls import Calls
from hocket.config.translate_panels import Panels, Spot, Worker
from hocket.config.translate_teams import Teams
from hocket.core.errors import Problem, suggest
from hocket.core.specs import (
    CALL_TIMEOUT,
    PERSON_TIMEOUT,
    AgentSpec,
    InputSpec,
    OnFailure,
    PlanSpec,
    Repeat,
    RunSpec,
    StepSpec,
)
from hocket.core.teams import ToolSpec
from hocket.core.values import Json
from hocket.workflows.check import MAX_DEPTH
from hocket.workflows.panel import OWN_STEPS

MAX_STEPS: Final = 200_000
"""The most steps of a plan in a file, those of nested plans counted each time they are used."""

_TOO_DEEP: Final = f"plans may be nested {MAX_DEPTH} deep at most"


class Translator:
    """Translates the plans of one file.

    Attributes:
        problems: What is wrong, with paths of the file.
        bounds: The limits met so far.
    """

    def __init__(
        self,
        file: part.FilePart,
        broken: frozenset[str] = frozenset(),
        presets: Presets = built_in,
        place: str = "",
    ) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.bounds = Bounds(file, presets, self._say, place)
        self._places = Places()
        self._staff = Staff(file, broken, self.bounds, self._places, self._say)
        self._teams = Teams(self._staff, self.bounds, self._places, self._say)
        self._calls = Calls(self._staff, self.bounds, self._teams, self._places, self._say)
        self._panels = Panels(self._worker, self._staff.agents, self._places, self._say)
        self._plans: dict[str, PlanSpec | None] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._open: list[str] = []

    @property
    def agents(self) -> dict[str, AgentSpec]:
        """The agents met so far, those that steps and tools bring along included."""
        return self._staff.agents

    @property
    def tools(self) -> dict[str, ToolSpec]:
        """The tools met so far."""
        return self._staff.tools

    def run(self, name: str, source: str) -> RunSpec | None:
        """Translate a plan and what it uses; None if that cannot be done.

        The spec shares `agents` and limits with the translator, which may add to them.
        """
        plan = self.plan(name)
        if plan is None:
            return None
        return RunSpec(
            workflow=plan,
            agents=self.agents,
            max_parallel=self.file.plans[name].max_parallel,
            source=source,
            **self.bounds.of_run(name),
        )

    def plan(self, name: str) -> PlanSpec | None:
        """Translate a plan once; None if it runs itself, or is too large or too deep."""
        if name in self._plans:
            return self._plans[name]
        self._open.append(name)
        given = self.file.plans[name]
        steps = [
            self._step(("plans", name, "steps", step), about, given.defaults)
            for step, about in given.steps.items()
        ]
        self._open.pop()
        self._panels.misspelt(name, steps)
        plan: PlanSpec | None = None
        if self._fits(name):
            size = size_of(steps)
            approval = None if given.approve is None else filled(given.approve.spec(), size)
            plan = PlanSpec(
                name=name,
                steps=patient_steps(steps, size),
                approval=approval,
                inputs={key: _input(value) for key, value in given.inputs.items()},
                output=given.output,
                **({} if given.timeout is None else {"timeout": given.timeout}),
            )
        self._plans[name] = plan
        return plan

    def panels(self, plan: str) -> list[tuple[str, PlanSpec]]:
        """Give the plans that panels of a plan have become, by the names of their steps."""
        return [
            (step.name, step.plan) for _, step in self._panels.drawn(plan) if step.plan is not None
        ]

    def placed(self, plan: str, problem: Problem) -> Problem:
        """Give a problem in a plan's spec with its place in the file."""
        spot = self._locate(plan, problem.where, problem.offset)
        return msgspec.structs.replace(
            problem, where=spot.where, offset=spot.offset, hint=problem.hint or spot.hint
        )

    def _locate(self, plan: str, where: Path, offset: int | None) -> Spot:
        match where:
            case ("agents", _, "tools", str(tool), *rest) if tool in self.file.tools:
                return Spot(self._places.find(("tools", tool), tuple(rest)), offset)
            case ("tools", str(tool), *rest):
                return Spot(self._places.find(("tools", tool), tuple(rest)), offset)
            case ("agents", str(agent), *rest):
                rest = rest[1:] if rest[:1] == ["options"] else rest
                return Spot((*self._staff.paths.get(agent, ("agents", agent)), *rest), offset)
            case ("limits", str(limit), *rest):
                return Spot((*self.bounds.paths.get(limit, ("plans", plan)), *rest), offset)
            case ("steps", str(step), *rest):
                about = self.file.plans[plan].steps.get(step)
                return self._within(("plans", plan, "steps", step), about, tuple(rest), offset)
            case _:
                return Spot(("plans", plan, *where), offset)

    def _within(self, where: Path, about: StepPart | None, rest: Path, offset: int | None) -> Spot:
        if isinstance(about, NestedStep) and rest[:1] == ("plan",) and len(rest) > 1:
            return self._locate(about.run, rest[1:], offset)
        if isinstance(about, PanelStep):
            spot = self._panels.find(where, rest, offset)
            if spot.about is not None:
                return self._within(spot.where, spot.about, spot.rest, spot.offset)
            return spot
        return Spot(self._places.find(where, rest), offset)

    def _say(self, where: Path, message: str, hint: str = "", offset: int | None = None) -> None:
        self.problems.append(Problem(where=where, message=message, hint=hint, offset=offset))

    def _fits(self, name: str) -> bool:
        """Count steps and depth, those of nested plans each time they are used."""
        size, depth, told = 0, 0, False
        for about in self.file.plans[name].steps.values():
            inner = self._size(about)
            told = told or inner[0] > MAX_STEPS
            size, depth = size + 1 + inner[0], max(depth, inner[1] + 1)
        self._sizes[name] = (min(size, MAX_STEPS + 1), depth)
        where = ("plans", name, "steps")
        if size > MAX_STEPS and told:
            return False
        if size > MAX_STEPS:
            self._say(where, f"more than {MAX_STEPS:,} steps, those of nested plans counted")
            return False
        if depth > MAX_DEPTH + 1:
            self._say(where, _TOO_DEEP)
            return False
        return True

    def _size(self, about: StepPart) -> tuple[int, int]:
        """Give how many steps are within a step, and how deeply."""
        if isinstance(about, NestedStep):
            return self._sizes.get(about.run, (0, 0))
        if not isinstance(about, PanelStep):
            return 0, 0
        sizes = [self._size(one) for one in about.panel.agents.values()]
        steps = len(OWN_STEPS) + sum(1 + size for size, _ in sizes)
        return min(steps, MAX_STEPS + 1), 1 + max(depth for _, depth in sizes)

    # -- steps ------------------------------------------------------------------------------

    def _step(self, where: Path, about: part.StepUnion, defaults: part.DefaultsPart) -> StepSpec:
        common = _common(str(where[-1]), about, defaults)
        match about:
            case ApproveStep():
                return StepSpec(
                    **common,
                    kind="approve",
                    input=self._payload(where, "approve", about.approve),
                    on_timeout=about.on_timeout or "pause",
                    confirm_effects=about.confirm_effects,
                )
            case InputStep():
                return StepSpec(
                    **common,
                    kind="input",
                    input=self._payload(where, "input", about.input),
                    output=None if about.output is None else about.output.schema,
                    on_timeout=about.on_timeout or "pause",
                )
            case NestedStep():
                return self._nested(where, about, common)
            case ConsensusStep() | ReviewStep():
                return self._teams.step(where, about, defaults, common)
            case PanelStep():
                made = self._panels.step(where, about, defaults, common)
                return StepSpec(**common, kind="approve") if made is None else made
            case PopulationStep():
                return self._calls.population(where, about, defaults, common)
            case AgentStep() | CommandStep() | ShellStep() | FunctionStep():
                return self._calls.step(where, about, defaults, common)

    def _worker(self, where: Path, about: Worker, defaults: part.DefaultsPart) -> StepSpec:
        """Translate a step of a panel, which is asked the panel's question if it says nothing."""
        common = _common(str(where[-1]), about, defaults)
        if isinstance(about, NestedStep):
            return self._nested(where, about, common)
        return self._calls.step(where, about, defaults, common, asked=True)

    def _payload(self, where: Path, key: str, value: Json) -> Json:
        """Note that a step's input stands under a key of the file's step."""
        self._places.note(where, ("input",), (key,))
        return value

    def _nested(self, step: Path, about: NestedStep, common: dict[str, Json]) -> StepSpec:
        where = (*step, "run")
        nested: PlanSpec | None = None
        if about.run not in self.file.plans:
            hint = suggest(about.run, self.file.plans)
            self._say(where, f"unknown plan {about.run!r}", hint)
        elif about.run in self._open:
            loop = " → ".join((*self._open[self._open.index(about.run) :], about.run))
            self._say(where, f"plans run each other: {loop}")
        elif len(self._open) > MAX_DEPTH:
            self._say(where, _TOO_DEEP)
        else:
            nested = self.plan(about.run)
        other = self.file.plans.get(about.run)
        if other is not None and (other.limits is not None or other.budget is not None):
            what = "limits" if other.limits is not None else "a budget"
            said = f"plan {about.run!r} has {what} of its own, which would not hold within another"
            self._say(where, said, f"state them in plan {step[1]!r}, or of the agents")
        given = self._payload(step, "with", about.with_)
        if nested is None:
            # What it would run cannot be known, so nothing is said about what it gives.
            return StepSpec(**common, kind="approve", input=given)
        if about.timeout is not None:
            nested = msgspec.structs.replace(nested, timeout=min(nested.timeout, about.timeout))
        if nested.approval is not None:
            # Within another it waits as a step does, and is asked about as the step's doing.
            common["approval"] = common["approval"] or nested.approval
        return StepSpec(**common, kind="plan", input=given, plan=nested)

    def declare_all(self) -> None:
        """Translate also agents and tools that no step uses, so that their mistakes are found."""
        self.bounds.declare_all()
        self._staff.declare_all()


def _common(name: str, about: StepPart, defaults: part.DefaultsPart) -> dict[str, Json]:
    """Give what the specs of all steps have in common."""
    waits = about.timeout
    if waits is None and isinstance(about, ApproveStep):
        waits = UNSAID
    elif waits is None and isinstance(about, InputStep):
        # A default is meant for calls, and people take longer.
        waits = PERSON_TIMEOUT
    elif waits is None:
        waits = CALL_TIMEOUT if defaults.timeout is None else defaults.timeout
    common: dict[str, Json] = {
        "name": name,
        "needs": tuple(about.needs),
        "wants": tuple(about.wants),
        "within": about.within,
        "quorum": about.quorum,
        "when": about.when,
        "timeout": waits,
        "on_failure": _on_failure(about, defaults),
    }
    if isinstance(about, WorkPart):
        common["each"] = about.each
        common["approval"] = None if about.approve is None else about.approve.spec()
        if about.repeat is not None:
            common["repeat"] = Repeat(until=about.repeat.until, max=about.repeat.max)
    return common


def _input(about: part.InputPart) -> InputSpec:
    required = about.required
    if required is None:
        required = "default" not in about.model_fields_set
    return InputSpec(required=required, default=about.default, about=about.about)


def _on_failure(about: StepPart, defaults: part.DefaultsPart) -> OnFailure:
    return about.on_failure or defaults.on_failure or "stop"
