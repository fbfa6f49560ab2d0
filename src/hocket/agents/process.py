"""Runs one process to its end so that nothing it does can hurt Hocket, and nothing of it remains.

What the call began ends with the call, and its outputs are kept within bounds.
"""

from __future__ import annotations

import asyncio
import codecs
import signal
from typing import Any

import msgspec

from hocket.agents.base import Context
from hocket.agents.child import ChildProcess, Launch
from hocket.agents.output import fault
from hocket.agents.terminal import Live, plain

_TAIL = 65_536
_DYING = 5.0
"""How long a killed process may take to disappear; one in an uninterruptible wait takes longer."""


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
    run = _Run(launch, context)
    try:
        await run.finish()
    except asyncio.CancelledError:
        await run.stop()
        raise
    finally:
        run.close()
    return run.finished()


class _Run:
    """A process that runs to its end, and what is kept of its outputs."""

    def __init__(self, launch: Launch, context: Context) -> None:
        self.launch = launch
        self.context = context
        self.total = 0
        self.flooded = False
        self.held = False
        self.head = bytearray()
        self.out_total = 0
        self.tail = bytearray()
        self.live = {name: Live(context, name, launch.keep) for name in ("out", "err")}
        self.child = ChildProcess(launch, self._take_out, self._take_err)

    # ---- the output ----

    def _take_out(self, data: bytes) -> None:
        if self._floods(data):
            return
        self.out_total += len(data)
        room = self.launch.keep - len(self.head)
        if room > 0:
            self.head += data[:room]
        self.live["out"].feed(data)

    def _take_err(self, data: bytes) -> None:
        if self._floods(data):
            return
        self.tail += data
        if len(self.tail) > 2 * _TAIL:
            del self.tail[:-_TAIL]
        self.live["err"].feed(data)

    def _floods(self, data: bytes) -> bool:
        self.total += len(data)
        if self.total > self.launch.quota:
            self.flooded = True
            self.child.signal(signal.SIGKILL)
            self.child.ignore()
        return self.flooded

    # ---- the end ----

    async def finish(self) -> None:
        """Feed it, and wait for the exit, and a moment longer for the pipes."""
        if self.child.feed is not None and isinstance(self.launch.stdin, bytes):
            self.child.feed.write(self.launch.stdin, end=True)
        await asyncio.wait({self.child.exited})
        await asyncio.wait({self.child.drained}, timeout=self.launch.linger)
        self.held = not self.child.drained.done()
        # Also where the pipes are closed: what the call began in the background ends with it.
        self.child.signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End the group: politely if there is time, then for certain."""
        child, loop = self.child, asyncio.get_running_loop()
        if not self.context.hard and self.launch.grace > 0 and not child.exited.done():
            child.signal(signal.SIGTERM)
            # One that was stopped would never see TERM.
            child.signal(signal.SIGCONT)
            await self._patiently()
        child.signal(signal.SIGKILL)
        until = loop.time() + _DYING
        while not child.exited.done() and loop.time() < until:
            try:
                await asyncio.wait({child.exited}, timeout=until - loop.time())
            except asyncio.CancelledError:
                # It is already being killed as fast as can be, and the caller raises the first one.
                continue

    async def _patiently(self) -> None:
        exited, loop = self.child.exited, asyncio.get_running_loop()
        until = loop.time() + self.launch.grace
        while not exited.done() and not self.context.hard:
            left = until - loop.time()
            if left <= 0:
                return
            try:
                # In slices, because patience may be withdrawn meanwhile.
                await asyncio.wait({exited}, timeout=min(left, 0.1))
                if exited.done():
                    # Others of the group may be ending themselves just as politely.
                    await asyncio.wait({self.child.drained}, timeout=min(left, self.launch.linger))
            except asyncio.CancelledError:
                return

    def close(self) -> None:
        """Give back what is held."""
        self.child.close()
        for live in self.live.values():
            live.end()

    def finished(self) -> Finished:
        """Say how it ended."""
        if self.flooded:
            limit = f"{self.launch.quota / 1e6:g} MB"
            raise fault("failed", f"it wrote more than {limit} and was killed", self.error_text())
        status = self.child.popen.returncode
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
