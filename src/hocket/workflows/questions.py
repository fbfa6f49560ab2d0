"""Questions to people: what an approval or an input is asked, and what an answer is worth."""

from __future__ import annotations

from typing import Final, TypeAlias

from hocket.core.errors import Fault, Refused
from hocket.core.events import ApprovalAsked, ApprovalGiven, InputAsked, InputGiven
from hocket.core.machine import Say
from hocket.core.people import AS_SHOWN
from hocket.core.specs import StepSpec
from hocket.core.values import Json, digest, format_duration
from hocket.workflows.live import Asked

NOBODY: Final = "nobody"
"""Who has answered where an unanswered approval counts as given."""

Worth: TypeAlias = tuple[Json, Fault | None]
"""What a unit gives: an output, or a fault."""


def answer_time(spec: StepSpec) -> int:
    """Say how long people are waited for."""
    return spec.timeout if spec.approval is None else spec.approval.timeout


def waits_for_approval(spec: StepSpec) -> bool:
    """Tell whether what a step waits for is an approval."""
    return spec.kind == "approve" or spec.approval is not None


def question(spec: StepSpec, path: str, text: str, at: int) -> tuple[Asked, Say]:
    """Put a step's question."""
    expires = at + answer_time(spec)
    if waits_for_approval(spec):
        mark = digest(text.encode())
        asked = ApprovalAsked(at=at, path=path, shown=text, digest=mark)
        return Asked(mark, expires), Say(asked)
    return Asked("", expires), Say(InputAsked(at=at, path=path, prompt=text, output=spec.output))


def answered(asked: Asked, event: ApprovalGiven | InputGiven) -> Worth:
    """Say what an answer is worth.

    Raises:
        Refused: Other bytes were shown.
    """
    if isinstance(event, InputGiven):
        return event.value, None
    if event.digest not in (asked.digest, AS_SHOWN):
        raise Refused(f"{event.path!r} shows something else by now; look at it again")
    if event.approved:
        return {"approved": True, "by": event.by, "note": event.note}, None
    note = f": {event.note}" if event.note else ""
    return None, Fault(kind="permanent", message=f"rejected by {event.by or 'somebody'}{note}")


def unanswered(spec: StepSpec, path: str) -> Worth | str:
    """Say what no answer is worth; a text, why the run is paused for it, if nobody has decided."""
    what = "approval" if waits_for_approval(spec) else "input"
    message = f"{what} {path!r} was not given within {format_duration(answer_time(spec))}"
    on_timeout = spec.on_timeout if spec.approval is None else spec.approval.on_timeout
    if on_timeout == "pause":
        return message
    if on_timeout == "approve":
        return {"approved": True, "by": NOBODY, "note": message}, None
    return None, Fault(kind="timeout", message=message)
