"""Where Hocket keeps what it knows: one state folder, shared by all processes of a user."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final, Protocol

from hocket.core.errors import NotFound, Refused
from hocket.journal.base import RunRow, Wanted
from hocket.journal.sql import LEASE

LAST: Final = "last"
"""What people call the newest run."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_NAMED = 5
"""So many runs are named where several could be meant."""
_LEAST_LEASE = 1.0
_MOST_LEASE = 3600.0
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def state_folder() -> Path:
    """Give the state folder: ``HOCKET_HOME``, else the user's folder for program state."""
    home = os.environ.get("HOCKET_HOME")
    if home:
        return Path(home).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "hocket"


def lease_seconds() -> float:
    """Give how long a silent owner keeps its runs: ``HOCKET_LEASE`` in seconds, else 15.

    Raises:
        Refused: The variable holds no such number.
    """
    given = os.environ.get("HOCKET_LEASE", "")
    if not given:
        return LEASE
    try:
        lease = float(given)
    except ValueError:
        lease = 0.0
    if not _LEAST_LEASE <= lease <= _MOST_LEASE:
        raise Refused(f"HOCKET_LEASE is {given!r}: write seconds, from 1 to 3600")
    return lease


def check_run_id(given: str) -> None:
    """Hold a chosen id to what can be typed and is a file's name everywhere.

    Raises:
        Refused: It is something else.
    """
    if not _ID.fullmatch(given) or given == LAST:
        raise Refused(
            f"{given[:100]!r} cannot be a run's id: use up to 80 letters, digits, '.', '_' and '-'"
        )


def new_run_id(name: str) -> str:
    """Make an id that a person can type: the plan's name and six random letters."""
    short = name[:24].strip("-_") or "run"
    return f"{short}-{''.join(secrets.choice(_LETTERS) for _ in range(6))}"


def new_seed() -> int:
    """Draw a seed for a run's jitter."""
    return secrets.randbits(32)


class Listed(Protocol):
    """A journal, as far as it takes to find a run in it."""

    def find(self, run: str) -> RunRow | None:
        """Give one run."""

    def runs(self, wanted: Wanted) -> list[RunRow]:
        """List runs, newest first."""


def find_row(journal: Listed, given: str) -> RunRow:
    """Give the run that is meant by its id, by an unambiguous beginning of it, or by ``last``.

    Raises:
        NotFound: No run is meant, or several could be.
    """
    row = journal.find(given)
    if row is not None:
        return row
    if given == LAST and (newest := journal.runs(Wanted(most=1))):
        return newest[0]
    meant = journal.runs(Wanted(beginning=given, most=_NAMED + 1)) if given else []
    if len(meant) == 1:
        return meant[0]
    if meant:
        names = ", ".join(row.id for row in meant[:_NAMED])
        raise NotFound(f"{given!r} could be {names}; write more of it")
    known = ", ".join(row.id for row in journal.runs(Wanted(most=3)))
    hint = f"; the newest are {known}" if known else "; there are none yet"
    raise NotFound(f"there is no run {given!r}{hint}")


def find_run(journal: Listed, given: str) -> str:
    """Give the id that is meant; see `find_row`.

    Raises:
        NotFound: No run is meant, or several could be.
    """
    return find_row(journal, given).id
