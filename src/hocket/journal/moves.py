"""Whole runs as they are stored, to be taken from one journal into another.

A run is taken in by one transaction, so there is never half of one; its files go before it, a part
at a time, and are kept until it names them.
Nothing here decodes an event: what comes out of the other journal is what went into this one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias, TypeVar

import msgspec

from hocket.core.errors import JournalError
from hocket.journal import answers, blobs, book, hosted, store
from hocket.journal.answers import Ready
from hocket.journal.base import Past
from hocket.journal.book import Place
from hocket.journal.codec import Encoded
from hocket.journal.owner import is_gone, myself, owner_in
from hocket.journal.schema import SET_META, Database, integer, one, text
from hocket.journal.sql_access import SqlAccess
from hocket.journal.store import Append

T = TypeVar("T")

HEAD: Final = """
SELECT r.key, r.id, r.name, r.status, r.created, r.epoch,
    coalesce((SELECT max(n) FROM events WHERE run = r.key), 0),
    o.host, o.pid, o.start, o.boot, o.lease_until
FROM runs AS r LEFT JOIN owners AS o ON o.key = r.owner WHERE r.id = ?"""
IS_HOSTED: Final = "SELECT 1 FROM hosted WHERE run = ?"
REQUESTS: Final = """
SELECT request, at FROM inbox WHERE run = ? AND refusal IS NULL ORDER BY id"""
FILES: Final = """
SELECT r.digest FROM refs AS r JOIN blobs AS b ON b.digest = r.digest
WHERE r.run = ? ORDER BY r.digest"""
TAKE_RUN: Final = """
INSERT INTO runs (id, name, status, created, epoch, owner) VALUES (?, ?, ?, ?, ?, 0)
RETURNING key"""
ANSWERS: Final = "SELECT id, key FROM answers WHERE id > ? ORDER BY id LIMIT ?"
ANSWER_AT: Final = "SELECT at FROM answers WHERE key = ?"
BOOK: Final = """
SELECT plan, step, agent, count, samples FROM durations ORDER BY plan, step, agent"""

GET_META: Final = "SELECT value FROM meta WHERE key = ?"
DROP_META: Final = "DELETE FROM meta WHERE key = ?"

_MARK: Final = "copying "
"""Begins the keys of words that are left."""
_PAGE: Final = 512
_ROWS: Final = 512
"""Rows of one INSERT."""

Rows: TypeAlias = Callable[[], Iterable[tuple[int, str]]]
"""Gives the numbers and rows of a run's events, from the first on each time that it is asked."""


class Damaged(JournalError):
    """Stored bytes are not what they should be."""


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """All of a stored run but its events and the bytes of its files.

    Fields:
        id: The run's id.
        name: The workflow's name.
        status: Its status.
        created: When it started.
        epoch: How many owners it has had.
        events: How many events it has.
        owner: Who owns it, as ``host:pid``, or "".
        alive: Whether that owner is alive.
        hosted: Whether a server is to drive it.
        requests: The open requests, each with when it was posted, oldest first.
        files: The digests of all stored bytes that it refers to.
    """

    id: str
    name: str
    status: str
    created: int
    epoch: int
    events: int
    owner: str = ""
    alive: bool = False
    hosted: bool = False
    requests: tuple[tuple[str, int], ...] = ()
    files: tuple[str, ...] = ()


class Page(msgspec.Struct, frozen=True):
    """A page of the duration book: a plan's step with an agent, and what is known of it."""

    place: Place
    past: Past


class Moves(Protocol):
    """Takes whole runs out of a journal, and into it.

    All of it raises JournalError where the journal cannot be read or written.
    """

    def parcel(self, run: str) -> Parcel | None:
        """Give what a run is; None if there is none."""

    def rows(self, run: str, after: int = 0) -> Iterator[tuple[int, str]]:
        """Give the numbers and rows of a run's events, oldest first."""

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Give those digests whose bytes are not stored; the others are kept for an hour."""

    def take_file(self, digest: str, parts: Iterable[bytes]) -> None:
        """Store bytes, a part of 1 MiB at a time; they are kept for an hour without a run.

        Raises:
            Damaged: They are not what the digest says.
        """

    def take(self, parcel: Parcel, rows: Rows) -> None:
        """Store a run, owned by nobody, all of it or nothing; its files are there already.

        Raises:
            JournalError: There is one of that id.
        """

    def drop(self, parcel: Parcel) -> bool:
        """Delete a run if it is still as it was; False if it has gone on meanwhile."""

    def host(self, run: str) -> None:
        """Note that servers are to drive a run."""

    def mark(self, word: str) -> None:
        """Leave a word in the journal, beside those that others leave at the same time."""

    def has_mark(self, word: str) -> bool:
        """Tell whether a word was left."""

    def unmark(self, word: str) -> None:
        """Take a word away."""

    def answers(self) -> Iterator[Ready]:
        """Give all kept answers."""

    def take_answers(self, found: Sequence[Ready]) -> int:
        """Keep answers but those of which as new a one is kept; gives how many were."""

    def book(self) -> list[Page]:
        """Give the whole duration book."""

    def take_book(self, pages: Sequence[Page]) -> int:
        """Keep pages but those of which one of as many calls is there; gives how many were."""


class SqlMoves:
    """Whole runs in a journal's database."""

    def __init__(self, journal: SqlAccess) -> None:
        self._journal = journal

    def parcel(self, run: str) -> Parcel | None:
        """Give what a run is; None if there is none."""
        before = self._journal.lapsed_before()
        return self._journal.query(lambda db: _parcel(db, run, before))

    def rows(self, run: str, after: int = 0) -> Iterator[tuple[int, str]]:
        """Give the numbers and rows of a run's events, oldest first."""
        key = self._journal.query(lambda db: store.find_run(db, run))
        if key is None:
            raise store.no_such_run(run)
        while page := self._page(key, after):
            yield from page
            after = page[-1][0]

    def _page(self, key: int, after: int) -> list[tuple[int, str]]:
        return self._journal.query(lambda db: store.events_after(db, key, after, _PAGE)) or []

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Give those digests whose bytes are not stored; the others are kept for an hour."""
        kept = self._journal.wall() + blobs.KEPT
        absent: list[str] = []
        for some in _in_groups(digests):
            absent += self._journal.write(partial(_absent, digests=some, kept=kept))
        return absent

    def take_file(self, digest: str, parts: Iterable[bytes]) -> None:
        """Store bytes, a part at a time; each is a transaction, so that others write meanwhile.

        Raises:
            Damaged: They are not what the digest says.
            JournalError: They cannot be written.
        """
        write, kept = self._journal.write, self._journal.wall() + blobs.KEPT
        key = write(lambda db: blobs.begin_blob(db, kept))
        found, size = blobs.sha256(), 0
        try:
            for number, data in enumerate(parts):
                found.update(data)
                size += len(data)
                self._take_part(key, number, data)
            if found.hexdigest() != digest:
                raise damaged(digest)
            write(lambda db: blobs.end_blob(db, key, digest, size, kept))
        except BaseException:
            write(lambda db: blobs.drop_blob(db, key))
            raise

    def _take_part(self, key: int, number: int, data: bytes) -> None:
        self._journal.write(lambda db: blobs.write_part(db, key, number, data))

    def take(self, parcel: Parcel, rows: Rows) -> None:
        """Store a run, owned by nobody, all of it or nothing.

        Raises:
            JournalError: There is one of that id, or it cannot be written.
        """
        self._journal.write(lambda db: _take(db, parcel, rows))

    def drop(self, parcel: Parcel) -> bool:
        """Delete a run if it is still as it was; False if it has gone on meanwhile."""
        now, before = self._journal.wall(), self._journal.lapsed_before()
        dropped = self._journal.write(lambda db: _drop(db, parcel, now, before))
        self._journal.shrink()
        return dropped

    def host(self, run: str) -> None:
        """Note that servers are to drive a run."""
        self._journal.write(partial(_host, run=run))

    def mark(self, word: str) -> None:
        """Leave a word in the journal, beside those that others leave at the same time."""
        self._journal.write(lambda db: db.execute(SET_META, (_MARK + word, "")))

    def has_mark(self, word: str) -> bool:
        """Tell whether a word was left."""
        return bool(self._journal.query(lambda db: one(db.execute(GET_META, (_MARK + word,)))))

    def unmark(self, word: str) -> None:
        """Take a word away."""
        self._journal.write(lambda db: db.execute(DROP_META, (_MARK + word,)))

    def answers(self) -> Iterator[Ready]:
        """Give all kept answers."""
        after = 0
        while page := self._answers_after(after):
            for _, key in page:
                found = self._journal.query(partial(answers.find, key=key))
                if found is not None:
                    yield answers.ready(found)
            after = page[-1][0]

    def _answers_after(self, after: int) -> list[tuple[int, str]]:
        return self._journal.query(lambda db: _answers_after(db, after)) or []

    def take_answers(self, found: Sequence[Ready]) -> int:
        """Keep answers but those of which as new a one is kept; gives how many were."""
        return self._journal.write(lambda db: _take_answers(db, found))

    def book(self) -> list[Page]:
        """Give the whole duration book."""
        return self._journal.query(_pages) or []

    def take_book(self, pages: Sequence[Page]) -> int:
        """Keep pages but those of which one of as many calls is there; gives how many were."""
        return self._journal.write(lambda db: _take_book(db, pages)) if pages else 0


def damaged(digest: str) -> Damaged:
    """Say which bytes are not what they should be."""
    return Damaged(
        f"the bytes stored under {digest} are not those: the journal that they come from is "
        "damaged; restore it from a copy"
    )


def _parcel(db: Database, run: str, before: int) -> Parcel | None:
    row = one(db.execute(HEAD, (run,)))
    if row is None:
        return None
    key, id, name, status, created, epoch, events, *owner = row
    holder, lease_until = owner_in(owner)
    requests = db.execute(REQUESTS, (integer(key),)).fetchall()
    files = db.execute(FILES, (integer(key),)).fetchall()
    return Parcel(
        id=text(id),
        name=text(name),
        status=text(status),
        created=integer(created),
        epoch=integer(epoch),
        events=integer(events),
        owner=str(holder),
        alive=not is_gone(holder, lease_until, before, myself()),
        hosted=one(db.execute(IS_HOSTED, (run,))) is not None,
        requests=tuple((text(request), integer(at)) for request, at in requests),
        files=tuple(text(digest) for (digest,) in files),
    )


def _absent(db: Database, digests: Sequence[str], kept: int) -> list[str]:
    return [digest for digest in digests if not blobs.keep_blob(db, digest, kept)]


def _take(db: Database, parcel: Parcel, rows: Rows) -> None:
    if one(db.execute(store.FIND_RUN, (parcel.id,))) is not None:
        raise JournalError(f"there is a run {parcel.id} already")
    head = (parcel.id, parcel.name, parcel.status, parcel.created, parcel.epoch)
    key = integer(db.execute(TAKE_RUN, head).fetchall()[0][0])
    count = 0
    for some in _in_groups(rows()):
        if [number for number, _ in some] != list(range(count + 1, count + len(some) + 1)):
            raise JournalError(f"an event of run {parcel.id} is missing after number {count}")
        events = [Encoded(data) for _, data in some]
        store.insert(db, [Append(key, parcel.epoch, count + 1, events, (), None)])
        count += len(some)
    if count != parcel.events:
        raise JournalError(f"run {parcel.id} has gone on while it was read: copy it again")
    # Whoever prunes meanwhile could have dropped what nobody named so far.
    if _absent(db, parcel.files, 0):
        raise JournalError(f"files of run {parcel.id} were dropped meanwhile: copy it again")
    blobs.write_refs(db, key, parcel.files)
    for request, at in parcel.requests:
        db.execute(store.POST, (key, request, at))
    if parcel.hosted:
        _host(db, parcel.id)


def _host(db: Database, run: str) -> None:
    db.execute(hosted.ADD, (run,))


def _drop(db: Database, parcel: Parcel, now: int, before: int) -> bool:
    # What others commit while this waits for the lock is seen by the statements behind it.
    db.execute(store.LOCK_RUN, (parcel.id,))
    found = _parcel(db, parcel.id, before)
    if found is None or found.alive or _state(found) != _state(parcel):
        return False
    store.remove_runs(db, [parcel.id], myself(), now, before)
    return True


def _state(parcel: Parcel) -> tuple[object, ...]:
    """Give what changes when a run goes on, or something is asked of it."""
    return (parcel.epoch, parcel.events, parcel.requests)


def _answers_after(db: Database, after: int) -> list[tuple[int, str]]:
    rows = db.execute(ANSWERS, (after, _PAGE)).fetchall()
    return [(integer(id), text(key)) for id, key in rows]


def _take_answers(db: Database, found: Sequence[Ready]) -> int:
    fresh = []
    for item in found:
        known = one(db.execute(ANSWER_AT, (item.answer.key,)))
        if known is None or integer(known[0]) < item.answer.at:
            fresh.append(item)
    answers.keep(db, fresh)
    return len(fresh)


def _pages(db: Database) -> list[Page]:
    found = []
    for plan, step, agent, count, samples in db.execute(BOOK).fetchall():
        place = (text(plan), text(step), text(agent))
        found.append(Page(place, book.past(place, integer(count), text(samples))))
    return found


def _take_book(db: Database, pages: Sequence[Page]) -> int:
    known = book.known(db, [page.place for page in pages])
    # Two books of the same calls cannot be told from two of others: the longer one stays.
    longer = {
        page.place: page.past
        for page in pages
        if page.place not in known or known[page.place].count < page.past.count
    }
    book.write(db, longer)
    return len(longer)


def _in_groups(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(itertools.islice(rest, _ROWS)):
        yield some
