"""The journal's statements in PostgreSQL's words.

Most differ from SQLite's only in how parameters are written; the others stand here, each under the
one whose place it takes.
What SQLite has of itself, because it lets in one writer at a time, is here a lock: on a run's row
for what belongs to a run, on the one row of ticks for the limits, an advisory one for bytes.
They are always taken in this order, so that nobody waits in a ring.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from hocket.journal import answers, blobs, book, hosted, ledger, schema, store
from hocket.journal.turns_sql import SPECIAL as TURNS

LOCK_BLOBS: Final = 0x484F434B
"""Names the advisory lock of who stores or drops bytes; "HOCK"."""

_PARAMETER: Final = re.compile(r"\?(\d*)")
_IGNORE: Final = "INSERT OR IGNORE INTO"

# The fence: rows of an owner whose epoch has passed are not inserted. The lock makes whoever is
# about to take the run over wait, and whoever comes after that find the new epoch.
APPEND: Final = """
WITH owned AS MATERIALIZED (
    SELECT r.key FROM runs AS r JOIN unnest($5::bigint[], $6::bigint[]) AS o (run, epoch)
        ON r.key = o.run AND r.epoch = o.epoch
    ORDER BY r.key FOR NO KEY UPDATE OF r)
INSERT INTO events (run, n, data)
SELECT v.run, v.n, v.data
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) AS v (run, epoch, n, data)
JOIN owned ON owned.key = v.run"""

# What is reserved again by the same call takes the place of what was there.
_RESERVE: Final = f"""
INSERT INTO ledger (call, name, owner, state, units, claim, sent, keep, born, changed, until)
SELECT v->>0, v->>1, $1::bigint, {ledger.RESERVED}, (v->>2)::bigint, v->>3, NULL, (v->>4)::bigint,
    $2::bigint, $2::bigint, NULL
FROM jsonb_array_elements($3::text::jsonb) AS v
ON CONFLICT (call, name) DO UPDATE SET owner = excluded.owner, state = excluded.state,
    units = excluded.units, claim = excluded.claim, sent = NULL, clear = NULL,
    keep = excluded.keep, born = excluded.born, changed = excluded.changed, until = NULL"""

_CALLS: Final = "call = ANY (ARRAY(SELECT jsonb_array_elements_text({}::text::jsonb)))"

_BURY: Final = f"""
UPDATE ledger SET owner = {ledger.NOBODY}, changed = $1::bigint,
    state = CASE WHEN state = {ledger.RESERVED} AND sent IS NULL THEN {ledger.GONE}
                 ELSE {ledger.OVER} END,
    sent = CASE WHEN state = {ledger.RESERVED} THEN sent ELSE coalesce(sent, $2::bigint) END,
    until = greatest($2::bigint + {ledger.GRACE},
                     CASE WHEN state = {ledger.RESERVED} AND sent IS NULL THEN 0
                          ELSE coalesce(sent, $2::bigint) + keep END)
WHERE state < {ledger.OVER} AND """

SPECIAL: Final[dict[str, str]] = {
    "BEGIN IMMEDIATE": "BEGIN",
    schema.SET_META: """
INSERT INTO meta (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
    # -- runs ------------------------------------------------------------------------------------
    store.OWNED: "SELECT 1 FROM runs WHERE key = $1 AND epoch = $2 FOR NO KEY UPDATE",
    store.LOCK_RUN: "SELECT key, epoch FROM runs WHERE id = $1 FOR NO KEY UPDATE",
    # Whoever is giving a sign of life just now is not forgotten, and not waited for.
    store.FORGET_OWNERS: """
DELETE FROM owners WHERE key IN (
    SELECT key FROM owners WHERE lease_until < $1
        AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.owner = owners.key)
        AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.owner = owners.key AND state < 2)
    FOR UPDATE SKIP LOCKED)""",
    store.UNANSWERED: """
SELECT id, run, request, at FROM inbox
WHERE refusal IS NULL AND id > $2
    AND run = ANY (ARRAY(SELECT v::bigint FROM jsonb_array_elements_text($1::text::jsonb) AS v))
ORDER BY id""",
    store.SIZE_OF_EVENTS: """
SELECT coalesce(sum(octet_length(data)), 0)::bigint FROM events WHERE run = $1""",
    # -- bytes and answers -----------------------------------------------------------------------
    blobs.LOCK: f"SELECT pg_advisory_xact_lock({LOCK_BLOBS})",
    answers.KEEP: """
INSERT INTO answers (key, kin, at, until, output, digest, usage, notes, vector)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (key) DO UPDATE SET kin = excluded.kin, at = excluded.at, until = excluded.until,
    output = excluded.output, digest = excluded.digest, usage = excluded.usage,
    notes = excluded.notes, vector = excluded.vector
RETURNING id""",
    answers.IS_THERE: "SELECT 1",
    book.IS_THERE: "SELECT 1",
    hosted.IS_THERE: "SELECT 1",
    book.SOME_PAGES: """
SELECT step, agent, count, samples FROM durations
WHERE plan = $1 AND step = ANY (ARRAY(SELECT jsonb_array_elements_text($2::text::jsonb)))""",
    book.SET_PAGES: """
INSERT INTO durations (plan, step, agent, count, samples)
SELECT $1::text, v->>0, v->>1, (v->>2)::bigint, v->>3
FROM jsonb_array_elements($2::text::jsonb) AS v
ON CONFLICT (plan, step, agent) DO UPDATE SET count = excluded.count, samples = excluded.samples""",
    # -- limits ----------------------------------------------------------------------------------
    ledger.LOCK: "SELECT 1 FROM ledger_tick FOR UPDATE",
    ledger.RESERVE: _RESERVE,
    ledger.CLAIM: f"""
UPDATE ledger SET state = {ledger.CLAIMED}
WHERE {_CALLS.format("$1")} AND state = {ledger.RESERVED} RETURNING call""",
    ledger.SENT: f"""
UPDATE ledger SET sent = (v->>1)::bigint, changed = $1::bigint
FROM jsonb_array_elements($3::text::jsonb) AS v
WHERE ledger.call = v->>0 AND owner = $2 AND state < {ledger.OVER} AND sent IS NULL""",
    ledger.SETTLE: f"""
UPDATE ledger SET state = {ledger.OVER}, claim = v->>2,
    sent = coalesce((v->>3)::bigint, sent, (v->>5)::bigint), clear = (v->>4)::bigint,
    changed = $1::bigint,
    until = greatest(coalesce((v->>3)::bigint, sent, (v->>5)::bigint) + keep,
                     (v->>5)::bigint + {ledger.GRACE})
FROM jsonb_array_elements($3::text::jsonb) AS v
WHERE ledger.call = v->>0 AND ledger.name = v->>1 AND owner = $2 AND state < {ledger.GONE}""",
    ledger.RELEASE: f"""
UPDATE ledger SET state = {ledger.GONE}, changed = $1::bigint,
    until = $4::bigint + {ledger.GRACE}
WHERE {_CALLS.format("$3")} AND owner = $2 AND state < {ledger.GONE}""",
    ledger.BURY_OWNER: f"{_BURY} owner = $3",
    ledger.BURY_CALLS: f"{_BURY} {_CALLS.format('$3')}",
    ledger.NEWS: """
SELECT NULL, NULL, purged, NULL, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
    NULL::bigint, -1::bigint
FROM ledger_tick
UNION ALL
SELECT l.name, l.call, l.units, l.claim, l.sent, l.clear, l.state, l.born, l.keep, l.changed
FROM jsonb_array_elements($2::text::jsonb) AS v
JOIN ledger AS l ON l.name = v->>0 AND l.changed > (v->>1)::bigint
WHERE l.owner <> $1
ORDER BY 10""",
    ledger.STATES: """
SELECT name, state, changed FROM limit_states
WHERE owner <> $1 AND name = ANY (ARRAY(SELECT jsonb_array_elements_text($2::text::jsonb)))""",
    ledger.SET_STATE: """
INSERT INTO limit_states (name, owner, state, version, changed) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, state = excluded.state,
    version = excluded.version, changed = excluded.changed
WHERE excluded.version > limit_states.version""",
    ledger.LISTEN: """
INSERT INTO listeners (name, owner)
SELECT name, $1::bigint FROM jsonb_array_elements_text($2::text::jsonb) AS v (name)
ON CONFLICT DO NOTHING""",
    ledger.SET_PURGED: "UPDATE ledger_tick SET purged = greatest(purged, $1::bigint)",
    **TURNS,
}


@cache
def translate(sql: str) -> str:
    """Give a statement of the journal as PostgreSQL takes it."""
    special = SPECIAL.get(sql)
    if special is not None:
        return special
    if _IGNORE in sql:
        sql = f"{sql.replace(_IGNORE, 'INSERT INTO')} ON CONFLICT DO NOTHING"
    count = 0

    def number(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"${match[1] or count}"

    return _PARAMETER.sub(number, sql)
