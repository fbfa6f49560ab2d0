"""A run as its page shows it: a head, a row for each step, a row for each call.

It is folded from recorded events, so it is the same for a run of this process, of another, and of
last year.
Whoever shows it says up to which event he has seen it, and is told which rows have changed since:
each in its present state, so that a row that has changed ten times is sent once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hocket.core.commands import CancelCall, StartCall
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    CancelRequested,
    ContinueRequested,
    InputAsked,
    InputGiven,
    Origin,
    PauseRequested,
    Recorded,
    RetryRequested,
    RunResumed,
    RunStarted,
    SpecReplaced,
    StepFailed,
    TimePassed,
)
from hocket.core.machine import StepView
from hocket.core.run import RunMachine
from hocket.core.values import Json
from hocket.core.views import not_begun, shown, unstarted
from hocket.insight.roster import Roster
from hocket.insight.tally import Tally
from hocket.report.board_calls import CallRows, paths_of
from hocket.report.board_head import asked, moving, standing
from hocket.report.board_rows import CallRow, Row, row_of
from hocket.report.board_steps import Watch
from hocket.workflows.view import view_at

_ENDS: Final = frozenset({CallFinished, CallFailed, CallCancelled, CallLost})
_STIRS: Final = frozenset(
    {TimePassed, RunResumed, PauseRequested, ContinueRequested, CancelRequested}
)
_PEOPLE: Final = frozenset({ApprovalAsked, InputAsked, ApprovalGiven, InputGiven})


class Changed(NamedTuple):
    """A row that has changed: its path or name, and the last event that changed it."""

    name: str
    seq: int


class Board:
    """A run as its page shows it.

    Args:
        machine: A new machine, to which each event is applied.

    Attributes:
        machine: The run's state; only to be read.
        tally: What it has spent.
        seq: The last event that was taken in.
        born: The event since which the rows are those of the present spec: whoever has seen the
            board before needs all of it.
    """

    def __init__(self, machine: RunMachine) -> None:
        self.machine = machine
        self.tally = Tally()
        self.seq = 0
        self.born = 0
        self._calls = CallRows(machine)
        self._watch: Watch | None = None
        self._changed: dict[str, int] = {}
        """The last event that changed each row that ever has; the latest ones stand last."""
        self._settled = 0
        self._program = ""
        self._forked: Origin | None = None
        self._standing: dict[str, Json] = {}
        self._output_bytes: int | None = None
        self._rested: dict[str, None] = {}
        """The jobs that no call of had left in the pause that is on, or was last."""
        self._idle: tuple[int, dict[str, None]] = (-1, {})
        """What stands as pending for the pause's sake, and after which event."""
        self._asks = False
        self._asked_at = 0
        """The last event that may have changed what people are asked."""

    def add(self, recorded: Recorded) -> None:
        """Take the next event in."""
        seq, event = recorded.seq, recorded.event
        machine, kind = self.machine, type(event)
        phase, before = machine.phase, machine.at
        if kind is RunResumed:
            self._calls.fell(before)
        machine.apply(event)
        self.tally.add(event)
        self.seq = seq
        if isinstance(event, CallStarted):
            self._calls.started(event, seq)
            self._named(event.call.path)
        elif kind in _ENDS:
            self._ended(event, seq)
        else:
            self._other(event, seq)
        for command in machine.drain():
            if isinstance(command, StartCall):
                self._calls.asked(command, seq)
                self._named(command.call.path)
                if machine.phase == "pausing":
                    self._rested[command.call.path] = None
            elif isinstance(command, CancelCall):
                self._calls.taken_back(command, event.at, seq)
        asks = bool(machine.questions or machine.calls.people.open)
        if asks or self._asks:
            # Whatever happens may be what a question stands or falls with.
            self._asked_at = seq
        self._asks = asks
        if machine.phase != phase and "pausing" in (machine.phase, phase):
            self._paused(began=machine.phase == "pausing")
        if machine.phase != phase and "ended" in (machine.phase, phase):
            self._output_bytes = None
            if self._watch is not None:
                self._watch.turned()

    # -- steps ------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Give the paths of all rows, nested ones after theirs."""
        self._settle()
        steps = self._steps.steps
        several = dict.fromkeys(steps.several())
        found: list[str] = []
        for number, name in enumerate(steps.names):
            found.append(name)
            if number in several:
                found += [view.path for view in steps.below(number)]
        return found

    def rows(self, names: Sequence[str] | None = None) -> list[Row]:
        """Give rows as they are now: all of them, or those of these paths that there are."""
        self._settle()
        machine, sums = self.machine, self._calls.sums
        if names is None:
            return [row_of(view, sums.get(view.path)) for view in machine.view()]
        number, view_of = self._steps.steps.number, self._steps.steps.view
        views: list[StepView] = []
        for name in names:
            index = number(name)
            view = view_at(machine.workflow, name) if index is None else view_of(index)
            if view is not None:
                views.append(view)
        idle = self._still() if machine.phase == "pausing" else None
        views = shown(views, machine.workflow, machine.calls, machine.phase, idle)
        return [row_of(view, sums.get(view.path)) for view in views]

    def since(self, seq: int) -> list[Changed]:
        """Name the rows that have changed after an event, or are gone; those first that did first.

        Whoever has seen less than `born` needs all rows instead.
        """
        self._settle()
        return _after(self._changed, seq)

    # -- calls ------------------------------------------------------------------------------

    @property
    def calls(self) -> dict[str, CallRow]:
        """The rows of calls by their names, in the order in which they were asked for."""
        return self._calls.rows

    def calls_since(self, seq: int) -> list[Changed]:
        """Name the calls that have changed after an event, those first that did first."""
        return _after(self._calls.changed, seq)

    @property
    def total(self) -> int:
        """How many steps there are, those of nested plans not counted."""
        return len(self._steps.steps.names)

    @property
    def flying(self) -> list[str]:
        """The names of the calls in flight."""
        return list(self._calls.flying)

    def last_attempt(self, path: str) -> int:
        """Give the number of the last call at a path; 0 if there was none."""
        return self._calls.latest.get(path, 0)

    # -- the head ---------------------------------------------------------------------------

    def head(self, after: int | None = None) -> dict[str, Json]:
        """Give the head: all of it, or what can have changed after an event."""
        machine, found = self.machine, moving(self.machine, self.tally)
        found["seq"] = self.seq
        found["output_bytes"] = self._size() if machine.phase == "ended" else None
        if after is None or after < self.born:
            found = {**self._standing, **found}
        if after is None or after < self._asked_at:
            found["asked"] = asked(machine)
        return found

    # -- within -----------------------------------------------------------------------------

    @property
    def _steps(self) -> Watch:
        assert self._watch is not None, "a run begins with run_started"
        return self._watch

    def _named(self, path: str) -> None:
        if self._watch is not None:
            for name in paths_of(path):
                self._watch.named(name)

    def _ended(self, event: Any, seq: int) -> None:
        self._calls.ended(event, seq)
        self._named(event.call.path)
        if type(event) is CallLost:
            self._steps.person()

    def _other(self, event: Any, seq: int) -> None:
        kind = type(event)
        if kind is RunStarted or kind is SpecReplaced:
            self._begin(event, seq)
        elif kind in _STIRS:
            self._steps.stirred()
        elif kind is RetryRequested:
            self._steps.turned()
        elif kind in _PEOPLE:
            self._steps.person()
            path = event.path.partition("#")[0]
            answered = kind is ApprovalGiven or kind is InputGiven
            self._calls.person(path, event.at, answered=answered)
            self._named(path)
        elif kind is StepFailed:
            self._calls.person(event.path, event.at, answered=True)
            self._named(event.path)

    def _begin(self, event: RunStarted | SpecReplaced, seq: int) -> None:
        """The run has its spec, or another one."""
        self._calls.roster = Roster(event.spec)
        self._watch = Watch(self.machine)
        self._changed.clear()
        self.born = self._asked_at = seq
        if isinstance(event, RunStarted):
            self._program, self._forked = event.program, event.forked
        self._standing = standing(self.machine, self._program, self._forked)

    def _paused(self, *, began: bool) -> None:
        """A pause has begun or ended: what nothing was done of is shown otherwise."""
        if began:
            self._rested.clear()
        for path in unstarted(self.machine.calls):
            self._rested[path] = None
        for path in self._rested:
            self._named(path)

    def _still(self) -> dict[str, None]:
        """Name the steps that no call has begun, found once for all pages between two events."""
        if self._idle[0] != self.seq:
            self._idle = self.seq, not_begun(self.machine.workflow, self.machine.calls)
        return self._idle[1]

    def _settle(self) -> None:
        """Note what has changed before anything is shown, so that what then goes is missed."""
        if self._settled == self.seq:
            return
        for path in self._steps.changes():
            self._changed.pop(path, None)
            self._changed[path] = self.seq
        self._settled = self.seq

    def _size(self) -> int:
        if self._output_bytes is None:
            end = self.machine.end
            output = None if end is None else end.output
            self._output_bytes = 0 if output is None else len(msgspec.json.encode(output))
        return self._output_bytes


def _after(changed: dict[str, int], seq: int) -> list[Changed]:
    found: list[Changed] = []
    for name in reversed(changed):
        at = changed[name]
        if at <= seq:
            break
        found.append(Changed(name, at))
    found.reverse()
    return found
