"""Several hosts in a journal's address: whichever takes writes is the journal's."""

from __future__ import annotations

import asyncio
import runpy
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres import Server, free_port, missing

from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.core.values import Call
from hocket.journal import postgres_connection
from hocket.journal.postgres import PostgresJournal

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]


@pytest.fixture(scope="module")
def other() -> Iterator[Server]:
    """Another server beside that of all tests; it may be stopped."""
    if reason := missing():
        pytest.skip(reason)
    server = Server().start()
    yield server
    server.remove()


def two(first: str, second: str) -> str:
    """An address of two hosts: those of two addresses, and the database of the second."""
    host = first.partition("@")[2].partition("/")[0]
    return second.replace("@", f"@{host},")


def begin(address: str) -> None:
    """Begin a run in a journal, and read it."""

    async def main() -> None:
        with PostgresJournal(address) as journal:
            await (await journal.start(started("r1"))).close()
            assert [row.id for row in journal.runs()] == ["r1"]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_host_that_is_down_is_passed_over(database: str) -> None:
    nobody = f"postgresql://hocket@127.0.0.1:{free_port('127.0.0.1')}/x"
    begin(two(nobody, database))


def test_a_host_that_is_silent_is_passed_over(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin(two(f"postgresql://hocket@127.0.0.1:{silent.getsockname()[1]}/x", database))


def test_a_host_that_takes_no_writes_is_passed_over(other: Server, database: str) -> None:
    name = database.rpartition("/")[2]
    other.sql(f"CREATE DATABASE {name}")
    other.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    begin(two(other.url(name), database))
    assert not other.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'hocket'", name)


def test_runs_go_on_when_the_first_host_is_there_no_more(other: Server, database: str) -> None:
    """The second has the same journal, as a standby that was promoted has."""
    name = database.rpartition("/")[2]
    other.sql(f"CREATE DATABASE {name}")
    begin(database)

    async def main() -> None:
        with PostgresJournal(other.url(name)) as first:
            await (await first.start(started("r1"))).close()
        with PostgresJournal(two(other.url(name), database)) as journal:
            log = await journal.resume("r1")
            await log.durable(log.append([ev.CallFinished(at=2, call=Call("a", 1))]))
            await log.close()
            other.stop("fast")
            again = await journal.resume("r1")
            assert (again.seq, [row.id for row in journal.runs()]) == (1, ["r1"])
            await again.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    other.start()


def test_who_is_let_in_nowhere_is_told_of_all_hosts() -> None:
    first, second = (f"127.0.0.1:{free_port('127.0.0.1')}" for _ in range(2))
    address = f"postgresql://me:secret@{first},{second}/x"
    with (
        PostgresJournal(address) as journal,
        pytest.raises(JournalError, match=f"postgresql://{first},{second}/x does not answer"),
    ):
        journal.runs()
