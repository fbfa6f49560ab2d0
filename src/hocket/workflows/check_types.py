"""Finds values that a spec cannot have: a Python program can give a field anything.

A run that has one could be begun, and its journal could not be read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from hocket.core.errors import suggest

_WORDS: Final = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a text"),
)


def fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a type, as it would be read from a journal."""
    try:
        msgspec.convert(msgspec.to_builtins(value), kind)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def misfits(struct: msgspec.Struct) -> Iterator[tuple[str, str, str]]:
    """Find fields with values of another type: the field, what is wrong, what may be meant."""
    if fits(struct, type(struct)):
        return
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if fits(value, field.type):
            continue
        hint = suggest(value, _choices(field.type)) if isinstance(value, str) else ""
        yield field.name, f"{field.name} is {_wanted(field.type)}, not {_shown(value)}", hint


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(one) for one in get_args(kind)]
    return [choice for one in get_args(kind) for choice in _choices(one)]


def _wanted(kind: Any) -> str:
    """Say in words what a field may be."""
    if choices := _choices(kind):
        return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
    kinds = get_args(kind) or (kind,)
    words = [word for one, word in _WORDS if one in kinds]
    return " or ".join(words) or "something else"


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
