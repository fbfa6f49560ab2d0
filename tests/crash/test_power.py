"""Loss of power at every write and sync: the page cache goes, and what was acknowledged stays.

The statements, pragmas and transactions are the journal's own; only the disk is another one.
"""

import asyncio
import runpy
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from hocket.core import events as ev
from hocket.core.errors import NotFound
from hocket.core.requests import Pause
from hocket.core.values import SECOND, Call
from hocket.journal import ledger, schema, store
from hocket.journal.answers import ready
from hocket.journal.base import Taken
from hocket.journal.codec import encode, encode_request
from hocket.journal.owner import NOBODY
from hocket.journal.schema import FILE
from hocket.journal.sqlite import SqliteJournal

pytest.importorskip("apsw", reason="the disk whose power fails needs apsw")

HERE = Path(__file__).parent
HOW = ("all", "some", "torn")
BATCHES = 10
worker = runpy.run_path(str(HERE / "worker.py"))
power = runpy.run_path(str(HERE / "power.py"))


def write(db: Any, path: Path, acks: dict[str, int]) -> None:
    """Do what the writer does, one transaction after the other."""
    schema.prepare(db, path)
    db.execute("PRAGMA wal_autocheckpoint = 8")
    now = time.time_ns()

    def begin(db: Any) -> store.Claim:
        owner = store.enrol(db, 0, NOBODY, "", now, 10**12)
        new = store.New("r", "crash", 1, [encode(worker["started"]())])
        return store.create_run(db, new, owner)

    claim = schema.in_transaction(db, begin)
    holder = schema.in_transaction(db, lambda db: store.enrol(db, 0, NOBODY, "", now, 10**12))
    acks["event"] = seq = 1
    for number in range(BATCHES):
        taken: tuple[Taken, ...] = ()
        if number % 4 == 3:
            request = encode_request(Pause())
            id, _ = schema.in_transaction(db, lambda db, row=request: store.post(db, "r", row, 7))
            taken = (Taken(id),)
        keys: tuple[str, ...] = ()
        if worker["claims"](number):
            keys = (reserve(db, holder, number),)
        events = [encode(event) for event in worker["batch"](number)]
        kept = [ready(answer) for answer in worker["kept"](number)]
        append = store.Append(claim.run, claim.epoch, seq + 1, events, taken, None, keys, kept)
        assert store.commit(db, [append]) == set()
        seq += len(events)
        acks["event"] = seq
        if taken:
            acks["answer"] = taken[0].id
    schema.in_transaction(db, lambda db: store.release_run(db, claim.run, claim.epoch))


def reserve(db: Any, holder: int, number: int) -> str:
    """Reserve what a batch claims, as a transaction of its own."""
    entry = worker["held"](number)

    def work(db: Any) -> None:
        tick = ledger.advance(db).tick
        ledger.reserve(db, holder, tick, [entry], {entry.limit: 3600 * SECOND})

    schema.in_transaction(db, work)
    return str(entry.key)


async def check_claims(journal: SqliteJournal, found: list[ev.AnyEvent]) -> None:
    """A call counts if and only if its start is there."""
    names = {event.call for event in found if isinstance(event, ev.CallFinished)}
    numbers = [n for n in range(BATCHES) if worker["claims"](n) and Call(f"b{n}", 1) in names]
    told = await journal.ledger(lambda: None).sync(["window"], 9000)
    assert sorted(item.key for item in told.entries) == sorted(f"b{n}" for n in numbers)
    assert {(item.sent, item.over) for item in told.entries} <= {(9000, True)}


def lose_power(folder: Path, at: int, how: str) -> tuple[dict[str, int], int]:
    """Write until the power fails at a call, then rewrite history; gives acks and calls."""
    folder.mkdir()
    disk = power["Disk"](f"disk-{folder.name}", at)
    acks: dict[str, int] = {}
    db = None
    try:
        db = power["Connection"](folder / FILE, disk)
        write(db, folder / FILE, acks)
    except power["PowerLost"]:
        assert disk.off
    calls = disk.calls
    disk.off = True
    if db is not None:
        try:
            db.close()
        except power["PowerLost"]:
            assert disk.off
    disk.rewrite(how, seed=at)
    disk.unregister()
    return acks, calls


def check(state: Path, acks: dict[str, int]) -> None:
    highest = acks.get("event", 0)
    db = sqlite3.connect(state / FILE)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    with SqliteJournal(state) as journal:
        try:
            recorded = list(journal.read("r"))
        except NotFound:
            assert highest == 0
            return
        assert [item.seq for item in recorded] == list(range(1, len(recorded) + 1))
        assert len(recorded) >= highest
        found = [item.event for item in recorded]
        assert found[0] == worker["started"]()
        assert (len(found) - 1) % worker["EACH"] == 0
        batches = range((len(found) - 1) // worker["EACH"])
        assert found[1:] == [event for number in batches for event in worker["batch"](number)]
        if "answer" in acks:
            assert journal.answer(acks["answer"]) is not None
        assert isinstance(found[-1], ev.RunStarted | ev.CallFinished)
        asyncio.run(check_claims(journal, found))
        for number in range(BATCHES):
            (answer,) = (worker["kept"](number) if number in batches else []) or (None,)
            assert journal.answers.find(f"k{number}") == answer


def lose_at(folder: Path, points: list[tuple[int, str]]) -> None:
    for at, how in points:
        state = folder / f"{at}-{how}"
        acks, _ = lose_power(state, at, how)
        try:
            check(state, acks)
        except (AssertionError, sqlite3.Error) as error:
            error.add_note(f"power lost at call {at}, {how} of the unsynced writes undone")
            raise
        shutil.rmtree(state)


def calls_of(folder: Path) -> int:
    acks, calls = lose_power(folder / "whole", 0, "all")
    assert acks["event"] == 1 + BATCHES * worker["EACH"]
    return calls


def test_nothing_acknowledged_is_lost_with_the_power_at_a_spread_of_calls(tmp_path: Path) -> None:
    points = [(at, how) for at in range(1, calls_of(tmp_path) + 1) for how in HOW]
    step = max(1, len(points) // 100)
    lose_at(tmp_path, points[:: step + (step % len(HOW) == 0)])


@pytest.mark.crash
def test_nothing_acknowledged_is_lost_with_the_power_at_any_call(tmp_path: Path) -> None:
    points = [(at, how) for at in range(1, calls_of(tmp_path) + 1) for how in HOW]
    assert len(points) >= 300
    lose_at(tmp_path, points)
    print(f"{len(points)} losses of power")


def test_the_disk_would_show_a_journal_that_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With NORMAL, which does not sync each commit, acknowledged events are lost: seen here."""
    weaker = tuple(pragma.replace("= FULL", "= NORMAL") for pragma in schema.PRAGMAS)
    assert weaker != schema.PRAGMAS
    monkeypatch.setattr(schema, "PRAGMAS", weaker)
    lost = 0
    for at in range(40, calls_of(tmp_path), 9):
        state = tmp_path / str(at)
        acks, _ = lose_power(state, at, "all")
        with SqliteJournal(state) as journal:
            rows = journal.runs()
            lost += (rows[0].events if rows else 0) < acks.get("event", 0)
    assert lost > 0
