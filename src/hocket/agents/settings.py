"""What a model's user writes: options read into a struct, and prompts of several shapes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from hocket.agents.environment import read_options
from hocket.agents.output import fault
from hocket.core.errors import Problem, SpecError
from hocket.core.values import Json

Options = TypeVar("Options", bound=msgspec.Struct)


def read(kind: type[Options], name: str, options: Mapping[str, Json]) -> Options:
    """Read an agent's options.

    Args:
        kind: The struct that says which options there are and of which type.
        name: The agent's name, for messages.
        options: What the user wrote.

    Raises:
        SpecError: An option is unknown, missing or of a wrong type.
    """
    where = ("agents", name)
    values = read_options(where, options, _types(kind))
    missing = [
        Problem(where=where, message=f"option {field.name!r} is missing")
        for field in msgspec.structs.fields(kind)
        if field.required and field.name not in values
    ]
    if missing:
        raise SpecError(missing)
    return kind(**values)


def override(options: Options, changes: Mapping[str, Json], allowed: frozenset[str]) -> Options:
    """Put a step's own settings over the agent's.

    Raises:
        AgentError: ``permanent``: a setting is unknown, of a wrong type, or the agent's alone.
    """
    if not changes:
        return options
    types = {name: kind for name, kind in _types(type(options)).items() if name in allowed}
    try:
        values = read_options(("options",), changes, types)
    except SpecError as error:
        raise fault("permanent", f"the step's {error}") from None
    return msgspec.structs.replace(options, **values)


@functools.cache
def _types(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def prompt_of(value: Json, system: str) -> tuple[str, str]:
    """Give the prompt and the system text of a request's input.

    A text is the prompt; ``{prompt: …, system: …}`` gives both; other JSON is sent as JSON text.
    """
    if isinstance(value, dict) and "prompt" in value and value.keys() <= {"prompt", "system"}:
        own = value.get("system")
        return _text(value["prompt"]), system if own is None else _text(own)
    return _text(value), system


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
