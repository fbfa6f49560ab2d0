"""The beginning of a run as the beginning of another, which goes on from there by itself.

What had finished by then stays as it is, also where inputs have changed: they count for what comes
after.
Nothing of it is paid again: what the copied calls gave counts as kept, and they spend nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Final, NamedTuple

import msgspec

from hocket.core.errors import EngineBug, Refused, suggest
from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    CancelRequested,
    Origin,
    Recorded,
    RetryRequested,
    RunEnded,
    RunStarted,
    Usage,
    Wait,
)
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.journal.slices import in_slices

INSTANTS: Final = frozenset({"at", "until", "expires", "finish", "low", "high"})
"""The fields of events that hold instants; those of a wait beside them."""

_NOTHING: Final = Usage()


class Fork(NamedTuple):
    """What a forked run begins with.

    Fields:
        first: Its first event.
        events: Those that follow at once.
        spec: What it does from then on.
    """

    first: RunStarted
    events: list[AnyEvent]
    spec: RunSpec


async def fork_of(
    source: AsyncIterable[Recorded],
    machine: RunMachine,
    run: str,
    *,
    after: int | None,
    inputs: Mapping[str, Json],
    by: str,
    now: int,
) -> Fork:
    """Give the beginning of a run that goes on from a point of another.

    Others have their turns meanwhile, however long the run is.
    A run that was cancelled is taken up where it was before that; of one that has failed, the
    failed steps are done again.

    Args:
        source: The events of the other run.
        machine: A new machine.
        run: The id of the new run.
        after: The number of the last event that counts; None for the last one that there is.
        inputs: Inputs that are different from now on.
        by: Who asks.
        now: The instant that the point becomes; all that was before moves with it.

    Raises:
        Refused: There is no such event, or no such input, or the failed steps cannot be done again.
    """
    first, seq, events = await _beginning(source, machine, after, inputs)
    unknown = [name for name in inputs if name not in machine.spec.workflow.inputs]
    if unknown:
        known = machine.spec.workflow.inputs
        hint = suggest(unknown[0], known) or "it takes " + (", ".join(known) or "none")
        raise Refused(f"plan {machine.spec.name!r} has no input {unknown[0]!r}; {hint}")
    origin = Origin(run=first.run, seq=seq, kept=1 + len(events))
    again = _again(machine, by)
    by_now = now - machine.at
    moved = [_moved(_unpaid(event), by_now) async for event in in_slices(events)]
    moved += [_moved(event, by_now) for event in again]
    first = msgspec.structs.replace(first, run=run, forked=origin, at=first.at + by_now)
    return Fork(first, moved, machine.spec)


async def _beginning(
    source: AsyncIterable[Recorded],
    machine: RunMachine,
    after: int | None,
    inputs: Mapping[str, Json],
) -> tuple[RunStarted, int, list[AnyEvent]]:
    """Fold what counts into the machine; gives it, with the number of its last event."""
    if after is not None and after < 1:
        raise Refused(f"there is no event {after}; they are numbered from 1")
    first: RunStarted | None = None
    events: list[AnyEvent] = []
    open_: tuple[int, RunMachine] | None = None
    seq = last = 0
    changed = cancelled = False
    async for recorded in source:
        event = recorded.event
        if after is not None and recorded.seq > after:
            break
        last = recorded.seq
        cancelled = cancelled or isinstance(event, CancelRequested)
        if cancelled:
            continue
        if isinstance(event, RunStarted):
            merged = {**event.inputs, **inputs}
            changed = merged != event.inputs
            event = first = msgspec.structs.replace(event, inputs=merged)
        elif isinstance(event, RunEnded):
            open_ = len(events), machine.fork()
        try:
            machine.apply(event)
        except (Refused, EngineBug):
            # Under other inputs it has not come to that.
            if not changed:
                raise
            continue
        seq = recorded.seq
        if event is not first:
            events.append(event)
    if first is None or (after is not None and last < after):
        raise Refused(f"there is no event {after}; the last one is {last}")
    if machine.phase == "ended" and machine.said != "failed" and open_ is not None:
        # What is missing to its end follows by itself.
        del events[open_[0] :]
        machine.__dict__.update(open_[1].__dict__)
    return first, seq, events


def _again(machine: RunMachine, by: str) -> list[AnyEvent]:
    """Have what has failed be done again, in a run that has failed or is about to."""
    if machine.end is None or machine.end.status != "failed":
        return []
    at = machine.at
    events: list[AnyEvent] = []
    if machine.phase == "ending":
        events += [CallLost(at=at, call=call) for call in machine.calls.in_flight()]
        events.append(msgspec.structs.replace(machine.end, at=at))
    events.append(RetryRequested(at=at, path="", by=by))
    for event in events:
        machine.apply(event)
    return events


def _unpaid(event: AnyEvent) -> AnyEvent:
    """Give what a call was as what it is for a run that did not make it."""
    if isinstance(event, CallStarted):
        return msgspec.structs.replace(event, reserved=None)
    if isinstance(event, CallFinished):
        saved = event.saved or event.usage or _NOTHING
        return msgspec.structs.replace(event, usage=None, saved=saved)
    if isinstance(event, CallFailed | CallCancelled):
        return msgspec.structs.replace(event, usage=None)
    return event


def _moved(event: AnyEvent, by: int) -> AnyEvent:
    """Move an event in time, with every instant that it names."""
    moved = {
        name: value + by
        for name in event.__struct_fields__
        if name in INSTANTS and (value := getattr(event, name)) is not None
    }
    if isinstance(event, CallStarted) and event.waits:
        waits = tuple(Wait(one.cause, one.since + by, one.until + by) for one in event.waits)
        return msgspec.structs.replace(event, waits=waits, **moved)
    return msgspec.structs.replace(event, **moved)
