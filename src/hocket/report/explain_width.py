"""Lines of an explanation that keep to a width, and durations that keep their digits."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from hocket.core.values import MS, SECOND, format_duration
from hocket.report.text import clip, table

_LEAST_COLUMN: Final = 10
"""So wide a column stays, however little room there is."""
_GAP: Final = 2


def wrapped(
    text: str, width: int, first: str = "", rest: str = "", *, whole: bool = False
) -> list[str]:
    """Break a text into lines of a width, the first and the others behind what indents them.

    With `whole` a word that is longer than a line keeps all of its letters together.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=not whole,
        break_on_hyphens=False,
    )


def fitted(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    right: set[int] | frozenset[int] = frozenset(),
    shrink: Sequence[int] = (),
) -> list[str]:
    """Lay out a table that is no wider than a width.

    Args:
        head: The columns' heads.
        rows: The cells.
        width: How wide it may be.
        right: The columns that are flush right: numbers.
        shrink: The columns that give room where there is too little, first to last: words.
    """
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    over = sum(widths) + _GAP * (len(widths) - 1) - width
    for column in shrink:
        given = min(max(0, over), max(0, widths[column] - _LEAST_COLUMN))
        widths[column] -= given
        over -= given
    for row in cells:
        for column, size in enumerate(widths):
            text = _squeezed(row[column], size)
            row[column] = text.rjust(size) if column in right else text
    return [clip(line, width) for line in table(cells[0], cells[1:])]


def _squeezed(text: str, width: int) -> str:
    """Cut out of a text what is too much: paths of calls differ in how they begin and end."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def short_duration(ns: int) -> str:
    """Write a duration for a person; what is below 10 ms has three digits."""
    if abs(ns) >= 10 * MS or not ns:
        return format_duration(ns)
    size, unit = (MS, "ms") if abs(ns) >= MS else (1_000, "µs") if abs(ns) >= 1_000 else (1, "ns")
    return f"{ns / size:.3g} {unit}"


class Clock:
    """Writes the durations of one run alike, so that a column of them can be added up by eye.

    Args:
        took: How long the run took; the unit follows from it.
    """

    def __init__(self, took: int) -> None:
        self._unit, self._name = SECOND, "s"
        if took < 10 * MS:
            self._unit, self._name = (MS, "ms") if took >= MS else (1_000, "µs")

    def took(self, ns: int) -> str:
        """Write a duration."""
        return f"{ns / self._unit:,.3f} {self._name}"

    def at(self, ns: int) -> str:
        """Write an instant, counted from the beginning of the run."""
        return f"{ns / self._unit:,.2f} {self._name}"

    @property
    def least(self) -> int:
        """The shortest duration that it tells from none."""
        return max(1, self._unit // 2_000)
