"""How data comes to stdout: as it is for programs, and harmless for a terminal."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any, TextIO

from hocket.core.values import Json
from hocket.journal.base import RunRow
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
