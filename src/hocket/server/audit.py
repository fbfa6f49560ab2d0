"""Who did what, from where, and who was turned away: lines that are only ever added."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hocket.server.answers import Reason
from hocket.server.quotas import Buckets, Clock

_LOG: Final = logging.getLogger("hocket.server")
_FILE: Final = "audit.jsonl"
_KEPT: Final = 4
_TAIL: Final = 8192
_MOST_TEXT: Final = 300
_REFUSED_RATE: Final = 1.0
_REFUSED_BURST: Final = 50


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the audit.

    Fields:
        seq: Counts the lines, also over files that were put aside.
        at: When, in milliseconds since the epoch.
        by: Who, as the journal has it.
        role: What the token allowed, or "" if there was no good one.
        address: From where.
        method: The HTTP method, or ``SOCKET``.
        path: The path that was asked for, without its query.
        status: The HTTP status of the answer.
        reason: Why it was turned away, or "".
        unwritten: How many before it were turned away alike and have no line of their own.
    """

    seq: int
    at: float
    by: str = ""
    role: str = ""
    address: str = ""
    method: str = ""
    path: str = ""
    status: int = 0
    reason: Reason = ""
    unwritten: int = 0


class Audit:
    """The audit of a state folder, which all its servers add to.

    Args:
        folder: Where its files are.
        most: At what size a file is put aside.
        wall: Gives the instant.
        clock: Gives the seconds that have passed since some instant.
    """

    def __init__(self, folder: Path, most: int, wall: Clock, clock: Clock) -> None:
        self._path = folder / _FILE
        self._most = most
        self._wall = wall
        self._floods = Buckets(_REFUSED_RATE, _REFUSED_BURST, clock)
        self._unwritten = 0

    def refused(self, entry: Entry) -> None:
        """Add that somebody was turned away, unless a flood of the same has filled its share."""
        host = entry.address.rpartition(":")[0]
        if self._floods.take(f"{entry.reason} {host}"):
            self._unwritten += 1
            return
        self.add(msgspec.structs.replace(entry, unwritten=self._unwritten))
        self._unwritten = 0

    def add(self, entry: Entry) -> None:
        """Add a line; its number and instant are set here.

        A disk that is full is told of in the server's log: nobody is kept from what he may do.
        """
        try:
            self._add(entry)
        except OSError as error:
            _LOG.error("the audit cannot be written to %s: %s", self._path, error.strerror)

    def _add(self, entry: Entry) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(
            self._path.with_name("audit.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            last = _last(self._path)
            if not last:
                last = _last(self._aside(1))
            elif self._path.stat().st_size >= self._most:
                self._put_aside()
            line = msgspec.structs.replace(
                entry,
                seq=last + 1,
                at=round(self._wall() * 1e3, 3),
                path=entry.path[:_MOST_TEXT],
                by=entry.by[:_MOST_TEXT],
            )
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            file = os.open(self._path, flags, 0o600)
            try:
                os.write(file, msgspec.json.encode(line) + b"\n")
            finally:
                os.close(file)
        finally:
            os.close(lock)

    def read(self, after: int, limit: int) -> list[Entry]:
        """Give lines behind a number, oldest first; those of the oldest files are gone."""
        found: list[Entry] = []
        for path in [*(self._aside(n) for n in range(_KEPT, 0, -1)), self._path]:
            if _last(path) <= after:
                continue
            for entry in _entries(path):
                if entry.seq > after:
                    found.append(entry)
                    if len(found) == limit:
                        return found
        return found

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"audit.{number}.jsonl")

    def _put_aside(self) -> None:
        for number in range(_KEPT - 1, 0, -1):
            if self._aside(number).exists():
                self._aside(number).replace(self._aside(number + 1))
        self._path.replace(self._aside(1))


def _entries(path: Path) -> Iterator[Entry]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            entry = _entry(line)
            if entry is not None:
                yield entry


def _last(path: Path) -> int:
    """Give the number of a file's last line, or 0."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return 0
    return max((entry.seq for line in lines if (entry := _entry(line)) is not None), default=0)


def _entry(line: bytes) -> Entry | None:
    """Read a line; None for one that a crash has cut."""
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.MsgspecError:
        return None
