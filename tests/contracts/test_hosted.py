"""What every journal promises of runs that are copied, and of runs that servers drive."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal.memory import MemoryJournal
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

Make = Callable[[], Any]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Gives the journal; on disk a second call opens the same one as another process would."""
    opened: list[Any] = []
    database = request.getfixturevalue("database") if request.param == "postgres" else ""

    def open_journal() -> Any:
        if request.param == "sqlite":
            opened.append(SqliteJournal(tmp_path / "state"))
        elif request.param == "postgres":
            opened.append(PostgresJournal(database))
        elif not opened:
            opened.append(MemoryJournal(wall=time.time_ns))
        return opened[-1]

    yield open_journal
    for journal in opened:
        journal.close()


def started(run: str = "r1") -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=10,
        run=run,
        spec=spec,
        digest=spec_digest(spec),
        inputs={},
        seed=1,
        versions={"plan": 1},
        program="test",
    )


def finished(number: int) -> ev.CallFinished:
    return ev.CallFinished(at=100 + number, call=Call(f"s{number}", 1), output="x" * 40_000)


def test_a_run_may_begin_with_copied_events_all_at_once(make: Make) -> None:
    async def main() -> None:
        journal = make()
        copied = [finished(2), ev.PauseRequested(at=103, by="a test")]
        log = await journal.start(started(), copied)
        assert log.seq == 3
        assert [item.event for item in make().read("r1")] == [started(), *copied]
        assert [row.status for row in make().runs()] == ["paused"]
        await log.durable(log.append([finished(4)]))
        await log.close()
        assert [item.seq for item in journal.read("r1")] == [1, 2, 3, 4]

    asyncio.run(main())


def test_what_a_copied_event_names_outlives_the_run_that_it_came_from(make: Make) -> None:
    async def main() -> None:
        journal = make()
        await (await journal.start(started(), [finished(2)])).close()
        await (await journal.start(started("r2"), [finished(2)])).close()
        journal.remove(["r1"])
        assert [item.event for item in journal.read("r2")] == [started("r2"), finished(2)]

    asyncio.run(main())


def test_what_servers_drive_is_noted_and_the_note_goes_with_the_run(make: Make) -> None:
    async def main() -> None:
        journal = make()
        assert journal.hosted.all() == []
        await journal.hosted.drop("never")
        for name in ("r1", "unborn", "r1"):
            await journal.hosted.add(name)
        await (await journal.start(started())).close()
        assert make().hosted.all() == ["r1", "unborn"]
        await journal.hosted.drop("unborn")
        assert make().hosted.all() == ["r1"]
        journal.remove(["r1"])
        assert make().hosted.all() == []

    asyncio.run(main())


def test_runs_that_servers_are_to_drive_and_nobody_does_are_found_oldest_first(make: Make) -> None:
    async def main() -> None:
        journal = make()
        assert journal.orphans(5) == []
        left = ("b", "a", "c")
        for at, name in enumerate((*left, "alive", "over", "paused", "other"), 10):
            log = await journal.start(msgspec.structs.replace(started(name), at=at))
            if name != "other":
                await journal.hosted.add(name)
            if name == "over":
                await log.durable(log.append([ev.RunEnded(at=99, status="succeeded")]))
            if name == "paused":
                await log.durable(log.append([ev.PauseRequested(at=99, by="a test")]))
            if name != "alive":
                await log.close()
        await journal.hosted.add("unborn")
        found = make().orphans(5)
        assert [row.id for row in found] == list(left)
        assert {(row.owner, row.alive, row.status) for row in found} == {("", False, "running")}
        assert [row.id for row in make().orphans(2)] == ["b", "a"]
        taken = await journal.resume("b")
        assert [row.id for row in make().orphans(5)] == ["a", "c"]
        await taken.close()

    asyncio.run(main())


def test_a_run_may_be_laid_down_for_whoever_drives_it(make: Make) -> None:
    async def main() -> None:
        journal = make()
        await journal.lay(started(), [finished(2)])
        (row,) = make().orphans(5)
        assert (row.id, row.status, row.events, row.owner) == ("r1", "running", 2, "")
        assert make().hosted.all() == ["r1"]
        with pytest.raises(JournalError, match="r1 already"):
            await journal.lay(started())
        log = await journal.resume("r1")
        assert (log.epoch, log.seq) == (2, 2)
        await log.close()

    asyncio.run(main())


def test_one_run_is_found_as_a_list_shows_it(make: Make) -> None:
    async def main() -> None:
        journal = make()
        assert journal.find("r1") is None
        log = await journal.start(started())
        await log.durable(log.append([finished(2)]))
        await (await journal.start(started("r2"))).close()
        rows = {row.id: row for row in journal.runs()}
        for name in ("r1", "r2"):
            assert make().find(name) == rows[name]
        assert (rows["r1"].events, rows["r1"].alive, rows["r2"].alive) == (2, True, False)
        assert make().find("r") is None

    asyncio.run(main())


def test_the_clock_of_a_journal_is_one_for_all_that_open_it(make: Make) -> None:
    before = time.time_ns()
    first, second = make(), make()
    instants = [journal.wall() for _ in range(50) for journal in (first, second)]
    after = time.time_ns()
    # The server is on this machine; how it stores an instant costs it a microsecond.
    assert all(later >= earlier - 50_000_000 for earlier, later in itertools.pairwise(instants))
    assert before - 50_000_000 <= instants[0] <= instants[-1] <= after + 50_000_000


def test_who_listens_is_woken_when_somebody_announces_a_run(make: Make) -> None:
    async def main() -> None:
        heard = threading.Event()
        listener, other = make(), make()
        listener.listen(heard.set)
        # A courtesy: it may come too early to be heard.
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(heard.wait, 0.1):
                other.announce()

    asyncio.run(main())


def test_the_notes_outlive_a_crash() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await journal.hosted.add("r1")
        assert journal.crash().hosted.all() == ["r1"]

    asyncio.run(main())
