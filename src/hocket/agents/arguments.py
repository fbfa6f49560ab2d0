"""Finds functions by name, and turns JSON into the arguments that their annotations ask for.

Plain annotations cost nothing and import nothing; pydantic is loaded only for those that need it.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import importlib
import inspect
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hocket.agents.base import Context
from hocket.agents.output import DETAIL, clip, fault
from hocket.core.errors import suggest
from hocket.core.values import FileRef, Json, is_file

_ATOMS = (str, int, float, bool, None, type(None), object, Any, inspect.Parameter.empty)
_CONTAINERS = (
    list,
    dict,
    collections.abc.Sequence,
    collections.abc.Mapping,
    collections.abc.Iterable,
    collections.abc.Collection,
)

Convert = Callable[[Json], Any]


def find_function(ref: str) -> Any:
    """Import what ``module:qualname`` names.

    Raises:
        AgentError: ``permanent``: it cannot be imported, or there is no such name.
    """
    module_name, _, qualname = ref.partition(":")
    if "<" in qualname:
        raise fault(
            "permanent",
            f"{ref!r} was defined inside another function, or is a lambda; "
            "only the program that defined it can run it",
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        raise fault("permanent", f"{ref!r} cannot be imported: no module {missing!r}") from None
    except Exception as error:
        message = f"{ref!r} cannot be imported: {type(error).__name__}: {error}"
        raise fault("permanent", message, traceback.format_exc()[-DETAIL:]) from None
    for name in qualname.split("."):
        inside = found
        found = getattr(inside, name, None)
        if found is None:
            hint = suggest(name, (word for word in dir(inside) if not word.startswith("_")))
            where = module_name if inspect.ismodule(inside) else f"{module_name}:{qualname}"
            hint = f"; {hint}" if hint else ""
            raise fault("permanent", f"there is no {name!r} in {where}{hint}")
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """How JSON becomes the arguments of one function.

    Fields:
        context: The parameter that gets the context, or "".
        names: The parameters that take a positional value, without the context.
        by_name: Whether each of those can be given by name.
        converts: What to do with an argument that is not plain.
        paths: The parameters that are paths: a stored file is fetched for them.
    """

    context: str
    names: tuple[str, ...]
    by_name: bool
    converts: Mapping[str, Convert]
    paths: frozenset[str]

    @property
    def plain(self) -> bool:
        """Whether JSON can be passed as it is."""
        return not (self.context or self.converts)

    async def bind(
        self, args: tuple[Json, ...], kwargs: dict[str, Json], context: Context
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make the arguments.

        Raises:
            AgentError: ``permanent``: a value does not fit its annotation.
        """
        if self.context in kwargs:
            raise fault("permanent", f"the argument {self.context!r} is Hocket's to give")
        bound = [
            await self._convert(self.names[place], value, context)
            if place < len(self.names)
            else value
            for place, value in enumerate(args)
        ]
        named = {name: await self._convert(name, value, context) for name, value in kwargs.items()}
        if self.context:
            if self.by_name and len(bound) <= len(self.names):
                # A context among the positional ones would shift them.
                clash = [name for name in self.names[: len(bound)] if name in named]
                if not clash:
                    named.update(zip(self.names, bound, strict=False))
                    bound = []
            named[self.context] = context
        return tuple(bound), named

    async def _convert(self, name: str, value: Json, context: Context) -> Any:
        convert = self.converts.get(name)
        if convert is None:
            return value
        if name in self.paths and is_file(value):
            return await context.fetch(msgspec.convert(value, FileRef))
        try:
            return convert(value)
        except ValueError as error:
            text = clip(" ".join(str(error).split()))
            raise fault("permanent", f"the argument {name!r} does not fit: {text}") from None


def read_signature(function: Any) -> Signature:
    """Look at a function once.

    Raises:
        AgentError: ``permanent``: an annotation cannot be used, or the context is positional-only.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # Some functions written in C have no signature; they get what they are given.
        return Signature("", (), False, {}, frozenset())
    hints = _hints(function)
    context = ""
    names: list[str] = []
    by_name = True
    converts: dict[str, Convert] = {}
    paths: set[str] = set()
    for parameter in parameters:
        hint = hints.get(parameter.name, Any)
        if hint is Context:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise fault("permanent", f"{parameter.name!r} must not be positional-only")
            context = parameter.name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
            by_name = by_name and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if not _is_plain(hint):
            converts[parameter.name] = _converter(parameter.name, hint)
            if hint is Path:
                paths.add(parameter.name)
    return Signature(context, tuple(names), by_name, converts, frozenset(paths))


def _hints(function: Any) -> dict[str, Any]:
    while hasattr(function, "func"):
        function = function.func
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function).__call__
    if inspect.isclass(function):
        function = function.__init__
    function = inspect.unwrap(function)
    scope = getattr(function, "__globals__", None)
    hints: dict[str, Any] = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        # One by one: a name that only a type checker sees must not spoil the others.
        one = types.SimpleNamespace(__annotations__={name: hint})
        try:
            hints[name] = typing.get_type_hints(one, scope, include_extras=True)[name]
        except Exception:
            unseen_context = isinstance(hint, str) and hint.rpartition(".")[2] == "Context"
            hints[name] = Context if unseen_context else Any
    return hints


def _is_plain(hint: Any) -> bool:
    """Whether every JSON value that fits the annotation can be passed as it is."""
    if any(hint is atom for atom in _ATOMS) or hint in _CONTAINERS:
        return True
    if isinstance(hint, str | typing.TypeVar) or typing.is_typeddict(hint):
        return True
    if isinstance(hint, typing.NewType):
        return _is_plain(hint.__supertype__)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return True
    if origin is typing.Union or origin is types.UnionType or origin in _CONTAINERS:
        return all(map(_is_plain, typing.get_args(hint)))
    return False


def _converter(name: str, hint: Any) -> Convert:
    if _has_struct(hint):
        return lambda value: msgspec.convert(value, hint)
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(hint).validate_python
    except (PydanticUserError, TypeError, NameError) as error:
        text = clip(str(error).splitlines()[0])
        message = f"the annotation of {name!r} cannot be used for JSON: {text}"
        raise fault("permanent", message) from None


def _has_struct(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, msgspec.Struct):
        return True
    return any(map(_has_struct, typing.get_args(hint)))
