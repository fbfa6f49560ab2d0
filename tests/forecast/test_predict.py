"""What is expected of a run, and that nothing is said where nothing is known."""

from __future__ import annotations

import msgspec
from tests.forecast.plans import START, machine, run, step, terms

from hocket.core.specs import LimitSpec, RunSpec, StepSpec
from hocket.core.values import SECOND
from hocket.forecast.durations import Durations
from hocket.forecast.predict import Prediction, predict


def bare(name: str, *needs: str, agent: str = "a", **more: object) -> StepSpec:
    return StepSpec(name=name, agent=agent, needs=needs, **more)  # type: ignore[arg-type]


def foretell(spec: RunSpec, durations: Durations, **more: object) -> Prediction:
    known = terms(spec, durations=durations)
    return predict(machine(spec), {}, START, known, {}, **more)  # type: ignore[arg-type]


def test_nothing_is_said_where_nothing_is_known() -> None:
    said = foretell(run(bare("a"), bare("b", "a")), Durations())
    assert (said.finish, said.low, said.high, said.known) == (None, None, None, 0.0)
    assert (said.calls, said.unpriced, said.cost) == (2, 2, 0)


def test_declared_durations_leave_no_doubt() -> None:
    said = foretell(run(step("a", takes=2), step("b", "a", takes=3)), Durations())
    assert said.low == said.finish == said.high == START + 5 * SECOND
    assert said.known == 1.0


def test_the_interval_is_that_of_what_calls_took() -> None:
    past = {("p", name, "a"): [k * SECOND for k in range(1, 101)] for name in ("a", "b")}
    spec = run(bare("a"), bare("b", "a"))
    said = foretell(spec, Durations(past))
    assert said == foretell(spec, Durations(past))
    # Of the sum of two such draws 5 % lie below 32 and above 170 seconds.
    low, middle, high = ((value - START) / SECOND for value in (said.low, said.finish, said.high))
    assert 20 < low < 45
    assert 85 < middle < 117
    assert 155 < high < 185
    assert foretell(spec, Durations(past), seed=1) != said


def test_the_same_calls_take_the_same_time_under_other_limits() -> None:
    past = {("p", f"s{i}", "a"): [SECOND, 9 * SECOND] for i in range(6)}
    spec = run(*[bare(f"s{i}") for i in range(6)], max_parallel=2)
    two = foretell(spec, Durations(past))
    spare = LimitSpec(concurrency=100)
    more = msgspec.structs.replace(spec, limits={"spare": spare}, claims=("spare",))
    again = foretell(more, Durations(past))
    assert (two.low, two.finish, two.high) == (again.low, again.finish, again.high)
    one = foretell(msgspec.structs.replace(spec, max_parallel=1), Durations(past))
    assert one.finish > two.finish
    assert (one.binds, two.binds) == ("run", "run")


def test_what_is_known_in_part_says_so() -> None:
    spec = run(bare("a"), bare("b", agent="b"), bare("c", agent="b", each="a.list"))
    said = foretell(
        spec,
        Durations({("p", "a", "a"): [SECOND]}),
        costs={"a": 5, "b": None}.get,
    )
    assert said.known == 1 / 6
    assert said.assumed == ("c",)
    assert (said.calls, said.cost, said.unpriced) == (6, 5, 5)
    assert said.finish is not None
