"""Python types as JSON Schema, and JSON as values of Python types.

Plain types cost nothing; pydantic is imported for the others, when the first of them appears.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
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
    try:
        return _schema(kind)
    except RecursionError:
        raise TypeError(f"{kind!r} contains itself; use a pydantic model for it") from None


def _schema(kind: Any) -> Json:
    if kind is Any or kind is object:
        return None
    if kind is None:
        kind = type(None)
    if kind in _ATOMS:
        return _ATOMS[kind]
    if kind in (list, dict):
        return {"type": "array" if kind is list else "object"}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return _around(lambda items: {"type": "array", "items": items[0]}, arguments)
    if origin is dict and arguments[0] is str:
        if arguments[1] is Any:
            return {"type": "object"}
        return _around(
            lambda values: {"type": "object", "additionalProperties": values[0]}, arguments[1:]
        )
    if origin in (typing.Union, types.UnionType):
        return _around(lambda options: {"anyOf": list(options)}, arguments)
    if typing.is_typeddict(kind):
        return _typed_dict(kind)
    return _close(_by_pydantic(kind))


def _around(make: Callable[[Sequence[Json]], dict[str, Json]], kinds: Sequence[Any]) -> Json:
    """Make a schema of the schemas of its parts; what they refer to is lifted to its root."""
    parts: list[Json] = []
    lifted: dict[str, Json] = {}
    for kind in kinds:
        part = dict(_schema(kind) or {})
        lifted.update(part.pop("$defs", {}))
        parts.append(part)
    made = make(parts)
    return {**made, "$defs": lifted} if lifted else made


def _typed_dict(kind: Any) -> Json:
    # Until Python 3.12 pydantic takes only those of typing_extensions.
    hints = typing.get_type_hints(kind)
    return object_schema(hints, [name for name in hints if name in kind.__required_keys__])


def object_schema(hints: dict[str, Any], required: list[str]) -> dict[str, Json]:
    """Give the JSON Schema of an object of these fields and no others.

    Raises:
        TypeError: A field's type has no JSON.
    """
    made: dict[str, Json] = _around(
        lambda parts: {
            "type": "object",
            "properties": dict(zip(hints, parts, strict=True)),
            "required": required,
            "additionalProperties": False,
        },
        list(hints.values()),
    )
    return made


def is_plain(kind: Any) -> bool:
    """Tell whether JSON is a value of the type as it is."""
    if kind is Any or kind is object or kind in _ATOMS or kind in (list, dict):
        return True
    origin = typing.get_origin(kind)
    if origin in (list, dict, typing.Union, types.UnionType):
        return all(map(is_plain, typing.get_args(kind)))
    if typing.is_typeddict(kind):
        return all(map(is_plain, typing.get_type_hints(kind).values()))
    return origin is typing.Literal


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
