"""The figures of a state folder's runs, read from the journal and kept as far as they were read."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from hocket.core.errors import NotFound
from hocket.insight.indicators import Figures
from hocket.journal.base import RunRow, Store, Wanted

KEPT: Final = 5_000
"""Of so many runs the figures are kept, those whose last event is the newest."""
_SLICE: Final = 1_000
"""After so many events others have a turn."""
_RUN: Final = 20
"""To begin with a run costs as much as so many events."""


class Indicators:
    """Folds the figures of runs; what was read once is not read again.

    Args:
        store: The journal.
        kept: Of how many runs the figures are kept; of others they are read anew when wanted.
    """

    def __init__(self, store: Store, kept: int = KEPT) -> None:
        self._store = store
        self._kept = kept
        self._known: dict[str, tuple[int, Figures]] = {}
        self._lock = threading.Lock()
        """Whoever reads does so in a thread, and not everybody waits for it to end."""

    def rows(self, since: int, most: int | None = None, also: Collection[str] = ()) -> list[RunRow]:
        """List the runs that began at some instant or later, whose last event is the newest first.

        Args:
            since: The instant.
            most: The most runs.
            also: Runs that are to be there whatever else there is.

        Raises:
            JournalError: The journal cannot be read.
        """
        found = self._store.runs(Wanted(since=since))
        found.sort(key=lambda row: row.updated, reverse=True)
        first = found if most is None else found[:most]
        rows = first + [row for row in found[len(first) :] if row.id in also]
        with self._lock:
            self._forget({row.id for row in found[: self._kept]}.union(also))
        return rows

    def _forget(self, keep: Collection[str]) -> None:
        """Let figures of other runs go, those first that were read long ago."""
        for run in list(self._known):
            if len(self._known) <= self._kept:
                return
            if run not in keep:
                del self._known[run]

    def read(self, rows: Collection[RunRow], found: dict[str, Figures]) -> Iterator[None]:
        """Read what has been recorded since the last time, and give others a turn now and then.

        Args:
            rows: The runs.
            found: Where their figures go, by id; a run that was removed has none.

        Raises:
            JournalError: The journal cannot be read.
        """
        cost = 0
        for row in rows:
            while self._known.get(row.id, (0, None))[0] < row.events:
                with self._lock:
                    read = self._take(row.id, max(1, _SLICE - cost))
                cost += _RUN + read
                if cost >= _SLICE:
                    yield
                    cost = 0
                if not read:
                    break
            known = self._known.get(row.id)
            if known is not None:
                found[row.id] = known[1]

    def figures(self, since: int) -> dict[str, Figures]:
        """Give the figures of the runs that began at some instant or later, by id.

        It reads what has been recorded since the last time, and takes as long.

        Raises:
            JournalError: The journal cannot be read.
        """
        found: dict[str, Figures] = {}
        for _ in self.read(self.rows(since), found):
            continue
        return found

    def known(self, run: str) -> Figures | None:
        """Give a run's figures as they were last read; None if they never were, or are not kept."""
        known = self._known.get(run)
        return None if known is None else known[1]

    def _take(self, run: str, most: int) -> int:
        """Take in the next events of a run; gives how many there were."""
        seq, figures = self._known.get(run) or (0, Figures())
        count = 0
        try:
            for recorded in islice(self._store.read(run, seq), most):
                figures.add(recorded.event)
                seq, count = recorded.seq, count + 1
        except NotFound:
            # It was removed since it was listed.
            self._known.pop(run, None)
            return 0
        if count:
            self._known[run] = seq, figures
        return count
