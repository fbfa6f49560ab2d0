"""A plan that a person approves of before anything of it begins."""

from typing import Any

import pytest
from tests.machines import Drive, plan, step

from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.specs import Approval, LimitSpec, spec_digest
from hocket.core.values import digest

STEPS = (
    step("a", agent="shell", input={"args": ["{{inputs.k}}"]}),
    step("ok", kind="approve", input="go with {{a}}?", needs="a"),
    step("b", input="{{a}}", needs="ok a"),
)


def gated(*steps: Any, **approval: Any) -> Drive:
    workflow = plan(*(steps or STEPS), inputs="k", approval=Approval(**approval))
    limits = {"limits": {"api": LimitSpec(concurrency=2)}}
    return Drive(workflow, inputs={"k": "prod"}, run=limits)


def asked(drive: Drive) -> list[Any]:
    return [event for event in drive.said("ApprovalAsked") if event.path == "run"]


def test_nothing_begins_before_the_whole_is_approved_of() -> None:
    drive = gated()
    assert (drive.flying, set(drive.status().values())) == ([], {"pending"})
    assert drive.machine.waits_for_people
    [event] = asked(drive)
    assert event.digest == digest(event.shown.encode())
    lines = event.shown.splitlines()
    assert lines[:4] == [
        "plan 'p': 3 steps",
        'input k: "prod"',
        "at most 16 calls at once",
        'limit api: {"concurrency":2}',
    ]
    assert lines[4:] == [
        "1. a",
        '   runs ["{{inputs.k}}"]',
        "2. ok, after a",
        "   asks a person to approve of: go with {{a}}?",
        "3. b, after ok, a",
        "   calls f: function",
        "   with: {{a}}",
        f"spec {spec_digest(drive.spec)}",
    ]
    assert drive.approve("run").flying == ["a"]


def test_a_rejection_ends_the_run_and_a_retry_asks_anew() -> None:
    drive = gated().approve("run", False, note="no")
    assert (drive.phase, drive.reason) == ("failed", "the plan was rejected by ann: no")
    assert drive.retry().phase == "running"
    assert (drive.flying, len(asked(drive))) == ([], 2)
    assert drive.approve("run").flying == ["a"]


def test_a_crash_does_not_ask_again_what_was_answered() -> None:
    drive = gated().crash()
    assert drive.flying == []
    drive.approve("run").done("a").crash()
    assert len(asked(drive)) == 1


def test_other_bytes_and_other_answers_are_refused() -> None:
    drive = gated()
    other = ApprovalGiven(at=drive.at, path="run", approved=True, digest="x", by="me")
    assert "shows something else" in drive.refused(other)
    assert drive.refused(InputGiven(at=drive.at, path="run", value=1, by="me"))
    drive.approve("run")
    same = ApprovalGiven(
        at=drive.at, path="run", approved=True, digest=asked(drive)[0].digest, by="me"
    )
    assert drive.refused(same) == "'run' was approved by ann 0 ms ago"


def test_a_changed_plan_is_asked_about_anew_and_keeps_what_is_done() -> None:
    drive = gated().approve("run").done("a", "x").approve("ok").fails("b", "permanent")
    changed = plan(
        *STEPS[:2], step("b", input="new {{a}}", needs="ok"), inputs="k", approval=Approval()
    )
    drive.replace(changed)
    assert (drive.phase, drive.flying, len(asked(drive))) == ("running", [], 2)
    changed = plan(
        *STEPS[:2], step("b", input="newer {{a}}", needs="ok"), inputs="k", approval=Approval()
    )
    drive.replace(changed)
    assert len(asked(drive)) == 3
    assert drive.approve("run").flying == ["b"]
    assert drive.given("b") == "newer x"
    assert drive.status("a") == "succeeded"


def test_an_equal_plan_is_not_asked_about_again() -> None:
    drive = gated().approve("run").fails("a", "permanent")
    drive.replace(drive.spec.workflow)
    assert (drive.flying, len(asked(drive))) == (["a"], 1)


@pytest.mark.parametrize("on_timeout", ["pause", "reject", "approve"])
def test_what_no_answer_means(on_timeout: Any) -> None:
    drive = gated(on_timeout=on_timeout, confirm_effects=True).wait(299)
    assert (drive.phase, drive.flying) == ("running", [])
    drive.wait(1)
    assert drive.said("ApprovalGiven") == []
    why = "approval of the plan was not given within 5 m 00 s"
    if on_timeout == "pause":
        assert (drive.phase, drive.machine.pause_reason) == ("paused", why)
        assert drive.go_on().wait(299).phase == "running"
        assert drive.approve("run").flying == ["a"]
    elif on_timeout == "reject":
        assert (drive.phase, drive.reason) == ("failed", why)
    else:
        assert drive.flying == ["a"]


def test_it_can_be_answered_while_the_run_is_paused() -> None:
    drive = gated().pause().approve("run")
    assert (drive.phase, drive.flying) == ("paused", [])
    assert drive.go_on().flying == ["a"]


def test_it_can_be_cancelled_while_it_waits() -> None:
    drive = gated().cancel()
    assert drive.phase == "cancelled"
    late = ApprovalGiven(at=drive.at, path="run", approved=True, digest="x", by="me")
    assert drive.refused(late)


def test_the_plan_s_own_time_begins_when_it_does() -> None:
    workflow = plan(step("a"), timeout="60s", approval=Approval())
    drive = Drive(workflow).wait(200)
    drive.approve("run").wait(59)
    assert drive.phase == "running"
    assert drive.wait(1).stops == [("a", "stop", False)]


def test_a_long_plan_is_cut_and_said_to_be() -> None:
    drive = gated(*(step(f"s{i}") for i in range(1_200)))
    lines = asked(drive)[0].shown.splitlines()
    assert lines[-2:] == ["… and 200 more steps", f"spec {spec_digest(drive.spec)}"]
