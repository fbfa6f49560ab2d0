"""The PostgreSQL database of a journal, as the journal's writer sees it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

import asyncpg

from hocket._version import __version__
from hocket.core.errors import JournalError
from hocket.journal import postgres_tables as tables
from hocket.journal.address import Address, shown
from hocket.journal.backend import Connection
from hocket.journal.keeper import HEARTBEATS
from hocket.journal.postgres_connection import (
    CONNECT_SECONDS,
    CUTS,
    FAILURES,
    SCHEMA,
    PostgresConnection,
    new_loop,
    reach,
)
from hocket.journal.postgres_errors import explained, said_in
from hocket.journal.schema import (
    GET_FORMAT,
    SET_META,
    Database,
    NoRoom,
    Unreachable,
    in_transaction,
    integer,
    one,
    text,
)
from hocket.journal.sight import NEVER, Sight

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds for which a lost database is waited for before the runs on it are stopped."""

PAUSE: Final = 1.0
"""Seconds between two tries to write again after what is not known to pass."""

WRITE_SECONDS: Final = 20.0
READ_SECONDS: Final = 60.0
OLDEST: Final = 13
"""The oldest server that is good enough."""

FAILURES_OF_ADDRESS: Final[tuple[type[Exception], ...]] = (*FAILURES, ValueError)
"""What connecting raises; an address that cannot be read is a ValueError."""

_EVERYBODY: Final = "hocket"
_LOCK_FORMAT: Final = 0x484F434C
_SAMPLES: Final = 3
_HURRY: Final = 2.0
_LISTEN_SECONDS: Final = 10.0

# A look into the catalog's table: names that were looked up before may be remembered as missing.
IS_THERE: Final = f"""
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables
               WHERE schemaname = '{SCHEMA}' AND tablename = 'meta')"""
NOTIFY: Final = "SELECT pg_notify(?, '')"
_NOTIFY_ALL: Final = """
SELECT count(pg_notify(name, '')) FROM jsonb_array_elements_text(?::text::jsonb) AS bells (name)"""
_LOCK: Final = f"SELECT pg_advisory_xact_lock({_LOCK_FORMAT})"
_UP_SINCE: Final = """
SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint * 1000"""
_ENCODING: Final = "SELECT current_setting('server_encoding')"
_LEAST: Final = "SELECT value FROM meta WHERE key = 'least'"


class Hub:
    """The server's time, as it was asked; one for all connections of a journal.

    It runs on this machine's monotonic clock in between, so that nobody who puts this machine's
    clock right or wrong changes anything.

    Args:
        lease: How long this process's leases are, in seconds.

    Attributes:
        beat: Seconds between two signs of life.
        sight: What the connections see of the server.
    """

    def __init__(self, lease: float) -> None:
        self.beat: Final = lease / HEARTBEATS
        self.sight: Final = Sight(round(lease * 1e9), round(self.beat * 1e9))
        self._ahead: int | None = None
        self._took = 0

    @property
    def known(self) -> bool:
        """Whether the server was asked."""
        return self._ahead is not None

    @property
    def error(self) -> int:
        """By how many nanoseconds the server's instant may be wrong."""
        return self._took // 2

    def ask(self, db: PostgresConnection) -> None:
        """Ask the server some times, and believe the quickest answer."""
        answers = [db.now() for _ in range(_SAMPLES)]
        instant, at, took = min(answers, key=lambda answer: answer[2])
        # One that took long says little, but clocks drift: so an old answer is worth less and less.
        if self._ahead is None or took <= 2 * self._took:
            self._ahead, self._took = instant - at, took
        else:
            self._took += self._took // 2

    def connect(self, db: PostgresConnection) -> None:
        """Connect, ask for the time, and since when the server runs.

        Raises:
            FAILURES: It could not be done.
        """
        began = time.monotonic_ns()
        try:
            db.connect()
        except FAILURES:
            self.sight.missed(began)
            raise
        self.ask(db)
        assert self._ahead is not None
        ((up,),) = db.execute(_UP_SINCE).fetchall()
        self.sight.is_up(integer(up) - self._ahead)

    def now(self) -> int:
        """Give the server's instant."""
        assert self._ahead is not None
        return time.monotonic_ns() + self._ahead

    def lapsed_before(self) -> int:
        """Give the instant before which leases ended that have lapsed."""
        assert self._ahead is not None
        before = self.sight.lapsed_before(time.monotonic_ns())
        return NEVER if before is None else before + self._ahead


class PostgresServer:
    """A database on a PostgreSQL server.

    Args:
        address: Where it is: ``postgresql://user@host:port/database``.
        lease: How long this process's leases are, in seconds.
    """

    failures: tuple[type[Exception], ...] = FAILURES
    undoes = True

    def __init__(self, address: str | Address, lease: float) -> None:
        self.address: Final = Address(address) if isinstance(address, str) else address
        self.where: Final = shown(self.address.now())
        self.closing: Final = threading.Event()
        self.hub: Final = Hub(lease)
        self._writing: PostgresConnection | None = None
        self._began_anew = -PAUSE

    def connect(self, timeout: float) -> PostgresConnection:
        """Connect.

        Raises:
            JournalError: It cannot be reached, or is too old.
        """
        name = f"hocket {socket.gethostname()}:{os.getpid()}"
        db = PostgresConnection(self.address, name, timeout, self.hub.sight)
        try:
            self.hub.connect(db)
            if db.version < (OLDEST, 0):
                raise JournalError(
                    f"{self.where} is PostgreSQL {db.version[0]}; a journal needs {OLDEST} or newer"
                )
        except FAILURES_OF_ADDRESS as error:
            db.close()
            raise self.explain(error) from error
        except BaseException:
            db.close()
            raise
        return db

    def open(self) -> Connection:
        """Connect for writing, and bring the tables to the present format.

        Raises:
            JournalError: It cannot be reached or written, or holds a newer journal.
        """
        db = self.connect(WRITE_SECONDS)
        try:
            self.migrate(db)
        except FAILURES as error:
            db.close()
            raise self.explain(error) from error
        except BaseException:
            db.close()
            raise
        self._writing = db
        return cast(Connection, db)

    def format_of(self, db: Database) -> int:
        """Give the format of the tables, 0 if there are none.

        Raises:
            JournalError: A newer Hocket has made them, and this one would do harm.
        """
        row = one(db.execute(IS_THERE))
        if row is None or not row[0]:
            return 0
        found = _number(db, GET_FORMAT)
        if (least := _number(db, _LEAST)) > len(tables.MIGRATIONS):
            raise JournalError(
                f"the journal in {self.where} was made by a newer Hocket (format {found}, for "
                f"programs that know {least}; this one, {__version__}, knows up to "
                f"{len(tables.MIGRATIONS)}): update Hocket"
            )
        return found

    def migrate(self, db: Database) -> None:
        """Bring the tables to the present format; programs of the one before may go on meanwhile.

        Raises:
            JournalError: A newer Hocket has made them, or the database cannot hold all characters.
            FAILURES: It could not be done; nothing was changed.
        """

        def whole(db: Database) -> None:
            db.execute(_LOCK)
            # Another process may have done it while this one waited.
            found = self.format_of(db)
            if found == 0:
                _check_encoding(db, self.where)
                db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            for migration in tables.MIGRATIONS[found:]:
                for statement in migration:
                    db.execute(statement)
            if found < len(tables.MIGRATIONS):
                db.execute(SET_META, ("format", str(len(tables.MIGRATIONS))))
                db.execute(SET_META, ("least", str(tables.LEAST)))
                db.execute(SET_META, ("program", f"hocket {__version__}"))

        if self.format_of(db) < len(tables.MIGRATIONS):
            in_transaction(db, whole)

    def prepare(self, db: Connection, *, anew: bool) -> None:
        """Nothing is needed beside the connection."""

    def merge(self, db: Connection) -> None:
        """The server tidies up by itself."""

    def beat(self, db: Connection) -> None:
        """Ask the server's clock again: two clocks drift apart."""
        self.hub.ask(cast(PostgresConnection, db))

    def explain(self, error: Exception, *, reading: bool = False) -> JournalError:
        """Say in one sentence what is wrong with the database, and what to do."""
        if self.is_full(error):
            return NoRoom(
                f"the disk of {self.where} is full; nothing acknowledged was lost, but nothing "
                "more can be recorded: make room, then resume the run"
            )
        tls = "ssl" in self.address.now().partition("?")[2]
        known = explained(error, self.where, reading=reading, tls=tls)
        if known:
            return JournalError(known)
        said = said_in(error)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            return Unreachable(
                f"{self.where} takes no writes ({said}): it is a standby, or "
                "default_transaction_read_only is on; name the server that takes them"
            )
        if self.is_cut(error):
            return Unreachable(
                f"{self.where} does not answer ({said}): see whether the server runs"
            )
        return JournalError(f"{self.where} could not be {'read' if reading else 'written'}: {said}")

    def is_full(self, error: Exception) -> bool:
        """Tell whether an error means that the server's disk is full."""
        return isinstance(error, asyncpg.DiskFullError)

    def make_room(self) -> None:
        """Nothing is set aside on a server's disk."""

    def may_begin_anew(self, failure: JournalError) -> bool:
        """Tell whether the server may be as it should be again; it is not asked all the time."""
        if not isinstance(failure, NoRoom | Unreachable):
            now = time.monotonic()
            if now - self._began_anew < PAUSE:
                return False
            self._began_anew = now
        return True

    def is_cut(self, error: Exception) -> bool:
        """Tell whether a new connection may do what this one did not."""
        return isinstance(error, CUTS)

    def mend(self, db: Connection, error: Exception, patience: float | None = None) -> None:
        """Connect again; what the lost connection had not committed is undone when this returns.

        Raises:
            JournalError: It could not be reached for so many seconds, by default `PATIENCE`.
        """
        began, pause = time.monotonic(), 0.02
        while True:
            try:
                self.hub.connect(cast(PostgresConnection, db))
                return
            except FAILURES as failure:
                if not self.is_cut(failure):
                    raise self.explain(failure) from failure
                waited = time.monotonic() - began
                if waited > (_HURRY if self.closing.is_set() else patience or PATIENCE):
                    raise self.explain(failure) from failure
            time.sleep(pause)
            # Whoever owns something has to say so before its time is over.
            pause = min(2 * pause, self.hub.beat, 1.0)

    def transact(
        self, db: Connection, work: Callable[[Database], T], patience: float | None = None
    ) -> T:
        """Do some work in a transaction, once, also if the connection is lost and found again.

        Raises:
            Unreachable: The server was not found again; nobody knows whether it was done.
            FAILURES: It failed, and nothing of it is done.
        """
        link = cast(PostgresConnection, db)
        results: list[T] = []

        def kept(db: Database) -> T:
            results[:] = [work(db)]
            return results[0]

        link.careful = True
        try:
            while True:
                try:
                    return in_transaction(db, kept)
                except FAILURES as error:
                    if not self.is_cut(error):
                        raise
                    link.committed = False
                    self.mend(db, error, patience)
                    if link.committed:
                        return results[0]
        finally:
            link.careful = False

    def wall(self) -> int:
        """Give the present instant by the server's clock."""
        return self.hub.now()

    def lapsed_before(self) -> int:
        """Give the instant before which leases ended that have lapsed."""
        return self.hub.lapsed_before()

    def bell(self, on_ring: Callable[[], None]) -> PostgresBell:
        """Give a bell."""
        return PostgresBell(self.address, on_ring)

    def ring(self, *names: str) -> None:
        """Wake the owners of those bells; they look by themselves if that fails."""
        heard = [name for name in names if name]
        if heard and self._writing is not None:
            with suppress(*FAILURES):
                self._writing.execute(_NOTIFY_ALL, (json.dumps(heard),))

    def announce(self) -> None:
        """Wake everybody."""
        self.ring(_EVERYBODY)


class PostgresBell:
    """Calls `on_ring`, in a thread of its own, whenever somebody rings.

    It has a connection of its own that does nothing else; while that is lost, nothing is heard.

    Attributes:
        name: What it takes to ring it.
    """

    def __init__(self, address: Address, on_ring: Callable[[], None]) -> None:
        self.name = f"hocket_{os.getpid()}_{secrets.token_hex(6)}"
        self._address = address
        self._on_ring = on_ring
        self._loop = new_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="hocket-bell", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear nothing any more."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=2 * CONNECT_SECONDS)

    def _main(self) -> None:
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        while not self._over.is_set():
            try:
                await self._hear()
            except FAILURES:
                # The owner looks by itself meanwhile.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), 1.0)

    async def _hear(self) -> None:
        """Listen until the end, or until the connection is lost."""
        link = await reach(self._address, "hocket bell", command_timeout=_LISTEN_SECONDS)
        try:
            for channel in (self.name, _EVERYBODY):
                await link.add_listener(channel, self._rung)
            # Somebody may have rung while nobody heard it.
            self._on_ring()
            while not self._over.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), _LISTEN_SECONDS)
                # A line that is dead says nothing by itself.
                await link.fetchval("SELECT 1")
        finally:
            link.terminate()

    def _rung(self, *_: Any) -> None:
        self._on_ring()


def _number(db: Database, sql: str) -> int:
    row = one(db.execute(sql))
    return int(text(row[0])) if row else 0


def _check_encoding(db: Database, where: str) -> None:
    """Refuse a database that would fail in the middle of a run, at a character it has not.

    Raises:
        JournalError: It is one.
    """
    (encoding,) = one(db.execute(_ENCODING)) or ("",)
    if encoding != tables.ENCODING:
        raise JournalError(
            f"{where} keeps texts in {encoding}, which lacks characters: {tables.OTHER_ENCODING}"
        )
