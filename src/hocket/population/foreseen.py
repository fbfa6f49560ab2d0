"""Finds what is wrong with what a step says literally, before it is run; JAX is not needed.

What a template will give is judged when the step begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hocket.config.population import MAIN, is_template
from hocket.core.errors import CallerError, NotFound, Problem, SpecError, suggest
from hocket.population.gmn import parse_gmn
from hocket.population.model import Model, Names
from hocket.population.model_files import load_model
from hocket.population.ready import READY, mistaken, unknown
from hocket.population.settings import bare, read_preferences
from hocket.population.transitions import Floats
from hocket.population.wishes import Wished, rows_of

Where = tuple[str | int, ...]


class _Seen(NamedTuple):
    """What the agents of an example can see."""

    C: tuple[Floats, ...]
    names: Names

    @property
    def observations(self) -> tuple[int, ...]:
        """How many observations each modality has."""
        return tuple(map(len, self.C))


class _Files(NamedTuple):
    """Where models' files are; see `foreseen`."""

    folder: Path
    first: bool

    def model(self, name: str) -> Model | None:
        """Read a model; None if it may be written before it is needed."""
        try:
            return load_model(self.folder / name)
        except NotFound:
            if self.first:
                raise
            return None


def foreseen(given: Mapping[str, Any], folder: Path, *, first: bool = True) -> list[Problem]:
    """Find mistakes in what a step is told.

    Args:
        given: It, with templates as they are.
        folder: Where models' files are looked for.
        first: Whether nothing is done before it, that could write a file that is not there yet.
    """
    found: list[Problem] = []
    files = _Files(folder, first)
    groups = _source(given, files, found)
    told = given.get("groups") or {}
    for name, group in told.items() if isinstance(told, Mapping) else ():
        where = ("groups", name)
        own = _model(group, files, where, found)
        if groups is not None and name not in groups and own is _NONE:
            message = f"there is no group {name!r}, and a further one needs a model's file or GMN "
            hint = suggest(name, groups) or f"there is {', '.join(groups)}"
            found.append(Problem(where=where, message=f"{message}text", hint=hint))
            continue
        model = (groups or {}).get(name) if own is _NONE else own
        found += _wishes(model, group.get("preferences"), (*where, "preferences"))
    return found


_NONE: Any = object()
"""No model is named."""


def _source(
    given: Mapping[str, Any], files: _Files, found: list[Problem]
) -> dict[str, Wished | None] | None:
    """Judge who lives there; gives the groups, as far as they are known."""
    name = given.get("example")
    if name is None:
        model = _model(given, files, (), found)
        return None if model is _NONE else {MAIN: model}
    if is_template(name):
        return None
    if name not in READY:
        found.append(unknown(name))
        return None
    options = given.get("set") or {}
    if is_template(options):
        return {name: None}
    plain = {option: value for option, value in options.items() if not is_template(value)}
    wrong = list(mistaken(name, plain))
    found += wrong
    if wrong or len(plain) < len(options):
        # What they see depends on options that nobody knows yet.
        return {name: None}
    seen = READY[name](**plain).seen()
    names = Names(modalities=tuple(seen), observations=tuple(seen.values()))
    return {name: _Seen(tuple(np.zeros(len(row)) for row in seen.values()), names)}


def _model(given: Mapping[str, Any], files: _Files, where: Where, found: list[Problem]) -> Any:
    """Read a model; None if it cannot be known, `_NONE` if none is named."""
    file, text = given.get("model"), given.get("gmn")
    try:
        if file is not None:
            return None if is_template(file) else files.model(str(file))
        if text is not None:
            called = ".".join(map(str, (*where, "gmn")))
            return None if is_template(text) else parse_gmn(bare(str(text)), called)
    except SpecError as error:
        key = "gmn" if file is None else "model"
        found += (Problem(where=(*where, key), message=line) for line in error.lines)
        return None
    except CallerError as error:
        found.append(Problem(where=(*where, "model"), message=str(error)))
        return None
    return _NONE


def _wishes(model: Wished | None, given: Any, where: Where) -> Iterator[Problem]:
    """Judge preferences, as far as their model is known."""
    if given is None or model is None or _is_open(given):
        return
    try:
        rows_of(model, read_preferences(where, given), where)
    except SpecError as error:
        yield from error.problems


def _is_open(given: Any) -> bool:
    values: Iterable[Any] = given.values() if isinstance(given, Mapping) else ()
    return is_template(given) or any(map(is_template, values))
