"""The journal in a PostgreSQL database, shared by processes of any number of machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar, cast

from hocket.core.errors import JournalError
from hocket.journal.address import Address
from hocket.journal.backend import Connection
from hocket.journal.outage import Outage
from hocket.journal.postgres_connection import FAILURES, PostgresConnection
from hocket.journal.postgres_logs import PostgresLogs
from hocket.journal.postgres_server import NOTIFY, READ_SECONDS, WRITE_SECONDS, PostgresServer
from hocket.journal.schema import Database, Unreachable
from hocket.journal.sql import LEASE, SqlJournal

T = TypeVar("T")

READ_PATIENCE: Final = 10.0
"""Seconds for which those who only read, or post, wait for a lost database, all together."""


class PostgresJournal(SqlJournal):
    """The store of all runs of a database, and its inbox.

    Reading, and writing without a run of one's own, happens in one thread; events go through the
    writer's.

    Args:
        address: Where the database is: ``postgresql://user@host:port/database``.
        lease: Seconds after which an owner of this process may be replaced that gives no sign of
            life.

    Attributes:
        logs: What calls say, in the same database.
        far: Its answers may not come; see `hocket.journal.slices.aside`.
    """

    far = True

    def __init__(self, address: str | Address, *, lease: float = LEASE) -> None:
        self._server = PostgresServer(address, lease)
        self.logs = self._logs = PostgresLogs(self, partial(self._server.connect, WRITE_SECONDS))
        self._thread = ThreadPoolExecutor(1, "hocket-reader")
        self._reader: PostgresConnection | None = None
        self._has_tables = False
        self._outage = Outage(READ_PATIENCE)
        super().__init__(self._server, lease)

    @property
    def where(self) -> str:
        """The database's address, without what is secret in it."""
        return self._server.where

    def query(self, ask: Callable[[Database], T]) -> T | None:
        """Ask the database something; None if there is no journal in it.

        Raises:
            JournalError: It cannot be read.
        """

        def asked(db: PostgresConnection) -> T | None:
            try:
                return ask(db) if self._is_there(db) else None
            except FAILURES as error:
                if self._server.is_cut(error):
                    raise
                raise self._server.explain(error, reading=True) from error

        return self._do(asked)

    def ask(self, question: Callable[[Database], T]) -> T:
        """Ask the server something, whether or not there is a journal in its database.

        Raises:
            JournalError: It cannot be read.
        """
        return self._do(question)

    def write(self, work: Callable[[Database], T]) -> T:
        """Do some work in a transaction, by the writer if there is one.

        Raises:
            JournalError: It could not be written, or nobody knows whether it was.
        """
        writer = self._writer
        if writer is not None:
            return writer.submit(work).result()

        def whole(db: PostgresConnection) -> T:
            if not self._is_there(db):
                self._server.migrate(db)
            return self._server.transact(cast(Connection, db), work, READ_PATIENCE)

        return self._do(whole)

    def shrink(self) -> None:
        """The server gives room back by itself."""

    def check_room(self, size: int) -> None:
        """Nobody can see here how much room the server has."""

    def wall(self) -> int:
        """Give the present instant by the server's clock.

        Raises:
            JournalError: It was never asked, and does not answer.
        """
        if not self._server.hub.known:
            self._do(lambda db: None)
        return self._server.wall()

    def lapsed_before(self) -> int:
        """Give the instant before which leases ended that have lapsed.

        Raises:
            JournalError: As `wall`.
        """
        self.wall()
        return self._server.lapsed_before()

    def clock_error(self) -> int:
        """Tell by how many nanoseconds the server's clock may be misjudged here."""
        return self._server.hub.error

    def is_there(self) -> bool:
        """Tell whether there is a journal in the database."""
        return self._has_tables or self.query(lambda db: True) is not None

    def ring(self, name: str) -> None:
        """Wake the owner of that bell."""
        if name:
            self._do(lambda db: db.execute(NOTIFY, (name,)))

    def close_reader(self) -> None:
        """Write what calls have said last, and let go of what answers queries."""
        if self._server.closing.is_set():
            return
        self._logs.stop()
        self._server.closing.set()
        self._thread.submit(self._drop_reader).result()
        self._thread.shutdown()

    def _is_there(self, db: Database) -> bool:
        """Tell whether there are tables; older ones are brought to the present format."""
        if not self._has_tables and self._server.format_of(db):
            self._server.migrate(db)
            self._has_tables = True
        return self._has_tables

    def _do(self, work: Callable[[PostgresConnection], T]) -> T:
        """Have the thread do something.

        Raises:
            JournalError: It could not.
        """
        now = time.monotonic()
        self._outage.enter(now)
        try:
            done = self._thread.submit(self._done, now, work)
        except RuntimeError as error:
            raise JournalError("the journal is closed") from error
        return done.result()

    def _done(self, asked: float, work: Callable[[PostgresConnection], T]) -> T:
        self._outage.begin(asked)
        began, pause = time.monotonic(), 0.02
        while True:
            try:
                if self._reader is None:
                    self._reader = self._server.connect(READ_SECONDS)
                result = work(self._reader)
            except Unreachable as error:
                # A database that was never there is told of at once.
                if not self._server.hub.known or self._is_late(began, error):
                    raise
                self._drop_reader()
            except FAILURES as error:
                failure = self._server.explain(error)
                if not self._server.is_cut(error):
                    self._outage.over()
                    raise failure from error
                if self._is_late(began, failure):
                    raise failure from error
                self._drop_reader()
            except Exception:
                self._outage.over()
                raise
            else:
                self._outage.over()
                return result
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _is_late(self, began: float, failure: JournalError) -> bool:
        late = self._outage.failed(began, time.monotonic(), failure)
        return late or self._server.closing.is_set()

    def _drop_reader(self) -> None:
        """Let go of the connection, which may be lost."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
