"""A run as lines of text: for pipes, for logs, and as the event stream for machines."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from hocket.app.run import Run
from hocket.app.stream import Item
from hocket.cli.closing import held_lines, waiting_lines
from hocket.cli.plain_teams import TeamStory
from hocket.cli.reply import Reply
from hocket.cli.screen import Background
from hocket.core.events import CallLost, Recorded, RunEnded
from hocket.core.values import SECOND, Call
from hocket.report.story import Story
from hocket.report.text import queue_words

_LOOK: Final = 0.5
_LONG: Final = 2 * SECOND
"""How long a wait must still be before a line is worth it."""


class PlainDisplay:
    """Tells on stderr what happens, a line for each thing, once it is on disk."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._told: dict[str, int] = {}
        """Until when what was told to be waited for is closed, by cause."""
        self._undone: dict[str, int] = {}
        """Since when calls wait for somebody to do them, by cause; 0 once that was told."""
        self._task: asyncio.Task[None] | None = None
        self._run: Run | None = None
        self._story = Story()
        self._teams = TeamStory()
        self._reply = Reply()
        self._lines: Background[str] = Background(_to_stderr)

    def begin(self, run: Run) -> None:
        """The run is under way."""
        self._teams.run = self._run = run
        if not self._quiet:
            self.say(f"run {run.id}")
            for line in waiting_lines(run.machine):
                self.say(line)
            self._task = asyncio.get_running_loop().create_task(self._watch(run))

    async def _watch(self, run: Run) -> None:
        """Tell what calls wait for and until when, once for each opening that is far away."""
        while True:
            await asyncio.sleep(_LOOK)
            now = time.time_ns()
            for queue in run.queued:
                until = queue.until
                if until is None or until - now < _LONG:
                    continue
                if until - self._told.get(queue.cause, 0) > _LONG:
                    self._told[queue.cause] = until
                    self.say(queue_words(queue.cause, until, queue.count, now))
            self._undone = {cause: self._undone.get(cause, now) for cause in run.undone}
            for cause, since in self._undone.items():
                if since and now - since >= _LONG:
                    self._undone[cause] = 0
                    self.say(queue_words(cause, None, run.undone[cause], now))

    def say(self, text: str) -> None:
        """Show a line of our own."""
        self._lines.put(f"{time.strftime('%H:%M:%S')} {text}\n")

    def heard(self, item: Item) -> None:
        """Tell what the last step says, line by line."""
        if not self._quiet:
            for line in self._reply.take(item):
                self.say(line)

    def end(self) -> None:
        """The run has settled."""
        if self._task is not None:
            self._task.cancel()
        self._lines.close()
        if self._lines.dropped:
            _to_stderr([f"{self._lines.dropped:,} lines were left out: nobody read them\n"])

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Tell what is on disk now."""
        if self._quiet:
            return
        for recorded in events:
            line = self._story.tell(recorded.event)
            # How a run has ended is told once, by the lines that close it.
            if line and not isinstance(recorded.event, RunEnded):
                self.say(line)
            for line in self._teams.tell(recorded.event):
                self.say(line)
            if isinstance(recorded.event, CallLost) and self._run is not None:
                for line in held_lines(self._run.machine, [recorded.event.call]):
                    self.say(line)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """What calls say is not shown in lines; ``hocket logs`` has it."""


class EventLines:
    """Writes each event as a line of JSON on stdout, once it is on disk."""

    def __init__(self) -> None:
        # A program counts on every line, so none is dropped.
        self._lines: Background[bytes] = Background(_to_stdout, sys.maxsize)

    def begin(self, run: Run) -> None:
        """The run is under way."""

    def heard(self, item: Item) -> None:
        """What a step says is no event."""

    def say(self, text: str) -> None:
        """Show a line of our own, apart from the data."""
        _to_stderr([f"{text}\n"])

    def end(self) -> None:
        """The run has settled."""
        self._lines.close()

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Write what is on disk now."""
        for recorded in events:
            self._lines.put(event_line(recorded))

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """What calls say is no event."""


def event_line(recorded: Recorded) -> bytes:
    """Write an event as a line of JSON: ``{"seq": 7, "event": {...}}``."""
    return msgspec.json.encode(recorded) + b"\n"


def _to_stderr(lines: Sequence[str]) -> None:
    sys.stderr.write("".join(lines))
    sys.stderr.flush()


def _to_stdout(lines: Sequence[bytes]) -> None:
    sys.stdout.buffer.write(b"".join(lines))
    sys.stdout.buffer.flush()
