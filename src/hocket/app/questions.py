"""What people are asked in a run, and have neither answered nor let expire."""

from __future__ import annotations

from datetime import UTC, datetime

from hocket.core.events import ApprovalAsked, ApprovalGiven, InputAsked, InputGiven
from hocket.core.gate import GATE
from hocket.core.run import RunMachine
from hocket.journal.base import Journal


def open_questions(machine: RunMachine) -> dict[str, ApprovalAsked | InputAsked]:
    """Give the questions whose steps still wait, by path."""
    if machine.phase in ("new", "ended"):
        return {}
    if not machine.gate.passed:
        return {path: asked for path, asked in machine.questions.items() if path == GATE}
    waiting = [view.path for view in machine.workflow.view() if view.status == "waiting"]
    ours = {
        path: asked
        for path, asked in machine.questions.items()
        if any(path == step or path.startswith(f"{step}/") for step in waiting)
    }
    return {**ours, **machine.calls.people.open}


def already(journal: Journal, run: str, path: str) -> str | None:
    """Say who has answered what people were last asked at a path, and when; None if nobody has.

    Raises:
        NotFound: No such run.
        JournalError: The journal cannot be read.
    """
    given: ApprovalGiven | InputGiven | None = None
    for recorded in journal.read(run):
        event = recorded.event
        if isinstance(event, ApprovalGiven | InputGiven) and event.path == path:
            given = event
        elif isinstance(event, ApprovalAsked | InputAsked) and event.path == path:
            given = None
    if given is None:
        return None
    what = "answered"
    if isinstance(given, ApprovalGiven):
        what = "approved" if given.approved else "rejected"
    at = datetime.fromtimestamp(given.at // 10**9, UTC)
    who = given.by or "somebody"
    return f"{who} has {what} {path!r} already, at {at:%Y-%m-%d %H:%M:%S} UTC"
