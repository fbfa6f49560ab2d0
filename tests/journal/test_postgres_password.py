"""A journal's address in a file: a new password counts at once, another database does not."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from tests.postgres import Server, missing, wait_for

from hocket.app.journals import open_journal
from hocket.core import events as ev
from hocket.core.values import Call
from hocket.journal import postgres_server
from hocket.journal.address import Address
from hocket.journal.postgres import PostgresJournal

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]

GUESTS = "SELECT pid FROM pg_stat_activity WHERE usename = 'guest'"
END = f"SELECT pg_terminate_backend(pid) FROM ({GUESTS}) AS guests"
BELLS = f"SELECT count(*) FROM ({GUESTS} AND application_name = 'hocket bell') AS bells"


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens for bells notices soon that nobody can be heard any more."""
    monkeypatch.setattr(postgres_server, "_LISTEN_SECONDS", 0.2)


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server that lets a guest in with a password alone."""
    if reason := missing():
        pytest.skip(reason)
    server = Server()
    rules = server.folder / "pg_hba.conf"
    rules.write_text(f"host all guest 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    server.start()
    server.sql("CREATE ROLE guest LOGIN PASSWORD 'one'")
    yield server
    server.remove()


def kept(server: Server, folder: Path) -> tuple[Path, str]:
    """Make a database of the guest's, and a file with its address; gives both."""
    name = server.create()
    server.sql(f"ALTER DATABASE {name} OWNER TO guest")
    file = folder / "journal"
    file.write_text(server.url(name).replace("hocket@", "guest:one@"))
    server.sql("ALTER ROLE guest PASSWORD 'one'")
    return file, name


def finished(number: int) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("a", number))


def change(server: Server, file: Path, address: str, statement: str = "SELECT 1") -> None:
    """Tell the server something, write another address into the file, and end all connections."""
    server.sql(statement)
    file.write_text(address)
    before = set(server.sql(GUESTS))
    assert len(before) >= 3
    server.sql(END)
    wait_for("they are ended", lambda: before.isdisjoint(server.sql(GUESTS)))


def goes_on(server: Server, file: Path, *changed: str) -> int:
    """A run of a living journal through a `change`; gives how many events it has then."""

    async def main() -> int:
        journal = cast(PostgresJournal, open_journal(f"@{file}", file.parent, 15.0))
        with closing(journal):
            log = await journal.start(started("r1"))
            assert [row.id for row in journal.runs()] == ["r1"]
            wait_for("the bell hangs", lambda: server.sql(BELLS) == [("1",)])
            change(server, file, *changed)
            await log.durable(log.append([finished(2)]))
            assert [row.id for row in journal.runs()] == ["r1"]
            await asyncio.to_thread(
                wait_for, "the bell hangs again", lambda: server.sql(BELLS) == [("1",)]
            )
            seq = log.seq
            await log.close()
        return seq

    return asyncio.run(asyncio.wait_for(main(), 60))


def test_a_new_password_counts_for_a_process_that_goes_on(strict: Server, tmp_path: Path) -> None:
    file, _ = kept(strict, tmp_path)
    new = file.read_text().replace(":one@", ":two@")
    assert goes_on(strict, file, new, "ALTER ROLE guest PASSWORD 'two'") == 2


@pytest.mark.parametrize("written", ["", "postgresql://guest:o", "postgresql://x:y/z@/w"])
def test_a_file_that_is_being_written_changes_nothing(
    strict: Server, tmp_path: Path, written: str
) -> None:
    file, _ = kept(strict, tmp_path)
    assert goes_on(strict, file, written) == 2


def test_another_database_is_left_to_processes_that_begin_later(
    strict: Server, tmp_path: Path
) -> None:
    """Or an owner would find its run in a copy of the journal, with an epoch that is taken back."""
    file, name = kept(strict, tmp_path)
    other = strict.create(name)
    assert goes_on(strict, file, file.read_text().replace(name, other)) == 2
    assert strict.sql("SELECT count(*) FROM hocket.events", name) == [("2",)]
    assert not strict.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'hocket'", other)


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        ("postgresql://you:new@a:1/x?sslmode=require", True),
        ("postgresql://a:1/x?sslmode=require&password=new", True),
        ("postgresql://me@b:1/x?sslmode=require", False),
        ("postgresql://me@a:1/y?sslmode=require", False),
        ("postgresql://me@a:1/x?sslmode=require&dbname=y", False),
        ("/a/folder", False),
    ],
)
def test_who_comes_may_change_and_where_to_may_not(found: str, counts: bool) -> None:
    address = Address("postgresql://me:old@a:1/x?sslmode=require", lambda: found)
    assert (address.now() == found) is counts
