"""Reservations: what keeps a call that wants much from being overtaken for ever.

A class is overtaken when another takes of a limit for which its head stands in line, although it
would go before that other one if only it fitted.
When that has gone on for too long it reserves the limit: from then on only a call that surely ends
before the reserving one could begin may take of it, and calls of runs that go first anyway.
Of two that reserve, the earlier one is not held up by the later, so they never wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hocket.core.events import Wait
from hocket.limits.claim import Block, Key
from hocket.limits.classes import Waiting
from hocket.limits.lines import Gate, Group


class Inside(msgspec.Struct, frozen=True, gc=False):
    """A call that holds its limits.

    Fields:
        group: Its class.
        item: As it waited.
        waits: What it waited for.
        at: When it was let through.
    """

    group: Group
    item: Waiting
    waits: tuple[Wait, ...]
    at: int


def stand_first(gate: Gate, group: Group) -> None:
    """Note a class that stands in a line as the first one, if it is."""
    if gate.first is None or gate.before(group, gate.first):
        gate.first = group


def find_first(gate: Gate) -> None:
    """Note who is first of those who may be overtaken because they want much."""
    for line in gate.lines.values():
        if line.live and line.large and not line.each:
            group = line.first()
            if group is not None:
                stand_first(gate, group)


def overtake(gate: Gate, group: Group, at: int) -> None:
    """Note that a class takes of what the first one waits for."""
    first = gate.first
    if first is None or first is group or not gate.before(first, group):
        return
    number = first.heap[0].number
    if first.overtaken is None or first.overtaken[0] != number:
        first.overtaken = number, at


def overdue(group: Group, at: int, patience: int) -> bool:
    """Tell whether the head of a class has been overtaken for too long."""
    overtaken = group.overtaken
    return (
        overtaken is not None
        and overtaken[0] == group.heap[0].number
        and at - overtaken[1] > patience
    )


def reserved_by(gate: Gate) -> str:
    """Name what holds up a call that would fit but for a reservation."""
    return f"reserved:{gate.name}"


def kept(gate: Gate, group: Group, inside: Mapping[Key, Inside], at: int) -> Block | None:
    """Say whether a reservation holds up a class that would fit.

    Args:
        gate: The limit.
        group: The class.
        inside: The calls in flight.
        at: When.
    """
    keeper = gate.keeper
    if keeper is None or keeper is group or group.room.tier < keeper.room.tier:
        return None
    if 0 < group.turn < keeper.turn:
        return None
    lasts = group.heap[0].lasts
    if lasts is not None and at + lasts <= _begins(gate, keeper, inside, at):
        return None
    return Block(reserved_by(gate))


def _begins(gate: Gate, keeper: Group, inside: Mapping[Key, Inside], at: int) -> int:
    """Give the instant before which a reserving class cannot begin, as far as that is sure.

    Where more than units in use bounds the limit it could begin at any time.
    """
    if gate.slots is None:
        return at
    free = gate.slots
    known: list[tuple[int, int]] = []
    for entry in gate.limit.entries(at):
        if not entry.over:
            free -= entry.units
            call = inside.get(entry.key)
            lasts = None if call is None else call.item.lasts
            if call is not None and lasts is not None and call.at + lasts > at:
                known.append((call.at + lasts, entry.units))
    known.sort()
    wanted = next(units for other, units in keeper.claims if other is gate)
    for end, units in known:
        if free >= wanted:
            break
        free += units
        at = end
    return at if free >= wanted else 0
