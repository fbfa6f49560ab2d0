"""Lists runs as the journal's database has them, without reading those that nobody asked for."""

from __future__ import annotations

from typing import Final

from hocket.core.errors import CallerError
from hocket.journal.base import RunRow, Wanted
from hocket.journal.owner import Owner
from hocket.journal.schema import Database, Parameter, integer, text
from hocket.journal.store import ROWS, padded, row_of
from hocket.journal.texts import is_text

COUNTS: Final = "SELECT r.status, count(*) FROM runs AS r"
CHOSEN: Final = "SELECT r.key FROM runs AS r"
NEWEST: Final = "ORDER BY r.created DESC, r.key DESC"

_Conditions = tuple[list[str], list[Parameter]]


def rows(db: Database, wanted: Wanted, me: Owner, before: int) -> list[RunRow]:
    """List runs, newest first.

    Raises:
        CallerError: What is sought cannot be in any of them.
    """
    conditions, values = _conditions(wanted)
    if wanted.before is not None:
        created, run = wanted.before
        _see_text(run)
        # Of runs that began at once the key says which is newer; one that was removed had none.
        conditions.append(
            "(r.created < ? OR (r.created = ? AND r.key < (SELECT key FROM runs WHERE id = ?)))"
        )
        values += (created, created, run)
    # Which they are is found out first: a row's events are not looked at in vain.
    chosen = f"{CHOSEN}{_where(conditions)} {NEWEST}"
    if wanted.most is not None:
        chosen = f"{chosen} LIMIT ?"
        values.append(wanted.most)
    sql = f"{ROWS} WHERE r.key IN ({chosen}) {NEWEST}"
    return [row_of(row, me, before) for row in db.execute(sql, tuple(values)).fetchall()]


def counts(db: Database, wanted: Wanted) -> dict[str, int]:
    """Count runs by their status."""
    conditions, values = _conditions(wanted)
    found = db.execute(f"{COUNTS}{_where(conditions)} GROUP BY r.status", tuple(values)).fetchall()
    return {text(status): integer(count) for status, count in found}


def _see_text(sought: str) -> None:
    if not is_text(sought):
        raise CallerError(f"{sought!r} cannot be sought: no run's id or name holds such characters")


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _conditions(wanted: Wanted) -> _Conditions:
    conditions: list[str] = []
    values: list[Parameter] = []
    if wanted.beginning and not is_text(wanted.beginning):
        # No id begins so.
        conditions.append("1 = 0")
    elif wanted.beginning:
        conditions.append("substr(r.id, 1, ?) = ?")
        values += (len(wanted.beginning), wanted.beginning)
    if wanted.sought:
        _see_text(wanted.sought)
        conditions.append("(lower(r.id) LIKE ? ESCAPE '!' OR lower(r.name) LIKE ? ESCAPE '!')")
        values += [_inside(wanted.sought)] * 2
    if wanted.since is not None:
        conditions.append("r.created >= ?")
        values.append(wanted.since)
    also, but = _padded(wanted.also), _padded(wanted.but)
    status = f"r.status IN ({_marks(wanted.status)})"
    if also:
        status = f"({status} OR r.id IN ({_marks(also)}))"
    if wanted.status:
        conditions.append(status)
        values += (*wanted.status, *also)
    if but:
        conditions.append(f"r.id NOT IN ({_marks(but)})")
        values += but
    return conditions, values


def _padded(ids: tuple[str, ...]) -> tuple[str, ...]:
    """Repeat the last one, so that few different statements are prepared."""
    return (*ids, *ids[-1:] * (padded(len(ids)) - len(ids)))


def _marks(values: tuple[str, ...]) -> str:
    return ",".join("?" * len(values))


def _inside(sought: str) -> str:
    """Give the pattern of what holds a text anywhere."""
    escaped = sought.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"
