"""Conversations of any shape, whatever happens in any order: nothing is lost, nothing repeated.

After each event a `Drive` checks every invariant, and that a fold and a fork are equal.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.machines import Drive, step
from tests.workflows.talks import GREP, READ, WRITE, agents, answer, turn

from hocket.core.events import CallFinished
from hocket.core.values import Json
from hocket.workflows.conversation import NO_MORE

NOTHING = ("nothing", {})
MISFIT = ("grep", {"pattern": 1})
KINDS = st.sampled_from(["done", "done", "done", "fails", "refused", "crash", "pause", "approve"])


class Story:
    """A run of one conversation under whatever is drawn, up to its end."""

    def __init__(self, data: st.DataObject, max_turns: int) -> None:
        self.data = data
        self.drive = Drive(
            step("s", agent="m", input="Find it", fallback="other"),
            agents=agents(max_turns, effects=data.draw(st.booleans())),
        )
        self.sent: dict[str, list[Json]] = {}
        """The messages of each turn that has given something, by path."""

    def go(self) -> None:
        for _ in range(80):
            if self.drive.machine.phase == "ended":
                return
            self.once()
        raise AssertionError(f"it never ends: {self.drive.events[-6:]}")

    def once(self) -> None:
        drive, draw = self.drive, self.data.draw
        if drive.machine.phase == "pausing":
            drive.go_on()
        kind = draw(KINDS)
        waiting = [path for path, status in drive.status().items() if status == "waiting"]
        if kind == "crash":
            drive.crash()
            for path in drive.held:
                drive.send(path, "as somebody says")
        elif kind == "pause":
            drive.pause()
        elif (kind == "approve" or not drive.flying) and waiting:
            drive.approve(draw(st.sampled_from(waiting)), draw(st.booleans()))
        elif drive.flying:
            self.lands(kind, draw(st.sampled_from(drive.flying)))
        else:
            drive.wait(60)

    def lands(self, kind: str, path: str) -> None:
        drive = self.drive
        if kind in ("fails", "refused"):
            drive.fails(path, "failed" if kind == "fails" else "rate_limited")
        elif path.startswith("s/turn"):
            self.sent[path] = drive.given(path)["messages"]
            drive.done(path, self.data.draw(turns()))
        else:
            drive.done(path, path)


@st.composite
def turns(draw: st.DrawFn) -> Json:
    if draw(st.integers(0, 3)) == 0:
        return answer("so")
    known = st.sampled_from([READ, GREP, WRITE, NOTHING, MISFIT])
    return turn(*draw(st.lists(known, min_size=1, max_size=3)))


@settings(max_examples=120, deadline=None)
@given(data=st.data(), max_turns=st.integers(1, 4))
def test_whatever_happens_it_ends_once_and_nothing_is_done_twice(
    data: st.DataObject, max_turns: int
) -> None:
    story = Story(data, max_turns)
    story.go()
    drive = story.drive
    finished = Counter(e.call.path for e in drive.events if isinstance(e, CallFinished))
    assert all(count == 1 for count in finished.values()), "nothing that is finished is repeated"
    assert len([e for e in drive.events if type(e).__name__ == "RunEnded"]) == 1
    report = drive.machine.workflow.reports()["s"]
    calls = [e for e in drive.said("CallStarted") if e.call.path.startswith("s/")]
    assert sum(of.calls for of in report.fates.values()) == len(calls)
    assert len(story.sent) <= max_turns
    check_messages(story)


def check_messages(story: Story) -> None:
    """Prompts only grow, and each call of a tool has one result, in its place."""
    before: list[Json] = []
    for path in sorted(story.sent, key=lambda path: int(path.partition("~")[2] or 1)):
        now = [m for m in story.sent[path] if m.get("text") != NO_MORE]
        assert now[: len(before)] == before, "a prompt begins as the last one did"
        before = now
    asked: list[tuple[str, str]] = []
    for message in before:
        if message["role"] == "agent":
            assert asked == [], "an agent hears of all its calls before it goes on"
            asked = [(call["id"], call["name"]) for call in message["calls"]]
        elif message["role"] == "tool":
            assert (message["id"], message["name"]) == asked.pop(0)
    assert asked == []


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_failed_conversation_can_always_go_on(data: st.DataObject) -> None:
    story = Story(data, 2)
    story.go()
    drive: Any = story.drive
    for _ in range(3):
        if drive.phase != "failed":
            break
        drive.retry("s")
        (path,) = drive.flying
        assert path.startswith("s/turn")
        drive.done(path, data.draw(turns()))
        for waiting in [p for p, status in drive.status().items() if status == "waiting"]:
            drive.approve(waiting, False)
        if drive.phase != "failed":
            story.go()
    finished = Counter(e.call.path for e in drive.events if isinstance(e, CallFinished))
    assert all(count == 1 for count in finished.values())
