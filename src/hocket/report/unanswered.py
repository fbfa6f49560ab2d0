"""Which questions nobody has answered in time, told from the events alone.

That a time is over is no event of its own: it follows from the plan and from what has passed.
"""

from __future__ import annotations

import msgspec

from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    ContinueRequested,
    InputAsked,
    InputGiven,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    StepSkipped,
)
from hocket.core.gate import GATE
from hocket.core.people import asking_call
from hocket.core.specs import PATIENCE, PERSON_TIMEOUT, PlanSpec, StepSpec
from hocket.core.values import format_duration, step_of


class _Waits(msgspec.Struct):
    """An open question.

    Fields:
        timeout: How long it is waited for.
        then: What happens then: ``pause``, ``reject``, ``approve``, or ``no`` for a call.
        expires: When that is; None if it has happened, and the run was paused for it.
    """

    timeout: int
    then: str
    expires: int | None


class Unanswered:
    """The open questions of one run, as of the events that it was shown."""

    def __init__(self) -> None:
        self._plan: PlanSpec | None = None
        self._waits: dict[str, _Waits] = {}

    def note(self, event: AnyEvent) -> None:
        """Take an event in."""
        match event:
            case RunStarted() | SpecReplaced():
                self._plan = event.spec.workflow
                self._waits.clear()
            case ApprovalAsked() | InputAsked():
                self._asked(event)
            case ApprovalGiven() | InputGiven():
                self._waits.pop(event.path, None)
            case StepFailed() | StepSkipped():
                self._over(event.path)
            case CallFinished() | CallFailed() | CallCancelled() | CallLost() if self._waits:
                for path in [path for path in self._waits if asking_call(path) == event.call]:
                    del self._waits[path]
            case RunResumed() | ContinueRequested():
                for waits in self._waits.values():
                    if waits.expires is None:
                        waits.expires = event.at + waits.timeout
            case _:
                return

    def passed(self, at: int) -> list[str]:
        """Say what an instant has brought about; a failed step is told of by its own event."""
        told = []
        due = [path for path, one in self._waits.items() if one.expires and one.expires <= at]
        for path in due:
            waits = self._waits[path]
            line = f"{path} was not answered within {format_duration(waits.timeout)}"
            if waits.then == "pause":
                waits.expires = None
                told.append(f"{line}: the run is paused")
                continue
            del self._waits[path]
            if waits.then == "approve":
                told.append(f"{line}: approved by nobody")
            elif waits.then == "no":
                told.append(line)
        return told

    def _asked(self, event: ApprovalAsked | InputAsked) -> None:
        timeout, then = self._rule(event.path)
        expires = event.at + timeout
        if isinstance(event, ApprovalAsked) and event.expires is not None:
            timeout, expires = event.expires - event.at, event.expires
        self._waits[event.path] = _Waits(timeout, then, expires)

    def _rule(self, path: str) -> tuple[int, str]:
        """Say how long a question is waited for, and what happens then."""
        if asking_call(path) is not None:
            return PATIENCE, "no"
        plan = self._plan
        approval = plan.approval if plan is not None and path == GATE else None
        if approval is None and plan is not None:
            step = _step_at(plan, step_of(path))
            if step is None:
                # A tool's call, which a person is asked about while a model waits.
                return PERSON_TIMEOUT, "pause"
            if step.approval is None:
                return step.timeout, step.on_timeout
            approval = step.approval
        return (
            (PERSON_TIMEOUT, "pause")
            if approval is None
            else (
                approval.timeout,
                approval.on_timeout,
            )
        )

    def _over(self, path: str) -> None:
        """A step has ended, and with it whatever was asked within it."""
        for asked in list(self._waits):
            if asked == path or asked.startswith((f"{path}/", f"{path}~")):
                del self._waits[asked]


def _step_at(plan: PlanSpec, path: str) -> StepSpec | None:
    """Give the step at a path; None if it is of something within a step."""
    inner: PlanSpec | None = plan
    step: StepSpec | None = None
    for name in path.split("/"):
        steps = () if inner is None else inner.steps
        step = next((one for one in steps if one.name == name), None)
        if step is None:
            return None
        inner = step.plan
    return step
