"""A run on a terminal, as it goes: what runs, what each thing waits for, tokens, cost, time.

Only what fits on the screen is drawn, a few times a second, so a plan of 100,000 steps costs no
more to watch than one of ten.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hocket.agents.terminal import visible
from hocket.app.run import Run
from hocket.app.stream import Done, Item, Piece
from hocket.cli.asked import unfolded
from hocket.cli.closing import held_lines, waiting_lines
from hocket.cli.live_teams import Drawn, LiveTeams, Running, cut
from hocket.cli.reply import Reply
from hocket.cli.screen import Background
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
    RunEnded,
)
from hocket.core.reports import Report
from hocket.core.values import Call, format_duration
from hocket.limits.admission import Queue
from hocket.report.board_head import eta
from hocket.report.places import Place
from hocket.report.story import Story
from hocket.report.team import closing, headline
from hocket.report.text import clip, counts_words, one_line, queue_words, spent_words
from hocket.workflows.open import still_open

TOO_SOON: Final = 0.5
"""Seconds in which nobody can have read a question: a key meant something else."""

_PERIOD: Final = 0.2
_FEWEST: Final = 3
_MOST_JOBS: Final = 2_000
_SHOWN_LINES: Final = 12
_SHOWN: Final = 1_000
_FEW_TEAMS: Final = 8
_REPLY: Final = 8
_LOOKED_AT: Final = 20
"""How many questions a picture looks after; only the first of them are shown."""
_ENDS = (CallFinished, CallFailed, CallCancelled, CallLost)


class LiveDisplay:
    """Draws a run on stderr.

    Attributes:
        asked: The approvals that wait, the oldest first, and since when they are shown.
        keys: Whether the person at the terminal can answer with a key.
    """

    def __init__(self) -> None:
        self.asked: dict[str, tuple[ApprovalAsked, float]] = {}
        self.keys = False
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._screen: Background[Text | Group] = Background(self._paint)
        self._running: dict[Call, Running] = {}
        self._said: dict[Call, str] = {}
        self._inputs: dict[str, None] = {}
        self._story = Story()
        self._reply = Reply()
        self._task: asyncio.Task[None] | None = None
        self._run: Run | None = None
        self._teams: LiveTeams | None = None
        self._ended = 0
        self._began = time.monotonic()

    def begin(self, run: Run) -> None:
        """The run is under way; it may have waited for people before."""
        for path, asked in run.questions.items():
            if isinstance(asked, InputAsked):
                self._inputs[path] = None
            elif path not in self.asked:
                self._ask(asked)
        if run.machine.calls.held():
            for line in waiting_lines(run.machine):
                self.say(line, "yellow")
        self._run = run
        self._teams = LiveTeams(run, self._team_ended)
        self._task = asyncio.get_running_loop().create_task(self._redraw(run))

    def say(self, text: str, style: str = "") -> None:
        """Show a line of our own above the picture."""
        self._screen.put(Text(text, style))

    def heard(self, item: Item) -> None:
        """Keep what the last step says, to show the end of it."""
        for line in self._reply.take(item):
            if not isinstance(item, Piece | Done):
                self.say(line, "yellow")

    def end(self) -> None:
        """The run has settled."""
        if self._task is not None:
            self._task.cancel()
        if self._teams is not None:
            self._teams.finish()
        self._screen.put(Group())
        self._screen.close()
        self._live.stop()

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Take in what is on disk now."""
        for recorded in events:
            event = recorded.event
            line = self._story.tell(event)
            # How a run has ended is told once, by the lines that close it.
            if line and self._story.important and not isinstance(event, RunEnded):
                self.say(line, "red" if isinstance(event, CallFailed) else "")
            if isinstance(event, CallStarted):
                self._running[event.call] = Running(event.agent, time.monotonic())
                if self._teams is not None:
                    self._teams.noted(event.call.path)
            elif isinstance(event, _ENDS):
                self._running.pop(event.call, None)
                self._said.pop(event.call, None)
                if isinstance(event, CallLost) and self._run is not None:
                    for line in held_lines(self._run.machine, [event.call]):
                        self.say(line, "yellow")
            elif isinstance(event, ApprovalAsked):
                self._ask(event)
            elif isinstance(event, InputAsked):
                self._inputs[event.path] = None
            elif isinstance(event, ApprovalGiven):
                self.asked.pop(event.path, None)
            elif isinstance(event, InputGiven):
                self._inputs.pop(event.path, None)

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """Keep the end of what a call says."""
        kept = (self._said.get(call, "") + text)[-400:]
        lines = kept.rstrip().rsplit("\n", 1)[-1]
        self._said[call] = lines + "\n" if kept.endswith("\n") else lines

    def _team_ended(self, place: Place, report: Report) -> None:
        """Say in a few lines what a team has come to; of many teams in one line each."""
        style = "" if report.status == "decided" else "red"
        width = self._console.width
        self.say(clip(headline(place.path, report), width), style)
        self._ended += 1
        if report.status == "decided" and self._ended <= _FEW_TEAMS:
            for line in closing(report):
                self.say(clip(f"  {line}", width))

    def _ask(self, asked: ApprovalAsked) -> None:
        self.asked[asked.path] = asked, time.monotonic()
        self.show_asked(asked)

    def show_asked(self, asked: ApprovalAsked, *, whole: bool = False) -> None:
        """Show above the picture what is to be approved, cut unless it is wanted whole."""
        text = self._text_of(asked)
        shown = text if whole else _beginning(text)
        self.say("\n".join(f"  │ {line}" for line in shown.split("\n")), "yellow")
        if len(shown) < len(text):
            more = f"  └ {len(text) - len(shown):,} more characters"
            self.say(f"{more}: v shows them" if self.keys else more, "yellow")

    def cut(self, asked: ApprovalAsked) -> bool:
        """Tell whether not all of it is shown at first."""
        text = self._text_of(asked)
        return len(_beginning(text)) < len(text)

    def _text_of(self, asked: ApprovalAsked) -> str:
        return unfolded(visible(asked.shown).rstrip("\n"), self._console.width - 4)

    async def _redraw(self, run: Run) -> None:
        while True:
            # A picture that could not be painted yet is old by the time that it can.
            if self._screen.idle:
                self._screen.put(self._picture(run))
            await asyncio.sleep(_PERIOD)

    def _paint(self, batch: Sequence[Text | Group]) -> None:
        """Bring lines and pictures to the terminal; in the screen's thread."""
        self._live.start()
        pictures = [item for item in batch if isinstance(item, Group)]
        if pictures:
            self._live.update(pictures[-1])
        for item in batch:
            if isinstance(item, Text):
                self._console.print(item, soft_wrap=True)
        self._live.refresh()

    def _picture(self, run: Run) -> Group:
        counts = run.machine.counts()
        # A question that has expired was never answered.
        kinds: tuple[dict[str, Any], ...] = (self.asked, self._inputs)
        for questions in kinds:
            for path in list(islice(questions, _LOOKED_AT)):
                if not still_open(run.machine, path):
                    del questions[path]
        elapsed = format_duration(int((time.monotonic() - self._began) * 1e9))
        head = Text.assemble(
            (run.id, "bold"),
            f"  {counts_words(counts)}",
            f" · {spent_words(run.tally)} · {elapsed}{left_words(run)}",
        )
        people = self._people(run)
        queues = [*run.queued, *_backing_off(run)]
        size = self._console.size
        said = self._reply.last(_REPLY, size.width - 4)
        room = max(size.height - len(people) - len(queues) - len(said) - 4, _FEWEST)
        teams = Drawn()
        if self._teams is not None:
            teams = self._teams.draw(self._running, self._said, self.asked, room, size.width)
        calls = self._calls(max(room - teams.lines, 1), teams.inside)
        below = [*people, *_waiting(queues, teams.waits), *_pausing(run, len(self._running))]
        reply = [cut(Text(f"  │ {line}")) for line in said]
        return Group(cut(head), *teams.rows, *calls, *reply, *map(cut, below))

    def _calls(self, room: int, inside: frozenset[Call]) -> list[Table | Text]:
        """Show calls in flight that are no team's, a line each."""
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
        table.add_column(no_wrap=True, justify="right", min_width=6)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        now = time.monotonic()
        alone = len(self._running) - len(inside)
        for call, (agent, since) in self._running.items():
            if table.row_count == room:
                break
            if call in inside:
                continue
            age = format_duration(int((now - since) * 1e9))
            # An agent that a step brought along has the step's name.
            who = "" if agent == call.path.split("/")[0] else agent
            said = one_line(self._said.get(call, ""))
            table.add_row(Text(f"● {call}", "green"), who, age, Text(said, "dim"))
        rows: list[Table | Text] = [table] if table.row_count else []
        if alone > room:
            rows.append(Text(f"  … and {alone - room} more in flight", "dim"))
        return rows

    def _people(self, run: Run) -> list[Text]:
        """Say what people are waited for."""
        rows: list[Text] = []
        for number, (path, (_, since)) in enumerate(list(self.asked.items())[:_FEWEST]):
            how = f"hocket approve {run.id} {path}"
            if self.keys and number == 0:
                # It is offered from when on it counts.
                read = time.monotonic() - since > TOO_SOON
                how = "press y to approve, n to reject, v to see all of it" if read else ""
            rows.append(Text(f"◌ {path} waits for you: {how}", "yellow"))
        for path in list(self._inputs)[:_FEWEST]:
            rows.append(Text(f"◌ {path} waits for: hocket send {run.id} {path} TEXT", "yellow"))
        more = len(self.asked) + len(self._inputs) - len(rows)
        if more > 0:
            rows.append(Text(f"  … and {more} more wait: hocket show {run.id}", "yellow"))
        return rows


def _waiting(queues: Sequence[Queue], shown: Mapping[str, int]) -> Iterator[Text]:
    """Say what calls wait for that are not shown to wait beside their team."""
    now = time.time_ns()
    for queue in queues:
        count = queue.count - shown.get(queue.cause, 0)
        if count > 0:
            yield Text(f"… {queue_words(queue.cause, queue.until, count, now)}", "dim")


def _pausing(run: Run, flying: int) -> Iterator[Text]:
    if run.machine.phase == "pausing":
        yield Text(f"pausing: {flying} in flight may finish; Ctrl-C cancels", "yellow")


def left_words(run: Run) -> str:
    """Say how much longer it will take, if that was forecast and it goes on by itself."""
    forecast = run.machine.forecast
    if forecast is None or eta(run.machine) is None:
        return ""
    left = forecast.finish - time.time_ns()
    return f" · about {format_duration(left)} to go" if left > 0 else ""


def _backing_off(run: Run) -> list[Queue]:
    jobs = run.machine.calls.jobs
    if len(jobs) > _MOST_JOBS:
        return []
    ready = [job.ready for job in jobs.values() if job.state == "backing_off"]
    return [Queue("backoff", min(ready), len(ready))] if ready else []


def _beginning(text: str) -> str:
    return "\n".join(text[:_SHOWN].split("\n")[:_SHOWN_LINES])
