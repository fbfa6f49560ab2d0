"""Looking ahead beside a run: what is adopted, what is told, and what a run owes to none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from tests.engine.kit import (
    Doer,
    engine,
    now,
    only,
    plan,
    seconds,
    sleeps,
    sleeps_by_step,
    step,
    virtual,
)

from hocket.core.events import CallStarted, Forecasted
from hocket.core.specs import RunSpec
from hocket.core.values import SECOND
from hocket.engine import foresight
from hocket.engine.engine import Engine
from hocket.engine.foresight import Foresight
from hocket.engine.lookahead import Answer, Question, answer
from hocket.journal.memory import MemoryJournal


def packed() -> tuple[RunSpec, dict[str, float]]:
    """Five calls of which longest first leaves a place idle, 3 3 2 2 2 on two, behind another."""
    lengths = {"a": 3.0, "b": 3.0, "c": 2.0, "d": 2.0, "e": 2.0}
    steps = [step(name, "go", takes=round(took * SECOND)) for name, took in lengths.items()]
    return plan(step("go", takes=SECOND), *steps, max_parallel=2), {"go": 1.0, **lengths}


def looking(
    journal: MemoryJournal, doer: Doer, asked: list[Question], delay: float = 0.0
) -> Engine:
    async def ask(question: Question) -> Answer | None:
        # What goes to another process is a copy.
        raw = msgspec.msgpack.encode(question)
        question = msgspec.msgpack.decode(raw, type=Question)
        asked.append(question)
        await asyncio.sleep(delay)
        return answer(question)

    made = engine(journal, {"a": doer})
    return Engine(msgspec.structs.replace(made.parts, look_ahead=ask))


def driven(shell: Engine, spec: RunSpec) -> float:
    async def main() -> float:
        run = await shell.start(spec, {}, run="r", seed=0)
        assert (await run.settled()).said == "succeeded"
        return now()

    return virtual(main)


def test_a_better_order_is_adopted_and_told() -> None:
    spec, lengths = packed()
    journal, asked = MemoryJournal(), list[Question]()
    took = driven(looking(journal, sleeps_by_step(**lengths), asked), spec)
    assert len(asked) == 1
    (told,) = only(journal, Forecasted)
    assert seconds(told.finish) == pytest.approx(took) and took == 7
    # By longest first it would have been eight: three and three, then two and two, then two.
    assert told.order is not None and told.tried > 0


def test_without_it_calls_go_by_longest_path() -> None:
    spec, lengths = packed()
    journal = MemoryJournal()
    shell = engine(journal, {"a": sleeps_by_step(**lengths)})
    assert driven(shell, spec) == 8
    assert only(journal, Forecasted) == []


def test_the_run_starts_at_once_and_takes_the_order_over_when_it_comes() -> None:
    spec, lengths = packed()
    journal, asked = MemoryJournal(), list[Question]()
    driven(looking(journal, sleeps_by_step(**lengths), asked, delay=2.0), spec)
    started = [seconds(event.at) for event in only(journal, CallStarted)]
    assert started[:3] == [0, 1, 1]
    (told,) = only(journal, Forecasted)
    assert seconds(told.at) >= 2


def test_a_short_run_asks_nobody() -> None:
    spec = plan(*(step(f"s{i}", takes=SECOND // 2) for i in range(5)))
    asked = list[Question]()
    driven(looking(MemoryJournal(), sleeps(0.5), asked), spec)
    assert asked == []


def test_a_run_of_which_nothing_is_known_asks_nobody() -> None:
    asked = list[Question]()
    driven(looking(MemoryJournal(), sleeps(5), asked), plan(*(step(f"s{i}") for i in range(5))))
    assert asked == []


def test_after_a_surprise_it_looks_again_with_what_is_known_by_then() -> None:
    steps = [step(f"s{i}", takes=4 * SECOND) for i in range(8)]
    journal, asked = MemoryJournal(), list[Question]()
    driven(looking(journal, sleeps(9), asked), plan(*steps, max_parallel=2))
    assert len(asked) > 1
    assert len(asked[1].events) > len(asked[0].events)
    assert any(samples == [9 * SECOND] for *_, samples in asked[1].past)
    told = only(journal, Forecasted)
    assert [event.finish for event in told] == sorted(event.finish for event in told)


def test_a_run_that_ends_or_stops_does_not_wait_for_the_answer() -> None:
    spec, lengths = packed()
    asked = list[Question]()
    shell = looking(MemoryJournal(), sleeps_by_step(**lengths), asked, delay=1_000.0)
    assert driven(shell, spec) == 8


def test_a_resumed_run_is_looked_ahead_for_with_all_that_has_happened() -> None:
    steps = [step(f"s{i}", takes=4 * SECOND) for i in range(6)]
    spec = plan(*steps, max_parallel=2)
    journal = MemoryJournal()
    asked: list[Question] = []

    async def main() -> Sequence[Forecasted]:
        run = await looking(journal, sleeps(4), []).start(spec, {}, run="r", seed=0)
        await asyncio.sleep(5)
        await run.stop()
        run = await looking(journal, sleeps(4), asked).resume("r")
        await run.settled()
        return only(journal, Forecasted)

    told = virtual(main)
    assert asked and type(asked[0].events[0]).__name__ == "RunStarted"
    assert len(told) >= 2


def test_of_a_run_that_has_had_too_many_events_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foresight, "MOST_EVENTS", 20)
    steps = [step(f"s{i}", takes=4 * SECOND) for i in range(12)]
    asked = list[Question]()

    async def main() -> Foresight | None:
        shell = looking(MemoryJournal(), sleeps(8), asked)
        run = await shell.start(plan(*steps, max_parallel=1), {}, run="r", seed=0)
        await run.settled()
        return run._foresight

    made = virtual(main)
    assert asked and max(len(question.events) for question in asked) <= 20
    assert made is not None
    assert not (made._events or made._begun or made._past)
