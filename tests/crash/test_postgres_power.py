"""Loss of power at PostgreSQL: what its server had not synced goes, what was acknowledged stays.

A library that is loaded into the server copies each file as it is synced. When the power fails all
of its processes are killed, and of what was written since the last sync of a file nothing is left,
some pages, or some sectors.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.crash.postgres_load import Load, batch, check, started
from tests.postgres import Server, missing

from hocket.journal.postgres import PostgresJournal

HERE = Path(__file__).parent
PAGE: Final = 8192
SECTOR: Final = 512
HOW: Final = ("all", "some", "torn")
SETTINGS: Final = {
    # What is not synced at a commit it would sync by itself only after ten seconds.
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "0",
    # Pages are written soon, and checkpoints come often, in the middle of what is tried.
    "shared_buffers": "512kB",
    "max_wal_size": "2MB",
    "min_wal_size": "2MB",
}


class Powered:
    """A server whose power can be taken away.

    Args:
        settings: More settings of it.
    """

    def __init__(self, **settings: str) -> None:
        self.server = Server(settings=SETTINGS | settings, options=("--wal-segsize=1",))
        self._data = self.server.folder
        self._synced = self.server.home / "synced"
        library = self.server.home / "synced.so"
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            self.server.remove()
            pytest.skip("it takes a C compiler to know what was synced")
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library)]
        subprocess.run([*command, str(HERE / "synced.c"), "-ldl"], check=True)
        self.server.variables = {
            "LD_PRELOAD": str(library),
            "HOCKET_TEST_DATA": str(self._data),
            "HOCKET_TEST_SYNCED": str(self._synced),
        }
        self.sync()
        self.server.start()

    def fail(self, how: str, seed: int) -> int:
        """Have the power fail and come back; what was not synced is gone by `how`.

        Returns:
            How many files were not as they had been synced.
        """
        self.server.kill()
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        chance = random.Random(seed)
        names = sorted(_files(self._data) | _files(self._synced))
        lost = [_lose(self._data / name, self._synced / name, how, chance) for name in names]
        self.sync()
        self.server.start()
        return sum(lost)

    def sync(self) -> None:
        """All that there is was synced: a copy of it is made."""
        shutil.rmtree(self._synced, ignore_errors=True)
        subprocess.run(["cp", "-a", self._data, self._synced], check=True)


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def _lose(path: Path, synced: Path, how: str, chance: random.Random) -> bool:
    """Put a file into the state in which a loss of power leaves it; tells whether it was another.

    Args:
        path: The file as it was written.
        synced: The file as it was synced.
        how: What is left of what was not synced: ``all`` of it goes, or ``some`` pages do, or
            sectors, so that pages are ``torn``.
        chance: Says which.
    """
    new = path.read_bytes() if path.exists() else b""
    old = synced.read_bytes() if synced.exists() else b""
    if new == old and path.exists() == synced.exists():
        return False
    if not path.parent.exists():
        # The database of an earlier test was dropped.
        return False
    if not path.exists():
        # Its removal, or its new name, had not come to the disk.
        shutil.copy2(synced, path)
        about = synced.stat()
        os.chown(path, about.st_uid, about.st_gid)
        return True
    if how == "all" and not synced.exists():
        path.unlink()
        return True
    if how == "all":
        path.write_bytes(old)
        return True
    unit = PAGE if how == "some" else SECTOR
    size = chance.choice((len(old), len(new)))
    parts = (chance.choice((old, new))[at : at + unit] for at in range(0, size, unit))
    path.write_bytes(b"".join(part.ljust(unit, b"\0") for part in parts)[:size])
    return True


@pytest.fixture(scope="module")
def powered() -> Iterator[Powered]:
    """A server whose power fails now and then."""
    if reason := missing():
        pytest.skip(reason)
    found = Powered()
    yield found
    found.server.remove()


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 120))


async def acknowledged(powered: Powered, how: str, times: int) -> list[tuple[int, int]]:
    """Take the power away at the very moment of an acknowledgement, again and again.

    Returns:
        Of each time, how many events had been acknowledged, and how many are there.
    """
    server, found = powered.server, []
    database = server.create()
    with PostgresJournal(server.url(database)) as journal:
        log = await journal.start(started("r"))
        for number in range(times):
            seq = log.append(batch("r", number))
            await log.durable(seq)
            # Not a turn of the loop lies between.
            powered.fail(how, number)
            ((last, count),) = server.sql("SELECT max(n), count(*) FROM hocket.events", database)
            assert last == count
            found.append((seq, int(count)))
        await log.close()
    server.drop(database)
    return found


async def under_load(powered: Powered, how: str, seed: int, times: int) -> None:
    """Take the power away from runs that write as fast as they can, at any moment of theirs."""
    server, lost = powered.server, 0
    database = server.create()
    with PostgresJournal(server.url(database)) as journal:
        async with Load(journal) as load:
            for number in range(times):
                await load.more(12)
                lost += await asyncio.to_thread(powered.fail, how, seed + number)
            await load.more(3)
        with PostgresJournal(server.url(database)) as other:
            check(other, load)
            assert load.acked == load.begun
    server.drop(database)
    assert lost, "all was synced: that proves nothing"


@pytest.mark.parametrize("how", HOW)
def test_what_was_acknowledged_outlives_a_loss_of_power(powered: Powered, how: str) -> None:
    assert all(acked == there for acked, there in run(acknowledged(powered, how, 3)))


@pytest.mark.parametrize("how", HOW)
def test_runs_go_on_by_themselves_when_the_power_is_back(powered: Powered, how: str) -> None:
    run(under_load(powered, how, 0, 2))


@pytest.mark.crash
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("seed", range(0, 30, 6))
def test_the_power_fails_again_and_again(powered: Powered, how: str, seed: int) -> None:
    assert all(acked == there for acked, there in run(acknowledged(powered, how, 3)))
    run(under_load(powered, how, seed, 6))


def test_a_server_that_does_not_sync_loses_what_was_acknowledged() -> None:
    """So the power that fails here does take away what is not synced."""
    if reason := missing():
        pytest.skip(reason)
    powered = Powered(fsync="off")
    server = powered.server
    try:
        database = server.create()
        server.sql("CREATE TABLE seen (n int)", database)
        server.stop("fast")
        powered.sync()
        server.start()
        server.sql("INSERT INTO seen VALUES (1)", database)
        powered.fail("all", 0)
        assert server.sql("SELECT count(*) FROM seen", database) == [("0",)]
    finally:
        server.remove()
