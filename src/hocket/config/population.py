"""What a step is told that runs a population, whether a file says it or a Python program.

What a template will give is judged when the step begins; all else is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from hocket.core.errors import Problem, suggest
from hocket.core.values import Json

SOURCES: Final = ("example", "model", "gmn", "continues")
"""One of these says who lives in a population."""
MAIN: Final = "agents"
"""What the group is called whose model is a population's own."""
DEFAULTS: Final[Mapping[str, Json]] = {
    "agents": 1_000,
    "ticks": 100,
    "seed": 0,
    "checkpoint_every": 100,
    "dtype": "float32",
    "format": "npz",
    "keep": False,
}
_OPEN: Final = "{{"


def read_count(value: object) -> Json:
    """Take a number of agents or ticks.

    Raises:
        ValueError: It is neither a whole number of at least 1 nor a template.
    """
    if _is_whole(value, 1) or _is_template(value):
        return value
    raise ValueError("it is a whole number of at least 1, or a template that gives one")


def read_seed(value: object) -> Json:
    """Take a seed.

    Raises:
        ValueError: It is neither a whole number of 32 bits nor a template.
    """
    if (_is_whole(value, 0) and value < 2**32) or _is_template(value):  # type: ignore[operator]
        return value
    raise ValueError("it is a whole number from 0 to 4294967295, or a template that gives one")


def read_preferences(value: object) -> Json:
    """Take preferences: by name, for the observations of one modality, or such a list for each.

    Raises:
        ValueError: It is neither that nor a template.
    """
    if _is_template(value):
        return value
    if isinstance(value, Mapping) and value and all(map(_is_wish, value.values())):
        return dict(value)
    rows = value if isinstance(value, list | tuple) else []
    if _are_numbers(rows) or (rows and all(_are_numbers(row) for row in rows)):
        return rows
    raise ValueError(
        "preferences are numbers by observations' names, a number for each observation, a list of "
        "such lists for several modalities, or a template that gives one of these"
    )


def read_continued(value: object) -> Json:
    """Take the files of a population that goes on.

    Raises:
        ValueError: It is no template.
    """
    if _is_template(value):
        return value
    raise ValueError("it is a template that gives the files of a step with keep: true")


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_template(value: object) -> bool:
    return isinstance(value, str) and _OPEN in value


def _are_numbers(row: object) -> bool:
    return (
        isinstance(row, list | tuple)
        and len(row) > 0
        and all(isinstance(item, int | float) and not isinstance(item, bool) for item in row)
    )


def _is_wish(value: object) -> bool:
    return _is_template(value) or _are_numbers([value])


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


def _by_name(value: object) -> Json:
    if not isinstance(value, Mapping):
        raise ValueError("it is an object of names")
    return dict(value)


def _devices(value: object) -> Json:
    if not _is_whole(value, 1):
        raise ValueError("it is a whole number of at least 1")
    return value


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
    "device": _one_of("cpu", "gpu"),
    "devices": _devices,
    "dtype": _one_of("float32", "float64"),
    "format": _one_of("npz", "parquet"),
    "picture": _one_of("svg", "png", "gif"),
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
    if _is_template(given.get("model")):
        message = "a model's file is named here, and by no template"
        hint = "give GMN text by 'gmn', which may be one"
        yield Problem(where=(*where, "model"), message=message, hint=hint)
