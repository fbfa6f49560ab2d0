"""What a client can watch: each topic knows how far the client is and gives its next frame.

Nothing is queued for anybody.
A topic is asked for a frame when the client can take one, and then says what is new since the last
one; so a slow client gets less often more, and costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

from hocket.core.errors import CallerError
from hocket.core.values import Call
from hocket.journal.base import RunRow, Store
from hocket.journal.logs import CallLog, Logs
from hocket.report.board import Board
from hocket.server.events import beyond
from hocket.server.feed import Feed, Listener
from hocket.server.feeds import Polled, RunList
from hocket.server.frames import MOST_BYTES, Frames, Kind, Place, encode
from hocket.server.runs import RunRow as Shown
from hocket.server.slim import slim
from hocket.server.tail import MOST_READ, Said, Tail, heard

PERIOD: Final = 0.1
"""Seconds between frames of one topic."""
LOG_PERIOD: Final = 0.05
SETTLED: Final = 1.0
"""Seconds after a call's end within which the last of its log comes that is written in batches."""
MOST_ROWS: Final = 500
"""The most runs in the list when it begins; the newest ones."""
_ASIDE: Final = 0.5
_BEHIND: Final = 5.0
"""Whoever has taken nothing for so many seconds, and has missed much, is told so."""
_MUCH: Final = 300
_MOST_TAILS: Final = 32
_ABSENT: Final = 0.25
_EVENTS: Final = 200


class Topic(Protocol):
    """Something that a client watches.

    Attributes:
        said: The topic as the client named it.
        due: Before that instant it has no frame, on the clock of the loop.
    """

    said: dict[str, Any]
    due: float

    async def take(self, now: float) -> str | None:
        """Give the next frame; None if there is nothing new.

        Raises:
            CallerError: There is no such run, or no more can be shown.
            JournalError: It cannot be read.
        """

    def close(self) -> None:
        """It is watched no more."""


class _Same:
    """Sees to it that a feed goes on telling of the same run.

    Args:
        feed: The feed.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._frames: Frames | None = None

    def board(self) -> Board | None:
        """Give the run; None before it was read.

        Raises:
            CallerError: It was removed, and another one has begun under its id; or it is gone.
            HocketError: It cannot be read.
        """
        feed, frames = self._feed, self._feed.frames
        if feed.problem is not None and (frames is None or feed.over):
            raise feed.problem
        if self._frames is not None and frames is not None and frames is not self._frames:
            raise CallerError(
                f"run {feed.run} was removed, and another one has begun under its id: watch it anew"
            )
        self._frames = frames or self._frames
        return None if frames is None else frames.board


class RowsTopic:
    """The head and the steps of a run, or its calls.

    Args:
        said: The topic as the client named it.
        kind: ``run`` or ``calls``.
        feed: The run.
        aside: Says what is known of the run beyond its events.
        wake: Is called when something is new.
    """

    def __init__(
        self,
        said: dict[str, Any],
        kind: Kind,
        feed: Feed,
        aside: Callable[[str], dict[str, Any]],
        wake: Listener,
    ) -> None:
        self.said = said
        self.due = 0.0
        self._kind = kind
        self._feed = feed
        self._aside = aside
        self._wake: Listener = partial(wake)
        self._seen: int | None = said.get("after")
        self._before: int | None = self._seen
        self._place: Place | None = None
        self._frames: Frames | None = None
        self._aside_at = -1
        self._asided = 0.0
        self._took = 0.0
        self._told = False
        feed.listen(self._wake)

    async def take(self, now: float) -> str | None:
        """Give the next frame."""
        feed = self._feed
        frames = feed.frames
        if feed.problem is not None and (frames is None or feed.over):
            raise feed.problem
        if frames is None:
            return None
        if frames is not self._frames:
            if self._frames is not None:
                # Another run of that id: nothing of what was seen is of it.
                self._seen = self._before = self._place = None
            self._frames = frames
        if self._place is None:
            if self._kind == "run" and now >= self._asided:
                self._asided = now + _ASIDE
                frames.tell(self._aside(feed.run))
            late = self._begin(now)
            if late is not None:
                return late
        if self._place is None:
            return None
        frame = frames.next(self._kind, self._place)
        self._before = self._seen = frame.seen
        self._place = frame.rest
        self._took = now
        # The rest of a stretch follows at once, as fast as the client takes it.
        self.due = now if frame.rest is not None else now + PERIOD
        return frame.text

    def close(self) -> None:
        """It is watched no more."""
        self._feed.leave(self._wake)

    def _begin(self, now: float) -> str | None:
        """Begin with what is new; gives what to say first to somebody who is far behind."""
        frames = self._feed.frames
        assert frames is not None
        board, seen = frames.board, self._seen
        news = self._kind == "run" and frames.aside_at != self._aside_at
        if seen is not None and seen == board.seq and not news:
            return None
        stretch = frames.stretch(self._kind, seen)
        late = self._took and now - self._took > _BEHIND and len(stretch.names) > _MUCH
        if late and not self._told and stretch.after is not None:
            self._told, self._seen = True, None
            why = f"{now - self._took:.0f} s behind: all of it is sent anew"
            return encode({"t": "lag", "run": self._feed.run, "why": why}).decode()
        self._told = False
        self._aside_at = frames.aside_at
        if stretch.after is not None and not stretch.names and not news and self._kind == "calls":
            self._seen = stretch.until
            return None
        # What has no call in it is not told of, so its reader may be farther back than we are.
        self._place = Place(stretch, seen=None if stretch.after is None else self._before)
        return None


class EventsTopic:
    """The events of a run.

    Args:
        said: The topic as the client named it.
        feed: The run.
        store: The journal.
        wake: Is called when something is new.
    """

    def __init__(self, said: dict[str, Any], feed: Feed, store: Store, wake: Listener) -> None:
        self.said = said
        self.due = 0.0
        self._feed = feed
        self._store = store
        self._wake: Listener = partial(wake)
        self._seen: int = said.get("after") or 0
        self._known = False
        self._same = _Same(feed)
        feed.listen(self._wake)

    async def take(self, now: float) -> str | None:
        """Give the next frame."""
        feed, board = self._feed, self._same.board()
        if board is None:
            return None
        if not self._known:
            # The board may be behind what is on disk, and so behind its reader.
            last = board.seq if board.seq >= self._seen else (await feed.fresh()).seq
            if self._seen > last:
                raise beyond(feed.run, self._seen, last)
            self._known = True
        if board.seq <= self._seen:
            return None
        lines = await asyncio.to_thread(self._read, self._seen)
        if not lines:
            return None
        room = MOST_BYTES - 400 - len(feed.run)
        count = 0
        for line in lines:
            room -= len(line) + 1
            if room < 0 and count:
                break
            count += 1
        before, self._seen = self._seen, self._seen + count
        self.due = now + PERIOD
        events = b",".join(lines[:count]).decode()
        run = encode(feed.run).decode()
        said = f'"t":"events","run":{run},"p":{before},"s":{self._seen}'
        return f'{{{said},"events":[{events}]}}'

    def close(self) -> None:
        """It is watched no more."""
        self._feed.leave(self._wake)

    def _read(self, after: int) -> list[bytes]:
        events = islice(self._store.read(self._feed.run, after), _EVENTS)
        return [encode(slim(recorded)) for recorded in events]


class LogTopic:
    """What a call says, or what all calls below a step do.

    Args:
        said: The topic as the client named it.
        feed: The run.
        logs: What calls say.
        wake: Is called when something is new.
    """

    def __init__(self, said: dict[str, Any], feed: Feed, logs: Logs, wake: Listener) -> None:
        self.said = said
        self.due = 0.0
        self._feed = feed
        self._logs = logs
        self._wake: Listener = partial(wake)
        self._path = str(said["path"])
        self._attempt = int(said.get("attempt") or 0)
        self._tails: dict[str, Tail] = {}
        self._over: dict[str, None] = {}
        self._settled: dict[str, float] = {}
        """When all can be read that calls have said that are over."""
        self._looked = -1
        self._turn = 0
        self._same = _Same(feed)
        feed.listen(self._wake)

    async def take(self, now: float) -> str | None:
        """Give the next frame."""
        board = self._same.board()
        if board is None:
            return None
        if board.seq != self._looked:
            self._find()
            self._looked = board.seq
        names = list(self._tails)
        self.due = now + (LOG_PERIOD if names else _ABSENT)
        for step in range(len(names)):
            name = names[(self._turn + step) % len(names)]
            text = await self._next(name)
            if text is not None:
                self._turn += step + 1
                # Calls take turns; a round of them all is one picture.
                self.due = now + LOG_PERIOD / len(names)
                return text
        return None

    def close(self) -> None:
        """It is watched no more."""
        self._feed.leave(self._wake)

    def _find(self) -> None:
        """Find the calls whose logs are meant."""
        board = self._feed.board
        assert board is not None
        if self._path.endswith("/*"):
            before = self._path[:-1]
            for name in board.flying:
                if name.startswith(before) and len(self._tails) < _MOST_TAILS:
                    self._open(name, 0)
            return
        attempt = self._attempt or board.last_attempt(self._path)
        if attempt:
            name = f"{self._path}#{attempt}"
            if not self._attempt:
                # Only the latest attempt is followed.
                self._tails = {one: tail for one, tail in self._tails.items() if one == name}
            self._open(name, int(self.said.get("from") or 0))

    def _open(self, name: str, start: int) -> None:
        if name in self._tails or name in self._over:
            return
        path, _, attempt = name.rpartition("#")
        if self._over or self._tails:
            # Where to begin was said of the first of them.
            start = 0
        log = CallLog(self._logs, self._feed.run, Call(path, int(attempt)))
        self._tails[name] = Tail(log, start)

    async def _next(self, name: str) -> str | None:
        board, tail = self._feed.board, self._tails[name]
        assert board is not None
        row = board.calls.get(name)
        over = row is not None and row.how != ""
        ended = over and not self._late(name, tail)
        at = tail.at
        said = await heard(tail, ended=ended)
        if said is None:
            if not ended:
                return None
            self._tails.pop(name, None)
            self._over[name] = None
            return self._text(name, Said(at, at, ""), end=True)
        text = self._text(name, said)
        if len(text.encode()) > MOST_BYTES:
            tail.back(at)
            said = await heard(tail, ended=ended, most=MOST_READ // 4)
            assert said is not None
            text = self._text(name, said)
        return text

    def _late(self, name: str, tail: Tail) -> bool:
        """Tell whether something that a call has said may still be on its way."""
        now = asyncio.get_running_loop().time()
        return tail.waits and now < self._settled.setdefault(name, now + SETTLED)

    def _text(self, name: str, said: Said, *, end: bool = False) -> str:
        frame: dict[str, Any] = {"t": "log", "run": self._feed.run, "c": name}
        frame |= {"o": said.start, "e": said.end, "d": said.text}
        if said.skipped:
            frame["skipped"] = said.skipped
        if end:
            frame["end"] = True
        return encode(frame).decode()


class RunsTopic:
    """The list of runs.

    Args:
        said: The topic as the client named it.
        runs: The list.
        show: Gives a run as the list shows it.
        wake: Is called when something is new.
    """

    def __init__(
        self,
        said: dict[str, Any],
        runs: RunList,
        show: Callable[[RunRow], Shown],
        wake: Listener,
    ) -> None:
        self.said = said
        self.due = 0.0
        self._runs = runs
        self._show = show
        self._wake: Listener = partial(wake)
        self._looked = 0
        self._begun = False
        self._sent: dict[str, Shown] = {}
        self._kept: dict[str, RunRow] = {}
        self._queue: list[str] = []
        runs.listen(self._wake)

    async def take(self, now: float) -> str | None:
        """Give the next frame."""
        runs = self._runs
        if not self._queue:
            if runs.looks == self._looked:
                return None
            self._looked = runs.looks
            self._queue = self._changed()
        lines: list[bytes] = []
        gone: list[str] = []
        room = MOST_BYTES - 400
        while self._queue:
            run = self._queue[0]
            kept = runs.rows.get(run)
            shown = None if kept is None else self._show(kept)
            line = encode(run if shown is None else shown)
            room -= len(line) + 1
            if room < 0 and (lines or gone):
                break
            self._queue.pop(0)
            if shown is None or kept is None:
                self._sent.pop(run, None)
                self._kept.pop(run, None)
                gone.append(run)
            elif self._sent.get(run) != shown:
                self._sent[run], self._kept[run] = shown, kept
                lines.append(line)
        if self._begun and not lines and not gone:
            return None
        snap, self._begun = not self._begun, True
        self.due = now if self._queue else now + PERIOD
        rows = b",".join(lines).decode()
        said = f'"t":"runs","rows":[{rows}],"gone":{encode(gone).decode()}'
        return f'{{{said},"snap":{"true" if snap else "false"}}}'

    def close(self) -> None:
        """It is watched no more."""
        self._runs.leave(self._wake)

    def _changed(self) -> list[str]:
        """Name the runs that may look different, and those that are gone."""
        rows = self._runs.rows
        if not self._begun:
            return list(rows)[:MOST_ROWS]
        # What is driven here changes between its commits, too.
        changed = [
            run
            for run, row in rows.items()
            if self._kept.get(run) != row and (run in self._kept or self._newer(row))
        ]
        here = [run for run, shown in self._sent.items() if shown.here and run in rows]
        return [*dict.fromkeys([*changed, *here]), *[r for r in self._sent if r not in rows]]

    def _newer(self, row: RunRow) -> bool:
        """Tell whether a run that was not shown has happened since."""
        return len(self._sent) < MOST_ROWS or row.created >= min(
            [kept.created for kept in self._kept.values()], default=0
        )


class WholeTopic:
    """Something small that is sent whole whenever it has changed.

    Args:
        said: The topic as the client named it.
        polled: What it is.
        wake: Is called when something is new.
    """

    def __init__(self, said: dict[str, Any], polled: Polled, wake: Listener) -> None:
        self.said = said
        self.due = 0.0
        self._polled = polled
        self._wake: Listener = partial(wake)
        self._seen = 0
        polled.listen(self._wake)

    async def take(self, now: float) -> str | None:
        """Give it, if it has changed."""
        if self._polled.changes == self._seen:
            return None
        self._seen = self._polled.changes
        self.due = now + PERIOD
        return fitted({"t": self.said["topic"], **self._polled.value})

    def close(self) -> None:
        """It is watched no more."""
        self._polled.leave(self._wake)


def fitted(value: dict[str, Any]) -> str:
    """Encode something; if it is too large its longest lists are cut, and it says by how much."""
    value = dict(value)
    data = encode(value)
    more = 0
    while len(data) > MOST_BYTES:
        lists = {name: part for name, part in value.items() if isinstance(part, list) and part}
        if not lists:
            raise CallerError("it is too large to be shown here")
        name = max(lists, key=lambda name: len(encode(lists[name])))
        left = len(lists[name]) // 2
        more += len(lists[name]) - left
        value[name] = lists[name][:left]
        data = encode({**value, "more": more})
    return data.decode()
