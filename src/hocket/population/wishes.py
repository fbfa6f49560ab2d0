"""What agents prefer, as whoever joins a population says it: by name, or number by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hocket.core.errors import Problem, SpecError, suggest
from hocket.population.model import Names
from hocket.population.transitions import Floats

Wishes: TypeAlias = Sequence[ArrayLike] | Mapping[str, float]
"""For each modality a number for each observation; or numbers by observations' names."""


class Wished(Protocol):
    """What has observations to be preferred: a model, or what is known of one."""

    @property
    def C(self) -> tuple[Floats, ...]:
        """For each modality what is preferred."""

    @property
    def observations(self) -> tuple[int, ...]:
        """How many observations each modality has."""

    @property
    def names(self) -> Names:
        """What the parts are called."""


def rows_of(model: Wished, wishes: Wishes, where: tuple[str | int, ...]) -> list[NDArray[Any]]:
    """Give preferences in the shapes of a model's.

    Args:
        model: Whose observations they are about.
        wishes: For each modality [observations], in nats, or [observations, steps] where the
            model's differ by step; or numbers by name, where what is not named is 0. A name that
            several modalities have is written ``modality.name``.
        where: What they are called in messages.

    Returns:
        For each modality, as the model's own.

    Raises:
        SpecError: if they do not fit the model, or a number is not finite.
    """
    if isinstance(wishes, Mapping):
        arrays = _by_name(model, wishes, where)
    else:
        arrays = [_row(row, (*where, m)) for m, row in enumerate(_listed(wishes, where))]
    problems = [
        Problem(
            where=(*where, m),
            message=f"shape {list(row.shape)}, and the model's is {list(own.shape)}",
        )
        for m, (row, own) in enumerate(zip(arrays, model.C, strict=False))
        if row.shape not in (own.shape, own.shape[:1])
    ] + [
        Problem(where=(*where, m), message="a preference is not a finite number")
        for m, row in enumerate(arrays)
        if not np.isfinite(row).all()
    ]
    if len(arrays) != len(model.C):
        message = f"{len(arrays)} modalities, and the model has {len(model.C)}"
        problems.append(Problem(where=where, message=message))
    if problems:
        raise SpecError(problems)
    return [
        np.repeat(row[:, None], own.shape[1], axis=1) if row.ndim < own.ndim else row
        for row, own in zip(arrays, model.C, strict=True)
    ]


def _listed(wishes: Any, where: tuple[str | int, ...]) -> list[Any]:
    """Take a list of rows, one for each modality."""
    if isinstance(wishes, str | bytes) or not hasattr(wishes, "__iter__"):
        raise _no_numbers(wishes, where)
    return list(wishes)


def _row(row: ArrayLike, where: tuple[str | int, ...]) -> Floats:
    try:
        return np.asarray(row, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _no_numbers(row, where) from None


def _no_numbers(given: object, where: tuple[str | int, ...]) -> SpecError:
    message = f"{str(given)[:60]} is no list of numbers"
    hint = "give a number for each observation of each modality"
    return SpecError([Problem(where=where, message=message, hint=hint)])


def _by_name(
    model: Wished, wishes: Mapping[str, float], where: tuple[str | int, ...]
) -> list[NDArray[Any]]:
    """Give a row for each modality; what nobody named is 0."""
    rows = [np.zeros(many) for many in model.observations]
    places: dict[str, list[tuple[int, int]]] = {}
    for m, seen in enumerate(model.names.observations):
        for o, name in enumerate(seen):
            full = f"{model.names.modalities[m]}.{name}" if model.names.modalities else name
            for known in dict.fromkeys((name, full)):
                places.setdefault(known, []).append((m, o))
    problems = []
    for name, value in wishes.items():
        found = places.get(name, [])
        if isinstance(value, bool) or not isinstance(value, int | float):
            problems.append(Problem(where=(*where, name), message=f"{value!r} is not a number"))
            continue
        if len(found) == 1:
            rows[found[0][0]][found[0][1]] = _row(value, (*where, name))
            continue
        problems.append(_unnamed(model, name, found, places, where))
    if problems:
        raise SpecError(problems)
    return rows


def _unnamed(
    model: Wished,
    name: str,
    found: list[tuple[int, int]],
    places: Mapping[str, object],
    where: tuple[str | int, ...],
) -> Problem:
    """Say why a name tells no observation."""
    message = f"no observation is called {name!r}"
    hint = suggest(str(name), places) or f"there are {', '.join(places)}"
    if not places:
        hint = "the model has no names; give a list of numbers"
    if found:
        message = f"several observations are called {name!r}"
        hint = "the modalities have no names; give a list of numbers"
        if model.names.modalities:
            hint = f"write {model.names.modalities[found[0][0]]}.{name}, or the other's modality"
    return Problem(where=(*where, name), message=message, hint=hint)
