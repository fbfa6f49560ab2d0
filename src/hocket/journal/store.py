"""What the journal does to its file: each operation with its SQL, on a connection given to it.

Nothing here knows a thread or an event loop.
Who calls an operation that is not said to be a transaction of its own is already in one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from hocket.core.errors import JournalError, NotFound, Refused
from hocket.journal import answers, hosted, ledger
from hocket.journal.base import Taken
from hocket.journal.blobs import free_blobs, lock_blobs, sweep_blobs, write_blob, write_refs
from hocket.journal.codec import Encoded
from hocket.journal.owner import Owner, is_gone, owner_in
from hocket.journal.schema import Database, Parameter, Row, in_transaction, integer, one, text
from hocket.journal.texts import is_text
from hocket.limits.claim import Key

MOST_ROWS: Final = 4096
"""Rows of one INSERT: four parameters each stay below SQLite's 32,766."""

# The join is the fence: rows of an owner whose epoch has passed are not inserted.
# CROSS keeps the rows in their order.
APPEND: Final = """
INSERT INTO events (run, n, data)
SELECT r.key, v.column3, v.column4
FROM (VALUES {rows}) AS v CROSS JOIN runs AS r
WHERE r.key = v.column1 AND r.epoch = v.column2"""

OWNED: Final = "SELECT 1 FROM runs WHERE key = ? AND epoch = ?"
IS_WRITTEN: Final = """
SELECT 1 FROM runs AS r JOIN events AS e ON e.run = r.key WHERE r.key = ? AND r.epoch = ?
    AND e.n = ?"""
SET_STATUS: Final = "UPDATE runs SET status = ? WHERE key = ? AND epoch = ?"
ANSWER: Final = "UPDATE inbox SET refusal = ? WHERE id = ? AND run = ? AND refusal IS NULL"
FIND_RUN: Final = "SELECT key FROM runs WHERE id = ?"
CREATE_RUN: Final = """
INSERT INTO runs (id, name, status, created, epoch, owner) VALUES (?, ?, 'running', ?, 1, ?)
ON CONFLICT (id) DO NOTHING"""
# Not the text of FIND_RUN: a server is given this one with a lock.
LOCK_RUN: Final = "SELECT key, epoch FROM runs WHERE id = ?"
OWNER_OF: Final = """
SELECT r.key, r.epoch, o.host, o.pid, o.start, o.boot, o.lease_until
FROM runs AS r LEFT JOIN owners AS o ON o.key = r.owner WHERE r.id = ?"""
CLAIM: Final = "UPDATE runs SET epoch = epoch + 1, owner = ? WHERE key = ?"
RELEASE: Final = "UPDATE runs SET owner = 0 WHERE key = ? AND epoch = ?"
OWNED_BY: Final = "SELECT key, epoch FROM runs WHERE owner = ?"
# The key alone would not do: it may have come from a transaction that was undone.
RENEW: Final = """
UPDATE owners SET lease_until = ? WHERE key = ? AND host = ? AND pid = ? AND start = ?"""
ENROL: Final = """
INSERT INTO owners (host, pid, start, boot, bell, lease_until) VALUES (?, ?, ?, ?, ?, ?)
RETURNING key"""
# Whoever holds something is remembered, so that its own key finds it when it wakes up.
FORGET_OWNERS: Final = """
DELETE FROM owners WHERE lease_until < ? AND key NOT IN (SELECT owner FROM runs)
    AND key NOT IN (SELECT owner FROM ledger WHERE state < 2)"""
LAST_EVENT: Final = "SELECT coalesce(max(n), 0) FROM events WHERE run = ?"
POST: Final = "INSERT INTO inbox (run, request, at) VALUES (?, ?, ?) RETURNING id"
# The list comes as one JSON parameter, so that one statement is prepared for all lengths.
UNANSWERED: Final = """
SELECT id, run, request, at FROM inbox
WHERE refusal IS NULL AND run IN (SELECT value FROM json_each(?1)) AND id > ?2 ORDER BY id"""
WAITING: Final = """
SELECT id, request, at FROM inbox WHERE run = ? AND refusal IS NULL ORDER BY id"""
ANSWER_OF: Final = "SELECT refusal FROM inbox WHERE id = ? AND refusal IS NOT NULL"
BELL_OF: Final = """
SELECT o.bell FROM runs AS r JOIN owners AS o ON o.key = r.owner WHERE r.id = ?"""
EVENTS: Final = """
SELECT n, data FROM events WHERE run = ? AND n > ? ORDER BY n LIMIT ?"""
SIZE_OF_EVENTS: Final = """
SELECT coalesce(sum(length(CAST(data AS BLOB))), 0) FROM events WHERE run = ?"""
DELETE_EVENTS: Final = "DELETE FROM events WHERE run = ?"
DELETE_INBOX: Final = "DELETE FROM inbox WHERE run = ?"
DELETE_RUN: Final = "DELETE FROM runs WHERE key = ?"


_encode = msgspec.json.Encoder().encode


class Append(NamedTuple):
    """Some events of one run, to be written all or not at all.

    Fields:
        run: The run's key.
        epoch: The epoch in which the writer owns it.
        first: The number of the first event.
        events: The events, encoded.
        taken: Answers to requests.
        status: The run's status afterwards, or None if it stays.
        claims: Calls whose reservations become claims.
        kept: Outputs of the events that are to be given again.
    """

    run: int
    epoch: int
    first: int
    events: Sequence[Encoded]
    taken: Sequence[Taken]
    status: str | None
    claims: Sequence[Key] = ()
    kept: Sequence[answers.Ready] = ()


class Claim(NamedTuple):
    """A run that is now owned: its key, its epoch, the number of its last event."""

    run: int
    epoch: int
    seq: int


class New(NamedTuple):
    """A run that is to be created.

    Fields:
        id: Its id.
        name: The workflow's name.
        at: When it started.
        events: Its first events, encoded.
        status: Its status after them, or None for the one of every new run.
    """

    id: str
    name: str
    at: int
    events: Sequence[Encoded]
    status: str | None = None


@runtime_checkable
class Bulk(Protocol):
    """What a database may offer besides: to take many events in one statement of its own."""

    def insert_events(self, rows: Iterable[tuple[int, int, int, str]]) -> int:
        """Insert rows of run, epoch, number and data as `APPEND` does; gives how many were."""


@functools.cache
def append_sql(size: int) -> str:
    """Give the INSERT for so many rows."""
    return APPEND.format(rows=",".join(["(?,?,?,?)"] * size))


def padded(count: int) -> int:
    """Round up to two significant bits, so that few different statements are prepared."""
    step = 1 << max(count.bit_length() - 2, 0)
    return -(-count // step) * step


def commit(db: Database, appends: Sequence[Append]) -> set[int]:
    """Write appends in one transaction of its own; give the keys of runs that others now own.

    A batch of plain rows is a single statement, which is a transaction by itself.
    That matters when the loop's thread is busy: each statement gives up the interpreter's lock,
    and getting it back takes up to 5 ms.
    """
    if _is_plain(appends):
        expected = sum(len(item.events) for item in appends)
        if insert(db, appends) == expected:
            return set()
        # An epoch that has passed never comes back, so asking afterwards is early enough.
        return _lost(db, appends)
    return in_transaction(db, lambda db: write_owned(db, appends))


def _is_plain(appends: Sequence[Append]) -> bool:
    rows = 0
    for item in appends:
        if item.taken or item.claims or item.kept or item.status is not None:
            return False
        if any(_holds_bytes(event) for event in item.events):
            return False
        rows += len(item.events)
    return 0 < rows <= MOST_ROWS


def _holds_bytes(event: Encoded) -> bool:
    return event.blob is not None or bool(event.files)


def _lost(db: Database, appends: Iterable[Append]) -> set[int]:
    # In order, as two processes that lock the same runs must do.
    owners = sorted({item.run: item.epoch for item in appends}.items())
    return {run for run, epoch in owners if one(db.execute(OWNED, (run, epoch))) is None}


def outcome(db: Database, appends: Sequence[Append]) -> set[int] | None:
    """Tell what became of a transaction that was to write these, when nobody has heard of it.

    Gives the runs that were lost, or None if nothing of it was committed.
    """
    firsts: dict[int, tuple[int, int]] = {}
    for item in appends:
        if item.events:
            firsts.setdefault(item.run, (item.epoch, item.first))
    written = {
        run
        for run, (epoch, first) in firsts.items()
        if one(db.execute(IS_WRITTEN, (run, epoch, first))) is not None
    }
    return firsts.keys() - written if written else None


def insert(db: Database, appends: Iterable[Append]) -> int:
    """Insert the rows of all appends whose epoch is the run's, in order; gives how many were."""
    if isinstance(db, Bulk):
        return db.insert_events(
            (run, epoch, number, event.row)
            for run, epoch, first, events, *_ in appends
            for number, event in enumerate(events, first)
        )
    values: list[Parameter] = []
    inserted = 0
    for run, epoch, first, events, *_ in appends:
        for number, event in enumerate(events, first):
            values += (run, epoch, number, event.row)
            if len(values) == 4 * MOST_ROWS:
                inserted += db.execute(append_sql(MOST_ROWS), tuple(values)).rowcount
                values.clear()
    if values:
        size = padded(len(values) // 4)
        # A row of NULLs joins nothing.
        values += [None] * (4 * size - len(values))
        inserted += db.execute(append_sql(size), tuple(values)).rowcount
    return inserted


def write_owned(db: Database, appends: Sequence[Append]) -> set[int]:
    """Write appends; give the keys of runs that are lost.

    A run is lost whose owner is another now, or that has no reservation for what it claims.
    """
    lost = _lost(db, appends)
    if any(item.kept or any(_holds_bytes(event) for event in item.events) for item in appends):
        # All locks are taken in one order: runs, bytes, limits.
        lock_blobs(db)
    claims = {key: item.run for item in appends if item.run not in lost for key in item.claims}
    if claims:
        claimed = ledger.claim(db, list(claims))
        lost |= {run for key, run in claims.items() if key not in claimed}
    _write(db, [item for item in appends if item.run not in lost])
    return lost


def _write(db: Database, appends: Sequence[Append]) -> None:
    """Write rows, and whatever comes with them, for runs that are owned."""
    for item in appends:
        for event in item.events:
            if event.blob is not None:
                write_blob(db, *event.blob)
                write_refs(db, item.run, (event.blob[0],))
            if event.files:
                write_refs(db, item.run, event.files)
    insert(db, appends)
    for item in appends:
        for taken in item.taken:
            db.execute(ANSWER, (taken.refusal, taken.id, item.run))
        if item.status is not None:
            db.execute(SET_STATUS, (item.status, item.run, item.epoch))
        if item.kept:
            answers.keep(db, item.kept)


def create_run(db: Database, new: New, owner: int) -> Claim:
    """Create a run with its first events, owned by the owner of that key.

    Raises:
        JournalError: The id is taken.
    """
    if db.execute(CREATE_RUN, (new.id, new.name, new.at, owner)).rowcount != 1:
        raise JournalError(f"there is a run {new.id} already; choose another id")
    key = find_run(db, new.id)
    _write(db, [Append(key, 1, 1, new.events, (), new.status)])
    return Claim(key, 1, len(new.events))


def lay_run(db: Database, new: New) -> None:
    """Create a run that servers are to drive and nobody owns.

    Raises:
        JournalError: The id is taken.
    """
    create_run(db, new, 0)
    db.execute(hosted.ADD, (new.id,))


def find_run(db: Database, id: str) -> int:
    """Give a run's key.

    Raises:
        NotFound: There is no such run.
    """
    row = one(db.execute(FIND_RUN, (id,))) if is_text(id) else None
    if row is None:
        raise no_such_run(id)
    return integer(row[0])


def no_such_run(id: str) -> NotFound:
    """Say that there is no run of that id."""
    shown = id if is_text(id) else repr(id)
    return NotFound(f"there is no run {shown}; `hocket runs` lists those there are")


def enrol(db: Database, key: int, me: Owner, bell: str, now: int, lease: int) -> int:
    """Renew this process's lease; gives its key, a new one if it was forgotten meanwhile."""
    mine = (now + lease, key, me.host, me.pid, me.start)
    if key and db.execute(RENEW, mine).rowcount == 1:
        return key
    db.execute(FORGET_OWNERS, (now,))
    row: tuple[Parameter, ...] = (me.host, me.pid, me.start, me.boot, bell, now + lease)
    return integer(db.execute(ENROL, row).fetchall()[0][0])


def claim_run(db: Database, id: str, owner: int, me: Owner, before: int) -> Claim:
    """Own a run whose owner is gone, by the key that `enrol` gave; see `is_gone`.

    Raises:
        NotFound: There is no such run.
        Refused: Its owner is alive.
    """
    row = _locked(db, id)
    if row is None:
        raise no_such_run(id)
    holder, lease_until = owner_in(row[2:])
    if not is_gone(holder, lease_until, before, me):
        raise Refused(
            f"run {id} is owned by {holder}, which is alive: pause or cancel it from here, or end "
            "that process and resume again"
        )
    key, epoch = integer(row[0]), integer(row[1])
    db.execute(CLAIM, (owner, key))
    return Claim(key, epoch + 1, integer((one(db.execute(LAST_EVENT, (key,))) or (0,))[0]))


def _locked(db: Database, id: str) -> Row | None:
    """Keep others from taking a run over until the end of the transaction, and give its owner.

    In two statements: the second sees what was committed while the first waited for the lock.
    """
    if not is_text(id):
        return None
    db.execute(LOCK_RUN, (id,))
    return one(db.execute(OWNER_OF, (id,)))


def release_run(db: Database, run: int, epoch: int) -> None:
    """Give a run up; nothing happens if another owns it by now."""
    db.execute(RELEASE, (run, epoch))


def owned_by(db: Database, owner: int) -> dict[int, int]:
    """Give the runs of an owner, as epoch by key."""
    rows = db.execute(OWNED_BY, (owner,)).fetchall()
    return {integer(run): integer(epoch) for run, epoch in rows}


def post(db: Database, id: str, request: str, at: int) -> tuple[int, str]:
    """Leave a request at an instant; gives its id and the name of the owner's bell.

    Raises:
        NotFound: There is no such run.
    """
    # With the lock, or requests could come to be seen in another order than that of their ids.
    run = one(db.execute(LOCK_RUN, (id,))) if is_text(id) else None
    if run is None:
        raise no_such_run(id)
    row = db.execute(POST, (integer(run[0]), request, at)).fetchall()[0]
    bell = one(db.execute(BELL_OF, (id,))) or ("",)
    return integer(row[0]), text(bell[0])


def unanswered(db: Database, runs: Iterable[int], after: int) -> list[tuple[int, int, str, int]]:
    """Give the open requests of some runs as (id, run's key, request, instant), oldest first."""
    keys = _encode(list(runs)).decode()
    return [
        (integer(id), integer(run), text(request), integer(at))
        for id, run, request, at in db.execute(UNANSWERED, (keys, after)).fetchall()
    ]


def waiting(db: Database, id: str) -> list[tuple[int, str, int]]:
    """Give the open requests of one run as (id, request, instant), oldest first.

    Raises:
        NotFound: There is no such run.
    """
    rows = db.execute(WAITING, (find_run(db, id),)).fetchall()
    return [(integer(id), text(request), integer(at)) for id, request, at in rows]


def answer_of(db: Database, id: int) -> Taken | None:
    """Give the answer to a request, or None if there is none."""
    row = one(db.execute(ANSWER_OF, (id,)))
    return None if row is None else Taken(id, text(row[0]))


def keys_of_gone(db: Database, ids: Sequence[str], me: Owner, before: int) -> list[int]:
    """Give the keys of runs that nobody owns who is alive, but not of those that are not there.

    Raises:
        Refused: One of them is owned and alive.
    """
    keys: list[int] = []
    for id in ids:
        row = _locked(db, id)
        if row is None:
            continue
        holder, lease_until = owner_in(row[2:])
        if not is_gone(holder, lease_until, before, me):
            raise Refused(
                f"run {id} is owned by {holder}, which is alive: cancel it, then remove it"
            )
        keys.append(integer(row[0]))
    return keys


def remove_runs(db: Database, ids: Sequence[str], me: Owner, now: int, before: int) -> int:
    """Delete runs and the blobs that only they used; gives how many bytes these held.

    Raises:
        Refused: One of them is owned and alive; nothing is deleted.
    """
    keys = keys_of_gone(db, ids, me, before)
    freed = 0
    for key in keys:
        freed += integer((one(db.execute(SIZE_OF_EVENTS, (key,))) or (0,))[0])
        for sql in (DELETE_EVENTS, DELETE_INBOX, DELETE_RUN):
            db.execute(sql, (key,))
    for id in filter(is_text, ids):
        db.execute(hosted.DROP, (id,))
    # Last, because whoever stores bytes waits for it.
    return freed + sum(free_blobs(db, key, now) for key in keys)


def tidy(db: Database, now: int) -> int:
    """Drop what has no use any more and belongs to no run; gives the bytes that came free."""
    freed = sweep_blobs(db, now)
    db.execute(ledger.LOCK)
    ledger.purge(db, now)
    db.execute(FORGET_OWNERS, (now,))
    return freed


def events_after(db: Database, run: int, after: int, limit: int) -> list[tuple[int, str]]:
    """Give the numbers and rows of some events after a number, in order."""
    rows = db.execute(EVENTS, (run, after, limit)).fetchall()
    return [(integer(n), text(data)) for n, data in rows]
