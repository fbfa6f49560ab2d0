"""What people are asked in a run, and have neither answered nor let expire."""

from __future__ import annotations

from datetime import UTC, datetime

from hocket.core.events import ApprovalAsked, ApprovalGiven, InputAsked, InputGiven
from hocket.core.requests import Approve, Send
from hocket.core.run import RunMachine
from hocket.journal.base import Journal, Store
from hocket.workflows.open import open_questions as open_with_times


def open_questions(machine: RunMachine) -> dict[str, ApprovalAsked | InputAsked]:
    """Give the questions whose steps or calls still wait, by path."""
    return {path: question.asked for path, question in open_with_times(machine).items()}


def noted(machine: RunMachine, journal: Store) -> dict[str, str]:
    """Say how open questions of a run were answered that nobody drives, and so has not heard.

    Args:
        machine: The run, folded.
        journal: Where it is.

    Returns:
        By path who has decided how, as "rejected by ann".

    Raises:
        NotFound: No such run.
        JournalError: The journal cannot be read.
    """
    found: dict[str, str] = {}
    asked = open_questions(machine)
    for post in journal.waiting(machine.run) if asked else ():
        request = post.request
        if isinstance(request, Approve | Send) and _fits(request, asked.get(request.path)):
            found.setdefault(request.path, _decided(request))
    return found


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


def _decided(request: Approve | Send) -> str:
    how = "answered"
    if isinstance(request, Approve):
        how = "approved" if request.approved else "rejected"
    return f"{how} by {request.by or 'somebody'}"


def _fits(request: Approve | Send, asked: ApprovalAsked | InputAsked | None) -> bool:
    """Tell whether a request answers a question, so that the next owner will take it in."""
    if isinstance(asked, ApprovalAsked):
        return isinstance(request, Approve) and request.digest == asked.digest
    return asked is not None and isinstance(request, Send)
