"""Reads docstrings, and writes Markdown."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

NOTE = "<!-- Written by docs/generate.py: change the code's docstrings, then run it. -->"


def summary(of: Any) -> str:
    """Give what a docstring says before its sections, in Markdown."""
    text = inspect.cleandoc(of.__doc__ or "")
    return markdown(re.split(r"\n\n(?:Fields|Args|Attributes|Raises|Returns):\n", text)[0])


def section(of: Any, name: str) -> dict[str, str]:
    """Give the entries of a docstring's section, as ``Fields``."""
    text = inspect.cleandoc(of.__doc__ or "")
    match = re.search(rf"^{name}:\n((?: {{4}}.*\n?|\n)+)", text, re.MULTILINE)
    if match is None:
        return {}
    found: dict[str, str] = {}
    last = ""
    for line in inspect.cleandoc(match[1]).splitlines():
        entry = re.match(r"([*\w, ]+): (.*)", line)
        if entry and not line.startswith(" "):
            last = entry[1]
            found[last] = entry[2]
        elif last:
            found[last] += " " + line.strip()
    return {name: markdown(text) for name, text in found.items()}


def markdown(text: str) -> str:
    """Write a docstring's quotes as Markdown's, and its trees as blocks."""
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
    text = re.sub(r"((?:^ {4}.*\n?)+)", _fenced, text, flags=re.MULTILINE)
    return text.strip()


def _fenced(match: re.Match[str]) -> str:
    return f"```text\n{inspect.cleandoc(match[1])}\n```\n"


def cell(text: str) -> str:
    """Write a text on one line of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a table; nothing if it has no rows."""
    lines = [f"| {' | '.join(map(cell, row))} |" for row in rows]
    if not lines:
        return []
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""]


def kind_name(kind: Any) -> str:
    """Write a Python type for a person."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is None or kind is type(None):
        return "None"
    if origin is typing.Annotated:
        return kind_name(inner[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_name(one) for one in inner))
    if origin is tuple:
        return f"list of {kind_name(inner[0])}"
    if origin is not None:
        return f"{kind_name(origin)} of {kind_name(inner[-1])}"
    if kind is Any:
        return "JSON"
    return str(getattr(kind, "__name__", kind))


def fields(struct: type[msgspec.Struct]) -> list[str]:
    """Write a struct's fields as a table."""
    said = section(struct, "Fields")
    hints = typing.get_type_hints(struct)
    rows = []
    for field in msgspec.structs.fields(struct):
        if field.name == "at" and field.name not in said:
            continue
        default = "required" if field.required else _plain(field)
        rows.append(
            [
                f"`{field.encode_name}`",
                kind_name(hints[field.name]),
                default,
                said.get(field.name, ""),
            ]
        )
    return table(["Field", "Type", "Default", "Meaning"], rows)


def _plain(field: Any) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return "–"
    value = field.default
    if value is None or value in ("", ()):
        return "–"
    return f"`{value}`" if isinstance(value, str) else str(value)
