"""The agents of a file, and those that its steps and tools bring along, as specs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from hocket.config import models as part
from hocket.config.argv import guard_dashes, split
from hocket.config.bounds import Bounds
from hocket.config.environment import environment_problems
from hocket.config.mcp_parts import McpProgram
from hocket.config.pin import tool_pin
from hocket.config.place_parts import place_of
from hocket.config.places import Path, Places
from hocket.config.population_parts import PopulationStep
from hocket.config.settings import (
    SETTINGS,
    command_options,
    given,
    model_options,
    static_problems,
)
from hocket.config.step_parts import CommandStep, FunctionStep, ShellStep
from hocket.config.tool_parts import CachePart, CommandTool, FunctionTool, McpTool
from hocket.core.errors import suggest
from hocket.core.specs import AgentKind, AgentSpec
from hocket.core.teams import CacheSpec, ToolSpec
from hocket.core.values import Json

PIN_HINT: Final = "hocket mcp FILE --pin shows it in full, with what to write here"

Say: TypeAlias = Callable[..., None]
"""Is told what is wrong: where, what, and maybe a hint."""


class Staff:
    """The agents that the plans of a file use.

    Args:
        file: The file.
        broken: Agents whose settings could not be read.
        bounds: The limits of the file.
        places: Where things stand.
        say: Is told what is wrong.

    Attributes:
        agents: Those met so far, by name.
        paths: Where each of them stands.
        tools: Tools met so far, by name.
        broken: Those about whom nothing is said.
    """

    def __init__(
        self,
        file: part.FilePart,
        broken: frozenset[str],
        bounds: Bounds,
        places: Places,
        say: Say,
    ) -> None:
        self.agents: dict[str, AgentSpec] = {}
        self.paths: dict[str, Path] = {}
        self.broken = broken
        self._file = file
        self._bounds = bounds
        self._places = places
        self._say = say
        self._numbers: dict[str, int] = {}
        self._population: str | None = None
        self.tools: dict[str, ToolSpec] = {}

    def declare(self, name: str) -> AgentSpec | None:
        """Take in an agent of the file, at its first use; None if there is none of that name."""
        about = self._file.agents.get(name)
        if about is None or name in self.agents:
            return self.agents.get(name)
        where: Path = ("agents", name)
        self.paths[name] = where
        limits = self._bounds.of_agent(name, about)
        tools = self._tools_of(where, about.tools) if isinstance(about, part.ToolUser) else {}
        self.agents[name] = _agent(about, self._file.models, limits, tools)
        if isinstance(about, part.ModelAgent):
            model = about.model
            if ":" not in model and model not in self._file.models:
                hint = suggest(model, self._file.models) or "name one, or write provider:model"
                self._say((*where, "model"), f"unknown model {model!r}", hint)
        return self.agents[name]

    def declare_all(self) -> None:
        """Take in also what no step uses, so that its mistakes are found."""
        for name in self._file.agents:
            self.declare(name)
        for name, about in self._file.tools.items():
            self._tool(name, about)
        for name, server in self._file.mcp.items():
            if isinstance(server, McpProgram):
                env, env_pass = server.env or {}, server.env_pass or ()
                for problem in environment_problems(("mcp", name), env, env_pass):
                    self._say(problem.where, problem.message, problem.hint)

    def bring(
        self,
        where: Path,
        kind: AgentKind,
        options: dict[str, Json],
        about: CommandStep | ShellStep | FunctionStep | PopulationStep,
    ) -> str:
        """Make an agent of a step's own; it is called like the step if nobody else is."""
        name = self._free(str(where[-1]), "agent")
        self.agents[name] = AgentSpec(
            kind=kind,
            options=options,
            concurrency=about.concurrency,
            effects=kind == "command",
            limits=self._bounds.of_step(name, where, about.limits),
            place=place_of(about.place),
        )
        self.paths[name] = where
        return name

    def population(self, where: Path, about: PopulationStep) -> str:
        """Name who runs populations: one for all steps that say nothing else, as all use all cores.

        It is called ``population`` if nobody else is.
        """
        if about.concurrency is not None or about.limits is not None or about.place is not None:
            return self.bring(where, "population", {}, about)
        if self._population is None:
            self._population = self.bring((*where[:-1], "population"), "population", {}, about)
            self.paths[self._population] = where
        return self._population

    def _free(self, wanted: str, what: str) -> str:
        name, number = wanted, self._numbers.get(wanted, 1)
        if number > 1:
            name = f"{wanted}-{what}-{number}"
        while name in self.agents or name in self._file.agents:
            name = f"{wanted}-{what}" if number == 1 else f"{wanted}-{what}-{number}"
            number += 1
        # Many plans of a file may have steps of one name: none counts from the beginning.
        self._numbers[wanted] = number
        return name

    # -- tools ------------------------------------------------------------------------------

    def _tools_of(self, where: Path, names: list[str]) -> dict[str, ToolSpec]:
        found: dict[str, ToolSpec] = {}
        for i, name in enumerate(names):
            about = self._file.tools.get(name)
            if about is None:
                hint = suggest(name, self._file.tools) or "name it under tools"
                self._say((*where, "tools", i), f"unknown tool {name!r}", hint)
            elif name in found:
                self._say((*where, "tools", i), f"tool {name!r} is named twice")
            else:
                found[name] = self._tool(name, about)
        return found

    def _tool(self, name: str, about: CommandTool | FunctionTool | McpTool) -> ToolSpec:
        if name in self.tools:
            return self.tools[name]
        where: Path = ("tools", name)
        options: dict[str, Json]
        kind: AgentKind
        fields: dict[str, Json] = {}
        if isinstance(about, CommandTool):
            kind = "command"
            options, fields["input"] = self._command(where, about)
        elif isinstance(about, McpTool):
            kind, options = "mcp", self._mcp(where, name, about)
        else:
            kind, options = "function", {"ref": about.function}
            if about.mode is not None:
                options["mode"] = about.mode
        agent = self._free(name, "tool")
        self.paths[agent] = where
        self.agents[agent] = AgentSpec(
            kind=kind,
            options=options,
            concurrency=about.concurrency,
            effects=kind != "function" if about.effects is None else about.effects,
            limits=self._bounds.of_step(agent, where, about.limits),
            cache=cache_of(about.cache),
            place=place_of(about.place),
        )
        if about.timeout is not None:
            fields["timeout"] = about.timeout
        self.tools[name] = ToolSpec(
            agent=agent,
            about=about.about,
            schema=about.args,
            approve=about.approve,
            tries=about.tries,
            **fields,
        )
        return self.tools[name]

    def _mcp(self, where: Path, name: str, about: McpTool) -> dict[str, Json]:
        """Give the options of an MCP tool."""
        tool = about.tool or name
        server = self._file.mcp.get(about.mcp)
        if server is None:
            hint = suggest(about.mcp, self._file.mcp) or "name it under mcp"
            self._say((*where, "mcp"), f"unknown MCP server {about.mcp!r}", hint)
        elif about.pin is None:
            self._say(where, "an MCP tool is pinned by its text", PIN_HINT)
        elif about.pin != tool_pin(tool, about.about, about.args):
            said = f"this is not the pin of {tool!r} with the about and args that stand here"
            self._say((*where, "pin"), said, PIN_HINT)
        return {
            **({} if server is None else server.model_dump(exclude_none=True)),
            "server": about.mcp,
            "tool": tool,
            "about": about.about,
            "args": about.args,
            "pin": about.pin,
            **given(about, ("keep",)),
        }

    def _command(self, where: Path, about: CommandTool) -> tuple[dict[str, Json], Json]:
        """Give the options of a tool's command, and what it gets."""
        fixed, args = split(about.command)
        options = command_options(about, fixed)
        if not fixed:
            self._say((*where, "command", 0), "a command begins with a program, not a template")
        elif said := guard_dashes(args, options):
            first = next(i for i, arg in enumerate(args) if arg.startswith("-"))
            self._say((*where, "command", first + len(fixed)), said)
        for problem in static_problems(about):
            self._say((*where, *problem.where), problem.message, problem.hint)
        for i in range(len(args)):
            self._places.note(where, ("input", "args", i), ("command", i + len(fixed)))
        self._places.note(where, ("input", "stdin"), ("stdin",))
        self._places.note(where, ("schema",), ("args",))
        return options, {"args": args, "stdin": about.stdin}


def cache_of(about: CachePart | None) -> CacheSpec | None:
    """Give what a file says of kept answers; None if none are kept."""
    if about is None or about.mode == "off":
        return None
    fields: dict[str, Json] = given(about, ("ttl", "threshold"))
    if about.embed is not None:
        fields["embed"] = given(about.embed, ("model", "base_url", "key_env"))
    return CacheSpec(mode=about.mode, **fields)


def _agent(
    about: part.AgentUnion,
    entries: Mapping[str, part.ModelPart],
    limits: tuple[str, ...],
    tools: dict[str, ToolSpec],
) -> AgentSpec:
    kind: AgentKind
    options: dict[str, Json]
    fields: dict[str, Json] = {}
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
        case part.SessionAgent():
            kind, options = "session", given(about, SETTINGS["session"])
        case part.ScriptedAgent():
            kind, options = "scripted", about.scripted
    if isinstance(about, part.ToolUser) and about.max_turns is not None:
        fields["max_turns"] = about.max_turns
    return AgentSpec(
        kind=kind,
        options=options,
        concurrency=about.concurrency,
        effects=kind in ("command", "session") if about.effects is None else about.effects,
        limits=limits,
        tools=tools,
        cache=cache_of(about.cache),
        place=place_of(about.place),
        **fields,
    )
