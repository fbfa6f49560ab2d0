"""Turns the steps of a file that call an agent into specs."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from hocket.config.argv import guard_dashes, split
from hocket.config.bounds import Bounds
from hocket.config.models import DefaultsPart
from hocket.config.places import Path, Places
from hocket.config.population import contradictions, whole
from hocket.config.population_parts import PopulationStep
from hocket.config.settings import command_options, retry_of, static_problems, step_options, wanted
from hocket.config.staff import Say, Staff
from hocket.config.step_parts import AgentStep, CommandStep, FunctionStep, ShellStep
from hocket.config.translate_teams import Teams
from hocket.core.specs import StepSpec
from hocket.core.values import Json

CallStep: TypeAlias = AgentStep | CommandStep | ShellStep | FunctionStep


class _Called(NamedTuple):
    """Who does a step, with what, and what comes of it."""

    agent: str
    input: Json
    output: Json
    options: dict[str, Json]


class Calls:
    """Translates the steps of one file that call an agent."""

    def __init__(
        self, staff: Staff, bounds: Bounds, teams: Teams, places: Places, say: Say
    ) -> None:
        self._staff = staff
        self._bounds = bounds
        self._teams = teams
        self._places = places
        self._say = say

    def step(
        self,
        where: Path,
        about: CallStep,
        defaults: DefaultsPart,
        common: dict[str, Json],
        *,
        asked: bool = False,
    ) -> StepSpec:
        """Translate a step.

        Args:
            where: Where it stands; the last key is what it is called.
            about: The step.
            defaults: What holds where it says nothing.
            common: What its spec has in common with all others.
            asked: Whether it is asked something where it says nothing, as in a panel.
        """
        match about:
            case AgentStep():
                called = self._agent_step(where, about, asked)
            case CommandStep():
                called = self._command_step(where, about)
            case ShellStep():
                called = self._shell_step(where, about)
            case FunctionStep():
                called = self._function_step(where, about)
        for other in about.fallback:
            self._staff.declare(other)
        self._bounds.use(about.uses)
        if about.review is not None:
            common["review"] = self._teams.review(where, about.review)
        silent = asked and called.input == {"args": [], "stdin": None}
        return StepSpec(
            **common,
            agent=called.agent,
            input=None if silent else called.input,
            output=called.output,
            retry=retry_of(about.retry or defaults.retry, self._staff.agents.get(called.agent)),
            fallback=tuple(about.fallback),
            effects=about.effects,
            options=called.options,
            uses=about.uses,
            takes=about.takes,
            hedge=about.hedge,
        )

    def population(
        self,
        where: Path,
        about: PopulationStep,
        defaults: DefaultsPart,
        common: dict[str, Json],
    ) -> StepSpec:
        """Translate a step that runs a population; all that it is told may hold templates."""
        told = about.population.model_dump(exclude_defaults=True)
        for problem in contradictions(told):
            self._say((*where, "population", *problem.where), problem.message, problem.hint)
        self._bounds.use(about.uses)
        return StepSpec(
            **common,
            agent=self._staff.population(where, about),
            input=self._payload(where, (), "population", whole(told)),
            retry=retry_of(about.retry or defaults.retry),
            uses=about.uses,
            takes=about.takes,
        )

    def _agent_step(self, where: Path, about: AgentStep, asked: bool) -> _Called:
        known = self._staff.declare(about.agent)
        kind = None if known is None else known.kind
        options: dict[str, Json] = {}
        if known is not None and about.agent not in self._staff.broken:
            options, wrong = step_options(about, known.kind)
            for problem in (*wrong, *static_problems(about)):
                self._say((*where, *problem.where), problem.message, problem.hint)
        payload = self._given(where, about, kind, asked)
        files = options.get("files")
        if known is not None and kind == "command":
            files = files or known.options.get("files")
            fixed = {**known.options, **options}
            args = about.with_ if _texts(about.with_) else []
            if said := guard_dashes(args, fixed):
                self._say((*where, "with"), said)
            elif "allow_dashes" in fixed:
                options["allow_dashes"] = fixed["allow_dashes"]
        worktree = known is not None and known.options.get("worktree") is True
        output = wanted(about.output, kind, files, options, worktree=worktree)
        return _Called(about.agent, payload, output, options)

    def _command_step(self, where: Path, about: CommandStep) -> _Called:
        fixed, args = split(about.command)
        options = command_options(about, fixed)
        if not fixed:
            self._say((*where, "command", 0), "a command begins with a program, not a template")
        elif said := guard_dashes(args, options):
            first = next(i for i, arg in enumerate(args) if arg.startswith("-"))
            self._say((*where, "command", first + len(fixed)), said)
        self._static(where, about)
        output = wanted(about.output, "command", about.files, options)
        agent = self._staff.bring(where, "command", options, about)
        for i in range(len(args)):
            self._places.note(where, ("input", "args", i), ("command", i + len(fixed)))
        self._payload(where, ("stdin",), "stdin", None)
        return _Called(agent, {"args": args, "stdin": about.stdin}, output, {})

    def _shell_step(self, where: Path, about: ShellStep) -> _Called:
        options = command_options(about, about.shell) | {"shell": True}
        self._static(where, about)
        output = wanted(about.output, "command", about.files, options)
        agent = self._staff.bring(where, "command", options, about)
        self._payload(where, ("args",), "args", None)
        self._payload(where, ("stdin",), "stdin", None)
        return _Called(agent, {"args": about.args, "stdin": about.stdin}, output, {})

    def _function_step(self, where: Path, about: FunctionStep) -> _Called:
        options: dict[str, Json] = {"ref": about.call}
        if about.mode is not None:
            options["mode"] = about.mode
        agent = self._staff.bring(where, "function", options, about)
        payload = self._arguments(where, about.with_)
        return _Called(agent, payload, wanted(about.output, "function", None, {}), {})

    def _static(self, where: Path, about: CommandStep | ShellStep) -> None:
        for problem in static_problems(about):
            self._say((*where, *problem.where), problem.message, problem.hint)

    def _payload(self, where: Path, spec: Path, key: str, value: Json) -> Json:
        """Note that a piece of the spec's input stands under a key of the file's step."""
        self._places.note(where, ("input", *spec), (key,))
        return value

    def _given(self, where: Path, about: AgentStep, kind: str | None, asked: bool) -> Json:
        """Say what an agent gets, which depends on what it is."""
        if kind == "command":
            if about.with_ is not None and not _texts(about.with_):
                self._say((*where, "with"), "a command's arguments are a list of texts")
            self._payload(where, ("args",), "with", None)
            self._payload(where, ("stdin",), "prompt", None)
            return {"args": about.with_ or [], "stdin": about.prompt}
        if kind == "function":
            if about.prompt is not None:
                self._say((*where, "prompt"), "a function has no prompt: give arguments by 'with'")
            return self._arguments(where, about.with_)
        if about.prompt is not None and about.with_ is not None:
            self._say((*where, "with"), "a model gets a prompt or a 'with', not both")
        if about.prompt is None and about.with_ is None and kind is not None and not asked:
            self._say((*where, "agent"), f"step {where[-1]!r} has no prompt")
        if about.prompt is None:
            return self._payload(where, (), "with", about.with_)
        return self._payload(where, (), "prompt", about.prompt)

    def _arguments(self, where: Path, given: Json) -> Json:
        if given is not None and not isinstance(given, dict | list):
            self._say((*where, "with"), "arguments are an object of names, or a list")
        return self._payload(where, (), "with", given)


def _texts(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
