"""A run told in lines: what each event means, in words."""

from __future__ import annotations

from hocket.core.events import (
    TAKEN_BACK,
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    CancelRequested,
    ContinueRequested,
    Forecasted,
    InputAsked,
    InputGiven,
    LimitChanged,
    PauseRequested,
    RetryRequested,
    RunEnded,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    StepSkipped,
    TimePassed,
    Usage,
    Wait,
)
from hocket.core.values import MS, Call, format_duration
from hocket.limits.words import limit_label, limit_words
from hocket.report.text import cause_words, dollars, one_line
from hocket.report.unanswered import Unanswered

_WORTH_SAYING = 50 * MS


class Story:
    """Tells events one by one; remembers only what is in flight and what waits for people.

    Attributes:
        important: Whether the line told last matters to somebody who watches a live picture.
    """

    def __init__(self) -> None:
        self.important = False
        self._since: dict[Call, int] = {}
        self._fault = ""
        self._unanswered = Unanswered()

    def tell(self, event: AnyEvent) -> str:
        """Give the line that an event is worth, or ""."""
        self.important = True
        self._unanswered.note(event)
        match event:
            case CallStarted():
                self.important = False
                self._since[event.call] = event.at
                return f"{event.call} started ({event.agent}{_waited(event.waits)})"
            case CallFinished():
                self.important = False
                notes = "".join(f"; {one_line(note)}" for note in event.notes)
                took = self._took(event.call, event.at)
                if event.saved is not None:
                    saved = _spent(event.saved).replace(";", ", which took", 1)
                    return f"{event.call} finished with an answer kept from earlier{saved}{notes}"
                return f"{event.call} finished{took}{_spent(event.usage)}{notes}"
            case CallFailed():
                fault = event.fault
                self._fault = fault.message
                kind = "" if fault.kind == "failed" else f" ({fault.kind})"
                took = self._took(event.call, event.at)
                return f"{event.call} failed{took}{kind}: {one_line(fault.message)}"
            case CallCancelled(reason=reason) if reason == TAKEN_BACK:
                return f"{event.call} goes back: nobody did it yet"
            case CallCancelled():
                return f"{event.call} stopped{self._took(event.call, event.at)}: {event.reason}"
            case RunResumed():
                self._since.clear()
                return f"run taken up again (owner {event.epoch})"
            case CallLost():
                # Its owner has lived on, if nobody has taken the run up since it started.
                owned = self._since.pop(event.call, None) is not None
                died = "its worker died" if owned else "its process died"
                return f"{event.call} was in flight when {died}"
            case StepSkipped():
                self.important = False
                return f"{event.path} skipped: {one_line(event.reason)}"
            case StepFailed():
                if event.fault.message == self._fault:
                    # Its last call has just been told to have failed with these words.
                    return ""
                return f"{event.path} has failed: {one_line(event.fault.message)}"
            case TimePassed():
                line = "; ".join(self._unanswered.passed(event.at))
                self.important = bool(line)
                return line
            case _:
                return _tell_run(event)

    def _took(self, call: Call, at: int) -> str:
        since = self._since.pop(call, None)
        return "" if since is None else f" after {format_duration(at - since)}"


def _tell_run(event: AnyEvent) -> str:
    match event:
        case RunStarted():
            count = len(event.spec.workflow.steps)
            steps = "1 step" if count == 1 else f"{count:,} steps"
            return f"plan {event.spec.name!r} started: {steps}"
        case SpecReplaced():
            return "going on with a changed plan"
        case PauseRequested():
            asked = f"pause asked by {event.by or 'somebody'}"
            return f"pausing: {one_line(event.reason)}" if event.reason else asked
        case ContinueRequested():
            return f"going on, asked by {event.by or 'somebody'}"
        case CancelRequested():
            return f"cancel asked by {event.by or 'somebody'}"
        case RetryRequested():
            return f"{event.path or 'what failed'} is done again, asked by {event.by or 'somebody'}"
        case ApprovalAsked():
            return f"{event.path} waits for approval"
        case ApprovalGiven():
            verdict = "approved" if event.approved else "rejected"
            note = f": {one_line(event.note)}" if event.note else ""
            return f"{event.path} {verdict} by {event.by or 'somebody'}{note}"
        case InputAsked():
            return f"{event.path} waits for input: {one_line(event.prompt, 100)}"
        case InputGiven():
            return f"{event.path} got its input from {event.by}"
        case RunEnded():
            return f"run {event.status}{': ' if event.reason else ''}{one_line(event.reason)}"
        case LimitChanged():
            return one_line(event.message.replace(event.limit, limit_words(event.limit)))
        case Forecasted():
            return _forecast(event)
        case _:
            return ""


def _forecast(event: Forecasted) -> str:
    left = format_duration(max(0, event.finish - event.at))
    low, high = (format_duration(max(0, at - event.at)) for at in (event.low, event.high))
    spread = "" if low == high else f" ({low} to {high})"
    binds = f", bound by {limit_label(event.binds)}" if event.binds else ""
    order = "" if event.order is None else f"; a better order of {event.tried:,} was adopted"
    return f"expected to end in {left}{spread}{binds}{order}"


def _waited(waits: tuple[Wait, ...]) -> str:
    lasted: dict[str, int] = {}
    for wait in waits:
        words = cause_words(wait.cause)
        lasted[words] = lasted.get(words, 0) + wait.until - wait.since
    told = [
        f"{format_duration(took)} for {words}"
        for words, took in lasted.items()
        if took >= _WORTH_SAYING
    ]
    return f", waited {', '.join(told)}" if told else ""


def _spent(usage: Usage | None) -> str:
    if usage is None or (usage.tokens_in is None and usage.tokens_out is None):
        return ""
    tokens = f"; {usage.tokens_in or 0} + {usage.tokens_out or 0} tokens"
    return tokens + ("" if usage.cost == 0 else f", {dollars(usage.cost)}")
