"""How far the disk is behind a run, and whether calls have to wait for it."""

from __future__ import annotations

from typing import Final

from hocket.core.values import MS

AHEAD: Final = 4_000
"""How many events may be on their way to the disk before further calls wait for it.

It bounds the memory that they take, and the work that a crash undoes.
"""
WORTH_TELLING: Final = 100 * MS
"""How long the disk is waited for before calls say so in their waits."""


class Backlog:
    """The events that are on their way to the disk.

    Args:
        durable: The last event that is known to be on disk.
    """

    __slots__ = ("_durable", "_since")

    def __init__(self, durable: int) -> None:
        self._durable = durable
        self._since = 0
        """Since when calls have waited, or 0."""

    def written(self, seq: int) -> bool:
        """Take note of how far the disk is; tells whether calls have waited for that."""
        self._durable = seq
        return self._since != 0

    def holds(self, seq: int, now: int) -> bool:
        """Tell whether calls must wait, `seq` being the last event that was appended."""
        if seq - self._durable <= AHEAD:
            return False
        self._since = self._since or now
        return True

    def waited(self, now: int) -> int:
        """Give since when calls had to wait until now, or 0 if that is not worth telling."""
        since, self._since = self._since, 0
        return since if since and now - since > WORTH_TELLING else 0
