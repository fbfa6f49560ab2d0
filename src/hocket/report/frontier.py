"""A picture of a study: what its variants took against what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from hocket.report.forest import FAR_OFF, Scale, axis, caveat, runs_words, took_text, wrapped
from hocket.report.svg import (
    Drawing,
    document,
    escape,
    line,
    number,
    tag,
    text_width,
    words,
)
from hocket.simulator.outcome import Row, Spread, Study

_LEFT: Final = 76
_TOP: Final = 44
_WIDE: Final = 520
_HIGH: Final = 320
_ROOM: Final = _LEFT + _WIDE
_SAME: Final = 12
"""Points that are no further apart have one label."""
_RADII: Final = (0, 12, 24, 36, 48, 72)
_KEY: Final = (
    "● no other one is both quicker and cheaper, of those that succeed about as often as the "
    "baseline",
    "○ another one is",
)

Box = tuple[float, float, float, float]


def frontier_svg(study: Study) -> str:
    """Draw what each variant took against what it cost, and the frontier of the best."""
    return document(frontier(study))


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


class _Points(NamedTuple):
    """Where the points of rows lie.

    Fields:
        rows: The rows.
        price: What their cost is counted in.
        across: Where costs lie.
        up: How far above the plot's lower edge times lie.
    """

    rows: Sequence[Row]
    price: _Price
    across: Scale
    up: Scale

    def at(self, row: Row) -> tuple[float, float]:
        """Give where a row's point lies."""
        return self.across(self.price.of(row).median), self.down(row.seconds.median)

    def down(self, seconds: float) -> float:
        """Give how far down a time lies."""
        return _TOP + _HIGH - self.up(seconds)


def frontier(study: Study) -> Drawing:
    """Draw time against cost without the frame: numbered points, and below what they are."""
    rows = [row for row in (study.baseline, *study.variants) if not row.why and row.runs]
    price = _price(rows)
    across, bottoms = axis([price.of(row) for row in rows], (), _LEFT, _WIDE)
    up, sides = axis([row.seconds for row in rows], (), 0, _HIGH)
    points = _Points(rows, price, across, up)
    body = [words(12, 20, f"{study.plan}: time against cost", "b")]
    told = study.match is None or study.match.verdict != "bad"
    for tick in bottoms:
        at = across(tick.at)
        body.append(line(at, _TOP, at, _TOP + _HIGH, "rule"))
        if told:
            body.append(words(at, _TOP + _HIGH + 16, tick.text, "s", "middle"))
    for tick in sides:
        at = points.down(tick.at)
        body.append(line(_LEFT, at, _ROOM, at, "rule"))
        if told:
            body.append(words(_LEFT - 6, at + 4, f"{tick.text} s", "s", "end"))
    body.append(words(_LEFT + _WIDE / 2, _TOP + _HIGH + 34, price.name, "s", "middle"))
    best = sorted((row for row in rows if row.frontier), key=lambda row: price.of(row).median)
    if len(best) > 1:
        ends = (f"{number(x)} {number(y)}" for x, y in map(points.at, best))
        body.append(tag("path", d="M" + " L".join(ends), class_="cap"))
    body += [mark for row in rows for mark in _point(row, points, told)]
    body += _labels(points)
    bottom = _TOP + _HIGH + 58
    for index, row in enumerate(rows):
        mark = "●" if row.frontier else "○"
        own = "b" if row is study.baseline else "t"
        for part in wrapped(f"{index + 1} {mark} {_told(row, price, told)}", _ROOM):
            body.append(words(12, bottom, part, own))
            bottom += 17
    bottom += 8
    notes = [*_KEY, f"{study.name}: {runs_words(study)}; lines hold 95 % of the runs"]
    if any(row.seconds.high > up.last or price.of(row).high > across.last for row in rows):
        notes.append(FAR_OFF.replace("▸", "A line at the edge"))
    notes += [said] if (said := caveat(study)) else []
    lines = [one for note in notes for one in wrapped(note, _ROOM)]
    body += [words(12, bottom + 16 * index, one, "s") for index, one in enumerate(lines)]
    return Drawing(
        _ROOM + 24,
        bottom + 16 * len(lines),
        f"{study.plan}: time against cost",
        "".join(body),
    )


def _told(row: Row, price: _Price, told: bool) -> str:
    if not told:
        return row.name
    return f"{row.name}: {took_text(row)}, {_amount(row, price)}"


def _amount(row: Row, price: _Price) -> str:
    value = price.of(row).median
    return f"${value:.3g}" if price.unit == "$" else f"{value:,.0f} {price.unit}"


def _point(row: Row, points: _Points, told: bool) -> list[str]:
    x, y = points.at(row)
    cost, time = points.price.of(row), row.seconds
    return [
        line(points.across(cost.low), y, points.across(cost.high), y, "axis"),
        line(x, points.down(time.low), x, points.down(time.high), "axis"),
        tag(
            "circle",
            tag("title", escape(_told(row, points.price, told))),
            class_="dot" if row.frontier else "ring",
            cx=x,
            cy=y,
            r=5,
        ),
    ]


# ---- the numbers of points ----


def _labels(points: _Points) -> list[str]:
    """Write a number beside each point, or the numbers of several that lie together."""
    taken: list[Box] = []
    for row in points.rows:
        x, y = points.at(row)
        cost, time = points.price.of(row), row.seconds
        taken.append((x - 6, y - 6, x + 6, y + 6))
        taken.append((points.across(cost.low), y - 1, points.across(cost.high), y + 1))
        taken.append((x - 1, points.down(time.high), x + 1, points.down(time.low)))
    body = []
    for (x, y), numbers in _together(points):
        text = _ranges(numbers)
        size = text_width(text)
        start, base, box = _place(x, y, size, taken)
        taken.append(box)
        if abs(base - y) > 30 or not x - size - 30 < start < x + 30:
            body.append(line(x, y, start + size / 2, base - 4, "rule"))
        body.append(words(start, base, text, "b" if numbers[0] == 1 else "t"))
    return body


def _together(points: _Points) -> list[tuple[tuple[float, float], list[int]]]:
    found: list[tuple[tuple[float, float], list[int]]] = []
    for index, row in enumerate(points.rows):
        x, y = points.at(row)
        near = (numbers for at, numbers in found if max(abs(at[0] - x), abs(at[1] - y)) <= _SAME)
        numbers = next(near, None)
        if numbers is None:
            found.append(((x, y), [index + 1]))
        else:
            numbers.append(index + 1)
    return found


def _ranges(numbers: Sequence[int]) -> str:
    """Write ``1, 3–5`` for 1, 3, 4, 5; two in a row are written out."""
    parts: list[list[int]] = []
    for one in numbers:
        if parts and parts[-1][-1] == one - 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ", ".join(
        f"{part[0]}–{part[-1]}" if part[2:] else ", ".join(map(str, part)) for part in parts
    )


def _place(x: float, y: float, size: float, taken: Sequence[Box]) -> tuple[float, float, Box]:
    """Find room for a text near a point, within the plot; the least bad place if there is none."""
    places = []
    for radius in _RADII:
        sides = (x + 9 + radius, x - 9 - size - radius, x - size / 2)
        for down in (4, -9 - radius, 19 + radius):
            places += [(side, y + down) for side in sides]
    best: tuple[int, float, float, Box] | None = None
    for start, base in places:
        start = min(max(start, _LEFT + 3), _ROOM - 3 - size)
        base = min(max(base, _TOP + 12), _TOP + _HIGH - 4)
        box = (start - 1, base - 11, start + size + 1, base + 3)
        over = sum(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
            for other in taken
        )
        if best is None or over < best[0]:
            best = (over, start, base, box)
        if not over:
            break
    assert best is not None
    return best[1:]
