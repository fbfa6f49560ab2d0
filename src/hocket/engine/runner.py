"""One run, driven: events into the machine and the journal, commands out to the agents.

Every change goes one way: an event is applied to the machine, appended to the journal, and what the
machine then asks for is carried out.
The machine may be ahead of the disk; what people are shown, and what has effects, never is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from hocket.agents.base import Agent, Request
from hocket.core.commands import CancelCall, Record, StartCall
from hocket.core.errors import (
    CallerError,
    Fault,
    FaultKind,
    JournalError,
    OwnershipLost,
    Refused,
)
from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallStarted,
    PauseRequested,
    Recorded,
    TimePassed,
)
from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.engine.audience import Audience, Observer
from hocket.engine.backlog import Backlog
from hocket.engine.claims import Claims
from hocket.engine.clock import EARLY, Alarm, Clock
from hocket.engine.crew import Crew
from hocket.engine.desk import Desk
from hocket.engine.flight import Files, Flight, Outcome
from hocket.engine.inbox import event_of
from hocket.engine.line import Line
from hocket.journal.base import Log, Posted, Taken
from hocket.journal.codec import encode
from hocket.limits.claim import Key, Quota, key_of, room_of
from hocket.limits.lobby import COMMIT, PAUSE, Admitted, Hopeless

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
        desk: Where calls wait for their limits.
        claims: What each call claims.
    """

    def __init__(
        self,
        machine: RunMachine,
        log: Log,
        clock: Clock,
        crew: Crew,
        files: Files,
        desk: Desk,
        claims: Claims,
    ) -> None:
        self.machine = machine
        self.failure: Exception | None = None
        """Why nothing more can be recorded."""
        self.halted = False
        """Whether the run is driven here no more."""
        self.flights: dict[Call, Flight] = {}
        room = room_of(machine.run, log.epoch)
        self.line = Line(room, machine, desk, claims, crew, clock)
        self._log = log
        self._clock = clock
        self._crew = crew
        self._files = files
        self._loop = asyncio.get_running_loop()
        self.audience = Audience(self._loop)
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

    def _write(
        self, event: AnyEvent, taken: Sequence[Taken] = (), claims: Sequence[Key] = ()
    ) -> None:
        self.audience.note(Recorded(self._log.append((event,), taken, claims), event))
        self._moved.set()

    def _follow(self) -> None:
        """Carry out commands until the machine has none, then see who may start."""
        if self._following or self.halted:
            return
        self._following = True
        try:
            while self.failure is None:
                self._hold()
                commands = self.machine.drain()
                if not commands and not self.line.desk.pump():
                    break
                for command in commands:
                    if type(command) is StartCall:
                        self.line.offer(command)
                    elif type(command) is CancelCall:
                        flight = self.flights.get(command.call)
                        if flight is not None:
                            flight.stop(command.reason, hard=command.hard)
                        else:
                            self.line.withdraw(command.call)
                    elif type(command) is Record:
                        self._note(msgspec.structs.replace(command.event, at=self.now()))
        finally:
            self._following = False
        self._alarm.set(self.machine.deadline())
        if self._at_rest():
            self._settled.set()
        elif not self.wait and self.machine.waits_for_people:
            self.record(PauseRequested(at=self.now(), by="--no-wait"))

    def _note(self, event: AnyEvent) -> None:
        """Take in and write what follows from other facts."""
        self.machine.apply(event)
        self._write(event)

    def _hold(self) -> None:
        """Let calls through only while the run goes on and the disk keeps up."""
        if not self.machine.admits:
            self.line.hold(PAUSE)
        else:
            self.line.hold(COMMIT if self._backlog.holds(self._log.seq) else "")

    def _at_rest(self) -> bool:
        machine = self.machine
        return machine.phase == "ended" or (machine.paused and not self.stay)

    def start(self, item: Admitted) -> bool:
        """Start a call that its limits have let through."""
        if self.failure is not None or self.halted:
            self.line.release(item.call)
            return False
        start = self.line.take(item)
        if start is None:
            return False
        job = self.machine.calls.jobs.get(item.call.path)
        if job is None or not job.awaits(item.call):
            # One admitted before it could not be made, and took the others along.
            self.line.release(item.call)
            return False
        try:
            self._start(start, item)
        except Exception as error:
            self._fail(error)
        # What follows is seen to here, unless the run is at it.
        self._follow()
        return True

    def _start(self, start: StartCall, item: Admitted) -> None:
        call, now = start.call, self.now()
        try:
            job, given = self.machine.request(call)
            agent = self._crew[start.agent]
        except Exception as error:
            self.line.release(call)
            known = isinstance(error, CallerError)
            what = "" if known else f"agent {start.agent!r} raised {type(error).__name__}: "
            fault = Fault(kind="permanent", message=f"{what}{error}"[:_MESSAGE])
            self._note(CallFailed(at=now, call=call, fault=fault))
            return
        request = Request(
            run=self.machine.run,
            call=call,
            agent=start.agent,
            input=given,
            output=job.output,
            options=job.options,
        )
        hedge_after = None
        if job.hedge is not None and not start.hedge and not start.effects:
            hedge_after = self.line.outlook.quantile(call.path, start.agent, job.hedge)
        started = CallStarted(
            at=now,
            call=call,
            agent=start.agent,
            waits=self.line.waits(start, item, now),
            reserved=self.line.reserved(item.claim),
            hedge_after=hedge_after,
            hedge=start.hedge,
        )
        self.machine.apply(started)
        self._write(started, claims=(item.key,) if item.shared else ())
        flight = Flight(
            request,
            self.audience.emit,
            self._files,
            on_sent=partial(self.line.sent, call),
            on_told=partial(self._told, call),
        )
        self.flights[call] = flight
        late = start.effects or self.line.claims.leaves_late(item.claim)
        flight.task = self._loop.create_task(self._fly(flight, agent, self._log.seq if late else 0))

    def exceeded(self, item: Hopeless) -> None:
        """A call would exceed what its run may spend, or can never fit: say so and act on it."""
        if self.failure is not None or self.halted or not self.machine.admits:
            return
        job = self.machine.calls.jobs.get(item.call.path)
        if job is None or not job.awaits(item.call):
            # Another one's failure took it along, and it is about to leave.
            return
        why = self.line.why(item)
        if item.on_exceed == "pause":
            self.record(PauseRequested(at=self.now(), by="", reason=why))
            return
        kind: FaultKind = "permanent" if item.on_exceed == "wait" else "over_budget"
        final = item.on_exceed != "fallback"
        fault = Fault(kind=kind, message=why, final=final)
        self.line.withdraw(item.call)
        self.record(CallFailed(at=self.now(), call=item.call, fault=fault))

    def fail(self, error: Exception) -> None:
        """The ledger of shared limits cannot be used: nothing may go on without it."""
        self._fail(error)

    def _told(self, call: Call, quotas: Sequence[Quota]) -> None:
        news = self.line.desk.quota(key_of(self.line.room, call), quotas)
        for event in self.line.told(news, self.now()):
            self.record(event)

    async def _fly(self, flight: Flight, agent: Agent, need: int) -> None:
        """Do a call; one that has effects or is counted not before its start is on disk."""
        call = flight.request.call
        outcome: Outcome | None = None
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
            # Without an outcome nobody knows what it has spent.
            news = self.line.settle(flight, outcome)
        if self.failure is None and outcome is not None:
            self._land(outcome, news)

    def _land(self, outcome: Outcome, news: Sequence[AnyEvent]) -> None:
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
            for event in news:
                self._note(event)
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
            self.line.close()
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
