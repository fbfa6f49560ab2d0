from __future__ import annotations

from fractions import Fraction

import pytest
from tests.insight.hand import S, call, folded, plan_trace, team_trace, trace

from hocket.core.events import Usage
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.values import MINUTE
from hocket.insight.load import Course, Use, is_made, load, uses, weight_of, windows_of
from hocket.insight.trace import Trace
from hocket.simulator.agents import Cast, Latency, Player
from hocket.simulator.play import play


def steps(some: list[tuple[int, int]]) -> list[tuple[float, int]]:
    return [(at / S, count) for at, count in some]


def test_calls_in_flight_are_a_step_function() -> None:
    run = trace(
        call("a", 1, 5),
        call("b", 2, 5),
        call("c", 5, 8),
        call("d", 6, None, fate=""),
        call("ok", 0, 10, work="approval", agent=""),
        call("kept", 1, 9, cached=True),
        call("none", 1, 1, left=False, fate="cancelled"),
        ended=10,
        max_parallel=2,
    )
    course = load(run).run
    assert steps(course.steps) == [(0, 0), (1, 1), (2, 2), (5, 1), (6, 2), (8, 1)]
    # 4 + 3 + 3 + 4 seconds of work in 10 s with two slots; both in use from 2 to 5 and 6 to 8.
    assert (course.area, course.peak, course.full) == (14 * S, 2, 5 * S)
    assert (course.mean, course.idle) == (1.4, 6 * S)


def test_each_agent_and_each_limit_has_its_own_cap() -> None:
    step = StepSpec(name="big", agent="b", uses={"gpu": 2})
    inner = StepSpec(name="in", kind="plan", plan=PlanSpec(name="q", steps=(step,)))
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=(inner,)),
        agents={"a": AgentSpec(kind="model", concurrency=2), "b": AgentSpec(kind="function")},
    )
    run = trace(
        call("x", 0, 2),
        call("y", 0, 4, claims=("gpu",)),
        call("in/3/big~2", 2, 3, agent="b", claims=("gpu",)),
        ended=4,
        spec=spec,
        limits={"gpu": LimitSpec(concurrency=3), "api": LimitSpec(requests=(Rate(1, S),))},
    )
    found = load(run)
    assert list(found.agents) == ["a", "b"]
    assert [course.cap for course in found.agents.values()] == [2, None]
    assert found.agents["a"].full == 2 * S
    assert found.agents["b"].idle is None
    assert found.run.cap is None
    assert list(found.limits) == ["gpu"]
    gpu = found.limits["gpu"]
    assert steps(gpu.steps) == [(0, 1), (2, 3), (3, 1)]
    assert (gpu.peak, gpu.full, gpu.area, gpu.idle) == (3, 1 * S, 6 * S, 6 * S)
    named = trace(call("x", 0, 2), ended=4, limits={"agent:a": LimitSpec(concurrency=1)})
    assert load(named).agents["a"].cap == 1


def test_a_window_is_full_while_what_began_in_it_counts() -> None:
    run = trace(
        call("a", 0, 1, claims=("api",)),
        call("b", 4, 5, claims=("api",)),
        call("b2", 4.5, 5, claims=("api",), fate="refused"),
        call("c", 10, 12, asked=5, waits=(("rate:api", 5, 10),), claims=("api",)),
        call(
            "d", 14, 15, asked=8, waits=(("slot:run", 8, 9), ("rate:api", 9, 14)), claims=("api",)
        ),
        call("other", 6, 7),
        ended=20,
        limits={"api": LimitSpec(requests=(Rate(2, 10 * S),))},
    )
    (use,) = uses(run)
    assert (use.limit, use.calls, use.refused, use.held) == ("api", 5, 1, 2)
    # c waited from 5 to 10 and d from 9 to 14.
    assert (use.waited, use.waiting) == (10 * S, 9 * S)
    (fill,) = use.windows
    assert (fill.kind, fill.amount, fill.per) == ("requests", 2, 10 * S)
    # What was refused uses nothing; a leaves the window when c enters it, and b when d does.
    assert steps(fill.steps) == [(0, 1), (4, 2)]
    assert fill.peak == 2
    assert fill.mean == pytest.approx((4 * 1 + 16 * 2) / 20)
    assert fill.held == 2.0


def test_a_window_empties() -> None:
    run = trace(
        call("a", 1, 2, claims=("api",)),
        call("b", 1, 2, claims=("api",)),
        call("c", 3, 4, claims=("api",)),
        ended=20,
        limits={"api": LimitSpec(requests=(Rate(5, 6 * S),), spacing=2 * S)},
    )
    (use,) = uses(run)
    assert [fill.kind for fill in use.windows] == ["requests", "spacing"]
    assert steps(use.windows[0].steps) == [(0, 0), (1, 2), (3, 3), (7, 1), (9, 0)]
    assert steps(use.windows[1].steps) == [(0, 0), (1, 2), (3, 1), (5, 0)]
    assert (use.windows[0].amount, use.windows[1].amount) == (5, 1)
    assert (use.held, use.waited, use.windows[0].held) == (0, 0, 0.0)


def test_tokens_count_from_the_start_and_a_budget_for_ever() -> None:
    run = trace(
        call("a", 1, 2, tokens=100, claims=("t",)),
        call("b", 3, 4, tokens=50, claims=("t",)),
        call("c", 5, 6, claims=("t",)),
        call("d", 3, 4, tokens=7),
        ended=10,
        limits={"t": LimitSpec(tokens=(Rate(120, 4 * S),), cost=(Rate(2_000, 0),))},
    )
    (use,) = uses(run)
    tokens, cost = use.windows
    assert steps(tokens.steps) == [(0, 0), (1, 100), (3, 150), (5, 50), (7, 0)]
    assert tokens.peak == 150
    assert steps(cost.steps) == [(0, 0), (1, 1000), (3, 1500)]
    assert (cost.kind, cost.per) == ("cost", 0)


def test_what_a_call_counts_depends_on_the_window() -> None:
    one = call("a", 0, 1, usage=Usage(tokens_in=3, tokens_out=4, cost=5))
    kinds = ("requests", "spacing", "tokens", "tokens_in", "tokens_out", "cost")
    assert [weight_of(one, kind) for kind in kinds] == [1, 1, 7, 3, 4, 5]
    assert [weight_of(call("a", 0, 1), kind) for kind in kinds] == [1, 1, 0, 0, 0, 0]


def test_all_waits_of_windows_count_and_those_for_slots_do_not() -> None:
    causes = ("rate", "spacing", "closed", "breaker", "budget", "slot", "reserved")
    waits = tuple((f"{cause}:api", i, i + 1) for i, cause in enumerate(causes))
    waits = (*waits, ("closed:gpu", 6, 7))
    run = trace(
        call("a", 7, 8, asked=0, waits=waits, claims=("api",)),
        ended=8,
        limits={"api": LimitSpec(requests=(Rate(1, S),), concurrency=1)},
    )
    (use,) = uses(run)
    assert use.waited == use.waiting == 5 * S
    assert use.held == 1


def test_a_limit_without_windows_has_no_use_and_nothing_is_no_time() -> None:
    assert uses(trace(ended=1, limits={"gpu": LimitSpec(concurrency=1)})) == []
    empty = load(trace(ended=0)).run
    assert (empty.steps, empty.mean) == ([(0, 0)], 0.0)
    (use,) = uses(trace(ended=0, limits={"api": LimitSpec(requests=(Rate(1, S),))}))
    assert (use.windows[0].mean, use.windows[0].peak) == (0.0, 0)


def test_the_seven_agents_fill_both_windows() -> None:
    run = team_trace("once", 3, limited=True, incident=True)
    flash, pro = uses(run)
    assert [(use.limit, use.calls, use.windows[0].peak) for use in (flash, pro)] == [
        ("flash", 10, 9),
        ("pro", 4, 2),
    ]
    # Votes are asked at 14 s; one of flash and both of pro wait until a window has passed.
    waited = round(46.25 * S)
    assert (flash.waited, flash.held) == (waited, 1)
    assert (pro.waited, pro.held, pro.waiting) == (2 * waited, 2, waited)
    # For the last quarter of a second the server may still have counted the first calls.
    full = Fraction(4625 - 25, 4625)
    assert flash.windows[0].held == pytest.approx(float(9 * full + 4 * (1 - full)))
    assert pro.windows[0].held == pytest.approx(float(2 * full))
    assert load(run).run.peak == 7


def test_a_limit_that_is_a_run_s_own_is_called_as_the_run_calls_it() -> None:
    own = LimitSpec(requests=(Rate(2, 10 * S),), margin=0, concurrency=1, shared=False)
    steps = tuple([StepSpec(name=f"s{i}", agent="a") for i in range(5)])
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=steps),
        agents={"a": AgentSpec(kind="scripted", limits=("api",))},
        limits={"api": own},
    )
    run = folded(play(spec, {}, Cast({}, Player(latency=Latency(S)))))
    (use,) = uses(run)
    # Two calls a second each, then the third waits from 2 to 10 s, with it the fourth and fifth;
    # the fifth waits once more, from 12 to 20 s, for its window.
    assert (use.limit, use.waiting) == ("api", 16 * S)
    causes = [wait.cause for one in run.activities for wait in one.waits]
    assert dict.fromkeys(causes) == {"slot:api": None, "rate:api": None}


def at(course: list[tuple[int, int]], instant: int) -> int:
    return [value for since, value in course if since <= instant][-1]


def check(run: Trace) -> None:
    """Measure again, the slow way."""
    found = load(run)
    calls = [activity for activity in run.activities if is_made(activity)]
    ends = [run.ended if one.ended is None else one.ended for one in calls]
    spans = [(one.began, end) for one, end in zip(calls, ends, strict=True)]
    assert found.run.area == sum(until - since for since, until in spans)
    for instant in [at for at, _ in found.run.steps] + [since for since, _ in spans]:
        if instant < run.ended:
            flying = sum(since <= instant < until for since, until in spans)
            assert at(found.run.steps, instant) == flying
    assert found.run.area == sum(course.area for course in found.agents.values())
    courses: list[Course] = [found.run, *found.agents.values(), *found.limits.values()]
    for course in courses:
        assert course.cap is None or course.peak <= course.cap
        assert 0 <= course.full <= course.span == run.took
    for use in uses(run):
        _check_use(run, use)


def _check_use(run: Trace, use: Use) -> None:
    calls = [one for one in run.activities if is_made(one) and use.limit in one.claims]
    assert use.calls == len(calls)
    assert use.waiting <= use.waited
    for fill, (kind, rate) in zip(use.windows, windows_of(run.limits[use.limit]), strict=True):
        assert (fill.kind, fill.amount, fill.per) == (kind, rate.amount, rate.per)
        for instant in [one.began for one in calls]:
            counted = [one for one in calls if one.began <= instant]
            if rate.per:
                counted = [one for one in counted if one.began > instant - rate.per]
            if instant < run.ended:
                used = at(fill.steps, instant)
                served = [one for one in counted if one.fate != "refused"]
                assert used == sum(weight_of(one, kind) for one in served)
                assert used <= rate.amount
        assert 0 <= fill.mean <= fill.peak
        assert bool(use.waited) >= bool(fill.held)


@pytest.mark.parametrize("seed", range(60))
def test_the_load_of_a_run_that_was_played_keeps_to_its_caps(seed: int) -> None:
    check(plan_trace(seed))


@pytest.mark.parametrize("policy", ["once", "restart_all", "cancel", "batch, 5 s"])
def test_the_load_of_a_team_keeps_to_its_caps(policy: str) -> None:
    run = team_trace(policy, 4, limited=True)
    check(run)
    assert all(use.windows[0].per == MINUTE for use in uses(run))
