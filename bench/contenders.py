"""Who is compared: each runs one graph of steps and says how long that took.

Every step is an ``async def`` that returns a small dict and has no side effects.
Making the plan (the specs, the graph and its compilation) is not timed; what follows is, up to the
result, which for a journal means: on disk.
"""

from __future__ import annotations

import asyncio
import operator
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypedDict

from shapes import needs

PARALLEL = 16
"""How many steps are in flight at once: Hocket's default. LangGraph has no bound by default."""

Took = tuple[float, int | None]
"""Seconds, and the bytes that the journal holds afterwards, if there is one."""


async def step(item: object = None) -> dict[str, int]:
    return {"x": 1}


# ---- plain asyncio ----


async def by_asyncio(shape: str, count: int, state: Path) -> Took:
    """A ready queue: a task for each step, started when those that it needs have ended."""
    graph = needs("wide" if shape == "each" else shape, count)
    begin = time.perf_counter()
    results = await _ready_queue(graph)
    assert len(results) == count
    return time.perf_counter() - begin, None


async def _ready_queue(graph: list[tuple[int, ...]]) -> dict[int, Any]:
    loop = asyncio.get_running_loop()
    left = [len(needed) for needed in graph]
    dependents: list[list[int]] = [[] for _ in graph]
    for number, needed in enumerate(graph):
        for other in needed:
            dependents[other].append(number)
    ready = deque(number for number, open_ in enumerate(left) if not open_)
    results: dict[int, Any] = {}
    done = loop.create_future()
    tasks: set[asyncio.Task[None]] = set()

    async def run(number: int) -> None:
        results[number] = await step()
        for other in dependents[number]:
            left[other] -= 1
            if not left[other]:
                ready.append(other)

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        follow()

    def follow() -> None:
        while ready and len(tasks) < PARALLEL:
            task = loop.create_task(run(ready.popleft()))
            tasks.add(task)
            task.add_done_callback(ended)
        if not tasks and not done.done():
            done.set_result(None)

    follow()
    await done
    return results


# ---- Hocket ----


async def by_hocket(shape: str, count: int, state: Path | None, effects: bool) -> Took:
    from engines import plan_of, time_run

    plan = plan_of(shape, count, step, effects=effects, parallel=PARALLEL)
    took = await time_run(plan, state)
    return took, None if state is None else _size(state / "journal.sqlite")


async def in_memory(shape: str, count: int, state: Path) -> Took:
    return await by_hocket(shape, count, None, effects=False)


async def on_sqlite(shape: str, count: int, state: Path) -> Took:
    return await by_hocket(shape, count, state, effects=False)


async def waiting(shape: str, count: int, state: Path) -> Took:
    return await by_hocket(shape, count, state, effects=True)


# ---- LangGraph ----


async def by_langgraph(shape: str, count: int, state: Path) -> Took:
    graph = _state_graph(shape, count).compile()
    begin = time.perf_counter()
    result = await graph.ainvoke({"x": 0}, {"recursion_limit": count + 10})
    took = time.perf_counter() - begin
    assert result["x"] == count, result
    return took, None


async def by_langgraph_sqlite(shape: str, count: int, state: Path) -> Took:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = state / "checkpoints.sqlite"
    os.makedirs(state, exist_ok=True)
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.setup()
        graph = _state_graph(shape, count).compile(checkpointer=saver)
        config: Any = {"recursion_limit": count + 10, "configurable": {"thread_id": "1"}}
        begin = time.perf_counter()
        result = await graph.ainvoke({"x": 0}, config, durability="sync")
        took = time.perf_counter() - begin
    assert result["x"] == count, result
    return took, _size(path)


class State(TypedDict):
    """One number, to which each step adds one: the smallest state that counts."""

    x: Annotated[int, operator.add]


def _state_graph(shape: str, count: int) -> Any:
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Send

    async def node(state: Any) -> dict[str, int]:
        return await step()

    def fan_out(state: Any) -> list[Any]:
        return [Send("step", {"item": i}) for i in range(count)]

    builder = StateGraph(State)
    if shape == "each":
        builder.add_node("step", node)
        builder.add_conditional_edges(START, fan_out, ["step"])
        builder.add_edge("step", END)
        return builder
    graph = needs(shape, count)
    for number, needed in enumerate(graph):
        builder.add_node(f"s{number}", node)
        if needed:
            # A list waits for all; a text would start the step once for each.
            builder.add_edge([f"s{other}" for other in needed], f"s{number}")
        else:
            builder.add_edge(START, f"s{number}")
    return builder


# ---- all of them ----


def _size(path: Path) -> int:
    """Give the bytes of a database with what stands beside it."""
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


CONTENDERS: dict[str, Callable[[str, int, Path], Coroutine[Any, Any, Took]]] = {
    "asyncio": by_asyncio,
    "hocket-memory": in_memory,
    "hocket": on_sqlite,
    "hocket-wait": waiting,
    "langgraph": by_langgraph,
    "langgraph-sqlite": by_langgraph_sqlite,
}

MODULES = {
    "asyncio": (),
    "hocket-memory": ("engines",),
    "hocket": ("engines",),
    "hocket-wait": ("engines",),
    "langgraph": ("langgraph.graph", "langgraph.types"),
    "langgraph-sqlite": ("langgraph.graph", "langgraph.types", "langgraph.checkpoint.sqlite.aio"),
}
"""What each imports before its memory is counted."""
