"""A child process that stays: JSON lines in, JSON lines out, within bounds.

It is read as `hocket.agents.process` reads: by non-blocking reads, never by asyncio's transports.
A line has a longest length, a turn has a quota, what is no JSON is borne for a while, the error
output goes into a ring, and the exit is awaited on the pid.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import IO, Any, Final

import msgspec

from hocket.agents.faults import redact
from hocket.agents.guard import guard
from hocket.agents.output import clip, fault
from hocket.agents.process import Launch, describe_exit, spawn
from hocket.agents.session_group import descendants, kill_all
from hocket.agents.session_lines import LINE, Feed, Lines
from hocket.agents.terminal import plain
from hocket.core.errors import AgentError
from hocket.core.values import Json

QUOTA: Final = 256_000_000
"""The most bytes of both outputs from one turn's beginning to the next one's."""
GARBAGE: Final = 100
"""How many lines that are no JSON are borne in a turn."""
_CHUNK: Final = 262_144
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
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Is done once the process has exited."""
        self.error: AgentError | None = None
        self._lines = Lines()
        self._ring = bytearray()
        self._readers: dict[int, Callable[[bytes], None]] = {}
        self._feed: Feed | None = None
        self._pidfd: int | None = None
        self._ending: asyncio.TimerHandle | None = None
        self.renew()
        guard.ready()
        self._popen = spawn(launch)
        self.pid = self._popen.pid
        guard.add(self.pid)
        try:
            self._read(self._popen.stdout, self._take_out)
            self._read(self._popen.stderr, self._take_err)
            assert self._popen.stdin is not None
            self._feed = Feed(self._popen.stdin)
            self._await_exit()
        except BaseException:
            # No descriptor left: the child must not go on unwatched.
            self.close()
            raise

    def renew(self) -> None:
        """A turn begins: count bytes and garbage anew."""
        self._left, self._bad, self._seen = QUOTA, 0, 0

    @property
    def alive(self) -> bool:
        """Whether it runs and can be talked to."""
        return self.error is None and not self.gone.done()

    # ---- reading ----

    def _read(self, pipe: IO[bytes] | None, take: Callable[[bytes], None]) -> None:
        assert pipe is not None
        fd = pipe.fileno()
        os.set_blocking(fd, False)
        self._readers[fd] = take
        self._loop.add_reader(fd, self._readable, fd)

    def _readable(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._stop_reading(fd)
            if not self._readers:
                self._drained()
            return
        self.heard = self._loop.time()
        self._left -= len(data)
        if self._left < 0:
            self._fail(fault("failed", f"{self.name} wrote more than {QUOTA // 10**6} MB"))
            return
        self._readers[fd](data)

    def _stop_reading(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        del self._readers[fd]

    def _take_err(self, data: bytes) -> None:
        self._ring += data
        if len(self._ring) > 2 * _RING:
            del self._ring[:-_RING]

    def _take_out(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if self.error is not None:
                return
            self._take_line(line)
        if self._lines.too_long:
            self._fail(fault("failed", f"{self.name} wrote a line of more than {LINE // 10**6} MB"))

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
        if self.error is None and self._feed is not None:
            self._feed.write(data, end=end)

    # ---- the end ----

    def _await_exit(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            waits = (self._popen, self._loop, self._has_exited)
            threading.Thread(target=_wait_in_thread, args=waits, daemon=True).start()
            return
        self._loop.add_reader(self._pidfd, self._has_exited)

    def _has_exited(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
        if self.gone.done():
            return
        self.gone.set_result(None)
        if not self._readers:
            self._drained()
        elif self.error is None:
            self._ending = self._loop.call_later(_LINGER, self._drained)

    def _drained(self) -> None:
        """Nothing more comes: the pipes are at their end, or the process is."""
        if self.error is not None:
            return
        if not self.gone.done():
            # It closed its output and stays: of no use any more. Its exit follows mostly.
            self._ending = self._loop.call_later(_LINGER, self._closed_output)
            return
        status = self._popen.poll()
        how = describe_exit(-signal.SIGKILL if status is None else status)
        text = self.error_text()
        last = text.strip().rpartition("\n")[2]
        said = f": {clip(last)}" if last else ""
        self._fail(fault("failed", f"{self.name} ended in the middle, {how}{said}", text))

    def _closed_output(self) -> None:
        if not self.gone.done():
            self._fail(fault("failed", f"{self.name} closed its output", self.error_text()))

    def _fail(self, error: AgentError) -> None:
        if self.error is not None:
            return
        self.error = error
        self.kill()
        for fd in tuple(self._readers):
            self._stop_reading(fd)
        self._lines.clear()
        self.lost(error)

    def error_text(self) -> str:
        """The end of the error output, fit for display."""
        return redact(plain(self._ring.decode("utf-8", "replace")), self._secrets)[-4_000:]

    def kill(self) -> None:
        """Kill the group, and those that its processes began in groups of their own."""
        others = descendants(self.pid) if not self.gone.done() else []
        self.signal(signal.SIGKILL)
        kill_all(others)

    def signal(self, number: int) -> None:
        """Send a signal to the group."""
        if self._popen.returncode is not None:
            # Reaped: the number may belong to somebody else by now.
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def close(self) -> None:
        """Kill what is left, give every descriptor back and reap the child."""
        if self._ending is not None:
            self._ending.cancel()
        self.kill()
        if self.error is None:
            self.error = fault("failed", f"{self.name} was ended")
        for fd in tuple(self._readers):
            self._stop_reading(fd)
        if self._feed is not None:
            self._feed.close()
        elif self._popen.stdin is not None:
            self._popen.stdin.close()
        for output in (self._popen.stdout, self._popen.stderr):
            if output is not None:
                output.close()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._popen.poll() is None:
            # Killed, and gone in a moment: reaping must not hold up the loop.
            threading.Thread(target=_reap, args=(self._popen,), daemon=True).start()
        else:
            guard.remove(self.pid)


def _reap(popen: subprocess.Popen[bytes]) -> None:
    popen.wait()
    guard.remove(popen.pid)


def _wait_in_thread(
    popen: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, exited: Callable[[], None]
) -> None:
    """Wait without reaping: the pid is the group's until that is killed."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    else:
        popen.wait()
    try:
        loop.call_soon_threadsafe(exited)
    except RuntimeError:
        return  # the loop was closed meanwhile: nobody waits any more
