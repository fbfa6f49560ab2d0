"""How a request from the inbox becomes an event."""

from __future__ import annotations

from typing import assert_never

from hocket.core.events import (
    AnyEvent,
    ApprovalGiven,
    CancelRequested,
    ContinueRequested,
    InputGiven,
    PauseRequested,
    RetryRequested,
)
from hocket.core.requests import AnyRequest, Approve, Cancel, Continue, Pause, Retry, Send


def event_of(request: AnyRequest, at: int) -> AnyEvent:
    """Give the event that a granted request becomes."""
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
            return InputGiven(at=at, path=request.path, value=request.value, by=by)
        case Retry():
            return RetryRequested(at=at, path=request.path, by=by)
        case _:
            assert_never(request)
