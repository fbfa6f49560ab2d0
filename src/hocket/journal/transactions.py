"""The writer's transactions, each done once, also if the connection is lost and found again.

A file's connection is never found again: what fails there is a failure.
After a server's connection was lost while a commit was under way, nobody knows what has become of
that; on the next connection the server is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from hocket.core.errors import HocketError, JournalError
from hocket.journal import store
from hocket.journal.backend import Backend, Connection
from hocket.journal.keeper import Keeper, Port
from hocket.journal.notes import Notes
from hocket.journal.schema import Database, Unreachable
from hocket.journal.stake import Stake
from hocket.journal.store import Append


class Job(NamedTuple):
    """Work for a transaction of its own.

    Fields:
        work: What is to be done.
        future: Who waits for its result.
        stake: The stake whose work it is, or None if it is none of the ledger's.
    """

    work: Callable[[Database], Any]
    future: Future[Any]
    stake: Stake | None


class Transactions:
    """What the writer does with its connection.

    Args:
        backend: The database.
        keeper: The runs and stakes of this process.
        notes: What is to be written besides.
    """

    def __init__(self, backend: Backend, keeper: Keeper, notes: Notes) -> None:
        self._backend = backend
        self._keeper = keeper
        self._notes = notes

    def is_undone(self, error: Exception) -> bool:
        """Tell whether what failed so is undone, and nothing else is wrong."""
        backend = self._backend
        return backend.undoes and not backend.is_cut(error) and not backend.is_full(error)

    def drop(self, db: Connection, ports: Collection[Port], error: Exception) -> None:
        """Give up the runs of which something could not be written; the others go on.

        Raises:
            JournalError: The connection was lost for good.
        """
        for port in ports:
            self._keeper.ports.pop(port.key, None)

        def release(db: Database) -> None:
            for port in ports:
                store.release_run(db, port.key, port.epoch)

        try:
            self._backend.transact(db, release)
        except self._backend.failures as second:
            # The next sign of life does it, or the lease.
            error.add_note(f"the runs could not be given up: {second}")
        for port in ports:
            port.fail(self._backend.explain(error))

    def mend(self, db: Connection, error: Exception) -> None:
        """Connect again if that may help.

        Raises:
            JournalError: It did not.
        """
        if not self._backend.is_cut(error):
            raise error
        self._backend.mend(db, error)

    def commit(self, db: Connection, appends: Sequence[Append]) -> set[int]:
        """Write appends and what was noted; gives the runs that are lost.

        Raises:
            JournalError: The connection was lost for good.
        """
        unsure = False
        while True:
            try:
                if unsure:
                    lost = store.outcome(db, appends)
                    if lost is not None:
                        # What was noted was in the same transaction.
                        self._notes.forget()
                        return lost
                    unsure = False
                if not self._notes:
                    return store.commit(db, appends)
                return self._notes.write_after(db, lambda db: store.write_owned(db, appends))
            except self._backend.failures as error:
                unsure = unsure or (self._backend.is_cut(error) and db.unsure)
                self.mend(db, error)

    def work(self, db: Connection, job: Job) -> None:
        """Do a job, and tell who waits for it what became of it.

        Raises:
            JournalError: The connection was lost for good.
        """
        if not job.future.set_running_or_notify_cancel():
            return
        while not self._tried(db, job):
            continue

    def _tried(self, db: Connection, job: Job) -> bool:
        """Try a job; tells whether it is done with, and has not to be tried on a new connection."""
        try:
            if job.stake is None:
                result = self._backend.transact(db, job.work)
            else:
                self._keeper.join(job.stake)
                self._arrive(db, job.stake)
                result = self._notes.write_before(db, job.stake, job.work)
        except Unreachable as error:
            job.future.set_exception(error)
            raise
        except (HocketError, ValueError) as error:
            job.future.set_exception(error)
        except self._backend.failures as error:
            if self._backend.is_cut(error):
                self._mend_for(db, job, error)
                return False
            job.future.set_exception(self._backend.explain(error))
            # Undone, and the disk keeps its promises: only this work has failed.
            if not (self._backend.is_full(error) or self.is_undone(error)):
                raise
        except Exception as error:
            # A mistake of ours in this work, which is undone: whoever waits for it is told.
            failure = JournalError(f"the journal could not do what it was asked: {error!r}")
            failure.__cause__ = error
            job.future.set_exception(failure)
        else:
            job.future.set_result(result)
        return True

    def _arrive(self, db: Connection, stake: Stake) -> None:
        if not stake.known:
            try:
                self._backend.transact(db, stake.arrive)
            except BaseException:
                stake.undo()
                raise
            stake.commit()

    def _mend_for(self, db: Connection, job: Job, error: Exception) -> None:
        """Connect again for a job that is then done once more.

        What is asked of the ledger means the same if it is asked twice.
        """
        try:
            self._backend.mend(db, error)
        except JournalError as failure:
            job.future.set_exception(failure)
            raise
