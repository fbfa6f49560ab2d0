"""What calls need of a machine, as a Python program says it, and what files know of it as well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.specs import PlaceSpec

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(kB|KB|MB|GB|TB)")
_UNITS: Final = {"kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")


class Place(TypedDict, total=False):
    """Says what calls need of the machine that does them, on a cluster."""

    gpu: float
    cpu: float
    memory: int | str
    tag: str | Sequence[str]


def read_size(value: Any) -> Any:
    """Read ``16GB``; what is no text stays as it is.

    Raises:
        ValueError: It is a text that says no size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is no size: write a number of bytes, or a text like 16GB")
    return round(float(match[1]) * _UNITS[match[2]])


def check_gpu(value: float) -> float:
    """See that several GPUs are whole ones.

    Raises:
        ValueError: They are not.
    """
    if value > 1 and value != int(value):
        raise ValueError("more than one GPU is a whole number of them")
    return value


def check_tags(value: Sequence[str]) -> list[str]:
    """See that tags can be told to a node.

    Raises:
        ValueError: One cannot.
    """
    for tag in value:
        if not _TAG.fullmatch(tag):
            raise ValueError(f"{tag!r} is no tag: use letters, digits, '.', '_', '/' and '-'")
    return list(value)


def place_spec(gpu: float, cpu: float, memory: int, tags: Sequence[str]) -> PlaceSpec | None:
    """Give what is needed as a spec has it; None if nothing is."""
    spec = PlaceSpec(gpu=gpu, cpu=cpu, memory=memory, tags=tuple(sorted(set(tags))))
    return None if spec == PlaceSpec() else spec


def read_place(where: tuple[str | int, ...], given: object) -> PlaceSpec | None:
    """Read what is needed, as ``{"gpu": 1, "tag": "has-claude"}``; None if nothing is.

    Raises:
        SpecError: It says something else.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise _mistake(where, "a place is a mapping with gpu, cpu, memory and tag")
    for key in given:
        if key not in Place.__annotations__:
            hint = suggest(str(key), Place.__annotations__)
            raise _mistake(where, f"unknown key {key!r}", hint)
    tags = given.get("tag", ())
    tags = [tags] if isinstance(tags, str) else tags
    try:
        gpu = check_gpu(_amount("gpu", given.get("gpu", 0)))
        memory = _amount("memory", read_size(given.get("memory", 0)))
        if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
            raise ValueError("tag is a text, or a list of texts")
        return place_spec(gpu, _amount("cpu", given.get("cpu", 0)), int(memory), check_tags(tags))
    except ValueError as error:
        raise _mistake(where, str(error)) from None


def _amount(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{name} is a number that is at least 0, not {value!r}")
    return value


def _mistake(where: tuple[str | int, ...], message: str, hint: str = "") -> SpecError:
    return SpecError([Problem(where=where, message=message, hint=hint)])
