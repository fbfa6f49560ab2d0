"""The agents of one run, each made when it is first called and closed with the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from hocket.agents.base import Agent, prepare
from hocket.core.specs import AgentSpec

MOST_PREPARED: Final = 16
"""How many models make their clients when a run begins; others do it when they are called."""

Hire: TypeAlias = Callable[[str, AgentSpec], Agent]
"""Makes an agent of its name and spec."""


class Crew:
    """The agents of one run.

    Args:
        specs: Their specs by name.
        hire: Makes one.
    """

    def __init__(self, specs: Mapping[str, AgentSpec], hire: Hire) -> None:
        self._specs = specs
        self._hire = hire
        self._agents: dict[str, Agent] = {}

    def __getitem__(self, name: str) -> Agent:
        """Give an agent.

        Raises:
            SpecError: Its options don't make sense.
        """
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = self._hire(name, self._specs[name])
        return agent

    def prepare(self) -> None:
        """Have models begin with what their first calls would have to wait for.

        A call that others were waited for is often waited for itself.
        """
        models = [name for name, spec in self._specs.items() if spec.kind == "model"]
        for agent in self.able(models[:MOST_PREPARED]):
            prepare(agent)

    def able(self, names: Iterable[str]) -> Iterator[Agent]:
        """Give those agents that can be made; each call of another will say why it cannot."""
        for name in names:
            try:
                agent = self[name]
            except Exception:
                continue
            yield agent

    async def close(self) -> None:
        """Close all agents; the first error is raised once all are closed."""
        agents = list(self._agents.values())
        self._agents.clear()
        results = await asyncio.gather(*(a.close() for a in agents), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
