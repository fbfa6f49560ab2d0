"""Reads the pages of the documentation as a list of things to do.

A page is a session: its blocks are done in order in one fresh folder, with a state folder of its
own.

- a block whose first line is ``# NAME`` with a file's ending is written to that file;
- a ``console`` block's lines that begin with ``$ `` are run in one shell, and what follows each is
  what it must print, where ``...`` stands for anything, or what ``masks.py`` hides;
  ``exit=N`` behind ``console`` is the status that its last command must have;
- any other ``python`` block is run;
- any other ``yaml`` block is a part of a file, and must be YAML;
- behind ``needs=local`` the rest of a page is skipped where the demo model cannot be had.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\S*) ?(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^# ([\w./-]+\.(?:yaml|yml|py|md|txt|json|toml|gmn))$")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    info: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is written to, if it is one."""
        match = _FILE.match(self.text.split("\n", 1)[0])
        return match[1] if match else None

    @property
    def exit(self) -> int:
        """The status that its last command must have."""
        match = re.search(r"exit=(\d+)", self.info)
        return int(match[1]) if match else 0

    @property
    def needs(self) -> str:
        """What it takes to do it, if that is not always there."""
        match = re.search(r"needs=(\w+)", self.info)
        return match[1] if match else ""


class Command(NamedTuple):
    """A command and what it must print."""

    text: str
    printed: list[str]


def all_pages() -> list[Path]:
    """Give the README, every page of the documentation, and the examples' page."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    others = [page for page in (ROOT / "README.md", ROOT / "examples/README.md") if page.exists()]
    return [*others, *(p for p in pages if "decisions" not in p.parts)]


def decisions() -> list[Path]:
    """Give the records of decisions, in their order."""
    return sorted((ROOT / "docs/decisions").glob("*.md"))


def blocks(page: Path) -> list[Block]:
    """Give a page's fenced blocks."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(m[1], m[2], m[3], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """Give the commands of a console block."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        elif found:
            found[-1].printed.append(line)
    return found


def matches(printed: list[str], output: str) -> bool:
    """Tell whether an output is what a page shows; ``...`` stands for anything."""
    shown = "\n".join(printed).strip()
    if not shown:
        return True
    pattern = ".*?".join(map(re.escape, shown.split("...")))
    return re.fullmatch(pattern + r"\s*", output.strip(), re.DOTALL) is not None
