"""What the shell is still to be told about calls: which are to start and which to stop."""

from __future__ import annotations

from typing import Self

from hocket.core.commands import CancelCall, StartCall
from hocket.core.jobs import Job
from hocket.core.values import Call


class Outbox:
    """Starts and stops that nobody has drained yet; what is moot by then is never sent."""

    __slots__ = ("_cancels", "starts")

    def __init__(self) -> None:
        self.starts: dict[str, StartCall] = {}
        """By path, as a path has one call at a time."""
        self._cancels: dict[Call, CancelCall] = {}

    def start(self, job: Job) -> None:
        """A job's present call is to start."""
        self.starts[job.path] = StartCall(
            job.call, job.agent_name, job.effects, job.ready, job.asked
        )

    def stop(self, job: Job, hard: bool) -> None:
        """A call in flight is to stop."""
        self._cancels[job.call] = CancelCall(job.call, job.reason, hard)

    def withdraw(self, job: Job, reason: str) -> None:
        """A call that has not started is not to start."""
        if self.starts.pop(job.path, None) is None and job.state == "asked":
            # The shell has it in its queue already.
            self._cancels[job.call] = CancelCall(job.call, reason)

    def settled(self, job: Job) -> None:
        """A call has left, or has ended: what was still to be said about it is moot."""
        if self.starts:
            self.starts.pop(job.path, None)
        if self._cancels:
            self._cancels.pop(job.call, None)

    def drain(self) -> tuple[list[CancelCall], list[StartCall]]:
        """Give what must stop and what must start since the last time."""
        drained = list(self._cancels.values()), list(self.starts.values())
        self._cancels.clear()
        self.starts.clear()
        return drained

    def fork(self) -> Self:
        """Copy it."""
        other = type(self)()
        other.starts = self.starts.copy()
        other._cancels = self._cancels.copy()
        return other
