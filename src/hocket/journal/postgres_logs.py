"""What calls say, in a PostgreSQL journal, so that it can be followed from any machine.

It is written in batches by a thread with a connection of its own: neither an event loop nor the
journal's writer ever waits for it.
What the database is too slow for is lost, and the log says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Final, TypeAlias, cast

from hocket.core.errors import JournalError
from hocket.core.values import Call
from hocket.journal.logs import CUT, MAX_BYTES
from hocket.journal.postgres_connection import FAILURES, PostgresConnection
from hocket.journal.schema import Database, Parameter, integer, one, text
from hocket.journal.sql_access import SqlAccess

PERIOD: Final = 0.25
"""Seconds between two batches, and between two looks of who follows a log."""

MOST_WAITING: Final = 8 << 20
"""Bytes of all calls that wait for the database; what comes beyond is lost."""

CHUNK: Final = 64 << 10
"""The most bytes of a row, so that a stretch is found without a look at what is before it."""

MOST_ROWS: Final = 256
"""Rows of one statement."""

PATIENCE: Final = 3.0
"""Seconds for which whoever closes the journal waits for the last batch."""

_PAUSE: Final = 1.0
_AT_ONCE: Final = 20
_FAILURES: Final[tuple[type[Exception], ...]] = (*FAILURES, JournalError)

# A call of a run that was removed meanwhile leaves nothing behind.
WRITE: Final = """
INSERT INTO logs (run, path, attempt, n, data)
SELECT v.run, v.path, v.attempt, v.n, v.data
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
    AS v (run, path, attempt, n, data)
WHERE EXISTS (SELECT 1 FROM runs WHERE runs.id = v.run) ON CONFLICT DO NOTHING"""
SIZE: Final = """
SELECT n + octet_length(data) FROM logs WHERE run = ? AND path = ? AND attempt = ?
ORDER BY n DESC LIMIT 1"""
READ: Final = f"""
SELECT n, data FROM logs
WHERE run = ? AND path = ? AND attempt = ? AND n > ? - {CHUNK} AND n < ? ORDER BY n"""
CALLS: Final = "SELECT DISTINCT path, attempt FROM logs WHERE run = ? ORDER BY path, attempt"
REMOVE: Final = "DELETE FROM logs WHERE run = ANY ($1::text[])"
CLEAR: Final = "DELETE FROM logs WHERE run = ? AND path = ? AND attempt = ?"
# A log is no promise: its commits need not wait for the disk.
HURRY: Final = "SELECT set_config('synchronous_commit', 'off', false)"

_Key: TypeAlias = tuple[str, Call]
_Row: TypeAlias = tuple[str, str, int, int, bytes]


class _Waiting:
    """What a call has said that is not written yet.

    Attributes:
        data: The bytes.
        lost: How many bytes were lost before them.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = 0


class PostgresLogs:
    """Logs in the journal's database.

    Args:
        journal: The journal.
        connect: Opens one more connection.
    """

    period = PERIOD

    def __init__(self, journal: SqlAccess, connect: Callable[[], PostgresConnection]) -> None:
        self._journal = journal
        self._connect = connect
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._waiting: dict[_Key, _Waiting] = {}
        self._bytes = 0
        self._said: dict[_Key, int] = {}
        """How many bytes were taken of each call that may say more."""
        self._ends: dict[_Key, int] = {}
        """Where the next row of a call begins; only for the thread."""
        self._over: set[_Key] = set()
        """Calls that say nothing more."""
        self._stopping = False
        self._thread: threading.Thread | None = None

    # -- called from any thread ----------------------------------------------------------------

    def write(self, run: str, call: Call, data: bytes) -> None:
        """Take a piece of what a call says for the next batch."""
        key = run, call
        with self._lock:
            said = self._said.get(key, 0)
            self._said[key] = said + len(data)
            if self._stopping or said >= MAX_BYTES:
                return
            if said + len(data) >= MAX_BYTES:
                data = data[: MAX_BYTES - said] + CUT
            waiting = self._waiting.setdefault(key, _Waiting())
            if self._bytes + len(data) > MOST_WAITING:
                waiting.lost += len(data)
                return
            waiting.data += data
            self._bytes += len(data)
            self._begin()
        self._news.set()

    def end(self, run: str, call: Call) -> None:
        """Take note that a call says nothing more."""
        with self._lock:
            if self._said.pop((run, call), None) is not None:
                self._over.add((run, call))

    def close(self, run: str) -> None:
        """Take note that no call of a run says anything more here."""
        with self._lock:
            over = [key for key in self._said if key[0] == run]
            for key in over:
                del self._said[key]
            self._over.update(over)

    def stop(self) -> None:
        """Write what waits, for so long as anybody is to wait for that, and end the thread."""
        with self._lock:
            self._stopping, thread = True, self._thread
        self._news.set()
        if thread is not None:
            thread.join(PATIENCE)

    def read(self, run: str, call: Call, start: int = 0, size: int | None = None) -> bytes:
        """Give a stretch of what a call has said.

        Raises:
            JournalError: It cannot be read.
        """
        end = 2 * MAX_BYTES if size is None else start + size
        where = (run, call.path, call.attempt, start, end)
        rows = self._journal.query(lambda db: db.execute(READ, where).fetchall()) or []
        return b"".join(
            _bytes(data)[max(start - integer(n), 0) : end - integer(n)] for n, data in rows
        )

    def size(self, run: str, call: Call) -> int | None:
        """Give how many bytes a call has said; None if it has no log.

        Raises:
            JournalError: It cannot be read.
        """
        return self._journal.query(lambda db: _size(db, run, call))

    def calls(self, run: str) -> list[Call]:
        """Give the calls of a run that have a log.

        Raises:
            JournalError: They cannot be read.
        """
        rows = self._journal.query(lambda db: db.execute(CALLS, (run,)).fetchall()) or []
        return [Call(text(path), integer(attempt)) for path, attempt in rows]

    def put(self, run: str, call: Call, data: bytes) -> None:
        """Keep all that a call has said, instead of what is there.

        Raises:
            JournalError: It could not be written.
        """

        def whole(db: Database) -> None:
            db.execute(CLEAR, (run, call.path, call.attempt))
            _insert(db, _rows((run, call), 0, data))

        self._journal.write(whole)

    def remove(self, runs: Sequence[str]) -> None:
        """Delete all logs of runs, of a few in each transaction.

        Raises:
            JournalError: They could not be removed.
        """
        for start in range(0, len(runs), _AT_ONCE):
            some = cast("tuple[Parameter, ...]", (list(runs[start : start + _AT_ONCE]),))
            self._journal.write(partial(_execute, sql=REMOVE, values=some))

    # -- the thread ------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="hocket-logs", daemon=True)
            self._thread.start()

    def _main(self) -> None:
        db: PostgresConnection | None = None
        try:
            while not (self._stopping and not self._waiting):
                self._news.wait()
                self._news.clear()
                batch = self._take()
                try:
                    if db is None:
                        db = self._connect()
                        db.execute(HURRY)
                    self._write(db, batch)
                except _FAILURES:
                    self._lose(batch)
                    if db is not None:
                        db.close()
                        db = None
                    if self._stopping:
                        return
                    time.sleep(_PAUSE)
                if not self._stopping:
                    time.sleep(PERIOD)
        finally:
            if db is not None:
                db.close()

    def _take(self) -> dict[_Key, _Waiting]:
        with self._lock:
            batch, self._waiting, self._bytes = self._waiting, {}, 0
            return batch

    def _lose(self, batch: dict[_Key, _Waiting]) -> None:
        """Take note of what could not be written; the log says so as soon as one can be written."""
        with self._lock:
            for key, waiting in batch.items():
                kept = self._waiting.setdefault(key, _Waiting())
                kept.lost += waiting.lost + len(waiting.data)
                # What of it was written all the same is found out when something is written again.
                self._ends.pop(key, None)
        self._news.set()

    def _write(self, db: PostgresConnection, batch: dict[_Key, _Waiting]) -> None:
        rows: list[_Row] = []
        for key, waiting in batch.items():
            data = bytes(waiting.data)
            if waiting.lost:
                data = b"\n[%d bytes of the log are lost here]\n" % waiting.lost + data
            if key not in self._ends:
                self._ends[key] = _size(db, *key) or 0
            rows += _rows(key, self._ends[key], data)
            self._ends[key] += len(data)
        _insert(db, rows)
        with self._lock:
            over = {key for key in self._over if key not in self._waiting}
            self._over -= over
        for key in over:
            self._ends.pop(key, None)


def _execute(db: Database, sql: str, values: tuple[Parameter, ...]) -> None:
    db.execute(sql, values)


def _insert(db: Database, rows: Iterable[_Row]) -> None:
    rest = iter(rows)
    while some := list(islice(rest, MOST_ROWS)):
        columns = [list(column) for column in zip(*some, strict=True)]
        # The driver takes lists; what is common to all databases has none.
        db.execute(WRITE, cast("tuple[Parameter, ...]", tuple(columns)))


def _rows(key: _Key, start: int, data: bytes) -> Iterable[_Row]:
    run, call = key
    for place in range(0, len(data), CHUNK):
        piece = data[place : place + CHUNK]
        yield run, call.path, call.attempt, start + place, piece


def _size(db: Database, run: str, call: Call) -> int | None:
    row = one(db.execute(SIZE, (run, call.path, call.attempt)))
    return None if row is None else integer(row[0])


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
