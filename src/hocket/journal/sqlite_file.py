"""The SQLite file of a state folder, as the journal's writer sees it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, cast

from hocket.core.errors import JournalError
from hocket.journal import schema
from hocket.journal.backend import Connection
from hocket.journal.bell import Bell, ring
from hocket.journal.schema import Database, NoRoom, in_transaction

T = TypeVar("T")


class SqliteFile:
    """The journal's file, its reserve, and the bells beside it.

    Args:
        state: The state folder.
    """

    failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError)
    undoes = False

    def __init__(self, state: Path) -> None:
        self.path: Final = state / schema.FILE
        self._state = state

    def open(self) -> Connection:
        """Open the file for writing, making whatever is missing.

        Raises:
            JournalError: The folder cannot be written, or the file is not a journal of ours.
        """
        return cast(Connection, schema.open_for_writing(self._state))

    def prepare(self, db: Connection, *, anew: bool) -> None:
        """Set room aside, and merge the log that had grown while nobody wrote."""
        try:
            schema.make_reserve(self._state)
        except OSError:
            if anew:
                # There is less room than the disk says.
                raise
            # Almost full already: runs go on as long as they can, only without a reserve.
            schema.free_reserve(self._state)
        if anew:
            self.merge(db)

    def merge(self, db: Connection) -> None:
        """Merge the log into the file."""
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def beat(self, db: Connection) -> None:
        """Nothing is to be done now and then."""

    def explain(self, error: Exception) -> JournalError:
        """Say in one sentence what is wrong with the file, and what to do."""
        assert isinstance(error, sqlite3.Error | OSError)
        return schema.journal_error(error, self.path)

    def is_full(self, error: Exception) -> bool:
        """Tell whether an error means that the disk is full."""
        assert isinstance(error, sqlite3.Error | OSError)
        return schema.is_full(error, self.path)

    def make_room(self) -> None:
        """Give the reserve back."""
        schema.free_reserve(self._state)

    def may_begin_anew(self, failure: JournalError) -> bool:
        """Tell whether there is room again where room was all that was missing."""
        return isinstance(failure, NoRoom) and schema.is_room(self._state)

    def is_cut(self, error: Exception) -> bool:
        """A file's connection is never cut."""
        return False

    def mend(self, db: Connection, error: Exception) -> None:
        """A file's connection is never mended: after a failed sync nobody knows what is on disk.

        Raises:
            JournalError: Always.
        """
        raise self.explain(error) from error

    def transact(self, db: Connection, work: Callable[[Database], T]) -> T:
        """Do some work in a transaction.

        Raises:
            sqlite3.Error: It failed, and nothing of it is done.
        """
        return in_transaction(db, work)

    def wall(self) -> int:
        """Give the machine's time."""
        return time.time_ns()

    def lapsed_before(self) -> int:
        """A file is there for all who renew a lease in it."""
        return self.wall()

    def bell(self, on_ring: Callable[[], None]) -> Bell:
        """Give a bell in the state folder."""
        return Bell(self._state, on_ring)

    def ring(self, *names: str) -> None:
        """Wake the owners of those bells, if they are there to be woken."""
        for name in names:
            ring(self._state, name)

    def announce(self) -> None:
        """Wake all that have a bell in the state folder."""
        for path in self._state.glob("bell-*"):
            ring(self._state, path.name)
