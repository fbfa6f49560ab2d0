"""The figures of a state folder's runs, read from the journal and kept as far as they were read."""

from __future__ import annotations

from hocket.core.errors import NotFound
from hocket.insight.indicators import Figures
from hocket.journal.base import RunRow, Store


class Indicators:
    """Folds the figures of runs; what was read once is not read again.

    Args:
        store: The journal.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[int, Figures]] = {}

    def figures(self, since: int) -> dict[str, Figures]:
        """Give the figures of the runs that began at some instant or later, by id.

        It reads what has been recorded since the last time, and takes as long.

        Raises:
            JournalError: The journal cannot be read.
        """
        rows = [row for row in self._store.runs() if row.created >= since]
        found = {}
        for row in rows:
            figures = self._of(row)
            if figures is not None:
                found[row.id] = figures
        gone = self._known.keys() - found.keys()
        for run in gone:
            del self._known[run]
        return found

    def known(self, run: str) -> Figures | None:
        """Give a run's figures as they were last read; None if they never were."""
        known = self._known.get(run)
        return None if known is None else known[1]

    def _of(self, row: RunRow) -> Figures | None:
        seq, figures = self._known.get(row.id, (0, Figures()))
        if row.events <= seq:
            return figures
        try:
            for recorded in self._store.read(row.id, seq):
                figures.add(recorded.event)
                seq = recorded.seq
        except NotFound:
            # It was removed since it was listed.
            return None
        self._known[row.id] = seq, figures
        return figures
