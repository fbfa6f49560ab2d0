"""What every store of kept answers promises, asked of each of them."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal.base import Answered, Answers, Near
from hocket.journal.codec import LARGE
from hocket.journal.memory import MemoryJournal
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

Make = Callable[[], Any]
NOWHERE = "postgresql://127.0.0.1/none"
NUMBERS = itertools.count(1)


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
            opened.append(MemoryJournal())
        return opened[-1]

    yield open_journal
    for journal in opened:
        journal.close()


def started(run: str) -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=1, run=run, spec=spec, digest=spec_digest(spec), inputs={}, seed=1, versions={},
        program="test",
    )  # fmt: skip


def finished(output: Any = None) -> ev.CallFinished:
    return ev.CallFinished(at=10, call=Call("s", 1), output=output)


def answer(key: str, output: Any = "yes", at: int = 10, **more: Any) -> Answered:
    return Answered(key=key, output=output, at=at, **more)


async def keep(journal: Any, *answers: Answered, run: str = "") -> None:
    """Write answers, each with an event of its output, in a run that is given up then."""
    log = await journal.start(started(run or f"r{next(NUMBERS)}"))
    for one in answers:
        seq = log.append([finished(one.output)], kept=[one])
    await log.durable(seq)
    await log.close()


def do(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_the_stores_are_the_port(tmp_path: Path) -> None:
    for journal in (MemoryJournal(), SqliteJournal(tmp_path), PostgresJournal(NOWHERE)):
        names = [name for name in vars(Answers) if not name.startswith("_")]
        assert names and all(hasattr(journal.answers, name) for name in names)


def test_an_answer_comes_back_whole_and_to_others(make: Make) -> None:
    async def main() -> None:
        usage = ev.Usage(tokens_in=3, tokens_out=4, cost=5, tokens_cached=2)
        given = answer("k", {"a": [1, None, "ä"]}, until=99, usage=usage, notes=("cut",))
        await keep(make(), given)
        assert make().answers.find("k") == given
        assert make().answers.find("other") is None

    do(main())


def test_nothing_is_kept_before_its_event_is_on_disk() -> None:
    async def main() -> None:
        journal = MemoryJournal(latency=0.05)
        log = await journal.start(started("r"))
        seq = log.append([finished("yes")], kept=[answer("k")])
        assert journal.answers.find("k") is None
        await log.durable(seq)
        assert journal.answers.find("k") == answer("k")

    do(main())


def test_what_cannot_be_recorded_is_not_kept_either(make: Make) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started("r"))
        with pytest.raises(JournalError):
            log.append([finished(object())], kept=[answer("k", object())])
        await log.durable(log.append([finished()]))
        assert journal.answers.find("k") is None

    do(main())


def test_a_later_answer_replaces_an_earlier_one(make: Make) -> None:
    async def main() -> None:
        journal = make()
        await keep(journal, answer("k", "old"), answer("k", "new", at=20))
        assert journal.answers.find("k") == answer("k", "new", at=20)
        assert journal.answers.count(1_000) == 1

    do(main())


def test_answers_that_are_too_old_go_when_others_come(make: Make) -> None:
    async def main() -> None:
        journal = make()
        await keep(
            journal,
            answer("a", at=10, until=20),
            answer("b", at=10, until=40),
            answer("c", at=10),
        )
        await keep(journal, answer("d", at=19))
        assert journal.answers.find("a") is not None
        await keep(journal, answer("e", at=20))
        assert [key for key in "abcde" if journal.answers.find(key)] == list("bcde")
        await keep(journal, answer("f", at=50))
        assert [key for key in "abcdef" if journal.answers.find(key)] == list("cdef")

    do(main())


def test_answers_are_dropped_by_age(make: Make) -> None:
    async def main() -> None:
        journal = make()
        await keep(journal, *(answer(str(at), at=at) for at in (10, 20, 30)))
        assert journal.answers.count(30) == 2
        assert journal.answers.drop(30, 40) == 2
        assert [at for at in (10, 20, 30) if journal.answers.find(str(at))] == [30]
        assert journal.answers.drop(1_000, 40) == 1
        assert journal.answers.drop(1_000, 40) == 0

    do(main())


def test_the_kin_of_an_answer_is_found_newest_first(make: Make) -> None:
    async def main() -> None:
        journal = make()
        await keep(
            journal,
            answer("a", at=10, kin="x", vector=b"1111"),
            answer("b", at=30, kin="x", vector=b"2222", until=90),
            answer("c", at=20, kin="x", vector=b"3333"),
            answer("d", at=40, kin="y", vector=b"4444"),
            answer("e", at=50),
        )
        found = journal.answers.near("x", 10)
        assert found == [
            Near("b", 30, 90, b"2222"),
            Near("c", 20, None, b"3333"),
            Near("a", 10, None, b"1111"),
        ]
        assert journal.answers.near("x", 2) == found[:2]
        assert journal.answers.near("", 10) == []

    do(main())


def test_an_answer_outlives_its_run_with_all_that_it_names(make: Make, tmp_path: Path) -> None:
    async def main() -> None:
        journal = make()
        path = tmp_path / "report.txt"
        path.write_text("the report")
        ref = journal.blobs.put(path, "report.txt")
        named = {"$": "file", "name": ref.name, "digest": ref.digest, "size": ref.size}
        large = {"text": "x" * (2 * LARGE), "file": named}
        await keep(journal, answer("k", large), run="gone")
        journal.remove(["gone"])
        assert make().answers.find("k") == answer("k", large)
        assert make().blobs.read(ref.digest) == b"the report"

    do(main())


def test_what_only_a_dropped_answer_named_goes_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path / "state") as journal:
            large = "x" * (2 * LARGE)
            await keep(journal, answer("k", large), answer("other", large), run="gone")
            journal.remove(["gone"])
            stored = journal.query(lambda db: db.execute("SELECT digest FROM blobs").fetchall())
            assert stored is not None and len(stored) == 1
            await keep(journal, answer("other", "short", at=20))
            assert journal.answers.find("k") == answer("k", large)
            assert journal.answers.drop(20, 30) == 1
            assert journal.query(lambda db: db.execute("SELECT * FROM blobs").fetchall()) == []

    do(main())


def test_answers_that_are_only_looked_for_leave_nothing_behind(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "state") as journal:
        assert journal.answers.find("k") is None
        assert journal.answers.near("k", 5) == []
        assert journal.answers.count(10) == journal.answers.drop(10, 10) == 0
    assert not (tmp_path / "state").exists()
