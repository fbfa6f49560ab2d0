"""Limits as a run meets them: windows, refusals, budgets, other runs, other processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.engine.kit import (
    Doer,
    engine,
    now,
    only,
    plan,
    seconds,
    sleeps,
    starts,
    step,
    virtual,
    waits,
)

from hocket.agents.base import Context, Estimate, Reply, Request
from hocket.core.errors import AgentError, Fault
from hocket.core.events import (
    CallFailed,
    CallFinished,
    CallStarted,
    LimitChanged,
    PauseRequested,
    Usage,
)
from hocket.core.specs import LimitSpec, Rate, Retry, RunSpec
from hocket.core.values import MINUTE, SECOND, Json
from hocket.engine.engine import Engine
from hocket.journal.memory import MemoryJournal

DOLLAR = 10**12


def rate(amount: int, per: int = MINUTE, **more: Any) -> LimitSpec:
    return LimitSpec(requests=(Rate(amount, per),), margin=0, **more)


def limited(count: int, limit: LimitSpec, **more: Any) -> RunSpec:
    """A plan of equal steps whose agent claims a limit called ``api``."""
    steps = [step(f"s{i:02}") for i in range(count)]
    return plan(*steps, limits={"api": limit}, claimed={"a": ("api",)}, **more)


async def runs(started: Engine, *specs: RunSpec) -> list[str]:
    """Run these side by side on one engine; tells how each ended."""
    going = [await started.start(spec, {}, run=f"r{i}", seed=i) for i, spec in enumerate(specs)]
    return [(await run.settled()).said for run in going]


async def alone(journal: MemoryJournal, spec: RunSpec, doer: Doer, run: str = "r") -> str:
    begun = await engine(journal, {"a": doer}).start(spec, {}, run=run, seed=0, stay=False)
    return (await begun.settled()).said


def test_a_window_lets_through_what_it_holds_and_the_rest_at_the_instant_it_opens() -> None:
    journal = MemoryJournal(latency=0.001)
    doer = sleeps(1)
    virtual(lambda: alone(journal, limited(20, rate(9)), doer))
    sent = [at for at, _ in doer.calls]
    assert len(sent) == 20
    # Nothing is lost but the commits before a call may leave.
    assert sent[8] < 0.01
    assert sent[9] - sent[0] == pytest.approx(60, abs=0.01) and sent[9] - sent[0] >= 60
    assert sent[18] - sent[9] == pytest.approx(60, abs=0.01) and sent[18] - sent[9] >= 60
    told = waits(journal)["s09#1"]
    assert [cause for cause, _, _ in told] == ["rate:api", "claim"]
    assert told[0][2] == pytest.approx(60, abs=0.01)


def test_the_waits_of_a_call_fill_the_time_from_when_it_was_ready_to_its_start() -> None:
    journal = MemoryJournal(latency=0.001)
    virtual(lambda: alone(journal, limited(30, rate(4, 10 * SECOND), max_parallel=3), sleeps(2)))
    for event in only(journal, CallStarted):
        assert event.waits[-1].until == event.at
        assert all(a.until == b.since for a, b in zip(event.waits, event.waits[1:], strict=False))


def test_a_refusal_closes_the_limit_for_all_and_costs_no_try() -> None:
    journal = MemoryJournal()
    refused: list[float] = []

    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(0.1)
        if not refused:
            refused.append(now())
            fault = Fault(kind="rate_limited", message="no", retry_after=7 * SECOND)
            raise AgentError(fault)
        await asyncio.sleep(1)
        return "done"

    doer = Doer(do)
    spec = limited(6, LimitSpec(margin=0), max_parallel=2)
    assert virtual(lambda: alone(journal, spec, doer)) == "succeeded"
    later = [at for at, _ in doer.calls if at > refused[0]]
    assert min(later) >= refused[0] + 7 and min(later) < refused[0] + 8
    news = only(journal, LimitChanged)
    assert [item.what for item in news] == ["closed"] and news[0].limit == "api"
    assert seconds(news[0].until or 0) == pytest.approx(min(later), abs=0.01)
    assert len(doer.calls) == 7


def test_a_refused_call_is_asked_again_though_it_has_one_try_only() -> None:
    journal = MemoryJournal()
    attempts = iter([True, True, True, False])

    async def do(request: Request, context: Context) -> Json:
        if next(attempts):
            raise AgentError(Fault(kind="rate_limited", message="no", retry_after=SECOND))
        return "done"

    spec = limited(1, LimitSpec(margin=0))
    assert virtual(lambda: alone(journal, spec, Doer(do))) == "succeeded"
    assert [event.call.attempt for event in only(journal, CallStarted)] == [1, 2, 3, 4]
    assert all("backoff" not in str(event.waits) for event in only(journal, CallStarted))


def test_a_limit_that_does_not_close_leaves_the_waiting_to_the_back_off() -> None:
    journal = MemoryJournal()
    doer = Doer(lambda request, context: _refuses_once(request))
    spec = limited(1, LimitSpec(concurrency=3, adaptive=False), max_parallel=2)
    assert virtual(lambda: alone(journal, spec, doer)) == "succeeded"
    first, second = doer.calls
    assert second[0] - first[0] >= 1


async def _refuses_once(request: Request) -> Json:
    if request.call.attempt == 1:
        raise AgentError(Fault(kind="rate_limited", message="no"))
    return "done"


def test_runs_under_one_limit_share_it_by_their_weights() -> None:
    journal = MemoryJournal()
    light, heavy = sleeps(0.5), sleeps(0.5)

    async def main() -> None:
        shared = {"api": rate(12, 10 * SECOND)}
        specs = [
            plan(
                *(step(f"s{i:03}", agent=agent) for i in range(200)),
                limits=shared,
                claimed={agent: ("api",)},
                weight=weight,
                max_parallel=50,
            )
            for agent, weight in (("light", 1.0), ("heavy", 3.0))
        ]
        await runs(engine(journal, {"light": light, "heavy": heavy}), *specs)

    virtual(main)
    for begin in (10, 40, 60):
        counts = [sum(begin <= at < begin + 100 for at, _ in doer.calls) for doer in (light, heavy)]
        assert counts[0] / sum(counts) == pytest.approx(0.25, abs=0.02)


def test_a_run_of_a_higher_priority_goes_first() -> None:
    journal = MemoryJournal()
    slow, urgent = sleeps(0.1), sleeps(0.1)

    async def main() -> None:
        limits = {"api": rate(5, 10 * SECOND)}
        steps = [step(f"s{i:02}", agent="slow") for i in range(40)]
        first = plan(*steps, limits=limits, claimed={"slow": ("api",)}, max_parallel=50)
        steps = [step(f"s{i:02}", agent="urgent") for i in range(10)]
        more = {"limits": limits, "claimed": {"urgent": ("api",)}, "priority": 1}
        second = plan(*steps, **more, max_parallel=50)
        await runs(engine(journal, {"slow": slow, "urgent": urgent}), first, second)

    virtual(main)
    assert max(at for at, _ in urgent.calls) < 20.1


class Spender(Doer):
    """An agent that knows the most that a call of it may cost."""

    def __init__(self, costs: int, most: int, takes: float = 1.0, tells: bool = True) -> None:
        async def do(request: Request, context: Context) -> Reply:
            await asyncio.sleep(takes)
            usage = Usage(tokens_in=10, tokens_out=10, cost=costs) if tells else None
            return Reply(output="done", usage=usage)

        super().__init__(do)
        self.most = most

    def estimate(self, request: Request) -> Estimate:
        return Estimate(tokens_in=10, tokens_out=10, most_tokens=40, most_cost=self.most)


def budget(dollars: float, **more: Any) -> LimitSpec:
    cost = (Rate(round(dollars * DOLLAR), 0),)
    return LimitSpec(cost=cost, shared=False, adaptive=False, on_exceed="pause", **more)


def test_a_budget_is_never_passed_and_what_is_left_of_reservations_is_used() -> None:
    journal = MemoryJournal()
    doer = Spender(costs=DOLLAR // 20, most=DOLLAR // 5)
    assert virtual(lambda: alone(journal, limited(30, budget(1.0)), doer)) == "paused"
    spent = sum(e.usage.cost or 0 for e in only(journal, CallFinished) if e.usage is not None)
    # The next call might have cost 0.20, and more than 0.80 was gone.
    assert DOLLAR * 0.8 < spent <= DOLLAR
    (pause,) = only(journal, PauseRequested)
    assert pause.reason.startswith("over budget: $") and "may cost up to $0.20" in pause.reason
    assert [item.what for item in only(journal, LimitChanged)] == ["warned", "warned"]


def test_a_crash_grants_no_second_budget() -> None:
    journal = MemoryJournal()
    doer = Spender(costs=DOLLAR // 10, most=DOLLAR // 10, takes=10)

    async def main() -> str:
        run = await engine(journal, {"a": doer}).start(
            limited(30, budget(1.0), max_parallel=4), {}, run="r", seed=0
        )
        await asyncio.sleep(15)
        # Four calls have ended, four are in flight: nobody will know what those have cost.
        after = journal.crash()
        await asyncio.gather(run.settled(), return_exceptions=True)
        resumed = await engine(after, {"a": doer}).resume("r", stay=False)
        return (await resumed.settled()).said

    assert virtual(main) == "paused"
    assert len(doer.calls) == 10


@pytest.mark.parametrize("on_exceed", ["fail", "fallback"])
def test_a_call_that_its_budget_does_not_hold_fails_or_falls_back(on_exceed: str) -> None:
    journal = MemoryJournal()
    dear, cheap = Spender(costs=DOLLAR, most=DOLLAR), sleeps(1)
    limit = budget(2.0)
    steps = [step(f"s{i}", agent="dear", fallback=("cheap",)) for i in range(4)]
    spec = plan(
        *steps,
        limits={"money": LimitSpec(cost=limit.cost, shared=False, on_exceed=on_exceed)},
        claimed={"dear": ("money",)},
        max_parallel=1,
    )

    async def main() -> str:
        run = await engine(journal, {"dear": dear, "cheap": cheap}).start(spec, {}, run="r", seed=0)
        return (await run.settled()).said

    said = virtual(main)
    assert len(dear.calls) == 2
    assert {event.fault.kind for event in only(journal, CallFailed)} == {"over_budget"}
    if on_exceed == "fallback":
        assert said == "succeeded" and len(cheap.calls) == 2
    else:
        assert said == "failed" and not cheap.calls


def test_units_of_several_limits_are_claimed_at_once() -> None:
    journal = MemoryJournal()
    limits = {
        "gpu": LimitSpec(concurrency=2, margin=0),
        "license": LimitSpec(concurrency=3, margin=0),
    }
    steps = [step(f"s{i}", uses={"gpu": 1, "license": 2}) for i in range(3)]
    spec = plan(*steps, step("light", uses={"license": 1}), limits=limits)
    virtual(lambda: alone(journal, spec, sleeps(1)))
    began = {name: round(at, 3) for name, at in starts(journal).items()}
    assert began == {"s0#1": 0, "light#1": 0, "s1#1": 1, "s2#1": 2}


def test_tokens_are_reserved_by_estimate_and_settled_by_usage() -> None:
    journal = MemoryJournal()
    doer = Spender(costs=0, most=0, takes=0.1)
    limit = LimitSpec(tokens=(Rate(60, 10 * SECOND),), margin=0)
    virtual(lambda: alone(journal, limited(7, limit), doer))
    # Twenty tokens are expected and used by each.
    assert [round(at) for at, _ in doer.calls] == [0, 0, 0, 10, 10, 10, 20]


def test_a_window_survives_a_crash() -> None:
    journal = MemoryJournal()
    doer = sleeps(0.1)

    async def main() -> None:
        run = await engine(journal, {"a": doer}).start(
            limited(12, rate(5, 10 * SECOND)), {}, run="r", seed=0
        )
        await asyncio.sleep(1)
        after = journal.crash()
        await asyncio.gather(run.settled(), return_exceptions=True)
        await (await engine(after, {"a": doer}).resume("r")).settled()

    virtual(main)
    sent = sorted(at for at, _ in doer.calls)
    assert len(sent) == 12
    assert all(b - a >= 10 for a, b in zip(sent, sent[5:], strict=False))


def test_an_endpoint_that_is_down_is_left_alone_for_a_while() -> None:
    journal = MemoryJournal()
    down_until = 5.0

    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(0.01)
        if now() < down_until:
            raise AgentError(Fault(kind="unavailable", message="503"))
        return "done"

    doer = Doer(do)
    steps = [step(f"s{i}", retry=Retry(tries=20, first=SECOND // 10)) for i in range(8)]
    spec = plan(*steps, limits={"api": LimitSpec(margin=0)}, claimed={"a": ("api",)})
    assert virtual(lambda: alone(journal, spec, doer)) == "succeeded"
    assert [item.what for item in only(journal, LimitChanged)][:1] == ["tripped"]
    assert [item.what for item in only(journal, LimitChanged)][-1:] == ["mended"]
    # Without a breaker eight calls would have asked many times in five seconds.
    assert sum(at < down_until for at, _ in doer.calls) <= 8


def test_who_has_a_fallback_does_not_wait_for_an_endpoint_that_is_down() -> None:
    journal = MemoryJournal()

    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(0.01)
        raise AgentError(Fault(kind="unavailable", message="503"))

    down, other = Doer(do), sleeps(0.1)
    retry = Retry(tries=3, first=SECOND)
    steps = [step(f"s{i}", agent="down", fallback=("other",), retry=retry) for i in range(20)]
    spec = plan(
        *steps, limits={"api": LimitSpec(margin=0)}, claimed={"down": ("api",)}, max_parallel=4
    )

    async def main() -> float:
        run = await engine(journal, {"down": down, "other": other}).start(spec, {}, run="r", seed=0)
        assert (await run.settled()).said == "succeeded"
        return now()

    # Three tries and their back-offs, and never the ten seconds that the endpoint is left alone.
    assert virtual(main) < 6
    assert len(down.calls) < 10 and len(other.calls) == 20
    said = {event.fault.message for event in only(journal, CallFailed)}
    assert said == {"503", "api is down, and was not asked"}


def test_what_became_pointless_leaves_the_queue_unpaid() -> None:
    journal = MemoryJournal()

    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(1)
        if request.call.path == "s00":
            raise AgentError(Fault(kind="permanent", message="no"))
        return "done"

    doer = Doer(do)
    assert virtual(lambda: alone(journal, limited(9, rate(2)), doer)) == "failed"
    assert len(doer.calls) == 2
