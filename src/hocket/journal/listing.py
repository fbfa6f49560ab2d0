"""Lists runs as the journal's database has them, without reading those that nobody asked for."""

from __future__ import annotations

from typing import Final

from hocket.core.errors import CallerError
from hocket.journal.base import RunRow, Wanted
from hocket.journal.codec import row_time
from hocket.journal.owner import Owner, is_gone, owner_in
from hocket.journal.schema import Database, Parameter, Row, integer, one, text
from hocket.journal.store import padded
from hocket.journal.texts import is_text

# The instant of the last event stands at the beginning of its row.
ROWS: Final = """
SELECT r.id, r.name, r.status, r.created, o.host, o.pid, o.start, o.boot, o.lease_until,
    coalesce((SELECT max(n) FROM events WHERE run = r.key), 0),
    coalesce((SELECT substr(data, 1, 80) FROM events WHERE run = r.key ORDER BY n DESC LIMIT 1),
             '')
FROM runs AS r LEFT JOIN owners AS o ON o.key = r.owner"""
RUN: Final = f"{ROWS} WHERE r.id = ?"
NEIGHBOURS: Final = """
SELECT key, host, pid, start, boot, lease_until FROM owners WHERE host = ? AND lease_until >= ?"""
ORPHANS: Final = f"""{ROWS} JOIN hosted AS h ON h.run = r.id
WHERE r.status = 'running' AND (o.key IS NULL OR o.lease_until < ? OR o.key IN ({{dead}}))
ORDER BY r.created, r.id LIMIT ?"""
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
    return [_row_of(row, me, before) for row in db.execute(sql, tuple(values)).fetchall()]


def counts(db: Database, wanted: Wanted) -> dict[str, int]:
    """Count runs by their status."""
    conditions, values = _conditions(wanted)
    found = db.execute(f"{COUNTS}{_where(conditions)} GROUP BY r.status", tuple(values)).fetchall()
    return {text(status): integer(count) for status, count in found}


def find(db: Database, id: str, me: Owner, before: int) -> RunRow | None:
    """Give one run as a list shows it."""
    row = one(db.execute(RUN, (id,))) if is_text(id) else None
    return None if row is None else _row_of(row, me, before)


def orphans(db: Database, me: Owner, before: int, most: int) -> list[RunRow]:
    """Give runs that servers are to drive and nobody does, oldest first."""
    neighbours = db.execute(NEIGHBOURS, (me.host, before)).fetchall()
    # Each process is looked at once, however many runs it owns. Nobody has the key -1.
    dead = [integer(key) for key, *owner in neighbours if is_gone(*owner_in(owner), before, me)]
    sql = ORPHANS.format(dead=",".join(map(str, dead or [-1])))
    found = (_row_of(row, me, before) for row in db.execute(sql, (before, most)).fetchall())
    return [row for row in found if not row.alive]


def _row_of(columns: Row, me: Owner, before: int) -> RunRow:
    """Read the columns of `ROWS`."""
    id, name, status, created, *owner, count, last = columns
    holder, lease_until = owner_in(owner)
    return RunRow(
        id=text(id),
        name=text(name),
        status=text(status),
        created=integer(created),
        updated=row_time(text(last)),
        events=integer(count),
        owner=str(holder),
        alive=not is_gone(holder, lease_until, before, me),
    )


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
