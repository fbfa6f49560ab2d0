"""The runs and the inbox of a journal in a database, for whoever does not own a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from hocket.core.errors import JournalError
from hocket.core.events import Recorded
from hocket.core.requests import AnyRequest
from hocket.journal import listing, store
from hocket.journal.base import ALL, Blobs, Posted, RunRow, Taken, Wanted
from hocket.journal.codec import decode, decode_request, encode_request
from hocket.journal.owner import myself
from hocket.journal.sql_access import SqlAccess

_PAGE: Final = 256
_AT_ONCE: Final = 20
"""So many runs are removed by one transaction."""


class SqlRuns(SqlAccess):
    """The runs of a database.

    Attributes:
        blobs: Bytes by content.
    """

    blobs: Blobs

    def read(self, run: str, after: int = 0) -> Iterator[Recorded]:
        """Give a run's events after a sequence number, outputs whole, oldest first.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read, with its number.
        """
        key = self.query(lambda db: store.find_run(db, run))
        if key is None:
            raise store.no_such_run(run)
        return self._pages(key, after)

    def _pages(self, key: int, after: int) -> Iterator[Recorded]:
        """A page is one query: a slow reader never keeps the log from being merged."""
        while True:
            page = self._page(key, after)
            for number, row in page:
                if number != after + 1:
                    raise JournalError(f"event {after + 1} is missing")
                yield Recorded(number, decode(row, self.blobs.read, number))
                after = number
            if len(page) < _PAGE:
                return

    def _page(self, key: int, after: int) -> list[tuple[int, str]]:
        return self.query(lambda db: store.events_after(db, key, after, _PAGE)) or []

    def runs(self, wanted: Wanted = ALL) -> list[RunRow]:
        """List runs, newest first.

        Raises:
            JournalError: They cannot be read.
        """
        me, before = myself(), self.lapsed_before()
        return self.query(lambda db: listing.rows(db, wanted, me, before)) or []

    def counts(self, wanted: Wanted = ALL) -> dict[str, int]:
        """Count runs by their status, however many may be listed.

        Raises:
            JournalError: They cannot be read.
        """
        return self.query(lambda db: listing.counts(db, wanted)) or {}

    def find(self, run: str) -> RunRow | None:
        """Give one run as a list shows it, without a look at the others.

        Raises:
            JournalError: It cannot be read.
        """
        me, before = myself(), self.lapsed_before()
        return self.query(lambda db: listing.find(db, run, me, before))

    def orphans(self, most: int) -> list[RunRow]:
        """Give runs that servers are to drive and nobody does, oldest first.

        Raises:
            JournalError: They cannot be read.
        """
        me, before = myself(), self.lapsed_before()
        return self.query(lambda db: listing.orphans(db, me, before, most)) or []

    def remove(self, runs: Sequence[str]) -> int:
        """Delete runs, and the blobs that only they used; gives the bytes that came free.

        They go a few at a time, so that nobody else waits long.

        Raises:
            Refused: One of them is owned and alive; nothing is deleted, unless it was taken up
                only meanwhile.
            JournalError: It cannot be written.
        """
        if not self.is_there():
            return 0
        me, now, ids = myself(), self.wall(), list(dict.fromkeys(runs))
        before = self.lapsed_before()
        self.query(lambda db: store.keys_of_gone(db, ids, me, before))
        freed = 0
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            remove = partial(store.remove_runs, ids=some, me=me, now=now, before=before)
            freed += self.write(remove)
        freed += self.write(lambda db: store.tidy(db, now))
        self.shrink()
        return freed


class SqlInbox(SqlAccess):
    """The requests to the runs of a database."""

    def post(self, run: str, request: AnyRequest) -> int:
        """Leave a request, ring the owner's bell, and give the request's id.

        Raises:
            NotFound: No such run.
            JournalError: The file cannot be written.
        """
        row, at = encode_request(request), self.wall()
        if not self.is_there():
            raise store.no_such_run(run)
        id, bell = self.write(lambda db: store.post(db, run, row, at))
        self.ring(bell)
        return id

    def waiting(self, run: str) -> list[Posted]:
        """Give the requests to a run that its owner has not answered, oldest first.

        Raises:
            NotFound: No such run.
            JournalError: The file cannot be read.
        """
        rows = self.query(lambda db: store.waiting(db, run))
        if rows is None:
            raise store.no_such_run(run)
        posts = []
        for id, row, at in rows:
            # What cannot be read is not for us to judge: its owner refuses it, with the reason.
            with suppress(JournalError):
                posts.append(Posted(id, decode_request(row, id), at))
        return posts

    def answer(self, id: int) -> Taken | None:
        """Give the owner's answer, or None as long as there is none.

        Raises:
            JournalError: The file cannot be read.
        """
        return self.query(lambda db: store.answer_of(db, id))
