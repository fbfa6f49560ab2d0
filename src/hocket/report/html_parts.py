"""The elements of HTML that an explanation's page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hocket.core.values import MS, SECOND
from hocket.report.explain_width import short_duration
from hocket.report.svg import escape, rect, tag

_VOID: Final = frozenset({"meta", "input"})


def h(name: str, inner: str = "", /, **attributes: str | float | None) -> str:
    """Write an element of HTML, which is closed in words unless it never has anything in it."""
    if inner:
        return tag(name, inner, **attributes)
    alone = tag(name, **attributes)
    return alone if name in _VOID else f"{alone[:-2]}></{name}>"


def link(href: str, text: str) -> str:
    """Write a link to a place or a choice of the page."""
    return h("a", escape(text), href=href)


def row_of(cells: Sequence[tuple[str, str]], name: str = "td") -> str:
    """Write a table's row of cells: markup and class each."""
    return h("tr", "".join(h(name, cell, class_=look or None) for cell, look in cells))


def table(head: Sequence[tuple[str, str]], rows: Sequence[str], foot: str = "") -> str:
    """Write a table that scrolls by itself where it is too wide; heads are a text and a class."""
    body = h("thead", row_of(head, "th")) + h("tbody", "".join(rows))
    whole = h("table", body + (h("tfoot", foot) if foot else ""))
    return h("div", whole, class_="wide", tabindex="0", role="group")


def section(id_: str, title: str, inner: str) -> str:
    """Write a part of the page under its title."""
    return h("section", h("h2", escape(title), id=f"{id_}-title") + inner, id=id_)


def took_text(ns: int) -> str:
    """Write a duration as seconds to the millisecond; what is below 10 ms with three digits."""
    if 0 < ns < 10 * MS:
        return short_duration(ns)
    return f"{ns / SECOND:,.3f} s"


def share_text(part: int, whole: int) -> str:
    """Write a part of a whole in per cent."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def swatch(kind: str) -> str:
    """Show a kind's colour and hatch."""
    box = rect(0, 0, 22, 14, f"k-{kind}")
    return tag("svg", box, class_="swatch", width=22, height=14, aria_hidden="true")
