"""What is put back from a backup goes on: dumps, a point in time, and owners from before."""

from __future__ import annotations

import asyncio
import json
import runpy
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cli.kit import Home
from tests.postgres import Server, as_postgres, missing, wait_for

from hocket.core import events as ev
from hocket.core.errors import OwnershipLost
from hocket.core.values import Call
from hocket.journal.postgres import PostgresJournal

started = runpy.run_path(str(Path(__file__).parents[1] / "journal" / "owner_process.py"))["started"]

FILE = """
version: 1
plans:
  p:
    steps:
      first: {shell: 'echo done >> first.log; echo kept > report.txt', files: [report.txt]}
      large: {shell: 'yes hocket | head -n 40000', effects: false}
      slow:
        shell: 'echo begun >> slow.log; until [ -e go ]; do sleep 0.02; done; echo over'
        effects: false
        needs: [first, large]
      last: {command: [cat, "{{first.files['report.txt']}}"], needs: [slow]}
"""


class Dumps:
    """Dumps of databases, and what is made of them."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def take(self, url: str) -> Path:
        """Dump a database while it is in use."""
        path = self._folder / "hocket.dump"
        self._do("pg_dump", "--format=custom", f"--file={path}", f"--dbname={url}")
        return path

    def put(self, dump: Path, name: str) -> None:
        """Put a dump into an empty database."""
        told = ("--no-owner", "--exit-on-error", f"--dbname={self._server.url(name)}")
        self._do("pg_restore", *told, str(dump))

    def _do(self, program: str, *options: str) -> None:
        done = subprocess.run(
            [self._server.programs / program, *options], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def dumps(postgres: Server, tmp_path: Path) -> Dumps:
    return Dumps(postgres, tmp_path)


@pytest.fixture
def home(tmp_path: Path, database: str) -> Iterator[Home]:
    made = Home(tmp_path)
    made.put("hocket.yaml", FILE)
    made.env["HOCKET_JOURNAL"] = database
    try:
        yield made
    finally:
        made.end()


def head(home: Home, run: str = "r") -> Any:
    return json.loads(home.ok("show", run, "--json").out)


def test_a_run_goes_on_where_its_journal_was_put_back(
    home: Home, dumps: Dumps, postgres: Server
) -> None:
    child = home.start("run", "--id", "r", "--quiet")
    home.until(lambda: home.lines("slow.log"), child)
    dump = dumps.take(home.env["HOCKET_JOURNAL"])
    home.kill(child)
    name = postgres.create()
    dumps.put(dump, name)
    before = home.env["HOCKET_JOURNAL"]
    # Another machine: neither the journal nor the state folder is the one from before.
    home.env |= {"HOCKET_JOURNAL": postgres.url(name), "HOCKET_HOME": str(home.file("elsewhere"))}
    checked = home.ok("journal", "check", "--json").data
    assert (checked["runs"], checked["problems"]) == (1, [])
    home.file("go").touch()
    assert home.ok("resume", "r", "--quiet").out == "kept\n"
    assert home.lines("first.log") == ["done"], "what had finished is not done again"
    assert home.lines("slow.log") == ["begun"] * 2, "what was in flight is"
    assert home.ok("show", "r", "large").out.split() == ["hocket"] * 40_000
    assert head(home)["status"] == "succeeded"
    home.env["HOCKET_JOURNAL"] = before
    assert head(home)["status"] == "running"


def test_an_owner_from_before_a_restore_writes_nothing_into_it(
    database: str, dumps: Dumps, postgres: Server
) -> None:
    async def story() -> None:
        with PostgresJournal(database) as journal:
            await (await journal.start(started("r"))).close()
            dump = await asyncio.to_thread(dumps.take, database)
            owned = await journal.resume("r")
            assert owned.epoch == 2
            await asyncio.to_thread(put_back, dump)
            owned.append([ev.CallFinished(at=2, call=Call("s", 1))])
            with pytest.raises(OwnershipLost):
                await owned.durable(2)
            await owned.close()
            assert [type(one.event) for one in journal.read("r")] == [ev.RunStarted]

    def put_back(dump: Path) -> None:
        name = database.rpartition("/")[2]
        postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")
        postgres.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        dumps.put(dump, name)

    asyncio.run(asyncio.wait_for(story(), 60))


class Later(Server):
    """A server made of a base backup of another one and of what that one has archived since."""

    def __init__(self, source: Server, archive: Path) -> None:
        self._source = source
        super().__init__(settings={"restore_command": f"cp {archive}/%f %p"})

    def _make(self, options: Sequence[str]) -> None:
        command = [self.programs / "pg_basebackup", f"--pgdata={self.folder}", "--checkpoint=fast"]
        command += [f"--dbname={self._source.url('postgres')}", *options]
        done = subprocess.run(
            [*command], capture_output=True, text=True, check=False, cwd=self.home, **as_postgres()
        )
        assert done.returncode == 0, done.stderr

    def go_to(self, point: str) -> Server:
        """Replay up to a named point, and take writes from there."""
        self.settings |= {"recovery_target_name": point, "recovery_target_action": "promote"}
        (self.folder / "recovery.signal").touch()
        return self.start()


@pytest.fixture
def archived() -> Iterator[tuple[Server, Path]]:
    """A server that archives its write-ahead log, and where."""
    if reason := missing():
        pytest.skip(reason)
    server = Server(settings={"archive_mode": "on"})
    archive = server.home / "archive"
    subprocess.run(["mkdir", archive], check=True, **as_postgres())
    server.settings["archive_command"] = f"test ! -f {archive}/%f && cp %p {archive}/%f"
    yield server.start(), archive
    server.remove()


def test_a_journal_goes_back_to_an_instant(home: Home, archived: tuple[Server, Path]) -> None:
    server, archive = archived
    name = server.create()
    home.env["HOCKET_JOURNAL"] = server.url(name)
    later = Later(server, archive)
    try:
        child = home.start("run", "--id", "r", "--quiet")
        home.until(lambda: home.lines("slow.log"), child)
        # Nothing that was acknowledged by now is missing later.
        server.sql("SELECT pg_create_restore_point('before')")
        home.kill(child)
        home.ok("prune", "r", "--all")
        (last,) = server.sql("SELECT pg_walfile_name(pg_switch_wal())")
        asked = "SELECT count(*) FROM pg_stat_archiver WHERE last_archived_wal >= "
        wait_for("the log is archived", lambda: server.sql(f"{asked}'{last[0]}'") == [("1",)])
        server.kill()
        home.env["HOCKET_JOURNAL"] = later.go_to("before").url(name)
        home.file("go").touch()
        assert home.ok("resume", "r", "--quiet").out == "kept\n"
        assert home.lines("first.log") == ["done"]
        assert home.ok("journal", "check", "--json").data["problems"] == []
    finally:
        later.remove()
