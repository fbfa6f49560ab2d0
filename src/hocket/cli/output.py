"""How data comes to stdout: as it is for programs, and harmless for a terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from hocket.core.values import Json
from hocket.journal.base import RunRow
from hocket.report.narrow import narrow_line, narrow_table
from hocket.report.text import clean, clip


def pretty(value: Any) -> str:
    """Write JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def counted(count: int, one: str) -> str:
    """Count things by their name: ``1 run``, ``1,204 runs``."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def fit(line: str, stream: TextIO | None = None) -> str:
    """Cut a line to the width of the terminal that it is printed on, if it is one."""
    on = stream or sys.stdout
    return clip(line, shutil.get_terminal_size().columns) if on.isatty() else line


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print a table, on a terminal no wider than that is."""
    width = _width()
    for line in narrow_table(head, rows, None if width is None else width - len(indent)):
        print(indent + line)


def print_lines(lines: Iterable[str], *, flush: bool = False) -> None:
    """Print lines, broken between words if they are too long for a terminal."""
    width = _width()
    for line in lines:
        print(*narrow_line(line, width), sep="\n", flush=flush)


def _width() -> int | None:
    """Give the columns of the terminal that is printed on; None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def status_words(row: RunRow) -> str:
    """Say how a run stands; one that nobody drives any more does not run."""
    stale = row.status == "running" and not row.alive
    return "stopped (resumable)" if stale else row.status


def print_output(output: Json) -> None:
    """Print an output: a text as it is, anything else as JSON.

    On a terminal a text's escape sequences are left out: whoever made it may not be trusted.
    """
    text = output if isinstance(output, str) else pretty(output)
    print(clean(text) if sys.stdout.isatty() else text)
