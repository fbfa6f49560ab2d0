"""The connection to PostgreSQL cut at any message, silent, or ended by the server.

The run goes on by itself: whatever was appended is there once, and everybody who waits is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash import worker
from tests.crash.judge import judge
from tests.crash.postgres_load import Load, batch, check, started
from tests.crash.postgres_proxy import HOW, Cut, Proxy
from tests.postgres import Server

from hocket.core import events as ev
from hocket.core.errors import OwnershipLost, Refused
from hocket.journal import postgres_connection, postgres_server
from hocket.journal.base import Log
from hocket.journal.postgres import PostgresJournal

ALL = 2 + worker.BATCHES * worker.EACH
POSTS = worker.BATCHES // 4


class Line:
    """A way to a server that has databases whose tables are made."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.proxy = Proxy(server.address, server.port)
        self._template = server.create()
        with PostgresJournal(server.url(self._template)) as journal:
            journal.write(lambda db: None)

    def create(self) -> str:
        """Make a database with all tables."""
        return self.server.create(self._template)

    def direct(self, database: str) -> PostgresJournal:
        return PostgresJournal(self.server.url(database))

    def cut(self, database: str, *, lease: float = 15.0) -> PostgresJournal:
        """A journal whose connections can be cut."""
        url = self.server.url(database, address="127.0.0.1", port=self.proxy.port)
        return PostgresJournal(url, lease=lease)


@pytest.fixture
def line(postgres: Server) -> Iterator[Line]:
    line = Line(postgres)
    yield line
    line.proxy.close()


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def write_through(line: Line, folder: Path, *cuts: Cut) -> int:
    """Write the worker's run while the connection is cut; gives how many messages there were."""
    folder.mkdir()
    database, acks = line.create(), list[list[str]]()

    def ack(*words: object) -> None:
        acks.append([str(word) for word in words])

    line.proxy.arm(*cuts)
    journal = line.cut(database)
    asyncio.run(asyncio.wait_for(worker.write_into(journal, folder, ack), 50))
    messages = line.proxy.messages
    line.proxy.arm()
    assert acks[-2:] == [["event", str(ALL)], ["closed"]]
    with line.direct(database) as direct:
        assert judge(direct, acks, resume=False) == 0
        rows = [event.event for event in direct.read("r")]
        assert isinstance(rows[-1], ev.RunEnded) and len(rows) == ALL
        assert line.server.sql("SELECT count(*) FROM hocket.inbox", database) == [(str(POSTS),)]
        (row,) = direct.runs()
        assert (row.owner, row.status) == ("", "succeeded"), "the run was not given up"
    line.server.drop(database)
    return messages


def cut_at(line: Line, folder: Path, points: list[tuple[Cut, ...]]) -> None:
    for place, cuts in enumerate(points):
        try:
            write_through(line, folder / str(place), *cuts)
        except BaseException as error:
            error.add_note(f"cut at {cuts}")
            raise


@pytest.mark.parametrize("how", HOW)
def test_a_run_goes_on_over_a_cut_at_a_spread_of_messages(
    line: Line, tmp_path: Path, how: str
) -> None:
    total = write_through(line, tmp_path / "whole")
    first = HOW.index(how)
    cut_at(line, tmp_path, [(Cut(at, how),) for at in range(1 + first, total, total // 6)])


def test_a_run_goes_on_over_a_cut_while_it_finds_out_what_the_first_one_did(
    line: Line, tmp_path: Path
) -> None:
    total = write_through(line, tmp_path / "whole")
    points = [
        (Cut(at, how), Cut(again, "before"))
        for place, at in enumerate(range(90, total, total // 10))
        for how in (HOW[1 + place % 3],)
        for again in (1 + place,)
    ]
    cut_at(line, tmp_path, points)


def test_runs_go_on_over_cuts_that_do_not_end(line: Line) -> None:
    """All connections are cut again and again, whatever they are doing."""
    database = line.create()

    async def main() -> None:
        with line.cut(database) as journal:
            async with Load(journal) as load:
                for _ in range(8):
                    await load.more(1)
                    await asyncio.to_thread(line.proxy.cut_all)
                await load.more(1)
            assert load.acked == load.begun
            with line.direct(database) as direct:
                check(direct, load)

    run(main())


@pytest.mark.parametrize("patience", [20.0, 0.5], ids=["waited for", "given up"])
def test_runs_go_on_after_a_silence(
    line: Line, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes through for a while; what was on its way comes through afterwards.

    A client that has given the connection up by then must not have done what it asked for twice.
    """
    monkeypatch.setattr(postgres_server, "WRITE_SECONDS", patience)
    monkeypatch.setattr(postgres_connection, "CONNECT_SECONDS", 4 * patience)
    database = line.create()

    async def main() -> None:
        with line.cut(database) as journal:
            async with Load(journal) as load:
                for _ in range(2):
                    await load.more(2)
                    with line.proxy.silent():
                        before = dict(load.acked)
                        await asyncio.sleep(1.5)
                        assert sum(load.acked.values()) <= sum(before.values()) + len(before)
                await load.more(2)
            assert load.acked == load.begun
            with line.direct(database) as direct:
                check(direct, load)

    run(main())


def test_what_an_owner_has_sent_into_a_silence_does_not_come_after_its_successor(
    line: Line,
) -> None:
    database = line.create()

    async def main() -> None:
        with line.cut(database, lease=1.0) as journal, line.direct(database) as other:
            log = await journal.start(started("r"))
            await log.durable(log.append(batch("r", 0)))
            with line.proxy.silent():
                late = log.append(batch("r", 1))
                taken = await resumed(other)
                await taken.durable(taken.append([ev.RunResumed(at=3, epoch=taken.epoch)]))
            with pytest.raises(OwnershipLost):
                await log.durable(late)
            await taken.durable(taken.append(batch("r", 2)))
            await taken.close()
            found = [item.event for item in other.read("r")]
            resumption = ev.RunResumed(at=3, epoch=2)
            assert found == [started("r"), *batch("r", 0), resumption, *batch("r", 2)]

    run(main())


async def resumed(journal: PostgresJournal) -> Log:
    """Resume the run as soon as its owner counts as gone."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await journal.resume("r")
            except Refused:
                await asyncio.sleep(0.05)


@pytest.mark.crash
@pytest.mark.parametrize("turn", range(len(HOW)))
def test_a_run_goes_on_over_a_cut_at_any_message(line: Line, tmp_path: Path, turn: int) -> None:
    total = write_through(line, tmp_path / "whole")
    cut_at(line, tmp_path, [(Cut(at, HOW[(at + turn) % 4]),) for at in range(1, total + 1)])
    print(f"{total} messages")
