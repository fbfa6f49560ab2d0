"""What an agent is given from outside: its options, checked, and an environment, allow-listed.

A child process never inherits Hocket's environment: keys of model providers stand in it.
No value is ever logged, shown or put into an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hocket.config.environment import environment_problems
from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.values import Json

__all__ = ["ALLOWED", "child_environment", "environment_problems", "read_options"]

ALLOWED = ("PATH", "HOME", "LANG", "TERM", "TMPDIR", "TZ", "USER", "SHELL")
"""What every child gets, if Hocket has it; and all that begins with ``LC_``."""


def child_environment(
    env: Mapping[str, str] | None = None,
    env_pass: Iterable[str] = (),
    *,
    source: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Make the environment of a child process.

    Args:
        env: Names and values to set; they win.
        env_pass: Names to hand on from Hocket's own environment; what is not set there is left out.
        source: Hocket's own environment, if it is not the process's.
    """
    own = os.environ if source is None else source
    names = {*ALLOWED, *env_pass}
    made = {name: value for name, value in own.items() if name in names or name.startswith("LC_")}
    made.update(env or {})
    return made


def read_options(
    where: tuple[str | int, ...], options: Mapping[str, Json], types: Mapping[str, Any]
) -> dict[str, Any]:
    """Check options by name and type, and give those that are set.

    Args:
        where: The path of keys to the options, for the problems.
        options: What the operator wrote.
        types: The type of each option that there is.

    Raises:
        SpecError: An option is unknown or of the wrong type; it carries every such problem.
    """
    problems: list[Problem] = []
    read: dict[str, Any] = {}
    for name, value in options.items():
        if name not in types:
            hint = suggest(name, types) or "the options are " + ", ".join(types)
            problems.append(
                Problem(where=(*where, name), message=f"unknown option {name!r}", hint=hint)
            )
            continue
        try:
            read[name] = msgspec.convert(value, types[name])
        except msgspec.ValidationError as error:
            problems.append(Problem(where=(*where, name), message=_lower(str(error))))
    if problems:
        raise SpecError(problems)
    return read


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
