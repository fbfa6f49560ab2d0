"""Which adapter runs which kind of agent, and how many of its calls at once by default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from hocket.agents.base import Agent, AgentFactory
from hocket.agents.clients import Clients
from hocket.agents.mcp_servers import Servers
from hocket.agents.session_options import sizes
from hocket.agents.session_pools import SessionPools
from hocket.core.specs import AgentKind, AgentSpec
from hocket.engine.engine import Kind
from hocket.workflows.plan import VERSION, make_plan

ADAPTERS: Final[dict[AgentKind, tuple[str, str]]] = {
    "function": ("hocket.agents.function", "FunctionAgent"),
    "command": ("hocket.agents.command", "CommandAgent"),
    "model": ("hocket.agents.model", "ModelAgent"),
    "local": ("hocket.agents.local", "LocalAgent"),
    "scripted": ("hocket.agents.scripted", "ScriptedAgent"),
    "session": ("hocket.agents.session", "SessionAgent"),
    "mcp": ("hocket.agents.mcp", "McpAgent"),
    "population": ("hocket.agents.population", "PopulationAgent"),
}
"""The class of each kind; it is imported when a plan has an agent of that kind."""

KINDS: Final = {"plan": Kind(VERSION, make_plan)}
_LOCAL_SLOTS: Final = 4

Shared: TypeAlias = Mapping[AgentKind, Mapping[str, Any]]
"""What agents of a kind share beyond their runs, by the names of their arguments."""

_NOTHING: Final[Shared] = {}


class Links:
    """What agents hold beyond their runs; for one event loop, and to be closed in it."""

    def __init__(self) -> None:
        self._clients = Clients()
        self._servers = Servers()
        self.sessions = SessionPools()

    @property
    def shared(self) -> Shared:
        """What each kind of agent is given."""
        return {
            "model": {"clients": self._clients},
            "mcp": {"servers": self._servers},
            "session": {"pools": self.sessions},
        }

    async def close(self) -> None:
        """End all connections, and the processes that belong to them."""
        await self._clients.close()
        await self._servers.close()
        await self.sessions.close()


def capacity(name: str, spec: AgentSpec) -> int | None:
    """Give how many calls of an agent may be in flight; None for as many as the run allows.

    What needs a processor of its own gets as many as there are processors.
    """
    if spec.concurrency is not None:
        return spec.concurrency
    if spec.kind == "command" or (
        spec.kind == "function" and spec.options.get("mode") == "process"
    ):
        return os.cpu_count() or 1
    if spec.kind == "population":
        # One uses all processor cores.
        return 1
    if spec.kind == "session":
        # A call for each turn that its processes can do: whoever comes then waits for a slot.
        processes, turns = sizes(spec.options)
        return processes * turns
    return _LOCAL_SLOTS if spec.kind == "local" else None


def hire(
    state: Path,
    live: dict[str, Any],
    name: str,
    spec: AgentSpec,
    *,
    shared: Shared = _NOTHING,
) -> Agent:
    """Make an agent.

    Args:
        state: The state folder.
        live: Functions that the program has handed over, by their names.
        name: The agent's name.
        spec: Its spec.
        shared: What agents of a kind share beyond their run.

    Raises:
        SpecError: Its options don't make sense.
    """
    return adapter(spec.kind)(name, spec, state=state, live=live, **shared.get(spec.kind, {}))


def adapter(kind: AgentKind) -> AgentFactory:
    """Give the class that runs agents of a kind."""
    module, name = ADAPTERS[kind]
    return cast(AgentFactory, getattr(import_module(module), name))
