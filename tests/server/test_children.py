"""Commands in processes of their own: who looks at a page never waits for simulations."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hocket.server.children import Children
from hocket.server.quotas import TooMany

LATE = [["simulate", "--runs=1000", "r"], ["explain", "--simulate", "r"], ["explain", "--", "r"]]
SOON = [["explain", "--no-simulate", "r"], ["check", "--predict", "f"]]


class Held(Children):
    """Holds every command until it is let go."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.running: list[Sequence[str]] = []
        self.free = asyncio.Event()

    async def _run(self, args: Sequence[str], seconds: float, given: bytes) -> Any:
        self.running.append(args)
        await self.free.wait()
        return args


@pytest.mark.parametrize("soon", SOON)
def test_what_answers_soon_does_not_wait_for_simulations(soon: list[str]) -> None:
    async def whole() -> None:
        cli = Held()
        tasks = [asyncio.create_task(cli(LATE[i % 3])) for i in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await cli(LATE[0])
        tasks.append(asyncio.create_task(cli(soon)))
        for _ in range(3):
            await asyncio.sleep(0)
        assert cli.running == [LATE[0], LATE[1], soon], "two of the one kind, and the other"
        cli.free.set()
        await asyncio.gather(*tasks)

    asyncio.run(whole())


def test_of_what_answers_soon_only_a_few_run_at_once() -> None:
    async def whole() -> None:
        cli = Held()
        tasks = [asyncio.create_task(cli(SOON[0])) for _ in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(cli.running) == 2
        cli.free.set()
        await asyncio.gather(*tasks)
        assert len(cli.running) == 5

    asyncio.run(whole())
