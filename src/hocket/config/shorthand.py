"""Reads the short ways of saying things: what an output looks like, what decides, what is kept."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from hocket.core.errors import suggest
from hocket.core.teams import Rule
from hocket.core.values import SECOND, Json, parse_duration

Mode: TypeAlias = Literal["text", "json", "lines"]

_MODES: Final[tuple[Mode, ...]] = ("text", "json", "lines")
_WHOLE: Final[dict[Mode, Json]] = {
    "text": {"type": "string"},
    "json": {},
    "lines": {"type": "array", "items": {"type": "string"}},
}
_TYPES: Final[dict[str, Json]] = {
    "str": {"type": "string"},
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "json": {},
}
_JSON_TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})
_SCHEMA_KEYS = frozenset(
    {"$ref", "$schema", "$defs", "properties", "anyOf", "oneOf", "allOf", "enum", "const"}
)
_LOCAL = "a $ref stays within its schema: begin it with '#'"


class Wanted(NamedTuple):
    """What a step's output looks like.

    Fields:
        mode: How to read what a program writes.
        schema: The JSON Schema that it must fit.
        named: Whether only a mode was written, as ``text``.
    """

    mode: Mode
    schema: Json
    named: bool = False


def read_output(value: object) -> Wanted:
    """Say what is meant by ``text``, by ``{title: str}``, or by a JSON Schema.

    Raises:
        ValueError: Nothing is meant by it.
    """
    if isinstance(value, str):
        for mode in _MODES:
            if value == mode:
                return Wanted(mode, _WHOLE[mode], named=True)
        hint = suggest(value, _WHOLE) or "write text, json, lines, or {field: type}"
        raise ValueError(f"unknown output {value!r}; {hint}")
    if not isinstance(value, dict):
        raise ValueError("output is text, json, lines, fields with types, or a JSON Schema")
    if _is_schema(value):
        _refuse_remote(value)
        _refuse_wrong(value)
        return Wanted("json", value)
    return Wanted("json", _fields(value))


def read_arguments(value: object) -> dict[str, Json]:
    """Give the schema of a tool's arguments, ``{pattern: str, path?: str}`` or a JSON Schema.

    An argument with a default may be left out.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, dict):
        raise ValueError("arguments have names and types, like {pattern: str}")
    if value.get("type") == "object" and isinstance(value.get("properties"), dict):
        _refuse_remote(value)
        _refuse_wrong(value)
        return value
    schema: dict[str, Json] = _fields(value)
    given = schema["properties"]
    if any(isinstance(kind, dict) for kind in value.values()):
        _refuse_remote(schema)
        _refuse_wrong(schema)
    schema["required"] = [
        name
        for name in schema["required"]
        if not (isinstance(given[name], dict) and "default" in given[name])
    ]
    return schema


def _is_schema(value: dict[str, Json]) -> bool:
    kind = value.get("type")
    if isinstance(kind, str) and kind in _JSON_TYPES:
        return True
    if isinstance(kind, list) and all(isinstance(k, str) and k in _JSON_TYPES for k in kind):
        return True
    return not value or any(key in _SCHEMA_KEYS for key in value)


def _refuse_remote(value: Json) -> None:
    if isinstance(value, dict):
        target = value.get("$ref", "#")
        if isinstance(target, str) and not target.startswith("#"):
            raise ValueError(_LOCAL)
        for item in value.values():
            _refuse_remote(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_remote(item)


def _refuse_wrong(schema: dict[str, Json]) -> None:
    # It takes long to import, and most files have no schema in full.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        said = error.message[:200]
        raise ValueError(f"no JSON Schema: {place + ': ' if place else ''}{said}") from None


def _fields(fields: dict[str, Json]) -> Json:
    """Give a closed object: a field ending in ``?`` may be left out."""
    return {
        "type": "object",
        "properties": {name.removesuffix("?"): _type(name, t) for name, t in fields.items()},
        "required": [name for name in fields if not name.endswith("?")],
        "additionalProperties": False,
    }


def _type(name: str, value: Json) -> Json:
    if isinstance(value, str) and value in _TYPES:
        return _TYPES[value]
    if isinstance(value, list) and len(value) == 1:
        return {"type": "array", "items": _type(name, value[0])}
    if isinstance(value, dict):
        return value if _is_schema(value) else _fields(value)
    hint = suggest(str(value), _TYPES) or f"write {', '.join(_TYPES)}, [type] or {{field: type}}"
    raise ValueError(f"field {name!r} has the unknown type {value!r}; {hint}")


def beside_files(schema: Json) -> Json:
    """Give the schema of a command with files, whose text stands beside them."""
    return _beside("files", "object", schema)


def beside_diff(schema: Json) -> Json:
    """Give the schema of a session with a worktree, whose text stands beside what it changed."""
    return _beside("diff", "string", schema)


def _beside(name: str, kind: str, schema: Json) -> Json:
    inner = dict(schema) if isinstance(schema, dict) else {}
    lifted = {"$defs": inner.pop("$defs")} if "$defs" in inner else {}
    return {
        "type": "object",
        "properties": {"text": inner, name: {"type": kind}},
        "required": ["text", name],
        "additionalProperties": False,
        **lifted,
    }


# ---- teams ----

REVISED_WITHIN: Final = 30 * SECOND
"""How long a revision waits for late contributions where only ``revise: true`` is said."""
RULES: Final[tuple[Literal["plurality", "majority", "unanimous"], ...]] = (
    "plurality",
    "majority",
    "unanimous",
)


class Decision(NamedTuple):
    """What decides: a rule, and the share that it asks for if it is a threshold."""

    rule: Rule
    threshold: float | None = None


def read_decision(value: object) -> Decision:
    """Say what is meant by ``majority``, or by 0.6.

    Raises:
        ValueError: Nothing is meant by it.
    """
    known = f"{', '.join(RULES)}, or a share of the weight like 0.6"
    if isinstance(value, str):
        for rule in RULES:
            if value == rule:
                return Decision(rule)
        raise ValueError(f"unknown rule {value[:40]!r}; {suggest(value, RULES) or known}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value <= 1:
            raise ValueError(f"a share lies above 0 and is 1 at most, not {value}")
        return Decision("threshold", float(value))
    raise ValueError(f"it is {known}")


def read_revise(value: object) -> int | None:
    """Say how long late contributions are waited for; None for not at all.

    Raises:
        ValueError: It is neither true nor false nor a duration.
    """
    if isinstance(value, bool):
        return REVISED_WITHIN if value else None
    if not isinstance(value, str | int | float):
        raise ValueError("revise is true, false, or for how long late ones are waited for, as 10s")
    return parse_duration(value)


CACHES: Final[tuple[str, ...]] = ("off", "exact", "similar")


def read_cache(value: object) -> object:
    """Write out what ``exact`` or ``1h`` means of a cache; objects stay as they are.

    Raises:
        ValueError: Nothing is meant by it.
    """
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, str) and value in CACHES:
        return {"mode": value}
    if isinstance(value, int | float) and not isinstance(value, bool):
        parse_duration(value)
        return {"ttl": value}
    if isinstance(value, str) and value[:1].isdigit():
        parse_duration(value)
        return {"ttl": value}
    known = "off, exact, similar, for how long, as 1h, or an object like {mode: exact, ttl: 1h}"
    hint = suggest(value, CACHES) if isinstance(value, str) else ""
    raise ValueError(f"it is {known}" + (hint and f"; {hint}"))
