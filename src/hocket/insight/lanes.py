"""What everybody and everything was doing at each instant of a run: lanes for a timeline.

A lane is a row of bars from the beginning of the run to its end, without gaps and overlaps.
What overlaps lies in several lanes of one name, no more of them than were needed at once.
Before the bar of a call its lane shows what had held the call up, as far back as the lane was free.
Bars of no length are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from operator import itemgetter
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from hocket.insight.account import work_of
from hocket.insight.causes import KINDS, Cause, cause_of
from hocket.insight.load import RUN, Units, is_made
from hocket.insight.trace import START, Stop, Trace

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


_Item: TypeAlias = tuple[int, int, int]
"""What takes a place in a lane: from when, until when, and the index of which activity."""


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
    draw = _Draw(trace)
    found = [Lane(name=name, row=number, bars=draw.bars(row)) for name, number, row in rows[:kept]]
    if rest := [row for _, _, row in rows[kept:]]:
        name = f"and {len(rest)} more" if found else f"all {len(rest)}"
        bars = draw.merged([item for row in rest for item in row])
        found.append(Lane(name=name, row=0, bars=bars, merged=len(rest)))
    return found


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
    names: dict[str, str] = {}
    for index, activity in enumerate(trace.activities):
        if not activity.claims:
            continue
        since: dict[str, int] = {}
        for wait in activity.waits:
            name = names.get(wait.cause)
            if name is None:
                name = names[wait.cause] = cause_of(wait.cause).detail
            since.setdefault(name, wait.since)
        began, ended, _ = _item(trace, index)
        for name in activity.claims:
            item = (min(began, since.get(name, began)), ended, index)
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
    return activity.began, max(ended, activity.began), index


# -- how they are laid out ----------------------------------------------------------------------


def _rows(items: Sequence[_Item]) -> list[list[_Item]]:
    """Give each item a row in which nothing overlaps: the first free one, so they are fewest."""
    rows: list[list[_Item]] = []
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for item in sorted(items):
        while busy and busy[0][0] <= item[0]:
            heappush(free, heappop(busy)[1])
        if free:
            row = heappop(free)
        else:
            row = len(rows)
            rows.append([])
        rows[row].append(item)
        heappush(busy, (item[1], row))
    return rows


class _Draw:
    """Draws the bars of lanes.

    Args:
        trace: The run.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._rest = Cause("unknown" if trace.inferred else "coordinator")
        """What lies between what an activity came after and its waits."""
        self._causes: dict[str, Cause] = {}
        self._works = [work_of(activity) for activity in trace.activities]

    def bars(self, items: Sequence[_Item]) -> list[Bar]:
        """Fill a lane from the beginning of the run to its end."""
        trace, works, show = self._trace, self._works, self._show
        bars: list[Bar] = []
        now, end = trace.began, trace.ended
        for _, until, index in items:
            activity = trace.activities[index]
            began = min(max(activity.began, now), end)
            # What held it up is shown as far back as nothing else was there.
            asked = min(max(activity.asked, now), began)
            if asked == began == max(began, min(until, end)):
                # Nothing of it is to be seen.
                continue
            if now < asked:
                show(bars, now, asked, _IDLE, START)
            if asked < began:
                self._held(bars, asked, began, index)
            now = max(began, min(until, end))
            if began < now:
                show(bars, began, now, works[index], index)
        if now < end:
            show(bars, now, end, _IDLE, START)
        return bars

    def merged(self, items: Sequence[_Item]) -> list[Bar]:
        """Put what would take many lanes into one.

        Of several bars at an instant the one whose kind is listed first counts, so work is seen
        before waits, and waits before time in which nothing was done.
        """
        trace = self._trace
        pieces: list[Bar] = []
        for _, until, index in items:
            activity = trace.activities[index]
            began = min(max(activity.began, trace.began), trace.ended)
            asked = min(max(activity.asked, trace.began), began)
            self._held(pieces, asked, began, index)
            if began < (ended := min(until, trace.ended)):
                self._show(pieces, began, ended, self._works[index], index)
        bars: list[Bar] = []
        now = trace.began
        for since, until, cause, index in _most_telling(pieces):
            if now < since:
                self._show(bars, now, since, _IDLE, START)
            bars.append(Bar(since, until, cause, index))
            now = until
        if now < trace.ended:
            self._show(bars, now, trace.ended, _IDLE, START)
        return bars

    def _held(self, bars: list[Bar], since: int, until: int, index: int) -> None:
        """Show what held an activity up; what its waits leave over is the engine's own time."""
        causes = self._causes
        now = since
        for wait in self._trace.activities[index].waits:
            begun, ended = max(wait.since, now), min(wait.until, until)
            if begun < ended:
                cause = causes.get(wait.cause)
                if cause is None:
                    cause = causes[wait.cause] = cause_of(wait.cause)
                if now < begun:
                    self._show(bars, now, begun, self._rest, index)
                self._show(bars, begun, ended, cause, index, held=True)
                now = ended
        if now < until:
            self._show(bars, now, until, self._rest, index)

    def _show(
        self,
        bars: list[Bar],
        since: int,
        until: int,
        cause: Cause,
        index: int,
        *,
        held: bool = False,
    ) -> None:
        """Add a bar; where nothing was done since the run as a whole stood still, that is said.

        What was `held` up by anything could not have begun then either.
        """
        stops = self._trace.stops
        if stops and (held or cause.kind in _QUIET):
            for stop in _stops(stops, since, until):
                begun, ended = max(stop.since, since), min(stop.until, until)
                if begun > since:
                    bars.append(Bar(since, begun, cause, index))
                if ended > begun:
                    bars.append(Bar(begun, ended, Cause(stop.kind, stop.detail), index))
                    since = ended
        if since < until:
            bars.append(Bar(since, until, cause, index))


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


def _most_telling(bars: list[Bar]) -> list[Bar]:
    """Of bars that overlap, give at each instant the one whose kind is listed first."""
    bars.sort(key=itemgetter(0))
    found: list[Bar] = []
    live: list[tuple[int, int, int]] = []
    """What is under way: its rank, its place, its end; the first one is shown from `now` on."""
    now = 0
    for place, (since, until, cause, _) in enumerate(bars):
        while live and live[0][2] <= since:
            now = _end(found, bars, live, now)
        now = now if live else since
        before = live[0] if live else None
        heappush(live, (_RANKS[cause.kind], place, until))
        if before is not None and live[0] is not before:
            if now < since:
                found.append(bars[before[1]]._replace(since=now, until=since))
            now = since
    while live:
        now = _end(found, bars, live, now)
    return found


def _end(found: list[Bar], bars: list[Bar], live: list[tuple[int, int, int]], now: int) -> int:
    """Let what is shown end, and what has ended behind it; gives when that was."""
    _, place, until = heappop(live)
    if now < until:
        found.append(bars[place]._replace(since=now, until=until))
    return max(now, until)
