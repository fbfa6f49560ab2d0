"""A journal on another machine may be silent for seconds: nobody waits for it in the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.engine.test_similar import EMBED, Model

import hocket
from hocket.core.events import Recorded
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import CacheSpec
from hocket.engine.memo import Memo
from hocket.journal.base import Answered, Near, Past, Posted, RunRow
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
        self.answers.find = partial(  # type: ignore[method-assign]
            self._find_answer, self.answers.find
        )
        self.answers.near = partial(  # type: ignore[method-assign]
            self._near_answers, self.answers.near
        )

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

    def _find_answer(self, find: Callable[[str], Answered | None], key: str) -> Answered | None:
        self.note("answer")
        return find(key)

    def _near_answers(
        self, near: Callable[[str, int], list[Near]], kin: str, most: int
    ) -> list[Near]:
        self.note("near")
        return near(kin, most)


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


def test_kept_answers_of_a_journal_elsewhere_are_not_looked_for_in_the_loop(tmp_path: Path) -> None:
    journal = FarJournal()
    cache = CacheSpec(mode="similar", embed=EMBED)
    agent = AgentSpec(kind="scripted", options={"replies": ["fine"]}, cache=cache)
    steps = (
        StepSpec(name="s", agent="m", input="why?"),
        StepSpec(name="t", agent="m", input="why so?", needs=("s",)),
        StepSpec(name="u", agent="m", input="why?", needs=("t",)),
    )
    spec = RunSpec(workflow=PlanSpec(name="p", steps=steps), agents={"m": agent})

    async def main() -> None:
        async with hocket.Engine(tmp_path, journal=journal) as engine:
            engine._memo = Memo(journal.answers, Model(takes=0), journal)
            result = await engine.run(spec)
            assert (result.output, result.tally.kept, result.tally.missed) == ("fine", 2, 1)
            assert (await engine.run(spec)).tally.kept == 3

    asyncio.run(main())
    assert {"answer", "near"} <= set(journal.asked)
    assert journal.kept == []


class SlowJournal(FarJournal):
    """Says what it had when it was asked, the second time not before there is more."""

    def __init__(self) -> None:
        super().__init__()
        self.finds = 0
        self.landed = threading.Event()

    def _find_answer(self, find: Callable[[str], Answered | None], key: str) -> Answered | None:
        self.finds += 1
        second, found = self.finds == 2, super()._find_answer(find, key)
        assert not second or self.landed.wait(30)
        return found


@pytest.mark.parametrize("chained", [False, True])
def test_a_question_is_asked_once_however_slow_the_journal_is(
    tmp_path: Path, chained: bool
) -> None:
    """The second call looks before the first has left, or while it is in flight."""
    journal = SlowJournal()
    agent = AgentSpec(kind="scripted", options={"replies": ["fine"]}, cache=CacheSpec())
    plain = AgentSpec(kind="scripted", options={"replies": ["so"]})
    needs = ("z",) if chained else ()
    steps = (
        StepSpec(name="z", agent="p", input="first"),
        StepSpec(name="s", agent="m", input="why?"),
        StepSpec(name="t", agent="m", input="why?", needs=needs),
    )
    spec = RunSpec(workflow=PlanSpec(name="p", steps=steps), agents={"m": agent, "p": plain})

    async def main() -> None:
        async with hocket.Engine(tmp_path, journal=journal) as engine:
            told = engine._memo.told

            def landed(answer: Answered) -> None:
                told(answer)
                journal.landed.set()

            engine._memo.told = landed  # type: ignore[method-assign]
            tally = (await engine.run(spec)).tally
            assert (tally.kept, tally.missed) == (1, 1)

    asyncio.run(main())
    assert journal.kept == []
