"""Which waiting calls are to be looked at: those whose limit has changed or whose time has come."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

from hocket.core.values import SECOND
from hocket.limits.lines import Gate, Group, Line, Room
from hocket.limits.reserve import find_first

PATIENCE: Final = 30 * SECOND
"""For how long a call may be overtaken by calls that want less before it reserves its limits."""


class Roster:
    """The runs, the limits, and the classes whose heads are to be judged.

    Args:
        seed: Where the jitter of limits comes from.
        max_overtake: For how long a call may be overtaken by calls that want less of a limit
            before it reserves that limit.
    """

    def __init__(self, seed: int = 0, max_overtake: int = PATIENCE) -> None:
        self._seed = seed
        self._patience = max_overtake
        self._rooms: dict[str, Room] = {}
        self._gates: dict[str, Gate] = {}
        """The shared limits."""
        self._stirred: list[Room] = []
        """The runs that have heads to judge."""
        self._changed: dict[Gate, None] = {}
        """Limits that may let somebody through who stands in a line."""
        self._left: dict[Gate, None] = {}
        """Limits of which a call has left since: the end of a wait for them may be known now."""
        self._due: list[tuple[int, int, Line]] = []
        """(until, number, line): a heap; entries that are out of date stay until they surface."""
        self._numbered = 0

    def _gate(self, room: Room | None, name: str) -> Gate:
        gate = None if room is None else room.gates.get(name)
        if gate is None:
            gate = self._gates.get(name)
            if gate is not None and room is not None:
                room.gates[name] = gate
        if gate is None:
            whose = "no run" if room is None else f"neither run {room.name!r} nor any other"
            raise ValueError(f"{whose} has named a limit {name!r} when it was opened")
        return gate

    def _all_gates(self) -> list[Gate]:
        """Give the limits that an open run or in all may claim, each once."""
        found = dict.fromkeys(self._gates.values())
        for room in self._rooms.values():
            found.update(dict.fromkeys(room.gates.values()))
        return list(found)

    def _wake(self, group: Group) -> None:
        """Have the head of a class judged, which stands in no line."""
        group.room.wake(group)
        self._stir(group.room)

    def _stir(self, room: Room) -> None:
        if not room.stirred and not room.held:
            room.stirred = True
            self._stirred.append(room)

    def _leave(self, group: Group) -> None:
        """Let the head of a class out of its line, and let go of what it reserves."""
        if group.line is not None:
            group.line.leave(group)
        if group.kept:
            self._unkeep(group)

    def _unkeep(self, group: Group) -> None:
        """Let go of what a class reserves."""
        for gate in group.kept:
            gate.keeper = None
            self._change(gate)
        group.kept.clear()
        group.turn = 0

    def _rouse(self, room: Room, at: int) -> None:
        """Have all heads of a run judged anew, as those of one that comes back."""
        for group in room.groups:
            self._leave(group)
            group.contend(None)
            if group.heap and not group.awake:
                self._wake(group)

    def _change(self, gate: Gate) -> None:
        if gate.parked:
            self._changed[gate] = None

    def _call(self, line: Line, at: int) -> None:
        """Have the first one of a line judged if it fits this limit now."""
        if line.each:
            self._call_all(line)
        elif line.live:
            gate = line.gate
            block = gate.limit.blocked(line.units, line.claim, at)
            if block is None:
                group = line.first()
                if group is not None:
                    line.leave(group)
                    group.came = line
                    self._wake(group)
            elif block.hopeless:
                self._call_all(line)
            else:
                line.learn(block, at)
                self._note_due(line)

    def _call_all(self, line: Line) -> None:
        for group in line.groups():
            line.leave(group)
            self._wake(group)

    def _call_due(self, at: int) -> None:
        due = self._due
        while due and due[0][0] <= at:
            until, _, line = heappop(due)
            if line.due == until:
                line.due = None
                if line.until == until:
                    self._call(line, at)

    def _call_changed(self, at: int) -> None:
        changed, self._changed = self._changed, {}
        for gate in changed:
            for line in list(gate.lines.values()):
                if line.live:
                    self._call(line, at)
            if gate.parked and gate.first is None:
                find_first(gate)

    def _call_left(self, at: int) -> None:
        left, self._left = self._left, {}
        for gate in left:
            for line in list(gate.lines.values()):
                if line.live and line.until is None:
                    self._call(line, at)

    def _note_due(self, line: Line) -> None:
        if line.until is not None and line.until != line.due:
            line.due = line.until
            self._numbered += 1
            heappush(self._due, (line.until, self._numbered, line))
