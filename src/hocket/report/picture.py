"""Pictures of a run: its timeline, how full slots and windows were, and what money went to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from hocket.insight.causes import KINDS, Cause, Kind
from hocket.insight.explain import Explanation
from hocket.insight.lanes import Bar, By, Lane, lanes
from hocket.report.explain_width import short_duration
from hocket.report.lane_order import in_order
from hocket.report.palette import LOOKS, cause_name
from hocket.report.svg import (
    FONT,
    Drawing,
    document,
    fit,
    line,
    rect,
    text_width,
    time_ticks,
    words,
)

MOST_ROWS: Final = 200
"""A picture has at most so many rows; the rest is merged into the last one, which says so."""

_WIDTH: Final = 1_200
_LABELS: Final = 190
_ROW: Final = 20
_BAR: Final = 14
_POINTED: Final = 3
"""Narrower bars say nothing under the pointer, which hardly meets them."""
_LEFT: Final = _LABELS + 8
_ROOM: Final = _WIDTH - _LEFT - 16


def timeline_svg(explanation: Explanation, by: By = "agent") -> str:
    """Draw a run's timeline as a file: a row for each agent, slot, step or limit."""
    return document(timeline(explanation, by))


class _Span(NamedTuple):
    """A bar in pixels.

    Fields:
        x: Where it begins.
        wide: How wide it is.
        cause: What it shows.
        activity: Of which call it is; of the longest one if several are merged.
        merged: How many bars it stands for.
    """

    x: float
    wide: float
    cause: Cause
    activity: int
    merged: int


def timeline(told: Explanation, by: By) -> Drawing:
    """Draw the timeline without its frame: the headline, the shares, the rows, the legend."""
    trace = told.trace
    rows = in_order(lanes(trace, by, MOST_ROWS), by)
    chain = [Bar(*segment) for segment in told.account.segments]
    whole = [Lane(name="the finish waited for", row=0, bars=chain), *rows]
    on_chain = dict.fromkeys(told.account.chain, True)
    title = f"{trace.name or trace.run}: timeline by {by}"
    body = [words(12, 22, fit(told.headline, _WIDTH - 24), "b", title=told.headline)]
    body += [words(12, 40, f"{title}; {short_duration(trace.took)}", "s")]
    body += _shares_bar(told, 52)
    top = 96
    bottom = top + len(whole) * _ROW
    body += _axis(trace.took, top, bottom)
    merged, kinds = 0, dict.fromkeys((cause.kind for cause in told.account.shares), True)
    for number, lane in enumerate(whole):
        spans = _spans(lane.bars, trace.began, trace.took)
        merged += sum(span.merged - 1 for span in spans)
        kinds.update((span.cause.kind, True) for span in spans)
        body += _lane(told, lane, spans, top + number * _ROW, on_chain, first=number == 0)
    for stop in trace.stops:
        x, wide = _place(stop.since, stop.until, trace.began, trace.took)
        body.append(rect(x, top, wide, bottom - top, "stop", "the run stood still"))
    at, legend = _legend([kind for kind in KINDS if kind in kinds], bottom + 36)
    body += legend
    if merged:
        note = f"{merged:,} bars thinner than a pixel are merged with the longest beside them."
        body.append(words(12, at + 18, note, "s"))
        at += 18
    return Drawing(_WIDTH, at + 14, title, "".join(body))


def _place(since: int, until: int, began: int, took: int) -> tuple[float, float]:
    """Give where a stretch of time begins on the page, and how wide it is."""
    scale = _ROOM / took if took else 0.0
    return _LEFT + (since - began) * scale, (until - since) * scale


def _spans(bars: Sequence[Bar], began: int, took: int) -> list[_Span]:
    """Turn bars into pixels; what lies within one pixel becomes one, of its longest bar."""
    found: list[_Span] = []
    group: list[Bar] = []

    def close() -> None:
        if group:
            longest = max(group, key=lambda bar: bar.until - bar.since)
            x, wide = _place(group[0].since, group[-1].until, began, took)
            found.append(_Span(x, max(wide, 0.6), longest.cause, longest.activity, len(group)))
            group.clear()

    for bar in bars:
        if bar.cause.kind == "idle":
            close()
            continue
        _, wide = _place(bar.since, bar.until, began, took)
        if group:
            _, all_wide = _place(group[0].since, bar.until, began, took)
            if wide >= 1 or all_wide > 1:
                close()
        group.append(bar)
        if wide >= 1:
            close()
    close()
    return found


def _lane(
    told: Explanation,
    lane: Lane,
    spans: Sequence[_Span],
    y: int,
    on_chain: dict[int, bool],
    *,
    first: bool,
) -> list[str]:
    body = []
    if not lane.row:
        look = "b" if first else "t"
        body.append(words(12, y + 13, fit(lane.name, _LABELS - 16), look, title=lane.name))
    for span in spans:
        title = _span_title(told, span) if span.wide >= _POINTED else ""
        body.append(rect(span.x, y + 1, span.wide, _BAR, f"k-{span.cause.kind} edge", title))
    if not first:
        marks = [span for span in spans if span.activity in on_chain]
        body += [rect(span.x, y + 1 + _BAR, span.wide, 3, "dot") for span in marks]
    return body


def _span_title(told: Explanation, span: _Span) -> str:
    name = cause_name(span.cause)
    if span.merged > 1:
        return f"{name}, and {span.merged - 1} more"
    if span.activity < 0:
        return name
    activity = told.trace.activities[span.activity]
    return f"{activity.name}: {name}"


def _axis(took: int, top: int, bottom: int) -> list[str]:
    body = []
    for tick in time_ticks(took, 12):
        x = _LEFT + (tick.at * _ROOM / took if took else 0.0)
        body.append(line(x, top - 4, x, bottom + 4, "rule"))
        body.append(words(x, bottom + 18, tick.text, "s", "middle"))
    return body


def _shares_bar(told: Explanation, y: int) -> list[str]:
    """Draw the shares of the wall time as one bar, with names where there is room."""
    took = told.trace.took
    body, x = [], float(_LEFT)
    body.append(words(12, y + 15, "shares of the time"))
    for cause, amount in told.account.shares.items():
        wide = amount * _ROOM / took if took else 0.0
        share = f"{100 * amount / took:.0f} %" if took else ""
        title = f"{cause_name(cause)}: {share}"
        body.append(rect(x, y, wide, 20, f"k-{cause.kind} edge", title))
        name = f"{share} {cause_name(cause)}"
        if text_width(name, 11) + 8 < wide:
            body.append(words(x, y + 33, name, "s"))
        elif text_width(share, 11) + 8 < wide:
            body.append(words(x, y + 33, share, "s"))
        x += wide
    return body


def _legend(kinds: Sequence[Kind], y: int) -> tuple[int, list[str]]:
    """Draw what the surfaces mean; gives where it ends."""
    body, x = [], 12.0
    entries = [(f"k-{kind} edge", LOOKS[kind].name) for kind in kinds]
    entries.append(("dot", "below a bar: the finish waited for this call"))
    for look, name in entries:
        wide = 30 + text_width(name, FONT) + 18
        if x + wide > _WIDTH - 12:
            x, y = 12.0, y + 20
        thin = look == "dot"
        body.append(rect(x, y + (6 if thin else 0), 22, 3 if thin else 12, look))
        body.append(words(x + 28, y + 10, name))
        x += wide
    return y + 14, body
