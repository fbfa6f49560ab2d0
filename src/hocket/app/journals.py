"""Opens the journal that is meant: by an address, by the environment, or in the state folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from hocket.app.state import lease_seconds, state_folder
from hocket.core.errors import Refused
from hocket.journal.address import Address, mistake_in, shown
from hocket.journal.base import Store
from hocket.journal.moves import SqlMoves
from hocket.journal.schema import FILE
from hocket.journal.sql import SqlJournal
from hocket.journal.sqlite import SqliteJournal

VARIABLE: Final = "HOCKET_JOURNAL"
"""Names the journal of all commands: an address, or ``@file`` that holds one."""

SCHEMES: Final = ("postgresql", "postgres")


def journal_address(given: str | None = None) -> str:
    """Give the address of the journal that is meant; "" for the one in the state folder.

    Args:
        given: What a user has said; else the variable ``HOCKET_JOURNAL`` counts.

    Raises:
        Refused: The file that is to hold it cannot be read, or it is no address.
    """
    said = _said(given)
    address = said
    if said.startswith("@"):
        try:
            address = Path(said[1:]).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(
                f"the journal's address cannot be read from {said[1:]}: {error}"
            ) from error
    mistake = mistake_in(address)
    if mistake:
        # No word of the address: there may be a password in it.
        raise Refused(f"that is no address of a journal: {mistake}, or the path of a state folder")
    return address


def _said(given: str | None) -> str:
    return (os.environ.get(VARIABLE, "") if given is None else given).strip()


def open_journal(given: str | None, state: Path, lease: float) -> Store:
    """Open a journal; nothing is created or connected to before it is needed.

    Args:
        given: ``postgresql://user@host:port/database``; "" for the state folder's own file; a
            path for that of another state folder; ``@file`` for one that holds any of these, and
            is read again for each connection. None for what ``HOCKET_JOURNAL`` says.
        state: The state folder.
        lease: Seconds after which another process may take a run over from this one if it gives no
            sign of life.

    Raises:
        Refused: Nothing of that kind is known, its file cannot be read, or a package is missing.
    """
    said = _said(given)
    address = journal_address(said)
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
    again = partial(journal_address, said) if said.startswith("@") else None
    return cast(Store, module.PostgresJournal(Address(address, again), lease=lease))


class Place:
    """A journal that is open, and how it is called.

    Attributes:
        journal: The journal.
        kind: ``sqlite`` or ``postgresql``.
        name: What it is called where anybody may read it.
    """

    def __init__(self, journal: SqlJournal, kind: str, name: str) -> None:
        self.journal: Final = journal
        self.kind: Final = kind
        self.name: Final = name

    def is_same(self, other: Place) -> bool:
        """Tell whether two addresses lead to one journal: what is left in one is in the other."""
        here, there, word = SqlMoves(self.journal), SqlMoves(other.journal), secrets.token_hex(16)
        there.mark(word)
        try:
            return here.has_mark(word)
        finally:
            there.unmark(word)


@contextmanager
def opened(given: str) -> Iterator[Place]:
    """Open the journal of an address, of a state folder, or with "" the one that is meant.

    Args:
        given: ``postgresql://…``, a folder, its file, or ``@file`` with such an address.

    Raises:
        Refused: Nothing of that kind is known, or a package is missing.
    """
    address = journal_address(given or None)
    folder = Path(address).expanduser().absolute() if address else state_folder()
    if folder.name == FILE:
        folder = folder.parent
    remote = "://" in address
    journal = open_journal(given or None if remote else str(folder), folder, lease_seconds())
    assert isinstance(journal, SqlJournal)
    kind, name = ("postgresql", shown(address)) if remote else ("sqlite", str(folder))
    try:
        yield Place(journal, kind, name)
    finally:
        journal.close()
