"""Pictures of what was used: slots against their caps, windows of limits, money by agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from hocket.core.reports import FATES
from hocket.core.values import format_duration
from hocket.insight.account import Spent
from hocket.insight.explain import Explanation
from hocket.insight.load import Course, Fill, Steps, Use
from hocket.report.svg import (
    Drawing,
    fit,
    line,
    number,
    rect,
    tag,
    text_width,
    ticks,
    time_ticks,
    words,
)
from hocket.report.text import dollars

_HIGH: Final = 56
_GAP: Final = 22
_MOST: Final = 12
_MOST_AGENTS: Final = 30


class Shape(NamedTuple):
    """How wide pictures are, and where their names stand.

    Fields:
        width: How wide they are.
        left: Where what is drawn begins; names stand before it, or above it.
        above: How much room a name has above what it is of; 0 if it stands before it.
        aside: How much room is left for figures behind a bar.
    """

    width: int
    left: int
    above: int
    aside: int

    @property
    def room(self) -> int:
        """How wide what is drawn may be."""
        return self.width - self.left - (12 if self.above else 20)


WIDE: Final = Shape(920, 210, 0, 150)
NARROW: Final = Shape(330, 34, 40, 110)
"""For a telephone."""


class _Panel(NamedTuple):
    """A step function below its cap.

    Fields:
        name: Of what.
        href: What is chosen by its name, in a page.
        notes: What is said below the name.
        steps: Each value from its instant on.
        cap: The most that there may be, or None.
        kind: The surface below the line.
    """

    name: str
    href: str
    notes: tuple[str, ...]
    steps: Steps
    cap: int | None
    kind: str


def loads(told: Explanation, shape: Shape = WIDE) -> Drawing | None:
    """Draw how many calls were in flight against the caps; what was free stays white."""
    load = told.load
    panels = [_load_panel("all calls", "#counted-0", load.run)]
    panels += [
        _load_panel(f"slots of {name}", f"#limit-{quote(name, safe='')}", course)
        for name, course in load.limits.items()
    ]
    panels += [
        _load_panel(name or "no agent", f"#agent-{quote(name, safe='')}", course)
        for name, course in load.agents.items()
    ]
    if not load.run.peak:
        return None
    return _panels(told, "Calls in flight, and their caps", panels, shape)


def _load_panel(name: str, href: str, course: Course) -> _Panel:
    mean = f"mean {course.mean:.2g}, most {course.peak}"
    cap = "no cap" if course.cap is None else f"cap {course.cap}, free {_free(course)}"
    return _Panel(name, href, (mean, cap), course.steps, course.cap, "k-model")


def _free(course: Course) -> str:
    whole = (course.cap or 0) * course.span
    return f"{100 * (course.idle or 0) / whole:.0f} %" if whole else "0 %"


def windows(told: Explanation, shape: Shape = WIDE) -> Drawing | None:
    """Draw how much of each limit's windows was used, against what fits."""
    found = sorted(
        ((use, fill) for use in told.uses for fill in use.windows),
        key=lambda item: -item[0].waiting,
    )
    panels = [_window_panel(use, fill) for use, fill in found]
    return _panels(told, "Use of limits, and what fits", panels, shape) if panels else None


def _window_panel(use: Use, fill: Fill) -> _Panel:
    kind = fill.kind.replace("_", " ")
    amount = dollars(fill.amount) if fill.kind == "cost" else f"{fill.amount:,}"
    per = f"{amount} {kind} per {format_duration(fill.per)}" if fill.per else f"{amount} {kind}"
    notes = [per, f"waited for {format_duration(use.waiting)}"]
    if use.refused:
        notes.append(f"{use.refused} refused")
    href = f"#limit-{quote(use.limit, safe='')}"
    return _Panel(use.limit, href, tuple(notes), fill.steps, fill.amount, "k-rate")


def _panels(told: Explanation, title: str, panels: Sequence[_Panel], shape: Shape) -> Drawing:
    shown = panels[:_MOST]
    heading = title
    if len(shown) < len(panels):
        heading = f"{title} ({len(shown)} of {len(panels)})"
    body = [words(0, 16, heading, "b")]
    each = shape.above + _HIGH + _GAP
    for place, panel in enumerate(shown):
        body += _panel(told, panel, 30 + place * each, shape)
    bottom = 30 + len(shown) * each - _GAP
    took = told.trace.took
    for tick in time_ticks(took, 9 * shape.width // WIDE.width):
        x = shape.left + (tick.at * shape.room / took if took else 0.0)
        body.append(line(x, bottom, x, bottom + 5, "axis"))
        body.append(words(x, bottom + 18, tick.text, "s", "middle"))
    return Drawing(shape.width, bottom + 26, title, "".join(body))


def _panel(told: Explanation, panel: _Panel, y: int, shape: Shape) -> list[str]:
    began, took = told.trace.began, told.trace.took
    most = max([value for _, value in panel.steps] + [panel.cap or 0, 1])
    body = _named(panel, y, shape)
    y += shape.above
    left, right = shape.left, shape.left + shape.room
    for tick in ticks(0, most, 2):
        at = y + _HIGH * (1 - tick.at / most)
        if tick.at == int(tick.at):
            body.append(line(left - 4, at, left, at, "axis"))
            body.append(words(left - 7, at + 4, _short(tick.at), "s", "end"))
    steps = _averaged(panel.steps, began, took, shape.room)
    path = [f"M{left} {y + _HIGH}"]
    for at, value in steps:
        x = left + ((at - began) * shape.room / took if took else 0.0)
        path.append(f"H{number(x)}V{number(y + _HIGH * (1 - value / most))}")
    path.append(f"H{right}V{y + _HIGH}Z")
    body.append(tag("path", d="".join(path), class_=panel.kind))
    body.append(line(left, y + _HIGH, right, y + _HIGH, "axis"))
    body.append(line(left, y, left, y + _HIGH, "axis"))
    if panel.cap is not None:
        at = y + _HIGH * (1 - panel.cap / most)
        body.append(line(left, at, right, at, "cap"))
    return body


def _named(panel: _Panel, y: int, shape: Shape) -> list[str]:
    room = shape.width if shape.above else shape.left - 50
    name = words(0, y + 14, fit(panel.name, room), title=panel.name)
    body = [tag("a", name, href=panel.href)]
    notes = (", ".join(panel.notes),) if shape.above else panel.notes
    for place, note in enumerate(notes):
        body.append(words(0, y + 29 + 14 * place, fit(note, room, 11), "s"))
    return body


def _short(value: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.4g}{unit}"
    return f"{value:,.4g}"


def _averaged(steps: Steps, began: int, took: int, room: int) -> list[tuple[float, float]]:
    """Give a step function, or with more than two steps for each pixel its mean over them."""
    if len(steps) <= 2 * room or not took:
        return [(float(at), float(value)) for at, value in steps]
    sums = [0.0] * room
    ends = [at for at, _ in steps[1:]] + [began + took]
    for (since, value), until in zip(steps, ends, strict=True):
        first, last = ((at - began) * room / took for at in (since, until))
        place = max(0, int(first))
        while place < last and place < room:
            sums[place] += value * (min(last, place + 1) - max(first, place))
            place += 1
    return [(began + place * took / room, value) for place, value in enumerate(sums)]


# ---- money ----


def costs(told: Explanation, shape: Shape = WIDE) -> Drawing | None:
    """Draw what each agent's calls cost, by what became of them; tokens where nothing has a price.

    What came to nothing is never plain.
    """
    rows = told.spending.rows
    money = any(row.cost for row in rows)
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        amount = _amount(row, money)
        if amount:
            of = sums.setdefault(row.agent, {})
            of[row.fate] = of.get(row.fate, 0) + amount
    if not sums:
        return None
    ordered = sorted(sums.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    shown = ordered[:_MOST_AGENTS]
    title = "Cost by agent and fate" if money else "Tokens by agent and fate"
    if len(shown) < len(ordered):
        title += f" ({len(shown)} of {len(ordered)} agents)"
    most = sum(shown[0][1].values())
    known: tuple[str, ...] = (*FATES, "")
    fates = [fate for fate in known if any(fate in of for of in sums.values())]
    legend, high = _fates_legend(fates, shape.width)
    body = [words(0, 16, title, "b"), *legend]
    each = 24 + shape.above // 2
    for place, (agent, of) in enumerate(shown):
        y = high + place * each
        body += _cost_bar(agent, of, fates, most, y, money, shape)
    return Drawing(shape.width, high + len(shown) * each + 6, title, "".join(body))


def _amount(row: Spent, money: bool) -> int:
    return row.cost if money else row.tokens_in + row.tokens_out


def _cost_bar(
    agent: str,
    of: dict[str, int],
    fates: Sequence[str],
    most: int,
    y: int,
    money: bool,
    shape: Shape,
) -> list[str]:
    above = shape.above // 2
    wide = shape.width if above else shape.left - 20
    name = words(0, y + 13, fit(agent or "no agent", wide), title=agent)
    body = [tag("a", name, href=f"#agent-{quote(agent, safe='')}")]
    left = 0.0 if above else float(shape.left)
    y += above
    room, x = shape.width - left - 20 - shape.aside, left
    for fate in fates:
        amount = of.get(fate, 0)
        long = amount * room / most
        if amount:
            told = dollars(amount) if money else f"{amount:,} tokens"
            body.append(rect(x, y, long, 17, f"f-{fate} edge", f"{fate or 'under way'}: {told}"))
        x += long
    whole = sum(of.values())
    words_ = dollars(whole) if money else f"{whole:,} tokens"
    vain = sum(of.get(fate, 0) for fate in ("stale", "discarded"))
    if vain:
        words_ += f", {100 * vain / whole:.0f} % wasted"
    body.append(words(x + 8, y + 13, words_, "s"))
    return body


def _fates_legend(fates: Sequence[str], width: int) -> tuple[list[str], int]:
    """Draw what the surfaces mean, in as many lines as it takes; gives where they end, too."""
    body, x, y = [], 0.0, 28
    for fate in fates:
        name = fate or "under way"
        long = 46 + text_width(name)
        if x and x + long > width:
            x, y = 0.0, y + 18
        body.append(rect(x, y, 22, 12, f"f-{fate} edge"))
        body.append(words(x + 28, y + 10, name))
        x += long
    return body, y + 26
