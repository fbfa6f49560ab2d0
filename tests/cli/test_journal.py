"""Which journal commands mean, and the commands about journals, as they are typed."""

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres import Server, missing

from hocket.app import journals
from hocket.app.journals import shown
from hocket.cli.address import split
from hocket.cli.main import main
from hocket.core.errors import Refused
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

PLANS = """version: 1
plans:
  hi:
    steps:
      hi: {command: [echo, hi]}
  ask:
    steps:
      ok: {approve: "Go on?"}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder, and a folder to work in."""
    (tmp_path / "hocket.yaml").write_text(PLANS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOCKET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HOCKET_JOURNAL", raising=False)
    yield tmp_path / "home"
    assert "HOCKET_JOURNAL" not in os.environ, "an option of one command is not that of the next"


def ids(state: Path) -> list[str]:
    journal = SqliteJournal(state)
    try:
        return [row.id for row in journal.runs()]
    finally:
        journal.close()


def with_password(url: str) -> str:
    """The same database for a server that asks for none."""
    return url.replace("postgresql://hocket@", "postgresql://hocket:secret-word@")


@pytest.mark.parametrize("place", ["before", "after", "equals", "variable", "file"])
def test_a_command_means_the_journal_that_it_is_told(
    home: Path,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = str(tmp_path / "other")
    command = ["run", "hi", "--id", "there", "-q"]
    if place == "before":
        command = ["--journal", other, *command]
    elif place == "after":
        command = [*command, "--journal", other]
    elif place == "equals":
        command = [command[0], f"--journal={other}", *command[1:]]
    else:
        (tmp_path / "address").write_text(f"{other}\n")
        value = other if place == "variable" else f"@{tmp_path / 'address'}"
        monkeypatch.setenv("HOCKET_JOURNAL", value)
    assert main(command) == 0
    assert ids(Path(other)) == ["there"] and ids(home) == []
    monkeypatch.delenv("HOCKET_JOURNAL", raising=False)
    assert main(["runs", "--journal", other]) == 0
    assert "there" in capsys.readouterr().out
    assert main(["runs"]) == 0
    assert "there" not in capsys.readouterr().out


def test_the_option_is_taken_out_wherever_it_stands() -> None:
    assert split(["run", "x"]) == (["run", "x"], None)
    assert split(["run", "--", "--journal", "x"]) == (["run", "--", "--journal", "x"], None)
    assert split(["--journal", "a", "run", "--", "x"]) == (["run", "--", "x"], "a")
    for wrong in (["--journal"], ["--journal", "--json"], ["--journal="], ["--journal=a"] * 2):
        with pytest.raises(Refused):
            split(["run", *wrong])


def test_an_address_that_nobody_knows_is_refused_with_those_that_are(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["runs", "--journal", "mysql://me:secret-word@host/db"]) == 2
    said = capsys.readouterr().err
    assert "postgresql://" in said and "path of a state folder" in said
    assert "secret-word" not in said
    assert main(["runs", "--journal", f"@{tmp_path / 'none'}"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_without_its_package_postgresql_is_refused_with_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(name: str) -> None:
        raise ModuleNotFoundError("No module named 'asyncpg'", name="asyncpg")

    monkeypatch.setattr(journals, "import_module", none)
    assert main(["runs", "--journal", "postgresql://host/db"]) == 2
    assert "pip install 'hocket[postgres]'" in capsys.readouterr().err


def test_a_password_is_shown_nowhere(
    home: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = with_password(database)
    assert main(["run", "hi", "--id", "r", "--journal", url]) == 0
    for command in (
        ["runs"],
        ["logs", "r"],
        ["show", "r"],
        ["doctor"],
        ["journal", "check"],
        ["journal", "check", "--json"],
        ["journal", "migrate"],
        ["journal", "copy", url, str(home.parent / "copy"), "r", "--json"],
    ):
        assert main([*command, "--journal", url]) == 0
    nobody = url.replace(database.partition("@")[2], "127.0.0.1:1/none")
    for wrong in (nobody, f"{url}_none", f"{url}?x=%zz"):
        assert main(["runs", "--journal", wrong]) != 0
    said = capsys.readouterr()
    assert "secret-word" not in said.out + said.err
    assert shown("postgresql://u:p@h:1/db?password=p") == "postgresql://h:1/db"
    assert shown("postgresql://u:p@h:port/db") == "postgresql://…"
    assert shown("/a/folder") == "/a/folder"


def test_runs_are_copied_to_postgresql_and_back(
    home: Path, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("one", "two"):
        assert main(["run", "hi", "--id", run, "-q"]) == 0
    assert main(["run", "ask", "--id", "asks", "--no-wait", "-q"]) == 3
    capsys.readouterr()
    url = with_password(database)
    assert main(["journal", "copy", str(home), url, "--all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["run"], one["did"]) for one in told["runs"]] == [
        ("one", "copied"),
        ("two", "copied"),
        ("asks", "copied"),
    ]
    assert told["steps"] == 1 and told["to"] == shown(database)
    assert main(["logs", "two", "hi", "--journal", url]) == 0
    assert capsys.readouterr().out == "== hi#1\nhi\n", "what it said has come along"
    # A run that waits goes on over there, and comes back.
    assert main(["approve", "asks", "--yes", "--journal", url]) == 0
    assert main(["resume", "asks", "-q", "--journal", url]) == 0
    back = tmp_path / "back"
    assert main(["journal", "copy", url, str(back), "asks", "--move"]) == 0
    assert "moved asks" in capsys.readouterr().out
    assert ids(back) == ["asks"]
    assert main(["journal", "copy", str(back), str(home), "asks"]) == 1
    assert "asks is not copied" in capsys.readouterr().out, "the run at home stands still"
    assert main(["journal", "copy", url, shown_with_user(database), "one", "--move"]) == 2
    assert "the same journal" in capsys.readouterr().err


def shown_with_user(url: str) -> str:
    """The same database by another address."""
    return url.replace("@127.0.0.1:", "@localhost:")


def test_what_is_to_be_copied_must_be_said(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "hi", "--id", "one", "-q"]) == 0
    target = str(tmp_path / "target")
    for wrong in ([], ["one", "--all"], ["--all", "--older-than", "1d"], ["none"]):
        assert main(["journal", "copy", str(home), target, *wrong]) == 2
    assert main(["journal", "copy", str(tmp_path / "nothing"), target, "--all"]) == 2
    assert "there is no journal at" in capsys.readouterr().err
    assert main(["journal", "copy", str(home), str(home / "journal.sqlite"), "one"]) == 2
    assert "the same journal" in capsys.readouterr().err


def test_an_archive_takes_runs_that_have_ended_long_ago(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("old", "older"):
        assert main(["run", "hi", "--id", run, "-q"]) == 0
    assert main(["run", "ask", "--id", "asks", "--no-wait", "-q"]) == 3
    target = tmp_path / "archive"
    assert main(["journal", "archive", str(target), "--older-than", "90d"]) == 0
    assert ids(target) == []
    assert main(["journal", "archive", str(target), "--older-than", "0s"]) == 0
    assert ids(target) == ["older", "old"] and ids(home) == ["asks"]
    assert main(["show", "old", "hi", "--journal", str(target)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("hi")


def test_a_sound_journal_is_said_to_be_so(
    home: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", "check"]) == 0
    assert "the first run makes it" in capsys.readouterr().out
    for where in ([], ["--journal", database]):
        assert main(["run", "hi", "--id", "r", "-q", *where]) == 0
        capsys.readouterr()
        assert main(["journal", "check", "--json", *where]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["runs"], found["events"], found["problems"]) == (1, 4, [])
        assert found["format"] > 0 and found["bytes"] > 0 and found["oldest"] > 0
        assert abs(found["clock_ahead"]) < 30 and found["owners"] == 0
    assert found["settings"]["fsync"] == "on" and found["connections"] > 0
    assert main(["journal", "migrate", "--json", "--journal", database]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == found["format"]


def test_a_server_is_looked_over_before_there_are_tables(
    home: Path, postgres: Server, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = database.rpartition("/")[2]
    assert main(["journal", "check", "--journal", database]) == 0
    said = capsys.readouterr().out
    assert "the first run makes it" in said and "✓ it is fit for a journal" in said
    assert "  fsync: on" in said and "  server_version: " in said
    postgres.sql("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
    stranger = database.replace("hocket@", "stranger@")
    assert main(["journal", "check", "--journal", stranger]) == 1
    assert "✗ stranger may not make the tables" in capsys.readouterr().out
    postgres.sql(f"GRANT CREATE ON DATABASE {name} TO stranger")
    assert main(["journal", "check", "--journal", stranger]) == 0
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    capsys.readouterr()
    assert main(["journal", "check", "--journal", stranger]) == 1
    assert "✗ the server takes no writes" in capsys.readouterr().out
    postgres.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert not postgres.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'hocket'", name)
    assert main(["run", "hi", "--id", "r", "-q", "--journal", database]) == 0
    postgres.sql(
        "GRANT USAGE ON SCHEMA hocket TO stranger; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA hocket TO stranger",
        name,
    )
    capsys.readouterr()
    assert main(["journal", "check", "--journal", stranger]) == 1
    assert "✗ stranger may not write" in capsys.readouterr().out


def test_a_damaged_journal_is_said_to_be_so(
    home: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for where in ([], ["--journal", database]):
        assert main(["run", "hi", "--id", "r", "-q", *where]) == 0
    missing_event = "DELETE FROM events WHERE n = 3"
    with sqlite3.connect(home / "journal.sqlite") as db:
        db.execute(missing_event)
    db.close()
    journal = PostgresJournal(database)
    journal.write(lambda db: db.execute(missing_event))
    journal.close()
    for where in ([], ["--journal", database]):
        assert main(["journal", "check", *where]) == 1
        assert "✗ 1 run has not all of the events" in capsys.readouterr().out
    pages = (home / "journal.sqlite").read_bytes()
    (home / "journal.sqlite").write_bytes(pages[: 4096 * 8] + bytes(4096) + pages[4096 * 9 :])
    assert main(["journal", "check"]) != 0


def test_a_server_that_does_not_sync_is_said_to_be_unsafe(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason := missing():
        pytest.skip(reason)
    server = Server(settings={"fsync": "off", "full_page_writes": "off"}).start()
    try:
        url = server.url(server.create())
        # Also before there are tables: this is when it can still be set at no cost.
        for _ in range(2):
            assert main(["journal", "check", "--journal", url]) == 1
            said = capsys.readouterr().out
            assert "set fsync = on" in said and "set full_page_writes = on" in said
            assert main(["journal", "migrate", "--journal", url]) == 0
            capsys.readouterr()
    finally:
        server.remove()
