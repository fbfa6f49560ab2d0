"""The leases of a process: what was not committed is not believed, and no work puts them off."""

import asyncio
import runpy
import sqlite3
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hocket.core.errors import Refused
from hocket.core.values import SECOND
from hocket.journal import keeper, store
from hocket.journal.codec import encode
from hocket.journal.keeper import Keeper, Port
from hocket.journal.schema import Database, in_transaction, open_for_writing
from hocket.journal.sqlite_file import SqliteFile
from hocket.journal.stake import Stake
from hocket.journal.store import New
from hocket.limits.claim import Claim, Entry

started = runpy.run_path(str(Path(__file__).with_name("owner_process.py")))["started"]
LEASE = 10.0


class Timed(SqliteFile):
    """A database whose clock, and this process's, is turned by hand; it shows seconds."""

    now = 100.0

    def wall(self) -> int:
        return round(self.now * SECOND)


class Process:
    """What the writer of a process does, one transaction at a time."""

    def __init__(self, state: Path, db: sqlite3.Connection) -> None:
        self.db = db
        self.clock = Timed(state)
        self.keeper = Keeper(LEASE, self.clock)
        self.stakes = [Stake(lambda: None) for _ in range(2)]

    def begin(self, run: str) -> None:
        """Create a run, and own it."""
        first = started(run)
        work = self.keeper.create(New(run, "demo", first.at, [encode(first)]))

        def whole(db: Database) -> None:
            self.keeper.adopt(Port(run, work(db), asyncio.get_running_loop()))

        in_transaction(self.db, whole)

    def reserve(self, stake: Stake, call: str) -> None:
        """Have a call hold a slot."""
        self.keeper.join(stake)
        entry, now = Entry("slots", call, 1, Claim()), self.clock.wall()
        in_transaction(self.db, lambda db: stake.reserve(db, [entry], {"slots": 0}, now, KEEP))
        stake.commit()

    def look(self) -> None:
        self.keeper.look_soon()
        self.keeper.look(self.db)

    def leases(self) -> list[float]:
        """Give until when each lease runs, the one of its runs and those of its stakes."""
        rows = self.db.execute("SELECT lease_until FROM owners ORDER BY key").fetchall()
        return [until / SECOND for (until,) in rows]


KEEP = {"slots": 0}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = open_for_writing(tmp_path)
    yield db
    db.close()


@pytest.fixture
def process(tmp_path: Path, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make() -> Process:
        made = Process(tmp_path, db)
        monkeypatch.setattr(keeper, "time", SimpleNamespace(monotonic=lambda: made.clock.now))
        return made

    return make


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_a_sign_of_life_that_failed_is_not_believed_and_is_given_at_the_next_look(
    process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fails = store.enrol, False

    def enrol(db: Database, key: int, *rest: Any) -> int:
        if fails and key == last:
            raise sqlite3.OperationalError("disk I/O error")
        return real(db, key, *rest)

    monkeypatch.setattr(store, "enrol", enrol)

    async def main() -> None:
        nonlocal fails
        one = process()
        one.begin("r")
        for number, stake in enumerate(one.stakes):
            one.reserve(stake, f"k{number}")
        one.look()
        one.clock.now, fails = 109, True
        with pytest.raises(sqlite3.OperationalError):
            one.look()
        assert one.leases() == [110, 110, 110]
        fails = False
        # What the first one holds is its own only as long as its lease, which has ended meanwhile.
        one.clock.now = 111
        one.reserve(one.stakes[0], "k2")
        assert one.leases() == [110, 121, 110]
        one.look()
        assert one.leases() == [121, 121, 121]

    last = 3
    run(main())


def test_runs_that_begin_all_the_time_do_not_put_off_the_sign_of_life_of_limits(
    process: Any,
) -> None:
    async def main() -> None:
        one = process()
        one.begin("r")
        one.reserve(one.stakes[0], "k")
        for second in range(101, 130):
            one.clock.now = second
            one.begin(f"r{second}")
            one.look()
            assert all(until > second for until in one.leases())

    run(main())


def test_runs_that_cannot_be_had_do_not_put_off_the_sign_of_life(process: Any) -> None:
    async def main() -> None:
        one = process()
        one.begin("r")
        for second in range(101, 130):
            one.clock.now = second
            with pytest.raises(Refused, match="is alive"):
                in_transaction(one.db, one.keeper.claim("r"))
            one.look()
            assert all(until > second for until in one.leases())

    run(main())


def test_who_was_refused_does_not_take_the_runs_of_another_journal_of_its_process(
    process: Any,
) -> None:
    async def main() -> None:
        first, late, third = process(), process(), process()
        first.begin("taken")
        with pytest.raises(Refused, match="is alive"):
            in_transaction(late.db, late.keeper.claim("taken"))
        third.begin("other")
        late.begin("own")
        late.look()
        owners = dict(late.db.execute("SELECT id, owner FROM runs").fetchall())
        assert owners == {"taken": 1, "other": 2, "own": 3}

    run(main())


def test_giving_all_up_can_be_done_twice_if_the_first_time_was_undone(process: Any) -> None:
    async def main() -> None:
        one, other = process(), process()
        for each in (one, other):
            each.begin(f"r{id(each)}")
            each.reserve(each.stakes[0], f"k{id(each)}")

        def undone(db: Database) -> None:
            one.keeper.release_all(db)
            raise OSError("the connection was lost")

        before = _tick(one.db)
        with pytest.raises(OSError, match="lost"):
            in_transaction(one.db, undone)
        assert _tick(one.db) == before
        in_transaction(one.db, one.keeper.release_all)
        # Without a tick of its own, nobody would be told of what it gives back.
        assert _tick(one.db) > before

    run(main())


def _tick(db: sqlite3.Connection) -> int:
    (found,) = db.execute("SELECT tick FROM ledger_tick").fetchone()
    return int(found)
