"""One run of a simulation: what it is asked to do, its state under way, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from hocket.core.commands import StartCall
from hocket.core.events import AnyEvent, InputGiven, RetryRequested, RunStarted, Usage, Wait
from hocket.core.jobs import Job
from hocket.core.machine import JobSpec
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec
from hocket.core.values import Call, Json, digest
from hocket.forecast.durations import Durations
from hocket.limits.admission import PAUSE, Admission
from hocket.limits.claim import Key, room_of
from hocket.limits.spending import Spending
from hocket.simulator.agents import Act, Asked, People
from hocket.simulator.stage import Stage

PROGRAM: Final = "hocket simulation"
NEVER: Final = 1 << 63


Keep: TypeAlias = Literal["events", "calls", "sums"]
"""What is kept of a run: all events and calls, the calls, or what they come to alone."""


class Part(NamedTuple):
    """One run of a simulation.

    Fields:
        spec: What to do; one that is played often is prepared once.
        inputs: The workflow's inputs.
        run: Its id, unique in the simulation.
        seed: Where its chance comes from.
        at: When it begins, in nanoseconds.
        deaths: When its process dies, and when another one takes the run up, both counted from its
            beginning; one after the other.
    """

    spec: RunSpec | Stage
    inputs: Mapping[str, Json]
    run: str = "run"
    seed: int = 0
    at: int = 0
    deaths: tuple[tuple[int, int], ...] = ()


class Made(NamedTuple):
    """One call that was made.

    Fields:
        call: Its name.
        agent: Who did it.
        ready: Since when it could have run.
        began: When it left.
        ended: When it was over.
        how: ``finished``, ``failed``, ``refused``, ``cancelled``, or ``lost`` with its process.
        usage: What it spent, as far as it is known.
        waits: What it waited for.
    """

    call: Call
    agent: str
    ready: int
    began: int
    ended: int
    how: str
    usage: Usage | None
    waits: tuple[Wait, ...]


class Sums:
    """What the calls of a run come to.

    Attributes:
        events: How many events there were.
        calls: How many calls left.
        ends: How many of them ended in which way, as `Made.how` names it.
        tokens_in: What they have read, as far as it is known.
        tokens_out: What they have written.
        cost: What they have cost in pico-dollars.
        unpriced: How many have read or written something and have no price.
        waited: How long they have waited in all, by cause.
        last: When the last one ended.
    """

    __slots__ = (
        "calls",
        "cost",
        "ends",
        "events",
        "last",
        "tokens_in",
        "tokens_out",
        "unpriced",
        "waited",
    )

    def __init__(self) -> None:
        self.events = 0
        self.calls = 0
        self.ends: dict[str, int] = {}
        self.tokens_in = 0
        self.tokens_out = 0
        self.cost = 0
        self.unpriced = 0
        self.waited: dict[str, int] = {}
        self.last = 0

    def add(self, how: str, usage: Usage | None, waits: tuple[Wait, ...]) -> None:
        """Count a call that is over."""
        self.calls += 1
        self.ends[how] = self.ends.get(how, 0) + 1
        if usage is not None:
            read, written, cost = usage.tokens_in or 0, usage.tokens_out or 0, usage.cost
            self.tokens_in += read
            self.tokens_out += written
            if cost is not None:
                self.cost += cost
            elif read or written:
                self.unpriced += 1
        if waits:
            waited = self.waited
            for wait in waits:
                waited[wait.cause] = waited.get(wait.cause, 0) + wait.until - wait.since


class Played(NamedTuple):
    """How a run went.

    Fields:
        run: Its id.
        status: ``succeeded``, ``failed`` or ``cancelled``; ``paused`` or ``running`` if nothing
            more could happen.
        began: When it began.
        end: When it ended, or when the last thing happened.
        events: All that happened, if that is kept.
        calls: The calls that were made, in the order of their ends, if they are kept.
        machine: The run's machine, for its results and reports.
        sums: What the calls come to; always kept.
    """

    run: str
    status: str
    began: int
    end: int
    events: list[AnyEvent]
    calls: list[Made]
    machine: RunMachine
    sums: Sums

    @property
    def took(self) -> int:
        """How long it took, in nanoseconds."""
        return self.end - self.began

    @property
    def output(self) -> Json:
        """What the run gave, if it has."""
        end = self.machine.end
        return None if end is None else end.output

    def digest(self) -> str:
        """Name all that happened, byte for byte.

        Raises:
            ValueError: It was not kept.
        """
        if len(self.events) != self.sums.events:
            raise ValueError(
                f"the events of {self.run!r} were not kept; play it with keep='events'"
            )
        encode = msgspec.json.Encoder().encode
        return digest(b"\n".join(map(encode, self.events)))


class Flight(msgspec.Struct, gc=False, eq=False):
    """A call in flight; what it gives is known already, to nobody here.

    Fields:
        call: Its name.
        key: Its name over all runs.
        act: How it turns out.
        agent: Who does it.
        ready: Since when it could have run.
        began: When it left.
        waits: What it waited for.
        plain: Whether it holds slots of its run alone.
        over: Whether it has ended, or was stopped before its end.
    """

    call: Call
    key: Key
    act: Act
    agent: str
    ready: int
    began: int
    waits: tuple[Wait, ...]
    plain: bool
    over: bool = False

    @property
    def sent_at(self) -> int | None:
        """When it left."""
        return self.began

    @property
    def heard_at(self) -> int | None:
        """When the peer began to answer."""
        act = self.act
        return self.began + (act.lasts if act.heard is None else act.heard)


class Live:
    """One run under way.

    Args:
        part: It.
        stage: Its spec, prepared.
        past: What is known of how long calls take.
        number: Its place among the runs of the simulation.
        keep: What to keep of it.

    Attributes:
        open: Whether it has begun and is not over, and a process has it.
        touched: Whether something has happened to it at this instant.
        timer: An instant before which no timer of it is due, as it is noted down.
        back: While no process has the run: when one will.
        mortal: Whether a process has it that is not its first.
        doubts: The paths of held calls about which people have been asked.
        spending: What was spent, if that must outlive a process.

    Raises:
        ValueError: Its deaths do not come one after the other.
    """

    def __init__(self, part: Part, stage: Stage, past: Durations, number: int, keep: Keep) -> None:
        _check(part.deaths)
        self.part = part
        self.spec = stage.spec
        self.number = number
        self.room = room_of(part.run, 1)
        self.machine = stage.machine()
        self.claims = stage.claims(part.run)
        self.starts: dict[Call, StartCall] = {}
        self.flights: dict[Call, Flight] = {}
        self.events: list[AnyEvent] = []
        self.made: list[Made] = []
        self.sums = Sums()
        self._keeps_events = keep == "events"
        self._keeps_calls = keep != "sums"
        self.held = False
        self.open = False
        self.touched = False
        self.timer = NEVER
        self.back: int | None = None
        self.mortal = False
        self.doubts: dict[str, None] = {}
        self.spending = Spending() if part.deaths else None
        event = RunStarted(
            at=part.at,
            run=part.run,
            spec=stage.spec,
            digest=stage.digest,
            inputs=dict(part.inputs),
            seed=part.seed,
            versions=stage.versions,
            program=PROGRAM,
        )
        self.take(event)
        self.prospect = stage.prospect(self.machine, past)

    def take(self, event: AnyEvent) -> None:
        """Take an event in.

        Raises:
            Refused: It is somebody's request, and does not fit the present state.
        """
        self.machine.apply(event)
        self.sums.events += 1
        if self._keeps_events:
            self.events.append(event)
        if self.spending is not None:
            self.spending.add(event)

    def made_of(self, flight: Flight, at: int, how: str, usage: Usage | None) -> None:
        """Note how a call ended."""
        flight.over = True
        waits, sums = flight.waits, self.sums
        sums.add(how, usage, waits)
        sums.last = at
        if self._keeps_calls:
            began, ready = flight.began, flight.ready
            made = flight.call, flight.agent, ready, began, at, how, usage, waits
            # As `Made(*made)` does, which takes three times as long.
            self.made.append(tuple.__new__(Made, made))

    def enter(self, admission: Admission, at: int) -> None:
        """Let its calls wait for limits from now on."""
        self.open = True
        spec, deadline = self.spec, self.spec.deadline
        admission.open(
            self.room,
            self.claims.limits,
            at,
            priority=spec.priority,
            weight=spec.weight,
            deadline=None if deadline is None else self.part.at + deadline,
        )

    def hold(self, admission: Admission, at: int) -> None:
        """Let none of its calls through while it is paused."""
        holds = not self.machine.admits
        if holds == self.held or not self.open:
            return
        self.held = holds
        if holds:
            admission.hold(self.room, PAUSE, at)
        else:
            admission.free(self.room, at)

    def stranded(self, start: StartCall, job: Job, admission: Admission, at: int) -> str:
        """Name the limit of a call whose endpoint is down while others could do the call, or ""."""
        if job.agent + 1 >= len(job.spec.agents):
            return ""
        for name, _ in self.claims.of(start.agent, job.spec.uses).units:
            if admission.limit(name, self.room).state().breaker.until > at:
                return name
        return ""

    def doubtful(self, people: People, at: int) -> list[AnyEvent]:
        """Say what people will decide about calls of which nobody knows whether they were done."""
        decided: list[AnyEvent] = []
        for job in self.machine.calls.held() if people.after is not None else ():
            if job.path not in self.doubts:
                self.doubts[job.path] = None
                decided.append(people.decide(job.path, at + (people.after or 0)))
        return decided

    def settled(self, answer: AnyEvent) -> bool:
        """Tell whether what is said of a held call comes too late: nobody holds it any more."""
        if isinstance(answer, RetryRequested | InputGiven) and answer.path in self.doubts:
            del self.doubts[answer.path]
            job = self.machine.calls.jobs.get(answer.path)
            return job is None or job.state != "held"
        return False

    def asked(self, start: StartCall, job: JobSpec, at: int) -> Asked:
        """Say what the agent of a call is asked.

        Raises:
            ExprError: A template asks for what is not there.
        """
        call, part = start.call, self.part
        path = call.path
        given = self.machine.workflow.request(path)
        asked = part.run, start.agent, path, call.attempt, given, job, part.seed, at
        # As `Asked(*asked)` does, which takes three times as long.
        return tuple.__new__(Asked, asked)

    def result(self) -> Played:
        """Say how it went."""
        machine = self.machine
        return Played(
            self.part.run,
            machine.said,
            machine.started_at,
            machine.at,
            self.events,
            self.made,
            machine,
            self.sums,
        )


def _check(deaths: tuple[tuple[int, int], ...]) -> None:
    alive = 0
    for at, back in deaths:
        if not alive <= at < back:
            raise ValueError(
                f"a death from {at} to {back} ns does not fit: each comes after the return from "
                "the one before, and before its own"
            )
        alive = back
