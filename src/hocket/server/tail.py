"""The end of a call's log as it grows: by byte offset, cut at whole characters and whole updates.

Programs that draw their progress send carriage returns; of each line only what is left on the
screen afterwards is sent on.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple, Protocol

MOST_READ: Final = 16_000
"""The most bytes of a log in one frame: written as JSON a byte may take six."""
MOST_BEHIND: Final = 1 << 20
"""Whoever is further behind than this gets the end, and is told so."""
_KEPT: Final = 64_000
_MOST_SPLIT: Final = 3


class Said(NamedTuple):
    """A stretch of a log.

    Fields:
        start: Where it begins, in bytes.
        end: Where the next one begins.
        text: What it says; a carriage return at its beginning says that it takes the place of the
            last line so far, if that has not ended.
        skipped: How many bytes before it were left out.
    """

    start: int
    end: int
    text: str
    skipped: int = 0


class Source(Protocol):
    """A log that grows."""

    @property
    def period(self) -> float:
        """Seconds between two looks at it; 0 where a look costs next to nothing."""

    def size(self) -> int | None:
        """Give how many bytes there are; None if nothing was said yet."""

    def read(self, start: int, size: int) -> bytes:
        """Give a stretch of at most so many bytes."""


class Tail:
    """Reads on in a log.

    Args:
        source: The log.
        start: Where to begin, in bytes.

    Attributes:
        at: How far it has read.
        waits: Whether a look may take so long that no event loop should wait for it.
    """

    def __init__(self, source: Source, start: int = 0) -> None:
        self._source = source
        self.at = start
        self.waits = source.period > 0
        self._next = 0.0

    def back(self, at: int) -> None:
        """Read once more from a place on, at once."""
        self.at, self._next = at, 0.0

    def read(self, *, ended: bool, most: int = MOST_READ) -> Said | None:
        """Give what has come since; None if nothing has.

        Args:
            ended: Whether the call is over, so that an unfinished character will not be finished.
            most: The most bytes.
        """
        now = time.monotonic()
        if now < self._next and not ended:
            return None
        size = self._source.size()
        if size is None:
            # Nothing was said yet, or the log was removed with its run.
            self._next = now + self._source.period
            return None
        skipped = size - _KEPT - self.at if size - self.at > MOST_BEHIND else 0
        start = self.at + skipped
        data = self._source.read(start, most)
        if start + len(data) >= size:
            self._next = now + self._source.period
        if not data:
            return None
        if skipped:
            skipped += _beginning(data)
            data = data[_beginning(data) :]
        if start + len(data) < size:
            # The last of very many carriage returns tells what they all do.
            data = _whole(data) or data[:-1]
        elif not ended:
            data = _whole(data)
        if not data:
            return None
        start = self.at + skipped
        self.at = start + len(data)
        return Said(start, self.at, folded(data.decode("utf-8", "replace")), skipped)


async def heard(tail: Tail, *, ended: bool, most: int = MOST_READ) -> Said | None:
    """Read on in a log without keeping the loop; see `Tail.read`."""
    if tail.waits:
        return await asyncio.to_thread(tail.read, ended=ended, most=most)
    return tail.read(ended=ended, most=most)


def folded(text: str) -> str:
    """Leave out of each line what a carriage return has written over.

    A carriage return is kept where it stands for writing over what was said before.
    """
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    first = lines[0].rstrip("\r")
    kept = [_left(line) for line in lines]
    if "\r" in first:
        kept[0] = "\r" + kept[0]
    return "\n".join(kept)


def _left(line: str) -> str:
    """Give what a line shows in the end; a carriage return at its end has written nothing yet."""
    return line.rstrip("\r").rpartition("\r")[2]


def _whole(data: bytes) -> bytes:
    """Leave a character for later that has not come whole, and carriage returns at the end."""
    for back in range(1, min(_MOST_SPLIT, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        wanted = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4
        if byte >= 0xC0 and wanted > back:
            data = data[:-back]
        break
    return data.rstrip(b"\r")


def _beginning(data: bytes) -> int:
    """Give where the first whole line begins, or at least the first whole character."""
    line = data.find(b"\n") + 1
    if line:
        return line
    place = 0
    while place < min(len(data), 4) and data[place] & 0xC0 == 0x80:
        place += 1
    return place
