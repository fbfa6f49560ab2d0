"""Since when this process has seen its database without a gap, and so whose lease has lapsed.

Who cannot reach the database cannot renew a lease either.
So a lease that ran out while it was away says nothing of its owner, who has one lease's time, from
when the database is there again, to say that it lives.
"""

from __future__ import annotations

import threading
from typing import Final

NEVER: Final = 1
"""Before which no lease has ended but those that were given up, which have ended at 0."""


class Sight:
    """What the connections of a process see of the database; instants are of one monotonic clock.

    Args:
        lease: How long a lease is.
        pause: For how long nothing may be seen, while there is something to see.
    """

    def __init__(self, lease: int, pause: int) -> None:
        self._lease = lease
        self._pause = pause
        self._lock = threading.Lock()
        self._last = 0
        self._missed: int | None = None
        self._gone: int | None = None
        self._sure = 0

    def saw(self, began: int, ended: int) -> None:
        """Take note that the database has answered what it was asked."""
        with self._lock:
            since = self._since(began)
            if ended - since > self._pause:
                self._keep(since, ended)
            self._last, self._missed = max(self._last, ended), None

    def missed(self, began: int) -> None:
        """Take note that it has not answered."""
        with self._lock:
            self._missed = self._since(began)

    def is_up(self, since: int) -> None:
        """Take note since when the server runs: for how long it did not before, nobody knows."""
        with self._lock:
            if since + self._lease > self._sure:
                self._keep(None, since)

    def lapsed_before(self, now: int) -> int | None:
        """Give the instant before which leases ended that have lapsed; None for the first of all.

        That is now if the database was seen for the whole of the last lease.
        """
        with self._lock:
            if now < self._sure:
                return self._gone
            if self._missed is not None and now - self._missed > self._pause:
                return self._missed
            return now

    def _since(self, began: int) -> int:
        """Since when nothing was seen, as far as it was asked."""
        return max(self._last, began if self._missed is None else min(began, self._missed))

    def _keep(self, gone: int | None, back: int) -> None:
        """Remember a gap; one that comes before the owners have had their time goes on."""
        if gone is None or gone >= self._sure:
            self._gone = gone
        self._sure = max(self._sure, back + self._lease)
