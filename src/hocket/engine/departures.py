"""The calls of one run that leave: started once their limits let them through, and seen home."""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from hocket.agents.base import Agent, Request
from hocket.core.commands import StartCall
from hocket.core.errors import CallerError, Fault, FaultKind, JournalError, OwnershipLost
from hocket.core.events import (
    TAKEN_BACK,
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallStarted,
    LimitChanged,
    PauseRequested,
)
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.engine.asks import Asks
from hocket.engine.audience import Audience
from hocket.engine.crew import Crew
from hocket.engine.flight import Files, Flight, Outcome
from hocket.engine.line import Line
from hocket.engine.memo import Memo
from hocket.engine.recall import Recall
from hocket.journal.base import Answered, Log
from hocket.limits.admission import Admitted, Hopeless
from hocket.limits.claim import Key, Quota

_MESSAGE: Final = 500


class Base(Protocol):
    """What drives the run: where facts are recorded and followed up."""

    machine: RunMachine
    wait: bool

    @property
    def over(self) -> bool:
        """Whether nothing more is to begin here."""

    def now(self) -> int:
        """Give the instant for the next event."""

    def note(self, event: AnyEvent, claims: Sequence[Key] = ()) -> None:
        """Take a fact in and write it."""

    def record(self, event: AnyEvent) -> None:
        """Take a fact in, write it, and carry out what follows."""

    def land(
        self, outcome: Outcome, news: Sequence[LimitChanged], kept: Sequence[Answered]
    ) -> bool:
        """Record how a call ended and what that showed of its limits; tells whether it could."""

    def follow(self) -> None:
        """Carry out what follows."""

    def fail(self, error: Exception) -> None:
        """Nothing may go on."""


class Departures:
    """Starts calls and waits for their ends; at the desk it stands for its run.

    Args:
        base: What drives the run.
        line: The run's waiting calls.
        log: The run's writing end.
        crew: The agents.
        files: Where calls keep files.
        audience: Who is shown what calls say.
        memo: What the runs of this process know of each other's questions.

    Attributes:
        flights: The calls in flight.
        recall: Looks for answers that are kept.
        asks: What calls in flight ask people.
    """

    def __init__(
        self,
        base: Base,
        line: Line,
        log: Log,
        crew: Crew,
        files: Files,
        audience: Audience,
        memo: Memo,
    ) -> None:
        self.flights: dict[Call, Flight] = {}
        me = weakref.proxy(self)

        def queue(start: StartCall) -> None:
            # So that this goes with its run; see `Runner`.
            me._queue(start)

        self.recall: Final = Recall(base, memo, line, crew, audience, queue)
        self.asks: Final = Asks(base, log)
        self._base = base
        self._line = line
        self._log = log
        self._crew = crew
        self._files = files
        self._audience = audience
        self._loop = asyncio.get_running_loop()

    # -- for the desk -----------------------------------------------------------------------

    def start(self, item: Admitted) -> bool:
        """Start a call that its limits have let through."""
        base, line = self._base, self._line
        if base.over:
            line.release(item.call)
            return False
        start = line.take(item)
        if start is None:
            return False
        if not self._awaited(item.call):
            # One admitted before it could not be made, and took the others along.
            line.release(item.call)
            return False
        try:
            self._start(start, item)
        except Exception as error:
            base.fail(error)
        # What follows is seen to here, unless the run is at it.
        base.follow()
        return True

    def exceeded(self, item: Hopeless) -> None:
        """A call would exceed what its run may spend, or can never fit: say so and act on it."""
        base = self._base
        if base.over or not base.machine.admits or not self._awaited(item.call):
            # Another one's failure may have taken it along.
            return
        why = self._line.why(item)
        if item.on_exceed == "pause":
            base.record(PauseRequested(at=base.now(), by="", reason=why))
            return
        kind: FaultKind = "permanent" if item.on_exceed == "wait" else "over_budget"
        fault = Fault(kind=kind, message=why, final=item.on_exceed != "fallback")
        self._withdraw(item.call)
        base.record(CallFailed(at=base.now(), call=item.call, fault=fault))

    def fail(self, error: Exception) -> None:
        """The ledger of shared limits cannot be used: nothing may go on without it."""
        self._base.fail(error)

    # -- for the run ------------------------------------------------------------------------

    def offer(self, start: StartCall) -> None:
        """Let a call wait for its limits, unless its answer is there or somebody is asking."""
        # An answer that was there may have made the next call pointless.
        if self._awaited(start.call) and not self.recall.takes(start):
            self._queue(start)

    def stop(self, call: Call, reason: str, *, hard: bool) -> None:
        """Stop a call in flight, or take it out of the line."""
        flight = self.flights.get(call)
        if flight is None:
            self._withdraw(call)
        else:
            flight.stop(reason, hard=hard)

    def stop_all(self, reason: str, *, hard: bool) -> None:
        """Stop all calls in flight."""
        for flight in list(self.flights.values()):
            flight.stop(reason, hard=hard)

    def take_back(self) -> None:
        """Stop the calls in flight that have nobody to do them yet: they are asked for again."""
        for flight in list(self.flights.values()):
            if flight.waiting:
                flight.stop(TAKEN_BACK, hard=False)

    @property
    def waiting(self) -> Counter[str]:
        """What calls in flight wait for that nobody does yet, and how many."""
        return Counter(flight.waiting for flight in self.flights.values() if flight.waiting)

    def divert(self, call: Call, limit: str) -> None:
        """Count a call as failed whose endpoint is down, so that its fallback has its turn."""
        self._withdraw(call)
        fault = Fault(kind="unavailable", message=f"{limit} is down, and was not asked")
        self._base.note(CallFailed(at=self._base.now(), call=call, fault=fault))

    async def cleared(self) -> None:
        """Cut off what is in flight, and wait until it is gone."""
        tasks = [flight.task for flight in self.flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.recall.close()

    # -- within -----------------------------------------------------------------------------

    def _awaited(self, call: Call) -> bool:
        job = self._base.machine.calls.jobs.get(call.path)
        return job is not None and job.awaits(call)

    def _queue(self, start: StartCall) -> None:
        if down := self._line.down(start):
            self.divert(start.call, down)
        else:
            self._line.offer(start)

    def _withdraw(self, call: Call) -> None:
        self._line.withdraw(call)
        self.recall.withdraw(call)

    def _start(self, start: StartCall, item: Admitted) -> None:
        base, line, call = self._base, self._line, start.call
        now = base.now()
        try:
            job, given = base.machine.request(call)
            agent = self._crew[start.agent]
        except Exception as error:
            line.release(call)
            self.recall.withdraw(call)
            known = isinstance(error, CallerError)
            what = "" if known else f"agent {start.agent!r} raised {type(error).__name__}: "
            fault = Fault(kind="permanent", message=f"{what}{error}"[:_MESSAGE])
            base.note(CallFailed(at=now, call=call, fault=fault))
            return
        waits = line.waits(start, item, now)
        if not self.recall.leaves(start, job, given, waits):
            return
        request = Request(
            run=base.machine.run,
            call=call,
            agent=start.agent,
            input=given,
            output=job.output,
            options=job.options,
            tools=job.tools,
        )
        hedge_after = None
        if job.hedge is not None and not start.hedge and not start.effects:
            hedge_after = line.outlook.quantile(call.path, start.agent, job.hedge)
        started = CallStarted(
            at=now,
            call=call,
            agent=start.agent,
            waits=(*self.recall.waited(call), *waits),
            reserved=line.reserved(item.claim),
            hedge_after=hedge_after,
            hedge=start.hedge,
        )
        base.note(started, (item.key,) if item.shared else ())
        plain = line.claims.plain(item.claim)
        flight = Flight(
            request,
            self._audience.emit,
            self._files,
            on_sent=None if plain else partial(line.desk.sent, item.key),
            on_told=None if plain else partial(self._told, item.key),
            on_ask=self.asks.ask,
        )
        self.flights[call] = flight
        late = start.effects or (not plain and line.claims.leaves_late(item.claim))
        need = self._log.seq if late else 0
        work = self._fly(item.key, flight, agent, need, plain)
        flight.task = self._loop.create_task(work)

    def _told(self, key: Key, quotas: Sequence[Quota]) -> None:
        news = self._line.desk.quota(key, quotas)
        for event in self._line.told(news, self._base.now()):
            self._base.record(event)

    async def _fly(self, key: Key, flight: Flight, agent: Agent, need: int, plain: bool) -> None:
        """Do a call; one that has effects or is counted not before its start is on disk.

        How one with `plain` slots has ended is of no account to them.
        """
        call, base = flight.request.call, self._base
        outcome: Outcome | None = None
        flight.begun = True
        try:
            if flight.reason:
                raise asyncio.CancelledError
            if need:
                await self._log.durable(need)
            outcome = await flight.fly(agent, base.now)
        except asyncio.CancelledError:
            if not flight.reason:
                raise
            # It was stopped before it had left.
            outcome = CallCancelled(at=base.now(), call=call, reason=flight.reason)
        except (JournalError, OwnershipLost) as error:
            base.fail(error)
            return
        finally:
            del self.flights[call]
            # Without an outcome nobody knows what it has spent.
            if plain:
                self._line.desk.release(key)
                news = []
            else:
                news = self._line.settle(key, flight, outcome)
        outcome, kept = self.recall.landed(outcome)
        recorded = base.land(outcome, news, kept)
        self.recall.recorded(call, kept if recorded else (), self._log.seq)
