"""The deterministic loop: same seed, same order; time that jumps; failures that say when."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import hocket
from hocket.simulator import loop as loop_module
from hocket.simulator.loop import (
    Livelock,
    Stalled,
    VirtualFuture,
    VirtualLoop,
    VirtualTask,
    run_virtual,
    virtual_loop,
)

WORKLOAD = Path(__file__).with_name("workload.py")
SEEDS = range(1, 201)


# The same order everywhere


def digests(arguments: list[str], hash_seed: str) -> list[str]:
    source = str(Path(hocket.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, str(WORKLOAD), *arguments],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": source},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split()


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    seeds = ["fifo", *map(str, range(12))]
    first = digests(seeds, "1")
    assert len(first) == len(seeds)
    assert digests(seeds, "2") == first
    assert digests(seeds, "random") == first
    # A process that made other runs before must agree, too.
    assert digests(seeds[::-1], "3") == first[::-1]


async def order_of_ten() -> str:
    order: list[int] = []

    async def member(name: int) -> None:
        await asyncio.sleep(0)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for name in range(10):
            group.create_task(member(name))
    return " ".join(map(str, order))


def test_different_seeds_give_different_orders() -> None:
    orders = {run_virtual(order_of_ten, seed=seed) for seed in range(50)}
    assert len(orders) > 45


def test_the_same_seed_gives_the_same_order_again() -> None:
    for seed in range(20):
        assert run_virtual(order_of_ten, seed=seed) == run_virtual(order_of_ten, seed=seed)


@pytest.mark.parametrize("options", [{"seed": None}, {"seed": 5, "shuffle": False}])
def test_without_shuffling_it_is_first_in_first_out(options: dict[str, Any]) -> None:
    assert run_virtual(order_of_ten, **options) == "0 1 2 3 4 5 6 7 8 9"


async def overspent() -> bool:
    """Spend a budget of one, checked long before the other looks, yet not in one step."""
    left = 1

    async def spend(late: int) -> None:
        nonlocal left
        for _ in range(late):
            await asyncio.sleep(0)
        if left > 0:
            await asyncio.sleep(0)
            left -= 1

    async with asyncio.TaskGroup() as group:
        group.create_task(spend(0))
        group.create_task(spend(4))
    return left < 0


def test_a_check_then_act_race_is_found_by_some_seed_and_never_in_order() -> None:
    assert any(run_virtual(overspent, seed=seed) for seed in SEEDS)
    assert not any(run_virtual(overspent, seed=seed, shuffle=False) for seed in SEEDS)


def test_plain_callbacks_keep_their_order_and_no_step_overtakes_one() -> None:
    async def main() -> None:
        loop = virtual_loop()
        seen: list[object] = []

        async def step(future: asyncio.Future[Any], name: str) -> None:
            await future
            seen.append(name)

        futures = [loop.create_future() for _ in range(5)]
        async with asyncio.TaskGroup() as group:
            for number, future in enumerate(futures):
                group.create_task(step(future, f"early {number}"))
            await asyncio.sleep(1)
            for number, future in enumerate(futures):
                future.add_done_callback(lambda _, number=number: seen.append(number))
                group.create_task(step(future, f"late {number}"))
            await asyncio.sleep(1)
            for future in futures:
                future.set_result(None)
        assert [item for item in seen if isinstance(item, int)] == [0, 1, 2, 3, 4]
        for number in range(5):
            assert seen.index(f"late {number}") > seen.index(number)

    for seed in SEEDS:
        run_virtual(main, seed=seed)


def test_a_step_that_was_ready_first_comes_before_a_callback_or_late() -> None:
    async def main() -> str:
        seen: list[str] = []

        async def step() -> None:
            seen.append("step")

        async with asyncio.TaskGroup() as group:
            group.create_task(step())
            virtual_loop().call_soon(seen.append, "callback")
        return " ".join(seen)

    orders = {run_virtual(main, seed=seed) for seed in SEEDS}
    assert orders == {"step callback", "callback step"}


def test_tasks_and_futures_hash_by_number_and_equal_only_themselves() -> None:
    async def main() -> None:
        loop = virtual_loop()
        task, other = asyncio.ensure_future(asyncio.sleep(0)), loop.create_task(asyncio.sleep(0))
        future = loop.create_future()
        assert isinstance(task, VirtualTask)
        assert isinstance(other, VirtualTask)
        assert isinstance(future, VirtualFuture)
        assert hash(task) < hash(other) < hash(future)
        assert task == task
        assert task != other
        assert task.get_name() == f"Task-{task.number}"
        assert loop.create_task(asyncio.sleep(0), name="mine").get_name() == "mine"
        numbers.append(task.number)

    numbers: list[int] = []
    run_virtual(main)
    run_virtual(main)
    assert numbers[0] == numbers[1]


def test_the_trace_folds_lines_in_order_and_with_their_time() -> None:
    def digest(*lines: tuple[float, str]) -> str:
        loop = VirtualLoop(keep=True)
        for when, text in lines:
            loop.call_at(when, loop.trace, text)
        loop.call_at(9, loop.stop)
        loop.run_forever()
        loop.close()
        assert loop.lines == [f"{when!r} {text}" for when, text in lines]
        return loop.digest()

    same = digest((1.0, "a"), (2.0, "b"))
    assert same == digest((1.0, "a"), (2.0, "b"))
    assert len({same, digest((1.0, "b"), (2.0, "a")), digest((1.0, "a"), (2.5, "b"))}) == 3


# Time


def test_hours_pass_in_milliseconds() -> None:
    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            for agent in range(10):
                group.create_task(asyncio.sleep(3_600 * (agent + 1)))
        return virtual_loop().time()

    began = time.perf_counter()
    assert run_virtual(main, start=0.5) == 36_000.5
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("start", [0.0, 0.1, 1e9, 1.7e9 + 0.3])
def test_timers_fire_at_their_exact_deadline(start: float) -> None:
    async def main() -> None:
        loop = virtual_loop()
        expected = start
        for step in itertools.islice(itertools.cycle([0.1, 0.2, 0.7, 1e-3, 86_400.1]), 1_000):
            expected += step
            await asyncio.sleep(step)
            assert loop.time() == expected

    run_virtual(main, start=start)


def test_neighbouring_deadlines_are_told_apart() -> None:
    async def main() -> None:
        loop = virtual_loop()
        fired: list[tuple[float, float]] = []
        deadlines = [0.0, 5e-324, 1e-9, 1.0, math.nextafter(1.0, 2), 1.0 + 1e-9, 8.0, 1e15]
        for deadline in reversed(deadlines):
            loop.call_at(deadline, lambda when=deadline: fired.append((when, loop.time())))
        await asyncio.sleep(2e15)
        assert fired == [(deadline, deadline) for deadline in deadlines]

    run_virtual(main)


def test_many_cancelled_timers_break_nothing() -> None:
    async def main() -> None:
        loop = virtual_loop()
        fired: list[int] = []
        for _ in range(3):
            begin = loop.time()
            timers = [loop.call_at(begin + n, fired.append, n) for n in range(1, 1_001)]
            for timer in timers[::3] + timers[1::3]:
                timer.cancel()
            await asyncio.sleep(1_001)
            assert fired == list(range(3, 1_001, 3))
            fired.clear()

    for seed in (None, 1):
        run_virtual(main, seed=seed)


def test_time_limits_and_queues_work() -> None:
    async def main() -> None:
        loop = virtual_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await loop.create_future()
        assert loop.time() == 60
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)
        assert loop.time() == 90
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        putting = asyncio.gather(*(queue.put(n) for n in range(5)))
        assert sorted([await queue.get() for _ in range(5)]) == [0, 1, 2, 3, 4]
        await putting
        done, late = await asyncio.wait([asyncio.create_task(asyncio.sleep(9))], timeout=8)
        assert (done, len(late), loop.time()) == (set(), 1, 98)

    for seed in SEEDS:
        run_virtual(main, seed=seed)


# Failures


@pytest.mark.parametrize("seed", [None, 3])
def test_a_deadlock_is_reported_with_the_virtual_time_and_who_waits(seed: int | None) -> None:
    async def main() -> None:
        await asyncio.sleep(12.5)
        async with asyncio.TaskGroup() as group:
            for name in range(20):
                group.create_task(asyncio.Event().wait(), name=f"waiter {name}")

    with pytest.raises(Stalled, match=r"12\.5 s .*waiter 0 \(Event\.wait\).*more") as caught:
        run_virtual(main, seed=seed)
    assert caught.value.time == 12.5


def test_a_timer_at_infinity_does_not_count() -> None:
    with pytest.raises(Stalled):
        run_virtual(asyncio.sleep(math.inf))


@pytest.mark.parametrize("seed", [None, 3])
def test_spinning_is_reported_as_a_livelock(seed: int | None) -> None:
    async def main() -> None:
        await asyncio.sleep(7)
        for _ in itertools.repeat(None):
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="500 turns") as caught:
        run_virtual(main, seed=seed, max_turns=500)
    assert caught.value.time == 7


def test_turns_are_counted_anew_when_time_passes() -> None:
    async def main() -> None:
        for _ in range(20):
            for _ in range(50):
                await asyncio.sleep(0)
            await asyncio.sleep(1)

    run_virtual(main, seed=None, max_turns=100)


def test_the_first_failure_is_the_one_reported() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await virtual_loop().create_future()
            except asyncio.CancelledError:
                virtual_loop().trace("stays")

    async def main() -> None:
        kept.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(1)
        raise KeyError("first")

    kept: list[asyncio.Task[None]] = []
    with pytest.raises(KeyError, match="first") as caught:
        run_virtual(main)
    assert "nothing is ready" in caught.value.__notes__[0]
    silence(kept)


def silence(tasks: list[asyncio.Task[None]]) -> None:
    """End tasks that outlived their loop, so that their death is not reported."""
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        coro: Any = task.get_coro()
        coro.close()


def test_threads_are_refused() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="no threads"):
            await asyncio.to_thread(time.time)
        with pytest.raises(RuntimeError, match="no threads"):
            await virtual_loop().getaddrinfo("localhost", 80)

    run_virtual(main)


def test_another_task_factory_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="numbers its tasks"):
            asyncio.get_running_loop().set_task_factory(None)

    run_virtual(main)


@pytest.mark.parametrize(
    "options", [{"start": -1.0}, {"start": math.inf}, {"start": math.nan}, {"max_turns": 0}]
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        VirtualLoop(**options)


def test_only_a_virtual_loop_is_returned_as_one() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="virtual"):
            virtual_loop()

    asyncio.run(main())


# Beginning and end


def test_a_callback_from_elsewhere_runs_like_any_other() -> None:
    async def main() -> str:
        loop = virtual_loop()
        future = loop.create_future()
        loop.call_soon_threadsafe(future.set_result, "here")
        return str(await future)

    assert run_virtual(main) == "here"


def test_left_over_tasks_are_cancelled_oldest_first_and_generators_closed_in_order() -> None:
    async def left_over(name: int) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            seen.append(f"task {name}")

    async def ticks(name: int) -> AsyncIterator[int]:
        try:
            yield name
        finally:
            seen.append(f"generator {name}")

    async def main() -> float:
        for name in range(30):
            kept.append(asyncio.create_task(left_over(name)))
            generator = ticks(name)
            kept.append(generator)
            await anext(generator)
        await asyncio.sleep(2)
        return virtual_loop().time()

    seen: list[str] = []
    kept: list[object] = []
    assert run_virtual(main, seed=None) == 2
    expected = [f"task {name}" for name in range(30)] + [f"generator {name}" for name in range(30)]
    assert seen == expected


def test_a_left_over_task_that_fails_while_cancelled_is_reported() -> None:
    async def left_over() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            raise OSError("on the way out")

    async def main() -> None:
        virtual_loop().set_exception_handler(lambda _, context: reports.append(context))
        kept.append(asyncio.create_task(left_over()))
        await asyncio.sleep(1)

    reports: list[dict[str, Any]] = []
    kept: list[object] = []
    run_virtual(main)
    assert [str(report["exception"]) for report in reports] == ["on the way out"]


def test_it_serves_as_the_loop_of_an_asyncio_runner() -> None:
    async def main() -> float:
        kept.append(asyncio.create_task(asyncio.sleep(50)))
        await asyncio.sleep(5)
        return asyncio.get_running_loop().time()

    kept: list[object] = []
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(seed=2)) as runner:
        assert runner.run(main()) == 5
        assert runner.run(main()) == 10


def test_it_works_in_asyncio_debug_mode() -> None:
    with asyncio.Runner(debug=True, loop_factory=VirtualLoop) as runner:
        assert sorted(runner.run(order_of_ten()).split()) == list("0123456789")


def test_garbage_is_left_to_the_loop_and_the_setting_restored() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            collected.append(virtual_loop().turns)

    async def main() -> None:
        Cycle()
        assert not gc.isenabled()
        for _ in range(loop_module._TURNS_PER_COLLECTION):
            await asyncio.sleep(0)

    collected: list[int] = []
    run_virtual(main, seed=None)
    assert collected == [loop_module._TURNS_PER_COLLECTION]
    assert gc.isenabled()
