"""What the Python builder hands out: a step, and a value inside one, both typed.

A handle passed to a later step is the dependency; in an f-string it becomes a template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar

T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")

_WORD = re.compile(r"[A-Za-z_][\w-]*\Z|\d+\Z")


def _field(expr: str, name: str | int) -> str:
    text = str(name)
    if _WORD.match(text):
        return f"{expr}.{text}"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{expr}["{escaped}"]'


def _refuse_iteration(handle: object) -> NoReturn:
    raise TypeError(f"{handle!r} stands for a value that is not there yet; use plan.map")


@dataclass(frozen=True, slots=True)
class Approval:
    """The output of an approval step.

    Attributes:
        approved: Whether the person said yes; a no fails the step.
        by: Who said so; "nobody" where no answer counts as a yes.
        note: What they said beside it.
    """

    approved: bool
    by: str
    note: str


class Ref(Generic[T_co]):
    """A value that will be there when the run is: an input, an item, or a field of an output.

    Attributes:
        expr: How expressions and templates call it.
    """

    __slots__ = ("_plan", "expr")

    def __init__(self, plan: object, expr: str) -> None:
        self._plan = plan
        self.expr = expr

    def __getitem__(self, name: str | int) -> Ref[Any]:
        return Ref(self._plan, _field(self.expr, name))

    def __iter__(self) -> NoReturn:
        _refuse_iteration(self)

    def __str__(self) -> str:
        return f"{{{{{self.expr}}}}}"

    def __repr__(self) -> str:
        return f"Ref({self.expr!r})"


class Step(Generic[T_co]):
    """A step of a plan, and its output once it has run.

    Attributes:
        name: What the step is called.
    """

    __slots__ = ("_plan", "name")

    def __init__(self, plan: object, name: str) -> None:
        self._plan = plan
        self.name = name

    @property
    def expr(self) -> str:
        """How expressions and templates call its output."""
        return self.name

    def __getitem__(self, name: str | int) -> Ref[Any]:
        return Ref(self._plan, _field(self.name, name))

    def __iter__(self) -> NoReturn:
        _refuse_iteration(self)

    def __str__(self) -> str:
        return f"{{{{{self.name}}}}}"

    def __repr__(self) -> str:
        return f"Step({self.name!r})"


Handle: TypeAlias = Step[Any] | Ref[Any]

Arg: TypeAlias = A | Step[A] | Ref[A]
"""A value, or a handle of one that will be there."""


def owner(handle: Step[Any] | Ref[Any]) -> object:
    """Give the plan that a handle belongs to."""
    return handle._plan
