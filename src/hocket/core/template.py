"""Texts with ``{{expr}}`` inside, anywhere in a JSON tree.

A text that is one template and nothing else keeps the value's type; otherwise values are written
into the text: texts as they are, null as nothing, the rest as JSON.
A literal ``{{`` is written ``{{ '{{' }}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from hocket.core.errors import ExprError
from hocket.core.expr import Expr, Lookup, Reference, parse_embedded
from hocket.core.values import Json

Place: TypeAlias = tuple[str | int, ...]
_Render: TypeAlias = Callable[[Lookup], Json]
_encode = msgspec.json.Encoder().encode


class Template(msgspec.Struct, frozen=True):
    """A parsed tree of templates.

    Fields:
        references: Every name read, each with the place of its text in the tree.
        render: Computes the tree from a lookup of root names; raises `ExprError`.
    """

    references: tuple[tuple[Place, Reference], ...]
    render: _Render


class TemplateError(ExprError):
    """A template cannot be read; `place` says which text of the tree it is in."""

    def __init__(self, error: ExprError, place: Place) -> None:
        super().__init__(str(error), error.offset, error.hint)
        self.place = place


def parse_template(tree: Json) -> Template:
    """Read all templates of a JSON tree.

    Raises:
        TemplateError: One cannot be read.
    """
    references: list[tuple[Place, Reference]] = []
    render = _parse(tree, (), references)
    if render is None:
        return Template((), lambda lookup: tree)
    return Template(tuple(references), render)


def show(value: Json) -> str:
    """Write a value into a text as templates do."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()


def _parse(tree: Json, place: Place, found: list[tuple[Place, Reference]]) -> _Render | None:
    """Give a tree's renderer, or None if nothing in it is a template."""
    if isinstance(tree, str):
        return _parse_text(tree, place, found) if "{{" in tree else None
    if isinstance(tree, list):
        items = [(_parse(item, (*place, i), found), item) for i, item in enumerate(tree)]
        if all(render is None for render, _ in items):
            return None
        return lambda lookup: [item if f is None else f(lookup) for f, item in items]
    if isinstance(tree, dict):
        pairs = [(key, _parse(item, (*place, key), found), item) for key, item in tree.items()]
        if all(render is None for _, render, _ in pairs):
            return None
        return lambda lookup: {k: item if f is None else f(lookup) for k, f, item in pairs}
    return None


def _parse_text(text: str, place: Place, found: list[tuple[Place, Reference]]) -> _Render:
    parts: list[str | Expr] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        try:
            expr, position = parse_embedded(text, start + 2)
        except ExprError as error:
            raise TemplateError(error, place) from error
        parts.append(expr)
        found.extend((place, reference) for reference in expr.references)
    if position < len(text):
        parts.append(text[position:])
    if len(parts) == 1 and isinstance(parts[0], Expr):
        return parts[0].evaluate
    return lambda lookup: "".join(
        part if isinstance(part, str) else show(part.evaluate(lookup)) for part in parts
    )
