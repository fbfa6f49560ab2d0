"""A seeded world around the pure machine: agents, people, an operator, crashes, in virtual time.

Everything that happens is drawn from the seed, so a failing seed fails again:

    python -m tests.simulated.world --seed 17

While faults are on, anything goes wrong; what must hold always is asserted after each event.
Then faults are off, and the run must come to its end.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import traceback
from collections import Counter, deque
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import msgspec
from tests.machines import fold, lists_of, open_questions, state_of
from tests.simulated.draw import INPUTS, Draw

from hocket.core.commands import CancelCall, Record, StartCall
from hocket.core.errors import ExprError, Fault, FaultKind, Refused
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
    LimitNews,
    PauseRequested,
    RetryRequested,
    RunEnded,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    TimePassed,
)
from hocket.core.jobs import Job
from hocket.core.machine import JobSpec
from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import MS, SECOND, Call, Json, digest
from hocket.workflows.check import problems
from hocket.workflows.plan import PlanMachine
from hocket.workflows.shape import Shape

Operation: TypeAlias = Literal["operate", "pause", "continue", "cancel", "retry"]
Deed: TypeAlias = Operation | Literal["outcome", "answer", "decide", "crash", "again", "news"]

KINDS: tuple[FaultKind, ...] = (
    "failed",
    "unavailable",
    "rate_limited",
    "invalid_output",
    "permanent",
    "timeout",
)
INFINITE = 10**30
MUST_FIRE = (
    *(f"failed: {kind}" for kind in KINDS),
    *("finished", "hangs", "timed out", "cannot be asked", "finished although stopped"),
    *("failed although stopped", "kept for a retry", "lost", "held", "lost while stopping"),
    *("held again", "crash", "crash between commands", "crash while paused", "crash while ending"),
    *("pause", "continue", "paused by a question", "cancel", "hard cancel", "hard after soft"),
    *("retry of a step", "retry of the run", "retry of a held call", "sent for a held call"),
    *("retry refused", "spec replaced", "spec refused", "kept under a new spec"),
    *("approved", "rejected", "nobody answered", "answer refused", "input given"),
    *("repeated fact", "early fact", "fallback", "next round", "late step", "skipped"),
    *("plan timed out", "nested plan failed", "succeeded", "run failed", "run cancelled", "fork"),
    *("refused and asked again at once", "over budget", "over budget and final"),
    *("hedged", "hedged after a pause", "second won", "first won", "one of two failed"),
    *("one of two timed out", "both failed", "one of two dropped calls kept"),
    *("second refused", "second over budget", "second withdrawn", "slower finished"),
    *("slower failed", "slower stopped", "slower lost", "slower stopped hard"),
    *("slower landed last", "news of a limit", "forecast", "paused for a reason"),
)


class World:
    """One seed's world."""

    name = "world"
    module = "tests.simulated.world"
    draw: type[Draw] = Draw
    must_fire = MUST_FIRE
    accounts: ClassVar[dict[str, None]] = {}
    """What of a run's state keeps account of calls that mean nothing any more."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(f"{self.name} {seed}")
        self.fired: Counter[str] = Counter()
        draw = self.draw(self.rng)
        self.spec = draw.spec()
        self.safe = draw.safe
        self.trouble = self.rng.choice((0.03, 0.1, 0.3))
        self.now = 1_000 * SECOND
        self.heap: list[tuple[int, int, Deed, Any]] = []
        self.added = 0
        self.shapes: list[tuple[PlanSpec, Shape]] = []
        self.machine = self.new_machine()
        self.events: list[AnyEvent] = []
        self.queue: deque[StartCall] = deque()
        self.flying: dict[Call, None] = {}
        self.told: dict[Call, bool] = {}
        """Calls in flight that were told to stop, and whether that was hard."""
        self.started: dict[Call, str] = {}
        self.hedge_due: dict[Call, int] = {}
        """When calls that may have another one beside them are to get it."""
        self.hedged: dict[Call, Call] = {}
        """The last call that was asked for beside each."""
        self.recalled: dict[Call, None] = {}
        """Calls whose second one was recalled by a pause."""
        self.widowed: dict[Call, None] = {}
        """Calls that had another one beside them, which has failed."""
        self.finished: dict[str, list[Json]] = {}
        """What is done, and the lists that its items are from: for others it is done anew."""
        self.unsure: dict[str, None] = {}
        self.faulty = True
        self.forks: list[tuple[RunMachine, dict[str, Any]]] = []

    def new_machine(self) -> RunMachine:
        """A machine as `make_plan` makes it, but with each plan's shape made once."""

        def make(spec: PlanSpec, agents: Any, inputs: Any, facts: Any) -> PlanMachine:
            for known, shape in self.shapes:
                if known is spec:
                    return PlanMachine(shape, inputs, facts)
            self.shapes.append((spec, Shape(spec, agents)))
            return PlanMachine(self.shapes[-1][1], inputs, facts)

        return RunMachine({"plan": make})

    # -- the run ----------------------------------------------------------------------------

    def live(self) -> World:
        """Let the run live, with faults and then without."""
        if self.seed % 50 == 0:
            assert problems(self.spec) == [], problems(self.spec)
        self.begin()
        for _ in range(600):
            if self.machine.phase == "ended":
                if not self.after_end():
                    break
            elif not self.turn():
                self.unblock()
        self.calm()
        self.judge()
        return self

    def begin(self) -> None:
        rng = self.rng
        self.apply(
            RunStarted(
                at=self.now,
                run="r1",
                spec=self.spec,
                digest=spec_digest(self.spec),
                inputs=INPUTS,
                seed=self.seed,
                versions={"plan": 1},
                program="world",
            )
        )
        for _ in range(rng.choice((0, 1, 2, 4))):
            self.later(rng.randint(0, 40 * SECOND), "operate", None)
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            self.later(rng.randint(0, 40 * SECOND), "crash", None)
        for _ in range(rng.choice((0, 2, 4))):
            self.later(rng.randint(0, 40 * SECOND), "again", None)
        for _ in range(rng.choice((0, 1, 3))):
            self.later(rng.randint(0, 40 * SECOND), "news", None)

    def later(self, delay: int, deed: Deed, about: Any) -> None:
        self.added += 1
        heapq.heappush(self.heap, (self.now + delay, self.added, deed, about))

    def turn(self) -> bool:
        """Let the next thing happen; False if nothing is to come."""
        due = self.machine.deadline()
        if due is not None and (not self.heap or due < self.heap[0][0]):
            self.now = max(self.now, due)
            late = [call for call in self.flying if self.hedge_due.get(call, INFINITE) <= self.now]
            self.take(TimePassed(at=self.now))
            later = self.machine.deadline()
            assert later is None or later > self.now, "woken for nothing"
            self.fired["paused by a question"] += "not given" in self.machine.pause_reason
            self.follow()
            self.all_are_hedged(late)
        elif self.heap:
            at, _, deed, about = heapq.heappop(self.heap)
            self.now = max(self.now, at)
            getattr(self, f"on_{deed}")(about)
        else:
            return False
        if self.rng.random() < 0.02:
            self.compare()
            self.compare_commands()
        return True

    def unblock(self) -> None:
        """Nothing comes by itself: the run must be paused, or wait for people."""
        machine = self.machine
        held = machine.calls.held()
        if machine.phase == "pausing":
            self.fired["continue"] += 1
            self.request(ContinueRequested(at=self.now, by="world"), sure=True)
        elif held:
            self.decide(held[0].path)
        else:
            raise AssertionError(f"stuck: {machine.said}, {list(machine.calls.jobs)}")

    def after_end(self) -> bool:
        """Perhaps ask for a retry of a run that has ended; False if it stays so."""
        assert self.machine.end is not None
        status = self.machine.end.status
        self.fired[{"succeeded": "succeeded"}.get(status, f"run {status}")] += 1
        if status == "failed" and self.faulty and self.rng.random() < 0.7:
            failed = [v.path for v in self.machine.workflow.view() if v.status == "failed"]
            outer = [path for path in failed if "/" not in path]
            path = self.rng.choice(["", *outer])
            self.retry_ended(path)
            self.fired["retry of a step" if path else "retry of the run"] += 1
            return True
        return False

    def retry_ended(self, path: str) -> None:
        """A run that has failed is to go on; calls that were held when it ended are held still."""
        self.take(RetryRequested(at=self.now, path=path, by="world"))
        for job in self.machine.calls.held():
            self.fired["held again"] += 1
            self.later(self.rng.randint(1, 20 * SECOND), "decide", job.path)
        self.follow()
        self.expect_again()

    def calm(self) -> None:
        """Faults are off: the run must end, and succeed once its failures are done again."""
        self.faulty = False
        self.heap = [entry for entry in self.heap if entry[2] in ("outcome", "answer", "decide")]
        self.expect_again()
        tries = 0
        for _ in range(4_000):
            if self.machine.phase == "ended":
                end = self.machine.end
                assert end is not None
                if end.status != "failed" or not self.safe:
                    break
                tries += 1
                assert tries < 12, f"never succeeds: {end.reason}"
                self.retry_ended("")
            elif self.machine.phase == "pausing" or self.machine.calls.held() or not self.turn():
                self.unblock()
        assert self.machine.phase == "ended", f"does not end: {self.machine.said}"

    def judge(self) -> None:
        """What must hold in the end."""
        assert not self.flying and not self.machine.calls.jobs
        self.compare()
        for fork, state in self.forks:
            assert state_of(fork) == state, "a fork changed with its origin"
        views = self.machine.workflow.view()
        self.fired["late step"] += sum(v.detail.startswith("late") for v in views)
        self.fired["skipped"] += sum(v.status == "skipped" for v in views)

    # -- events -----------------------------------------------------------------------------

    def apply(self, event: AnyEvent) -> None:
        """An event happens: the machine takes it in, and the shell follows."""
        self.take(event)
        self.follow()

    def take(self, event: AnyEvent) -> None:
        self.machine.apply(event)
        self.events.append(event)
        self.machine.check()
        if isinstance(event, ContinueRequested | RunResumed) and self.machine.phase == "running":
            assert None not in open_questions(self.machine).values(), "a question never expires"
        if isinstance(event, RunEnded) and event.status == "succeeded":
            self.succeeded()

    def succeeded(self) -> None:
        """A run succeeds only if nothing has failed that would have stopped it."""
        machine = self.machine.workflow
        assert isinstance(machine, PlanMachine)
        progress = machine._state.progress
        failed = [progress.shape.nodes[index] for index in progress.faults]
        assert not any(node.stops for node in failed)

    def may_start(self, start: StartCall) -> None:
        """What must hold of every call that starts."""
        call = start.call
        assert call not in self.started, f"{call} started twice"
        lists = self.finished.get(call.path)
        assert lists is None or lists != lists_of(self.machine, call.path), f"{call} was finished"
        assert call.path not in self.unsure, f"{call} repeats effects unasked"
        self.started[call] = start.agent
        if start.hedge:
            firsts = [c for c in self.flying if self.hedged.get(c) == call]
            assert len(firsts) == 1, f"{call} stays in the queue for nothing"
        elif call.path in self.machine.calls.jobs:
            assert not self.machine.calls.jobs[call.path].in_flight
        if "~" in call.path:
            self.fired["next round"] += 1

    def all_are_hedged(self, late: list[Call]) -> None:
        """Time has passed: each call that is late, and may, has got one beside it."""
        if self.machine.phase != "running":
            return
        for call in late:
            if call in self.flying and call not in self.told:
                assert call in self.hedged, f"{call} is late and alone"
                assert call not in self.recalled, f"{call} is still alone after a pause"

    def hedge(self, start: StartCall) -> None:
        """What must hold of a call that is asked for beside another one."""
        beside = [c for c in self.flying if c.path == start.call.path and c not in self.told]
        assert len(beside) == 1, f"{start.call} is beside {beside}"
        first = beside[0]
        assert self.machine.phase == "running"
        assert self.hedge_due.get(first, self.now + 1) <= self.now, f"{first} is not late"
        assert self.started[first] == start.agent and not start.effects
        assert first not in self.hedged or first in self.recalled, f"{first} has had one"
        self.fired["hedged after a pause" if first in self.recalled else "hedged"] += 1
        self.recalled.pop(first, None)
        self.hedged[first] = start.call
        if self.faulty and self.rng.random() < 0.05:
            self.later(1, "pause", None)

    def follow(self) -> None:
        """Do as the machine says; perhaps die in the middle of it."""
        while True:
            commands = self.machine.drain()
            for command in commands:
                if self.faulty and self.rng.random() < 0.002:
                    self.fired["crash between commands"] += 1
                    self.on_crash(None)
                    return
                self.command(command)
            if not commands and not self.admit():
                return

    def command(self, command: StartCall | CancelCall | Record) -> None:
        if isinstance(command, StartCall):
            assert command.call not in self.started
            assert all(start.call.path != command.call.path for start in self.queue)
            self.queue.append(command)
            if command.hedge:
                self.hedge(command)
        elif isinstance(command, CancelCall):
            before, self.queue = self.queue, deque(s for s in self.queue if s.call != command.call)
            if len(self.queue) == len(before) and command.call in self.flying:
                self.stop(command)
            self.withdrawn([start for start in before if start.call == command.call])
        else:
            event = msgspec.structs.replace(command.event, at=self.now)
            self.take(event)
            if isinstance(event, ApprovalAsked | InputAsked):
                self.expect_answer(event)
            elif isinstance(event, RunEnded):
                self.fired["plan timed out"] += "plan 'p' took longer" in event.reason
            elif isinstance(event, StepFailed):
                self.fired["nested plan failed"] += "-inner' took longer" in event.fault.message
                self.fired["nested plan failed"] += "step '" in event.fault.message

    def withdrawn(self, starts: list[StartCall]) -> None:
        """Calls have left the queue unpaid."""
        for start in starts:
            self.fired["second withdrawn"] += start.hedge
            if start.hedge and self.machine.phase == "pausing":
                firsts = [c for c in self.flying if self.hedged.get(c) == start.call]
                self.recalled.update(dict.fromkeys(c for c in firsts if c not in self.told))

    def admit(self) -> bool:
        """Start what may start; tells whether anything was."""
        if not self.queue or not self.machine.admits or len(self.flying) >= self.spec.max_parallel:
            return False
        start = self.queue.popleft()
        self.may_start(start)
        job, given = None, None
        try:
            job, given = self.machine.request(start.call)
        except ExprError as error:
            self.fired["cannot be asked"] += 1
            fault = Fault(kind="permanent", message=str(error))
            self.take(CallFailed(at=self.now, call=start.call, fault=fault))
            return True
        assert job is not None
        if self.faulty and self.rng.random() < self.trouble / 6:
            self.over_budget(start)
            return True
        self.flying[start.call] = None
        after = self.patience(start, job)
        self.take(
            CallStarted(
                at=self.now,
                call=start.call,
                agent=start.agent,
                hedge_after=after,
                hedge=start.hedge,
            )
        )
        if after is not None and not start.hedge and not start.effects:
            self.hedge_due[start.call] = self.now + after
        if start.agent != job.agents[0]:
            self.fired["fallback"] += 1
        self.plan_outcome(start.call, given)
        return True

    def over_budget(self, start: StartCall) -> None:
        """A call is not made, because it may cost too much."""
        job = self.machine.calls.jobs[start.call.path]
        final = self.rng.random() < 0.3
        fault = Fault(kind="over_budget", message="may cost too much", final=final)
        before = (job.tries, job.agent, job.in_flight)
        self.take(CallFailed(at=self.now, call=start.call, fault=fault))
        if start.hedge:
            self.fired["second over budget"] += 1
            assert (job.tries, job.agent, job.in_flight) == before
        else:
            self.fired["over budget and final" if final else "over budget"] += 1
            more = not final and before[1] + 1 < len(job.spec.agents)
            assert (self.machine.calls.jobs.get(start.call.path) is job) == more

    def patience(self, start: StartCall, job: JobSpec) -> int | None:
        """Draw after how long a call is to have another one beside it; heeded only if it may."""
        rng = self.rng
        if job.hedge is None and rng.random() < 0.95:
            return None
        return rng.choice((None, 0, rng.randint(1, 800) * MS, rng.randint(1, 4) * SECOND))

    def stop(self, command: CancelCall) -> None:
        """A call in flight is told to stop, and ends, one way or another."""
        call, rng = command.call, self.rng
        self.told[call] = command.hard
        self.fired["slower stopped hard"] += command.hard and command.reason == "hedge"
        if self.faulty and rng.random() < 0.1:
            self.later(rng.randint(0, 1_000) * MS, "retry", None)
        if self.faulty and command.reason == "hedge" and rng.random() < 0.05:
            self.later(1, "cancel", None)
        delay = rng.randint(0, (100 if command.hard else 2_000)) * MS
        end: AnyEvent = CallCancelled(at=0, call=call, reason=command.reason)
        chance = rng.random() if self.faulty else 1.0
        if chance < 0.2:
            end = CallFinished(at=0, call=call, output=self.reply(call))
        elif chance < 0.3:
            end = CallFailed(at=0, call=call, fault=Fault(kind="failed", message="stopped"))
        self.later(delay, "outcome", end)

    def plan_outcome(self, call: Call, given: Json) -> None:
        """Decide how a call will end."""
        rng = self.rng
        delay = rng.choice((rng.randint(1, 500) * MS, rng.randint(1, 5) * SECOND))
        end: AnyEvent = CallFinished(at=0, call=call, output=self.reply(call), notes=())
        if self.faulty and rng.random() < self.trouble:
            kind = rng.choice(KINDS)
            after = rng.choice((None, None, 3 * SECOND))
            fault = Fault(kind=kind, message=f"{kind} {given!r:.20}", retry_after=after)
            end = CallFailed(at=0, call=call, fault=fault)
        elif self.faulty and rng.random() < self.trouble / 3:
            self.fired["hangs"] += 1
            return
        self.later(delay, "outcome", end)

    def reply(self, call: Call) -> Json:
        """What a call gives."""
        return self.output()

    def output(self) -> Json:
        rng = self.rng
        ok = not self.faulty or rng.random() < 0.5
        return {"n": rng.randint(0, 9), "ok": ok, "list": list(range(rng.randint(0, 4)))}

    def on_outcome(self, end: Any) -> None:
        """A call ends, unless its process has died or it has ended otherwise before."""
        call = end.call
        if call not in self.flying:
            return
        del self.flying[call]
        stopped = self.told.pop(call, None) is not None
        event = msgspec.structs.replace(end, at=self.now)
        job = self.machine.calls.jobs.get(call.path)
        if job is None or job.state_of(call.attempt) is None:
            self.slower_lands(event)
            return
        pair = len(job.in_flight) == 2
        if isinstance(end, CallFinished):
            self.finished[call.path] = lists_of(self.machine, call.path)
            self.fired["finished although stopped" if stopped else "finished"] += 1
            self.fired["kept for a retry"] += job.dropped
            if pair:
                won = "first won" if call in self.hedged else "second won"
                self.fired["one of two dropped calls kept" if job.dropped else won] += 1
            self.apply(event)
            return
        if isinstance(end, CallFailed):
            how = "failed although stopped" if stopped else f"failed: {end.fault.kind}"
            self.fired[how] += 1
        elif end.reason == "timeout":
            self.fired["timed out"] += 1
        self.fails(job, event, pair)
        self.follow()

    def fails(self, job: Job, event: CallFailed | CallCancelled, pair: bool) -> None:
        """A call gives no output: what its job must make of that."""
        call = event.call
        kind = event.fault.kind if isinstance(event, CallFailed) else event.reason
        tries, agent, limited = job.tries, job.agent, job.spec.limited[job.agent]
        self.take(event)
        goes_on = self.machine.calls.jobs.get(call.path) is job
        if pair:
            assert goes_on and len(job.in_flight) == 1, "the other one is still in flight"
            assert (job.tries, job.agent) == (tries, agent), "a try was counted too early"
            self.widowed[job.in_flight[0]] = None
            self.fired["one of two timed out" if kind == "timeout" else "one of two failed"] += 1
            self.fired["second refused"] += kind == "rate_limited" and call not in self.hedged
            return
        if call in self.widowed:
            self.fired["both failed"] += 1
        if job.dropped:
            assert not goes_on
        elif kind == "rate_limited" and limited:
            assert goes_on and job.state == "asked" and job.ready == self.now
            assert job.tries == tries
            self.fired["refused and asked again at once"] += 1
        elif goes_on and job.agent == agent:
            assert job.tries == tries + (kind != "rate_limited"), "a try is counted once"

    def slower_lands(self, event: CallFinished | CallFailed | CallCancelled) -> None:
        """A call ends that has lost to the one beside it: nothing follows from that."""
        how = {CallFinished: "finished", CallFailed: "failed", CallCancelled: "stopped"}
        self.fired[f"slower {how[type(event)]}"] += 1
        self.fired["slower landed last"] += not self.machine.calls.jobs
        moot = {"at": 0, "late": [], "running": 0, **self.accounts}
        before = state_of(self.machine) | moot
        self.take(event)
        assert state_of(self.machine) | moot == before
        self.follow()

    # -- people -----------------------------------------------------------------------------

    def request(self, event: AnyEvent, sure: bool = False) -> bool:
        """A person asks for something; what is refused has changed nothing."""
        before = None if sure else state_of(self.machine)
        try:
            self.take(event)
        except Refused:
            assert before is not None, f"refused: {event}"
            assert state_of(self.machine) == before
            return False
        self.follow()
        return True

    def expect_answer(self, event: ApprovalAsked | InputAsked) -> None:
        if self.faulty and self.rng.random() < 0.2:
            self.fired["nobody answered"] += 1
            return
        slowest = 40 * SECOND if self.faulty else SECOND
        self.later(self.rng.randint(1, slowest), "answer", event)

    def on_answer(self, asked: ApprovalAsked | InputAsked) -> None:
        rng = self.rng
        approved = not self.faulty or rng.random() < 0.7
        answer: AnyEvent = InputGiven(at=self.now, path=asked.path, value="text", by="ann")
        how = "input given"
        if isinstance(asked, ApprovalAsked):
            mark = "other bytes" if self.faulty and rng.random() < 0.1 else asked.digest
            answer = ApprovalGiven(
                at=self.now, path=asked.path, approved=approved, digest=mark, by="ann"
            )
            how = "approved" if approved else "rejected"
        self.fired[how if self.request(answer) else "answer refused"] += 1

    def on_decide(self, path: str) -> None:
        if any(job.path == path for job in self.machine.calls.held()):
            self.decide(path)

    def decide(self, path: str) -> None:
        """Somebody decides about a held call."""
        if self.rng.random() < 0.5:
            self.fired["sent for a held call"] += 1
            self.unsure.pop(path, None)
            answer = InputGiven(at=self.now, path=path, value=self.output(), by="ann")
            self.finished[path] = lists_of(self.machine, path)
            self.request(answer, sure=True)
        else:
            self.fired["retry of a held call"] += 1
            self.unsure.pop(path, None)
            self.request(RetryRequested(at=self.now, path=path, by="ann"), sure=True)

    def on_operate(self, _: None) -> None:
        """The operator does something, sensible or not."""
        rng, machine = self.rng, self.machine
        deed = rng.choice(
            ("pause", "pause", "continue", "retry", "retry", "cancel", "spec", "held")
        )
        if deed == "pause":
            self.on_pause(None)
        elif deed == "continue":
            self.on_continue(None)
        elif deed == "retry":
            self.try_again()
        elif deed == "cancel" and rng.random() < 0.5:
            self.on_cancel(None)
        elif deed == "spec" and machine.phase != "new":
            self.change_spec()
        elif deed == "held" and (held := machine.calls.held()):
            self.decide(rng.choice(held).path)

    def on_retry(self, _: None) -> None:
        self.try_again()

    def try_again(self) -> None:
        views = self.machine.workflow.view()
        failed = [view.path for view in views if view.status == "failed"]
        path = self.rng.choice(failed or [view.path for view in views])
        if self.machine.calls.jobs.get(path) in self.machine.calls.held():
            return
        done = self.request(RetryRequested(at=self.now, path=path, by="op"))
        self.fired["retry of a step" if done else "retry refused"] += 1

    def on_pause(self, _: None) -> None:
        rng = self.rng
        why = rng.choice(("", "", "the budget of the run is used up"))
        if self.request(PauseRequested(at=self.now, by="" if why else "op", reason=why)):
            # The process may have died since, and the next one goes on.
            if why and self.machine.phase == "pausing":
                assert self.machine.pause_reason == why
            self.fired["paused for a reason" if why else "pause"] += 1
            self.later(rng.randint(0, 20 * SECOND), "operate", None)
            if rng.random() < 0.3:
                self.later(rng.randint(1, 500) * MS, "continue", None)

    def on_continue(self, _: None) -> None:
        self.fired["continue"] += self.request(ContinueRequested(at=self.now, by="op"))

    def on_cancel(self, _: None) -> None:
        hard = self.rng.random() < 0.4
        ending = self.machine.phase == "ending"
        if self.request(CancelRequested(at=self.now, by="op", hard=hard)):
            self.fired["hard cancel" if hard else "cancel"] += 1
            if hard:
                assert all(self.told.get(call) for call in self.flying), "not told to stop hard"
            if hard and ending:
                self.fired["hard after soft"] += 1
            elif not hard and self.machine.phase == "ending":
                self.later(1, "operate", None)
                again = CancelRequested(at=self.now, by="op", hard=True)
                self.fired["hard after soft"] += self.request(again)

    def change_spec(self) -> None:
        """The plan is changed; the steps that are equal keep what they have."""
        spec = changed(self.spec, self.rng)
        had = {v.path for v in self.machine.workflow.view() if v.status == "succeeded"}
        event = SpecReplaced(at=self.now, spec=spec, digest=spec_digest(spec))
        # What is queued is withdrawn, and what was finished may have to be done again.
        finished, self.finished = self.finished, {}
        if not self.request(event):
            self.fired["spec refused"] += 1
            self.finished = finished
            return
        self.spec = spec
        self.fired["spec replaced"] += 1
        now = {v.path for v in self.machine.workflow.view() if v.status == "succeeded"}
        self.fired["kept under a new spec"] += bool(now & had)

    # -- faults -----------------------------------------------------------------------------

    def on_crash(self, _: None) -> None:
        """The process dies; the next one folds what is on disk and takes the run up."""
        self.fired["crash"] += 1
        self.compare()
        old = self.machine
        for phase in ("pausing", "ending"):
            self.fired[f"crash while {phase.replace('pausing', 'paused')}"] += old.phase == phase
        self.machine = fold(self.events, self.new_machine())
        self.queue.clear()
        self.told.clear()
        lost = self.machine.calls.in_flight()
        assert sorted(map(str, lost)) == sorted(map(str, self.flying))
        self.flying.clear()
        self.now += self.rng.randint(0, 20 * SECOND)
        self.take(RunResumed(at=self.now, epoch=self.machine.epoch + 1))
        for call in lost:
            self.lose(call)
        self.expect_again()
        self.follow()

    def lose(self, call: Call) -> None:
        job = self.machine.calls.jobs.get(call.path)
        if job is None or job.state_of(call.attempt) is None:
            self.fired["slower lost"] += 1
            self.take(CallLost(at=self.now, call=call))
            return
        self.fired["lost while stopping" if job.state == "stopping" else "lost"] += 1
        if job.effects:
            self.unsure[call.path] = None
            if not job.dropped:
                self.fired["held"] += 1
                self.later(self.rng.randint(1, 20 * SECOND), "decide", call.path)
        self.take(CallLost(at=self.now, call=call))

    def expect_again(self) -> None:
        """People see the open questions still; their answers were lost with the process."""
        self.heap = [entry for entry in self.heap if entry[2] != "answer"]
        heapq.heapify(self.heap)
        wanted = open_questions(self.machine)
        asked = {e.path: e for e in self.events if isinstance(e, ApprovalAsked | InputAsked)}
        for path in wanted:
            if path in asked:
                self.expect_answer(asked[path])

    def on_again(self, _: None) -> None:
        """A fact about a call comes again, or too early, or for a call that never was."""
        past = [e for e in self.events if isinstance(e, CallFinished | CallFailed | CallCancelled)]
        starts = [e for e in self.events if isinstance(e, CallStarted | CallLost)]
        choices: list[AnyEvent] = [
            CallFinished(at=0, call=Call("s0", 999), output="early"),
            CallCancelled(at=0, call=Call("nowhere/1", 1), reason="stop"),
        ]
        for some in (past, starts):
            if some:
                choices += [self.rng.choice(some)] * 3
        event: Any = self.rng.choice(choices)
        if event.call in self.flying and not isinstance(event, CallStarted):
            return
        before, count = state_of(self.machine), self.machine.calls.ignored
        self.take(msgspec.structs.replace(event, at=self.now))
        after = state_of(self.machine)
        assert after["ignored"] == count + 1, f"not ignored: {event}"
        assert after | {"ignored": 0, "at": 0} == before | {"ignored": 0, "at": 0}
        self.fired["early fact" if event is choices[0] else "repeated fact"] += 1
        self.follow()

    def on_news(self, _: None) -> None:
        """Something is recorded for readers alone."""
        rng = self.rng
        if self.machine.phase == "ended":
            return
        before = state_of(self.machine)
        if rng.random() < 0.5:
            what = rng.choice(get_args(LimitNews))
            until = rng.choice((None, self.now + SECOND))
            self.fired["news of a limit"] += 1
            self.take(
                LimitChanged(at=self.now, limit="api", what=what, message="news", until=until)
            )
        else:
            ends = sorted(self.now + rng.randint(0, 900) * SECOND for _ in range(3))
            order = rng.choice((None, {"s1": 2, "s0": 1}))
            event = Forecasted(at=self.now, low=ends[0], finish=ends[1], high=ends[2], order=order)
            self.fired["forecast"] += 1
            self.take(event)
            before["forecast"] = event
        assert state_of(self.machine) | {"at": 0} == before | {"at": 0}
        self.follow()

    def compare_commands(self) -> None:
        """A machine folded from the facts asks for all that the shell still has to do."""
        commands = fold(self.events, self.new_machine()).drain()
        starts = [command.call for command in commands if isinstance(command, StartCall)]
        assert sorted(starts) == sorted(start.call for start in self.queue)
        stops = {c.call: c.hard for c in commands if isinstance(c, CancelCall)}
        assert stops == self.told, "other calls are told to stop"

    def compare(self) -> None:
        """A fold, a fork and the machine are one; a fork that goes on changes nothing here."""
        state = state_of(self.machine)
        assert state_of(fold(self.events, self.new_machine())) == state, "a fold differs"
        fork = self.machine.fork()
        assert state_of(fork) == state, "a fork differs"
        if len(self.forks) < 3:
            self.forks.append((fork, state))
        self.fired["fork"] += 1
        other = self.machine.fork()
        for call in other.calls.in_flight():
            other.apply(CallFinished(at=self.now, call=call, output={"n": 1, "ok": True}))
        due = other.deadline()
        if due is not None:
            other.apply(TimePassed(at=max(due, other.at)))
        other.check()
        assert state_of(self.machine) == state, "a fork changed its origin"


def changed(spec: RunSpec, rng: random.Random) -> RunSpec:
    """Change one step of a plan, or put one more behind it, or take out one that nobody names."""
    steps = list(spec.workflow.steps)
    how = rng.choice(("input", "add", "retry", "nested"))
    index = rng.randrange(len(steps))
    if how == "nested":
        nested = [i for i, s in enumerate(steps) if s.plan is not None]
        index = rng.choice(nested or [index])
    step = steps[index]
    if step.plan is not None and how == "nested":
        inner = changed(RunSpec(workflow=step.plan), rng).workflow
        steps[index] = msgspec.structs.replace(step, plan=inner)
    elif how == "input" and step.kind == "call":
        steps[index] = msgspec.structs.replace(step, input="changed")
    elif how == "retry":
        steps[index] = msgspec.structs.replace(step, timeout=step.timeout + SECOND)
    else:
        last = steps[-1].name
        steps.append(StepSpec(name=f"n{len(steps)}", agent="f", needs=(last,)))
    workflow: PlanSpec = msgspec.structs.replace(spec.workflow, steps=tuple(steps))
    return msgspec.structs.replace(spec, workflow=workflow)


def run_seeds(
    first: int, count: int, kind: type[World] = World
) -> tuple[int, Counter[str], list[str]]:
    """Run seeds in this process; gives how many events there were, what fired, what failed."""
    events, fired, failures = 0, Counter[str](), list[str]()
    for seed in range(first, first + count):
        world = kind(seed)
        try:
            world.live()
        except Exception:
            command = f"python -m {kind.module} --seed {seed}"
            failures.append(f"{traceback.format_exc()}\nrepeat it with: {command}")
            if len(failures) == 3:
                break
        events += len(world.events)
        fired.update(world.fired)
    return events, fired, failures


def digest_of(first: int, count: int) -> str:
    """Name all that happens in some seeds, byte for byte."""
    encode = msgspec.json.Encoder().encode
    worlds = [World(seed).live() for seed in range(first, first + count)]
    return digest(b"".join(encode(event) for world in worlds for event in world.events))


def main(kind: type[World] = World) -> int:
    parser = argparse.ArgumentParser(description="Repeat one seed, or run many.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--events", action="store_true", help="print the events of the first")
    parser.add_argument("--digest", action="store_true", help="print what names all that happened")
    options = parser.parse_args()
    if options.digest:
        print(digest_of(options.seed, options.count))
        return 0
    if options.events:
        world = kind(options.seed)
        try:
            world.live()
        finally:
            for event in world.events:
                print(event)
    events, fired, failures = run_seeds(options.seed, options.count, kind)
    print(f"{options.count} seeds, {events / options.count:.0f} events each")
    for name in sorted({*kind.must_fire, *fired}):
        print(f"{fired[name]:>8}  {name}")
    print("\n".join(failures))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
