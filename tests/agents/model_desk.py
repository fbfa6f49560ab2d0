"""A provider on the loopback and `model` agents that ask it, for the tests of those agents."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.agents.context import FakeContext, request
from tests.agents.provider_server import Answer, ProviderServer

from hocket.agents.base import Reply, Request
from hocket.agents.model import ModelAgent
from hocket.core.errors import AgentError
from hocket.core.specs import AgentSpec

T = TypeVar("T")


class Desk:
    """A provider, and agents that ask it, in one event loop."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.server = ProviderServer()
        self.run(self.server.__aenter__())
        self.agents: list[ModelAgent] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def answers(self, *answers: Answer) -> None:
        self.server.answers = list(answers)
        self.server.seen.clear()
        self.server.hung_up.clear()

    def agent(self, **options: Any) -> ModelAgent:
        options = {"model": "openai:tiny", "base_url": self.server.url} | options
        made = ModelAgent("m", AgentSpec(kind="model", options=options), state=Path(), live={})
        self.agents.append(made)
        return made

    def ask(
        self, answer: Answer, asked: Request | None = None, **options: Any
    ) -> tuple[Reply, FakeContext]:
        self.answers(answer)
        context = FakeContext()
        return self.run(self.agent(**options).call(asked or request("hi"), context)), context

    def refused(self, answer: Answer, asked: Request | None = None, **options: Any) -> AgentError:
        with pytest.raises(AgentError) as caught:
            self.ask(answer, asked, **options)
        assert len(self.server.seen) <= 1, "the client has repeated the request by itself"
        return caught.value

    def body(self) -> Any:
        return self.server.seen[-1].body

    def tidy(self) -> None:
        while self.agents:
            self.run(self.agents.pop().close())

    def close(self) -> None:
        self.run(self.server.__aexit__())
        self.runner.close()
