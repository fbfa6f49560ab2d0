"""What a log and its waiters know: how far it was appended, how far it is durable, why it ended.

Both journals share it, so that waiting, failing and watching mean the same in each.
It lives in one loop and must be called from that loop only.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence

from hocket.core.errors import JournalError, OwnershipLost
from hocket.core.events import (
    AnyEvent,
    ContinueRequested,
    PauseRequested,
    RetryRequested,
    RunEnded,
    RunResumed,
    RunStarted,
)
from hocket.journal.base import OnFailed, OnPosted, Posted

_STATUS: dict[type, str] = {
    RunStarted: "running",
    RunResumed: "running",
    ContinueRequested: "running",
    RetryRequested: "running",
    PauseRequested: "paused",
}


def status_after(events: Sequence[AnyEvent]) -> str | None:
    """Give a run's status after these events, or None if they leave it as it was."""
    status: str | None = None
    for event in events:
        if isinstance(event, RunEnded):
            status = event.status
        else:
            status = _STATUS.get(type(event), status)
    return status


class Progress:
    """How far one log has come."""

    def __init__(self, seq: int) -> None:
        self.appended = seq
        self.durable = seq
        self.failure: JournalError | OwnershipLost | None = None
        self.on_posted: OnPosted | None = None
        self._on_durable: Callable[[int], None] | None = None
        self._on_failed: Callable[[JournalError | OwnershipLost], None] | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = 0

    def check(self) -> None:
        """Raise the log's failure, if it has one.

        Raises:
            JournalError, OwnershipLost: An earlier write failed.
        """
        if self.failure is not None:
            raise self._fresh_failure()

    async def wait(self, seq: int) -> None:
        """Wait until `seq` is durable.

        Raises:
            JournalError, OwnershipLost: It will never be.
        """
        if seq <= self.durable:
            return
        self.check()
        if seq > self.appended:
            raise JournalError(f"event {seq} was never appended; the last is {self.appended}")
        future = asyncio.get_running_loop().create_future()
        self._tickets += 1
        heapq.heappush(self._waiting, (seq, self._tickets, future))
        await future

    def watch(
        self,
        on_durable: Callable[[int], None],
        on_posted: OnPosted,
        on_failed: OnFailed | None = None,
    ) -> None:
        """Tell these of commits, requests and the failure from now on."""
        self._on_durable = on_durable
        self.on_posted = on_posted
        self._on_failed = on_failed

    def confirm(self, seq: int) -> None:
        """Everything up to `seq` is on disk."""
        if seq <= self.durable:
            return
        self.durable = seq
        while self._waiting and self._waiting[0][0] <= seq:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
        if self._on_durable is not None:
            self._on_durable(seq)

    def fail(self, failure: JournalError | OwnershipLost) -> None:
        """Nothing more will be written; what waits is told so."""
        if self.failure is not None:
            return
        self.failure = failure
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(self._fresh_failure())
        if self._on_failed is not None:
            self._on_failed(self._fresh_failure())

    def close(self, failure: JournalError) -> None:
        """The run is given up on purpose; later appends are told why they fail."""
        # Whoever has watched may be as large as the run, and has nothing more to hear.
        self._on_failed = self._on_durable = self.on_posted = None
        self.fail(failure)

    def posted(self, requests: Sequence[Posted]) -> None:
        """Hand requests to the watcher."""
        if self.on_posted is not None and self.failure is None:
            self.on_posted(requests)

    def _fresh_failure(self) -> JournalError | OwnershipLost:
        """Several tasks raise it: each needs its own, or their tracebacks grow together."""
        failure = self.failure
        assert failure is not None
        return type(failure)(*failure.args)
