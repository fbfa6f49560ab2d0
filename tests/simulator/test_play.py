"""Runs under virtual time: what decides is the engine's own, and the same seed gives the same."""

from __future__ import annotations

import pytest
from tests.machines import plan, run_spec, step

from hocket.core.errors import Fault, SpecError
from hocket.core.events import (
    CallCancelled,
    CallFailed,
    CallStarted,
    LimitChanged,
    PauseRequested,
    RunEnded,
)
from hocket.core.specs import AgentSpec, LimitSpec, Rate, Repeat, Retry, RunSpec, StepSpec
from hocket.core.values import MINUTE, MS, SECOND, Json
from hocket.forecast.durations import Durations
from hocket.simulator.agents import Act, Asked, Cast, Latency, People, Player
from hocket.simulator.play import Part, play, play_together

SECONDS = Player(latency=Latency(SECOND))


def run_of(*steps: StepSpec) -> RunSpec:
    return run_spec(plan(*steps))


def cast(**players: Player) -> Cast:
    return Cast({"f": SECONDS, "g": SECONDS, **players})


def fixed(seconds: float, gives: Json = None) -> Player:
    return Player(latency=Latency(round(seconds * SECOND)), gives=lambda asked: gives)


def limited(spec: RunSpec, **limits: LimitSpec) -> RunSpec:
    agent = AgentSpec(kind="function", limits=tuple(limits))
    return RunSpec(workflow=spec.workflow, agents={**spec.agents, "f": agent}, limits=limits)


def test_a_chain_takes_its_sum_and_a_wide_plan_its_longest() -> None:
    chain = run_of(step("a"), step("b", needs="a"), step("c", needs="b"))
    wide = run_of(step("a"), step("b"), step("c", agent="g"))
    assert play(chain, {}, cast()).took == 3 * SECOND
    played = play(wide, {}, cast(g=fixed(5)))
    assert (played.status, played.took) == ("succeeded", 5 * SECOND)
    assert [made.call.path for made in played.calls] == ["a", "b", "c"]


def test_what_an_agent_gets_is_rendered_and_what_it_gives_is_used() -> None:
    spec = run_of(step("a", input={"n": "{{inputs.n}}"}), step("b", input="{{a.n}}", needs="a"))
    spec = RunSpec(workflow=plan(*spec.workflow.steps, inputs="n"), agents=spec.agents)
    played = play(spec, {"n": 3}, Cast({"f": Player()}))
    assert played.output == 3


def test_slots_and_windows_are_the_engines() -> None:
    wide = run_of(*[step(f"s{i}") for i in range(12)])
    slots = RunSpec(workflow=wide.workflow, agents=wide.agents, max_parallel=3)
    assert play(slots, {}, cast()).took == 4 * SECOND
    window = limited(wide, api=LimitSpec(requests=(Rate(9, MINUTE),), margin=250 * MS))
    played = play(window, {}, cast())
    # The server may have counted the first ones up to the margin later than they were sent.
    assert played.took == MINUTE + SECOND + 250 * MS
    waits = [w for e in played.events if isinstance(e, CallStarted) for w in e.waits]
    assert {wait.cause for wait in waits} == {"rate:api"}


def test_retries_backoff_and_fallbacks_are_decided_by_the_run_machine() -> None:
    down = Fault(kind="unavailable", message="down")

    class Agents:
        def act(self, asked: Asked) -> Act:
            return Act(SECOND, down if asked.agent == "f" else "fine")

        def estimate(self, asked: Asked) -> None:
            raise AssertionError("nothing counts tokens here")

    again = Retry(tries=3, first=2 * SECOND, jitter=0.0)
    spec = run_of(step("a", retry=again, fallback="g"))
    played = play(spec, {}, Agents())  # type: ignore[arg-type]
    assert played.status == "succeeded"
    assert [made.agent for made in played.calls] == ["f", "f", "f", "g"]
    assert played.took == (1 + 2 + 1 + 4 + 1 + 1) * SECOND


def test_a_late_call_is_stopped_by_its_timeout_and_counts_what_it_spent() -> None:
    spec = run_of(step("a", timeout="2s"))
    played = play(spec, {}, cast(f=fixed(8)))
    (made,) = played.calls
    assert (played.status, made.how, played.took) == ("failed", "cancelled", 2 * SECOND)
    assert made.usage is not None
    assert made.usage.tokens_out == 50
    stopped = [event for event in played.events if isinstance(event, CallCancelled)]
    assert [event.reason for event in stopped] == ["timeout"]


def test_a_second_call_begins_beside_a_late_one_once_durations_are_known() -> None:
    past = Durations({("p", "a", "f"): [SECOND] * 10})

    class Slow:
        def act(self, asked: Asked) -> Act:
            return Act(9 * SECOND if asked.attempt == 1 else SECOND, asked.attempt)

        def estimate(self, asked: Asked) -> None:
            raise AssertionError("nothing counts tokens here")

    played = play(run_of(step("a", hedge=0.9)), {}, Slow(), past=past)  # type: ignore[arg-type]
    assert (played.output, played.took) == (2, 2 * SECOND)


def test_a_refusal_closes_the_limit_for_everybody() -> None:
    class Refuses:
        def act(self, asked: Asked) -> Act:
            if asked.path == "a" and asked.attempt == 1:
                fault = Fault(kind="rate_limited", message="429", retry_after=10 * SECOND)
                return Act(SECOND, fault)
            return Act(2 * SECOND)

        def estimate(self, asked: Asked) -> None:
            raise AssertionError("nothing counts tokens here")

    spec = limited(
        run_of(step("a"), step("b", needs="c"), step("c")),
        api=LimitSpec(requests=(Rate(100, MINUTE),)),
    )
    played = play(spec, {}, Refuses())  # type: ignore[arg-type]
    closed = [e for e in played.events if isinstance(e, LimitChanged) and e.what == "closed"]
    assert len(closed) == 1
    began = {made.call.path: made.began for made in played.calls if made.how == "finished"}
    assert began["b"] >= 11 * SECOND


def test_money_that_does_not_suffice_pauses_and_nobody_goes_on() -> None:
    spec = limited(
        run_of(*[step(f"s{i}", input="x" * 400) for i in range(4)]),
        purse=LimitSpec(cost=(Rate(1_000, 0),), on_exceed="pause", shared=False),
    )
    played = play(spec, {}, cast(f=Player(tokens_out=100, price=(1, 3))))
    assert played.status == "paused"
    assert len(played.calls) == 2
    assert any(isinstance(event, PauseRequested) for event in played.events)
    failing = LimitSpec(cost=(Rate(1_000, 0),), on_exceed="fail", shared=False)
    failed = play(limited(spec, purse=failing), {}, cast(f=Player(tokens_out=100, price=(1, 3))))
    assert failed.status == "failed"
    assert any(
        isinstance(event, CallFailed) and event.fault.kind == "over_budget"
        for event in failed.events
    )


def test_people_answer_in_their_own_time_or_not_at_all() -> None:
    spec = run_of(
        step("ok", kind="approve", input="look", timeout=600 * SECOND, on_timeout="reject"),
        step("a", needs="ok"),
    )
    assert play(spec, {}, cast(), people=People(after=30 * SECOND)).took == 31 * SECOND
    rejected = play(spec, {}, cast(), people=People(approve=False))
    assert rejected.status == "failed"
    never = play(spec, {}, cast(), people=People(after=None))
    assert (never.status, never.took) == ("failed", 600 * SECOND)


def test_loops_and_lists_go_round() -> None:
    def count(asked: Asked) -> Json:
        return int(asked.path.partition("~")[2] or 1)

    spec = run_of(
        step("a", repeat=Repeat(until="a >= 4", max=9)),
        step("b", each="[1, 2, 3]", needs="a", agent="g"),
    )
    played = play(spec, {}, Cast({"f": Player(gives=count), "g": Player()}))
    assert played.status == "succeeded"
    assert (len(played.calls), played.took) == (7, 5 * SECOND)


def test_runs_share_limits_and_keep_their_own() -> None:
    spec = limited(
        run_of(*[step(f"s{i}") for i in range(6)]),
        api=LimitSpec(requests=(Rate(9, MINUTE),), margin=250 * MS),
    )
    parts = [Part(spec, {}, run=f"r{i}", at=i * SECOND) for i in range(2)]
    first, second = play_together(parts, cast())
    assert first.took == SECOND
    assert second.end == MINUTE + 250 * MS + SECOND
    own = limited(spec, api=LimitSpec(requests=(Rate(9, MINUTE),), shared=False))
    apart = play_together([Part(own, {}, run=f"r{i}") for i in range(2)], cast())
    assert [played.took for played in apart] == [SECOND, SECOND]


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    noisy = Player(latency=Latency(SECOND, 0.4), failing=0.3)
    again = Retry(tries=9, first=SECOND)
    spec = run_of(
        *[step(f"s{i}", retry=again, needs=f"s{i - 5}" if i > 4 else "") for i in range(30)]
    )
    agents = Cast({"f": noisy})
    digests = [play(spec, {}, agents, seed).digest() for seed in (1, 2, 1, 2)]
    assert digests[:2] == digests[2:]
    assert digests[0] != digests[1]


def test_a_budget_of_events_ends_a_play_that_would_go_on() -> None:
    spec = run_of(*[step(f"s{i}") for i in range(50)])
    played = play(spec, {}, cast(), budget=20)
    assert played.status == "running"
    assert len(played.events) < 60
    assert not any(isinstance(event, RunEnded) for event in played.events)


def test_what_cannot_run_is_refused() -> None:
    with pytest.raises(SpecError):
        play(run_of(step("a", agent="nobody")), {}, cast())
    with pytest.raises(ValueError, match="two runs"):
        play_together([Part(run_of(step("a")), {})] * 2, cast())
    with pytest.raises(KeyError, match="nobody plays"):
        play(run_of(step("a")), {}, Cast({}))


def test_latencies_are_lognormal() -> None:
    latency = Latency(10 * SECOND, 0.3)
    assert latency.at(0.5) == 10 * SECOND
    assert latency.at(0.841344746) == pytest.approx(13.4986 * SECOND, rel=1e-4)
    assert latency.at(0.0) > 0
    assert Latency(SECOND).at(0.99) == SECOND
