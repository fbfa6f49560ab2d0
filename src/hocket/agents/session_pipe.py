"""A child process that stays: JSON lines in, JSON lines out, within bounds.

A line has a longest length, a turn has a quota, what is no JSON is borne for a while, and the error
output goes into a ring.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, Final

import msgspec

from hocket.agents.child import ChildProcess, Launch
from hocket.agents.faults import redact
from hocket.agents.output import clip, fault
from hocket.agents.process import describe_exit
from hocket.agents.session_group import descendants, kill_all
from hocket.agents.session_lines import LINE, Lines
from hocket.agents.terminal import plain
from hocket.core.errors import AgentError
from hocket.core.values import Json

QUOTA: Final = 256_000_000
"""The most bytes of both outputs from one turn's beginning to the next one's."""
GARBAGE: Final = 100
"""How many lines that are no JSON are borne in a turn."""
_RING: Final = 65_536
_LINGER: Final = 0.2
"""Seconds that the pipes are still read after the exit."""

Message = dict[str, Any]


class Pipe:
    """A process that speaks lines of JSON objects.

    Args:
        launch: What to run.
        secrets: What must not be shown of its error output.

    Attributes:
        take: Gets each message; set it before the loop runs again.
        lost: Is told once that nothing more will come, and why.
        pid: The process's id, which is its group's as well.
        gone: Is done once the process has exited.

    Raises:
        AgentError: It cannot be started.
    """

    def __init__(self, launch: Launch, secrets: tuple[str, ...] = ()) -> None:
        self.take: Callable[[Message], None] = lambda message: None
        self.lost: Callable[[AgentError], None] = lambda error: None
        self.name = os.path.basename(launch.argv[0])
        self._secrets = secrets
        self._loop = asyncio.get_running_loop()
        self.heard = self._loop.time()
        self.error: AgentError | None = None
        self._lines = Lines()
        self._ring = bytearray()
        self._ending: asyncio.TimerHandle | None = None
        self.renew()
        self._child = ChildProcess(launch, self._take_out, self._take_err)
        self.pid = self._child.pid
        self.gone = self._child.exited
        for end in (self._child.exited, self._child.drained):
            end.add_done_callback(self._comes_to_an_end)

    def renew(self) -> None:
        """A turn begins: count bytes and garbage anew."""
        self._left, self._bad, self._seen = QUOTA, 0, 0

    @property
    def alive(self) -> bool:
        """Whether it runs and can be talked to."""
        return self.error is None and not self.gone.done()

    # ---- reading ----

    def _take_out(self, data: bytes) -> None:
        self._hear(data)
        for line in self._lines.feed(data):
            if self.error is not None:
                return
            self._take_line(line)
        if self._lines.too_long:
            self._fail(fault("failed", f"{self.name} wrote a line of more than {LINE // 10**6} MB"))

    def _take_err(self, data: bytes) -> None:
        self._hear(data)
        self._ring += data
        if len(self._ring) > 2 * _RING:
            del self._ring[:-_RING]

    def _hear(self, data: bytes) -> None:
        self.heard = self._loop.time()
        self._left -= len(data)
        if self._left < 0:
            self._fail(fault("failed", f"{self.name} wrote more than {QUOTA // 10**6} MB"))

    def _take_line(self, line: bytes) -> None:
        try:
            message = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            message = None
        if isinstance(message, dict):
            self._seen += 1
            self.take(message)
            return
        self._bad += 1
        if self._bad > GARBAGE:
            shown = clip(plain(line[:200].decode("utf-8", "replace")), 120)
            self._fail(
                fault("failed", f"{self.name} writes what is no JSON: {shown!r}", self.error_text())
            )

    # ---- writing ----

    def send(self, message: Json) -> None:
        """Send a line; it is buffered if the process does not read."""
        self.write(msgspec.json.encode(message) + b"\n")

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes, and maybe nothing more after them."""
        if self.error is None and self._child.feed is not None:
            self._child.feed.write(data, end=end)

    # ---- the end ----

    def _comes_to_an_end(self, end: asyncio.Future[None]) -> None:
        if self.error is not None:
            return
        if self.gone.done() and self._child.drained.done():
            self._ended()
        elif self._ending is None:
            # The one follows the other mostly; else it is of no use any more.
            self._ending = self._loop.call_later(_LINGER, self._ended)

    def _ended(self) -> None:
        text = self.error_text()
        if not self.gone.done():
            self._fail(fault("failed", f"{self.name} closed its output", text))
            return
        # Before it is reaped: what it has left in the background ends with it.
        self.kill()
        status = self._child.popen.poll()
        how = describe_exit(-signal.SIGKILL if status is None else status)
        last = text.strip().rpartition("\n")[2]
        said = f": {clip(last)}" if last else ""
        self._fail(fault("failed", f"{self.name} ended in the middle, {how}{said}", text))

    def _fail(self, error: AgentError) -> None:
        if self.error is not None:
            return
        self.error = error
        self.kill()
        self._child.ignore()
        self._lines.clear()
        self.lost(error)

    def error_text(self) -> str:
        """The end of the error output, fit for display."""
        return redact(plain(self._ring.decode("utf-8", "replace")), self._secrets)[-4_000:]

    def kill(self) -> None:
        """Kill the group, and those that its processes began in groups of their own."""
        # Once it is reaped its number may mean another; until then it leads what is left.
        others = descendants(self.pid) if self._child.popen.returncode is None else []
        self.signal(signal.SIGKILL)
        kill_all(others)

    def signal(self, number: int) -> None:
        """Send a signal to the group."""
        self._child.signal(number)

    def close(self) -> None:
        """Kill what is left, give every descriptor back and reap the child."""
        if self._ending is not None:
            self._ending.cancel()
        self.kill()
        if self.error is None:
            self.error = fault("failed", f"{self.name} was ended")
        self._child.close()
