"""What the shell is still to be told about calls: which are to start and which to stop."""

from __future__ import annotations

from typing import Self

from hocket.core.commands import CancelCall, StartCall
from hocket.core.values import Call


class Outbox:
    """Starts and stops that nobody has drained yet; what is moot by then is never sent."""

    __slots__ = ("cancels", "starts")

    def __init__(self) -> None:
        self.starts: dict[str, StartCall] = {}
        """By path: of a job's two calls only one can wait for its start."""
        self.cancels: dict[Call, CancelCall] = {}

    def start(self, start: StartCall) -> None:
        """A call is to start."""
        self.starts[start.call.path] = start

    def again_first(self) -> None:
        """Put what was begun before in front of what never was: it has waited for longer."""
        again = {path: start for path, start in self.starts.items() if start.call.attempt > 1}
        self.starts = again | self.starts

    def stop(self, cancel: CancelCall) -> None:
        """A call in flight is to stop."""
        self.cancels[cancel.call] = cancel

    def withdraw(self, call: Call, reason: str) -> None:
        """A call that was to start and has not is not to start."""
        if not self._unsent(call):
            # The shell has it in its queue already.
            self.cancels[call] = CancelCall(call, reason)

    def settled(self, call: Call) -> None:
        """A call has left, or has ended: what was still to be said about it is moot."""
        if self.starts:
            self._unsent(call)
        if self.cancels:
            self.cancels.pop(call, None)

    def drain(self) -> tuple[list[CancelCall], list[StartCall]]:
        """Give what must stop and what must start since the last time."""
        cancels: list[CancelCall] = []
        starts: list[StartCall] = []
        if self.cancels:
            cancels.extend(self.cancels.values())
            self.cancels.clear()
        if self.starts:
            starts.extend(self.starts.values())
            self.starts.clear()
        return cancels, starts

    def fork(self) -> Self:
        """Copy it."""
        other = type(self)()
        other.starts = self.starts.copy()
        other.cancels = self.cancels.copy()
        return other

    def _unsent(self, call: Call) -> bool:
        """Forget a start that was not drained; tells whether there was one."""
        start = self.starts.get(call.path)
        if start is None or start.call.attempt != call.attempt:
            return False
        del self.starts[call.path]
        return True
