"""Reads from functions what a file does not say of them as tools: their arguments, and what for.

A file is only data until a run begins; then its functions are imported, as their calls would.
"""

from __future__ import annotations

import msgspec

from hocket.agents.arguments import find_function
from hocket.config.signatures import about, tool_schema
from hocket.core.errors import AgentError, Problem
from hocket.core.specs import AgentSpec, RunSpec
from hocket.core.teams import ToolSpec


def described(spec: RunSpec) -> tuple[RunSpec, list[Problem]]:
    """Give a spec whose tools all say what they take, and what kept others from it."""
    found: list[Problem] = []
    known: dict[str, ToolSpec] = {}
    agents: dict[str, AgentSpec] = {}
    for name, agent in spec.agents.items():
        tools = {}
        for called, tool in agent.tools.items():
            if called not in known:
                known[called] = _described(name, called, tool, spec, found)
            tools[called] = known[called]
        agents[name] = msgspec.structs.replace(agent, tools=tools) if tools else agent
    return msgspec.structs.replace(spec, agents=agents), found


def _described(
    agent: str, name: str, tool: ToolSpec, spec: RunSpec, found: list[Problem]
) -> ToolSpec:
    doer = spec.agents[tool.agent]
    if doer.kind != "function" or (tool.schema is not None and tool.about):
        return tool
    try:
        function = find_function(str(doer.options["ref"]))
        schema = tool_schema(function) if tool.schema is None else tool.schema
    except (AgentError, TypeError) as error:
        said = error.fault.message if isinstance(error, AgentError) else str(error)
        where = ("agents", agent, "tools", name, "function")
        hint = "" if isinstance(error, AgentError) else "say what it takes by args"
        found.append(Problem(where=where, message=said, hint=hint))
        return tool
    return msgspec.structs.replace(tool, schema=schema, about=tool.about or about(function))
