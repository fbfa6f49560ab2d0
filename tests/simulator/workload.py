"""A program that prints the digests of a few runs; equal in every process, or the loop is at fault.

It uses what asyncio keeps in sets: a cancelled group, ``wait``, tasks and futures in sets.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator

from hocket.simulator.loop import run_virtual, virtual_loop


async def agent(name: int, chance: random.Random, results: asyncio.Queue[int]) -> None:
    for turn in range(4):
        try:
            async with asyncio.timeout(30):
                await asyncio.sleep(chance.expovariate(1 / 20))
        except TimeoutError:
            virtual_loop().trace(f"agent {name} turn {turn} timed out")
        await results.put(name)
        virtual_loop().trace(f"agent {name} turn {turn}")


async def cancelled_group() -> None:
    async def member(name: int) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            virtual_loop().trace(f"member {name} cancelled")

    async def breaker() -> None:
        await asyncio.sleep(1)
        raise ValueError("enough")

    try:
        async with asyncio.TaskGroup() as group:
            for name in range(20):
                group.create_task(member(name))
            group.create_task(breaker())
    except* ValueError:
        virtual_loop().trace("group ended")


async def waiting() -> None:
    tasks = {asyncio.create_task(asyncio.sleep(n % 3), name=f"wait {n}") for n in range(30)}
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        virtual_loop().trace(" ".join(task.get_name() for task in done))


async def futures_in_a_set() -> None:
    loop = virtual_loop()
    futures = {loop.create_future(): n for n in range(30)}
    for future in set(futures):
        loop.trace(f"future {futures[future]}")
        future.set_result(None)
    await asyncio.wait(futures)


async def abandoned_generators() -> None:
    async def ticks(name: int) -> AsyncIterator[int]:
        try:
            yield name
        finally:
            virtual_loop().trace(f"ticks {name} closed")

    for name in range(20):
        generator = ticks(name)
        cycle: list[object] = [generator]
        cycle.append(cycle)
        await anext(generator)


async def main() -> str:
    chance = random.Random(7)
    results: asyncio.Queue[int] = asyncio.Queue(maxsize=3)
    left_over = [asyncio.create_task(agent(100 + n, chance, asyncio.Queue(1))) for n in range(5)]
    async with asyncio.TaskGroup() as group:
        for name in range(10):
            group.create_task(agent(name, chance, results))
        for part in (cancelled_group, waiting, futures_in_a_set, abandoned_generators):
            group.create_task(part())
        for _ in range(40):
            virtual_loop().trace(f"got {await results.get()}")
    virtual_loop().trace(f"{sum(task.done() for task in left_over)} done")
    return virtual_loop().digest()


def perturb_the_heap() -> list[object]:
    """Move every later address: what stays is returned, what goes leaves holes."""
    noise = random.Random(os.urandom(8))
    junk: list[object] = [bytes(noise.randrange(900)) for _ in range(noise.randrange(20_000))]
    junk += [asyncio.Event() for _ in range(noise.randrange(5_000))]
    noise.shuffle(junk)
    return junk[: len(junk) // 2]


if __name__ == "__main__":
    kept = perturb_the_heap()
    for argument in sys.argv[1:]:
        print(run_virtual(main, seed=None if argument == "fifo" else int(argument)))
