"""How long calls took is kept for later runs: a hint, that no run waits for and none fails by."""

import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

import hocket
from hocket.app.driving import Driving
from hocket.journal import schema
from hocket.journal.base import Sample

pytestmark = pytest.mark.anyio

SPOILS: list[Path] = []
"""Journals whose book is spoiled meanwhile."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def work() -> str:
    for state in SPOILS:
        with closing(sqlite3.connect(state / schema.FILE)) as db:
            db.execute("UPDATE durations SET samples = 'none'")
            db.commit()
    return "done"


def plan() -> hocket.Plan:
    made = hocket.Plan("work")
    made.call("a", work)
    return made


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[hocket.Engine]:
    SPOILS.clear()
    async with hocket.Engine(tmp_path) as made:
        yield made


async def test_a_run_that_has_succeeded_stands_though_the_book_cannot_be_written(
    engine: hocket.Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.run(plan(), run_id="zero")
    SPOILS.append(tmp_path)
    assert (await engine.run(plan(), run_id="one")).output == "done"
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("later runs will not know how long the calls of run one took: ")
    assert "cannot be read" in told


async def test_a_server_is_done_with_a_run_though_the_book_cannot_be_written(
    engine: hocket.Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.run(plan(), run_id="zero")
    SPOILS.append(tmp_path)
    driving = Driving(engine, 1)
    await driving.begin("one", partial(engine.begin, plan(), {}, run_id="one"))
    while driving.runs:
        driving.stirred.clear()
        await driving.stirred.wait()
    assert engine.journal.hosted.all() == []
    # It tells that of the book, and not that it drives the run no more.
    assert [record.name for record in caplog.records] == ["hocket.app.history"]


async def test_the_loop_does_not_wait_for_the_book(
    engine: hocket.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, threads = engine.journal.book, []
    record = book.record

    def noted(samples: list[Sample]) -> None:
        threads.append(threading.get_ident())
        record(samples)

    monkeypatch.setattr(book, "record", noted)
    await engine.run(plan(), run_id="one")
    (past,) = book.read("work")
    assert past.count == 1
    assert len(threads) == 1
    assert threads != [threading.get_ident()]
