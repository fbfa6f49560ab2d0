"""The journal in one SQLite file, shared by all processes of a state folder.

A journal that is only read starts no thread and leaves no file.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from hocket.core.errors import JournalError
from hocket.journal import schema
from hocket.journal.bell import ring
from hocket.journal.logs import FileLogs
from hocket.journal.schema import Database, in_transaction
from hocket.journal.sql import LEASE, SqlJournal
from hocket.journal.sqlite_file import SqliteFile

T = TypeVar("T")

_LOG_BYTES: Final = 8 * 1024 * 1024


class SqliteJournal(SqlJournal):
    """The store of all runs of a state folder, and its inbox.

    Args:
        state: The state folder.
        lease: Seconds after which an owner of this process may be replaced that gives no sign of
            life.
        wall: Gives the instant at which something is posted; by default the machine's.

    Attributes:
        logs: What calls say, in files beside the journal's.
    """

    def __init__(
        self, state: Path, *, lease: float = LEASE, wall: Callable[[], int] = time.time_ns
    ) -> None:
        self._state = state.absolute()
        self._path = self._state / schema.FILE
        self.logs = FileLogs(self._state)
        self._wall = wall
        self._reader: sqlite3.Connection | None = None
        super().__init__(SqliteFile(self._state), lease)

    def query(self, ask: Callable[[Database], T]) -> T | None:
        """Ask the file something; None if there is no file.

        Raises:
            JournalError: The file cannot be read.
        """
        with self._lock:
            if self._reader is None:
                self._reader = schema.open_for_reading(self._state)
            if self._reader is None:
                return None
            try:
                return ask(self._reader)
            except sqlite3.Error as error:
                raise schema.journal_error(error, self._path) from error

    def write(self, work: Callable[[Database], T]) -> T:
        """Do some work in a transaction: by the writer if there is one, else right here.

        Raises:
            JournalError: The file cannot be written.
        """
        writer = self._writer
        if writer is not None:
            return writer.submit(work).result()
        db = schema.open_for_writing(self._state)
        try:
            return in_transaction(db, work)
        except sqlite3.Error as error:
            raise schema.journal_error(error, self._path) from error
        finally:
            db.close()

    def shrink(self) -> None:
        """Give free pages back to the disk, in pieces, so that no other process waits long."""
        while self.write(schema.shrink):
            continue

    def check_room(self, size: int) -> None:
        """See that so many bytes fit, before a large file takes the room that events need.

        Raises:
            JournalError: They do not.
        """
        # Bytes pass through SQLite's log, which is merged into the file every few MiB.
        disk = os.statvfs(self._state)
        if disk.f_bavail * disk.f_frsize < size + min(size, _LOG_BYTES) + schema.RESERVE_BYTES:
            raise JournalError(
                f"the disk of {self._state} is full: a file of {size:,} bytes cannot be stored"
            )

    def wall(self) -> int:
        """Give the machine's time."""
        return self._wall()

    def is_there(self) -> bool:
        """Tell whether there is a file."""
        return self._path.exists()

    def ring(self, name: str) -> None:
        """Wake the owner of that bell."""
        ring(self._state, name)

    def close_reader(self) -> None:
        """Let go of what answers queries."""
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
