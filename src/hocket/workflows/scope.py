"""Moves texts into a nested plan: names of the outer plan become inputs of the nested one.

Texts are rewritten where they name something, and are the same otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec

from hocket.core.errors import ExprError
from hocket.core.expr import Reference, parse_expr
from hocket.core.specs import StepSpec
from hocket.core.template import parse_template
from hocket.core.values import Json

_KEPT: Final = ("run", "steps")
"""Roots that mean the same within."""
_NO_NAMES: Final[Mapping[str, str]] = {}


class Scope:
    """What names mean within a nested plan.

    Args:
        inside: The names of its own steps.
        own: Names that mean something of its own, and the expressions that they stand for.

    Attributes:
        captured: What is handed in from outside: templates by the names of the nested inputs.
    """

    def __init__(self, inside: AbstractSet[str], own: Mapping[str, str]) -> None:
        self.captured: dict[str, Json] = {}
        self._inside = inside
        self._own = own

    def step(self, step: StepSpec, names: Mapping[str, str] = _NO_NAMES) -> StepSpec:
        """Move a step; `names` are further names, and the expressions that they stand for."""
        changes: dict[str, Any] = {"input": self.tree(step.input, names)}
        for field in ("when", "each"):
            text = getattr(step, field)
            if text is not None:
                changes[field] = self.expr(text, names)
        if step.repeat is not None:
            until = self.expr(step.repeat.until, {**names, step.name: step.name})
            changes["repeat"] = msgspec.structs.replace(step.repeat, until=until)
        return msgspec.structs.replace(step, **changes)

    def tree(self, tree: Json, names: Mapping[str, str] = _NO_NAMES) -> Json:
        """Move the templates of a JSON tree."""
        if isinstance(tree, str):
            return self._moved(tree, True, names) if "{{" in tree else tree
        if isinstance(tree, list | tuple):
            return [self.tree(item, names) for item in tree]
        if isinstance(tree, dict):
            return {key: self.tree(item, names) for key, item in tree.items()}
        return tree

    def expr(self, text: str, names: Mapping[str, str] = _NO_NAMES) -> str:
        """Move an expression."""
        return self._moved(text, False, names)

    def _moved(self, text: str, is_template: bool, names: Mapping[str, str]) -> str:
        try:
            if is_template:
                found = [reference for _, reference in parse_template(text).references]
            else:
                found = list(parse_expr(text).references)
        except ExprError:
            # Whoever checks the nested plan says what is wrong with it.
            return text
        for reference in sorted(found, key=lambda reference: -reference.offset):
            start, root = reference.offset, reference.root
            text = text[:start] + self._meaning(reference, names) + text[start + len(root) :]
        return text

    def _meaning(self, reference: Reference, names: Mapping[str, str]) -> str:
        root = reference.root
        if root in names:
            return names[root]
        if root in self._inside or root in _KEPT:
            return root
        if root in self._own:
            return self._own[root]
        if root == "inputs" and len(reference.names) > 1:
            name = str(reference.names[1])
            return (
                root if name in self._own else self._hand_in(name, f"{{{{inputs.{name}}}}}", root)
            )
        name = f"outer-{root}"
        return self._hand_in(name, f"{{{{{root}}}}}", f"inputs.{name}")

    def _hand_in(self, name: str, outside: str, inside: str) -> str:
        if self.captured.setdefault(name, outside) != outside:
            raise ExprError(f"an input called {name!r} is in the way of a step's name: rename it")
        return inside
