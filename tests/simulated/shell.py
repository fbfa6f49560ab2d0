"""The engine's shell in a world of faults: one seed is one run of a random plan, from start to end.

Agents fail in every way that they can, people interfere, and the process dies and is taken over.
Everything follows from the seed, so a failure is repeated with

    python -m tests.simulated.shell --seed N
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec
from tests.engine.kit import NoFiles, wall
from tests.machines import state_of
from tests.simulated.plans import MOST, changed, random_run

from hocket.agents.base import Context, Estimate, Reply, Request
from hocket.core.errors import AgentError, Fault, JournalError, Refused
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    InputGiven,
    LimitChanged,
    Recorded,
    RetryRequested,
    RunEnded,
    SpecReplaced,
    Usage,
)
from hocket.core.requests import AnyRequest, Approve, Cancel, Continue, Pause, Retry, Send
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec, RunSpec
from hocket.core.values import SECOND, Call, Json
from hocket.engine.desk import CLAIM, Desks
from hocket.engine.engine import Engine, Kind, Parts, Run
from hocket.engine.line import Unknown
from hocket.journal.memory import MemoryJournal
from hocket.simulator.loop import pending_tasks, run_virtual, virtual_loop
from hocket.workflows.plan import VERSION, make_plan

RUN = "r"
LIVES = 5
"""After so many processes none dies any more."""
ACTS = 25
"""After so many requests people only ask for what brings the run to its end."""
RETRIES = 2
"""How often a run that has failed is asked to go on."""
LONG_ENOUGH = 100_000.0
"""After so many seconds without a fault a run has ended."""
LONGEST = 1_000_000.0

FAULTS = (
    "failed",
    "unavailable",
    "rate_limited",
    "invalid_output",
    "permanent",
    "raised",
    "cancelled_itself",
    "no_json",
    "hangs",
    "slow_to_stop",
    "finishes_anyway",
    "agent_not_made",
    "agent_not_closed",
    "observer_failed",
    "template",
    "timeout",
    "crash",
    "crash_kept",
    "stop",
    "journal_failed",
    "paused_away",
    "pause",
    "continue",
    "cancel",
    "cancel_hard",
    "approve",
    "reject",
    "send",
    "settle_held",
    "retry_held",
    "retry_failed",
    "retry_run",
    "spec_replaced",
    "refused",
    "lost",
    "held",
    "hedged",
    "over_budget",
    "limit_closed",
)
"""Everything that may go wrong or interfere; a test asserts that each of it has happened."""


class Outcome(NamedTuple):
    """What became of a seed."""

    digest: str
    status: str
    events: int
    lives: int
    faults: Counter[str]


class Actor:
    """An agent whose behaviour follows from the seed and the call's name."""

    def __init__(self, world: World, name: str, effects: bool) -> None:
        self._world = world
        self._effects = effects
        self._name = name
        self._closed = False

    def estimate(self, request: Request) -> Estimate:
        return Estimate(tokens_in=5, tokens_out=5, most_tokens=20, most_cost=MOST)

    async def call(self, request: Request, context: Context) -> Reply:
        world, call = self._world, request.call
        world.must(not self._closed, "a closed agent was called")
        world.leaves(call, self._effects)
        draw = Random(f"{world.seed}/{self._name}/{call}/{request.input!r}")
        cost = draw.randrange(MOST)
        world.leaves_paid(self._name, cost)
        if draw.random() < 0.3:
            context.emit("working")
            context.spend(Usage(tokens_in=draw.randrange(9)))
        world.in_flight += 1
        world.must(world.in_flight <= world.spec.max_parallel, "more calls than max_parallel")
        try:
            return await self._answer(context, draw, cost)
        finally:
            world.in_flight -= 1

    async def _answer(self, context: Context, draw: Random, cost: int) -> Reply:
        world = self._world
        try:
            await self._work(draw, draw.random())
        except asyncio.CancelledError:
            if context.hard or draw.random() < 0.8:
                raise
            if draw.random() < 0.5:
                world.count("slow_to_stop")
                await asyncio.sleep(draw.random() * 3)
                raise
            world.count("finishes_anyway")
            await asyncio.sleep(draw.random())
        usage = Usage(tokens_in=5, tokens_out=draw.randrange(9), cost=cost)
        return Reply(output=self._output(draw), usage=usage)

    async def _work(self, draw: Random, luck: float) -> None:
        if luck < 0.25:
            return
        await asyncio.sleep(draw.choice((0.0, 0.01, 0.5, 2.0)) * draw.random())
        if luck < 0.72:
            return
        if luck < 0.9:
            kind = draw.choice(FAULTS[:5])
            self._world.count(kind)
            wait = draw.randrange(5 * SECOND) if kind == "rate_limited" else None
            fault = Fault(kind=kind, message=f"it {kind}", retry_after=wait)  # type: ignore[arg-type]
            raise AgentError(fault)
        if luck < 0.93:
            self._world.count("raised")
            raise draw.choice((ValueError, OSError, SystemExit, BaseException))("oh")
        if luck < 0.94:
            self._world.count("cancelled_itself")
            raise asyncio.CancelledError
        if luck < 0.98:
            self._world.count("hangs")
            await asyncio.sleep(LONGEST)

    def _output(self, draw: Random) -> Json:
        if draw.random() < 0.01:
            self._world.count("no_json")
            return object()
        return {"n": draw.randrange(4), "text": "x" * draw.randrange(9)}

    async def close(self) -> None:
        self._world.must(not self._closed, "an agent was closed twice")
        self._closed = True
        self._world.open_agents -= 1
        if self._world.draw.random() < 0.01:
            self._world.count("agent_not_closed")
            raise RuntimeError("it cannot be closed")


class Guess(Unknown):
    """Expects of all calls that most take a third of a second, so that slow ones are hedged."""

    def quantile(self, path: str, agent: str, share: float) -> int | None:
        return SECOND // 3


class Watcher:
    """Remembers what was acknowledged."""

    def __init__(self, world: World) -> None:
        self._world = world

    def recorded(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            expected = self._world.shown + 1
            self._world.must(recorded.seq == expected, f"{recorded.seq} shown, not {expected}")
            self._world.shown = recorded.seq
            self._world.acknowledged.append(recorded.event)
        on_disk = list(self._world.journal.read(RUN, after=self._world.shown - len(events)))
        self._world.must(on_disk[: len(events)] == list(events), "shown before it was on disk")

    def emitted(self, call: Call, stream: str, text: str) -> None:
        virtual_loop().trace(f"{call} says {text}")


class Broken:
    """Fails at some time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def recorded(self, events: Sequence[Recorded]) -> None:
        if self._world.draw.random() < 0.1:
            self._world.count("observer_failed")
            raise RuntimeError("an observer has failed")

    def emitted(self, call: Call, stream: str, text: str) -> None:
        self.recorded(())


class World:
    """One seed's world.

    Args:
        seed: Where everything comes from.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.draw = Random(f"{seed}/world")
        self.faults: Counter[str] = Counter()
        self.journal = MemoryJournal()
        self.spec: RunSpec
        self.shown = 0
        self.acknowledged: list[AnyEvent] = []
        self.open_agents = 0
        self.in_flight = 0
        self.acts = 0
        self.lives = 0
        self._folded = 0
        self._broken: list[str] = []
        self._reports: list[dict[str, Any]] = []
        self._desks: list[Desks] = []
        self._left: list[Call] = []
        self._sent: dict[str, list[float]] = {}
        self._paid: dict[str, int] = {}
        self._by: dict[int, str] = {}

    def must(self, holds: bool, otherwise: str) -> None:
        """Note what does not hold: raised where an agent or an observer is, it would be handled."""
        if not holds:
            self._broken.append(otherwise)

    def leaves_paid(self, agent: str, cost: int) -> None:
        """Note that a call of an agent has left, and what it will have cost, told or not."""
        self._sent.setdefault(agent, []).append(virtual_loop().time())
        self._paid[agent] = self._paid.get(agent, 0) + cost

    def _within_limits(self) -> None:
        """Judge as the server would: no window was ever above its bound, and no budget passed."""
        for agent, spec in self.spec.agents.items():
            for name in spec.limits:
                limit = self.spec.limits[name]
                for rate in limit.requests:
                    sent = self._sent.get(agent, [])
                    ends = zip(sent, sent[rate.amount :], strict=False)
                    close = [b for a, b in ends if b - a < rate.per / SECOND - 1e-6]
                    self.must(not close, f"more than {rate.amount} calls of {agent} at {close}")
                for rate in limit.cost:
                    paid = self._paid.get(agent, 0)
                    self.must(paid <= rate.amount, f"{paid} of {rate.amount} spent by {agent}")

    def count(self, fault: str) -> None:
        """Note that something has gone wrong, as it should."""
        self.faults[fault] += 1
        virtual_loop().trace(fault)

    # -- the life of a run ------------------------------------------------------------------

    async def live(self) -> Outcome:
        """Carry one run through all its processes to its end."""
        loop = virtual_loop()
        loop.set_exception_handler(lambda loop, report: self._reports.append(report))
        self.spec, inputs = random_run(self.seed)
        latency = self.draw.choice((None, 0.001, 0.02, 0.5))
        after = self.draw.randrange(1, 150) if self.draw.random() < 0.2 else None
        self.journal = MemoryJournal(latency=latency, fail_after=after)
        run = await self._start(inputs)
        retries = 0
        while True:
            self.lives += 1
            how = await self._drive(run)
            loop.trace(f"{how} {run.machine.said}")
            machine = self._inspect(None if how == "dead" else run.machine)
            if machine.phase == "ended":
                # It may have ended on disk alone: the process died before it could say so.
                if machine.said != "failed" or retries == RETRIES:
                    break
                retries += 1
            await asyncio.sleep(self.draw.choice((0.0, 1.0, 100.0)))
            run = await self._resume()
        for desks in self._desks:
            await desks.settled()
        left = [task for task in pending_tasks(loop) if task is not asyncio.current_task()]
        assert left == [], "tasks are left over"
        self._within_limits()
        self._final()
        events = [recorded.event for recorded in self.journal.read(RUN)]
        digest = hashlib.blake2b(msgspec.json.encode([loop.digest(), events]), digest_size=16)
        return Outcome(digest.hexdigest(), machine.said, len(events), self.lives, self.faults)

    def _engine(self) -> Engine:
        capacities = {"a": None, "b": self.draw.choice((None, 1, 2)), "shell": 2}

        def hire(name: str, spec: AgentSpec) -> Actor:
            if Random(f"{self.seed}/{name}/{self.lives}").random() < 0.03:
                self.count("agent_not_made")
                raise ValueError("it cannot be made")
            self.open_agents += 1
            return Actor(self, name, spec.effects)

        desks = Desks(wall, self.journal.ledger)
        self._desks.append(desks)
        parts = Parts(
            journal=self.journal,
            files=NoFiles(),
            hire=hire,
            capacity=lambda name, spec: capacities[name],
            kinds={"plan": Kind(VERSION, make_plan)},
            wall=wall,
            desks=desks,
        )
        return Engine(parts)

    def _ways(self) -> dict[str, Any]:
        watchers: list[Any] = [Watcher(self)]
        if self.draw.random() < 0.2:
            watchers.append(Broken(self))
        helpful = self.lives >= LIVES
        return {
            "observers": watchers,
            "stay": helpful or self.draw.random() < 0.7,
            "wait": helpful or self.draw.random() < 0.8,
        }

    async def _start(self, inputs: dict[str, Json]) -> Run:
        try:
            run = await self._engine().start(
                self.spec, inputs, run=RUN, seed=self.seed, **self._ways()
            )
        except JournalError:
            # Not even the first event could be written, so nothing has happened.
            self.count("journal_failed")
            self.journal = self.journal.crash()
            return await self._start(inputs)
        return self._checked(run)

    async def _resume(self) -> Run:
        before = list(self.journal.read(RUN))
        machine = self._engine().fold(RUN)
        self.shown = len(before)
        ways = self._ways()
        requests: list[AnyRequest] = []
        if machine.phase == "ended":
            failed = [view.path for view in machine.workflow.view() if view.status == "failed"]
            whole = not failed or self.draw.random() < 0.5
            self.count("retry_run" if whole else "retry_failed")
            requests.append(Retry(path="" if whole else self.draw.choice(failed), by="again"))
        spec = changed(self.spec, self.draw) if self.draw.random() < 0.1 else None
        for attempt in itertools.count():
            try:
                # First all of it, then without the changed spec, then without the one step.
                run = await self._engine().resume(RUN, spec=spec, requests=requests, **ways)
            except JournalError:
                # It could not be read who holds what of the limits: nobody drives the run.
                self.count("journal_failed")
                self.journal = self.journal.crash()
                return await self._resume()
            except Refused as refusal:
                self.count("refused")
                assert list(self.journal.read(RUN)) == before, "a refusal left a trace"
                if attempt == 2:
                    raise AssertionError(f"the run can never go on: {refusal}") from refusal
                spec = None
                if attempt:
                    requests = [Retry(path="", by="again")]
            else:
                break
        if spec is not None:
            self.count("spec_replaced")
            self.spec = spec
        return self._checked(run)

    def _checked(self, run: Run) -> Run:
        """Have every invariant checked after each event from now on."""
        machine = run.machine
        run._runner.line.outlook = Guess()
        apply = machine.apply

        def checked(event: AnyEvent) -> None:
            apply(event)
            machine.check()
            virtual_loop().trace(type(event).__name__)

        machine.apply = checked  # type: ignore[method-assign]
        machine.check()
        return run

    async def _drive(self, run: Run) -> str:
        """Let a process live for a while; say how it ended."""
        last = self.lives > LIVES
        uptime = LONG_ENOUGH
        if not last:
            uptime = self.draw.choice((0.0, 0.3, 3.0, 30.0, 1_000.0)) * self.draw.random()
        person = asyncio.get_running_loop().create_task(self._person(run))
        try:
            async with asyncio.timeout(uptime):
                await run.settled()
            if run.machine.paused:
                self.count("paused_away")
            return "settled"
        except TimeoutError:
            if last:
                raise AssertionError(f"it does not end: {run.machine.said}, {run.queued}") from None
            return await self._cut(run)
        except JournalError:
            self.count("journal_failed")
            self.journal = self.journal.crash()
            return "dead"
        finally:
            person.cancel()
            await asyncio.gather(person, return_exceptions=True)
            if person.done() and not person.cancelled() and (error := person.exception()):
                raise error
            assert self.open_agents == 0, "an agent was not closed"
            assert self.in_flight == 0, "a call outlived its run"

    async def _cut(self, run: Run) -> str:
        luck = self.draw.random()
        if luck < 0.3:
            self.count("stop")
            try:
                await run.stop()
                await run.settled()
            except JournalError:
                self.count("journal_failed")
                self.journal = self.journal.crash()
                return "dead"
            return "stopped"
        kept = luck < 0.65
        self.count("crash_kept" if kept else "crash")
        self.journal = self.journal.crash(keep_in_flight=kept)
        # The dead process does nothing more; only its tasks are cleared away here.
        await run.stop()
        return "dead"

    # -- people -----------------------------------------------------------------------------

    async def _person(self, run: Run) -> None:
        while True:
            await asyncio.sleep(self.draw.choice((0.0, 0.2, 2.0, 20.0)) * self.draw.random())
            runner = run._runner
            desk = runner.line.desk
            asked = sum(
                queue.count for queue in desk.waiting(runner.line.room) if queue.cause == CLAIM
            )
            held = desk.admission.admitted - asked
            fits = runner.halted or held == len(runner.departures.flights)
            self.must(fits, "a slot is held by no call")
            request = self._request(run.machine)
            if request is None:
                if self.acts > ACTS:
                    await asyncio.sleep(5)
                continue
            self.acts += 1
            if self.draw.random() < 0.5:
                id = self.journal.post(RUN, request)
                self._by[id] = request.by
                continue
            try:
                run.ask(request)
            except Refused:
                self.count("refused")
            except JournalError:
                return

    def _request(self, machine: RunMachine) -> AnyRequest | None:
        """Think of something to ask for; None if there is nothing."""
        helpful, luck, by = self.acts > ACTS, self.draw.random(), f"p{self.acts}"
        if machine.phase == "pausing" and (helpful or luck < 0.3):
            self.count("continue")
            return Continue(by=by)
        if not helpful and luck < 0.02:
            hard = self.draw.random() < 0.5
            self.count("cancel_hard" if hard else "cancel")
            return Cancel(by=by, hard=hard)
        held = [job.path for job in machine.calls.held()]
        if held and (helpful or luck < 0.6):
            path = self.draw.choice(held)
            if self.draw.random() < 0.5:
                self.count("retry_held")
                return Retry(path=path, by=by)
            self.count("settle_held")
            return Send(path=path, value={"n": 3, "text": "told"}, by=by)
        asked = list(machine.questions.values())
        if asked and (helpful or luck < 0.7):
            return self._answer(self.draw.choice(asked), by)
        if helpful:
            return None
        if luck < 0.8:
            self.count("pause")
            return Pause(by=by)
        # Nonsense, mostly.
        path = self.draw.choice([view.path for view in machine.workflow.view()])
        nonsense: list[AnyRequest] = [
            Retry(path=path, by=by),
            Send(path=path, value=1, by=by),
            Approve(path=path, approved=True, digest="none", by=by),
            Continue(by=by),
        ]
        return self.draw.choice(nonsense)

    def _answer(self, question: Any, by: str) -> AnyRequest:
        if not isinstance(question, ApprovalAsked):
            self.count("send")
            return Send(path=question.path, value={"n": 1, "text": "said"}, by=by)
        approved = self.draw.random() < 0.7
        self.count("approve" if approved else "reject")
        return Approve(path=question.path, approved=approved, digest=question.digest, by=by)

    # -- what must hold ---------------------------------------------------------------------

    def leaves(self, call: Call, effects: bool) -> None:
        """A call has reached its agent: look whether it may."""
        virtual_loop().trace(f"{call} leaves")
        on_disk = [recorded.event for recorded in self.journal.read(RUN)]
        ended = [event.call for event in on_disk if isinstance(event, CallFinished)]
        self.must(call not in ended, f"{call} has finished and leaves again")
        mine = [event for event in on_disk if _path(event) == call.path]
        if effects:
            self._left.append(call)
            known = isinstance(mine[-1], CallStarted) and mine[-1].call == call if mine else False
            self.must(known, f"{call} leaves before its start is on disk")
        # A lost call with effects is done again only if a person says so, or how it ended.
        unsure: CallStarted | None = None
        for event in mine:
            if isinstance(event, CallStarted):
                self.must(unsure is None, f"{event.call} follows {unsure}, and nobody asked for it")
                unsure = event if self.spec.agents[event.agent].effects else None
            elif not isinstance(event, CallLost):
                unsure = None

    def _inspect(self, live: RunMachine | None) -> RunMachine:
        """A process is over: what was acknowledged is on disk, and the disk says what it knew.

        Gives the machine folded from the disk, which is `live` unless the process died.
        """
        assert self._broken == [], self._broken
        events = [recorded.event for recorded in self.journal.read(RUN)]
        assert events[: len(self.acknowledged)] == self.acknowledged, "acknowledged events are lost"
        started = {event.call for event in events if isinstance(event, CallStarted)}
        assert started.issuperset(self._left), "a call with effects left without a trace"
        folded = RunMachine({"plan": make_plan})
        for number, event in enumerate(events):
            folded.apply(event)
            if number >= self._folded:
                folded.check()
        self._folded = len(events)
        self.faults["held"] += len(folded.calls.held())
        if live is not None:
            assert len(self.acknowledged) == len(events), "a process left without showing all"
            assert state_of(folded) == state_of(live), "a fold differs from the live machine"
        self.acknowledged = events
        for id, by in self._by.items():
            answer = self.journal.answer(id)
            granted = any(getattr(event, "by", None) == by for event in events)
            assert granted == (answer is not None and not answer.refusal), f"request {id} by {by}"
            if answer is not None and answer.refusal:
                self.faults["refused"] += 1
        self._by = {id: by for id, by in self._by.items() if self.journal.answer(id) is None}
        return folded

    def _final(self) -> None:
        """Look at the whole journal of a run that has ended."""
        events = [recorded.event for recorded in self.journal.read(RUN)]
        assert isinstance(events[-1], RunEnded)
        assert self.journal.runs()[0].owner == ""
        instants = [event.at for event in events]
        assert instants == sorted(instants), "time went back"
        starts = [event for event in events if isinstance(event, CallStarted)]
        assert len({event.call for event in starts}) == len(starts), "a name was used twice"
        finished = [event.call for event in events if isinstance(event, CallFinished)]
        assert len(set(finished)) == len(finished), "a call finished twice"
        for event in starts:
            edges = [edge for wait in event.waits for edge in (wait.since, wait.until)]
            assert edges == sorted(edges) and (not edges or edges[-1] <= event.at), event
        for event in events:
            if isinstance(event, CallLost):
                self.faults["lost"] += 1
            elif isinstance(event, CallStarted) and event.hedge:
                self.faults["hedged"] += 1
            elif isinstance(event, CallFailed) and event.fault.kind == "over_budget":
                self.faults["over_budget"] += 1
            elif isinstance(event, LimitChanged) and event.what == "closed":
                self.faults["limit_closed"] += 1
            elif isinstance(event, CallCancelled) and event.reason == "timeout":
                self.faults["timeout"] += 1
            elif isinstance(event, CallFailed) and "no field" in event.fault.message:
                self.faults["template"] += 1
            elif isinstance(event, SpecReplaced):
                assert event.spec
        known = ("it cannot be closed", "an observer has failed")
        odd = [report for report in self._reports if str(report.get("exception")) not in known]
        assert odd == [], odd


def _path(event: AnyEvent) -> str | None:
    """Give the path that an event is about, if it is about a call or what a person says of it."""
    if isinstance(event, CallStarted | CallFinished | CallFailed | CallCancelled | CallLost):
        return event.call.path
    return event.path if isinstance(event, RetryRequested | InputGiven) else None


def simulate(seed: int) -> Outcome:
    """Live through one seed.

    Raises:
        AssertionError: Something does not hold; a note says how to repeat it.
    """
    world = World(seed)
    try:
        return run_virtual(world.live, seed=seed)
    except BaseException as error:
        error.add_note(f"repeat it with: python -m tests.simulated.shell --seed {seed}")
        raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Live through seeds and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, action="append", default=[])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    chosen = parser.parse_args(arguments)
    faults: Counter[str] = Counter()
    for seed in (*chosen.seed, *range(chosen.first, chosen.first + chosen.count)):
        outcome = simulate(seed)
        faults += outcome.faults
        print(seed, outcome.digest, outcome.events, outcome.status, outcome.lives)
    print(*(f"{name}={faults[name]}" for name in FAULTS))


if __name__ == "__main__":
    main()
