"""One connection to PostgreSQL, for one thread that waits for each statement.

The driver is asynchronous; its loop belongs to the connection and runs only while a statement does.
So the journal's logic, which is that of a thread, is the same for a file and for a server.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from hocket.journal.address import Address, each_host
from hocket.journal.postgres_sql import APPEND, translate
from hocket.journal.schema import Parameter, Row, integer
from hocket.journal.sight import Sight

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

SCHEMA: Final = "hocket"
"""Where the journal's tables are."""

CONNECT_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 5
"""After which the server gives up a transaction whose client was stopped within it.

It holds locks until then; whoever takes its run over waits for that at the most.
"""

FAILURES: Final[tuple[type[Exception], ...]] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

CUTS: Final[tuple[type[Exception], ...]] = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    # Another server may be the one that takes writes by now.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
    asyncpg.InterfaceError,
    # The server has ended the connection, and the driver has not come to noticing it.
    asyncpg.InternalClientError,
    OSError,
)
"""After which a new connection may do what the old one did not."""

# They are set once the connection is there: what stands in between may not know them at its start.
_SETTINGS: Final = {
    "search_path": SCHEMA,
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "default_transaction_isolation": "read committed",
    # A client that is gone must not keep its locks for hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "jit": "off",
    "synchronous_commit": "on",
}
# Acknowledged means on disk, whatever the database or the role has as its default.
_SET: Final = """
SELECT set_config(name, value, false)
FROM unnest($1::text[], $2::text[]) AS settings (name, value)
WHERE name <> 'synchronous_commit' OR current_setting(name) = 'off'"""
_WHO: Final = """
SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"""
_END_OTHER: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND backend_start = $2 AND pid <> pg_backend_pid()"""
# A row of the transaction's own tells of it, and not its number: a server that dies before it has
# synced any of a transaction gives its number to another one.
_MARK: Final = """
INSERT INTO meta (key, value)
SELECT $1, $2 || ' ' || extract(epoch FROM now())::bigint
WHERE pg_current_xact_id_if_assigned() IS NOT NULL
ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value"""
_MARKED: Final = "SELECT value FROM meta WHERE key = $1"
_UNMARK: Final = "DELETE FROM meta WHERE key = $1"
# Those of processes that were killed; nobody asks after a day.
_SWEEP: Final = """
DELETE FROM meta WHERE key IN (
    SELECT key FROM meta WHERE key LIKE 'commit %'
        AND split_part(value, ' ', 2)::bigint < extract(epoch FROM now()) - 86400
    FOR UPDATE SKIP LOCKED)"""
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000"


def new_loop() -> asyncio.AbstractEventLoop:
    """Give a loop for a connection, or for some."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_remark)
    return loop


def _remark(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out what the driver has to say of a lost connection that somebody was told of."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


async def reach(address: Address, name: str, **options: Any) -> asyncpg.Connection[Any]:
    """Connect to an address as it is now; of several hosts, to the first that takes writes.

    Args:
        address: Where the database is.
        name: How the server is told who this is.
        **options: What else the driver is told.

    Raises:
        FAILURES: It could not.
    """
    hosts = each_host(address.now())
    told: dict[str, Any] = {} if len(hosts) == 1 else {"target_session_attrs": "read-write"}
    options |= {"timeout": CONNECT_SECONDS, "server_settings": {"application_name": name}, **told}
    for host in hosts[:-1]:
        # The driver has one time for all of them, and a host that is silent takes all of it.
        with suppress(*CUTS):
            return await asyncpg.connect(host, **options)
    return await asyncpg.connect(hosts[-1], **options)


class Result:
    """What a statement gave."""

    def __init__(self, rows: list[Row], status: str) -> None:
        self._rows = rows
        self._next = 0
        self._status = status

    def fetchone(self) -> object:
        """Give the next row as a tuple, or None."""
        if self._next == len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchall(self) -> list[Row]:
        """Give all rows that were not given yet."""
        rows, self._next = self._rows[self._next :], len(self._rows)
        return rows

    @property
    def rowcount(self) -> int:
        """How many rows an INSERT, UPDATE or DELETE changed."""
        count = self._status.rpartition(" ")[2]
        return int(count) if count.isdigit() else -1


class PostgresConnection:
    """A connection; it must be used in one thread that has no running event loop.

    Args:
        address: Where the database is.
        name: How the server is told who this is.
        timeout: Seconds after which a statement counts as lost.
        sight: Is told of what was answered and what was not.

    Attributes:
        unsure: Whether the last statement failed in a way that leaves open whether it is committed.
        careful: Whether transactions are remembered, so that `committed` can be told.
        committed: Whether what was under way when the connection was lost had been committed after
            all, as the server says to whoever asks on the next connection.
    """

    def __init__(self, address: Address, name: str, timeout: float, sight: Sight) -> None:
        self.unsure = False
        self.careful = False
        self.committed = False
        self._transaction: object = None
        self._key = f"commit {secrets.token_hex(8)}"
        self._marks = False
        self._address = address
        self._name = name
        self._timeout = timeout
        self._sight = sight
        self._loop = new_loop()
        self._link: asyncpg.Connection[Any] | None = None
        self._who: tuple[int, Any] | None = None
        self._prepared: dict[str, PreparedStatement[Any]] = {}

    def connect(self) -> None:
        """Connect, or connect again; what the connection before had not committed is undone then.

        Raises:
            FAILURES: It could not.
        """
        self._drop()
        self._link = self._loop.run_until_complete(
            reach(self._address, self._name, command_timeout=self._timeout, statement_cache_size=0)
        )
        self._fetch(_SET, (list(_SETTINGS), list(_SETTINGS.values())))
        before, self._who = self._who, None
        if before is not None:
            self._end(before)
        ((pid, began),) = self._fetch(_WHO, ())[0]
        self._who = (integer(pid), began)
        if self._transaction is not None:
            found = self._fetch(_MARKED, (self._key,))[0]
            self.committed, self._transaction = found == [(self._transaction,)], None

    def _end(self, before: tuple[int, Any]) -> None:
        """See that the server has let go of the connection before, with all its locks."""
        deadline = time.monotonic() + self._timeout
        try:
            while self._fetch(_END_OTHER, before)[0]:
                if time.monotonic() > deadline:
                    raise TimeoutError("the server keeps the connection that was lost")
                time.sleep(0.02)
        except BaseException:
            # The next try sees to it.
            self._who = before
            raise

    @property
    def version(self) -> tuple[int, int]:
        """The server's version."""
        assert self._link is not None
        found = self._link.get_server_version()
        return found.major, found.minor

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        link = self._link
        return link is not None and not link.is_closed() and link.is_in_transaction()

    def execute(self, sql: str, parameters: tuple[Parameter, ...] = (), /) -> Result:
        """Run one statement of the journal, translated.

        Raises:
            FAILURES: It failed.
        """
        sql = translate(sql)
        if sql == "ROLLBACK":
            return self._roll_back()
        harmless = self.in_transaction or sql.lstrip().startswith(("BEGIN", "SELECT"))
        if sql == "COMMIT" and self.careful:
            self._mark()
        self.unsure = sql == "COMMIT" or not harmless
        result = Result(*self._fetch(sql, parameters))
        self.unsure, self._transaction = False, None
        return result

    def _mark(self) -> None:
        """Have the open transaction tell of itself, if it changes anything."""
        if not self._marks:
            self._fetch(_SWEEP, ())
            self._marks = True
        found = self._fetch(_MARK, (self._key, secrets.token_hex(8)))[0]
        self._transaction = found[0][0] if found else None

    def insert_events(self, rows: Iterable[tuple[int, int, int, str]]) -> int:
        """Insert rows of run, epoch, number and data whose epoch is the run's; gives how many were.

        Raises:
            FAILURES: It failed.
        """
        columns = [list(column) for column in zip(*rows, strict=True)]
        if not columns:
            return 0
        owners = {run: epoch for run, epoch in zip(columns[0], columns[1], strict=True)}
        self.unsure = not self.in_transaction
        found = Result(*self._fetch(APPEND, (*columns, list(owners), list(owners.values()))))
        self.unsure = False
        return found.rowcount

    def now(self) -> tuple[int, int, int]:
        """Ask the server's clock.

        Gives its instant, this machine's monotonic clock at that moment, and how many nanoseconds
        the question took: twice what the instant may be wrong by at the most.
        """
        before = time.monotonic_ns()
        ((instant,),) = self._fetch(_NOW, ())[0]
        after = time.monotonic_ns()
        return integer(instant), (before + after) // 2, after - before

    def close(self) -> None:
        """End the connection."""
        link = self._link
        if link is not None and not link.is_closed():
            try:
                if self._marks:
                    self._fetch(_UNMARK, (self._key,))
                self._loop.run_until_complete(link.close(timeout=CONNECT_SECONDS))
            except FAILURES:
                # The server ends it by itself when it notices.
                pass
        self._drop()
        self._loop.close()

    def _drop(self) -> None:
        link, self._link = self._link, None
        self._prepared.clear()
        if link is not None and not link.is_closed():
            link.terminate()

    def _roll_back(self) -> Result:
        """Undo what was begun; a connection that is gone has undone it by that."""
        try:
            return Result(*self._fetch("ROLLBACK", ()))
        except FAILURES:
            self._drop()
            return Result([], "ROLLBACK")

    def _fetch(self, sql: str, parameters: tuple[object, ...]) -> tuple[list[Row], str]:
        link = self._link
        if link is None or link.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("the connection to the server was lost")
        began = time.monotonic_ns()
        try:
            answer = self._loop.run_until_complete(self._ask(link, sql, parameters))
        except CUTS:
            self._sight.missed(began)
            raise
        self._sight.saw(began, time.monotonic_ns())
        return answer

    async def _ask(
        self, link: asyncpg.Connection[Any], sql: str, parameters: tuple[object, ...]
    ) -> tuple[list[Row], str]:
        try:
            if sql in {"BEGIN", "COMMIT", "ROLLBACK"}:
                return [], await link.execute(sql)
            prepared = self._prepared.get(sql)
            if prepared is None:
                prepared = self._prepared[sql] = await link.prepare(sql)
            rows = await prepared.fetch(*parameters)
        except TimeoutError:
            # Nobody knows what has become of it, and the connection is of no use any more.
            link.terminate()
            raise
        return [tuple(row) for row in rows], prepared.get_statusmsg()
