"""How a request from the inbox becomes an event."""

from __future__ import annotations

from typing import assert_never

from hocket.agents.output import fit
from hocket.core.errors import AgentError, Refused
from hocket.core.events import (
    AnyEvent,
    ApprovalGiven,
    CancelRequested,
    ContinueRequested,
    InputAsked,
    InputGiven,
    PauseRequested,
    RetryRequested,
    TimePassed,
)
from hocket.core.requests import AnyRequest, Approve, Cancel, Continue, Pause, Retry, Send
from hocket.core.run import RunMachine
from hocket.core.values import format_duration
from hocket.journal.base import Posted
from hocket.workflows.open import open_questions


def event_of_post(machine: RunMachine, post: Posted, at: int) -> AnyEvent:
    """Give the event that a posted request becomes.

    An answer is judged by when it was posted, whenever it is read.

    Raises:
        Refused: It was posted when its question's time was over, and what follows from that was
            settled by it; or what is sent does not fit what is waited for.
    """
    request = post.request
    if post.at and isinstance(request, Approve | Send):
        question = open_questions(machine).get(request.path)
        expires = None if question is None else question.expires
        if expires is not None and post.at >= expires and _lapses(machine, request.path, at):
            late = format_duration(post.at - expires)
            raise Refused(
                f"the time to answer {request.path!r} was over {late} before this was posted"
            )
    return event_of(machine, request, at)


def first_due(machine: RunMachine, at: int) -> int | None:
    """Give the first instant by `at` at which a question's time is over; None if there is none."""
    if not (machine.questions or machine.calls.people.open):
        return None
    times = [question.expires for question in open_questions(machine).values()]
    return min([due for due in times if due is not None and due <= at], default=None)


def _lapses(machine: RunMachine, path: str, at: int) -> bool:
    """Tell whether a question is closed once its time is over; else it goes on being asked."""
    later = machine.fork()
    later.apply(TimePassed(at=at))
    return path not in open_questions(later)


def event_of(machine: RunMachine, request: AnyRequest, at: int) -> AnyEvent:
    """Give the event that a granted request becomes.

    Raises:
        Refused: What is sent does not fit what is waited for.
    """
    by = request.by
    match request:
        case Pause():
            return PauseRequested(at=at, by=by)
        case Continue():
            return ContinueRequested(at=at, by=by)
        case Cancel():
            return CancelRequested(at=at, by=by, hard=request.hard)
        case Approve():
            return ApprovalGiven(
                at=at,
                path=request.path,
                approved=request.approved,
                digest=request.digest,
                by=by,
                note=request.note,
            )
        case Send():
            _check_sent(machine, request)
            return InputGiven(at=at, path=request.path, value=request.value, by=by)
        case Retry():
            return RetryRequested(at=at, path=request.path, by=by)
        case _:
            assert_never(request)


def _check_sent(machine: RunMachine, request: Send) -> None:
    """Hold what a person sends to the same schema as what an agent gives."""
    question = machine.questions.get(request.path)
    job = machine.calls.jobs.get(request.path)
    schema = question.output if isinstance(question, InputAsked) else None
    if job is not None:
        schema = job.spec.output
    try:
        fit(request.value, schema)
    except AgentError as error:
        raise Refused(f"that is not what {request.path!r} takes: {error.fault.message}") from error
