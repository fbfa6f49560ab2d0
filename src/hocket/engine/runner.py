"""One run, driven: events into the machine and the journal, commands out to the agents.

Every change goes one way: an event is applied to the machine, appended to the journal, and what the
machine then asks for is carried out.
The machine may be ahead of the disk; what people are shown, and what has effects, never is.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import Final

import msgspec

from hocket.core.commands import CancelCall, Record, StartCall
from hocket.core.errors import (
    Fault,
    JournalError,
    OwnershipLost,
    Refused,
)
from hocket.core.events import (
    AnyEvent,
    CallFailed,
    LimitChanged,
    PauseRequested,
    Recorded,
    TimePassed,
)
from hocket.core.requests import AnyRequest
from hocket.core.run import RunMachine
from hocket.engine.audience import Audience, Observer
from hocket.engine.backlog import Backlog
from hocket.engine.claims import Claims
from hocket.engine.clock import EARLY, Alarm, Clock
from hocket.engine.crew import Crew
from hocket.engine.departures import Departures
from hocket.engine.desk import Desk
from hocket.engine.flight import Files, Outcome
from hocket.engine.inbox import event_of, event_of_post, first_due
from hocket.engine.line import Line
from hocket.engine.memo import Memo
from hocket.journal.base import Answered, Log, Posted, Taken
from hocket.journal.codec import encode
from hocket.limits.admission import COMMIT, PAUSE
from hocket.limits.claim import Key, room_of

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
        memo: What the runs of this process know of each other's questions.
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
        memo: Memo,
    ) -> None:
        self.machine = machine
        self.failure: Exception | None = None
        """Why nothing more can be recorded."""
        self.halted = False
        """Whether the run is driven here no more."""
        room = room_of(machine.run, log.epoch)
        self.line = Line(room, machine, desk, claims, crew, clock)
        self._log = log
        self._clock = clock
        self._crew = crew
        self._loop = asyncio.get_running_loop()
        self.audience = Audience(self._loop)
        # Parts must not keep the whole: a run that has ended goes at once, with all it held.
        me = weakref.proxy(self)
        self.departures = Departures(me, self.line, log, crew, files, self.audience, memo)
        self._following = False
        self._backlog = Backlog(log.seq)
        self._alarm = Alarm(self._loop, clock, self._woken)
        self._moved = asyncio.Event()
        self.stay = False
        """Whether a paused run is waited for, to go on in this process."""
        self.wait = True
        """Whether to wait for people; if not, the run is paused when only they are waited for."""
        self.taken: frozenset[int] = frozenset()
        """What was posted and was taken in with the run, if it was taken over."""
        self._heard = False
        """Whether what people have asked for until now is known and done."""
        self._heard_at = 0
        """Until which instant what was posted is known."""
        self._listens_at: int | None = None
        """The instant at which the inbox was asked for, as long as it has not come."""
        self._leaving = False
        """Whether no more calls begin here, and the run is left once none is in flight."""
        self._settled = asyncio.Event()
        """Set when the run has ended or is paused, or when it has failed."""

    # -- for the outside --------------------------------------------------------------------

    async def drive(self) -> None:
        """Carry the run on until it has ended or is paused, and that is on disk, or is halted.

        Raises:
            JournalError, OwnershipLost: Nothing more can be recorded; calls were stopped.
            EngineBug: The machine cannot go on; what is on disk can be resumed.
        """
        self._log.watch(self._written, self._posted, self.fail)
        # What opened the run may be on disk since before anybody watched.
        self._moved.set()
        keeper = self._loop.create_task(self._keep())
        try:
            self.follow()
            self._crew.prepare()
            while not self.halted and self.failure is None:
                await self._settled.wait()
                self._settled.clear()
                if self._at_rest():
                    seq = self._log.seq
                    try:
                        await self._log.durable(seq)
                    except (JournalError, OwnershipLost) as error:
                        self.fail(error)
                    if self._at_rest() and seq == self._log.seq:
                        break
        finally:
            self.halted = True
            await self._stop(keeper)
        # The journal may have failed while the run was being left, too.
        if self.failure is not None:
            raise self.failure

    def halt(self, *, gently: bool = False) -> None:
        """Have `drive` stop what is in flight and return; what was queued is still written.

        Args:
            gently: Begin no more calls, but let those in flight end first.
        """
        self._leaving = True
        self.halted = self.halted or not (gently and self.departures.flights)
        self._settled.set()
        try:
            self.follow()
        except Exception as error:
            self.fail(error)

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
            self.follow()
        except Refused:
            raise
        except Exception as error:
            self.fail(error)

    @property
    def over(self) -> bool:
        """Whether nothing more is to begin here."""
        return self.failure is not None or self.halted

    def now(self) -> int:
        """Give the instant for the next event."""
        return max(self._clock.now(), self.machine.at)

    # -- what follows from events -----------------------------------------------------------

    def _write(
        self,
        event: AnyEvent,
        taken: Sequence[Taken] = (),
        claims: Sequence[Key] = (),
        kept: Sequence[Answered] = (),
    ) -> None:
        self.audience.note(Recorded(self._log.append((event,), taken, claims, kept), event))
        self._moved.set()

    def follow(self) -> None:
        """Carry out commands until the machine has none, then see who may start."""
        if self._following or self.halted:
            return
        self._following = True
        try:
            while self.failure is None:
                self._hold()
                commands = self.machine.drain()
                if not commands:
                    # Starting calls rarely brings about more: one that could not be made does.
                    self.line.desk.pump()
                    commands = self.machine.drain()
                if not commands:
                    break
                for command in commands:
                    if type(command) is StartCall:
                        self.departures.offer(command)
                    elif type(command) is CancelCall:
                        self.departures.stop(command.call, command.reason, hard=command.hard)
                    elif type(command) is Record:
                        self.note(msgspec.structs.replace(command.event, at=self.now()))
        finally:
            self._following = False
        self.departures.asks.follow()
        self._alarm.set(self.machine.deadline())
        if self._leaving and not self.departures.flights:
            self.halt()
        if self._at_rest():
            self._settled.set()
        elif not self.wait and self._heard and self.machine.waits_for_people:
            self.record(PauseRequested(at=self.now(), by="--no-wait"))

    def note(self, event: AnyEvent, claims: Sequence[Key] = ()) -> None:
        """Take in and write what follows from other facts."""
        self.machine.apply(event)
        self._write(event, claims=claims)

    def _hold(self) -> None:
        """Let calls through only while the run goes on and the disk keeps up."""
        admits = self.machine.admits and not self._leaving
        if not admits:
            self.line.hold(PAUSE)
        else:
            self.line.hold(COMMIT if self._backlog.holds(self._log.seq, self.now()) else "")
        self.departures.recall.hold(not admits)
        if self._leaving or self.machine.phase == "pausing":
            self.departures.take_back()

    def _at_rest(self) -> bool:
        machine = self.machine
        return machine.phase == "ended" or (machine.paused and not self.stay)

    def land(
        self, outcome: Outcome, news: Sequence[LimitChanged], kept: Sequence[Answered]
    ) -> bool:
        """Record how a call ended: that has happened, whatever follows from it.

        Tells whether it could be recorded, and with it what is kept.
        """
        if self.failure is not None:
            return False
        recorded = True
        try:
            try:
                self._write(outcome, kept=kept)
            except JournalError as error:
                # What the agent gave cannot be written; if nothing can, this cannot either.
                message = f"what the agent gave cannot be recorded: {error}"[:_MESSAGE]
                fault = Fault(kind="permanent", message=message)
                outcome = CallFailed(at=outcome.at, call=outcome.call, fault=fault)
                self._write(outcome)
                recorded = False
            self.machine.apply(outcome)
            for event in news:
                self.note(event)
            if any(event.what == "tripped" for event in news):
                for call, down in self.line.stranded():
                    self.departures.divert(call, down)
            self.follow()
        except Exception as error:
            self.fail(error)
        return recorded and self.failure is None

    # -- time, people, the disk -------------------------------------------------------------

    def _woken(self) -> None:
        if self.failure is not None or self.halted:
            return
        due = self.machine.deadline()
        if due is None or due > self.now() + EARLY:
            self._alarm.set(due)
            return
        at = max(due, self.now())
        asked = first_due(self.machine, at)
        if asked is not None and self._heard_at < asked:
            # Somebody may have answered in time, and this process was not awake.
            if self._listens_at is None:
                self._listens_at = at
                self._log.look()
            return
        self.record(TimePassed(at=at))

    def _written(self, seq: int) -> None:
        """Take note of how far the disk is; calls that wait for it may start."""
        self.audience.show(seq)
        self.departures.recall.written(seq)
        if self._backlog.written(seq):
            try:
                self.follow()
            except Exception as error:
                self.fail(error)

    def _posted(self, posts: Sequence[Posted]) -> None:
        # Several answers may have come, and only after the last one nobody may be waited for.
        self._heard = False
        for post in posts:
            if self.failure is not None or self.halted:
                # Without an answer it is told again to the next owner.
                break
            if post.id in self.taken:
                continue
            try:
                event = event_of_post(self.machine, post, self.now())
                self.record(event, (Taken(post.id),))
            except Refused as error:
                refusal = Taken(post.id, str(error))
                try:
                    self._log.append((), (refusal,))
                except (JournalError, OwnershipLost) as failure:
                    self.fail(failure)
            except Exception as error:
                self.fail(error)
        self._heard = True
        listened, self._listens_at = self._listens_at, None
        if self.failure is None:
            self.follow()
        if listened is not None:
            self._heard_at = listened
            self._woken()

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
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Stop everything: what cannot be recorded must not go on."""
        if self.failure is None:
            self.failure = error
            hard = isinstance(error, OwnershipLost)
            self.departures.stop_all("the journal failed", hard=hard)
        self._settled.set()

    async def _stop(self, keeper: asyncio.Task[None]) -> None:
        self._alarm.close()
        keeper.cancel()
        try:
            await asyncio.gather(keeper, self.departures.cleared(), return_exceptions=True)
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
