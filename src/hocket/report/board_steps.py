"""Which steps look different after some events: found without looking at all of them.

An event names the step that it is of. Beyond that a step's state can change because another's has,
which the plan's list of states shows; and time, pauses and ends reach what is nested.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from hocket.core.machine import StepView
from hocket.core.run import RunMachine
from hocket.core.values import step_of
from hocket.core.views import CUT_SHORT
from hocket.report.board_calls import paths_of
from hocket.workflows.progress import FAILED, RUNNING, SKIPPED, WAITING
from hocket.workflows.view import Steps, unit_at, views_in

Look: TypeAlias = tuple[str, str, int, int | None]
"""What of a nested step can change: its state, its detail, its items."""

_CHUNK: Final = 64


class Watch:
    """Finds what has changed since it was last asked.

    Args:
        machine: The run, whose workflow stays the same as long as this lives.
    """

    def __init__(self, machine: RunMachine) -> None:
        self.steps = Steps(machine.workflow)
        self._machine = machine
        self._statuses = self.steps.statuses
        self._named: dict[str, None] = {}
        self._anew: dict[int, None] = {}
        """Steps that are to be looked at with all that is nested in them."""
        self._stirred = False
        self._people = False
        """Whether anybody ever had to decide about a call."""
        self._stood: dict[str, str] = {}
        """The steps that stand for a person's sake, and why."""
        self._nested: dict[int, dict[str, dict[str, Look]]] = {}
        """What was last seen of what is nested: by step, by unit, by path."""

    def named(self, path: str) -> None:
        """An event was of this path."""
        self._named[path] = None

    def person(self) -> None:
        """A call was lost, or asks a person: from now on steps may stand for a person's sake."""
        self._people = True

    def stirred(self) -> None:
        """Time has passed, or people have paused the run or let it go on."""
        self._stirred = True

    def turned(self) -> None:
        """The run has ended, or goes on after its end, or a step is to be done again."""
        self._stirred = True
        several = dict.fromkeys(self.steps.several())
        for number, status in enumerate(self.steps.statuses):
            if status in (RUNNING, WAITING, FAILED, SKIPPED) or number in several:
                self._anew[number] = None

    def changes(self) -> list[str]:
        """Give the paths of the rows that may look different now, those that are gone included."""
        steps, touched = self.steps, dict[str, None]()
        names = steps.names
        self._follow_people()
        nested: dict[int, dict[str, list[str]]] = {}
        for path in self._named:
            if steps.number(path) is not None:
                touched[path] = None
                continue
            unit = unit_at(path)
            number = steps.number(step_of(unit))
            if number is not None:
                touched[names[number]] = None
                nested.setdefault(number, {}).setdefault(unit, []).append(path)
        self._compare_states()
        for number in self._anew:
            touched[names[number]] = None
            touched.update(dict.fromkeys(self._look_at(number)))
        for number, units in nested.items():
            if number not in self._anew:
                touched.update(dict.fromkeys(self._look_at(number, units)))
            known = self._nested.get(number, {})
            for unit, paths in units.items():
                rows = known.get(unit, {})
                touched.update(dict.fromkeys([path for path in paths if path in rows]))
        self._named.clear()
        self._anew.clear()
        self._stirred = False
        return list(touched)

    # -- within -----------------------------------------------------------------------------

    def _compare_states(self) -> None:
        steps = self.steps
        if not steps.same(self._statuses):
            now = steps.statuses
            for number in differing(self._statuses, now):
                self._anew[number] = None
            self._statuses = now
        if self._stirred:
            for number in steps.several():
                if not steps.done(number):
                    self._anew[number] = None

    def _look_at(self, number: int, only: Iterable[str] | None = None) -> list[str]:
        """Compare what is nested in a step with what was last seen of it."""
        units, known = self.steps.units(number), self._nested.get(number)
        if not units and not known:
            return []
        known = self._nested.setdefault(number, {})
        changed: list[str] = []
        ended = self._machine.phase == "ended"
        if only is None or len(units) != len(known) or any(unit not in known for unit in only):
            for path in [path for path in known if path not in units]:
                changed += known.pop(path)
            wanted = [path for path in units if only is None or path in only or path not in known]
        else:
            wanted = [path for path in only if path in units]
        for path in wanted:
            before = known.get(path, {})
            now = {view.path: _look(view, ended) for view in views_in(path, units[path])}
            changed += [name for name, look in now.items() if before.get(name) != look]
            changed += [name for name in before if name not in now]
            known[path] = now
        return changed

    def _follow_people(self) -> None:
        if not self._people:
            return
        calls, now = self._machine.calls, dict[str, str]()
        for job in calls.held():
            now.update(dict.fromkeys(paths_of(job.path), "held"))
        for question in calls.people.open:
            for path in paths_of(question.partition("#")[0]):
                now.setdefault(path, question)
        before, self._stood = self._stood, now
        for path in (*before, *now):
            if before.get(path) != now.get(path):
                self._named[path] = None


def _look(view: StepView, ended: bool) -> Look:
    status = "stopped" if ended and view.status in CUT_SHORT else view.status
    return status, view.detail, view.done, view.total


def differing(before: bytes, now: bytes) -> list[int]:
    """Give the places at which two lists of states of the same length differ."""
    found: list[int] = []
    for start in range(0, len(now), _CHUNK):
        old, new = before[start : start + _CHUNK], now[start : start + _CHUNK]
        if old != new:
            found += [start + i for i in range(len(new)) if old[i] != new[i]]
    return found
