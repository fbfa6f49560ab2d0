"""One process owns a run: who may take it over, when, and what becomes of the one before."""

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

from hocket.core import events as ev
from hocket.core.errors import JournalError, OwnershipLost, Refused
from hocket.core.requests import Pause
from hocket.core.values import Call
from hocket.journal.base import Posted
from hocket.journal.owner import NOBODY, Owner, is_gone, myself, start_of
from hocket.journal.sqlite import SqliteJournal

PROCESS = Path(__file__).with_name("owner_process.py")
ELSE = Owner("elsewhere", 1, "1", "boot")

started = runpy.run_path(str(PROCESS))["started"]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Start]:
    children: list[subprocess.Popen[str]] = []

    def start(run: str = "r1", lease: float = 15.0) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, str(PROCESS), str(tmp_path), run, str(lease)],
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


def ask(child: "subprocess.Popen[str]", line: str) -> str:
    assert child.stdin is not None and child.stdout is not None
    print(line, file=child.stdin, flush=True)
    return child.stdout.readline().strip()


def finished(name: str) -> ev.CallFinished:
    return ev.CallFinished(at=2, call=Call(name, 1))


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def resumed(journal: SqliteJournal, seconds: float = 10.0) -> Any:
    """Resume as soon as the owner counts as gone."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await journal.resume("r1")
            except Refused:
                await asyncio.sleep(0.05)


def test_a_live_owner_is_named_and_keeps_its_run(tmp_path: Path, own: Start) -> None:
    child = own()
    with SqliteJournal(tmp_path) as journal:
        with pytest.raises(Refused, match=rf":{child.pid}, which is alive: pause or cancel"):
            run(journal.resume("r1"))
        with pytest.raises(Refused, match="alive"):
            journal.remove(["r1"])
        (row,) = journal.runs()
        assert row.alive and row.owner.endswith(f":{child.pid}")
        assert ask(child, "a") == "durable 2"


def test_a_dead_owners_run_is_taken_over_at_once(tmp_path: Path, own: Start) -> None:
    child = own()
    assert ask(child, "a") == "durable 2"
    child.kill()
    child.wait()
    with SqliteJournal(tmp_path) as journal:
        (row,) = journal.runs()
        assert (row.status, row.alive) == ("running", False)
        begin = time.monotonic()

        async def take() -> None:
            log = await journal.resume("r1")
            assert (log.seq, log.epoch) == (2, 2)
            await log.durable(log.append([ev.RunResumed(at=3, epoch=2)]))

        run(take())
        assert time.monotonic() - begin < 5
        assert journal.runs()[0].alive
        assert [item.seq for item in journal.read("r1")] == [1, 2, 3]


def test_a_killed_owner_that_nobody_waited_for_is_dead_too(tmp_path: Path, own: Start) -> None:
    child = own()
    os.kill(child.pid, signal.SIGKILL)
    with SqliteJournal(tmp_path) as journal:
        assert run(resumed(journal)).epoch == 2


def test_a_stopped_owner_that_wakes_after_a_take_over_cannot_append(
    tmp_path: Path, own: Start
) -> None:
    child = own(lease=1.0)
    assert ask(child, "a") == "durable 2"
    os.kill(child.pid, signal.SIGSTOP)
    with SqliteJournal(tmp_path, lease=1.0) as journal:

        async def take() -> None:
            with pytest.raises(Refused):
                await journal.resume("r1")
            begin = time.monotonic()
            log = await resumed(journal)
            assert time.monotonic() - begin < 4
            os.kill(child.pid, signal.SIGCONT)
            answer = await asyncio.get_running_loop().run_in_executor(None, ask, child, "b")
            assert answer.startswith("OwnershipLost run r1 was taken over by another process")
            await log.durable(log.append([ev.RunResumed(at=3, epoch=2), finished("c")]))
            await log.close()

        run(take())
        paths = [getattr(item.event, "call", None) for item in journal.read("r1")]
        assert paths == [None, Call("a", 1), None, Call("c", 1)]


def test_what_the_others_of_a_batch_wrote_stays_when_one_run_was_lost(tmp_path: Path) -> None:
    """Two runs of one process: one is taken over in the file, as another process would."""

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal, SqliteJournal(tmp_path) as other:
            lost = await journal.start(started("lost"))
            kept = await journal.start(started("kept"))
            other.write(
                lambda db: db.execute("UPDATE runs SET epoch = epoch + 1 WHERE id = 'lost'")
            )
            first, second = lost.append([finished("a")]), kept.append([finished("b")])
            third = kept.append([ev.PauseRequested(at=3, by="me")])
            lost.append([finished("c")])
            waits = [lost.durable(first), kept.durable(second), kept.durable(third)]
            done = await asyncio.gather(*waits, return_exceptions=True)
            assert isinstance(done[0], OwnershipLost)
            assert done[1:] == [None, None]
            with pytest.raises(OwnershipLost):
                lost.append([finished("d")])
            with pytest.raises(OwnershipLost):
                await lost.durable(first)
            await lost.close()
            assert [item.seq for item in journal.read("lost")] == [1]
            assert [item.seq for item in journal.read("kept")] == [1, 2, 3]

    run(main())


def test_an_owner_learns_of_its_loss_without_writing(tmp_path: Path) -> None:

    async def main() -> None:
        with SqliteJournal(tmp_path, lease=0.5) as journal, SqliteJournal(tmp_path) as other:
            log = await journal.start(started("r1"))
            other.write(lambda db: db.execute("UPDATE runs SET epoch = 2, owner = 0"))
            async with asyncio.timeout(5):
                while True:
                    try:
                        log.append([])
                    except OwnershipLost:
                        break
                    await asyncio.sleep(0.02)

    run(main())


def test_a_request_from_another_process_arrives_within_a_second(tmp_path: Path, own: Start) -> None:
    child = own()
    assert child.stdout is not None
    with SqliteJournal(tmp_path) as journal:
        slowest = 0.0
        for _ in range(5):
            begin = time.monotonic()
            id = journal.post("r1", Pause(by="you"))
            assert child.stdout.readline() == f"posted {id}\n"
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < 1.0


def test_a_request_arrives_within_a_second_where_no_bell_can_hang(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 30)

    async def main() -> None:
        with SqliteJournal(state) as journal, SqliteJournal(state) as other:
            log = await journal.start(started("r1"))
            assert not list(state.glob("bell-*"))
            heard: list[int] = []
            came = asyncio.Event()
            first = asyncio.Event()

            def posted(posts: Sequence[Posted]) -> None:
                first.set()
                if posts:
                    heard.append(posts[0].id)
                    came.set()

            log.watch(lambda seq: None, posted)
            # That there is nothing yet is told, too.
            await asyncio.wait_for(first.wait(), 1.0)
            assert not heard
            id = other.post("r1", Pause())
            await asyncio.wait_for(came.wait(), 1.0)
            assert heard == [id]

    run(main())


def test_the_bell_of_a_killed_process_is_taken_down(tmp_path: Path, own: Start) -> None:
    child = own()
    child.kill()
    child.wait()
    (left,) = tmp_path.glob("bell-*")
    with SqliteJournal(tmp_path) as journal:
        run(journal.resume("r1"))
        (bell,) = tmp_path.glob("bell-*")
        assert bell != left
    assert not list(tmp_path.glob("bell-*"))


def test_closing_the_journal_gives_its_runs_up(tmp_path: Path, own: Start) -> None:
    child = own()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(10) == 0
    with SqliteJournal(tmp_path) as journal:
        assert journal.runs()[0].owner == ""
        assert run(journal.resume("r1")).epoch == 2


def test_a_closed_journals_log_says_so(tmp_path: Path) -> None:

    async def main() -> None:
        journal = SqliteJournal(tmp_path)
        log = await journal.start(started("r1"))
        seq = log.append([finished("a")])
        journal.close()
        await log.durable(seq)
        with pytest.raises(JournalError, match="closed"):
            log.append([finished("b")])
        await log.close()

    run(main())


@pytest.mark.parametrize(
    ("owner", "lease", "gone"),
    [
        (NOBODY, 0, True),
        (myself(), 200, False),
        (myself(), 50, True),
        (ELSE, 200, False),
        (ELSE, 50, True),
        (Owner(myself().host, 2**22 + 1, "1", myself().boot), 200, True),
        (Owner(myself().host, os.getpid(), "1", myself().boot), 200, True),
        (Owner(myself().host, os.getpid(), "", myself().boot), 200, False),
        (Owner(myself().host, 2**22 + 1, "1", "another boot"), 200, False),
    ],
    ids=[
        "nobody", "alive", "alive, lapsed", "elsewhere", "elsewhere, lapsed",
        "dead", "its number used again", "start unknown", "another boot",
    ],
)  # fmt: skip
def test_an_owner_is_gone_when_it_is_dead_or_its_lease_has_lapsed(
    owner: Owner, lease: int, gone: bool
) -> None:
    if not myself().start:
        pytest.skip("this system does not say when a process started")
    assert is_gone(owner, lease, 100, myself()) is gone


def test_a_process_has_a_start_time_and_a_dead_one_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert start_of(child.pid) is not None
    child.communicate(b"\n", timeout=10)
    assert start_of(child.pid) is None
