"""The tables of the SQLite file, as each numbered migration makes them."""

from __future__ import annotations

from typing import Final

M001: Final = (
    """CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID""",
    # One row for each process that owns runs, so that one UPDATE renews the lease of all of them.
    """CREATE TABLE owners (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        start TEXT NOT NULL,
        boot TEXT NOT NULL,
        bell TEXT NOT NULL,
        lease_until INTEGER NOT NULL
    )""",
    # AUTOINCREMENT: a removed run's key is never used again, or a stale owner could match it.
    # owner is 0 for nobody; epoch counts the owners that the run has had.
    """CREATE TABLE runs (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        status TEXT NOT NULL,
        created INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        owner INTEGER NOT NULL
    )""",
    # seq orders the events of all runs, n those of one run.
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL,
        n INTEGER NOT NULL,
        data TEXT NOT NULL,
        UNIQUE (run, n)
    )""",
    # refusal is NULL until the owner has answered, then "" for done.
    """CREATE TABLE inbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL,
        request TEXT NOT NULL,
        refusal TEXT
    )""",
    "CREATE INDEX inbox_open ON inbox (id) WHERE refusal IS NULL",
    "CREATE INDEX inbox_run ON inbox (run)",
    # digest is NULL while the bytes are coming in; kept_until guards what no event names yet.
    """CREATE TABLE blobs (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT UNIQUE,
        size INTEGER NOT NULL,
        kept_until INTEGER NOT NULL
    )""",
    """CREATE TABLE parts (
        blob INTEGER NOT NULL,
        part INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (blob, part)
    )""",
    """CREATE TABLE refs (
        run INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (run, digest)
    ) WITHOUT ROWID""",
    "CREATE INDEX refs_digest ON refs (digest)",
)

M002: Final = (
    # What calls hold of shared limits; state is one of those that ledger.py names.
    # born and changed are ticks, so that a process can ask for what it has not been told.
    # until is when a row that is over may go, NULL as long as it is not.
    """CREATE TABLE ledger (
        call TEXT NOT NULL,
        name TEXT NOT NULL,
        owner INTEGER NOT NULL,
        state INTEGER NOT NULL,
        units INTEGER NOT NULL,
        claim TEXT NOT NULL,
        sent INTEGER,
        clear INTEGER,
        keep INTEGER NOT NULL,
        born INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        until INTEGER,
        PRIMARY KEY (call, name)
    ) WITHOUT ROWID""",
    "CREATE INDEX ledger_changed ON ledger (name, changed)",
    "CREATE INDEX ledger_open ON ledger (owner) WHERE state < 2",
    # One row; purged is the highest tick of a row that went.
    "CREATE TABLE ledger_tick (tick INTEGER NOT NULL, purged INTEGER NOT NULL)",
    "INSERT INTO ledger_tick (tick, purged) VALUES (0, 0)",
    """CREATE TABLE limit_states (
        name TEXT PRIMARY KEY,
        owner INTEGER NOT NULL,
        state BLOB NOT NULL,
        version INTEGER NOT NULL,
        changed INTEGER NOT NULL
    ) WITHOUT ROWID""",
    # Which runs wait for a shared limit; tag is the virtual instant at which a run's next call is
    # due, begun that of its last one.
    """CREATE TABLE wants (
        name TEXT NOT NULL,
        room TEXT NOT NULL,
        owner INTEGER NOT NULL,
        units INTEGER NOT NULL,
        claim TEXT NOT NULL,
        waiting INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        deadline INTEGER,
        weight REAL NOT NULL,
        said INTEGER NOT NULL,
        begun REAL NOT NULL,
        tag REAL NOT NULL,
        changed INTEGER NOT NULL,
        PRIMARY KEY (name, room)
    ) WITHOUT ROWID""",
    # Who is to be woken when something of a limit changes.
    """CREATE TABLE listeners (
        name TEXT NOT NULL,
        owner INTEGER NOT NULL,
        PRIMARY KEY (name, owner)
    ) WITHOUT ROWID""",
    """CREATE TABLE durations (
        plan TEXT NOT NULL,
        step TEXT NOT NULL,
        agent TEXT NOT NULL,
        count INTEGER NOT NULL,
        samples TEXT NOT NULL,
        PRIMARY KEY (plan, step, agent)
    ) WITHOUT ROWID""",
)

M003: Final = (
    # Kept answers. output is NULL where digest names the blob that holds it; what an answer names
    # is referred to under its id, negated, so that it outlives the run that it came with.
    """CREATE TABLE answers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        kin TEXT NOT NULL,
        at INTEGER NOT NULL,
        until INTEGER,
        output TEXT,
        digest TEXT,
        usage TEXT NOT NULL,
        notes TEXT NOT NULL,
        vector BLOB NOT NULL
    )""",
    "CREATE INDEX answers_until ON answers (until) WHERE until IS NOT NULL",
    "CREATE INDEX answers_kin ON answers (kin, at) WHERE kin <> ''",
)

M004: Final = (
    # The runs that servers drive, by id: a run is noted before it has a row of its own.
    """CREATE TABLE hosted (
        run TEXT PRIMARY KEY
    ) WITHOUT ROWID""",
    # When a request was posted, in nanoseconds; 0 for those that were there before.
    "ALTER TABLE inbox ADD COLUMN at INTEGER NOT NULL DEFAULT 0",
)
