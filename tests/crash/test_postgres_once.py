"""What is asked of the journal is done once, also if its commit is cut, and is answered.

The server alone knows what has become of a commit whose reply did not come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.crash.postgres_load import batch, started
from tests.crash.postgres_proxy import HOW, Cut
from tests.crash.test_postgres_cut import Line, run
from tests.postgres import Server

from hocket.core.errors import NotFound
from hocket.core.requests import Pause
from hocket.journal.base import Sample
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sharing import Ledger
from hocket.limits.claim import Claim, Entry

KEEP = {"slots": 0}


class Scene(NamedTuple):
    """A journal with a run, and a line that can be cut.

    Fields:
        journal: It owns the run.
        open: Opens the same journal as another process would, by the same line.
        cut: Has the next commit cut.
        folder: A folder for files.
    """

    journal: PostgresJournal
    open: Callable[[], PostgresJournal]
    cut: Callable[[], None]
    folder: Path


@pytest.fixture(scope="module")
def line(postgres: Server) -> Iterator[Line]:
    line = Line(postgres)
    yield line
    line.proxy.close()


def entry(key: str) -> Entry:
    return Entry("slots", key, 1, Claim())


async def begin(scene: Scene) -> None:
    journal = scene.journal
    scene.cut()
    log = await journal.start(started("new"))
    await log.durable(log.append(batch("new", 0)))
    assert [item.seq for item in journal.read("new")] == [1, 2, 3, 4]
    await log.close()


async def take_over(scene: Scene) -> None:
    journal = scene.journal
    await (await journal.start(started("new"))).close()
    scene.cut()
    log = await journal.resume("new")
    assert log.epoch == 2
    await log.durable(log.append(batch("new", 0)))
    await log.close()


async def give_up(scene: Scene) -> None:
    log = await scene.journal.start(started("new"))
    scene.cut()
    await log.close()
    # By what is still alive.
    assert (await scene.journal.resume("new")).epoch == 2


async def ask(scene: Scene) -> None:
    scene.cut()
    id = await asyncio.to_thread(scene.journal.post, "r", Pause())
    assert [post.id for post in scene.journal.waiting("r")] == [id]


async def ask_from_outside(scene: Scene) -> None:
    with scene.open() as other:
        assert other.waiting("r") == []
        scene.cut()
        id = await asyncio.to_thread(other.post, "r", Pause())
        assert [post.id for post in other.waiting("r")] == [id]


async def drive(scene: Scene) -> None:
    scene.cut()
    await scene.journal.hosted.add("r")
    assert scene.journal.hosted.all() == ["r"]


async def remove(scene: Scene) -> None:
    await (await scene.journal.start(started("old"))).close()
    size = sum(len(str(item)) for item in scene.journal.read("old"))
    assert size
    scene.cut()
    assert await asyncio.to_thread(scene.journal.remove, ["old"]) > 0
    with pytest.raises(NotFound):
        list(scene.journal.read("old"))


async def keep(scene: Scene) -> None:
    path = scene.folder / "file"
    path.write_bytes(bytes(5000))
    scene.cut()
    ref = await asyncio.to_thread(scene.journal.blobs.put, path, "file")
    assert scene.journal.blobs.read(ref.digest) == bytes(5000)


async def record(scene: Scene) -> None:
    sample = Sample(plan="p", step="s", agent="a", took=5)
    scene.cut()
    await asyncio.to_thread(scene.journal.book.record, [sample])
    (past,) = scene.journal.book.read("p")
    assert (past.count, past.samples) == (1, (sample,))


async def reserve(scene: Scene) -> None:
    """Nobody takes what it had before the cut for another's."""
    ledger = scene.journal.ledger(lambda: None)
    scene.cut()
    granted, told = await ledger.reserve([entry("a"), entry("b")], 1000, KEEP)
    assert granted == [True, True] and told.entries == ()
    log = await scene.journal.start(started("new"))
    await log.durable(log.append(batch("new", 0), (), ["a"]))
    with scene.open() as other:
        witness = other.ledger(lambda: None)
        before = sorted((await witness.sync(["slots"], 1001)).entries, key=lambda item: item.key)
        assert [(item.key, item.over) for item in before] == [("a", False), ("b", False)]
        await log.close()
        ledger.close()
        # It is gone with all that it held, and no other self of it is left.
        async with asyncio.timeout(20):
            while not {"a", "b"} <= set(await gone(witness)):  # noqa: ASYNC110 - as told
                await asyncio.sleep(0.02)


async def gone(witness: Ledger) -> list[str]:
    """The calls that hold nothing any more, as another process is told."""
    told = await witness.sync(["slots"], 1002)
    return [item.key for item in told.entries if item.over] + [key for _, key in told.forgotten]


ACTS = (begin, take_over, give_up, ask, ask_from_outside, drive, remove, keep, record, reserve)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("act", ACTS)
def test_what_is_asked_is_done_once_if_its_commit_is_cut(
    line: Line, tmp_path: Path, act: Callable[[Scene], Awaitable[Any]], how: str
) -> None:
    database = line.create()

    async def main() -> None:
        line.proxy.arm()
        with line.cut(database) as journal:
            log = await journal.start(started("r"))
            await log.durable(log.append(batch("r", 0)))
            scene = Scene(
                journal,
                lambda: line.cut(database),
                lambda: line.proxy.arm(Cut(1, how, b"COMMIT")),
                tmp_path,
            )
            await act(scene)
            assert line.proxy.happened.is_set(), "nothing was cut"
            await log.durable(log.append(batch("r", 1)))
            await log.close()
            assert {row.owner for row in journal.runs() if row.id == "r"} == {""}

    run(main())
