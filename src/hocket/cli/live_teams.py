"""The teams of a run on a terminal: who is at what, how the votes stand, what it has cost so far.

A picture looks at the teams that it shows and at no other one, so that a plan of a thousand reviews
costs no more to watch than one of five.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple

from rich.table import Table
from rich.text import Text

from hocket.app.run import Run
from hocket.core.jobs import Job
from hocket.core.reports import Report
from hocket.core.values import Call, format_duration
from hocket.report.members import Doing, Mood, Standing, member_of, standings
from hocket.report.places import Place, Places
from hocket.report.team import counted, fates_words, standing
from hocket.report.text import cause_words, one_line
from hocket.workflows.plan import report_at

_MOST_JOBS: Final = 2_000
_MOST_ASKED: Final = 50
_FEWEST: Final = 4
_USUAL: Final = 7
"""The lines that a team takes, or so."""
_BAR: Final = 12
_STYLES: Final[dict[Mood, str]] = {
    "busy": "green",
    "waits": "dim",
    "done": "",
    "voted": "cyan",
    "failed": "red",
    "idle": "dim",
}
_WHO: Final = 28
"""Columns for a member's name, at most; on a narrow terminal a third of it."""


class Running(NamedTuple):
    """A call in flight, as whoever watches has seen it leave.

    Fields:
        agent: Who does it.
        since: Since when, by the monotonic clock, in seconds.
    """

    agent: str
    since: float


class Drawn(NamedTuple):
    """What a picture of the teams comes to.

    Fields:
        rows: What it consists of.
        inside: The calls in flight that are part of a team.
        lines: How many lines it takes.
        waits: How many calls are shown to wait, by their cause.
    """

    rows: Sequence[Table | Text] = ()
    inside: frozenset[Call] = frozenset()
    lines: int = 0
    waits: Mapping[str, int] = MappingProxyType({})


class LiveTeams:
    """Draws the teams of a run that are at work.

    Args:
        run: The run.
        ended: Is told of each team that has ended, once.
    """

    def __init__(self, run: Run, ended: Callable[[Place, Report], None]) -> None:
        self._run = run
        self._ended = ended
        self._spec = run.machine.spec
        self._places = Places(self._spec)
        self._open: dict[str, Place] = {}
        self._over: dict[str, None] = {}

    def draw(
        self,
        running: Mapping[Call, Running],
        said: Mapping[Call, str],
        asked: Iterable[str],
        room: int,
        width: int,
    ) -> Drawn:
        """Draw the teams at work in so many lines at most.

        Args:
            running: The calls in flight.
            said: The end of what calls say.
            asked: The paths of questions to people.
            room: How many lines there may be.
            width: How broad they may be.
        """
        if self._spec is not self._run.machine.spec:
            self._spec = self._run.machine.spec
            self._places = Places(self._spec)
        if not self._places.any:
            return Drawn()
        jobs = self._jobs()
        waiting = self._questions(asked)
        inside = [call for call in running if self._places.find(call.path) is not None]
        rows: list[Table | Text] = []
        lines = hidden = 0
        waits: Counter[str] = Counter()
        # Where not all have room, each gets a line.
        folded = len(jobs) > 1 and len(jobs) * _USUAL > room
        for path, place in list(self._open.items()):
            left = room - lines
            if left < 1 and path in jobs:
                hidden += 1
                continue
            report = report_at(self._run.machine.workflow, path)
            if report is None or report.status != "open":
                self._close(place, report)
                continue
            doing = [_doing(self._run, rest, job, running) for rest, job in jobs.get(path, ())]
            doing += waiting.get(path, ())
            tails = _tails(place, jobs.get(path, ()), said)
            if folded or left < _FEWEST:
                drawn: list[Table | Text] = [_head(place, report, doing)]
            else:
                drawn = _team(place, report, doing, tails, left, width)
                waits.update(one.cause for one in doing if one.cause)
            rows += drawn
            lines += sum(part.row_count if isinstance(part, Table) else 1 for part in drawn)
        if hidden:
            more = "1 more team" if hidden == 1 else f"{hidden} more teams"
            rows.append(Text(f"  … and {more} at work", "dim"))
        return Drawn(rows, frozenset(inside), lines + bool(hidden), waits)

    def finish(self) -> None:
        """Tell of the teams that have ended since the last picture."""
        if self._places.any:
            self._jobs()
        for path, place in list(self._open.items()):
            report = report_at(self._run.machine.workflow, path)
            if report is None or report.status != "open":
                self._close(place, report)

    def noted(self, path: str) -> None:
        """A call has left: the team that it belongs to is at work."""
        found = self._places.find(path)
        if found is not None and found[0].path not in self._over:
            self._open[found[0].path] = found[0]

    def _jobs(self) -> dict[str, list[tuple[str, Job]]]:
        """Give what is under way in each team, and note those that have begun."""
        found: dict[str, list[tuple[str, Job]]] = {}
        for job in islice(self._run.machine.calls.jobs.values(), _MOST_JOBS):
            place = self._places.find(job.path)
            # What was dropped is of no team any more, however long it takes to end.
            if place is not None and place[0].kind and not job.dropped:
                found.setdefault(place[0].path, []).append((place[1], job))
                self._over.pop(place[0].path, None)
                self._open.setdefault(place[0].path, place[0])
        return found

    def _questions(self, asked: Iterable[str]) -> dict[str, list[Doing]]:
        """Give what waits for a person in each team."""
        found: dict[str, list[Doing]] = {}
        for path in islice(asked, _MOST_ASKED):
            place = self._places.find(path)
            if place is not None:
                doing = Doing(place[1], "waits for a person", True)
                found.setdefault(place[0].path, []).append(doing)
        return found

    def _close(self, place: Place, report: Report | None) -> None:
        del self._open[place.path]
        if report is not None and place.path not in self._over:
            self._over[place.path] = None
            self._ended(place, report)


def _team(
    place: Place,
    report: Report,
    doing: Sequence[Doing],
    tails: Mapping[str, str],
    room: int,
    width: int,
) -> list[Table | Text]:
    """Draw one team: how each member stands, how the votes do, and what it has cost."""
    members = standings(place, report, doing)
    most = room - 3
    if len(members) > most:
        # Whoever has something under way is more worth a line.
        members.sort(key=lambda one: one.mood not in ("busy", "waits"))
    grid = _grid(width)
    for one in members[:most]:
        grid.add_row(*_member(one, tails.get(one.member, "")))
    rows: list[Table | Text] = [_head(place, report), grid]
    if len(members) > most:
        rows.append(Text(f"  … and {len(members) - most} more", "dim"))
    bars = _bars(report, width)
    if bars is not None:
        rows.append(bars)
    if report.fates:
        rows.append(cut(Text(f"  {fates_words(report.fates)}", "dim")))
    return rows


def _grid(width: int) -> Table:
    who = min(_WHO, max(width // 3, 12))
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True, width=3, justify="right")
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=who)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    return grid


def _head(place: Place, report: Report, doing: Sequence[Doing] = ()) -> Text:
    """Say how far a team is, and, if it is to be one line, what is under way."""
    took = format_duration(max(time.time_ns() - report.began, 0))
    waits = sum(one.waits for one in doing)
    flying = len(doing) - waits
    words = [counted(report, len(place.members))]
    words += [f"{flying} in flight"] if flying else []
    words += [f"{waits} waiting"] if waits else []
    what = "" if place.kind == "tools" else f" {place.kind}"
    rest = " · ".join([part for part in (*words, took) if part])
    return cut(Text.assemble((place.path, "bold"), f"{what} · {rest}"))


def _member(one: Standing, tail: str) -> Iterator[Text]:
    mark = {"busy": "●", "waits": "◌", "failed": "✗"}.get(one.mood, "")
    style = _STYLES[one.mood]
    yield Text(f"{one.label or mark:>3}", style)
    name = Text(one.member, style)
    if one.agent and not one.member.startswith(one.agent):
        name.append(f" {one.agent}", "dim")
    yield name
    words = Text(one.words, style)
    if tail:
        words.append(f"  {tail}", "dim")
    yield words


def _bars(report: Report, width: int) -> Text | None:
    """Show how the votes stand, in one line."""
    bars = [one for one in standing(report, min(_BAR, width // 8)) if one[2]]
    if not bars:
        return None
    text = Text("  ")
    for label, weight, bar in bars:
        text.append(f"{label} {weight} ")
        text.append(f"{bar}  ", "cyan")
    return cut(text)


def cut(text: Text) -> Text:
    """Let a text stay within its line."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _doing(run: Run, rest: str, job: Job, running: Mapping[Call, Running]) -> Doing:
    """Say how far a job of a team is."""
    again = f", try {job.tries + 1}" if job.tries else ""
    state, waits, cause = "", True, ""
    if job.state == "asked":
        queue = run.waits_of(job.call)
        state = "is about to begin"
        if queue is not None:
            cause = queue.cause
            state = f"waits for {cause_words(cause).rstrip(',')}{_left(queue.until)}"
    elif job.state == "backing_off":
        state, cause = f"backs off{_left(job.ready)}", "backoff"
    elif job.state == "held":
        state = "is held: a person has to decide"
    else:
        waits, began = False, running.get(job.call)
        if began is not None:
            state = format_duration(int((time.monotonic() - began.since) * 1e9))
    return Doing(rest, f"{state}{again}", waits, cause, job.agent_name)


def _left(until: int | None) -> str:
    left = 0 if until is None else until - time.time_ns()
    return f", {format_duration(left)} to go" if left > 0 else ""


def _tails(
    place: Place, jobs: Sequence[tuple[str, Job]], said: Mapping[Call, str]
) -> dict[str, str]:
    """Give the end of what each member is saying."""
    found = {}
    for rest, job in jobs:
        text = one_line(said.get(job.call, ""))
        if text:
            found[member_of(place, rest)] = text
    return found
