"""The journal in memory: when it confirms, how it dies, how it fails when a test asks."""

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import JournalError, Refused
from hocket.core.requests import Pause
from hocket.core.values import Call
from hocket.journal.base import Taken
from hocket.journal.memory import MemoryJournal

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]


def finished(number: int) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("a", number))


def seqs(journal: MemoryJournal) -> list[int]:
    return [item.seq for item in journal.read("r1")]


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def test_without_a_latency_a_commit_is_confirmed_in_the_next_turn() -> None:
    async def main() -> None:
        log = await MemoryJournal().start(started("r1"))
        heard: list[int] = []
        log.watch(heard.append, lambda posts: None)
        log.append([finished(2)])
        log.append([finished(3)])
        assert heard == []
        for _ in range(4):
            await asyncio.sleep(0)
        assert heard == [2, 3]

    run(main())


def test_with_a_latency_what_queues_meanwhile_is_the_next_commit() -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=0.01)
        log = await journal.start(started("r1"))
        heard: list[int] = []
        log.watch(heard.append, lambda posts: None)
        for number in range(2, 7):
            log.append([finished(number)])
        assert seqs(journal) == [1]
        await log.durable(6)
        assert heard == [2, 6]

    run(main())


def test_a_crash_keeps_what_was_durable_and_nothing_else() -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=0.01)
        log = await journal.start(started("r1"))
        id = journal.post("r1", Pause())
        await log.durable(log.append([finished(2)]))
        seq = log.append([ev.PauseRequested(at=3, by="me")], [Taken(id)])
        after = journal.crash()
        with pytest.raises(JournalError, match="crashed"):
            await log.durable(seq)
        with pytest.raises(JournalError, match="crashed"):
            log.append([finished(4)])
        await asyncio.sleep(0.03)
        assert seqs(after) == [1, 2]
        assert after.answer(id) is None
        again = await after.resume("r1")
        assert (again.seq, again.epoch) == (2, 2)
        await again.durable(again.append([finished(3)]))
        assert seqs(after) == [1, 2, 3]
        assert after.post("r1", Pause()) == id + 1

    run(main())


def test_a_crash_may_keep_the_commit_that_was_on_its_way() -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=0.01)
        log = await journal.start(started("r1"))
        log.append([finished(2), finished(3)])
        log.append([finished(4)])
        assert seqs(journal.crash(keep_in_flight=True)) == [1, 2, 3]

    run(main())


def test_it_fails_after_as_many_appends_as_a_test_asks() -> None:
    async def main() -> None:
        journal = MemoryJournal(fail_after=3)
        log = await journal.start(started("r1"))
        await log.durable(log.append([finished(2)]))
        await log.durable(log.append([finished(3)]))
        seq = log.append([finished(4)])
        with pytest.raises(JournalError, match="full"):
            await log.durable(seq)
        with pytest.raises(JournalError, match="full"):
            log.append([finished(5)])
        await log.durable(3)
        assert seqs(journal) == [1, 2, 3]
        await log.close()
        with pytest.raises(JournalError, match="full"):
            await journal.resume("r1")

    run(main())


def test_a_start_that_fails_leaves_no_run() -> None:
    async def main() -> None:
        journal = MemoryJournal(fail_after=0)
        with pytest.raises(JournalError):
            await journal.start(started("r1"))
        assert journal.runs() == []

    run(main())


def test_a_run_is_owned_once() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await journal.start(started("r1"))
        with pytest.raises(Refused):
            await journal.resume("r1")

    run(main())


def test_it_works_under_the_deterministic_loop() -> None:
    loop = pytest.importorskip("hocket.simulator.loop")

    async def main() -> list[tuple[float, int]]:
        journal = MemoryJournal(latency=0.25)
        log = await journal.start(started("r1"))
        now = asyncio.get_running_loop().time
        heard: list[tuple[float, int]] = []
        log.watch(lambda seq: heard.append((now(), seq)), lambda posts: None)
        for number in range(2, 6):
            log.append([finished(number)])
            await asyncio.sleep(0.1)
        await log.close()
        return heard

    def once() -> Any:
        with asyncio.Runner(loop_factory=loop.VirtualLoop) as runner:
            return runner.run(main())

    first = once()
    assert [seq for _, seq in first] == [2, 4, 5]
    assert first == once()
