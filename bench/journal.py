"""How fast events become durable: the journal beside the plain ways to write the same rows.

Run it as ``python bench/journal.py [--events N] [--rounds N]``.
Rows are taken in turn and the medians printed: only figures of one run compare.
"plain" is what a caller of sqlite3 would write: one row an INSERT, executemany in a transaction,
in the caller's own thread with nobody waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hocket.core import events as ev
from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import Call
from hocket.journal import schema
from hocket.journal.codec import encode
from hocket.journal.memory import MemoryJournal
from hocket.journal.owner import myself
from hocket.journal.sqlite import SqliteJournal
from hocket.journal.store import Append, New, commit, create_run, enrol

PLAIN = "INSERT INTO events (run, n, data) VALUES (?, ?, ?)"


def started(run: str) -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="bench", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=1, run=run, spec=spec, digest="", inputs={}, seed=1, versions={"plan": 1}, program="b"
    )


def event(number: int) -> ev.CallFinished:
    """About 300 bytes of JSON."""
    return ev.CallFinished(
        at=10**18 + number, call=Call(f"step-{number}", 1), output={"text": "x" * 200}
    )


async def journal_rate(journal: SqliteJournal | MemoryJournal, appenders: int, each: int) -> float:
    log = await journal.start(started("r"))

    async def one(first: int) -> None:
        for number in range(first, first + each):
            await log.durable(log.append([event(number)]))

    begin = time.perf_counter()
    await asyncio.gather(*(one(i * each) for i in range(appenders)))
    spent = time.perf_counter() - begin
    await log.close()
    return appenders * each / spent


def by_journal(appenders: int, count: int) -> float:
    with tempfile.TemporaryDirectory() as folder, SqliteJournal(Path(folder)) as journal:
        return asyncio.run(journal_rate(journal, appenders, max(1, count // appenders)))


def by_memory(appenders: int, count: int) -> float:
    return asyncio.run(journal_rate(MemoryJournal(), appenders, max(1, count // appenders)))


Write = Callable[[sqlite3.Connection, int, list[ev.CallFinished]], None]


def plainly(db: sqlite3.Connection, first: int, batch: list[ev.CallFinished]) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(PLAIN, [(1, first + i, encode(e).row) for i, e in enumerate(batch)])
    db.execute("COMMIT")


def in_one_statement(db: sqlite3.Connection, first: int, batch: list[ev.CallFinished]) -> None:
    commit(db, [Append(1, 1, first, [encode(e) for e in batch], (), None)])


def direct(write: Write, size: int, count: int, busy: bool = False) -> float:
    """Write batches in this thread; `busy` has another thread keep the interpreter's lock."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(100))

    with tempfile.TemporaryDirectory() as folder:
        db = schema.open_for_writing(Path(folder))
        owner = enrol(db, 0, myself(), "", time.time_ns(), 10**12)
        create_run(db, New("r", "bench", 1, [encode(started("r"))]), owner)
        other = threading.Thread(target=spin)
        if busy:
            other.start()
        begin = time.perf_counter()
        for first in range(2, 2 + count, size):
            write(db, first, [event(first + i) for i in range(size)])
        spent = time.perf_counter() - begin
        stop.set()
        if busy:
            other.join()
        db.close()
    return -(-count // size) * size / spent


ROWS: list[tuple[str, Callable[[int], float], int]] = [
    ("journal, 1 appender", lambda n: by_journal(1, n), 1),
    ("plain, batches of 1", lambda n: direct(plainly, 1, n), 1),
    ("one statement, batches of 1", lambda n: direct(in_one_statement, 1, n), 1),
    ("journal, 100 appenders", lambda n: by_journal(100, n), 10),
    ("plain, batches of 100", lambda n: direct(plainly, 100, n), 10),
    ("one statement, batches of 100", lambda n: direct(in_one_statement, 100, n), 10),
    ("plain, 100, busy process", lambda n: direct(plainly, 100, max(100, n // 20), True), 1),
    ("one statement, 100, busy process",
     lambda n: direct(in_one_statement, 100, max(100, n // 20), True), 1),
    ("memory, 100 appenders", lambda n: by_memory(100, n), 10),
]  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=2000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    rates: dict[str, list[float]] = {name: [] for name, _, _ in ROWS}
    for _ in range(given.rounds):
        for name, measure, factor in ROWS:
            rates[name].append(measure(given.events * factor))
    print(f"{'':34} {'events/s':>10} {'µs/event':>9}   medians of {given.rounds}")
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"{name:34} {rate:10,.0f} {1e6 / rate:9.1f}")


if __name__ == "__main__":
    main()
