"""One run, driven in virtual time: when things start, wait, stop, and what is on disk by then."""

import asyncio
import itertools
from typing import Any

import pytest
from tests.engine.kit import (
    Doer,
    Watcher,
    engine,
    events,
    failure,
    now,
    only,
    plan,
    says,
    seconds,
    sleeps,
    sleeps_by_step,
    starts,
    step,
    virtual,
    waits,
)

from hocket.agents.base import Context, Reply, Request
from hocket.agents.base import waits as tell
from hocket.core.errors import EngineBug, JournalError, OwnershipLost, Refused
from hocket.core.events import (
    ApprovalAsked,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallStarted,
    PauseRequested,
    RunEnded,
    Usage,
)
from hocket.core.requests import Approve, Cancel, Continue, Pause, Retry, Send
from hocket.core.retry import decide
from hocket.core.specs import Retry as RetrySpec
from hocket.core.specs import RunSpec
from hocket.core.values import MS, SECOND, Call, Json
from hocket.engine.engine import Run
from hocket.journal.base import Taken
from hocket.journal.memory import MemoryJournal
from hocket.limits.admission import Queue

SEEDS = [None, 1, 2, 3]
NO_JITTER = {"jitter": 0.0}


@pytest.fixture(params=SEEDS, ids=str)
def seed(request: pytest.FixtureRequest) -> Any:
    return request.param


async def start(
    journal: MemoryJournal, spec: RunSpec, doers: dict[str, Any], **options: Any
) -> Run:
    capacity = options.pop("capacity", None)
    inputs = options.pop("inputs", {})
    return await engine(journal, doers, capacity=capacity).start(
        spec, inputs, run="r", seed=1, **options
    )


# When a step starts


def test_a_step_starts_the_moment_its_inputs_are_there(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.1)
    doer = sleeps_by_step(a=1, b=2, c=1, d=3)
    spec = plan(step("a"), step("b"), step("c", "a"), step("d", "b"), step("e", "c", "d"))

    async def main() -> None:
        run = await start(journal, spec, {"a": doer})
        assert (await run.settled()).said == "succeeded"
        assert now() == pytest.approx(6.3)

    virtual(main, seed)
    found = starts(journal)
    assert found == pytest.approx({"a#1": 0, "b#1": 0, "c#1": 1, "d#1": 2, "e#1": 5}, abs=0.11)
    began = found["a#1"]
    assert {call: at - began for call, at in found.items()} == pytest.approx(
        {"a#1": 0, "b#1": 0, "c#1": 1, "d#1": 2, "e#1": 5}
    )
    assert all(not held for held in waits(journal).values())


def test_no_more_calls_run_at_once_than_max_parallel(seed: int | None) -> None:
    journal = MemoryJournal()
    doer = sleeps(1)
    spec = plan(*(step(f"s{i}") for i in range(5)), max_parallel=2)

    async def main() -> None:
        await (await start(journal, spec, {"a": doer})).settled()

    virtual(main, seed)
    assert starts(journal) == {"s0#1": 0, "s1#1": 0, "s2#1": 1, "s3#1": 1, "s4#1": 2}
    held = waits(journal)
    assert held["s2#1"] == [("slot:run", 0, 1)]
    assert held["s4#1"] == [("slot:run", 0, 2)]


def test_an_agent_has_a_limit_of_its_own_that_holds_up_nobody_else(seed: int | None) -> None:
    journal = MemoryJournal()
    spec = plan(*(step(f"a{i}") for i in range(3)), *(step(f"b{i}", agent="b") for i in range(3)))

    async def main() -> None:
        doers = {"a": sleeps(1), "b": sleeps(1)}
        run = await start(journal, spec, doers, capacity={"a": 1})
        await asyncio.sleep(0.5)
        assert run.queued == [Queue("slot:agent:a", None, 2)]
        await run.settled()
        assert run.queued == []

    virtual(main, seed)
    assert starts(journal) == {
        "a0#1": 0, "b0#1": 0, "b1#1": 0, "b2#1": 0, "a1#1": 1, "a2#1": 2,
    }  # fmt: skip
    assert waits(journal)["a2#1"] == [("slot:agent:a", 0, 2)]


def test_a_call_with_effects_leaves_once_its_start_is_on_disk(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.5)
    careful, careless = sleeps(1), sleeps(1)
    spec = plan(step("s", agent="careful"), step("t", agent="careless"), effects=["careful"])
    on_disk: list[bool] = []
    do = careful.do

    async def look(request: Request, context: Context) -> Json:
        on_disk.append(any(event.call == request.call for event in only(journal, CallStarted)))
        return await do(request, context)

    careful.do = look

    async def main() -> None:
        run = await start(journal, spec, {"careful": careful, "careless": careless})
        assert now() == 0.5
        await run.settled()

    virtual(main, seed)
    assert careless.calls == [(0.5, "t#1")]
    assert careful.calls == [(1.0, "s#1")]
    assert on_disk == [True]
    assert starts(journal) == {"s#1": 0.5, "t#1": 0.5}


def test_a_call_with_effects_waits_for_what_it_depends_on(seed: int | None) -> None:
    """The result of the step before is on disk as well, since the journal keeps its order."""
    journal = MemoryJournal(latency=0.5)
    last = sleeps(1)

    async def main() -> None:
        spec = plan(step("s"), step("t", "s", agent="b"), effects=["b"])
        do = last.do

        async def look(request: Request, context: Context) -> Json:
            assert [event.call.path for event in only(journal, CallFinished)] == ["s"]
            return await do(request, context)

        last.do = look
        await (await start(journal, spec, {"a": sleeps(0.1), "b": last})).settled()

    virtual(main, seed)
    assert len(last.calls) == 1


# What is shown


def test_events_are_shown_when_they_are_on_disk_in_order_and_all(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.3)
    watcher = Watcher()

    class Strict(Watcher):
        def recorded(self, events: Any) -> None:
            super().recorded(events)
            assert [item.seq for item in journal.read("r")][: len(self.seen)] == [
                recorded.seq for _, recorded in self.seen
            ]

    strict = Strict()
    spec = plan(step("s"), step("t", "s"), step("u"))

    async def main() -> None:
        run = await start(journal, spec, {"a": sleeps(1)}, observers=[watcher, strict])
        await run.settled()
        assert [item.event for _, item in watcher.seen] == events(journal)

    virtual(main, seed)
    assert [recorded.seq for _, recorded in watcher.seen] == list(range(1, len(watcher.seen) + 1))
    assert strict.seen == watcher.seen
    for shown, recorded in watcher.seen[1:]:
        assert shown >= seconds(recorded.event.at) + 0.3 - 1e-9


def test_each_commit_is_shown_when_it_is_done_even_while_more_follows() -> None:
    journal = MemoryJournal(latency=1.0)
    watcher = Watcher()

    async def main() -> None:
        spec = plan(*(step(f"s{i}") for i in range(9)), max_parallel=1)
        await (await start(journal, spec, {"a": sleeps(0.5)}, observers=[watcher])).settled()

    virtual(main)
    assert max(shown - seconds(recorded.event.at) for shown, recorded in watcher.seen) <= 2.0


def test_what_a_call_says_is_shown_at_once() -> None:
    watcher = Watcher()

    async def speak(request: Request, context: Context) -> Json:
        context.emit("one")
        await asyncio.sleep(1)
        context.emit("two", "err")
        return None

    async def main() -> None:
        run = await start(
            MemoryJournal(latency=5), plan(step("s")), {"a": Doer(speak)}, observers=[watcher]
        )
        await asyncio.sleep(0.5)
        assert watcher.said == [("s#1", "out", "one")]
        await run.settled()

    virtual(main)
    assert watcher.said[1:] == [("s#1", "err", "two")]


@pytest.mark.parametrize("method", ["recorded", "emitted"])
def test_an_observer_that_raises_is_reported_and_the_run_goes_on(method: str) -> None:
    journal, healthy, reports = MemoryJournal(), Watcher(), list[dict[str, Any]]()

    class Broken(Watcher):
        pass

    def fail(self: Any, *arguments: Any) -> None:
        raise RuntimeError("I am broken")

    setattr(Broken, method, fail)

    async def speak(request: Request, context: Context) -> Json:
        context.emit("one")
        await asyncio.sleep(1)
        context.emit("two")
        return None

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, what: reports.append(what))
        run = await start(
            journal, plan(step("s")), {"a": Doer(speak)}, observers=[Broken(), healthy]
        )
        assert (await run.settled()).said == "succeeded"

    virtual(main)
    assert [str(report["exception"]) for report in reports] == ["I am broken"]
    assert [item.event for _, item in healthy.seen] == events(journal)
    assert len(healthy.said) == 2


def test_an_observer_may_come_and_go() -> None:
    journal, watcher = MemoryJournal(), Watcher()

    async def main() -> None:
        run = await start(journal, plan(step("s"), step("t", "s")), {"a": sleeps(1)})
        await asyncio.sleep(0.5)
        run.observe(watcher)
        await asyncio.sleep(1)
        run.unobserve(watcher)
        await run.settled()

    virtual(main)
    kinds = [type(recorded.event).__name__ for _, recorded in watcher.seen]
    assert kinds == ["CallFinished", "CallStarted"]


# Time-outs, retries, fallbacks


def test_a_call_that_outlives_its_time_is_stopped_and_tried_again(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.01)
    stopped: list[float] = []

    async def hang_once(request: Request, context: Context) -> Json:
        if request.call.attempt > 1:
            return "late but there"
        context.spend(Usage(tokens_in=7))
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            stopped.append(now())
            raise
        return None

    async def main() -> None:
        retry = RetrySpec(tries=2, first=3 * SECOND, jitter=0.0)
        spec = plan(step("s", timeout=2 * SECOND, retry=retry))
        machine = await (await start(journal, spec, {"a": Doer(hang_once)})).settled()
        assert machine.said == "succeeded"
        assert machine.workflow.result("s") == "late but there"

    virtual(main, seed)
    (cancelled,) = only(journal, CallCancelled)
    assert (cancelled.reason, cancelled.usage) == ("timeout", Usage(tokens_in=7))
    first, second = starts(journal).values()
    assert seconds(cancelled.at) == pytest.approx(first + 2)
    assert stopped == [pytest.approx(first + 2)]
    assert second == pytest.approx(first + 5)
    assert waits(journal)["s#2"] == [("backoff", pytest.approx(first + 2), pytest.approx(second))]


def test_a_call_that_finishes_all_the_same_when_it_is_stopped_has_finished() -> None:
    journal = MemoryJournal()

    async def stubborn(request: Request, context: Context) -> Json:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return "after all"

    async def main() -> None:
        spec = plan(step("s", timeout=2 * SECOND))
        machine = await (await start(journal, spec, {"a": Doer(stubborn)})).settled()
        assert machine.workflow.result("s") == "after all"
        assert now() == 3

    virtual(main)
    assert only(journal, CallCancelled) == []


def test_back_offs_last_exactly_as_long_as_the_policy_says(seed: int | None) -> None:
    journal = MemoryJournal()
    doer = says(failure(), failure("unavailable"), failure("rate_limited", 5 * SECOND), "there")
    retry = RetrySpec(tries=9, first=SECOND, factor=3.0)
    expected, at = [0.0], 0.0

    async def main() -> None:
        await (await start(journal, plan(step("s", retry=retry)), {"a": doer})).settled()

    virtual(main, seed)
    for attempt, (kind, tries, refusals) in enumerate(
        [("failed", 1, 0), ("unavailable", 2, 0), ("rate_limited", 2, 1)], 1
    ):
        wait = 5 * SECOND if kind == "rate_limited" else None
        fault = failure(kind, wait).fault  # type: ignore[arg-type]
        decision = decide(retry, fault, tries, refusals, 1, Call("s", attempt))
        assert not isinstance(decision, str)
        at += decision.delay / SECOND
        expected.append(at)
    assert list(starts(journal).values()) == pytest.approx(expected)
    assert expected[3] - expected[2] >= 5
    for before, after in itertools.pairwise(expected):
        call = f"s#{expected.index(after) + 1}"
        assert waits(journal)[call] == [("backoff", pytest.approx(before), pytest.approx(after))]


def test_a_fallback_takes_over_when_an_agent_has_no_try_left(seed: int | None) -> None:
    journal = MemoryJournal()
    retry = RetrySpec(tries=2, first=SECOND, jitter=0.0)
    first, second = says(failure()), says("from b")

    async def main() -> None:
        spec = plan(step("s", fallback=("b",), retry=retry))
        machine = await (await start(journal, spec, {"a": first, "b": second})).settled()
        assert machine.workflow.result("s") == "from b"

    virtual(main, seed)
    assert first.calls == [(0, "s#1"), (1, "s#2")]
    assert second.calls == [(1, "s#3")]
    assert [event.agent for event in only(journal, CallStarted)] == ["a", "a", "b"]


# Pause, continue, cancel


def test_pausing_waits_for_what_is_in_flight_and_starts_nothing(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.01)

    async def main() -> None:
        spec = plan(step("s"), step("t", "s"), *(step(f"u{i}") for i in range(3)), max_parallel=2)
        run = await start(journal, spec, {"a": sleeps(2)})
        await asyncio.sleep(1)
        run.ask(Pause(by="me"))
        assert run.machine.said == "pausing"
        await asyncio.sleep(0.5)
        assert run.machine.said == "pausing"
        await asyncio.sleep(10)
        assert run.machine.said == "paused"
        assert run.queued == [Queue("pause", None, 3)]
        with pytest.raises(Refused, match="does not wait"):
            run.ask(Approve(path="s", approved=True, digest=""))
        run.ask(Continue(by="me"))
        assert run.machine.said == "running"
        assert (await run.settled()).said == "succeeded"

    virtual(main, seed)
    began = starts(journal)["s#1"]
    paused = [("slot:run", 0, pytest.approx(1 + began))]
    again = 11.5 + began
    assert starts(journal)["u1#1"] == pytest.approx(again)
    assert waits(journal)["u1#1"] == [*paused, ("pause", 1 + began, pytest.approx(again))]


def test_a_paused_run_that_need_not_stay_is_given_back_and_can_be_resumed() -> None:
    journal = MemoryJournal(latency=0.01)
    doer = sleeps(1)

    async def main() -> None:
        shell = engine(journal, {"a": doer})
        spec = plan(step("s"), step("t", "s"))
        run = await shell.start(spec, {}, run="r", seed=1, stay=False)
        await asyncio.sleep(0.5)
        run.ask(Pause(by="me"))
        assert (await run.settled()).said == "paused"
        assert now() == pytest.approx(1.02)
        assert doer.closed == 1
        with pytest.raises(Refused, match="driven here no more"):
            run.ask(Continue())
        again = await shell.resume("r", stay=False)
        assert (await again.settled()).said == "succeeded"

    virtual(main)
    assert [call for _, call in doer.calls] == ["s#1", "t#1"]
    assert doer.closed == 2


@pytest.mark.parametrize("leave", [False, True], ids=["pause", "leave"])
def test_a_call_that_nobody_does_yet_goes_back_and_costs_no_try(leave: bool) -> None:
    journal = MemoryJournal()
    there = asyncio.Event()

    async def do(request: Request, context: Context) -> Json:
        if request.call.path == "far":
            tell(context, "room")
            await there.wait()
            tell(context, "")
        await asyncio.sleep(2)
        return "done"

    async def main() -> None:
        spec = plan(step("near"), step("far"), effects=["a"])
        run = await start(journal, spec, {"a": Doer(do)}, stay=False)
        await asyncio.sleep(1)
        assert run.undone == {"room": 1} and Queue("room", None, 1) in run.queued
        if leave:
            run.leave()
        else:
            run.ask(Pause(by="me"))
        await asyncio.sleep(0.5)
        (back,) = only(journal, CallCancelled)
        assert str(back.call) == "far#1" and run.undone == {}, "that one at once"
        machine = await run.settled()
        assert machine.said == ("running" if leave else "paused")
        assert now() == pytest.approx(2), "and the other has ended"
        there.set()
        again = await engine(journal, {"a": Doer(do)}).resume("r", stay=False)
        assert (await again.settled()).said == "succeeded"

    virtual(main)
    assert [str(e.call) for e in only(journal, CallFinished)] == ["near#1", "far#2"]
    assert only(journal, CallFailed) == []


def test_a_request_to_go_on_that_comes_while_the_pause_is_written_is_followed() -> None:
    journal = MemoryJournal(latency=1.0)

    async def main() -> None:
        spec = plan(step("s"), step("t", "s"))
        run = await start(journal, spec, {"a": sleeps(1)}, stay=False)
        run.ask(Pause())
        await asyncio.sleep(0.5)
        assert run.machine.said == "paused"
        run.ask(Continue())
        assert (await run.settled()).said == "succeeded"

    virtual(main)


def test_a_run_that_need_not_wait_for_people_pauses_when_only_they_are_waited_for() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        shell = engine(journal, {"a": sleeps(3)})
        spec = plan(step("ok", agent="", kind="approve", input="fine?"), step("s"), step("t", "ok"))
        run = await shell.start(spec, {}, run="r", seed=1, stay=False, wait=False)
        assert (await run.settled()).said == "paused"
        assert now() == 3
        (asked,) = only(journal, ApprovalAsked)
        (paused,) = only(journal, PauseRequested)
        assert (asked.shown, paused.by) == ("fine?", "--no-wait")
        answer = Approve(path="ok", approved=True, digest=asked.digest, by="me")
        again = await shell.resume("r", requests=[answer], stay=False, wait=False)
        assert (await again.settled()).said == "succeeded"

    virtual(main)


@pytest.mark.parametrize("hard", [False, True])
def test_cancelling_stops_what_is_in_flight_and_ends_the_run(hard: bool, seed: int | None) -> None:
    journal = MemoryJournal(latency=0.01)
    seen: list[bool] = []

    async def polite(request: Request, context: Context) -> Json:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append(context.hard)
            if not context.hard:
                await asyncio.sleep(2)
            raise
        return None

    async def main() -> None:
        spec = plan(*(step(f"s{i}") for i in range(4)), max_parallel=2)
        run = await start(journal, spec, {"a": Doer(polite)})
        await asyncio.sleep(1)
        run.ask(Cancel(by="me", hard=hard))
        assert run.machine.said == "ending"
        assert (await run.settled()).said == "cancelled"
        assert now() == pytest.approx(1.03 if hard else 3.03)

    virtual(main, seed)
    assert seen == [hard, hard]
    assert sorted(str(event.call) for event in only(journal, CallCancelled)) == ["s0#1", "s1#1"]
    assert {event.reason for event in only(journal, CallCancelled)} == {"cancel"}
    (ended,) = only(journal, RunEnded)
    assert (ended.status, ended.reason) == ("cancelled", "cancelled by me")


def test_a_second_cancel_leaves_no_time_to_end(seed: int | None) -> None:
    journal = MemoryJournal()
    seen: list[tuple[float, bool]] = []

    async def slow_to_go(request: Request, context: Context) -> Json:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append((now(), context.hard))
            try:
                await asyncio.sleep(50)
            except asyncio.CancelledError:
                seen.append((now(), context.hard))
            raise
        return None

    async def main() -> None:
        run = await start(journal, plan(step("s")), {"a": Doer(slow_to_go)})
        await asyncio.sleep(1)
        run.ask(Cancel())
        await asyncio.sleep(1)
        run.ask(Cancel())
        await asyncio.sleep(1)
        run.ask(Cancel(hard=True))
        assert (await run.settled()).said == "cancelled"

    virtual(main, seed)
    assert seen == [(1, False), (3, True)]


def test_a_call_cancelled_before_its_first_step_never_leaves(seed: int | None) -> None:
    journal = MemoryJournal()
    doer = sleeps(1)
    runs: list[Run] = []

    async def cancel(request: Request, context: Context) -> Json:
        await asyncio.sleep(1)
        # The step `s` ends in the same turn, so that the call of `t` has begun and made no step.
        runs[0].ask(Cancel())
        return None

    async def main() -> None:
        spec = plan(step("s", agent="b"), step("u", agent="c"), step("t", "s"))
        runs.append(await start(journal, spec, {"a": doer, "b": sleeps(1), "c": Doer(cancel)}))
        assert (await runs[0].settled()).said == "cancelled"

    virtual(main, seed)
    ended = (*only(journal, CallCancelled), *only(journal, CallFinished))
    assert {str(event.call) for event in ended} == set(starts(journal))
    if seed is None:
        assert "t#1" in starts(journal)
        assert doer.calls == []


def test_a_call_cancelled_while_its_start_is_written_never_leaves(seed: int | None) -> None:
    journal = MemoryJournal(latency=1.0)
    doer = sleeps(1)

    async def main() -> None:
        run = await start(journal, plan(step("s"), effects=["a"]), {"a": doer})
        await asyncio.sleep(0.5)
        run.ask(Cancel())
        assert (await run.settled()).said == "cancelled"

    virtual(main, seed)
    assert doer.calls == []
    assert len(only(journal, CallCancelled)) == 1


def test_a_failed_step_stops_the_others(seed: int | None) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        spec = plan(step("s", agent="b"), step("t"), step("u"), max_parallel=2)
        doers = {"a": sleeps(100), "b": Doer(fail_after_one)}
        machine = await (await start(journal, spec, doers)).settled()
        assert machine.said == "failed"
        assert machine.end is not None
        assert "step 's' failed" in machine.end.reason
        assert now() == 1

    async def fail_after_one(request: Request, context: Context) -> Json:
        await asyncio.sleep(1)
        raise failure("permanent")

    virtual(main, seed)
    assert list(starts(journal)) == ["s#1", "t#1"]
    assert [event.reason for event in only(journal, CallCancelled)] == ["stop"]


# The inbox


def test_requests_from_the_inbox_are_granted_or_refused_with_the_reason(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.1)

    async def main() -> None:
        spec = plan(
            step("ok", agent="", kind="approve", input="fine?"),
            step("text", agent="", kind="input", input="what?"),
            step("s", "ok"),
        )
        run = await start(journal, spec, {"a": sleeps(1)})
        await asyncio.sleep(0.5)
        (asked,) = only(journal, ApprovalAsked)
        wrong = journal.post("r", Approve(path="ok", approved=True, digest="0" * 64, by="me"))
        nowhere = journal.post("r", Send(path="none", value=1))
        odd = journal.post("r", Continue())
        pause = journal.post("r", Pause(by="me"))
        right = journal.post("r", Approve(path="ok", approved=True, digest=asked.digest, by="me"))
        sent = journal.post("r", Send(path="text", value={"x": 1}, by="me"))
        assert journal.answer(wrong) is None
        await asyncio.sleep(0.3)
        assert run.machine.said == "paused"
        for id, part in ((wrong, "something else"), (nowhere, "no step"), (odd, "only a paused")):
            answer = journal.answer(id)
            assert answer is not None
            assert part in answer.refusal
        for id in (pause, right, sent):
            assert journal.answer(id) == Taken(id)
        go = journal.post("r", Continue(by="me"))
        machine = await run.settled()
        assert journal.answer(go) == Taken(go)
        assert machine.said == "succeeded"
        assert machine.workflow.result("text") == {"x": 1}

    virtual(main, seed)


def test_a_request_to_a_run_that_is_being_left_waits_for_the_next_owner() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        doer = sleeps(1)
        shell = engine(journal, {"a": doer})

        async def slow_close() -> None:
            id = journal.post("r", Continue(by="late"))
            await asyncio.sleep(1)
            assert journal.answer(id) is None

        doer.close = slow_close  # type: ignore[method-assign]
        run = await shell.start(plan(step("s"), step("t", "s")), {}, run="r", seed=1, stay=False)
        await asyncio.sleep(0.5)
        run.ask(Pause())
        assert (await run.settled()).said == "paused"
        doer.close = no_close  # type: ignore[method-assign]
        again = await shell.resume("r", stay=False)
        assert (await again.settled()).said == "succeeded"
        answer = journal.answer(1)
        assert answer is not None
        assert "only a paused one" in answer.refusal

    async def no_close() -> None: ...

    virtual(main)


def test_a_value_that_is_no_json_is_refused_and_the_run_goes_on() -> None:
    async def main() -> None:
        spec = plan(step("text", agent="", kind="input", input="what?"))
        run = await start(MemoryJournal(), spec, {})
        await asyncio.sleep(1)
        with pytest.raises(Refused, match="cannot be recorded"):
            run.ask(Send(path="text", value=object()))
        run.ask(Send(path="text", value="fine"))
        assert (await run.settled()).said == "succeeded"

    virtual(main)


# Agents that misbehave


class Odd(BaseException):
    """As some extensions raise, past every `except Exception`."""


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (ValueError("no"), "the agent raised ValueError: no"),
        (asyncio.CancelledError(), "the agent raised CancelledError"),
        (SystemExit(3), "the agent raised SystemExit: 3"),
        (Odd("deep"), "the agent raised Odd: deep"),
        (StopAsyncIteration("x"), "StopAsyncIteration"),
        (ValueError("half \udcff"), "half ?"),
        (EngineBug("not mine"), "the call raised EngineBug"),
        (Refused("no"), "the call raised Refused"),
    ],
    ids=repr,
)
def test_whatever_an_agent_raises_is_a_failed_call(error: BaseException, part: str) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        machine = await (await start(journal, plan(step("s")), {"a": says(error)})).settled()
        assert machine.said == "failed"

    virtual(main)
    (failed,) = only(journal, CallFailed)
    assert failed.fault.kind == "failed"
    assert part in failed.fault.message


@pytest.mark.parametrize(
    "reply",
    [
        Reply(output=object()),
        Reply(output="\udcff"),
        Reply(output="fine", usage={"tokens_in": 1}),  # type: ignore[arg-type]
        Reply(output="fine", notes=(object(),)),  # type: ignore[arg-type]
    ],
    ids=["no-json", "no-utf8", "odd-usage", "odd-note"],
)
def test_a_reply_that_cannot_be_recorded_is_a_failed_call(reply: Reply) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        spec = plan(step("s", on_failure="continue"), step("t", "s", agent="b"))
        doers = {"a": says(reply), "b": says("ok")}
        assert (await (await start(journal, spec, doers)).settled()).said == "succeeded"

    virtual(main)
    assert len(only(journal, CallFailed)) == 1


@pytest.mark.parametrize("error", [ImportError("no module"), ValueError("odd"), OSError(2, "gone")])
def test_an_agent_that_cannot_be_made_is_a_failed_call(error: Exception, seed: int | None) -> None:
    journal = MemoryJournal()

    async def main() -> None:
        spec = plan(step("s", fallback=("b",)), step("t", agent="b"))
        machine = await (await start(journal, spec, {"a": error, "b": says("ok")})).settled()
        assert machine.said == "succeeded"

    virtual(main, seed)
    (failed,) = only(journal, CallFailed)
    assert failed.fault.kind == "permanent"
    assert type(error).__name__ in failed.fault.message
    assert "'a'" in failed.fault.message


def test_a_template_that_asks_for_what_is_not_there_fails_its_step_alone(seed: int | None) -> None:
    journal = MemoryJournal()
    doer = says("b")

    async def main() -> None:
        spec = plan(
            step("s", agent="b"),
            step("t", input="{{s.missing}}", on_failure="skip"),
            step("u", "t"),
            step("v", "s", agent="b"),
        )
        machine = await (await start(journal, spec, {"a": sleeps(1), "b": doer})).settled()
        assert machine.said == "succeeded"

    virtual(main, seed)
    (failed,) = only(journal, CallFailed)
    assert (str(failed.call), failed.fault.kind) == ("t#1", "permanent")
    assert "missing" in failed.fault.message
    assert {call for call in starts(journal)} == {"s#1", "v#1"}


def test_a_call_that_cannot_be_made_takes_along_those_admitted_with_it(seed: int | None) -> None:
    journal = MemoryJournal()
    doer = sleeps(1)

    async def main() -> None:
        spec = plan(step("s", agent="b"), step("t"), step("u"))
        machine = await (await start(journal, spec, {"a": doer, "b": ValueError("no")})).settled()
        assert machine.said == "failed"

    virtual(main, seed)
    assert doer.calls == []
    assert only(journal, CallStarted) == []


def test_each_agent_is_closed_once_and_one_that_cannot_be_is_reported() -> None:
    journal, reports = MemoryJournal(), list[dict[str, Any]]()
    good, bad, unused = sleeps(1), sleeps(1), sleeps(1)

    async def fail() -> None:
        bad.closed += 1
        raise RuntimeError("stuck")

    bad.close = fail  # type: ignore[method-assign]

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, what: reports.append(what))
        spec = plan(
            step("s"), step("t", agent="bad"), step("u", agent="unused", when="false"), step("v")
        )
        doers = {"a": good, "bad": bad, "unused": unused}
        assert (await (await start(journal, spec, doers)).settled()).said == "succeeded"

    virtual(main)
    assert (good.closed, bad.closed, unused.closed) == (1, 1, 0)
    assert [str(report["exception"]) for report in reports] == ["stuck"]
    assert journal.runs()[0].owner == ""


# The journal fails


@pytest.mark.parametrize("after", range(1, 10))
def test_a_run_whose_journal_fails_stops_and_what_was_acknowledged_is_there(
    after: int, seed: int | None
) -> None:
    journal = MemoryJournal(latency=0.1, fail_after=after)
    watcher, doer = Watcher(), sleeps(1)
    left: list[float] = []

    async def main() -> None:
        spec = plan(step("s"), step("t", "s"), step("u", "t"), step("v"))
        run = await start(journal, spec, {"a": doer}, observers=[watcher])
        with pytest.raises(JournalError, match="full"):
            await run.settled()
        left.append(now())
        with pytest.raises(JournalError, match="full"):
            run.ask(Cancel())
        with pytest.raises(JournalError, match="full"):
            await run.settled()

    virtual(main, seed)
    on_disk = list(journal.read("r"))
    assert [recorded for _, recorded in watcher.seen] == on_disk[: len(watcher.seen)]
    assert doer.closed == 1
    twin = journal.crash()

    async def again() -> None:
        shell = engine(twin, {"a": doer})
        assert (await (await shell.resume("r")).settled()).said == "succeeded"
        assert [recorded.event for recorded in on_disk] == events(twin)[: len(on_disk)]

    virtual(again, seed)
    finished = [event.call for event in only(twin, CallFinished)]
    assert len(finished) == len(set(call.path for call in finished)) == 4


def test_a_run_that_was_taken_over_stops_at_once(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.1)
    hard: list[bool] = []

    async def note(request: Request, context: Context) -> Json:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            hard.append(context.hard)
            raise
        return None

    async def main() -> None:
        run = await start(
            journal, plan(step("s"), step("t", agent="b")), {"a": Doer(note), "b": sleeps(5)}
        )
        await asyncio.sleep(1)
        log = journal._runs["r"].log
        assert log is not None
        log.progress.fail(OwnershipLost("somebody else has it"))
        with pytest.raises(OwnershipLost):
            await run.settled()
        assert now() == pytest.approx(1.1)

    virtual(main, seed)
    assert hard == [True]
    assert only(journal, CallFinished) == []


def test_a_failing_journal_is_noticed_while_nothing_waits_for_it() -> None:
    journal = MemoryJournal(latency=0.1, fail_after=1)

    async def main() -> None:
        run = await start(journal, plan(step("s")), {"a": sleeps(1_000)})
        with pytest.raises(JournalError, match="full"):
            await run.settled()
        assert now() == pytest.approx(0.2)

    virtual(main)


def test_a_bug_in_the_machine_stops_the_run_instead_of_hanging_it() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        run = await start(journal, plan(step("s"), step("t", "s")), {"a": sleeps(1)})

        def broken(*arguments: Any) -> None:
            raise EngineBug("made for this test")

        await asyncio.sleep(0.5)
        run.machine.workflow.ended = broken  # type: ignore[method-assign]
        with pytest.raises(EngineBug, match="made for this test"):
            await run.settled()
        again = await engine(journal, {"a": sleeps(1)}).resume("r")
        assert (await again.settled()).said == "succeeded"

    virtual(main)
    assert [event.call.path for event in only(journal, CallFinished)] == ["s", "t"]


# Leaving


def test_leaving_the_block_at_once_gives_the_run_back(seed: int | None) -> None:
    journal = MemoryJournal()
    doer = sleeps(1)

    async def main() -> None:
        shell = engine(journal, {"a": doer})
        async with await shell.start(plan(step("s")), {}, run="r", seed=1):
            pass
        assert journal.runs()[0].owner == ""
        assert (await (await shell.resume("r")).settled()).said == "succeeded"

    virtual(main, seed)
    assert [call for _, call in doer.calls] == ["s#1"]


def test_stopping_leaves_what_is_in_flight_to_a_resume(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.1)
    doer, watcher = sleeps(2), Watcher()

    async def main() -> None:
        shell = engine(journal, {"a": doer})
        spec = plan(step("s"), step("t", "s"))
        async with await shell.start(spec, {}, run="r", seed=1, observers=[watcher]) as run:
            waiter = asyncio.get_running_loop().create_task(run.settled())
            await asyncio.sleep(1)
            await run.stop()
            await run.stop()
            assert (await waiter).said == "running"
        assert [item for _, item in watcher.seen] == list(journal.read("r"))
        again = await shell.resume("r")
        assert (await again.settled()).said == "succeeded"

    virtual(main, seed)
    assert [call for _, call in doer.calls] == ["s#1", "s#2", "t#1"]
    assert doer.closed == 2


def test_a_call_that_ends_while_the_run_is_being_left_is_recorded_and_starts_nothing() -> None:
    journal = MemoryJournal(latency=0.1)

    async def finish_anyway(request: Request, context: Context) -> Json:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return "kept"

    async def main() -> None:
        spec = plan(step("s"), step("t", "s"))
        run = await start(journal, spec, {"a": Doer(finish_anyway)})
        await asyncio.sleep(1)
        await run.stop()

    virtual(main)
    assert [event.output for event in only(journal, CallFinished)] == ["kept"]
    assert list(starts(journal)) == ["s#1"]


def test_waiting_for_a_run_may_be_given_up_without_stopping_it() -> None:
    async def main() -> None:
        run = await start(MemoryJournal(), plan(step("s")), {"a": sleeps(5)})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await run.settled()
        assert run.machine.said == "running"
        assert (await run.settled()).said == "succeeded"
        with pytest.raises(Refused, match="resume it"):
            run.ask(Retry(path="s"))

    virtual(main)


def test_no_event_is_dated_before_the_one_before_it(seed: int | None) -> None:
    journal = MemoryJournal(latency=0.003)

    async def main() -> None:
        spec = plan(*(step(f"s{i}", *([f"s{i - 3}"] if i > 2 else [])) for i in range(30)))
        await (await start(journal, spec, {"a": sleeps(7 * MS / SECOND)})).settled()

    virtual(main, seed)
    instants = [event.at for event in events(journal)]
    assert instants == sorted(instants)
