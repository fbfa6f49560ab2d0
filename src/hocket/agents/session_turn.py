"""One turn of a process: watched for signs of life, and ended when it is cancelled."""

from __future__ import annotations

import asyncio
from typing import Final

from hocket.agents.output import fault
from hocket.agents.session_job import Answer, Job
from hocket.agents.session_pool import Pool
from hocket.agents.session_worker import Worker
from hocket.core.events import Usage

_SLICE: Final = 0.1


async def run_turn(pool: Pool, worker: Worker, job: Job) -> Answer:
    """Have a call done in a fresh session.

    Raises:
        AgentError: It failed.
        asyncio.CancelledError: It was cancelled, and nothing works on it any more.
    """
    pool.begin(worker, job)
    turn = asyncio.create_task(worker.driver.turn(job))
    try:
        await _watch(turn, worker, job, pool.order.silence)
    except BaseException:
        await _stop(turn, worker, job, pool.order.grace)
        raise
    return turn.result()


async def _watch(turn: asyncio.Task[Answer], worker: Worker, job: Job, silence: float) -> None:
    """Wait for a turn while it gives signs of life."""
    while not turn.done():
        left = job.heard + silence - job.loop.time()
        if job.asking:
            # A person takes the time that a person takes.
            left = silence
        if left <= 0:
            pipe = worker.driver.pipe
            said = f"{pipe.name} said nothing for {silence:g} s"
            error = fault("timeout", said, pipe.error_text())
            error.usage = None if job.spent == Usage() else job.spent
            raise error
        await asyncio.wait({turn}, timeout=left)


async def _stop(turn: asyncio.Task[Answer], worker: Worker, job: Job, grace: float) -> None:
    """End a turn: politely if there is time, then with its process."""
    if not turn.done() and not job.context.hard:
        worker.driver.interrupt(job)
        await _patiently(turn, job, grace)
    if not turn.done():
        worker.tired = worker.broken = True
        worker.driver.pipe.kill()
        turn.cancel()
    while not turn.done():
        try:
            await asyncio.wait({turn})
        except asyncio.CancelledError:
            # It is already being ended as fast as can be, and the caller raises the first one.
            continue
    if not turn.cancelled():
        # How a turn ends that nobody wants is of no interest.
        turn.exception()


async def _patiently(turn: asyncio.Task[Answer], job: Job, grace: float) -> None:
    until = job.loop.time() + grace
    while not turn.done() and not job.context.hard:
        left = until - job.loop.time()
        if left <= 0:
            return
        try:
            # In slices, because patience may be withdrawn meanwhile.
            await asyncio.wait({turn}, timeout=min(left, _SLICE))
        except asyncio.CancelledError:
            return
