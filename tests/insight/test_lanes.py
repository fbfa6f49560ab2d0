from __future__ import annotations

from typing import Any, get_args

import pytest
from tests.insight.hand import S, call, plan_trace, team_trace, trace

from hocket.core.specs import LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.insight.account import work_of
from hocket.insight.causes import KINDS, Cause
from hocket.insight.lanes import Bar, By, Lane, lanes
from hocket.insight.load import load
from hocket.insight.trace import START, Trace

VIEWS: tuple[By, ...] = get_args(By)


def drawn(lane: Lane) -> list[tuple[float, float, str, int]]:
    return [
        (bar.since / S, bar.until / S, ":".join(bar.cause).rstrip(":"), bar.activity)
        for bar in lane.bars
    ]


def told(run: Trace, by: By, most: int | None = None) -> dict[str, Any]:
    return {f"{lane.name} {lane.row}": drawn(lane) for lane in lanes(run, by, most)}


def limited() -> Trace:
    return trace(
        call("a", 0, 4, claims=("api",)),
        call("b", 2, 5, claims=("api", "gpu")),
        call(
            "c",
            9,
            11,
            asked=1,
            waits=(("rate:api", 1, 6), ("slot:gpu", 7, 9)),
            claims=("api", "gpu"),
            fate="stale",
        ),
        call("d", 5, 6, agent="f", work="tool", after=1, needs=(1,)),
        ended=12,
        limits={
            "api": LimitSpec(requests=(Rate(2, 6 * S),)),
            "gpu": LimitSpec(concurrency=1),
        },
    )


def test_a_lane_of_an_agent_shows_its_work_and_what_held_it_up() -> None:
    assert told(limited(), "agent") == {
        # c waited for the rate limit since 1 s, but until 4 s the lane showed a.
        "a 0": [
            (0, 4, "model:a", 0),
            (4, 6, "rate:api", 2),
            (6, 7, "coordinator", 2),
            (7, 9, "slot:gpu", 2),
            (9, 11, "rework:stale", 2),
            (11, 12, "idle", START),
        ],
        "a 1": [(0, 2, "idle", START), (2, 5, "model:a", 1), (5, 12, "idle", START)],
        "f 0": [(0, 5, "idle", START), (5, 6, "tool:f", 3), (6, 12, "idle", START)],
    }


def test_slots_are_taken_as_they_are_free() -> None:
    found = told(limited(), "slot")
    assert list(found) == ["run 0", "run 1", "gpu 0"]
    assert found["run 0"] == [
        (0, 4, "model:a", 0),
        (4, 5, "idle", START),
        (5, 6, "tool:f", 3),
        (6, 7, "coordinator", 2),
        (7, 9, "slot:gpu", 2),
        (9, 11, "rework:stale", 2),
        (11, 12, "idle", START),
    ]
    assert [bar[3] for bar in found["gpu 0"]] == [START, 1, 2, 2, 2, 2, START]


def test_a_call_of_several_units_takes_as_many_slots() -> None:
    step = StepSpec(name="big", agent="a", uses={"gpu": 3})
    run = trace(
        call("big/4~2", 0, 2, claims=("gpu",)),
        call("small", 0, 1, claims=("gpu",)),
        ended=2,
        limits={"gpu": LimitSpec(concurrency=4)},
        spec=RunSpec(workflow=PlanSpec(name="p", steps=(step,))),
    )
    assert [lane.name for lane in lanes(run, "slot")] == ["run", "run", *["gpu"] * 4]


def test_a_limit_shows_who_waits_for_it_and_who_uses_it() -> None:
    found = told(limited(), "limit")
    assert list(found) == ["api 0", "api 1", "api 2", "gpu 0"]
    # It waited for the limit while both others used it, so it has a lane of its own.
    assert found["api 1"] == [
        (0, 1, "idle", START),
        (1, 6, "rate:api", 2),
        (6, 7, "coordinator", 2),
        (7, 9, "slot:gpu", 2),
        (9, 11, "rework:stale", 2),
        (11, 12, "idle", START),
    ]
    assert [bar[3] for bar in found["api 2"]] == [START, 1, START]


def test_steps_show_people_and_timers_too() -> None:
    run = trace(
        call("ok", 1, 3, work="approval", agent=""),
        call("say", 3, 4, work="input", agent=""),
        call("late", 4, 6, work="timer", agent=""),
        call("b", 6, 7),
        ended=7,
    )
    assert told(run, "step") == {
        "ok 0": [(0, 1, "idle", START), (1, 3, "approval:ok", 0), (3, 7, "idle", START)],
        "say 0": [(0, 3, "idle", START), (3, 4, "input:say", 1), (4, 7, "idle", START)],
        "late 0": [(0, 4, "idle", START), (4, 6, "idle", 2), (6, 7, "idle", START)],
        "b 0": [(0, 6, "idle", START), (6, 7, "model:a", 3)],
    }
    assert [bar[2] for bar in told(run, "agent")["people 0"]] == [
        *("idle", "approval:ok", "input:say", "idle")
    ]
    assert list(told(run, "slot")) == ["run 0"]


def test_where_nothing_was_done_a_stop_is_shown() -> None:
    run = trace(
        call("a", 1, 4),
        call("b", 12, 13, asked=8),
        ended=14,
        stops=(("pause", 3, 6), ("down", 6, 9)),
    )
    assert told(run, "agent")["a 0"] == [
        (0, 1, "idle", START),
        # What was in flight went on.
        (1, 4, "model:a", 0),
        (4, 6, "pause", START),
        (6, 8, "down", START),
        (8, 9, "down", 1),
        (9, 12, "coordinator", 1),
        (12, 13, "model:a", 1),
        (13, 14, "idle", START),
    ]


def test_what_was_held_up_within_a_stop_is_shown_as_the_stop() -> None:
    run = trace(
        call("a", 9, 10, asked=0, waits=(("slot:run", 0, 9),)),
        ended=10,
        stops=(("pause", 2, 8),),
    )
    assert told(run, "agent")["a 0"] == [
        (0, 2, "slot:run", 0),
        (2, 8, "pause", 0),
        (8, 9, "slot:run", 0),
        (9, 10, "model:a", 0),
    ]


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({}, Cause("model", "a")),
        ({"fate": ""}, Cause("model", "a")),
        ({"work": "tool"}, Cause("tool", "a")),
        ({"fate": "failed", "work": "tool"}, Cause("rework", "failed")),
        ({"fate": "cancelled"}, Cause("rework", "cancelled")),
        ({"cached": True}, Cause("cache")),
        ({"work": "person"}, Cause("input", "a")),
        ({"work": "timer"}, Cause("idle")),
    ],
)
def test_what_the_time_of_an_activity_goes_to(fields: dict[str, Any], cause: Cause) -> None:
    assert work_of(call("a", 0, 1, **fields)) == cause


def test_what_does_not_fit_is_merged_and_named() -> None:
    run = trace(
        call("a", 0, 4),
        call("b", 1, 6, agent="b", fate="stale"),
        call("c", 3, 5, agent="c"),
        call("d", 5.5, 8, asked=4, waits=(("rate:api", 4, 5.5),), agent="d"),
        ended=9,
    )
    whole = lanes(run, "agent")
    assert [lane.name for lane in whole] == ["a", "b", "c", "d"]
    assert lanes(run, "agent", 4) == whole
    few = lanes(run, "agent", 2)
    assert few[0] == whole[0]
    assert (few[1].name, few[1].merged) == ("and 3 more", 3)
    # Work that counts is seen before what came to nothing, and that before nothing at all.
    assert drawn(few[1]) == [
        (0, 1, "idle", START),
        (1, 3, "rework:stale", 1),
        (3, 5, "model:c", 2),
        (5, 5.5, "rate:api", 3),
        (5.5, 8, "model:d", 3),
        (8, 9, "idle", START),
    ]
    one = lanes(run, "agent", 1)
    assert [(lane.name, lane.merged) for lane in one] == [("all 4", 4)]
    with pytest.raises(ValueError, match="no room for 0 lanes"):
        lanes(run, "agent", 0)


def test_a_log_without_links_says_that_nothing_is_known() -> None:
    run = trace(call("a", 3, 4, asked=1), ended=4, inferred=True)
    assert [bar[2] for bar in told(run, "agent")["a 0"]] == ["idle", "unknown", "model:a"]


def test_what_is_under_way_lasts_until_the_end() -> None:
    run = trace(call("a", 3, None, fate=""), call("b", 4, 4), ended=5)
    assert told(run, "agent") == {
        "a 0": [(0, 3, "idle", START), (3, 5, "model:a", 0)],
        # What takes no time has no bar.
        "a 1": [(0, 5, "idle", START)],
    }


def test_nothing_makes_no_lanes() -> None:
    assert all(lanes(trace(ended=3), by) == [] for by in VIEWS)


def check(run: Trace, by: By, most: int | None) -> list[Lane]:
    """See to it that every lane says of every instant what was done, and once."""
    found = lanes(run, by, most)
    for lane in found:
        now = run.began
        for bar in lane.bars:
            assert type(bar) is Bar
            assert bar.since == now < bar.until
            assert bar.cause.kind in KINDS
            now = bar.until
        assert run.ended in (now, run.began)
    assert most is None or len(found) <= most
    return found


def whole(run: Trace, by: By) -> None:
    found = check(run, by, None)
    # Work stands in it to the last nanosecond.
    shown: dict[int, int] = {}
    for lane in found:
        for since, until, cause, index in lane.bars:
            if index != START and cause == work_of(run.activities[index]) and cause.kind != "idle":
                shown[index] = shown.get(index, 0) + until - since
    for index, activity in enumerate(run.activities):
        took = (run.ended if activity.ended is None else activity.ended) - activity.began
        if by in ("agent", "step") and work_of(activity).kind in ("model", "tool", "rework"):
            assert shown.get(index, 0) == took
    if by == "slot":
        rows = [lane for lane in found if lane.name == "run"]
        assert len(rows) == max(load(run).run.peak, 1 if rows else 0)
    for most in (1, 3):
        few = check(run, by, most)
        assert sum(lane.merged for lane in few) == len(found)


@pytest.mark.parametrize("by", VIEWS)
@pytest.mark.parametrize("seed", range(40))
def test_every_lane_of_a_run_that_was_played_is_whole(seed: int, by: By) -> None:
    whole(plan_trace(seed), by)


@pytest.mark.parametrize("by", VIEWS)
@pytest.mark.parametrize("policy", ["once", "restart_all", "cancel", "inject"])
def test_every_lane_of_a_team_is_whole(policy: str, by: By) -> None:
    whole(team_trace(policy, 3, limited=True), by)


def test_merging_shows_the_most_telling_of_all_lanes_at_every_instant() -> None:
    for seed in range(20):
        run = plan_trace(seed)
        kinds = [bar.cause.kind for lane in lanes(run, "agent", 1) for bar in lane.bars]
        work = sum(
            bar.until - bar.since
            for lane in lanes(run, "agent", 1)
            for bar in lane.bars
            if bar.cause.kind in ("model", "tool")
        )
        busy: list[tuple[int, int]] = sorted(
            (bar.since, bar.until)
            for lane in lanes(run, "agent")
            for bar in lane.bars
            if bar.cause.kind in ("model", "tool")
        )
        reached, union = run.began, 0
        for since, until in busy:
            union += max(0, until - max(since, reached))
            reached = max(reached, until)
        assert work == union, kinds
