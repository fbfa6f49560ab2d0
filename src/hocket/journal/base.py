"""The ports of the append-only log: the store of all runs, one run's writing end, and blobs.

Whoever owns a run appends to it, and nobody else; others post requests into its inbox.
What `Log.durable` has confirmed survives a kill of the process and a loss of power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import msgspec

from hocket.core.errors import JournalError, OwnershipLost
from hocket.core.events import AnyEvent, Recorded, RunStarted, Usage
from hocket.core.requests import AnyRequest
from hocket.core.values import FileRef, Json
from hocket.journal.logs import Logs
from hocket.journal.sharing import Ledger
from hocket.limits.claim import Key


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


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are to be listed.

    Fields:
        most: The most of them, the newest; None for all.
        before: Only those that began before this one, as its beginning and its id.
        since: Only those that began at this instant or later.
        beginning: What their id begins with.
        sought: What their id or name has in it, in capitals or not; of other letters than ASCII's
            capitals are told from small ones.
        status: What their status may be; empty for any.
        also: Runs that are listed whatever their status is.
        but: Runs that are not listed.
    """

    most: int | None = None
    before: tuple[int, str] | None = None
    since: int | None = None
    beginning: str = ""
    sought: str = ""
    status: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    but: tuple[str, ...] = ()


ALL: Final = Wanted()


class Posted(msgspec.Struct, frozen=True):
    """A request in the inbox.

    Fields:
        id: Its id.
        request: What is asked.
        at: When it was posted; 0 if that is not known.
    """

    id: int
    request: AnyRequest
    at: int = 0


class Taken(msgspec.Struct, frozen=True):
    """The owner's answer to a posted request: "" for done, else why it was refused."""

    id: int
    refusal: str = ""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave, kept to be given again.

    Fields:
        key: Names all that went into the call, by content.
        kin: Names all of it but the prompt, where its meaning counts; else "".
        at: When it was given.
        until: Until when it is kept; None for ever.
        output: The output.
        usage: What the call spent, if that is known.
        notes: What its reader must know.
        vector: What the prompt means: 32-bit floats of length 1; empty where it is not known.
    """

    key: str
    kin: str = ""
    at: int
    until: int | None = None
    output: Json
    usage: Usage | None = None
    notes: tuple[str, ...] = ()
    vector: bytes = b""


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

    def append(
        self,
        events: Sequence[AnyEvent],
        taken: Sequence[Taken] = (),
        claims: Sequence[Key] = (),
        kept: Sequence[Answered] = (),
    ) -> int:
        """Queue events, and answers to requests, for the next commit; all of it or none.

        Returns at once with the last event's sequence number.
        A failure to write shows in `durable`, and from then on nothing is written any more.

        Args:
            events: What happened.
            taken: Answers to requests.
            claims: Calls of this run whose reservations in the ledger become claims by this
                commit. If one of them has none any more, because another process took this one
                for dead, the run counts as lost.
            kept: Outputs of these events that are to be given again.

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

        Of the requests that are there already it is told first, also if there are none.
        A request that is not answered is told again only to the next owner.
        `on_failed` is told once if nothing more can be written, also while nothing is: an owner
        that was replaced must not go on with calls in flight.
        """

    def look(self) -> None:
        """Have the watcher told of what was posted until now, also if it is nothing new."""

    async def close(self) -> None:
        """Write what is queued and give the run up.

        Raises:
            JournalError, OwnershipLost: It could not be written, and nobody was told so far.
        """


class Near(msgspec.Struct, frozen=True):
    """What a kept answer was asked, as far as it takes to compare it.

    Fields:
        key: Of the answer.
        at: When it was given.
        until: Until when it is kept; None for ever.
        vector: What its prompt means.
    """

    key: str
    at: int
    until: int | None
    vector: bytes


class Answers(Protocol):
    """Kept answers; a log's `append` adds to them, and the removal of a run does not touch them."""

    def find(self, key: str) -> Answered | None:
        """Give the answer of a key, however old it is.

        Raises:
            JournalError: It cannot be read.
        """

    def near(self, kin: str, most: int) -> list[Near]:
        """Give what the latest answers of one kin were asked, newest first.

        Raises:
            JournalError: They cannot be read.
        """

    def count(self, before: int) -> int:
        """Count the answers that were given before an instant.

        Raises:
            JournalError: They cannot be read.
        """

    def drop(self, before: int, now: int) -> int:
        """Forget the answers that were given before an instant; gives how many.

        Raises:
            JournalError: It could not be written.
        """


class Journal(Protocol):
    """The store of all runs."""

    @property
    def answers(self) -> Answers:
        """Answers that are kept beyond their runs."""

    async def start(self, first: RunStarted, copied: Sequence[AnyEvent] = ()) -> Log:
        """Create a run and own it; its first events are durable when this returns.

        Args:
            first: Its first event.
            copied: What follows at once, in a run that was forked from another.

        Raises:
            JournalError: It could not be written, or the id is taken.
        """

    async def lay(self, first: RunStarted, copied: Sequence[AnyEvent] = ()) -> None:
        """Create a run that servers are to drive and nobody owns; it is durable afterwards.

        That it is noted in `hosted` is of the same commit.

        Args:
            first: Its first event.
            copied: What follows at once, in a run that was forked from another.

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

    def runs(self, wanted: Wanted = ALL) -> list[RunRow]:
        """List runs, newest first."""

    def counts(self, wanted: Wanted = ALL) -> dict[str, int]:
        """Count runs by their status, however many may be listed and whatever comes before."""

    def find(self, run: str) -> RunRow | None:
        """Give one run as a list shows it, without a look at the others.

        Raises:
            JournalError: It cannot be read.
        """

    def orphans(self, most: int) -> list[RunRow]:
        """Give runs that servers are to drive and nobody does, oldest first.

        They are noted in `hosted`, are neither paused nor over, and their owner is gone.

        Raises:
            JournalError: They cannot be read.
        """

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

    def waiting(self, run: str) -> list[Posted]:
        """Give the requests to a run that its owner has not answered, oldest first.

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


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """How long one call took, and what it spent.

    Fields:
        plan: The name of the plan.
        step: The step.
        agent: The agent that did it.
        took: How many nanoseconds it was in flight.
        cut: Whether it was cut off then, so that nobody knows how much longer it would have taken.
        tokens_in: How many tokens it read, or None if nobody knows.
        tokens_out: How many tokens it wrote, or None if nobody knows.
        cost: How many pico-dollars it cost, or None if nobody knows.
    """

    plan: str
    step: str
    agent: str
    took: int
    cut: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None


class Past(msgspec.Struct, frozen=True):
    """What is known of an agent's earlier calls of a step.

    Fields:
        count: How many there were in all.
        samples: The latest of them, oldest first.
    """

    count: int
    samples: tuple[Sample, ...]


KEPT_SAMPLES: Final = 64
"""How many samples the duration book keeps of each plan, step and agent."""


class Book(Protocol):
    """The duration book: how long the calls of earlier runs took.

    The removal of a run does not touch it.
    """

    def record(self, samples: Sequence[Sample]) -> None:
        """Add samples, oldest first; of each plan, step and agent the latest are kept.

        Raises:
            JournalError: It could not be written.
        """

    def read(self, plan: str) -> list[Past]:
        """Give what is known of a plan's steps, by step and agent.

        Raises:
            JournalError: It could not be read.
        """


class Hosted(Protocol):
    """Which runs servers drive, so that the next server goes on with what one was driving."""

    def all(self) -> list[str]:
        """Give the runs that are noted, by their ids.

        Raises:
            JournalError: They cannot be read.
        """

    async def has(self, run: str) -> bool:
        """Tell whether a run is noted.

        Raises:
            JournalError: It cannot be read.
        """

    async def add(self, run: str) -> None:
        """Note that a server drives a run; it is durable when this returns.

        Raises:
            JournalError: It could not be written.
        """

    async def drop(self, run: str) -> None:
        """Note that no server is to go on with a run.

        Raises:
            JournalError: It could not be written.
        """


class Store(Journal, Inbox, Protocol):
    """All that one state folder's journal offers."""

    @property
    def blobs(self) -> Blobs:
        """Bytes by content."""

    def writes(self, seconds: float) -> bool:
        """Tell whether what is written now is written, and wait for so many seconds at most."""

    def wall(self) -> int:
        """Give the present instant by the clock that all processes of the journal share.

        Raises:
            JournalError: The clock is another machine's, and that does not answer.
        """

    def announce(self) -> None:
        """Wake who listens on the journal in other processes: there is a run to drive."""

    def listen(self, heard: Callable[[], None]) -> None:
        """Have this called when somebody announces something, in any thread.

        It is a courtesy: whoever misses it must look by itself now and then.
        """

    @property
    def book(self) -> Book:
        """The duration book."""

    @property
    def logs(self) -> Logs:
        """What calls say while they run."""

    @property
    def hosted(self) -> Hosted:
        """Which runs servers drive; the removal of a run removes its note."""

    def ledger(self, changed: Callable[[], None]) -> Ledger:
        """Open the ledger of shared limits for the running loop.

        `changed` is called in the loop when another process has changed something on a limit that
        was asked for, and then not again before `sync` or `reserve` has told of it.
        """

    def close(self) -> None:
        """Write what is queued, and give all runs up."""
