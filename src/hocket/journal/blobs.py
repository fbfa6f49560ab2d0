"""Bytes by content in the journal's file, in parts of 1 MiB, and who refers to them.

A blob's row has no digest while its bytes are coming in, so half a blob can never be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, cast

from hocket.core import values
from hocket.core.errors import JournalError, NotFound
from hocket.core.values import FileRef
from hocket.journal.schema import Database, Row, integer, one
from hocket.journal.sql_access import SqlAccess

PART: Final = 1024 * 1024

KEPT: Final = 3_600_000_000_000
"""How long a stored file that no event names yet is kept: one hour, in nanoseconds."""

# One writer at a time: in SQLite there is never another; a server takes a lock for it.
LOCK: Final = "SELECT 'blobs'"
FIND_BLOB: Final = "SELECT key, size FROM blobs WHERE digest = ?"
BEGIN_BLOB: Final = "INSERT INTO blobs (digest, size, kept_until) VALUES (NULL, 0, ?) RETURNING key"
WRITE_PART: Final = "INSERT INTO parts (blob, part, data) VALUES (?, ?, ?)"
END_BLOB: Final = "UPDATE blobs SET digest = ?, size = ? WHERE key = ?"
KEEP_BLOB: Final = "UPDATE blobs SET kept_until = ? WHERE digest = ?"
READ_PART: Final = "SELECT data FROM parts WHERE blob = ? AND part = ?"
DELETE_PARTS: Final = "DELETE FROM parts WHERE blob = ?"
DELETE_BLOB: Final = "DELETE FROM blobs WHERE key = ?"
REFER: Final = "INSERT OR IGNORE INTO refs (run, digest) VALUES (?, ?)"
REFERRED: Final = "UPDATE blobs SET kept_until = 0 WHERE digest = ? AND kept_until > 0"
DELETE_REFS: Final = "DELETE FROM refs WHERE run = ?"
# What is only waiting to be named again has `kept_until` in the future.
ONLY_THERE: Final = """
SELECT b.key, b.size FROM refs AS r JOIN blobs AS b ON b.digest = r.digest
WHERE r.run = ? AND b.kept_until < ?
    AND NOT EXISTS (SELECT 1 FROM refs AS o WHERE o.digest = r.digest AND o.run <> r.run)"""
NEVER_NAMED: Final = """
SELECT b.key, b.size FROM blobs AS b
WHERE b.kept_until > 0 AND b.kept_until < ?
    AND NOT EXISTS (SELECT 1 FROM refs AS r WHERE r.digest = b.digest)"""


def lock_blobs(db: Database) -> None:
    """Keep others from storing and dropping bytes until the end of the transaction.

    Else what one is about to refer to could be dropped by another that sees no reference.
    """
    db.execute(LOCK)


def find_blob(db: Database, digest: str) -> tuple[int, int] | None:
    """Give a blob's key and size, or None if it is not stored."""
    row = one(db.execute(FIND_BLOB, (digest,)))
    return None if row is None else (integer(row[0]), integer(row[1]))


def write_blob(db: Database, digest: str, data: bytes) -> None:
    """Store bytes that are at hand, unless they are stored already."""
    lock_blobs(db)
    if find_blob(db, digest) is not None:
        return
    key = begin_blob(db, 0)
    for part, start in enumerate(range(0, len(data), PART)):
        write_part(db, key, part, data[start : start + PART])
    db.execute(END_BLOB, (digest, len(data), key))


def begin_blob(db: Database, kept_until: int) -> int:
    """Begin a blob whose bytes come later; gives its key."""
    return integer(db.execute(BEGIN_BLOB, (kept_until,)).fetchall()[0][0])


def write_part(db: Database, key: int, part: int, data: bytes) -> None:
    """Store the next part of a blob that has begun; all parts but the last are whole."""
    db.execute(WRITE_PART, (key, part, data))


def end_blob(db: Database, key: int, digest: str, size: int, kept_until: int) -> None:
    """Name a blob whose bytes are all there; another of the same bytes makes it superfluous."""
    lock_blobs(db)
    if keep_blob(db, digest, kept_until):
        drop_blob(db, key)
    else:
        db.execute(END_BLOB, (digest, size, key))


def keep_blob(db: Database, digest: str, kept_until: int) -> bool:
    """Keep a stored blob until it is referred to; gives whether there is one."""
    lock_blobs(db)
    return db.execute(KEEP_BLOB, (kept_until, digest)).rowcount == 1


def drop_blob(db: Database, key: int) -> None:
    """Delete a blob and its bytes."""
    db.execute(DELETE_PARTS, (key,))
    db.execute(DELETE_BLOB, (key,))


def write_refs(db: Database, run: int, digests: Iterable[str]) -> None:
    """Record that a run refers to blobs, so that they live as long as it does."""
    for digest in digests:
        db.execute(REFER, (run, digest))
        db.execute(REFERRED, (digest,))


def free_blobs(db: Database, run: int, now: int) -> int:
    """Drop a run's references and the bytes that only it referred to; gives how many these were."""
    lock_blobs(db)
    only = db.execute(ONLY_THERE, (run, now)).fetchall()
    db.execute(DELETE_REFS, (run,))
    return _drop(db, only)


def sweep_blobs(db: Database, now: int) -> int:
    """Drop bytes that were kept for somebody who never named them; gives how many these were."""
    lock_blobs(db)
    return _drop(db, db.execute(NEVER_NAMED, (now,)).fetchall())


def _drop(db: Database, found: Iterable[Row]) -> int:
    freed = 0
    for key, size in found:
        drop_blob(db, integer(key))
        freed += integer(size)
    return freed


def read_blob(db: Database, digest: str, start: int, size: int | None) -> bytes:
    """Give a stretch of a blob's bytes.

    Raises:
        NotFound: It is not stored.
        ValueError: The stretch begins before the beginning, or its size is negative.
    """
    found = find_blob(db, digest)
    if found is None:
        raise not_stored(digest)
    key, whole = found
    return b"".join(_stretch(db, key, start, byte_range(whole, start, size)))


def not_stored(digest: str) -> NotFound:
    """Say that nothing is stored under that digest."""
    return NotFound(f"nothing is stored under {digest}")


def byte_range(whole: int, start: int, size: int | None) -> int:
    """Give where a stretch ends.

    Raises:
        ValueError: The stretch begins before the beginning, or its size is negative.
    """
    if start < 0 or (size is not None and size < 0):
        raise ValueError("start and size of a stretch are not negative")
    return whole if size is None else min(whole, start + size)


def _stretch(db: Database, key: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        part, offset = divmod(start, PART)
        row = one(db.execute(READ_PART, (key, part)))
        data = cast(bytes, row[0]) if row is not None else b""
        piece = data[offset : offset + end - start]
        if not piece:
            return
        yield piece
        start += len(piece)


def sha256() -> hashlib._Hash:
    """Begin a digest of bytes that come in pieces."""
    return hashlib.sha256()


class SqlBlobs:
    """Bytes by content in the journal's database."""

    def __init__(self, journal: SqlAccess) -> None:
        self._journal = journal

    def put(self, path: Path, name: str) -> FileRef:
        """Store a file durably, a part at a time.

        Raises:
            JournalError: It could not be read or written, or it changed meanwhile.
        """
        try:
            digest, size = _digest_of(path)
            kept = self._journal.wall() + KEPT
            if not self._journal.write(lambda db: keep_blob(db, digest, kept)):
                self._journal.check_room(size)
                self._copy(path, digest, kept)
        except OSError as error:
            raise JournalError(f"{path} cannot be stored: {error}") from error
        return FileRef(name=name, digest=digest, size=size)

    def _copy(self, path: Path, digest: str, kept: int) -> None:
        """Each part is a transaction of its own, so that a large file does not hold up events."""
        key = self._journal.write(lambda db: begin_blob(db, kept))
        found = sha256()
        size = 0
        try:
            with path.open("rb") as file:
                for part, data in enumerate(iter(lambda: file.read(PART), b"")):
                    found.update(data)
                    size += len(data)
                    self._write_part(key, part, data)
            if found.hexdigest() != digest:
                raise JournalError(f"{path} changed while it was being stored: store it again")
            self._journal.write(lambda db: end_blob(db, key, digest, size, kept))
        except BaseException:
            self._journal.write(lambda db: drop_blob(db, key))
            raise

    def _write_part(self, key: int, part: int, data: bytes) -> None:
        self._journal.write(lambda db: write_part(db, key, part, data))

    def read(self, digest: str, start: int = 0, size: int | None = None) -> bytes:
        """Give a stretch of the stored bytes.

        Raises:
            NotFound: Nothing of that digest is stored.
            JournalError: The file cannot be read.
        """
        found = self._journal.query(lambda db: read_blob(db, digest, start, size))
        if found is None:
            raise not_stored(digest)
        return found


class MemoryBlobs:
    """Bytes by content in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def put(self, path: Path, name: str) -> FileRef:
        """Store a file.

        Raises:
            JournalError: It cannot be read.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise JournalError(f"{path} cannot be stored: {error}") from error
        found = values.digest(data)
        self.stored[found] = data
        return FileRef(name=name, digest=found, size=len(data))

    def read(self, digest: str, start: int = 0, size: int | None = None) -> bytes:
        """Give a stretch of the stored bytes.

        Raises:
            NotFound: Nothing of that digest is stored.
        """
        data = self.stored.get(digest)
        if data is None:
            raise not_stored(digest)
        return data[start : byte_range(len(data), start, size)]


def _digest_of(path: Path) -> tuple[str, int]:
    found = sha256()
    size = 0
    with path.open("rb") as file:
        while data := file.read(PART):
            found.update(data)
            size += len(data)
    return found.hexdigest(), size
