"""Describes a Python function as a tool: its arguments as JSON Schema, what its docstring says."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec

from hocket.config.types import object_schema
from hocket.core.values import Json

_OURS: Final = ("hocket.agents.base", "Context")
"""The annotation of a parameter that the engine fills in, by module and name."""

_SECTION: Final = re.compile(
    r"^(Args|Arguments|Parameters):[ \t]*\n((?:[ \t]+.*\n?|[ \t]*\n)*)", re.M
)
_ENTRY: Final = re.compile(r"([ \t]+)\*{0,2}(\w+)(?: *\([^)]*\))?:(.*)")


def tool_schema(function: Callable[..., Any]) -> Json:
    """Give the JSON Schema of a function's arguments, as an object that knows no others.

    What the docstring's ``Args`` say of a parameter describes it; a parameter for the call's
    context is left out.

    Raises:
        TypeError: A parameter has no JSON, or cannot be given by name.
    """
    name = getattr(function, "__qualname__", repr(function))
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        raise TypeError(f"{name} has no signature; def a function that calls it") from None
    hints, required, defaults = {}, [], {}
    for parameter in parameters:
        hint = _hint(function, parameter.name)
        if (getattr(hint, "__module__", ""), getattr(hint, "__name__", "")) == _OURS:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{name}: {str(parameter)!r} cannot be given by name")
        hints[parameter.name] = hint
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            defaults[parameter.name] = parameter.default
    try:
        schema = object_schema(hints, required)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    described = _described(function)
    for parameter_name, part in schema["properties"].items():
        more: dict[str, Json] = {}
        if parameter_name in described:
            more["description"] = described[parameter_name]
        default = defaults.get(parameter_name)
        if isinstance(default, str | int | float | bool | list | dict) and _is_json(default):
            more["default"] = default
        schema["properties"][parameter_name] = {**part, **more}
    return schema


def about(function: Callable[..., Any]) -> str:
    """Give what a function's docstring says before its sections, in one line."""
    text = inspect.getdoc(function) or ""
    return " ".join(re.split(r"\n[ \t]*\n", text, maxsplit=1)[0].split())


def _hint(function: Any, name: str) -> Any:
    """Give a parameter's annotation; anything if there is none, or if it cannot be read."""
    while hasattr(function, "func"):
        function = function.func
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function).__call__
    function = inspect.unwrap(function)
    said = getattr(function, "__annotations__", {})
    if name not in said:
        return Any
    one = types.SimpleNamespace(__annotations__={name: said[name]})
    scope = getattr(function, "__globals__", None)
    try:
        return typing.get_type_hints(one, scope, include_extras=True)[name]
    except (NameError, AttributeError):
        # Only a type checker sees that name.
        ours = isinstance(said[name], str) and said[name].rpartition(".")[2] == _OURS[1]
        return type(_OURS[1], (), {"__module__": _OURS[0]}) if ours else Any


def _described(function: Any) -> dict[str, str]:
    """Read what a docstring's ``Args`` say of each parameter."""
    section = _SECTION.search((inspect.getdoc(function) or "") + "\n")
    if section is None:
        return {}
    found: dict[str, str] = {}
    indent, name = None, ""
    for line in section.group(2).splitlines():
        entry = _ENTRY.match(line)
        if entry is not None and indent in (None, entry.group(1)):
            indent, name = entry.group(1), entry.group(2)
            found[name] = entry.group(3).strip()
        elif name and line.strip():
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _is_json(value: Any) -> bool:
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(value)) == value)
    except (TypeError, msgspec.MsgspecError, RecursionError):
        return False
