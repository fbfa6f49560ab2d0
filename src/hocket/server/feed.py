"""One run that is watched: its board, kept up to date from what is on disk, for all who watch it.

A run of this process tells of its commits; for a run of another the journal is asked, the less
often the less happens.
The loop is never held for long: what is much is read and decoded in a thread, and taken in bit by
bit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from hocket.app.adapters import KINDS
from hocket.app.run import Run, observe, unobserve
from hocket.core.errors import EngineBug, HocketError, NotFound
from hocket.core.events import Recorded
from hocket.core.run import RunMachine
from hocket.core.values import Call
from hocket.journal.base import Store
from hocket.report.board import Board
from hocket.server.frames import Frames

_SLICE: Final = 0.004
"""Seconds for which events are taken in before everybody else has a turn."""
_PAGE: Final = 512
_MOST_PENDING: Final = 4_096
_POLL: Final = 0.1
_LONGEST_POLL: Final = 1.0
_ENDED_POLL: Final = 2.0
_DRIVEN_POLL: Final = 5.0
"""Seconds after which the journal is asked about a run that tells of its commits itself."""

Listener = Callable[[], None]


class Feed:
    """A run that is watched.

    Args:
        store: The journal.
        run: The run's id.
        driven: Gives a run if it is driven in this process.
        turns: Who may read a whole run now: reading takes all of a processor.

    Attributes:
        used: When it was last asked for, on the clock of the loop.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        driven: Callable[[str], Run | None],
        turns: asyncio.Semaphore,
    ) -> None:
        self.run = run
        self.used = 0.0
        self.problem: HocketError | None = None
        """Why nothing more can be read, if so."""
        self._store = store
        self._driven = driven
        self._turns = turns
        self._frames: Frames | None = None
        self._lock = asyncio.Lock()
        self._listeners: dict[Listener, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._commits = Commits()
        self._idle = _POLL

    @property
    def board(self) -> Board | None:
        """The run, as far as it was read; None before it was."""
        return None if self._frames is None else self._frames.board

    @property
    def frames(self) -> Frames | None:
        """The frames of the run; None before it was read."""
        return self._frames

    @property
    def over(self) -> bool:
        """Whether the problem will stay: the run was removed, or cannot be shown at all."""
        return isinstance(self.problem, NotFound | EngineBug)

    @property
    def weight(self) -> int:
        """How many rows it keeps."""
        board = self.board
        return 0 if board is None else len(board.calls) + board.total

    @property
    def listened(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def listen(self, listener: Listener) -> None:
        """Tell somebody of whatever is new; while anybody listens the run is followed."""
        self._listeners[listener] = None
        if self._task is None or self._task.done():
            # What was wrong then may be right by now: a run may have begun that was removed.
            self.problem = None
            self._task = asyncio.create_task(self._follow(), name=f"feed of {self.run}")

    def leave(self, listener: Listener) -> None:
        """Tell somebody nothing more."""
        self._listeners.pop(listener, None)
        if not self._listeners:
            self.close()

    def close(self) -> None:
        """Follow the run no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._commits.attach(None)

    async def fresh(self) -> Board:
        """Give the board with all that is on disk now.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read.
        """
        async with self._lock:
            board = await self._catch_up()
            self.problem = None
        return board

    # -- within -----------------------------------------------------------------------------

    async def _catch_up(self) -> Board:
        """Take in all that is on disk; begin anew if it is of another run of the same id."""
        try:
            while True:
                if self._frames is None:
                    async with self._turns:
                        board = await asyncio.to_thread(self._read_all)
                    self._frames = Frames(self.run, board)
                    self._tell()
                board = self._frames.board
                page = await asyncio.to_thread(self._page, board.seq, board.machine.at)
                if page is None:
                    self._frames = None
                elif page:
                    await self._take(page)
                else:
                    return board
        except NotFound:
            # What was read is of a run that is no more.
            self._frames = None
            raise

    async def _follow(self) -> None:
        while True:
            try:
                self._commits.attach(self._driven(self.run))
                news = await self._news()
                self.problem = None
            except HocketError as error:
                self.problem = error
                self._tell()
                if isinstance(error, NotFound):
                    return
                news = False
            except Exception as error:
                self._broke(error)
                return
            self._idle = _POLL if news else min(self._idle * 1.5, _LONGEST_POLL)
            await self._pause()

    def _broke(self, error: Exception) -> None:
        """Tell of a mistake of ours: this run is followed no more, and whoever watches hears so."""
        self.problem = EngineBug(f"run {self.run} cannot be shown: {type(error).__name__}: {error}")
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": str(self.problem), "exception": error})
        self._tell()

    async def _pause(self) -> None:
        board = self.board
        if self._commits.attached:
            longest = _DRIVEN_POLL
        elif board is not None and board.machine.phase == "ended":
            longest = _ENDED_POLL
        else:
            longest = self._idle
        try:
            async with asyncio.timeout(longest):
                await self._commits.wake.wait()
        except TimeoutError:
            return

    async def _news(self) -> bool:
        """Take in what is new; tells whether anything was."""
        commits = self._commits
        commits.wake.clear()
        async with self._lock:
            board = self.board
            before = 0 if board is None else board.seq
            if board is not None and (news := commits.after(before)):
                await self._take(news)
                found = board
            else:
                commits.missed = False
                found = await self._catch_up()
            if commits.pending:
                commits.wake.set()
            return found is not board or found.seq > before

    async def _take(self, events: Sequence[Recorded]) -> None:
        """Take events in, with a turn for everybody else now and then."""
        assert self._frames is not None
        board, since = self._frames.board, time.perf_counter()
        for recorded in events:
            if recorded.seq != board.seq + 1:
                continue
            board.add(recorded)
            if time.perf_counter() - since > _SLICE:
                self._tell()
                await asyncio.sleep(0)
                since = time.perf_counter()
        self._tell()

    def _page(self, after: int, at: int) -> list[Recorded] | None:
        """Read what follows on the last event that is known; None if that is not there any more.

        A run that was removed may have begun again under its id; no two events of one number are
        of the same nanosecond.
        """
        page = list(islice(self._store.read(self.run, after - 1), _PAGE + 1))
        return page[1:] if page and page[0].event.at == at else None

    def _read_all(self) -> Board:
        """Read the whole run, in a thread of its own: nobody sees its board before it is done."""
        board = Board(new_machine())
        for recorded in self._store.read(self.run):
            board.add(recorded)
        if not board.seq:
            raise NotFound(f"run {self.run!r} has no events")
        # The first look at what has changed goes through all steps; it had better be here.
        board.since(board.seq)
        return board

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


class Commits:
    """Hears of what a run of this process has committed; an observer of it.

    Attributes:
        pending: Events that nobody has taken yet; a few of many, if some were missed.
        missed: Whether some were, which are to be read from the journal.
        wake: Is set when there is something.
    """

    def __init__(self) -> None:
        self.pending: deque[Recorded] = deque()
        self.missed = False
        self.wake = asyncio.Event()
        self._run: Run | None = None

    @property
    def attached(self) -> bool:
        """Whether it hears of a run."""
        return self._run is not None

    def attach(self, run: Run | None) -> None:
        """Hear of this run from now on, or of none."""
        if run is self._run:
            return
        if self._run is not None:
            unobserve(self._run, self)
        self.pending.clear()
        # What was committed before is read from the journal.
        self.missed = run is not None
        self._run = run
        if run is not None:
            observe(run, self)

    def after(self, seq: int) -> list[Recorded]:
        """Take the events that follow on one; none if some between are missing."""
        pending = self.pending
        while pending and pending[0].seq <= seq:
            pending.popleft()
        if not pending or pending[0].seq != seq + 1:
            return []
        return [pending.popleft() for _ in range(min(len(pending), _PAGE))]

    def recorded(self, events: Sequence[Recorded]) -> None:
        """These events are on disk."""
        if len(self.pending) > _MOST_PENDING:
            # They are read from the journal later; here they would only take room.
            self.pending.clear()
            self.missed = True
        if not self.missed:
            self.pending.extend(events)
        self.wake.set()

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """What calls say is read from their logs."""


def new_machine() -> RunMachine:
    """Make a machine for a run's events."""
    return RunMachine({tag: kind.make for tag, kind in KINDS.items()})
