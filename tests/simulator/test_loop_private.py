"""The private names of asyncio that the deterministic loop relies on, each pinned."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import pytest

from hocket.simulator import loop as loop_module
from hocket.simulator.loop import PRIVATE, VirtualLoop


class Spy(VirtualLoop):
    """Counts the calls that asyncio makes to the methods that it leaves to a subclass."""

    def __init__(self) -> None:
        super().__init__(seed=None)
        self.calls: list[str] = []

    def _process_events(self, event_list: object) -> None:
        self.calls.append("_process_events")

    def _write_to_self(self) -> None:
        self.calls.append("_write_to_self")


def one_turn(loop: VirtualLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def pin_run_once(loop: Spy) -> bool:
    one_turn(loop)
    return loop.turns == 1 and hasattr(asyncio.BaseEventLoop, "_run_once")


def pin_ready(loop: Spy) -> bool:
    handle = loop.call_soon(print)
    return isinstance(loop._ready, deque) and list(loop._ready) == [handle]


def pin_scheduled(loop: Spy) -> bool:
    late, early = loop.call_at(2, print), loop.call_at(1, print)
    return loop._scheduled[0] is early and late in loop._scheduled


def pin_selector(loop: Spy) -> bool:
    loop.call_at(3, loop.stop)
    loop.run_forever()
    return loop.time() == 3


def pin_process_events(loop: Spy) -> bool:
    one_turn(loop)
    return loop.calls == ["_process_events"]


def pin_write_to_self(loop: Spy) -> bool:
    loop.call_soon_threadsafe(print)
    return loop.calls == ["_write_to_self"]


def pin_clock_resolution(loop: Spy) -> bool:
    fired: list[float] = []
    loop.call_at(0.5, lambda: fired.append(loop.time()))
    one_turn(loop)
    before = list(fired)
    loop._clock_resolution = 1.0
    one_turn(loop)
    return before == [] and fired == [0.0]


def pin_asyncgens(loop: Spy) -> bool:
    async def ticks() -> AsyncIterator[int]:
        yield 1

    async def main() -> bool:
        generators = [ticks() for _ in range(50)]
        for generator in generators:
            await anext(generator)
        kept = list(loop._asyncgens) == generators
        await loop.shutdown_asyncgens()
        return kept

    return loop.run_until_complete(main())


def pin_callback(loop: Spy) -> bool:
    return loop.call_soon(print)._callback is print  # type: ignore[attr-defined]


def pin_step(loop: Spy) -> bool:
    task = loop.create_task(asyncio.sleep(0))
    (handle,) = loop._ready
    loop.run_until_complete(task)
    not_a_step = loop.call_soon(task.cancel)
    return loop_module._is_step(handle) and not loop_module._is_step(not_a_step)


def pin_wakeup(loop: Spy) -> bool:
    async def main() -> bool:
        future = loop.create_future()

        async def waiter() -> None:
            await future

        task = asyncio.create_task(waiter())
        await asyncio.sleep(0)
        future.add_done_callback(print_nothing)
        future.set_result(None)
        woken, plain = loop._ready
        await task
        return loop_module._is_step(woken) and not loop_module._is_step(plain)

    return loop.run_until_complete(main())


def print_nothing(_: object) -> None:
    """Stand for any plain callback."""


PINS: dict[str, Callable[[Spy], bool]] = {
    "BaseEventLoop._run_once": pin_run_once,
    "BaseEventLoop._ready": pin_ready,
    "BaseEventLoop._scheduled": pin_scheduled,
    "BaseEventLoop._selector": pin_selector,
    "BaseEventLoop._process_events": pin_process_events,
    "BaseEventLoop._write_to_self": pin_write_to_self,
    "BaseEventLoop._clock_resolution": pin_clock_resolution,
    "BaseEventLoop._asyncgens": pin_asyncgens,
    "Handle._callback": pin_callback,
    "TaskStepMethWrapper": pin_step,
    "task_wakeup": pin_wakeup,
}


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_name_is_still_what_the_loop_takes_it_for(name: str) -> None:
    loop = Spy()
    try:
        assert PINS[name](loop)
    finally:
        loop.close()


def test_every_private_name_is_pinned() -> None:
    assert PINS.keys() == PRIVATE.keys()
