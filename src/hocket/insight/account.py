"""Where a run's time, tokens and money went, each to the last nanosecond, token and pico-dollar.

The time is told by what the finish was waiting for: from the run's end back to its beginning, along
the activities of which each made the next one possible.
So the shares add up to the wall time; what ran beside that chain cost no time.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Literal, NamedTuple

import msgspec

from hocket.core.events import Usage, Wait
from hocket.core.reports import Fate
from hocket.insight.causes import KINDS, Cause, cause_of
from hocket.insight.trace import START, Activity, Stop, Trace

_COORDINATOR: Final = Cause("coordinator")
_UNKNOWN: Final = Cause("unknown")
_IDLE: Final = Cause("idle")
_QUIET: Final = frozenset({"coordinator", "idle", "unknown"})
"""Kinds that a pause, or a process that was down, explains better."""


class Segment(NamedTuple):
    """A stretch of the run's time, and what it went to.

    Fields:
        since: When it begins.
        until: When it ends.
        cause: What it went to.
        activity: The index of the activity that was waited for, or after which nothing was done;
            `START` if there is none.
    """

    since: int
    until: int
    cause: Cause
    activity: int


class Account(msgspec.Struct, frozen=True):
    """What the finish was waiting for, at each instant of the run.

    Fields:
        segments: From the run's beginning to its end, in order, without gaps.
        shares: How many nanoseconds went to each cause, in the order of kinds; they add up to
            `Trace.took`.
        chain: The activities that were waited for, by index, first to last.
    """

    segments: list[Segment]
    shares: dict[Cause, int]
    chain: list[int]


class Spent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What calls that are alike have spent.

    Fields:
        fate: What became of them; "" while they are under way.
        agent: Who did them.
        model: Which model, if it is known.
        step: Which step they are of.
        calls: How many there were.
        lost: How many of them were in flight when their process ended; they count as failed, and
            nobody knows whether they were.
        cached: How many of them were answered without being made.
        tokens_in: Tokens read, as far as known.
        tokens_out: Tokens written, as far as known.
        cost: Pico-dollars, as far as priced.
        unpriced: How many calls with tokens have no known price.
    """

    fate: Fate | Literal[""] = ""
    agent: str = ""
    model: str = ""
    step: str = ""
    calls: int = 0
    lost: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    unpriced: int = 0


class Spending(msgspec.Struct, frozen=True):
    """What a run has spent.

    Fields:
        rows: By fate, agent, model and step, in the order in which each was first asked for.
        total: The sums of all rows.
    """

    rows: list[Spent]
    total: Spent


def account(trace: Trace) -> Account:
    """Say what the finish of a run was waiting for, at each instant.

    A trace that contradicts itself is taken as far as it makes sense: what ends before it begins
    takes no time, and a chain that leads nowhere ends in a stretch of which nothing is known.
    """
    walk = _Walk(trace)
    walk.back()
    segments = walk.found[::-1]
    chain = list(dict.fromkeys(walk.chain[::-1]))
    sums: dict[Cause, int] = {}
    for since, until, cause, _ in segments:
        sums[cause] = sums.get(cause, 0) + until - since
    order = {kind: number for number, kind in enumerate(KINDS)}
    shares = dict(sorted(sums.items(), key=lambda item: (order[item[0].kind], item[0].detail)))
    return Account(segments, shares, chain)


def spending(trace: Trace) -> Spending:
    """Say what a run has spent, and for what."""
    rows: dict[tuple[str, str, str, str], Spent] = {}
    total = Spent()
    for activity in trace.activities:
        if activity.usage is None and (not activity.left or activity.work not in ("model", "tool")):
            continue
        key = (activity.fate, activity.agent, activity.model, activity.step)
        row = rows.get(key)
        if row is None:
            row = rows[key] = Spent(fate=activity.fate, agent=key[1], model=key[2], step=key[3])
        usage = activity.usage
        for sums in (row, total):
            sums.calls += activity.left
            sums.lost += activity.left and activity.how == "lost"
            sums.cached += activity.cached
            if usage is not None:
                _add(sums, usage)
    return Spending(list(rows.values()), total)


def _add(sums: Spent, usage: Usage) -> None:
    sums.tokens_in += usage.tokens_in or 0
    sums.tokens_out += usage.tokens_out or 0
    sums.cost += usage.cost or 0
    sums.unpriced += usage.cost is None and bool(usage.tokens_in or usage.tokens_out)


class _Walk:
    """The way back from a run's end to its beginning."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.stops = sorted(trace.stops, key=lambda stop: (stop.since, stop.until))
        self.since = [stop.since for stop in self.stops]
        self.now = max(trace.began, trace.ended)
        self.found: list[Segment] = []
        self.chain: list[int] = []
        self.between = _UNKNOWN if trace.inferred else _COORDINATOR
        """What lies between the end of one activity and the next one's being asked for."""

    def back(self) -> None:
        """Go all the way."""
        activities, began = self.trace.activities, self.trace.began
        index, last = self.trace.finish, START
        for since, until, cause in _apart(self.trace.tail) if self.trace.tail else ():
            self.quiet(until, self.between, index)
            self.quiet(since, cause, index)
        self.landed()
        seen: set[int] = set()
        while 0 <= index < len(activities) and index not in seen:
            seen.add(index)
            activity = activities[index]
            self.chain.append(index)
            ended = self.now if activity.ended is None else activity.ended
            left = max(activity.began, activity.asked)
            self.quiet(max(ended, left), self.between, index)
            self.stretch(left, work_of(activity), index)
            self.waited(activity, index)
            index, last = activity.after, index
            if self.now <= began:
                return
        # An index that is none, or comes again, leads nowhere.
        lost = index != START
        self.quiet(began, _UNKNOWN if lost else self.between, last)

    def landed(self) -> None:
        """Take what had to land before the run could end, since what let it end."""
        trace = self.trace
        if not 0 <= trace.landed < len(trace.activities):
            return
        activity = trace.activities[trace.landed]
        since = max(activity.began, trace.began)
        if 0 <= trace.finish < len(trace.activities):
            since = max(since, trace.activities[trace.finish].ended or since)
        if activity.ended is None or activity.ended <= since:
            return
        self.chain.append(trace.landed)
        self.quiet(activity.ended, self.between, trace.landed)
        self.stretch(since, work_of(activity), trace.landed)

    def waited(self, activity: Activity, index: int) -> None:
        """Take what held an activity up; what its waits leave over is the engine's own time."""
        if self.now <= activity.asked:
            return
        for since, until, cause in _apart(activity.waits) if activity.waits else ():
            self.quiet(max(until, activity.asked), self.between, index)
            # Nothing may start while the run stands still, whatever else it would wait for.
            self.quiet(max(since, activity.asked), cause, index)
        self.quiet(activity.asked, self.between, index)

    def stretch(self, since: int, cause: Cause, index: int) -> None:
        """Go back to an instant; the time until now went to one cause."""
        if cause.kind in _QUIET:
            self.quiet(since, cause, index)
            return
        since = max(since, self.trace.began)
        if since < self.now:
            self.found.append(Segment(since, self.now, cause, index))
            self.now = since

    def quiet(self, since: int, cause: Cause, index: int) -> None:
        """Go back to an instant through time in which nothing was done; a stop explains it."""
        since = max(since, self.trace.began)
        place = bisect_right(self.since, self.now) - 1
        while since < self.now:
            stop: Stop | None = self.stops[place] if place >= 0 else None
            if stop is not None and stop.since < self.now <= stop.until:
                start, why = max(since, stop.since), Cause(stop.kind, stop.detail)
                place -= 1
            elif stop is not None and stop.since >= self.now:
                place -= 1
                continue
            else:
                start, why = since if stop is None else max(since, stop.until), cause
            self.found.append(Segment(start, self.now, why, index))
            self.now = start


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
            return Cause("rework", "lost" if activity.how == "lost" else activity.fate)


def _apart(waits: tuple[Wait, ...]) -> list[tuple[int, int, Cause]]:
    """Give waits from the last to the first; where two overlap, the time is the earlier one's."""
    if len(waits) == 1:
        (wait,) = waits
        return [(wait.since, max(wait.since, wait.until), cause_of(wait.cause))]
    found: list[tuple[int, int, Cause]] = []
    reached: int | None = None
    for wait in sorted(waits, key=lambda wait: (wait.since, wait.until)):
        since = wait.since if reached is None else max(wait.since, reached)
        if wait.until > since:
            found.append((since, wait.until, cause_of(wait.cause)))
            reached = wait.until
    return found[::-1]
