from __future__ import annotations

from fractions import Fraction

import pytest
from tests.insight.hand import S, call, folded, plan_trace, team_trace, trace

from hocket.core.events import Usage
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.values import MINUTE
from hocket.insight.bounds import bounds
from hocket.insight.load import Units, is_made
from hocket.insight.path import critical
from hocket.insight.trace import Trace
from hocket.simulator.agents import Cast, Latency, Player
from hocket.simulator.play import play


def test_only_work_that_counted_lies_on_the_path() -> None:
    run = trace(
        call("a", 0, 5, fate="failed"),
        call("a", 6, 10, asked=5, attempt=2, after=0, needs=(0,), waits=(("backoff", 5, 6),)),
        call("b", 10, 12, after=1, needs=(1,)),
        call("ok", 12, 15, work="approval", agent="", fate="", after=2, needs=(2,)),
        call("c", 15, None, fate="", after=3, needs=(3,)),
        ended=16,
        finish=4,
    )
    assert critical(run).length == 12 * S
    found = bounds(run)
    # 4 + 2 of calls, and 1 of what is still under way; people can be quicker than 3.
    assert (found.path, found.best, found.binds) == (7 * S, 7 * S, "path")
    assert (found.fraction, found.efficiency) == (Fraction(7, 16), 0.4375)
    assert found.took == 16 * S


def test_work_over_capacity_with_what_comes_before_and_after() -> None:
    # x takes 1 s; then six calls of 2 s by b, of which two may be in flight; then y takes 3 s.
    six = [call(f"b{i}", 1 + 2 * (i // 2), 3 + 2 * (i // 2), agent="b") for i in range(6)]
    for one in six:
        one.after, one.needs, one.asked = 0, (0,), 1 * S
    run = trace(
        call("x", 0, 1),
        *six,
        call("y", 7, 10, after=6, needs=(1, 2, 3, 4, 5, 6)),
        call("vain", 0, 9, fate="stale", agent="b"),
        ended=12,
        finish=7,
        max_parallel=4,
        spec=RunSpec(
            workflow=PlanSpec(name="p", steps=()),
            agents={"a": AgentSpec(kind="model"), "b": AgentSpec(kind="model", concurrency=2)},
        ),
    )
    found = bounds(run)
    # Of the run 1 + 12 + 3 over four; of b 1, then 12 over two, then 3.
    assert found.work == {"run": 4 * S, "agent:b": 10 * S}
    assert (found.path, found.best, found.binds) == (6 * S, 10 * S, "slot:agent:b")
    assert found.fraction == Fraction(10, 12)
    assert found.refuted == ()


def test_units_count_and_what_is_left_over_is_rounded_up() -> None:
    step = StepSpec(name="big", agent="a", uses={"gpu": 2})
    run = trace(
        call("big", 0, 3, claims=("gpu",)),
        call("small", 0, 1, claims=("gpu",)),
        ended=5,
        limits={"gpu": LimitSpec(concurrency=3)},
        spec=RunSpec(workflow=PlanSpec(name="p", steps=(step,))),
    )
    # 2 · 3 s + 1 s over three units.
    assert bounds(run).work == {"gpu": -(-7 * S // 3)}


@pytest.mark.parametrize(
    ("count", "amount", "windows"),
    [(1, 4, 0), (4, 4, 0), (5, 4, 1), (8, 4, 1), (9, 4, 2), (9, 1, 8)],
)
def test_requests_need_so_many_windows(count: int, amount: int, windows: int) -> None:
    calls = [
        call(f"c{i}", 60 * (i // amount), 60 * (i // amount) + 2 + i, claims=("api",))
        for i in range(count)
    ]
    run = trace(
        *calls,
        call("refused", 0, 1, fate="refused", claims=("api",)),
        call("kept", 0, 0, cached=True, claims=("api",)),
        ended=700,
        limits={"api": LimitSpec(requests=(Rate(amount, MINUTE),))},
    )
    found = bounds(run)
    # After the last window has opened, the shortest of all calls is still to be made.
    assert found.rate == {"api": windows * MINUTE + 2 * S}
    assert found.binds == ("rate:api" if windows else "path")


def test_the_narrowest_window_of_a_limit_counts_and_budgets_take_no_time() -> None:
    run = trace(
        *[call(f"c{i}", 10 * i, 10 * i + 1, claims=("api",)) for i in range(6)],
        ended=60,
        limits={
            "api": LimitSpec(
                requests=(Rate(5, 20 * S), Rate(3, 10 * S)), spacing=7 * S, cost=(Rate(1, 0),)
            )
        },
    )
    # One more window of 20 s, one more of 10 s, or five times 7 s.
    assert bounds(run).rate == {"api": 36 * S}
    run.limits = {"api": LimitSpec(requests=(Rate(6, 0), Rate(0, S)))}
    assert bounds(run).rate == {}


def test_tokens_need_windows_and_one_larger_than_a_window_has_it_to_itself() -> None:
    def call_of(i: int, tokens: int) -> object:
        usage = Usage(tokens_in=tokens, tokens_out=1)
        return call(f"c{i}", 10 * i, 10 * i + 1, claims=("t",), usage=usage)

    limits = {"t": LimitSpec(tokens_in=(Rate(100, 10 * S),))}
    some = [call_of(i, 40) for i in range(6)]
    # 240 tokens: the last call cannot begin within two windows of 100.
    assert bounds(trace(*some, ended=60, limits=limits)).rate == {"t": 21 * S}  # type: ignore[arg-type]
    large = [call_of(0, 5_000), call_of(1, 10)]
    assert bounds(trace(*large, ended=20, limits=limits)).rate == {"t": 11 * S}  # type: ignore[arg-type]
    unknown = [call(f"c{i}", i, i + 1, claims=("t",)) for i in range(4)]
    assert bounds(trace(*unknown, ended=4, limits=limits)).rate == {}


def test_what_the_run_was_faster_than_is_no_bound() -> None:
    run = trace(
        *[call(f"c{i}", 0, 3, claims=("api", "gpu")) for i in range(6)],
        ended=3,
        max_parallel=6,
        limits={
            "api": LimitSpec(requests=(Rate(2, MINUTE),)),
            "gpu": LimitSpec(concurrency=2),
        },
    )
    found = bounds(run)
    assert found.refuted == ("slot:gpu", "rate:api")
    assert (found.work, found.rate) == ({"run": 3 * S}, {})
    assert (found.best, found.binds, found.efficiency) == (3 * S, "path", 1.0)


def test_nothing_took_no_time() -> None:
    found = bounds(trace(ended=0))
    assert (found.best, found.binds, found.efficiency) == (0, "path", 1.0)
    assert found.fraction == 1


def test_the_floor_of_the_seven_agents_is_one_window_and_one_call() -> None:
    for policy in ("once", "restart_all"):
        run = team_trace(policy, 3, limited=True, incident=True)
        found = bounds(run)
        # 10 calls of flash at 9 a minute and 4 of pro at 2 a minute need a second window each.
        shortest = {
            agent: min(
                one.ended - one.began
                for one in run.activities
                if one.agent == agent and one.fate == "useful" and one.ended is not None
            )
            for agent in ("flash", "pro")
        }
        assert found.rate == {name: MINUTE + least for name, least in shortest.items()}
        assert found.binds == "rate:pro"
        assert 60 * S < found.best < 70 * S
        assert found.best < run.took


def _steady(spec: RunSpec, seconds: int = 1) -> Trace:
    return folded(play(spec, {}, Cast({}, Player(latency=Latency(seconds * S)))))


def _plan(count: int, **fields: object) -> RunSpec:
    steps = tuple([StepSpec(name=f"s{i}", agent="a") for i in range(count)])
    limits = ("api",) if "limits" in fields else ()
    agents = {"a": AgentSpec(kind="scripted", limits=limits)}
    return RunSpec(workflow=PlanSpec(name="p", steps=steps), agents=agents, **fields)  # type: ignore[arg-type]


def test_a_run_that_wastes_nothing_is_as_fast_as_its_bound() -> None:
    slots = bounds(_steady(_plan(6, max_parallel=2)))
    assert (slots.best, slots.binds, slots.efficiency) == (3 * S, "slot:run", 1.0)
    limit = LimitSpec(requests=(Rate(2, 10 * S),), margin=0)
    windows = bounds(_steady(_plan(7, limits={"api": limit})))
    assert (windows.best, windows.binds, windows.efficiency) == (31 * S, "rate:api", 1.0)
    spaced = bounds(_steady(_plan(5, limits={"api": LimitSpec(spacing=3 * S, margin=0)})))
    assert (spaced.best, spaced.binds, spaced.efficiency) == (13 * S, "rate:api", 1.0)
    free = bounds(_steady(_plan(5)))
    assert (free.best, free.binds, free.efficiency) == (1 * S, "path", 1.0)


def check(run: Trace) -> None:
    """See to it that no bound is above what the run took, nor below what plain sums say."""
    found = bounds(run)
    assert found.refuted == ()
    assert found.best == max([found.path, *found.work.values(), *found.rate.values()])
    assert 0 <= found.best <= run.took == found.took
    assert found.path <= critical(run).length
    assert 0 <= found.efficiency <= 1
    units = Units(run)
    counted = [one for one in run.activities if is_made(one) and one.fate in ("useful", "")]
    took = [(run.ended if one.ended is None else one.ended) - one.began for one in counted]
    if run.max_parallel and counted:
        assert found.work["run"] >= sum(took) / run.max_parallel
    for name, limit in run.limits.items():
        claims = [i for i, one in enumerate(counted) if name in one.claims]
        if not claims:
            continue
        shortest = min(took[i] for i in claims)
        for rate in limit.requests:
            full = -(-len(claims) // rate.amount) - 1
            assert found.rate[name] >= full * rate.per + shortest
        if limit.concurrency:
            area = sum(took[i] * units.of(counted[i], name) for i in claims)
            assert found.work[name] >= area / limit.concurrency


@pytest.mark.parametrize("seed", range(150))
def test_no_bound_is_above_what_a_run_took_that_kept_to_its_limits(seed: int) -> None:
    check(plan_trace(seed))


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize(
    "policy", ["once", "restart_all", "cancel", "inject", "batch, 5 s", "sequential", "rounds"]
)
def test_no_bound_is_above_what_a_team_took(policy: str, limited: bool) -> None:
    for seed in range(4):
        check(team_trace(policy, seed, limited=limited))
