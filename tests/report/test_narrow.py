"""What is too wide for a terminal breaks between words, and nothing of it is lost."""

from __future__ import annotations

import pytest

from hocket.report.narrow import narrow_line, narrow_table
from hocket.report.text import table

HEAD = ["RUN", "STATUS", "WHAT IT IS"]
ROWS = [
    ["collect-all-the-things", "stopped (resumable)", "runs that succeeded, of those that ended"],
    ["two", "", "short"],
]


def test_a_wide_terminal_gets_the_table_as_it_is() -> None:
    assert narrow_table(HEAD, ROWS, None) == narrow_table(HEAD, ROWS, 200) == table(HEAD, ROWS)


@pytest.mark.parametrize("width", [80, 60, 48, 40, 30])
def test_no_word_is_broken_and_none_lost(width: int) -> None:
    lines = narrow_table(HEAD, ROWS, width)
    assert max(map(len, lines)) <= width
    words = [word for row in [HEAD, *ROWS] for cell in row for word in cell.split()]
    assert sorted(" ".join(lines).split()) == sorted(words)


def test_cells_go_on_below_themselves() -> None:
    assert narrow_table(["A", "B"], [["one", "two and three"], ["x", "y"]], 12) == [
        "A    B",
        "one  two and",
        "     three",
        "x    y",
    ]


def test_a_line_goes_on_farther_to_the_right() -> None:
    assert narrow_line("  to look at it: hocket show r", 20) == [
        "  to look at it:",
        "    hocket show r",
    ]
    assert narrow_line("/a/path-that-is-far-too-long", 10) == ["/a/path-that-is-far-too-long"]
