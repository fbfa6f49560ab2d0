"""A run on a terminal, as it goes: what runs, what each thing waits for, tokens, cost, time.

Only what fits on the screen is drawn, a few times a second, so a plan of 100,000 steps costs no
more to watch than one of ten.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hocket.app.run import Run
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    InputAsked,
    InputGiven,
    Recorded,
)
from hocket.core.values import Call, format_duration
from hocket.report.story import Story
from hocket.report.text import cause_words, counts_words, spent_words

_PERIOD: Final = 0.2
_ROWS: Final = 12
_ENDS = (CallFinished, CallFailed, CallCancelled, CallLost)


class LiveDisplay:
    """Draws a run on stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, get_renderable=self._draw
        )
        self._running: dict[Call, tuple[str, float]] = {}
        self._said: dict[Call, str] = {}
        self._asked: dict[str, str] = {}
        self._story = Story()
        self._run: Run | None = None
        self._task: asyncio.Task[None] | None = None
        self._began = time.monotonic()

    def begin(self, run: Run) -> None:
        """The run is under way."""
        self._run = run
        self._live.start()
        self._task = asyncio.get_running_loop().create_task(self._redraw())

    def say(self, text: str) -> None:
        """Show a line of our own above the picture."""
        self._console.print(Text(text))

    def end(self) -> None:
        """The run has settled."""
        if self._task is not None:
            self._task.cancel()
        self._live.stop()

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Take in what is on disk now."""
        for recorded in events:
            event = recorded.event
            line = self._story.tell(event)
            if isinstance(event, CallStarted):
                self._running[event.call] = event.agent, time.monotonic()
            elif isinstance(event, _ENDS):
                self._running.pop(event.call, None)
                self._said.pop(event.call, None)
            elif isinstance(event, ApprovalAsked):
                self._asked[event.path] = "approve"
            elif isinstance(event, InputAsked):
                self._asked[event.path] = "send"
            elif isinstance(event, ApprovalGiven | InputGiven):
                self._asked.pop(event.path, None)
            if line and self._story.important:
                self.say(line)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """Keep the end of what a call says."""
        kept = (self._said.get(call, "") + text)[-200:]
        self._said[call] = kept.rsplit("\n", 1)[-1] or kept.rstrip("\n").rsplit("\n", 1)[-1]

    async def _redraw(self) -> None:
        while True:
            self._live.refresh()
            await asyncio.sleep(_PERIOD)

    def _draw(self) -> Group:
        run = self._run
        if run is None:
            return Group()
        elapsed = format_duration(int((time.monotonic() - self._began) * 1e9))
        head = Text.assemble(
            (run.id, "bold"),
            "  ",
            counts_words(run.machine.workflow.counts()),
            "  ",
            spent_words(run.tally),
            "  ",
            elapsed,
        )
        return Group(head, *self._rows(run))

    def _rows(self, run: Run) -> list[Table | Text]:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        now = time.monotonic()
        for call, (agent, since) in list(self._running.items())[:_ROWS]:
            age = format_duration(int((now - since) * 1e9))
            table.add_row(
                Text(f"● {call}", "green"), agent, age, Text(self._said.get(call, ""), "dim")
            )
        rows: list[Table | Text] = [table]
        if len(self._running) > _ROWS:
            rows.append(Text(f"  … and {len(self._running) - _ROWS} more in flight", "dim"))
        for path, verb in list(self._asked.items())[:_ROWS]:
            rows.append(Text(f"◌ {path} waits for you: hocket {verb} {run.id} {path}", "yellow"))
        for cause, count in run.queued.items():
            rows.append(Text(f"… {count} waiting for {cause_words(cause)}", "dim"))
        if run.machine.phase == "pausing":
            rows.append(Text("pausing: waiting for calls in flight", "yellow"))
        return rows


def is_terminal() -> bool:
    """Tell whether there is a terminal to draw on."""
    return sys.stderr.isatty()
