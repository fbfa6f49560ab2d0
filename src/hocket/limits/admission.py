"""The limits of all runs, the calls that wait for them, and those that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop
from typing import Final, Self

import msgspec

from hocket.core.events import Wait
from hocket.limits.claim import Ending, Entry, Key, News, Quota
from hocket.limits.lines import Gate, Line, Room
from hocket.limits.pace import LimitState
from hocket.limits.passes import Admitted, Hopeless, Passes
from hocket.limits.queue import Queue
from hocket.limits.reserve import Inside
from hocket.limits.waits import COMMIT, MAX_WAITS, PAUSE, SHARE, bounded

AT_ONCE: Final = 0
"""What `Admission.next` gives when somebody is to be judged already."""


class Admission(Passes):
    """Limits, the calls that wait for them, and those that hold them.

    Args:
        seed: Where the jitter of limits comes from.
        max_overtake: For how long a call may be overtaken by calls that want less of a limit
            before it reserves that limit.
    """

    def put_back(self, key: Key, cause: str, at: int) -> None:
        """Take back a call that was let through, to its old place; it has waited for a cause."""
        inside = self._back(key)
        group, item = inside.group, inside.item
        if self._rooms.get(group.room.name) is not group.room:
            return
        waits = inside.waits
        if inside.at < at:
            waits = bounded((*waits, Wait(cause, inside.at, at)))
        self._enter(group, msgspec.structs.replace(item, since=at, before=waits))

    def release(self, key: Key, at: int) -> None:
        """Give back what a call holds that has never left."""
        self._back(key)

    def _back(self, key: Key) -> Inside:
        inside = self._inside.pop(key)
        group = inside.group
        for gate, _ in group.claims:
            gate.limit.release(key)
            self._change(gate)
        for share in group.shares:
            share.refund(group.room.name, 1 / group.room.weight)
        return inside

    def sent(self, key: Key, at: int) -> None:
        """Note that a call has left."""
        for gate, _ in self._inside[key].group.claims:
            gate.limit.sent(key, at)
            if gate.parked and gate.slots is None:
                # Only now it may be known when its place in the window is free again.
                self._left[gate] = None

    def settle(self, key: Key, ending: Ending, at: int) -> list[News]:
        """Let a call end; gives what has become of its limits."""
        news: list[News] = []
        for gate, _ in self._inside.pop(key).group.claims:
            told = gate.limit.settle(key, ending, at)
            if told:
                news += told
            if gate.parked:
                self._changed[gate] = None
        return news

    def quota(self, key: Key, quotas: Sequence[Quota], at: int) -> list[News]:
        """Take in what the answer to a call said of its limits."""
        news: list[News] = []
        for gate, _ in self._inside[key].group.claims:
            news += gate.limit.quota(quotas, at)
            self._change(gate)
        return news

    def sync(self, entries: Iterable[Entry], states: Mapping[str, LimitState]) -> None:
        """Take in what other processes hold of shared limits, and what they have learned.

        What the calls here hold is known better here; limits that nobody here has named are left
        out, so what they hold is to be told again once somebody has.
        """
        for entry in entries:
            gate = self._gates.get(entry.limit)
            if gate is not None and entry.key not in self._inside:
                gate.limit.sync(entry)
                self._change(gate)
        for name, state in states.items():
            gate = self._gates.get(name)
            if gate is not None:
                gate.limit.adopt(state)
                self._change(gate)

    def forget(self, limit: str, key: Key) -> None:
        """Let go of what a call of another process held of a shared limit."""
        gate = self._gates.get(limit)
        if gate is not None:
            gate.limit.forget(key)
            self._change(gate)

    def next(self) -> int | None:
        """Give the soonest instant at which somebody could go through though nothing happens.

        None means that only events can let anybody through; `AT_ONCE`, that something has happened
        since calls were last let through.
        """
        if self._changed or self._left:
            return AT_ONCE
        for room in self._stirred:
            if room.next() is not None:
                return AT_ONCE
        due = self._due
        while due:
            until, _, line = due[0]
            if line.live and line.due == until and line.until == until:
                return until
            heappop(due)
            if line.due == until:
                line.due = None
        return None

    def fork(self) -> Self:
        """Copy it, in time proportional to who waits and who holds limits."""
        copy = type(self)(self._seed, self._patience)
        closed: dict[Room, None] = {}
        for inside in self._inside.values():
            room = inside.group.room
            if self._rooms.get(room.name) is not room:
                closed[room] = None
        rooms = (*self._rooms.values(), *closed)
        gates = {gate: gate.fork() for gate in self._gates.values()}
        for room in rooms:
            for gate in room.gates.values():
                if gate not in gates:
                    gates[gate] = gate.fork()
        copies = {room: room.fork(gates) for room in rooms}
        copy._gates = {name: gates[gate] for name, gate in self._gates.items()}
        copy._rooms = {name: copies[room] for name, room in self._rooms.items()}
        self._fork_lines(copy, gates, copies)
        for key, inside in self._inside.items():
            group = copies[inside.group.room].groups[inside.group.kind]
            copy._inside[key] = Inside(group, inside.item, inside.waits, inside.at)
        copy._stirred = [copies[room] for room in self._stirred if room in copies]
        copy._changed = {gates[gate]: None for gate in self._changed if gate in gates}
        copy._left = {gates[gate]: None for gate in self._left if gate in gates}
        copy._hopeless = self._hopeless.copy()
        copy._offered = self._offered
        copy._numbered = self._numbered
        copy._passes = self._passes
        copy._turns = self._turns
        return copy

    def _fork_lines(self, copy: Self, gates: dict[Gate, Gate], rooms: dict[Room, Room]) -> None:
        lines: dict[Line, Line] = {}
        for gate in self._all_gates():
            new = gates[gate]
            for key, line in gate.lines.items():
                if line.live:
                    lines[line] = new.lines[key] = line.fork(new, rooms)
            if gate.first is not None:
                new.first = rooms[gate.first.room].groups[gate.first.kind]
            if gate.keeper is not None:
                new.keeper = rooms[gate.keeper.room].groups[gate.keeper.kind]
        # What is left out would do nothing; a sorted list is a heap.
        copy._due = sorted(
            [
                (until, number, lines[line])
                for until, number, line in self._due
                if line.live and line.due == until
            ],
            key=_by_due,
        )


def _by_due(item: tuple[int, int, Line]) -> tuple[int, int]:
    return item[0], item[1]


__all__ = [
    "AT_ONCE",
    "COMMIT",
    "MAX_WAITS",
    "PAUSE",
    "SHARE",
    "Admission",
    "Admitted",
    "Hopeless",
    "Queue",
]
