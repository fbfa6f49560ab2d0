"""Retrying a step within a nested plan, in each state that the outer plan may be in."""

from tests.machines import Drive, plan, step

from hocket.core.events import RetryRequested


def failed_twice() -> Drive:
    """A plan under way whose steps a and n have failed, n by its inner step i."""
    inner = plan(step("i"), step("z"))
    drive = Drive(
        step("a", on_failure="continue"),
        step("n", kind="plan", plan=inner, needs="a", on_failure="continue"),
        step("open"),
    )
    drive.fails("a", "permanent").fails("n/i", "permanent").stopped("n/z")
    assert drive.status("n") == "failed"
    return drive


def test_a_step_within_is_not_retried_while_the_outer_one_waits_for_its_needs() -> None:
    drive = failed_twice().retry("a").retry("n")
    assert drive.status("n") == "pending"
    assert "pending" in drive.refused(RetryRequested(at=drive.at, path="n/i", by="test"))
    drive.done("a")
    assert sorted(drive.flying) == ["n/i", "n/z", "open"]


def test_a_step_within_is_retried_with_all_that_was_cut_short_once_the_run_has_failed() -> None:
    inner = plan(step("i", on_failure="skip"), step("z"))
    drive = Drive(step("n", kind="plan", plan=inner), step("open"), step("last"))
    drive.fails("n/i", "permanent").fails("last", "permanent")
    drive.stopped("n/z").stopped("open")
    assert drive.phase == "failed"
    drive.retry("n/i")
    assert sorted(drive.flying) == ["last", "n/i", "n/z", "open"]
