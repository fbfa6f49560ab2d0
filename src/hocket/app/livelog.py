"""What calls say while they run, kept in files that another terminal can follow.

These files are a convenience: they are not synced, are cut at a size, and nothing is resumed from
them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallLost, Recorded
from hocket.core.values import Call

MAX_BYTES: Final = 4 << 20
_ENDS = (CallFinished, CallFailed, CallCancelled, CallLost)


def log_folder(state: Path, run: str) -> Path:
    """Give the folder of a run's logs."""
    return state / "logs" / quote(run, safe="")


def log_file(state: Path, run: str, call: Call) -> Path:
    """Give the file of a call's log."""
    return log_folder(state, run) / f"{quote(call.path, safe='')}#{call.attempt}.log"


class LiveLog:
    """Writes what calls say; an observer of a run.

    Args:
        state: The state folder; None keeps nothing.
        run: The run's id.
    """

    def __init__(self, state: Path | None, run: str) -> None:
        self._state = state
        self._run = run
        self._open: dict[Call, tuple[BinaryIO, int]] = {}
        self._broken = False

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """A call has said something."""
        if self._broken or self._state is None:
            return
        try:
            self._write(self._state, call, text.encode("utf-8", "replace"))
        except OSError:
            # The journal tells of a full disk; a lost log line must not end a run.
            self._broken = True

    def recorded(self, events: Sequence[Recorded]) -> None:
        """Close the files of calls that have ended."""
        for recorded in events:
            event = recorded.event
            if isinstance(event, _ENDS) and event.call in self._open:
                self._open.pop(event.call)[0].close()

    def close(self) -> None:
        """Close all files."""
        for file, _ in self._open.values():
            file.close()
        self._open.clear()

    def _write(self, state: Path, call: Call, data: bytes) -> None:
        file, size = self._open.get(call, (None, 0))
        if file is None:
            path = log_file(state, self._run, call)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            file = os.fdopen(descriptor, "ab", buffering=0)
        if size < MAX_BYTES:
            file.write(data[: MAX_BYTES - size])
            if size + len(data) >= MAX_BYTES:
                file.write(b"\n[log cut here: 4 MB]\n")
        self._open[call] = file, size + len(data)
