"""Teams stated on the spot: agents named in a line, and a file's data of one step that they do.

A line names agents of the file, models as ``provider:model``, and ``local``, the embedded model;
``*3`` behind one stands for three of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from hocket.config.seats import MOST
from hocket.core.errors import NotFound, Refused, suggest
from hocket.core.values import Json

LOCAL: Final = "local"
"""Stands for the embedded model where no agent of the file is called so."""

_SEAT: Final = re.compile(r"\s*([^*\s]+)\s*(?:\*\s*(\d+)\s*)?")
_UNNAMED: Final = re.compile(r"[^A-Za-z0-9]+")


class Seat(NamedTuple):
    """An agent and how many of it."""

    agent: str
    number: int


class Seats(NamedTuple):
    """Who takes part.

    Fields:
        seats: The agents, each once.
        agents: Those among them that no file states, as a file would.
    """

    seats: list[Seat]
    agents: dict[str, Json]


def read_seats(line: str, agents: Iterable[str], models: Iterable[str], where: str = "") -> Seats:
    """Read who takes part, as in ``flash*5,pro,openai:gpt-5.2``.

    Args:
        line: What was written.
        agents: The names of the file's agents.
        models: The names of the file's models, each of which can be an agent by itself.
        where: The file's name, or "" if there is none.

    Raises:
        Refused: It cannot be read.
        NotFound: There is no such agent.
    """
    known, entries = list(agents), list(models)
    counts: dict[str, int] = {}
    found: dict[str, Json] = {}
    for part in line.split(","):
        match = _SEAT.fullmatch(part)
        if match is None:
            raise Refused(f"{part.strip()!r} names no agent: write NAME, NAME*3 or provider:model")
        who, count = match[1], int(match[2] or 1)
        if not 1 <= count <= MOST:
            raise Refused(f"{part.strip()!r}: an agent takes part 1 to {MOST} times")
        name = _agent(who, known, entries, found, where)
        counts[name] = counts.get(name, 0) + count
    return Seats([Seat(name, count) for name, count in counts.items()], found)


def _agent(
    who: str, known: Sequence[str], models: Sequence[str], found: dict[str, Json], where: str
) -> str:
    """Give the name of an agent; one that no file states is made."""
    if who in known:
        return who
    if who == LOCAL:
        about: dict[str, Json] = {"local": "smollm2-135m"}
    elif who in models or all(who.partition(":")):
        about = {"model": who}
    else:
        names = [*known, *models]
        there = f"{where} has {', '.join(names) or 'no agents'}"
        there = there if where else "there is no file with agents here"
        hint = suggest(who, [*names, LOCAL]) or f"{there}; a model is written provider:model"
        raise NotFound(f"there is no agent {who!r}; {hint}")
    for name, other in found.items():
        if other == about:
            return name
    name = _free(who, [*known, *found])
    found[name] = about
    return name


def _free(who: str, taken: Sequence[str]) -> str:
    """Make a name of a model's: ``openai:gpt-5.2`` is called gpt-5-2."""
    provider, colon, model = who.partition(":")
    last = model.rpartition("/")[2] if colon else who
    name = _UNNAMED.sub("-", last).strip("-")
    if not name[:1].isalpha():
        name = _UNNAMED.sub("-", f"{provider}-{name}").strip("-")
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def one_step(
    name: str, step: Mapping[str, Json], inputs: Sequence[str], output: str, seats: Seats
) -> dict[str, Json]:
    """Give the data of a file with one plan of one step.

    Args:
        name: What the plan and its step are called.
        step: The step.
        inputs: What the plan is given.
        output: What it gives: an expression.
        seats: Whose agents are added.
    """
    plan = {"inputs": list(inputs), "steps": {name: dict(step)}, "output": f"{{{{{output}}}}}"}
    return {"version": 1, "agents": seats.agents, "plans": {name: plan}}
