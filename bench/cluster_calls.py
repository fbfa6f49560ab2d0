"""What a call costs that a worker on a cluster does: beside the same call in this process.

    python bench/cluster_calls.py [--quick]

It begins a cluster of this machine alone, with one worker, and ends it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import hocket  # noqa: E402
from hocket.agents.base import Agent, Request  # noqa: E402
from hocket.app.adapters import ELSEWHERE, hire, room  # noqa: E402
from hocket.app.load import load_plan  # noqa: E402
from hocket.cluster.remote import OnCluster  # noqa: E402
from hocket.core.specs import AgentSpec  # noqa: E402
from hocket.core.values import Call  # noqa: E402

SPEC = AgentSpec(kind="function", options={"ref": "cluster_work:nap"})


class Nobody:
    """A context to which nothing matters."""

    hard = False

    def emit(self, text: str, stream: str = "out") -> None:
        return

    def sent(self, ago: int = 0) -> None:
        return


async def timed(agent: Agent, calls: int, at_once: int, seconds: float) -> float:
    """Give the seconds that so many calls take, so many at once."""
    gate, context = asyncio.Semaphore(at_once), Nobody()

    async def one(number: int) -> None:
        request = Request(
            run="bench", call=Call(f"s{number}", 1), agent="nap", input={"seconds": seconds}
        )
        async with gate:
            await agent.call(request, context)  # type: ignore[arg-type]

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(calls)))
    return time.perf_counter() - began


async def plan(cluster: str | None, steps: int, seconds: float, at_once: int) -> float:
    """Give the seconds that a whole plan takes, whose journal is on disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hocket.yaml"
        step = {"call": "cluster_work:nap", "with": {"seconds": seconds}}
        plans = {
            "all": {"max_parallel": at_once, "steps": {f"s{i}": step for i in range(steps)}},
            "one": {"steps": {"s": step}},
        }
        path.write_text(json.dumps({"version": 1, "plans": plans}))
        async with hocket.Engine(Path(folder) / "state", cluster=cluster, look_ahead=0) as engine:
            # The worker is there before the clock runs.
            await engine.run(load_plan(path, "one"))
            spec = load_plan(path, "all")
            began = time.perf_counter()
            await engine.run(spec)
            return time.perf_counter() - began


async def measured(quick: bool) -> dict[str, float]:
    rounds, calls = (2, 300) if quick else (5, 1_000)
    cluster = OnCluster("local", ELSEWHERE)
    here = hire(Path(), {}, "nap", SPEC)
    there = cluster.agent("nap", SPEC, here, partial(room, SPEC))
    rows: dict[str, Callable[[], Awaitable[float]]] = {}
    for name, agent in (("here", here), ("worker", there)):
        rows[f"{name}, one after the other"] = partial(timed, agent, calls, 1, 0.0)
        rows[f"{name}, 100 at once"] = partial(timed, agent, calls, 100, 0.0)
        rows[f"{name}, 1,000 x 50 ms at 100"] = partial(timed, agent, 1_000, 100, 0.05)
    rows["plan here, 1,000 x 50 ms at 100"] = partial(plan, None, 1_000, 0.05, 100)
    rows["plan on a worker, 1,000 x 50 ms at 100"] = partial(plan, "local", 1_000, 0.05, 100)
    try:
        await timed(there, 100, 100, 0.0)
        found: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, row in rows.items():
                found[name].append(await row())
    finally:
        await cluster.close()
    table: dict[str, float] = {}
    for name, times in found.items():
        middle = statistics.median(times)
        table[name] = middle if "50 ms" in name else middle / calls * 1e6
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick: bool = parser.parse_args().quick
    table: dict[str, Any] = asyncio.run(measured(quick))
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for name, value in table.items():
        shown = f"{value:8.2f} s" if "50 ms" in name else f"{value:8.0f} µs a call"
        print(f"{name:42} {shown}")


if __name__ == "__main__":
    main()
