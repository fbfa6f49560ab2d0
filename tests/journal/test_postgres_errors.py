"""What a server's refusals mean is said, with what to do about it."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.postgres import Server

from hocket.app.journal_check import check
from hocket.core.errors import CallerError, JournalError, NotFound
from hocket.core.requests import Pause
from hocket.journal.base import Store, Wanted
from hocket.journal.postgres import PostgresJournal
from hocket.journal.postgres_server import PostgresServer
from hocket.journal.schema import Unreachable
from hocket.journal.sqlite import SqliteJournal

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]

NUMBERS = count(1)
NO_TEXTS = ("a\0b", "a\udcffb")


@pytest.fixture
def role(postgres: Server, database: str) -> Iterator[str]:
    """A role that may do nothing with the journal of the database yet."""
    with PostgresJournal(database) as journal:
        asyncio.run(journal.lay(started("r1")))
    name = f"guest{next(NUMBERS)}"
    postgres.sql(f"CREATE ROLE {name} LOGIN")
    yield name
    postgres.sql(f"DROP OWNED BY {name}; DROP ROLE {name}", database.rpartition("/")[2])


def test_rights_that_are_missing_are_named(postgres: Server, database: str, role: str) -> None:
    name = database.rpartition("/")[2]
    address = database.replace("hocket@", f"{role}@")
    with PostgresJournal(address) as guest:
        with pytest.raises(JournalError, match="GRANT the user USAGE on it and SELECT on"):
            guest.runs()
        postgres.sql(f"GRANT USAGE ON SCHEMA hocket TO {role}", name)
        with pytest.raises(JournalError, match=r"does not let us read \(permission denied.*SELECT"):
            guest.runs()
        postgres.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA hocket TO {role}", name)
        assert [row.id for row in guest.runs()] == ["r1"]
        with pytest.raises(JournalError, match=r"does not let us write .*INSERT, UPDATE, DELETE"):
            guest.post("r1", Pause())


def test_a_database_in_another_encoding_is_refused_before_there_are_tables(
    postgres: Server,
) -> None:
    """A call that has said what it cannot keep would end its run, again and again."""
    postgres.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    advice = "keeps texts in LATIN1.*createdb --encoding=UTF8"
    try:
        with PostgresJournal(postgres.url("latin")) as journal:
            with pytest.raises(JournalError, match=advice):
                asyncio.run(journal.lay(started("r1")))
            with pytest.raises(JournalError, match=advice):
                journal.write(lambda db: None)
            found = check(journal, "postgresql", journal.where)
        assert not postgres.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'hocket'", "latin")
        assert found.settings["server_encoding"] == "LATIN1"
        assert [p for p in found.problems if "texts are kept in LATIN1" in p and "UTF8" in p]
    finally:
        postgres.drop("latin")


def test_a_server_that_takes_no_writes_is_not_said_to_be_away(
    postgres: Server, database: str
) -> None:
    name = database.rpartition("/")[2]
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    server = PostgresServer(database, 15.0)
    with pytest.raises(Unreachable, match=r"takes no writes .*a standby"):
        server.open()


def test_tables_of_another_program_are_named(postgres: Server, database: str) -> None:
    theirs = "CREATE SCHEMA hocket; CREATE TABLE hocket.meta (id bigint)"
    postgres.sql(theirs, database.rpartition("/")[2])
    with (
        PostgresJournal(database) as journal,
        pytest.raises(JournalError, match=r"not Hocket's in its schema hocket .*of its own"),
    ):
        journal.runs()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sslmode=verify-full", "no connection with TLS"),
        ("sslmode=require", "no connection with TLS"),
        ("sslmode=verify-ca&sslrootcert=/nowhere", "no connection with TLS"),
        ("sslmode=perhaps", "mend what is after its|no connection with TLS"),
    ],
)
def test_trouble_with_tls_is_told_apart(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, said: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with PostgresJournal(f"{database}?{asked}") as journal, pytest.raises(JournalError, match=said):
        journal.runs()


@pytest.fixture(params=["file", "server"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store
    if request.param == "file":
        opened = SqliteJournal(tmp_path)
    else:
        opened = PostgresJournal(request.getfixturevalue("database"))
    asyncio.run(opened.lay(started("r1")))
    yield opened
    opened.close()


@pytest.mark.parametrize("id", NO_TEXTS)
def test_what_no_run_can_be_called_is_not_found(journal: Store, id: str) -> None:
    assert journal.find(id) is None
    assert journal.runs(Wanted(beginning=id)) == []
    for ask in (
        lambda: journal.read(id),
        lambda: journal.waiting(id),
        lambda: journal.post(id, Pause()),
        lambda: asyncio.run(journal.resume(id)),
    ):
        with pytest.raises(NotFound, match="there is no run 'a") as told:
            ask()
        str(told.value).encode()
    assert journal.remove([id]) == 0
    for wanted in (Wanted(sought=id), Wanted(before=(1, id))):
        with pytest.raises(CallerError, match="cannot be sought"):
            journal.runs(wanted)
    with pytest.raises(CallerError, match="cannot be sought"):
        journal.counts(Wanted(sought=id))
    assert [row.id for row in journal.runs()] == ["r1"]
