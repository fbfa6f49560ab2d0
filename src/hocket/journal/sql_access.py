"""What the parts of a journal in a database have of it: to ask, to write, and its clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from hocket.journal.schema import Database

T = TypeVar("T")


class SqlAccess(ABC):
    """A journal's database, whichever it is."""

    @abstractmethod
    def query(self, ask: Callable[[Database], T]) -> T | None:
        """Ask the database something; None if there is no journal in it.

        Raises:
            JournalError: It cannot be read.
        """

    @abstractmethod
    def write(self, work: Callable[[Database], T]) -> T:
        """Do some work in a transaction.

        Raises:
            JournalError: It cannot be written.
        """

    @abstractmethod
    def shrink(self) -> None:
        """Give room that has come free back to the disk."""

    @abstractmethod
    def check_room(self, size: int) -> None:
        """See that so many bytes fit, before a large file takes the room that events need.

        Raises:
            JournalError: They do not.
        """

    @abstractmethod
    def wall(self) -> int:
        """Give the present instant by the clock that all processes of the journal share.

        Raises:
            JournalError: The clock is another machine's, and that does not answer.
        """

    def lapsed_before(self) -> int:
        """Give the instant before which leases ended that have lapsed.

        Raises:
            JournalError: As `wall`.
        """
        return self.wall()

    def clock_error(self) -> int:
        """Tell by how many nanoseconds that clock may be wrong, as far as it is known here."""
        return 0

    @abstractmethod
    def is_there(self) -> bool:
        """Tell whether there is a journal at all, so that none is made to be asked."""

    @abstractmethod
    def ring(self, name: str) -> None:
        """Wake the owner of that bell."""

    @abstractmethod
    def close_reader(self) -> None:
        """Let go of what answers queries."""
