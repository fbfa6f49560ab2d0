"""The tables of a journal in PostgreSQL, as each numbered migration makes them.

A migration only adds, so that programs of the version before it go on while it is made.
"""

from __future__ import annotations

from typing import Final

ENCODING: Final = "UTF8"
"""How the server must keep texts: with any other, what a call says may be none that it can keep."""
OTHER_ENCODING: Final = (
    "make a database with createdb --encoding=UTF8 --template=template0, and have the journal there"
)
"""What to do about another one."""

# Whole numbers are bigint, also where small ones would do: instants are nanoseconds.
# Names are compared byte by byte ("C"), whatever the database's language is.
M001: Final = (
    """CREATE TABLE meta (
        key text PRIMARY KEY,
        value text NOT NULL
    )""",
    """CREATE TABLE owners (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        host text NOT NULL,
        pid bigint NOT NULL,
        start text NOT NULL,
        boot text NOT NULL,
        bell text NOT NULL,
        lease_until bigint NOT NULL
    )""",
    # owner is 0 for nobody; epoch counts the owners that the run has had.
    """CREATE TABLE runs (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text COLLATE "C" NOT NULL UNIQUE,
        name text NOT NULL,
        status text NOT NULL,
        created bigint NOT NULL,
        epoch bigint NOT NULL,
        owner bigint NOT NULL
    )""",
    "CREATE INDEX runs_owner ON runs (owner) WHERE owner <> 0",
    "CREATE INDEX runs_created ON runs (created)",
    """CREATE TABLE events (
        run bigint NOT NULL,
        n bigint NOT NULL,
        data text NOT NULL,
        PRIMARY KEY (run, n)
    )""",
    # refusal is NULL until the owner has answered, then "" for done.
    """CREATE TABLE inbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run bigint NOT NULL,
        request text NOT NULL,
        refusal text,
        at bigint NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX inbox_open ON inbox (id) WHERE refusal IS NULL",
    "CREATE INDEX inbox_run ON inbox (run)",
    # digest is NULL while the bytes are coming in; kept_until guards what no event names yet.
    """CREATE TABLE blobs (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        digest text COLLATE "C" UNIQUE,
        size bigint NOT NULL,
        kept_until bigint NOT NULL
    )""",
    """CREATE TABLE parts (
        blob bigint NOT NULL,
        part bigint NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (blob, part)
    )""",
    # Bytes are compressed by whoever made them, if at all; a stretch is read without the rest.
    "ALTER TABLE parts ALTER COLUMN data SET STORAGE EXTERNAL",
    """CREATE TABLE refs (
        run bigint NOT NULL,
        digest text COLLATE "C" NOT NULL,
        PRIMARY KEY (run, digest)
    )""",
    "CREATE INDEX refs_digest ON refs (digest)",
    # What calls hold of shared limits; see the tables of SQLite for what the columns mean.
    """CREATE TABLE ledger (
        call text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        owner bigint NOT NULL,
        state bigint NOT NULL,
        units bigint NOT NULL,
        claim text NOT NULL,
        sent bigint,
        clear bigint,
        keep bigint NOT NULL,
        born bigint NOT NULL,
        changed bigint NOT NULL,
        until bigint,
        PRIMARY KEY (call, name)
    )""",
    "CREATE INDEX ledger_changed ON ledger (name, changed)",
    "CREATE INDEX ledger_open ON ledger (owner) WHERE state < 2",
    "CREATE INDEX ledger_until ON ledger (until) WHERE until IS NOT NULL",
    # One row, whose lock lets one transaction after the other change what is held of limits.
    "CREATE TABLE ledger_tick (tick bigint NOT NULL, purged bigint NOT NULL)",
    "INSERT INTO ledger_tick (tick, purged) VALUES (0, 0)",
    """CREATE TABLE limit_states (
        name text COLLATE "C" PRIMARY KEY,
        owner bigint NOT NULL,
        state bytea NOT NULL,
        version bigint NOT NULL,
        changed bigint NOT NULL
    )""",
    """CREATE TABLE wants (
        name text COLLATE "C" NOT NULL,
        room text COLLATE "C" NOT NULL,
        owner bigint NOT NULL,
        units bigint NOT NULL,
        claim text NOT NULL,
        waiting bigint NOT NULL,
        priority bigint NOT NULL,
        deadline bigint,
        weight double precision NOT NULL,
        said bigint NOT NULL,
        begun double precision NOT NULL,
        tag double precision NOT NULL,
        changed bigint NOT NULL,
        PRIMARY KEY (name, room)
    )""",
    """CREATE TABLE listeners (
        name text COLLATE "C" NOT NULL,
        owner bigint NOT NULL,
        PRIMARY KEY (name, owner)
    )""",
    """CREATE TABLE durations (
        plan text COLLATE "C" NOT NULL,
        step text COLLATE "C" NOT NULL,
        agent text COLLATE "C" NOT NULL,
        count bigint NOT NULL,
        samples text NOT NULL,
        PRIMARY KEY (plan, step, agent)
    )""",
    """CREATE TABLE answers (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key text COLLATE "C" NOT NULL UNIQUE,
        kin text COLLATE "C" NOT NULL,
        at bigint NOT NULL,
        until bigint,
        output text,
        digest text COLLATE "C",
        usage text NOT NULL,
        notes text NOT NULL,
        vector bytea NOT NULL
    )""",
    "CREATE INDEX answers_until ON answers (until) WHERE until IS NOT NULL",
    "CREATE INDEX answers_kin ON answers (kin, at) WHERE kin <> ''",
    # The runs that servers drive, by id: a run is noted before it has a row of its own.
    """CREATE TABLE hosted (
        run text COLLATE "C" PRIMARY KEY
    )""",
    # What calls say while they run, so that it can be followed from any machine.
    """CREATE TABLE logs (
        run text COLLATE "C" NOT NULL,
        path text COLLATE "C" NOT NULL,
        attempt bigint NOT NULL,
        n bigint NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (run, path, attempt, n)
    )""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (M001,)
"""The format of a database is the number of migrations that it has been through."""

LEAST: int = 1
"""How many migrations a program must know to do no harm to a database of the present format.

It is raised only where a migration takes something away or changes its meaning; so programs of an
older version can be started as well while a newer one is brought in.
"""
