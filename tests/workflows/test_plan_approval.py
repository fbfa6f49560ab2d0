"""Steps that wait for people: approvals and inputs."""

import pytest
from tests.machines import Drive, step

from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.values import digest


def approval(**fields) -> Drive:
    drive = Drive(
        step("a"), step("ok", kind="approve", input="ship {{a}}?", **fields), step("b", needs="ok")
    )
    return drive.done("a", "it")


def question(**fields) -> Drive:
    return Drive(step("q", kind="input", input="which?", **fields), step("b", input="{{q}}"))


def test_an_approval_shows_exactly_what_is_approved() -> None:
    asked = approval().said("ApprovalAsked")[0]
    assert (asked.path, asked.shown, asked.digest) == ("ok", "ship it?", digest(b"ship it?"))


def test_an_approval_that_is_given_lets_the_plan_go_on() -> None:
    drive = approval().approve("ok", note="fine")
    assert drive.flying == ["b"]
    wanted = {"approved": True, "by": "ann", "note": "fine"}
    assert drive.machine.workflow.result("ok") == wanted


def test_an_approval_that_is_refused_fails_the_step_with_the_reason() -> None:
    drive = approval().approve("ok", False, note="too early")
    assert (drive.phase, drive.detail("ok")) == ("failed", "rejected by ann: too early")


def test_a_rejection_may_be_put_up_with() -> None:
    assert approval(on_failure="continue").approve("ok", False).flying == ["b"]


def test_an_answer_to_other_bytes_is_refused() -> None:
    drive = approval()
    given = ApprovalGiven(at=drive.at, path="ok", approved=True, digest=digest(b"x"), by="me")
    assert "shows something else by now" in drive.refused(given)
    assert drive.status("ok") == "waiting"


def test_an_input_waits_for_a_text_or_an_event() -> None:
    drive = question()
    assert (drive.status("q"), drive.detail("q")) == ("waiting", "waits for input")
    assert drive.said("InputAsked")[0].prompt == "which?"
    assert drive.send("q", {"any": ["json"]}).given("b") == {"any": ["json"]}


@pytest.mark.parametrize("kind", ["approve", "input"])
def test_the_wrong_kind_of_answer_is_refused(kind: str) -> None:
    drive = approval() if kind == "approve" else question()
    path = "ok" if kind == "approve" else "q"
    wrong = (
        InputGiven(at=drive.at, path=path, value=1, by="me")
        if kind == "approve"
        else ApprovalGiven(at=drive.at, path=path, approved=True, digest="", by="me")
    )
    assert f"'{path}' does not wait for" in drive.refused(wrong)


def test_a_second_answer_is_refused() -> None:
    drive = approval().approve("ok", note="fine").wait(12)
    for by, approved in (("me", False), ("me", True), ("ann", True)):
        again = ApprovalGiven(
            at=drive.at, path="ok", approved=approved, digest=digest(b"ship it?"), by=by
        )
        assert drive.refused(again) == "'ok' was approved by ann 12.0 s ago (fine)"


def test_a_second_answer_after_a_rejection_is_told_of_it() -> None:
    drive = approval(on_failure="continue").approve("ok", False)
    again = ApprovalGiven(at=drive.at, path="ok", approved=True, digest="", by="me")
    assert drive.refused(again) == "'ok' was rejected by ann 0 ms ago"


def test_an_unanswered_question_pauses_the_run_by_default() -> None:
    drive = approval(timeout="10m").wait(600)
    assert drive.phase == "paused"
    assert drive.machine.pause_reason == "approval 'ok' was not given within 10 m 00 s"
    assert drive.status("ok") == "waiting"


def test_a_question_that_has_expired_can_still_be_answered() -> None:
    drive = approval(timeout="10m").wait(600).approve("ok").go_on()
    assert drive.flying == ["b"]


def test_a_run_that_goes_on_asks_anew_and_waits_as_long_again() -> None:
    drive = approval(timeout="10m").wait(600).go_on()
    assert (drive.phase, drive.wait(599).phase) == ("running", "running")
    assert drive.wait(1).phase == "paused"
    assert len(drive.said("ApprovalAsked")) == 1


def test_an_unanswered_approval_may_count_as_rejected_or_as_given() -> None:
    drive = approval(timeout="10m", on_timeout="reject").wait(600)
    assert (drive.phase, "was not given within" in drive.detail("ok")) == ("failed", True)
    assert drive.said("StepFailed")[0].fault.kind == "timeout"
    drive = approval(timeout="10m", on_timeout="approve").wait(600)
    assert drive.flying == ["b"]
    assert drive.machine.workflow.result("ok")["by"] == "nobody"


def test_an_unanswered_input_may_count_as_rejected() -> None:
    assert question(timeout="10m", on_timeout="reject").wait(600).phase == "failed"


def test_a_rejected_approval_is_asked_again_when_it_is_retried() -> None:
    drive = approval().approve("ok", False).retry("ok")
    assert (drive.status("ok"), len(drive.said("ApprovalAsked"))) == ("waiting", 2)
    assert drive.approve("ok").flying == ["b"]


def test_a_question_is_asked_for_each_item() -> None:
    drive = Drive(step("ok", kind="approve", input="{{item}}?", each="['x', 'y']"))
    assert [e.shown for e in drive.said("ApprovalAsked")] == ["x?", "y?"]
    drive.approve("ok/1")
    assert (drive.status("ok"), drive.detail("ok")) == ("waiting", "waits for approval: ok/0")
    assert drive.approve("ok/0").phase == "succeeded"


def test_questions_of_a_step_that_has_failed_are_no_longer_taken() -> None:
    drive = Drive(
        step("ok", kind="approve", input="{{item}}?", each="['x', 'y']", on_failure="skip"),
        step("other"),
    ).approve("ok/0", False)
    given = ApprovalGiven(at=drive.at, path="ok/1", approved=True, digest=digest(b"y?"), by="me")
    assert "it has failed" in drive.refused(given)
    assert drive.wait(3_600).phase in ("running", "ending")


def test_a_retried_step_asks_only_what_is_still_open() -> None:
    drive = Drive(
        step("ok", kind="approve", input="{{item}}?", each="['x', 'y', 'z']", on_failure="skip"),
        step("other", timeout="10h"),
    )
    drive.approve("ok/0").approve("ok/1", False).retry("ok")
    assert [e.path for e in drive.said("ApprovalAsked")] == ["ok/0", "ok/1", "ok/2", "ok/1"]
    assert drive.approve("ok/1").approve("ok/2").status("ok") == "succeeded"


def test_a_retried_question_waits_its_full_time_again() -> None:
    drive = Drive(
        step("ok", kind="approve", input="?", timeout="10m"), step("b", timeout="1h")
    ).wait(300)
    drive.fails("b").retry()
    assert drive.wait(599).phase == "running"
    assert drive.wait(1).phase == "pausing"


def test_two_questions_that_expire_at_once_fail_the_plan_once() -> None:
    fields = {"kind": "input", "input": "?", "timeout": "10m", "on_timeout": "reject"}
    drive = Drive(step("p", **fields), step("q", **fields)).wait(600)
    assert drive.phase == "failed"
    assert list(drive.status().values()).count("failed") == 1


def test_after_a_crash_a_question_is_still_open() -> None:
    drive = approval().crash()
    assert (drive.status("ok"), drive.approve("ok").flying) == ("waiting", ["b"])


def test_a_text_that_cannot_be_made_fails_the_step_before_anybody_is_asked() -> None:
    drive = Drive(step("a"), step("ok", kind="approve", input="{{a.y}}")).done("a", {})
    assert (drive.phase, drive.said("ApprovalAsked")) == ("failed", [])
