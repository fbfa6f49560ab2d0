"""Opens the journal that is meant: by an address, by the environment, or in the state folder."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from hocket.core.errors import Refused
from hocket.journal.base import Store
from hocket.journal.sqlite import SqliteJournal

VARIABLE: Final = "HOCKET_JOURNAL"
"""Names the journal of all commands: an address, or ``@file`` that holds one."""

SCHEMES: Final = ("postgresql", "postgres")


def journal_address(given: str | None = None) -> str:
    """Give the address of the journal that is meant; "" for the one in the state folder.

    Args:
        given: What a user has said; else the variable ``HOCKET_JOURNAL`` counts.

    Raises:
        Refused: The file that is to hold it cannot be read.
    """
    said = os.environ.get(VARIABLE, "") if given is None else given
    if not said.startswith("@"):
        return said.strip()
    try:
        return Path(said[1:]).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"the journal's address cannot be read from {said[1:]}: {error}") from error


def open_journal(address: str, state: Path, lease: float) -> Store:
    """Open a journal; nothing is created or connected to before it is needed.

    Args:
        address: ``postgresql://user@host:port/database``; "" for the state folder's own file; a
            path for that of another state folder.
        state: The state folder.
        lease: Seconds after which another process may take a run over from this one if it gives no
            sign of life.

    Raises:
        Refused: Nothing of that kind is known, or a package is missing.
    """
    scheme, found, _ = address.partition("://")
    if not found:
        folder = Path(address).expanduser().absolute() if address else state
        return SqliteJournal(folder, lease=lease)
    if scheme not in SCHEMES:
        raise Refused(
            f"no journal can be kept at {scheme}://…: write postgresql://user@host:port/database, "
            "or the path of a state folder"
        )
    try:
        module = import_module("hocket.journal.postgres")
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise Refused(
            "a journal in PostgreSQL needs the package asyncpg: pip install 'hocket[postgres]'"
        ) from error
    return cast(Store, module.PostgresJournal(address, lease=lease))
