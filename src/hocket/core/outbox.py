"""What the shell is still to be told about calls: which are to start and which to stop."""

from __future__ import annotations

from typing import Self

from hocket.core.commands import CancelCall, StartCall
from hocket.core.values import Call


class Outbox:
    """Starts and stops that nobody has drained yet; what is moot by then is never sent."""

    __slots__ = ("_cancels", "starts")

    def __init__(self) -> None:
        self.starts: dict[str, StartCall] = {}
        """By path: of a job's two calls only one can wait for its start."""
        self._cancels: dict[Call, CancelCall] = {}

    def start(self, start: StartCall) -> None:
        """A call is to start."""
        self.starts[start.call.path] = start

    def stop(self, cancel: CancelCall) -> None:
        """A call in flight is to stop."""
        self._cancels[cancel.call] = cancel

    def withdraw(self, call: Call, reason: str) -> None:
        """A call that was to start and has not is not to start."""
        if not self._unsent(call):
            # The shell has it in its queue already.
            self._cancels[call] = CancelCall(call, reason)

    def settled(self, call: Call) -> None:
        """A call has left, or has ended: what was still to be said about it is moot."""
        if self.starts:
            self._unsent(call)
        if self._cancels:
            self._cancels.pop(call, None)

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

    def _unsent(self, call: Call) -> bool:
        """Forget a start that was not drained; tells whether there was one."""
        start = self.starts.get(call.path)
        if start is None or start.call.attempt != call.attempt:
            return False
        del self.starts[call.path]
        return True
