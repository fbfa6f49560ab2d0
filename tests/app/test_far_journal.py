"""A journal on another machine may be silent for seconds: nobody waits for it in the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import hocket
from hocket.journal.base import Past, Posted, Recorded, RunRow
from hocket.journal.memory import MemoryJournal


class FarJournal(MemoryJournal):
    """Notes what it was asked for in the loop's own thread."""

    far = True

    def __init__(self) -> None:
        super().__init__()
        self.loops = threading.get_ident()
        self.asked: list[str] = []
        self.kept: list[str] = []
        self.book.read = partial(self._read_book, self.book.read)  # type: ignore[method-assign]

    def note(self, what: str) -> None:
        here = threading.get_ident() == self.loops
        (self.kept if here else self.asked).append(what)

    def find(self, run: str) -> RunRow | None:
        self.note("find")
        return super().find(run)

    def waiting(self, run: str) -> list[Posted]:
        self.note("waiting")
        return super().waiting(run)

    def read(self, run: str, after: int = 0) -> Iterator[Recorded]:
        for recorded in super().read(run, after):
            self.note("read")
            yield recorded

    def _read_book(self, read: Callable[[str], list[Past]], plan: str) -> list[Past]:
        self.note("book")
        return read(plan)


LUCK: list[bool] = []


def flaky() -> str:
    if not LUCK:
        raise ValueError("no luck")
    return "done"


def test_a_journal_elsewhere_is_never_read_in_the_loop(tmp_path: Path) -> None:
    LUCK.clear()
    plan = hocket.Plan("work")
    plan.call("a", flaky)
    journal = FarJournal()

    async def main() -> None:
        async with hocket.Engine(tmp_path, journal=journal) as engine:
            with pytest.raises(hocket.RunFailed):
                await engine.run(plan, run_id="one")
            LUCK.append(True)
            assert (await engine.run(plan, run_id="one")).output == "done"
            assert (await engine.run(plan, run_id="one")).output == "done"
            async with await engine.fork("one", run_id="two") as run:
                assert (await run.result()).output == "done"

    asyncio.run(main())
    assert set(journal.asked) == {"find", "waiting", "read", "book"}
    assert journal.kept == []
