"""How long a database has not answered the thread that asks it for all, and who waits for it."""

from __future__ import annotations

import threading
from typing import Final

from hocket.core.errors import JournalError

TRY_EVERY: Final = 1.0
"""Seconds between two questions that are let through to see whether it answers again."""


class Outage:
    """Has the questions of a while wait for the database together, and refuses those after that.

    Otherwise each would wait in turn, and whoever has little room for waiting would have none left.
    Instants are seconds of one clock.

    Args:
        patience: For how many seconds it is waited.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._since: float | None = None
        self._failure: JournalError | None = None
        self._failed = 0.0
        self._next = 0.0

    def enter(self, now: float) -> None:
        """Refuse a question that need not be asked.

        Raises:
            JournalError: The database has not answered for too long, and it is not yet time to see
                whether it does again, or somebody is at that.
        """
        with self._lock:
            if self._failure is not None:
                if now < self._next:
                    raise type(self._failure)(*self._failure.args)
                self._next = now + self._patience

    def begin(self, asked: float) -> None:
        """Refuse a question that was asked at an instant, and has waited for its turn too long.

        Raises:
            JournalError: It was given up since then.
        """
        with self._lock:
            if self._failure is not None and asked < self._failed:
                raise type(self._failure)(*self._failure.args)

    def failed(self, began: float, now: float, failure: JournalError) -> bool:
        """Take note that a question that began then was not answered; tells whether to give up."""
        with self._lock:
            self._since = began if self._since is None else min(began, self._since)
            if now - self._since <= self._patience:
                return False
            self._failure, self._failed, self._next = failure, now, now + TRY_EVERY
            return True

    def over(self) -> None:
        """It has answered."""
        with self._lock:
            self._since = self._failure = None
