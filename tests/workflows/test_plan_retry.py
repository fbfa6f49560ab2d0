"""Tries, fallbacks, time-outs of steps, and retries that people ask for."""

import pytest
from tests.machines import Drive, step

from hocket.core.specs import Retry
from hocket.core.values import SECOND

TWICE = Retry(tries=2, first=SECOND, jitter=0.0)


def test_a_step_is_tried_as_often_as_told() -> None:
    drive = Drive(step("a", retry=TWICE)).fails("a")
    assert (drive.flying, drive.phase) == ([], "running")
    assert str(drive.wait(1).call("a")) == "a#2"
    assert drive.fails("a").phase == "failed"


@pytest.mark.parametrize("kind", ["permanent", "lost"])
def test_a_fault_that_repeating_cannot_mend_is_not_repeated(kind) -> None:
    assert Drive(step("a", retry=TWICE)).fails("a", kind).phase == "failed"


def test_a_refusal_waits_and_costs_no_try() -> None:
    drive = Drive(step("a")).fails("a", "rate_limited", retry_after=10 * SECOND).wait(9)
    assert drive.flying == []
    assert str(drive.wait(3).call("a")) == "a#2"


def test_a_call_that_takes_too_long_is_stopped_and_counts_as_a_try() -> None:
    drive = Drive(step("a", timeout="5s", retry=TWICE)).wait(5)
    assert drive.stops == [("a", "timeout", False)]
    drive.stopped("a", "timeout").wait(1)
    assert str(drive.call("a")) == "a#2"
    assert drive.wait(5).stopped("a", "timeout").phase == "failed"
    assert drive.said("StepFailed")[0].fault.kind == "timeout"


def test_time_in_the_queue_does_not_count_against_a_timeout() -> None:
    drive = Drive(step("a", timeout="5s"), start=False).wait(60)
    assert drive.launch("a").wait(4).stops == []
    assert drive.wait(1).stops == [("a", "timeout", False)]


def test_a_fallback_takes_over_when_an_agent_has_used_up_its_tries() -> None:
    drive = Drive(step("a", retry=TWICE, fallback="g shell")).fails("a").wait(1).fails("a")
    assert (drive.agent("a"), str(drive.call("a"))) == ("g", "a#3")
    drive.fails("a").wait(1).fails("a")
    assert drive.agent("a") == "shell"
    assert drive.fails("a").wait(1).fails("a").phase == "failed"


def test_a_fallback_takes_over_at_once_after_a_permanent_fault() -> None:
    assert Drive(step("a", retry=TWICE, fallback="g")).fails("a", "permanent").agent("a") == "g"


def test_a_retried_step_begins_with_its_first_agent_and_all_its_tries() -> None:
    drive = Drive(step("a", fallback="g")).fails("a").fails("a").retry("a")
    assert (drive.agent("a"), str(drive.call("a"))) == ("f", "a#3")


def test_whether_a_lost_call_is_held_depends_on_the_agent_that_did_it() -> None:
    drive = Drive(step("a", fallback="shell"))
    assert drive.crash().held == []
    assert drive.fails("a").crash().held == ["a"]


def test_a_step_that_was_skipped_for_two_stays_skipped_until_both_are_well() -> None:
    drive = Drive(
        step("a", on_failure="skip"),
        step("b", on_failure="skip"),
        step("c", needs="a b"),
        step("d", needs="c"),
        step("other"),
    )
    drive.fails("a").fails("b")
    assert drive.detail("d") == "needs a, which failed"
    drive.retry("a")
    assert (drive.status("c"), drive.detail("d")) == ("skipped", "needs b, which failed")
    drive.done("a").retry("b")
    assert (drive.status("c"), drive.status("d")) == ("pending", "pending")
    assert drive.done("b").flying == ["other", "c"]


def test_a_retry_of_one_of_two_leaves_what_the_other_skipped() -> None:
    drive = Drive(
        step("a", on_failure="skip"),
        step("b", on_failure="skip"),
        step("c", needs="a"),
        step("d", needs="b"),
        step("other"),
    )
    drive.fails("a").fails("b").retry("b")
    assert (drive.status("c"), drive.status("d")) == ("skipped", "pending")


def test_a_step_that_was_put_up_with_can_be_retried_and_those_that_wait_still_see_it() -> None:
    drive = Drive(
        step("a", on_failure="continue"),
        step("begun", needs="a"),
        step("slow"),
        step("waits", needs="a slow", input="{{a}}"),
    ).fails("a")
    assert drive.flying == ["slow", "begun"]
    drive.retry("a").done("slow")
    assert drive.flying == ["begun", "a"]
    assert drive.done("a", "better").given("waits") == "better"
    assert drive.done("begun").done("waits").phase == "succeeded"


def test_a_step_that_fails_again_is_put_up_with_again() -> None:
    drive = Drive(step("a", on_failure="continue"), step("slow"), step("w", needs="a slow"))
    drive.fails("a").retry("a").fails("a").done("slow")
    assert drive.flying == ["w"]


def test_a_step_that_never_began_because_of_its_condition_is_judged_anew() -> None:
    drive = Drive(step("a"), step("b", when="a.y", on_failure="skip"), step("other"))
    drive.done("a", {"x": 1})
    assert drive.retry("b").status("b") == "failed"
    assert len(drive.said("StepFailed")) == 2


def test_every_call_of_a_run_has_a_name_of_its_own() -> None:
    drive = Drive(step("a", retry=TWICE, fallback="g"), step("b", on_failure="skip"))
    drive.fails("a").wait(1).fails("a").crash().fails("a").wait(1).fails("a").stopped("b").retry()
    names = [event.call for event in drive.said("CallStarted")]
    assert len(names) == len(set(names))
