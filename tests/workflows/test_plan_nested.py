"""A plan as a step of a plan."""

import pytest
from tests.machines import Drive, plan, step

from hocket.core.errors import Refused
from hocket.core.events import ApprovalGiven, RetryRequested
from hocket.core.specs import InputSpec, Repeat
from hocket.core.values import digest

INNER = plan(step("i", input="{{inputs.k}}!"), step("j", input="{{i}}?"), inputs="k", name="inner")


def outer(*more, inner=INNER, given=None, **fields) -> Drive:
    given = {"k": "v"} if given is None else given
    return Drive(step("o", kind="plan", plan=inner, input=given, **fields), *more)


def test_a_nested_plan_gets_inputs_and_gives_its_output() -> None:
    drive = outer(step("b", input="{{o}}"))
    assert (drive.flying, drive.given("o/i")) == (["o/i"], "v!")
    drive.done("o/i", "one")
    assert drive.given("o/j") == "one?"
    assert drive.done("o/j", "two").given("b") == "two"


def test_a_nested_plan_sees_only_its_inputs_and_the_run() -> None:
    inner = plan(step("i", input="{{run.id}} {{inputs}}"), name="inner")
    assert outer(inner=inner, given={}).given("o/i") == "r1 {}"


def test_inputs_that_are_not_given_have_their_defaults() -> None:
    inner = plan(
        step("i", input="{{inputs.k}}"),
        inputs={"k": InputSpec(required=False, default=7)},
        name="inner",
    )
    assert outer(inner=inner, given={}).given("o/i") == 7


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1], "the inputs of plan 'inner' are a list, not an object"),
        (None, "plan 'inner' needs the input 'k'"),
        ({"x": 1, "k": 2}, "plan 'inner' has no input 'x'"),
        ({}, "plan 'inner' needs the input 'k'"),
    ],
)
def test_inputs_that_do_not_fit_fail_the_step(value, says: str) -> None:
    drive = Drive(step("a"), step("o", kind="plan", plan=INNER, input="{{a}}"))
    assert drive.done("a", value).reason == f"step 'o' failed: {says}"


def test_a_nested_plan_that_fails_fails_its_step() -> None:
    drive = outer(on_failure="skip").fails("o/i")
    assert (drive.phase, drive.detail("o")) == ("succeeded", "step 'i' failed: broken")
    assert [e.path for e in drive.said("StepFailed")] == ["o/i", "o"]


def test_what_else_a_failed_nested_plan_was_doing_is_stopped() -> None:
    inner = plan(step("i"), step("j"), name="inner")
    drive = outer(step("b"), inner=inner, given={}, on_failure="skip").fails("o/i")
    assert drive.stops == [("o/j", "stop", False)]
    assert drive.phase == "running"


def test_a_retry_goes_on_inside_where_it_was() -> None:
    drive = outer().done("o/i", 1).fails("o/j").retry("o")
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["o/j#2"]
    assert drive.done("o/j", 2).phase == "succeeded"


def test_a_step_inside_can_be_retried_by_itself_while_its_plan_goes_on() -> None:
    inner = plan(step("i", on_failure="skip"), step("k", needs="i"), step("j"), name="inner")
    drive = outer(inner=inner, given={}).fails("o/i")
    drive.retry("o/i")
    assert (drive.flying, drive.status("o/k")) == (["o/j", "o/i"], "pending")


def test_a_step_inside_that_has_not_failed_is_not_retried() -> None:
    drive = outer()
    refused = drive.refused(RetryRequested(at=drive.at, path="o/j", by="me"))
    assert refused == "step 'j' is pending; only a failed one is retried"


def test_a_nested_plan_has_a_time_limit_of_its_own() -> None:
    inner = plan(step("i"), timeout="5m", name="inner")
    drive = outer(step("b"), inner=inner, given={}, on_failure="skip").wait(300)
    assert drive.stops == [("o/i", "stop", False)]
    assert drive.detail("o") == "plan 'inner' took longer than its 5 m 00 s"
    assert drive.phase == "running"


def test_a_plan_that_was_cut_short_has_its_time_again_when_it_goes_on() -> None:
    inner = plan(step("i", timeout="1h"), timeout="5m", name="inner")
    drive = Drive(
        step("o", kind="plan", plan=inner, each="[1, 2]", on_failure="skip"),
        step("b", timeout="10h"),
    )
    drive.fails("o/0/i").stopped("o/1/i").wait(1_000).retry("o")
    assert drive.wait(299).flying == ["b", "o/0/i", "o/1/i"]


def test_nested_plans_run_for_each_item_side_by_side() -> None:
    inner = plan(step("i", input="{{inputs.k}}"), inputs="k", name="inner")
    drive = Drive(step("o", kind="plan", plan=inner, each="['x', 'y']", input={"k": "{{item}}"}))
    assert drive.flying == ["o/0/i", "o/1/i"]
    assert [drive.given(path) for path in drive.flying] == ["x", "y"]
    assert drive.done("o/1/i", 2).done("o/0/i", 1).output == [1, 2]


def test_nested_plans_run_in_rounds() -> None:
    drive = outer(repeat=Repeat(until="o == 'yes'", max=3)).done("o/i").done("o/j", "no")
    assert drive.flying == ["o~2/i"]
    assert drive.done("o~2/i").done("o~2/j", "yes").phase == "succeeded"


def test_plans_nest_in_plans() -> None:
    deep = plan(step("m", kind="plan", plan=INNER, input={"k": 1}), name="deep")
    drive = outer(inner=deep, given={})
    assert drive.flying == ["o/m/i"]
    assert drive.done("o/m/i").done("o/m/j", "end").output == "end"


def test_steps_inside_can_be_looked_at_while_they_run_and_after() -> None:
    drive = outer().done("o/i", "one")
    assert drive.status() == {"o": "running", "o/i": "succeeded", "o/j": "running"}
    assert drive.machine.workflow.result("o/i") == "one"
    drive.done("o/j")
    assert drive.status("o/j") == "succeeded"
    with pytest.raises(Refused):
        drive.machine.workflow.result("o/x")


ASK = plan(step("q", kind="approve", input="go?", timeout="10m"), name="ask")


def test_questions_inside_are_answered_by_their_whole_path() -> None:
    drive = outer(inner=ASK, given={})
    assert drive.said("ApprovalAsked")[0].path == "o/q"
    assert drive.approve("o/q").phase == "succeeded"


def test_a_question_inside_that_expires_pauses_the_run_and_is_asked_anew() -> None:
    drive = outer(inner=ASK, given={}).wait(600)
    assert drive.phase == "paused"
    assert drive.go_on().wait(599).phase == "running"
    assert drive.wait(1).phase == "paused"


def test_a_question_of_a_nested_plan_that_has_failed_is_no_longer_taken() -> None:
    inner = plan(*ASK.steps, step("i"), step("after", needs="q"), name="inner")
    drive = Drive(
        step("o", kind="plan", plan=inner, each="[1, 2]", on_failure="skip"), step("other")
    ).fails("o/0/i")
    for path in ("o/0/q", "o/1/q"):
        given = ApprovalGiven(at=drive.at, path=path, approved=True, digest=digest(b"go?"), by="me")
        assert "waits for nothing any more" in drive.refused(given)
    assert drive.stopped("o/1/i").flying == ["other"]
    drive.retry("o").approve("o/1/q")
    assert drive.flying == ["other", "o/0/i", "o/1/i", "o/1/after"]


def test_a_step_inside_that_finished_although_it_was_stopped_is_not_done_again() -> None:
    inner = plan(step("i"), step("j"), name="inner")
    drive = outer(step("b"), inner=inner, given={}).fails("b").done("o/i", 1).stopped("o/j")
    assert drive.phase == "failed"
    assert drive.retry().flying == ["o/j", "b"]


def test_a_nested_plan_that_is_done_anew_with_other_inputs_begins_anew() -> None:
    drive = Drive(
        step("a", on_failure="continue"), step("o", kind="plan", plan=INNER, input={"k": "{{a}}"})
    )
    drive.fails("a").done("o/i", 1).fails("o/j").retry().done("a", "new")
    assert drive.given("o/i") == "new!"
    assert str(drive.call("o/i")) == "o/i#3"


def test_a_nested_plan_that_ends_at_once_lets_the_outer_one_go_on() -> None:
    inner = plan(step("i", when="1 == 2"), name="inner")
    drive = outer(step("b", needs="o"), inner=inner, given={}, each="[1, 2, 3]")
    assert drive.flying == ["b"]


def test_a_crash_repeats_only_what_was_in_flight_inside() -> None:
    drive = outer().done("o/i").crash()
    assert [str(call) for call in drive.machine.calls.in_flight()] == ["o/j#2"]


def test_timers_of_a_long_nested_plan_do_not_pile_up() -> None:
    inner = plan(*(step(f"s{i}") for i in range(6_000)), name="inner")
    drive = Drive(step("o", kind="plan", plan=inner), start=False, checked=False)
    for path in list(drive.asked):
        drive.launch(path).done(path)
    assert drive.phase == "succeeded"
    assert len(drive.machine.workflow._state.deadlines) < 10
