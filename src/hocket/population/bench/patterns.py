"""How object agents are made to act together: by threads, by async tasks, by processes.

A tick ends when every agent has made its step.
Ticks are timed once beliefs are settled, whatever the pattern and the number of agents.
Processes live as long as the pattern does, each with its share of the agents; what it takes to
start them is told apart.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final, TypeAlias

from hocket.population.bench.objects import OBJECTS, Acting
from hocket.population.bench.task import SETTLED
from hocket.population.bench.timing import Timings, timed

MOST_WORKERS: Final = 8

Tick: TypeAlias = Callable[[], object]


def measure_pattern(
    pattern: str, kind: str, agents: int, *, iterations: int, seconds: float
) -> dict[str, Any]:
    """Time the ticks of some object agents under one pattern.

    Args:
        pattern: A key of `PATTERNS`.
        kind: A key of `OBJECTS`.
        agents: How many.
        iterations: How many ticks.
        seconds: The time after which no further tick begins.

    Returns:
        The pattern, the kind, the number of agents, the seconds it took to start, the timings.
    """
    began = time.perf_counter()
    with PATTERNS[pattern](kind, agents) as tick:
        tick()
        ready = time.perf_counter() - began
        found: Timings = timed(tick, iterations=iterations, seconds=seconds, warm=SETTLED - 1)
    return {
        "pattern": pattern,
        "kind": kind,
        "agents": agents,
        "start": ready,
        "walls": found.walls,
        "processor": found.processor,
    }


@contextmanager
def in_line(kind: str, agents: int) -> Iterator[Tick]:
    """One agent after the other, in one thread."""
    all_of_them = _made(kind, range(agents))

    def tick() -> None:
        for agent in all_of_them:
            agent.step()

    yield tick


@contextmanager
def by_threads(kind: str, agents: int) -> Iterator[Tick]:
    """A future for each agent in a pool of threads, and a barrier."""
    all_of_them = _made(kind, range(agents))
    with ThreadPoolExecutor(max_workers=MOST_WORKERS) as pool:

        def tick() -> None:
            for future in [pool.submit(agent.step) for agent in all_of_them]:
                future.result()

        yield tick


@contextmanager
def by_tasks(kind: str, agents: int) -> Iterator[Tick]:
    """A coroutine for each agent, gathered; its step runs in the loop's executor."""
    all_of_them = _made(kind, range(agents))
    loop = asyncio.new_event_loop()
    try:
        with ThreadPoolExecutor(max_workers=MOST_WORKERS) as pool:

            async def all_steps() -> None:
                steps = [loop.run_in_executor(pool, agent.step) for agent in all_of_them]
                await asyncio.gather(*steps)

            yield lambda: loop.run_until_complete(all_steps())
    finally:
        loop.close()


@contextmanager
def by_processes(kind: str, agents: int) -> Iterator[Tick]:
    """A process for each core, each with its share of the agents; a message each way a tick."""
    context = multiprocessing.get_context("spawn")
    count = min(agents, os.cpu_count() or 1, MOST_WORKERS)
    pipes, workers = [], []
    try:
        for worker in range(count):
            ours, theirs = context.Pipe()
            share = list(range(worker, agents, count))
            process = context.Process(target=_work, args=(theirs, kind, share), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            workers.append(process)

        def tick() -> None:
            for pipe in pipes:
                pipe.send(True)
            for pipe in pipes:
                pipe.recv()

        yield tick
    finally:
        for pipe in pipes:
            pipe.close()
        for process in workers:
            process.join(timeout=5)


PATTERNS: Final = {
    "in line": in_line,
    "threads": by_threads,
    "async": by_tasks,
    "processes": by_processes,
}
"""The patterns, by what they are called."""


def _work(pipe: Connection, kind: str, share: list[int]) -> None:
    """Be a worker: step all agents of the share at each message, until the pipe is closed."""
    agents = _made(kind, share)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send([agent.step() for agent in agents])


def _made(kind: str, numbers: Any) -> list[Acting]:
    return [OBJECTS[kind](number) for number in numbers]
