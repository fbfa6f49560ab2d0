"""The commits of a journal in memory: what is on its way to a disk that is not there.

A commit is confirmed in the loop's next turn, or after a latency in the loop's own time, and what
queues meanwhile is the next commit, as on a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from hocket.core.errors import JournalError, OwnershipLost
from hocket.core.events import AnyEvent
from hocket.journal.answers import Ready
from hocket.journal.base import Taken
from hocket.journal.codec import Encoded
from hocket.journal.progress import Progress
from hocket.limits.claim import Key

T = TypeVar("T")


class OwnedLog(Protocol):
    """A log as the commits see it."""

    @property
    def progress(self) -> Progress:
        """How far it has come."""

    def store(self, append: Append) -> bool:
        """Take an append as durable; False if a claim of it had no reservation."""


class Append(NamedTuple):
    """What a log has queued for a commit, all of it or none."""

    log: OwnedLog
    entries: Sequence[tuple[AnyEvent, Encoded]]
    taken: Sequence[Taken]
    claims: Sequence[Key]
    kept: Sequence[Ready] = ()


class _Work(NamedTuple):
    """Something else that is to happen with a commit."""

    work: Callable[[], Any]
    future: asyncio.Future[Any] | None


class Commits:
    """Confirms what was queued, in order.

    Args:
        latency: Seconds of the loop's time that a commit takes; None for the next turn.
        fail_after: The number of appends after which every write fails; None for never.
        on_failed: Is told when nothing is written any more.
    """

    def __init__(
        self,
        latency: float | None,
        fail_after: int | None,
        on_failed: Callable[[JournalError], None],
    ) -> None:
        self._latency = latency
        self._fail_after = fail_after
        self._on_failed = on_failed
        self._appends = 0
        self._queue: list[Append | _Work] = []
        self._in_flight: list[Append | _Work] = []
        self._flushing: list[asyncio.Future[None]] = []
        self._failure: JournalError | None = None

    def check(self) -> None:
        """Refuse to go on after a failure.

        Raises:
            JournalError: Nothing is written any more.
        """
        if self._failure is not None:
            raise JournalError(*self._failure.args)

    def append(self, append: Append) -> None:
        """Put an append into the next commit.

        Raises:
            JournalError: Nothing is written any more.
        """
        self.check()
        self._put(append)

    async def submit(self, work: Callable[[], T]) -> T:
        """Have something done with the next commit, and give its result when that is durable.

        Nothing is done if nobody waits for it any more.

        Raises:
            JournalError: It could not be written.
        """
        self.check()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Work(work, future))
        return await future

    def note(self, work: Callable[[], None]) -> None:
        """Have something done with the next commit, if there is one, and wait for nothing."""
        if self._failure is None:
            self._put(_Work(work, None))

    async def flush(self, log: OwnedLog) -> None:
        """Wait until nothing that this log appended is on its way.

        Raises:
            JournalError: It could not be written.
        """
        while any(
            isinstance(item, Append) and item.log is log
            for item in (*self._in_flight, *self._queue)
        ):
            future = asyncio.get_running_loop().create_future()
            self._flushing.append(future)
            await future
        await log.progress.wait(log.progress.appended)

    def die(self, failure: JournalError, *, keep_in_flight: bool) -> None:
        """Stop; the commit that was on its way may have become durable unconfirmed."""
        if self._failure is not None:
            return
        if keep_in_flight:
            self._store(self._in_flight)
        self._fail(failure)

    def _put(self, item: Append | _Work) -> None:
        self._queue.append(item)
        if not self._in_flight:
            self._begin()

    def _begin(self) -> None:
        self._in_flight, self._queue = self._queue, []
        loop = asyncio.get_running_loop()
        if self._latency is None:
            loop.call_soon(self._commit)
        else:
            loop.call_later(self._latency, self._commit)

    def _commit(self) -> None:
        if self._failure is not None:
            return
        self._appends += sum(isinstance(item, Append) for item in self._in_flight)
        if self._fail_after is not None and self._appends > self._fail_after:
            self._fail(JournalError("the disk is full, as this test asked"))
            return
        done, self._in_flight = self._in_flight, []
        last, results = self._store(done)
        if self._queue:
            self._begin()
        for log, seq in last.items():
            log.progress.confirm(seq)
        for future, result in results:
            future.set_result(result)
        self._wake()

    def _store(
        self, done: Sequence[Append | _Work]
    ) -> tuple[dict[OwnedLog, int], list[tuple[asyncio.Future[Any], Any]]]:
        last: dict[OwnedLog, int] = {}
        results: list[tuple[asyncio.Future[Any], Any]] = []
        for item in done:
            if isinstance(item, Append):
                log = item.log
                if log.progress.failure is None and not log.store(item):
                    log.progress.fail(OwnershipLost("a reservation of this run is there no more"))
                if log.progress.failure is None:
                    last[log] = last.get(log, log.progress.durable) + len(item.entries)
            elif item.future is None:
                item.work()
            elif not item.future.done():
                results.append((item.future, item.work()))
        return last, results

    def _wake(self) -> None:
        waiting, self._flushing = self._flushing, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _fail(self, failure: JournalError) -> None:
        self._failure = failure
        dropped = [*self._in_flight, *self._queue]
        self._queue, self._in_flight = [], []
        self._on_failed(failure)
        for item in dropped:
            if isinstance(item, _Work) and item.future is not None and not item.future.done():
                item.future.set_exception(JournalError(*failure.args))
        self._wake()
