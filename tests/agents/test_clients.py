"""The clients of models: made once, ahead of their first call, and kept from run to run."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.agents.context import FakeContext, request

from hocket.agents import clients as room
from hocket.agents.base import prepare
from hocket.agents.clients import Clients
from hocket.agents.model import ModelAgent
from hocket.agents.model_client import Client
from hocket.core.errors import AgentError, Fault
from hocket.core.specs import AgentSpec

PLACE = ("openai:tiny", "http://127.0.0.1:9/v1", None)


class Provider:
    """A provider that notes when its client is opened and closed."""

    def __init__(self) -> None:
        self.open = 0

    async def __aenter__(self) -> None:
        self.open += 1

    async def __aexit__(self, *error: object) -> None:
        self.open -= 1


class Making:
    """Stands in for what makes clients, in a thread; counts them."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []
        self.providers: list[Provider] = []
        self.fails = 0
        self.may = threading.Event()
        self.may.set()

    def __call__(self, model: str, base_url: str | None, key_env: str | None) -> Client:
        self.made.append((model, base_url, key_env))
        assert threading.current_thread() is not threading.main_thread()
        self.may.wait(10)
        if self.fails:
            self.fails -= 1
            raise AgentError(Fault(kind="permanent", message="no such provider"))
        self.providers.append(Provider())
        return Client(
            model=SimpleNamespace(system="openai", profile={}),
            provider=self.providers[-1],
            name=model,
            secrets=(),
            settings={},
            watched=False,
        )


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    made = Making()
    monkeypatch.setattr(room, "connect", made)
    return made


def test_all_who_ask_at_once_share_one_client(making: Making) -> None:
    async def main() -> None:
        clients = Clients()
        found = await asyncio.gather(*(clients.get(*PLACE) for _ in range(5)))
        assert len({id(client) for client in found}) == 1
        assert await clients.get(*PLACE) is found[0]
        assert [provider.open for provider in making.providers] == [1]
        await clients.close()

    asyncio.run(main())
    assert making.made == [PLACE]
    assert [provider.open for provider in making.providers] == [0]


def test_another_model_address_or_key_has_a_client_of_its_own(
    making: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        clients = Clients()
        places = [PLACE, ("openai:other", *PLACE[1:]), (PLACE[0], None, None)]
        found = [await clients.get(*place) for place in places]
        # Providers look for keys under names of their own.
        monkeypatch.setenv("TINY_API_KEY", "another")
        found.append(await clients.get(*PLACE))
        assert len({id(client) for client in found}) == 4
        await clients.close()
        assert [provider.open for provider in making.providers] == [0] * 4

    asyncio.run(main())


def test_a_client_that_could_not_be_made_is_made_anew(making: Making) -> None:
    async def main() -> None:
        clients = Clients()
        making.fails = 1
        with pytest.raises(AgentError, match="no such provider"):
            await clients.get(*PLACE)
        assert (await clients.get(*PLACE)).name == PLACE[0]
        await clients.close()

    asyncio.run(main())
    assert len(making.made) == 2


def test_closing_waits_for_clients_that_are_being_made(making: Making) -> None:
    async def main() -> None:
        clients = Clients()
        making.may.clear()
        clients.prepare(*PLACE)
        await asyncio.sleep(0)
        closing = asyncio.create_task(clients.close())
        await asyncio.sleep(0)
        assert not closing.done()
        making.may.set()
        await closing
        assert [provider.open for provider in making.providers] == [0]
        await clients.close()

    asyncio.run(main())


def model(clients: Clients | None = None) -> ModelAgent:
    options = {"model": PLACE[0], "base_url": PLACE[1]}
    spec = AgentSpec(kind="model", options=options)
    return ModelAgent("m", spec, state=Path(), live={}, clients=clients)


def test_an_agent_that_is_prepared_has_its_client_before_its_first_call(making: Making) -> None:
    async def main() -> None:
        clients = Clients()
        agent = model(clients)
        prepare(agent)
        await clients.get(*PLACE)
        assert len(making.made) == 1
        # Nothing stands behind this client, so the call fails; it was not made anew.
        with pytest.raises(AgentError):
            await agent.call(request("hi"), FakeContext())
        await agent.close()
        assert [provider.open for provider in making.providers] == [1]
        # The next run's agent finds it.
        await model(clients)._client()
        assert len(making.made) == 1
        await clients.close()

    asyncio.run(main())


def test_an_agent_closes_clients_that_are_its_own(making: Making) -> None:
    async def main() -> None:
        agent = model()
        prepare(agent)
        await asyncio.sleep(0)
        await agent.close()
        assert [provider.open for provider in making.providers] == [0]

    asyncio.run(main())


def test_what_fails_while_it_is_prepared_is_said_by_the_call(making: Making) -> None:
    async def main() -> None:
        agent = model()
        making.fails = 2
        prepare(agent)
        await asyncio.sleep(0.01)
        with pytest.raises(AgentError, match="no such provider"):
            await agent.call(request("hi"), FakeContext())
        await agent.close()

    asyncio.run(main())
