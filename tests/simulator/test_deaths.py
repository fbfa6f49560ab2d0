"""A simulated process dies with its calls in flight, and another one takes the run up."""

from __future__ import annotations

import msgspec
import pytest
from tests.machines import fold, plan, run_spec, step

from hocket.core.events import (
    AnyEvent,
    ApprovalGiven,
    CallFailed,
    CallLost,
    CallStarted,
    InputGiven,
    PauseRequested,
    RetryRequested,
    RunResumed,
)
from hocket.core.specs import AgentSpec, LimitSpec, Rate, Retry, RunSpec
from hocket.core.values import DAY, HOUR, MINUTE, SECOND
from hocket.forecast.durations import Durations
from hocket.simulator.agents import Cast, Latency, People, Player
from hocket.simulator.parts import Part, Played
from hocket.simulator.play import play_together

TEN = Player(latency=Latency(10 * SECOND))
CAST = Cast({}, TEN)
FOUR_TO_NINE = ((4 * SECOND, 9 * SECOND),)


def die(
    spec: RunSpec,
    deaths: tuple[tuple[int, int], ...] = FOUR_TO_NINE,
    people: People | None = None,
    cast: Cast = CAST,
) -> Played:
    (played,) = play_together([Part(spec, {}, deaths=deaths)], cast, people=people or People())
    return played


def those(played: Played, *kinds: type[AnyEvent]) -> list[AnyEvent]:
    return [event for event in played.events if isinstance(event, kinds)]


def names(played: Played, how: str) -> list[str]:
    return [str(made.call) for made in played.calls if made.how == how]


def limited(count: int, limit: LimitSpec, name: str = "api") -> RunSpec:
    agents = {"f": AgentSpec(kind="function", limits=(name,))}
    steps = [step(f"s{i}") for i in range(count)]
    return run_spec(plan(*steps), agents, limits={name: limit})


def test_calls_in_flight_are_lost_and_made_again_when_the_run_is_resumed() -> None:
    played = die(run_spec(plan(step("a"), step("b", needs="a"))))
    assert (played.status, played.took) == ("succeeded", 29 * SECOND)
    assert those(played, RunResumed, CallLost) == [
        RunResumed(at=9 * SECOND, epoch=2),
        CallLost(at=9 * SECOND, call=played.calls[0].call),
    ]
    assert names(played, "lost") == ["a#1"]
    assert names(played, "finished") == ["a#2", "b#1"]
    lost = played.calls[0]
    assert (lost.began, lost.ended) == (0, 4 * SECOND)
    assert not [e for e in played.events if 4 * SECOND <= e.at < 9 * SECOND]


def test_what_is_recorded_folds_to_the_same_machine() -> None:
    spec = run_spec(plan(*[step(f"s{i}") for i in range(6)]), max_parallel=2)
    played = die(spec, ((4 * SECOND, 9 * SECOND), (12 * SECOND, MINUTE)))
    machine = fold(played.events)
    machine.check()
    assert machine.epoch == played.machine.epoch == 3
    assert machine.said == played.status == "succeeded"
    assert machine.end == played.machine.end


def test_finished_calls_are_never_made_again() -> None:
    steps = [step("a"), step("b", needs="a"), step("c", needs="b")]
    played = die(run_spec(plan(*steps)), ((25 * SECOND, 40 * SECOND),))
    assert names(played, "finished") == ["a#1", "b#1", "c#2"]
    assert played.took == 50 * SECOND


def test_queued_calls_are_offered_again_and_wait_for_the_rest() -> None:
    spec = run_spec(plan(*[step(f"s{i}") for i in range(4)]), max_parallel=1)
    played = die(spec)
    assert played.status == "succeeded"
    assert played.took == (9 + 4 * 10) * SECOND
    assert len(names(played, "finished")) == 4


def test_limits_keep_what_was_sent() -> None:
    window = LimitSpec(requests=(Rate(3, MINUTE),), margin=0)
    # Three calls are lost, and the window has counted all of them until a minute has gone by.
    played = die(limited(3, window))
    again = [e.at for e in those(played, CallStarted)[3:]]
    assert again == [MINUTE] * 3
    waits = [w.cause for e in played.events if isinstance(e, CallStarted) for w in e.waits]
    assert set(waits) == {"rate:api"}


def test_a_budget_remembers_what_was_spent_before() -> None:
    purse = LimitSpec(cost=(Rate(1_000, 0),), on_exceed="pause", shared=False)
    cast = Cast({}, msgspec.structs.replace(TEN, tokens_out=100, price=(0, 4)))
    alive = die(limited(3, purse), (), cast=cast)
    assert (alive.status, len(alive.calls)) == ("paused", 2)
    # Both calls that fit are lost, and nobody knows what they have cost: all that they might.
    played = die(limited(3, purse), cast=cast)
    assert (played.status, names(played, "lost")) == ("paused", ["s0#1", "s1#1"])
    assert len(played.calls) == 2
    assert those(played, PauseRequested)[-1].at == 9 * SECOND


def test_calls_with_effects_are_held_until_a_person_decides() -> None:
    spec = run_spec(plan(step("a", agent="shell"), step("b", needs="a")))
    again = die(spec, people=People(after=30 * SECOND))
    assert those(again, RetryRequested) == [RetryRequested(at=39 * SECOND, path="a", by="somebody")]
    assert (again.status, again.took) == ("succeeded", 59 * SECOND)
    done = die(spec, people=People(after=30 * SECOND, again=False, value="it was done"))
    (said,) = those(done, InputGiven)
    assert (said.at, done.took) == (39 * SECOND, 49 * SECOND)
    assert names(done, "finished") == ["b#1"]
    nobody = die(spec, people=People(after=None))
    # It is the plan's own time limit that ends it.
    assert (nobody.status, nobody.took, names(nobody, "lost")) == ("failed", 7 * DAY, ["a#1"])


def test_whoever_is_held_twice_is_asked_about_twice() -> None:
    spec = run_spec(plan(step("a", agent="shell")))
    deaths = ((4 * SECOND, 9 * SECOND), (12 * SECOND, 20 * SECOND), (22 * SECOND, 30 * SECOND))
    played = die(spec, deaths, People(after=5 * SECOND))
    # The first decision comes while the process is dead, and is heard when it is back.
    assert [event.at for event in those(played, RetryRequested)] == [20 * SECOND, 35 * SECOND]
    assert (played.status, played.took) == ("succeeded", 45 * SECOND)


def test_people_who_answer_a_dead_process_are_heard_by_the_next_one() -> None:
    spec = run_spec(plan(step("ok", kind="approve", input="look", timeout=HOUR), step("a")))
    played = die(spec, people=People(after=6 * SECOND))
    assert [event.at for event in those(played, ApprovalGiven)] == [9 * SECOND]
    later = die(spec, people=People(after=20 * SECOND))
    assert [event.at for event in those(later, ApprovalGiven)] == [20 * SECOND]
    assert later.status == played.status == "succeeded"


def test_who_answers_too_late_changes_nothing() -> None:
    steps = [
        step("ok", kind="approve", input="look", timeout=5 * SECOND, on_timeout="reject",
             on_failure="skip"),
        step("a"),
    ]  # fmt: skip
    played = die(run_spec(plan(*steps)), (), People(after=8 * SECOND))
    assert played.status == "succeeded"
    assert not those(played, ApprovalGiven)


def test_time_limits_that_pass_meanwhile_are_due_at_once() -> None:
    spec = run_spec(plan(step("a"), step("b", needs="a"), timeout="7s"))
    played = die(spec)
    assert (played.status, played.end) == ("failed", 9 * SECOND)
    waits = run_spec(plan(step("a", retry=Retry(tries=2, first=2 * SECOND, jitter=0.0))))
    failing = Cast({}, Player(latency=Latency(3 * SECOND), failing=1.0))
    backed_off = die(waits, cast=failing)
    assert [event.at for event in those(backed_off, CallStarted)] == [0, 9 * SECOND]
    assert len(those(backed_off, CallFailed)) == 2


def test_other_runs_go_on_and_get_the_slots() -> None:
    limit = {"few": LimitSpec(concurrency=1, adaptive=False)}
    agents = {"f": AgentSpec(kind="function", limits=("few",))}
    spec = run_spec(plan(step("a")), agents, limits=limit)
    parts = [
        Part(spec, {}, run="dies", deaths=FOUR_TO_NINE),
        Part(spec, {}, run="lives", at=SECOND),
    ]
    dies, lives = play_together(parts, CAST)
    assert (lives.end, dies.end) == (14 * SECOND, 24 * SECOND)


def test_a_run_that_is_over_cannot_die_and_one_can_die_as_it_begins() -> None:
    late = ((MINUTE, 2 * MINUTE),)
    assert die(run_spec(plan(step("a"))), late).took == 10 * SECOND
    at_once = die(run_spec(plan(step("a"))), ((0, 5 * SECOND),))
    assert (at_once.took, names(at_once, "finished")) == (15 * SECOND, ["a#1"])


def test_deaths_count_from_the_beginning_of_their_run() -> None:
    spec = run_spec(plan(step("a")))
    (played,) = play_together([Part(spec, {}, at=MINUTE, deaths=FOUR_TO_NINE)], CAST)
    assert [event.at for event in those(played, RunResumed)] == [MINUTE + 9 * SECOND]


@pytest.mark.parametrize(
    "deaths",
    [((5, 5),), ((-1, 5),), ((5, 9), (8, 12)), ((5, 9), (1, 2))],
)
def test_deaths_that_do_not_come_one_after_the_other_are_refused(
    deaths: tuple[tuple[int, int], ...],
) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        die(run_spec(plan(step("a"))), deaths)


def test_a_second_call_dies_with_the_first_and_one_that_waited_is_forgotten() -> None:
    past = Durations({("p", "a", "f"): [SECOND] * 10})
    spec = run_spec(plan(step("a", hedge=0.9)))
    parts = [Part(spec, {}, deaths=FOUR_TO_NINE)]
    (played,) = play_together(parts, CAST, past=past)
    assert names(played, "lost") == ["a#1", "a#2"]
    assert (names(played, "finished"), played.took) == (["a#3"], 19 * SECOND)
    alone = msgspec.structs.replace(spec, max_parallel=1)
    (waited,) = play_together([Part(alone, {}, deaths=FOUR_TO_NINE)], CAST, past=past)
    assert (names(waited, "lost"), names(waited, "finished")) == (["a#1"], ["a#3"])


def test_a_paused_run_is_gone_on_with() -> None:
    """A resumed run is not paused any more; without money it pauses again, at once."""
    purse = LimitSpec(cost=(Rate(1_000, 0),), on_exceed="pause", shared=False)
    cast = Cast({}, msgspec.structs.replace(TEN, tokens_out=100, price=(0, 4)))
    played = die(limited(3, purse), ((MINUTE, 2 * MINUTE),), cast=cast)
    assert [event.at for event in those(played, PauseRequested)] == [10 * SECOND, 2 * MINUTE]
    assert played.status == "paused"
