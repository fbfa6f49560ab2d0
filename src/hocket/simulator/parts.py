"""One run of a simulation: what it is asked to do, its state under way, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from hocket.core.commands import StartCall
from hocket.core.errors import SpecError
from hocket.core.events import AnyEvent, InputGiven, RetryRequested, RunStarted, Usage, Wait
from hocket.core.jobs import Job
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec, RunSpec, spec_digest
from hocket.core.values import Call, Json, digest
from hocket.engine.claims import Claims
from hocket.engine.outlook import Prospect
from hocket.forecast.durations import Durations
from hocket.limits.admission import PAUSE, Admission
from hocket.limits.claim import room_of
from hocket.limits.spending import Spending
from hocket.simulator.agents import Act, Asked
from hocket.workflows.check import problems
from hocket.workflows.plan import VERSION, make_plan
from hocket.workflows.teams import versions_of

PROGRAM: Final = "hocket simulation"
_WORKFLOWS: Final = {"plan": make_plan}


class Part(NamedTuple):
    """One run of a simulation.

    Fields:
        spec: What to do.
        inputs: The workflow's inputs.
        run: Its id, unique in the simulation.
        seed: Where its chance comes from.
        at: When it begins, in nanoseconds.
        deaths: When its process dies, and when another one takes the run up, both counted from its
            beginning; one after the other.
    """

    spec: RunSpec
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


class Played(NamedTuple):
    """How a run went.

    Fields:
        run: Its id.
        status: ``succeeded``, ``failed`` or ``cancelled``; ``paused`` or ``running`` if nothing
            more could happen.
        began: When it began.
        end: When it ended, or when the last thing happened.
        events: All that happened.
        calls: The calls that were made, in the order of their ends.
        machine: The run's machine, for its results and reports.
    """

    run: str
    status: str
    began: int
    end: int
    events: list[AnyEvent]
    calls: list[Made]
    machine: RunMachine

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
        """Name all that happened, byte for byte."""
        encode = msgspec.json.Encoder().encode
        return digest(b"\n".join(map(encode, self.events)))


class Flight:
    """A call in flight; what it gives is known already, to nobody here."""

    __slots__ = ("act", "agent", "began", "ready", "waits")

    def __init__(
        self, act: Act, agent: str, ready: int, began: int, waits: tuple[Wait, ...]
    ) -> None:
        self.act = act
        self.agent = agent
        self.ready = ready
        self.began = began
        self.waits = waits

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

    Attributes:
        back: While no process has the run: when one will.
        mortal: Whether a process has it that is not its first.
        doubts: The paths of held calls about which people have been asked.
        spending: What was spent, if that must outlive a process.

    Raises:
        SpecError: It cannot be run.
        ValueError: Its deaths do not come one after the other.
    """

    def __init__(self, part: Part, past: Durations) -> None:
        wrong = problems(part.spec)
        if wrong:
            raise SpecError(wrong)
        _check(part.deaths)
        self.part = part
        self.room = room_of(part.run, 1)
        self.machine = RunMachine(_WORKFLOWS)
        self.claims = Claims(part.run, part.spec, _capacity)
        self.starts: dict[Call, StartCall] = {}
        self.flights: dict[Call, Flight] = {}
        self.events: list[AnyEvent] = []
        self.made: list[Made] = []
        self.held = False
        self.open = False
        self.back: int | None = None
        self.mortal = False
        self.doubts: dict[str, None] = {}
        self.spending = Spending() if part.deaths else None
        event = RunStarted(
            at=part.at,
            run=part.run,
            spec=part.spec,
            digest=spec_digest(part.spec),
            inputs=dict(part.inputs),
            seed=part.seed,
            versions={"plan": VERSION, **versions_of(part.spec)},
            program=PROGRAM,
        )
        self.machine.apply(event)
        self.events.append(event)
        self.prospect = Prospect(self.machine, past)

    def take(self, event: AnyEvent) -> None:
        """Take an event in.

        Raises:
            Refused: It is somebody's request, and does not fit the present state.
        """
        self.machine.apply(event)
        self.events.append(event)
        if self.spending is not None:
            self.spending.add(event)

    def enter(self, admission: Admission, at: int) -> None:
        """Let its calls wait for limits from now on."""
        self.open = True
        spec, deadline = self.part.spec, self.part.spec.deadline
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

    def settled(self, answer: AnyEvent) -> bool:
        """Tell whether what is said of a held call comes too late: nobody holds it any more."""
        if isinstance(answer, RetryRequested | InputGiven) and answer.path in self.doubts:
            del self.doubts[answer.path]
            job = self.machine.calls.jobs.get(answer.path)
            return job is None or job.state != "held"
        return False

    def asked(self, start: StartCall, at: int) -> Asked:
        """Say what the agent of a call is asked.

        Raises:
            ExprError: A template asks for what is not there.
        """
        call = start.call
        job, given = self.machine.request(call)
        part = self.part
        return Asked(part.run, start.agent, call.path, call.attempt, given, job, part.seed, at)

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
        )


def _capacity(name: str, spec: AgentSpec) -> int | None:
    """A simulated agent takes as many calls as it is said to: it needs no processor."""
    return spec.concurrency


def _check(deaths: tuple[tuple[int, int], ...]) -> None:
    alive = 0
    for at, back in deaths:
        if not alive <= at < back:
            raise ValueError(
                f"a death from {at} to {back} ns does not fit: each comes after the return from "
                "the one before, and before its own"
            )
        alive = back
