"""What everybody and everything was doing at each instant of a run: lanes for a timeline.

A lane is a row of bars from the beginning of the run to its end, without gaps and overlaps.
What overlaps lies in several lanes of one name, no more of them than were needed at once.
Before the bar of a call its lane shows what had held the call up, as far back as the lane was free.
Bars of no length are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from hocket.insight.causes import KINDS, Cause, cause_of
from hocket.insight.load import RUN, Units, is_made
from hocket.insight.trace import START, Activity, Stop, Trace

By: TypeAlias = Literal["agent", "slot", "step", "limit"]
"""What lanes are of.

agent: who did the work; people are one.
slot: the slots of the run, and of each limit on concurrency, as they were taken.
step: the steps; an approval, an input or a timer is of one, too.
limit: the calls that claimed a limit, from when they began to wait for it.
"""

PEOPLE: Final = "people"
"""Who does what no agent does."""

_IDLE: Final = Cause("idle")
_QUIET: Final = frozenset({"coordinator", "idle", "unknown"})
"""Kinds that a pause, or a process that was down, explains better."""
_RANKS: Final = {kind: rank for rank, kind in enumerate(KINDS)}


class Bar(NamedTuple):
    """A stretch of a lane.

    Fields:
        since: When it begins.
        until: When it ends.
        cause: What the time went to.
        activity: The index of the activity that it is of, or `START`.
    """

    since: int
    until: int
    cause: Cause
    activity: int = START


class Lane(msgspec.Struct, kw_only=True):
    """A row of a timeline.

    Fields:
        name: What it is of; lanes of one name stand together.
        row: Its number among them, from 0.
        bars: What it shows, from the beginning of the run to its end.
        merged: How many lanes were put into this one, which shows the most telling of them.
    """

    name: str
    row: int
    bars: list[Bar]
    merged: int = 1


class _Item(NamedTuple):
    """What takes a place in a lane: from when, until when, and which activity."""

    since: int
    until: int
    activity: int


def lanes(trace: Trace, by: By, most: int | None = None) -> list[Lane]:
    """Lay a run out in lanes.

    Args:
        trace: The run.
        by: What they are of.
        most: How many there may be; the rest is merged into the last one. None for any number.

    Raises:
        ValueError: There is no room for a lane.
    """
    if most is not None and most < 1:
        raise ValueError(f"there is no room for {most} lanes; ask for at least one")
    rows = [
        (name, number, row)
        for name, items in _GROUPS[by](trace).items()
        for number, row in enumerate(_rows(items))
    ]
    kept = len(rows) if most is None or len(rows) <= most else most - 1
    found = [
        Lane(name=name, row=number, bars=_bars(trace, row)) for name, number, row in rows[:kept]
    ]
    if rest := [_bars(trace, row) for _, _, row in rows[kept:]]:
        name = f"and {len(rest)} more" if found else f"all {len(rest)}"
        found.append(Lane(name=name, row=0, bars=_merged(rest), merged=len(rest)))
    return found


def work_of(activity: Activity) -> Cause:
    """Say what the time goes to in which an activity is under way."""
    match activity.work:
        case "approval":
            return Cause("approval", activity.step)
        case "input" | "person":
            return Cause("input", activity.step)
        case "timer":
            return _IDLE
        case work:
            if activity.cached:
                return Cause("cache")
            if activity.fate in ("useful", ""):
                return Cause(work, activity.agent)
            return Cause("rework", activity.fate)


# -- what the lanes are of ----------------------------------------------------------------------


def _by_agent(trace: Trace) -> dict[str, list[_Item]]:
    groups: dict[str, list[_Item]] = {}
    for index, activity in enumerate(trace.activities):
        if activity.work != "timer":
            groups.setdefault(activity.agent or PEOPLE, []).append(_item(trace, index))
    return groups


def _by_step(trace: Trace) -> dict[str, list[_Item]]:
    groups: dict[str, list[_Item]] = {}
    for index, activity in enumerate(trace.activities):
        groups.setdefault(activity.step, []).append(_item(trace, index))
    return groups


def _by_slot(trace: Trace) -> dict[str, list[_Item]]:
    """Group calls by what they took slots of; one of several units takes as many lanes."""
    groups: dict[str, list[_Item]] = {RUN: []}
    groups.update({name: [] for name, limit in trace.limits.items() if limit.concurrency})
    units = Units(trace)
    for index, activity in enumerate(trace.activities):
        if not is_made(activity):
            continue
        item = _item(trace, index)
        groups[RUN].append(item)
        for name in activity.claims:
            if name in groups and name != RUN:
                groups[name] += [item] * units.of(activity, name)
    return {name: items for name, items in groups.items() if items}


def _by_limit(trace: Trace) -> dict[str, list[_Item]]:
    groups: dict[str, list[_Item]] = {name: [] for name in trace.limits}
    for index, activity in enumerate(trace.activities):
        since = {
            cause.detail: wait.since
            for wait in reversed(activity.waits)
            if (cause := cause_of(wait.cause)).detail
        }
        for name in activity.claims:
            item = _item(trace, index)
            item = item._replace(since=min(item.since, since.get(name, item.since)))
            groups.setdefault(name, []).append(item)
    return {name: items for name, items in groups.items() if items}


_GROUPS: Final = {
    "agent": _by_agent,
    "slot": _by_slot,
    "step": _by_step,
    "limit": _by_limit,
}


def _item(trace: Trace, index: int) -> _Item:
    activity = trace.activities[index]
    ended = trace.ended if activity.ended is None else activity.ended
    return _Item(activity.began, max(ended, activity.began), index)


# -- how they are laid out ----------------------------------------------------------------------


def _rows(items: Sequence[_Item]) -> list[list[_Item]]:
    """Give each item a row in which nothing overlaps: the first free one, so they are fewest."""
    rows: list[list[_Item]] = []
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for item in sorted(items):
        while busy and busy[0][0] <= item.since:
            heappush(free, heappop(busy)[1])
        if free:
            row = heappop(free)
        else:
            row = len(rows)
            rows.append([])
        rows[row].append(item)
        heappush(busy, (item.until, row))
    return rows


def _bars(trace: Trace, items: Sequence[_Item]) -> list[Bar]:
    """Fill a lane from the beginning of the run to its end."""
    bars: list[Bar] = []
    now, end = trace.began, trace.ended
    for item in items:
        activity = trace.activities[item.activity]
        began = min(max(activity.began, now), end)
        # What held it up is shown as far back as nothing else was there.
        asked = min(max(activity.asked, now), began)
        _show(trace, bars, Bar(now, asked, _IDLE))
        _held(trace, bars, asked, began, item.activity)
        now = max(began, min(item.until, end))
        _show(trace, bars, Bar(began, now, work_of(activity), item.activity))
    _show(trace, bars, Bar(now, end, _IDLE))
    return bars


def _held(trace: Trace, bars: list[Bar], since: int, until: int, index: int) -> None:
    """Show what held an activity up; what its waits leave over is the engine's own time."""
    rest = Cause("unknown" if trace.inferred else "coordinator")
    now = since
    for wait in trace.activities[index].waits:
        begun, ended = max(wait.since, now), min(wait.until, until)
        if begun < ended:
            _show(trace, bars, Bar(now, begun, rest, index))
            _show(trace, bars, Bar(begun, ended, cause_of(wait.cause), index))
            now = ended
    _show(trace, bars, Bar(now, until, rest, index))


def _show(trace: Trace, bars: list[Bar], bar: Bar) -> None:
    """Add a bar; where nothing was done since the run as a whole stood still, that is said."""
    now = bar.since
    if bar.cause.kind in _QUIET and trace.stops:
        for stop in _stops(trace.stops, now, bar.until):
            since, until = max(stop.since, now), min(stop.until, bar.until)
            if since > now:
                bars.append(bar._replace(since=now, until=since))
            if until > since:
                bars.append(Bar(since, until, Cause(stop.kind), bar.activity))
                now = until
    if now < bar.until:
        bars.append(bar._replace(since=now))


def _stops(stops: Sequence[Stop], since: int, until: int) -> Iterator[Stop]:
    """Give the stops that touch a stretch."""
    low, high = 0, len(stops)
    while low < high:
        middle = (low + high) // 2
        if stops[middle].until <= since:
            low = middle + 1
        else:
            high = middle
    while low < len(stops) and stops[low].since < until:
        yield stops[low]
        low += 1


def _merged(rows: Sequence[Sequence[Bar]]) -> list[Bar]:
    """Put lanes into one; of several bars at an instant the one whose kind is listed first counts.

    So work is seen before waits, and waits before time in which nothing was done.
    """
    starts = sorted(
        [(bar.since, number, bar) for number, bars in enumerate(rows) for bar in bars],
        key=lambda start: start[:2],
    )
    instants = sorted(dict.fromkeys([at for bars in rows for bar in bars for at in bar[:2]]))
    found: list[Bar] = []
    live: list[tuple[int, int, int, Bar]] = []
    place = 0
    for since, until in pairwise(instants):
        while place < len(starts) and starts[place][0] <= since:
            _, number, bar = starts[place]
            heappush(live, (_RANKS[bar.cause.kind], number, place, bar))
            place += 1
        while live[0][3].until <= since:
            heappop(live)
        shown = live[0][3]
        if found and found[-1][2:] == shown[2:] and found[-1].until == since:
            found[-1] = found[-1]._replace(until=until)
        else:
            found.append(Bar(since, until, shown.cause, shown.activity))
    return found
