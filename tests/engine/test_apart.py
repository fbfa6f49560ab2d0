"""Clocks that run apart: processes that share a limit go by the journal's, whatever theirs show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from tests.engine.kit import WALL, engine, plan, sleeps, step, virtual, wall

from hocket.core.specs import LimitSpec, Rate, RunSpec
from hocket.core.values import MS, SECOND
from hocket.engine.clock import Clock
from hocket.engine.desk import Desk, Desks
from hocket.engine.engine import Engine
from hocket.journal.memory import MemoryJournal
from hocket.journal.memory_ledger import MemoryLedger
from hocket.limits.claim import Entry
from hocket.limits.window import SLACK

PER = 10


class Wrong(Clock):
    """So many seconds ahead, and faster or slower than time."""

    ahead = 0
    rate = 1.0

    def now(self) -> int:
        return WALL + self.ahead * SECOND + round(self.loop.time() * self.rate * SECOND)

    def loop_time(self, at: int) -> float:
        return (at - WALL - self.ahead * SECOND) / SECOND / self.rate


class Elsewhere(Desks):
    """The desk of a process whose clock is wrong; its ledger knows by how much."""

    def __init__(self, journal: MemoryJournal, knows: bool) -> None:
        super().__init__(wall, journal.ledger)
        self._opened = journal.ledger
        self._knows = knows
        self._own: Desk | None = None

    def __call__(self) -> Desk:
        if self._own is None:
            self._own = Desk(Wrong(asyncio.get_running_loop(), wall()), self._open)
        return self._own

    def _open(self, changed: Callable[[], None]) -> MemoryLedger:
        ledger = self._opened(changed)
        if self._knows:
            ledger.ahead = lambda shown: wall() - shown  # type: ignore[method-assign]
        return ledger


def spec(count: int, amount: int) -> RunSpec:
    limit = LimitSpec(requests=(Rate(amount, PER * SECOND),), margin=0)
    steps = [step(f"s{i:03}") for i in range(count)]
    return plan(*steps, limits={"api": limit}, claimed={"a": ("api",)}, max_parallel=64)


def instants(knows: bool) -> list[list[float]]:
    """Let two processes share a limit, one of them with a wrong clock; gives when they called."""
    doers = [sleeps(0.1), sleeps(0.1)]

    async def drive(made: Engine, run: str) -> None:
        begun = await made.start(spec(60, 6), {}, run=run, seed=0, stay=False)
        assert (await begun.settled()).said == "succeeded"

    async def main() -> None:
        journal = MemoryJournal(latency=0.003)
        right = engine(journal, {"a": doers[0]})
        parts = engine(journal, {"a": doers[1]}).parts
        wrong = Engine(msgspec.structs.replace(parts, desks=Elsewhere(journal, knows)))
        await asyncio.gather(drive(right, "right"), drive(wrong, "wrong"))

    virtual(main)
    return [[at for at, _ in doer.calls] for doer in doers]


def most(calls: list[float], per: float) -> int:
    """Give the most calls in any stretch, without its first instant."""
    return max(sum(at - per < other <= at for other in calls) for at in calls)


@pytest.mark.parametrize(("ahead", "rate"), [(3600, 1.0), (-3600, 1.0), (0, 0.998), (-90, 1.002)])
def test_a_clock_that_is_wrong_has_no_window_passed(
    monkeypatch: pytest.MonkeyPatch, ahead: int, rate: float
) -> None:
    monkeypatch.setattr(Wrong, "ahead", ahead)
    monkeypatch.setattr(Wrong, "rate", rate)
    right, wrong = instants(knows=True)
    # By itself a fast clock is early by what it gains in a window.
    assert most(right + wrong, PER - 0.02) == 6
    assert max(right + wrong) < 60 * 2 / 6 * PER * 1.05, "and the limit is used"
    first = sorted(right + wrong)[:60]
    assert 25 <= sum(at in set(right) for at in first) <= 35, "and shared while both are there"


def test_it_would_be_if_its_ledger_did_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wrong, "ahead", -3600)
    right, wrong = instants(knows=False)
    assert most(right + wrong, PER - 0.02) > 6


def test_what_is_told_of_a_way_allows_for_what_clocks_are_misjudged_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MemoryLedger, "clock_error", 40 * MS)
    found: list[Entry] = []

    async def main() -> None:
        journal = MemoryJournal(latency=0.003)
        limit = LimitSpec(requests=(Rate(6, PER * SECOND),))
        asked = plan(step("s"), limits={"api": limit}, claimed={"a": ("api",)})
        made = engine(journal, {"a": sleeps(0.1)})
        run = await made.start(asked, {}, run="r", seed=0, stay=False)
        assert (await run.settled()).said == "succeeded"
        found.extend((await journal.ledger(lambda: None).sync(["api"], wall())).entries)

    virtual(main)
    (entry,) = found
    assert entry.sent is not None
    assert entry.clear is not None
    assert entry.clear - entry.sent == 100 * MS + SLACK + 2 * 40 * MS
