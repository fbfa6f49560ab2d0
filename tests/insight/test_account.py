"""What the finish waited for, on traces made by hand: exact shares, and nothing left out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.insight.kit import chain, doing, ns, shares, trace

from hocket.core.events import Wait
from hocket.insight.account import account
from hocket.insight.causes import Cause
from hocket.insight.trace import START, Activity, Stop, Trace


def test_what_lies_between_activities_and_what_their_waits_leave_over_is_the_engines() -> None:
    found = trace(
        doing("x", 0.5, 1, 4),
        doing("y", 4.25, 10, 12, 0, ("rate:api", 5, 8), ("slot:run", 8, 9.5)),
        ended=12.5,
    )

    assert shares(found) == {
        "model:a": 5,
        "rate:api": 3,
        "slot:run": 1.5,
        "coordinator": 0.5 + 0.5 + 0.25 + 0.75 + 0.5 + 0.5,
    }
    segments = account(found).segments
    assert [(s.since, s.until) for s in segments[:3]] == [
        (0, ns(0.5)),
        (ns(0.5), ns(1)),
        (ns(1), ns(4)),
    ]
    assert [s.activity for s in segments] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_what_ran_beside_the_chain_costs_no_time() -> None:
    found = trace(doing("long", 0, 0, 9), doing("x", 0, 0, 3), doing("y", 3, 3, 10, 1))

    assert shares(found) == {"model:a": 10}
    assert chain(found) == ["x#1", "y#1"]


def test_what_came_to_nothing_is_rework_and_tools_are_apart_from_models() -> None:
    found = trace(
        doing("x", 0, 0, 3, fate="stale"),
        doing("t", 3, 3, 5, 0, work="tool", agent="f"),
        doing("y", 5, 5, 6, 1, fate="refused"),
        doing("y", 6, 6, 10, 2, attempt=2),
    )

    assert shares(found) == {
        "model:a": 4,
        "tool:f": 2,
        "rework:stale": 3,
        "rework:refused": 1,
    }


def test_people_and_timers_have_their_own_causes() -> None:
    found = trace(
        doing("ok", 0, 1, 5, work="approval", agent=""),
        doing("say", 5, 5, 7, 0, work="input", agent=""),
        doing("", 7, 7, 15, 1, work="person", agent="", step="s"),
        doing("t", 15, 15, 18, 2, work="timer", agent=""),
    )

    assert shares(found) == {
        "approval:ok": 4,
        "input:s": 8,
        "input:say": 2,
        "coordinator": 1,
        "idle": 3,
    }


def test_work_is_cut_where_something_else_did_not_wait_for_its_end() -> None:
    found = trace(doing("slow", 0, 0, 30), doing("y", 5, 5, 8, 0), ended=8)

    assert shares(found) == {"model:a": 8}
    assert [s.activity for s in account(found).segments] == [0, 1]


def test_a_call_that_had_not_left_when_time_came_was_waited_for_as_it_waited() -> None:
    queued = doing("slow", 0, 20, 30, START, ("rate:api", 0, 20))
    found = trace(queued, doing("y", 5, 5, 8, 0), ended=8)

    assert shares(found) == {"model:a": 3, "rate:api": 5}


def test_a_stop_explains_time_in_which_nothing_was_done_and_no_other() -> None:
    found = trace(
        doing("x", 0, 0, 4),
        doing("y", 4, 12, 14, 0, ("rate:api", 9, 12)),
        doing("t", 14, 14, 20, 1, work="timer"),
        stops=[
            Stop("pause", ns(2), ns(6)),
            Stop("down", ns(7), ns(10)),
            Stop("pause", ns(18), ns(25)),
        ],
    )

    assert shares(found) == {
        "model:a": 6,
        "rate:api": 2,
        "pause": 2 + 2,
        "down": 3,
        "coordinator": 1,
        "idle": 4,
    }


def test_a_wait_within_a_pause_is_the_pause_and_open_questions_go_on() -> None:
    found = trace(
        doing("x", 0, 12, 14, START, ("slot:run", 0, 12)),
        doing("ok", 14, 14, 20, 0, work="approval"),
        stops=[Stop("pause", ns(2), ns(11)), Stop("pause", ns(15), ns(19))],
    )

    assert shares(found) == {"model:a": 2, "slot:run": 3, "pause": 9, "approval:ok": 6}


def test_a_spent_budget_is_named() -> None:
    found = trace(
        doing("x", 0, 0, 4), ended=9, stops=[Stop("budget", ns(4), ns(9), detail="purse")]
    )

    assert shares(found) == {"model:a": 4, "budget:purse": 5}


def test_what_had_to_land_before_the_run_could_end_is_waited_for_after_the_finish() -> None:
    found = trace(
        doing("slow", 0, 0, 9, fate="cancelled"), doing("y", 0, 0, 6), finish=1, landed=0, ended=9.5
    )

    assert shares(found) == {"model:a": 6, "rework:cancelled": 3, "coordinator": 0.5}
    assert chain(found) == ["y#1", "slow#1"]


def test_a_run_under_way_is_accounted_for_up_to_now() -> None:
    found = trace(doing("x", 0, 0, 3), doing("y", 3, 4, None, 0), ended=10)

    assert shares(found) == {"model:a": 9, "coordinator": 1}


def test_what_another_programs_log_does_not_tell_is_unknown() -> None:
    found = trace(doing("x", 1, 1, 3), doing("y", 5, 5, 8, 0), inferred=True)

    assert shares(found) == {"model:a": 5, "unknown": 3}


def test_no_activity_at_all() -> None:
    assert shares(trace(ended=2, finish=START)) == {"coordinator": 2}
    assert account(trace(finish=START)).segments == []


def test_waits_that_overlap_count_once() -> None:
    found = trace(
        doing("x", 0, 10, 12, START, ("rate:a", 1, 6), ("rate:b", 4, 9), ("slot:s", 2, 3))
    )

    assert shares(found) == {"model:a": 2, "rate:a": 5, "rate:b": 3, "coordinator": 2}


def test_a_chain_that_leads_nowhere_ends_in_what_nobody_knows() -> None:
    circle = trace(doing("x", 2, 2, 3, 1), doing("y", 3, 3, 5, 0))
    far = trace(doing("x", 2, 2, 3, 17))

    assert shares(circle) == {"model:a": 3, "unknown": 2}
    assert shares(far) == {"model:a": 1, "unknown": 2}


def test_causes_are_listed_in_the_order_of_kinds() -> None:
    found = trace(
        doing("x", 0, 3, 4, START, ("slot:b", 0, 1), ("slot:a", 1, 2), ("backoff", 2, 3)),
    )

    assert list(account(found).shares) == [
        Cause("model", "a"),
        Cause("slot", "a"),
        Cause("slot", "b"),
        Cause("backoff"),
    ]


INSTANT = st.integers(-5, 60)
WAITS = st.lists(st.builds(Wait, st.sampled_from(["rate:x", "slot:y", "odd"]), INSTANT, INSTANT))
ANY = st.builds(
    Activity,
    path=st.just("x"),
    agent=st.just("a"),
    work=st.sampled_from(["model", "tool", "approval", "input", "person", "timer"]),
    asked=INSTANT,
    began=INSTANT,
    ended=st.none() | INSTANT,
    waits=WAITS.map(tuple),
    fate=st.sampled_from(["", "useful", "stale"]),
    after=st.integers(-2, 8),
)
STOPS = st.lists(st.builds(Stop, st.sampled_from(["pause", "down"]), INSTANT, INSTANT), max_size=4)


@given(st.lists(ANY, max_size=7), STOPS, st.integers(-2, 8), st.integers(-2, 8), st.booleans())
@settings(max_examples=1_500, deadline=None, derandomize=True)
def test_however_a_trace_contradicts_itself_the_shares_add_up(
    activities: list[Activity], stops: list[Stop], finish: int, landed: int, inferred: bool
) -> None:
    found = Trace(
        run="r",
        name="n",
        began=0,
        ended=50,
        activities=activities,
        stops=stops,
        finish=finish,
        landed=landed,
        inferred=inferred,
    )
    given_ = account(found)

    assert sum(given_.shares.values()) == 50
    now = 0
    for segment in given_.segments:
        assert segment.since == now < segment.until
        now = segment.until
    assert now == 50
    assert len(set(given_.chain)) == len(given_.chain)
