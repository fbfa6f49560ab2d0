"""Wants: steps that are waited for, whose failure or lateness does not block."""

import pytest
from tests.machines import Drive, step

from hocket.core.events import ApprovalGiven
from hocket.core.values import SECOND


def test_a_step_waits_for_its_wants() -> None:
    drive = Drive(step("a"), step("b"), step("c", wants="a b"))
    assert drive.done("a").flying == ["b"]
    assert drive.done("b").flying == ["c"]


def test_a_want_that_fails_does_not_block_and_does_not_stop_the_run() -> None:
    drive = Drive(step("a"), step("c", wants="a", input="{{steps.a.status}} {{a}}")).fails("a")
    assert (drive.phase, drive.flying) == ("running", ["c"])
    assert drive.given("c") == "failed "
    assert drive.done("c").phase == "succeeded"


def test_a_want_that_is_also_needed_by_another_stops_the_run() -> None:
    drive = Drive(step("a"), step("b", needs="a"), step("c", wants="a")).fails("a")
    assert drive.phase == "failed"


def test_a_want_that_was_skipped_does_not_block() -> None:
    drive = Drive(step("a", when="1 == 2"), step("c", wants="a"))
    assert drive.flying == ["c"]


def test_wants_are_waited_for_only_as_long_as_told_after_the_needs() -> None:
    drive = Drive(step("n"), step("w"), step("c", needs="n", wants="w", within="5s"))
    drive.wait(60).done("n").wait(4)
    assert drive.flying == ["w"]
    assert "c" in drive.wait(1).flying


def test_a_within_of_nothing_never_waits() -> None:
    drive = Drive(step("w"), step("c", wants="w", within=0))
    assert drive.flying == ["w", "c"]


def test_a_quorum_of_wants_is_enough() -> None:
    drive = Drive(step("a"), step("b"), step("c"), step("d", wants="a b c", quorum=2))
    assert "d" not in drive.done("a").flying
    assert "d" in drive.done("b").flying


def test_a_failed_want_does_not_count_towards_the_quorum() -> None:
    drive = Drive(step("a"), step("b"), step("c"), step("d", wants="a b c", quorum=2))
    assert "d" not in drive.done("a").fails("b").flying
    assert "d" in drive.done("c").flying


def test_a_quorum_that_can_no_longer_be_met_does_not_block() -> None:
    drive = Drive(step("a"), step("b"), step("d", wants="a b", quorum=2)).fails("a").fails("b")
    assert drive.flying == ["d"]


def test_wants_are_only_judged_once_the_needs_are_there() -> None:
    drive = Drive(step("n"), step("w"), step("c", needs="n", wants="w")).done("w")
    assert drive.flying == ["n"]
    assert drive.done("n").flying == ["c"]


def test_a_step_that_is_needed_and_wanted_is_needed() -> None:
    drive = Drive(step("a", on_failure="skip"), step("c", needs="a"), step("d", wants="c"))
    assert drive.fails("a").status("c") == "skipped"


# -- late steps -----------------------------------------------------------------------------


def late() -> Drive:
    """Step w has been left behind by all who wanted it."""
    return Drive(step("w"), step("c", wants="w", within="5s")).wait(5)


def test_a_late_step_goes_on_as_long_as_the_run_does() -> None:
    drive = late()
    assert drive.flying == ["w", "c"]
    assert drive.done("w").done("c").phase == "succeeded"


def test_a_run_does_not_wait_for_late_steps_alone() -> None:
    drive = late().done("c")
    assert drive.stops == [("w", "stop", False)]
    assert drive.phase == "ending"
    assert drive.detail("w") == "late: nothing waits for it any more"
    assert drive.stopped("w").phase == "succeeded"


def test_a_late_step_that_finishes_although_it_was_stopped_changes_nothing() -> None:
    drive = late().done("c").done("w", "late")
    assert (drive.phase, drive.status("w")) == ("succeeded", "skipped")


def test_a_late_step_that_fails_changes_nothing() -> None:
    drive = late().fails("w")
    assert (drive.phase, drive.flying) == ("running", ["c"])


def test_a_late_step_with_effects_is_waited_for() -> None:
    drive = Drive(step("w", agent="shell"), step("c", wants="w", within=0)).done("c")
    assert (drive.phase, drive.stops) == ("running", [])
    assert drive.done("w").phase == "succeeded"


def test_a_late_step_that_the_output_reads_is_waited_for() -> None:
    drive = Drive(step("w"), step("c", wants="w", within=0), output="{{w}}").done("c")
    assert drive.done("w", 5).output == 5


def test_a_late_step_that_somebody_else_still_wants_is_waited_for() -> None:
    drive = Drive(step("w"), step("c", wants="w", within=0), step("d", wants="w")).done("c")
    assert drive.flying == ["w"]
    assert drive.done("w").flying == ["d"]


def test_a_late_question_lapses_with_the_run() -> None:
    drive = Drive(step("q", kind="input", input="?"), step("c", wants="q", within="5s"))
    drive.wait(5).done("c")
    assert (drive.phase, drive.status("q")) == ("succeeded", "skipped")


def test_a_late_approval_that_lapsed_is_no_longer_taken() -> None:
    drive = Drive(
        step("q", kind="approve", input="?"), step("c", wants="q", within=0), step("d")
    ).done("c")
    assert drive.status("q") == "waiting"
    assert drive.done("d").status("q") == "skipped"
    given = ApprovalGiven(at=drive.at, path="q", approved=True, digest="", by="me")
    assert "the run has succeeded" in drive.refused(given)


def test_a_late_step_that_is_skipped_for_another_is_not_waited_for_either() -> None:
    drive = Drive(
        step("n", on_failure="skip"), step("w", needs="n"), step("c", wants="w", within=0)
    )
    assert drive.fails("n").done("c").phase == "succeeded"


@pytest.mark.parametrize("within", [None, 5 * SECOND])
def test_a_retried_want_is_waited_for_again_if_its_wanter_has_not_begun(within) -> None:
    drive = Drive(
        step("a", on_failure="skip"), step("b"), step("c", wants="a b", within=within)
    ).fails("a")
    drive.retry("a").done("b")
    assert drive.flying == ["a"]
    assert drive.done("a").flying == ["c"]
