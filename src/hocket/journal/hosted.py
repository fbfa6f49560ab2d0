"""Which runs servers drive, so that the next server goes on with what one was driving.

A run is noted before it begins and struck off when it has ended, or when somebody else takes it
over on purpose; a note of a run that never began does no harm.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hocket.journal.schema import Database, one, text
from hocket.journal.sql_access import SqlAccess

ADD: Final = "INSERT OR IGNORE INTO hosted (run) VALUES (?)"
DROP: Final = "DELETE FROM hosted WHERE run = ?"
ALL: Final = "SELECT run FROM hosted ORDER BY run"
HAS: Final = "SELECT 1 FROM hosted WHERE run = ?"
IS_THERE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'hosted'"


class SqlHosted:
    """The notes in the journal's database."""

    def __init__(self, journal: SqlAccess) -> None:
        self._journal = journal

    def all(self) -> list[str]:
        """Give the runs that are noted, by their ids.

        Raises:
            JournalError: They cannot be read.
        """
        return self._journal.query(_all) or []

    async def has(self, run: str) -> bool:
        """Tell whether a run is noted.

        Raises:
            JournalError: It cannot be read.
        """
        return bool(await asyncio.to_thread(self._journal.query, lambda db: _has(db, run)))

    async def add(self, run: str) -> None:
        """Note that a server drives a run; it is durable when this returns.

        Raises:
            JournalError: It could not be written.
        """
        await asyncio.to_thread(self._journal.write, lambda db: _change(db, ADD, run))

    async def drop(self, run: str) -> None:
        """Note that no server is to go on with a run.

        Raises:
            JournalError: It could not be written.
        """
        await asyncio.to_thread(self._journal.write, lambda db: _change(db, DROP, run))


class MemoryHosted:
    """The notes in memory."""

    def __init__(self) -> None:
        self.noted: set[str] = set()

    def all(self) -> list[str]:
        """Give the runs that are noted, by their ids."""
        return sorted(self.noted)

    async def has(self, run: str) -> bool:
        """Tell whether a run is noted."""
        return run in self.noted

    async def add(self, run: str) -> None:
        """Note that a server drives a run."""
        self.noted.add(run)

    async def drop(self, run: str) -> None:
        """Note that no server is to go on with a run."""
        self.noted.discard(run)


def _all(db: Database) -> list[str]:
    # A file of an older format that cannot be written is read as it is.
    if one(db.execute(IS_THERE)) is None:
        return []
    return [text(run) for (run,) in db.execute(ALL).fetchall()]


def _has(db: Database, run: str) -> bool:
    return one(db.execute(IS_THERE)) is not None and one(db.execute(HAS, (run,))) is not None


def _change(db: Database, sql: str, run: str) -> None:
    db.execute(sql, (run,))
