"""The machine of a run: what is to be done next, computed from what has happened.

`RunMachine.apply` takes one event in; `drain` gives the commands that follow.
It knows no clock, no loop and no agent, only facts, and holds the workflow that decides which jobs
there are.

    new ──run_started──> running ──pause──> pausing, which is paused once nothing is in flight
                         │   ^ ^────────────continue──────────┘
                         │   └───────retry of a failed step────────┐
                         └──the workflow's end, cancel──> ending ──run_ended──> ended

An event that no longer matches is ignored and counted: a late reply must never break a run.
A person's request that makes no sense is refused before anything changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Self, TypeAlias

import msgspec

from hocket.core.calls import Calls, Ended, broken_rules, broken_run
from hocket.core.commands import Command, Record
from hocket.core.errors import EngineBug, Refused
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
    Forecasted,
    InputAsked,
    InputGiven,
    LimitChanged,
    PauseRequested,
    RetryRequested,
    RunEnded,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    StepSkipped,
    TimePassed,
    Usage,
)
from hocket.core.gate import GATE, Gate
from hocket.core.machine import (
    Departure,
    Do,
    Drop,
    End,
    Halt,
    JobSpec,
    Landing,
    Say,
    StepStatus,
    StepView,
    Workflow,
    WorkflowFactory,
)
from hocket.core.people import Decided, asking_call
from hocket.core.retry import patient
from hocket.core.specs import RunSpec
from hocket.core.values import Call, Json
from hocket.core.views import counted, shown, stands

Phase: TypeAlias = Literal["new", "running", "pausing", "ending", "ended"]
OPEN: Final = frozenset({"running", "pausing"})


class RunMachine:
    """The state of one run, folded from its events.

    Args:
        workflows: How to make the workflow of each kind of spec, by its tag.
    """

    workflow: Workflow
    spec: RunSpec

    def __init__(self, workflows: Mapping[str, WorkflowFactory]) -> None:
        self._workflows = workflows
        self.phase: Phase = "new"
        self.calls = Calls()
        self.run = ""
        self.digest = ""
        self.inputs: dict[str, Json] = {}
        self.epoch = 1
        self.at = 0
        """The instant of the last event."""
        self.started_at = 0
        self.pause_reason = ""
        self.end: RunEnded | None = None
        """How the run ended, or is about to."""
        self.foreseen: Forecasted | None = None
        """What was first forecast of the run's end."""
        self.forecast: Forecasted | None = None
        """What was last forecast of it."""
        self.questions: dict[str, ApprovalAsked | InputAsked] = {}
        """What people have been asked of steps and have not answered, by path."""
        self.decided = Decided()
        """What people have approved and rejected."""
        self.gate = Gate()
        """Whether a person is to approve of the whole before anything begins."""
        self.records: dict[tuple[str, str], Record] = {}
        """Facts that are to be recorded and have not been."""
        self._aboard: dict[Call, str] = {}
        """Who does each call in flight of whose start the workflow was told."""
        self._told_end = False

    def apply(self, event: AnyEvent) -> None:
        """Take one event in.

        Raises:
            Refused: A person's request does not fit the present state; nothing has changed.
            EngineBug: The event cannot follow what came before.
        """
        if event.at < self.at:
            raise EngineBug(f"time went back from {self.at}", (event,))
        at, kind = event.at, type(event)
        if (self.phase == "new") != (kind is RunStarted):
            raise EngineBug("a run begins with run_started, once", (event,))
        _APPLY[kind](self, event)
        self.at = at
        if self.workflow.moves:
            self._take_moves(at)
        if self.phase == "ending" and not self._told_end and self._nothing_flies:
            self._told_end = True
            assert self.end is not None
            self._note("RunEnded", "", msgspec.structs.replace(self.end, at=event.at))

    def drain(self) -> list[Command]:
        """Give the commands that have come up since the last call: facts, stops, starts.

        After a fold these are all that is still to be done.
        """
        out = self.calls.out
        if not (self.records or out.cancels):
            only: list[Command] = [*out.starts.values()]
            out.starts.clear()
            return only
        cancels, starts = out.drain()
        records = list(self.records.values())
        self.records.clear()
        return [*records, *cancels, *starts]

    def deadline(self) -> int | None:
        """Give the instant at which `TimePassed` is due, if ever."""
        if self.phase not in OPEN:
            return None
        ours, theirs = self.calls.deadline(admits=self.admits), self.workflow.deadline()
        if not self.gate.passed:
            # Nothing has begun, so nothing else has a time.
            return self.gate.expires
        if ours is None or theirs is None:
            return theirs if ours is None else ours
        return min(ours, theirs)

    def request(self, call: Call) -> tuple[JobSpec, Json]:
        """Render what the agent gets for a call.

        Raises:
            ExprError: A template asks for what is not there.
        """
        return self.calls.jobs[call.path].spec, self.workflow.request(call.path)

    @property
    def admits(self) -> bool:
        """Whether calls may start now."""
        return self.phase == "running"

    @property
    def paused(self) -> bool:
        """Whether the run is paused and nothing is in flight any more."""
        return self.phase == "pausing" and not self.calls.running

    @property
    def waits_for_people(self) -> bool:
        """Whether nothing can happen until a person or an outside event answers."""
        jobs = self.calls.jobs.values()
        return self.phase == "running" and all(job.state == "held" for job in jobs)

    @property
    def said(self) -> str:
        """The phase as people call it: ``running``, ``paused``, ``succeeded`` and so on."""
        if self.phase == "ended" and self.end is not None:
            return self.end.status
        return {"pausing": "paused" if self.paused else "pausing"}.get(self.phase, self.phase)

    def view(self) -> list[StepView]:
        """Give every step's state, nested ones after theirs."""
        return shown(self.workflow.view(), self.workflow, self.calls, self.phase)

    def counts(self) -> dict[StepStatus, int]:
        """Count the steps by their state, nested ones within theirs; as cheap as `counted`."""
        return counted(self.workflow, self.calls, self.phase)

    def fork(self) -> Self:
        """Copy the machine; what has finished is shared, so it costs what is live."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.calls = self.calls.fork()
        other.workflow = self.workflow.fork()
        other.questions = self.questions.copy()
        other.decided = self.decided.fork()
        other.gate = self.gate.fork()
        other.records = self.records.copy()
        other._aboard = self._aboard.copy()
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        wanted = sorted(self.workflow.jobs()) if self.phase in OPEN else None
        broken = broken_rules(self.calls) + broken_run(
            self.calls, self.phase, self.end, self.gate, wanted, admits=self.admits
        )
        if broken:
            raise EngineBug("; ".join(broken))
        if self.phase in OPEN and self.gate.passed:
            self.workflow.check()

    # -- within -----------------------------------------------------------------------------

    def _adopt_spec(self, spec: RunSpec, digest: str) -> None:
        self.spec = spec
        self.digest = digest
        factory = self._workflows[str(spec.workflow.__struct_config__.tag)]
        facts = {"id": self.run, "name": spec.name}
        self.workflow = factory(spec.workflow, patient(spec), self.inputs, facts)

    def _ended(self, ended: Ended, at: int) -> None:
        if ended.late:
            self.workflow.keep(ended.path, ended.output)
        else:
            self.workflow.ended(ended.path, ended.output, ended.fault, at)

    def _take_moves(self, at: int) -> None:
        workflow, calls = self.workflow, self.calls
        moves = workflow.moves[:]
        workflow.moves.clear()
        for move in moves:
            if type(move) is Do:
                if self.phase in OPEN:
                    calls.do(move.path, move.spec, at, anew=move.anew)
            elif isinstance(move, Drop):
                calls.drop(move.path, "stop")
            elif isinstance(move, Say):
                self._note(type(move.event).__name__, move.event.path, move.event)
            elif isinstance(move, Halt):
                if self.phase == "running":
                    self._begin_pause(move.reason, at)
            elif isinstance(move, End) and self.phase in OPEN:
                self._begin_end(move, at, "stop", hard=False)

    @property
    def _nothing_flies(self) -> bool:
        # A call that has lost to another of its job may land after the last job.
        return not self.calls.jobs and not self.calls.running

    def _begin_pause(self, reason: str, at: int) -> None:
        self.phase = "pausing"
        self.pause_reason = reason
        self.calls.pause(at)

    def _begin_end(self, move: End, at: int, reason: str, *, hard: bool) -> None:
        self.phase = "ending"
        self._told_end = False
        self.end = RunEnded(at=at, status=move.status, reason=move.reason, output=move.output)
        self.calls.drop("", reason, hard=hard)

    def _note(self, kind: str, path: str, event: Any) -> None:
        self.records[kind, path] = Record(event)


# -- one function for each kind of event ----------------------------------------------------


def _run_started(run: RunMachine, event: RunStarted) -> None:
    run.run = event.run
    run.inputs = event.inputs
    run.started_at = event.at
    run.calls.seed = event.seed
    run._adopt_spec(event.spec, event.digest)
    run.phase = "running"
    _begin(run, event.at)


def _begin(run: RunMachine, at: int) -> None:
    run.gate.begin(run.workflow, run.spec, run.digest, run.inputs, at)


def _run_resumed(run: RunMachine, event: RunResumed) -> None:
    run.epoch = event.epoch
    if run.phase == "pausing":
        run.phase = "running"
        run.pause_reason = ""
        run.gate.resumed(event.at)
        run.workflow.resumed(event.at)


def _spec_replaced(run: RunMachine, event: SpecReplaced) -> None:
    if run.phase == "ending" or (run.end is not None and run.end.status != "failed"):
        raise Refused(f"the run {stands(run.said)}; its spec cannot change any more")
    if run.calls.running or run.calls.held():
        raise Refused("calls are in flight or held; let them end or decide about them first")
    run.gate.replaced(run.workflow, run.spec.agents)
    run.calls.drop("", "stop")
    run.calls.restart_names()
    run.records.clear()
    run.questions.clear()
    run._adopt_spec(event.spec, event.digest)
    run.phase = "running"
    run.end = None
    _begin(run, event.at)


def _pause(run: RunMachine, event: PauseRequested) -> None:
    if run.phase not in OPEN:
        raise Refused(f"the run {stands(run.said)}; only a running one can be paused")
    reason = event.reason or (f"asked by {event.by}" if event.by else "asked")
    run._begin_pause(reason, event.at)


def _continue(run: RunMachine, event: ContinueRequested) -> None:
    if run.phase != "pausing":
        raise Refused(f"the run {stands(run.said)}; only a paused one can go on")
    run.phase = "running"
    run.pause_reason = ""
    run.gate.resumed(event.at)
    run.workflow.resumed(event.at)


def _cancel(run: RunMachine, event: CancelRequested) -> None:
    if run.phase == "ended":
        raise Refused(f"the run {stands(run.said)} already")
    if run.phase != "ending":
        reason = f"cancelled by {event.by}" if event.by else "cancelled"
        run._begin_end(End("cancelled", reason), event.at, "cancel", hard=event.hard)
    elif event.hard:
        run.calls.drop("", "cancel", hard=True)


def _retry(run: RunMachine, event: RetryRequested) -> None:
    if run.calls.again(event.path, event.at):
        return
    if run.phase == "ending" or (run.end is not None and run.end.status != "failed"):
        raise Refused(f"the run {stands(run.said)}; a retry is for a failed step")
    if not event.path and run.phase != "ended":
        raise Refused("the run is under way; say which failed step to do again")
    if path := run.calls.stopping(event.path):
        raise Refused(f"{path!r} is still being stopped; try again when it has ended")
    if run.gate.passed or event.path not in ("", GATE):
        run.workflow.retry(event.path, event.at)
    else:
        _begin(run, event.at)
    if run.phase == "ended":
        run.phase = "running"
    run.end = None


def _answered(run: RunMachine, event: ApprovalGiven | InputGiven) -> None:
    if isinstance(event, InputGiven):
        settled = run.calls.settle(event.path, event.value)
        if settled is not None:
            run._ended(settled, event.at)
            return
    if run.phase not in OPEN:
        raise Refused(f"the run {stands(run.said)}; nothing waits for an answer")
    if isinstance(event, InputGiven):
        run.workflow.answered(event)
    else:
        answers = run.gate if event.path == GATE else run.workflow
        anew = ("ApprovalAsked", event.path) in run.records
        run.decided.take(event, run.calls.people, answers, {} if anew else run.questions)
    run.questions.pop(event.path, None)
    if event.path == GATE and isinstance(event, ApprovalGiven):
        run.gate.decided(run.workflow, event)
        if event.approved:
            _begin(run, event.at)


def _call_started(run: RunMachine, event: CallStarted) -> None:
    call = event.call
    if run.calls.started(event) and run.workflow.listens and "/" in call.path:
        run._aboard[call] = event.agent
        run.workflow.told(call.path, Departure(call.attempt), event.at)


def _call_finished(run: RunMachine, event: CallFinished) -> None:
    if run._aboard:
        _landed(run, event.call, "finished", event.usage, event.at, cached=event.saved is not None)
    if (ended := run.calls.finished(event)) is not None:
        run._ended(ended, event.at)


def _call_failed(run: RunMachine, event: CallFailed | CallCancelled) -> None:
    how: Literal["failed", "refused", "cancelled"] = "cancelled"
    if isinstance(event, CallFailed):
        how = "refused" if event.fault.kind == "rate_limited" else "failed"
    _landed(run, event.call, how, event.usage, event.at)
    if (ended := run.calls.failed(event)) is not None:
        run._ended(ended, event.at)


def _landed(
    run: RunMachine,
    call: Call,
    how: Literal["finished", "failed", "refused", "cancelled", "lost"],
    usage: Usage | None,
    at: int,
    *,
    cached: bool = False,
) -> None:
    agent = run._aboard.pop(call, None)
    if agent is not None:
        landing = Landing(attempt=call.attempt, agent=agent, how=how, usage=usage, cached=cached)
        run.workflow.told(call.path, landing, at)


def _call_lost(run: RunMachine, event: CallLost) -> None:
    _landed(run, event.call, "lost", None, event.at)
    run.calls.lost(event)


def _noted(run: RunMachine, event: ApprovalAsked | InputAsked | StepSkipped | StepFailed) -> None:
    if isinstance(event, ApprovalAsked) and (call := asking_call(event.path)) is not None:
        run.calls.ignored += not run.calls.people.asked(event, call)
        return
    run.records.pop((type(event).__name__, event.path), None)
    if isinstance(event, ApprovalAsked | InputAsked):
        run.questions[event.path] = event


def _told(run: RunMachine, event: LimitChanged | Forecasted) -> None:
    if isinstance(event, Forecasted):
        run.foreseen = run.foreseen or event
        run.forecast = event


def _time_passed(run: RunMachine, event: TimePassed) -> None:
    if run.phase not in OPEN:
        return
    for path in run.calls.people.expire(event.at):
        run.decided.late(path)
    if run.gate.wake(run.workflow, event.at):
        _begin(run, event.at)
    run.calls.wake(event.at, admits=run.admits)
    due = run.workflow.deadline()
    if due is not None and due <= event.at:
        run.workflow.wake(event.at)


def _run_ended(run: RunMachine, event: RunEnded) -> None:
    if run.phase != "ending" or not run._nothing_flies:
        raise EngineBug("a run ends once, with no call in flight", (event,))
    run.records.pop(("RunEnded", ""), None)
    run.phase = "ended"
    run.end = event


_APPLY: Final[dict[type, Callable[[RunMachine, Any], None]]] = {
    RunStarted: _run_started,
    RunResumed: _run_resumed,
    SpecReplaced: _spec_replaced,
    PauseRequested: _pause,
    ContinueRequested: _continue,
    CancelRequested: _cancel,
    RetryRequested: _retry,
    CallStarted: _call_started,
    CallFinished: _call_finished,
    CallFailed: _call_failed,
    CallCancelled: _call_failed,
    CallLost: _call_lost,
    ApprovalAsked: _noted,
    InputAsked: _noted,
    StepSkipped: _noted,
    StepFailed: _noted,
    ApprovalGiven: _answered,
    InputGiven: _answered,
    LimitChanged: _told,
    Forecasted: _told,
    TimePassed: _time_passed,
    RunEnded: _run_ended,
}
