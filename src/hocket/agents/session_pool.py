"""Warm processes of coding agents, kept from call to call and shared by all runs of a process.

A call takes a place of one, and whoever comes while all are taken waits in line.
Whoever dies, hangs or has done enough is replaced; nothing that it had begun outlives it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from hocket.agents.output import fault
from hocket.agents.session_group import memory
from hocket.agents.session_job import Job
from hocket.agents.session_pools import PoolState
from hocket.agents.session_worker import Order, Starter, Worker


class Line:
    """Who waits, the first first."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait to be woken."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                # It was woken already: the next one takes the place.
                self.wake()
            raise

    def wake(self) -> None:
        """Wake the first who still waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class Pool:
    """The processes of one kind."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._size = order.processes * order.turns
        self._loop = asyncio.get_running_loop()
        self._workers: list[Worker] = []
        self._starting = 0
        self._starter = Starter(order)
        self._line = Line()
        self._exhausted = self._retired = self._failed = self._jobs = 0
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
            spawned=self._starter.spawned,
            retired=self._retired,
            failed=self._failed,
            jobs=self._jobs,
            memory=sum(worker.memory for worker in self._workers),
            warm=not self._starter.made()[1],
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
                # Whoever waits for a process to start has found a place.
                self._exhausted += self._busy() + len(self._line) >= self._size
                await self._line.wait()
                continue
            if len(self._line) and self._free() is not None:
                # There is room for more than one that waits.
                self._line.wake()
            return worker

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

    async def _hire(self) -> Worker:
        self._starting += 1
        try:
            worker = await self._starter.start()
        except BaseException:
            self._failed += 1
            self._line.wake()
            raise
        finally:
            self._starting -= 1
        worker.busy += 1
        self._workers.append(worker)
        return worker

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
        self._line.wake()

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
        self._line.wake()
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
        cold = self._starter.cold
        if worker.once and self.order.options.one_shot == "auto" and cold is not None:
            job.note(f"one process for this call: {cold.fault.message}")
        worker.driver.pipe.renew()
        job.hear()

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        while len(self._line):
            self._line.wake()
        for worker in tuple(self._workers):
            self._end(worker, broken=False)
        while self._tasks:
            await asyncio.wait(self._tasks)
