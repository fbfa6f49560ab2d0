"""The ports of the append-only log: the store of all runs, one run's writing end, and blobs.

Whoever owns a run appends to it, and nobody else; others post requests into its inbox.
What `Log.durable` has confirmed survives a kill of the process and a loss of power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from hocket.core.errors import JournalError, OwnershipLost
from hocket.core.events import AnyEvent, Recorded, RunStarted
from hocket.core.requests import AnyRequest
from hocket.core.values import FileRef


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a list shows it.

    Fields:
        id: The run's id.
        name: The workflow's name.
        status: ``running``, ``paused``, ``succeeded``, ``failed`` or ``cancelled``.
        created: When it started.
        updated: When its last event happened.
        events: How many events it has.
        owner: Who owns it, as ``host:pid``, or "" for nobody.
        alive: Whether that owner is alive as far as this machine can tell.
    """

    id: str
    name: str
    status: str
    created: int
    updated: int
    events: int
    owner: str
    alive: bool


class Posted(msgspec.Struct, frozen=True):
    """A request in the inbox, by its id."""

    id: int
    request: AnyRequest


class Taken(msgspec.Struct, frozen=True):
    """The owner's answer to a posted request: "" for done, else why it was refused."""

    id: int
    refusal: str = ""


OnPosted: TypeAlias = Callable[[Sequence[Posted]], None]
OnFailed: TypeAlias = Callable[[JournalError | OwnershipLost], None]


class Log(Protocol):
    """The writing end of one owned run."""

    @property
    def seq(self) -> int:
        """The sequence number of the last event appended, durable or not."""

    @property
    def epoch(self) -> int:
        """Which owner of the run this is, counted from 1; `RunResumed` records it."""

    def append(self, events: Sequence[AnyEvent], taken: Sequence[Taken] = ()) -> int:
        """Queue events, and answers to requests, for the next commit; all of it or none.

        Returns at once with the last event's sequence number.
        A failure to write shows in `durable`, and from then on nothing is written any more.

        Raises:
            JournalError: An earlier write failed, or an event cannot be written; nothing is queued.
            OwnershipLost: An earlier write found another owner; nothing is queued.
        """

    async def durable(self, seq: int) -> None:
        """Wait until the event of that number is on disk.

        Raises:
            JournalError: It could not be written.
            OwnershipLost: Another process owns the run now.
        """

    def watch(
        self,
        on_durable: Callable[[int], None],
        on_posted: OnPosted,
        on_failed: OnFailed | None = None,
    ) -> None:
        """Have the loop told of each commit's last number, and of requests within a second.

        A request that is not answered is told again only to the next owner.
        `on_failed` is told once if nothing more can be written, also while nothing is: an owner
        that was replaced must not go on with calls in flight.
        """

    async def close(self) -> None:
        """Write what is queued and give the run up.

        Raises:
            JournalError, OwnershipLost: It could not be written, and nobody was told so far.
        """


class Journal(Protocol):
    """The store of all runs."""

    async def start(self, first: RunStarted) -> Log:
        """Create a run and own it; its first event is durable when this returns.

        Raises:
            JournalError: It could not be written, or the id is taken.
        """

    async def resume(self, run: str) -> Log:
        """Own a run whose owner is gone; it gets a new epoch.

        The caller appends `RunResumed` first.

        Raises:
            NotFound: No such run.
            Refused: Its owner is alive.
        """

    def read(self, run: str, after: int = 0) -> Iterator[Recorded]:
        """Give a run's events after a sequence number, outputs whole, oldest first.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read, with its number.
        """

    def runs(self) -> list[RunRow]:
        """List all runs, newest first."""

    def remove(self, runs: Sequence[str]) -> int:
        """Delete runs, and the blobs that only they used; gives the bytes that came free.

        Raises:
            Refused: One of them is owned and alive.
        """


class Inbox(Protocol):
    """Where requests to a run's owner are posted."""

    def post(self, run: str, request: AnyRequest) -> int:
        """Leave a request, ring the owner's bell, and give the request's id.

        Raises:
            NotFound: No such run.
        """

    def answer(self, id: int) -> Taken | None:
        """Give the owner's answer, or None as long as there is none."""


class Blobs(Protocol):
    """Bytes by content: files that steps made, and outputs too large for an event."""

    def put(self, path: Path, name: str) -> FileRef:
        """Store a file durably. Storing the same bytes twice costs nothing.

        Raises:
            JournalError: It could not be written.
        """

    def read(self, digest: str, start: int = 0, size: int | None = None) -> bytes:
        """Give a stretch of the stored bytes.

        Raises:
            NotFound: Nothing of that digest is stored.
        """


class Store(Journal, Inbox, Protocol):
    """All that one state folder's journal offers."""

    @property
    def blobs(self) -> Blobs:
        """Bytes by content."""

    def close(self) -> None:
        """Write what is queued, and give all runs up."""
