"""What was noted for the ledger of shared limits, and waits for the next commit.

Nobody waits for a note, so it is no reason for a commit of its own; but others may wait for what it
gives back, and then it is written at once.
It belongs to the writer's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from hocket.journal.schema import Database, in_transaction
from hocket.journal.stake import Note, Stake

T = TypeVar("T")


class Notes:
    """Notes in the order in which they came."""

    def __init__(self) -> None:
        self._noted: list[tuple[Stake, Note]] = []
        self._until = 0.0

    def __bool__(self) -> bool:
        return bool(self._noted)

    def add(self, stake: Stake, note: Note, pause: float) -> None:
        """Keep a note for the next commit, but no longer than so many seconds."""
        if not self._noted:
            self._until = time.monotonic() + pause
        self._noted.append((stake, note))

    def patience(self) -> float | None:
        """Give the seconds until they are to be written in any case, or None if there are none."""
        return max(0.0, self._until - time.monotonic()) if self._noted else None

    def pressing(self) -> bool:
        """Tell whether they are to be written even if nothing else is."""
        return self.patience() == 0.0 or any(stake.company for stake, _ in self._noted)

    def forget(self) -> None:
        """Let go of all: it is written, as has turned out."""
        self._noted.clear()

    def write_after(self, db: Database, work: Callable[[Database], T]) -> T:
        """Do some work in a transaction, and then write what was noted.

        So it is with appends: their claims are older than what was noted of the same calls.
        """

        def whole(db: Database) -> T:
            result = work(db)
            self._write(db)
            return result

        return self._commit(db, whole, None)

    def write_before(self, db: Database, stake: Stake, work: Callable[[Database], T]) -> T:
        """Write in a transaction what was noted, and then do some work of a stake."""

        def whole(db: Database) -> T:
            self._write(db)
            return work(db)

        return self._commit(db, whole, stake)

    def _write(self, db: Database) -> None:
        notes: dict[Stake, list[Note]] = {}
        for stake, note in self._noted:
            notes.setdefault(stake, []).append(note)
        for stake, of_stake in notes.items():
            stake.apply(db, of_stake)

    def _commit(self, db: Database, work: Callable[[Database], T], stake: Stake | None) -> T:
        stakes = dict.fromkeys(each for each, _ in self._noted)
        if stake is not None:
            stakes[stake] = None
        try:
            result = in_transaction(db, work)
        except BaseException:
            for each in stakes:
                each.undo()
            raise
        self._noted.clear()
        for each in stakes:
            each.commit()
        return result
