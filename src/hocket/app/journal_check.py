"""Looks a journal over: what it is, what is in it, and whether it keeps what it promises."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar, runtime_checkable

import msgspec

from hocket.core.values import SECOND
from hocket.journal.postgres_tables import ENCODING, OTHER_ENCODING
from hocket.journal.schema import Database, integer, one, text

T = TypeVar("T")

META: Final = "SELECT key, value FROM meta"
RUNS: Final = "SELECT count(*), min(created) FROM runs"
# In one walk: how many events there are, and of how many runs some are missing.
EVENTS: Final = """
SELECT CAST(coalesce(sum(e.found), 0) AS bigint), CAST(coalesce(sum(e.gap), 0) AS bigint)
FROM (SELECT count(*) AS found, CASE WHEN count(*) = max(n) THEN 0 ELSE 1 END AS gap
      FROM events GROUP BY run) AS e"""
OWNERS: Final = """
SELECT count(*) FROM owners AS o
WHERE o.lease_until >= ? AND EXISTS (SELECT 1 FROM runs AS r WHERE r.owner = o.key)"""
FILE_SIZE: Final = """
SELECT c.page_count * s.page_size FROM pragma_page_count AS c, pragma_page_size AS s"""
INTEGRITY: Final = "PRAGMA integrity_check"
MODE: Final = "PRAGMA journal_mode"
SETTINGS: Final = """
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'max_connections',
               'server_version', 'server_encoding', 'data_checksums',
               'synchronous_standby_names')"""
CONNECTIONS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"""
TABLE_SIZE: Final = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"""

# Either the schema is there and lets us make tables, or we may make it.
MAY_CREATE: Final = """
SELECT coalesce((SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
                 FROM pg_namespace WHERE nspname = 'hocket'),
                has_database_privilege(current_database(), 'CREATE')), current_user"""
LACKED: Final = """
SELECT count(*), current_user FROM pg_class AS c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
    AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
             AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))"""
TAKES_NO_WRITES: Final = "SELECT current_setting('transaction_read_only') = 'on'"

_MUST_BE_ON: Final = {
    "fsync": "a loss of power can destroy the database: set fsync = on",
    "full_page_writes": "a loss of power can leave half-written pages: set full_page_writes = on",
}
_CROWDED: Final = 0.9


class Checked(msgspec.Struct, kw_only=True):
    """What a journal is found to be.

    Fields:
        kind: ``sqlite`` or ``postgresql``.
        where: Where it is, without what is secret.
        format: The format of its tables; 0 if there are none yet.
        program: What made or last migrated it.
        bytes: How many bytes it takes.
        runs: How many runs there are.
        events: How many events these have.
        oldest: When the oldest run began, in nanoseconds; None if there is none.
        owners: How many processes own runs now.
        connections: How many connections its server has, of all programs; None for a file.
        clock_ahead: By how many seconds its clock is ahead of this machine's.
        settings: What its promises rest on, by name.
        problems: What is wrong, each with what to do.
    """

    kind: str
    where: str
    format: int = 0
    program: str = ""
    bytes: int = 0
    runs: int = 0
    events: int = 0
    oldest: int | None = None
    owners: int = 0
    connections: int | None = None
    clock_ahead: float = 0.0
    settings: dict[str, str] = {}
    problems: list[str] = []


class Journal(Protocol):
    """A journal in a database, as far as it takes to look it over."""

    def query(self, ask: Callable[[Database], T]) -> T | None:
        """Ask the database something; None if there is no journal in it."""

    def wall(self) -> int:
        """Give the present instant by the clock of the journal."""


@runtime_checkable
class Served(Protocol):
    """A journal on a server, which can be asked before there are tables."""

    def ask(self, question: Callable[[Database], T]) -> T:
        """Ask the server something, whether or not there is a journal in its database."""


def check(journal: Journal, kind: str, where: str) -> Checked:
    """Look a journal over; it takes as long as it takes to read all of its index.

    Args:
        journal: The journal.
        kind: ``sqlite`` or ``postgresql``.
        where: How it is called.

    Raises:
        JournalError: It cannot be read at all.
    """
    found = Checked(kind=kind, where=where)
    before = time.time_ns()
    wall = journal.wall()
    found.clock_ahead = (wall - (before + time.time_ns()) // 2) / SECOND
    if isinstance(journal, Served):
        # Whether it is fit for a journal is asked before there is one.
        journal.ask(lambda db: _look_at_server(db, found))
        journal.query(lambda db: _look_at_tables(db, found, wall))
        if not found.format:
            journal.ask(lambda db: _may_create(db, found))
        return found

    def look(db: Database) -> None:
        _look(db, found, wall)
        _look_at_file(db, found)

    journal.query(look)
    return found


def _look_at_tables(db: Database, found: Checked, now: int) -> None:
    _look(db, found, now)
    found.bytes = integer((one(db.execute(TABLE_SIZE)) or (0,))[0])
    lacked, user = one(db.execute(LACKED)) or (0, "")
    if lacked:
        found.problems.append(
            f"{user} may not write {lacked} of the tables: work as their owner, or GRANT SELECT, "
            "INSERT, UPDATE, DELETE on all tables in schema hocket"
        )


def _may_create(db: Database, found: Checked) -> None:
    may, user = one(db.execute(MAY_CREATE)) or (True, "")
    if not may:
        found.problems.append(
            f"{user} may not make the tables: make it the owner of the database, or GRANT it "
            "CREATE on the database (and on the schema hocket, if there is one)"
        )


def _look(db: Database, found: Checked, now: int) -> None:
    meta = {text(key): text(value) for key, value in db.execute(META).fetchall()}
    found.format, found.program = int(meta.get("format", "0")), meta.get("program", "")
    runs, oldest = one(db.execute(RUNS)) or (0, None)
    found.runs, found.oldest = integer(runs), None if oldest is None else integer(oldest)
    events, gaps = one(db.execute(EVENTS)) or (0, 0)
    found.events = integer(events)
    found.owners = integer((one(db.execute(OWNERS, (now,))) or (0,))[0])
    if gaps:
        found.problems.append(
            ("1 run has" if gaps == 1 else f"{gaps} runs have")
            + " not all of the events: restore the journal from a copy"
        )


def _look_at_file(db: Database, found: Checked) -> None:
    found.bytes = integer((one(db.execute(FILE_SIZE)) or (0,))[0])
    found.settings["journal_mode"] = text((one(db.execute(MODE)) or ("",))[0])
    said = [text(row[0]) for row in db.execute(INTEGRITY).fetchall()]
    found.settings["integrity_check"] = said[0] if said else ""
    if said != ["ok"]:
        found.problems.append(
            f"the file is damaged ({said[0]}): restore it from a copy, or save what can be read "
            "with hocket journal copy"
        )


def _look_at_server(db: Database, found: Checked) -> None:
    found.connections = integer((one(db.execute(CONNECTIONS)) or (0,))[0])
    rows = db.execute(SETTINGS).fetchall()
    settings = found.settings = {text(name): text(value) for name, value in rows}
    for name, told in _MUST_BE_ON.items():
        if settings.get(name) != "on":
            found.problems.append(f"{name} is {settings.get(name)}: {told} on the server")
    if settings.get("synchronous_commit") == "off":
        found.problems.append(
            "synchronous_commit is off for our connections: what was acknowledged can be lost"
        )
    encoding = settings.get("server_encoding")
    if encoding != ENCODING:
        found.problems.append(
            f"texts are kept in {encoding}, which lacks characters: {OTHER_ENCODING}"
        )
    if (one(db.execute(TAKES_NO_WRITES)) or (False,))[0]:
        found.problems.append(
            "the server takes no writes: it is a standby, or default_transaction_read_only is on"
        )
    most = int(settings.get("max_connections", "0"))
    if most and found.connections >= _CROWDED * most:
        found.problems.append(
            f"{found.connections} of {most} connections are open: raise max_connections, or run "
            "fewer processes"
        )
