"""How the benchmarks build their plans and run them, by what Hocket shows to every program."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from shapes import needs

import hocket

# What a program's first plan and run would import, so that it is not counted as theirs.
PUBLIC = (hocket.Engine, hocket.Plan)


async def listing(count: int) -> list[int]:
    return list(range(count))


def plan_of(
    shape: str,
    count: int,
    step: Callable[..., Coroutine[Any, Any, Any]],
    *,
    effects: bool,
    parallel: int,
) -> hocket.Plan:
    """Give the plan of a graph; ``each`` is one step over a list that another step gives."""
    plan = hocket.Plan("bench", max_parallel=parallel)
    if shape == "each":
        plan.map("all", step, plan.call("listing", listing, count), effects=effects)
        return plan
    told: dict[str, Any] = {"effects": True} if effects else {}
    for number, needed in enumerate(needs(shape, count)):
        if needed:
            told["needs"] = [f"s{i}" for i in needed]
        plan.call(f"s{number}", step, **told)
    return plan


async def time_run(plan: hocket.Plan, state: Path | None) -> float:
    """Run a plan, in memory or on a state folder; gives the seconds until its result."""
    engine = hocket.Engine(Path() if state is None else state, memory=state is None)
    async with engine:
        begin = time.perf_counter()
        result = await engine.run(plan)
        took = time.perf_counter() - begin
    assert result.status == "succeeded", result.reason
    return took
