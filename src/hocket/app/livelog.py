"""Keeps what calls say while they run, where another terminal can follow it."""

from __future__ import annotations

from collections.abc import Sequence

from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallLost, Recorded
from hocket.core.values import Call
from hocket.journal.logs import Logs

_ENDS = (CallFinished, CallFailed, CallCancelled, CallLost)


class LiveLog:
    """Keeps what the calls of a run say; an observer of it.

    Args:
        logs: Where it is kept.
        run: The run's id.
    """

    def __init__(self, logs: Logs, run: str) -> None:
        self._logs = logs
        self._run = run

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """A call has said something."""
        self._logs.write(self._run, call, text.encode("utf-8", "replace"))

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Take note of calls that have ended."""
        for recorded in events:
            if isinstance(recorded.event, _ENDS):
                self._logs.end(self._run, recorded.event.call)

    def close(self) -> None:
        """Take note that the run is driven here no more."""
        self._logs.close(self._run)
