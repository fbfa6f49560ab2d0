"""Indicators: figures of runs by hand, and of random runs against an independent count."""

from __future__ import annotations

import pytest
from tests.machines import Drive, plan, step

from hocket.core.errors import Fault
from hocket.core.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    ContinueRequested,
    InputAsked,
    InputGiven,
    LimitChanged,
    PauseRequested,
    RetryRequested,
    RunEnded,
    RunResumed,
    SpecReplaced,
    Usage,
    Wait,
)
from hocket.core.specs import AgentSpec, RunSpec
from hocket.core.values import SECOND, Call
from hocket.insight.indicators import Figures, Stats, stats

T0 = 1_000 * SECOND


def figures(*events: AnyEvent) -> Figures:
    """Fold the figures of a run of two steps that began at `T0`."""
    drive = Drive(plan(step("a"), step("b")), start=False)
    found = Figures()
    for event in drive.events:
        found.add(event)
    found.began = T0
    for event in events:
        found.add(event)
    return found


def started(path: str, at: float, agent: str = "w") -> CallStarted:
    return CallStarted(at=T0 + round(at * SECOND), call=Call(path, 1), agent=agent)


def finished(path: str, at: float, **usage: int) -> CallFinished:
    spent = Usage(**usage) if usage else None
    return CallFinished(at=T0 + round(at * SECOND), call=Call(path, 1), usage=spent)


def failed(path: str, at: float, kind: str) -> CallFailed:
    fault = Fault(kind=kind, message="no")  # type: ignore[arg-type]
    return CallFailed(at=T0 + round(at * SECOND), call=Call(path, 1), fault=fault)


def ended(at: float, status: str = "succeeded", reason: str = "") -> RunEnded:
    return RunEnded(at=T0 + round(at * SECOND), status=status, reason=reason)  # type: ignore[arg-type]


def value(found: Stats, name: str) -> float | None:
    return next(one.value for one in found.indicators if one.name == name)


def test_two_steps_side_by_side() -> None:
    one = figures(
        started("a", 0),
        started("b", 1),
        finished("a", 2, tokens_in=10, tokens_out=5, cost=2 * 10**12),
        finished("b", 4),
        ended(5),
    )
    found = stats([one], 0, T0 + 10 * SECOND, frame=40_000, memory=80_000_000)
    # (2 + 3) / 2 seconds; at work for 4 s with two at once at most and 5 s of calls.
    assert value(found, "step_time") == 2.5
    assert value(found, "efficiency") == pytest.approx(5 / 8)
    assert value(found, "speed_up") == 1.0
    assert value(found, "completion") == 1.0
    assert value(found, "cost") == 2.0
    assert {i.name: i.good for i in found.indicators if i.target is not None} == {
        "step_time": True,
        "completion": True,
        "refused": True,
        "efficiency": False,
        "frame": True,
    }
    assert found.agents["w"].tokens == 15


def test_refusals_errors_and_time_outs_are_told_apart() -> None:
    one = figures(
        started("a", 0),
        failed("a", 1, "rate_limited"),
        started("b", 1),
        failed("b", 2, "timeout"),
        started("c", 2),
        failed("c", 3, "failed"),
        started("d", 3),
        finished("d", 4),
        ended(5, "failed", "plan 'p' took longer than its timeout of 5 s"),
    )
    found = stats([one], 0, T0)
    assert value(found, "refused") == 1
    assert value(found, "errors") == 0.5
    assert value(found, "timeouts") == 0.25
    assert value(found, "plan_timeouts") == 1.0
    assert value(found, "completion") == 0.0


@pytest.mark.parametrize(
    ("reason", "late"),
    [
        ("plan 'p' took longer than its 5.0 s", True),
        ("step 'a' failed: took longer than its timeout of 5.0 s", False),
        ("step 'o' failed: plan 'inner' took longer than its 5.0 s", False),
        ("step 'a' failed: exit status 3: plan 'p' took longer than its 5.0 s", False),
    ],
)
def test_only_a_plan_that_took_too_long_counts_as_such(reason: str, late: bool) -> None:
    assert figures(ended(5, "failed", reason)).plan_timed_out is late


def test_a_step_with_several_calls_lasts_from_the_first_to_the_last() -> None:
    one = figures(started("a/0", 0), started("a/1", 1), finished("a/0", 2), finished("a/1", 5))
    assert (one.steps, one.step_time, one.longest) == (1, 5 * SECOND, (5 * SECOND, "a"))
    one.add(started("a/2~2", 6))
    assert one.open == {"a": T0 + 6 * SECOND}


def test_a_run_that_is_taken_up_again_runs() -> None:
    one = figures(started("a", 0), failed("a", 1, "failed"), ended(2, "failed", "step 'a' failed"))
    assert one.status == "failed"
    one.add(RetryRequested(at=T0 + 3 * SECOND, path="a", by="anna"))
    assert one.status == "running"


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


RESTS: dict[str, list[AnyEvent]] = {
    "failed, and tried again": [
        failed("a", 2, "failed"),
        ended(2, "failed"),
        RetryRequested(at=at(502), path="a", by="anna"),
    ],
    "failed, and taken up by another process to be tried again": [
        failed("a", 2, "failed"),
        ended(2, "failed"),
        RunResumed(at=at(502), epoch=2),
        RetryRequested(at=at(502), path="a", by="anna"),
    ],
    "paused while a call is in flight": [
        PauseRequested(at=at(1), by="anna"),
        finished("a", 2),
        ContinueRequested(at=at(502), by="anna"),
    ],
    "paused while nothing is": [
        finished("a", 2),
        PauseRequested(at=at(2), by="anna"),
        RunResumed(at=at(502), epoch=2),
    ],
    "paused by its own plan, which no event says": [
        finished("a", 2),
        ContinueRequested(at=at(502), by="anna"),
    ],
    "killed": [
        started("b", 0),
        finished("b", 2),
        RunResumed(at=at(502), epoch=2),
        CallLost(at=at(502), call=Call("a", 1)),
    ],
}


@pytest.mark.parametrize("how", RESTS)
def test_a_run_that_rests_takes_no_time(how: str) -> None:
    one = figures(started("a", 0), *RESTS[how], started("c", 502), finished("c", 504), ended(504))
    assert one.worked == 4 * SECOND
    busy = 6 if how == "killed" else 4
    assert (one.busy, one.active) == (busy * SECOND, 4 * SECOND)
    assert value(stats([one], 0, at(600)), "speed_up") == busy / 4
    again = figures(started("a", 0), *RESTS[how])
    assert again.worked == 2 * SECOND


def asks(seconds: float, path: str = "ok") -> ApprovalAsked:
    return ApprovalAsked(at=at(seconds), path=path, shown="?", digest="d")


def gives(seconds: float, path: str = "ok") -> ApprovalGiven:
    return ApprovalGiven(at=at(seconds), path=path, approved=True, digest="d", by="anna")


BOTH: list[AnyEvent] = [started("a", 0), started("b", 0), finished("a", 2), finished("b", 2)]
PEOPLE: dict[str, tuple[list[AnyEvent], int, int]] = {
    "an approval behind the calls": ([*BOTH, asks(2), gives(502)], 2, 0),
    "an input beside one of them": (
        [
            started("a", 0),
            InputAsked(at=at(0), path="in", prompt="?"),
            finished("a", 2),
            InputGiven(at=at(502), path="in", value=1, by="anna"),
        ],
        2,
        0,
    ),
    "two questions": ([*BOTH, asks(2), asks(2, "ok2"), gives(302), gives(502, "ok2")], 2, 0),
    "a call that asks": ([started("a", 0), asks(1, "a#1@1"), gives(501, "a#1@1")], 2, 0),
    "a call that asks and then times out": (
        [started("a", 0), asks(2, "a#1@1"), failed("a", 502, "timeout")],
        2,
        0,
    ),
    "a call that asks beside one that works": (
        [*BOTH[:3], asks(2, "b#1@1"), started("e", 2), finished("e", 502)],
        502,
        0,
    ),
    "nobody was there either": ([*BOTH, asks(2), RunResumed(at=at(502), epoch=2)], 2, 0),
    "a pause in the middle": (
        [
            *BOTH,
            asks(2),
            PauseRequested(at=at(100), by="anna"),
            ContinueRequested(at=at(200), by="anna"),
            gives(502),
        ],
        2,
        0,
    ),
    "a limit as well": ([*BOTH, asks(2)], 502, 2),
}


@pytest.mark.parametrize("how", PEOPLE)
def test_what_only_people_were_waited_for_slows_no_run_down(how: str) -> None:
    events, alone, waited = PEOPLE[how]
    held = (Wait("rate:api", at(waited), at(502)),) if waited else ()
    last = CallStarted(at=at(502), call=Call("c", 1), agent="w", waits=held)
    one = figures(*events, last, finished("c", 504), ended(504))
    assert one.worked - one.stood == (alone + 2) * SECOND


def test_speed_up_leaves_people_out() -> None:
    one = figures(*BOTH, asks(2), gives(502), ended(502))
    assert value(stats([one], 0, at(600)), "speed_up") == 2.0
    asking = figures(started("a", 0), asks(1, "a#1@1"), gives(9, "a#1@1"), finished("a", 10))
    asking.add(ended(10))
    assert (asking.busy_alone, asking.worked - asking.stood) == (2 * SECOND, 2 * SECOND)


def test_budgets_tell_their_marks() -> None:
    def warned(mark: int) -> LimitChanged:
        message = f"usd: over {mark} %: $0.80 of $1 spent"
        return LimitChanged(at=T0, limit="usd", what="warned", message=message)

    assert figures(warned(80), warned(50)).warned == {"usd": 80}


def test_nothing_is_known_of_no_runs() -> None:
    found = stats([], 0, T0)
    assert value(found, "step_time") is None
    assert value(found, "completion") is None
    assert all(one.good is None for one in found.indicators if one.value is None)


def test_only_runs_since_an_instant_count() -> None:
    assert value(stats([figures()], T0, T0), "runs") == 1
    assert value(stats([figures()], T0 + 1, T0), "runs") == 0


def test_kept_answers_are_no_calls_and_no_sum_ever_falls() -> None:
    one = figures(started("a", 0))
    before = one.calls
    kept = CallFinished(at=T0 + SECOND, call=Call("a", 1), saved=Usage(cost=5))
    one.add(kept)
    assert (before, one.calls, one.cost) == (0, 0, 0)


def test_a_plan_that_was_changed_has_asked_nobody_yet() -> None:
    workflow = plan(step("c"), step("d"))
    spec = RunSpec(workflow=workflow, agents={"w": AgentSpec(kind="function")})
    changed = SpecReplaced(at=at(3), spec=spec, digest="d")
    first = [*BOTH, asks(2), changed, started("c", 3), finished("c", 5)]
    one = figures(*first, started("d", 65), finished("d", 66), ended(66))
    assert one.stood == SECOND
