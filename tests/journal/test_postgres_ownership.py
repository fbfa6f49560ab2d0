"""One process owns a run in PostgreSQL: who may take it over, when, and what becomes of the others.

The clock that counts is the database's: those of the processes may be wrong.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.postgres import Server, wait_for

from hocket.core import events as ev
from hocket.core.errors import NotFound, OwnershipLost, Refused
from hocket.core.requests import Pause
from hocket.core.values import SECOND, Call
from hocket.journal.base import Posted
from hocket.journal.postgres import PostgresJournal

PROCESS = Path(__file__).with_name("owner_process.py")
HOUR = 3600 * SECOND

started = runpy.run_path(str(PROCESS))["started"]

ELSEWHERE = """
import runpy, socket, sys, time
now = time.time_ns
time.time_ns = lambda: now() + {skew}
time.time = lambda: time.time_ns() / 1e9
socket.gethostname = lambda: "elsewhere"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Another machine, as far as one can tell, whose clock is wrong by so many nanoseconds."""

Child = subprocess.Popen[str]
Start = Callable[..., Child]


@pytest.fixture
def own(database: str) -> Iterator[Start]:
    children: list[Child] = []

    def start(run: str = "r1", lease: float = 15.0, skew: int | None = None) -> Child:
        how = [] if skew is None else ["-c", ELSEWHERE.format(skew=skew)]
        child = subprocess.Popen(
            [sys.executable, *how, str(PROCESS), database, run, str(lease)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "owned\n"
        return child

    yield start
    for child in children:
        with child:
            child.kill()


def ask(child: Child, line: str) -> str:
    assert child.stdin is not None and child.stdout is not None
    print(line, file=child.stdin, flush=True)
    return child.stdout.readline().strip()


def finished(name: str) -> ev.CallFinished:
    return ev.CallFinished(at=2, call=Call(name, 1))


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def resumed(journal: PostgresJournal, run: str = "r1", seconds: float = 20.0) -> Any:
    """Resume as soon as the owner counts as gone."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await journal.resume(run)
            except Refused:
                await asyncio.sleep(0.05)


def paths(journal: PostgresJournal) -> list[str | None]:
    found = [getattr(item.event, "call", None) for item in journal.read("r1")]
    return [call and call.path for call in found]


def test_a_live_owner_is_named_and_keeps_its_run(database: str, own: Start) -> None:
    child = own()
    with PostgresJournal(database) as journal:
        with pytest.raises(Refused, match=rf":{child.pid}, which is alive: pause or cancel"):
            run(journal.resume("r1"))
        with pytest.raises(Refused, match="alive"):
            journal.remove(["r1"])
        (row,) = journal.runs()
        assert row.alive and row.owner.endswith(f":{child.pid}")
        assert journal.find("r1") == row
        assert journal.find("r2") is None
        with pytest.raises(NotFound):
            run(journal.resume("r2"))
        assert ask(child, "a") == "durable 2"


def test_a_dead_owners_run_is_taken_over_at_once(database: str, own: Start) -> None:
    child = own(lease=1000)
    assert ask(child, "a") == "durable 2"
    # Nobody has waited for it: it is dead all the same.
    os.kill(child.pid, signal.SIGKILL)
    with PostgresJournal(database) as journal:

        async def take() -> None:
            log = await resumed(journal)
            assert (log.seq, log.epoch) == (2, 2)
            await log.durable(log.append([ev.RunResumed(at=3, epoch=2)]))

        run(take())
        assert journal.runs()[0].alive
        assert [item.seq for item in journal.read("r1")] == [1, 2, 3]


def test_a_killed_owner_of_another_machine_is_replaced_when_its_lease_lapses(
    database: str, own: Start
) -> None:
    child = own(lease=1.0, skew=0)
    assert ask(child, "a") == "durable 2"
    child.kill()
    with PostgresJournal(database, lease=1.0) as journal:
        assert journal.runs()[0].owner == f"elsewhere:{child.pid}"
        assert run(resumed(journal)).epoch == 2


def test_a_lease_says_nothing_before_the_server_was_seen_for_one(database: str, own: Start) -> None:
    child = own(lease=1.0, skew=0)
    os.kill(child.pid, signal.SIGSTOP)
    with (
        PostgresJournal(database, lease=1.0) as sure,
        # The server has not been up for as long as that.
        PostgresJournal(database, lease=1e6) as unsure,
    ):
        run(sure.hosted.add("r1"))
        wait_for("its lease has lapsed", lambda: not sure.runs()[0].alive)
        assert [row.id for row in sure.orphans(9)] == ["r1"]
        assert unsure.runs()[0].alive and unsure.orphans(9) == []
        with pytest.raises(Refused, match="alive"):
            run(unsure.resume("r1"))
        with pytest.raises(Refused, match="alive"):
            unsure.remove(["r1"])
        # Whoever gave a run up said so.
        run(run(resumed(sure)).close())
        assert run(unsure.resume("r1")).epoch == 3


@pytest.mark.parametrize("skew", [None, HOUR, -HOUR], ids=["here", "an hour fast", "slow"])
def test_a_stopped_owner_that_wakes_after_a_take_over_cannot_append(
    database: str, own: Start, skew: int | None
) -> None:
    child = own(lease=1.0, skew=skew)
    assert ask(child, "a") == "durable 2"
    os.kill(child.pid, signal.SIGSTOP)
    with PostgresJournal(database, lease=1.0) as journal:

        async def take() -> None:
            with pytest.raises(Refused):
                await journal.resume("r1")
            log = await resumed(journal)
            os.kill(child.pid, signal.SIGCONT)
            answer = await asyncio.to_thread(ask, child, "b")
            assert answer.startswith("OwnershipLost run r1 was taken over by another process")
            await log.durable(log.append([ev.RunResumed(at=3, epoch=2), finished("c")]))
            answer = await asyncio.to_thread(ask, child, "d")
            assert answer.startswith("OwnershipLost")
            await log.close()

        run(take())
        assert paths(journal) == [None, "a", None, "c"]


@pytest.mark.parametrize("skew", [HOUR, -HOUR], ids=["fast", "slow"])
def test_an_owner_whose_clock_is_wrong_keeps_its_run_and_no_longer_than_it_lives(
    database: str, own: Start, skew: int
) -> None:
    child = own(lease=1.0, skew=skew)
    with PostgresJournal(database, lease=1.0) as journal:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            with pytest.raises(Refused, match="alive"):
                run(journal.resume("r1"))
            assert journal.runs()[0].alive
            time.sleep(0.1)
        assert ask(child, "a") == "durable 2"
        child.kill()
        assert run(resumed(journal)).epoch == 2


@pytest.mark.parametrize("skew", [HOUR, -HOUR], ids=["fast", "slow"])
def test_one_whose_clock_is_wrong_takes_over_neither_early_nor_late(
    database: str, own: Start, skew: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = own(lease=1.0, skew=0)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + skew)
    with PostgresJournal(database, lease=1.0) as journal:
        with pytest.raises(Refused, match="alive"):
            run(journal.resume("r1"))
        assert abs(journal.wall() - now()) < 60 * SECOND
        assert ask(child, "a") == "durable 2"
        child.kill()
        assert run(resumed(journal)).epoch == 2


def test_of_those_who_take_over_at_once_exactly_one_gets_it(database: str) -> None:
    together = 4

    async def main() -> None:
        first = PostgresJournal(database)
        for number in range(20):
            await (await first.start(started(f"r{number}"))).close()
        first.close()
        journals = [PostgresJournal(database) for n in range(together)]
        for number in range(20):
            found = await asyncio.gather(
                *(journal.resume(f"r{number}") for journal in journals), return_exceptions=True
            )
            logs = [log for log in found if not isinstance(log, BaseException)]
            assert [type(item) for item in found].count(Refused) == together - 1
            (log,) = logs
            assert log.epoch == 2
            await log.durable(log.append([ev.RunResumed(at=2, epoch=2)]))
        for journal in journals:
            journal.close()

    run(main())


def test_what_the_others_of_a_batch_wrote_stays_when_one_run_was_lost(
    postgres: Server, database: str
) -> None:
    """Two runs of one process: one is taken over in the database, as another process would."""
    name = database.rpartition("/")[2]

    async def main() -> None:
        with PostgresJournal(database) as journal:
            lost = await journal.start(started("lost"))
            kept = await journal.start(started("kept"))
            postgres.sql("UPDATE hocket.runs SET epoch = epoch + 1 WHERE id = 'lost'", name)
            first, second = lost.append([finished("a")]), kept.append([finished("b")])
            third = kept.append([ev.PauseRequested(at=3, by="me")])
            lost.append([finished("c")])
            waits = [lost.durable(first), kept.durable(second), kept.durable(third)]
            done = await asyncio.gather(*waits, return_exceptions=True)
            assert isinstance(done[0], OwnershipLost)
            assert done[1:] == [None, None]
            with pytest.raises(OwnershipLost):
                lost.append([finished("d")])
            await lost.close()
            assert [item.seq for item in journal.read("lost")] == [1]
            assert [item.seq for item in journal.read("kept")] == [1, 2, 3]

    run(main())


def test_an_owner_learns_of_its_loss_without_writing(postgres: Server, database: str) -> None:
    async def main() -> None:
        with PostgresJournal(database, lease=0.5) as journal:
            log = await journal.start(started("r1"))
            postgres.sql("UPDATE hocket.runs SET epoch = 2, owner = 0", database.rpartition("/")[2])
            lost = asyncio.Event()
            log.watch(lambda seq: None, lambda posts: None, lambda failure: lost.set())
            await asyncio.wait_for(lost.wait(), 20)
            with pytest.raises(OwnershipLost):
                log.append([])

    run(main())


def test_an_append_that_waits_for_another_owner_to_commit_is_fenced(
    postgres: Server, database: str
) -> None:
    """The epoch is compared once the row is locked, not as it was when the statement began."""
    name = database.rpartition("/")[2]
    held = subprocess.Popen(
        [postgres.programs / "psql", "-X", "-q", "-A", "-t", "-d", database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert held.stdin is not None and held.stdout is not None

    async def main() -> None:
        with PostgresJournal(database, lease=1000) as journal:
            log = await journal.start(started("r1"))
            assert held.stdin is not None and held.stdout is not None
            print(
                "BEGIN; UPDATE hocket.runs SET epoch = epoch + 1; SELECT 'held';", file=held.stdin
            )
            held.stdin.flush()
            assert await asyncio.to_thread(held.stdout.readline) == "held\n"
            seq = log.append([finished("a")])
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            await asyncio.to_thread(wait_for, "it waits", lambda: postgres.sql(waiting, name))
            print("COMMIT;", file=held.stdin, flush=True)
            with pytest.raises(OwnershipLost):
                await log.durable(seq)

    with held:
        run(main())
        held.stdin.close()
    with PostgresJournal(database) as journal:
        assert [item.seq for item in journal.read("r1")] == [1]


def test_a_request_from_another_process_arrives_within_a_second(database: str, own: Start) -> None:
    child = own()
    assert child.stdout is not None
    with PostgresJournal(database) as journal:
        for _ in range(5):
            id = journal.post("r1", Pause(by="you"))
            assert child.stdout.readline() == f"posted {id}\n"


def test_a_request_arrives_when_nobody_rang(postgres: Server, database: str) -> None:
    """Somebody writes it as `post` does, and the notification is lost."""
    name = database.rpartition("/")[2]

    async def main() -> None:
        with PostgresJournal(database) as journal:
            log = await journal.start(started("r1"))
            heard: list[int] = []
            came, first = asyncio.Event(), asyncio.Event()

            def posted(posts: Sequence[Posted]) -> None:
                first.set()
                if posts:
                    heard.extend(post.id for post in posts)
                    came.set()

            log.watch(lambda seq: None, posted)
            await asyncio.wait_for(first.wait(), 20)
            again = """
                INSERT INTO hocket.inbox (run, request, at)
                SELECT key, '{"ask":"pause"}', 1 FROM hocket.runs RETURNING id"""
            ((id,),) = postgres.sql(again, name)
            begin = time.monotonic()
            await asyncio.wait_for(came.wait(), 20)
            print(f"seen after {time.monotonic() - begin:.2f} s")
            assert heard == [int(id)]

    run(main())


def test_closing_the_journal_gives_its_runs_up(database: str, own: Start) -> None:
    child = own()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(20) == 0
    with PostgresJournal(database) as journal:
        assert journal.runs()[0].owner == ""
        assert run(journal.resume("r1")).epoch == 2
