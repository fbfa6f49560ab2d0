"""Drives a run from the command line: signals, display, result, exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from hocket.app.result import Result
from hocket.app.run import Run
from hocket.app.stream import Item
from hocket.cli.closing import closing_lines, over_budget
from hocket.cli.keys import Keys
from hocket.cli.live import LiveDisplay
from hocket.cli.main import (
    EXIT_BUDGET,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_TIMEOUT,
    EXIT_WAITS,
)
from hocket.cli.output import fit, pretty, print_output
from hocket.cli.plain import EventLines, PlainDisplay
from hocket.core.errors import Refused
from hocket.core.run import RunMachine
from hocket.core.timeouts import timed_out
from hocket.core.values import Json
from hocket.engine.runner import Observer
from hocket.report.data import run_document

Show: TypeAlias = Literal["live", "plain", "jsonl", "quiet"]
CTRL_C: Final = "ctrl-c"


class Display(Observer, Protocol):
    """Shows a run while it goes."""

    def begin(self, run: Run) -> None:
        """The run is under way."""

    def say(self, text: str) -> None:
        """Show a line of our own."""

    def heard(self, item: Item) -> None:
        """The step that the run ends with says something."""

    def end(self) -> None:
        """The run has settled."""


def choose(*, plain: bool, quiet: bool, json_: bool, jsonl: bool) -> Show:
    """Choose how to show a run: live only where there is a terminal to show it on.

    Raises:
        Refused: Two of them exclude each other.
    """
    if json_ and jsonl:
        raise Refused("--json and --jsonl exclude each other")
    if jsonl:
        return "jsonl"
    if quiet or json_:
        return "quiet"
    live = not plain and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return "live" if live else "plain"


def make_display(show: Show) -> Display:
    """Make a display; progress goes to stderr, data to stdout."""
    if show == "live":
        return LiveDisplay()
    if show == "jsonl":
        return EventLines()
    return PlainDisplay(quiet=show == "quiet")


class Ending(NamedTuple):
    """What is made of the output of a run that has succeeded.

    Fields:
        show: Prints it, unless the whole document is printed.
        status: Gives the exit status that it means.
        table: Gives lines about what was done, for stderr.
        aloud: Whether the text of the plan's last step is shown as it comes.
    """

    show: Callable[[Json], None] = print_output
    status: Callable[[Json], int] = lambda output: 0
    table: Callable[[RunMachine], Iterable[str]] | None = None
    aloud: bool = False


AS_IT_IS: Final = Ending()


async def drive(
    begin: Callable[[Sequence[Observer]], Awaitable[Run]],
    show: Show,
    *,
    json_: bool = False,
    ending: Ending = AS_IT_IS,
) -> int:
    """Drive a run until it settles, show it, and give the exit status.

    Raises:
        HocketError: It could not be started, or its journal failed.
    """
    display = make_display(show)
    run = await begin([display])
    interrupts = _Interrupts(run, display)
    interrupts.listen()
    display.begin(run)
    keys = Keys(run, display) if isinstance(display, LiveDisplay) else None
    if keys is not None:
        keys.listen()
    reader = asyncio.create_task(_read(run, display)) if ending.aloud else None
    try:
        async with run:
            result = await run.result()
    finally:
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        if keys is not None:
            keys.forget()
        display.end()
        interrupts.forget()
    if show == "jsonl":
        pass
    elif json_:
        print(pretty(run_document(run.machine, run.tally)))
    else:
        _report(run, result, ending, quiet=show == "quiet")
    if over_budget(run.machine) and not interrupts.count:
        return EXIT_BUDGET
    if result.status == "succeeded":
        return ending.status(result.output)
    return exit_status(result, interrupted=interrupts.count > 0)


async def _read(run: Run, display: Display) -> None:
    async for item in run.stream():
        display.heard(item)


def _report(run: Run, result: Result, ending: Ending, *, quiet: bool) -> None:
    if ending.table is not None and not quiet:
        lines = list(ending.table(run.machine))
        for line in [*lines, ""] if lines else ():
            print(fit(f"  {line}".rstrip(), sys.stderr), file=sys.stderr)
    # Whoever wants only the result still wants to know why there is none.
    if not quiet or result.status != "succeeded":
        for line in closing_lines(run.machine, run.tally):
            print(line, file=sys.stderr)
    if result.status == "succeeded" and result.output is not None:
        ending.show(result.output)


def exit_status(result: Result, *, interrupted: bool) -> int:
    """Give the exit status of a settled run."""
    if result.status == "succeeded":
        return 0
    if interrupted:
        return EXIT_INTERRUPTED
    if result.status in {"paused", "pausing"}:
        return EXIT_WAITS
    if result.status == "failed" and timed_out(result.reason):
        return EXIT_TIMEOUT
    return EXIT_FAILED


class _Interrupts:
    """Ctrl-C once pauses, twice cancels, three times kills what is in flight."""

    def __init__(self, run: Run, display: Display) -> None:
        self.count = 0
        self._run = run
        self._display = display

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._heard, number)

    def forget(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)

    def _heard(self, number: signal.Signals) -> None:
        self.count += 1
        by = CTRL_C if number == signal.SIGINT else number.name
        try:
            if self.count == 1:
                self._display.say(
                    "pausing: calls in flight may finish; Ctrl-C again cancels the run"
                )
                self._run.pause(by)
            elif self.count == 2:
                self._display.say("cancelling; Ctrl-C again kills what is in flight")
                self._run.cancel(by)
            else:
                self._run.cancel(by, hard=True)
        except Refused as error:
            self._display.say(str(error))
