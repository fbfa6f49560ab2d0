"""What can be said of a run's machine at a glance: for whoever drives it through many events."""

from __future__ import annotations

from hocket.core.run import OPEN, RunMachine


def silent(machine: RunMachine) -> bool:
    """Tell whether `RunMachine.drain` has nothing to give."""
    out = machine.calls.out
    return not (machine.records or out.starts or out.cancels)


def soonest(machine: RunMachine) -> int | None:
    """Give an instant before which no `TimePassed` is due, in O(1); None for never.

    It may be too early where a call has ended before its time; `RunMachine.deadline` is exact.
    """
    if machine.phase not in OPEN:
        return None
    ours, theirs = machine.calls.timers.soonest(), machine.workflow.deadline()
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    return ours if ours < theirs else theirs
