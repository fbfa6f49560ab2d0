"""The writer thread: everything that a process writes into its journal goes through it.

A batch is whatever was queued while the previous commit was on its way to the disk: there is no
timer to wait for, and a slow disk makes larger batches.
A failed write is never tried again: after a failed sync nobody knows what is on disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from hocket.core.errors import HocketError, JournalError, OwnershipLost
from hocket.journal import schema, store
from hocket.journal.base import Posted
from hocket.journal.bell import Bell
from hocket.journal.codec import Encoded, decode_request
from hocket.journal.owner import myself
from hocket.journal.progress import Progress
from hocket.journal.schema import Database
from hocket.journal.store import Append, Claim

T = TypeVar("T")

POLL_SECONDS: Final = 0.5
"""How often the inbox is looked at when no bell rings."""

HEARTBEATS: Final = 5
"""How often a lease is renewed before it would lapse."""


class Port:
    """An owned run as the writer sees it; what it tells goes to the run's loop.

    Attributes:
        told: The last request that the owner was told of; only the writer thread uses it.
        dead: Whether its writing has ended; what is still queued for it is dropped.
    """

    def __init__(self, run: str, claim: Claim, loop: asyncio.AbstractEventLoop) -> None:
        self.run = run
        self.key = claim.run
        self.epoch = claim.epoch
        self.progress = Progress(claim.seq)
        self.told = 0
        self.dead = False
        self._loop = loop

    def tell(self, callback: Callable[..., None], *arguments: object) -> None:
        """Have the run's loop call this."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop was closed under its run: nobody is left who could be told.
            self.dead = True

    def fail(self, failure: JournalError | OwnershipLost) -> None:
        """Tell that nothing more will be written."""
        if not self.dead:
            self.dead = True
            self.tell(self.progress.fail, failure)


class _Queued(NamedTuple):
    port: Port
    append: Append


class _Job(NamedTuple):
    work: Callable[[Database], Any]
    future: Future[Any]


class _Look:
    """Asks for a look at the inbox."""


class _Stop:
    """Asks for the end, after all that was queued before."""


class Writer:
    """One thread with the one connection that writes.

    Attributes:
        me: This process, as an owner.
    """

    def __init__(self, state: Path, lease: float) -> None:
        self.me = myself()
        self._state = state
        self._lease = round(lease * 1e9)
        self._pause = min(POLL_SECONDS, lease / HEARTBEATS)
        self._queue: SimpleQueue[_Queued | _Job | _Look | _Stop] = SimpleQueue()
        self._ports: dict[int, Port] = {}
        self._failure: JournalError | None = None
        self._door = threading.Lock()
        self._closed = False
        self._stopping = False
        self._owner = 0
        self._bell: Bell | None = None
        self._next_look = 0.0
        self._next_heartbeat = 0.0
        self._thread = threading.Thread(target=self._main, name="hocket-writer", daemon=True)
        self._thread.start()

    # ---- called from any thread ----

    def append(self, port: Port, append: Append) -> None:
        """Queue events for the next commit.

        Raises:
            JournalError: Nothing is written any more.
        """
        if self._failure is not None:
            raise JournalError(*self._failure.args)
        self._queue.put(_Queued(port, append))

    def submit(self, work: Callable[[Database], T]) -> Future[T]:
        """Queue work for a transaction of its own; it sees all that was queued before.

        Raises:
            JournalError: The journal is closed.
        """
        future: Future[T] = Future()
        with self._door:
            if self._closed:
                raise JournalError("the journal is closed")
            self._queue.put(_Job(work, future))
        return future

    def look(self) -> None:
        """Ask for a look at the inbox."""
        self._queue.put(_Look())

    def create(self, first: Encoded, id: str, name: str, at: int) -> Callable[[Database], Claim]:
        """Give the work that creates a run owned by this process."""

        def work(db: Database) -> Claim:
            return store.create_run(db, first, id, name, at, self._enrol(db))

        return work

    def claim(self, id: str) -> Callable[[Database], Claim]:
        """Give the work that takes a run over."""

        def work(db: Database) -> Claim:
            return store.claim_run(db, id, self._enrol(db), self.me, time.time_ns())

        return work

    def adopt(self, port: Port) -> None:
        """Keep a claimed run's lease and inbox from now on; called by a job, in the thread."""
        self._ports[port.key] = port
        self._next_look = 0.0

    def release(self, port: Port) -> Callable[[Database], None]:
        """Give the work that gives a run up."""

        def work(db: Database) -> None:
            port.dead = True
            self._ports.pop(port.key, None)
            store.release_run(db, port.key, port.epoch)

        return work

    def close(self) -> None:
        """Write what is queued, give all runs up, merge the log into the file, end the thread."""
        with self._door:
            self._closed = True
            self._queue.put(_Stop())
        self._thread.join()

    # ---- the thread ----

    def _main(self) -> None:
        path = self._state / schema.FILE
        try:
            db = schema.open_for_writing(self._state)
        except JournalError as error:
            self._failure = error
        else:
            try:
                self._prepare()
                while not self._stopping:
                    self._turn(db, self._take())
                self._finish(db)
            except (sqlite3.Error, OSError) as error:
                self._break(db, error, path)
            except Exception as error:
                # A mistake of ours: told to all who wait, who would otherwise wait for ever.
                self._end(JournalError(f"the journal's writer stopped: {error!r}"))
            finally:
                if self._bell is not None:
                    self._bell.close()
                db.close()
        self._refuse_the_rest()

    def _prepare(self) -> None:
        self._bell = Bell(self._state, self.look)
        try:
            schema.make_reserve(self._state)
        except OSError:
            # Almost full already: runs go on as long as they can, only without a reserve.
            schema.free_reserve(self._state)

    def _take(self) -> list[_Queued | _Job | _Look | _Stop]:
        timeout = max(0.0, self._next_look - time.monotonic()) if self._ports else None
        try:
            items = [self._queue.get(timeout=timeout)]
        except Empty:
            return []
        items += [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        return items

    def _turn(
        self, db: sqlite3.Connection, items: Sequence[_Queued | _Job | _Look | _Stop]
    ) -> None:
        batch: list[_Queued] = []
        try:
            for item in items:
                if isinstance(item, _Queued):
                    batch.append(item)
                    continue
                ready, batch = batch, []
                self._commit(db, ready)
                if isinstance(item, _Job):
                    self._work(db, item)
                elif isinstance(item, _Look):
                    self._next_look = 0.0
                else:
                    self._stopping = True
            ready, batch = batch, []
            self._commit(db, ready)
        except BaseException:
            for item in items:
                self._requeue(item)
            raise
        if self._ports and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + self._pause
            self._renew(db)
            self._deliver(db)

    def _requeue(self, item: _Queued | _Job | _Look | _Stop) -> None:
        """Whoever still waits for an answer gets a refusal from `_refuse_the_rest`."""
        if isinstance(item, _Stop) or (isinstance(item, _Job) and not item.future.done()):
            self._queue.put(item)

    def _commit(self, db: Database, batch: Sequence[_Queued]) -> None:
        batch = [item for item in batch if not item.port.dead]
        if not batch:
            return
        lost = store.commit(db, [item.append for item in batch])
        last = {item.port: item.append.first + len(item.append.events) - 1 for item in batch}
        for port, seq in last.items():
            if port.key in lost:
                self._lose(port)
            else:
                port.tell(port.progress.confirm, seq)

    def _lose(self, port: Port) -> None:
        self._ports.pop(port.key, None)
        port.fail(
            OwnershipLost(
                f"run {port.run} was taken over by another process while this one did not answer; "
                "this one has stopped working on it"
            )
        )

    def _work(self, db: sqlite3.Connection, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            result = in_transaction(db, job.work)
        except (HocketError, ValueError) as error:
            job.future.set_exception(error)
        except (sqlite3.Error, OSError) as error:
            path = self._state / schema.FILE
            job.future.set_exception(schema.journal_error(error, path))
            # Undone, and the disk keeps its promises: only this work has failed.
            if not schema.is_full(error, path):
                raise
        else:
            job.future.set_result(result)

    def _enrol(self, db: Database) -> int:
        bell = self._bell.name if self._bell is not None else ""
        self._owner = store.enrol(db, self._owner, self.me, bell, time.time_ns(), self._lease)
        self._next_heartbeat = time.monotonic() + self._lease / 1e9 / HEARTBEATS
        return self._owner

    def _renew(self, db: sqlite3.Connection) -> None:
        if time.monotonic() < self._next_heartbeat:
            return
        in_transaction(db, self._enrol)
        owned = store.owned_by(db, self._owner)
        for port in list(self._ports.values()):
            if owned.get(port.key) != port.epoch:
                self._lose(port)

    def _deliver(self, db: Database) -> None:
        """Tell each owner of the requests that it has not been told of."""
        listening = [port for port in self._ports.values() if port.progress.on_posted is not None]
        if not listening:
            return
        fresh: dict[int, list[Posted]] = {}
        for id, run, request in store.unanswered(db, min(port.told for port in listening)):
            port = self._ports.get(run)
            if port is None or id <= port.told or port.progress.on_posted is None:
                continue
            port.told = id
            try:
                fresh.setdefault(run, []).append(Posted(id, decode_request(request, id)))
            except JournalError as error:
                db.execute(store.ANSWER, (str(error), id, run))
        for run, posts in fresh.items():
            port = self._ports[run]
            port.tell(port.progress.posted, tuple(posts))

    def _finish(self, db: sqlite3.Connection) -> None:
        owned = list(self._ports.values())
        in_transaction(db, lambda db: _release(db, owned))
        self._end(JournalError("the journal is closed"))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _break(self, db: sqlite3.Connection, error: sqlite3.Error | OSError, path: Path) -> None:
        """Nothing is written any more; on a full disk the reserve makes room to give runs up."""
        owned = list(self._ports.values())
        self._end(schema.journal_error(error, path))
        if schema.is_full(error, path):
            schema.free_reserve(self._state)
            try:
                in_transaction(db, lambda db: _release(db, owned))
            except sqlite3.Error as second:
                # Then the lease gives them up: 15 seconds later, or at once when this process ends.
                self._failure = schema.journal_error(second, path)

    def _end(self, failure: JournalError) -> None:
        self._failure = failure
        for port in self._ports.values():
            port.fail(failure)
        self._ports.clear()

    def _refuse_the_rest(self) -> None:
        """Answer everybody who comes after a failure, until the journal is closed."""
        failure = self._failure or JournalError("the journal is closed")
        while True:
            if self._stopping and self._queue.empty():
                return
            item = self._queue.get()
            if isinstance(item, _Stop):
                self._stopping = True
            elif isinstance(item, _Queued):
                item.port.fail(failure)
            elif isinstance(item, _Job) and item.future.set_running_or_notify_cancel():
                item.future.set_exception(JournalError(*failure.args))


def _release(db: Database, ports: Sequence[Port]) -> None:
    for port in ports:
        store.release_run(db, port.key, port.epoch)


def in_transaction(db: sqlite3.Connection, work: Callable[[Database], T]) -> T:
    """Do some work all or not at all.

    Raises:
        sqlite3.Error: The database failed; nothing was changed.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        store.roll_back(db)
        raise
    return result
