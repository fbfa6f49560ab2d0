"""What a step is told that runs a population, whether a file says it or a Python program.

What a template will give is judged when the step begins; all else is judged here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from hocket.core.errors import Problem, suggest
from hocket.core.values import Json

Device: TypeAlias = Literal["cpu", "gpu"]
Dtype: TypeAlias = Literal["float32", "float64"]
Format: TypeAlias = Literal["npz", "parquet"]
Picture: TypeAlias = Literal["svg", "png", "gif"]

SOURCES: Final = ("example", "model", "gmn", "continues")
"""One of these says who lives in a population."""
MAIN: Final = "agents"
"""What the group is called whose model is a population's own."""
AGENTS: Final = 1_000
TICKS: Final = 100
EVERY: Final = 100
"""After how many ticks a step saves all."""
DEFAULTS: Final[Mapping[str, Json]] = {
    "agents": AGENTS,
    "ticks": TICKS,
    "seed": 0,
    "checkpoint_every": EVERY,
    "dtype": "float32",
    "format": "npz",
    "keep": False,
}
NODES: Final = (1, 2, 4, 8)
"""How many nodes of a cluster, or processes, may share a population."""
BOUNDS: Final[Mapping[str, tuple[int, int | None]]] = {
    "agents": (1, None),
    "ticks": (1, None),
    "seed": (0, 2**32 - 1),
    "checkpoint_every": (1, None),
    "devices": (1, None),
    "at_once": (1, 32),
}
"""The least and the most that numbers may be; None for no bound."""
ANSWER: Final = "answer.json"
"""The file in which the process of a step says what came of it."""
PROGRESS: Final = "progress.json"
"""The file in which the processes of a step say how far they are, where several nodes share it."""
KEPT: Final = "population.npz"
KEPT_TOLD: Final = "population.json"
"""The files of a population that another run can go on with: itself, and what it was told."""
_OPEN: Final = "{{"


def within(name: str, value: object) -> int:
    """Take a number that is within its bounds.

    Raises:
        ValueError: It is none, or out of them.
    """
    least, most = BOUNDS[name]
    fits = isinstance(value, int) and not isinstance(value, bool)
    if fits and least <= value and (most is None or value <= most):  # type: ignore[operator]
        return value  # type: ignore[return-value]
    said = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise ValueError(f"it is a whole number {said}, not {str(value)[:60]!r}")


def read_count(value: object) -> Json:
    """Take a number of agents or ticks.

    Raises:
        ValueError: It is neither a whole number of at least 1 nor a template.
    """
    return _number("agents", value)


def read_seed(value: object) -> Json:
    """Take a seed.

    Raises:
        ValueError: It is neither a whole number of 32 bits nor a template.
    """
    return _number("seed", value)


def _number(name: str, value: object) -> Json:
    if is_template(value):
        return str(value)
    try:
        return within(name, value)
    except ValueError as error:
        raise ValueError(f"{error}; or it is a template that gives one") from None


def read_preferences(value: object) -> Json:
    """Take preferences as `plain_preferences` does; they, or those of a name, may be templates.

    Raises:
        ValueError: They are neither.
    """
    if is_template(value):
        return str(value)
    if isinstance(value, Mapping) and any(map(is_template, value.values())):
        told = {name: number for name, number in value.items() if not is_template(number)}
        plain_preferences(told or {"": 0})
        return dict(value)
    return plain_preferences(value)


def plain_preferences(value: object) -> dict[str, Any] | list[Any]:
    """Take preferences: by name, for the observations of one modality, or such a list for each.

    Raises:
        ValueError: They are none of these, or a number is not finite.
    """
    if isinstance(value, Mapping) and _are_numbers(list(value.values())):
        return dict(value)
    rows = list(value) if isinstance(value, list | tuple) else []
    if _are_numbers(rows) or (rows and all(map(_are_numbers, rows))):
        return rows
    raise ValueError(
        "preferences are finite numbers by observations' names, a number for each observation, or "
        f"a list of such lists for several modalities, not {str(value)[:60]}"
    )


def read_continued(value: object) -> Json:
    """Take the files of a population that goes on.

    Raises:
        ValueError: It is no template.
    """
    if is_template(value):
        return str(value)
    raise ValueError("it is a template that gives the files of a step with keep: true")


def is_template(value: object) -> bool:
    """Whether a value is not known before its step begins."""
    return isinstance(value, str) and _OPEN in value


def _are_numbers(row: object) -> bool:
    return isinstance(row, list | tuple) and len(row) > 0 and all(map(_is_finite, row))


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number that no float holds.
        return False


def _text(value: object) -> Json:
    if not isinstance(value, str) or not value:
        raise ValueError("it is a text")
    return value


def _one_of(*known: str) -> Callable[[object], Json]:
    def read(value: object) -> Json:
        if value in known:
            return value
        hint = suggest(str(value), known)
        raise ValueError(f"it is {' or '.join(known)}, not {value!r}" + (hint and f"; {hint}"))

    return read


def _nodes(value: object) -> Json:
    if isinstance(value, bool) or value not in NODES:
        raise ValueError(f"it is one of {', '.join(map(str, NODES))}, not {str(value)[:60]!r}")
    return value


def _by_name(value: object) -> Json:
    if not isinstance(value, Mapping):
        raise ValueError("it is an object of names")
    return dict(value)


def _devices(value: object) -> Json:
    return within("devices", value)


def _flag(value: object) -> Json:
    if not isinstance(value, bool):
        raise ValueError("it is true or false")
    return value


_OF_GROUP: Final[Mapping[str, Callable[[object], Json]]] = {
    "model": _text,
    "gmn": _text,
    "agents": read_count,
    "preferences": read_preferences,
}
_OF_POPULATION: Final[Mapping[str, Callable[[object], Json]]] = {
    "example": _text,
    "model": _text,
    "gmn": _text,
    "continues": read_continued,
    "agents": read_count,
    "ticks": read_count,
    "seed": read_seed,
    "set": _by_name,
    "groups": _by_name,
    "checkpoint_every": read_count,
    "device": _one_of(*get_args(Device)),
    "devices": _devices,
    "nodes": _nodes,
    "dtype": _one_of(*get_args(Dtype)),
    "format": _one_of(*get_args(Format)),
    "picture": _one_of(*get_args(Picture)),
    "keep": _flag,
}


def whole(given: Mapping[str, Json]) -> dict[str, Json]:
    """Give all that a population is told, defaults included; what is None is not told."""
    told = {key: value for key, value in given.items() if value is not None}
    return {**DEFAULTS, **told}


def mistakes(given: Mapping[str, Json]) -> Iterator[Problem]:
    """Find what is wrong with values whose templates are not filled in yet."""
    yield from _read((), given, _OF_POPULATION, "a population")
    groups = given.get("groups")
    for name, group in groups.items() if isinstance(groups, Mapping) else ():
        if isinstance(group, Mapping):
            yield from _read(("groups", name), group, _OF_GROUP, "a group")
        else:
            yield Problem(where=("groups", name), message="a group is an object")
    yield from contradictions(given)


def _read(
    where: tuple[str | int, ...],
    given: Mapping[str, Json],
    known: Mapping[str, Callable[[object], Json]],
    what: str,
) -> Iterator[Problem]:
    for key, value in given.items():
        if key not in known:
            hint = suggest(key, known) or f"known: {', '.join(known)}"
            yield Problem(where=(*where, key), message=f"{what} has no {key!r}", hint=hint)
        elif value is not None:
            try:
                known[key](value)
            except ValueError as error:
                yield Problem(where=(*where, key), message=f"{key}: {error}")


def contradictions(given: Mapping[str, Json]) -> Iterator[Problem]:
    """Find parts that do not fit each other."""
    sources = [key for key in SOURCES if given.get(key) is not None]
    if len(sources) != 1:
        hint = "hocket population list names the examples"
        said = f"not {' and '.join(sources)}" if sources else "here is none"
        message = f"a population has one of {', '.join(SOURCES)}; {said}"
        yield Problem(where=(sources[1],) if sources else (), message=message, hint=hint)
    if given.get("set") and "example" not in sources:
        yield Problem(where=("set",), message="only an example has options to set")
    goes_on = sources == ["continues"]
    if goes_on:
        yield from _kept((), given, ("agents", "seed", "dtype"))
    yield from _open_file((), given)
    groups = given.get("groups")
    for name, group in groups.items() if isinstance(groups, Mapping) else ():
        if not isinstance(group, Mapping):
            continue
        yield from _open_file(("groups", name), group)
        if goes_on:
            yield from _kept(("groups", name), group, ("model", "gmn", "agents"))
        elif group.get("model") and group.get("gmn"):
            message = f"group {name!r} has either 'model' or 'gmn', not both"
            yield Problem(where=("groups", name, "gmn"), message=message)


def _kept(
    where: tuple[str, ...], given: Mapping[str, Json], keys: tuple[str, ...]
) -> Iterator[Problem]:
    """Find what a population that goes on has from before."""
    for key in keys:
        if given.get(key) is not None:
            message = f"a population that goes on keeps its {key}"
            yield Problem(where=(*where, key), message=message, hint="leave it out")


def _open_file(where: tuple[str | int, ...], given: Mapping[str, Json]) -> Iterator[Problem]:
    """Refuse a file that a value would name, for its mistakes are told word by word."""
    if is_template(given.get("model")):
        message = "a model's file is named here, and by no template"
        hint = "give GMN text by 'gmn', which may be one"
        yield Problem(where=(*where, "model"), message=message, hint=hint)
