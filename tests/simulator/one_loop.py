"""A coordinator that waits for a limiter in its only loop: the incident that Hocket began with.

Nothing of Hocket works like that; it is emulated here alone, to show what it does to a run.
The rules are those of the real machines, but calls are begun and their outcomes heard by one loop.
Before it begins a call it waits for a limiter on starts; while it waits, finished answers sit
unread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from hocket.core.commands import CancelCall, StartCall
from hocket.core.specs import Rate, RunSpec
from hocket.core.teams import ConsensusSpec
from hocket.core.values import MS, Json, unit_fraction
from hocket.forecast.durations import Durations
from hocket.simulator.agents import People, SimulatedAgents
from hocket.simulator.parts import Flight, Live, Part, Played
from hocket.simulator.teams import member_of
from hocket.simulator.world import Entry, World

TURN: Final = (140 * MS, 200 * MS)
"""How long the loop takes from the end of its wait until it has read the first outcome."""
READ: Final = (30 * MS, 75 * MS)
"""How long it takes to read each further one, with what it keeps of it on disk.

Both lie within the 50 to 700 ms that were measured between an answer and the next call.
"""


def play_in_one_loop(
    spec: RunSpec,
    inputs: Mapping[str, Json],
    agents: SimulatedAgents,
    starts: Mapping[str, Rate],
    seed: int = 0,
) -> Played:
    """Play a run whose coordinator waits for a limiter on starts in its only loop.

    Args:
        spec: What to do; its own limits hold as well, and are waited for outside the loop.
        inputs: The workflow's inputs.
        agents: Who does it.
        starts: How many calls of an agent the loop begins in which time.
        seed: Where all chance comes from.

    Raises:
        SpecError: The spec cannot be run.
    """
    world = OneLoop(agents, starts)
    world.add(Part(spec, inputs, seed=seed))
    return world.play()[0]


class OneLoop(World):
    """A world with one loop that begins calls and hears of their ends, and waits in between.

    Args:
        agents: Who does the work.
        starts: How many calls of an agent it begins in which time.
    """

    def __init__(self, agents: SimulatedAgents, starts: Mapping[str, Rate]) -> None:
        super().__init__(agents, People(), Durations())
        self._next = self._wake
        self._starts = starts
        self._begun: dict[str, deque[int]] = {agent: deque() for agent in starts}
        self._wanted: list[tuple[Live, StartCall]] = []
        self._until: int | None = None
        """Until when the loop waits."""
        self._unread: list[tuple[Live, Flight]] = []
        """What has ended while it waited."""
        self._waits = 0

    def _offer(self, run: Live, start: StartCall, *, alone: bool = False) -> None:
        self._wanted.append((run, start))

    def _cancel(self, run: Live, command: CancelCall) -> None:
        self._wanted = [item for item in self._wanted if item[1].call != command.call]
        super()._cancel(run, command)

    def _wake(self) -> int | None:
        due = [at for at in (self._admission.next(), self._until) if at is not None]
        return min(due, default=None)

    def _happen(self, entry: Entry) -> None:
        _, _, run, what = entry
        if self._until is not None and isinstance(what, Flight):
            self._unread.append((run, what))
            return
        super()._happen(entry)

    def _follow(self) -> None:
        super()._follow()
        if self._until is not None and self._until <= self.now:
            self._until = None
            self._read()
        while self._wanted and self._until is None:
            self._wanted.sort(key=_seat)
            run, start = self._wanted[0]
            self._until = self._full_until(start.agent)
            if self._until is None:
                del self._wanted[0]
                super()._offer(run, start)
                super()._follow()

    def _full_until(self, agent: str) -> int | None:
        """Count a start, or say until when none fits."""
        rate = self._starts.get(agent)
        if rate is None:
            return None
        begun = self._begun[agent]
        while begun and begun[0] + rate.per <= self.now:
            begun.popleft()
        if len(begun) >= rate.amount:
            return begun[0] + rate.per
        begun.append(self.now)
        return None

    def _read(self) -> None:
        """Read what has ended meanwhile, one after the other."""
        self._waits += 1
        at = self.now
        for number, (run, flight) in enumerate(self._unread):
            low, high = READ if number else TURN
            share = unit_fraction(run.part.seed, "loop", self._waits, number)
            at += low + round(share * (high - low))
            self._later(at, run, flight)
        self._unread.clear()


def _seat(item: tuple[Live, StartCall]) -> int:
    """Give the place of a call's member in its team: the loop goes by the team's order."""
    run, start = item
    name = member_of(start.call.path)
    for step in run.spec.workflow.steps:
        if isinstance(step.team, ConsensusSpec):
            for index, member in enumerate(step.team.members):
                if member.name == name:
                    return index
    return -1
