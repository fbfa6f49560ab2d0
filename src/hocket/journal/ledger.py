"""What the ledger of shared limits does to its file: each operation with its SQL.

Nothing here knows a thread or an event loop, and whoever calls is in a transaction.
Every transaction that changes something has a tick of its own, and the rows that it touches carry
it: so each process can ask for what has changed since the tick up to which it was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from hocket.core.values import SECOND
from hocket.journal.owner import Owner, owner_in
from hocket.journal.schema import Database, Parameter, integer, one, text
from hocket.limits.claim import Claim, Entry, Key
from hocket.limits.turns import STALE, Want, room_in

RESERVED: Final = 0
CLAIMED: Final = 1
OVER: Final = 2
GONE: Final = 3
"""The states of a row, in their order. What is gone counts as if it had never been."""

NOBODY: Final = 0
"""The owner of what was buried: it is told to everyone."""

GRACE: Final = 60 * SECOND
"""For how long a row stays after its end, so that all processes have been told of it."""

TICK: Final = "SELECT tick, purged FROM ledger_tick"
ADVANCE: Final = "UPDATE ledger_tick SET tick = tick + 1 RETURNING tick, purged"
# Lists come as one JSON parameter, so that one statement is prepared for all lengths.
RESERVE: Final = f"""
INSERT OR REPLACE INTO ledger
    (call, name, owner, state, units, claim, sent, keep, born, changed, until)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), ?1, {RESERVED},
    json_extract(value, '$[2]'), json_extract(value, '$[3]'), NULL, json_extract(value, '$[4]'),
    ?2, ?2, NULL
FROM json_each(?3)"""
LOCK: Final = "SELECT 'ledger'"
CLAIM: Final = f"""
UPDATE ledger SET state = {CLAIMED}
WHERE call IN (SELECT value FROM json_each(?)) AND state = {RESERVED} RETURNING call"""
# A plus keeps an index out that would have all open rows looked at.
SENT: Final = f"""
UPDATE ledger SET sent = v.at, changed = ?1
FROM (SELECT json_extract(value, '$[0]') AS call, json_extract(value, '$[1]') AS at
      FROM json_each(?3)) AS v
WHERE ledger.call = v.call AND +owner = ?2 AND +state < {OVER} AND sent IS NULL"""
SETTLE: Final = f"""
UPDATE ledger SET state = {OVER}, claim = v.claim, sent = coalesce(v.at, sent, v.now),
    clear = v.clear, changed = ?1,
    until = max(coalesce(v.at, sent, v.now) + keep, v.now + {GRACE})
FROM (SELECT json_extract(value, '$[0]') AS call, json_extract(value, '$[1]') AS name,
             json_extract(value, '$[2]') AS claim, json_extract(value, '$[3]') AS at,
             json_extract(value, '$[4]') AS clear, json_extract(value, '$[5]') AS now
      FROM json_each(?3)) AS v
WHERE ledger.call = v.call AND ledger.name = v.name AND owner = ?2 AND state < {GONE}"""
RELEASE: Final = f"""
UPDATE ledger SET state = {GONE}, changed = ?1, until = ?4 + {GRACE}
WHERE call IN (SELECT value FROM json_each(?3)) AND owner = ?2 AND state < {GONE}"""
# What was reserved and neither claimed nor sent has never left.
BURY: Final = f"""
UPDATE ledger SET owner = {NOBODY}, changed = ?1,
    state = CASE WHEN state = {RESERVED} AND sent IS NULL THEN {GONE} ELSE {OVER} END,
    sent = CASE WHEN state = {RESERVED} THEN sent ELSE coalesce(sent, ?2) END,
    until = max(?2 + {GRACE}, CASE WHEN state = {RESERVED} AND sent IS NULL THEN 0
                                   ELSE coalesce(sent, ?2) + keep END)
WHERE state < {OVER} AND """
BURY_OWNER: Final = f"{BURY} owner = ?3"
BURY_CALLS: Final = f"{BURY} call IN (SELECT value FROM json_each(?3))"
# CROSS keeps the limits in front, so that the index is used.
# What has been dropped is told by the same look, in front: between two it might become more.
NEWS: Final = """
SELECT NULL, NULL, purged, NULL, NULL, NULL, NULL, NULL, NULL, -1 FROM ledger_tick
UNION ALL
SELECT l.name, l.call, l.units, l.claim, l.sent, l.clear, l.state, l.born, l.keep, l.changed
FROM json_each(?2) AS v CROSS JOIN ledger AS l
WHERE l.name = json_extract(v.value, '$[0]') AND l.changed > json_extract(v.value, '$[1]')
    AND l.owner <> ?1
ORDER BY 10"""
STATES: Final = """
SELECT name, state, changed FROM limit_states
WHERE owner <> ?1 AND name IN (SELECT value FROM json_each(?2))"""
SET_STATE: Final = """
INSERT INTO limit_states (name, owner, state, version, changed) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, state = excluded.state,
    version = excluded.version, changed = excluded.changed
WHERE excluded.version > version"""
OTHERS: Final = f"""
SELECT x.owner, o.host, o.pid, o.start, o.boot, o.lease_until, o.bell
FROM (SELECT owner FROM ledger WHERE state < {OVER} AND owner <> ?1
      UNION
      SELECT s.owner FROM listeners AS mine JOIN listeners AS s ON s.name = mine.name
      WHERE mine.owner = ?1 AND s.owner <> ?1) AS x
LEFT JOIN owners AS o ON o.key = x.owner"""
# Where the last call of a tier began, whoever comes or comes back begins.
WANT: Final = f"""
INSERT INTO wants (name, room, owner, units, claim, waiting, priority, deadline, weight, said,
    begun, tag, changed)
SELECT v.name, v.room, ?1, v.units, v.claim, v.waiting, v.priority, v.deadline, v.weight, ?4,
    v.now, v.now, ?2
FROM (SELECT j.*, coalesce((SELECT max(w.begun) FROM wants AS w
                            WHERE w.name = j.name AND w.priority = j.priority
                                AND w.deadline IS j.deadline), 0) AS now
      FROM (SELECT json_extract(value, '$[0]') AS name, json_extract(value, '$[1]') AS room,
                   json_extract(value, '$[2]') AS units, json_extract(value, '$[3]') AS claim,
                   json_extract(value, '$[4]') AS waiting, json_extract(value, '$[5]') AS priority,
                   json_extract(value, '$[6]') AS deadline, json_extract(value, '$[7]') AS weight
            FROM json_each(?3)) AS j) AS v
WHERE true
ON CONFLICT (name, room) DO UPDATE SET owner = excluded.owner, units = excluded.units,
    claim = excluded.claim, waiting = excluded.waiting, priority = excluded.priority,
    deadline = excluded.deadline, weight = excluded.weight, said = excluded.said,
    changed = excluded.changed,
    tag = CASE WHEN waiting > 0 AND said >= excluded.said - {STALE} THEN tag
               ELSE max(tag, excluded.tag) END"""
UNWANT: Final = """
UPDATE wants SET waiting = 0, changed = ?2
WHERE owner = ?1 AND waiting > 0
    AND (name, room) NOT IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
                             FROM json_each(?3))"""
SERVE: Final = """
UPDATE wants SET begun = tag + (v.calls - 1) / weight, tag = tag + v.calls / weight
FROM (SELECT json_extract(value, '$[0]') AS name, json_extract(value, '$[1]') AS room,
             json_extract(value, '$[2]') AS calls
      FROM json_each(?2)) AS v
WHERE wants.name = v.name AND wants.room = v.room AND owner = ?1"""
WANTS: Final = """
SELECT name, room, units, claim, waiting, priority, deadline, weight, said, tag, owner = ?1
FROM wants
WHERE name IN (SELECT value FROM json_each(?2)) AND (waiting > 0 OR owner = ?1)"""
LISTEN: Final = """
INSERT OR IGNORE INTO listeners (name, owner) SELECT value, ? FROM json_each(?)"""
UNLISTEN: Final = "DELETE FROM listeners WHERE owner = ?"
LEAVE: Final = "UPDATE owners SET lease_until = 0 WHERE key = ?"
IS_NEWS: Final = """
SELECT EXISTS (SELECT 1 FROM listeners AS s CROSS JOIN ledger AS l
               WHERE s.owner = ?1 AND l.name = s.name AND l.changed > ?2 AND l.owner <> ?1)
    OR EXISTS (SELECT 1 FROM listeners AS s CROSS JOIN limit_states AS l
               WHERE s.owner = ?1 AND l.name = s.name AND l.changed > ?2 AND l.owner <> ?1)
    OR EXISTS (SELECT 1 FROM listeners AS s CROSS JOIN wants AS l
               WHERE s.owner = ?1 AND l.name = s.name AND l.changed > ?2 AND l.owner <> ?1)"""
PURGE: Final = "DELETE FROM ledger WHERE until <= ? RETURNING changed"
PURGE_WANTS: Final = f"DELETE FROM wants WHERE said <= ? - {GRACE}"
SET_PURGED: Final = "UPDATE ledger_tick SET purged = max(purged, ?)"

_encode = msgspec.json.Encoder().encode
_decode_claim = msgspec.json.Decoder(tuple[int, int, int, int]).decode


class Tick(NamedTuple):
    """The tick of the last change, and the highest of those whose rows are there no more."""

    tick: int
    purged: int


class Row(NamedTuple):
    """What another process has changed.

    Fields:
        entry: The entry as it is now.
        born: The tick at which it was reserved.
        gone: Whether it counts no more.
        keep: For how long it matters after it was sent.
    """

    entry: Entry
    born: int
    gone: bool
    keep: int

    def matters(self, now: int) -> bool:
        """Tell whether it still counts for somebody who has never heard of it."""
        if self.gone:
            return False
        return not self.entry.over or (self.entry.sent or 0) + self.keep > now


class Other(NamedTuple):
    """Another process that has to do with the ledger, by its key."""

    key: int
    owner: Owner
    lease_until: int
    bell: str


def _json(items: Iterable[object]) -> str:
    return _encode(list(items)).decode()


def _numbers(claim: Claim) -> str:
    return _json((claim.tokens_in, claim.tokens_out, claim.most_tokens, claim.most_cost))


def _claim(numbers: object) -> Claim:
    return Claim((), *_decode_claim(text(numbers)))


def tick(db: Database) -> Tick:
    """Give the tick of the last change."""
    row = one(db.execute(TICK))
    assert row is not None
    return Tick(integer(row[0]), integer(row[1]))


def advance(db: Database) -> Tick:
    """Give this transaction a tick."""
    row = db.execute(ADVANCE).fetchall()[0]
    return Tick(integer(row[0]), integer(row[1]))


def reserve(
    db: Database, owner: int, at: int, entries: Iterable[Entry], keep: Mapping[str, int]
) -> None:
    """Put entries there that are neither claimed nor sent."""
    rows = [(e.key, e.limit, e.units, _numbers(e.claim), keep[e.limit]) for e in entries]
    if rows:
        db.execute(RESERVE, (owner, at, _json(rows)))


def want(db: Database, owner: int, at: int, wants: Iterable[Want], now: int) -> None:
    """Keep who waits for what, and that nobody else of this process does."""
    rows = [
        (w.limit, w.room, w.units, _numbers(w.claim), w.waiting, w.priority, w.deadline, w.weight)
        for w in wants
    ]
    unwant(db, owner, at, rows)
    db.execute(WANT, (owner, at, _json(rows), now))


def unwant(db: Database, owner: int, at: int, but: Iterable[tuple[object, ...]] = ()) -> None:
    """Note that nothing of a process waits any more, but for some runs at some limits."""
    db.execute(UNWANT, (owner, at, _json(but)))


def serve(db: Database, owner: int, entries: Iterable[Entry]) -> None:
    """Move the tags of runs on whose calls were let through."""
    calls = Counter((entry.limit, room_in(entry.key)) for entry in entries)
    if not calls:
        return
    db.execute(SERVE, (owner, _json((*place, count) for place, count in calls.items())))


def claim(db: Database, keys: Sequence[Key]) -> set[Key]:
    """Make claims of reservations; gives the calls that had one."""
    # All locks are taken in one order, and whoever buries a claim has the ledger's first.
    db.execute(LOCK)
    return {text(row[0]) for row in db.execute(CLAIM, (_json(keys),)).fetchall()}


def sent(db: Database, owner: int, at: int, calls: Iterable[tuple[Key, int]]) -> None:
    """Note when calls were sent."""
    db.execute(SENT, (at, owner, _json(calls)))


def settle(db: Database, owner: int, at: int, entries: Iterable[tuple[Entry, int]]) -> None:
    """Note what calls that are over have spent, and when each was noted."""
    rows = ((e.key, e.limit, _numbers(e.claim), e.sent, e.clear, now) for e, now in entries)
    db.execute(SETTLE, (at, owner, _json(rows)))


def release(db: Database, owner: int, at: int, keys: Iterable[Key], now: int) -> None:
    """Forget what calls hold."""
    db.execute(RELEASE, (at, owner, _json(keys), now))


def set_state(db: Database, owner: int, at: int, limit: str, state: bytes, version: int) -> None:
    """Keep an adaptive state if it is newer."""
    db.execute(SET_STATE, (limit, owner, state, version, at))


def bury_owner(db: Database, owner: int, at: int, now: int) -> None:
    """See to what a process has left behind that is gone."""
    db.execute(BURY_OWNER, (at, now, owner))


def bury_calls(db: Database, keys: Iterable[Key], at: int, now: int) -> None:
    """See to what calls hold whose process is gone."""
    db.execute(BURY_CALLS, (at, now, _json(keys)))


def news(db: Database, owner: int, seen: Mapping[str, int]) -> tuple[int, list[Row]]:
    """Give what others have changed of limits, each since a tick, in the order of the changes.

    Before them stands the highest tick whose rows may be there no more.
    """
    rows: list[Row] = []
    (_, _, purged, *_), *found = db.execute(NEWS, (owner, _json(seen.items()))).fetchall()
    for name, call, units, numbers, at, clear, state, born, keep, _ in found:
        entry = Entry(
            text(name),
            text(call),
            integer(units),
            _claim(numbers),
            None if at is None else integer(at),
            integer(state) >= OVER,
            None if clear is None else integer(clear),
        )
        rows.append(Row(entry, integer(born), integer(state) == GONE, integer(keep)))
    return integer(purged), rows


def states(db: Database, owner: int, seen: Mapping[str, int]) -> dict[str, bytes]:
    """Give the adaptive states that others have found, each since a tick."""
    found: dict[str, bytes] = {}
    for name, state, changed in db.execute(STATES, (owner, _json(seen))).fetchall():
        assert isinstance(state, bytes)
        if integer(changed) > seen[text(name)]:
            found[text(name)] = state
    return found


def wants(db: Database, owner: int, limits: Collection[str]) -> dict[str, tuple[Want, ...]]:
    """Give who waits for limits, and the tags of those of this process who do not at present."""
    found: dict[str, list[Want]] = {}
    for row in db.execute(WANTS, (owner, _json(limits))).fetchall():
        name, room, units, numbers, waiting, priority, deadline, weight, said, tag, mine = row
        assert isinstance(weight, float)
        assert isinstance(tag, float)
        want = Want(
            text(name),
            text(room),
            integer(units),
            _claim(numbers),
            integer(waiting),
            integer(priority),
            None if deadline is None else integer(deadline),
            weight,
            integer(said),
            tag,
            bool(mine),
        )
        found.setdefault(want.limit, []).append(want)
    return {limit: tuple(wants) for limit, wants in found.items()}


def others(db: Database, owner: int) -> list[Other]:
    """Give the others who hold something, or listen to a limit to which this one listens."""
    found: list[Other] = []
    for key, *columns, bell in db.execute(OTHERS, (owner,)).fetchall():
        who, lease_until = owner_in(columns)
        found.append(Other(integer(key), who, lease_until, "" if bell is None else text(bell)))
    return found


def listen(db: Database, owner: int, limits: Collection[str]) -> None:
    """Have a process woken by changes of these limits from now on."""
    db.execute(LISTEN, (owner, _json(limits)))


def unlisten(db: Database, owner: int) -> None:
    """Have a process woken no more."""
    db.execute(UNLISTEN, (owner,))


def leave(db: Database, owner: int, at: int) -> None:
    """Take a process for gone from now on."""
    unlisten(db, owner)
    unwant(db, owner, at)
    db.execute(LEAVE, (owner,))


def is_news(db: Database, owner: int, since: int) -> bool:
    """Tell whether others have changed something, since a tick, to which this one listens."""
    row = one(db.execute(IS_NEWS, (owner, since)))
    return row is not None and bool(row[0])


def purge(db: Database, now: int) -> None:
    """Drop what matters no more."""
    gone: list[tuple[Parameter, ...]] = [
        (integer(row[0]),) for row in db.execute(PURGE, (now,)).fetchall()
    ]
    if gone:
        db.execute(SET_PURGED, max(gone))
    db.execute(PURGE_WANTS, (now,))
