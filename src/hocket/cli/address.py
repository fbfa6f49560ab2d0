"""The option ``--journal`` of all commands: which journal is meant, instead of the variable."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hocket.core.errors import NotFound, Refused

OPTION: Final = "--journal"
VARIABLE: Final = "HOCKET_JOURNAL"
FILE: Final = "journal.sqlite"
"""As `hocket.journal.schema` has it, which takes long to import."""


def split(tokens: Sequence[str]) -> tuple[list[str], str | None]:
    """Take the option out of a command line, wherever it stands before a ``--``.

    Raises:
        Refused: It has no value, or is there twice.
    """
    rest: list[str] = []
    found: list[str] = []
    items = iter(tokens)
    for token in items:
        if token == "--":
            rest += (token, *items)
        elif token == OPTION:
            found.append(next(items, ""))
        elif token.startswith(f"{OPTION}="):
            found.append(token.partition("=")[2])
        else:
            rest.append(token)
    if len(found) > 1:
        raise Refused(f"{OPTION} is there twice")
    if found and (not found[0] or found[0].startswith("--")):
        raise Refused(
            f"{OPTION} needs an address: postgresql://user@host/database, the path of a state "
            "folder, or @FILE with one of them"
        )
    return rest, found[0] if found else None


def missing() -> str:
    """Say where no journal is, though one was named; "" if it is there, and of a database.

    Only what reads a journal is to ask: a run begins one wherever it is told to.
    """
    named = os.environ.get(VARIABLE, "").strip()
    folder = named or os.environ.get("HOCKET_HOME", "")
    if not folder or folder.startswith("@") or "://" in folder:
        return ""
    path = Path(folder).expanduser().absolute()
    return "" if (path / FILE).exists() else f"there is no journal at {path}"


def check_there() -> None:
    """See that the journal is there that ``--journal`` or its variable names.

    Raises:
        NotFound: It is not.
    """
    if os.environ.get(VARIABLE, "").strip() and (told := missing()):
        raise NotFound(told)


@contextmanager
def meant(address: str | None) -> Iterator[None]:
    """Have a journal meant by all that happens within; None for the one that is meant anyhow."""
    if address is None:
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = address
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
