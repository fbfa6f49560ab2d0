"""What a PostgreSQL server's refusals mean, and what to do about each."""

from __future__ import annotations

import ssl

import asyncpg

from hocket.journal.address import FORM
from hocket.journal.postgres_connection import SCHEMA


def said_in(error: Exception) -> str:
    """Give what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def explained(error: Exception, where: str, *, reading: bool, tls: bool) -> str:
    """Say what is wrong and what to do; "" if it is none of what has one remedy.

    Args:
        error: What the driver has raised.
        where: The database, without what is secret.
        reading: Whether it was only to be read.
        tls: Whether the address says something of TLS.
    """
    said = said_in(error)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return (
            f"{where} does not let us in ({said}): check the user, and the password in PGPASSWORD, "
            "~/.pgpass or the file that holds the address"
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"there is no database at {where} ({said}): make it with createdb"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        if reading:
            return f"{where} does not let us read ({said}): {_rights('SELECT')}"
        needed = _rights("SELECT, INSERT, UPDATE, DELETE")
        return (
            f"{where} does not let us write ({said}): {needed}; who makes the tables needs CREATE "
            "on the database"
        )
    if isinstance(error, asyncpg.UndefinedTableError):
        return (
            f"{where} does not show us its tables ({said}): {_rights('SELECT')}; or restore them "
            "from a copy if they were removed"
        )
    if isinstance(error, asyncpg.UndefinedColumnError):
        return (
            f"{where} has tables that are not Hocket's in its schema {SCHEMA} ({said}): have the "
            "journal in a database of its own"
        )
    if _is_of_tls(error, tls):
        return (
            f"no connection with TLS to {where} ({said}): check sslmode and sslrootcert in its "
            "address, the files that they name, and ssl on the server"
        )
    if isinstance(error, asyncpg.ClientConfigurationError):
        return f"the address of {where} asks for what cannot be ({said}): mend what is after its ?"
    if isinstance(error, asyncpg.DataError):
        return f"{where} cannot hold that ({said}): leave such characters out"
    if isinstance(error, ValueError):
        return f"{where} is no address of a database: write {FORM}"
    return ""


def _rights(needed: str) -> str:
    return (
        f"work as the owner of schema {SCHEMA}, or GRANT the user USAGE on it and {needed} on its "
        "tables"
    )


def _is_of_tls(error: Exception, tls: bool) -> bool:
    if isinstance(error, FileNotFoundError | PermissionError):
        # The driver does not say which file; a socket of the system is one, too.
        return tls
    if isinstance(error, ssl.SSLError):
        return True
    said = str(error)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return "certificate" in said or "ssl" in said.lower()
    return isinstance(error, ConnectionError) and "SSL" in said
