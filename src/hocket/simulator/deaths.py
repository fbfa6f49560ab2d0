"""The death of the process that has a run, and how another one takes the run up.

What died with it are its calls in flight and its place in the queue; what was recorded is there.
Limits keep what was sent: a window counts a lost call like any other, and only its slots are free.
What follows from there is the engine's own: the run is resumed, its calls are lost, those with
effects are held until a person decides, and the others are made again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hocket.core.commands import StartCall
from hocket.core.events import CallLost, RunResumed
from hocket.limits.admission import Admission
from hocket.limits.claim import Ending, room_of
from hocket.simulator.parts import Live

_LOST: Final = Ending("other")


class Death(NamedTuple):
    """The process dies; another one takes the run up at an instant."""

    back: int


class Revival(NamedTuple):
    """A process takes the run up."""


def die(run: Live, admission: Admission, at: int, back: int) -> None:
    """Let the process of a run die."""
    for flight in run.flights.values():
        admission.settle(flight.key, _LOST, at)
        run.made_of(flight, at, "lost", None)
    run.flights.clear()
    admission.close(run.room)
    run.open = run.held = False
    run.back = back


def revive(run: Live, admission: Admission, at: int) -> list[StartCall]:
    """Take a run up as the engine does; gives the calls that wait for their limits anew."""
    machine = run.machine
    epoch = machine.epoch + 1
    run.back = None
    run.mortal = True
    run.room = room_of(run.part.run, epoch)
    lost = machine.calls.in_flight()
    run.take(RunResumed(at=at, epoch=epoch))
    for call in lost:
        run.take(CallLost(at=at, call=call))
    run.enter(admission, at)
    if run.spending is not None:
        for entry in run.claims.past(run.spending):
            admission.limit(entry.limit, run.room).sync(entry)
    starts, run.starts = run.starts, {}
    return list(starts.values())
