"""The ledger in its file: what it costs alone, what is forgotten when, and older files."""

import asyncio
import runpy
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hocket.core.errors import JournalError
from hocket.core.values import SECOND
from hocket.journal import keeper, schema, sqlite_file, stake, store
from hocket.journal import ledger as sql
from hocket.journal.base import Past, Sample
from hocket.journal.schema import FILE, Database
from hocket.journal.sharing import Told
from hocket.journal.sqlite import SqliteJournal
from hocket.limits.claim import Claim, Entry
from hocket.limits.turns import Want

HERE = Path(__file__).parent
OLD = HERE.parent / "histories" / "0.1.0" / FILE
helper = runpy.run_path(str(HERE / "ledger_process.py"))
started, event = helper["started"], helper["event"]

KEEP = {"a": 10 * SECOND}


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def entry(key: str) -> Entry:
    return Entry("a", key, 1, Claim())


def ended(key: str) -> Entry:
    return Entry("a", key, 1, Claim(), None, True)


class Trace:
    """The statements of the writer, as they are run."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.wanted = ""
        self.came = threading.Event()

    def __call__(self, statement: str) -> None:
        self.statements.append(statement.split("(", maxsplit=1)[0].strip())
        if self.wanted and statement.strip().startswith(self.wanted):
            self.came.set()

    def take(self) -> list[str]:
        taken, self.statements = self.statements, []
        return [" ".join(line.split()[:3]) for line in taken]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    trace = Trace()
    real = schema.open_for_writing

    def traced(state: Path) -> sqlite3.Connection:
        db = real(state)
        db.set_trace_callback(trace)
        return db

    monkeypatch.setattr(schema, "open_for_writing", traced)
    return trace


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    rings: list[str] = []
    monkeypatch.setattr(sqlite_file, "ring", lambda state, bell: rings.append(bell))
    return rings


def test_alone_a_batch_costs_one_short_transaction_and_notes_ride_along(
    tmp_path: Path, trace: Trace, rings: list[str]
) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path, lease=1000) as journal:
            log = await journal.start(started("r"))
            ledger = journal.ledger(lambda: None)
            await ledger.sync(["a"], 1)
            await ledger.reserve([entry("k0")], 2, KEEP)
            trace.take()
            await ledger.reserve([entry("k1"), entry("k2"), entry("k3")], 3, KEEP)
            assert trace.take() == [
                "BEGIN IMMEDIATE", "UPDATE ledger_tick SET", "INSERT OR REPLACE", "COMMIT",
            ]  # fmt: skip
            ledger.sent("k1", 4)
            ledger.settle([ended("k1")], 5)
            ledger.release(["k2"])
            await log.durable(log.append([event(1)], (), ["k3"]))
            done = [line for line in trace.take() if not line.startswith("SELECT")]
            assert (done[0], done[-1], done.count("COMMIT")) == ("BEGIN IMMEDIATE", "COMMIT", 1)
            assert [line for line in done if "ledger SET" in line] == ["UPDATE ledger SET"] * 4
            await ledger.sync(["a"], 6)
            assert trace.take() == ["BEGIN IMMEDIATE", "SELECT tick, purged", "COMMIT"]
            assert rings == []

    run(main())


def test_a_note_is_written_before_long_even_if_nothing_else_is(
    tmp_path: Path, trace: Trace
) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            ledger = journal.ledger(lambda: None)
            await ledger.reserve([entry("k1")], 2, KEEP)
            trace.wanted = "UPDATE ledger SET sent"
            ledger.sent("k1", 4)
            assert await asyncio.to_thread(trace.came.wait, 20)

    run(main())


def test_a_note_is_written_at_once_if_others_may_wait_for_it(
    tmp_path: Path, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "POLL_SECONDS", 3600)

    async def main() -> None:
        with SqliteJournal(tmp_path, lease=1e6) as journal, SqliteJournal(tmp_path) as other:
            ledger = journal.ledger(lambda: None)
            await other.ledger(lambda: None).sync(["a"], 1)
            await ledger.reserve([entry("k1")], 2, KEEP)
            trace.wanted = "UPDATE ledger SET state"
            ledger.settle([ended("k1")], 3)
            assert await asyncio.to_thread(trace.came.wait, 20)

    run(main())


def test_the_lease_is_renewed_while_there_is_a_run(tmp_path: Path) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path, lease=0.5) as journal:
            await journal.start(started("r"))
            await journal.ledger(lambda: None).sync(["a"], 1)
            ask = "SELECT min(lease_until) FROM owners HAVING count(*) = 2"
            first = journal.query(lambda db: db.execute(ask).fetchone())
            assert first is not None
            async with asyncio.timeout(20):
                while True:
                    if journal.query(lambda db: db.execute(ask).fetchone()) != first:
                        break
                    await asyncio.sleep(0.01)

    run(main())


def test_whoever_holds_something_is_not_forgotten_as_long_as_nobody_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal, SqliteJournal(tmp_path) as other:
            one = journal.ledger(lambda: None)
            await one.reserve([entry("k1")], 1, KEEP)
            later = SimpleNamespace(
                time_ns=lambda: time.time_ns() + 3600 * SECOND, monotonic=time.monotonic
            )
            for module in (sqlite_file, keeper):
                monkeypatch.setattr(module, "time", later)
            await other.start(started("r"))
            one.sent("k1", 2)
            await one.sync(["a"], 2)
            told = await other.ledger(lambda: None).sync(["a"], 3)
            assert told == Told((Entry("a", "k1", 1, Claim(), 2),))

    run(main())


def test_what_was_noted_last_is_written_at_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            ledger = journal.ledger(lambda: None)
            await ledger.reserve([entry("k1"), entry("k2")], 2, KEEP)
            ledger.sent("k1", 4)
            ledger.settle([ended("k2")], 5)
        with SqliteJournal(tmp_path) as journal:
            told = await journal.ledger(lambda: None).sync(["a"], 7)
            assert set(told.entries) == {
                Entry("a", "k1", 1, Claim(), 4, True),
                Entry("a", "k2", 1, Claim(), 5, True),
            }

    run(main())


def test_others_are_rung_as_soon_as_they_are_there_and_no_longer(
    tmp_path: Path, rings: list[str]
) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal, SqliteJournal(tmp_path) as other:
            one, two = journal.ledger(lambda: None), other.ledger(lambda: None)
            await one.reserve([entry("k1")], 2, KEEP)
            assert rings == []
            await two.sync(["a"], 3)
            assert len(rings) == 1, "the newcomer makes itself known"
            await one.reserve([entry("k2")], 4, KEEP)
            assert len(rings) == 2
            assert len(set(rings)) == 2
            two.close()
            await two_is_gone(one)
            rings.clear()
            await one.reserve([entry("k3")], 6, KEEP)
            assert rings == []

    async def two_is_gone(one: Any) -> None:
        async with asyncio.timeout(20):
            while True:
                await one.sync(["a"], 5)
                rings.clear()
                await one.reserve([entry("k")], 5, KEEP)
                if not rings:
                    return

    run(main())


def test_whoever_slept_while_rows_were_dropped_learns_what_went(tmp_path: Path) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal, SqliteJournal(tmp_path) as other:
            one, two = journal.ledger(lambda: None), other.ledger(lambda: None)
            await one.reserve([entry("gone"), entry("over"), entry("held")], 1, KEEP)
            assert len((await two.sync(["a"], 2)).entries) == 3
            one.release(["gone"])
            one.settle([ended("over")], 3)
            await one.reserve([entry("new")], 4, KEEP)
            later = 4 + KEEP["a"] + sql.GRACE + stake.PURGE_EVERY
            await one.reserve([entry("newer")], later, KEEP)
            rows = journal.query(lambda db: db.execute("SELECT call FROM ledger").fetchall())
            assert {row[0] for row in rows} == {"held", "new", "newer"}
            granted, told = await two.reserve([entry("mine")], later, KEEP)
            assert granted == [False]
            assert told == Told(
                (entry("held"), entry("new"), entry("newer")), (("a", "gone"), ("a", "over"))
            )
            assert await two.sync(["a"], later) == Told()
            assert (await two.reserve([entry("mine")], later, KEEP))[0] == [True]

    run(main())


def test_rows_stay_as_long_as_somebody_may_not_have_been_told(tmp_path: Path) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path) as journal, SqliteJournal(tmp_path) as other:
            one, two = journal.ledger(lambda: None), other.ledger(lambda: None)
            await one.reserve([entry("gone"), entry("over")], 1, KEEP)
            await two.sync(["a"], 1)
            one.release(["gone"])
            one.settle([ended("over")], 2)
            await one.reserve([entry("new")], 2, KEEP)
            # It is time to drop rows, and none of these has been over for long enough.
            await one.reserve([entry("newer")], 1 + stake.PURGE_EVERY, KEEP)
            told = await two.sync(["a"], 1 + stake.PURGE_EVERY)
            assert {(item.key, item.over) for item in told.entries} == {
                ("over", True), ("new", False), ("newer", False),
            }  # fmt: skip
            assert told.forgotten == (("a", "gone"),)

    run(main())


def test_a_ledger_that_was_forgotten_meanwhile_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a run nobody renews the lease: after a pause the process may count as gone."""

    async def main() -> None:
        with (
            SqliteJournal(tmp_path) as journal,
            SqliteJournal(tmp_path) as other,
            SqliteJournal(tmp_path) as third,
        ):
            one, two = journal.ledger(lambda: None), other.ledger(lambda: None)
            await one.reserve([entry("k1")], 1, KEEP)
            one.settle([ended("k1")], 2)
            await one.reserve([entry("k2")], 3, KEEP)
            later = SimpleNamespace(time_ns=lambda: time.time_ns() + 3600 * SECOND)
            monkeypatch.setattr(sqlite_file, "time", later)
            told = await two.sync(["a"], 4)
            assert {(e.key, e.over) for e in told.entries} == {("k1", True)}
            await third.ledger(lambda: None).sync(["a"], 5)
            owners = journal.query(lambda db: db.execute("SELECT key FROM owners").fetchall())
            assert len(owners) == 2, "the first is forgotten"
            granted, told = await one.reserve([entry("k3")], 6, KEEP)
            assert (granted, told.forgotten) == ([True], (("a", "k2"),))
            assert (await two.sync(["a"], 7)).entries == (entry("k3"),)
            listeners = "SELECT count(DISTINCT owner) FROM listeners JOIN owners ON key = owner"
            assert journal.query(lambda db: db.execute(listeners).fetchone()) == (3,)

    run(main())


def full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def test_on_a_full_disk_a_reservation_fails_alone_and_nothing_noted_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise full()

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            ledger = journal.ledger(lambda: None)
            await ledger.reserve([entry("k1"), entry("k2")], 1, KEEP)
            with monkeypatch.context() as patch:
                patch.setattr(sql, "reserve", fail)
                ledger.sent("k1", 2)
                with pytest.raises(JournalError, match="is full"):
                    await ledger.reserve([entry("k3")], 3, KEEP)
            assert (await ledger.reserve([entry("k3")], 4, KEEP))[0] == [True]
            rows = journal.query(
                lambda db: db.execute("SELECT call, sent FROM ledger ORDER BY call").fetchall()
            )
            assert rows == [("k1", 2), ("k2", None), ("k3", None)]

    run(main())


def test_what_is_noted_after_an_arrival_that_was_undone_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive = stake.Stake.arrive

    def undone(self: stake.Stake, db: Database) -> None:
        arrive(self, db)
        raise full()

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            ledger = journal.ledger(lambda: None)
            with monkeypatch.context() as patch:
                patch.setattr(stake.Stake, "arrive", undone)
                with pytest.raises(JournalError, match="is full"):
                    await ledger.reserve([entry("k1")], 1, KEEP)
            # Another process gets the key that was undone.
            with SqliteJournal(tmp_path) as other:
                await other.start(started("r"))
                log = await journal.start(started("r2"))
                ledger.want([Want("a", "r2", 1, Claim(), 1)], 2)
                await log.durable(log.append([event(1)]))
                ask = "SELECT count(*), count(w.owner = r.owner OR NULL) FROM {} WHERE r.id = 'r'"
                rows = "wants AS w JOIN owners AS o ON o.key = w.owner, runs AS r"
                found = journal.query(lambda db: db.execute(ask.format(rows)).fetchone())
                assert found == (1, 0)

    run(main())


def test_after_a_failed_write_every_question_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            ledger = journal.ledger(lambda: None)
            await ledger.sync(["a"], 1)
            monkeypatch.setattr(sql, "reserve", fail)
            for _ in range(2):
                with pytest.raises(JournalError, match="I/O"):
                    await ledger.reserve([entry("k1")], 2, KEEP)
            ledger.settle([ended("k1")], 3)
            with pytest.raises(JournalError, match="I/O"):
                await ledger.sync(["a"], 4)

    run(main())


def test_a_ledger_that_nobody_asks_opens_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        with SqliteJournal(tmp_path / "state") as journal:
            journal.ledger(lambda: None).close()
        assert not (tmp_path / "state").exists()

    run(main())


Read = Callable[[sqlite3.Connection], Any]


def test_whoever_has_an_old_file_open_goes_on_while_it_is_migrated(tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path / FILE)
    count = "SELECT count(*) FROM events"
    reader = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    reader.execute("PRAGMA journal_mode = WAL")
    reader.execute("BEGIN")
    (events,) = reader.execute(count).fetchone()

    async def main() -> None:
        with SqliteJournal(tmp_path) as journal:
            ledger = journal.ledger(lambda: None)
            assert (await ledger.reserve([entry("k1")], 1, KEEP))[0] == [True]
            journal.book.record([Sample(plan="p", step="s", agent="a", took=5)])
            assert reader.execute(count).fetchone() == (events,)
            assert reader.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == (
                "1",
            )
            reader.execute("COMMIT")
            # What the older program does next, its own statements know nothing of new tables.
            for statement in store.APPEND.format(rows="(1, 1, 9999, '{}')"), store.EVENTS:
                reader.execute(statement, (1, 0, 9) if statement == store.EVENTS else ())
            reader.execute("UPDATE owners SET lease_until = 9")
            assert len(journal.runs()) > 3
            assert journal.book.read("p") == [
                Past(1, (Sample(plan="p", step="s", agent="a", took=5),))
            ]

    run(main())
    reader.close()


def test_a_new_file_and_a_migrated_one_have_the_same_tables(tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path / FILE)
    names = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    found = []
    for state in (tmp_path, tmp_path / "new"):
        schema.open_for_writing(state).close()
        db = sqlite3.connect(state / FILE)
        found.append(db.execute(names).fetchall())
        db.close()
    assert found[0] == found[1]
    assert {"ledger", "listeners", "limit_states", "durations"} <= {row[1] for row in found[0]}


def test_the_plans_of_the_statements_scan_no_table_of_rows() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    for migration in schema.MIGRATIONS:
        migration(db)
    for name, parameters in {
        "RESERVE": (1, 1, "[]"), "CLAIM": ("[]",), "SENT": (1, 1, "[]"),
        "SETTLE": (1, 1, "[]"), "RELEASE": (1, 1, "[]", 1), "BURY_OWNER": (1, 1, 1),
        "BURY_CALLS": (1, 1, "[]"), "NEWS": (1, "[]"), "STATES": (1, "[]"), "IS_NEWS": (1, 1),
    }.items():  # fmt: skip
        plan = db.execute(f"EXPLAIN QUERY PLAN {getattr(sql, name)}", parameters).fetchall()
        steps = [row[3] for row in plan]
        assert not [step for step in steps if step in {"SCAN ledger", "SCAN l"}], (name, steps)
        if name in {"CLAIM", "SENT", "SETTLE", "RELEASE", "BURY_CALLS"}:
            assert "PRIMARY KEY (call=?" in str(steps), (name, steps)
    db.close()
