"""Tells whether a value can fit a JSON Schema, as far as a pure room can: shapes, types, choices.

Whoever does the work checks the rest; here it is only seen to that nothing is begun that cannot
succeed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hocket.core.errors import suggest
from hocket.core.values import Json

_DEEPEST: Final = 20

_TYPES: Final[dict[str, Callable[[Json], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
}


def misfit(schema: Json, value: Json, what: str = "the arguments") -> str:
    """Say why a value cannot fit a schema, or ""."""
    return _misfit(schema, value, what, schema, _DEEPEST)


def filled(schema: Json, value: Json) -> Json:
    """Put the defaults of a schema's properties where an object leaves them out."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not isinstance(value, dict):
        return value
    defaults = {
        name: part["default"]
        for name, part in properties.items()
        if isinstance(part, dict) and "default" in part and name not in value
    }
    return {**value, **defaults} if defaults else value


def _misfit(schema: Json, value: Json, what: str, root: Json, depth: int) -> str:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or not depth:
        return "no value fits" if schema is False else ""
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(kinds, list) and not any(_TYPES.get(kind, _any)(value) for kind in kinds):
        return f"{what}: {_said(value)} is no {' or '.join(map(str, kinds))}"
    if "const" in schema and value != schema["const"]:
        return f"{what} must be {_said(schema['const'])}"
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return f"{what} must be one of {', '.join(map(_said, choices))}"
    for several in ("anyOf", "oneOf"):
        options = schema.get(several)
        if isinstance(options, list):
            found = [_misfit(option, value, what, root, depth - 1) for option in options]
            if found and all(found):
                return found[0]
    if isinstance(value, dict):
        return _misfit_of_object(schema, value, what, root, depth)
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        for index, item in enumerate(value):
            if problem := _misfit(items, item, f"{what}[{index}]", root, depth - 1):
                return problem
    return ""


def _misfit_of_object(
    schema: Json, value: dict[str, Json], what: str, root: Json, depth: int
) -> str:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    for name in schema.get("required", ()):
        if name not in value:
            return f"{what} lack {name!r}" if what.endswith("s") else f"{what} lacks {name!r}"
    rest = {} if "patternProperties" in schema else schema.get("additionalProperties", {})
    for name, item in value.items():
        if name in properties or rest is not False:
            part = properties.get(name, rest)
            if problem := _misfit(part, item, repr(name), root, depth - 1):
                return problem
        else:
            hint = suggest(name, properties)
            return f"there is no argument {name!r}" + (f"; {hint}" if hint else "")
    return ""


def _resolved(schema: Json, root: Json) -> Json:
    """Follow local references, a bounded number of times; what leads nowhere allows anything."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        target: Json = root
        for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target.get(part) if isinstance(target, dict) else None
        schema = target
    return None


def _any(value: Json) -> bool:
    return True


def _said(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str():
            return repr(value[:40])
        case _:
            return "a list" if isinstance(value, list) else "an object"
