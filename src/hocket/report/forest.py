"""Pictures of a study: a forest plot of its variants, and the frontier of time against cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from hocket.report.svg import (
    Drawing,
    Tick,
    document,
    escape,
    fit,
    line,
    number,
    rect,
    tag,
    text_width,
    ticks,
    words,
)
from hocket.simulator.outcome import Row, Spread, Study

_ROW: Final = 24
_PLOT: Final = 380
_MARGIN: Final = 12
_NAMES: Final = 280
_RESULTS: Final = 260
_KEY: Final = "● nothing else is both quicker and cheaper  ○ something is"

_FAR: Final = 20
"""What is so many times as long as the middle variant lies beyond the axis."""

Scale = Callable[[float], float]


def forest_svg(study: Study) -> str:
    """Draw how long each variant took: medians, 95 % intervals, the baseline's as a line."""
    return document(forest(study))


def frontier_svg(study: Study) -> str:
    """Draw what each variant took against what it cost, and the frontier of the best."""
    return document(frontier(study))


def seconds_text(value: float, exact: bool = True) -> str:
    """Write seconds as exactly as they are known."""
    if not exact:
        return f"{value:,.0f} s" if value >= 10 else f"{value:.1g} s"
    digits = 0 if value >= 1_000 else 1 if value >= 100 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} s"


def shown_range(spreads: Sequence[Spread]) -> tuple[float, float]:
    """Say from where to where an axis goes, so that one that is far off does not flatten all."""
    low = min(one.low for one in spreads)
    ends = sorted(end for one in spreads for end in (one.low, one.median, one.high))
    medians = sorted(one.median for one in spreads)
    most = _FAR * medians[(len(medians) - 1) // 2]
    return low, max((end for end in ends if end <= most), default=ends[-1])


def caveat(study: Study) -> str:
    """Say how far the figures may be trusted; "" if there is nothing to say against them."""
    match = study.match
    if match is None or match.verdict == "good":
        return ""
    why = match.reasons[0] if match.reasons else "the baseline does not match the recorded run"
    if match.verdict == "rough":
        return f"Rough figures: {why}"
    return f"Only directions, no figures: {why}"


# ---- forest ----


def forest(study: Study) -> Drawing:
    """Draw the forest plot without its frame."""
    rows = [study.baseline, *study.variants]
    drawn = [row for row in rows if not row.why and row.runs]
    names = min(_NAMES, max(text_width(row.name) for row in rows) + 16)
    left = _MARGIN + names
    recorded = [study.match.seconds] if study.match is not None else []
    scale, marks = _axis(
        [end for row in drawn for end in (row.seconds.low, row.seconds.high)] + recorded,
        left,
        _PLOT,
    )
    told = study.match is None or study.match.verdict != "bad"
    top, body = 48, []
    bottom = top + len(rows) * _ROW + 6
    width = round(left + _PLOT + _RESULTS)
    body += [rect(0, top + n * _ROW, width, _ROW, "band") for n in range(1, len(rows), 2)]
    for tick in marks:
        body.append(line(scale(tick.at), top - 4, scale(tick.at), bottom, "rule"))
        if told:
            body.append(words(scale(tick.at), bottom + 16, tick.text, "s", "middle"))
    body.append(words(left + _PLOT / 2, bottom + 34, "seconds", "s", "middle"))
    if study.baseline in drawn:
        middle = scale(study.baseline.seconds.median)
        body.append(line(middle, top - 4, middle, bottom, "cap"))
    if study.match is not None:
        at = scale(study.match.seconds)
        diamond = f"M{number(at)} {top - 14}l5 5l-5 5l-5-5Z"
        body.append(tag("path", tag("title", "the recorded run"), d=diamond, class_="ring"))
        body.append(line(at, top - 4, at, bottom, "axis"))
    for index, row in enumerate(rows):
        body += _forest_row(study, row, index, top, left, scale)
    notes = [f"{study.name}: {_runs_words(study)}; bars hold 95 % of the runs, dots are medians"]
    if study.match is not None:
        notes.append(f"◇ is the recorded run, {seconds_text(study.match.seconds)}")
    said = caveat(study)
    notes += [said] if said else []
    for index, note in enumerate(notes):
        at = bottom + 56 + 16 * index
        body.append(words(_MARGIN, at, fit(note, width - 2 * _MARGIN), "s", title=note))
    heading = f"{study.plan}: how long it takes"
    body.insert(0, words(_MARGIN, 20, fit(heading, width - 2 * _MARGIN), "b"))
    return Drawing(width, bottom + 56 + 16 * len(notes), heading, "".join(body))


def _forest_row(
    study: Study, row: Row, index: int, top: int, left: float, scale: Scale
) -> list[str]:
    y = top + index * _ROW + _ROW / 2
    body = []
    own = "b" if row is study.baseline else "t"
    body.append(words(_MARGIN, y + 4, fit(row.name, left - _MARGIN - 8), own, title=row.name))
    right = left + _PLOT + 12
    if row.why or not row.runs:
        why = row.why or "it was not simulated"
        body.append(words(left + 8, y + 4, "✗ " + fit(why, _PLOT + _RESULTS - 40), "s", title=why))
        return body
    spread = row.seconds
    ends = scale(spread.low), scale(spread.high)
    body.append(line(ends[0], y, ends[1], y, "strong"))
    body += [line(end, y - 4, end, y + 4, "strong") for end in ends]
    body.append(tag("circle", class_="dot", cx=scale(spread.median), cy=y, r=4.5))
    body.append(words(right, y + 4, _result(study, row)))
    return body


def _result(study: Study, row: Row) -> str:
    verdict = study.match.verdict if study.match is not None else "good"
    if verdict == "bad":
        return "" if row.certain is None else _direction(row.certain)
    exact = verdict == "good"
    text = seconds_text(row.seconds.median, exact)
    if row.faster is None:
        return text
    if row.certain is not None and row.certain[0] <= 0 <= row.certain[1]:
        return f"{text}, no certain difference"
    gain = row.faster.median
    return f"{text}, {seconds_text(abs(gain), exact)} {'sooner' if gain > 0 else 'later'}"


def _direction(certain: tuple[float, float]) -> str:
    if certain[0] > 0:
        return "sooner"
    return "later" if certain[1] < 0 else "no certain difference"


def _runs_words(study: Study) -> str:
    count = study.baseline.runs
    runs = "1 run" if count == 1 else f"{count:,} runs"
    return f"{runs} of each variant, seed {study.seed}"


def _axis(values: list[float], left: float, size: float) -> tuple[Scale, list[Tick]]:
    """Give a scale that leaves some room at both ends, and its ticks."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low) * 0.06 or max(abs(high) * 0.1, 0.5)
    first, last = max(0.0, low - room) if low >= 0 else low - room, high + room

    def scale(value: float) -> float:
        return left + (value - first) / (last - first) * size

    return scale, ticks(first, last, 6)


# ---- frontier ----


class _Price(NamedTuple):
    name: str
    unit: str
    of: Callable[[Row], Spread]


def _price(rows: list[Row]) -> _Price:
    """Choose what cost is counted in: dollars if all that has been simulated has a price."""
    if rows and all(row.usd is not None for row in rows):
        unpriced = ", less what has no price" if any(row.unpriced for row in rows) else ""
        return _Price(f"dollars{unpriced}", "$", lambda row: row.usd or row.calls)
    if any(row.tokens.high for row in rows):
        return _Price("tokens (not all has a price)", "tokens", lambda row: row.tokens)
    return _Price("calls (nothing has a price)", "calls", lambda row: row.calls)


def frontier(study: Study) -> Drawing:
    """Draw time against cost without the frame."""
    rows = [row for row in (study.baseline, *study.variants) if not row.why and row.runs]
    price = _price(rows)
    left, top, wide, high = 76, 44, 520, 320
    across, bottoms = _axis([end for row in rows for end in _ends(price.of(row))], left, wide)
    up, sides = _axis([end for row in rows for end in _ends(row.seconds)], 0, high)

    def down(value: float) -> float:
        return top + high - up(value)

    body = [words(12, 20, f"{study.plan}: time against cost", "b")]
    told = study.match is None or study.match.verdict != "bad"
    for tick in bottoms:
        body.append(line(across(tick.at), top, across(tick.at), top + high, "rule"))
        if told:
            body.append(words(across(tick.at), top + high + 16, tick.text, "s", "middle"))
    for tick in sides:
        body.append(line(left, down(tick.at), left + wide, down(tick.at), "rule"))
        if told:
            body.append(words(left - 6, down(tick.at) + 4, f"{tick.text} s", "s", "end"))
    body.append(words(left + wide / 2, top + high + 34, price.name, "s", "middle"))
    best = sorted((row for row in rows if row.frontier), key=lambda row: price.of(row).median)
    if len(best) > 1:
        path = " ".join(
            f"{'L' if index else 'M'}{number(across(price.of(row).median))} "
            f"{number(down(row.seconds.median))}"
            for index, row in enumerate(best)
        )
        body.append(tag("path", d=path, class_="cap"))
    body += [mark for row in rows for mark in _point(study, row, price, across, down)]
    body += _labels(study, rows, price, across, down, left + wide)
    said = caveat(study) or f"{study.name}: {_runs_words(study)}; lines hold 95 % of the runs"
    room = left + wide
    body.append(words(12, top + high + 56, fit(said, room), "s", title=said))
    body.append(words(12, top + high + 72, _KEY, "s"))
    return Drawing(
        left + wide + 24, top + high + 84, f"{study.plan}: time against cost", "".join(body)
    )


def _ends(spread: Spread) -> tuple[float, float]:
    return spread.low, spread.high


def _point(study: Study, row: Row, price: _Price, across: Scale, down: Scale) -> list[str]:
    cost, time = price.of(row), row.seconds
    x, y = across(cost.median), down(time.median)
    told = row.name
    if study.match is None or study.match.verdict != "bad":
        told += f": {seconds_text(time.median)}, {cost.median:.6g} {price.unit}"
    shape = tag(
        "circle",
        tag("title", escape(told)),
        class_="dot" if row.frontier else "ring",
        cx=x,
        cy=y,
        r=5,
    )
    return [
        line(across(cost.low), y, across(cost.high), y, "axis"),
        line(x, down(time.low), x, down(time.high), "axis"),
        shape,
    ]


def _around(x: float, y: float, size: float) -> list[tuple[float, float]]:
    """Give the places for a name beside a point, the best first."""
    sides = (x + 8, x - 8 - size, x - size / 2)
    return [(side, y + down) for down in (-6, 16, -22, 30) for side in sides]


def _labels(
    study: Study, rows: list[Row], price: _Price, across: Scale, down: Scale, right: float
) -> list[str]:
    """Write names beside points, those of the frontier first; where one has no room it is left out.

    A name that is left out is still shown under the pointer.
    """
    taken: list[tuple[float, float, float, float]] = []
    body = []
    order = sorted(rows, key=lambda row: (row is not study.baseline, not row.frontier))
    for row in order:
        name = fit(row.name, 220)
        size = text_width(name)
        x, y = across(price.of(row).median), down(row.seconds.median)
        for start, base in _around(x, y, size):
            box = (start, base - 11, start + size, base + 3)
            free = all(
                box[2] < other[0] or other[2] < box[0] or box[3] < other[1] or other[3] < box[1]
                for other in taken
            )
            if free and box[0] > 0 and box[2] < right + 16:
                taken.append(box)
                body.append(words(start, base, name, "b" if row is study.baseline else "t"))
                break
    return body
