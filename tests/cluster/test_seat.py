"""Handles to processes on nodes, without any of them."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from hocket.cluster.seat import Gone, Seated, begin, forsake_all


class Actor:
    """Stands for Ray's handle to a process that never answers."""

    def __init__(self) -> None:
        self.answers: list[Future[Any]] = []

    @property
    def ask(self) -> Actor:
        return self

    alive = hello = ask

    def options(self, **told: Any) -> Actor:
        return self

    def remote(self, *args: Any) -> Actor:
        self.answers.append(Future())
        return self

    def future(self) -> Future[Any]:
        return self.answers[-1]


async def asked(actor: Actor, count: int) -> None:
    async with asyncio.timeout(30):
        while len(actor.answers) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_whoever_waits_for_one_that_is_forsaken_is_told() -> None:
    pytest.importorskip("ray")

    async def main() -> None:
        actor = Actor()
        seated = Seated(actor, "a:B")
        waits = [
            asyncio.create_task(seated.ask("more")),
            asyncio.create_task(seated.hello()),
            asyncio.create_task(seated.alive(60.0)),
        ]
        await asked(actor, 3)
        # Whoever finds out is in a thread of its own.
        await asyncio.to_thread(forsake_all)
        async with asyncio.timeout(30):
            asks, hello, alive = await asyncio.gather(*waits, return_exceptions=True)
        assert isinstance(asks, Gone) and isinstance(hello, Gone) and alive is False
        with pytest.raises(Gone, match="begun anew"):
            await seated.ask("more")
        assert len(actor.answers) == 3, "Ray is asked nothing more"
        # Ray would not know it.
        seated.end()

    asyncio.run(main())


def test_who_is_cancelled_meanwhile_is_cancelled() -> None:
    pytest.importorskip("ray")

    async def main() -> None:
        actor = Actor()
        seated = Seated(actor, "a:B")
        waiting = asyncio.create_task(seated.ask("more"))
        await asked(actor, 1)
        seated.forsake()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()

    asyncio.run(main())


def test_without_a_connection_nothing_begins() -> None:
    ray = pytest.importorskip("ray")

    async def main() -> None:
        stillborn = begin("a:B", {}, node="n")
        with pytest.raises(Gone):
            await stillborn.hello()
        stillborn.end()

    assert not ray.is_initialized()
    asyncio.run(main())
    assert not ray.is_initialized()
