"""Runs one child process so that nothing it does can hurt Hocket, and nothing of it remains.

The child leads a session and process group of its own; what the call began ends with the call.
Both pipes are always drained, by non-blocking reads into bounded buffers, and never by asyncio's
own transports: those lose a line above 64 KiB, and wait for ever while a grandchild holds a pipe.
The exit is awaited on the pid, apart from the pipes.
A process that starts a session of its own (``setsid``, a daemon) leaves the group, unfollowed.
`hocket.agents.guard` sees to it that nothing survives when Hocket itself is killed with -9.
"""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from hocket.agents.base import Context
from hocket.agents.guard import guard
from hocket.agents.output import fault
from hocket.agents.terminal import Live, plain
from hocket.core.errors import AgentError, suggest

KEEP = 1_000_000
QUOTA = 64_000_000
_CHUNK = 65_536
_TAIL = 65_536
_DYING = 5.0
"""How long a killed process may take to disappear; one in an uninterruptible wait takes longer."""


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


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended.

    Fields:
        status: Its exit status; negative for the signal that killed it.
        out: The kept beginning of its output.
        err: The kept end of its error output.
        cut: Whether `out` is not all of it.
        notes: What a reader must know.
    """

    status: int
    out: bytes
    err: bytes
    cut: bool
    notes: tuple[str, ...]


async def run_process(launch: Launch, context: Context) -> Finished:
    """Run a process to its end and show its output while it comes.

    Cancelled, it sends the group TERM, and KILL after the grace; KILL at once if `context.hard`, or
    if it is cancelled again.

    Raises:
        AgentError: It cannot be started (``permanent``, or ``unavailable`` for want of memory or
            processes), or it wrote more than its quota (``failed``).
        asyncio.CancelledError: The call was cancelled, and the whole group is gone.
    """
    child = _Child(launch, context)
    try:
        await child.finish()
    except asyncio.CancelledError:
        await child.stop()
        raise
    finally:
        child.close()
    return child.finished()


class _Child:
    """A running process, its pipes and its group."""

    def __init__(self, launch: Launch, context: Context) -> None:
        self.launch = launch
        self.context = context
        self.loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self.loop.create_future()
        self.drained: asyncio.Future[None] = self.loop.create_future()
        self.total = 0
        self.flooded = False
        self.held = False
        self.head = bytearray()
        self.out_total = 0
        self.tail = bytearray()
        self.pipes: dict[int, Callable[[bytes], None]] = {}
        self.pidfd: int | None = None
        self.live = {name: Live(context, name, launch.keep) for name in ("out", "err")}
        guard.ready()
        self.popen = spawn(launch)
        self.pid = self.popen.pid
        guard.add(self.pid)
        try:
            self._attach()
        except BaseException:
            # A loop without descriptors, or no descriptor left: the child must not go on unwatched.
            self.close()
            raise

    def _attach(self) -> None:
        self._read(self.popen.stdout, self._take_out)
        self._read(self.popen.stderr, self._take_err)
        self._feed()
        self._await_exit()

    # ---- the output ----

    def _read(self, pipe: IO[bytes] | None, take: Callable[[bytes], None]) -> None:
        assert pipe is not None
        fd = pipe.fileno()
        os.set_blocking(fd, False)
        self.pipes[fd] = take
        self.loop.add_reader(fd, self._readable, fd)

    def _readable(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._stop_reading(fd)
            return
        self.total += len(data)
        if self.total > self.launch.quota:
            self.flooded = True
            self.signal_group(signal.SIGKILL)
            for other in tuple(self.pipes):
                self._stop_reading(other)
            return
        self.pipes[fd](data)

    def _stop_reading(self, fd: int) -> None:
        self.loop.remove_reader(fd)
        del self.pipes[fd]
        if not self.pipes and not self.drained.done():
            self.drained.set_result(None)

    def _take_out(self, data: bytes) -> None:
        self.out_total += len(data)
        room = self.launch.keep - len(self.head)
        if room > 0:
            self.head += data[:room]
        self.live["out"].feed(data)

    def _take_err(self, data: bytes) -> None:
        self.tail += data
        if len(self.tail) > 2 * _TAIL:
            del self.tail[:-_TAIL]
        self.live["err"].feed(data)

    # ---- the input ----

    def _feed(self) -> None:
        if not isinstance(self.launch.stdin, bytes):
            return
        assert self.popen.stdin is not None
        fd = self.popen.stdin.fileno()
        os.set_blocking(fd, False)
        self.unfed = memoryview(self.launch.stdin)
        self.loop.add_writer(fd, self._writable, fd)

    def _writable(self, fd: int) -> None:
        try:
            self.unfed = self.unfed[os.write(fd, self.unfed[:_CHUNK]) :]
        except (BlockingIOError, InterruptedError):
            return
        except (BrokenPipeError, ConnectionResetError):
            # It does not want the rest; what that means is for its exit status to say.
            self.unfed = memoryview(b"")
        if not self.unfed:
            self._stop_feeding()

    def _stop_feeding(self) -> None:
        pipe = self.popen.stdin
        if pipe is None or pipe.closed:
            return
        self.loop.remove_writer(pipe.fileno())
        # Nothing was written through the object, so closing it flushes nothing and cannot block.
        pipe.close()

    # ---- the end ----

    def _await_exit(self) -> None:
        """Learn of the exit without reaping: the pid is the group's until that is killed."""
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            # Not Linux, an old kernel, or no descriptor left: a thread can wait as well.
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
            return
        self.loop.add_reader(self.pidfd, self._has_exited)

    def _wait_in_thread(self) -> None:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:
            self.popen.wait()
        try:
            self.loop.call_soon_threadsafe(self._has_exited)
        except RuntimeError:
            # The loop was closed meanwhile: nobody waits any more.
            return

    def _has_exited(self) -> None:
        if self.pidfd is not None:
            self.loop.remove_reader(self.pidfd)
        if not self.exited.done():
            self.exited.set_result(None)

    async def finish(self) -> None:
        """Wait for the exit, and a moment longer for the pipes."""
        await asyncio.wait({self.exited})
        await asyncio.wait({self.drained}, timeout=self.launch.linger)
        self.held = not self.drained.done()
        # Also where the pipes are closed: what the call began in the background ends with it.
        self.signal_group(signal.SIGKILL)

    async def stop(self) -> None:
        """End the group: politely if there is time, then for certain."""
        if not self.context.hard and self.launch.grace > 0 and not self.exited.done():
            self.signal_group(signal.SIGTERM)
            # One that was stopped would never see TERM.
            self.signal_group(signal.SIGCONT)
            await self._patiently()
        self.signal_group(signal.SIGKILL)
        until = self.loop.time() + _DYING
        while not self.exited.done() and self.loop.time() < until:
            try:
                await asyncio.wait({self.exited}, timeout=until - self.loop.time())
            except asyncio.CancelledError:
                # It is already being killed as fast as can be, and the caller raises the first one.
                continue

    async def _patiently(self) -> None:
        until = self.loop.time() + self.launch.grace
        while not self.exited.done() and not self.context.hard:
            left = until - self.loop.time()
            if left <= 0:
                return
            try:
                # In slices, because patience may be withdrawn meanwhile.
                await asyncio.wait({self.exited}, timeout=min(left, 0.1))
                if self.exited.done():
                    # Others of the group may be ending themselves just as politely.
                    await asyncio.wait({self.drained}, timeout=min(left, self.launch.linger))
            except asyncio.CancelledError:
                return

    def signal_group(self, number: int) -> None:
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
        """Give every descriptor back and reap the child."""
        for fd in tuple(self.pipes):
            self._stop_reading(fd)
        self._stop_feeding()
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()
        if self.pidfd is not None:
            self.loop.remove_reader(self.pidfd)
            os.close(self.pidfd)
        for live in self.live.values():
            live.end()
        if not self.exited.done():
            self.signal_group(signal.SIGKILL)
        reap(self.popen)

    def finished(self) -> Finished:
        """Say how it ended."""
        if self.flooded:
            limit = f"{self.launch.quota / 1e6:g} MB"
            raise fault("failed", f"it wrote more than {limit} and was killed", self.error_text())
        status = self.popen.returncode
        cut = self.out_total > len(self.head)
        notes: list[str] = []
        if cut:
            notes.append(
                f"output cut: the first {len(self.head):,} of {self.out_total:,} bytes are kept"
            )
        if self.held:
            notes.append("a process left in the background held the output open and was killed")
        return Finished(
            status=status if status is not None else -signal.SIGKILL,
            out=bytes(self.head),
            err=bytes(self.tail),
            cut=cut,
            notes=tuple(notes),
        )

    def error_text(self) -> str:
        """The end of the error output, fit for display."""
        return plain(self.tail.decode("utf-8", "replace"))


# ---- starting ----


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its outputs by pipes.

    Raises:
        AgentError: It cannot be started (``permanent``, or ``unavailable`` for want of memory or
            processes).
    """
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


def reap(popen: subprocess.Popen[bytes]) -> None:
    """Forget a child that has ended or was killed, without holding up the loop."""
    if popen.poll() is None:
        # In an uninterruptible wait, maybe: it is reaped when the kernel lets go.
        threading.Thread(target=popen.wait, daemon=True).start()
    guard.remove(popen.pid)


# ---- saying ----


def decode(data: bytes, cut: bool) -> tuple[str, tuple[str, ...]]:
    """Read output as UTF-8, and note what was not."""
    # A cut may go through a character: that half is not the process's fault.
    decoder: Any = codecs.getincrementaldecoder("utf-8")
    try:
        return decoder("strict").decode(data, not cut), ()
    except UnicodeDecodeError as error:
        text = decoder("replace").decode(data, not cut)
        note = (
            f"output was not UTF-8 (first at byte {error.start:,}); what was not is shown as \ufffd"
        )
        return text, (note,)


def describe_exit(status: int) -> str:
    """Say how a process ended: ``exit status 2``, ``killed by SIGSEGV``."""
    if status < 0:
        name = _signal_name(-status)
        hint = ", often because memory ran out" if -status == signal.SIGKILL else ""
        return f"killed by {name}{hint}"
    if status == 127:
        return "exit status 127: a command in it was not found"
    if status == 126:
        return "exit status 126: a command in it cannot be executed"
    if 128 < status <= 192:
        return f"exit status {status}: " + describe_exit(128 - status)
    return f"exit status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
