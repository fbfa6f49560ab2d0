"""What a file and settings say together of simulations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from hocket.config.simulate_parts import ActorPart, PeoplePart, SimulatePart
from hocket.core.errors import Problem, suggest

_SHOWN: Final = 10
"""The most names that are listed."""
EVERYBODY: Final = "everybody"
"""Stands in settings for every agent's name."""


def simulate_problems(part: SimulatePart | None, agents: Collection[str]) -> Iterator[Problem]:
    """Say which names mean nobody; `agents` are all of the file."""
    for name in () if part is None else part.agents:
        if name not in agents:
            where = ("simulate", "agents", name)
            hint = suggest(name, agents) or f"there are {', '.join([*agents][:_SHOWN])}"
            yield Problem(where=where, message=f"unknown agent {name!r}", hint=hint)


def said(part: ActorPart | PeoplePart) -> dict[str, Any]:
    """Give what a part says, by its keys; what it leaves out is not there."""
    return {name: getattr(part, name) for name in sorted(part.model_fields_set)}


def merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was said with what was said later; kinds of calls are told apart."""
    both = {**before, **after}
    if "latencies" in before and "latencies" in after:
        both["latencies"] = {**before["latencies"], **after["latencies"]}
    return both


def actors(
    part: SimulatePart | None, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Give how agents behave, by name: keys as `ActorPart` has them.

    What is said of one agent goes before what is said of everybody, and what settings say before
    what the file says.
    Under `EVERYBODY` is what holds for those that are not named.

    Args:
        part: What the file says; None without a file.
        settings: What settings say.
    """
    own: dict[str, dict[str, Any]] = {}
    every: dict[str, Any] = {}
    if part is not None:
        own = {name: said(one) for name, one in part.agents.items()}
        every = {} if part.everybody is None else said(part.everybody)
    told = settings.get(EVERYBODY, {})
    found: dict[str, dict[str, Any]] = {}
    for name in (*own, *(name for name in settings if name not in own)):
        by_file = merged(every, own.get(name, {}))
        found[name] = merged(merged(by_file, told), settings.get(name, {}))
    if every or told:
        found[EVERYBODY] = merged(every, told)
    return found
