"""The look-ahead answers from a process of its own, which dies with whoever asks."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest
from tests.engine.kit import plan, step

from hocket.core.events import AnyEvent, CallStarted, CancelRequested, RunStarted
from hocket.core.specs import RunSpec, spec_digest
from hocket.core.values import SECOND, Call
from hocket.engine.lookahead import LookAhead, Question, answer

# By longest path first two slots need 7 seconds: 3+2+2 beside 3+2.
LENGTHS = (3, 3, 2, 2, 2)


def spec(lengths: tuple[int, ...] = LENGTHS, declared: bool = True) -> RunSpec:
    steps = [
        step(f"s{i}", takes=length * SECOND if declared else None)
        for i, length in enumerate(lengths)
    ]
    return plan(*steps, max_parallel=2)


def begun(spec: RunSpec) -> list[AnyEvent]:
    started = RunStarted(
        at=SECOND,
        run="r",
        spec=spec,
        digest=spec_digest(spec),
        inputs={},
        seed=1,
        versions={"plan": 1},
        program="test",
    )
    return [started]


def test_a_better_order_is_given() -> None:
    found = answer(Question(events=begun(spec()), at=SECOND))
    assert (found.finish, found.low, found.high) == (7 * SECOND,) * 3
    assert found.binds == "run"
    assert found.tried > 1
    assert found.order is not None
    assert set(found.order) == {"s0", "s1", "s2", "s3", "s4"}


def test_the_same_seed_gives_the_same_answer() -> None:
    question = Question(events=begun(spec((9, 8, 7, 7, 6, 5, 4, 3, 2, 1))), at=SECOND, seed=4)
    assert answer(question) == answer(question)


def test_calls_under_way_count_from_their_start() -> None:
    events = begun(spec())
    events += [CallStarted(at=SECOND, call=Call(f"s{i}", 1), agent="a") for i in (0, 1)]
    found = answer(Question(events=events, at=3 * SECOND))
    # Both slots are taken until 4 s; three times two seconds cannot be shared better.
    assert (found.finish, found.order) == (8 * SECOND, None)


def test_what_earlier_calls_took_is_enough() -> None:
    past = [("p", f"s{i}", "a", [length * SECOND]) for i, length in enumerate(LENGTHS)]
    bare = begun(spec(declared=False))
    assert answer(Question(events=bare, at=SECOND, past=past)).finish == 7 * SECOND
    nothing = answer(Question(events=bare, at=SECOND))
    assert (nothing.finish, nothing.order, nothing.problem) == (None, None, "")


def test_a_short_run_is_not_looked_ahead_for() -> None:
    short = RunSpec(**{name: getattr(spec((1, 1)), name) for name in RunSpec.__struct_fields__})
    found = answer(Question(events=begun(short), at=SECOND))
    assert (found.finish, found.tried) == (2 * SECOND, 0)


def test_a_run_too_large_for_the_budget_goes_by_its_present_order() -> None:
    found = answer(Question(events=begun(spec()), at=SECOND, budget=9))
    assert (found.finish, found.order, found.tried) == (8 * SECOND, None, 0)


def test_questions_are_answered_by_one_process_until_it_is_closed() -> None:
    async def main() -> None:
        ahead = LookAhead()
        question = Question(events=begun(spec()), at=SECOND)
        first, second = await asyncio.gather(ahead.ask(question), ahead.ask(question))
        assert first == second == answer(question)
        process = ahead._process
        assert process is not None
        await ahead.close()
        assert process.returncode is not None
        await ahead.close()

    asyncio.run(main())


def test_what_goes_wrong_is_logged_and_the_next_question_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        ahead = LookAhead()
        events = begun(spec())
        over = [*events, CancelRequested(at=SECOND, by="me", hard=True)]
        assert await ahead.ask(Question(events=over, at=SECOND)) is None
        assert ahead._process is not None
        ahead._process.kill()
        assert await ahead.ask(Question(events=events, at=SECOND)) is None
        assert await ahead.ask(Question(events=events, at=SECOND)) is not None
        assert await ahead.ask(Question(events=events, at=SECOND), patience=0) is None
        assert ahead._process is None
        await ahead.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    # asyncio may say that the killed process was seen to by somebody else before its own watcher.
    own = [record for record in caplog.records if record.name != "asyncio"]
    told = [record.getMessage() for record in own]
    assert "the run is" in told[0]
    assert "the look-ahead failed" in told[1]
    assert "given up" in told[2]
    assert len(told) == 3


def test_it_ends_when_nobody_is_there_to_ask() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hocket.engine.lookahead"],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
