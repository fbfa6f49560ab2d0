"""The journal in memory: for runs that need not outlive their process, and for tests.

It keeps to the loop that uses it: no thread, no clock, no file.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from hocket.core.errors import JournalError, NotFound, Refused
from hocket.core.events import AnyEvent, Recorded, RunStarted
from hocket.core.requests import AnyRequest
from hocket.journal.answers import MemoryAnswers, ready
from hocket.journal.base import (
    ALL,
    Answered,
    OnFailed,
    OnPosted,
    Posted,
    RunRow,
    Taken,
    Wanted,
)
from hocket.journal.blobs import MemoryBlobs
from hocket.journal.book import MemoryBook
from hocket.journal.codec import encode
from hocket.journal.commits import Append, Commits
from hocket.journal.hosted import MemoryHosted
from hocket.journal.logs import NoLogs
from hocket.journal.memory_ledger import MemoryLedger, Rows
from hocket.journal.progress import Progress, status_after
from hocket.limits.claim import Key

OWNER: Final = "memory:0"


class _Run:
    """What is durable of one run, and the log that owns it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[AnyEvent] = []
        self.files: set[str] = set()
        self.size = 0
        self.epoch = 0
        self.log: MemoryLog | None = None

    def copy(self) -> _Run:
        twin = _Run(self.name)
        twin.events = list(self.events)
        twin.files = set(self.files)
        twin.size = self.size
        twin.epoch = self.epoch
        return twin


class MemoryLog:
    """The writing end of a run in a memory journal."""

    def __init__(self, journal: MemoryJournal, id: str, run: _Run) -> None:
        self._journal = journal
        self._id = id
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._told: set[int] = set()
        self._looked = False
        self._epoch = run.epoch
        self.progress: Final = Progress(len(run.events))

    @property
    def seq(self) -> int:
        """The sequence number of the last event appended, durable or not."""
        return self.progress.appended

    @property
    def epoch(self) -> int:
        """Which owner of the run this is, counted from 1."""
        return self._epoch

    def append(
        self,
        events: Sequence[AnyEvent],
        taken: Sequence[Taken] = (),
        claims: Sequence[Key] = (),
        kept: Sequence[Answered] = (),
    ) -> int:
        """Queue events, and what comes with them, for the next commit; all of it or none.

        Raises:
            JournalError: An earlier write failed, or an event cannot be written as JSON.
            OwnershipLost: An earlier claim had no reservation.
        """
        self.progress.check()
        if events or taken or claims:
            entries = [(event, encode(event)) for event in events]
            again = [ready(answer) for answer in kept]
            append = Append(self, entries, tuple(taken), tuple(claims), again)
            self._journal.commits.append(append)
            self.progress.appended += len(events)
        return self.progress.appended

    async def durable(self, seq: int) -> None:
        """Wait until the event of that number counts as being on disk.

        Raises:
            JournalError: It could not be written.
        """
        await self.progress.wait(seq)

    def watch(
        self,
        on_durable: Callable[[int], None],
        on_posted: OnPosted,
        on_failed: OnFailed | None = None,
    ) -> None:
        """Have the loop told of each commit's last number, of requests, and of the failure."""
        self.progress.watch(on_durable, on_posted, on_failed)
        self.look()

    def look(self) -> None:
        """Have the watcher told of what was posted until now, also if it is nothing new."""
        self._looked = False
        self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        if self._run.log is not self or self.progress.on_posted is None:
            return
        posts = [
            post for post in self._journal.inbox.open_posts(self._id) if post.id not in self._told
        ]
        self._told.update(post.id for post in posts)
        if posts or not self._looked:
            self._looked = True
            self.progress.posted(posts)

    def store(self, append: Append) -> bool:
        """Take an append as durable; False if a claim of it had no reservation."""
        if not self._journal.rows.claim(append.claims):
            return False
        for event, encoded in append.entries:
            self._run.events.append(event)
            self._run.files.update(encoded.files)
            self._run.size += len(encoded.row) + (len(encoded.blob[1]) if encoded.blob else 0)
        for answer in append.taken:
            self._journal.inbox.answers.setdefault(answer.id, answer)
        self._journal.answers.keep(append.kept)
        return True

    async def close(self) -> None:
        """Write what is queued and give the run up.

        Raises:
            JournalError: What was queued could not be written.
        """
        if self.progress.failure is None:
            await self._journal.commits.flush(self)
            self.progress.close(JournalError(f"run {self._id} was given up by this process"))
        if self._run.log is self:
            self._run.log = None


class MemoryInbox:
    """Requests and answers in memory."""

    def __init__(self) -> None:
        self.posts: dict[int, tuple[str, AnyRequest, int]] = {}
        self.answers: dict[int, Taken] = {}
        self._last = 0

    def post(self, run: str, request: AnyRequest, at: int) -> int:
        """Leave a request at an instant, and give its id."""
        self._last += 1
        self.posts[self._last] = (run, request, at)
        return self._last

    def forget(self, runs: Sequence[str]) -> None:
        """Delete the requests to runs that are no more; their ids are never given again."""
        self.posts = {id: post for id, post in self.posts.items() if post[0] not in runs}

    def open_posts(self, run: str) -> list[Posted]:
        """Give the requests to a run that have no answer, oldest first."""
        return [
            Posted(id, request, at)
            for id, (to, request, at) in self.posts.items()
            if to == run and id not in self.answers
        ]

    def copy(self) -> MemoryInbox:
        """Give an inbox of the same requests and answers."""
        twin = MemoryInbox()
        twin.posts = dict(self.posts)
        twin.answers = dict(self.answers)
        twin._last = self._last
        return twin


class MemoryRuns:
    """The runs of a process, as lists show them.

    Attributes:
        hosted: Which runs servers drive.
    """

    def __init__(self) -> None:
        self.hosted: Final = MemoryHosted()
        self._runs: dict[str, _Run] = {}

    def runs(self, wanted: Wanted = ALL) -> list[RunRow]:
        """List runs, newest first."""
        # The sort keeps those in their order that began at once.
        rows = sorted(self._rows(), key=lambda row: row.created, reverse=True)
        if wanted.before is not None:
            created, last = wanted.before
            place = next((n for n, row in enumerate(rows) if row.id == last), len(rows))
            rows = [
                row
                for n, row in enumerate(rows)
                if row.created < created or (row.created == created and n > place)
            ]
        return [row for row in rows if _is_wanted(row, wanted)][: wanted.most]

    def counts(self, wanted: Wanted = ALL) -> dict[str, int]:
        """Count runs by their status."""
        return dict(Counter(row.status for row in self._rows() if _is_wanted(row, wanted)))

    def _rows(self) -> list[RunRow]:
        return [
            RunRow(
                id=id,
                name=run.name,
                status=status_after(run.events) or "running",
                created=run.events[0].at,
                updated=run.events[-1].at,
                events=len(run.events),
                owner=OWNER if run.log is not None else "",
                alive=run.log is not None,
            )
            for id, run in reversed(self._runs.items())
            if run.events
        ]

    def find(self, run: str) -> RunRow | None:
        """Give one run as a list shows it."""
        return next((row for row in self.runs() if row.id == run), None)

    def orphans(self, most: int) -> list[RunRow]:
        """Give runs that servers are to drive and nobody does, oldest first."""
        found = [row for row in reversed(self.runs()) if row.id in self.hosted.noted]
        return [row for row in found if row.status == "running" and not row.alive][:most]


class MemoryJournal(MemoryRuns):
    """All runs of one process, and their inbox; `blobs` holds their files.

    Args:
        latency: Seconds of the loop's time that a commit takes; None for the next turn.
        fail_after: The number of appends after which every write fails; None for never.
        wall: Gives the instant at which something is posted; by default nobody knows it.
    """

    def __init__(
        self,
        *,
        latency: float | None = None,
        fail_after: int | None = None,
        wall: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__()
        self.blobs: Final = MemoryBlobs()
        self.book = MemoryBook()
        self.answers = MemoryAnswers()
        self.inbox = MemoryInbox()
        self.rows = Rows()
        self.logs: Final = NoLogs()
        self.commits: Final = Commits(latency, fail_after, self._fail)
        self._latency = latency
        self._wall = wall
        self._listeners: list[Callable[[], None]] = []

    async def start(self, first: RunStarted, copied: Sequence[AnyEvent] = ()) -> MemoryLog:
        """Create a run and own it; its first events are durable when this returns.

        Raises:
            JournalError: It could not be written, or the id is taken.
        """
        if first.run in self._runs:
            raise JournalError(f"there is a run {first.run} already; choose another id")
        self.commits.check()
        run = self._runs[first.run] = _Run(first.spec.name)
        try:
            log = self._own(first.run, run)
            await log.durable(log.append([first, *copied]))
        except BaseException:
            # A disk would hold nothing of it either, or hold a run that nobody owns.
            run.log = None
            if not run.events:
                self._runs.pop(first.run, None)
            raise
        return log

    async def lay(self, first: RunStarted, copied: Sequence[AnyEvent] = ()) -> None:
        """Create a run that servers are to drive and nobody owns; it is durable afterwards.

        Raises:
            JournalError: It could not be written, or the id is taken.
        """
        log = await self.start(first, copied)
        await self.hosted.add(first.run)
        await log.close()

    async def resume(self, run: str) -> MemoryLog:
        """Own a run whose owner is gone; it gets a new epoch.

        Raises:
            NotFound: No such run.
            Refused: Its owner is alive.
        """
        self.commits.check()
        found = self._find(run)
        if found.log is not None:
            raise Refused(
                f"run {run} is owned by {OWNER}, which is alive: pause or cancel it, or let it end"
            )
        return self._own(run, found)

    def _own(self, id: str, run: _Run) -> MemoryLog:
        run.epoch += 1
        run.log = MemoryLog(self, id, run)
        return run.log

    def read(self, run: str, after: int = 0) -> Iterator[Recorded]:
        """Give a run's durable events after a sequence number, oldest first.

        Raises:
            NotFound: No such run.
        """
        events = self._find(run).events
        return (Recorded(seq, events[seq - 1]) for seq in range(after + 1, len(events) + 1))

    def wall(self) -> int:
        """Give the present instant, or 0 if nobody knows it."""
        return self._wall()

    def writes(self, seconds: float) -> bool:
        """Tell whether it has not failed."""
        try:
            self.commits.check()
        except JournalError:
            return False
        return True

    def announce(self) -> None:
        """Wake who listens."""
        for heard in self._listeners:
            heard()

    def listen(self, heard: Callable[[], None]) -> None:
        """Have this called when somebody announces something."""
        self._listeners.append(heard)

    def remove(self, runs: Sequence[str]) -> int:
        """Delete runs, and the files that only they used; gives the bytes that came free.

        Raises:
            Refused: One of them is owned; nothing is deleted.
        """
        known = [id for id in dict.fromkeys(runs) if id in self._runs]
        for id in known:
            if self._runs[id].log is not None:
                raise Refused(f"run {id} is owned by {OWNER}, which is alive: cancel it first")
        freed = 0
        files: set[str] = set()
        for id in known:
            run = self._runs.pop(id)
            freed += run.size
            files |= run.files
        for run in self._runs.values():
            files -= run.files
        files -= self.answers.files()
        for name in sorted(files):
            freed += len(self.blobs.stored.pop(name, b""))
        self.inbox.forget(known)
        self.hosted.noted.difference_update(runs)
        return freed

    def post(self, run: str, request: AnyRequest) -> int:
        """Leave a request, and give its id.

        Raises:
            NotFound: No such run.
        """
        found = self._find(run)
        id = self.inbox.post(run, request, self._wall())
        if found.log is not None:
            found.log.look()
        return id

    def waiting(self, run: str) -> list[Posted]:
        """Give the requests to a run that its owner has not answered, oldest first.

        Raises:
            NotFound: No such run.
        """
        self._find(run)
        return self.inbox.open_posts(run)

    def answer(self, id: int) -> Taken | None:
        """Give the owner's answer, or None as long as there is none."""
        return self.inbox.answers.get(id)

    def ledger(self, changed: Callable[[], None]) -> MemoryLedger:
        """Open the ledger of shared limits for the running loop."""
        return MemoryLedger(self.commits, self.rows, changed)

    def close(self) -> None:
        """Nothing to do: there is no thread and no file."""

    def crash(self, *, keep_in_flight: bool = False) -> MemoryJournal:
        """Die: give a journal with what was durable; this one and its logs are dead from now on.

        `keep_in_flight` has the commit that was on its way reach the disk unconfirmed, as half of
        all real crashes do.
        """
        failure = JournalError("the process that held this journal has crashed")
        self.commits.die(failure, keep_in_flight=keep_in_flight)
        twin = MemoryJournal(latency=self._latency, wall=self._wall)
        twin.blobs.stored.update(self.blobs.stored)
        twin._runs = {id: run.copy() for id, run in self._runs.items() if run.events}
        twin.book = self.book.copy()
        twin.answers = self.answers.copy()
        twin.inbox = self.inbox.copy()
        twin.rows = self.rows.copy()
        twin.hosted.noted.update(self.hosted.noted)
        return twin

    def _fail(self, failure: JournalError) -> None:
        for run in self._runs.values():
            if run.log is not None:
                run.log.progress.fail(failure)

    def _find(self, run: str) -> _Run:
        found = self._runs.get(run)
        if found is None or not found.events:
            raise NotFound(f"there is no run {run}")
        return found


def _is_wanted(row: RunRow, wanted: Wanted) -> bool:
    return (
        row.id.startswith(wanted.beginning)
        and any(wanted.sought.lower() in name.lower() for name in (row.id, row.name))
        and row.created >= (wanted.since or 0)
        and (not wanted.status or row.status in wanted.status or row.id in wanted.also)
        and row.id not in wanted.but
    )
