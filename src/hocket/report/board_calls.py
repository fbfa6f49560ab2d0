"""The calls of a run, a row each, and what they add up to by step; folded from events."""

from __future__ import annotations

import re
from typing import Any, Final

from hocket.core.commands import CancelCall, StartCall
from hocket.core.events import (
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    Usage,
    Wait,
)
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec
from hocket.core.values import Call
from hocket.insight.roster import Roster
from hocket.limits.words import limit_labels
from hocket.report.board_rows import CallRow, Sums, cut, ms

_MOST_WHY: Final = 500
_MOST_WAITS: Final = 40
_UNIT: Final = re.compile(r"(/\d+)?(~\d+)?\Z")


class CallRows:
    """The rows of calls, and their sums.

    Args:
        machine: The run.

    Attributes:
        rows: The rows by the calls' names, in the order in which they were asked for.
        changed: The event that last changed each row; those that changed last come last.
        sums: What the calls of each step add up to, by the step's path.
        flying: The calls in flight.
    """

    def __init__(self, machine: RunMachine) -> None:
        self.rows: dict[str, CallRow] = {}
        self.changed: dict[str, int] = {}
        self.sums: dict[str, Sums] = {}
        self.flying: dict[str, None] = {}
        self.latest: dict[str, int] = {}
        """The last attempt at each path."""
        self.roster: Roster
        self._machine = machine
        self._labelled: RunSpec | None = None
        self._labels: dict[str, str] = {}
        """What the limits of that spec are called."""
        self._fell: int | None = None

    def fell(self, at: int) -> None:
        """The process that drove the run was last heard of at that instant."""
        self._fell = at

    def started(self, event: CallStarted, seq: int) -> None:
        """A call has left."""
        name = str(event.call)
        row = self.rows.get(name)
        if row is None:
            since = event.waits[0].since if event.waits else event.at
            row = self._add(name, event.call, event.agent, since)
        elif row.t0 is not None:
            return
        row.t0, row.t1, row.how, row.why = ms(event.at), None, "", ""
        row.h = event.hedge
        waits = event.waits
        if waits:
            row.w = self._waits(waits)
        waited = sum([wait.until - wait.since for wait in waits])
        for path in paths_of(event.call.path):
            sums = self._sums(path)
            sums.calls += 1
            sums.waited += waited
            if sums.began is None:
                sums.began = event.at
        self.flying[name] = None
        self._touch(name, seq)

    def ended(self, event: CallFinished | CallFailed | CallCancelled | CallLost, seq: int) -> None:
        """A call has ended."""
        name, lost = str(event.call), isinstance(event, CallLost)
        usage: Usage | None = None if isinstance(event, CallLost) else event.usage
        row = self.rows.get(name)
        if row is None:
            if usage is None:
                return
            row = self._add(name, event.call, "", event.at)
        elif row.how:
            return
        at = event.at
        if lost and self._fell is not None and (row.t0 or 0) <= ms(self._fell):
            # Whatever it was doing, it did until its process died.
            at = self._fell
        row.t1 = ms(at)
        row.how, row.why = _said(event)
        if isinstance(event, CallFinished):
            row.kept = event.saved is not None
        self._spent(row, usage)
        for path in paths_of(event.call.path):
            sums = self._sums(path)
            sums.last = at
            if usage is not None:
                sums.cost += usage.cost or 0
                sums.unpriced += _unpriced(usage)
        self.flying.pop(name, None)
        self._touch(name, seq)

    def asked(self, start: StartCall, seq: int) -> None:
        """A call is to start as soon as it may."""
        name = str(start.call)
        row = self.rows.get(name)
        if row is None:
            row = self._add(name, start.call, start.agent, start.asked)
        elif row.t0 is not None:
            return
        row.q, row.t1, row.how, row.why = ms(start.asked), None, "", ""
        row.h = start.hedge
        if start.asked < start.ready:
            row.w = [("backoff", ms(start.asked), ms(start.ready))]
        for path in paths_of(start.call.path):
            sums = self._sums(path)
            if sums.began is None:
                sums.began = start.asked
        self._touch(name, seq)

    def taken_back(self, cancel: CancelCall, at: int, seq: int) -> None:
        """A call is to stop; if it has not left, it never will."""
        name = str(cancel.call)
        row = self.rows.get(name)
        if row is not None and row.t0 is None and not row.how:
            row.t1, row.how, row.why = ms(at), "cancelled", cancel.reason
            self._touch(name, seq)

    def person(self, path: str, at: int, *, answered: bool) -> None:
        """A person was asked, or has answered."""
        for step in paths_of(path):
            sums = self._sums(step)
            if answered:
                sums.last = at
            elif sums.began is None:
                sums.began = at

    # -- within -----------------------------------------------------------------------------

    def _add(self, name: str, call: Call, agent: str, asked: int) -> CallRow:
        model = self.roster.doer(agent, None).model if agent else ""
        self.latest[call.path] = max(call.attempt, self.latest.get(call.path, 0))
        row = self.rows[name] = CallRow(c=name, ag=agent, m=model, q=ms(asked))
        return row

    def _touch(self, name: str, seq: int) -> None:
        self.changed.pop(name, None)
        self.changed[name] = seq

    def _sums(self, path: str) -> Sums:
        found = self.sums.get(path)
        if found is None:
            found = self.sums[path] = Sums()
        return found

    def _waits(self, waits: tuple[Wait, ...]) -> list[tuple[str, float, float]]:
        """Write what a call has waited for; limits are called by their labels."""
        spec = self._machine.spec
        if self._labelled is not spec:
            self._labelled, self._labels = spec, limit_labels(spec.limits)
        own = f" of {self._machine.run}"
        found = []
        for wait in waits[-_MOST_WAITS:]:
            kind, colon, limit = wait.cause.removesuffix(own).partition(":")
            name = self._labels.get(limit, limit)
            found.append((f"{kind}{colon}{name}", ms(wait.since), ms(wait.until)))
        return found

    @staticmethod
    def _spent(row: CallRow, usage: Usage | None) -> None:
        if usage is None:
            return
        if usage.tokens_in or usage.tokens_out:
            row.tk = (usage.tokens_in or 0, usage.tokens_out or 0)
        if usage.cost is not None:
            row.usd = usage.cost / 1e12


def paths_of(path: str) -> list[str]:
    """Name the rows that a call counts for: its own, and those of the steps that it is within.

    ``a/3~2/b`` is of ``a`` and of ``a/3~2/b``.
    """
    if "/" not in path and "~" not in path:
        return [path]
    parts = path.split("/")
    found = {_UNIT.sub("", "/".join(parts[: i + 1])): None for i in range(len(parts))}
    found[path] = None
    return list(found)


def _said(event: Any) -> tuple[str, str]:
    if isinstance(event, CallFinished):
        return "finished", ""
    if isinstance(event, CallFailed):
        return "failed", cut(f"{event.fault.kind}: {event.fault.message}", _MOST_WHY)
    if isinstance(event, CallLost):
        return "lost", ""
    return "cancelled", event.reason


def _unpriced(usage: Usage) -> bool:
    return usage.cost is None and bool(usage.tokens_in or usage.tokens_out)
