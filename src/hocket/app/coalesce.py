"""Coalesces the text of a model as it comes into pieces that are worth showing.

Pure, with the time as an argument: `app.stream` and the displays of the command line share it.

The first text is given at once, the rest at the end of a sentence or after 50 ms, whichever comes
first; a code block is given as a whole, once it is closed.
No piece ends within a character as people see it: the last one of the text so far is held back as
long as the next text may still belong to it, but for an ASCII letter that ends the first text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from hocket.core.values import SECOND

PATIENCE: Final = SECOND // 20
"""How long text waits for the end of its sentence, in nanoseconds."""

_SENTENCE: Final = re.compile(r"""[.!?…]+["'”’»)\]*_]*(?=\s)|[。\uff01\uff1f]+[」』”]*|\n""")
_FENCE: Final = re.compile(r"[ \t>]*(`{3,}(?!.*`)|~{3,})")
_MAYBE_FENCE: Final = re.compile(r"[ \t>]*(?:`{0,2}|~{0,2}|`{3,}[^`]*|~{3,}.*)\Z")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_KOREAN: Final = re.compile(
    "[\u1100-\u115f\ua960-\ua97f][\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff]"
    "|[\u1100-\u11ff\uac00-\ud7ff][\u1160-\u11ff\ud7b0-\ud7ff]"
)
_JOINER: Final = "\u200d"
_KEYCAPS: Final = frozenset("0123456789#*")


class Coalescer:
    """The text of one call on its way to whoever reads it.

    Args:
        patience: How long text waits for the end of its sentence, in nanoseconds.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        self._patience = patience
        self._given = False
        self._free = ""
        """What may be given, but for a last character that is not known to be whole."""
        self._since: int | None = None
        """Since when there is something in it to give."""
        self._line: list[str] | None = []
        """The beginning of a line that may belong to a code block; None within other lines."""
        self._block: list[str] = []
        """The lines of an open code block."""
        self._fence = ""
        """What opened it."""

    @property
    def due(self) -> int | None:
        """When to `wake` it, if ever."""
        return None if self._since is None else self._since + self._patience

    def add(self, text: str, at: int) -> str:
        """Take in text; gives the piece to show now, or ""."""
        for part in _lines(text):
            self._take(part)
        free = self._whole()
        if not self._given:
            # What may follow an ASCII letter and belong to it is written in other ways by models.
            if free == len(self._free) - 1 and not self._line and not self._block:
                last = self._free[-1]
                free += last.isascii() and last.isprintable() and last not in _KEYCAPS
            return self._give(free, at)
        end = 0
        for match in _SENTENCE.finditer(self._free):
            end = match.end() if match.end() <= free else end
        if self.due is not None and at >= self.due:
            end = free
        return self._give(end, at)

    def wake(self, at: int) -> str:
        """Its time may have come; gives the piece to show now, or ""."""
        if self.due is None or at < self.due:
            return ""
        return self._give(self._whole(), at)

    def end(self) -> str:
        """There is no more text; gives what is left, code blocks that are not closed included."""
        rest = "".join([self._free, *self._block, *(self._line or ())])
        self._free, self._since, self._line, self._block = "", None, [], []
        return _joined(rest)

    def _take(self, part: str) -> None:
        """Take in a line, or a part of one."""
        if self._line is None:
            self._free += part
            if part.endswith("\n"):
                self._line = []
            return
        self._line.append(part)
        ended = part.endswith("\n")
        if self._fence:
            if ended:
                self._in_block("".join(self._line))
                self._line = []
            return
        line = "".join(self._line)
        if ended and (opened := _FENCE.match(line)):
            self._fence = opened[1]
            self._block = [line]
            self._line = []
        elif ended or not _MAYBE_FENCE.match(line):
            self._free += line
            self._line = [] if ended else None

    def _in_block(self, line: str) -> None:
        self._block.append(line)
        closing = line.lstrip(" \t>").rstrip()
        if closing.startswith(self._fence) and not closing.strip(self._fence[0]):
            self._free += "".join(self._block)
            self._block = []
            self._fence = ""

    def _whole(self) -> int:
        """Say how much of the free text ends with a whole character."""
        if self._line or self._block or self._free.endswith("\n"):
            # Something follows that does not belong to it, or nothing can.
            return len(self._free)
        return _last_start(self._free)

    def _give(self, end: int, at: int) -> str:
        piece, self._free = _joined(self._free[:end]), self._free[end:]
        self._given = self._given or bool(piece)
        if piece or self._since is None:
            self._since = at if self._whole() else None
        return piece


def _lines(text: str) -> Iterator[str]:
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start : end + 1]
        start = end + 1
    if start < len(text):
        yield text[start:]


def _last_start(text: str) -> int:
    """Say where the last character begins, as people see it."""
    place = len(text) - 1
    while place > 0 and _joins(text[place - 1], text[place]):
        place -= 1
    return max(place, 0)


def _joins(left: str, right: str) -> bool:
    """Tell whether two code points belong to one character; where in doubt they do."""
    if left == "\r" and right == "\n":
        return True
    if left.isascii() and right.isascii():
        return False
    if _JOINER in (left, right):
        return True
    if unicodedata.category(right)[0] == "M" or "\U0001f3fb" <= right <= "\U0001f3ff":
        return True
    if "\U000e0020" <= right <= "\U000e007f" or right == "\u200c":
        return True
    flags = "\U0001f1e6", "\U0001f1ff"
    if flags[0] <= left <= flags[1] and flags[0] <= right <= flags[1]:
        return True
    if "\ud800" <= left <= "\udbff" and "\udc00" <= right <= "\udfff":
        return True
    # A consonant behind a virama belongs to it, and so do the letters of a Korean syllable.
    if unicodedata.combining(left) == 9:
        return True
    return bool(_KOREAN.match(left + right))


def _joined(text: str) -> str:
    """Put the halves of characters together that came apart."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
