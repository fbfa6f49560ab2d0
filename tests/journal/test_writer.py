"""The writer's thread when something breaks under it: everybody who waits is told."""

import asyncio
import runpy
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import JournalError
from hocket.core.requests import Pause
from hocket.core.values import Call
from hocket.journal import schema, store
from hocket.journal.schema import FILE, NoRoom
from hocket.journal.sqlite import SqliteJournal
from hocket.limits.claim import Claim, Entry

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]


def finished(number: int, output: Any = None) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("a", number), output=output)


def entry(key: str) -> Entry:
    return Entry("a", key, 1, Claim())


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def broken_sync() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


@pytest.mark.parametrize("error", [broken_sync(), RuntimeError("a mistake")], ids=["sync", "bug"])
def test_a_write_that_failed_is_never_tried_again_and_everybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tries = 0

    def fail(db: object, appends: Sequence[object]) -> set[int]:
        nonlocal tries
        tries += 1
        raise error

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            log = await journal.start(started("r1"))
            other = await journal.start(started("r2"))
            monkeypatch.setattr(store, "commit", fail)
            with pytest.raises(JournalError, match=r"I/O|mistake"):
                await log.durable(log.append([finished(2)]))
            for each in (log, other):
                with pytest.raises(JournalError, match=r"I/O|mistake"):
                    await each.durable(each.append([finished(3)]))
            with pytest.raises(JournalError, match=r"I/O|mistake"):
                await journal.start(started("r3"))
            await log.close()
            assert tries == 1
            assert [item.seq for item in journal.read("r1")] == [1]

    run(main())


def test_with_room_again_new_logs_are_written_and_old_ones_stay_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    room = False

    def fail(db: object, appends: Sequence[object]) -> set[int]:
        raise full

    monkeypatch.setattr(schema, "is_room", lambda state: room)

    async def main() -> None:
        nonlocal room
        with SqliteJournal(tmp_path) as journal:
            log = await journal.start(started("r1"))
            other = await journal.start(started("r2"))
            with monkeypatch.context() as patch:
                patch.setattr(store, "commit", fail)
                with pytest.raises(NoRoom, match="make room"):
                    await log.durable(log.append([finished(2)]))
            with pytest.raises(NoRoom):
                await journal.start(started("r3"))
            room = True
            again = await journal.resume("r1")
            assert (again.epoch, again.seq) == (2, 1)
            for each in (log, other):
                with pytest.raises(NoRoom):
                    each.append([finished(3)])
            for each in (log, other):
                await each.close()
            await again.durable(again.append([finished(4)]))
            asked = asyncio.Event()
            again.watch(lambda seq: None, lambda posts: asked.set() if posts else None)
            journal.post("r1", Pause())
            await asked.wait()
            await (await journal.start(started("r3"))).close()
            found = [item.event for item in journal.read("r1", after=1)]
            assert found == [finished(4)]
            owners = {row.id: row.owner != "" for row in journal.runs()}
            assert owners == {"r1": True, "r2": False, "r3": False}

    run(main())


def test_a_writer_that_finds_no_room_again_says_so_and_tries_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    quota = OSError(122, "Disk quota exceeded")

    def fail(*arguments: object) -> Any:
        raise full

    def refuse(state: Path) -> None:
        raise quota

    monkeypatch.setattr(schema, "is_room", lambda state: True)

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            log = await journal.start(started("r1"))
            with monkeypatch.context() as patch:
                patch.setattr(store, "commit", fail)
                # What cannot be given up now is given up as soon as there is room.
                patch.setattr(store, "release_run", fail)
                with pytest.raises(NoRoom):
                    await log.durable(log.append([finished(2)]))
                assert [row.owner != "" for row in journal.runs()] == [True]
            with monkeypatch.context() as patch:
                patch.setattr(schema, "make_reserve", refuse)
                with pytest.raises(NoRoom):
                    await journal.resume("r1")
            assert (await journal.resume("r1")).epoch == 2

    run(main())


def test_what_others_hold_of_limits_is_known_after_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    monkeypatch.setattr(schema, "is_room", lambda state: True)
    keep = {"a": 0}

    def fail(db: object, appends: Sequence[object]) -> set[int]:
        raise full

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal, SqliteJournal(tmp_path) as beside:
            ledger, another = journal.ledger(lambda: None), beside.ledger(lambda: None)
            await ledger.reserve([entry("k1")], 1, keep)
            log = await journal.start(started("r1"))
            with monkeypatch.context() as patch:
                patch.setattr(store, "write_owned", fail)
                with pytest.raises(NoRoom):
                    await log.durable(log.append([finished(2)], claims=["k1"]))
            # It never left, and its process has begun anew.
            assert (await ledger.reserve([entry("k2")], 2, keep))[0] == [True]
            told = await another.sync(["a"], 3)
            assert [(one.key, one.over) for one in told.entries] == [("k2", False)]

    run(main())


def test_what_queues_during_a_commit_is_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = store.commit

    def counted(db: Any, appends: Sequence[Any]) -> set[int]:
        sizes.append(len(appends))
        return real(db, appends)

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            logs = [await journal.start(started(f"r{i}")) for i in range(3)]
            monkeypatch.setattr(store, "commit", counted)
            last = [log.append([finished(k)]) for k in range(300) for log in logs][-1]
            await asyncio.gather(*(log.durable(last) for log in logs))
            assert sum(sizes) == 900
            assert len(sizes) < 300

    run(main())


@pytest.mark.parametrize("count", [1, 2, 3, 5, 100, 4095, 4096, 4097, 9000])
def test_a_batch_of_any_size_is_written_whole_and_in_order(tmp_path: Path, count: int) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            log = await journal.start(started("r1"))
            await log.durable(log.append([finished(k) for k in range(count)]))
            found = [item.event for item in journal.read("r1", after=1)]
            assert found == [finished(k) for k in range(count)]

    run(main())
    db = sqlite3.connect(tmp_path / FILE)
    assert db.execute("SELECT n FROM events ORDER BY seq").fetchall() == [
        (n,) for n in range(1, count + 2)
    ]
    db.close()


def test_a_padded_size_is_never_too_small_and_few_differ() -> None:
    sizes = {store.padded(count) for count in range(1, store.MOST_ROWS + 1)}
    assert all(count <= store.padded(count) < 1.5 * count + 1 for count in range(1, 4097))
    assert len(sizes) <= 25
    assert max(sizes) <= store.MOST_ROWS


def test_a_start_that_nobody_waits_for_any_more_is_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            await (await journal.start(started("r0"))).close()
            task = asyncio.create_task(journal.start(started("r1")))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # What is submitted later happens later.
            await (await journal.start(started("r2"))).close()
            assert [row.owner for row in journal.runs()] == [""] * len(journal.runs())

    run(main())


def test_a_loop_that_ends_under_its_run_does_not_stop_the_writer(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path) as journal:
        lost = run(journal.start(started("r1")))
        lost.append([finished(2)])

        async def main() -> None:
            log = await journal.start(started("r2"))
            await log.durable(log.append([finished(2)]))

        run(main())
        assert [item.seq for item in journal.read("r1")] == [1, 2]


@pytest.mark.parametrize("error", [broken_sync(), IndexError("a mistake")], ids=["sync", "bug"])
def test_work_that_fails_leaves_nobody_waiting_and_no_thread_dead(
    tmp_path: Path, error: Exception
) -> None:
    def fail(db: object) -> None:
        raise error

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            log = await journal.start(started("r1"))
            for _ in range(2):
                with pytest.raises(JournalError, match=r"I/O|mistake"):
                    journal._open_writer().submit(fail).result(20)
            is_mistake = isinstance(error, IndexError)
            # After a failed sync nothing is written any more; a mistake concerns itself only.
            assert journal.writes(20.0) == is_mistake
            if is_mistake:
                await log.durable(log.append([finished(2)]))
                await log.close()

    run(main())


def test_a_mistake_beside_a_job_that_is_under_way_is_told_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            writer = journal._open_writer()

            def fail(db: object, job: Any) -> None:
                job.future.set_running_or_notify_cancel()
                raise RuntimeError("a mistake")

            monkeypatch.setattr(writer._once, "work", fail)
            asked = [writer.submit(lambda db: None) for _ in range(3)]
            for each in asked:
                with pytest.raises(JournalError, match="a mistake"):
                    each.result(20)
            assert not journal.writes(20.0)

    run(main())
