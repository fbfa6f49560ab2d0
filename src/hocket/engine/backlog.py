"""How far the disk is behind a run, and whether calls have to wait for it."""

from __future__ import annotations

from typing import Final

AHEAD: Final = 4_000
"""How many events may be on their way to the disk before further calls wait for it.

It bounds the memory that they take, and the work that a crash undoes.
"""


class Backlog:
    """The events that are on their way to the disk.

    Args:
        durable: The last event that is known to be on disk.
    """

    __slots__ = ("_durable", "_holding")

    def __init__(self, durable: int) -> None:
        self._durable = durable
        self._holding = False

    def written(self, seq: int) -> bool:
        """Take note of how far the disk is; tells whether calls have waited for that."""
        self._durable = seq
        return self._holding

    def holds(self, seq: int) -> bool:
        """Tell whether calls must wait, `seq` being the last event that was appended."""
        self._holding = seq - self._durable > AHEAD
        return self._holding
