"""What calls in flight ask people: the call's time stands still, and a question ends with it."""

import msgspec
import pytest
from tests.machines import Drive, step

from hocket.core.errors import Refused
from hocket.core.events import ApprovalAsked, ApprovalGiven
from hocket.core.people import AS_SHOWN, asking_call, question_path
from hocket.core.values import SECOND, Call
from hocket.core.values import digest as digest_of
from hocket.workflows.live import read_place


def asking(**fields: object) -> tuple[Drive, str]:
    drive = Drive(step("a", timeout="60s", **fields), step("b", needs="a"))
    return drive, drive.asks("a")


def given(drive: Drive, path: str, digest: str = "x") -> ApprovalGiven:
    return ApprovalGiven(at=drive.at, path=path, approved=True, digest=digest, by="bob")


@pytest.mark.parametrize("path", ["a", "a/0", "a/3~2", "nest/0~2/a~3", "a/talk/1/tool/2"])
def test_a_question_s_path_names_its_call_and_is_no_step_s(path: str) -> None:
    call = Call(path, 7)
    assert asking_call(question_path(call, 2)) == call
    assert asking_call(path) is None
    place = read_place(question_path(call, 2))
    assert place is None or "@" in place.name or "@" in place.rest


def test_what_a_call_asks_shows_at_its_step() -> None:
    drive, path = asking()
    assert path == "a#1@1"
    view = drive.machine.view()[0]
    assert (view.status, view.detail) == ("waiting", "waits for approval: a#1@1")
    assert drive.approve(path).machine.view()[0].status == "running"
    assert drive.machine.decided.consent(path).approved


def test_a_rejection_is_told_with_its_note() -> None:
    drive, path = asking()
    consent = drive.approve(path, False, note="not there").machine.decided.consent(path)
    assert (bool(consent), consent.why) == (False, "rejected by ann: not there")


def test_the_call_s_own_time_stands_still_meanwhile() -> None:
    drive, path = asking()
    drive.wait(200)
    assert drive.stops == []
    drive.approve(path).wait(59)
    assert drive.stops == []
    assert drive.wait(1).stops == [("a", "timeout", False)]


def test_time_goes_on_with_the_last_answer_from_where_it_stood() -> None:
    drive = Drive(step("a", timeout="60s"))
    drive.wait(50)
    first, second = drive.asks("a"), drive.asks("a", "rm y")
    drive.wait(100).approve(first).wait(100).approve(second, False).wait(9)
    assert drive.stops == []
    assert drive.wait(1).stops == [("a", "timeout", False)]


def test_nobody_s_answer_is_no_rejection() -> None:
    drive, path = asking()
    assert drive.machine.deadline() == 300 * SECOND
    drive.wait(300)
    consent = drive.machine.decided.consent(path)
    assert (bool(consent), consent.why) == (False, "nobody answered in time")
    assert drive.said("ApprovalGiven") == []
    told = drive.refused(given(drive, path))
    assert told == "'a#1@1' waits for nothing any more: nobody answered in time"
    assert drive.machine.deadline() == 360 * SECOND


def test_other_bytes_are_refused_and_a_second_answer_is_told() -> None:
    drive, path = asking()
    assert "shows something else" in drive.refused(given(drive, path))
    drive.approve(path).wait(3)
    assert drive.refused(given(drive, path)) == "'a#1@1' was approved by ann 3.0 s ago"


@pytest.mark.parametrize("end", ["done", "fails", "crash", "cancel", "stopped"])
def test_a_question_ends_with_its_call(end: str) -> None:
    drive, path = asking()
    if end == "crash":
        drive.crash()
    elif end == "cancel":
        drive.cancel()
    else:
        getattr(drive, end)("a")
    assert not drive.machine.calls.people.open
    assert not drive.machine.calls.timers.standing
    assert drive.refused(given(drive, path))


def test_a_question_of_a_call_that_is_not_running_is_ignored() -> None:
    drive = Drive(step("a"), step("b", needs="a"))
    for path in ("a#9@1", "b#1@1"):
        drive.ignored(ApprovalAsked(at=drive.at, path=path, shown="", digest="", expires=5))


def test_a_pause_waits_for_the_call_that_asks() -> None:
    drive, path = asking()
    assert drive.pause().phase == "pausing"
    assert drive.approve(path).done("a").phase == "paused"


def test_a_call_that_asks_gets_no_second_one_beside_it() -> None:
    drive = Drive(step("a", timeout="60s", hedge=0.9), hedge=5)
    path = drive.asks("a")
    assert drive.wait(30).flying == ["a"]
    assert drive.approve(path).wait(30).flying == ["a"]


def test_an_answer_is_to_what_the_journal_says_was_shown() -> None:
    """Another version may have worded the question otherwise."""
    drive = Drive(step("ok", kind="approve", input="fine?"), start=False, thorough=False)
    old = "the same question in other words"
    asked = next(e for e in drive.said("ApprovalAsked"))
    mark = digest_of(old.encode())
    drive.apply(msgspec.structs.replace(asked, at=drive.at, shown=old, digest=mark))
    answer = ApprovalGiven(at=drive.at, path="ok", approved=True, digest="", by="ann")
    for wrong in ("", AS_SHOWN, digest_of(b"fine!")):
        with pytest.raises(Refused):
            drive.apply(msgspec.structs.replace(answer, digest=wrong))
    drive.apply(msgspec.structs.replace(answer, digest=mark))
    assert drive.status("ok") == "succeeded"
