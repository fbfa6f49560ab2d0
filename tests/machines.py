"""A vocabulary for tests of machines: specs and events in a word, a `Drive`, states to compare.

A `Drive` applies events to a machine as a shell would, but nothing happens by itself:
a call starts as soon as it may, and ends when the test says so.
After each event every invariant is checked, and a machine folded from the events so far must be
equal to the one that has lived through them, and so must a fork.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from hocket.core.commands import Command, Record, StartCall
from hocket.core.errors import Fault, FaultKind, Refused
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    CancelRequested,
    ContinueRequested,
    InputGiven,
    PauseRequested,
    RetryRequested,
    RunResumed,
    RunStarted,
    SpecReplaced,
    TimePassed,
)
from hocket.core.people import asking_call, question_path
from hocket.core.run import RunMachine
from hocket.core.specs import (
    AgentSpec,
    InputSpec,
    PlanSpec,
    RunSpec,
    StepSpec,
    spec_digest,
)
from hocket.core.values import SECOND, Call, Json, digest, parse_duration
from hocket.workflows.check import problems
from hocket.workflows.floor import join
from hocket.workflows.live import Live, read_place, unit_path
from hocket.workflows.plan import PlanMachine, make_plan
from hocket.workflows.team import Team

AGENTS = {
    "f": AgentSpec(kind="function"),
    "g": AgentSpec(kind="function"),
    "shell": AgentSpec(kind="command", effects=True),
}


def step(name: str, **fields: Any) -> StepSpec:
    """A step that calls agent f unless told otherwise; durations may be texts."""
    kind = fields.get("kind", "call")
    if kind == "call":
        fields.setdefault("agent", "f")
    for field in ("timeout", "within"):
        if isinstance(fields.get(field), str):
            fields[field] = parse_duration(fields[field])
    for field in ("needs", "wants", "fallback"):
        if isinstance(fields.get(field), str):
            fields[field] = tuple(fields[field].split())
    return StepSpec(name=name, **fields)


def plan(*steps: StepSpec, **fields: Any) -> PlanSpec:
    """A plan called p; inputs named in a text are required ones."""
    if isinstance(fields.get("inputs"), str):
        fields["inputs"] = {name: InputSpec() for name in fields["inputs"].split()}
    if isinstance(fields.get("timeout"), str):
        fields["timeout"] = parse_duration(fields["timeout"])
    return PlanSpec(name=fields.pop("name", "p"), steps=steps, **fields)


def run_spec(
    workflow: PlanSpec, agents: dict[str, AgentSpec] | None = None, **fields: Any
) -> RunSpec:
    return RunSpec(workflow=workflow, agents=AGENTS if agents is None else agents, **fields)


def new_machine() -> RunMachine:
    return RunMachine({"plan": make_plan})


def fold(events: Iterable[AnyEvent], machine: RunMachine | None = None) -> RunMachine:
    """The machine that follows from events; `machine` is a new one to apply them to."""
    machine = machine or new_machine()
    for event in events:
        machine.apply(event)
    return machine


class Drive:
    """A run under a test's hand; time is in seconds since its start.

    Args:
        steps: The plan, or its steps.
        inputs: The run's inputs.
        agents: Who there is instead of `AGENTS`.
        run: What else the run's spec says: limits, priority.
        start: Whether calls start by themselves as soon as they may.
        thorough: Whether to compare with a fold and a fork after each event.
        checked: Whether to check invariants after each event.
        hedge: After how long calls of steps with ``hedge`` get a second one beside them.
    """

    def __init__(
        self,
        *steps: StepSpec | PlanSpec,
        inputs: dict[str, Json] | None = None,
        agents: dict[str, AgentSpec] | None = None,
        run: dict[str, Any] | None = None,
        start: bool = True,
        thorough: bool = True,
        checked: bool = True,
        hedge: float | None = None,
        **fields: Any,
    ) -> None:
        first = steps[0]
        workflow = first if isinstance(first, PlanSpec) else plan(*steps, **fields)  # type: ignore[arg-type]
        self.spec = run_spec(workflow, agents, **(run or {}))
        assert problems(self.spec) == []
        self.machine = new_machine()
        self.events: list[AnyEvent] = []
        self.asked: dict[str, StartCall] = {}
        self.stops: list[tuple[str, str, bool]] = []
        self.told: list[str] = []
        """The same stops, with the names of their calls."""
        self.start = start
        self.thorough = thorough and checked
        self.checked = checked
        self.hedge = None if hedge is None else round(hedge * SECOND)
        self._following = False
        self.apply(
            RunStarted(
                at=0,
                run="r1",
                spec=self.spec,
                digest=spec_digest(self.spec),
                inputs=inputs or {},
                seed=7,
                versions={"plan": 1},
                program="test",
            )
        )

    # -- events -----------------------------------------------------------------------------

    @property
    def at(self) -> int:
        return self.machine.at

    def apply(self, event: AnyEvent) -> Drive:
        self.machine.apply(event)
        self.events.append(event)
        self._look()
        self._follow()
        return self

    # Where a job has two calls, `n` names one of them by its attempt.

    def done(self, path: str, output: Json = None, *, n: int = 0) -> Drive:
        """The call in flight at a path gives an output."""
        return self.apply(CallFinished(at=self.at, call=self.call(path, n), output=output))

    def fails(self, path: str, kind: FaultKind = "failed", *, n: int = 0, **fields: Any) -> Drive:
        """The call in flight at a path fails."""
        fault = Fault(kind=kind, message=fields.pop("message", "broken"), **fields)
        return self.apply(CallFailed(at=self.at, call=self.call(path, n), fault=fault))

    def stopped(self, path: str, reason: str = "stop", *, n: int = 0) -> Drive:
        """The call in flight at a path was stopped."""
        return self.apply(CallCancelled(at=self.at, call=self.call(path, n), reason=reason))

    def pause(self, by: str = "test", reason: str = "") -> Drive:
        return self.apply(PauseRequested(at=self.at, by=by, reason=reason))

    def go_on(self) -> Drive:
        return self.apply(ContinueRequested(at=self.at, by="test"))

    def cancel(self, *, hard: bool = False) -> Drive:
        return self.apply(CancelRequested(at=self.at, by="test", hard=hard))

    def retry(self, path: str = "") -> Drive:
        return self.apply(RetryRequested(at=self.at, path=path, by="test"))

    def approve(self, path: str, approved: bool = True, note: str = "") -> Drive:
        asked = [e for e in self.said("ApprovalAsked") if e.path == path]
        mark = asked[-1].digest if asked else "none"
        return self.apply(
            ApprovalGiven(
                at=self.at, path=path, approved=approved, digest=mark, by="ann", note=note
            )
        )

    def asks(self, path: str, shown: str = "rm x", patience: float = 300, *, n: int = 0) -> str:
        """The call in flight at a path asks a person; gives the question's path."""
        call = self.call(path, n)
        number = sum(asking_call(e.path) == call for e in self.said("ApprovalAsked")) + 1
        question = question_path(call, number)
        self.apply(
            ApprovalAsked(
                at=self.at,
                path=question,
                shown=shown,
                digest=digest(shown.encode()),
                expires=self.at + round(patience * SECOND),
            )
        )
        return question

    def send(self, path: str, value: Json) -> Drive:
        return self.apply(InputGiven(at=self.at, path=path, value=value, by="ann"))

    def replace(self, *steps: StepSpec | PlanSpec, **fields: Any) -> Drive:
        """The spec is changed; the agents stay unless given."""
        agents = fields.pop("agents", self.spec.agents)
        first = steps[0]
        workflow = first if isinstance(first, PlanSpec) else plan(*steps, **fields)  # type: ignore[arg-type]
        replaced = {"workflow": workflow, "agents": agents}
        self.spec = msgspec.structs.replace(self.spec, **replaced)
        assert problems(self.spec) == []
        return self.apply(SpecReplaced(at=self.at, spec=self.spec, digest=spec_digest(self.spec)))

    def crash(self, resume: bool = True) -> Drive:
        """The process dies; another one takes the run up."""
        lost = self.machine.calls.in_flight()
        self.machine = fold(self.events)
        self.asked.clear()
        self.stops.clear()
        self.told.clear()
        if resume:
            epoch = self.machine.epoch + 1
            self.apply(RunResumed(at=self.at, epoch=epoch))
            for call in lost:
                self.apply(CallLost(at=self.at, call=call))
        return self

    def wait(self, seconds: float) -> Drive:
        """Time passes, and the machine is woken whenever it wants to be."""
        end = self.at + round(seconds * SECOND)
        while (due := self.machine.deadline()) is not None and due <= end:
            self.apply(TimePassed(at=max(due, self.at)))
            later = self.machine.deadline()
            assert later is None or later > due, "woken for nothing"
        if end > self.at:
            self.apply(TimePassed(at=end))
        return self

    def refused(self, event: AnyEvent) -> str:
        """The machine refuses a request and is as it was before; gives what it says."""
        before = state_of(self.machine)
        try:
            self.machine.apply(event)
        except Refused as error:
            assert state_of(self.machine) == before
            assert self.machine.drain() == []
            return str(error)
        raise AssertionError(f"not refused: {event}")

    def ignored(self, event: AnyEvent) -> Drive:
        """The machine ignores an event, but counts it."""
        before = state_of(self.machine)
        count = self.machine.calls.ignored
        self.apply(event)
        assert self.machine.calls.ignored == count + 1
        self.machine.calls.ignored = count
        at, self.machine.at = self.machine.at, before["at"]
        assert state_of(self.machine) == before
        self.machine.calls.ignored, self.machine.at = count + 1, at
        return self

    # -- questions --------------------------------------------------------------------------

    def call(self, path: str, n: int = 0) -> Call:
        """The call in flight at a path, or the one that has number `n`."""
        if n:
            assert Call(path, n) in self.machine.calls.in_flight(), f"{path}#{n} has landed"
            return Call(path, n)
        job = self.machine.calls.jobs[path]
        assert job.call in job.in_flight, f"{path} is {job.state}"
        return job.call

    @property
    def names(self) -> list[str]:
        """The calls in flight by name."""
        return [str(call) for call in self.machine.calls.in_flight()]

    @property
    def flying(self) -> list[str]:
        """The paths of the calls in flight."""
        return [call.path for call in self.machine.calls.in_flight()]

    @property
    def held(self) -> list[str]:
        return [job.path for job in self.machine.calls.held()]

    @property
    def phase(self) -> str:
        return self.machine.said

    @property
    def output(self) -> Json:
        assert self.machine.end is not None
        return self.machine.end.output

    @property
    def reason(self) -> str:
        assert self.machine.end is not None
        return self.machine.end.reason

    def said(self, kind: str) -> list[Any]:
        """The facts of a kind so far."""
        return [event for event in self.events if type(event).__name__ == kind]

    def status(self, path: str = "") -> Any:
        """The states of the steps, or of one."""
        states = {view.path: view.status for view in self.machine.workflow.view()}
        return states[path] if path else states

    def detail(self, path: str) -> str:
        return next(v.detail for v in self.machine.workflow.view() if v.path == path)

    def given(self, path: str) -> Json:
        """What the agent gets for the job at a path."""
        return self.machine.request(self.machine.calls.jobs[path].call)[1]

    def agent(self, path: str) -> str:
        return self.machine.calls.jobs[path].agent_name

    # -- within -----------------------------------------------------------------------------

    def _look(self) -> None:
        if self.checked:
            self.machine.check()
        if self.thorough:
            state = state_of(self.machine)
            assert state_of(fold(self.events)) == state, "a fold differs"
            assert state_of(self.machine.fork()) == state, "a fork differs"

    def _follow(self) -> None:
        """Do as the machine says until it says nothing more."""
        if self._following:
            return
        self._following = True
        try:
            while True:
                commands = self.machine.drain()
                for command in commands:
                    self._command(command)
                if self.start and self.machine.admits and self.asked:
                    self.launch(next(iter(self.asked)))
                elif not commands:
                    break
        finally:
            self._following = False

    def _command(self, command: Command) -> None:
        if isinstance(command, Record):
            self.apply(msgspec.structs.replace(command.event, at=self.at))
            return
        path = command.call.path
        if isinstance(command, StartCall):
            assert path not in self.asked, "two calls of a path wait for their start"
            self.asked[path] = command
        elif path in self.asked and self.asked[path].call == command.call:
            del self.asked[path]
        else:
            self.stops.append((path, command.reason, command.hard))
            self.told.append(f"{command.call} {command.reason}{' hard' * command.hard}")

    def launch(self, path: str, **fields: Any) -> Drive:
        """An asked call starts."""
        asked = self.asked.pop(path)
        hedged = not asked.hedge and self.machine.calls.jobs[path].spec.hedge is not None
        return self.apply(
            CallStarted(
                at=self.at,
                call=asked.call,
                agent=asked.agent,
                hedge_after=self.hedge if hedged else None,
                hedge=asked.hedge,
                **fields,
            )
        )


# -- states ---------------------------------------------------------------------------------


def state_of(machine: RunMachine) -> dict[str, Any]:
    """All that matters of a run machine's state, but what was drained, as plain values."""
    calls = machine.calls
    return {
        "phase": machine.phase,
        "run": (machine.run, machine.digest, machine.epoch, machine.started_at),
        "at": machine.at,
        "pause": machine.pause_reason,
        "forecast": machine.forecast,
        "end": machine.end,
        "deadline": machine.deadline() if machine.phase != "new" else None,
        "jobs": {
            path: tuple(getattr(job, name) for name in type(job).__slots__)
            for path, job in calls.jobs.items()
        },
        "running": calls.running,
        "late": list(calls._late),
        "people": (dict(calls.people.open), dict(calls.people._expires)),
        "gate": (machine.gate.passed, machine.gate.expires, machine.gate._asked),
        "standing": dict(calls.timers.standing),
        "ignored": calls.ignored,
        "names": (calls._highest, calls._base, dict(calls._attempts), dict(calls._unsure)),
        "workflow": plan_state(machine.workflow) if machine.phase != "new" else None,
    }


def plan_state(machine: Any) -> dict[str, Any]:
    """All that matters of a nested workflow's state."""
    if isinstance(machine, Team):
        return team_state(machine)
    assert isinstance(machine, PlanMachine)
    state = machine._state
    progress = state.progress
    return {
        "moves": list(machine.moves),
        "over": machine.over,
        "fatal": state.fatal,
        "begun": state.begun,
        "status": bytes(progress.status),
        "counts": list(progress.counts),
        "left": [n for n, s in zip(progress.left, progress.status, strict=True) if s == 0],
        "wants": dict(progress.wants),
        "outputs": {index: progress.outputs[index] for index in sorted(progress.outputs)},
        "faults": dict(progress.faults),
        "skipped": dict(progress.skipped_by),
        "ready": [i for i in progress.ready if progress.status[i] == 0],
        "patience": dict(state.patience),
        "late": dict(state.late),
        "rounds": list(state.rounds),
        "why": dict(state.why),
        "live": {index: live_state(live) for index, live in state.live.items()},
        "carried": {name: live_state(live) for name, live in state.carried.items()},
        "heirs": sorted(state.heirs),
        "deadline": machine.deadline(),
    }


def team_state(team: Team) -> dict[str, Any]:
    """All that matters of a team's state."""
    return {
        "given": team.given,
        "kept": dict(team._kept),
        "floor": plain(team.floor, ("agents", "step", "_deadlines")),
        "rules": plain(team.rules, ("floor", "agents", "facts")),
        "deadline": team.deadline(),
        "report": team.reports(),
    }


_ATOMS = frozenset({str, int, float, bool, type(None)})


def plain(value: Any, without: tuple[str, ...] = ()) -> Any:
    """Any object of ours as plain values that can be compared."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        return [(k, v if type(v) in _ATOMS else plain(v)) for k, v in value.items()]
    if kind is list or isinstance(value, tuple | deque):
        return [v if type(v) in _ATOMS else plain(v) for v in value]
    if isinstance(value, msgspec.Struct):
        return value if value.__struct_config__.frozen else plain(msgspec.structs.astuple(value))
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    names = getattr(value, "__slots__", ()) or vars(value)
    return [(name, plain(getattr(value, name), without)) for name in names if name not in without]


def live_state(live: Live[Any]) -> tuple[Any, ...]:
    return (
        live.anew,
        live.items,
        list(live.results),
        live.undone,
        dict(live.rounds),
        dict(live.base),
        dict(live.previous),
        {path: (asked.digest, asked.expires) for path, asked in live.asked.items()},
        dict(live.approved),
        dict(live.bound),
        dict(live.watched),
        {path: plan_state(child) for path, child in live.children.items()},
    )


def open_questions(machine: RunMachine) -> dict[str, int | None]:
    """The paths at which people are waited for, and until when."""
    return {} if machine.phase in ("new", "ended") else _questions(machine.workflow)


def _questions(machine: Any) -> dict[str, int | None]:
    if isinstance(machine, Team):
        talks = {path: asked.talk for path, asked in machine.floor.asked.items() if asked.talk}
        calls = {join(path, v.path): talk for path, talk in talks.items() for v in talk.view()}
        return {path: talk.deadline() for path, talk in calls.items()}
    assert isinstance(machine, PlanMachine)
    found: dict[str, int | None] = {}
    if machine.over:
        return found
    for index, live in machine._state.live.items():
        if not machine._state.progress.done(index):
            found.update((path, asked.expires) for path, asked in live.asked.items())
            for path, child in live.children.items():
                found.update((f"{path}/{p}", until) for p, until in _questions(child).items())
    return found


def lists_of(machine: RunMachine, path: str) -> list[Json]:
    """The lists whose items a path is about, outer ones first."""
    found: list[Json] = []
    workflow: Any = machine.workflow
    while (place := read_place(path)) is not None:
        live = workflow._state.live.get(workflow.shape.index[place.name])
        found.append(None if live is None else live.items)
        outer = unit_path(place.name, place.item, place.round)
        if not place.rest or live is None or outer not in live.children:
            break
        workflow, path = live.children[outer], place.rest
        if isinstance(workflow, Team):
            found.append(workflow.given)
            break
    return found
