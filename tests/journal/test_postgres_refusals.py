"""A server that cannot do a statement has undone it: who asked is told, all else goes on."""

from __future__ import annotations

import asyncio
import runpy
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from tests.postgres import Server

from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.core.requests import Pause
from hocket.core.values import Call
from hocket.journal.postgres import PostgresJournal
from hocket.journal.schema import Database

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]


def finished(number: int) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("a", number))


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_work_that_fails_fails_alone(postgres: Server, database: str) -> None:
    name = database.rpartition("/")[2]

    async def main() -> None:
        with PostgresJournal(database, lease=1.0) as journal:
            log = await journal.start(started("r1"))
            told = asyncio.Event()
            log.watch(lambda seq: None, lambda posts: told.set() if posts else None)
            # The inbox that is gone is also looked at, all the time, for the owner.
            postgres.sql("ALTER TABLE hocket.inbox RENAME TO away", name)
            for _ in range(3):
                with pytest.raises(JournalError, match="inbox"):
                    await asyncio.to_thread(journal.post, "r1", Pause())
                await log.durable(log.append([finished(log.seq + 1)]))
            await (await journal.start(started("r2"))).close()
            assert await asyncio.to_thread(journal.writes, 20.0)
            postgres.sql("ALTER TABLE hocket.away RENAME TO inbox", name)
            await asyncio.to_thread(journal.post, "r1", Pause())
            await told.wait()
            await log.close()

    run(main())


def test_a_commit_that_fails_ends_its_runs_and_no_others(postgres: Server, database: str) -> None:
    name = database.rpartition("/")[2]

    async def main() -> None:
        with PostgresJournal(database) as journal:
            log = await journal.start(started("r1"))
            other = await journal.start(started("r2"))
            postgres.sql(
                "ALTER TABLE hocket.events ADD CONSTRAINT never CHECK (n < 2 OR run <> 1)",
                name,
            )
            failed: list[Exception] = []
            log.watch(lambda seq: None, lambda posts: None, failed.append)
            for _ in range(2):
                with pytest.raises(JournalError, match="never"):
                    await log.durable(log.append([finished(2)]))
            assert len(failed) == 1
            await other.durable(other.append([finished(2)]))
            # It was given up, so whoever has mended the database takes it up, here or elsewhere.
            assert {row.id: bool(row.owner) for row in journal.runs()} == {"r1": False, "r2": True}
            postgres.sql("ALTER TABLE hocket.events DROP CONSTRAINT never", name)
            again = await journal.resume("r1")
            assert (again.epoch, again.seq) == (2, 1)
            await again.durable(again.append([finished(2)]))
            await again.close()
            await other.close()

    run(main())


def test_after_an_outage_that_ends_otherwise_writing_begins_anew(
    postgres: Server, database: str
) -> None:
    """The database is there and lets nobody in, as while it is restored or a password changes."""
    name = database.rpartition("/")[2]

    async def main() -> None:
        with PostgresJournal(database) as journal:
            log = await journal.start(started("r1"))
            postgres.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            postgres.sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            with pytest.raises(JournalError, match="not currently accepting"):
                await log.durable(log.append([finished(2)]))
            assert not await asyncio.to_thread(journal.writes, 20.0)
            postgres.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            while not await asyncio.to_thread(journal.writes, 20.0):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            again = await journal.resume("r1")
            await again.durable(again.append([finished(2)]))
            await again.close()

    run(main())


def test_a_mistake_in_some_work_leaves_nobody_waiting(database: str) -> None:
    def mistaken(db: object) -> None:
        raise IndexError("a mistake")

    async def main() -> None:
        with PostgresJournal(database) as journal:
            log = await journal.start(started("r1"))
            writer = journal._open_writer()
            asked = [writer.submit(mistaken) for _ in range(3)]
            wait(asked, 20)
            for each in asked:
                with pytest.raises(JournalError, match="a mistake"):
                    each.result(0)
            await log.durable(log.append([finished(2)]))
            await log.close()

    run(main())


def test_a_mistake_in_what_is_asked_is_not_taken_for_a_closed_journal(database: str) -> None:
    def mistake(db: Database) -> None:
        raise RecursionError("maximum recursion depth exceeded")

    with PostgresJournal(database) as journal:
        with pytest.raises(RecursionError):
            journal.ask(mistake)
        assert journal.runs() == []
    with pytest.raises(JournalError, match="is closed"):
        journal.runs()
