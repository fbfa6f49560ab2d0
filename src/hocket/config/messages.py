"""Says in Hocket's words what pydantic found, with suggestions for unknown keys."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Tag
from pydantic_core import ErrorDetails

from hocket.config.basics import TAG
from hocket.config.models import AGENT_KINDS, STEP_KINDS, FilePart
from hocket.config.panel_parts import CONTRIBUTORS
from hocket.config.tool_parts import TOOL_KINDS
from hocket.core.errors import Problem, suggest
from hocket.core.values import Json

Path = tuple[str | int, ...]

_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object of keys and values",
    "model_type": "an object of keys and values",
    "model_attributes_type": "an object of keys and values",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
_MEANT = {
    "rpm": "requests: 9/min",
    "rpd": "requests: 500/day",
    "rps": "requests: 2/s",
    "tpm": "tokens: 32k/min",
    "tpd": "tokens: 1M/day",
    "itpm": "tokens_in: 32k/min",
    "otpm": "tokens_out: 8k/min",
    "usd": "cost: 1.00",
    "max_concurrency": "concurrency: 4",
}
"""What others call it."""
_SHORT_LINE = 60
"""The longest command that a hint repeats."""
_SHORT = {"string_too_short": "cannot be empty", "too_short": "cannot be empty"}


def to_problem(
    error: ErrorDetails, tree: Json, file: type[BaseModel] = FilePart
) -> tuple[Problem, bool]:
    """Give a problem with its path in the file, and whether its key is meant, not its value."""
    raw = error["loc"]
    path = plain_path(raw)
    kind, value = error["type"], error["input"]
    context = error.get("ctx", {})
    name = _called(path, tree)
    if kind == "extra_forbidden":
        message, hint = _unknown_key(raw, name, file)
        return Problem(where=path, message=message, hint=hint), True
    if kind == "missing":
        # There is no such place: its parent's key is what can be pointed at.
        return Problem(where=path[:-1], message=f"{name!r} is missing"), True
    if kind == "shape":
        hint = ""
        if isinstance(value, dict):
            kinds = _kinds_at(path)[1]
            hint = next(filter(None, (suggest(str(key), kinds) for key in value)), "")
        return Problem(where=path, message=error["msg"], hint=hint), False
    message = _message(kind, value, context, error["msg"])
    return Problem(
        where=path, message=f"{name}: {message}", hint=_instead(path, kind, value)
    ), False


def _instead(path: Path, kind: str, value: object) -> str:
    """Say what was perhaps meant: a command line is not a list, and a shell reads it."""
    is_step = path[:1] == ("plans",) and path[-1] == "command"
    if not is_step or kind != "list_type" or not isinstance(value, str):
        return ""
    short = len(value) <= _SHORT_LINE and "\n" not in value
    return f"write shell: {value}" if short else "write shell: with this text"


def _called(path: Path, tree: Json) -> str:
    """Name what is meant: by its key, or by its place in a list."""
    if not path:
        return "the file"
    if isinstance(path[-1], int) and not _is_list(path[:-1], tree):
        # One thing stands where there may be several.
        return str(path[-2])
    return str(path[-1])


def _is_list(path: Path, tree: Json) -> bool:
    node = tree
    for part in path:
        if isinstance(node, dict):
            node = node.get(str(part))
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            return False
    return isinstance(node, list)


def plain_path(raw: Sequence[str | int]) -> Path:
    """Drop what pydantic puts into a path to tell the parts of a union apart."""
    return tuple(
        part
        for part in raw
        if not (isinstance(part, str) and (part.startswith(TAG) or part == "[key]"))
    )


def _message(kind: str, value: object, context: Mapping[str, Any], said: str) -> str:
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {describe(value)}"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {context[key]:.10g}, not {value}"
    if kind in _SHORT:
        return _SHORT[kind]
    if kind == "literal_error":
        hint = suggest(value, _literals(context)) if isinstance(value, str) else ""
        return f"must be {context['expected']}, not {describe(value)}" + (hint and f"; {hint}")
    if kind == "value_error":
        return str(context["error"])
    return said[:1].lower() + said[1:]


def _literals(context: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", str(context["expected"]))


def describe(value: object) -> str:
    """Name a value of the file for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:40] + "…"
        return f"the text {shown!r}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "an object"


def _unknown_key(raw: Sequence[str | int], name: str, file: type[BaseModel]) -> tuple[str, str]:
    fields = known_fields(raw[:-1], file)
    what, kinds = _kinds_at(plain_path(raw))
    # Only where a union is told apart by keys does a tag stand before the key.
    tag = str(raw[-2])[1:] if len(raw) > 1 and str(raw[-2]).startswith(TAG) else ""
    if tag in kinds and name in kinds and name not in fields:
        return f"{what} has either {tag!r} or {name!r}, not both", ""
    hint = suggest(name, fields)
    if name in _MEANT and _MEANT[name].partition(":")[0] in fields:
        hint = f"write {_MEANT[name]}"
    if what == "an agent" and name in ("tools", "max_turns"):
        hint = "models and scripted agents call tools, no others"
    if not hint and len(fields) <= 12:
        hint = f"known: {', '.join(fields)}"
    return f"unknown key {name!r}", hint


def _kinds_at(path: Path) -> tuple[str, tuple[str, ...]]:
    """Say what can stand at a path, and by which keys it is told apart."""
    if path[:1] == ("agents",):
        return "an agent", AGENT_KINDS
    if path[:1] == ("tools",):
        return "a tool", TOOL_KINDS
    if "panel" in path[4:]:
        return "a step of a panel", CONTRIBUTORS
    return "a step", STEP_KINDS


def known_fields(raw: Sequence[str | int], file: type[BaseModel] = FilePart) -> list[str]:
    """Give the keys that a file may have at a path of pydantic's."""
    node: Any = file
    for part in raw:
        node = _descend(_bare(node), part)
        if node is None:
            return []
    node = _bare(node)
    if isinstance(node, type) and issubclass(node, BaseModel):
        return [field.alias or name for name, field in node.model_fields.items()]
    return []


def _descend(node: Any, part: str | int) -> Any:
    if isinstance(part, str) and part.startswith(TAG):
        return _tagged(node, part)
    if isinstance(node, type) and issubclass(node, BaseModel):
        for name, field in node.model_fields.items():
            if part in (field.alias, name):
                return field.annotation
        return None
    arguments = typing.get_args(node)
    if typing.get_origin(node) is dict:
        return arguments[1]
    return arguments[0] if typing.get_origin(node) is list else None


def _tagged(node: Any, tag: str) -> Any:
    for member in typing.get_args(node):
        inner, *extra = typing.get_args(member)
        if any(isinstance(item, Tag) and item.tag == tag for item in extra):
            return inner
    return None


def _bare(node: Any) -> Any:
    """Take off what is around a type: its annotations, and that it may be missing."""
    while True:
        arguments = typing.get_args(node)
        if typing.get_origin(node) is typing.Annotated:
            node = arguments[0]
        elif type(None) in arguments and len(arguments) == 2:
            node = next(item for item in arguments if item is not type(None))
        else:
            return node
