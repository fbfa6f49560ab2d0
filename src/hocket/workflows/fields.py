"""Tells from a step's output schema whether a field that a template asks for can be there.

Pure, and silent wherever a schema leaves room: only what can never be there is a problem.
"""

from __future__ import annotations

from typing import Final

from hocket.core.errors import suggest
from hocket.core.specs import StepSpec
from hocket.core.values import Json

GATHERED: Final = ("there", "missing", "skipped")
"""What a step that gathers gives."""

_SCALARS = {
    "string": "text",
    "integer": "a number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def fields_problem(
    step: StepSpec, fields: tuple[str | int, ...], said: str, *, each: bool = True
) -> tuple[str, str] | None:
    """Say what is wrong with asking a step's output for fields, as far as its schema tells.

    `each` says whether the outputs of all items are meant, for a step that has several.
    """
    if not fields or step.kind == "approve":
        return None
    if each and step.each is not None:
        if not isinstance(fields[0], int):
            return f"{said!r} gives a list, one output for each item; it has no {fields[0]!r}", ""
        said, fields = f"{said}.{fields[0]}", fields[1:]
    node: Json = step.output
    if step.kind == "gather":
        return None if fields[0] in GATHERED else _no_field(said, fields[0], list(GATHERED))
    if step.kind == "plan" and step.plan is not None and node is None:
        return _template_problem(step.plan.output, fields, said)
    for field in fields:
        node = _resolved(node, step.output)
        if not isinstance(node, dict):
            return None
        kind = node.get("type")
        if kind in _SCALARS:
            return f"{said!r} is {_SCALARS[kind]} and has no field {field!r}", ""
        if kind == "array":
            if not isinstance(field, int):
                return f"{said!r} is a list and has no field {field!r}", ""
            node = node.get("items")
        elif kind == "object":
            known = node.get("properties", {})
            if field not in known:
                closed = node.get("additionalProperties") is False
                if not closed or "patternProperties" in node:
                    return None
                return _no_field(said, field, list(known))
            node = known[field]
        else:
            return None
        said = f"{said}.{field}"
    return None


def _template_problem(
    output: Json, fields: tuple[str | int, ...], said: str
) -> tuple[str, str] | None:
    """Do the same for a nested plan, whose output is a tree of templates."""
    for field in fields:
        if not isinstance(output, dict):
            return None
        if field not in output:
            return _no_field(said, field, list(map(str, output)))
        said, output = f"{said}.{field}", output[field]
    return None


def _no_field(said: str, field: str | int, known: list[str]) -> tuple[str, str]:
    there = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return f"{said!r} has no field {field!r}; it has {there or 'none'}", suggest(str(field), known)


def _resolved(node: Json, root: Json) -> Json:
    """Follow local references of a JSON Schema, a bounded number of times."""
    for _ in range(20):
        if not isinstance(node, dict) or "$ref" not in node:
            return node
        target: Json = root
        for part in str(node["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target.get(part) if isinstance(target, dict) else None
        node = target
    return None
