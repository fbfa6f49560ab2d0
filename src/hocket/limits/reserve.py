"""Reservations: what keeps a call that wants much from being overtaken for ever.

A class is overtaken when another takes of a limit for which its head stands in line, although it
would go before that other one if only it fitted.
When that has gone on for too long it reserves the limit: from then on only a call that surely ends
before the reserving one could begin may take of it, and calls of runs that go first anyway.
Of two that reserve, the earlier one is not held up by the later, so they never wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from hocket.limits.claim import Block, Key
from hocket.limits.lines import Gate, Group, Inside


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
