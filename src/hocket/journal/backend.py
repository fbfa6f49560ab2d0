"""The port between the journal's logic and the database that it is in.

The logic is one for all of them: the statements of `store`, `listing`, `ledger`, `blobs`,
`answers`, `book` and `hosted`, the writer's thread, the leases.
A backend says how to connect, what an error means, what time it is, and how to wake others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from hocket.core.errors import JournalError
from hocket.journal.schema import Database

T = TypeVar("T")


class Connection(Database, Protocol):
    """A connection of one thread."""

    @property
    def unsure(self) -> bool:
        """Whether it was lost while a commit was under way, so that nobody knows its outcome."""

    def close(self) -> None:
        """End it."""


class Bell(Protocol):
    """What others can ring.

    Attributes:
        name: What it takes to ring it, or "" where there can be no bell.
    """

    name: str

    def close(self) -> None:
        """Hear nothing any more."""


class Backend(Protocol):
    """A database that holds a journal.

    Attributes:
        failures: What a statement raises that failed.
        undoes: Whether what could not be done is known to be undone, while the connection lasts.
    """

    failures: tuple[type[Exception], ...]
    undoes: bool

    def open(self) -> Connection:
        """Connect for writing, and bring the tables to the present format.

        Raises:
            JournalError: It cannot be reached or written, or is not a journal of ours.
        """

    def prepare(self, db: Connection, *, anew: bool) -> None:
        """Make ready what the writer needs beside the connection.

        Args:
            db: The connection.
            anew: Whether an earlier connection had failed.
        """

    def merge(self, db: Connection) -> None:
        """Tidy up at the writer's end."""

    def beat(self, db: Connection) -> None:
        """Do what is to be done now and then, as often as leases are renewed."""

    def explain(self, error: Exception) -> JournalError:
        """Say in one sentence what is wrong, and what to do."""

    def is_full(self, error: Exception) -> bool:
        """Tell whether an error means that the disk is full."""

    def make_room(self) -> None:
        """Free what was set aside for a full disk."""

    def may_begin_anew(self, failure: JournalError) -> bool:
        """Tell whether the writer may try again that failed so."""

    def is_cut(self, error: Exception) -> bool:
        """Tell whether an error means that a new connection may do what this one did not."""

    def mend(self, db: Connection, error: Exception) -> None:
        """Connect again, by the same object; what was not committed is undone when this returns.

        Raises:
            JournalError: It could not be reached for too long.
        """

    def transact(self, db: Connection, work: Callable[[Database], T]) -> T:
        """Do some work in a transaction, once, also if the connection is lost and found again.

        Raises:
            Unreachable: The server was not found again; nobody knows whether it was done.
            failures: It failed, and nothing of it is done.
        """

    def wall(self) -> int:
        """Give the present instant by the clock that all processes of the journal share."""

    def lapsed_before(self) -> int:
        """Give the instant before which leases ended that have lapsed.

        It is not now while owners could not renew theirs.
        """

    def bell(self, on_ring: Callable[[], None]) -> Bell:
        """Give a bell; it calls `on_ring`, in a thread of its own, whenever somebody rings."""

    def ring(self, *names: str) -> None:
        """Wake the owners of those bells, if they are there; called in the writer's thread."""

    def announce(self) -> None:
        """Wake all that have a bell; called in the writer's thread."""
