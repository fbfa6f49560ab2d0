"""Trace events: what Perfetto's importer needs, checked event by event."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.explained import BEGAN, SECOND, call, explained, many, trace, wait

from hocket.insight.explain import Explanation, explain
from hocket.insight.trace import Change, Trace
from hocket.report.perfetto import micro, perfetto

Event = dict[str, Any]


def events(told: Explanation) -> list[Event]:
    whole = json.loads(perfetto(told))
    assert whole["displayTimeUnit"] in ("ms", "ns")
    return whole["traceEvents"]  # type: ignore[no-any-return]


def nanoseconds(value: float) -> int:
    """Read an instant as the importer does: it cuts off."""
    return int(value * 1_000)


def slices(found: list[Event]) -> dict[tuple[int, int], list[Event]]:
    threads: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in found:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append(event)
    return threads


@pytest.mark.parametrize("told", [explained(), explain(many(300))], ids=["small", "many"])
def test_no_two_slices_of_a_thread_overlap(told: Explanation) -> None:
    threads = slices(events(told))
    assert len(threads) > 4
    for own in threads.values():
        reached = 0
        for event in sorted(own, key=lambda event: event["ts"]):
            since = nanoseconds(event["ts"])
            assert since >= reached
            reached = since + nanoseconds(event["dur"])
            assert event["dur"] > 0
            assert event["name"]


@pytest.mark.parametrize("told", [explained(), explain(many(300))], ids=["small", "many"])
def test_every_event_has_what_its_phase_needs(told: Explanation) -> None:
    found = events(told)
    for event in found:
        assert event["ph"] in "MXsfiC"
        assert isinstance(event["pid"], int)
        assert event["pid"] > 0
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, int) for value in event["args"].values())
    named = {(event["pid"], event["tid"]) for event in found if event["name"] == "thread_name"}
    assert set(slices(found)) <= named
    processes = {event["args"]["name"] for event in found if event["name"] == "process_name"}
    assert processes == {"run", "agents", "slots", "limits"}


@pytest.mark.parametrize("told", [explained(), explain(many(300))], ids=["small", "many"])
def test_flows_lead_from_slice_to_slice_and_forwards(told: Explanation) -> None:
    found = events(told)
    threads = slices(found)
    flows: dict[int, list[Event]] = defaultdict(list)
    for event in found:
        if event["ph"] in "sf":
            flows[event["id"]].append(event)
            inside = [
                one
                for one in threads[event["pid"], event["tid"]]
                if nanoseconds(one["ts"])
                <= nanoseconds(event["ts"])
                < nanoseconds(one["ts"]) + nanoseconds(one["dur"])
            ]
            assert len(inside) == 1
            event["call"] = inside[0]["args"]["call"]
    assert flows
    activities = told.trace.activities
    for id_, (start, finish) in flows.items():
        assert (start["ph"], finish["ph"], finish["bp"]) == ("s", "f", "e")
        assert start["ts"] <= finish["ts"]
        activity = activities[id_ - 1]
        assert finish["call"] == activity.name
        assert start["call"] == activities[activity.after].name
    after = [activity for activity in activities if activity.after >= 0]
    assert len(flows) == len(after)


def test_waits_and_work_are_slices_with_what_is_known_of_the_call() -> None:
    found = events(explained())
    agents = [event for own in slices(found).values() for event in own if event["pid"] == 2]
    waited = next(event for event in agents if event["name"] == "rate limit flash")
    assert (waited["ts"], waited["dur"], waited["cat"]) == (0, 30e6, "rate")
    worked = next(event for event in agents if event["name"] == "ask/pro#1")
    assert (worked["ts"], worked["dur"], worked["cat"]) == (30e6, 20e6, "model")
    args = worked["args"]
    assert args["agent"] == "pro"
    assert args["waited_s"] == 30
    assert args["dollars"] == 0.002
    assert args["events"] == "4, 6, 7"
    stale = next(event for event in agents if event["name"] == "vote/coder#1")
    assert (stale["cat"], stale["args"]["fate"]) == ("rework", "stale")
    paused = [event for event in found if event["ph"] == "X" and event["tid"] == 2]
    assert any(event["name"] == "paused" and event["dur"] == 6e6 for event in paused)


def test_the_first_thread_is_the_account_of_the_whole_run() -> None:
    told = explained()
    own = slices(events(told))[1, 1]
    assert sum(nanoseconds(event["dur"]) for event in own) == told.trace.took


def test_counters_show_calls_slots_and_windows_against_their_caps() -> None:
    found = [event for event in events(explained()) if event["ph"] == "C"]
    flight = [event for event in found if event["name"] == "calls in flight"]
    assert flight[0]["args"] == {"used": 1, "cap": 2}
    assert {event["args"]["used"] for event in flight} == {0, 1, 2}
    window = [event for event in found if event["name"].startswith("flash: requests per 1 m")]
    assert max(event["args"]["used"] for event in window) == 2
    assert all(event["args"]["cap"] == 2 for event in window)


def test_changes_of_limits_are_instants() -> None:
    change = Change(BEGAN + 5 * SECOND, "flash", "closed", None, 9)
    found = [event for event in events(explained(changes=[change])) if event["ph"] == "i"]
    assert [(event["name"], event["ts"], event["args"]) for event in found] == [
        ("flash: closed", 5e6, {"event": 9})
    ]


def test_a_run_without_calls_is_a_sound_file() -> None:
    empty = Trace(run="r", name="", began=BEGAN, ended=BEGAN + SECOND)
    assert len(slices(events(explain(empty)))) == 1


def test_calls_that_never_ended_or_have_no_length_break_nothing() -> None:
    odd = [
        call("a", 0, 0, None, fate=""),
        call("b", 1, 1, 1, after=0),
        call("c", 1, 2, 3, after=1, waits=(wait("slot:run", 1, 2),)),
    ]
    told = explain(trace(activities=odd, finish=2, stops=[]))
    found = events(told)
    assert {event["ph"] for event in found} >= {"X", "M", "C"}
    starts = sum(event["ph"] == "s" for event in found)
    assert starts == sum(event["ph"] == "f" for event in found)


@given(st.integers(0, 10**15))
def test_a_reader_that_cuts_off_gets_the_same_nanoseconds(ns: int) -> None:
    assert nanoseconds(micro(ns)) == ns


def test_the_same_run_gives_the_same_bytes() -> None:
    assert perfetto(explained()) == perfetto(explained())
