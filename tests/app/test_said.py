"""What is said of a journal that cannot be read: its beginning and its end, each once."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hocket.app import driving
from hocket.app.driving import Driving, Heir
from hocket.app.engine import Engine
from hocket.app.host import Host
from hocket.journal.schema import Unreachable
from hocket.server import watch
from hocket.server.watch import Watch

TIMES = 5

AWAY = Unreachable("the database does not answer")


async def over(done: Callable[[], object], task: asyncio.Task[None]) -> None:
    """Have a task go on until something is so."""
    async with asyncio.timeout(30):
        while not done() and not task.done():  # noqa: ASYNC110 - as in test_supervisor
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("wrong", [AWAY, ValueError("a row of another time")], ids=["away", "odd"])
def test_who_takes_up_runs(
    wrong: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "_WATCH", 0.001)
    asked: list[int] = []
    said: list[dict[str, Any]] = []

    def orphans(most: int) -> list[Any]:
        asked.append(most)
        if len(asked) <= TIMES:
            raise wrong
        return []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: said.append(told))
        async with Engine(tmp_path) as engine:
            monkeypatch.setattr(engine.journal, "orphans", orphans)
            task = asyncio.create_task(Heir(engine, Driving(engine, 1)).watch())
            await over(lambda: len(asked) > 2 * TIMES, task)

    asyncio.run(main())
    assert [told["message"] for told in said] == [
        f"the runs that servers drive cannot be taken up for now: {wrong}",
        "the runs that servers drive can be taken up again",
    ]
    mistakes = [told["exception"] for told in said if "exception" in told]
    assert mistakes == ([] if wrong is AWAY else [wrong]), "no traceback for what is no mistake"


def test_who_cannot_be_woken_looks_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    said: list[str] = []

    def listen(heard: Callable[[], None]) -> None:
        raise AWAY

    def orphans(most: int) -> list[Any]:
        asked.append(most)
        return []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, told: said.append(told["message"])
        )
        async with Engine(tmp_path) as engine:
            monkeypatch.setattr(engine.journal, "listen", listen)
            monkeypatch.setattr(engine.journal, "orphans", orphans)
            await over(lambda: asked, asyncio.create_task(Heir(engine, Driving(engine, 1)).watch()))

    asyncio.run(main())
    assert asked
    assert said == [f"this server cannot be woken when there are runs to take up: {AWAY}"]


def test_who_looks_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "_EVERY", 0.001)
    looks: list[int] = []

    async def main() -> None:
        async with Engine(tmp_path) as engine:
            looking = Watch(Host(engine, []), [])

            async def look() -> list[Any]:
                looks.append(1)
                if len(looks) <= TIMES:
                    raise AWAY
                return []

            monkeypatch.setattr(looking, "look", look)
            task = asyncio.create_task(looking.run())
            await over(lambda: len(looks) > 2 * TIMES, task)

    with caplog.at_level(logging.WARNING, "hocket.alerts"):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        f"runs cannot be looked after for now: {AWAY}",
        "runs are looked after again",
    ]
    assert not any(record.exc_info for record in caplog.records)
