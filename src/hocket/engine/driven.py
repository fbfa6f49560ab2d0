"""A run under way in this process, as others see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.engine.audience import Observer
from hocket.engine.foresight import Foresight
from hocket.engine.recall import CACHE
from hocket.engine.runner import Runner
from hocket.limits.admission import Queue


class Run:
    """A run under way in this process.

    Leaving ``async with`` before its end stops it: calls in flight are cancelled, and the run can
    be resumed.
    """

    def __init__(self, runner: Runner, foresight: Foresight | None = None) -> None:
        self._runner = runner
        self._foresight = foresight
        self._task = asyncio.get_running_loop().create_task(self._drive())

    async def _drive(self) -> None:
        try:
            await self._runner.drive()
        finally:
            if self._foresight is not None:
                await self._foresight.close()

    @property
    def id(self) -> str:
        """The run's id."""
        return self._runner.machine.run

    @property
    def machine(self) -> RunMachine:
        """The run's state; only to be read."""
        return self._runner.machine

    @property
    def queued(self) -> list[Queue]:
        """How many calls wait, for what and until when."""
        queues = self._runner.line.desk.waiting(self._runner.line.room)
        queues += [Queue(cause, None, count) for cause, count in self.undone.items()]
        count = len(self._runner.departures.recall.waiting)
        return [*queues, Queue(CACHE, None, count)] if count else queues

    @property
    def undone(self) -> Mapping[str, int]:
        """What calls in flight wait for that nobody does yet, and how many."""
        return self._runner.departures.waiting

    def waits_of(self, call: Call) -> Queue | None:
        """Say what a call waits for and until when; None if it waits for no limit and no answer."""
        if call in self._runner.departures.recall.waiting:
            return Queue(CACHE, None, 1)
        return self._runner.line.desk.admission.waits_of(self._runner.line.room, call)

    @property
    def unshown(self) -> int:
        """The number of the last event that is not known to be on disk yet; 0 if all are."""
        return self._runner.audience.unshown

    def ask(self, request: AnyRequest) -> None:
        """Grant a request as if it had come through the inbox.

        Raises:
            Refused: It does not fit the run's present state.
            JournalError, OwnershipLost: Nothing more can be recorded.
        """
        self._runner.ask(request)

    def observe(self, observer: Observer) -> None:
        """Let somebody watch from now on."""
        self._runner.audience.admit([observer])

    def unobserve(self, observer: Observer) -> None:
        """Let somebody watch no more."""
        self._runner.audience.dismiss(observer)

    async def settled(self) -> RunMachine:
        """Wait until the run has ended, is paused and not waited for, or was stopped.

        What it has recorded until then is on disk.

        Raises:
            JournalError, OwnershipLost: Nothing more could be recorded.
        """
        await asyncio.shield(self._task)
        return self._runner.machine

    def leave(self) -> None:
        """Begin no more calls, and stop driving the run once those in flight have ended."""
        self._runner.halt(gently=True)

    async def stop(self) -> None:
        """Stop driving the run; what was in flight counts as lost and is taken up by a resume."""
        self._runner.halt()
        await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Give the run itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the run if it has not ended."""
        if not self._task.done():
            await self.stop()
