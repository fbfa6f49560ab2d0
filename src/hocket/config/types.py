"""Python types as JSON Schema, and JSON as values of Python types.

Plain types cost nothing; pydantic is imported for the others, when the first of them appears.
"""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any, Final

from hocket.core.values import Json

_ATOMS: Final[dict[object, dict[str, Json]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}


def schema_of(kind: Any) -> Json:
    """Give the JSON Schema of a type; None for those that allow anything.

    Objects of known fields are closed, so that a template that asks for another one is refused.

    Raises:
        TypeError: The type has no JSON.
    """
    if kind is Any or kind is object:
        return None
    if kind in _ATOMS:
        return _ATOMS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if (kind is list or origin is list) and all(item in _ATOMS for item in arguments):
        return {"type": "array", **({"items": _ATOMS[arguments[0]]} if arguments else {})}
    if kind is dict or (origin is dict and arguments[1] is Any):
        return {"type": "object"}
    return _close(_by_pydantic(kind))


def is_plain(kind: Any) -> bool:
    """Tell whether JSON is a value of the type as it is."""
    if kind is Any or kind is object or kind in _ATOMS or kind in (list, dict):
        return True
    origin = typing.get_origin(kind)
    if origin in (list, dict, typing.Union, types.UnionType):
        return all(map(is_plain, typing.get_args(kind)))
    return origin is typing.Literal or typing.is_typeddict(kind)


def convert(kind: Any, value: Json) -> Any:
    """Make a value of a type from JSON.

    Raises:
        ValueError: The JSON does not fit.
    """
    if is_plain(kind):
        return value
    return _adapter(kind).validate_python(value)


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _by_pydantic(kind: Any) -> Json:
    from pydantic.errors import PydanticUserError

    try:
        return _adapter(kind).json_schema()
    except PydanticUserError as error:
        said = str(error).splitlines()[0]
        raise TypeError(f"{kind!r} cannot be described by JSON Schema: {said}") from None


def _close(schema: Json) -> Json:
    """Forbid other fields in objects that name theirs and say nothing of others."""
    if isinstance(schema, list):
        return [_close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: {name: _close(item) for name, item in value.items()}
        if key in ("properties", "$defs") and isinstance(value, dict)
        else value
        if key in ("default", "enum", "const", "examples")
        else _close(value)
        for key, value in schema.items()
    }
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed
