"""One run, driven: events into the machine and the journal, commands out to the agents.

Every change goes one way: an event is applied to the machine, appended to the journal, and what the
machine then asks for is carried out.
The machine may be ahead of the disk; what people are shown, and what has effects, never is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from hocket.agents.base import Agent, Request
from hocket.core.commands import CancelCall, Record, StartCall
from hocket.core.errors import CallerError, Fault, JournalError, OwnershipLost, Refused
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
from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.engine.audience import Audience, Observer
from hocket.engine.backlog import Backlog
from hocket.engine.clock import EARLY, Alarm, Clock
from hocket.engine.crew import Crew
from hocket.engine.flight import Files, Flight, Outcome
from hocket.engine.inbox import event_of
from hocket.journal.base import Log, Posted, Taken
from hocket.journal.codec import encode
from hocket.limits.admission import COMMIT, PAUSE, Admission

__all__ = ["Observer", "Runner"]

_MESSAGE: Final = 500


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
        self.failure: Exception | None = None
        """Why nothing more can be recorded."""
        self.halted = False
        """Whether the run is driven here no more."""
        self.flights: dict[Call, Flight] = {}
        self.admission = Admission(capacities)
        self._log = log
        self._clock = clock
        self._crew = crew
        self._files = files
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self.audience = Audience(self._loop)
        self._starts: dict[Call, StartCall] = {}
        """The calls that wait for their limits."""
        self._following = False
        self._backlog = Backlog(log.seq)
        self._alarm = Alarm(self._loop, clock, self._woken)
        self._moved = asyncio.Event()
        self.stay = False
        """Whether a paused run is waited for, to go on in this process."""
        self.wait = True
        """Whether to wait for people; if not, the run is paused when only they are waited for."""
        self._settled = asyncio.Event()
        """Set when the run has ended or is paused, or when it has failed."""

    # -- for the outside --------------------------------------------------------------------

    async def drive(self) -> None:
        """Carry the run on until it has ended or is paused, and that is on disk, or is halted.

        Raises:
            JournalError, OwnershipLost: Nothing more can be recorded; calls were stopped.
            EngineBug: The machine cannot go on; what is on disk can be resumed.
        """
        self._log.watch(self._written, self._posted, self._fail)
        # What opened the run may be on disk since before anybody watched.
        self._moved.set()
        keeper = self._loop.create_task(self._keep())
        try:
            self._follow()
            while not self.halted and self.failure is None:
                await self._settled.wait()
                self._settled.clear()
                if self._at_rest():
                    seq = self._log.seq
                    try:
                        await self._log.durable(seq)
                    except (JournalError, OwnershipLost) as error:
                        self._fail(error)
                    if self._at_rest() and seq == self._log.seq:
                        break
        finally:
            self.halted = True
            await self._stop(keeper)
        # The journal may have failed while the run was being left, too.
        if self.failure is not None:
            raise self.failure

    def halt(self) -> None:
        """Have `drive` stop what is in flight and return; what was queued is still written."""
        self.halted = True
        self._settled.set()

    def ask(self, request: AnyRequest) -> None:
        """Take a request in that did not come through the inbox.

        Raises:
            Refused: It does not fit the run's present state; nothing has changed.
            JournalError, OwnershipLost: Nothing more can be recorded.
        """
        if self.failure is None:
            if self.halted:
                run = self.machine
                raise Refused(f"run {run.run} is {run.said} and is driven here no more; resume it")
            event = event_of(self.machine, request, self.now())
            try:
                encode(event)
            except JournalError as error:
                raise Refused(str(error)) from error
            self.record(event)
        if self.failure is not None:
            raise self.failure

    def record(self, event: AnyEvent, taken: Sequence[Taken] = ()) -> None:
        """Take an event in and carry out what follows; whatever else goes wrong stops the run.

        Raises:
            Refused: It does not fit the run's present state; nothing has changed.
        """
        try:
            self.machine.apply(event)
            self._write(event, taken)
            self._follow()
        except Refused:
            raise
        except Exception as error:
            self._fail(error)

    def now(self) -> int:
        """Give the instant for the next event."""
        return max(self._clock.now(), self.machine.at)

    # -- what follows from events -----------------------------------------------------------

    def _write(self, event: AnyEvent, taken: Sequence[Taken] = ()) -> None:
        self.audience.note(Recorded(self._log.append((event,), taken), event))
        self._moved.set()

    def _follow(self) -> None:
        """Carry out commands until the machine has none, then see who may start."""
        if self._following or self.halted:
            return
        self._following = True
        try:
            while self.failure is None:
                commands = self.machine.drain()
                if not commands and not self._start_admitted():
                    break
                for command in commands:
                    if type(command) is StartCall:
                        limits = self._limits[command.agent]
                        self._starts[command.call] = command
                        self.admission.offer(command.call, limits, command.ready)
                    elif type(command) is CancelCall:
                        if self.admission.withdraw(command.call):
                            del self._starts[command.call]
                        elif command.call in self.flights:
                            self.flights[command.call].stop(command.reason, hard=command.hard)
                    elif type(command) is Record:
                        event = msgspec.structs.replace(command.event, at=self.now())
                        self.machine.apply(event)
                        self._write(event)
        finally:
            self._following = False
        self._alarm.set(self.machine.deadline())
        if self._at_rest():
            self._settled.set()
        elif not self.wait and self.machine.waits_for_people:
            self.record(PauseRequested(at=self.now(), by="--no-wait"))

    def _at_rest(self) -> bool:
        machine = self.machine
        return machine.phase == "ended" or (machine.paused and not self.stay)

    def _start_admitted(self) -> bool:
        if not len(self.admission):
            return False
        now = self.now()
        if self._backlog.holds(self._log.seq, now):
            return False
        if since := self._backlog.waited(now):
            self.admission.admit(since, COMMIT)
        admitted = self.admission.admit(now, "" if self.machine.admits else PAUSE)
        for item in admitted:
            start = self._starts.pop(item.call)
            job = self.machine.calls.jobs.get(item.call.path)
            if job is not None and job.call == item.call:
                self._start(start, item.waits, now)
            else:
                # One admitted before it could not be made, and took the others along.
                self.admission.release(item.call)
        return bool(admitted)

    def _start(self, start: StartCall, waits: tuple[Wait, ...], now: int) -> None:
        call = start.call
        if start.asked < start.ready:
            waits = (Wait("backoff", start.asked, start.ready), *waits)
        try:
            job, given = self.machine.request(call)
            agent = self._crew[start.agent]
        except Exception as error:
            self.admission.release(call)
            known = isinstance(error, CallerError)
            what = "" if known else f"agent {start.agent!r} raised {type(error).__name__}: "
            fault = Fault(kind="permanent", message=f"{what}{error}"[:_MESSAGE])
            event = CallFailed(at=now, call=call, fault=fault)
            self.machine.apply(event)
            self._write(event)
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
        self._write(started)
        flight = Flight(request, self.audience.emit, self._files)
        self.flights[call] = flight
        need = self._log.seq if start.effects else 0
        flight.task = self._loop.create_task(self._fly(flight, agent, need))

    async def _fly(self, flight: Flight, agent: Agent, need: int) -> None:
        """Do a call; one with effects not before its start is on disk."""
        call = flight.request.call
        outcome: Outcome
        flight.begun = True
        try:
            if flight.reason:
                raise asyncio.CancelledError
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
            self._land(outcome)

    def _land(self, outcome: Outcome) -> None:
        """Record how a call ended: that has happened, whatever follows from it."""
        try:
            try:
                self._write(outcome)
            except JournalError as error:
                # What the agent gave cannot be written; if nothing can, this cannot either.
                message = f"what the agent gave cannot be recorded: {error}"[:_MESSAGE]
                fault = Fault(kind="permanent", message=message)
                outcome = CallFailed(at=outcome.at, call=outcome.call, fault=fault)
                self._write(outcome)
            self.machine.apply(outcome)
            self._follow()
        except Exception as error:
            self._fail(error)

    # -- time, people, the disk -------------------------------------------------------------

    def _woken(self) -> None:
        if self.failure is not None or self.halted:
            return
        due = self.machine.deadline()
        if due is not None and due <= self.now() + EARLY:
            self.record(TimePassed(at=max(due, self.now())))
        else:
            self._alarm.set(due)

    def _written(self, seq: int) -> None:
        """Take note of how far the disk is; calls that wait for it may start."""
        self.audience.show(seq)
        if self._backlog.written(seq):
            try:
                self._follow()
            except Exception as error:
                self._fail(error)

    def _posted(self, posts: Sequence[Posted]) -> None:
        for post in posts:
            if self.failure is not None or self.halted:
                # Without an answer it is told again to the next owner.
                return
            try:
                event = event_of(self.machine, post.request, self.now())
                self.record(event, (Taken(post.id),))
            except Refused as error:
                refusal = Taken(post.id, str(error))
                try:
                    self._log.append((), (refusal,))
                except (JournalError, OwnershipLost) as failure:
                    self._fail(failure)
            except Exception as error:
                self._fail(error)

    async def _keep(self) -> None:
        """Notice when the journal fails, also while nothing waits for it."""
        try:
            while True:
                await self._moved.wait()
                self._moved.clear()
                seq = self._log.seq
                await self._log.durable(seq)
                self.audience.show(seq)
        except (JournalError, OwnershipLost) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Stop everything: what cannot be recorded must not go on."""
        if self.failure is None:
            self.failure = error
            for flight in list(self.flights.values()):
                flight.stop("the journal failed", hard=isinstance(error, OwnershipLost))
        self._settled.set()

    async def _stop(self, keeper: asyncio.Task[None]) -> None:
        self._alarm.stop()
        keeper.cancel()
        tasks = [flight.task for flight in self.flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(keeper, *tasks, return_exceptions=True)
        finally:
            try:
                await self._crew.close()
            except Exception as error:
                # What the run gave stands all the same.
                message = f"run {self.machine.run}: an agent could not be closed"
                self._loop.call_exception_handler({"message": message, "exception": error})
            finally:
                await self._close()

    async def _close(self) -> None:
        seq = self._log.seq
        try:
            try:
                if self.failure is None:
                    # Closing alone does not tell whether all of it was written.
                    await self._log.durable(seq)
            finally:
                await self._log.close()
        except (JournalError, OwnershipLost) as error:
            self.failure = self.failure or error
        if self.failure is None:
            self.audience.show(seq)
