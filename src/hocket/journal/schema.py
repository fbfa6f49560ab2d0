"""The SQLite file: its format version, how it gets there, and how a connection to it is set up.

Every numbered migration brings a file from one format to the next and is never edited again.
A file of a newer format is refused, so that an old program cannot harm it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import quote

from hocket._version import __version__
from hocket.core.errors import JournalError
from hocket.journal.tables import M001, M002, M003, M004

T = TypeVar("T")

FILE: Final = "journal.sqlite"
RESERVE: Final = "journal.reserve"
RESERVE_BYTES: Final = 1024 * 1024

APPLICATION_ID: Final = 0x484F434B  # "HOCK"

BUSY_SECONDS: Final = 30.0
"""How long a write waits for another process of the state folder to finish its own."""

# Fixed once a table exists; it lets `remove` shrink the file.
SET_VACUUM: Final = "PRAGMA auto_vacuum = INCREMENTAL"

PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    # In WAL mode only FULL syncs each commit; NORMAL loses acknowledged events with the power.
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
)

# One statement, so that both are of one moment: another process may be making the tables.
WHOSE: Final = """
SELECT p.application_id, (SELECT count(*) FROM sqlite_master) FROM pragma_application_id AS p"""
SET_APPLICATION: Final = f"PRAGMA application_id = {APPLICATION_ID}"
COUNT_TABLES: Final = "SELECT count(*) FROM sqlite_master"
GET_FORMAT: Final = "SELECT value FROM meta WHERE key = 'format'"
SET_META: Final = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"

_FAILED_SYNCS: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


class Passing(JournalError):
    """What may be over soon: once it is, runs can be begun and resumed again."""


class NoRoom(Passing):
    """The disk is full."""


class Unreachable(Passing):
    """The database's server does not answer."""


Parameter: TypeAlias = "str | bytes | int | None"
Row: TypeAlias = "tuple[object, ...]"


class Cursor(Protocol):
    """What a statement gave."""

    def fetchone(self) -> object:
        """Give the next row as a tuple, or None."""

    def fetchall(self) -> list[Row]:
        """Give all rows."""

    @property
    def rowcount(self) -> int:
        """How many rows an INSERT, UPDATE or DELETE changed."""


class Database(Protocol):
    """The little of a connection that the journal's statements need.

    The power-loss tests run the same statements on a disk of their own through it.
    """

    def execute(self, sql: str, parameters: tuple[Parameter, ...] = ..., /) -> Cursor:
        """Run one statement."""


Migration: TypeAlias = Callable[[Database], None]


def m001_initial(db: Database) -> None:
    """Create the tables of the first format."""
    for statement in M001:
        db.execute(statement)


def m002_limits(db: Database) -> None:
    """Add the ledger of shared limits and the duration book."""
    for statement in M002:
        db.execute(statement)


def m003_answers(db: Database) -> None:
    """Add kept answers."""
    for statement in M003:
        db.execute(statement)


def m004_hosted(db: Database) -> None:
    """Add which runs servers drive, and when requests were posted."""
    for statement in M004:
        db.execute(statement)


MIGRATIONS: tuple[Migration, ...] = (m001_initial, m002_limits, m003_answers, m004_hosted)
"""The format of a file is the number of migrations that it has been through."""


def text(value: object) -> str:
    """Take a column that the schema declares as text."""
    return cast(str, value)


def integer(value: object) -> int:
    """Take a column that the schema declares as integer."""
    return cast(int, value)


def one(cursor: Cursor) -> Row | None:
    """Take the next row, or None."""
    return cast("Row | None", cursor.fetchone())


def format_of(db: Database, path: Path) -> int:
    """Give the format of an opened file, 0 for an empty one.

    Raises:
        JournalError: It is no journal, or a newer Hocket made it.
    """
    application, tables = one(db.execute(WHOSE)) or (0, 0)
    if application != APPLICATION_ID:
        if application == 0 and tables == 0:
            return 0
        raise JournalError(f"{path} is a database of another program, not a Hocket journal")
    row = one(db.execute(GET_FORMAT))
    found = int(text(row[0])) if row else 0
    if found > len(MIGRATIONS):
        raise JournalError(
            f"{path} was made by a newer Hocket (format {found}; this one, {__version__}, reads "
            f"up to {len(MIGRATIONS)}): update Hocket, or set HOCKET_HOME to another folder"
        )
    return found


def prepare(db: Database, path: Path) -> None:
    """Set a connection up for writing, and the file, if it is new or old.

    Raises:
        JournalError: It is no journal, or a newer Hocket made it; it is left as it is.
    """
    if format_of(db, path) == 0:
        db.execute(SET_VACUUM)
    for pragma in PRAGMAS:
        db.execute(pragma)
    migrate(db, path)


def migrate(db: Database, path: Path) -> None:
    """Bring a file to the present format, all of it or nothing.

    Raises:
        JournalError: It is no journal, or a newer Hocket made it.
    """
    if format_of(db, path) == len(MIGRATIONS):
        return
    in_transaction(db, lambda db: _migrate(db, path))


def _migrate(db: Database, path: Path) -> None:
    # Another process may have done it while this one waited for its turn.
    for migration in MIGRATIONS[format_of(db, path) :]:
        migration(db)
    db.execute(SET_APPLICATION)
    db.execute(SET_META, ("format", str(len(MIGRATIONS))))
    db.execute(SET_META, ("program", f"hocket {__version__}"))


def in_transaction(db: Database, work: Callable[[Database], T]) -> T:
    """Do some work all or not at all.

    Raises:
        sqlite3.Error: The database failed; nothing was changed.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        roll_back(db)
        raise
    return result


def shrink(db: Database, most: int = 10_000) -> bool:
    """Give some free pages back to the disk; gives whether there are more."""
    free = integer((one(db.execute("PRAGMA freelist_count")) or (0,))[0])
    for _ in range(min(free, most)):
        # The driver takes one step of a statement without columns, and a step frees one page.
        db.execute("PRAGMA incremental_vacuum(1)")
    return free > most


def roll_back(db: Database) -> None:
    """End a failed transaction; SQLite may have done so itself when the disk failed."""
    if getattr(db, "in_transaction", True):
        db.execute("ROLLBACK")


def journal_error(error: sqlite3.Error | OSError, path: Path) -> JournalError:
    """Say in one sentence what is wrong with the file, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    folder = path.parent
    if is_full(error, path):
        return NoRoom(
            f"the disk of {folder} is full; nothing acknowledged was lost, but nothing more can "
            "be recorded: make room, then resume the run"
        )
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return JournalError(
            f"{path} is damaged or not a database ({error}): restore it from a copy, or move it "
            "away to begin a new one"
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return JournalError(
            f"another process has kept {path} locked for {BUSY_SECONDS:.0f} s; find and end it, "
            "or continue it if it is stopped"
        )
    if isinstance(error, OSError) or code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
        return JournalError(
            f"the state folder {folder} cannot be written ({error}): set HOCKET_HOME to a folder "
            "that can"
        )
    return JournalError(f"{path} could not be written: {error}")


def is_full(error: sqlite3.Error | OSError, path: Path) -> bool:
    """Tell whether an error means that the disk is full.

    SQLite reports a shared-memory file that cannot grow as an I/O error, so the disk is asked.
    """
    if isinstance(error, OSError):
        return error.errno in {28, 122}  # ENOSPC, EDQUOT
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return True
    if code & 0xFF != sqlite3.SQLITE_IOERR or code in _FAILED_SYNCS:
        return False
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 64 * 1024


def open_for_writing(state: Path) -> sqlite3.Connection:
    """Open the journal of a state folder, making whatever is missing.

    Raises:
        JournalError: The folder cannot be written, or the file is not a journal of ours.
    """
    path = state / FILE
    try:
        _make_folder(state)
        _make_file(path)
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            db = _connect(path, "rwc")
            try:
                prepare(db, path)
                return db
            except BaseException as error:
                db.close()
                # Turning WAL on needs the file alone and does not wait for it by itself.
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)
    except (sqlite3.Error, OSError) as error:
        raise journal_error(error, path) from error


def open_for_reading(state: Path) -> sqlite3.Connection | None:
    """Open the journal of a state folder for queries; None if there is none.

    A file of an older format is brought to the present one, unless it cannot be written.

    Raises:
        JournalError: The file is not a journal of ours, or cannot be read.
    """
    path = state / FILE
    try:
        if not path.exists():
            return None
        db = _open_existing(path)
        try:
            found = format_of(db, path)
        except BaseException:
            db.close()
            raise
        if found == len(MIGRATIONS) or (found and not _is_writable(path)):
            return db
        db.close()
        if found == 0:
            return None
        open_for_writing(state).close()
        return _open_existing(path)
    except (sqlite3.Error, OSError) as error:
        raise journal_error(error, path) from error


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _is_busy(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={options}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _open_existing(path: Path) -> sqlite3.Connection:
    """Open a file for queries; on a read-only disk without the files that WAL needs, too.

    A reader with write access is preferred: when it is the last to close, the log is merged.
    """
    error: sqlite3.Error | None = None
    for options in ("rw", "ro", "ro&immutable=1"):
        db = None
        try:
            db = _connect(path, options)
            db.execute("PRAGMA query_only = ON")
            db.execute(COUNT_TABLES).fetchone()
            return db
        except sqlite3.Error as failure:
            if db is not None:
                db.close()
            if not isinstance(failure, sqlite3.OperationalError):
                raise
            error = failure
            # Ignoring a log that holds commits would show an older state as the present one.
            if options == "ro" and path.with_name(f"{FILE}-wal").exists():
                break
    assert error is not None
    raise error


def _make_folder(state: Path) -> None:
    """Create the state folder so that it survives a loss of power; others may not look in."""
    missing = [folder for folder in (state, *state.parents) if not folder.exists()]
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def _make_file(path: Path) -> None:
    """Create the file, unless there is one, so that only its user can read it and its log."""
    # One that exists must not be opened: to close it would take the locks of this process off it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_reserve(state: Path) -> None:
    """Set room aside that can be freed when the disk is full.

    Raises:
        OSError: There is no room for it now.
    """
    path = state / RESERVE
    if path.exists() and path.stat().st_size >= RESERVE_BYTES:
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        # Zeros that are written, not a hole: a hole sets nothing aside.
        file.write(bytes(RESERVE_BYTES))


def free_reserve(state: Path) -> None:
    """Give the room back."""
    (state / RESERVE).unlink(missing_ok=True)


def is_room(state: Path) -> bool:
    """Tell whether there is room for the reserve, and enough beside it to go on for a while."""
    try:
        disk = os.statvfs(state)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize >= 3 * RESERVE_BYTES // 2
