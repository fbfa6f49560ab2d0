"""How far a run of a population is, on terminals of any width."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from tests.cli.kit import Home
from tests.cli.terminal import Terminal

from hocket.cli.population_run import _Line

SAID = "tick 1,000 of 10,000, 250 ticks/s, 12.5 M agent-steps/s, real-time factor 2.5, 1.2 s left"


def drawn(console: Console, line: _Line) -> str:
    """What is written when it is drawn anew."""
    assert isinstance(console.file, io.StringIO)
    console.file.seek(0)
    console.file.truncate()
    line.draw(0.4, SAID)
    return console.file.getvalue()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|\r", "", text)


@pytest.mark.parametrize(
    ("width", "bar"), [(200, "━" * 12 + "─" * 18), (110, "━" * 6 + "─" * 10), (100, ""), (40, "")]
)
def test_it_is_one_line_whose_bar_takes_what_is_left(width: int, bar: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    text = plain(drawn(console, _Line(console)))
    assert "\n" not in text and len(text) <= width - len("^C")
    assert text.startswith(bar + " tick" if bar else "tick")
    assert text.endswith("1.2 s left" if width >= 100 else "…")


def test_what_a_narrower_terminal_has_wrapped_is_erased() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=110)
    line = _Line(console)
    assert "\x1b[2K" not in drawn(console, line), "there is nothing to erase"
    assert drawn(console, line).startswith("\r\x1b[2K")
    assert "\x1b[1A" not in drawn(console, line)
    console.width = 40
    # 106 columns are three rows now.
    assert drawn(console, line).startswith("\r\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K")
    assert "\x1b[1A" not in drawn(console, line)


def test_ctrl_c_leaves_a_clean_line(home: Home, terminals: list[Terminal]) -> None:
    args = ("population", "run", "explorers", "--agents", "4", "--ticks", "1000000000")
    terminals.append(terminal := Terminal(home, *args, columns=110))
    terminal.shows("agent-steps/s")
    terminal.press("\x03")
    assert terminal.ended() == 130
    assert re.search(r"\r\x1b\[2Kstopped after tick [\d,]+; nothing is saved", terminal.text)
