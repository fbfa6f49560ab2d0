"""PostgreSQL's words for the statements by which runs of several processes take turns."""

from __future__ import annotations

from typing import Final

from hocket.journal import ledger
from hocket.limits.turns import STALE

SPECIAL: Final[dict[str, str]] = {
    ledger.WANT: f"""
INSERT INTO wants AS w (name, room, owner, units, claim, waiting, priority, deadline, weight, said,
    begun, tag, changed)
SELECT v.name, v.room, $1::bigint, v.units, v.claim, v.waiting, v.priority, v.deadline, v.weight,
    $4::bigint, v.now, v.now, $2::bigint
FROM (SELECT j.*, coalesce((SELECT max(w.begun) FROM wants AS w
                            WHERE w.name = j.name AND w.priority = j.priority
                                AND w.deadline IS NOT DISTINCT FROM j.deadline), 0) AS now
      FROM (SELECT e->>0 AS name, e->>1 AS room, (e->>2)::bigint AS units, e->>3 AS claim,
                   (e->>4)::bigint AS waiting, (e->>5)::bigint AS priority,
                   (e->>6)::bigint AS deadline, (e->>7)::float8 AS weight
            FROM jsonb_array_elements($3::text::jsonb) AS e) AS j) AS v
ON CONFLICT (name, room) DO UPDATE SET owner = excluded.owner, units = excluded.units,
    claim = excluded.claim, waiting = excluded.waiting, priority = excluded.priority,
    deadline = excluded.deadline, weight = excluded.weight, said = excluded.said,
    changed = excluded.changed,
    tag = CASE WHEN w.waiting > 0 AND w.said >= excluded.said - {STALE} THEN w.tag
               ELSE greatest(w.tag, excluded.tag) END""",
    ledger.UNWANT: """
UPDATE wants SET waiting = 0, changed = $2::bigint
WHERE owner = $1 AND waiting > 0
    AND (name, room) NOT IN (SELECT e->>0, e->>1
                             FROM jsonb_array_elements($3::text::jsonb) AS e)""",
    ledger.SERVE: """
UPDATE wants SET begun = tag + (v.calls - 1) / weight, tag = tag + v.calls / weight
FROM (SELECT e->>0 AS name, e->>1 AS room, (e->>2)::float8 AS calls
      FROM jsonb_array_elements($2::text::jsonb) AS e) AS v
WHERE wants.name = v.name AND wants.room = v.room AND owner = $1""",
    ledger.WANTS: """
SELECT name, room, units, claim, waiting, priority, deadline, weight, said, tag, owner = $1
FROM wants
WHERE name = ANY (ARRAY(SELECT jsonb_array_elements_text($2::text::jsonb)))
    AND (waiting > 0 OR owner = $1)""",
}
