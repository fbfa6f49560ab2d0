"""Warm processes of coding agents, kept from call to call and shared by all runs of a process.

A call takes a place of one, and whoever comes while all are taken waits in line.
Whoever dies, hangs or has done enough is replaced; nothing that it had begun outlives it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from hocket.agents.output import fault
from hocket.agents.process import Launch
from hocket.agents.session_group import memory
from hocket.agents.session_job import Driver, Job, Made, Misunderstood
from hocket.agents.session_options import SessionOptions
from hocket.agents.session_pipe import Pipe
from hocket.agents.session_place import Place
from hocket.agents.session_pools import PoolState
from hocket.core.errors import AgentError

_AGAIN: Final = 300.0
"""Seconds until the warm protocol is tried again after it was not understood."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool's processes are.

    Fields:
        agent: The agent's name.
        options: Its options.
        processes: How many processes.
        turns: How many turns each does at once.
        warm: How they are started and talked to.
        once: The same for those that do one call and end; None if there are none.
        place: Whether a process works in one folder, made as new for each call; otherwise every
            call has a folder of its own.
        env: The environment.
        secrets: What must not be shown.
        state: The state folder.
        max_age: Seconds until a process is replaced.
        idle: Seconds without a call until it is ended.
        silence: Seconds without a word in a call until it counts as hung.
        grace: Seconds that a cancelled call may take to end.
    """

    agent: str
    options: SessionOptions
    processes: int
    turns: int
    warm: Made
    once: Made | None
    place: bool
    env: dict[str, str]
    secrets: tuple[str, ...]
    state: Path
    max_age: float
    idle: float
    silence: float
    grace: float


class Worker:
    """A process, and what it is doing."""

    def __init__(self, driver: Driver, place: Place | None, since: float, once: bool) -> None:
        self.driver = driver
        self.place = place
        self.since = since
        self.once = once
        self.jobs = 0
        self.busy = 0
        self.memory = 0
        self.rested = since
        self.tired = False
        """Whether it takes no more calls."""
        self.broken = False
        self.ended = False


class Pool:
    """The processes of one kind."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._size = order.processes * order.turns
        self._loop = asyncio.get_running_loop()
        self._workers: list[Worker] = []
        self._starting = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._exhausted = self._spawned = self._retired = self._failed = self._jobs = 0
        self._cold_until = 0.0
        self._cold: AgentError | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # ---- what it shows ----

    def state(self) -> PoolState:
        """Say how it stands."""
        return PoolState(
            agent=self.order.agent,
            size=self._size,
            busy=self._busy(),
            idle=sum(not worker.busy for worker in self._workers),
            waiting=len(self._line),
            exhausted=self._exhausted,
            spawned=self._spawned,
            retired=self._retired,
            failed=self._failed,
            jobs=self._jobs,
            memory=sum(worker.memory for worker in self._workers),
            warm=self._made()[1] is False,
        )

    def _busy(self) -> int:
        return sum(worker.busy for worker in self._workers) + self._starting

    def pids(self) -> list[int]:
        """Give the ids of its processes."""
        return [worker.driver.pipe.pid for worker in self._workers]

    # ---- a call ----

    async def lease(self) -> Worker:
        """Take a place of a process; wait in line while there is none.

        Raises:
            AgentError: None can be started.
        """
        while True:
            if self._closed:
                raise fault("unavailable", "the pool of sessions is closed")
            worker = self._free()
            if worker is not None:
                worker.busy += 1
            elif len(self._workers) + self._starting < self.order.processes:
                worker = await self._hire()
            if worker is None:
                await self._wait()
                continue
            if self._line and self._free() is not None:
                # There is room for more than one that waits.
                self._wake()
            return worker

    async def _wait(self) -> None:
        # Whoever waits for a process to start has found a place.
        self._exhausted += self._busy() + len(self._line) >= self._size
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._line:
                self._line.remove(turn)
            else:
                # It was woken already: the next one takes the place.
                self._wake()
            raise

    def _wake(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _free(self) -> Worker | None:
        """Give the fullest process that has a place, so that others can rest and be ended."""
        found: Worker | None = None
        for worker in tuple(self._workers):
            if worker.tired or worker.busy >= (1 if worker.once else self.order.turns):
                continue
            if not worker.driver.pipe.alive or self._has_done_enough(worker):
                worker.tired = True
                if not worker.busy:
                    self._end(worker, broken=not worker.driver.pipe.alive)
                continue
            if found is None or worker.busy > found.busy:
                found = worker
        return found

    def _has_done_enough(self, worker: Worker) -> bool:
        order = self.order
        return (
            worker.once * worker.jobs > 0
            or worker.jobs >= order.options.max_jobs
            or worker.memory > order.options.max_memory
            or self._loop.time() - worker.since > order.max_age
        )

    # ---- processes ----

    def _made(self) -> tuple[Made, bool]:
        order = self.order
        if order.options.one_shot == "always":
            return order.once or order.warm, True
        if order.once is not None and self._loop.time() < self._cold_until:
            return order.once, True
        return order.warm, False

    async def _hire(self) -> Worker:
        self._starting += 1
        try:
            worker = await self._start()
        except BaseException:
            self._failed += 1
            self._wake()
            raise
        finally:
            self._starting -= 1
        worker.busy += 1
        self._workers.append(worker)
        return worker

    async def _start(self) -> Worker:
        made, once = self._made()
        try:
            return await self._spawn(made, once)
        except Misunderstood as error:
            order = self.order
            if order.once is None or order.options.one_shot == "never":
                raise error.error from None
            self._cold, self._cold_until = error.error, self._loop.time() + _AGAIN
            return await self._spawn(order.once, True)

    async def _spawn(self, made: Made, once: bool) -> Worker:
        order = self.order
        place = Place(order.options, order.state) if order.place or once else None
        pipe: Pipe | None = None
        try:
            if place is not None:
                await place.make()
            else:
                await asyncio.to_thread(order.state.mkdir, parents=True, exist_ok=True)
            folder = place.path if place is not None else str(order.state)
            launch = Launch(
                argv=made.argv(order.options), env=order.env, cwd=folder, stdin=b"", grace=0
            )
            pipe = Pipe(launch, order.secrets)
            self._spawned += 1
            driver = made(order.options, pipe)
            await driver.open()
        except BaseException:
            if pipe is not None:
                pipe.close()
            if place is not None:
                await place.drop()
            raise
        return Worker(driver, place, self._loop.time(), once)

    def _end(self, worker: Worker, *, broken: bool) -> None:
        """End a process and take its folder away."""
        if worker.ended:
            return
        worker.ended = worker.tired = True
        self._failed += broken
        self._retired += not broken
        if worker in self._workers:
            self._workers.remove(worker)
        worker.driver.pipe.close()
        if worker.place is not None:
            self._later(worker.place.drop())
        self._wake()

    def give_back(self, worker: Worker) -> None:
        """Give a place back; who has done enough, or is broken, is ended."""
        worker.busy -= 1
        worker.rested = self._loop.time()
        if not worker.driver.pipe.alive:
            worker.broken |= not worker.once
            worker.tired = True
        if self._closed or self._has_done_enough(worker):
            worker.tired = True
        if not worker.tired:
            self._later(self._weigh(worker))
        elif not worker.busy:
            if worker.once and not worker.broken and not self._closed:
                self._later(self._see_off(worker))
            else:
                self._end(worker, broken=worker.broken)
        self._wake()
        self._sweep_later()

    async def _see_off(self, worker: Worker) -> None:
        """Let a process that has said all end by itself."""
        await asyncio.wait({worker.driver.pipe.gone}, timeout=self.order.grace)
        self._end(worker, broken=False)

    async def _weigh(self, worker: Worker) -> None:
        worker.memory = await asyncio.to_thread(memory, worker.driver.pipe.pid)
        if self._has_done_enough(worker):
            worker.tired = True
            if not worker.busy:
                self._end(worker, broken=False)

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for something that goes on also where the wait is cancelled."""
        await asyncio.shield(self._later(work))

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _sweep_later(self) -> None:
        if self._sweeping is None and self._workers and not self._closed:
            self._sweeping = self._loop.call_later(self.order.idle, self._sweep)

    def _sweep(self) -> None:
        """End those that had no call for long."""
        self._sweeping = None
        before = self._loop.time() - self.order.idle + 0.001
        for worker in tuple(self._workers):
            if not worker.busy and (worker.rested <= before or not worker.driver.pipe.alive):
                worker.tired = True
                self._end(worker, broken=not worker.driver.pipe.alive)
        self._sweep_later()

    def begin(self, worker: Worker, job: Job) -> None:
        """A call begins to be worked on."""
        worker.jobs += 1
        self._jobs += 1
        if worker.once and self.order.options.one_shot == "auto" and self._cold is not None:
            job.note(f"one process for this call: {self._cold.fault.message}")
        worker.driver.pipe.renew()
        job.hear()

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        while self._line:
            self._wake()
        for worker in tuple(self._workers):
            self._end(worker, broken=False)
        while self._tasks:
            await asyncio.wait(self._tasks)
