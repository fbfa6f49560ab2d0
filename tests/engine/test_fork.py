"""Runs that go on from a point of another: what they take over, what they do, what they pay."""

import asyncio
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from tests.engine.kit import Doer, Watcher, engine, events, failure, only, plan, step, virtual
from tests.histories.make import RUNS
from tests.machines import fold, new_machine
from tests.simulated.shell import World

from hocket.agents.base import Context, Reply, Request
from hocket.core.errors import NotFound, Refused
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    CallFinished,
    CallLost,
    CallStarted,
    Event,
    InputAsked,
    Recorded,
    Reserved,
    RunEnded,
    RunStarted,
    Usage,
)
from hocket.core.requests import Approve, Cancel, Pause, Retry, Send
from hocket.core.run import RunMachine
from hocket.core.specs import InputSpec, PlanSpec, StepSpec
from hocket.core.specs import Retry as Policy
from hocket.core.values import SECOND, Json
from hocket.engine.engine import Run
from hocket.engine.forking import INSTANTS, Fork, fork_of
from hocket.insight.tally import Tally
from hocket.journal import slices
from hocket.journal.memory import MemoryJournal
from hocket.limits.spending import Spending
from hocket.simulator.loop import run_virtual

LATER = 9_000_000 * SECOND


def numbered(found: list[AnyEvent]) -> list[Recorded]:
    return [Recorded(seq, event) for seq, event in enumerate(found, 1)]


def forked(found: list[AnyEvent], after: int | None, **inputs: Json) -> Fork:
    source = slices.in_slices(numbered(found))
    how: Any = {"after": after, "inputs": inputs, "by": "anna", "now": LATER}
    return asyncio.run(fork_of(source, new_machine(), "f", **how))


# What is taken over


@pytest.mark.parametrize("name", RUNS)
def test_a_fork_after_any_event_of_a_history_is_where_the_run_was(name: str) -> None:
    found = [msgspec.structs.replace(event) for event in RUNS[name]().events]
    for after in range(1, len(found) + 1):
        then = fold(found[:after])
        made = forked(found, after)
        now = fold([made.first, *made.events])
        now.check()
        assert now.run == "f" and now.at == LATER
        assert now.phase != "ended"
        if then.phase in {"running", "pausing"} and not made.first.forked.seq < after:  # type: ignore[union-attr]
            assert now.view() == then.view()
            assert now.calls.in_flight() == then.calls.in_flight()
            deadline = then.deadline()
            assert now.deadline() == (deadline and deadline + LATER - then.at)


@pytest.mark.parametrize("seed", range(20))
def test_a_fork_of_what_faults_have_made_of_a_run_can_be_taken_up(seed: int) -> None:
    world = World(seed)
    run_virtual(world.live, seed=seed)
    found = events(world.journal)
    step = max(1, len(found) // 25)
    for after in [*range(1, len(found), step), len(found)]:
        try:
            made = forked(found, after)
        except Refused:
            # What failed for good cannot be done again.
            assert fold(found[:after]).end is not None
            continue
        machine = fold([made.first, *made.events])
        machine.check()
        for call in machine.calls.in_flight():
            machine.apply(CallLost(at=machine.at, call=call))
            machine.check()


@pytest.mark.parametrize("seed", range(20))
def test_under_other_inputs_a_fork_of_any_run_still_stands(seed: int) -> None:
    world = World(seed)
    run_virtual(world.live, seed=seed)
    found = events(world.journal)
    names = list(found[0].spec.workflow.inputs)  # type: ignore[union-attr]
    for after in range(1, len(found) + 1, max(1, len(found) // 12)):
        try:
            made = forked(found, after, **{name: [7, "other"] for name in names})
        except Refused:
            continue
        fold([made.first, *made.events]).check()


def test_others_have_a_turn_now_and_then_while_a_long_run_is_forked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "SLICE", 2)
    found = max((make().events for make in RUNS.values()), key=len)
    how: Any = {"after": None, "inputs": {}, "by": "anna", "now": LATER}
    work = fork_of(slices.in_slices(numbered(found)), new_machine(), "f", **how)
    turns = 0
    with pytest.raises(StopIteration) as ended:
        while True:
            work.send(None)
            turns += 1
    # It goes through all of them once to see where the run was, and once to move them.
    assert turns >= len(found) // 2 + len(ended.value.value.events) // 2 - 2 > 2


def test_every_instant_of_an_event_moves_with_it() -> None:
    """A new field of an event has to be looked at here."""
    known = {"hedge_after", "epoch", "seed", "tried"}
    for kind in get_args(AnyEvent):
        assert issubclass(kind, Event)
        for field in msgspec.structs.fields(kind):
            if field.type in (int, int | None):
                assert field.name in INSTANTS | known, f"{kind.__name__}.{field.name}"


# What it does


class Works:
    """Agents whose outputs follow from what they are asked, and a person who answers."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.agents: dict[str, Doer | Exception] = {"a": Doer(self._do), "b": Doer(self._flaky)}

    async def _do(self, request: Request, context: Context) -> Json:
        self.calls.append(request.call.path)
        await asyncio.sleep(1 + len(request.call.path) % 3)
        return Reply(output=f"{request.call.path}:{request.input}", usage=Usage(cost=5))  # type: ignore[return-value]

    async def _flaky(self, request: Request, context: Context) -> Json:
        if request.call.attempt == 1:
            await asyncio.sleep(0.5)
            raise failure()
        return await self._do(request, context)


class Person(Watcher):
    """Answers whatever the run asks."""

    run: Run

    def recorded(self, events: Any) -> None:
        super().recorded(events)
        loop = asyncio.get_running_loop()
        for one in events:
            if isinstance(one.event, ApprovalAsked | InputAsked):
                loop.call_soon(self._answer, one.event)

    def _answer(self, asked: ApprovalAsked | InputAsked) -> None:
        if asked.path not in self.run.machine.questions:
            return
        if isinstance(asked, ApprovalAsked):
            self.run.ask(Approve(by="p", path=asked.path, approved=True, digest=asked.digest))
        else:
            self.run.ask(Send(by="p", path=asked.path, value="sent"))


def everything() -> Any:
    inner = PlanSpec(
        name="inner",
        inputs={"k": InputSpec()},
        steps=(step("one", input="{{inputs.k}}!"), step("two", "one", input="{{one}}?")),
    )
    return plan(
        step("list", input="{{inputs.x}}"),
        step("each", "list", each='["u", "v", "w"]', input="{{item}}"),
        step("flaky", agent="b", retry=Policy(tries=3), input="f"),
        StepSpec(name="ok", kind="approve", input="{{list}}", needs=("list",)),
        StepSpec(name="told", kind="input", input="Which?", needs=("ok",)),
        StepSpec(name="inn", kind="plan", plan=inner, input={"k": "{{told}}"}, needs=("told",)),
        step("last", "inn", "each", "flaky", input="{{inn}} {{each}} {{flaky}}"),
        inputs={"x": InputSpec()},
        max_parallel=2,
    )


async def settle(run: Run, person: Person) -> RunMachine:
    person.run = run
    for asked in list(run.machine.questions.values()):
        person._answer(asked)
    machine = await run.settled()
    machine.check()
    return machine


def output(machine: RunMachine) -> Json:
    assert machine.end is not None and machine.end.status == "succeeded", machine.end
    return machine.end.output


def test_a_fork_after_any_event_comes_to_the_same_end_and_repeats_nothing() -> None:
    async def main() -> None:
        journal, works, person = MemoryJournal(), Works(), Person()
        shell = engine(journal, works.agents)
        run = await shell.start(everything(), {"x": "X"}, run="r", seed=1, observers=[person])
        expected = output(await settle(run, person))
        source = events(journal)
        assert {"ApprovalGiven", "InputGiven", "CallFailed"} <= {type(e).__name__ for e in source}
        for after in [*range(1, len(source) + 1), None]:
            works.calls.clear()
            person = Person()
            fork = await shell.fork("r", run=f"f{after}", after=after, observers=[person])
            machine = await settle(fork, person)
            assert output(machine) == expected
            done = [e.call.path for e in source[:after] if isinstance(e, CallFinished)]
            assert not set(done) & set(works.calls)
            copy = events(journal, f"f{after}")
            assert output(fold(copy)) == expected
            assert [e.at for e in copy] == sorted(e.at for e in copy)
        assert events(journal) == source, "the other run stays as it is"

    virtual(main)


def test_other_inputs_hold_for_what_has_not_finished() -> None:
    async def main() -> None:
        journal, works = MemoryJournal(), Works()
        shell = engine(journal, works.agents)
        spec = plan(
            step("early", input="{{inputs.x}}"),
            step("late", "early", input="{{early}} {{inputs.x}}"),
            inputs={"x": InputSpec()},
        )
        run = await shell.start(spec, {"x": "old"}, run="r", seed=1)
        assert output(await run.settled()) == "late:early:old old"
        first = next(seq for seq, e in enumerate(events(journal), 1) if isinstance(e, CallFinished))
        fork = await shell.fork("r", run="f", after=first, inputs={"x": "new"}, by="anna")
        assert output(await fork.settled()) == "late:early:old new"
        anew = await shell.fork("r", run="g", after=1, inputs={"x": "new"}, by="anna")
        assert output(await anew.settled()) == "late:early:new new"
        whole = await shell.fork("r", run="h", inputs={"x": "new"}, by="anna")
        assert output(await whole.settled()) == "late:early:old old"
        (start,) = only(journal, RunStarted, "f")
        assert start.forked is not None and start.inputs == {"x": "new"}
        assert (start.forked.run, start.forked.seq, start.forked.kept) == ("r", first, first)

    virtual(main)


def test_what_cannot_be_is_refused_and_leaves_nothing() -> None:
    async def main() -> None:
        journal, works = MemoryJournal(), Works()
        shell = engine(journal, works.agents)
        spec = plan(step("s", input="{{inputs.word}}"), inputs={"word": InputSpec()})
        run = await shell.start(spec, {"word": "x"}, run="r", seed=1)
        await run.settled()
        many = len(events(journal))
        with pytest.raises(Refused, match=r"no input 'wrd'; did you mean 'word'\?"):
            await shell.fork("r", run="f", inputs={"wrd": 1})
        for after, why in ((0, "from 1"), (-1, "from 1"), (many + 1, f"the last one is {many}")):
            with pytest.raises(Refused, match=f"no event {after}; .*{why}"):
                await shell.fork("r", run="f", after=after)
        with pytest.raises(NotFound):
            await shell.fork("none", run="f")
        assert [row.id for row in journal.runs()] == ["r"]

    virtual(main)


def test_what_has_failed_is_done_again_and_what_was_cancelled_goes_on() -> None:
    async def main() -> None:
        journal, works = MemoryJournal(), Works()
        shell = engine(journal, works.agents)
        spec = plan(step("good", input="g"), step("bad", agent="b", input="b"))
        run = await shell.start(spec, {}, run="r", seed=1)
        machine = await run.settled()
        assert machine.end is not None and machine.end.status == "failed"
        works.calls.clear()
        fork = await shell.fork("r", run="f", by="anna")
        assert output(await fork.settled()) == {"good": "good:g", "bad": "bad:b"}
        finished = {e.call.path for e in only(journal, CallFinished)}
        assert set(works.calls) == {"good", "bad"} - finished

        gone = await shell.start(spec, {}, run="c", seed=1)
        gone.ask(Pause(by="p"))
        gone.ask(Cancel(by="p"))
        await gone.settled()
        again = await shell.fork("c", run="d", by="anna")
        machine = await again.settled()
        assert machine.end is not None and machine.end.status == "failed"

    virtual(main)


def test_a_call_with_effects_in_flight_at_the_point_is_held() -> None:
    async def main() -> None:
        journal, works = MemoryJournal(), Works()
        shell = engine(journal, works.agents)
        spec = plan(step("pay", input="p"), effects=["a"])
        run = await shell.start(spec, {}, run="r", seed=1)
        await run.settled()
        left = next(seq for seq, e in enumerate(events(journal), 1) if isinstance(e, CallStarted))
        fork = await shell.fork("r", run="f", after=left, by="anna")
        assert [job.path for job in fork.machine.calls.held()] == ["pay"]
        fork.ask(Retry(by="anna", path="pay"))
        assert output(await fork.settled()) == "pay:p"

    virtual(main)


def test_what_was_taken_over_is_not_paid_again() -> None:
    async def main() -> None:
        journal, works = MemoryJournal(), Works()
        shell = engine(journal, works.agents)
        run = await shell.start(plan(step("a"), step("b", "a")), {}, run="r", seed=1)
        await run.settled()
        first = next(seq for seq, e in enumerate(events(journal), 1) if isinstance(e, CallFinished))
        tally = Tally()
        also: Callable[[AnyEvent], None] = tally.add
        fork = await shell.fork("r", run="f", after=first, also=also)
        await fork.settled()
        assert (tally.finished, tally.cost, tally.kept, tally.saved) == (1, 0, 1, 5)
        spent, before = Spending(), Spending()
        for event in events(journal, "f"):
            spent.add(event)
        for event in events(journal):
            before.add(event)
        assert (before.cost, spent.cost) == ({"a": 10}, {"a": 5})

    virtual(main)


def test_what_was_reserved_for_a_call_of_the_other_run_is_not_held_here() -> None:
    found = RUNS["whole"]().events
    held = [
        msgspec.structs.replace(event, reserved=Reserved(tokens=7, cost=9))
        if isinstance(event, CallStarted)
        else event
        for event in found
        if not isinstance(event, RunEnded)
    ]
    spent = Spending()
    made = forked(held, None)
    for event in (made.first, *made.events):
        spent.add(event)
    assert (spent.tokens, spent.cost) == ({}, {})
