from __future__ import annotations

import pytest
from tests.insight.hand import S, call, plan_trace, team_trace, trace

from hocket.insight.path import critical, needs_of, reach, worked
from hocket.insight.trace import START, Trace


def found(run: Trace) -> tuple[float, list[int], list[float | None]]:
    path = critical(run)
    slack = [None if one is None else one / S for one in path.slack]
    return path.length / S, path.chain, slack


def test_the_longest_path_goes_through_what_was_waited_for() -> None:
    #  0 ──5──> 1 ──3──> 3 ──2──>
    #  0 ──5──> 2 ──1──> 3
    run = trace(
        call("a", 0, 5),
        call("b", 5, 8, after=0, needs=(0,)),
        call("c", 5, 6, after=0, needs=(0,)),
        call("d", 8, 10, after=1, needs=(1, 2)),
        call("e", 0, 4),
        ended=10,
        finish=3,
    )
    # c could have ended 2 s later; nothing waited for e but the end of the run, at 10 s.
    assert found(run) == (10.0, [0, 1, 3], [0.0, 0.0, 2.0, 0.0, 6.0])


def test_waits_are_left_out() -> None:
    run = trace(
        call("a", 2, 5, asked=0, waits=(("rate:api", 0, 2),)),
        call("b", 60, 61, asked=5, after=0, needs=(0,)),
        call("c", 0, 3.5),
        ended=61,
        finish=1,
    )
    # The rate limit held b up for 55 s, which is no work; so c has no more than half a second.
    assert found(run) == (4.0, [0, 1], [0.0, 0.0, 0.5])


def test_the_last_need_alone_is_enough_and_after_counts_without_needs() -> None:
    run = trace(call("a", 0, 1), call("b", 1, 3, after=0), ended=3, finish=1)
    assert found(run) == (3.0, [0, 1], [0.0, 0.0])


def test_what_was_still_under_way_counts_as_far_as_it_was_waited_for() -> None:
    run = trace(
        # A timer has let b begin 2 s into a, which nobody waited for any longer.
        call("a", 0, 30, fate="cancelled"),
        call("b", 2, 5, after=0, needs=(0,)),
        ended=30,
        finish=1,
    )
    assert found(run) == (5.0, [0, 1], [None, 0.0])
    counted = trace(
        call("a", 0, 4),
        call("b", 2, 5, after=0, needs=(0,)),
        ended=5,
        finish=1,
    )
    # It gave something, so the run may have waited for it: it could have ended a second later.
    assert found(counted) == (5.0, [0, 1], [1.0, 0.0])


def test_what_led_to_what_was_cut_short_has_no_more_slack_than_that() -> None:
    run = trace(
        call("p", 0, 1),
        call("q", 0, 0.5),
        call("a", 1, 30, fate="cancelled", needs=(0, 1), after=0),
        call("b", 3, 6, after=2, needs=(2,)),
        ended=30,
        finish=3,
    )
    # A second of p, two of a until its time was up, three of b.
    assert found(run) == (6.0, [0, 2, 3], [0.0, 0.5, None, 0.0])


def test_what_had_not_begun_was_not_waited_for() -> None:
    run = trace(
        call("p", 0, 1),
        call("a", 9, 10, asked=1, after=0, needs=(0,)),
        call("b", 4, 9.5, after=1, needs=(1,)),
        ended=10,
        finish=1,
    )
    assert found(run) == (5.5, [2], [3.5, 3.5, 0.0])
    at_once = trace(
        call("p", 0, 1),
        call("a", 4, 10, asked=1, after=0, needs=(0,), fate="cancelled"),
        call("b", 4, 9.5, after=1, needs=(1,)),
        ended=10,
        finish=2,
    )
    assert found(at_once) == (6.5, [0, 1, 2], [0.0, None, 0.0])


def test_waits_for_people_and_timers_are_no_work() -> None:
    run = trace(
        call("ask", 0, 50, work="approval", agent=""),
        call("wait", 50, 80, work="timer", agent="", after=0, needs=(0,)),
        call("b", 80, 81, after=1, needs=(1,)),
        ended=81,
        finish=2,
    )
    assert found(run) == (1.0, [0, 1, 2], [0.0, 0.0, 0.0])
    assert worked(call("a", 1, None), 5 * S) == 4 * S
    assert worked(call("a", 1, 9), 5 * S) == 4 * S


@pytest.mark.parametrize("fate", ["cancelled", "discarded", "stale"])
def test_nobody_waited_for_what_came_to_nothing_and_led_nowhere(fate: str) -> None:
    run = trace(call("a", 0, 2), call("b", 0, 9, fate=fate), ended=9, finish=0)
    assert found(run) == (2.0, [0], [0.0, None])
    # Unless it was its end that let the run end.
    assert found(trace(*run.activities, ended=9, finish=1)) == (9.0, [1], [7.0, 0.0])


def test_of_two_ends_the_one_that_let_the_run_end_is_the_end_of_the_path() -> None:
    both = (call("a", 0, 2), call("b", 0, 2))
    assert critical(trace(*both, ended=2, finish=1)).chain == [1]
    assert critical(trace(*both, ended=2, finish=0)).chain == [0]


def test_a_run_without_calls_has_no_path() -> None:
    assert found(trace(ended=3)) == (0.0, [], [])


def test_a_log_that_contradicts_itself_leads_to_no_loop() -> None:
    run = trace(
        call("a", 0, 1, after=1, needs=(1, 0, 7, -3)),
        call("b", 1, 2, after=0, needs=(1,)),
        ended=2,
    )
    assert found(run) == (2.0, [0, 1], [0.0, 0.0])
    assert needs_of(run.activities[0], 0) == ()
    assert needs_of(run.activities[1], 1) == (0,)
    assert needs_of(call("c", 0, 1, after=1, needs=(0, 1, 2)), 5) == (1, 0, 2)
    assert needs_of(call("c", 0, 1, after=1, needs=(0, 1, 2)), 2) == (1, 0)
    assert needs_of(call("c", 0, 1, needs=(-2, 1)), 2) == (1,)


def test_a_hundred_thousand_calls_in_a_row_need_no_stack() -> None:
    many = 100_000
    row = [call(f"s{i}", i, i + 1, after=i - 1, needs=(i - 1,) if i else ()) for i in range(many)]
    path = critical(trace(*row, ended=many, finish=many - 1))
    assert path.length == many * S
    assert path.chain == list(range(many))
    assert not any(path.slack)


@pytest.mark.parametrize("seed", range(60))
def test_the_path_of_a_run_that_was_played_fits_into_it(seed: int) -> None:
    check(plan_trace(seed))


@pytest.mark.parametrize("policy", ["once", "restart_all", "cancel", "sequential", "inject"])
def test_the_path_of_a_team_fits_into_its_run(policy: str) -> None:
    run = team_trace(policy, 5, limited=True)
    check(run)
    path = critical(run)
    assert path.length > 0
    free = team_trace(policy, 5, limited=False)
    if policy in ("once", "sequential"):
        # Without limits there is nothing to wait for but work.
        assert critical(free).length == free.took


def check(run: Trace) -> None:
    path = critical(run)
    assert 0 <= path.length <= run.took
    works = [worked(activity, run.ended) for activity in run.activities]
    for before, after in zip(path.chain, path.chain[1:], strict=False):
        assert before in needs_of(run.activities[after], after)
    if path.chain:
        assert path.slack[path.chain[-1]] == 0
        assert path.length <= sum(works[i] for i in path.chain)
    reached = reach(run, works)
    for head, work, tail, slack in zip(reached.head, works, reached.tail, path.slack, strict=True):
        assert (tail is None) == (slack is None)
        if tail is not None and slack is not None:
            assert 0 <= slack <= path.length
            assert head + work + tail + slack == path.length


def test_slack_is_what_an_activity_can_grow_by() -> None:
    run = trace(
        call("a", 0, 5),
        call("b", 0, 2),
        call("c", 5, 6, after=0, needs=(0, 1)),
        call("d", 2, 4, after=1, needs=(1,)),
        ended=6,
        finish=2,
    )
    path = critical(run)
    works = [worked(activity, run.ended) for activity in run.activities]
    for index, slack in enumerate(path.slack):
        assert slack is not None
        for more, longer in ((slack, 0), (slack + 1, 1)):
            grown = [*works]
            grown[index] += more
            reached = reach(run, grown)
            length = max(h + b for h, b in zip(reached.head, reached.below, strict=True) if b)
            assert length == path.length + longer
    assert reach(run, works).came == [START, START, 0, 1]
