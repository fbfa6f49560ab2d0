"""The quick model of the look-ahead, virtual time and the engine come to the same end."""

from __future__ import annotations

import asyncio

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine import kit
from tests.forecast.plans import START, machine, plan, run, runs, step, terms
from tests.forecast.shell import Shell, takes_of

from hocket.core.errors import Fault
from hocket.core.events import CallFailed, RunEnded
from hocket.core.specs import LimitSpec, Rate, Repeat, RunSpec
from hocket.core.values import SECOND, Call
from hocket.engine.outlook import Prospect
from hocket.forecast.assume import ITEMS
from hocket.forecast.bounds import bound_of, heads_of, tails_of
from hocket.forecast.durations import Durations
from hocket.forecast.outline import outline
from hocket.forecast.play import play
from hocket.forecast.project import Project
from hocket.forecast.world import World
from hocket.journal.memory import MemoryJournal
from hocket.limits.claim import Claim, Entry

thorough = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
BUDGET = 100_000


def shuffled(project: Project, chance) -> dict[str, int]:
    names = sorted(project.steps)
    chance.shuffle(names)
    return {path: rank for rank, path in enumerate(names)}


@thorough
@given(runs(), st.randoms(use_true_random=False))
def test_the_model_ends_when_the_machines_end(spec: RunSpec, chance) -> None:
    made, known = machine(spec), terms(spec)
    project = outline(made, {}, START, known).project
    ranks, tails = shuffled(project, chance), tails_of(project)
    played = play(project, project.order(ranks), tails)
    world = World(made, {}, START, known, ranks).play(BUDGET)
    assert world.status == "succeeded"
    assert world.end == START + played.end == Shell(made, known, ranks).run()
    assert bound_of(project, heads_of(project), tails) <= played.end
    # It is broken off as soon as it cannot end below a bound, and not before.
    assert play(project, project.order(ranks), tails, played.end + 1).end == played.end
    assert (not project.calls or not all(project.counts)) or play(
        project, project.order(ranks), tails, played.end
    ).end is None


@thorough
@given(runs(), st.randoms(use_true_random=False), st.integers(0, 40_000))
def test_in_mid_run_they_end_alike(spec: RunSpec, chance, after: int) -> None:
    made, known = machine(spec), terms(spec)
    ranks = shuffled(outline(made, {}, START, known).project, chance)
    shell = Shell(made, known, ranks)
    at = shell.run(START + after * SECOND // 1_000 + 1)
    if made.phase == "ended":
        return
    held = msgspec.structs.replace(known, held=shell.held())
    project = outline(made, shell.begun, at, held).project
    played = play(project, project.order(ranks), tails_of(project))
    before = made.view()
    queued = World(made, shell.begun, at, known, ranks, shell.admission).play(BUDGET)
    fresh = World(made, shell.begun, at, held, ranks).play(BUDGET)
    assert made.view() == before
    assert shell.run() == queued.end == fresh.end == at + played.end


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs(plain=True))
def test_the_engine_ends_when_the_forecast_does(spec: RunSpec) -> None:
    made, journal = machine(spec), MemoryJournal()
    takes = takes_of(made)

    async def sleep(request, context) -> None:
        await asyncio.sleep(takes(request.call.path) / SECOND)

    async def main() -> None:
        shell = kit.engine(journal, {"a": kit.Doer(sleep)})
        run = await shell.start(spec, {}, run="r", seed=1, stay=False)
        await run.settled()

    kit.virtual(main)
    order = Prospect(made, Durations()).ranks
    expected = World(made, {}, START, terms(spec), order).play(BUDGET)
    [ended] = kit.only(journal, RunEnded)
    assert abs((ended.at - kit.WALL) - (expected.end - START)) < SECOND // 10_000


def test_what_nobody_can_know_is_assumed() -> None:
    spec = run(
        step("list", takes=2),
        step("look", takes=3, each="list.found", repeat=Repeat(until="look.ok", max=5)),
        step("if", "look", takes=4, when="look[0].ok", input="{{list.name}}"),
        step("ask", "if", kind="input"),
        step("inner", "ask", kind="plan", plan=plan(step("x", takes=1)), input={"a": "{{ask}}"}),
        max_parallel=2,
    )
    made = machine(spec)
    left = outline(made, {}, START, terms(spec))
    assert left.unknown == ("look",)
    # Items two at a time.
    expected = 2 + 3 * ITEMS // 2 + 4 + 1
    assert World(made, {}, START, terms(spec), {}).play(BUDGET).end == START + expected * SECOND
    said = terms(spec, items={"look": 7})
    outcome = World(made, {}, START, said, {}).play(BUDGET)
    assert outcome.end == START + (2 + 3 * 4 + 4 + 1) * SECOND
    assert [flight.path for flight in outcome.flights].count("look/6") == 1
    assert not outline(made, {}, START, said).unknown


def test_the_limit_that_was_waited_for_most_binds() -> None:
    steps = [step(f"s{i}", takes=1, uses={"api": 1}) for i in range(4)]
    api = LimitSpec(requests=(Rate(1, 10 * SECOND),), margin=0)
    spec = run(*steps, limits={"api": api})
    outcome = World(machine(spec), {}, START, terms(spec), {}).play(BUDGET)
    assert (outcome.end, outcome.binds) == (START + 31 * SECOND, "api")
    spec = run(*steps, limits={"api": api}, max_parallel=1)
    fast = msgspec.structs.replace(api, requests=(Rate(9, SECOND),))
    spec = msgspec.structs.replace(spec, limits={"api": fast})
    assert World(machine(spec), {}, START, terms(spec), {}).play(BUDGET).binds == "run"
    alone = run(step("a"), step("b", "a"))
    assert World(machine(alone), {}, START, terms(alone), {}).play(BUDGET).binds == ""


def test_a_forecast_that_costs_too_much_is_given_up() -> None:
    spec = run(*[step(f"s{i}") for i in range(50)])
    assert World(machine(spec), {}, START, terms(spec), {}).play(20).end is None


def test_a_step_that_has_failed_is_not_forecast_again() -> None:
    spec = run(step("a", on_failure="skip"), step("b", "a"), step("c", takes=5))
    made = machine(spec)
    known = terms(spec)
    shell = Shell(made, known, {})
    at = shell.run(START + SECOND // 2)
    fault = Fault(kind="permanent", message="no")
    made.apply(CallFailed(at=at, call=Call("a", 1), fault=fault))
    begun = {"c": START}
    project = outline(made, begun, at, known).project
    assert play(project, project.order({}), tails_of(project)).end == 5 * SECOND - (at - START)
    assert World(made, begun, at, known, {}).play(BUDGET).end == START + 5 * SECOND


def test_calls_of_others_hold_limits_in_a_forecast() -> None:
    spec = run(
        step("a", uses={"api": 1}),
        limits={"api": LimitSpec(requests=(Rate(2, SECOND * 9),), margin=0)},
    )
    entries = [
        Entry("api", f"other/x#{i}", 1, Claim(), sent=START - i * SECOND, over=True) for i in (1, 2)
    ]
    known = terms(spec, held=entries)
    made = machine(spec)
    project = outline(made, {}, START, known).project
    assert play(project, project.order({}), tails_of(project)).end == 8 * SECOND
    assert World(made, {}, START, known, {}).play(BUDGET).end == START + 8 * SECOND
