"""Turns between processes: what one process is due at a shared limit no other one takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.engine.kit import Doer, engine, now, plan, sleeps, step, virtual

from hocket.core.specs import LimitSpec, Rate, RunSpec
from hocket.core.values import SECOND
from hocket.journal.memory import MemoryJournal

TEN = 10 * SECOND


def spec(count: int, limit: LimitSpec, **more: Any) -> RunSpec:
    """A plan of equal steps whose agent claims a limit called ``api``."""
    steps = [step(f"s{i:03}") for i in range(count)]
    more = {"max_parallel": 64, **more}
    return plan(*steps, limits={"api": limit}, claimed={"a": ("api",)}, **more)


async def process(
    journal: MemoryJournal, doer: Doer, run: str, asked: RunSpec, after: float = 0
) -> float:
    """Run something in a process of its own; gives when it was done."""
    await asyncio.sleep(after)
    begun = await engine(journal, {"a": doer}).start(asked, {}, run=run, seed=0, stay=False)
    assert (await begun.settled()).said == "succeeded"
    return now()


def together(*parts: Any, latency: float = 0.003) -> Any:
    """Run several processes on one journal: (doer, spec, after) each."""

    async def main() -> list[float]:
        journal = MemoryJournal(latency=latency)
        return await asyncio.gather(
            *(
                process(journal, doer, f"r{number}", asked, after)
                for number, (doer, asked, after) in enumerate(parts)
            )
        )

    return virtual(main)


def window(amount: int, **more: Any) -> LimitSpec:
    return LimitSpec(requests=(Rate(amount, TEN),), **{"margin": 0, **more})


@pytest.mark.parametrize("amount", [1, 5, 8, 12])
def test_runs_of_two_processes_share_by_their_weights(amount: int) -> None:
    light, heavy = sleeps(0.5), sleeps(0.5)
    together(
        (light, spec(15 * amount, window(amount), weight=1.0), 0.0),
        (heavy, spec(15 * amount, window(amount), weight=3.0), 0.5),
    )
    for begin in (20, 50, 70):
        counts = [sum(begin <= at < begin + 100 for at, _ in doer.calls) for doer in (light, heavy)]
        assert sum(counts) == pytest.approx(10 * amount, abs=amount)
        assert counts[0] == pytest.approx(sum(counts) / 4, abs=max(1, 0.02 * sum(counts)))
