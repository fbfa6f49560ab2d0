"""Runs under virtual time: the machines and the queue of the engine, played by simulated agents.

Everything that decides is the engine's own: run machines, the admission queue, what calls claim,
in which order they go and what their ends mean for limits.
Only the agents and the people are simulated, and the clock is a heap of what will happen.
What ends at one instant ends before anybody else begins; the journal takes no time.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TypeAlias

import msgspec

from hocket.agents.base import UNKNOWN
from hocket.core.commands import CancelCall, Command, Record, StartCall
from hocket.core.errors import CallerError, Fault, FaultKind, Refused
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallStarted,
    InputAsked,
    LimitChanged,
    PauseRequested,
    Reserved,
    TimePassed,
    Usage,
    Wait,
)
from hocket.core.jobs import Job
from hocket.core.values import Call
from hocket.engine.line import ending
from hocket.forecast.durations import Durations
from hocket.limits.admission import Admission, Admitted, Hopeless
from hocket.limits.claim import Claim, News, key_of
from hocket.simulator.agents import Act, People, SimulatedAgents
from hocket.simulator.deaths import Death, Revival, die, revive
from hocket.simulator.parts import Flight, Live, Made, Part, Played

Entry: TypeAlias = tuple[int, int, Live, Call | AnyEvent | Death | Revival | None]
"""When, then a number that counts what was put there, whose, and what: the end of a call, an
answer, the death of the process and its end, or the beginning of the run."""


class World:
    """Runs under one clock and the same limits.

    Args:
        agents: Who does the work.
        people: Who answers questions.
        past: What is known of how long calls take.
    """

    def __init__(self, agents: SimulatedAgents, people: People, past: Durations) -> None:
        self.now = 0
        self._agents = agents
        self._people = people
        self._past = past
        self._admission = Admission()
        self._all: list[Live] = []
        self._runs: dict[str, Live] = {}
        """By what their present owners are called in the queue."""
        self._heap: list[Entry] = []
        self._number = 0
        self._due: list[Live] = []
        """The runs that have to be looked at, since something has happened to them."""

    def add(self, part: Part) -> None:
        """Let a run begin at its instant.

        Raises:
            SpecError: It cannot be run.
            ValueError: There is one of that name.
        """
        run = Live(part, self._past)
        if run.room in self._runs:
            raise ValueError(f"two runs are called {part.run!r}")
        self._runs[run.room] = run
        self._all.append(run)
        self._later(part.at, run, None)
        for at, back in part.deaths:
            self._later(part.at + at, run, Death(part.at + back))

    def play(self, budget: int | None = None) -> list[Played]:
        """Play until every run has ended, nothing can happen any more, or the budget is spent."""
        while self._advance():
            self._follow()
            if budget is not None and sum(len(run.events) for run in self._all) >= budget:
                break
        return [run.result() for run in self._all]

    # -- what follows -----------------------------------------------------------------------

    def _follow(self) -> None:
        """Carry out what machines ask for, and let calls begin, until nothing moves."""
        while True:
            while self._due:
                run = self._due.pop()
                if run.back is not None:
                    continue
                run.hold(self._admission, self.now)
                for command in run.machine.drain():
                    self._carry_out(run, command)
                if run.mortal:
                    self._doubt(run)
                if run.machine.phase == "ended" and run.open:
                    run.open = False
                    self._admission.close(run.room)
            for item in self._admission.admit(self.now):
                self._start(self._runs[item.run], item)
            for hopeless in self._admission.hopeless():
                self._exceeded(self._runs[hopeless.run], hopeless)
            if not self._due:
                return

    def _carry_out(self, run: Live, command: Command) -> None:
        match command:
            case StartCall():
                self._offer(run, command)
            case CancelCall():
                self._cancel(run, command)
            case Record():
                event = msgspec.structs.replace(command.event, at=self.now)
                self._take(run, event)
                after = self._people.after
                if after is not None and isinstance(event, ApprovalAsked | InputAsked):
                    answer = self._people.answer(event, self.now + after)
                    self._later(answer.at, run, answer)

    def _offer(self, run: Live, start: StartCall) -> None:
        """Let a call wait for its limits."""
        call = start.call
        job = run.machine.calls.jobs.get(call.path)
        if job is None:
            # What was asked for with it has made it pointless.
            return
        if down := run.stranded(start, job, self._admission, self.now):
            self._take(run, CallFailed(at=self.now, call=call, fault=_not_asked(down)))
            return
        run.starts[call] = start
        self._admission.offer(
            run.room,
            call,
            self._claim(run, start, job),
            start.ready,
            rank=run.prospect.rank(call.path),
            lasts=run.prospect.lasts(call.path, start.agent),
        )

    def _claim(self, run: Live, start: StartCall, job: Job) -> Claim:
        claim = run.claims.of(start.agent, job.spec.uses)
        if not run.claims.weighs(claim):
            return claim
        try:
            expected = self._agents.estimate(run.asked(start, self.now))
        except CallerError:
            # Its start will fail for the same reason, and tell it.
            expected = UNKNOWN
        return msgspec.structs.replace(
            claim,
            tokens_in=expected.tokens_in,
            tokens_out=expected.tokens_out,
            most_tokens=expected.most_tokens or expected.tokens_in + expected.tokens_out,
            most_cost=expected.most_cost or 0,
        )

    # -- calls ------------------------------------------------------------------------------

    def _start(self, run: Live, item: Admitted) -> None:
        call = item.call
        start = run.starts.pop(call, None)
        job = run.machine.calls.jobs.get(call.path)
        if start is None or job is None or not job.awaits(call):
            # One that was admitted before it has made it pointless.
            self._admission.release(item.key, self.now)
            return
        try:
            asked = run.asked(start, self.now)
        except CallerError as error:
            self._admission.release(item.key, self.now)
            fault = Fault(kind="permanent", message=str(error))
            self._take(run, CallFailed(at=self.now, call=call, fault=fault))
            return
        act = self._agents.act(asked)
        waits = item.waits
        if start.asked < start.ready:
            waits = (Wait("backoff", start.asked, start.ready), *waits)
        self._admission.sent(item.key, self.now)
        event = CallStarted(
            at=self.now,
            call=call,
            agent=start.agent,
            waits=waits,
            reserved=_reserved(item.claim),
            hedge_after=_hedge_after(run, start, job),
            hedge=start.hedge,
        )
        run.flights[call] = Flight(act, start.agent, start.ready, self.now, waits)
        self._later(self.now + act.lasts, run, call)
        self._take(run, event)

    def _land(self, run: Live, call: Call) -> None:
        flight = run.flights.get(call)
        if flight is None:
            # It was stopped before its end.
            return
        gives, usage = flight.act.gives, flight.act.usage
        if isinstance(gives, Fault):
            how = "refused" if gives.kind == "rate_limited" else "failed"
            self._end(run, CallFailed(at=self.now, call=call, fault=gives, usage=usage), how)
        else:
            self._end(
                run, CallFinished(at=self.now, call=call, output=gives, usage=usage), "finished"
            )

    def _cancel(self, run: Live, command: CancelCall) -> None:
        call = command.call
        flight = run.flights.get(call)
        if flight is None:
            if run.starts.pop(call, None) is not None:
                self._admission.withdraw(run.room, call)
            return
        usage = _part_of(flight.act, self.now - flight.began)
        event = CallCancelled(at=self.now, call=call, reason=command.reason, usage=usage)
        self._end(run, event, "cancelled")

    def _end(self, run: Live, outcome: CallFinished | CallFailed | CallCancelled, how: str) -> None:
        flight = run.flights.pop(outcome.call)
        key = key_of(run.room, outcome.call)
        news = self._admission.settle(key, ending(flight, outcome), self.now)
        run.made.append(
            Made(
                outcome.call,
                flight.agent,
                flight.ready,
                flight.began,
                self.now,
                how,
                outcome.usage,
                flight.waits,
            )
        )
        self._take(run, outcome)
        for item in news:
            self._take(run, _told(item, self.now))
        if any(item.what == "tripped" for item in news):
            self._divert()

    def _divert(self) -> None:
        """Count those as failed whose endpoint is down while others could do their call."""
        for run in self._all:
            for start in list(run.starts.values()) if run.open else ():
                job = run.machine.calls.jobs.get(start.call.path)
                if job is None:
                    continue
                if down := run.stranded(start, job, self._admission, self.now):
                    del run.starts[start.call]
                    self._admission.withdraw(run.room, start.call)
                    fault = _not_asked(down)
                    self._take(run, CallFailed(at=self.now, call=start.call, fault=fault))

    def _exceeded(self, run: Live, item: Hopeless) -> None:
        if not run.machine.admits:
            return
        why = f"{item.call} does not fit {item.limit!r}, and will not by waiting"
        if item.on_exceed == "pause":
            self._take(run, PauseRequested(at=self.now, by="", reason=why))
            return
        kind: FaultKind = "permanent" if item.on_exceed == "wait" else "over_budget"
        fault = Fault(kind=kind, message=why, final=item.on_exceed != "fallback")
        run.starts.pop(item.call, None)
        self._admission.withdraw(run.room, item.call)
        self._take(run, CallFailed(at=self.now, call=item.call, fault=fault))

    # -- time -------------------------------------------------------------------------------

    def _advance(self) -> bool:
        """Go on to the next instant at which anything happens; tells whether there is one."""
        heap = self._heap
        while heap and isinstance(heap[0][3], Call) and heap[0][3] not in heap[0][2].flights:
            heappop(heap)
        timers = [
            (timer, run)
            for run in self._all
            # Nobody goes on with a run that is paused.
            if run.open and not run.machine.paused and (timer := run.machine.deadline()) is not None
        ]
        due = [timer for timer, _ in timers]
        if heap:
            due.append(heap[0][0])
        wake = self._wake()
        if wake is not None:
            due.append(wake)
        if not due:
            return False
        self.now = max(self.now, min(due))
        while heap and heap[0][0] <= self.now:
            self._happen(heappop(heap))
        for timer, run in timers:
            if timer <= self.now and run.machine.phase != "ended":
                self._take(run, TimePassed(at=self.now))
        return True

    def _wake(self) -> int | None:
        """Give the soonest instant at which a call could begin though nothing happens."""
        return self._admission.next()

    def _happen(self, entry: Entry) -> None:
        _, _, run, what = entry
        if isinstance(what, Call):
            self._land(run, what)
        elif what is None:
            run.enter(self._admission, self.now)
            self._due.append(run)
        elif isinstance(what, Death):
            if run.open:
                die(run, self._admission, self.now, what.back)
                self._later(what.back, run, Revival())
        elif isinstance(what, Revival):
            del self._runs[run.room]
            starts = revive(run, self._admission, self.now)
            self._runs[run.room] = run
            for start in starts:
                self._offer(run, start)
            self._due.append(run)
        elif run.back is not None:
            # It lies in the run's inbox until somebody looks.
            self._later(run.back, run, msgspec.structs.replace(what, at=run.back))
        else:
            self._hear(run, what)

    def _hear(self, run: Live, answer: AnyEvent) -> None:
        """Let a run hear what people say; nobody goes on with one that is paused."""
        if run.machine.phase != "running" or run.settled(answer):
            return
        try:
            self._take(run, answer)
        except Refused:
            # It comes too late: what was asked is decided already, and nothing has changed.
            return

    def _doubt(self, run: Live) -> None:
        """Have people decide about calls of which nobody knows whether they were done."""
        after = self._people.after
        if after is None:
            return
        for job in run.machine.calls.held():
            if job.path not in run.doubts:
                run.doubts[job.path] = None
                self._later(self.now + after, run, self._people.decide(job.path, self.now + after))

    def _later(self, at: int, run: Live, what: Call | AnyEvent | Death | Revival | None) -> None:
        self._number += 1
        heappush(self._heap, (at, self._number, run, what))

    def _take(self, run: Live, event: AnyEvent) -> None:
        run.take(event)
        if not self._due or self._due[-1] is not run:
            self._due.append(run)


def _hedge_after(run: Live, start: StartCall, job: Job) -> int | None:
    if job.spec.hedge is None or start.hedge or start.effects:
        return None
    return run.prospect.quantile(start.call.path, start.agent, job.spec.hedge)


def _not_asked(down: str) -> Fault:
    return Fault(kind="unavailable", message=f"{down} is down, and was not asked")


def _reserved(claim: Claim) -> Reserved | None:
    if not (claim.most_tokens or claim.most_cost):
        return None
    return Reserved(claim.most_tokens, claim.most_cost)


def _part_of(act: Act, elapsed: int) -> Usage | None:
    """Give what a call has spent that was stopped: all that it read, what it has written."""
    usage = act.usage
    if usage is None or not act.lasts:
        return usage
    written = (usage.tokens_out or 0) * elapsed // act.lasts
    return msgspec.structs.replace(usage, tokens_out=written, cost=None)


def _told(news: News, at: int) -> LimitChanged:
    return LimitChanged(
        at=at, limit=news.limit, what=news.what, message=news.message, until=news.until
    )
