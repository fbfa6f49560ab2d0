"""What an event costs does not grow with the number of runs, or with how long they are.

Nothing here is timed: calls of Python functions are counted, which are the same every time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from tests.machines import plan, run_spec, step
from tests.simulator import policies
from tests.simulator.worlds import told

from hocket.core.errors import SpecError
from hocket.core.specs import AgentSpec, LimitSpec, Rate, RunSpec
from hocket.core.values import DAY, HOUR, MINUTE, SECOND
from hocket.simulator.agents import Cast, Latency, People, Player
from hocket.simulator.parts import Part, Played
from hocket.simulator.play import play, play_together, prepare

CAST = Cast({}, Player(latency=Latency(3 * MINUTE, 0.5)))


def chains(agents: int, calls: int, limits: dict[str, LimitSpec] | None = None) -> RunSpec:
    """Agents that have a chain of so many calls each."""
    names = [f"g{a}" for a in range(agents)]
    steps = [
        step(f"{name}_{i}", agent=name, needs=f"{name}_{i - 1}" if i else "", timeout=HOUR)
        for name in names
        for i in range(calls)
    ]
    spec = {name: AgentSpec(kind="scripted", limits=tuple(limits or ())) for name in names}
    return run_spec(plan(*steps), spec, limits=limits or {})


def count(work: Callable[[], list[Played]]) -> tuple[int, int]:
    """Count the calls of Python functions, and the events."""
    calls = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        played = work()
    finally:
        sys.setprofile(before)
    assert {run.status for run in played} == {"succeeded"}
    return calls, sum(run.sums.events for run in played)


def cost(work: Callable[[], list[Played]]) -> float:
    """Count the calls of Python functions for each event."""
    calls, events = count(work)
    return calls / events


def test_an_event_costs_the_same_in_a_long_run() -> None:
    short, long = prepare(chains(5, 20)), prepare(chains(5, 200))
    costs = [cost(lambda stage=stage: [play(stage, {}, CAST)]) for stage in (short, long)]  # type: ignore[misc]
    assert costs[1] <= costs[0] * 1.05


@pytest.mark.parametrize("limits", [{}, {"api": LimitSpec(requests=(Rate(600, MINUTE),))}])
def test_an_event_costs_the_same_among_many_runs(limits: dict[str, LimitSpec]) -> None:
    stage = prepare(chains(2, 40, limits))

    def together(count: int) -> Callable[[], list[Played]]:
        parts = [Part(stage, {}, run=f"r{i}", seed=i, at=i * SECOND) for i in range(count)]
        return lambda: play_together(parts, CAST)

    few, many = cost(together(2)), cost(together(40))
    assert many <= few * 1.1


def test_an_event_costs_the_same_beside_runs_that_wait_for_people() -> None:
    asks = prepare(run_spec(plan(step("ok", kind="approve", input="look", timeout=DAY))))
    short, long = prepare(chains(1, 20)), prepare(chains(1, 60))

    def more(idle: int) -> float:
        """Count the calls for each event of the longer run that the shorter one has not."""
        parts = [Part(asks, {}, run=f"w{i}") for i in range(idle)]
        nobody = People(after=None)
        costs = [
            count(lambda s=stage: play_together([Part(s, {}), *parts], CAST, people=nobody)[:1])  # type: ignore[misc]
            for stage in (short, long)
        ]
        return (costs[1][0] - costs[0][0]) / (costs[1][1] - costs[0][1])

    assert more(50) <= more(0) + 1


def test_plays_of_one_stage_share_what_depends_on_the_spec_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[RunSpec] = []
    check = sys.modules["hocket.simulator.stage"].problems
    monkeypatch.setattr(
        "hocket.simulator.stage.problems", lambda spec: looked.append(spec) or check(spec)
    )
    spec = policies.spec_of(policies.consensus("once"), True)
    stage = prepare(spec)
    first, second = [play(stage, {}, policies.drawn(), seed) for seed in (1, 2)]
    assert looked == [spec]
    assert prepare(stage) is stage
    shapes = [run.machine.workflow.shape for run in (first, second)]  # type: ignore[attr-defined]
    assert shapes[0] is shapes[1]
    play_together([Part(spec, {}, run=f"r{i}") for i in range(3)], policies.drawn())
    assert looked == [spec] * 2


def test_a_prepared_spec_gives_the_same_bytes_as_one_that_is_not() -> None:
    for policy in ("once", "restart_all"):
        spec = policies.spec_of(policies.consensus(policy), True)
        stage = prepare(spec)
        apart = [play(spec, {}, policies.drawn(), seed) for seed in range(3)]
        # Also after others have been played on it.
        shared = [play(stage, {}, policies.drawn(), seed) for seed in range(3)]
        assert told(apart) == told(shared)
    with pytest.raises(SpecError):
        prepare(run_spec(plan(step("a", agent="nobody"))))


def test_what_is_not_kept_changes_nothing_else() -> None:
    limits = {"api": LimitSpec(requests=(Rate(9, MINUTE),))}
    priced = Cast({}, Player(latency=Latency(SECOND, 0.5), price=(1, 2), tokens_out=10))
    stage = prepare(chains(3, 8, limits))
    whole = play(stage, {}, priced)
    calls = play(stage, {}, priced, keep="calls")
    sums = play(stage, {}, priced, keep="sums")
    assert (len(whole.events), calls.events, sums.events) == (whole.sums.events, [], [])
    assert (calls.calls, sums.calls) == (whole.calls, [])
    for run in (whole, calls, sums):
        assert (run.status, run.took, run.output) == (whole.status, whole.took, whole.output)
        assert run.sums.events == len(whole.events)
        assert run.sums.calls == len(whole.calls) == 24
        assert run.sums.ends == {"finished": 24}
        usages = [made.usage for made in whole.calls]
        assert run.sums.cost == sum(usage.cost or 0 for usage in usages if usage is not None) > 0
        assert run.sums.tokens_out == 240
        assert run.sums.unpriced == 0
        waits = [wait for made in whole.calls for wait in made.waits]
        assert run.sums.waited == {"rate:api": sum(wait.until - wait.since for wait in waits)}
        assert run.sums.waited["rate:api"] > 0
    with pytest.raises(ValueError, match="not kept"):
        sums.digest()
    free = play(stage, {}, CAST, keep="sums")
    assert (free.sums.cost, free.sums.unpriced) == (0, 24)
