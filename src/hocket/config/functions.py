"""Names Python functions, so that a run that is resumed finds them again."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

from hocket.core.errors import Problem, SpecError

Function = Callable[..., Any]


def mistake(step: str, message: str, hint: str = "") -> SpecError:
    """Make the error of a step that cannot be built."""
    return SpecError([Problem(where=("steps", step), message=message, hint=hint)])


class Functions:
    """The functions of a plan, by reference.

    Attributes:
        live: Each function under its ``module:qualname``.
    """

    def __init__(self, closures: bool) -> None:
        self.live: dict[str, Function] = {}
        self._closures = closures
        self._names: dict[Function, str] = {}

    def name(self, step: str, function: Function) -> str:
        """Give the reference of a function.

        Raises:
            SpecError: A resumed run could not find it.
        """
        known = self._names.get(function)
        if known is not None:
            return known
        module = getattr(function, "__module__", None)
        qualname = getattr(function, "__qualname__", None)
        if module is None or qualname is None:
            kind = type(function).__name__
            raise mistake(step, f"a {kind} has no name of a function; def one that calls it")
        ref = f"{module}:{qualname}"
        if not _found(module, qualname, function):
            if not self._closures:
                raise mistake(
                    step,
                    f"a resumed run could not find {ref}: it stands for nothing at the top of "
                    "its module",
                    "def it there, or say Plan(…, closures=True) if only this program runs it",
                )
            ref = self._free(ref)
        self._names[function] = ref
        self.live[ref] = function
        return ref

    def _free(self, ref: str) -> str:
        number = 2
        free = ref
        while free in self.live:
            free, number = f"{ref}#{number}", number + 1
        return free

    def join(self, step: str, other: Functions) -> None:
        """Take over the functions of a nested plan.

        Raises:
            SpecError: Two functions have one name.
        """
        for ref, function in other.live.items():
            if self.live.setdefault(ref, function) is not function:
                raise mistake(step, f"two functions are called {ref}")
            self._names.setdefault(function, ref)


def _found(module: str, qualname: str, function: Function) -> bool:
    """Tell whether a reference leads to the function."""
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found is function


def by_name(
    step: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Name all arguments, which is the only way to give both kinds.

    Raises:
        SpecError: They do not fit the function, or one cannot be given by name.
    """
    try:
        signature = inspect.signature(function)
        bound = signature.bind_partial(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise mistake(step, f"the arguments do not fit {function.__qualname__}: {error}") from None
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            named.update(value)
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise mistake(step, f"{name!r} cannot be given by name: give all by position")
        else:
            named[name] = value
    return named


def result_type(function: Function) -> Any:
    """Give what a function returns, as annotated; `Any` if it is not, or cannot be read."""
    while hasattr(function, "func"):
        function = function.func
    try:
        return typing.get_type_hints(inspect.unwrap(function)).get("return", Any)
    except (NameError, TypeError, AttributeError):
        return Any
