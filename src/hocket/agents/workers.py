"""Threads and processes that run plain functions beside the event loop.

The threads are daemons: one that hangs must not keep the program from ending, as an executor's do.
Each process serves one call at a time and no other knows it, so that killing it harms nobody else;
a ProcessPoolExecutor would fail every call in flight with the one that was cancelled or crashed.
"""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from hocket.agents.guard import guard
from hocket.agents.output import DETAIL, fault
from hocket.agents.process import describe_exit
from hocket.core.errors import AgentError

_MOMENT, _JOIN = 1.0, 5.0

Outcome = tuple[bool, Any]
"""Whether a function returned, and its value or else an `AgentError`."""


def invoke(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
    """Call a function and catch whatever it raises, also what would end the program."""
    try:
        return True, function(*args, **kwargs)
    except BaseException as error:
        return False, failure(error)


def failure(error: BaseException) -> AgentError:
    """Say what a function raised, with the end of its traceback.

    A `TypeError` that no code of the function's own raised means that the arguments do not fit it.
    """
    if isinstance(error, AgentError):
        return error
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    if trace is None and isinstance(error, TypeError):
        return fault("permanent", f"the arguments do not fit: {_text(error)}")
    lines = traceback.format_exception(type(error), error, trace)
    name = type(error).__name__
    text = _text(error)
    message = f"{name}: {text.splitlines()[0]}" if text.strip() else name
    return fault("failed", message, "".join(lines)[-DETAIL:])


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as inner:
        return f"(its message cannot be had: {type(inner).__name__})"


_OURS = {__file__, os.path.join(os.path.dirname(__file__), "function.py")}


# ---- threads ----


class Threads:
    """Daemon threads, as many as there are calls at once, kept for the next ones."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        """Run something in a thread, with the caller's context variables.

        Cancelled, it returns at once; the thread goes on to its end, and what it gives is dropped.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(ok: bool, value: Any) -> None:
            if not future.done():
                if ok:
                    future.set_result(value)
                else:
                    future.set_exception(value)

        def job() -> None:
            try:
                result = True, context.run(work)
            except BaseException as error:
                result = False, failure(error)
            try:
                loop.call_soon_threadsafe(settle, *result)
            except RuntimeError:
                # The loop is closed: whoever waited has gone.
                return

        self._jobs.put(job)
        if not self._idle.acquire(blocking=False):
            self._count += 1
            name = f"hocket-{self._name}-{self._count}"
            serve = (self._jobs, self._idle)
            threading.Thread(target=_serve_jobs, args=serve, name=name, daemon=True).start()
        return await future

    def close(self) -> None:
        """Let the threads end when they have nothing left to do; a later call gets new ones."""
        for _ in range(self._count):
            self._jobs.put(None)
        self._jobs, self._idle, self._count = queue.SimpleQueue(), threading.Semaphore(0), 0


def _serve_jobs(
    jobs: queue.SimpleQueue[Callable[[], None] | None], idle: threading.Semaphore
) -> None:
    while (job := jobs.get()) is not None:
        job()
        # What the job holds is not to live until the next one.
        del job
        idle.release()


# ---- processes ----


class Workers:
    """Processes for CPU work, each kept for the next call."""

    def __init__(self, name: str, keep: int) -> None:
        self._threads = Threads(name)
        self._keep = keep
        self._idle: list[Worker] = []

    async def run(self, job: bytes) -> Outcome:
        """Have a pickled ``(function, args, kwargs)`` done.

        Cancelled, it kills the process that does it, and all that this one has started.
        """
        worker = self._idle.pop() if self._idle else Worker()
        work = asyncio.ensure_future(self._threads.run(lambda: worker.do(job)))
        try:
            outcome: Outcome = await asyncio.shield(work)
        except asyncio.CancelledError:
            worker.kill()
            await asyncio.wait({work}, timeout=_JOIN)
            raise
        if worker.alive and len(self._idle) < self._keep:
            self._idle.append(worker)
        elif worker.alive:
            worker.kill()
            await self._threads.run(worker.reap)
        return outcome

    async def close(self) -> None:
        """End the processes."""
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()
        for worker in idle:
            await self._threads.run(worker.reap)
        self._threads.close()


class Worker:
    """One process, started with its first job."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection[bytes, bytes] | None = None
        self._lock = threading.Lock()
        self._doomed = False

    @property
    def alive(self) -> bool:
        """Whether it can take another job."""
        return self._process is not None and not self._doomed

    def do(self, job: bytes) -> Outcome:
        """Do a job and wait for it; runs in a thread."""
        with self._lock:
            if self._doomed:
                return False, fault("failed", "it was cancelled before it began")
            if self._process is None:
                self._start()
        assert self._pipe is not None
        try:
            self._pipe.send_bytes(job)
            reply = self._pipe.recv_bytes()
        except (EOFError, OSError):
            return False, self._death()
        try:
            ok, value = pickle.loads(reply)
        except Exception as error:
            return False, fault("permanent", f"what the function gave cannot be read: {error}")
        return ok, value if ok else AgentError(*value)

    def _start(self) -> None:
        # Spawned, not forked: a fork of a program with threads may deadlock.
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
        try:
            self._process.start()
        except BaseException:
            self._process = None
            self._pipe.close()
            raise
        finally:
            theirs.close()
        guard.add(self._process.pid)

    def _death(self) -> AgentError:
        self._doomed = True
        code = self.reap()
        return fault("failed", f"the worker process ended: {describe_exit(code)}")

    def kill(self) -> None:
        """Kill the process and what it has started."""
        with self._lock:
            self._doomed = True
            process = self._process
            if process is None or process.exitcode is not None:
                return
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                # It does not lead a group yet: it is still starting, and has started nothing.
                process.kill()

    def reap(self) -> int:
        """Wait until the killed or ended process is gone, and give its exit status."""
        with self._lock:
            process, self._process = self._process, None
        # Not under the lock: the loop takes it to kill, and must not wait here.
        if process is None:
            return -signal.SIGKILL
        code = _exit_code(process, _MOMENT)
        if code is None:
            # It lost its pipe, not its life: a job that closes all descriptors does that.
            process.kill()
            code = _exit_code(process, _JOIN)
        guard.remove(process.pid)
        if self._pipe is not None:
            self._pipe.close()
        return -signal.SIGKILL if code is None else code


def _exit_code(process: Any, seconds: float) -> int | None:
    # Not join(): that trusts a pipe of its own, and once this is closed it waits for ever.
    until = time.monotonic() + seconds
    while process.exitcode is None and time.monotonic() < until:
        time.sleep(0.002)
    code: int | None = process.exitcode
    return code


def _serve(pipe: Connection[bytes, bytes]) -> None:
    """Do jobs in the child until the parent is gone."""
    # A group of its own, so that killing it takes along what a job has started, and so that
    # Ctrl-C in the terminal is the parent's alone.
    os.setsid()
    while True:
        try:
            job = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        pipe.send_bytes(_reply(job))


def _reply(job: bytes) -> bytes:
    try:
        function, args, kwargs = pickle.loads(job)
    except BaseException as error:
        message = f"a worker process cannot import the function: {type(error).__name__}: {error}"
        return pickle.dumps((False, (fault("permanent", message).fault, None)))
    ok, value = invoke(function, args, kwargs)
    if not ok:
        return pickle.dumps((False, (value.fault, value.usage)))
    try:
        return pickle.dumps((True, value))
    except Exception as error:
        kind = type(value).__name__
        message = f"a value of type {kind} cannot leave a worker process: {error}"
        return pickle.dumps((False, (fault("permanent", message).fault, None)))
