"""All runs that are watched, and the list of runs: each read once, however many look on."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from hocket.app.run import Run
from hocket.core.errors import JournalError, Refused
from hocket.journal.base import RunRow, Store, Wanted
from hocket.report.board import Board
from hocket.server.feed import Feed, Listener

MOST_FEEDS: Final = 200
"""The most runs that are watched at once."""
MOST_KEPT: Final = 60_000
"""The most rows of runs that nobody watches any more; the one looked at last is always kept."""
MOST_LISTED: Final = 2_000
"""The most runs in the list that is watched, the newest, and as many older ones under way."""
_OPEN: Final = ("running", "paused")
_LOG: Final = logging.getLogger("hocket.server")
_AT_ONCE: Final = 2
_LOOK: Final = 0.5
_SHARE: Final = 20
"""How much longer than a look at all runs the pause after it is."""
_LONGEST: Final = 5.0

Driven = Callable[[str], Run | None]


class Feeds:
    """The runs that are watched, and some that were.

    Args:
        store: The journal.
        driven: Gives a run if it is driven in this process.
    """

    def __init__(self, store: Store, driven: Driven) -> None:
        self._store = store
        self._driven = driven
        self._feeds: dict[str, Feed] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def of(self, run: str) -> Feed:
        """Give the feed of a run.

        Raises:
            Refused: Too many runs are watched.
        """
        feed = self._feeds.pop(run, None)
        if feed is None:
            if sum(one.listened for one in self._feeds.values()) >= MOST_FEEDS:
                raise Refused(f"{MOST_FEEDS} runs are watched already; look at fewer at once")
            feed = Feed(self._store, run, self._driven, self._turns)
        # The one that was asked for last stands last.
        self._feeds[run] = feed
        self.tidy()
        return feed

    async def board(self, run: str) -> Board:
        """Give a run as a page shows it, with all that is on disk now.

        Raises:
            NotFound: No such run.
            Refused: Too many runs are watched.
            JournalError: An event cannot be read.
        """
        feed = self.of(run)
        try:
            return await feed.fresh()
        finally:
            if feed.board is None and not feed.listened:
                self._feeds.pop(run, None)
            self.tidy()

    def tidy(self) -> None:
        """Forget the runs that nobody watches, those looked at long ago first."""
        kept = 0
        for place, (run, feed) in enumerate(reversed(list(self._feeds.items()))):
            if feed.listened:
                continue
            kept += 1_000 + feed.weight
            if place and kept > MOST_KEPT:
                feed.close()
                del self._feeds[run]

    def close(self) -> None:
        """Follow nothing more."""
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()


class Heard(ABC):
    """Works only while somebody listens."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, None] = {}
        self._task: asyncio.Task[None] | None = None

    def listen(self, listener: Listener) -> None:
        """Tell somebody whatever is new."""
        self._listeners[listener] = None
        if self._idle:
            self._task = asyncio.create_task(self._work(), name=type(self).__name__)

    def leave(self, listener: Listener) -> None:
        """Tell somebody nothing more."""
        self._listeners.pop(listener, None)
        if not self._listeners:
            self.close()

    def close(self) -> None:
        """Work no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    @property
    def _idle(self) -> bool:
        return self._task is None or self._task.done()

    @abstractmethod
    async def _work(self) -> None:
        """Find out what is new, until cancelled."""


class RunList(Heard):
    """The newest runs and those under way, looked at while anybody watches.

    Args:
        store: The journal.

    Attributes:
        rows: The runs by id, newest first.
        looks: How often they have been looked at since somebody watches.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.rows: dict[str, RunRow] = {}
        self.looks = 0
        self._store = store

    def listen(self, listener: Listener) -> None:
        """Tell somebody after each look."""
        if self._idle:
            # What was seen long ago is not shown to anybody.
            self.looks = 0
        super().listen(listener)

    async def _work(self) -> None:
        while True:
            took = 0.0
            try:
                rows, took = await asyncio.to_thread(self._read)
            except JournalError:
                # What was last seen stands; the runs' own feeds say what is wrong.
                rows = list(self.rows.values())
            self.rows = {row.id: row for row in rows}
            self.looks += 1
            self._tell()
            await asyncio.sleep(_pause(_LOOK, took))

    def _read(self) -> tuple[list[RunRow], float]:
        """Look; gives what it took of a processor, too."""
        since = time.thread_time()
        rows = self._store.runs(Wanted(most=MOST_LISTED))
        if len(rows) == MOST_LISTED:
            # Older ones that are under way change, too.
            known = {row.id for row in rows}
            open_ = self._store.runs(Wanted(status=_OPEN, most=MOST_LISTED))
            rows += [row for row in open_ if row.id not in known]
        return rows, time.thread_time() - since


class Polled(Heard):
    """Something small that is asked for again and again while anybody watches.

    Args:
        ask: Gives it, as what becomes JSON.
        every: After how many seconds it is asked for again.

    Attributes:
        value: What it is; None before the first answer.
        changes: How often it has changed.
    """

    def __init__(self, ask: Callable[[], Any], every: float) -> None:
        self.value: Any = None
        self.changes = 0
        super().__init__()
        self._ask = ask
        self._every = every

    async def _work(self) -> None:
        while True:
            since = time.perf_counter()
            try:
                value = self._ask()
                if asyncio.iscoroutine(value):
                    value = await value
            except Exception:
                # What was last known stands; whoever asks for it by a route is told what is wrong.
                _LOG.exception("what pages watch could not be asked for")
                value = self.value
            if value is not None and (
                self.value is None or _timeless(value) != _timeless(self.value)
            ):
                self.value = value
                self.changes += 1
                self._tell()
            await asyncio.sleep(_pause(self._every, time.perf_counter() - since))


def _timeless(value: dict[str, Any]) -> dict[str, Any]:
    """Give what is told without when it was asked for."""
    return {name: part for name, part in value.items() if name != "at"}


def _pause(least: float, took: float) -> float:
    """Say how long to wait before asking again: longer where it takes long, but not for ever."""
    return max(least, min(_SHARE * took, _LONGEST))
