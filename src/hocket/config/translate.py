"""Turns the parts of a file into specs, and remembers which part each piece came from.

Each plan of a file is translated once, however often others run it: a few lines of plans that run
each other many times must not fill the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from hocket.config import models as part
from hocket.config.argv import guard_dashes, split
from hocket.config.bounds import Bounds, Path, Presets, built_in
from hocket.config.settings import (
    SETTINGS,
    command_options,
    given,
    model_options,
    static_problems,
    step_options,
    wanted,
)
from hocket.core.errors import Problem, suggest
from hocket.core.specs import (
    CALL_TIMEOUT,
    PERSON_TIMEOUT,
    AgentKind,
    AgentSpec,
    InputSpec,
    OnFailure,
    OnTimeout,
    PlanSpec,
    Repeat,
    Retry,
    RunSpec,
    StepSpec,
)
from hocket.core.values import Json
from hocket.workflows.check import MAX_DEPTH

MAX_STEPS: Final = 200_000
"""The most steps of a plan in a file, those of nested plans counted each time they are used."""

_TOO_DEEP: Final = f"plans may be nested {MAX_DEPTH} deep at most"
_RETRIES: Final = 2
"""Retries where a step says nothing: for models, which fail by themselves now and then."""


class _Called(NamedTuple):
    """Who does a step, with what, and what comes of it."""

    agent: str
    input: Json
    output: Json
    options: dict[str, Json]


class Translator:
    """Translates the plans of one file.

    Attributes:
        agents: The agents met so far, those that steps bring along included.
        problems: What is wrong, with paths of the file.
        broken: Agents whose settings could not be read, and about which nothing is said.
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
        self.broken = broken
        self.agents: dict[str, AgentSpec] = {}
        self.problems: list[Problem] = []
        self.bounds = Bounds(file, presets, self._say, place)
        self._plans: dict[str, PlanSpec | None] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._open: list[str] = []
        self._numbers: dict[str, int] = {}
        self._agent_paths: dict[str, Path] = {}
        self._inputs: dict[tuple[str, str], list[tuple[Path, Path]]] = {}

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
            self._step(name, step, about, given.defaults) for step, about in given.steps.items()
        ]
        self._open.pop()
        plan: PlanSpec | None = None
        if self._fits(name):
            plan = PlanSpec(
                name=name,
                steps=tuple(steps),
                inputs={key: _input(value) for key, value in given.inputs.items()},
                output=given.output,
                **({} if given.timeout is None else {"timeout": given.timeout}),
            )
        self._plans[name] = plan
        return plan

    def locate(self, plan: str, where: Path) -> Path:
        """Turn the path of a problem in a plan's spec into a path of the file."""
        if where[:1] == ("agents",) and len(where) > 1:
            rest = where[3:] if where[2:3] == ("options",) else where[2:]
            return (*self._agent_paths.get(str(where[1]), where[:2]), *rest)
        if where[:1] == ("limits",) and len(where) > 1:
            return (*self.bounds.paths.get(str(where[1]), ("plans", plan)), *where[2:])
        if where[:1] == ("steps",) and len(where) > 1:
            step, rest = str(where[1]), where[2:]
            about = self.file.plans[plan].steps.get(step)
            if isinstance(about, part.NestedStep) and rest[:1] == ("plan",) and len(rest) > 1:
                return self.locate(about.run, rest[1:])
            for spec, file in self._inputs.get((plan, step), ()):
                if rest[: len(spec)] == spec:
                    rest = (*file, *rest[len(spec) :])
                    break
            return ("plans", plan, "steps", step, *(rest[1:] if rest[:1] == ("options",) else rest))
        return ("plans", plan, *where)

    def _say(self, where: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(where=where, message=message, hint=hint))

    def _below(self, where: Path, found: list[Problem]) -> None:
        self.problems.extend(
            msgspec.structs.replace(problem, where=(*where, *problem.where)) for problem in found
        )

    def _fits(self, name: str) -> bool:
        """Count steps and depth, those of nested plans each time they are used."""
        size, depth, told = 0, 0, False
        for about in self.file.plans[name].steps.values():
            inner = (0, 0)
            if isinstance(about, part.NestedStep):
                inner = self._sizes.get(about.run, (0, 0))
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

    # -- steps ------------------------------------------------------------------------------

    def _step(
        self, plan: str, name: str, about: part.StepUnion, defaults: part.DefaultsPart
    ) -> StepSpec:
        waits = about.timeout
        if waits is None and isinstance(about, part.ApproveStep | part.InputStep):
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
        if isinstance(about, part.WorkPart):
            common["each"] = about.each
            if about.repeat is not None:
                common["repeat"] = Repeat(until=about.repeat.until, max=about.repeat.max)
        match about:
            case part.ApproveStep():
                return StepSpec(
                    **common,
                    kind="approve",
                    input=self._payload(plan, name, (), "approve", about.approve),
                    on_timeout=_on_timeout(about.on_timeout),
                )
            case part.InputStep():
                return StepSpec(
                    **common,
                    kind="input",
                    input=self._payload(plan, name, (), "input", about.input),
                    output=None if about.output is None else about.output.schema,
                    on_timeout=_on_timeout(about.on_timeout),
                )
            case part.NestedStep():
                return self._nested(plan, name, about, common)
            case _:
                return self._call(plan, name, about, defaults, common)

    def _payload(self, plan: str, step: str, spec: Path, key: str, value: Json) -> Json:
        """Note that a piece of the spec's input stands under a key of the file's step."""
        self._inputs.setdefault((plan, step), []).append((("input", *spec), (key,)))
        return value

    def _nested(
        self, plan: str, name: str, about: part.NestedStep, common: dict[str, Json]
    ) -> StepSpec:
        where = ("plans", plan, "steps", name, "run")
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
            self._say(where, said, f"state them in plan {plan!r}, or of the agents")
        given = self._payload(plan, name, (), "with", about.with_)
        if nested is None:
            # What it would run cannot be known, so nothing is said about what it gives.
            return StepSpec(**common, kind="approve", input=given)
        if about.timeout is not None:
            nested = msgspec.structs.replace(nested, timeout=min(nested.timeout, about.timeout))
        return StepSpec(**common, kind="plan", input=given, plan=nested)

    def _call(
        self,
        plan: str,
        name: str,
        about: part.AgentStep | part.CommandStep | part.ShellStep | part.FunctionStep,
        defaults: part.DefaultsPart,
        common: dict[str, Json],
    ) -> StepSpec:
        match about:
            case part.AgentStep():
                called = self._agent_step(plan, name, about)
            case part.CommandStep():
                called = self._command_step(plan, name, about)
            case part.ShellStep():
                called = self._shell_step(plan, name, about)
            case part.FunctionStep():
                called = self._function_step(plan, name, about)
        for other in about.fallback:
            self._declared(other)
        self.bounds.use(about.uses)
        return StepSpec(
            **common,
            agent=called.agent,
            input=called.input,
            output=called.output,
            retry=_retry(about.retry or defaults.retry, self.agents.get(called.agent)),
            fallback=tuple(about.fallback),
            effects=about.effects,
            options=called.options,
            uses=about.uses,
            takes=about.takes,
            hedge=about.hedge,
        )

    def _agent_step(self, plan: str, name: str, about: part.AgentStep) -> _Called:
        where: Path = ("plans", plan, "steps", name)
        agent = about.agent
        self._declared(agent)
        known = self.agents.get(agent)
        kind = None if known is None else known.kind
        options: dict[str, Json] = {}
        if agent not in self.broken and kind is not None:
            options, wrong = step_options(about, kind)
            self._below(where, [*wrong, *static_problems(about)])
        payload = self._given(plan, name, about, kind)
        files = options.get("files")
        if known is not None and kind == "command":
            files = files or known.options.get("files")
            fixed = {**known.options, **options}
            args = about.with_ if _texts(about.with_) else []
            if said := guard_dashes(args, fixed):
                self._say((*where, "with"), said)
            elif "allow_dashes" in fixed:
                options["allow_dashes"] = fixed["allow_dashes"]
        output = wanted(about.output, kind, files, options)
        return _Called(agent, payload, output, options)

    def _command_step(self, plan: str, name: str, about: part.CommandStep) -> _Called:
        where: Path = ("plans", plan, "steps", name)
        fixed, args = split(about.command)
        options = command_options(about, fixed)
        if not fixed:
            self._say((*where, "command", 0), "a command begins with a program, not a template")
        elif said := guard_dashes(args, options):
            first = next(i for i, arg in enumerate(args) if arg.startswith("-"))
            self._say((*where, "command", first + len(fixed)), said)
        self._below(where, static_problems(about))
        output = wanted(about.output, "command", about.files, options)
        agent = self._bring(plan, name, "command", options, about)
        self._inputs[plan, name] = [
            (("input", "args", i), ("command", i + len(fixed))) for i in range(len(args))
        ]
        self._payload(plan, name, ("stdin",), "stdin", None)
        return _Called(agent, {"args": args, "stdin": about.stdin}, output, {})

    def _shell_step(self, plan: str, name: str, about: part.ShellStep) -> _Called:
        options = command_options(about, about.shell) | {"shell": True}
        self._below(("plans", plan, "steps", name), static_problems(about))
        output = wanted(about.output, "command", about.files, options)
        agent = self._bring(plan, name, "command", options, about)
        self._payload(plan, name, ("args",), "args", None)
        self._payload(plan, name, ("stdin",), "stdin", None)
        return _Called(agent, {"args": about.args, "stdin": about.stdin}, output, {})

    def _function_step(self, plan: str, name: str, about: part.FunctionStep) -> _Called:
        options: dict[str, Json] = {"ref": about.call}
        if about.mode is not None:
            options["mode"] = about.mode
        agent = self._bring(plan, name, "function", options, about)
        payload = self._arguments(plan, name, about.with_, ("plans", plan, "steps", name))
        return _Called(agent, payload, wanted(about.output, "function", None, {}), {})

    def _given(self, plan: str, name: str, about: part.AgentStep, kind: str | None) -> Json:
        """Say what an agent gets, which depends on what it is."""
        where: Path = ("plans", plan, "steps", name)
        if kind == "command":
            if about.with_ is not None and not _texts(about.with_):
                self._say((*where, "with"), "a command's arguments are a list of texts")
            self._payload(plan, name, ("args",), "with", None)
            self._payload(plan, name, ("stdin",), "prompt", None)
            return {"args": about.with_ or [], "stdin": about.prompt}
        if kind == "function":
            if about.prompt is not None:
                self._say((*where, "prompt"), "a function has no prompt: give arguments by 'with'")
            return self._arguments(plan, name, about.with_, where)
        if about.prompt is not None and about.with_ is not None:
            self._say((*where, "with"), "a model gets a prompt or a 'with', not both")
        if about.prompt is None and about.with_ is None and kind is not None:
            self._say((*where, "agent"), f"step {name!r} has no prompt")
        if about.prompt is None:
            return self._payload(plan, name, (), "with", about.with_)
        return self._payload(plan, name, (), "prompt", about.prompt)

    def _arguments(self, plan: str, name: str, given: Json, where: Path) -> Json:
        if isinstance(given, list):
            return self._payload(plan, name, (), "with", given)
        if given is not None and not isinstance(given, dict):
            self._say((*where, "with"), "arguments are an object of names, or a list")
        return self._payload(plan, name, (), "with", given)

    # -- agents -----------------------------------------------------------------------------

    def _declared(self, name: str) -> None:
        """Translate an agent of the file, at its first use."""
        about = self.file.agents.get(name)
        if about is None or name in self.agents:
            return
        where: Path = ("agents", name)
        self._agent_paths[name] = where
        limits = self.bounds.of_agent(name, about)
        self.agents[name] = _agent(about, self.file.models, limits)
        if isinstance(about, part.ModelAgent):
            model = about.model
            if ":" not in model and model not in self.file.models:
                hint = suggest(model, self.file.models) or "name one, or write provider:model"
                self._say((*where, "model"), f"unknown model {model!r}", hint)

    def declare_all(self) -> None:
        """Translate also the agents that no step uses, so that their mistakes are found."""
        self.bounds.declare_all()
        for name in self.file.agents:
            self._declared(name)

    def _bring(
        self,
        plan: str,
        step: str,
        kind: AgentKind,
        options: dict[str, Json],
        about: part.CommandStep | part.ShellStep | part.FunctionStep,
    ) -> str:
        """Make an agent of a step's own; it is called like the step if nobody else is."""
        name, number = step, self._numbers.get(step, 1)
        if number > 1:
            name = f"{step}-agent-{number}"
        while name in self.agents or name in self.file.agents:
            name = f"{step}-agent" if number == 1 else f"{step}-agent-{number}"
            number += 1
        # Many plans of a file may have steps of one name: none counts from the beginning.
        self._numbers[step] = number
        where: Path = ("plans", plan, "steps", step)
        self.agents[name] = AgentSpec(
            kind=kind,
            options=options,
            concurrency=about.concurrency,
            effects=kind == "command",
            limits=self.bounds.of_step(name, where, about.limits),
        )
        self._agent_paths[name] = where
        return name


def _retry(about: part.RetryPart | None, agent: AgentSpec | None) -> Retry:
    if about is None:
        kind = None if agent is None else agent.kind
        return Retry(tries=1 + _RETRIES) if kind in ("model", "local") else Retry()
    changes: dict[str, Json] = {
        key: value
        for key in ("first", "factor", "longest", "jitter")
        if (value := getattr(about, key)) is not None
    }
    if about.on is not None:
        changes["on"] = tuple(about.on)
    if about.first is not None and about.longest is None:
        changes["longest"] = max(about.first, Retry().longest)
    return Retry(tries=about.tries, **changes)


def _agent(
    about: part.AgentUnion, entries: Mapping[str, part.ModelPart], limits: tuple[str, ...]
) -> AgentSpec:
    kind: AgentKind
    options: dict[str, Json]
    match about:
        case part.ModelAgent():
            kind, options = "model", model_options(about, entries.get(about.model))
        case part.CommandAgent():
            kind, options = "command", command_options(about, about.command)
        case part.FunctionAgent():
            kind, options = "function", {"ref": about.function}
            if about.mode is not None:
                options["mode"] = about.mode
        case part.LocalAgent():
            kind, options = "local", {"model": about.local, **given(about, SETTINGS["local"])}
        case part.ScriptedAgent():
            kind, options = "scripted", about.scripted
    effects = kind == "command" if about.effects is None else about.effects
    return AgentSpec(
        kind=kind, options=options, concurrency=about.concurrency, effects=effects, limits=limits
    )


def _texts(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _input(about: part.InputPart) -> InputSpec:
    required = about.required
    if required is None:
        required = "default" not in about.model_fields_set
    return InputSpec(required=required, default=about.default, about=about.about)


def _on_failure(about: part.StepPart, defaults: part.DefaultsPart) -> OnFailure:
    return about.on_failure or defaults.on_failure or "stop"


def _on_timeout(given: OnTimeout | None) -> OnTimeout:
    return given or "pause"
