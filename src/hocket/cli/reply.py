"""A reply as it comes: the text of a panel's synthesis, or of a consensus's final answer."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Final

from hocket.app.stream import Done, Item, Piece
from hocket.report.text import clean, one_line

_KEPT: Final = 4_000
_LONG: Final = 80
_SENTENCE: Final = re.compile(r"[.!?…:;][\"')\]]*\s*\Z")


class Reply:
    """What was said so far of a reply.

    Attributes:
        text: The end of it.
    """

    def __init__(self) -> None:
        self.text = ""
        self._line = ""

    def take(self, item: Item) -> Iterator[str]:
        """Take in what is said; gives the lines that are complete with it."""
        if isinstance(item, Piece):
            text = clean(item.text)
            self.text = (self.text + text)[-_KEPT:]
            *lines, self._line = (self._line + text).split("\n")
            if len(self._line) > _LONG and _SENTENCE.search(self._line):
                lines, self._line = [*lines, self._line], ""
            yield from (f"│ {line}" for line in lines)
            return
        if self._line:
            yield f"│ {self._line}"
        self.text = self._line = ""
        if not isinstance(item, Done):
            yield f"│ what was said counts no more: {one_line(item.reason)}"

    def last(self, rows: int, width: int) -> list[str]:
        """Give the last lines of what was said so far, as broad as they may be."""
        lines = [
            part
            for line in self.text.split("\n")
            for part in textwrap.wrap(line, max(width, 10)) or [""]
        ]
        return lines[-rows:] if self.text.strip() and rows > 0 else []
