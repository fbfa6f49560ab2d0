"""What nobody has answered in time is told from the events."""

from __future__ import annotations

from typing import Any

import pytest
from tests.machines import Drive, plan, step

from hocket.core.specs import Approval
from hocket.core.values import SECOND
from hocket.report.story import Story

TIMES: dict[str, Any] = {"timeout": 3 * SECOND, "confirm_effects": True}


def told(drive: Drive) -> list[str]:
    story = Story()
    return [line for line in map(story.tell, drive.events) if line]


def asking(kind: str, on_timeout: Any) -> Drive:
    approval = Approval(on_timeout=on_timeout, **TIMES)
    if kind == "plan":
        return Drive(plan(step("a"), approval=approval))
    if kind == "nested":
        inner = plan(step("a", approval=approval), name="inner")
        return Drive(step("n", kind="plan", plan=inner))
    if kind == "ask":
        question = step("a", kind="approve", input="?", on_timeout=on_timeout, timeout="3s")
        return Drive(question)
    return Drive(step("a", approval=approval))


@pytest.mark.parametrize(
    ("kind", "path"), [("step", "a"), ("ask", "a"), ("plan", "run"), ("nested", "n/a")]
)
def test_an_approval_by_nobody_and_a_pause_are_told(kind: str, path: str) -> None:
    line = f"{path} was not answered within 3.0 s"
    assert f"{line}: approved by nobody" in told(asking(kind, "approve").wait(4))
    paused = asking(kind, "pause").wait(2)
    assert not any(line in one for one in told(paused))
    paused.wait(2)
    assert told(paused).count(f"{line}: the run is paused") == 1
    # It is asked anew when the run goes on.
    paused.go_on().wait(4)
    assert told(paused).count(f"{line}: the run is paused") == 2


@pytest.mark.parametrize("kind", ["step", "ask", "plan"])
def test_a_rejection_by_time_is_told_once(kind: str) -> None:
    lines = told(asking(kind, "reject").wait(4))
    assert sum("was not given within 3.0 s" in line for line in lines) >= 1
    assert not any("was not answered" in line for line in lines)


def test_what_was_answered_is_not_told_as_unanswered() -> None:
    drive = asking("step", "approve").approve("a", note="go\non").wait(4)
    lines = told(drive)
    assert "a approved by ann: go on" in lines
    assert not any("was not answered" in line for line in lines)


def test_a_call_that_nobody_has_answered_is_told() -> None:
    drive = Drive(step("a"))
    path = drive.asks("a", patience=5)
    drive.wait(6)
    assert f"{path} was not answered within 5.0 s" in told(drive)
    ended = Drive(step("a"))
    ended.asks("a", patience=5)
    assert not any("was not answered" in line for line in told(ended.done("a", 1).wait(6)))
