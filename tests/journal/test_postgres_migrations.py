"""The tables of a journal in PostgreSQL come into being and change while others use them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.crash.postgres_load import Load, batch, check, started
from tests.postgres import Server, wait_for

from hocket._version import __version__
from hocket.core.errors import JournalError
from hocket.journal import postgres_server as server
from hocket.journal import postgres_tables as tables
from hocket.journal.postgres import PostgresJournal

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'"


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


@contextmanager
def session(postgres: Server, database: str) -> Iterator[Callable[[str], None]]:
    """A session beside all others; gives what runs a statement in it and waits until it has."""
    process = subprocess.Popen(
        [postgres.programs / "psql", "-X", "-q", "-A", "-t", "-d", database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None

    def do(statement: str) -> None:
        assert process.stdin is not None and process.stdout is not None
        print(f"{statement};\n\\echo done", file=process.stdin, flush=True)
        while process.stdout.readline() not in {"done\n", ""}:
            continue

    with process:
        yield do
        process.stdin.close()


def test_of_those_who_come_first_at_once_one_makes_the_tables(
    postgres: Server, database: str
) -> None:
    name = database.rpartition("/")[2]

    async def main() -> None:
        journals = [PostgresJournal(database) for _ in range(4)]
        with session(postgres, database) as do:
            # All of them have seen that there is nothing when the first of them begins.
            do(f"SELECT pg_advisory_lock({server._LOCK_FORMAT})")
            starts = [
                asyncio.create_task(journal.start(started(f"r{number}")))
                for number, journal in enumerate(journals)
            ]
            ask = WAITING.format(name)
            await asyncio.to_thread(
                wait_for, "all wait", lambda: postgres.sql(ask) == [(str(len(journals)),)]
            )
            do(f"SELECT pg_advisory_unlock({server._LOCK_FORMAT})")
        for log in await asyncio.gather(*starts):
            await log.close()
        assert len(journals[0].runs()) == len(journals)
        for journal in journals:
            journal.close()

    run(main())


def later(monkeypatch: pytest.MonkeyPatch, *, least: int = 1) -> None:
    """Be the next version of this program, which adds a column and a table."""
    added = ("ALTER TABLE runs ADD COLUMN tag text", "CREATE TABLE later (key text PRIMARY KEY)")
    monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, added))
    monkeypatch.setattr(tables, "LEAST", least)


def test_a_newer_program_brings_the_tables_up_while_an_older_one_goes_on_with_them(
    postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database.rpartition("/")[2]
    known = len(tables.MIGRATIONS)

    async def main() -> None:
        with PostgresJournal(database) as old, PostgresJournal(database) as new:
            async with Load(old) as load:
                await load.more(2)
                with monkeypatch.context() as patch:
                    later(patch)
                    log = await new.start(started("new"))
                ask = "SELECT key, value FROM hocket.meta WHERE key IN ('format', 'least')"
                assert dict(postgres.sql(ask, name)) == {"format": str(known + 1), "least": "1"}
                untagged = "SELECT id FROM hocket.runs WHERE tag IS NULL AND id = 'new'"
                assert postgres.sql(untagged, name) == [("new",)]
                assert postgres.sql("SELECT count(*) FROM hocket.later", name) == [("0",)]
                await load.more(2)
                await log.durable(log.append(batch("new", 0)))
                await log.close()
            check(new, load)
            # The older program may also be started only now.
            with PostgresJournal(database) as again:
                log = await again.resume("new")
                await log.durable(log.append(batch("new", 1)))
                assert [item.seq for item in old.read("new")] == list(range(1, 8))

    run(main())


def test_what_a_newer_program_says_an_older_one_would_harm_is_refused_with_both_versions(
    postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = len(tables.MIGRATIONS)

    async def main() -> None:
        with monkeypatch.context() as patch, PostgresJournal(database) as new:
            later(patch, least=known + 1)
            await (await new.start(started("new"))).close()
        with PostgresJournal(database) as old:
            said = (
                rf"newer Hocket \(format {known + 1}.*this one, {__version__}, knows up to {known}"
            )
            with pytest.raises(JournalError, match=said):
                await old.start(started("old"))
            with pytest.raises(JournalError, match=said):
                await old.resume("new")
            for ask in (old.runs, old.hosted.all, lambda: old.remove(["new"])):
                with pytest.raises(JournalError, match=said):
                    ask()

    run(main())
    assert postgres.sql("SELECT id FROM hocket.runs", database.rpartition("/")[2]) == [("new",)]


def test_a_migration_that_fails_changes_nothing(
    postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database.rpartition("/")[2]
    wrong = (*tables.MIGRATIONS, ("CREATE TABLE later (key text)", "ALTER TABLE none ADD x text"))

    async def main() -> None:
        with PostgresJournal(database) as journal:
            await (await journal.start(started("r"))).close()
        with monkeypatch.context() as patch, PostgresJournal(database) as journal:
            patch.setattr(tables, "MIGRATIONS", wrong)
            with pytest.raises(JournalError, match="none"):
                await journal.start(started("s"))
        assert postgres.sql("SELECT to_regclass('hocket.later') IS NULL", name) == [("t",)]
        with PostgresJournal(database) as journal:
            assert [row.id for row in journal.runs()] == ["r"]

    run(main())
