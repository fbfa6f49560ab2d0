"""Runs under virtual time: the machines and the queue of the engine, played by simulated agents.

Everything that decides is the engine's own: run machines, the admission queue, what calls claim,
in which order they go and what their ends mean for limits.
Only the agents and the people are simulated, and the clock is a heap of what will happen.
What ends at one instant ends before anybody else begins; the journal takes no time.

An event costs the same however many runs there are, and however long they are: only the runs that
something has happened to are looked at, and of their timers an instant before which none is due.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from typing import Final, TypeAlias

import msgspec

from hocket.agents.base import UNKNOWN
from hocket.core.commands import CancelCall, Record, StartCall
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
from hocket.core.glance import silent, soonest
from hocket.core.jobs import Job
from hocket.core.machine import JobSpec
from hocket.core.specs import RunSpec
from hocket.engine.line import ending
from hocket.forecast.durations import Durations
from hocket.limits.admission import Admission, Admitted, Hopeless
from hocket.limits.claim import Claim, Ending, News
from hocket.simulator.agents import Act, People, SimulatedAgents
from hocket.simulator.deaths import Death, Revival, die, revive
from hocket.simulator.parts import NEVER, Flight, Keep, Live, Part, Played
from hocket.simulator.stage import Stage, prepare

What: TypeAlias = Flight | AnyEvent | Death | Revival | None
Entry: TypeAlias = tuple[int, int, Live, What]
"""When, then a number that counts what was put there, whose, and what: the end of a call, an
answer, the death of the process and its end, or the beginning of the run."""

_OVER: Final = Ending("other")
"""How a call ends of whose limits none wants to know."""


class World:
    """Runs under one clock and the same limits.

    Args:
        agents: Who does the work.
        people: Who answers questions.
        past: What is known of how long calls take.
        keep: What to keep of the runs.
    """

    def __init__(
        self, agents: SimulatedAgents, people: People, past: Durations, keep: Keep = "events"
    ) -> None:
        self.now = 0
        self._agents = agents
        self._people = people
        self._past = past
        self._keep = keep
        self._admission = Admission()
        self._next: Callable[[], int | None] = self._admission.next
        """Gives the soonest instant at which a call could begin though nothing happens."""
        self._all: list[Live] = []
        self._runs: dict[str, Live] = {}
        """By what their present owners are called in the queue."""
        self._stages: dict[int, tuple[RunSpec, Stage]] = {}
        self._heap: list[Entry] = []
        self._number = 0
        self._timers: list[tuple[int, int, Live]] = []
        """A heap: before when no timer of a run is due; an entry holds if the run says the same."""
        self._due: list[Live] = []
        """The runs that have to be looked at, since something has happened to them."""

    def add(self, part: Part) -> None:
        """Let a run begin at its instant.

        Raises:
            SpecError: It cannot be run.
            ValueError: There is one of that name, or its deaths do not come one after the other.
        """
        run = Live(part, _stage(part.spec, self._stages), self._past, len(self._all), self._keep)
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
            if budget is not None and sum(run.sums.events for run in self._all) >= budget:
                break
        return [run.result() for run in self._all]

    # -- what follows -----------------------------------------------------------------------

    def _follow(self) -> None:
        """Carry out what machines ask for, and let calls begin, until nothing moves."""
        due, runs, admission = self._due, self._runs, self._admission
        touched: list[Live] = []
        while True:
            while due:
                run = due.pop()
                if run.back is not None:
                    continue
                if not run.touched:
                    run.touched = True
                    touched.append(run)
                self._drain(run)
            if admission.restless:
                for item in admission.admit(self.now):
                    self._begin(runs[item.run], item)
                for hopeless in admission.hopeless():
                    self._exceeded(runs[hopeless.run], hopeless)
            if not due:
                break
        for run in touched:
            run.touched = False
            timer = soonest(run.machine)
            if timer is not None and timer < run.timer:
                run.timer = timer
                heappush(self._timers, (timer, run.number, run))

    def _drain(self, run: Live) -> None:
        """Carry out what a machine asks for."""
        machine, admission = run.machine, self._admission
        if (machine.phase == "running") == run.held:
            run.hold(admission, self.now)
        commands = machine.drain()
        if len(commands) == 1 and not self._due and isinstance(commands[0], StartCall):
            self._offer(run, commands[0], alone=True)
        else:
            for command in commands:
                if isinstance(command, StartCall):
                    self._offer(run, command)
                elif isinstance(command, CancelCall):
                    self._cancel(run, command)
                else:
                    self._record(run, command)
        if run.mortal:
            for answer in run.doubtful(self._people, self.now):
                self._later(answer.at, run, answer)
        if machine.phase == "ended" and run.open:
            run.open = False
            admission.close(run.room)

    def _record(self, run: Live, command: Record) -> None:
        """Record a fact; people answer in their own time if it is a question."""
        event = msgspec.structs.replace(command.event, at=self.now)
        self._take(run, event)
        after = self._people.after
        if after is not None and isinstance(event, ApprovalAsked | InputAsked):
            answer = self._people.answer(event, self.now + after)
            if answer is not None:
                self._later(answer.at, run, answer)

    def _offer(self, run: Live, start: StartCall, *, alone: bool = False) -> None:
        """Let a call wait for its limits; one that is alone begins at once if it can."""
        call = start.call
        path = call.path
        job = run.machine.calls.jobs.get(path)
        if job is None:
            # What was asked for with it has made it pointless.
            return
        spec, prospect, agent = job.spec, run.prospect, start.agent
        if job.agent + 1 < len(spec.agents) and (
            down := run.stranded(start, job, self._admission, self.now)
        ):
            self._take(run, CallFailed(at=self.now, call=call, fault=_not_asked(down)))
            return
        wanted = run.claims.wanted(agent, spec.uses)
        claim = self._weighed(run, start, spec, wanted.claim) if wanted.weighs else wanted.claim
        rank = prospect.ranks.get(path)
        if rank is None:
            rank = prospect.rank(path)
        lasts = None if prospect.blind else prospect.lasts(path, agent)
        if alone:
            item = self._admission.pass_by(
                run.room, call, claim, self.now, start.ready, rank, lasts
            )
            if item is not None:
                self._start(run, item, start, job, wanted.plain)
                if run.machine.phase != "running" or not silent(run.machine):
                    self._due.append(run)
                return
        run.starts[call] = start
        self._admission.offer(run.room, call, claim, start.ready, rank=rank, lasts=lasts)

    def _weighed(self, run: Live, start: StartCall, job: JobSpec, claim: Claim) -> Claim:
        """Say what a call claims of limits on tokens and money."""
        try:
            expected = self._agents.estimate(run.asked(start, job, self.now))
        except CallerError:
            # Its start will fail for the same reason, and tell it.
            expected = UNKNOWN
        read, written = expected.tokens_in, expected.tokens_out
        most = expected.most_tokens or read + written
        return Claim(claim.units, read, written, most, expected.most_cost or 0)

    # -- calls ------------------------------------------------------------------------------

    def _begin(self, run: Live, item: Admitted) -> None:
        """Let a call begin that has waited in the queue."""
        call = item.call
        start = run.starts.pop(call, None)
        job = run.machine.calls.jobs.get(call.path)
        if start is None or job is None or job.state_of(call.attempt) != "asked":
            # One that was admitted before it has made it pointless.
            self._admission.release(item.key, self.now)
            return
        self._start(run, item, start, job, run.claims.wanted(start.agent, job.spec.uses).plain)
        self._due.append(run)

    def _start(self, run: Live, item: Admitted, start: StartCall, job: Job, plain: bool) -> None:
        call, now, agent, ready = item.call, self.now, start.agent, start.ready
        try:
            asked = run.asked(start, job.spec, now)
        except CallerError as error:
            self._admission.release(item.key, now)
            fault = Fault(kind="permanent", message=str(error))
            run.take(CallFailed(at=now, call=call, fault=fault))
            return
        act = self._agents.act(asked)
        waits = item.waits
        if start.asked < ready:
            waits = (Wait("backoff", start.asked, ready), *waits)
        self._admission.sent(item.key, now)
        claim, hedge_after, reserved = item.claim, None, None
        if job.spec.hedge is not None and not (start.hedge or start.effects):
            hedge_after = run.prospect.quantile(call.path, agent, job.spec.hedge)
        if claim.most_tokens or claim.most_cost:
            reserved = Reserved(claim.most_tokens, claim.most_cost)
        flight = Flight(call, item.key, act, agent, ready, now, waits, plain)
        run.flights[call] = flight
        self._number += 1
        heappush(self._heap, (now + act.lasts, self._number, run, flight))
        event = CallStarted(
            at=now,
            call=call,
            agent=agent,
            waits=waits,
            reserved=reserved,
            hedge_after=hedge_after,
            hedge=start.hedge,
        )
        run.take(event)

    def _cancel(self, run: Live, command: CancelCall) -> None:
        call = command.call
        flight = run.flights.get(call)
        if flight is None:
            if run.starts.pop(call, None) is not None:
                self._admission.withdraw(run.room, call)
            return
        usage = _part_of(flight.act, self.now - flight.began)
        event = CallCancelled(at=self.now, call=call, reason=command.reason, usage=usage)
        self._end(run, flight, event, "cancelled")

    def _end(
        self,
        run: Live,
        flight: Flight,
        outcome: CallFinished | CallFailed | CallCancelled,
        how: str,
    ) -> None:
        del run.flights[flight.call]
        over = _OVER if flight.plain else ending(flight, outcome)
        news = self._admission.settle(flight.key, over, self.now)
        run.made_of(flight, self.now, how, outcome.usage)
        run.take(outcome)
        self._due.append(run)
        if news:
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
        heap, timers = self._heap, self._timers
        while heap and isinstance(what := heap[0][3], Flight) and what.over:
            heappop(heap)
        at = heap[0][0] if heap else NEVER
        wake = self._next()
        if wake is not None and wake < at:
            at = wake
        due: list[Live] = []
        now = self.now
        if timers and (timers[0][0] <= at or timers[0][0] <= now):
            at, due = self._timed(at)
        if at == NEVER:
            return False
        if at > now:
            now = self.now = at
        while heap and heap[0][0] <= now:
            self._happen(heappop(heap))
        for run in due:
            if run.machine.phase != "ended":
                self._take(run, TimePassed(at=now))
        return True

    def _timed(self, at: int) -> tuple[int, list[Live]]:
        """Give the next instant, timers taken in, and the runs of which one is due then."""
        timers, due = self._timers, list[Live]()
        while timers and timers[0][0] <= max(at, self.now):
            noted, number, run = timers[0]
            machine = run.machine
            # Nobody goes on with a run that is paused.
            waits = run.timer == noted and run.open and not machine.paused
            exact = machine.deadline() if waits else None
            if exact is not None and exact > noted:
                run.timer = exact
                heapreplace(timers, (exact, number, run))
                continue
            heappop(timers)
            if run.timer == noted:
                run.timer = NEVER
            if exact is not None:
                at = min(at, noted)
                due.append(run)
        due.sort(key=_number_of)
        return at, due

    def _happen(self, entry: Entry) -> None:
        _, _, run, what = entry
        if isinstance(what, Flight):
            if what.over:
                # It was stopped before its end.
                return
            act, at = what.act, self.now
            gives = act.gives
            if isinstance(gives, Fault):
                how = "refused" if gives.kind == "rate_limited" else "failed"
                outcome = CallFailed(at=at, call=what.call, fault=gives, usage=act.usage)
                self._end(run, what, outcome, how)
            else:
                given = CallFinished(at=at, call=what.call, output=gives, usage=act.usage)
                self._end(run, what, given, "finished")
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

    def _later(self, at: int, run: Live, what: What) -> None:
        self._number += 1
        heappush(self._heap, (at, self._number, run, what))

    def _take(self, run: Live, event: AnyEvent) -> None:
        run.take(event)
        due = self._due
        if not due or due[-1] is not run:
            due.append(run)


def _hedge_after(run: Live, start: StartCall, job: Job) -> int | None:
    if job.spec.hedge is None or start.hedge or start.effects:
        return None
    return run.prospect.quantile(start.call.path, start.agent, job.spec.hedge)


def _stage(spec: RunSpec | Stage, known: dict[int, tuple[RunSpec, Stage]]) -> Stage:
    """Prepare a spec, once for all runs of it."""
    if isinstance(spec, Stage):
        return spec
    if id(spec) not in known:
        # The spec is kept as well, so that no other one can get its number.
        known[id(spec)] = spec, prepare(spec)
    return known[id(spec)][1]


def _not_asked(down: str) -> Fault:
    return Fault(kind="unavailable", message=f"{down} is down, and was not asked")


def _number_of(run: Live) -> int:
    return run.number


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
