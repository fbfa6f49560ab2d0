"""Finds what is wrong with the agents of a run: their tools, and how their answers are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from hocket.core.errors import Problem, suggest
from hocket.core.specs import AgentSpec, StepSpec
from hocket.core.teams import CacheSpec, ToolSpec
from hocket.core.template import Place, TemplateError, parse_template
from hocket.core.values import DAY, Json
from hocket.workflows.conversation import TURN
from hocket.workflows.fields import fields_problem

MAX_TURNS: Final = 1_000
MAX_TRIES: Final = 1_000
LONGEST: Final = 3_650 * DAY

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
"""Providers allow no longer ones."""
_CALLERS: Final = ("model", "scripted")
"""Kinds of agents that can call tools."""
_DOERS: Final = ("command", "function", "mcp")
"""Kinds of agents that can be tools."""


_NO_TOOLS: Final[Mapping[str, ToolSpec]] = {}


def staff_problems(
    agents: Mapping[str, AgentSpec], tools: Mapping[str, ToolSpec] = _NO_TOOLS
) -> Iterator[Problem]:
    """Find what is wrong with agents, however they are used, and with tools that none of them has.

    What is wrong with an agent's tool is told of the first agent that has it.
    """
    seen: dict[tuple[str, str], None] = {}
    for name, agent in agents.items():
        where: Place = ("agents", name)
        if agent.concurrency is not None and agent.concurrency < 1:
            said = "concurrency is at least 1"
            yield Problem(where=(*where, "concurrency"), message=said)
        if agent.cache is not None:
            yield from _cache(agent, agent.cache, (*where, "cache"))
        if not 1 <= agent.max_turns <= MAX_TURNS:
            said = f"max_turns lies between 1 and {MAX_TURNS:,}, not {agent.max_turns:,}"
            yield Problem(where=(*where, "max_turns"), message=said)
        if agent.tools and agent.kind not in _CALLERS:
            said = f"a {agent.kind} agent cannot call tools"
            hint = "models and scripted agents can"
            yield Problem(where=(*where, "tools"), message=said, hint=hint)
        for called, tool in agent.tools.items():
            # Agents that have the same tool share its spec, and its mistakes.
            if (called, tool.agent) not in seen:
                seen[called, tool.agent] = None
                yield from _tool(called, tool, agents, (*where, "tools", called))
    for called, tool in tools.items():
        if (called, tool.agent) not in seen:
            yield from _tool(called, tool, agents, ("tools", called))


def _cache(agent: AgentSpec, cache: CacheSpec, where: Place) -> Iterator[Problem]:
    if agent.effects:
        said = "an answer that is given again does nothing, and this agent has effects"
        hint = "say effects: false if its calls change nothing"
        yield Problem(where=where, message=said, hint=hint)
    if cache.ttl is not None and not 0 < cache.ttl <= LONGEST:
        said = "ttl is longer than 0, 10 years at most"
        yield Problem(where=(*where, "ttl"), message=said)
    if not 0 < cache.threshold <= 1:
        said = f"threshold lies above 0 and is 1 at most, not {cache.threshold:g}"
        yield Problem(where=(*where, "threshold"), message=said)
    if cache.mode == "similar" and not cache.embed.get("model"):
        said = "to tell what is similar a model has to say what prompts mean"
        hint = "say embed: {model: …}"
        yield Problem(where=where, message=said, hint=hint)
    if cache.mode == "exact" and cache.embed:
        said = "embed is about mode: similar, and the mode is 'exact'"
        yield Problem(where=(*where, "embed"), message=said)


def _tool(
    name: str, tool: ToolSpec, agents: Mapping[str, AgentSpec], where: Place
) -> Iterator[Problem]:
    if not _NAME.match(name):
        said = (
            "a tool's name has letters a-z, digits, '_' and '-', first a letter, "
            f"at most 64 in all; not {name[:80]!r}"
        )
        yield Problem(where=where, message=said)
    if name == TURN:
        said = f"no tool can be called {TURN!r}: so are the turns of a conversation"
        yield Problem(where=where, message=said, hint="rename it")
    doer = agents.get(tool.agent)
    if doer is None:
        hint = suggest(tool.agent, agents)
        yield Problem(where=where, message=f"unknown agent {tool.agent!r}", hint=hint)
    elif doer.kind not in _DOERS:
        kinds = "a command, a function or a server's"
        said = f"a tool is {kinds}, and {tool.agent!r} is a {doer.kind}"
        yield Problem(where=where, message=said)
    if not 1 <= tool.tries <= MAX_TRIES:
        said = f"tries lies between 1 and {MAX_TRIES:,}, not {tool.tries:,}"
        yield Problem(where=(*where, "tries"), message=said)
    if not 0 < tool.timeout <= LONGEST:
        said = "timeout is longer than 0, 10 years at most"
        yield Problem(where=(*where, "timeout"), message=said)
    if tool.schema is not None and not isinstance(tool.schema, dict):
        said = "a tool's schema is a JSON Schema: an object"
        yield Problem(where=(*where, "schema"), message=said)
        return
    yield from _input(tool, where)


def _input(tool: ToolSpec, where: Place) -> Iterator[Problem]:
    """See that the texts of a tool name arguments, and such as will be there."""
    try:
        references = parse_template(tool.input).references
    except TemplateError as error:
        place = (*where, "input", *error.place)
        yield Problem(where=place, message=str(error), hint=error.hint, offset=error.offset)
        return
    schema = tool.schema or {}
    named = StepSpec(name="args", output={"type": "object", **schema})
    for below, reference in references:
        place = (*where, "input", *below)
        if reference.root != "args":
            wrong = f"unknown name {reference.root!r}", "a tool's texts know args alone"
        else:
            found = fields_problem(named, reference.names[1:], "args")
            missing = _may_lack(schema, reference.names[1:])
            if found is None and missing:
                said = f"the argument {missing!r} may be missing"
                found = said, "give it a default, as {type: string, default: …}"
            if found is None:
                continue
            wrong = found
        yield Problem(where=place, message=wrong[0], hint=wrong[1], offset=reference.offset)


def _may_lack(schema: Json, names: tuple[str | int, ...]) -> str:
    """Name the argument that is asked for and need not be given, or ""."""
    known = schema.get("properties")
    if not names or not isinstance(known, dict) or str(names[0]) not in known:
        return ""
    name = str(names[0])
    about = known[name]
    has_default = isinstance(about, dict) and "default" in about
    return "" if has_default or name in schema.get("required", ()) else name
