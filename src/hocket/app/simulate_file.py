"""What a file's ``simulate`` says in texts, faults and variants, and where it is mistaken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from hocket.config.change import changed
from hocket.config.change_text import settings_of
from hocket.config.file import Loaded
from hocket.config.limit_names import endpoint_name
from hocket.config.places import Path
from hocket.core.errors import CallerError, NotFound, Problem, Refused, SpecError
from hocket.core.specs import RunSpec
from hocket.simulator.faults import Death, Mishap, parse_fault, whom

T = TypeVar("T")
Read: TypeAlias = Callable[[str, RunSpec, Loaded], T]
"""Reads a text for a plan."""


def check_simulate(loaded: Loaded) -> None:
    """Judge a file's faults and variants by its plans.

    Raises:
        SpecError: Some cannot be read, or are about nothing; the lines say where.
    """
    part = loaded.file.simulate
    if part is None:
        return
    specs = [loaded.spec(name) for name in loaded.plans()]
    found: list[tuple[Path, CallerError]] = []
    kinds: list[tuple[str, list[str], Read[object]]] = [
        ("faults", part.faults, fault_of),
        ("variants", part.variants, _variant),
    ]
    for key, texts, read in kinds:
        for number, text in enumerate(texts):
            wrong = _wrong(specs, text, loaded, read)
            if wrong is not None:
                found.append((("simulate", key, number), wrong))
    if found:
        raise _mistakes(loaded, found)


def faults_of(loaded: Loaded, spec: RunSpec) -> tuple[Mishap, ...]:
    """Read what goes wrong by a file; what strikes only its other plans is left out.

    Raises:
        SpecError: It cannot be read, or names nobody; the lines say where.
    """
    part = loaded.file.simulate
    texts = [] if part is None else part.faults
    return tuple(_fitting(loaded, spec, "faults", texts, fault_of))


def variants_of(loaded: Loaded, spec: RunSpec) -> tuple[str, ...]:
    """Give the variants that a file states; those of its other plans are left out.

    Raises:
        SpecError: One cannot be read, or is about nothing; the lines say where.
    """
    part = loaded.file.simulate
    texts = [] if part is None else part.variants
    return tuple(_fitting(loaded, spec, "variants", texts, _variant))


def fault_of(text: str, spec: RunSpec, loaded: Loaded | None) -> Mishap:
    """Read what goes wrong; whoever is named may also be one of the file's models.

    Raises:
        Refused: It cannot be read.
        NotFound: It names nobody.
    """
    try:
        mishap = parse_fault(text)
    except ValueError as error:
        raise Refused(f"fault {error}") from None
    if isinstance(mishap, Death):
        return mishap
    models = {} if loaded is None else loaded.file.models
    if mishap.who in models and mishap.who not in (*spec.agents, *spec.limits):
        entry = models[mishap.who]
        mishap = msgspec.structs.replace(mishap, who=endpoint_name(entry.id, entry.base_url))
    try:
        whom(mishap.who, spec)
    except NotFound as error:
        raise NotFound(f"fault {text!r}: {error}") from None
    return mishap


def _variant(text: str, spec: RunSpec, loaded: Loaded) -> str:
    changed(spec, settings_of(text), loaded)
    return text


def _wrong(
    specs: Sequence[RunSpec], text: str, loaded: Loaded, read: Read[object]
) -> CallerError | None:
    """Say what is wrong with a text if no plan understands it."""
    first: CallerError | None = None
    for spec in specs:
        try:
            read(text, spec, loaded)
        except CallerError as error:
            # Of a plan that has nothing of what it is about, less can be said.
            if first is None or isinstance(first, NotFound):
                first = error
        else:
            return None
    return first


def _fitting(
    loaded: Loaded, spec: RunSpec, key: str, texts: Sequence[str], read: Read[T]
) -> list[T]:
    """Read the texts that this plan understands; each is for some plan."""
    found: list[T] = []
    for number, text in enumerate(texts):
        try:
            found.append(read(text, spec, loaded))
        except NotFound:
            plans = [spec, *(loaded.spec(name) for name in loaded.plans() if name != spec.name)]
            wrong = _wrong(plans, text, loaded, read)
            if wrong is not None:
                raise _mistakes(loaded, [(("simulate", key, number), wrong)]) from None
        except CallerError as error:
            raise _mistakes(loaded, [(("simulate", key, number), error)]) from None
    return found


def _mistakes(loaded: Loaded, found: Sequence[tuple[Path, CallerError]]) -> SpecError:
    problems = [Problem(where=where, message=str(error)) for where, error in found]
    if loaded.document is None:
        return SpecError(problems)
    lines = []
    for where, error in found:
        line, column = loaded.document.find(where)
        lines.append(f"{loaded.source}:{line + 1}:{column + 1}: {error}")
    return SpecError(problems, lines)
