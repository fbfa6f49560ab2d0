"""What the script of an explanation's page reads: the run as short arrays of numbers.

Instants are counted from the run's beginning in a unit that keeps nine digits.
Every text stands once in a table, and whatever refers to it does so by number.
A very large run is thinned out, and what was left out is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hocket.core.values import Json
from hocket.insight.account import Segment
from hocket.insight.causes import KINDS, Cause, cause_of
from hocket.insight.explain import Explanation
from hocket.insight.lanes import Bar, By, Lane, lanes
from hocket.insight.trace import Activity, Trace
from hocket.report.lane_order import in_order
from hocket.report.palette import LOOKS, PAPER, TILE, cause_name
from hocket.report.svg import legible

VIEWS: Final[tuple[By, ...]] = ("agent", "slot", "step", "limit")

MOST_CALLS: Final = 20_000
"""So many calls are listed; of a larger run the ones that matter and the longest ones."""
MOST_ROWS: Final = 2_000
"""So many rows are drawn of each timeline."""
_FINEST: Final = 4_000
"""Bars of calls that are not listed are left out below this part of the run's time."""
_DIGITS: Final = 10**9


class _Texts:
    """A table of texts, each of which is there once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._known: dict[str, int] = {}

    def of(self, text: str) -> int:
        """Give the number of a text."""
        number = self._known.get(text)
        if number is None:
            number = self._known[text] = len(self.all)
            self.all.append(legible(text))
        return number


class _Causes:
    """A table of causes, each of which is there once."""

    def __init__(self, first: Iterable[Cause]) -> None:
        self._known = {cause: number for number, cause in enumerate(first)}

    def of(self, cause: Cause) -> int:
        """Give the number of a cause."""
        return self._known.setdefault(cause, len(self._known))

    def rows(self) -> list[list[Json]]:
        """Give all of them: the kind's number and the name."""
        return [[KINDS.index(cause.kind), legible(cause_name(cause))] for cause in self._known]


class _Clock:
    """Turns instants into small numbers.

    Attributes:
        unit: How many nanoseconds one of them is.
    """

    def __init__(self, trace: Trace) -> None:
        self.began = trace.began
        self.unit = 1
        while trace.took // self.unit > _DIGITS:
            self.unit *= 10

    def of(self, at: int) -> int:
        """Give an instant's number."""
        return (at - self.began) // self.unit


def page_data(explanation: Explanation) -> Json:
    """Give all that the script reads, and in ``notes`` what was merged or left out."""
    trace, account = explanation.trace, explanation.account
    texts, causes, clock = _Texts(), _Causes(account.shares), _Clock(trace)
    kept = listed(explanation)
    row_of = {index: row for row, index in enumerate(kept)}
    notes = []
    if len(kept) < len(trace.activities):
        notes.append(
            f"{len(kept):,} of {len(trace.activities):,} calls are listed: those that the finish "
            "waited for, the evidence of findings, and the longest ones. All sums are of all calls."
        )
    views: dict[str, Json] = {}
    for by in VIEWS:
        rows, said = _view(
            in_order(lanes(trace, by, MOST_ROWS), by), by, trace, row_of, clock, causes, texts
        )
        views[by] = rows
        notes += said
    return {
        "unit": clock.unit,
        "took": clock.of(trace.ended),
        "evidence": trace.evidence,
        "tile": TILE,
        "kinds": [
            [look.name, look.colour if look.colour != PAPER else "", look.hatch, look.ink]
            for look in (LOOKS[kind] for kind in KINDS)
        ],
        "calls": _calls(explanation, kept, clock, causes, texts),
        "segments": _segments(account.segments, clock, causes),
        "chain": list(account.chain),
        "path": list(explanation.critical.chain),
        "stops": [
            [KINDS.index(stop.kind), clock.of(stop.since), clock.of(stop.until), list(stop.events)]
            for stop in trace.stops
        ],
        "findings": [
            [texts.of(finding.title), list(finding.evidence)] for finding in explanation.findings
        ],
        "spent": [
            [texts.of(text) for text in (row.fate, row.agent, row.model, row.step)]
            for row in explanation.spending.rows
        ],
        "views": views,
        "notes": notes,
        # These come last: all of the above fills them.
        "causes": causes.rows(),
        "texts": texts.all,
    }


def listed(explanation: Explanation) -> Sequence[int]:
    """Choose the calls that are listed, by index, in their order."""
    activities = explanation.trace.activities
    if len(activities) <= MOST_CALLS:
        return range(len(activities))
    chosen = dict.fromkeys((*explanation.account.chain, *explanation.critical.chain))
    cited = {event: True for finding in explanation.findings for event in finding.evidence}
    for index, activity in enumerate(activities):
        if any(event in cited for event in activity.events):
            chosen[index] = None
    ended = explanation.trace.ended
    by_length = sorted(
        range(len(activities)), key=lambda index: _asked_to_end(activities[index], ended)
    )
    for index in by_length:
        if len(chosen) >= MOST_CALLS:
            break
        chosen.setdefault(index)
    return sorted(list(chosen)[:MOST_CALLS])


def _asked_to_end(activity: Activity, ended: int) -> int:
    return activity.asked - (ended if activity.ended is None else activity.ended)


def _calls(
    explanation: Explanation, kept: Sequence[int], clock: _Clock, causes: _Causes, texts: _Texts
) -> Json:
    """Give the calls as columns."""
    of = [explanation.trace.activities[index] for index in kept]
    slack = explanation.critical.slack
    usages = [activity.usage for activity in of]

    def column(texts_of: Iterable[str]) -> list[int]:
        return [texts.of(text) for text in texts_of]

    return {
        "index": list(kept) if len(kept) < len(explanation.trace.activities) else None,
        "path": column(activity.name for activity in of),
        "step": column(activity.step for activity in of),
        "agent": column(activity.agent for activity in of),
        "model": column(activity.model for activity in of),
        "work": column(activity.work for activity in of),
        "fate": column(activity.fate for activity in of),
        "how": column(activity.how for activity in of),
        "team": column(activity.team for activity in of),
        "asked": [clock.of(activity.asked) for activity in of],
        "began": [clock.of(activity.began) - clock.of(activity.asked) for activity in of],
        "ended": [
            None if activity.ended is None else clock.of(activity.ended) - clock.of(activity.began)
            for activity in of
        ],
        "flags": [
            activity.cached
            + 2 * activity.hedge
            + 4 * (not activity.left)
            + 8 * (activity.usage is not None)
            for activity in of
        ],
        "tokensIn": [usage.tokens_in if usage else None for usage in usages],
        "tokensOut": [usage.tokens_out if usage else None for usage in usages],
        "cost": [usage.cost if usage else None for usage in usages],
        "after": [activity.after for activity in of],
        "needs": [list(activity.needs) for activity in of],
        "claims": [column(activity.claims) for activity in of],
        "events": [list(activity.events) for activity in of],
        "slack": [
            None if (spare := slack[index]) is None else spare // clock.unit for index in kept
        ],
        "waits": [_waits(activity, clock, causes) for activity in of],
    }


def _waits(activity: Activity, clock: _Clock, causes: _Causes) -> list[int]:
    flat = []
    for wait in activity.waits:
        since, until = clock.of(wait.since), clock.of(wait.until)
        flat += [causes.of(cause_of(wait.cause)), since - clock.of(activity.asked), until - since]
    return flat


def _segments(segments: Sequence[Segment], clock: _Clock, causes: _Causes) -> list[int]:
    """Give the stretches of the account: how long, what for, which call; they follow each other."""
    flat = []
    for since, until, cause, activity in segments:
        flat += [clock.of(until) - clock.of(since), causes.of(cause), activity]
    return flat


def _view(
    rows: Sequence[Lane],
    by: By,
    trace: Trace,
    row_of: Mapping[int, int],
    clock: _Clock,
    causes: _Causes,
    texts: _Texts,
) -> tuple[Json, list[str]]:
    """Give the rows of a timeline: each a name and its bars; and what was left out of them."""
    all_listed = len(row_of) == len(trace.activities)
    fine = 0 if all_listed else trace.took // _FINEST
    found, lost = [], 0
    for lane in rows:
        bars, missing = _kept_bars(lane.bars, row_of, fine)
        lost += missing
        flat, at = [], 0
        for since, until, cause, activity in bars:
            start, end = clock.of(since), clock.of(until)
            flat += [start - at, end - start, causes.of(cause), activity]
            at = end
        found.append([texts.of(lane.name if not lane.row else ""), flat])
    notes = []
    if rows and rows[-1].merged > 1:
        whole = len(rows) - 1 + rows[-1].merged
        notes.append(
            f"By {by}: of {whole:,} rows of the timeline {len(rows) - 1:,} are drawn; the last one "
            "shows the most telling of the others."
        )
    if lost:
        notes.append(
            f"By {by}: {lost:,} bars of calls that are not listed are left out of the timeline, "
            f"each shorter than 1/{_FINEST:,} of the run; others are merged with their neighbours."
        )
    return found, notes


def _kept_bars(bars: Sequence[Bar], row_of: Mapping[int, int], fine: int) -> tuple[list[Bar], int]:
    """Give the bars that are drawn, and how many were left out.

    Where nothing was ready, nothing is drawn.
    Neighbours of one cause are merged if neither belongs to a call that is listed.
    """
    kept: list[Bar] = []
    lost = 0
    for bar in bars:
        if bar.cause.kind == "idle":
            continue
        if bar.activity < 0 or bar.activity in row_of:
            kept.append(bar)
            continue
        last = kept[-1] if kept else None
        if last is not None and last[1:] == (bar.since, bar.cause, _MERGED):
            kept[-1] = last._replace(until=bar.until)
            continue
        if bar.until - bar.since < fine:
            lost += 1
        else:
            kept.append(bar._replace(activity=_MERGED))
    return kept, lost


_MERGED: Final = -2
"""Stands in a bar for calls that are not listed."""
