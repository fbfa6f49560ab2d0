"""The writing end of a run in a journal that is in a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hocket.core.errors import JournalError
from hocket.core.events import AnyEvent
from hocket.journal import answers
from hocket.journal.base import Answered, OnFailed, OnPosted, Taken
from hocket.journal.codec import encode
from hocket.journal.keeper import Port
from hocket.journal.progress import status_after
from hocket.journal.store import Append
from hocket.journal.writer import Writer
from hocket.limits.claim import Key


class SqlLog:
    """The writing end of a run in a journal; it belongs to the loop that opened it."""

    def __init__(self, writer: Writer, port: Port) -> None:
        self._writer = writer
        self._port = port
        self._progress = port.progress

    @property
    def seq(self) -> int:
        """The sequence number of the last event appended, durable or not."""
        return self._progress.appended

    @property
    def epoch(self) -> int:
        """Which owner of the run this is: 1 for the one that started it."""
        return self._port.epoch

    def append(
        self,
        events: Sequence[AnyEvent],
        taken: Sequence[Taken] = (),
        claims: Sequence[Key] = (),
        kept: Sequence[Answered] = (),
    ) -> int:
        """Queue events, and what comes with them, for the next commit; all of it or none.

        Raises:
            JournalError: An earlier write failed, or an event cannot be written as JSON.
            OwnershipLost: Another process owns the run now.
        """
        progress = self._progress
        progress.check()
        encoded = [encode(event) for event in events]
        if encoded or taken or claims:
            first = progress.appended + 1
            status = status_after(events)
            key, epoch = self._port.key, self._port.epoch
            again = [answers.ready(answer) for answer in kept]
            append = Append(key, epoch, first, encoded, tuple(taken), status, tuple(claims), again)
            self._writer.append(self._port, append)
            progress.appended += len(encoded)
        return progress.appended

    async def durable(self, seq: int) -> None:
        """Wait until the event of that number is on disk.

        Raises:
            JournalError: It could not be written.
            OwnershipLost: Another process owns the run now.
        """
        await self._progress.wait(seq)

    def watch(
        self,
        on_durable: Callable[[int], None],
        on_posted: OnPosted,
        on_failed: OnFailed | None = None,
    ) -> None:
        """Have the loop told of commits, of requests within a second, and of the failure."""
        self._progress.watch(on_durable, on_posted, on_failed)
        self._writer.look()

    def look(self) -> None:
        """Have the watcher told of what was posted until now, also if it is nothing new."""
        self._port.looked = False
        self._writer.look()

    async def close(self) -> None:
        """Write what is queued and give the run up.

        Raises:
            JournalError: What was queued could not be written, and nobody was told so far.
            OwnershipLost: Another process took the run over before all of it was written.
        """
        if self._progress.failure is not None:
            return
        await asyncio.wrap_future(self._writer.submit(self._writer.keeper.release(self._port)))
        # The confirmation of the last commit was sent before the release's and has arrived.
        await self._progress.wait(self._progress.appended)
        self._progress.close(JournalError(f"run {self._port.run} was given up by this process"))
