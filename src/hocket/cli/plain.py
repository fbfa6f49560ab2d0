"""A run as lines of text: for pipes, for logs, and as the event stream for machines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import msgspec

from hocket.app.run import Run
from hocket.cli.closing import waiting_lines
from hocket.cli.screen import Background
from hocket.core.events import Recorded, RunEnded
from hocket.core.values import Call
from hocket.report.story import Story


class PlainDisplay:
    """Tells on stderr what happens, a line for each thing, once it is on disk."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._story = Story()
        self._lines: Background[str] = Background(_to_stderr)

    def begin(self, run: Run) -> None:
        """The run is under way."""
        if not self._quiet:
            self.say(f"run {run.id}")
            for line in waiting_lines(run.machine):
                self.say(line)

    def say(self, text: str) -> None:
        """Show a line of our own."""
        self._lines.put(f"{time.strftime('%H:%M:%S')} {text}\n")

    def end(self) -> None:
        """The run has settled."""
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

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """What calls say is not shown in lines; ``hocket logs`` has it."""


class EventLines:
    """Writes each event as a line of JSON on stdout, once it is on disk."""

    def __init__(self) -> None:
        # A program counts on every line, so none is dropped.
        self._lines: Background[bytes] = Background(_to_stdout, sys.maxsize)

    def begin(self, run: Run) -> None:
        """The run is under way."""

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
