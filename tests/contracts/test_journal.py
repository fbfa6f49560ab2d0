"""What every journal promises, asked of each of them."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import JournalError, NotFound, Refused
from hocket.core.requests import Cancel, Pause, Send
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal.base import Blobs, Inbox, Journal, Posted, Taken, Wanted
from hocket.journal.memory import MemoryJournal
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

Make = Callable[[], Any]
NOWHERE = "postgresql://127.0.0.1/none"


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


def started(run: str = "r1", steps: int = 1, at: int = 10) -> ev.RunStarted:
    spec = RunSpec(
        workflow=PlanSpec(
            name="demo", steps=tuple(StepSpec(name=f"s{i}", agent="a") for i in range(steps))
        )
    )
    return ev.RunStarted(
        at=at,
        run=run,
        spec=spec,
        digest=spec_digest(spec),
        inputs={},
        seed=1,
        versions={"plan": 1},
        program="test",
    )


def finished(number: int, output: Any = None) -> ev.CallFinished:
    return ev.CallFinished(at=100 + number, call=Call(f"s{number}", 1), output=output)


async def soon(check: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Wait for something that another thread will bring about."""
    async with asyncio.timeout(seconds):
        while not (found := check()):  # noqa: ASYNC110 - a thread brings it about, without an event
            await asyncio.sleep(0.005)
    return found


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_the_journals_are_the_ports(tmp_path: Path) -> None:
    """Checked by mypy where it looks; here the names are."""
    for journal in (MemoryJournal(), SqliteJournal(tmp_path), PostgresJournal(NOWHERE)):
        for port, value in ((Journal, journal), (Inbox, journal), (Blobs, journal.blobs)):
            names = [name for name in vars(port) if not name.startswith("_")]
            assert names and all(hasattr(value, name) for name in names)


def test_events_come_back_in_order_and_without_gaps(make: Make) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started())
        assert log.seq == 1
        last = 0
        for number in range(2, 700, 3):
            last = log.append([finished(number + k) for k in range(3)])
        await log.durable(last)
        found = list(journal.read("r1"))
        assert [item.seq for item in found] == list(range(1, last + 1))
        assert found[0].event == started()
        assert [item.event for item in found[1:]] == [finished(n) for n in range(2, last + 1)]
        assert [item.seq for item in journal.read("r1", after=last - 2)] == [last - 1, last]
        assert list(journal.read("r1", after=last)) == []
        await log.close()

    run(main())


def test_the_first_event_is_durable_when_start_returns(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        assert [item.event for item in make().read("r1")] == [started()]
        await log.durable(1)

    run(main())


def test_a_run_id_is_given_once(make: Make) -> None:
    async def main() -> None:
        journal = make()
        await journal.start(started())
        with pytest.raises(JournalError, match="r1"):
            await journal.start(started())
        assert len(list(journal.read("r1"))) == 1

    run(main())


def test_a_run_that_is_not_there_is_not_found(make: Make) -> None:
    async def main() -> None:
        journal = make()
        assert journal.runs() == []
        for ask in (lambda: journal.read("none"), lambda: journal.post("none", Pause())):
            with pytest.raises(NotFound, match="none"):
                ask()
        with pytest.raises(NotFound, match="none"):
            await journal.resume("none")
        await journal.start(started())
        for ask in (lambda: journal.read("none"), lambda: journal.post("none", Pause())):
            with pytest.raises(NotFound, match="none"):
                ask()
        assert journal.remove(["none"]) == 0

    run(main())


def test_a_hundred_appenders_each_learn_of_their_own_events(make: Make) -> None:
    async def main() -> None:
        journal = make()
        logs = [await journal.start(started(f"r{i}")) for i in range(10)]

        async def one(number: int) -> None:
            log = logs[number % 10]
            for k in range(5):
                await log.durable(log.append([finished(number * 10 + k)]))

        await asyncio.gather(*map(one, range(100)))
        for i in range(10):
            assert [item.seq for item in journal.read(f"r{i}")] == list(range(1, 52))

    run(main())


def test_watchers_hear_of_each_commit_in_order(make: Make) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started())
        heard: list[int] = []
        log.watch(heard.append, lambda posts: None)
        for number in range(2, 50):
            seq = log.append([finished(number)])
            await asyncio.sleep(0)
        await log.durable(seq)
        assert heard == sorted(set(heard))
        assert heard[-1] == seq

    run(main())


def test_a_number_that_was_never_appended_is_not_waited_for(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        with pytest.raises(JournalError, match="never appended"):
            await log.durable(7)

    run(main())


def test_an_append_of_nothing_does_nothing(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        assert log.append([]) == 1
        await log.durable(1)

    run(main())


def test_an_event_that_json_cannot_hold_is_refused_with_its_whole_batch(make: Make) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started())
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        for bad in (object(), "\ud800", deep):
            with pytest.raises(JournalError, match="CallFinished cannot be recorded"):
                log.append([finished(2), finished(3, bad)])
        assert log.append([finished(2)]) == 2
        await log.durable(2)
        assert len(list(journal.read("r1"))) == 2

    run(main())


def test_large_values_come_back_whole(make: Make) -> None:
    async def main() -> None:
        journal = make()
        big = {"text": "ä" * 2_000_000, "list": list(range(1000))}
        first = started(steps=3000)
        log = await journal.start(first)
        events = [
            finished(2, big),
            finished(3, "x" * 32_000),
            ev.InputGiven(at=1, path="ask", value=big, by="me"),
            ev.SpecReplaced(at=1, spec=first.spec, digest=first.digest),
            ev.RunEnded(at=1, status="succeeded", output=big),
        ]
        await log.durable(log.append(events))
        assert [item.event for item in make().read("r1")] == [first, *events]
        await log.close()

    run(main())


def test_a_value_that_looks_like_a_reference_stays_what_it_is(make: Make) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started())
        tricky = {"type": "large", "field": "output", "digest": "0" * 64, "event": {}}
        await log.durable(log.append([finished(2, tricky)]))
        assert list(journal.read("r1"))[-1].event == finished(2, tricky)

    run(main())


def test_a_live_owner_is_not_replaced_and_a_run_given_up_is_resumed(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        assert log.epoch == 1
        with pytest.raises(Refused, match="alive"):
            await make().resume("r1")
        log.append([finished(2)])
        await log.close()
        with pytest.raises(JournalError):
            log.append([finished(3)])
        again = await make().resume("r1")
        assert (again.seq, again.epoch) == (2, 2)
        await again.durable(again.append([ev.RunResumed(at=5, epoch=2), finished(3)]))
        assert [item.seq for item in make().read("r1")] == [1, 2, 3, 4]
        await again.close()
        assert (await make().resume("r1")).epoch == 3

    run(main())


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "running"),
        ([ev.PauseRequested(at=20, by="me")], "paused"),
        ([ev.PauseRequested(at=20, by="me"), ev.ContinueRequested(at=21, by="me")], "running"),
        ([ev.PauseRequested(at=20, by="me"), ev.RunResumed(at=21, epoch=2)], "running"),
        ([ev.CancelRequested(at=20, by="me")], "running"),
        ([ev.RunEnded(at=20, status="cancelled")], "cancelled"),
        (
            [ev.RunEnded(at=20, status="failed"), ev.RetryRequested(at=21, path="s", by="me")],
            "running",
        ),
        ([ev.RunEnded(at=20, status="succeeded", output="x" * 100_000)], "succeeded"),
    ],
)
def test_a_run_is_listed_with_its_status(make: Make, events: list[Any], status: str) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started())
        await log.durable(log.append(events))
        (row,) = journal.runs()
        assert (row.id, row.name, row.status) == ("r1", "demo", status)
        assert (row.created, row.events) == (10, 1 + len(events))
        assert row.updated == (events[-1].at if events else 10)
        assert row.alive and row.owner
        await log.close()
        (row,) = journal.runs()
        assert (row.status, row.owner, row.alive) == (status, "", False)

    run(main())


def test_the_newest_run_is_listed_first(make: Make) -> None:
    async def main() -> None:
        journal = make()
        for name in ("b", "c", "a"):
            await (await journal.start(started(name))).close()
        assert [row.id for row in journal.runs()] == ["a", "c", "b"]

    run(main())


def test_runs_are_listed_a_page_at_a_time_and_by_what_is_wanted(make: Make) -> None:
    async def main() -> None:
        journal = make()
        begun = {"b-1": 30, "b-2": 20, "a-1": 20, "a-2": 10}
        for name, at in begun.items():
            log = await journal.start(started(name, at=at))
            if name.startswith("b"):
                end = ev.RunEnded(at=at + 1, status="succeeded")
                await log.durable(log.append([end]))
            await log.close()

        def ids(**wanted: Any) -> list[str]:
            return [row.id for row in journal.runs(Wanted(**wanted))]

        # Not the one that was recorded last comes first, but the one that began last.
        assert ids() == ["b-1", "a-1", "b-2", "a-2"]
        pages, before = [], None
        while page := journal.runs(Wanted(most=1, before=before)):
            pages += [row.id for row in page]
            before = (page[-1].created, page[-1].id)
        assert pages == ids()
        assert ids(before=(20, "gone")) == ["a-2"]
        assert ids(since=20) == ["b-1", "a-1", "b-2"]
        assert ids(beginning="b-") == ["b-1", "b-2"] and ids(beginning="B") == []
        assert ids(sought="A-") == ["a-1", "a-2"] and ids(sought="DEM", most=2) == ["b-1", "a-1"]
        assert ids(sought="%") == ids(sought="_") == []
        assert ids(status=("running",)) == ["a-1", "a-2"]
        assert ids(status=("paused",), also=("b-2",)) == ["b-2"]
        assert ids(status=("running",), but=("a-1",)) == ["a-2"]
        assert journal.counts() == {"running": 2, "succeeded": 2}
        assert journal.counts(Wanted(sought="b-", most=1)) == {"succeeded": 2}

    run(main())


def test_a_request_reaches_the_owner_and_is_answered_exactly_once(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        heard: list[Posted] = []
        log.watch(lambda seq: None, heard.extend)
        first = make().post("r1", Pause(by="me"))
        second = make().post("r1", Send(path="ask", value={"a": 1}))
        await soon(lambda: len(heard) == 2, 1.0)
        assert [post.id for post in heard] == [first, second]
        assert [post.request for post in heard] == [
            Pause(by="me"),
            Send(path="ask", value={"a": 1}),
        ]
        assert make().answer(first) is None
        await log.durable(
            log.append(
                [ev.PauseRequested(at=3, by="me")], [Taken(first), Taken(second, "not asked")]
            )
        )
        assert make().answer(first) == Taken(first)
        assert make().answer(second) == Taken(second, "not asked")
        await log.durable(log.append([finished(3)], [Taken(first, "changed my mind")]))
        assert make().answer(first) == Taken(first)
        assert len(heard) == 2

    run(main())


def test_a_request_without_answer_is_told_to_the_next_owner_only(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        heard: list[Posted] = []
        log.watch(lambda seq: None, heard.extend)
        done = make().post("r1", Pause())
        left = make().post("r1", Cancel())
        await soon(lambda: len(heard) == 2)
        await log.durable(log.append([ev.PauseRequested(at=3, by="me")], [Taken(done)]))
        await log.close()
        late = make().post("r1", Cancel(hard=True))
        waiting = make().waiting("r1")
        again = await make().resume("r1")
        told: list[Posted] = []
        again.watch(lambda seq: None, told.extend)
        await soon(lambda: len(told) == 2)
        assert told == waiting
        assert [(post.id, post.request) for post in told] == [
            (left, Cancel()),
            (late, Cancel(hard=True)),
        ]
        answers = [Taken(left), Taken(late, "no")]
        await again.durable(again.append([ev.RunResumed(at=4, epoch=2)], answers))
        assert make().waiting("r1") == []
        assert len(heard) == 2

    run(main())


def test_a_request_posted_before_anybody_watches_is_not_lost(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        id = make().post("r1", Pause())
        await asyncio.sleep(0.05)
        heard: list[Posted] = []
        log.watch(lambda seq: None, heard.extend)
        await soon(lambda: heard)
        assert [post.id for post in heard] == [id]

    run(main())


def test_an_answer_without_an_event_is_written_too(make: Make) -> None:
    async def main() -> None:
        log = await make().start(started())
        id = make().post("r1", Pause())
        assert log.append([], [Taken(id, "not now")]) == 1
        await log.close()
        assert make().answer(id) == Taken(id, "not now")

    run(main())


def test_files_are_stored_once_and_read_by_range(make: Make, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096 * 3 + b"tail"
    path = tmp_path / "file"
    path.write_bytes(data)
    blobs = make().blobs
    ref = blobs.put(path, "out/file")
    assert (ref.name, ref.size) == ("out/file", len(data))
    assert blobs.put(path, "other").digest == ref.digest
    mib = 1024 * 1024
    for start, size in [
        (0, None), (0, 0), (5, 10), (mib - 3, 6), (mib, mib), (10, 2 * mib), (len(data), 5),
        (len(data) - 2, 50), (len(data) + 9, 1), (3, None),
    ]:  # fmt: skip
        end = None if size is None else start + size
        assert blobs.read(ref.digest, start, size) == data[start:end]
    with pytest.raises(NotFound):
        blobs.read("0" * 64)
    with pytest.raises(ValueError, match="negative"):
        blobs.read(ref.digest, -1)


def test_an_empty_file_is_a_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    ref = make().blobs.put(path, "empty")
    assert (ref.size, make().blobs.read(ref.digest)) == (0, b"")


def test_a_file_that_is_not_there_is_not_stored(make: Make, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be stored"):
        make().blobs.put(tmp_path / "none", "none")


def test_removing_runs_frees_what_only_they_used(make: Make, tmp_path: Path) -> None:
    async def main() -> None:
        journal = make()
        refs = []
        for name in ("shared", "own"):
            (tmp_path / name).write_bytes(name.encode() * 100_000)
            refs.append(journal.blobs.put(tmp_path / name, name))
        shared, own = refs
        first = await journal.start(started("r1"))
        second = await journal.start(started("r2"))
        outputs = [{"$": "file", "name": r.name, "digest": r.digest, "size": r.size} for r in refs]
        await first.durable(
            first.append([finished(2, {"all": outputs}), finished(3, "y" * 50_000)])
        )
        await second.durable(second.append([finished(2, [outputs[0]])]))
        with pytest.raises(Refused, match="alive"):
            journal.remove(["r2", "r1"])
        await first.close()
        with pytest.raises(Refused, match="alive"):
            journal.remove(["r1", "r2"])
        assert len(journal.runs()) == 2
        freed = journal.remove(["r1"])
        assert freed > own.size + 50_000
        assert [row.id for row in journal.runs()] == ["r2"]
        with pytest.raises(NotFound):
            journal.read("r1")
        with pytest.raises(NotFound):
            journal.blobs.read(own.digest)
        assert len(journal.blobs.read(shared.digest)) == shared.size
        await second.close()
        assert journal.remove(["r2"]) > shared.size
        with pytest.raises(NotFound):
            journal.blobs.read(shared.digest)

    run(main())


def test_a_stored_file_that_no_event_names_yet_survives_the_removal_of_others(
    make: Make, tmp_path: Path
) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started())
        (tmp_path / "new").write_bytes(b"new")
        ref = journal.blobs.put(tmp_path / "new", "new")
        await log.close()
        journal.remove(["r1"])
        assert journal.blobs.read(ref.digest) == b"new"

    run(main())


def test_an_event_names_a_file_inside_a_large_output(make: Make, tmp_path: Path) -> None:
    async def main() -> None:
        journal = make()
        log = await journal.start(started())
        (tmp_path / "f").write_bytes(b"f")
        ref = journal.blobs.put(tmp_path / "f", "f")
        await log.durable(log.append([finished(2, ["z" * 40_000, ref])]))
        await log.close()
        journal.remove(["r1"])
        with pytest.raises(NotFound):
            journal.blobs.read(ref.digest)

    run(main())
