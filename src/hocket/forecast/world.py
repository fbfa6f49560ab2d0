"""Virtual time for the real machines: a run is played to its end by a heap of what will happen.

The run machine and the admission queue are those of the engine; only how long calls take is
assumed, and what `hocket.forecast.assume` says.
What ends at one instant ends before anybody else begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

import msgspec

from hocket.core.commands import CancelCall, Command, Record, StartCall
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFinished,
    CallStarted,
    ContinueRequested,
    InputAsked,
    InputGiven,
    RetryRequested,
    TimePassed,
    Wait,
)
from hocket.core.run import RunMachine
from hocket.core.values import Call, step_of
from hocket.forecast.assume import Counts, assumed_machine, plan_of
from hocket.forecast.paths import rank_of
from hocket.forecast.terms import Terms
from hocket.limits.admission import Admission, Admitted
from hocket.limits.claim import Ending, key_of
from hocket.workflows.live import read_place
from hocket.workflows.shape import Node, Shape
from hocket.workflows.stages import likely_output

_DONE = Ending("done")
_STOPPED = Ending("other")
_WHO = "forecast"


class Flight(NamedTuple):
    """How one call went: its path, since when it was ready, when it began and ended, its waits."""

    path: str
    ready: int
    began: int
    ended: int
    waits: tuple[Wait, ...]


class Outcome(NamedTuple):
    """How a run went in virtual time.

    Fields:
        end: When it ended; None if the events did not suffice.
        events: How many events that took.
        status: ``succeeded`` or how else it ended; "" if it did not.
        binds: The limit that calls waited for most on the way to the end, or "" for none.
        flights: The calls, in the order of their starts.
    """

    end: int | None
    events: int
    status: str
    binds: str
    flights: list[Flight]


class World:
    """A run under assumed durations.

    Args:
        machine: The run; it is left as it is.
        begun: When each call in flight began, by its path.
        at: The present instant.
        terms: What to go by.
        ranks: The rank of each step by its path, higher ones first.
        admission: The queue as it is now, with the run's calls in it; None for a fresh one, in
            which nobody else is.
        takes: Gives how long the call at a path takes; None goes by what is expected.
    """

    def __init__(
        self,
        machine: RunMachine,
        begun: Mapping[str, int],
        at: int,
        terms: Terms,
        ranks: Mapping[str, int],
        admission: Admission | None = None,
        takes: Callable[[str, str], int] | None = None,
    ) -> None:
        self._machine = assumed_machine(machine, Counts(machine, terms.items))
        self._shape = plan_of(machine).shape
        self._run = machine.run
        self._now = at
        self._terms = terms
        self._ranks = ranks
        self._takes = takes or self._expected
        self._heap: list[tuple[int, int, Call]] = []
        self._number = 0
        self._events = 0
        self._ready: dict[Call, int] = {}
        self._flying: dict[Call, tuple[int, tuple[Wait, ...]]] = {}
        self._flights: list[Flight] = []
        self._pending = self._machine.drain()
        if admission is None:
            self._admission = Admission()
            self._admission.open(self._run, terms.limits, at)
            self._begin_anew(begun)
        else:
            self._admission = admission.fork()
            self._admission.rerank(self._run, lambda call: rank_of(ranks, call.path))
            self._go_on(begun)

    def play(self, budget: int) -> Outcome:
        """Play the run to its end, or until it has cost so many events."""
        machine = self._machine
        if machine.phase == "pausing":
            self._apply(ContinueRequested(at=self._now, by=_WHO))
        for question in list(machine.questions.values()):
            self._answer(question)
        for job in machine.calls.held():
            self._apply(RetryRequested(at=self._now, path=job.path, by=_WHO))
        while self._events < budget:
            self._follow()
            if machine.phase == "ended" or not self._advance():
                break
        status = machine.said if machine.phase == "ended" else ""
        end = self._now if status else None
        self._flights.sort(key=lambda flight: flight.began)
        return Outcome(end, self._events, status, _binding(self._flights), self._flights)

    # -- within -----------------------------------------------------------------------------

    def _begin_anew(self, begun: Mapping[str, int]) -> None:
        """Let calls in flight hold their limits in a fresh queue, and the others ask again."""
        jobs = self._machine.calls.jobs
        flying = [job for job in jobs.values() if job.state in ("running", "stopping")]
        times = {job.path: min(begun.get(job.path, self._now), self._now) for job in flying}
        # In the order in which they went, or one could stand in the way of an earlier one.
        for job in sorted(flying, key=lambda job: times[job.path]):
            since = times[job.path]
            claim = self._terms.claim(job.agent_name, job.spec.uses)
            self._admission.offer(self._run, job.call, claim, since)
            self._admission.admit(since)
            self._admission.sent(key_of(self._run, job.call), since)
            self._fly(job.call, since, ())
        # Others come after: what they hold by now must not shut out what has left already.
        for entry in self._terms.held:
            self._admission.limit(entry.limit, self._run).sync(entry)
        # Whoever has driven the machine until now may have been told already of those that wait.
        self._pending = [c for c in self._pending if not isinstance(c, StartCall)]
        for job in jobs.values():
            if job.state == "asked":
                self._offer(StartCall(job.call, job.agent_name, False, job.ready, job.asked))

    def _go_on(self, begun: Mapping[str, int]) -> None:
        for job in self._machine.calls.jobs.values():
            if job.state in ("running", "stopping"):
                self._fly(job.call, min(begun.get(job.path, self._now), self._now), ())
            elif job.state == "asked":
                self._ready[job.call] = job.ready

    def _follow(self) -> None:
        """Carry out what the machine asks for, and let calls begin, until nothing moves."""
        while True:
            commands = [*self._pending, *self._machine.drain()]
            self._pending = []
            for command in commands:
                self._carry_out(command)
            admitted = self._admission.admit(self._now) if not commands else []
            for item in admitted:
                self._start(item)
            if not commands and not admitted:
                return

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartCall():
                self._offer(command)
            case CancelCall():
                call = command.call
                if self._admission.withdraw(self._run, call):
                    self._ready.pop(call, None)
                elif self._flying.pop(call, None) is not None:
                    self._admission.settle(key_of(self._run, call), _STOPPED, self._now)
                    self._apply(CallCancelled(at=self._now, call=call, reason=command.reason))
            case Record():
                event = msgspec.structs.replace(command.event, at=self._now)
                self._apply(event)
                if isinstance(event, ApprovalAsked | InputAsked):
                    self._answer(event)

    def _answer(self, question: ApprovalAsked | InputAsked) -> None:
        at, path = self._now, question.path
        if self._machine.phase != "running":
            return
        if isinstance(question, InputAsked):
            self._apply(InputGiven(at=at, path=path, value=None, by=_WHO))
        else:
            self._apply(
                ApprovalGiven(at=at, path=path, approved=True, digest=question.digest, by=_WHO)
            )

    def _offer(self, start: StartCall) -> None:
        call = start.call
        job = self._machine.calls.jobs.get(call.path)
        if job is None:
            # What was asked for with it has made it pointless.
            return
        claim = self._terms.claim(start.agent, job.spec.uses)
        rank, lasts = rank_of(self._ranks, call.path), self._takes(call.path, start.agent)
        self._ready[call] = start.ready
        self._admission.offer(self._run, call, claim, start.ready, rank=rank, lasts=lasts)

    def _start(self, item: Admitted) -> None:
        if item.run != self._run:
            # Calls of other runs keep what they take: nobody knows for how long.
            return
        call = item.call
        agent = self._machine.calls.jobs[call.path].agent_name
        self._admission.sent(item.key, self._now)
        self._apply(CallStarted(at=self._now, call=call, agent=agent))
        self._fly(call, self._now, item.waits)

    def _fly(self, call: Call, since: int, waits: tuple[Wait, ...]) -> None:
        self._flying[call] = since, waits
        self._number += 1
        agent = self._machine.calls.jobs[call.path].agent_name
        end = max(self._now, since + self._takes(call.path, agent))
        heappush(self._heap, (end, self._number, call))

    def _advance(self) -> bool:
        """Go on to the next instant at which anything happens; tells whether there is one."""
        heap = self._heap
        while heap and heap[0][2] not in self._flying:
            heappop(heap)
        due = [heap[0][0]] if heap else []
        wake, timer = self._admission.next(), self._machine.deadline()
        if wake is not None:
            due.append(max(wake, self._now))
        if timer is not None:
            due.append(max(timer, self._now))
        if not due:
            return False
        # An instant at which only time passes is an event, too.
        self._events += 1
        self._now = min(due)
        while heap and heap[0][0] == self._now:
            call = heappop(heap)[2]
            if call in self._flying:
                self._land(call)
        if timer is not None and timer <= self._now:
            self._apply(TimePassed(at=self._now))
        return True

    def _land(self, call: Call) -> None:
        since, waits = self._flying.pop(call)
        ready = self._ready.pop(call, since)
        self._flights.append(Flight(call.path, ready, since, self._now, waits))
        self._admission.settle(key_of(self._run, call), _DONE, self._now)
        node = node_at(self._shape, call.path)[1]
        output = None
        if node.team is not None:
            # What a member gives decides what the team does next.
            output = likely_output(self._machine.calls.jobs[call.path].spec)
        self._apply(CallFinished(at=self._now, call=call, output=output))

    def _apply(self, event: AnyEvent) -> None:
        self._events += 1
        self._machine.apply(event)

    def _expected(self, path: str, agent: str) -> int:
        node = node_at(self._shape, path)[1]
        name = self._machine.spec.name
        return self._terms.durations.expected(name, step_of(path), node.spec, agent)


def node_at(shape: Shape, path: str) -> tuple[Shape, Node]:
    """Give the step that a call's path is of, and its plan."""
    while True:
        index = shape.index.get(path)
        if index is not None:
            return shape, shape.nodes[index]
        place = read_place(path)
        assert place is not None, path
        node = shape.nodes[shape.index[place.name]]
        if node.child is None or not place.rest:
            return shape, node
        shape, path = node.child, place.rest


def _binding(flights: list[Flight]) -> str:
    """Name the limit that was waited for most on the way to the last end."""
    waited: dict[str, int] = {}
    by_end: dict[int, Flight] = {}
    for flight in flights:
        known = by_end.get(flight.ended)
        if known is None or known.began < flight.began:
            by_end[flight.ended] = flight
    last = max(flights, key=lambda flight: flight.ended, default=None)
    while last is not None:
        for wait in last.waits:
            limit = wait.cause.partition(":")[2]
            waited[limit] = waited.get(limit, 0) + wait.until - wait.since
        before = by_end.get(last.ready)
        last = before if before is not None and before.began < last.began else None
    return max(waited, key=lambda limit: waited[limit], default="")
