"""Judges all of a model that can be judged, though some of its parts are known to be wrong.

A part that is wrong is replaced by one that fits, so that it hides nothing that is wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from hocket.core.errors import Problem, SpecError
from hocket.population.model import Model, Names
from hocket.population.transitions import Lists

Where = tuple[str | int, ...]
_LEARNED: Final[tuple[str, ...]] = ("pA", "pB", "pD")
_MOST: Final = 10_000_000
"""Entries of a replacement; what would need more is not judged."""


def part_of(where: Where) -> Where:
    """The part of a model that a problem is in: a table, or a setting."""
    if where[0] in ("A", "B", "C", "D") and len(where) > 1:
        return where[:2]
    return ("policies",) if where[0] == "policy_length" else where[:1]


def judged(
    fields: dict[str, Any],
    spoilt: set[Where],
    states: Sequence[int],
    actions: Sequence[int],
    say: Callable[[Problem], None],
) -> Model | None:
    """Make a model, with every part replaced that is wrong.

    Args:
        fields: The arguments of `Model.of`; None for tables that could not be made.
        spoilt: The parts that are known to be wrong; those that are found wrong are added.
        states: How many states each factor has.
        actions: How many actions each factor has.
        say: Is told of each problem with another part.

    Returns:
        The model, which is what was wanted if nothing is spoilt; None if it cannot be made.
    """
    while sum(map(int.__mul__, states, actions)) <= _MOST or not spoilt:
        try:
            return Model.of(**_mended(fields, spoilt, states, actions))
        except SpecError as error:
            found = [one for one in error.problems if part_of(one.where) not in spoilt]
            if not found:
                return None
            for problem in found:
                say(problem)
                spoilt.add(part_of(problem.where))
    return None


def _mended(
    fields: dict[str, Any], spoilt: set[Where], states: Sequence[int], actions: Sequence[int]
) -> dict[str, Any]:
    if not spoilt:
        return fields
    made = {key: list(fields[key]) for key in ("A", "B", "C", "D")}
    on = {key: list(fields[key]) for key in ("A_dependencies", "B_dependencies")}
    names: Names = fields["names"]
    seen = list(names.observations)
    least = min(range(len(states)), key=lambda factor: states[factor])
    for letter, place in sorted(part for part in spoilt if len(part) == 2):
        number = int(place)
        match letter:
            case "A":
                made["A"][number] = np.ones((1, states[least]))
                made["C"][number] = np.zeros(1)
                on["A_dependencies"][number] = [least]
                seen[number] = ()
            case "B":
                stays = np.arange(states[number], dtype=np.int32)[None, :, None]
                following = np.repeat(stays, actions[number], axis=0)
                made["B"][number] = Lists(following, np.ones(following.shape))
                on["B_dependencies"][number] = [number]
            case "C" if ("A", number) not in spoilt:
                made["C"][number] = np.zeros(len(made["A"][number]))
            case "D":
                made["D"][number] = np.full(states[number], 1 / states[number])
            case _:
                # Preferences for what has been replaced have been replaced with it.
                pass
    rest = {
        key: value
        for key, value in fields.items()
        if key not in made and key not in on and (key,) not in spoilt and key not in _LEARNED
    }
    if ("policies",) in spoilt:
        rest = {key: rest[key] for key in rest if key not in ("policies", "policy_length", "E")}
        made["C"] = [table if table.ndim == 1 else np.zeros(len(table)) for table in made["C"]]
    learned = {
        key: fields[key]
        for key in _LEARNED
        if key in fields and not any(part[0] in (key, key[1]) for part in spoilt)
    }
    if rest.get("parameter_information") is True and not learned:
        del rest["parameter_information"]
    rest["names"] = Names(names.factors, names.states, names.modalities, tuple(seen), names.actions)
    return {**made, **on, **rest, **learned}
