"""The search is repeatable, never worse than the longest path first, and knows when to stop."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.forecast.plans import START, machine, run, runs, step, terms

from hocket.core.specs import LimitSpec, RunSpec
from hocket.core.values import SECOND
from hocket.forecast.ahead import look_ahead
from hocket.forecast.bounds import tails_of
from hocket.forecast.chance import Chance
from hocket.forecast.outline import outline
from hocket.forecast.paths import ranks
from hocket.forecast.play import play
from hocket.forecast.project import Project
from hocket.forecast.search import search
from hocket.forecast.world import World
from hocket.workflows.plan import PlanMachine

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def project_of(spec: RunSpec) -> Project:
    return outline(machine(spec), {}, START, terms(spec)).project


def longest_first(spec: RunSpec) -> dict[str, int]:
    workflow = machine(spec).workflow
    assert isinstance(workflow, PlanMachine)
    return ranks(workflow.shape, lambda path, step, agent: step.takes or 0)


@some
@given(runs(), st.integers(0, 9))
def test_the_same_seed_finds_the_same_order(spec: RunSpec, seed: int) -> None:
    project = project_of(spec)
    once = search(project, budget=2_000, seed=seed)
    assert once == search(project_of(spec), budget=2_000, seed=seed)
    for order in once.orders:
        assert once.bound <= order.end <= once.first
        assert play(project, project.order(order.rank), tails_of(project)).end == order.end


def test_a_better_order_than_the_longest_path_first_is_found() -> None:
    # Longest path first fills the slots with 3, 3 and ends with a 2 alone: 3+2+2 beside 3+2.
    spec = run(*[step(f"s{i}", takes=t) for i, t in enumerate((3, 3, 2, 2, 2))], max_parallel=2)
    found = search(project_of(spec))
    assert (found.first, found.orders[0].end, found.bound) == (
        7 * SECOND,
        6 * SECOND,
        6 * SECOND,
    )
    made = machine(spec)
    ahead = look_ahead(made, {}, START, terms(spec), longest_first(spec))
    assert (ahead.now, ahead.end) == (START + 7 * SECOND, START + 6 * SECOND)
    assert ahead.order is not None
    assert World(made, {}, START, terms(spec), ahead.order).play(1_000).end == ahead.end
    assert ahead.binds == "run"


def test_nothing_is_adopted_that_is_no_better() -> None:
    spec = run(step("a"), step("b", "a"))
    ahead = look_ahead(machine(spec), {}, START, terms(spec), longest_first(spec))
    assert (ahead.order, ahead.end, ahead.tried) == (None, START + 2 * SECOND, 1)


def test_the_search_stops_at_its_budget_and_at_a_bound() -> None:
    chance = Chance(3)
    steps = [step(f"s{i}", takes=1 + chance.unit() * 9, uses={"x": 1 + i % 3}) for i in range(40)]
    spec = run(*steps, limits={"x": LimitSpec(concurrency=4)})
    little = search(project_of(spec), budget=1_000)
    assert little.events <= 1_000 + 2 * 2 * 40
    assert search(project_of(spec), budget=50_000).orders[0].end <= little.orders[0].end
    free = run(*steps, limits={"x": LimitSpec(concurrency=400)}, max_parallel=400)
    assert search(project_of(free)).tried == 1


def test_chance_is_spread_evenly() -> None:
    chance = Chance(0)
    drawn = [chance.below(10) for _ in range(10_000)]
    assert all(900 < drawn.count(value) < 1_100 for value in range(10))
    assert 0.48 < sum(chance.unit() for _ in range(10_000)) / 10_000 < 0.52
    assert [Chance(5).below(100) for _ in range(3)] != [Chance(6).below(100) for _ in range(3)]
