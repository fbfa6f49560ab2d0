"""The journal in a database, whichever it is: the same logic on another connection.

Nothing is opened or created before it is needed: a journal that is only read starts no writer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self, TypeVar

from hocket.core.errors import JournalError
from hocket.core.events import AnyEvent, RunStarted
from hocket.journal import answers, store
from hocket.journal.backend import Backend
from hocket.journal.blobs import SqlBlobs
from hocket.journal.book import SqlBook
from hocket.journal.codec import encode
from hocket.journal.hosted import SqlHosted
from hocket.journal.keeper import Port
from hocket.journal.logs import Logs
from hocket.journal.progress import status_after
from hocket.journal.schema import Database
from hocket.journal.slices import in_slices
from hocket.journal.sql_ledger import SqlLedger
from hocket.journal.sql_log import SqlLog
from hocket.journal.sql_runs import SqlInbox, SqlRuns
from hocket.journal.store import Claim, New
from hocket.journal.writer import Writer

T = TypeVar("T")

LEASE: Final = 15.0
"""Seconds after which an owner that gives no sign of life may be replaced."""


class SqlJournal(SqlRuns, SqlInbox):
    """The store of all runs of a database, and its inbox.

    Args:
        backend: The database.
        lease: Seconds after which an owner of this process may be replaced that gives no sign of
            life.

    Attributes:
        blobs: The files of runs.
        book: The duration book.
        answers: Kept answers.
        hosted: Which runs servers drive.
        logs: What calls say while they run.
    """

    logs: Logs

    def __init__(self, backend: Backend, lease: float) -> None:
        self.blobs = SqlBlobs(self)
        self.book: Final = SqlBook(self)
        self.answers: Final = answers.SqlAnswers(self)
        self.hosted: Final = SqlHosted(self)
        self._backend = backend
        self._lease = lease
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._listeners: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def start(self, first: RunStarted, copied: Sequence[AnyEvent] = ()) -> SqlLog:
        """Create a run and own it; its first events are durable when this returns.

        Raises:
            JournalError: It could not be written, or the id is taken.
        """
        new = await _new(first, copied)
        return await self._own(first.run, self._open_writer().keeper.create(new))

    async def lay(self, first: RunStarted, copied: Sequence[AnyEvent] = ()) -> None:
        """Create a run that servers are to drive and nobody owns; it is durable afterwards.

        Raises:
            JournalError: It could not be written, or the id is taken.
        """
        new = await _new(first, copied)
        done = self._open_writer().submit(lambda db: store.lay_run(db, new))
        await asyncio.shield(asyncio.wrap_future(done))

    async def resume(self, run: str) -> SqlLog:
        """Own a run whose owner is gone; it gets a new epoch.

        Raises:
            NotFound: No such run.
            Refused: Its owner is alive.
            JournalError: The file cannot be written.
        """
        if not self.is_there():
            raise store.no_such_run(run)
        return await self._own(run, self._open_writer().keeper.claim(run))

    async def _own(self, run: str, claim: Callable[[Database], Claim]) -> SqlLog:
        writer = self._open_writer()
        loop = asyncio.get_running_loop()

        def work(db: Database) -> Port:
            port = Port(run, claim(db), loop)
            writer.keeper.adopt(port)
            return port

        future = writer.submit(work)
        try:
            port = await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            # The run may be ours by the time that nobody wants it any more.
            future.add_done_callback(lambda done: _abandon(writer, done))
            raise
        return SqlLog(writer, port)

    def writes(self, seconds: float) -> bool:
        """Tell whether the writer does what it is asked within so many seconds."""
        try:
            asked = self._open_writer().submit(lambda db: None)
        except JournalError:
            return False
        try:
            asked.result(seconds)
        except (JournalError, TimeoutError):
            asked.cancel()
            return False
        return True

    def announce(self) -> None:
        """Wake who listens on the journal in other processes: there is a run to drive."""
        self._open_writer().submit(lambda db: self._backend.announce())

    def listen(self, heard: Callable[[], None]) -> None:
        """Have this called when somebody announces something, in any thread.

        It is a courtesy: whoever misses it must look by itself now and then.
        """
        self._listeners.append(heard)
        self._open_writer()

    def ledger(self, changed: Callable[[], None]) -> SqlLedger:
        """Open the ledger of shared limits for the running loop."""
        return SqlLedger(self._open_writer, changed, self.wall, self.clock_error)

    def close(self) -> None:
        """Write what is queued, give all runs up, and end the writer's thread."""
        with self._lock:
            writer, self._writer = self._writer, None
        # The writer goes last, so that it merges a file's log when no reader is in its way.
        self.close_reader()
        if writer is not None:
            writer.close()

    def _open_writer(self) -> Writer:
        with self._lock:
            if self._writer is None:
                self._writer = Writer(self._backend, self._lease, self._hear)
            return self._writer

    def _hear(self) -> None:
        for heard in self._listeners:
            heard()


def _abandon(writer: Writer, done: Future[Port]) -> None:
    if not done.cancelled() and done.exception() is None:
        writer.submit(writer.keeper.release(done.result()))


async def _new(first: RunStarted, copied: Sequence[AnyEvent]) -> New:
    """Encode the beginning of a run, while others have their turns."""
    events = (first, *copied)
    rows = [encode(event) async for event in in_slices(events)]
    return New(first.run, first.spec.name, first.at, rows, status_after(events))
