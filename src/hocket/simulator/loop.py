"""A deterministic asyncio loop: the real engine shell runs on it in virtual time.

It exists so that a test can run the engine itself, hours of its time in milliseconds of ours,
and get the same order of steps from the same seed in every process.
It must never wait, read a clock, start a thread, open a socket, or let an address in memory
decide an order.

Virtual time alone is not determinism.
``asyncio.TaskGroup``, ``asyncio.wait`` and ``all_tasks`` keep tasks in sets hashed by address,
so tasks and futures of this loop hash by the number of their creation.

Interleavings come from a seed: in each turn the ready steps of tasks are shuffled, and some of
them are held back to later turns.
Shuffling within a turn alone finds no races: a check-then-act race needs a step that comes late.
Plain callbacks keep their order, because asyncio promises it, and no step overtakes a callback
that was ready before it.

What this loop cannot make equal: futures built without the loop (``asyncio.Future()``, the
result of ``gather``) still hash by address, and code that asks ``time`` instead of the loop sees
the real clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import math
import random
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, NoReturn, TypeVar, TypeVarTuple, cast

from hocket.core.errors import HocketError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PRIVATE: Final = {
    "BaseEventLoop._run_once": "one turn; wrapped to reorder what is ready and to count turns",
    "BaseEventLoop._ready": "the queue of ready handles that is reordered",
    "BaseEventLoop._scheduled": "the heap of timers; asyncio replaces it at times, so never kept",
    "BaseEventLoop._selector": "asked in each turn to wait; here it moves the time instead",
    "BaseEventLoop._process_events": "given what the selector found, which is always nothing",
    "BaseEventLoop._write_to_self": "wakes a waiting selector; there is none",
    "BaseEventLoop._clock_resolution": "timers before now + this are fired; kept at one float step",
    "BaseEventLoop._asyncgens": "closed in this order at the end; asyncio orders by address",
    "Handle._callback": "tells the step of a task from a plain callback",
    "TaskStepMethWrapper": "type of the callback that runs a task's next step",
    "task_wakeup": "name of the callback that runs a task after what it awaited",
}
"""Every private name of asyncio that this loop relies on, and why.

A test pins each of them, so that a new Python that changes one is noticed there first.
"""

_STEP_TYPES: Final = frozenset({"TaskStepMethWrapper"})
_STEP_NAMES: Final = frozenset({"task_wakeup"})

_TURNS_PER_COLLECTION: Final = 16_384
_TASKS_SHOWN: Final = 8
_OVERTAKEN: Final = 0.5

DEFAULT_MAX_TURNS: Final = 100_000
"""Turns at one and the same instant after which the loop calls it a livelock."""


class SimulationStopped(HocketError):
    """The virtual loop cannot go on; the base of `Stalled` and `Livelock`.

    Attributes:
        time: The virtual time at which it stopped, in seconds.
    """

    def __init__(self, message: str, time: float) -> None:
        self.time = time
        super().__init__(message)


class Stalled(SimulationStopped):
    """Nothing is ready and no timer is set: what still waits would wait for ever."""


class Livelock(SimulationStopped):
    """The loop turned too often without time passing: something spins."""


class VirtualTask(asyncio.Task[T]):
    """A task that hashes by the number of its creation; it still equals only itself."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        number: int,
        name: str | None = None,
        **options: Any,
    ) -> None:
        # First, because asyncio puts the task into a set while it is being built.
        self.number = number
        # asyncio's own name counts all tasks of the process, so it would differ between equal runs.
        super().__init__(coro, name=name or f"Task-{number}", **options)

    def __hash__(self) -> int:
        """Return the number of its creation on its loop."""
        return self.number

    def set_name(self, value: object, /) -> None:
        """Name the task; None keeps its name, since Python 3.13 passes on a missing one."""
        if value is not None:
            super().set_name(value)


class VirtualFuture(asyncio.Future[T]):
    """A future that hashes by the number of its creation; it still equals only itself."""

    number: int = 0

    def __hash__(self) -> int:
        """Return the number of its creation on its loop."""
        return self.number


class _InOrder(weakref.WeakKeyDictionary[Any, None]):
    """A weak set that iterates in the order of insertion."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


class _Jump:
    """Stands where a loop has its selector: instead of waiting it moves the time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> tuple[()]:
        """Jump to the earliest deadline if nothing is ready.

        Raises:
            Stalled: Nothing is ready and no timer will ever fire.
        """
        if timeout is None or timeout > 0:
            self._loop._jump()
        return ()


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is virtual and whose order depends on its seed alone.

    It fits ``asyncio.Runner(loop_factory=VirtualLoop)``; `run_virtual` does a little more.

    Args:
        seed: Chooses the interleaving; None means first in, first out.
        shuffle: False means first in, first out, whatever the seed.
        start: The virtual time at the beginning, in seconds, 0 or more.
        max_turns: Turns without time passing after which `Livelock` is raised.
        keep: Keep the traced lines in `lines`, to compare two runs that differ.

    Attributes:
        lines: The traced lines, if ``keep`` was asked for.
        turns: How many turns the loop has made.

    Raises:
        ValueError: ``start`` is negative or not finite, or ``max_turns`` is below 1.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(
        self,
        *,
        seed: int | None = 0,
        shuffle: bool = True,
        start: float = 0.0,
        max_turns: int = DEFAULT_MAX_TURNS,
        keep: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= start < math.inf or max_turns < 1:
            # Else its destructor would complain.
            self.close()
            raise ValueError(
                f"start must be finite and not negative, and max_turns at least 1, not {start!r}"
                f" and {max_turns!r}"
            )
        self.turns = 0
        self.lines: list[str] = []
        self._keep = keep
        self._draw = None if seed is None or not shuffle else random.Random(seed).random
        self._max_turns = max_turns
        self._turns_here = 0
        self._created = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self._selector = _Jump(self)
        self._asyncgens = _InOrder()
        self._set_time(float(start))
        super().set_task_factory(cast(Any, self._new_task))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def trace(self, text: str) -> None:
        """Fold one observable line, with the virtual time, into the digest of the run."""
        line = f"{self._now!r} {text}"
        self._trace.update(line.encode() + b"\n")
        if self._keep:
            self.lines.append(line)

    def digest(self) -> str:
        """Return the digest of all lines traced so far, in hexadecimal."""
        return self._trace.hexdigest()

    def create_future(self) -> asyncio.Future[Any]:
        """Create a future that hashes by its number."""
        future: VirtualFuture[Any] = VirtualFuture(loop=self)
        future.number = self._next_number()
        return future

    def set_task_factory(self, factory: object) -> NoReturn:
        """Refuse: tasks that are not numbered would make runs differ.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"the virtual loop numbers its tasks itself; do not set {factory!r}")

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> NoReturn:
        """Refuse: no seed decides when a thread is done.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            f"no threads under virtual time: give the code an in-memory port for {func!r}"
        )

    def _new_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], **options: Any
    ) -> VirtualTask[T]:
        return VirtualTask(coro, loop=loop, number=self._next_number(), **options)

    def _next_number(self) -> int:
        self._created += 1
        return self._created

    def _set_time(self, now: float) -> None:
        self._now = now
        # One float step: with 0 a timer would never fire, with more it would fire early.
        self._clock_resolution = math.ulp(now)
        self._turns_here = 0

    def _jump(self) -> None:
        """Move the time to the earliest deadline itself: adding a difference would drift."""
        if not self._scheduled or not self._scheduled[0].when() < math.inf:
            raise Stalled(
                f"nothing is ready and no timer is set at {self._now!r} s of virtual time;"
                f" waiting: {self._waiting()}",
                self._now,
            )
        self._set_time(self._scheduled[0].when())

    def _run_once(self) -> None:
        """Make one turn: reorder what is ready, run it, put back what was held.

        Raises:
            Stalled: Nothing is ready and no timer will ever fire.
            Livelock: The time has not moved for ``max_turns`` turns.
        """
        self.turns += 1
        self._turns_here += 1
        if self._turns_here > self._max_turns:
            self._turns_here = 0
            raise Livelock(
                f"{self._max_turns:,} turns without time passing at {self._now!r} s of virtual"
                f" time: something spins, or max_turns is too small; alive: {self._waiting()}",
                self._now,
            )
        if self.turns % _TURNS_PER_COLLECTION == 0 and not gc.isenabled():
            gc.collect()
        held: list[asyncio.Handle] = []
        if self._draw is not None and len(self._ready) > 1:
            held = self._hold_back(self._draw)
        try:
            super()._run_once()  # type: ignore[misc]
        finally:
            self._ready.extend(held)

    def _hold_back(self, draw: Callable[[], float]) -> list[asyncio.Handle]:
        """Reorder the ready queue and return the steps taken out of it for this turn.

        Only ``draw`` is asked, since the rest of ``random`` may change between versions of Python.
        """
        order: list[asyncio.Handle] = []
        steps: list[asyncio.Handle] = []
        for handle in self._ready:
            if _is_step(handle):
                steps.append(handle)
                continue
            while steps and draw() < _OVERTAKEN:
                order.append(steps.pop(int(draw() * len(steps))))
            order.append(handle)
        steps.sort(key=lambda _: draw())
        # Something must run in each turn, else the loop would take it for idle and move the time.
        least = 0 if order else 1
        cut = least + int(draw() * (len(steps) - least + 1))
        # Cleared and refilled, because asyncio's own code may hold on to the queue itself.
        self._ready.clear()
        self._ready.extend(order)
        self._ready.extend(steps[:cut])
        return steps[cut:]

    def _process_events(self, event_list: object) -> None:
        """Do nothing: the selector never finds anything."""

    def _write_to_self(self) -> None:
        """Do nothing: nobody sleeps who would have to be woken."""

    def _waiting(self) -> str:
        """Name the tasks that are not done, oldest first."""
        tasks = pending_tasks(self)
        names = [f"{task.get_name()} ({_coroutine_name(task)})" for task in tasks]
        more = [f"and {len(names) - _TASKS_SHOWN} more"] if len(names) > _TASKS_SHOWN else []
        return ", ".join(names[:_TASKS_SHOWN] + more) or "no task"


def run_virtual(
    main: Callable[[], Awaitable[T]] | Coroutine[Any, Any, T],
    *,
    seed: int | None = 0,
    shuffle: bool = True,
    start: float = 0.0,
    max_turns: int = DEFAULT_MAX_TURNS,
) -> T:
    """Run ``main`` to its end in virtual time, as ``asyncio.run`` does in real time.

    Tasks that are left over are cancelled, oldest first.
    While it runs, cyclic garbage is collected at fixed turns only.
    A collection at any other time could close an abandoned async generator, and so change the
    order of the run at a moment that depends on the heap.

    Args:
        main: A coroutine, or a function that returns something to await.
        seed: Chooses the interleaving; None means first in, first out.
        shuffle: False means first in, first out, whatever the seed.
        start: The virtual time at the beginning, in seconds.
        max_turns: Turns without time passing after which `Livelock` is raised.

    Raises:
        Stalled: Everything waits and no timer is set.
        Livelock: Something spins without time passing.
        Exception: Whatever ``main`` raises.
    """

    async def call() -> T:
        return await (main() if callable(main) else main)

    loop = VirtualLoop(seed=seed, shuffle=shuffle, start=start, max_turns=max_turns)
    try:
        with _collected_by_turns():
            try:
                result = loop.run_until_complete(call())
            except BaseException as error:
                try:
                    _finish(loop)
                except SimulationStopped as second:
                    # The first failure is the one to look at.
                    error.add_note(f"then, while the left-over tasks were cancelled: {second}")
                raise
            _finish(loop)
            return result
    finally:
        loop.close()


def virtual_loop() -> VirtualLoop:
    """Return the running loop, to trace lines and to ask for the digest.

    Raises:
        RuntimeError: No loop runs, or it is not a virtual one.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError(f"this needs a virtual loop, but {loop!r} is running")
    return loop


def pending_tasks(loop: VirtualLoop) -> list[asyncio.Task[Any]]:
    """Return the tasks of a loop that are not done, oldest first."""
    # Sorted, because asyncio walks a set whose size depends on what the process ran before.
    return sorted(asyncio.all_tasks(loop), key=hash)


def _finish(loop: VirtualLoop) -> None:
    """Cancel what is left, report what fails on the way, close the async generators."""
    left = pending_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {
                    "message": "a task failed while it was cancelled at the end",
                    "exception": error,
                    "task": task,
                }
            )
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())


@contextlib.contextmanager
def _collected_by_turns() -> Iterator[None]:
    """Leave garbage collection to the loop's count of turns."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _is_step(handle: asyncio.Handle) -> bool:
    """Tell the next step of a task from a plain callback, be it ``task.cancel``."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    return type(callback).__name__ in _STEP_TYPES or (
        getattr(callback, "__name__", None) in _STEP_NAMES
        and isinstance(getattr(callback, "__self__", None), asyncio.Task)
    )


def _coroutine_name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")
