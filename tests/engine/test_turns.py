"""Turns between processes: what one process is due at a shared limit no other one takes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from tests.engine.kit import Doer, engine, now, plan, sleeps, step, virtual

from hocket.agents.base import Context, Request
from hocket.core.specs import LimitSpec, Rate, RunSpec
from hocket.core.values import SECOND, Json
from hocket.journal.memory import MemoryJournal
from hocket.limits.claim import Claim
from hocket.limits.turns import Want

TEN = 10 * SECOND


def spec(count: int, limit: LimitSpec, **more: Any) -> RunSpec:
    """A plan of equal steps whose agent claims a limit called ``api``."""
    steps = [step(f"s{i:03}") for i in range(count)]
    more = {"max_parallel": 64, **more}
    return plan(*steps, limits={"api": limit}, claimed={"a": ("api",)}, **more)


async def process(
    journal: MemoryJournal, doer: Doer, run: str, asked: RunSpec, after: float = 0
) -> float:
    """Run something in a process of its own; gives when it was done."""
    await asyncio.sleep(after)
    begun = await engine(journal, {"a": doer}).start(asked, {}, run=run, seed=0, stay=False)
    assert (await begun.settled()).said == "succeeded"
    return now()


def together(*parts: Any, latency: float = 0.003) -> Any:
    """Run several processes on one journal: (doer, spec, after) each."""

    async def main() -> list[float]:
        journal = MemoryJournal(latency=latency)
        return await asyncio.gather(
            *(
                process(journal, doer, f"r{number}", asked, after)
                for number, (doer, asked, after) in enumerate(parts)
            )
        )

    return virtual(main)


def window(amount: int, **more: Any) -> LimitSpec:
    return LimitSpec(requests=(Rate(amount, TEN),), **{"margin": 0, **more})


@pytest.mark.parametrize("amount", [1, 5, 8, 12])
def test_runs_of_two_processes_share_by_their_weights(amount: int) -> None:
    light, heavy = sleeps(0.5), sleeps(0.5)
    together(
        (light, spec(15 * amount, window(amount), weight=1.0), 0.0),
        (heavy, spec(15 * amount, window(amount), weight=3.0), 0.5),
    )
    for begin in (20, 50, 70):
        counts = [sum(begin <= at < begin + 100 for at, _ in doer.calls) for doer in (light, heavy)]
        assert sum(counts) == pytest.approx(10 * amount, abs=amount)
        assert counts[0] == pytest.approx(sum(counts) / 4, abs=max(1, 0.02 * sum(counts)))


def test_a_large_run_does_not_delay_a_small_one_by_more_than_its_share() -> None:
    large, small = sleeps(0.1), sleeps(0.1)
    together((large, spec(100, window(4)), 0.0), (small, spec(6, window(4)), 25.0))
    # It comes in the middle of a window, and then has two calls of each.
    assert max(at for at, _ in small.calls) == pytest.approx(50, abs=0.5)
    assert max(at for at, _ in large.calls) == pytest.approx(260, abs=0.5)


def test_a_higher_priority_of_another_process_goes_first() -> None:
    first, urgent = sleeps(0.1), sleeps(0.1)
    together((first, spec(40, window(4)), 0.0), (urgent, spec(8, window(4), priority=1), 5.0))
    assert [round(at) for at, _ in urgent.calls] == [10] * 4 + [20] * 4


def test_a_nearer_deadline_of_another_process_goes_first() -> None:
    first, urgent = sleeps(0.1), sleeps(0.1)
    soon = spec(8, window(4), deadline=30 * SECOND)
    together((first, spec(40, window(4)), 0.0), (urgent, soon, 5.0))
    assert [round(at) for at, _ in urgent.calls] == [10] * 4 + [20] * 4


def test_slots_are_shared_between_processes() -> None:
    light, heavy = sleeps(1.0), sleeps(1.0)
    slots = LimitSpec(concurrency=4)
    together((light, spec(80, slots, weight=1.0), 0.0), (heavy, spec(80, slots, weight=3.0), 0.5))
    counts = [sum(10 <= at < 26 for at, _ in doer.calls) for doer in (light, heavy)]
    assert sum(counts) == pytest.approx(64, abs=4)
    assert counts[0] == pytest.approx(16, abs=2)


def test_three_runs_in_two_processes_have_a_third_each() -> None:
    doers = [sleeps(0.1) for _ in range(3)]

    async def two(journal: MemoryJournal) -> None:
        both = engine(journal, {"a": doers[0], "b": doers[1]})
        runs = []
        for name in "ab":
            steps = [step(f"s{i:03}", agent=name) for i in range(100)]
            limits = {"api": window(6)}
            asked = plan(*steps, limits=limits, claimed={name: ("api",)}, max_parallel=64)
            runs.append(await both.start(asked, {}, run=name, seed=0, stay=False))
        for run in runs:
            await run.settled()

    async def main() -> None:
        journal = MemoryJournal(latency=0.003)
        await asyncio.gather(two(journal), process(journal, doers[2], "c", spec(100, window(6)), 1))

    virtual(main)
    counts = [sum(20 <= at < 120 for at, _ in doer.calls) for doer in doers]
    assert sum(counts) == 60
    assert all(count == pytest.approx(20, abs=1) for count in counts), counts


def test_a_process_that_is_slow_holds_nobody_up_for_longer_than_the_grace() -> None:
    """It says again and again that its calls wait, and never lets any through."""
    going = sleeps(0.1)

    async def main() -> None:
        journal = MemoryJournal(latency=0.003)
        ledger = journal.ledger(lambda: None)
        await ledger.sync(["api"], 0)

        async def pretend() -> None:
            clock = SECOND * 1_000_000
            for _ in range(60):
                await asyncio.sleep(1)
                at = clock + round(now() * SECOND)
                ledger.want([Want("api", "ghost~1", 1, Claim(), 64, priority=9)], at)
            ledger.close()

        await asyncio.gather(pretend(), process(journal, going, "r", spec(40, window(8))))

    virtual(main)
    # Whenever a place came free it was kept for the other one, and then given up.
    assert max(at for at, _ in going.calls) <= 40 + 4 * 0.13
    late = [at % 10 for at, _ in going.calls if at >= 10]
    assert min(late) >= 0.1


def test_a_run_alone_says_nothing_to_anybody() -> None:
    told: list[Any] = []

    class Journal(MemoryJournal):
        def ledger(self, changed: Any) -> Any:
            ledger = super().ledger(changed)
            ledger.want = lambda *args: told.append(args)  # type: ignore[method-assign]
            return ledger

    async def main() -> None:
        await process(Journal(), sleeps(0.1), "r", spec(20, window(4)))

    virtual(main)
    assert told == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "limit", [LimitSpec(concurrency=5), LimitSpec(requests=(Rate(5, SECOND // 20),), margin=0)]
)
def test_processes_in_a_rush_never_pass_a_limit(limit: LimitSpec, seed: int) -> None:
    chance = random.Random(seed)
    begun: list[float] = []
    inside = most = 0

    async def do(request: Request, context: Context) -> Json:
        nonlocal inside, most
        begun.append(now())
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(chance.uniform(0, 0.03))
        inside -= 1
        return "done"

    parts = [(Doer(do), spec(60, limit), chance.uniform(0, 0.1)) for _ in range(3)]
    together(*parts, latency=0.004)
    assert len(begun) == 180
    if limit.concurrency is not None:
        assert most <= 5
    else:
        begun.sort()
        assert all(b - a > 0.05 - 1e-6 for a, b in zip(begun, begun[5:], strict=False))


@pytest.mark.parametrize("after", range(0, 24, 2))
def test_what_was_let_through_before_the_news_is_decided_anew(after: int) -> None:
    """While the ledger is asked for one call another is let through, for a place that is gone."""
    inside = most = 0

    async def do(request: Request, context: Context) -> Json:
        nonlocal inside, most
        if request.agent == "free":
            await asyncio.sleep(float(request.call.path.removeprefix("at")))
            return "done"
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(1)
        inside -= 1
        return "done"

    def waits(*instants: float) -> RunSpec:
        """A plan of one step for each instant, which begins then."""
        steps = [step(f"at{at}", agent="free") for at in dict.fromkeys(instants)]
        steps += [step(f"s{number}", f"at{at}") for number, at in enumerate(instants)]
        limits = {"api": LimitSpec(concurrency=2)}
        return plan(*steps, limits=limits, claimed={"a": ("api",)}, max_parallel=64)

    async def one(journal: MemoryJournal, run: str, asked: RunSpec) -> None:
        agents = {"a": Doer(do), "free": Doer(do)}
        begun = await engine(journal, agents).start(asked, {}, run=run, seed=0, stay=False)
        assert (await begun.settled()).said == "succeeded"

    async def main() -> None:
        journal = MemoryJournal(latency=0.01)
        await asyncio.gather(
            one(journal, "first", waits(1.0, 1.0)),
            one(journal, "second", waits(1 + after / 1000, 1.005 + after / 1000)),
        )

    virtual(main)
    assert most == 2


def test_weights_hold_where_each_process_learns_how_long_its_calls_are_on_their_way() -> None:
    light, heavy = sleeps(0.02), sleeps(0.02)
    together(
        (light, spec(100, window(8, margin=None), weight=1.0), 0.0),
        (heavy, spec(100, window(8, margin=None), weight=3.0), 0.5),
    )
    counts = [sum(20 <= at < 100 for at, _ in doer.calls) for doer in (light, heavy)]
    assert sum(counts) >= 60
    assert counts[0] == pytest.approx(sum(counts) / 4, abs=2)
