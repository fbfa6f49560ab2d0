"""Tables and lines for a terminal with few columns: they break between words, and lose none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from hocket.report.explain_width import wrapped
from hocket.report.text import table

_GAP: Final = 2


def narrow_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """Lay out a table; cells that are too wide for it go on below.

    Args:
        head: The columns' heads.
        rows: The cells.
        width: How wide it may be; None for as wide as it is.
    """
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    least = [
        max(len(word) for row in cells for word in (row[column].split() or [""]))
        for column in range(len(head))
    ]
    gaps = _GAP * (len(head) - 1)
    if width is None or sum(widths) + gaps <= width:
        return table(head, rows)
    if sum(least) + gaps > width:
        return _stacked(cells, width)
    while sum(widths) + gaps > width:
        # What is widest beside its longest word has the most to give.
        widest = max(
            (column for column in range(len(head)) if widths[column] > least[column]),
            key=widths.__getitem__,
        )
        widths[widest] -= 1
    broken = [
        line
        for row in cells
        for line in zip_longest(
            *(wrapped(text, size, whole=True) for text, size in zip(row, widths, strict=True)),
            fillvalue="",
        )
    ]
    return [line for line in table(broken[0], broken[1:]) if line]


def narrow_line(line: str, width: int | None) -> list[str]:
    """Break a line between words; what goes on below stands farther to the right."""
    if width is None or len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return wrapped(line.lstrip(), width, indent, indent + "  ", whole=True)


def _stacked(cells: Sequence[Sequence[str]], width: int) -> list[str]:
    """Write each row's other cells below its first: not even words fit beside each other."""
    lines: list[str] = []
    for first, *rest in cells:
        lines += [*narrow_line(first, width)] if first else []
        lines += wrapped("  ".join(filter(None, rest)), width, "    ", "    ", whole=True)
    return lines
