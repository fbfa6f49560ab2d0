"""Who sits in a team, whether a file or Python says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from hocket.core.errors import Problem
from hocket.core.teams import Member
from hocket.workflows.check_types import misfits

MOST: Final = 100
"""The most seats that one entry can stand for."""


class Entry(msgspec.Struct, frozen=True):
    """One or several seats of an agent.

    Fields:
        agent: The agent.
        count: How many seats.
        weight: What each weighs.
        name: What they are called; "" for the agent's name.
        fallback: Agents that take a seat when the agent has used up its tries.
    """

    agent: str
    count: int = 1
    weight: float = 1.0
    name: str = ""
    fallback: tuple[str, ...] = ()


def entry_problems(entry: Entry) -> Iterator[Problem]:
    """Find what is wrong with an entry that its seats would not show."""
    wrong = [*misfits(entry)]
    for field, said, hint in wrong:
        yield Problem(where=(field,), message=f"a seat of {entry.agent!r}: {said}", hint=hint)
    if not wrong and not 1 <= entry.count <= MOST:
        said = f"a seat of {entry.agent!r}: count lies between 1 and {MOST}, not {entry.count:,}"
        yield Problem(where=("count",), message=said)


def seated(entries: Sequence[Entry]) -> list[tuple[int, Member]]:
    """Give the seats, and with each the number of its entry.

    A seat is called like its agent, with a number behind it if several would be called so.
    """
    totals: dict[str, int] = {}
    for entry in entries:
        name = entry.name or entry.agent
        totals[name] = totals.get(name, 0) + entry.count
    taken: dict[str, int] = {}
    members: list[tuple[int, Member]] = []
    for i, entry in enumerate(entries):
        name = entry.name or entry.agent
        for _ in range(entry.count):
            taken[name] = taken.get(name, 0) + 1
            own = name if totals[name] == 1 else f"{name}-{taken[name]}"
            member = Member(
                name=own, agent=entry.agent, weight=float(entry.weight), fallback=entry.fallback
            )
            members.append((i, member))
    return members
