"""Kept answers: what calls gave, to be given again when the very same is asked.

An answer is written with the commit of the event that it came with, so either both are on disk or
neither.
It outlives its run; its output and its files are stored once, by content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from hocket.core.errors import JournalError, NotFound
from hocket.core.events import Usage
from hocket.core.values import Json, digest
from hocket.journal.base import Answered, Near
from hocket.journal.blobs import free_blobs, read_blob, write_blob, write_refs
from hocket.journal.codec import LARGE, files_in
from hocket.journal.schema import Database, integer, one, text
from hocket.journal.sql_access import SqlAccess

FIND: Final = """
SELECT key, kin, at, until, output, digest, usage, notes, vector FROM answers WHERE key = ?"""
NEAR: Final = """
SELECT key, at, until, vector FROM answers WHERE kin = ? AND kin <> '' ORDER BY at DESC LIMIT ?"""
KNOWN: Final = "SELECT id FROM answers WHERE key = ?"
EXPIRED: Final = "SELECT id FROM answers WHERE until <= ? LIMIT 64"
OLDER: Final = "SELECT id FROM answers WHERE at < ?"
COUNT: Final = "SELECT count(*) FROM answers WHERE at < ?"
KEEP: Final = """
INSERT INTO answers (key, kin, at, until, output, digest, usage, notes, vector)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"""
FORGET: Final = "DELETE FROM answers WHERE id = ?"
HAS_REFS: Final = "SELECT 1 FROM refs WHERE run = ?"
IS_THERE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'answers'"

_encoder: Final = msgspec.json.Encoder()
_usage: Final = msgspec.json.Decoder(Usage | None)
_notes: Final = msgspec.json.Decoder(tuple[str, ...])


class Ready(NamedTuple):
    """An answer ready to be written.

    Fields:
        answer: The answer.
        output: Its output as JSON.
        files: Digests of the stored files that the output names.
    """

    answer: Answered
    output: bytes
    files: tuple[str, ...]


def ready(answer: Answered) -> Ready:
    """Encode an answer, whose output was accepted as that of an event already."""
    output = _encoder.encode(answer.output)
    return Ready(answer, output, files_in(output))


def keep(db: Database, answers: Sequence[Ready]) -> None:
    """Write answers, each instead of an earlier one of its key, and let some go that are too old.

    What they name is stored with the event that they came with, or else here.
    """
    for answer, output, files in answers:
        for (old,) in db.execute(KNOWN, (answer.key,)).fetchall():
            _forget(db, integer(old), answer.at)
        for (old,) in db.execute(EXPIRED, (answer.at,)).fetchall():
            _forget(db, integer(old), answer.at)
        large = digest(output) if len(output) > LARGE else None
        row = (
            *(answer.key, answer.kin, answer.at, answer.until),
            *(None if large else output.decode(), large),
            *(_encoder.encode(answer.usage).decode(), _encoder.encode(answer.notes).decode()),
            answer.vector,
        )
        id = integer(db.execute(KEEP, row).fetchall()[0][0])
        if large is not None:
            write_blob(db, large, output)
            files = (*files, large)
        write_refs(db, -id, files)


def find(db: Database, key: str) -> Answered | None:
    """Give the answer of a key.

    Raises:
        JournalError: It cannot be read.
    """
    row = one(db.execute(FIND, (key,))) if _is_there(db) else None
    if row is None:
        return None
    known, kin, at, until, output, large, usage, notes, vector = row
    try:
        data = text(output) if large is None else read_blob(db, text(large), 0, None)
        return Answered(
            key=text(known),
            kin=text(kin),
            at=integer(at),
            until=None if until is None else integer(until),
            output=msgspec.json.decode(data),
            usage=_usage.decode(text(usage)),
            notes=_notes.decode(text(notes)),
            vector=_bytes(vector),
        )
    except (msgspec.DecodeError, RecursionError, NotFound) as error:
        raise JournalError(f"the kept answer {key[:12]} cannot be read: {error}") from error


def near(db: Database, kin: str, most: int) -> list[Near]:
    """Give the latest answers of one kin, newest first."""
    if not _is_there(db):
        return []
    return [
        Near(text(key), integer(at), None if until is None else integer(until), _bytes(vector))
        for key, at, until, vector in db.execute(NEAR, (kin, most)).fetchall()
    ]


def count(db: Database, before: int) -> int:
    """Count the answers that were given before an instant."""
    return integer((one(db.execute(COUNT, (before,))) or (0,))[0]) if _is_there(db) else 0


def drop(db: Database, before: int, now: int) -> int:
    """Forget the answers that were given before an instant; gives how many."""
    old = db.execute(OLDER, (before,)).fetchall()
    for (id,) in old:
        _forget(db, integer(id), now)
    return len(old)


def _forget(db: Database, id: int, now: int) -> None:
    db.execute(FORGET, (id,))
    # Most answers name nothing, and looking for what nobody names any more takes long.
    if one(db.execute(HAS_REFS, (-id,))) is not None:
        free_blobs(db, -id, now)


def _is_there(db: Database) -> bool:
    """Tell whether the file has kept answers: an older one that cannot be written has not."""
    return one(db.execute(IS_THERE)) is not None


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


class SqlAnswers:
    """Kept answers in the journal's database."""

    def __init__(self, journal: SqlAccess) -> None:
        self._journal = journal

    def find(self, key: str) -> Answered | None:
        """Give the answer of a key, however old it is.

        Raises:
            JournalError: It cannot be read.
        """
        return self._journal.query(lambda db: find(db, key))

    def near(self, kin: str, most: int) -> list[Near]:
        """Give what the latest answers of one kin were asked, newest first.

        Raises:
            JournalError: They cannot be read.
        """
        return self._journal.query(lambda db: near(db, kin, most)) or []

    def count(self, before: int) -> int:
        """Count the answers that were given before an instant.

        Raises:
            JournalError: They cannot be read.
        """
        return self._journal.query(lambda db: count(db, before)) or 0

    def drop(self, before: int, now: int) -> int:
        """Forget the answers that were given before an instant; gives how many.

        Raises:
            JournalError: The file cannot be written.
        """
        # A journal that is not there is not made for that.
        if not self.count(before):
            return 0
        dropped = self._journal.write(lambda db: drop(db, before, now))
        self._journal.shrink()
        return dropped


class MemoryAnswers:
    """Kept answers in memory.

    Attributes:
        kept: The answers by key, with the files that they name.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Ready] = {}
        self._soonest: int | None = None
        """Before this instant none is too old."""

    def keep(self, answers: Sequence[Ready]) -> None:
        """Take answers as durable, each instead of an earlier one of its key."""
        for item in answers:
            self.kept.pop(item.answer.key, None)
            if self._soonest is not None and self._soonest <= item.answer.at:
                self._let_go(item.answer.at)
            self.kept[item.answer.key] = item
            if (until := item.answer.until) is not None:
                self._soonest = until if self._soonest is None else min(until, self._soonest)

    def find(self, key: str) -> Answered | None:
        """Give the answer of a key, however old it is."""
        found = self.kept.get(key)
        if found is None:
            return None
        # What a reader does to it must not change it.
        output: Json = msgspec.json.decode(found.output)
        return msgspec.structs.replace(found.answer, output=output)

    def near(self, kin: str, most: int) -> list[Near]:
        """Give what the latest answers of one kin were asked, newest first."""
        all_ = [item.answer for item in self.kept.values()]
        found = [Near(a.key, a.at, a.until, a.vector) for a in all_ if kin and a.kin == kin]
        return sorted(found, key=_by_age)[:most]

    def count(self, before: int) -> int:
        """Count the answers that were given before an instant."""
        return sum(item.answer.at < before for item in self.kept.values())

    def drop(self, before: int, now: int) -> int:
        """Forget the answers that were given before an instant; gives how many."""
        known = len(self.kept)
        self.kept = {key: item for key, item in self.kept.items() if item.answer.at >= before}
        return known - len(self.kept)

    def files(self) -> set[str]:
        """Give the digests of the files that answers name."""
        return {name for item in self.kept.values() for name in item.files}

    def copy(self) -> MemoryAnswers:
        """Give a store of the same answers."""
        twin = MemoryAnswers()
        twin.kept = dict(self.kept)
        twin._soonest = self._soonest
        return twin

    def _let_go(self, now: int) -> None:
        ends = {key: item.answer.until for key, item in self.kept.items()}
        for key, until in ends.items():
            if until is not None and until <= now:
                del self.kept[key]
        later = [until for until in ends.values() if until is not None and until > now]
        self._soonest = min(later, default=None)


def _by_age(near: Near) -> int:
    return -near.at
