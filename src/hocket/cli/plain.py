"""A run as lines of text: for pipes, for logs, and as the event stream for machines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import msgspec

from hocket.app.run import Run
from hocket.core.events import Recorded
from hocket.core.values import Call
from hocket.report.story import Story


class PlainDisplay:
    """Tells on stderr what happens, a line for each thing, once it is on disk."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._story = Story()

    def begin(self, run: Run) -> None:
        """The run is under way."""
        if not self._quiet:
            self.say(f"run {run.id}")

    def say(self, text: str) -> None:
        """Show a line of our own."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """The run has settled."""

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Tell what is on disk now."""
        for recorded in events:
            line = self._story.tell(recorded.event)
            if line and not self._quiet:
                self.say(line)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """What calls say is not shown in lines; ``hocket logs`` has it."""


class EventLines:
    """Writes each event as a line of JSON on stdout, once it is on disk."""

    def begin(self, run: Run) -> None:
        """The run is under way."""

    def say(self, text: str) -> None:
        """Show a line of our own, apart from the data."""
        print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """The run has settled."""
        sys.stdout.flush()

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Write what is on disk now."""
        write = sys.stdout.buffer.write
        for recorded in events:
            write(event_line(recorded))
        sys.stdout.buffer.flush()

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """What calls say is no event."""


def event_line(recorded: Recorded) -> bytes:
    """Write an event as a line of JSON: ``{"seq": 7, "event": {...}}``."""
    return msgspec.json.encode(recorded) + b"\n"
