"""The writer thread: everything that a process writes into its journal goes through it.

A batch is whatever was queued while the previous commit was on its way to the disk: there is no
timer to wait for, and a slow disk makes larger batches.
A failed write is never tried again: after a failed sync nobody knows what is on disk.
Only a server's connection may be lost and found again: then it can be asked what it has committed.
What a server could not do it has undone: that ends what was to be written, and nothing else.
Where what was missing is there again, as room on the disk, the writer begins anew: for logs that
are opened from then on; those that were open stay failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from hocket.core.errors import JournalError
from hocket.journal.backend import Backend, Bell, Connection
from hocket.journal.keeper import Keeper, Port
from hocket.journal.notes import Notes
from hocket.journal.schema import Database
from hocket.journal.stake import Note, Stake
from hocket.journal.store import Append
from hocket.journal.transactions import Job, Transactions

T = TypeVar("T")


class _Queued(NamedTuple):
    port: Port
    append: Append


class _Noted(NamedTuple):
    stake: Stake
    note: Note


class _Look:
    """Asks for a look at the inbox."""


class _Stop:
    """Asks for the end, after all that was queued before."""


_Item: TypeAlias = _Queued | Job | _Noted | _Look | _Stop


class Writer:
    """One thread with the one connection that writes.

    Args:
        backend: The database.
        lease: For how many seconds an owner is believed to live that gives no sign of life.
        heard: Is called, in another thread, when somebody has rung the bell.

    Attributes:
        keeper: The runs that this process owns; only for use within submitted work.
    """

    def __init__(self, backend: Backend, lease: float, heard: Callable[[], None]) -> None:
        self.keeper: Final = Keeper(lease, backend)
        self._backend = backend
        self._heard = heard
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._failure: JournalError | None = None
        self._door = threading.Lock()
        self._closed = False
        self._stopping = False
        self._bell: Bell | None = None
        self._first: list[_Item] = []
        """What is taken before what is queued."""
        self._notes = Notes()
        self._once = Transactions(backend, self.keeper, self._notes)
        self._thread = threading.Thread(target=self._main, name="hocket-writer", daemon=True)
        self._thread.start()

    # ---- called from any thread ----

    def append(self, port: Port, append: Append) -> None:
        """Queue events for the next commit.

        Raises:
            JournalError: Nothing is written any more.
        """
        if self._failure is not None:
            raise type(self._failure)(*self._failure.args)
        self._queue.put(_Queued(port, append))

    def submit(self, work: Callable[[Database], T], stake: Stake | None = None) -> Future[T]:
        """Queue work for a transaction of its own; it sees all that was queued before.

        With a stake it is work on the ledger, and sees what was noted before.

        Raises:
            JournalError: The journal is closed.
        """
        future: Future[T] = Future()
        with self._door:
            if self._closed:
                raise JournalError("the journal is closed")
            self._queue.put(Job(work, future, stake))
        return future

    def note(self, stake: Stake, note: Note) -> None:
        """Have something written with the next commit, and soon if others may wait for it."""
        self._queue.put(_Noted(stake, note))

    def look(self) -> None:
        """Ask for a look at the inbox, and at the ledger."""
        self._queue.put(_Look())

    def close(self) -> None:
        """Write what is queued, give all runs up, merge the log into the file, end the thread."""
        with self._door:
            self._closed = True
            self._queue.put(_Stop())
        self._thread.join()

    # ---- the thread ----

    def _main(self) -> None:
        try:
            while True:
                self._write()
                if not self._refuse():
                    return
        finally:
            if self._bell is not None:
                self._bell.close()

    def _write(self) -> None:
        """Write what is queued until the end, or a failure."""
        try:
            db = self._backend.open()
        except JournalError as error:
            self._failure = error
            return
        except Exception as error:
            self._failure = JournalError(f"the journal's writer could not begin: {error!r}")
            return
        try:
            self._prepare(db)
            while not self._stopping:
                self._turn(db, self._take())
            self._finish(db)
        except self._backend.failures as error:
            self._break(db, error)
        except JournalError as error:
            self._end(error)
        except Exception as error:
            # A mistake of ours: told to all who wait, who would otherwise wait for ever.
            self._end(JournalError(f"the journal's writer stopped: {error!r}"))
        finally:
            db.close()

    def _prepare(self, db: Connection) -> None:
        if self._bell is None:
            self._bell = self._backend.bell(self._rung)
            self.keeper.bell = self._bell.name
        self._backend.prepare(db, anew=self._failure is not None)
        if self._failure is not None:
            self._give_up(db)
            self.keeper.begin_anew()
            self._notes.forget()
            self._failure = None

    def _rung(self) -> None:
        self.look()
        self._heard()

    def _take(self) -> list[_Item]:
        if self._first:
            first, self._first = self._first, []
            return first
        pauses = (self.keeper.until_look(), self._notes.patience())
        pause = min((seconds for seconds in pauses if seconds is not None), default=None)
        try:
            items = [self._queue.get(timeout=pause)]
        except Empty:
            return []
        items += [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        return items

    def _turn(self, db: Connection, items: Sequence[_Item]) -> None:
        batch: list[_Queued] = []
        try:
            for item in items:
                if isinstance(item, _Queued):
                    batch.append(item)
                    continue
                if isinstance(item, _Noted):
                    self.keeper.join(item.stake)
                    self._notes.add(item.stake, item.note, self.keeper.pause)
                    continue
                ready, batch = batch, []
                self._commit(db, ready)
                if isinstance(item, Job):
                    self._once.work(db, item)
                elif isinstance(item, _Look):
                    self.keeper.look_soon()
                else:
                    self._stopping = True
            self._commit(db, batch, notes=self._stopping or self._notes.pressing())
        except BaseException:
            for item in items:
                self._requeue(item)
            raise
        try:
            self.keeper.look(db)
        except self._backend.failures as error:
            # It looks again before long; if it never can, others take its runs over.
            if not self._once.is_undone(error):
                self._once.mend(db, error)

    def _requeue(self, item: _Item) -> None:
        """Whoever still waits for an answer gets a refusal from `_refuse`."""
        if isinstance(item, _Stop) or (isinstance(item, Job) and not item.future.done()):
            self._queue.put(item)

    def _commit(self, db: Connection, batch: Sequence[_Queued], *, notes: bool = False) -> None:
        batch = [item for item in batch if not item.port.dead]
        if not batch and not (self._notes and notes):
            return
        try:
            lost = self._once.commit(db, [item.append for item in batch])
        except self._backend.failures as error:
            if not batch or not self._once.is_undone(error):
                raise
            self._once.drop(db, {item.port for item in batch}, error)
            return
        last = {item.port: item.append.first + len(item.append.events) - 1 for item in batch}
        for port, seq in last.items():
            if port.key in lost:
                self.keeper.lose(port)
            else:
                port.tell(port.progress.confirm, seq)

    def _finish(self, db: Connection) -> None:
        self._give_up(db)
        self._end(JournalError("the journal is closed"))
        self._backend.merge(db)

    def _give_up(self, db: Connection) -> None:
        self._backend.transact(db, self.keeper.release_all)
        for stake in self.keeper.stakes:
            stake.commit()

    def _break(self, db: Connection, error: Exception) -> None:
        """Nothing is written any more; on a full disk the reserve makes room to give runs up."""
        if self._backend.is_full(error):
            self._backend.make_room()
            try:
                self._give_up(db)
            except Exception as second:
                # Then the lease gives them up, or this process does by ending.
                error.add_note(f"the runs could not be given up: {second}")
        self._end(self._backend.explain(error))

    def _end(self, failure: JournalError) -> None:
        self._failure = failure
        self.keeper.end(failure)

    def _refuse(self) -> bool:
        """Answer everybody who comes after a failure, until the journal is closed.

        Gives whether to begin anew: somebody wants to write, and there is room again.
        """
        failure = self._failure or JournalError("the journal is closed")
        for item in self._first:
            # It has not come to them.
            self._answer(item, failure)
        self._first = []
        while not (self._stopping and self._queue.empty()):
            item = self._queue.get()
            wanted = isinstance(item, Job) and not self._stopping
            if wanted and self._backend.may_begin_anew(failure):
                self._first = [item]
                return True
            self._answer(item, failure)
        return False

    def _answer(self, item: _Item, failure: JournalError) -> None:
        if isinstance(item, _Stop):
            self._stopping = True
        elif isinstance(item, _Queued):
            item.port.fail(failure)
        elif isinstance(item, Job) and _is_awaited(item.future):
            item.future.set_exception(type(failure)(*failure.args))


def _is_awaited(future: Future[Any]) -> bool:
    """Tell whether somebody waits for a result, also of what was begun and has failed since."""
    return future.running() or future.set_running_or_notify_cancel()
