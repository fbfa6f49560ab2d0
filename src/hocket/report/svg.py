"""A small writer of SVG: elements, hatches, measured text, axes.

Pictures have no style of their own but classes, which `STYLE` colours for light and dark.
So the same drawing stands in a file by itself, or within a page that has the style already.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from hocket.core.values import DAY, HOUR, MINUTE, MS, SECOND
from hocket.insight.causes import KINDS
from hocket.report.palette import FATES, LOOKS, PAPER, TILE, UNDER_WAY, Look

FONT: Final = 12
"""The size of text, in pixels."""


class Drawing(NamedTuple):
    """A picture without its frame.

    Fields:
        width: In pixels.
        height: In pixels.
        title: What it shows, in one sentence.
        body: Its elements.
    """

    width: int
    height: int
    title: str
    body: str


class Tick(NamedTuple):
    """A mark of an axis.

    Fields:
        at: Where, in what the axis counts.
        text: What is written beside it.
    """

    at: float
    text: str


# ---- elements ----

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


# XML has no place for other characters, not even escaped.
_FOREIGN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legible(text: str) -> str:
    """Put the sign for an unknown character in place of what no file may hold, such as controls."""
    return _FOREIGN.sub("\N{REPLACEMENT CHARACTER}", text)


def escape(text: str) -> str:
    """Write text so that no markup comes of it, in an element or in an attribute."""
    return legible(text).translate(_ESCAPES)


def number(value: float) -> str:
    """Write a coordinate with at most two digits after the point."""
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def tag(name: str, inner: str = "", /, **attributes: str | float | None) -> str:
    """Write an element; `inner` is markup already.

    Args:
        name: The element's name.
        inner: What is within it.
        attributes: Its attributes: ``_`` is written as ``-``, but at the end, as in ``class_``,
            where it is left out; None leaves an attribute out.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            text = escape(value) if isinstance(value, str) else number(value)
            words.append(f'{key.rstrip("_").replace("_", "-")}="{text}"')
    head = " ".join(words)
    return f"<{head}>{inner}</{name}>" if inner else f"<{head}/>"


def rect(
    x: float, y: float, width: float, height: float, class_: str, title: str = "", **more: str
) -> str:
    """Write a rectangle, with a title that is shown under the pointer."""
    inner = tag("title", escape(title)) if title else ""
    return tag("rect", inner, class_=class_, x=x, y=y, width=width, height=height, **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Write a line."""
    return tag("line", class_=class_, x1=x1, y1=y1, x2=x2, y2=y2)


def words(
    x: float, y: float, text: str, class_: str = "t", anchor: str | None = None, title: str = ""
) -> str:
    """Write text that stands on y; `anchor` is ``middle`` or ``end``."""
    inner = escape(text) + (tag("title", escape(title)) if title else "")
    return tag("text", inner, class_=class_, x=x, y=y, text_anchor=anchor)


# ---- text ----

# Widths of printable ASCII in thousandths of the size, from the space on: those of Helvetica,
# and how much wider the widest of the usual fonts is.
_WIDEST: Final = 1.14
_WIDTHS: Final = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 "
    "556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 "
    "260 334 584"
)
_WIDTH_OF: Final = dict(enumerate(map(int, _WIDTHS.split()), start=32))
_WIDE_FROM: Final = 0x1100


def text_width(text: str, size: float = FONT) -> float:
    """Measure text, about as wide as any sans-serif font makes it."""
    whole = 0
    for char in text:
        point = ord(char)
        whole += _WIDTH_OF.get(point, 600 if point < _WIDE_FROM else 1000)
    return whole * size * _WIDEST / 1000


def fit(text: str, room: float, size: float = FONT) -> str:
    """Cut text in its middle so that it fits; names differ at both ends. "" if nothing does."""
    if text_width(text, size) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(_shortened(text, middle), size) <= room:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low) if low else ""


def _shortened(text: str, keep: int) -> str:
    tail = keep // 3
    return text[: keep - tail] + "…" + (text[-tail:] if tail else "")


# ---- axes ----

_STEPS: Final = (
    *(base * 10**power for power in range(9) for base in (1, 2, 5)),
    *(SECOND * n for n in (1, 2, 5, 10, 15, 30)),
    *(MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(HOUR * n for n in (1, 2, 3, 6, 12)),
    *(DAY * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000)),
)


def time_ticks(span: int, most: int) -> list[Tick]:
    """Divide a span of nanoseconds by round instants, at most so many and 0."""
    step = next((step for step in _STEPS if span // step <= most), max(span, 1))
    return [Tick(at, time_text(at, step)) for at in range(0, span + 1, step)]


def time_text(at: int, step: int) -> str:
    """Write an instant of an axis whose ticks are a step apart."""
    if at == 0:
        return "0"
    if step >= DAY:
        return f"{at // DAY} d"
    if step >= HOUR:
        days, hours = divmod(at // HOUR, 24)
        return f"{days} d {hours} h" if days else f"{hours} h"
    if step >= MINUTE:
        hours, minutes = divmod(at // MINUTE, 60)
        return f"{hours}:{minutes:02d} h" if hours else f"{minutes} min"
    if step >= SECOND:
        minutes, seconds = divmod(at // SECOND, 60)
        return f"{minutes}:{seconds:02d}" if minutes else f"{seconds} s"
    if at >= SECOND:
        return f"{at / SECOND:,.10g} s"
    unit, name = (MS, "ms") if step >= MS else (1_000, "µs") if step >= 1_000 else (1, "ns")
    return f"{at // unit} {name}"


def ticks(low: float, high: float, most: int) -> list[Tick]:
    """Divide a range of numbers by round ones, at most so many and one more."""
    span = high - low
    if span <= 0:
        return [Tick(low, f"{low:,.10g}")]
    power = 10.0
    step = 1.0
    while step * power > span:
        step /= power
    while step * power <= span:
        step *= power
    step /= power
    step = next(step * n for n in (1, 2, 5, 10, 20, 50, 100) if span / (step * n) <= most)
    first = math.ceil(low / step)
    found = []
    while first * step <= high + step * 1e-9:
        found.append(Tick(first * step, f"{first * step:,.10g}"))
        first += 1
    return found


# ---- the frame ----


_SURFACES: Final[dict[str, Look]] = {
    **{f"k-{kind}": LOOKS[kind] for kind in KINDS},
    **{f"f-{fate}": look for fate, look in FATES.items()},
    "f-": UNDER_WAY,
}
"""The classes of surfaces: ``k-`` with a kind of cause, ``f-`` with a fate."""


def hatches() -> str:
    """Write the patterns of all surfaces, which the classes of `STYLE` refer to."""
    found = []
    for name, look in _SURFACES.items():
        if look.hatch:
            ground = tag("rect", width=TILE, height=TILE, fill=look.colour)
            strokes = tag("path", d=look.hatch, class_="hatch", stroke=look.ink)
            found.append(
                tag(
                    "pattern",
                    ground + strokes,
                    id=f"h{name}",
                    width=TILE,
                    height=TILE,
                    patternUnits="userSpaceOnUse",
                )
            )
    return tag("defs", "".join(found))


def _surfaces_style() -> str:
    rules = []
    for name, look in _SURFACES.items():
        colour = "var(--paper)" if look.colour == PAPER else look.colour
        rules.append(f".{name}{{fill:{f'url(#h{name})' if look.hatch else colour}}}")
    return "".join(rules)


_LIGHT = "--paper:#fff;--ink:#1a1a1a;--soft:#595959;--rule:#dcdcdc;--band:#f3f3f3"
_DARK = "--paper:#14171c;--ink:#ececec;--soft:#b0b0b0;--rule:#343a42;--band:#1d2127"
STYLE: Final = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    "svg text{font:12px system-ui,Segoe UI,Helvetica,Arial,sans-serif;fill:var(--ink)}"
    "svg .s{fill:var(--soft);font-size:11px}svg .b{font-weight:600}"
    "svg .paper{fill:var(--paper)}svg .band{fill:var(--band)}"
    "svg .rule{stroke:var(--rule);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1}"
    "svg .chain{fill:none;stroke:var(--ink);stroke-width:2}"
    "svg .strong{stroke:var(--ink);stroke-width:2;fill:none}"
    "svg .cap{stroke:#d55e00;stroke-width:1.5;stroke-dasharray:5 3;fill:none}"
    "svg .dot{fill:var(--ink)}svg .ring{fill:var(--paper);stroke:var(--ink);stroke-width:1.5}"
    "svg .edge{stroke:var(--soft);stroke-width:.5}"
    "svg .hatch{stroke-width:1.2;fill:none;stroke-linecap:round}"
    "svg .stop{fill:var(--soft);opacity:.18}" + _surfaces_style()
)
"""The style of all drawings."""


def inline(drawing: Drawing) -> str:
    """Frame a drawing for a page that has `STYLE` and `hatches` already."""
    return _frame(drawing, "")


def document(drawing: Drawing) -> str:
    """Frame a drawing as a file of its own."""
    head = tag("style", STYLE) + hatches() + rect(0, 0, drawing.width, drawing.height, "paper")
    return _frame(drawing, head, xmlns="http://www.w3.org/2000/svg") + "\n"


def _frame(drawing: Drawing, head: str, **more: str) -> str:
    return tag(
        "svg",
        tag("title", escape(drawing.title)) + head + drawing.body,
        **more,
        width=drawing.width,
        height=drawing.height,
        viewBox=f"0 0 {drawing.width} {drawing.height}",
        role="img",
        aria_label=drawing.title,
    )
