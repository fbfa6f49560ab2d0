"""How far the disk is behind a run, and whether calls have to wait for it."""

from __future__ import annotations

from typing import Final

from hocket.core.values import SECOND

AHEAD: Final = 4_000
"""How many events may be on their way to the disk before further calls wait for it.

It bounds the memory that they take, and the work that a crash undoes.
"""

STILL: Final = 1 * SECOND
"""For how long nothing may reach the disk before further calls wait for it.

A journal that is cut off may have got another owner meanwhile, who does them all again.
"""


class Backlog:
    """The events that are on their way to the disk.

    Args:
        durable: The last event that is known to be on disk.
    """

    __slots__ = ("_durable", "_holding", "_since")

    def __init__(self, durable: int) -> None:
        self._durable = durable
        self._holding = False
        self._since: int | None = None

    def written(self, seq: int) -> bool:
        """Take note of how far the disk is; tells whether calls have waited for that."""
        self._durable = seq
        self._since = None
        return self._holding

    def holds(self, seq: int, now: int) -> bool:
        """Tell whether calls must wait, `seq` being the last event that was appended."""
        if seq <= self._durable:
            self._since = None
        elif self._since is None:
            self._since = now
        still = self._since is not None and now - self._since > STILL
        self._holding = still or seq - self._durable > AHEAD
        return self._holding
