"""Steps, their order, templates, conditions, failures and the plan's end."""

import sys

import pytest
from tests.machines import Drive, plan, step

from hocket.core.errors import ExprError, Fault, Refused
from hocket.core.events import CallFailed
from hocket.core.specs import InputSpec, Repeat


def test_a_step_starts_the_moment_its_needs_are_there() -> None:
    drive = Drive(step("a"), step("b"), step("c", needs="a"), step("d", needs="a b"))
    assert drive.flying == ["a", "b"]
    assert drive.done("a").flying == ["b", "c"]
    assert drive.done("b").flying == ["c", "d"]


def test_a_step_that_a_text_names_is_needed() -> None:
    drive = Drive(
        step("b", input="{{a.x}}"), step("c", when="a.x == 1"), step("d", each="a.l"), step("a")
    )
    assert drive.flying == ["a"]
    assert drive.done("a", {"x": 1, "l": [7]}).flying == ["b", "c", "d/0"]


def test_a_plan_begins_without_regard_to_the_order_in_the_file() -> None:
    drive = Drive(step("c", needs="b"), step("b", needs="a"), step("a"))
    assert drive.flying == ["a"]
    assert drive.done("a").flying == ["b"]


def test_outputs_are_passed_by_template() -> None:
    drive = Drive(
        step("a"), step("b", input={"deep": ["{{a.list[1]}}", "n={{a.n}}"], "all": "{{a}}"})
    )
    drive.done("a", {"list": [1, {"x": 2}], "n": 3})
    wanted = {"deep": [{"x": 2}, "n=3"], "all": {"list": [1, {"x": 2}], "n": 3}}
    assert drive.given("b") == wanted


def test_inputs_and_facts_of_the_run_are_there_to_be_read() -> None:
    inputs = {"repo": InputSpec(), "count": InputSpec(required=False, default=5)}
    spec = plan(step("a", input="{{inputs.repo}} {{inputs.count}} {{run.id}} {{run.name}}"))
    spec = plan(*spec.steps, inputs=inputs)
    assert Drive(spec, inputs={"repo": "here"}).given("a") == "here 5 r1 p"


def test_a_field_that_is_not_there_is_said_when_the_step_is_asked_for() -> None:
    drive = Drive(step("a"), step("b", input="{{a.y}}")).done("a", {"x": 1})
    with pytest.raises(ExprError, match="a has no field 'y'; it has x"):
        drive.given("b")


# -- when -----------------------------------------------------------------------------------


def test_a_condition_that_is_false_skips_the_step_and_what_needs_it() -> None:
    drive = Drive(
        step("a"), step("b", when="a.n > 3"), step("c", needs="b"), step("d", needs="c")
    ).done("a", {"n": 1})
    assert drive.status() == {"a": "succeeded", "b": "skipped", "c": "skipped", "d": "skipped"}
    assert drive.phase == "succeeded"
    assert drive.detail("b") == "when: a.n > 3 is false"
    assert drive.detail("d") == "needs b, which was skipped"
    assert [e.reason for e in drive.said("StepSkipped")] == [
        "when: a.n > 3 is false",
        "needs b, which was skipped",
        "needs b, which was skipped",
    ]


def test_a_condition_that_holds_lets_the_step_begin() -> None:
    spec = plan(step("a", when="inputs.x == 1"), inputs="x")
    assert Drive(spec, inputs={"x": 1}).flying == ["a"]


def test_a_condition_that_cannot_be_computed_fails_the_step_for_good() -> None:
    drive = Drive(step("a"), step("b", when="a.y", on_failure="skip")).done("a", {})
    assert drive.status("b") == "failed"
    assert "a has no field 'y'" in drive.detail("b")


def test_a_condition_may_ask_how_an_earlier_step_went() -> None:
    drive = Drive(
        step("a", on_failure="skip"),
        step("well", wants="a", when="steps.a.status == 'succeeded'"),
        step("ill", wants="a", when="steps.a.error == 'broken'", input="{{steps.a.output}}"),
    ).fails("a")
    assert (drive.flying, drive.status("well")) == (["ill"], "skipped")
    assert drive.given("ill") is None


def test_a_chain_of_conditions_is_decided_without_delay() -> None:
    steps = [step("s0", when="1 == 2")]
    steps += [step(f"s{i}", when="1 == 1", wants=f"s{i - 1}") for i in range(1, 50)]
    drive = Drive(*steps, thorough=False)
    for i in range(1, 50):
        drive.done(f"s{i}")
    assert drive.phase == "succeeded"


# -- failures -------------------------------------------------------------------------------


def test_a_failed_step_stops_the_run_unless_told_otherwise() -> None:
    drive = Drive(step("a"), step("b"), step("c", needs="a")).fails("a", message="no luck")
    assert drive.stops == [("b", "stop", False)]
    drive.stopped("b")
    assert (drive.phase, drive.reason) == ("failed", "step 'a' failed: no luck")
    assert drive.said("StepFailed")[0].path == "a"


def test_a_failed_step_may_skip_what_needs_it_and_let_the_others_go_on() -> None:
    drive = Drive(
        step("a", on_failure="skip"), step("b", needs="a"), step("c", needs="b"), step("d")
    ).fails("a")
    assert (drive.flying, drive.detail("c")) == (["d"], "needs a, which failed")
    assert drive.done("d").phase == "succeeded"


def test_a_failed_step_may_be_put_up_with_and_counts_as_null() -> None:
    drive = Drive(step("a", on_failure="continue"), step("b", input=["{{a}}"])).fails("a")
    assert drive.given("b") == [None]
    assert drive.done("b").phase == "succeeded"


def test_a_step_that_needs_two_failed_ones_is_skipped_once() -> None:
    drive = Drive(
        step("a", on_failure="skip"), step("b", on_failure="skip"), step("c", needs="a b")
    )
    drive.fails("a").fails("b")
    assert [e.path for e in drive.said("StepSkipped")] == ["c"]


def test_a_failure_is_told_with_its_fault() -> None:
    drive = Drive(step("a", on_failure="skip")).fails("a", "permanent", message="bad key")
    event = drive.said("StepFailed")[0]
    assert (event.fault.kind, drive.detail("a")) == ("permanent", "bad key")


def test_a_call_that_cannot_be_asked_fails_its_step() -> None:
    drive = Drive(step("a"), step("b", input="{{a.y}}", on_failure="skip"), start=False)
    drive.launch("a").done("a", {})
    call = drive.asked.pop("b").call
    fault = Fault(kind="permanent", message="a has no field 'y'")
    drive.apply(CallFailed(at=drive.at, call=call, fault=fault))
    assert (drive.phase, drive.status("b")) == ("succeeded", "failed")


# -- time -----------------------------------------------------------------------------------


def test_a_plan_that_takes_too_long_fails_and_stops_its_calls() -> None:
    drive = Drive(step("a", timeout="1h"), timeout="10m").wait(599)
    assert drive.stops == []
    drive.wait(1).stopped("a")
    assert (drive.phase, drive.reason) == ("failed", "plan 'p' took longer than its 10 m 00 s")


def test_a_retried_plan_has_its_time_again() -> None:
    drive = Drive(step("a", timeout="1h"), timeout="10m").wait(600).stopped("a").retry()
    assert (drive.phase, drive.flying) == ("running", ["a"])
    assert drive.wait(599).stops == [("a", "stop", False)]
    assert drive.wait(1).phase == "ending"


# -- output ---------------------------------------------------------------------------------


def test_a_plan_gives_its_last_steps_outputs() -> None:
    drive = Drive(step("a"), step("b", needs="a"), step("c", needs="a"))
    drive.done("a", 0).done("b", 1).done("c", 2)
    assert drive.output == {"b": 1, "c": 2}


def test_a_plan_with_one_last_step_gives_just_its_output() -> None:
    assert Drive(step("a"), step("b", needs="a")).done("a", 0).done("b", 1).output == 1


def test_a_plan_may_say_what_it_gives() -> None:
    drive = Drive(step("a"), step("b"), output={"x": "{{a.n}}", "how": "{{steps.b.status}}"})
    assert drive.done("a", {"n": 1}).done("b").output == {"x": 1, "how": "succeeded"}


def test_an_output_that_cannot_be_made_fails_the_run_but_keeps_its_steps() -> None:
    drive = Drive(step("a"), output="{{a.y}}").done("a", {"x": 1})
    assert drive.phase == "failed"
    assert drive.reason.startswith("the plan's output cannot be made: a has no field 'y'")
    assert drive.machine.workflow.result("a") == {"x": 1}


def test_a_plan_with_very_many_last_steps_gives_nothing_unless_told() -> None:
    drive = Drive(*(step(f"s{i}") for i in range(1_001)), checked=False)
    for i in range(1_001):
        drive.done(f"s{i}", i)
    assert (drive.phase, drive.output) == ("succeeded", None)


def test_skipped_and_failed_steps_count_as_null_in_the_output() -> None:
    drive = Drive(step("a", on_failure="skip"), step("b", needs="a"), step("c", on_failure="skip"))
    assert drive.fails("a").fails("c").output == {"b": None, "c": None}


# -- reading --------------------------------------------------------------------------------


def test_a_result_is_there_as_soon_as_its_step_has_succeeded() -> None:
    drive = Drive(step("a"), step("b")).done("a", 5)
    assert drive.machine.workflow.result("a") == 5
    assert drive.machine.workflow.result("b") is None
    with pytest.raises(Refused, match="no step 'x'"):
        drive.machine.workflow.result("x")
    with pytest.raises(Refused, match="has no items"):
        drive.machine.workflow.result("a/0")


def test_steps_are_counted_by_state() -> None:
    drive = Drive(step("a"), step("b", needs="a"), step("c", on_failure="skip")).fails("c")
    counts = drive.machine.workflow.counts()
    assert (counts["running"], counts["pending"], counts["failed"]) == (1, 1, 1)


# -- size -----------------------------------------------------------------------------------


def effort(work) -> int:
    """Count the calls that some work takes: unlike seconds they are the same on every machine."""
    count = 0

    def seen(frame: object, kind: str, arg: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def run_through(*steps, outcome: str = "done", **fields) -> Drive:
    """Run a big plan without checks."""
    drive = Drive(*steps, start=False, checked=False, **fields)
    while drive.asked:
        path = next(iter(drive.asked))
        drive.launch(path)
        getattr(drive, outcome)(path)
    return drive


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand_steps_needs_no_deep_stack() -> None:
    steps = [step(f"s{i}", needs=(f"s{i - 1}",) if i else ()) for i in range(100_000)]
    assert run_through(*steps).phase == "succeeded"


@pytest.mark.slow
def test_skipping_a_chain_of_a_hundred_thousand_steps_needs_no_deep_stack() -> None:
    steps = [step("s0", on_failure="skip")]
    steps += [step(f"s{i}", needs=f"s{i - 1}") for i in range(1, 100_000)]
    drive = run_through(*steps, outcome="fails")
    assert drive.machine.workflow.counts()["skipped"] == 99_999


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["skips", "wants", "failing rounds", "failing plans", "retry"])
def test_work_grows_with_the_plan_and_not_with_its_square(shape: str) -> None:
    inner = plan(step("i", on_failure="stop"), name="inner")

    def big(count: int):
        names = [f"s{i}" for i in range(count)]
        if shape == "skips":
            steps = [step("s0", on_failure="skip")]
            steps += [step(f"s{i}", needs=f"s{i - 1}", wants="s0") for i in range(2, count)]
            steps.insert(1, step("s1", needs="s0"))
            return lambda: run_through(*steps, outcome="fails")
        if shape == "wants":
            steps = [step(name, on_failure="skip") for name in names]
            last = step("last", wants=tuple(names))
            return lambda: run_through(*steps, last, outcome="fails")
        if shape == "failing rounds":
            steps = [
                step(name, on_failure="skip", repeat=Repeat(until="1 == 2", max=2))
                for name in names
            ]
            return lambda: run_through(*steps)
        if shape == "failing plans":
            steps = [step(name, kind="plan", plan=inner, on_failure="continue") for name in names]
            return lambda: run_through(*steps, outcome="fails")
        steps = [step(name, on_failure="skip") for name in names]
        steps += [step(f"n-{name}", needs=name) for name in names]
        drive = run_through(*steps, step("last"), outcome="fails")
        return drive.retry

    small, large = effort(big(500)), effort(big(4_000))
    assert large < 8 * 1.5 * small
