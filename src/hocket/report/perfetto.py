"""A run as trace events, which https://ui.perfetto.dev and other viewers of traces open.

Each lane is a thread, so that nothing in it overlaps: a viewer would not draw what does.
Instants are microseconds from the run's beginning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from hocket.core.values import SECOND, Json, format_duration
from hocket.insight.explain import Explanation
from hocket.insight.lanes import Bar, By, Lane, lanes
from hocket.insight.load import Steps
from hocket.insight.trace import Activity, Trace
from hocket.report.palette import LOOKS, cause_name
from hocket.report.svg import legible

_RUN: Final = 1
_PROCESSES: Final[tuple[tuple[int, By, str], ...]] = (
    (2, "agent", "agents"),
    (3, "slot", "slots"),
    (4, "limit", "limits"),
)
_SHOWN_EVENTS: Final = 50


def perfetto(explanation: Explanation) -> bytes:
    """Write a run as a file of trace events in JSON."""
    trace = explanation.trace
    events: list[Json] = [*_names(_RUN, "run", ["the finish waited for", "stops"])]
    chain = Lane(name="", row=0, bars=[Bar(*segment) for segment in explanation.account.segments])
    events += _slices(trace, chain, _RUN, 1)
    events += _stops(trace)
    for process, by, name in _PROCESSES:
        rows = lanes(trace, by)
        events += _names(process, name, [_lane_name(lane) for lane in rows])
        for thread, lane in enumerate(rows, start=1):
            events += _slices(trace, lane, process, thread, whole=by == "agent")
        if by == "agent":
            events += _flows(trace, rows, process)
    events += _changes(trace)
    events += _counters(explanation)
    whole = {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "run": legible(trace.run),
            "name": legible(trace.name),
            "source": legible(trace.source),
            "status": trace.status,
            "began_ns": str(trace.began),
            "headline": legible(explanation.headline),
        },
    }
    return msgspec.json.encode(whole)


def micro(ns: int) -> float:
    """Write nanoseconds as microseconds, so that a reader who cuts off gets the same nanoseconds.

    Otherwise neighbours might overlap by one, and one of them would not be drawn.
    """
    value = ns / 1_000
    return value if int(value * 1_000) >= ns else math.nextafter(value, math.inf)


def _names(process: int, name: str, threads: Sequence[str]) -> Iterator[Json]:
    yield _meta(process, 0, "process_name", {"name": name})
    yield _meta(process, 0, "process_sort_index", {"sort_index": process})
    for thread, text in enumerate(threads, start=1):
        yield _meta(process, thread, "thread_name", {"name": legible(text)})
        yield _meta(process, thread, "thread_sort_index", {"sort_index": thread})


def _meta(process: int, thread: int, name: str, args: Json) -> Json:
    return {"ph": "M", "pid": process, "tid": thread, "name": name, "args": args}


def _lane_name(lane: Lane) -> str:
    return f"{lane.name} ({lane.row + 1})" if lane.row else lane.name


def _slices(
    trace: Trace, lane: Lane, process: int, thread: int, *, whole: bool = False
) -> Iterator[Json]:
    """Write the bars of a lane; all that is known of a call is said in one place only."""
    args = _arguments if whole else _name_of
    for since, until, cause, index in lane.bars:
        if cause.kind == "idle" or until <= since:
            continue
        activity = trace.activities[index] if index >= 0 else None
        name = cause_name(cause)
        if activity is not None and cause.kind in ("model", "tool", "rework"):
            name = activity.name
        yield {
            "ph": "X",
            "pid": process,
            "tid": thread,
            "ts": micro(since - trace.began),
            "dur": micro(until - since),
            "name": legible(name),
            "cat": cause.kind,
            "args": {"cause": legible(cause_name(cause))} | args(trace, activity),
        }


def _name_of(trace: Trace, activity: Activity | None) -> dict[str, Json]:
    return {} if activity is None else {"call": legible(activity.name)}


def _arguments(trace: Trace, activity: Activity | None) -> dict[str, Json]:
    """Say of a call what is known; what is not is left out."""
    if activity is None:
        return {}
    usage = activity.usage
    shown = ", ".join(map(str, activity.events[:_SHOWN_EVENTS]))
    found: dict[str, Json] = {
        "call": legible(activity.name),
        "agent": legible(activity.agent),
        "model": legible(activity.model),
        "step": legible(activity.step),
        "fate": activity.fate or "under way",
        "how": legible(activity.how),
        "waited_s": max(0, activity.began - activity.asked) / SECOND,
        "tokens_in": usage.tokens_in if usage else None,
        "tokens_out": usage.tokens_out if usage else None,
        "dollars": usage.cost / 1e12 if usage and usage.cost is not None else None,
        "limits": legible(", ".join(activity.claims)),
        f"{trace.evidence}s": shown,
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def _stops(trace: Trace) -> Iterator[Json]:
    for stop in trace.stops:
        yield {
            "ph": "X",
            "pid": _RUN,
            "tid": 2,
            "ts": micro(stop.since - trace.began),
            "dur": micro(stop.until - stop.since),
            "name": LOOKS[stop.kind].name,
            "cat": stop.kind,
            "args": {f"{trace.evidence}s": ", ".join(map(str, stop.events))},
        }


def _flows(trace: Trace, rows: Sequence[Lane], process: int) -> Iterator[Json]:
    """Lead from each call to those that it made possible.

    A flow begins and ends within a slice: it begins at the last instant of one.
    """
    first: dict[int, tuple[int, Bar]] = {}
    last: dict[int, tuple[int, Bar]] = {}
    for thread, lane in enumerate(rows, start=1):
        for bar in lane.bars:
            if bar.activity >= 0 and bar.cause.kind != "idle" and bar.until > bar.since:
                first.setdefault(bar.activity, (thread, bar))
                last[bar.activity] = (thread, bar)
    for index, activity in enumerate(trace.activities):
        if activity.after not in last or index not in first:
            continue
        (thread, bar), (target, begin) = last[activity.after], first[index]
        leaves = max(bar.since, min(bar.until - 1, begin.since))
        if leaves > begin.since:
            continue
        both = {"cat": "after", "name": "made possible", "id": index + 1, "pid": process}
        yield {**both, "ph": "s", "tid": thread, "ts": micro(leaves - trace.began)}
        yield {**both, "ph": "f", "bp": "e", "tid": target, "ts": micro(begin.since - trace.began)}


def _changes(trace: Trace) -> Iterator[Json]:
    for change in trace.changes:
        yield {
            "ph": "i",
            "s": "g",
            "pid": _RUN,
            "tid": 1,
            "ts": micro(change.at - trace.began),
            "name": legible(f"{change.limit}: {change.what}"),
            "args": {trace.evidence: change.event},
        }


def _counters(told: Explanation) -> Iterator[Json]:
    load, trace = told.load, told.trace
    yield from _counter(trace, "calls in flight", load.run.steps, load.run.cap)
    for name, course in load.limits.items():
        yield from _counter(trace, f"slots of {name}", course.steps, course.cap)
    for use in told.uses:
        for fill in use.windows:
            per = f" per {format_duration(fill.per)}" if fill.per else ""
            name = f"{use.limit}: {fill.kind}{per}"
            yield from _counter(trace, name, fill.steps, fill.amount)


def _counter(trace: Trace, name: str, steps: Steps, cap: int | None) -> Iterator[Json]:
    for at, value in steps:
        yield {
            "ph": "C",
            "pid": _RUN,
            "ts": micro(at - trace.began),
            "name": legible(name),
            "args": {"used": value} if cap is None else {"used": value, "cap": cap},
        }
