"""The server killed, stopped or restarted under load: nothing acknowledged is lost, runs go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
from tests.crash.postgres_load import Load, batch, check, started
from tests.postgres import Server, missing

from hocket.journal.postgres import PostgresJournal
from hocket.journal.postgres_connection import PostgresConnection, new_loop
from hocket.journal.schema import Database, Row

BACKENDS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = '{database}' AND pid <> pg_backend_pid()"""


@pytest.fixture(scope="module")
def victim() -> Iterator[Server]:
    """A server that may be killed.

    What is not synced at a commit it would sync by itself only after ten seconds.
    """
    if reason := missing():
        pytest.skip(reason)
    server = Server(settings={"wal_writer_delay": "10s", "wal_writer_flush_after": "0"}).start()
    yield server
    server.remove()


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def kill(server: Server, database: str) -> None:
    server.kill()
    server.start()


def stop(server: Server, database: str) -> None:
    server.stop("immediate")
    server.start()


def end_backends(server: Server, database: str) -> None:
    """As an administrator does, or a failover: all connections are ended, the server stays."""
    assert int(server.sql(BACKENDS.format(database=database))[0][0]) > 0


@pytest.mark.parametrize("fault", [kill, stop, end_backends])
def test_runs_go_on_by_themselves_when_the_server_is_there_again(
    victim: Server, fault: Callable[[Server, str], None]
) -> None:
    database = victim.create()

    async def main() -> None:
        with PostgresJournal(victim.url(database)) as journal:
            async with Load(journal) as load:
                for _ in range(3):
                    await load.more(3)
                    await asyncio.to_thread(fault, victim, database)
                await load.more(3)
            with PostgresJournal(victim.url(database)) as other:
                check(other, load)
                # A client that goes on loses nothing at all, also if it was not acknowledged.
                assert load.acked == load.begun
                assert {row.owner for row in other.runs()} == {""}

    run(main())


def acknowledge_and_kill(victim: Server, times: int) -> None:
    """The server dies at the very moment of an acknowledgement, again and again."""
    database = victim.create()

    async def main() -> None:
        with PostgresJournal(victim.url(database)) as journal:
            log = await journal.start(started("r"))
            for number in range(times):
                seq = log.append(batch("r", number))
                await log.durable(seq)
                # Not a turn of the loop lies between.
                kill(victim, database)
                ask = "SELECT max(n), count(*) FROM hocket.events"
                assert victim.sql(ask, database) == [(str(seq), str(seq))]
            await log.close()

    run(main())


def test_what_was_acknowledged_outlives_the_server(victim: Server) -> None:
    acknowledge_and_kill(victim, 6)


@pytest.mark.crash
def test_what_was_acknowledged_outlives_the_server_fifty_times(victim: Server) -> None:
    acknowledge_and_kill(victim, 50)


async def commit_and_kill(victim: Server) -> int:
    """What a client keeps that does as it is told by default; gives how many rows are left."""
    database = victim.create()
    db = await asyncpg.connect(victim.url(database))
    await db.execute("CREATE TABLE seen (n int)")
    await db.execute("CHECKPOINT")
    await db.execute("INSERT INTO seen VALUES (1)")
    await asyncio.to_thread(kill, victim, database)
    db.terminate()
    return int(victim.sql("SELECT count(*) FROM seen", database)[0][0])


def test_a_role_that_does_not_wait_for_the_disk_is_overruled(victim: Server) -> None:
    victim.sql("ALTER ROLE hocket SET synchronous_commit = off")
    try:
        assert run(commit_and_kill(victim)) == 0, "the kill would show no difference"
        acknowledge_and_kill(victim, 2)
    finally:
        victim.sql("ALTER ROLE hocket RESET synchronous_commit")


def add(name: str) -> Callable[[Database], int]:
    """What adds a row to the table of durations, and gives 7."""

    def added(db: Database) -> int:
        db.execute("INSERT INTO durations VALUES (?, 's', 'a', 1, '')", (name,))
        return 7

    return added


@pytest.mark.parametrize("others", [0, 5])
def test_a_transaction_that_the_server_has_forgotten_is_done_again(
    victim: Server, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """It dies with nothing of it on disk, not even its number, which others may get then."""
    database = victim.create()
    fetch = PostgresConnection._fetch
    killed: list[str] = []

    def fetch_or_die(
        db: PostgresConnection, sql: str, parameters: tuple[object, ...]
    ) -> tuple[list[Row], str]:
        if sql == "COMMIT" and not killed:
            killed.append(sql)
            kill(victim, database)
            for number in range(others):
                told = f"INSERT INTO hocket.durations VALUES ('{number}', 's', 'a', 1, '')"
                victim.sql(told, database)
        return fetch(db, sql, parameters)

    with PostgresJournal(victim.url(database)) as journal:
        journal.write(lambda db: None)
        victim.sql("CHECKPOINT", database)
        monkeypatch.setattr(PostgresConnection, "_fetch", fetch_or_die)
        assert journal.write(add("p")) == 7
    assert killed
    there = victim.sql("SELECT count(*), count(DISTINCT plan) FROM hocket.durations", database)
    assert there == [(str(others + 1), str(others + 1))]


def test_what_tells_of_transactions_is_taken_away_again(victim: Server) -> None:
    database = victim.create()
    marks = "SELECT key FROM hocket.meta WHERE key LIKE 'commit %' ORDER BY key"
    with PostgresJournal(victim.url(database)) as journal:
        journal.write(add("p"))
        (mine,) = victim.sql(marks, database)
        # Those of two that were killed: one of long ago, and one that may still be asked for.
        victim.sql(
            "INSERT INTO hocket.meta VALUES ('commit a', 'x 0'), "
            "('commit b', 'x ' || extract(epoch FROM now())::bigint)",
            database,
        )
        journal.write(add("q"))
        assert mine in victim.sql(marks, database)
        with PostgresJournal(victim.url(database)) as other:
            other.write(add("r"))
            assert len(victim.sql(marks, database)) == 3
    assert victim.sql(marks, database) == [("commit b",)]


def test_what_the_driver_remarks_on_a_lost_connection_is_not_for_the_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who waited was told; anything else that goes wrong unseen is still said."""
    loop = new_loop()
    loop.call_exception_handler({"message": "nobody asked", "exception": ConnectionError("cut")})
    assert caplog.records == []
    loop.call_exception_handler({"message": "nobody asked", "exception": ValueError("a mistake")})
    assert [record.message for record in caplog.records] == ["nobody asked"]
    loop.close()
