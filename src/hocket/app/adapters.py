"""Which adapter runs which kind of agent, and how many of its calls at once by default."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, cast

from hocket.agents.base import Agent, AgentFactory
from hocket.agents.clients import Clients
from hocket.agents.mcp_servers import Servers
from hocket.agents.output import can_fit, learn_to_fit
from hocket.agents.session_options import sizes
from hocket.agents.session_pools import SessionPools
from hocket.app.state import state_folder
from hocket.core.specs import AgentKind, AgentSpec, PlanSpec, RunSpec
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


class Away(Protocol):
    """Has calls done on other machines."""

    groups: Any
    """Runs populations there."""

    def agent(
        self, name: str, spec: AgentSpec, here: Agent, room: Callable[[int], int | None]
    ) -> Agent:
        """Give an agent whose calls are done there.

        Args:
            name: Its name.
            spec: Its spec.
            here: The same agent in this process.
            room: How many of its calls a machine with so many cores takes.
        """

    def warm(self) -> None:
        """Have processes begin there before there are calls for them."""

    async def close(self) -> None:
        """End what is held there."""


class Links:
    """What agents hold beyond their runs; for one event loop, and to be closed in it.

    Args:
        cluster: The address of a cluster where calls are done; None for this process.

    Raises:
        Refused: There is no such cluster.
    """

    def __init__(self, cluster: str | None = None) -> None:
        self._clients = Clients()
        self._servers = Servers()
        self.sessions = SessionPools()
        self._away: Away | None = None
        if cluster is not None:
            self._away = import_module("hocket.cluster.remote").OnCluster(cluster, ELSEWHERE)

    @property
    def shared(self) -> Shared:
        """What each kind of agent is given."""
        return {
            "model": {"clients": self._clients},
            "mcp": {"servers": self._servers},
            "session": {"pools": self.sessions},
            **({} if self._away is None else {"population": {"groups": self._away.groups}}),
        }

    def hire(self, state: Path, live: dict[str, Any], name: str, spec: AgentSpec) -> Agent:
        """Make an agent, as `hire` does; on a cluster its calls are done there, if they can be.

        Raises:
            SpecError: Its options don't make sense.
        """
        agent = hire(state, live, name, spec, shared=self.shared)
        if self._away is None or not _leaves(spec, live):
            return agent
        return self._away.agent(name, spec, agent, partial(room, spec))

    def capacity(self, name: str, spec: AgentSpec) -> int | None:
        """Give how many calls of an agent may be in flight; on a cluster its nodes decide."""
        if self._away is None or spec.kind == "population":
            return capacity(name, spec)
        return spec.concurrency

    async def prepare(self, spec: RunSpec) -> None:
        """Import what a plan's outputs are checked with, if any is, beside the loop."""
        if not can_fit() and _checks(spec.workflow):
            await asyncio.to_thread(learn_to_fit)

    def warm(self) -> None:
        """Have what does calls elsewhere begin before there are any."""
        if self._away is not None:
            self._away.warm()

    async def close(self) -> None:
        """End all connections, and the processes that belong to them, whatever goes wrong."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.sessions.close)
            closing.push_async_callback(self._servers.close)
            closing.push_async_callback(self._clients.close)
            if self._away is not None:
                closing.push_async_callback(self._away.close)


class Elsewhere:
    """Makes agents in a process that does calls for another one; see `hocket.cluster.hands`."""

    def __init__(self) -> None:
        self._state = state_folder()
        self._links = Links()

    def hire(self, name: str, spec: AgentSpec) -> Agent:
        """Make an agent.

        Raises:
            SpecError: Its options don't make sense.
        """
        return self._links.hire(self._state, {}, name, spec)

    async def close(self) -> None:
        """Give back what agents share."""
        await self._links.close()


ELSEWHERE: Final = f"{Elsewhere.__module__}:{Elsewhere.__name__}"
"""How a process that does calls finds what makes its agents."""


def capacity(name: str, spec: AgentSpec) -> int | None:
    """Give how many calls of an agent may be in flight; None for as many as the run allows."""
    return room(spec, os.cpu_count() or 1) if spec.concurrency is None else spec.concurrency


def room(spec: AgentSpec, cores: int) -> int | None:
    """Give how many calls of an agent a machine takes; None for any number.

    What needs a processor of its own gets as many as there are processors.
    """
    if spec.kind == "command" or (
        spec.kind == "function" and spec.options.get("mode") == "process"
    ):
        return cores
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


def _checks(plan: PlanSpec) -> bool:
    """Tell whether what a plan's calls give has to fit a schema, as votes and verdicts have."""
    return any(
        step.output is not None
        or step.team is not None
        or step.review is not None
        or (step.plan is not None and _checks(step.plan))
        for step in plan.steps
    )


def _leaves(spec: AgentSpec, live: Mapping[str, Any]) -> bool:
    """Tell whether calls of an agent can be done in another process.

    A function that a program has handed over is in this one alone; a population has its own way.
    """
    return spec.kind != "population" and not (
        spec.kind == "function" and spec.options.get("ref") in live
    )


def adapter(kind: AgentKind) -> AgentFactory:
    """Give the class that runs agents of a kind."""
    module, name = ADAPTERS[kind]
    return cast(AgentFactory, getattr(import_module(module), name))
