"""What runs spend is told to the last token, and no run's time is left out: on random runs.

Ten thousand of them; `--world-seeds N` takes fewer or more.
A failure prints the command that repeats it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.insight.kit import MODEL, Timed, doing, folded, run, shares, trace
from tests.insight.random_runs import check_spending, judge, judge_seeds
from tests.machines import Drive, step

from hocket.core.errors import Fault
from hocket.core.events import CallFailed, CallFinished, CallStarted, Usage
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, Retry, StepSpec
from hocket.core.teams import ConsensusSpec, Member
from hocket.core.values import SECOND, Call
from hocket.insight.account import Spent, spending
from hocket.journal.schema import FILE
from hocket.journal.sqlite import SqliteJournal
from hocket.simulator.agents import Player
from hocket.simulator.teams import voter

SHARE = 100
"""Seeds that a process judges at a time."""


def test_what_calls_spent_is_told_by_fate_agent_model_and_step() -> None:
    found = trace(
        doing("x", 0, 0, 1, model="m", usage=Usage(tokens_in=5, tokens_out=2, cost=30)),
        doing("x", 1, 1, 2, 0, model="m", usage=Usage(tokens_in=1), attempt=2),
        doing("x", 2, 2, 3, 1, model="m", fate="stale", usage=Usage(tokens_out=4, cost=0)),
        doing("y", 3, 3, 4, 2, cached=True, usage=Usage(cost=0)),
        doing("ok", 4, 4, 5, 3, work="approval", agent=""),
        doing("z", 5, 6, None, 4, left=False),
        doing("w", 5, 5, None, 4),
    )

    assert spending(found).rows == [
        Spent(
            fate="useful", agent="a", model="m", step="x",
            calls=2, tokens_in=6, tokens_out=2, cost=30, unpriced=1,
        ),
        Spent(fate="stale", agent="a", model="m", step="x", calls=1, tokens_out=4),
        Spent(fate="useful", agent="a", step="y", calls=1, cached=1),
        Spent(agent="a", step="w", calls=1),
    ]  # fmt: skip
    assert spending(found).total == Spent(
        calls=5, cached=1, tokens_in=6, tokens_out=6, cost=30, unpriced=1
    )


def test_a_kept_answer_is_cached() -> None:
    drive = Drive(step("x"), step("y", needs="x"))
    call = drive.call("x")
    drive.apply(CallFinished(at=0, call=call, usage=Usage(cost=0), saved=Usage(cost=9)))
    drive.done("y")

    assert spending(folded(drive.events)).total == Spent(calls=2, cached=1)


def test_a_call_that_could_not_even_be_asked_is_none() -> None:
    drive = Drive(step("x", retry=Retry(tries=2, first=0)), start=False)
    drive.apply(
        CallFailed(
            at=drive.at,
            call=drive.asked.pop("x").call,
            fault=Fault(kind="failed", message="not asked"),
        )
    )
    drive.launch("x")
    drive.done("x")
    found = folded(drive.events)

    assert [one.left for one in found.activities] == [False, True]
    assert spending(found).total.calls == 1


def test_a_call_that_nobody_asked_for_has_spent_what_it_has_spent() -> None:
    events = run(StepSpec(name="x", agent="a")).events
    other = CallStarted(at=0, call=Call("x", 7), agent="a")
    spent = CallFinished(at=0, call=other.call, usage=Usage(tokens_in=3, cost=2))
    odd = [*events[:2], other, spent, *events[2:]]

    check_spending(folded(odd), odd)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0"])
def test_runs_of_released_versions_are_accounted_for(version: str, tmp_path: Path) -> None:
    history = Path(__file__).parents[1] / "histories" / version
    shutil.copy(history / FILE, tmp_path / FILE)
    names = json.loads((history / "expected.json").read_text(encoding="utf-8"))
    with SqliteJournal(tmp_path) as journal:
        told = {name: judge([one.event for one in journal.read(name)]) for name in names}

    assert shares(told["whole"]) == {"tool:f": 4.0}
    assert shares(told["retried"]) == {"input:a": 60.0}


@st.composite
def runs(draw: st.DrawFn) -> tuple[PlanSpec, dict[str, object]]:
    """A small plan with limits, retries, panels and a consensus, and how long its calls take."""
    names = [f"s{i}" for i in range(draw(st.integers(1, 5)))]
    steps, seconds, faults = [], {}, {}
    for number, name in enumerate(names):
        earlier = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        cut = draw(st.integers(0, len(earlier)))
        fields: dict[str, object] = {"needs": tuple(earlier[:cut]), "wants": tuple(earlier[cut:])}
        if fields["wants"]:
            fields["within"] = draw(st.sampled_from([0, SECOND, 4 * SECOND]))
        seconds[f"{name}#1"] = draw(st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.0]))
        if draw(st.booleans()):
            faults[f"{name}#1"] = Fault(
                kind=draw(st.sampled_from(["failed", "rate_limited"])), message="no"
            )
        steps.append(
            StepSpec(
                name=name,
                agent="a",
                on_failure="continue",
                timeout=draw(st.sampled_from([2, 60])) * SECOND,
                retry=Retry(
                    tries=draw(st.integers(1, 2)), first=draw(st.sampled_from([0, SECOND]))
                ),
                **fields,  # type: ignore[arg-type]
            )
        )
    if draw(st.booleans()):
        members = tuple(Member(name=f"m{i}", agent="b") for i in range(2))
        policy = draw(st.sampled_from(["once", "restart_all", "cancel"]))
        team = ConsensusSpec(members=members, policy=policy)
        steps.append(StepSpec(name="q", kind="consensus", input="?", team=team, needs=(names[-1],)))
    requests = (Rate(draw(st.integers(1, 3)), 5 * SECOND),)
    fields = {
        "agents": {"a": AgentSpec(kind="scripted", limits=("api",)), "b": MODEL},
        "limits": {"api": LimitSpec(requests=requests, margin=0)},
        "max_parallel": draw(st.integers(1, 3)),
        "cast": Timed(seconds, faults, {"b": Player(gives=voter())}),
    }
    return PlanSpec(name="p", steps=tuple(steps)), fields


@given(runs())
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_time_tokens_and_money_of_any_run_add_up(
    one: tuple[PlanSpec, dict[str, object]],
) -> None:
    plan, fields = one
    events = run(plan, **fields).events  # type: ignore[arg-type]

    judge(events, streaming=len(events) < 30)


@pytest.mark.slow
def test_time_tokens_and_money_of_ten_thousand_runs_add_up(
    request: pytest.FixtureRequest,
) -> None:
    seeds: int = request.config.getoption("--world-seeds")
    failures: list[str] = []
    workers = min(os.cpu_count() or 1, 8)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        starts = range(0, seeds, SHARE)
        counts = [min(SHARE, seeds - start) for start in starts]
        for failed in pool.map(judge_seeds, starts, counts):
            failures += failed

    assert not failures, "\n\n".join(failures[:3])
