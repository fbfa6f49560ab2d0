"""What people are asked in a run, and have neither answered nor let expire."""

from __future__ import annotations

from datetime import UTC, datetime

from hocket.core.events import ApprovalAsked, ApprovalGiven, InputAsked, InputGiven
from hocket.core.run import RunMachine
from hocket.journal.base import Journal
from hocket.workflows.open import open_questions as open_with_times


def open_questions(machine: RunMachine) -> dict[str, ApprovalAsked | InputAsked]:
    """Give the questions whose steps or calls still wait, by path."""
    return {path: question.asked for path, question in open_with_times(machine).items()}


def already(journal: Journal, run: str, path: str = "") -> str | None:
    """Say who has answered what people were last asked, and when; None if nobody has.

    Args:
        journal: Where the run is.
        run: The run.
        path: Whose question it was; "" for the last one of any.

    Raises:
        NotFound: No such run.
        JournalError: The journal cannot be read.
    """
    given: ApprovalGiven | InputGiven | None = None
    for recorded in journal.read(run):
        event = recorded.event
        if isinstance(event, ApprovalGiven | InputGiven) and path in {"", event.path}:
            given = event
        elif isinstance(event, ApprovalAsked | InputAsked) and path in {"", event.path}:
            given = None
    if given is None:
        return None
    what = "answered"
    if isinstance(given, ApprovalGiven):
        what = "approved" if given.approved else "rejected"
    at = datetime.fromtimestamp(given.at // 10**9, UTC)
    who = given.by or "somebody"
    note = f": {given.note}" if isinstance(given, ApprovalGiven) and given.note else ""
    return f"{who} has {what} {given.path!r} already, at {at:%Y-%m-%d %H:%M:%S} UTC{note}"
