"""What every journal promises of runs that are copied, and of runs that servers drive."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
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

    def open_journal() -> Any:
        if request.param == "sqlite":
            opened.append(SqliteJournal(tmp_path / "state"))
        elif request.param == "postgres":
            opened.append(PostgresJournal(request.getfixturevalue("database")))
        elif not opened:
            opened.append(MemoryJournal())
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


def test_the_notes_outlive_a_crash() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await journal.hosted.add("r1")
        assert journal.crash().hosted.all() == ["r1"]

    asyncio.run(main())
