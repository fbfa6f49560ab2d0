"""Answers that are given again: what is a hit, who waits for whom, and what a hit never costs."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.engine.kit import (
    Doer,
    engine,
    events,
    failure,
    now,
    only,
    plan,
    seconds,
    starts,
    step,
    virtual,
    waits,
    wall,
)

from hocket.agents.base import Context, Reply, Request
from hocket.core.errors import JournalError
from hocket.core.events import (
    CallCancelled,
    CallFailed,
    CallFinished,
    CallStarted,
    RunEnded,
    Usage,
)
from hocket.core.machine import JobSpec
from hocket.core.requests import Cancel, Continue, Pause
from hocket.core.specs import (
    AgentSpec,
    LimitSpec,
    Rate,
    Repeat,
    Retry,
    RunSpec,
    StepSpec,
)
from hocket.core.teams import CacheSpec, ConsensusSpec, Member, Tool
from hocket.core.values import HOUR, MINUTE, SECOND, Call, Json
from hocket.engine.cache_key import question_of
from hocket.engine.engine import Engine, Run
from hocket.engine.memo import Memo
from hocket.journal.base import Answered
from hocket.journal.memory import MemoryJournal
from hocket.limits.admission import Queue

SEEDS = [None, 1, 2, 3]
SPENT = Usage(tokens_in=10, tokens_out=5, cost=7_000)


@pytest.fixture(params=SEEDS, ids=str)
def seed(request: pytest.FixtureRequest) -> Any:
    return request.param


def cached(spec: RunSpec, ttl: int | None = None, **agent: Any) -> RunSpec:
    """Have all agents' answers kept."""
    agents = {
        name: msgspec.structs.replace(
            known, kind="scripted", options={}, cache=CacheSpec(ttl=ttl), **agent
        )
        for name, known in spec.agents.items()
    }
    return msgspec.structs.replace(spec, agents=agents)


def asks(name: str, *needs: str, question: Json = "why?", **more: Any) -> StepSpec:
    return step(name, *needs, input=question, **more)


def answers(duration: float = 1.0) -> Doer:
    """Make an agent that takes a while, spends something, and gives a number that is new."""
    made: list[int] = []

    async def do(request: Request, context: Context) -> Json:
        made.append(len(made))
        mine = made[-1]
        await asyncio.sleep(duration)
        return Reply(output=f"answer {mine}", usage=SPENT, notes=("cut",))

    return Doer(do)


async def finish(
    made: Engine, spec: RunSpec, run: str = "r", status: str = "succeeded", **inputs: Json
) -> None:
    driven = await made.start(spec, dict(inputs), run=run, seed=1)
    assert (await driven.settled()).said == status


def given(journal: MemoryJournal, run: str = "r") -> dict[str, Json]:
    return {str(event.call): event.output for event in only(journal, CallFinished, run)}


def saved(journal: MemoryJournal, run: str = "r") -> list[str]:
    """Name the calls that were never made."""
    return [str(e.call) for e in only(journal, CallFinished, run) if e.saved is not None]


# Identical questions


def test_identical_questions_in_one_run_cost_one_call(seed: int | None) -> None:
    journal, doer = MemoryJournal(latency=0.01), answers()
    spec = cached(plan(*(asks(f"s{i}") for i in range(5)), asks("t", "s0")))

    async def main() -> None:
        await finish(engine(journal, {"a": doer}), spec)

    virtual(main, seed)
    assert len(doer.calls) == 1
    assert set(given(journal).values()) == {"answer 0"}
    assert len(saved(journal)) == 5
    for event in only(journal, CallFinished):
        assert event.notes == ("cut",)
        if event.saved is not None:
            assert (event.saved, event.usage) == (SPENT, None)
    began = min(starts(journal).values())
    for call, held in waits(journal).items():
        expected = [("cache", began, began + 1)] if call in saved(journal) else []
        assert held == (expected if call != "t#1" else [])


def test_a_later_run_is_given_what_an_earlier_one_was(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")))

    async def main() -> None:
        await finish(engine(journal, {"a": doer}), spec)
        at = now()
        await finish(engine(journal, {"a": doer}), spec, "r2")
        await finish(engine(journal, {}), cached(plan(asks("other"))), "r3")
        assert now() == at

    virtual(main, seed)
    assert len(doer.calls) == 1
    assert given(journal, "r2") == {"s#1": "answer 0"}
    assert given(journal, "r3") == {"other#1": "answer 0"}


def test_an_agent_without_a_cache_is_always_asked() -> None:
    journal, doer = MemoryJournal(), answers()
    spec = plan(asks("s"), asks("t", "s"))

    async def main() -> None:
        await finish(engine(journal, {"a": doer}), spec)
        await finish(engine(journal, {"a": doer}), spec, "r2")

    virtual(main)
    assert len(doer.calls) == 4
    assert not saved(journal)


def test_a_step_with_effects_is_always_done() -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s", effects=True), asks("t", "s", effects=True)))

    async def main() -> None:
        await finish(engine(journal, {"a": doer}), spec)

    virtual(main)
    assert len(doer.calls) == 2


def test_runs_side_by_side_share_a_call_in_flight(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")))

    async def main() -> None:
        made = engine(journal, {"a": doer})
        await asyncio.gather(*(finish(made, spec, f"r{i}") for i in range(3)))
        assert now() == 1

    virtual(main, seed)
    assert len(doer.calls) == 1


def test_when_the_first_fails_the_next_one_makes_the_call(seed: int | None) -> None:
    journal = MemoryJournal()
    begun: list[str] = []

    async def do(request: Request, context: Context) -> Json:
        begun.append(str(request.call))
        await asyncio.sleep(1)
        if len(begun) < 3:
            raise failure("permanent")
        return "at last"

    spec = cached(plan(*(asks(f"s{i}", on_failure="continue") for i in range(5))))

    async def main() -> None:
        await finish(engine(journal, {"a": Doer(do)}), spec)
        assert now() == 3

    virtual(main, seed)
    assert len(begun) == 3
    assert sorted(given(journal).values()) == ["at last"] * 3
    assert len(saved(journal)) == 2
    assert len(only(journal, CallFailed)) == 2
    for call in saved(journal):
        assert waits(journal)[call] == [("cache", 0, 3)] or (
            sum(until - since for _, since, until in waits(journal)[call]) == 3
        )


def test_another_try_is_made_and_serves_those_who_wait(seed: int | None) -> None:
    """What did not do once is not waited for, nor given, when the same is tried again."""
    journal, tries = MemoryJournal(), list[str]()

    async def do(request: Request, context: Context) -> Json:
        tries.append(str(request.call))
        await asyncio.sleep(1)
        if len(tries) == 1:
            raise failure("invalid_output")
        return f"answer {len(tries)}"

    retry = Retry(tries=2, first=0)
    spec = cached(plan(asks("s", retry=retry), asks("t", retry=retry)))

    async def main() -> None:
        await finish(engine(journal, {"a": Doer(do)}), spec)

    virtual(main, seed)
    first, second = tries
    assert (first[:-1], second) == (second[:-1], first.replace("#1", "#2"))
    (other,) = saved(journal)
    assert set(given(journal)) == {second, other}
    assert set(given(journal).values()) == {"answer 2"}


def test_a_retry_is_not_served_from_what_is_kept() -> None:
    journal = MemoryJournal()
    tries: list[int] = []

    async def do(request: Request, context: Context) -> Json:
        tries.append(request.call.attempt)
        await asyncio.sleep(1)
        if request.call.path == "s" and request.call.attempt == 1:
            raise failure("invalid_output")
        return "fine"

    async def main() -> None:
        made = engine(journal, {"a": Doer(do)})
        slow = await made.start(
            cached(plan(asks("s", retry=Retry(tries=2, first=10 * SECOND, jitter=0.0)))),
            {},
            run="r",
            seed=1,
        )
        await asyncio.sleep(2)
        await finish(made, cached(plan(asks("t"))), "r2")
        await slow.settled()

    virtual(main)
    assert tries == [1, 1, 2]
    assert not saved(journal)


def test_what_cannot_be_recorded_is_given_to_nobody(seed: int | None) -> None:
    journal = MemoryJournal()
    count = [0]

    async def do(request: Request, context: Context) -> Json:
        count[0] += 1
        mine = count[0]
        await asyncio.sleep(1)
        return object() if mine == 1 else "fine"

    spec = cached(plan(asks("s", on_failure="continue"), asks("t", on_failure="continue")))

    async def main() -> None:
        await finish(engine(journal, {"a": Doer(do)}), spec)

    virtual(main, seed)
    assert count == [2]
    assert list(given(journal).values()) == ["fine"]


# Who leaves while it waits


def test_who_waits_may_be_cancelled_and_the_other_goes_on(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")))

    async def main() -> None:
        made = engine(journal, {"a": doer})
        first = await made.start(spec, {}, run="r", seed=1)
        second = await made.start(spec, {}, run="r2", seed=1)
        await asyncio.sleep(0.5)
        assert [(queue.cause, queue.count) for queue in second.queued] == [("cache", 1)]
        assert second.waits_of(Call("s", 1)) == Queue("cache", None, 1)
        assert first.waits_of(Call("s", 1)) is None
        second.ask(Cancel(by="me"))
        assert (await second.settled()).said == "cancelled"
        assert now() == 0.5
        assert (await first.settled()).said == "succeeded"

    virtual(main, seed)
    assert len(doer.calls) == 1
    assert [type(event) for event in events(journal, "r2")][-1] is RunEnded
    assert not only(journal, CallStarted, "r2")


def test_a_dropped_one_is_not_waited_for_by_others(seed: int | None) -> None:
    """The run whose call is asked is stopped: whoever waited for it asks for itself."""
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")))

    async def main() -> None:
        made = engine(journal, {"a": doer})
        first = await made.start(spec, {}, run="r", seed=1)
        others = [await made.start(spec, {}, run=f"r{i}", seed=1) for i in (2, 3)]
        await asyncio.sleep(0.5)
        await first.stop()
        for other in others:
            assert (await other.settled()).said == "succeeded"
        assert now() == 1.5

    virtual(main, seed)
    assert len(doer.calls) == 2
    assert len(saved(journal, "r2")) + len(saved(journal, "r3")) == 1


@pytest.mark.parametrize("hard", [False, True])
def test_a_cancelled_call_is_not_waited_for_by_others(hard: bool, seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")))

    async def main() -> None:
        made = engine(journal, {"a": doer})
        first = await made.start(spec, {}, run="r", seed=1)
        second = await made.start(spec, {}, run="r2", seed=1)
        await asyncio.sleep(0.5)
        first.ask(Cancel(by="me", hard=hard))
        assert (await second.settled()).said == "succeeded"
        assert (await first.settled()).said == "cancelled"

    virtual(main, seed)
    assert len(doer.calls) == 2
    assert len(only(journal, CallCancelled)) == 1


def test_a_paused_run_is_given_its_answer_when_it_goes_on(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    tight = LimitSpec(requests=(Rate(1, HOUR),), shared=False)
    spec = cached(plan(asks("s")))
    limited = cached(
        plan(asks("t", question="else"), asks("s"), limits={"tight": tight}, claims=["tight"])
    )

    async def main() -> None:
        made = engine(journal, {"a": doer})
        first = await made.start(spec, {}, run="r", seed=1)
        second = await made.start(limited, {}, run="r2", seed=1)
        await asyncio.sleep(0.5)
        second.ask(Pause(by="me"))
        await first.settled()
        await asyncio.sleep(1)
        assert [str(event.call) for event in only(journal, CallStarted, "r2")] == ["t#1"]
        second.ask(Continue(by="me"))
        assert (await second.settled()).said == "succeeded"
        assert now() == 2

    virtual(main, seed)
    assert saved(journal, "r2") == ["s#1"]
    started = only(journal, CallStarted, "r2")[-1]
    told = [(wait.cause, seconds(wait.since), seconds(wait.until)) for wait in started.waits]
    assert told == [("cache", 0, 1), ("pause", 1, 2)]


# A hit costs nothing


def test_a_full_limit_does_not_hold_a_hit_up(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers(0.5)
    tight = {"tight": LimitSpec(requests=(Rate(2, HOUR),))}
    spec = cached(
        plan(asks("s"), asks("t", "s"), asks("u", "t", question="else"), limits=tight),
        limits=("tight",),
    )

    async def main() -> None:
        made = engine(journal, {"a": doer})
        await finish(made, spec)
        assert now() == pytest.approx(1.0)
        # Now the window is full for an hour.
        await finish(made, spec, "r2")
        assert now() == pytest.approx(1.0)

    virtual(main, seed)
    assert len(doer.calls) == 2
    assert saved(journal, "r2") == ["s#1", "t#1", "u#1"]


def test_a_call_in_line_need_not_wait_for_its_limit_when_the_same_is_asked(
    seed: int | None,
) -> None:
    journal, doer = MemoryJournal(), answers(10)
    tight = {"tight": LimitSpec(requests=(Rate(1, HOUR),), shared=False)}
    spec = cached(plan(asks("s"), asks("t"), asks("u"), limits=tight, claims=["tight"]))

    async def main() -> None:
        await finish(engine(journal, {"a": doer}), spec)
        assert now() == 10

    virtual(main, seed)
    assert len(doer.calls) == 1
    assert sorted(waits(journal).values()) == [[], [("cache", 0, 10)], [("cache", 0, 10)]]


def test_who_stands_in_line_is_called_off_by_a_run_that_may_ask(seed: int | None) -> None:
    """A wait for a limit that came before the other asked is told, too."""
    journal, doer = MemoryJournal(), answers(10)
    own = {"own": LimitSpec(requests=(Rate(1, HOUR),), shared=False)}
    held = cached(plan(asks("x", question="else"), asks("s", "x"), limits=own, claims=["own"]))

    async def main() -> None:
        made = engine(journal, {"a": doer})
        first = await made.start(held, {}, run="r", seed=1)
        await asyncio.sleep(15)
        assert [queue.cause for queue in first.queued] == ["rate:own of r"]
        second = await made.start(cached(plan(asks("s"))), {}, run="r2", seed=1)
        await asyncio.sleep(5)
        assert [queue.cause for queue in first.queued] == ["cache"]
        assert (await first.settled()).said == (await second.settled()).said == "succeeded"
        assert now() == 25

    virtual(main, seed)
    assert len(doer.calls) == 2
    assert waits(journal)["s#1"] == [("rate:own of r", 10, 15), ("cache", 15, 25)]


def test_a_budget_is_not_charged_for_a_hit(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    budget = {"b": LimitSpec(cost=(Rate(7_000, 0),), shared=False, on_exceed="fail")}
    spec = cached(plan(*(asks(f"s{i}") for i in range(4)), limits=budget), limits=("b",))

    async def main() -> None:
        made = engine(journal, {"a": doer})
        await finish(made, spec)
        await finish(made, spec, "r2")

    virtual(main, seed)
    assert len(doer.calls) == 1


def test_a_hit_does_not_wait_until_an_endpoint_is_up_again() -> None:
    journal, doer = MemoryJournal(), answers()

    async def main() -> None:
        made = engine(journal, {"a": doer, "b": doer})
        await finish(made, cached(plan(asks("s"))))
        spec = cached(plan(asks("s"), claims=["e"], limits={"e": LimitSpec(concurrency=1)}))
        run = await made.start(
            cached(plan(asks("w", question={"input": "w"}), asks("s", "w"), claims=["e"],
                        limits={"e": LimitSpec(concurrency=1)})),
            {}, run="r2", seed=1,
        )  # fmt: skip
        await asyncio.sleep(0.5)
        # The only slot is taken, and the answer is there all the same.
        await finish(made, spec, "r3")
        assert now() == 1.5
        await run.settled()

    virtual(main)
    assert saved(journal, "r3") == ["s#1"]


# Second calls beside late ones


class Late:
    """An outlook in which ``s`` goes first, and whatever takes five seconds is late."""

    def rank(self, path: str) -> int:
        return path == "s"

    def lasts(self, path: str, agent: str) -> int | None:
        return None

    def quantile(self, path: str, agent: str, share: float) -> int | None:
        return 5 * SECOND


def test_a_second_call_does_not_wait_for_the_one_that_it_is_beside(seed: int | None) -> None:
    journal = MemoryJournal()
    begun: list[str] = []

    async def do(request: Request, context: Context) -> Json:
        begun.append(str(request.call))
        await asyncio.sleep(100 if request.call.attempt == 1 else 1)
        return request.call.attempt

    spec = cached(plan(asks("s", hedge=0.5), asks("t")))

    async def main() -> None:
        run = await engine(journal, {"a": Doer(do)}).start(spec, {}, run="r", seed=1)
        run._runner.line.outlook = Late()
        assert (await run.settled()).said == "succeeded"
        assert now() == 6

    virtual(main, seed)
    assert begun == ["s#1", "s#2"]
    assert given(journal) == {"s#2": 2, "t#1": 2}
    assert saved(journal) == ["t#1"]


# How long


def test_an_answer_counts_for_as_long_as_its_agent_says(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")), ttl=MINUTE)

    async def main() -> None:
        made = engine(journal, {"a": doer})
        await finish(made, spec)
        await asyncio.sleep(59)
        await finish(made, spec, "r2")
        await asyncio.sleep(1)
        # Whoever asks may want it fresher or may take it older than whoever had it first.
        await finish(made, cached(plan(asks("s")), ttl=SECOND), "r3")

    virtual(main, seed)
    assert len(doer.calls) == 2
    assert given(journal, "r2") == {"s#1": "answer 0"}
    assert given(journal, "r3") == {"s#1": "answer 1"}


def test_it_is_the_wall_s_clock_that_counts() -> None:
    """Another process, hours later: its loop's time says nothing of how old an answer is."""
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")), ttl=HOUR)

    async def main() -> None:
        await finish(engine(journal, {"a": doer}), spec)
        await finish(engine(journal, {"a": doer}, clock=lambda: wall() + HOUR // 2), spec, "r2")
        await finish(engine(journal, {"a": doer}, clock=lambda: wall() + 2 * HOUR), spec, "r3")

    virtual(main)
    assert len(doer.calls) == 2
    assert saved(journal, "r2") and not saved(journal, "r3")


# Crashes


def test_what_is_on_disk_survives_a_crash_and_nothing_else(seed: int | None) -> None:
    journal, doer = MemoryJournal(latency=0.1), answers()
    spec = cached(plan(asks("s"), asks("t", "s", question="else"), asks("u", "t")))

    async def before() -> MemoryJournal:
        run = await engine(journal, {"a": doer}).start(spec, {}, run="r", seed=1)
        assert now() == 0.1
        # The second call has landed, and its end is not on disk.
        await asyncio.sleep(2.05)
        assert len(doer.calls) == 2
        twin = journal.crash()
        with pytest.raises(Exception, match="crashed"):
            await run.settled()
        return twin

    twin = virtual(before, seed)

    async def after() -> None:
        made = engine(twin, {"a": doer}, clock=lambda: wall() + MINUTE)
        run = await made.resume("r")
        assert (await run.settled()).said == "succeeded"
        await finish(made, spec, "r2")

    virtual(after, seed)
    # The first answer was kept, the second one asked for again, and then kept as well.
    assert len(doer.calls) == 3
    assert saved(twin) == ["u#1"]
    assert saved(twin, "r2") == ["s#1", "t#1", "u#1"]


def test_a_run_that_is_resumed_is_given_what_another_was_meanwhile(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s")))

    async def before() -> MemoryJournal:
        run = await engine(journal, {"a": doer}).start(spec, {}, run="r", seed=1)
        await asyncio.sleep(0.5)
        twin = journal.crash()
        with pytest.raises(Exception, match="crashed"):
            await run.settled()
        return twin

    twin = virtual(before, seed)

    async def after() -> None:
        made = engine(twin, {"a": doer}, clock=lambda: wall() + MINUTE)
        await finish(made, spec, "r2")
        at = now()
        run = await made.resume("r")
        assert (await run.settled()).said == "succeeded"
        assert now() == at

    virtual(after, seed)
    assert len(doer.calls) == 2
    assert saved(twin) == ["s#2"]


def test_an_answer_that_cannot_be_read_is_asked_for_again_and_that_is_said() -> None:
    journal, doer = MemoryJournal(), answers()

    class Broken:
        def find(self, key: str) -> Answered | None:
            raise JournalError("the kept answer is damaged")

    made = engine(journal, {"a": doer})
    made._memo = Memo(Broken())  # type: ignore[arg-type]

    async def main() -> None:
        await finish(made, cached(plan(asks("s"))))

    virtual(main)
    (event,) = only(journal, CallFinished)
    assert event.notes == ("cut", "the kept answer is damaged")
    assert event.saved is None


# Asked on purpose


def test_rounds_ask_again_on_purpose(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = cached(plan(asks("s", repeat=Repeat(until="s == 'answer 2'", max=5))))

    async def main() -> None:
        made = engine(journal, {"a": doer})
        await finish(made, spec)
        await finish(made, spec, "r2")

    virtual(main, seed)
    assert len(doer.calls) == 3
    assert saved(journal, "r2") == ["s#1", "s~2#1", "s~3#1"]


def test_members_are_asked_the_same_on_purpose(seed: int | None) -> None:
    journal = MemoryJournal()
    asked: list[str] = []

    async def do(request: Request, context: Context) -> Json:
        asked.append(request.call.path)
        await asyncio.sleep(1)
        if request.call.path.split("/")[-1].startswith("vote"):
            return {"vote": "A", "confidence": 1.0, "reason": ""}
        return f"so says {request.call.path}"

    members = tuple(Member(name=f"m-{i}", agent="a") for i in range(1, 6))
    team = ConsensusSpec(members=members, early=False)
    step_ = StepSpec(name="q", kind="consensus", input="why?", team=team)
    agents = {"a": AgentSpec(kind="scripted", cache=CacheSpec())}
    spec = msgspec.structs.replace(plan(step_), agents=agents)

    async def main() -> None:
        made = engine(journal, {"a": Doer(do)})
        await finish(made, spec)
        first = len(asked)
        await finish(made, spec, "r2")
        assert len(asked) == first

    virtual(main, seed)
    assert sum("answer" in path for path in asked) == 5
    assert len(saved(journal, "r2")) == len(only(journal, CallStarted, "r2")) == 10
    assert not saved(journal)


def test_an_answer_is_kept_for_what_was_really_asked(seed: int | None) -> None:
    """Members who wait for a limit are asked about what is known when their calls leave."""
    journal = MemoryJournal()
    asked: dict[str, str] = {}
    runs: list[Run] = []

    async def do(request: Request, context: Context) -> Json:
        agents = runs[0].machine.spec.agents
        job = runs[0].machine.calls.jobs[request.call.path].spec
        key = question_of(agents["a"], job, request.input, request.call.path).key
        asked[str(request.call)] = key
        await asyncio.sleep(1)
        if "properties" in (request.output or {}) and "choice" in request.output["properties"]:
            return {"choice": "A", "confidence": 1.0, "reason": "so"}
        return f"answer {len(asked)}"

    members = tuple(Member(name=f"m-{i}", agent="a") for i in range(1, 4))
    team = ConsensusSpec(members=members, policy="restart_unanswered")
    limits = {"slow": LimitSpec(requests=(Rate(1, 5 * SECOND),), shared=False)}
    agents = {"a": AgentSpec(kind="scripted", cache=CacheSpec())}
    step_ = StepSpec(name="q", kind="consensus", input="why?", team=team)
    spec = plan(step_, limits=limits, claims=["slow"])

    async def main() -> None:
        made = engine(journal, {"a": Doer(do)})
        run = await made.start(msgspec.structs.replace(spec, agents=agents), {}, run="r", seed=1)
        runs.append(run)
        offered = dict[str, str]()
        takes = run._runner.departures.recall.takes

        def look(start: Any) -> bool:
            taken = takes(start)
            recall = run._runner.departures.recall
            offered[str(start.call)] = recall._calls[start.call].question.key
            return taken

        run._runner.departures.recall.takes = look  # type: ignore[method-assign]
        assert (await run.settled()).said == "succeeded"
        # Some asked something else than they would have when they came.
        assert any(offered[call] != key for call, key in asked.items())

    virtual(main, seed)
    finished_ = {str(event.call) for event in only(journal, CallFinished)}
    assert finished_
    assert {asked[call] for call in finished_} == set(journal.answers.kept)


# What is asked


def question(given: Json = "why?", path: str = "s", content: str = "", **changes: Any) -> str:
    agent: dict[str, Any] = {"kind": "model", "options": {"model": "x:y", "temperature": 0.5}}
    job: dict[str, Any] = {
        "agents": ("a",), "effects": (False,), "retry": Retry(), "timeout": 1, "output": None,
        "options": {},
    }  # fmt: skip
    for name, value in changes.items():
        place = job if name in JobSpec.__struct_fields__ else agent
        place["options" if name == "settings" else name] = value
    return question_of(AgentSpec(**agent), JobSpec(**job), given, path, content).key


@pytest.mark.parametrize(
    "changes",
    [
        {"given": "why not?"},
        {"given": {"$": "file", "name": "a", "size": 1, "digest": "0" * 64}},
        {"given": {"$": "file", "name": "a", "size": 1, "digest": "1" * 64}},
        {"settings": {"model": "x:y", "temperature": 0.6}},
        {"settings": {"model": "x:z", "temperature": 0.5}},
        {"options": {"temperature": 0.6}},
        {"options": {"system": "be short"}},
        {"output": {"type": "string"}},
        {"tools": (Tool("grep", "searches", {}),)},
        {"tools": (Tool("grep", "finds", {}),)},
        {"kind": "local"},
        {"content": "0" * 64},
        {"sample": "m-1/answer"},
        {"sample": "m-2/answer"},
        {"path": "s~2"},
    ],
    ids=str,
)
def test_whatever_goes_into_a_call_tells_questions_apart(changes: dict[str, Any]) -> None:
    assert question(**changes) != question()
    assert question(**changes) == question(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "other"},
        {"path": "each/3"},
        {"path": "outer/s"},
        {"concurrency": 3},
        {"limits": ("l",)},
        {"cache": CacheSpec(ttl=1)},
        {"timeout": 5, "retry": Retry(tries=3)},
        {"options": {"temperature": 0.5}},
        {"options": {"stream": False}},
        {"settings": {"model": "x:y", "temperature": 0.5, "key_env": "K", "price": {}}},
    ],
    ids=str,
)
def test_what_only_says_when_or_how_fast_does_not(changes: dict[str, Any]) -> None:
    assert question(**changes) == question()


def test_members_are_told_apart_within_their_team_wherever_that_is() -> None:
    def member(path: str, sample: str = "m-1/answer") -> str:
        return question(path=path, sample=sample)

    assert member("q/m-1/answer") == member("outer/r/3/m-1/answer")
    assert member("q/m-1/answer") == member("q/m-1/answer/turn~2")
    assert member("q/m-1/answer") != member("q~2/m-1/answer")
    assert member("q/m-1/answer") != member("q/m-1/answer~2", "m-1/answer~2")
    assert question(path="q/grep/0~2", sample="") == question(path="q~3/grep/1", sample="")
