"""The server's disk is full: the journal says so, loses nothing, and goes on once there is room.

PostgreSQL takes it in two ways: a table that cannot grow is an error of one statement, a log that
cannot grow ends the whole server.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash.postgres_load import EACH, Load, batch, check, started
from tests.postgres import Server, as_postgres, missing

from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.journal import postgres_server
from hocket.journal.postgres import PostgresJournal
from hocket.journal.schema import NoRoom, Unreachable

SIZE = 64
SMALL = ("--wal-segsize=1",)


def mount(folder: Path) -> str:
    """Make a small disk in memory; gives why it cannot be, or ""."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=0777", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk of its own."""
    if reason := missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="hocket-disk-"))
    folder.chmod(0o755)
    if os.geteuid() != 0 or (reason := mount(folder)):
        folder.rmdir()
        pytest.skip(f"a small disk takes root: {reason or 'not root'}")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 90))


def fill(folder: Path, leave: int) -> None:
    """Take up the room that is left, but for so many bytes, as another program would."""
    free = shutil.disk_usage(folder).free
    with (folder / "other").open("wb") as file:
        file.write(bytes(max(0, free - leave)))


async def failed(load: Load) -> JournalError:
    """Let the runs write until they cannot; gives why."""
    async with asyncio.timeout(60):
        found = await asyncio.gather(*load.tasks, return_exceptions=True)
    assert all(isinstance(error, JournalError) for error in found), found
    (first, *_) = (error for error in found if isinstance(error, JournalError))
    return first


async def write_on(journal: PostgresJournal, name: str) -> None:
    """Write a run that takes more room than is left on a full disk."""
    log = await journal.start(started(name))
    for number in range(10):
        await log.durable(log.append(batch(name, 10 * number + 10)))
    await log.close()


async def go_on(journal: PostgresJournal, load: Load) -> None:
    """Resume what has failed."""
    for name, acked in load.acked.items():
        log = await journal.resume(name)
        assert log.seq >= 1 + EACH * acked
        await log.durable(log.append([ev.RunResumed(at=3, epoch=log.epoch)]))
        await log.close()
    assert {row.owner for row in journal.runs() if row.id in load.acked} == {""}


@pytest.fixture
def roomy() -> Iterator[Path]:
    """A folder on a disk that has room."""
    folder = Path(tempfile.mkdtemp(prefix="hocket-roomy-"))
    os.chown(folder, as_postgres()["user"], as_postgres()["group"])
    yield folder
    shutil.rmtree(folder)


def test_a_table_that_cannot_grow_is_said_and_runs_go_on_once_there_is_room(
    disk: Path, roomy: Path
) -> None:
    server = Server(disk / "data", options=[*SMALL, "-X", str(roomy / "wal")]).start()
    database = server.create()

    async def main() -> None:
        with PostgresJournal(server.url(database)) as journal:
            load = Load(journal)
            await load.begin()
            await load.more(2)
            fill(disk, 256 * 1024)
            failure = await failed(load)
            assert isinstance(failure, NoRoom)
            assert "full" in str(failure) and "make room" in str(failure)
            check(journal, load)
            with pytest.raises(NoRoom):
                await write_on(journal, "new")
            (disk / "other").unlink()
            await go_on(journal, load)
            await write_on(journal, "again")

    try:
        run(main())
    finally:
        server.remove()


def test_a_log_that_cannot_grow_ends_the_server_and_runs_go_on_once_it_is_back(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(options=[*SMALL, "-X", str(disk / "wal")]).start()
    database = server.create()
    monkeypatch.setattr(postgres_server, "PATIENCE", 2.0)

    async def main() -> None:
        with PostgresJournal(server.url(database)) as journal:
            load = Load(journal)
            await load.begin()
            await load.more(2)
            fill(disk, 256 * 1024)
            failure = await failed(load)
            assert isinstance(failure, Unreachable)
            said = server.log.read_text()
            assert "PANIC" in said and "No space left" in said
            (disk / "other").unlink()
            server.stop("immediate")
            server.start()
            check(journal, load)
            await go_on(journal, load)

    try:
        run(main())
    finally:
        server.remove()
