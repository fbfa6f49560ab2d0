"""Which variables a command may be given in a file: names that there can be, and no secrets.

What stands in a file stands in the journal, so this is judged before a run begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hocket.core.errors import Problem

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SECRET = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)\Z", re.I)


def environment_problems(
    where: tuple[str | int, ...], env: Mapping[str, str], env_pass: Iterable[str]
) -> list[Problem]:
    """Find the names that no environment can have, and values that look like secrets."""
    problems: list[Problem] = []
    for name, value in env.items():
        if not _NAME.match(name):
            problems.append(_bad_name((*where, "env", name), name))
        elif "\0" in value:
            message = f"the value of {name} holds a NUL character"
            problems.append(Problem(where=(*where, "env", name), message=message))
        elif value and _SECRET.search(name):
            problems.append(
                Problem(
                    where=(*where, "env", name),
                    message=f"{name} looks like a secret, and the journal keeps what stands here",
                    hint=f"set it in the environment and write env_pass: [{name}]",
                )
            )
    for index, name in enumerate(env_pass):
        if not _NAME.match(name):
            problems.append(_bad_name((*where, "env_pass", index), name))
    return problems


def _bad_name(where: tuple[str | int, ...], name: str) -> Problem:
    return Problem(
        where=where,
        message=f"{name[:60]!r} is no name of an environment variable",
        hint="letters, digits and _, first no digit",
    )
