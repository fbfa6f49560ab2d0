"""The journal in a database, whichever it is: the same logic on another connection.

Nothing is opened or created before it is needed: a journal that is only read starts no writer.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeVar

from hocket.core.errors import JournalError
from hocket.core.events import AnyEvent, Recorded, RunStarted
from hocket.core.requests import AnyRequest
from hocket.journal import answers, listing, store
from hocket.journal.backend import Backend
from hocket.journal.base import (
    ALL,
    Answered,
    OnFailed,
    OnPosted,
    Posted,
    RunRow,
    Taken,
    Wanted,
)
from hocket.journal.codec import decode, decode_request, encode, encode_request
from hocket.journal.hosted import SqlHosted
from hocket.journal.keeper import Port
from hocket.journal.owner import myself
from hocket.journal.progress import status_after
from hocket.journal.schema import Database
from hocket.journal.slices import in_slices
from hocket.journal.sql_ledger import SqlLedger
from hocket.journal.sql_parts import SqlBlobs, SqlBook
from hocket.journal.store import Append, Claim, New
from hocket.journal.writer import Writer
from hocket.limits.claim import Key

T = TypeVar("T")

LEASE: Final = 15.0
"""Seconds after which an owner that gives no sign of life may be replaced."""

_PAGE: Final = 256


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


class SqlJournal(ABC):
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
    """

    def __init__(self, backend: Backend, lease: float) -> None:
        self.blobs: Final = SqlBlobs(self)
        self.book: Final = SqlBook(self)
        self.answers: Final = answers.SqlAnswers(self)
        self.hosted: Final = SqlHosted(self)
        self._backend = backend
        self._lease = lease
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._listeners: list[Callable[[], None]] = []

    @abstractmethod
    def query(self, ask: Callable[[Database], T]) -> T | None:
        """Ask the database something; None if there is no journal in it.

        Raises:
            JournalError: It cannot be read.
        """

    @abstractmethod
    def write(self, work: Callable[[Database], T]) -> T:
        """Do some work in a transaction.

        Raises:
            JournalError: It cannot be written.
        """

    @abstractmethod
    def shrink(self) -> None:
        """Give room that has come free back to the disk."""

    @abstractmethod
    def check_room(self, size: int) -> None:
        """See that so many bytes fit, before a large file takes the room that events need.

        Raises:
            JournalError: They do not.
        """

    @abstractmethod
    def wall(self) -> int:
        """Give the present instant by the clock that all processes of the journal share.

        Raises:
            JournalError: The clock is another machine's, and that does not answer.
        """

    @abstractmethod
    def is_there(self) -> bool:
        """Tell whether there is a journal at all, so that none is made to be asked."""

    @abstractmethod
    def _ring(self, name: str) -> None:
        """Wake the owner of that bell."""

    @abstractmethod
    def _close_reader(self) -> None:
        """Let go of what answers queries."""

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
        events = (first, *copied)
        rows = [encode(event) async for event in in_slices(events)]
        new = New(first.run, first.spec.name, first.at, rows, status_after(events))
        return await self._own(first.run, self._open_writer().keeper.create(new))

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

    def read(self, run: str, after: int = 0) -> Iterator[Recorded]:
        """Give a run's events after a sequence number, outputs whole, oldest first.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read, with its number.
        """
        key = self.query(lambda db: store.find_run(db, run))
        if key is None:
            raise store.no_such_run(run)
        return self._pages(key, after)

    def _pages(self, key: int, after: int) -> Iterator[Recorded]:
        """A page is one query: a slow reader never keeps the log from being merged."""
        while True:
            page = self._page(key, after)
            for number, row in page:
                if number != after + 1:
                    raise JournalError(f"event {after + 1} is missing")
                yield Recorded(number, decode(row, self.blobs.read, number))
                after = number
            if len(page) < _PAGE:
                return

    def _page(self, key: int, after: int) -> list[tuple[int, str]]:
        return self.query(lambda db: store.events_after(db, key, after, _PAGE)) or []

    def runs(self, wanted: Wanted = ALL) -> list[RunRow]:
        """List runs, newest first.

        Raises:
            JournalError: They cannot be read.
        """
        me, now = myself(), self.wall()
        return self.query(lambda db: listing.rows(db, wanted, me, now)) or []

    def counts(self, wanted: Wanted = ALL) -> dict[str, int]:
        """Count runs by their status, however many may be listed.

        Raises:
            JournalError: They cannot be read.
        """
        return self.query(lambda db: listing.counts(db, wanted)) or {}

    def find(self, run: str) -> RunRow | None:
        """Give one run as a list shows it, without a look at the others.

        Raises:
            JournalError: It cannot be read.
        """
        me, now = myself(), self.wall()
        return self.query(lambda db: store.run_row(db, run, me, now))

    def orphans(self, most: int) -> list[RunRow]:
        """Give runs that servers are to drive and nobody does, oldest first.

        Raises:
            JournalError: They cannot be read.
        """
        me, now = myself(), self.wall()
        return self.query(lambda db: store.orphans(db, me, now, most)) or []

    def announce(self) -> None:
        """Wake who listens on the journal in other processes: there is a run to drive."""
        self._open_writer().submit(lambda db: self._backend.announce())

    def listen(self, heard: Callable[[], None]) -> None:
        """Have this called when somebody announces something, in any thread.

        It is a courtesy: whoever misses it must look by itself now and then.
        """
        self._listeners.append(heard)
        self._open_writer()

    def remove(self, runs: Sequence[str]) -> int:
        """Delete runs, and the blobs that only they used; gives the bytes that came free.

        Raises:
            Refused: One of them is owned and alive; nothing is deleted.
            JournalError: The file cannot be written.
        """
        if not self.is_there():
            return 0
        me, now = myself(), self.wall()
        freed = self.write(lambda db: store.remove_runs(db, runs, me, now))
        self.shrink()
        return freed

    def post(self, run: str, request: AnyRequest) -> int:
        """Leave a request, ring the owner's bell, and give the request's id.

        Raises:
            NotFound: No such run.
            JournalError: The file cannot be written.
        """
        row, at = encode_request(request), self.wall()
        if not self.is_there():
            raise store.no_such_run(run)
        id, bell = self.write(lambda db: store.post(db, run, row, at))
        self._ring(bell)
        return id

    def waiting(self, run: str) -> list[Posted]:
        """Give the requests to a run that its owner has not answered, oldest first.

        Raises:
            NotFound: No such run.
            JournalError: The file cannot be read.
        """
        rows = self.query(lambda db: store.waiting(db, run))
        if rows is None:
            raise store.no_such_run(run)
        posts = []
        for id, row, at in rows:
            # What cannot be read is not for us to judge: its owner refuses it, with the reason.
            with suppress(JournalError):
                posts.append(Posted(id, decode_request(row, id), at))
        return posts

    def answer(self, id: int) -> Taken | None:
        """Give the owner's answer, or None as long as there is none.

        Raises:
            JournalError: The file cannot be read.
        """
        return self.query(lambda db: store.answer_of(db, id))

    def ledger(self, changed: Callable[[], None]) -> SqlLedger:
        """Open the ledger of shared limits for the running loop."""
        return SqlLedger(self._open_writer, changed, self.wall)

    def close(self) -> None:
        """Write what is queued, give all runs up, and end the writer's thread."""
        with self._lock:
            writer, self._writer = self._writer, None
        # The writer goes last, so that it merges a file's log when no reader is in its way.
        self._close_reader()
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
