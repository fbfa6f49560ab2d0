"""What calls in flight ask people: may I do this?

A question's path names the call and counts its questions, as in ``review/3#1@2``: the second one
of call ``review/3#1``.
No step's name has an ``@`` in it, so such a path is never taken for a step's.

While a call waits for a person its own time stands still.
Its question is withdrawn once the call has ended or was told to stop; if nobody answers in time the
call is told so, which is not a rejection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol, Self

import msgspec

from hocket.core.errors import Refused
from hocket.core.events import ApprovalAsked, ApprovalGiven, InputAsked
from hocket.core.forkmap import ForkMap
from hocket.core.jobs import Job
from hocket.core.specs import PATIENCE
from hocket.core.timers import Timers
from hocket.core.values import Call, format_duration

_PATH: Final = re.compile(r"(.+)#(\d+)@(\d+)\Z", re.DOTALL)
LATE: Final = "nobody answered in time"
AS_SHOWN: Final = "as shown"
"""Stands for a question's digest within the machine, where the bytes that were shown are answered.

What was shown is the journal's to say: another version may word the same question otherwise.
"""


class Consent(msgspec.Struct, frozen=True):
    """What came of a question: true if a person has approved, and nothing else is.

    Fields:
        approved: Whether a person said yes.
        why: What to tell whoever asked: the person's note, or why there is no yes.
    """

    approved: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.approved


def question_path(call: Call, number: int) -> str:
    """Write the path of a call's question."""
    return f"{call}@{number}"


def asking_call(path: str) -> Call | None:
    """Say which call asks at a path; None if it is no path of a call's question."""
    match = _PATH.match(path)
    return None if match is None else Call(match[1], int(match[2]))


class Questions:
    """The open questions of a run's calls.

    Args:
        jobs: The live jobs by path; whoever has them goes on changing them.
        timers: When calls time out.

    Attributes:
        open: The questions by path.
    """

    __slots__ = ("_expires", "_jobs", "_timers", "open")

    def __init__(self, jobs: dict[str, Job], timers: Timers) -> None:
        self.open: dict[str, ApprovalAsked] = {}
        self._expires: dict[str, int] = {}
        self._jobs = jobs
        self._timers = timers

    def asked(self, event: ApprovalAsked, call: Call) -> bool:
        """A call asks; tells whether it is one that may."""
        job = self._jobs.get(call.path)
        if job is None or job.state_of(call.attempt) != "running" or event.path in self.open:
            return False
        self._timers.stand(call, event.at)
        self.open[event.path] = event
        self._expires[event.path] = event.at + PATIENCE if event.expires is None else event.expires
        return True

    def answered(self, event: ApprovalGiven) -> bool:
        """Somebody has answered; tells whether it was one of these questions.

        Raises:
            Refused: Other bytes were shown.
        """
        asked = self.open.get(event.path)
        if asked is None:
            return False
        if asked.digest != event.digest:
            raise Refused(f"{event.path!r} shows something else; look at it again")
        self._close(event.path, event.at)
        return True

    def expire(self, at: int) -> list[str]:
        """Close the questions that nobody has answered in time, and name them."""
        paths = [path for path, due in self._expires.items() if due <= at]
        for path in paths:
            self._close(path, at)
        return paths

    def withdraw(self, call: Call) -> None:
        """A call has ended, or is to stop: nobody need answer it any more."""
        for path in self._of(call):
            del self.open[path], self._expires[path]
        self._timers.forget(call)

    def next(self) -> int | None:
        """Give the instant at which the first of them expires."""
        return min(self._expires.values(), default=None)

    def expires(self, path: str) -> int:
        """Say when an open question expires."""
        return self._expires[path]

    def fork(self, jobs: dict[str, Job], timers: Timers) -> Self:
        """Copy them for copied jobs."""
        other = type(self)(jobs, timers)
        other.open = self.open.copy()
        other._expires = self._expires.copy()
        return other

    def broken(self) -> list[str]:
        """Name every invariant that does not hold."""
        calls = {path: asking_call(path) for path in self.open}
        states = {
            path: None
            if call is None or call.path not in self._jobs
            # One that was told to stop is asked for nothing any more.
            else self._jobs[call.path].state_of(call.attempt)
            for path, call in calls.items()
        }
        rules = {
            "only running calls ask": all(state == "running" for state in states.values()),
            "each question expires": list(self.open) == list(self._expires),
            "the time of those who ask stands still": sorted(self._timers.standing)
            == sorted({call for call in calls.values() if call is not None}),
        }
        return [rule for rule, holds in rules.items() if not holds]

    # -- within -----------------------------------------------------------------------------

    def _of(self, call: Call) -> list[str]:
        return [path for path in self.open if asking_call(path) == call]

    def _close(self, path: str, at: int) -> None:
        del self.open[path], self._expires[path]
        call = asking_call(path)
        if call is not None and not self._of(call):
            self._timers.go_on(call, at)


class Answering(Protocol):
    """Where other questions than those of calls are answered."""

    def answered(self, event: ApprovalGiven, /) -> None:
        """Take an answer in.

        Raises:
            Refused: Nothing waits for it, or other bytes were shown.
        """


class Decided:
    """What was last decided about each path, for those who asked and those who come second."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: ForkMap[str, ApprovalGiven | None] = ForkMap()

    def take(
        self,
        event: ApprovalGiven,
        questions: Questions,
        others: Answering,
        shown: Mapping[str, ApprovalAsked | InputAsked],
    ) -> None:
        """Take a decision in; `shown` is what people see, unless they are about to be asked anew.

        Raises:
            Refused: Nothing waits for it, or other bytes were shown.
        """
        path, asked = event.path, shown.get(event.path)
        if not questions.answered(event):
            try:
                if asking_call(path) is not None:
                    raise Refused(f"{path!r} waits for nothing any more")
                others.answered(_bound(event, asked))
            except Refused as error:
                if asked is not None or path not in self._last:
                    raise
                raise Refused(_told(path, self._last[path], event.at)) from error
        self._last[path] = event

    def late(self, path: str) -> None:
        """Nobody has answered a call in time."""
        self._last[path] = None

    def consent(self, path: str) -> Consent:
        """Say what a call is told of a question that is closed."""
        if path not in self._last:
            return Consent(False, "the call is over, or is being stopped")
        event = self._last[path]
        if event is None:
            return Consent(False, LATE)
        said = f": {event.note}" if event.note else ""
        return Consent(event.approved, f"{_decision(event)} by {event.by or 'somebody'}{said}")

    def fork(self) -> Self:
        """Copy it."""
        other = type(self)()
        other._last = self._last.fork()
        return other


def _bound(event: ApprovalGiven, asked: ApprovalAsked | InputAsked | None) -> ApprovalGiven:
    """Give an answer with the mark of what was shown, if it is to that.

    Raises:
        Refused: It names no bytes.
    """
    if event.digest == AS_SHOWN:
        raise Refused(f"{event.path!r} is answered by the digest of what is shown")
    if isinstance(asked, ApprovalAsked) and asked.digest == event.digest:
        return msgspec.structs.replace(event, digest=AS_SHOWN)
    return event


def _told(path: str, known: ApprovalGiven | None, at: int) -> str:
    """Tell somebody who comes second what was decided, by whom and when."""
    if known is None:
        return f"{path!r} waits for nothing any more: {LATE}"
    ago = format_duration(max(at - known.at, 0))
    note = f" ({known.note})" if known.note else ""
    return f"{path!r} was {_decision(known)} by {known.by or 'somebody'} {ago} ago{note}"


def _decision(event: ApprovalGiven) -> str:
    return "approved" if event.approved else "rejected"
