"""Starting runs and taking them up again: after a pause, a crash, an end, with another spec."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.engine.kit import (
    WALL,
    Doer,
    Watcher,
    engine,
    events,
    failure,
    now,
    only,
    plan,
    says,
    sleeps,
    starts,
    step,
    virtual,
)

from hocket.agents.base import Context, Request
from hocket.core.errors import JournalError, NotFound, Refused
from hocket.core.events import (
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    RunResumed,
    RunStarted,
    SpecReplaced,
)
from hocket.core.requests import AnyRequest, Cancel, Continue, Pause, Retry, Send
from hocket.core.specs import InputSpec, PlanSpec, StepSpec
from hocket.core.specs import Retry as Policy
from hocket.core.values import SECOND, Json
from hocket.engine.engine import Engine, Run
from hocket.journal.memory import MemoryJournal

SEEDS = [None, 1, 2, 3]


@pytest.fixture(params=SEEDS, ids=str)
def seed(request: pytest.FixtureRequest) -> Any:
    return request.param


async def crash(journal: MemoryJournal, run: Run, **options: Any) -> MemoryJournal:
    """Let the process die: what was on its way to the disk is lost, and nobody says goodbye."""
    twin = journal.crash(**options)
    with pytest.raises(JournalError, match="crashed"):
        await run.settled()
    return twin


# Starting


def test_the_first_event_is_on_disk_when_a_run_has_been_started() -> None:
    journal = MemoryJournal(latency=0.5)

    async def main() -> None:
        spec = plan(step("s"), inputs={"x": InputSpec()})
        run = await engine(journal, {"a": sleeps(1)}).start(spec, {"x": 1}, run="r", seed=7)
        assert now() == 0.5
        (first,) = events(journal)
        assert isinstance(first, RunStarted)
        assert (first.run, first.seed, first.inputs, first.versions) == (
            "r",
            7,
            {"x": 1},
            {"plan": 1},
        )
        assert (first.spec, first.at) == (spec, WALL)
        assert run.id == "r"
        await run.settled()

    virtual(main)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({}, "needs the input 'repo'"),
        ({"repo": 1, "rpeo": 2}, "no input 'rpeo'; did you mean 'repo'"),
        ({"repo": 1, "q": 2}, "no input 'q'; it takes repo, depth"),
    ],
)
def test_missing_and_unknown_inputs_are_refused_before_anything_is_written(
    given: dict[str, Any], part: str
) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        inputs = {"repo": InputSpec(), "depth": InputSpec(required=False, default=3)}
        with pytest.raises(Refused, match=part):
            await engine(journal, {}).start(plan(step("s"), inputs=inputs), given, run="r", seed=1)

    virtual(main)
    assert journal.runs() == []


def test_a_run_id_that_is_taken_is_refused_and_the_first_run_goes_on() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1)})
        run = await shell.start(plan(step("s")), {}, run="r", seed=1)
        with pytest.raises(JournalError, match="already"):
            await shell.start(plan(step("s")), {}, run="r", seed=1)
        assert (await run.settled()).said == "succeeded"

    virtual(main)


def test_two_runs_share_a_journal_and_nothing_else(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.01)

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1)})
        spec = plan(step("s"), step("t", "s"), max_parallel=1)
        runs = [await shell.start(spec, {}, run=f"r{i}", seed=1) for i in range(3)]
        await runs[1].stop()
        for i in (0, 2):
            assert (await runs[i].settled()).said == "succeeded"
        assert shell.fold("r1").said == "running"

    virtual(main, seed)
    assert [row.status for row in journal.runs()] == ["succeeded", "running", "succeeded"]


# Taking up after a crash


@pytest.mark.parametrize("keep", [False, True])
def test_after_a_crash_only_what_was_in_flight_is_done_again(keep: bool, seed: int | None) -> None:
    journal = MemoryJournal(latency=0.2)
    doer = sleeps(2)
    spec = plan(step("s"), step("t", "s"), step("u", "t"))
    watcher = Watcher()
    twins: list[MemoryJournal] = []

    async def main() -> None:
        run = await engine(journal, {"a": doer}).start(
            spec, {}, run="r", seed=1, observers=[watcher]
        )
        # 0.2 started; 2.2 s finished and t started, on disk at 2.4.
        await asyncio.sleep(3)
        twins.append(await crash(journal, run, keep_in_flight=keep))
        again = Watcher()
        shell = engine(twins[0], {"a": doer})
        resumed = await shell.resume("r", observers=[again])
        assert resumed.machine.said == "running"
        assert (await resumed.settled()).said == "succeeded"
        assert [item.event for _, item in again.seen] == events(twins[0])[len(watcher.seen) :]

    virtual(main, seed)
    (twin,) = twins
    assert [recorded.event for _, recorded in watcher.seen] == events(twin)[: len(watcher.seen)]
    assert [str(event.call) for event in only(twin, CallLost)] == ["t#1"]
    assert [call for _, call in doer.calls] == ["s#1", "t#1", "t#2", "u#1"]
    (resumed,) = only(twin, RunResumed)
    assert resumed.epoch == 2


def test_what_was_under_way_goes_first_when_a_run_is_taken_up(seed: int | None) -> None:
    journal = MemoryJournal()
    doer = sleeps(1)
    spec = plan(*(step(f"s{number}") for number in range(6)), max_parallel=2)

    async def main() -> None:
        run = await engine(journal, {"a": doer}).start(spec, {}, run="r", seed=1)
        await asyncio.sleep(1.5)
        twin = await crash(journal, run)
        lost = [str(event.call) for event in only(twin, CallStarted)][2:]
        doer.calls.clear()
        await (await engine(twin, {"a": doer}).resume("r")).settled()
        first = {call for _, call in doer.calls[:2]}
        assert first == {call.replace("#1", "#2") for call in lost}

    virtual(main, seed)


def test_what_had_not_reached_the_disk_is_done_again(seed: int | None) -> None:
    journal = MemoryJournal(latency=1.0)
    doer = sleeps(0.1)

    async def main() -> None:
        run = await engine(journal, {"a": doer}).start(plan(step("s")), {}, run="r", seed=1)
        await asyncio.sleep(0.5)
        twin = await crash(journal, run)
        assert [type(event) for event in events(twin)] == [RunStarted]
        await (await engine(twin, {"a": doer}).resume("r")).settled()
        assert [str(event.call) for event in only(twin, CallFinished)] == ["s#1"]

    virtual(main, seed)
    assert [call for _, call in doer.calls] == ["s#1", "s#1"]


ANSWERS = [
    (Retry(path="s", by="me"), ["s#1", "s#2"], "new"),
    (Send(path="s", value="known", by="me"), ["s#1"], "known"),
]


@pytest.mark.parametrize(("answer", "calls", "result"), ANSWERS)
def test_a_lost_call_with_effects_is_held_until_a_person_decides(
    answer: AnyRequest, calls: list[str], result: str, seed: int | None
) -> None:
    journal = MemoryJournal(latency=0.01)
    doer = sleeps(2, "new")

    async def main() -> None:
        spec = plan(step("s"), step("t", "s", agent="b"), effects=["a"])
        run = await engine(journal, {"a": doer, "b": sleeps(1)}).start(spec, {}, run="r", seed=1)
        await asyncio.sleep(1)
        twin = await crash(journal, run)
        shell = engine(twin, {"a": doer, "b": sleeps(1)})
        waiting = await shell.resume("r", stay=False, wait=False)
        machine = await waiting.settled()
        assert machine.said == "paused"
        assert [job.path for job in machine.calls.held()] == ["s"]
        again = await shell.resume("r")
        await asyncio.sleep(100)
        assert len(doer.calls) == 1
        again.ask(answer)
        machine = await again.settled()
        assert machine.said == "succeeded"
        assert machine.workflow.result("s") == result

    virtual(main, seed)
    assert [call for _, call in doer.calls] == calls


def test_a_call_with_effects_whose_start_was_not_on_disk_had_not_left(seed: int | None) -> None:
    journal = MemoryJournal(latency=1.0)
    doer = sleeps(1)

    async def main() -> None:
        spec = plan(step("s"), effects=["a"])
        run = await engine(journal, {"a": doer}).start(spec, {}, run="r", seed=1)
        await asyncio.sleep(0.5)
        assert doer.calls == []
        twin = await crash(journal, run)
        again = await engine(twin, {"a": doer}).resume("r")
        assert (await again.settled()).said == "succeeded"

    virtual(main, seed)
    assert [call for _, call in doer.calls] == ["s#1"]


def test_a_crash_of_the_process_that_took_over_is_taken_over_as_well(seed: int | None) -> None:
    doer = sleeps(2)

    async def main() -> None:
        journal = MemoryJournal(latency=0.1)
        run = await engine(journal, {"a": doer}).start(
            plan(step("s"), step("t", "s")), {}, run="r", seed=1
        )
        for epoch in range(2, 6):
            await asyncio.sleep(1)
            journal = await crash(journal, run)
            run = await engine(journal, {"a": doer}).resume("r")
            assert run.machine.epoch == epoch
        assert (await run.settled()).said == "succeeded"
        assert [event.epoch for event in only(journal, RunResumed)] == [2, 3, 4, 5]
        names = [event.call for event in only(journal, CallStarted)]
        assert len(names) == len(set(names))

    virtual(main, seed)


def test_a_back_off_that_ended_meanwhile_is_over_at_once() -> None:

    journal = MemoryJournal()
    doer = says(failure(), "there")

    async def main() -> None:
        retry = Policy(tries=2, first=10 * SECOND, jitter=0.0)
        run = await engine(journal, {"a": doer}).start(
            plan(step("s", retry=retry)), {}, run="r", seed=1
        )
        await asyncio.sleep(1)
        await run.stop()
        await asyncio.sleep(99)
        await (await engine(journal, {"a": doer}).resume("r")).settled()

    virtual(main)
    assert doer.calls == [(0, "s#1"), (100, "s#2")]


def test_a_clock_that_was_put_back_delays_nothing() -> None:
    journal = MemoryJournal()
    doer = sleeps(100)

    async def main() -> None:
        shell = engine(journal, {"a": doer})
        run = await shell.start(plan(step("s", timeout=5 * SECOND)), {}, run="r", seed=1)
        await asyncio.sleep(1)
        await run.stop()
        behind = engine(journal, {"a": doer}, clock=lambda: WALL - 3_600 * SECOND)
        again = await behind.resume("r")
        assert (await again.settled()).said == "failed"
        assert now() == pytest.approx(6)

    virtual(main)
    instants = [event.at for event in events(journal)]
    assert instants == sorted(instants)


# What can be resumed, and with what


async def ended(shell: Engine) -> Run:
    run = await shell.start(plan(step("s"), step("t", "s", agent="b")), {}, run="r", seed=1)
    await run.settled()
    return run


def test_a_run_that_has_ended_is_not_resumed_without_a_reason() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1), "b": says(failure())})
        assert (await ended(shell)).machine.said == "failed"
        with pytest.raises(Refused, match="has ended: failed"):
            await shell.resume("r")
        before = events(journal)
        for request in (Pause(), Continue(), Retry(path="s"), Send(path="s", value=1), Cancel()):
            with pytest.raises(Refused):
                await shell.resume("r", requests=[request])
        # A refused request leaves no trace, and nobody owns the run.
        assert events(journal) == before
        assert (journal.runs()[0].status, journal.runs()[0].owner) == ("failed", "")

    virtual(main)


def test_a_run_that_began_under_newer_rules_is_not_judged_by_older_ones() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1), "b": says(failure())})
        await ended(shell)
        kinds = {"plan": msgspec.structs.replace(shell.parts.kinds["plan"], version=0)}
        older = Engine(msgspec.structs.replace(shell.parts, kinds=kinds))
        with pytest.raises(JournalError, match="under version 1 of the rules for a plan"):
            older.fold("r")
        with pytest.raises(JournalError, match="use a newer one"):
            await older.resume("r", requests=[Retry(path="t")])
        assert shell.fold("r").said == "failed"
        assert journal.runs()[0].owner == ""

    virtual(main)


def test_a_failed_step_is_done_again_on_request(seed: int | None) -> None:
    journal = MemoryJournal()
    second = says(failure(), "now it works")
    first = sleeps(1)

    async def main() -> None:
        shell = engine(journal, {"a": first, "b": second})
        await ended(shell)
        run = await shell.resume("r", requests=[Retry(path="t", by="me")])
        machine = await run.settled()
        assert machine.said == "succeeded"
        assert machine.workflow.result("t") == "now it works"

    virtual(main, seed)
    assert [call for _, call in first.calls] == ["s#1"]
    assert [call for _, call in second.calls] == ["t#1", "t#2"]


def test_retrying_a_nested_step_of_a_run_that_has_failed_takes_up_the_whole_run() -> None:
    journal = MemoryJournal()
    inner = says(failure(), "now it works")
    slow, last = sleeps(5), says(failure(), "now, too")

    async def a_second_later(request: Request, context: Context) -> Json:
        await asyncio.sleep(1)
        return await last.do(request, context)

    stop = Doer(a_second_later)

    async def main() -> None:
        shell = engine(journal, {"in": inner, "slow": slow, "stop": stop})
        nested = PlanSpec(
            name="n",
            steps=(step("i", agent="in", on_failure="skip"), step("j", agent="slow")),
        )
        spec = plan(
            StepSpec(name="s", kind="plan", plan=nested),
            step("t", agent="slow"),
            step("u", agent="stop"),
        )
        agents = plan(*nested.steps, *spec.workflow.steps).agents
        spec = msgspec.structs.replace(spec, agents=agents)
        run = await shell.start(spec, {}, run="r", seed=1)
        assert (await run.settled()).said == "failed"
        with pytest.raises(Refused, match="'j'"):
            await shell.resume("r", requests=[Retry(path="s/j")])
        again = await shell.resume("r", requests=[Retry(path="s/i")])
        again.machine.check()
        assert (await again.settled()).said == "succeeded"

    virtual(main, None)
    assert [call for _, call in inner.calls] == ["s/i#1", "s/i#2"]
    assert [call for _, call in slow.calls] == ["s/j#1", "t#1", "s/j#2", "t#2"]
    assert [call for _, call in stop.calls] == ["u#1", "u#2"]


def test_a_run_that_is_driven_is_not_resumed_and_an_unknown_one_is_not_found() -> None:
    async def main() -> None:
        shell = engine(MemoryJournal(), {"a": sleeps(1)})
        run = await shell.start(plan(step("s")), {}, run="r", seed=1)
        with pytest.raises(Refused, match="alive"):
            await shell.resume("r")
        with pytest.raises(NotFound):
            await shell.resume("q")
        with pytest.raises(NotFound):
            shell.fold("q")
        assert (await run.settled()).said == "succeeded"
        assert shell.fold("r").said == "succeeded"

    virtual(main)


def test_a_changed_spec_keeps_the_steps_that_are_equal(seed: int | None) -> None:
    journal = MemoryJournal()
    first, second = sleeps(1), says(failure())

    async def main() -> None:
        shell = engine(journal, {"a": first, "b": second, "c": says("from c")})
        await ended(shell)
        changed = plan(step("s"), step("t", "s", agent="c"), step("u", "s"))
        machine = await (await shell.resume("r", spec=changed)).settled()
        assert machine.said == "succeeded"
        assert machine.workflow.result("t") == "from c"

    virtual(main, seed)
    assert [call for _, call in first.calls] == ["s#1", "u#2"]
    assert len(only(journal, SpecReplaced)) == 1
    names = [event.call for event in only(journal, CallStarted)]
    assert len(names) == len(set(names))


def test_a_changed_spec_brings_its_own_limits(seed: int | None) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(1)}, capacity={"a": 2})
        steps = [step(f"s{i}") for i in range(4)]
        run = await shell.start(plan(*steps, max_parallel=1), {}, run="r", seed=1)
        await asyncio.sleep(0.5)
        await run.stop()
        again = await shell.resume("r", spec=plan(*steps, max_parallel=9))
        assert (await again.settled()).said == "succeeded"
        assert now() == 2.5

    virtual(main, seed)
    assert sorted(at for call, at in starts(journal).items()) == [0, 0.5, 0.5, 1.5, 1.5]


def test_a_changed_spec_is_refused_while_a_lost_call_is_undecided() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(5)})
        run = await shell.start(plan(step("s"), effects=["a"]), {}, run="r", seed=1)
        await asyncio.sleep(1)
        await run.stop()
        before = events(journal)
        with pytest.raises(Refused, match="held"):
            await shell.resume("r", spec=plan(step("t"), effects=["a"]))
        assert events(journal) == before

    virtual(main)


def test_the_state_folded_from_the_journal_is_the_live_one(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.01)
    doer = Doer(says(failure("unavailable"), "ok").do)

    async def main() -> None:

        shell = engine(journal, {"a": doer})
        spec = plan(*(step(f"s{i}", retry=Policy(tries=2)) for i in range(5)), max_parallel=2)
        run = await shell.start(spec, {}, run="r", seed=1)
        machine = await run.settled()
        folded = shell.fold("r")
        assert folded.said == machine.said == "succeeded"
        assert folded.workflow.view() == machine.workflow.view()
        assert (folded.at, folded.calls.ignored) == (machine.at, machine.calls.ignored)

    virtual(main, seed)
    assert len(only(journal, CallFailed)) == 5
