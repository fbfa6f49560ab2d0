"""One run, driven: events into the machine and the journal, commands out to the agents.

Every change goes one way: an event is applied to the machine, appended to the journal, and what the
machine then asks for is carried out.
The machine may be ahead of the disk; what people are shown, and what has effects, never is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from hocket.agents.base import Agent, Request
from hocket.core.commands import CancelCall, Record, StartCall
from hocket.core.errors import (
    ExprError,
    Fault,
    HocketError,
    JournalError,
    OwnershipLost,
    Refused,
    SpecError,
)
from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallStarted,
    PauseRequested,
    Recorded,
    TimePassed,
    Wait,
)
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.engine.clock import Clock
from hocket.engine.crew import Crew
from hocket.engine.flight import Files, Flight
from hocket.engine.inbox import event_of
from hocket.journal.base import Log, Posted, Taken
from hocket.limits.admission import Admission

_EARLY: Final = 1_000


class Observer(Protocol):
    """Whoever watches a run. It is called in the loop and must return at once."""

    def recorded(self, events: Sequence[Recorded]) -> None:
        """These events are on disk."""

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """A call in flight has said something."""


class Runner:
    """Drives one run until it has ended, is paused, or its journal fails.

    Args:
        machine: The run's machine, with its first events applied.
        log: The run's writing end, which holds those events.
        clock: What time it is.
        crew: The agents.
        files: Where calls keep files.
        limits: The limits that each agent's calls claim besides the run's own.
        capacities: How many calls each limit lets through at once.
    """

    def __init__(
        self,
        machine: RunMachine,
        log: Log,
        clock: Clock,
        crew: Crew,
        files: Files,
        limits: dict[str, tuple[str, ...]],
        capacities: dict[str, int],
    ) -> None:
        self.machine = machine
        self.observers: list[Observer] = []
        self.failure: HocketError | None = None
        self.flights: dict[Call, Flight] = {}
        self.admission = Admission(capacities)
        self._log = log
        self._clock = clock
        self._crew = crew
        self._files = files
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._backoffs: dict[Call, StartCall] = {}
        self.unshown: deque[Recorded] = deque()
        self._following = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._moved = asyncio.Event()
        self.stay = False
        """Whether a paused run is waited for, to go on in this process."""
        self.wait = True
        """Whether to wait for people; if not, the run is paused when only they are waited for."""
        self._settled = asyncio.Event()
        """Set when the run has ended or is paused, or when it has failed."""

    # -- for the outside --------------------------------------------------------------------

    async def drive(self) -> None:
        """Carry the run on until it has ended or is paused, and that is on disk.

        Raises:
            JournalError, OwnershipLost: Nothing more can be recorded; calls were stopped.
        """
        self._log.watch(lambda seq: None, self._posted)
        keeper = self._loop.create_task(self._keep())
        try:
            self._follow()
            while True:
                await self._settled.wait()
                self._settled.clear()
                if self.failure is not None:
                    raise self.failure
                if self._at_rest():
                    seq = self._log.seq
                    await self._log.durable(seq)
                    self._show(seq)
                    if self._at_rest() and seq == self._log.seq:
                        break
        finally:
            await self._stop(keeper)

    def record(self, event: AnyEvent, taken: Sequence[Taken] = ()) -> None:
        """Take an event in and carry out what follows.

        Raises:
            Refused: It does not fit the run's present state; nothing has changed.
        """
        self.machine.apply(event)
        self._append(event, taken)
        if not self._following:
            self._follow()

    def now(self) -> int:
        """Give the instant for the next event."""
        return max(self._clock.now(), self.machine.at)

    # -- what follows from events -----------------------------------------------------------

    def _append(self, event: AnyEvent, taken: Sequence[Taken] = ()) -> None:
        try:
            seq = self._log.append((event,), taken)
        except (JournalError, OwnershipLost) as error:
            self._fail(error)
            return
        if self.observers:
            self.unshown.append(Recorded(seq, event))
        self._moved.set()

    def _follow(self) -> None:
        """Carry out commands until the machine has none, then see who may start."""
        self._following = True
        try:
            while self.failure is None:
                commands = self.machine.drain()
                if not commands and not self._start_admitted():
                    break
                for command in commands:
                    if type(command) is StartCall:
                        limits = self._limits[command.agent]
                        self._backoffs[command.call] = command
                        self.admission.offer(command.call, limits, command.ready)
                    elif type(command) is CancelCall:
                        self._cancel(command)
                    elif type(command) is Record:
                        event = msgspec.structs.replace(command.event, at=self.now())
                        self.machine.apply(event)
                        self._append(event)
        finally:
            self._following = False
        self._arm()
        if self._at_rest():
            self._settled.set()
        elif not self.wait and self.machine.waits_for_people:
            self.record(PauseRequested(at=self.now(), by="--no-wait"))

    def _at_rest(self) -> bool:
        machine = self.machine
        return machine.phase == "ended" or (machine.paused and not self.stay)

    def _cancel(self, command: CancelCall) -> None:
        if self.admission.withdraw(command.call):
            del self._backoffs[command.call]
        elif command.call in self.flights:
            self.flights[command.call].stop(command.reason, hard=command.hard)

    def _start_admitted(self) -> bool:
        if not len(self.admission):
            return False
        now = self.now()
        admitted = self.admission.admit(now, paused=not self.machine.admits)
        for item in admitted:
            self._start(self._backoffs.pop(item.call), item.waits, now)
        return bool(admitted)

    def _start(self, start: StartCall, waits: tuple[Wait, ...], now: int) -> None:
        call = start.call
        if start.asked < start.ready:
            waits = (Wait("backoff", start.asked, start.ready), *waits)
        try:
            job, given = self.machine.request(call)
            agent = self._crew[start.agent]
        except (ExprError, SpecError) as error:
            self.admission.release(call)
            fault = Fault(kind="permanent", message=str(error))
            event = CallFailed(at=now, call=call, fault=fault)
            self.machine.apply(event)
            self._append(event)
            return
        request = Request(
            run=self.machine.run,
            call=call,
            agent=start.agent,
            input=given,
            output=job.output,
            options=job.options,
        )
        started = CallStarted(at=now, call=call, agent=start.agent, waits=waits)
        self.machine.apply(started)
        self._append(started)
        flight = Flight(request, self._emit, self._files)
        self.flights[call] = flight
        need = self._log.seq if start.effects else 0
        flight.task = self._loop.create_task(self._fly(flight, agent, need))

    async def _fly(self, flight: Flight, agent: Agent, need: int) -> None:
        """Do a call; one with effects not before its start is on disk."""
        call = flight.request.call
        outcome: AnyEvent
        try:
            if need:
                await self._log.durable(need)
            outcome = await flight.fly(agent, self.now)
        except asyncio.CancelledError:
            if not flight.reason:
                raise
            # It was stopped before it had left.
            outcome = CallCancelled(at=self.now(), call=call, reason=flight.reason)
        except (JournalError, OwnershipLost) as error:
            self._fail(error)
            return
        finally:
            del self.flights[call]
            self.admission.release(call)
        if self.failure is None:
            self.record(outcome)

    # -- time, people, the disk -------------------------------------------------------------

    def _arm(self) -> None:
        """See to it that the machine is woken at its deadline; an earlier waking does no harm."""
        due = self.machine.deadline()
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(self._clock.loop_time(due), self._woken)

    def _woken(self) -> None:
        self._timer = None
        if self.failure is not None:
            return
        due = self.machine.deadline()
        # A loop counts in floating point and may call a fraction of a microsecond early.
        if due is not None and due <= self.now() + _EARLY:
            self.record(TimePassed(at=max(due, self.now())))
        else:
            self._arm()

    def _posted(self, posts: Sequence[Posted]) -> None:
        for post in posts:
            if self.failure is not None:
                return
            try:
                self.record(event_of(post.request, self.now()), (Taken(post.id),))
            except Refused as error:
                self._log.append((), (Taken(post.id, str(error)),))

    def _emit(self, call: Call, stream: str, text: str) -> None:
        for observer in self.observers:
            observer.emitted(call, stream, text)

    async def _keep(self) -> None:
        """Show what is on disk, as it gets there, and notice when the journal fails."""
        try:
            while True:
                await self._moved.wait()
                self._moved.clear()
                seq = self._log.seq
                await self._log.durable(seq)
                self._show(seq)
        except (JournalError, OwnershipLost) as error:
            self._fail(error)

    def _show(self, seq: int) -> None:
        shown: list[Recorded] = []
        while self.unshown and self.unshown[0].seq <= seq:
            shown.append(self.unshown.popleft())
        if shown:
            for observer in self.observers:
                observer.recorded(shown)

    def _fail(self, error: HocketError) -> None:
        """Stop everything: what cannot be recorded must not go on."""
        if self.failure is None:
            self.failure = error
            for flight in list(self.flights.values()):
                flight.stop("the journal failed", hard=isinstance(error, OwnershipLost))
        self._settled.set()

    async def _stop(self, keeper: asyncio.Task[None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        keeper.cancel()
        tasks = [flight.task for flight in self.flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(keeper, *tasks, return_exceptions=True)
        await self._crew.close()
        try:
            await self._log.close()
        except (JournalError, OwnershipLost) as error:
            if self.failure is None:
                self.failure = error
                raise
