"""Bytes from and to a process: cut into lines within bounds, and written without waiting."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import IO, Final

LINE: Final = 32_000_000
"""The longest line, in bytes."""
_CHUNK: Final = 262_144


class Lines:
    """Cuts what comes into lines; what is longer than `LINE` is told by `too_long`."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, and give the lines that are whole by now; empty ones are left out."""
        self._held += data
        while (end := self._held.find(b"\n", self._searched)) >= 0:
            line = bytes(self._held[:end]).strip()
            del self._held[: end + 1]
            self._searched = 0
            if line:
                yield line
        self._searched = len(self._held)

    @property
    def too_long(self) -> bool:
        """Whether a line is longer than any may be."""
        return len(self._held) > LINE

    def clear(self) -> None:
        """Let go of what is held."""
        self._held.clear()
        self._searched = 0


class Feed:
    """Writes to a pipe what it takes, and keeps the rest until it takes more."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._waiting = False
        self._ending = False
        os.set_blocking(pipe.fileno(), False)

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes, and maybe nothing more after them."""
        if self._pipe.closed or self._ending:
            return
        self._unsent += data
        self._ending = end
        self._writable()

    def _writable(self) -> None:
        try:
            while self._unsent:
                sent = os.write(self._pipe.fileno(), self._unsent[:_CHUNK])
                del self._unsent[:sent]
        except (BlockingIOError, InterruptedError):
            if not self._waiting:
                self._waiting = True
                self._loop.add_writer(self._pipe.fileno(), self._writable)
            return
        except OSError:
            # It reads no more; its exit says why.
            self._unsent.clear()
        self._wait_no_more()
        if self._ending:
            self._pipe.close()

    def _wait_no_more(self) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._pipe.fileno())

    def close(self) -> None:
        """Give the descriptor back."""
        if not self._pipe.closed:
            self._wait_no_more()
            self._pipe.close()
