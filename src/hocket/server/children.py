"""Commands that take long, in processes of their own: the loop that drives runs never waits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hocket.core.errors import CallerError, PeerError
from hocket.server.quotas import TooMany

_MOST: Final = 2
_MOST_WAITING: Final = 32
"""So many are at work or wait of those that answer soon, and as many of the others."""
_MOST_BYTES: Final = 64 << 20
_NICE: Final = 10
_SAID: Final = 4_000
EXIT_USAGE: Final = 2


class _Lane:
    """Commands that wait for one another.

    Args:
        most: How many run at once.
    """

    def __init__(self, most: int) -> None:
        self.free = asyncio.Semaphore(most)
        self.waiting = 0


class Children:
    """Runs ``hocket … --json`` in niced processes, a few at a time.

    What somebody waits for who looks at a page has places of its own: it never waits for
    simulations, which may take minutes.

    Args:
        state: The state folder that they look at.
        most: How many run at once of those that answer soon, and as many of the others.
    """

    def __init__(self, state: Path, most: int = _MOST) -> None:
        self._state = state
        self._soon, self._late = _Lane(most), _Lane(most)
        self._alive: set[asyncio.subprocess.Process] = set()

    async def __call__(self, args: Sequence[str], seconds: float = 60.0, given: bytes = b"") -> Any:
        """Run a command and give its JSON.

        Values of a client go behind a ``=`` or a ``--``, so that none can pass for an option.

        Args:
            args: The command's arguments, without ``--json``.
            seconds: How long it may take.
            given: What it reads from its standard input.

        Raises:
            CallerError: It says that what was asked is wrong.
            PeerError: It failed otherwise, or took too long.
            TooMany: Too many wait already.
        """
        lane = self._soon if _answers_soon(args) else self._late
        if lane.waiting >= _MOST_WAITING:
            raise TooMany("too many computations wait already", 5.0)
        lane.waiting += 1
        try:
            async with lane.free:
                return await self._run(args, seconds, given)
        finally:
            lane.waiting -= 1

    async def _run(self, args: Sequence[str], seconds: float, given: bytes) -> Any:
        command, *rest = args
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hocket", command, "--json", *rest),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOCKET_HOME": str(self._state), "NO_COLOR": "1", "COLUMNS": "1000"},
            start_new_session=True,
        )
        self._alive.add(process)
        try:
            _be_nice(process.pid)
            async with asyncio.timeout(seconds):
                out, said = await _talk(process, given)
                status = await process.wait()
        except TimeoutError as error:
            raise PeerError(f"hocket {command} took longer than {seconds:g} s") from error
        finally:
            _kill(process)
            await process.wait()
            self._alive.discard(process)
        text = said.decode("utf-8", "replace").strip()
        if status == EXIT_USAGE:
            # Its last line only says where there is help on the command line.
            raise CallerError(text.partition("\nTry: ")[0] or f"hocket {command} refused this")
        try:
            return msgspec.json.decode(out)
        except msgspec.MsgspecError as error:
            raise PeerError(f"hocket {command} gave no answer: {text or status}") from error

    async def close(self) -> None:
        """End what is still at work."""
        for process in list(self._alive):
            _kill(process)
            await process.wait()


def _answers_soon(args: Sequence[str]) -> bool:
    """Tell whether a command plays no run again."""
    return args[0] != "simulate" and (args[0] != "explain" or "--no-simulate" in args[1:2])


async def _talk(process: asyncio.subprocess.Process, given: bytes) -> tuple[bytes, bytes]:
    """Write what it reads, and read what it writes, as far as that is bounded."""
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_write(process.stdin, given))
        out = group.create_task(_read(process.stdout, _MOST_BYTES))
        said = group.create_task(_read(process.stderr, _SAID))
    return out.result(), said.result()


async def _write(stream: asyncio.StreamWriter, given: bytes) -> None:
    try:
        stream.write(given)
        await stream.drain()
        stream.close()
    except (BrokenPipeError, ConnectionResetError):
        # It ended without reading; its status says why.
        return


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """Read all, and keep the first bytes of it."""
    kept = bytearray()
    while chunk := await stream.read(1 << 16):
        kept += chunk[: most - len(kept)]
    return bytes(kept)


def _be_nice(process: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, process, _NICE)
    except ProcessLookupError:
        return


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill all of its group that is left."""
    try:
        if process.returncode is not None and _is_taken(process.pid):
            # Reaped, and nobody of the group is left: the number is somebody else's by now.
            return
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Gone; or, on some systems, only a zombie is left.
        return


def _is_taken(process: int) -> bool:
    """Tell whether a process has this number; none gets that of a group that is not empty."""
    try:
        os.getpgid(process)
    except ProcessLookupError:
        return False
    return True
