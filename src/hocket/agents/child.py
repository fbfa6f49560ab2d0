"""A child process as all of Hocket's are: its start, its pipes, its exit and its group.

It leads a session and process group of its own.
Both outputs are always drained, by non-blocking reads, and never by asyncio's own transports: those
lose a line above 64 KiB, and wait for ever while a grandchild holds a pipe.
The exit is awaited on the pid, apart from the pipes.
A process that starts a session of its own (``setsid``, a daemon) leaves the group.
`hocket.agents.guard` sees to it that nothing survives when Hocket itself is killed with -9.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from hocket.agents.guard import guard
from hocket.agents.output import fault
from hocket.agents.session_lines import Feed
from hocket.core.errors import AgentError, suggest

KEEP: Final = 1_000_000
QUOTA: Final = 64_000_000
_CHUNK: Final = 262_144


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and within which bounds.

    Fields:
        argv: The program and its arguments; no shell sees them.
        env: The whole environment.
        cwd: The working folder, or None for Hocket's own.
        stdin: Bytes to feed, a file to read from, or None for nothing.
        keep: How many bytes of the output's beginning are kept; of the error output its end is.
        quota: The bytes of both outputs after which the process is killed.
        grace: Seconds between a polite end and a kill.
        linger: Seconds that the pipes are still read after the exit while a grandchild holds them.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None = None
    stdin: bytes | Path | None = None
    keep: int = KEEP
    quota: int = QUOTA
    grace: float = 5.0
    linger: float = 0.5


class ChildProcess:
    """A running process, its pipes and its group; for the running loop.

    Args:
        launch: What to run.
        out: Gets what it writes, while it comes.
        err: The same of its error output.

    Attributes:
        pid: The process's id, which is its group's as well.
        popen: The process.
        feed: Writes to it; None if its input is no pipe.
        exited: Is done once it has exited; it is not reaped then.
        drained: Is done once nothing more is read.

    Raises:
        AgentError: It cannot be started (``permanent``, or ``unavailable`` for want of memory or
            processes).
    """

    def __init__(
        self, launch: Launch, out: Callable[[bytes], None], err: Callable[[bytes], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.drained: asyncio.Future[None] = self._loop.create_future()
        self.feed: Feed | None = None
        self._readers: dict[int, Callable[[bytes], None]] = {}
        self._pidfd: int | None = None
        guard.ready()
        self.popen = _spawn(launch)
        self.pid = self.popen.pid
        guard.add(self.pid)
        try:
            self._read(self.popen.stdout, out)
            self._read(self.popen.stderr, err)
            if self.popen.stdin is not None:
                self.feed = Feed(self.popen.stdin)
            self._await_exit()
        except BaseException:
            # A loop without descriptors, or no descriptor left: the child must not go on unwatched.
            self.close()
            raise

    # ---- the output ----

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
        if data:
            self._readers[fd](data)
        else:
            self._stop_reading(fd)

    def _stop_reading(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        del self._readers[fd]
        if not self._readers and not self.drained.done():
            self.drained.set_result(None)

    def ignore(self) -> None:
        """Read nothing more."""
        for fd in tuple(self._readers):
            self._stop_reading(fd)

    # ---- the end ----

    def _await_exit(self) -> None:
        """Learn of the exit without reaping: the pid is the group's until that is killed."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            # Not Linux, an old kernel, or no descriptor left: a thread can wait as well.
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
            return
        self._loop.add_reader(self._pidfd, self._has_exited)

    def _wait_in_thread(self) -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:
            self.popen.wait()
        try:
            self._loop.call_soon_threadsafe(self._has_exited)
        except RuntimeError:
            # The loop was closed meanwhile: nobody waits any more.
            return

    def _has_exited(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
        if not self.exited.done():
            self.exited.set_result(None)

    def signal(self, number: int) -> None:
        """Send a signal to all of the group that is left."""
        if self.popen.returncode is not None:
            # Reaped: the number may belong to somebody else by now.
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # Gone; or, on some systems, only a zombie is left, or it took another user's rights.
            return

    def close(self) -> None:
        """Kill what is left, give every descriptor back and reap the child."""
        self.signal(signal.SIGKILL)
        self.ignore()
        if self.feed is not None:
            self.feed.close()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                # Nothing was written through the object: this flushes nothing and cannot block.
                pipe.close()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        reap(self.popen)


def reap(popen: subprocess.Popen[bytes]) -> None:
    """Forget a child that has ended or was killed, without holding up the loop."""
    if popen.poll() is None:
        # In an uninterruptible wait, maybe: it is reaped when the kernel lets go.
        threading.Thread(target=popen.wait, daemon=True).start()
    guard.remove(popen.pid)


# ---- starting ----


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its outputs by pipes."""
    program = launch.argv[0]
    if launch.cwd is not None and not os.path.isdir(launch.cwd):
        raise fault("permanent", f"the working folder {launch.cwd!r} is not there")
    source: int | IO[bytes] = subprocess.DEVNULL
    try:
        if isinstance(launch.stdin, Path):
            source = launch.stdin.open("rb")
        elif launch.stdin is not None:
            source = subprocess.PIPE
        return subprocess.Popen(
            launch.argv,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=launch.env,
            cwd=launch.cwd,
            start_new_session=True,
            # Hocket reads by the descriptor: a buffer would hide what has come.
            bufsize=0,
        )
    except ValueError:
        raise fault("permanent", f"an argument of {program!r} holds a NUL character") from None
    except OSError as error:
        raise _not_started(error, program, launch) from None
    finally:
        if not isinstance(source, int):
            source.close()


def _not_started(error: OSError, program: str, launch: Launch) -> AgentError:
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return fault("unavailable", f"{program!r} cannot be started now: {error.strerror}")
    if error.errno == errno.E2BIG:
        message = f"the arguments of {program!r} are too long; give the text by stdin"
        return fault("permanent", message)
    path = launch.env.get("PATH", os.defpath)
    if isinstance(error, FileNotFoundError):
        if "/" in program:
            there = os.path.exists(os.path.join(launch.cwd or "", program))
            why = "its interpreter is missing" if there else "there is no such file"
            return fault("permanent", f"{program!r} cannot be started: {why}")
        near = suggest(program, _programs(path)) or "install it, or name its path"
        return fault("permanent", f"there is no program {program!r} on the PATH; {near}")
    return fault("permanent", f"{program!r} cannot be started: {error.strerror}")


def _programs(path: str) -> list[str]:
    found: set[str] = set()
    for folder in path.split(os.pathsep):
        try:
            found.update(os.listdir(folder))
        except OSError:
            # A PATH may well name folders that are not there.
            continue
    return sorted(found)
