"""What calls say while they run: the port, and the one in files of the state folder.

Logs are a convenience: they are not synced, are cut at a size, and nothing is resumed from them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import quote, unquote

from hocket.core.errors import JournalError
from hocket.core.values import Call

MAX_BYTES: Final = 4 << 20
"""What is kept of one call."""

CUT: Final = b"\n[log cut here: 4 MB]\n"

_BATCHES: Final = 4
"""After so many looks what was said has surely come."""


class Logs(Protocol):
    """What calls say, kept where another terminal can follow it.

    Attributes:
        period: Seconds between two looks of who follows a log; 0 where looking costs next to
            nothing and may be done in an event loop.
    """

    period: float

    def write(self, run: str, call: Call, data: bytes) -> None:
        """Keep a piece of what a call says; it never waits, and what fails is a lost line."""

    def end(self, run: str, call: Call) -> None:
        """Take note that a call says nothing more."""

    def close(self, run: str) -> None:
        """Take note that no call of a run says anything more here."""

    def read(self, run: str, call: Call, start: int = 0, size: int | None = None) -> bytes:
        """Give a stretch of what a call has said; empty if there is none.

        Raises:
            JournalError: It cannot be read.
        """

    def size(self, run: str, call: Call) -> int | None:
        """Give how many bytes a call has said; None if it has no log.

        Raises:
            JournalError: It cannot be read.
        """

    def calls(self, run: str) -> list[Call]:
        """Give the calls of a run that have a log.

        Raises:
            JournalError: They cannot be read.
        """

    def put(self, run: str, call: Call, data: bytes) -> None:
        """Keep all that a call has said, instead of what is there.

        Raises:
            JournalError: It could not be written.
        """

    def remove(self, runs: Sequence[str]) -> None:
        """Delete all logs of runs.

        Raises:
            JournalError: They could not be removed.
        """


def unsettled(logs: Logs, at: int) -> float:
    """Give the seconds until all can be read that was said before an instant.

    What is written in batches comes a little after the event that it belongs to.
    """
    if not logs.period:
        return 0.0
    late = _BATCHES * logs.period
    # Another machine's clock may be wrong: nobody waits longer than a batch takes.
    return min(max(at / 1e9 + late - time.time(), 0.0), late)


class CallLog:
    """The log of one call, as who reads on in it needs it.

    Args:
        logs: All logs.
        run: The run's id.
        call: The call.
    """

    def __init__(self, logs: Logs, run: str, call: Call) -> None:
        self.period: Final = logs.period
        self._logs = logs
        self._run = run
        self._call = call

    def size(self) -> int | None:
        """Give how many bytes there are; None if there is no log."""
        return self._logs.size(self._run, self._call)

    def read(self, start: int, size: int | None = None) -> bytes:
        """Give a stretch."""
        return self._logs.read(self._run, self._call, start, size)


class FileLogs:
    """Logs in files of a state folder, one for each call.

    Args:
        state: The state folder.
    """

    period = 0.0

    def __init__(self, state: Path) -> None:
        self._state = state
        self._open: dict[tuple[str, Call], tuple[BinaryIO, int]] = {}
        self._broken: set[str] = set()

    def folder(self, run: str) -> Path:
        """Give the folder of a run's logs."""
        return self._state / "logs" / quote(run, safe="")

    def file(self, run: str, call: Call) -> Path:
        """Give the file of a call's log."""
        return self.folder(run) / f"{quote(call.path, safe='')}#{call.attempt}.log"

    def write(self, run: str, call: Call, data: bytes) -> None:
        """Append to a call's file; after a failure nothing more is kept of its run."""
        if run in self._broken:
            return
        try:
            self._write(run, call, data)
        except OSError:
            # The journal tells of a full disk; a lost log line must not end a run.
            self._broken.add(run)

    def _write(self, run: str, call: Call, data: bytes) -> None:
        file, size = self._open.get((run, call), (None, 0))
        if file is None:
            path = self.file(run, call)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            file = os.fdopen(descriptor, "ab", buffering=0)
        if size < MAX_BYTES:
            file.write(data[: MAX_BYTES - size])
            if size + len(data) >= MAX_BYTES:
                file.write(CUT)
        self._open[run, call] = file, size + len(data)

    def end(self, run: str, call: Call) -> None:
        """Close a call's file."""
        if found := self._open.pop((run, call), None):
            found[0].close()

    def close(self, run: str) -> None:
        """Close all files of a run."""
        for key in [key for key in self._open if key[0] == run]:
            self.end(*key)
        self._broken.discard(run)

    def read(self, run: str, call: Call, start: int = 0, size: int | None = None) -> bytes:
        """Give a stretch of what a call has said; links are not followed."""
        descriptor = self._descriptor(run, call)
        if descriptor is None:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            file.seek(start)
            return file.read() if size is None else file.read(size)

    def size(self, run: str, call: Call) -> int | None:
        """Give how many bytes a call has said; None if it has no log."""
        descriptor = self._descriptor(run, call)
        if descriptor is None:
            return None
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _descriptor(self, run: str, call: Call) -> int | None:
        """Open a call's file; None where it said nothing, or it was removed with its run."""
        try:
            return os.open(self.file(run, call), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None

    def calls(self, run: str) -> list[Call]:
        """Give the calls of a run that have a log."""
        found = []
        for path in sorted(self.folder(run).glob("*.log")):
            name, _, attempt = path.stem.rpartition("#")
            if attempt.isdecimal():
                found.append(Call(unquote(name), int(attempt)))
        return found

    def put(self, run: str, call: Call, data: bytes) -> None:
        """Keep all that a call has said, instead of what is there.

        Raises:
            JournalError: It could not be written.
        """
        path = self.file(run, call)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                path.unlink()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError as error:
            raise JournalError(f"the log {path} cannot be written: {error}") from error

    def remove(self, runs: Sequence[str]) -> None:
        """Delete all logs of runs."""
        for run in runs:
            shutil.rmtree(self.folder(run), ignore_errors=True)


class NoLogs:
    """Keeps nothing: what a journal in memory has, whose runs nobody else can look at."""

    period = 0.0

    def write(self, run: str, call: Call, data: bytes) -> None:
        """Keep nothing."""

    def end(self, run: str, call: Call) -> None:
        """Do nothing."""

    def close(self, run: str) -> None:
        """Do nothing."""

    def read(self, run: str, call: Call, start: int = 0, size: int | None = None) -> bytes:
        """Give nothing."""
        return b""

    def size(self, run: str, call: Call) -> int | None:
        """Say that there is no log."""
        return None

    def calls(self, run: str) -> list[Call]:
        """Give none."""
        return []

    def put(self, run: str, call: Call, data: bytes) -> None:
        """Keep nothing."""

    def remove(self, runs: Sequence[str]) -> None:
        """Do nothing."""
