"""Bytes by content and the duration book in a journal's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hocket.core.errors import JournalError
from hocket.core.values import FileRef
from hocket.journal import blobs, book
from hocket.journal.answers import Access as Database
from hocket.journal.base import Past, Sample


class Access(Database, Protocol):
    """A journal's database, as far as it takes to store bytes."""

    def wall(self) -> int:
        """Give the present instant by the clock of the journal."""

    def check_room(self, size: int) -> None:
        """See that so many bytes fit.

        Raises:
            JournalError: They do not.
        """


class SqlBlobs:
    """Bytes by content in the journal's database."""

    def __init__(self, journal: Access) -> None:
        self._journal = journal

    def put(self, path: Path, name: str) -> FileRef:
        """Store a file durably, a part at a time.

        Raises:
            JournalError: It could not be read or written, or it changed meanwhile.
        """
        try:
            digest, size = _digest_of(path)
            kept = self._journal.wall() + blobs.KEPT
            if not self._journal.write(lambda db: blobs.keep_blob(db, digest, kept)):
                self._journal.check_room(size)
                self._copy(path, digest, kept)
        except OSError as error:
            raise JournalError(f"{path} cannot be stored: {error}") from error
        return FileRef(name=name, digest=digest, size=size)

    def _copy(self, path: Path, digest: str, kept: int) -> None:
        """Each part is a transaction of its own, so that a large file does not hold up events."""
        key = self._journal.write(lambda db: blobs.begin_blob(db, kept))
        found = blobs.sha256()
        size = 0
        try:
            with path.open("rb") as file:
                for part, data in enumerate(iter(lambda: file.read(blobs.PART), b"")):
                    found.update(data)
                    size += len(data)
                    self._write_part(key, part, data)
            if found.hexdigest() != digest:
                raise JournalError(f"{path} changed while it was being stored: store it again")
            self._journal.write(lambda db: blobs.end_blob(db, key, digest, size, kept))
        except BaseException:
            self._journal.write(lambda db: blobs.drop_blob(db, key))
            raise

    def _write_part(self, key: int, part: int, data: bytes) -> None:
        self._journal.write(lambda db: blobs.write_part(db, key, part, data))

    def read(self, digest: str, start: int = 0, size: int | None = None) -> bytes:
        """Give a stretch of the stored bytes.

        Raises:
            NotFound: Nothing of that digest is stored.
            JournalError: The file cannot be read.
        """
        found = self._journal.query(lambda db: blobs.read_blob(db, digest, start, size))
        if found is None:
            raise blobs.not_stored(digest)
        return found


class SqlBook:
    """The duration book in the journal's database."""

    def __init__(self, journal: Access) -> None:
        self._journal = journal

    def record(self, samples: Sequence[Sample]) -> None:
        """Add samples, oldest first; of each plan, step and agent the latest are kept.

        Raises:
            JournalError: It could not be written.
        """
        if samples:
            self._journal.write(lambda db: book.record(db, samples))

    def read(self, plan: str) -> list[Past]:
        """Give what is known of a plan's steps, by step and agent.

        Raises:
            JournalError: It could not be read.
        """
        return self._journal.query(lambda db: book.read(db, plan)) or []


def _digest_of(path: Path) -> tuple[str, int]:
    found = blobs.sha256()
    size = 0
    with path.open("rb") as file:
        while data := file.read(blobs.PART):
            found.update(data)
            size += len(data)
    return found.hexdigest(), size
