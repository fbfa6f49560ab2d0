"""A picture of a study: how long each of its variants took, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from hocket.report.svg import (
    Drawing,
    Tick,
    document,
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
_FAR: Final = 20
"""What is so many times as long as the middle variant lies beyond the axis."""

FAR_OFF: Final = "▸ goes on beyond the axis"


def forest_svg(study: Study) -> str:
    """Draw how long each variant took: medians, 95 % intervals, the baseline's as a line."""
    return document(forest(study))


def figure(value: float, exact: bool = True, more: int = 0) -> str:
    """Write seconds as exactly as they are known, `more` digits more."""
    size = abs(value)
    if size < 0.5e-3:
        return "0"
    if not exact:
        digits = 0 if size >= 10 else 1 if size >= 1 else 2
    else:
        digits = more + (0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3)
    return f"{value:,.{digits}f}".replace("-", "−")


def seconds_text(value: float, exact: bool = True) -> str:
    """Write seconds with their unit."""
    return f"{figure(value, exact)} s"


def took_text(row: Row, exact: bool = True) -> str:
    """Say how long a variant takes, or when it comes to nothing."""
    told = seconds_text(row.seconds.median, exact)
    if row.figures == "stand still":
        return f"stands still at {told}"
    return f"fails at {told}" if row.figures == "failed" else told


def shown_range(spreads: Sequence[Spread]) -> tuple[float, float]:
    """Say from where to where an axis goes, so that one that is far off does not flatten all."""
    low = min(one.low for one in spreads)
    ends = sorted(end for one in spreads for end in (one.low, one.median, one.high))
    medians = sorted(one.median for one in spreads)
    most = _FAR * medians[(len(medians) - 1) // 2]
    return low, max((end for end in ends if end <= most), default=ends[-1]) if most else ends[-1]


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
    scale, marks = axis([row.seconds for row in drawn], recorded, left, _PLOT)
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
    notes = [f"{study.name}: {runs_words(study)}; bars hold 95 % of the runs, dots are medians"]
    if any(row.seconds.high > scale.last for row in drawn):
        notes.append(FAR_OFF)
    if study.match is not None:
        notes.append(f"◇ is the recorded run, {seconds_text(study.match.seconds)}")
    said = caveat(study)
    notes += [said] if said else []
    notes = [line for note in notes for line in wrapped(note, width - 2 * _MARGIN)]
    for index, note in enumerate(notes):
        body.append(words(_MARGIN, bottom + 56 + 16 * index, note, "s"))
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
    if spread.high > scale.last:
        body.append(words(ends[1] + 3, y + 4, "▸"))
    body.append(tag("circle", class_="dot", cx=scale(spread.median), cy=y, r=4.5))
    body.append(words(right, y + 4, _result(study, row)))
    return body


def _result(study: Study, row: Row) -> str:
    verdict = study.match.verdict if study.match is not None else "good"
    if verdict == "bad":
        return "" if row.certain is None else _direction(row.certain)
    exact = verdict == "good"
    text = took_text(row, exact)
    if row.faster is None:
        return text
    if row.faster.low == row.faster.high == 0:
        return f"{text}, the same"
    if row.certain is not None and row.certain[0] <= 0 <= row.certain[1]:
        return f"{text}, no certain difference"
    gain = row.faster.median
    return f"{text}, {seconds_text(abs(gain), exact)} {'sooner' if gain > 0 else 'later'}"


def _direction(certain: tuple[float, float]) -> str:
    if certain[0] > 0:
        return "sooner"
    return "later" if certain[1] < 0 else "no certain difference"


def runs_words(study: Study) -> str:
    """Say how many runs there were, and by which chance."""
    count = study.baseline.runs
    runs = "1 run" if count == 1 else f"{count:,} runs"
    return f"{runs} of each variant, seed {study.seed}"


class Scale(NamedTuple):
    """Where on a picture the values of an axis lie; what is beyond it lies at its end.

    Fields:
        first: The value at its beginning.
        last: The one at its end.
        start: Where it begins.
        size: How long it is.
    """

    first: float
    last: float
    start: float
    size: float

    def __call__(self, value: float) -> float:
        """Give where a value lies."""
        return self.exactly(min(max(value, self.first), self.last))

    def exactly(self, value: float) -> float:
        """Give where a value would lie if the axis went on."""
        return self.start + (value - self.first) / (self.last - self.first) * self.size


def axis(
    spreads: Sequence[Spread], others: Sequence[float], start: float, size: float
) -> tuple[Scale, list[Tick]]:
    """Give a scale that leaves some room at both ends, and its ticks.

    Args:
        spreads: What it shows; one that is far off lies beyond its end.
        others: Values that it shows, too.
        start: Where it begins.
        size: How long it is.
    """
    ends = [*(shown_range(spreads) if spreads else ()), *others]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    room = (high - low) * 0.06 or max(abs(high) * 0.1, 0.5)
    first, last = max(0.0, low - room) if low >= 0 else low - room, high + room
    return Scale(first, last, start, size), ticks(first, last, 6)


def wrapped(text: str, room: float) -> list[str]:
    """Part text into lines that fit, between words."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer) > room and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return [fit(one, room) for one in lines]
