"""Old runs go a few at a time, with all that only they had, and others are not kept waiting."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import Refused
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal import store
from hocket.journal.base import Answered, Wanted
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

Make = Callable[[], Any]
TABLES = ("events", "runs", "inbox", "refs", "blobs", "parts", "hosted", "answers", "ledger")


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens the journal, each time as another process would."""
    opened: list[Any] = []

    def open_journal() -> Any:
        if request.param == "sqlite":
            opened.append(SqliteJournal(tmp_path / "state"))
        else:
            opened.append(PostgresJournal(request.getfixturevalue("database")))
        return opened[-1]

    yield open_journal
    for journal in opened:
        journal.close()


async def begin(journal: Any, run: str, number: int) -> Any:
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    log = await journal.start(
        ev.RunStarted(
            at=number,
            run=run,
            spec=spec,
            digest=spec_digest(spec),
            inputs={},
            seed=1,
            versions={"plan": 1},
            program="test",
        )
    )
    # Two runs each share an output; each has one of its own.
    shared, own = f"{number // 2} " * 20_000, f"own {number} " * 8_000
    log.append([ev.CallFinished(at=5, call=Call("a", 1), output=shared)])
    kept = [Answered(key="k" * 64, at=7, output=own)] if number == 3 else []
    end = ev.CallFinished(at=6, call=Call("b", 1), output=own)
    await log.durable(log.append([end], kept=kept))
    return log


def counts(journal: Any) -> dict[str, int]:
    def ask(db: Any) -> dict[str, int]:
        return {
            table: db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in TABLES
        }

    found: dict[str, int] = journal.query(ask)
    return found


def test_many_runs_go_a_few_at_a_time_and_leave_nothing_behind(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make()
    sizes: list[int] = []

    async def main() -> None:
        logs = await asyncio.gather(*(begin(journal, f"r{n}", n) for n in range(50)))
        for log in logs[:-1]:
            await log.close()
        remove = store.remove_runs

        def counted(db: Any, ids: Any, **more: Any) -> int:
            sizes.append(len(ids))
            return remove(db, ids, **more)

        monkeypatch.setattr(store, "remove_runs", counted)
        # One of them is at work: nothing is deleted, not even what comes before it.
        everything = [f"r{n}" for n in range(50)]
        with pytest.raises(Refused, match="r49 is owned by"):
            await asyncio.to_thread(journal.remove, everything)
        assert counts(journal)["runs"] == 50 and sizes == []
        freed = await asyncio.to_thread(journal.remove, everything[:-1])
        assert freed > 3_500_000
        assert sizes == [20, 20, 9]
        # Another process is not kept from it: r49 goes on.
        await logs[-1].durable(logs[-1].append([ev.PauseRequested(at=9, by="me")]))
        await logs[-1].close()

    asyncio.run(main())
    left = counts(journal)
    # What r49 shares with r48 stays, what is its own, and what an answer of r3 names.
    assert left["runs"] == 1 and left["events"] == 4 and left["blobs"] == 3
    assert left["refs"] == 3 and left["answers"] == 1 and left["hosted"] == 0
    assert journal.answers.find("k" * 64).output.startswith("own 3 ")
    journal.remove(["r49"])
    assert counts(journal)["blobs"] == 1
    journal.answers.drop(100, journal.wall())
    assert not any(counts(journal).values())


def test_what_nobody_needs_any_more_goes_along(make: Make, tmp_path: Path) -> None:
    journal = make()
    path = tmp_path / "file"
    path.write_bytes(b"never named")

    async def main() -> None:
        await (await begin(journal, "r", 0)).close()

    asyncio.run(main())
    ref = journal.blobs.put(path, "file")
    before = counts(journal)
    journal.remove(["r"])
    assert journal.blobs.read(ref.digest) == b"never named", "somebody may be about to name it"

    def age(db: Any) -> None:
        db.execute("UPDATE blobs SET kept_until = 1")
        db.execute(
            "INSERT INTO ledger"
            " (call, name, owner, state, units, claim, keep, born, changed, until)"
            " VALUES ('r:s#1', 'limit', 0, 3, 1, '[0,0,0,0]', 1, 1, 1, 5)"
        )

    journal.write(age)
    assert before["blobs"] == 3 and counts(journal)["ledger"] == 1
    journal.remove([])
    assert counts(journal)["blobs"] == counts(journal)["ledger"] == 0


def test_a_list_is_read_a_page_at_a_time(make: Make) -> None:
    journal = make()

    async def main() -> None:
        logs = await asyncio.gather(*(begin(journal, f"r{n:02}", n) for n in range(25)))
        for log in logs:
            await log.close()

    asyncio.run(main())
    read: list[int] = []
    query = journal.query

    def counted(ask: Any) -> Any:
        def asked(db: Any) -> Any:
            found = ask(db)
            read.append(len(found))
            return found

        return query(asked)

    journal.query = counted
    page = journal.runs(Wanted(most=10))
    older = journal.runs(Wanted(most=10, before=(page[-1].created, page[-1].id)))
    assert [row.id for row in (*page, *older)] == [f"r{n:02}" for n in range(24, 4, -1)]
    assert read == [10, 10]
