"""Supervisors in a cluster, kept by a process beside the one that serves.

Ray ends a process that has lost its head for a minute. So whoever serves is none of Ray's: a child
is, which begins supervisors, says what they are at, and is begun anew when it has ended.
What supervisors drive stands in the journal; when they die, others take it up.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from hocket.core.errors import Refused

_LOG: Final = logging.getLogger("hocket.cluster")
_CHILD: Final = (sys.executable, "-m", "hocket.cluster.fleet")
_JOIN: Final = 120.0
"""Seconds within which the child has joined the cluster."""
_SILENCE: Final = 15.0
"""Seconds without a word after which the child is taken for stuck; it says one every second."""
_PAUSES: Final = (1.0, 2.0, 5.0)
"""Seconds before the child is begun anew: longer each time, until it was well again."""
_LAST_WORDS: Final = 5.0
_LINE: Final = 16 << 20
"""The most bytes of one word: all runs that all supervisors have given up fit."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to do.

    Fields:
        address: The cluster's address.
        entry: ``module:attribute`` of what is a supervisor there.
        journal: The journal's address, or ``@file`` that holds it on every node.
        lease: The lease of runs, in seconds.
        most: How many runs each supervisor drives at once.
        count: How many supervisors there are to be; None for one on each node.
    """

    address: str
    entry: str
    journal: str
    lease: float
    most: int
    count: int | None = None


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """Have all supervisors give their runs up, and end.

    Fields:
        seconds: How long calls in flight have to end.
    """

    seconds: float


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor.

    Fields:
        node: The node that it is on.
        host: The machine's name.
        pid: Its process.
        driven: How many runs it drives.
    """

    node: str
    host: str
    pid: int
    driven: int


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What the child says of the cluster.

    Fields:
        nodes: How many nodes there are.
        posts: The supervisors that are at work.
        refused: Why none can be, and what to do; "" if nothing is wrong.
        left: The runs that were given up, once they were asked to leave.
    """

    nodes: int = 0
    posts: tuple[Post, ...] = ()
    refused: str = ""
    left: tuple[str, ...] | None = None


class Supervisors:
    """Sees to it that there are supervisors in a cluster.

    Args:
        orders: How many, where, and of which journal.

    Attributes:
        posts: Those that are at work.
    """

    def __init__(self, orders: Orders) -> None:
        self.posts: Sequence[Post] = ()
        self._orders = orders
        self._child: asyncio.subprocess.Process | None = None
        self._first: asyncio.Future[Word] = asyncio.get_running_loop().create_future()
        self._keeping: asyncio.Task[None] | None = None
        self._left: tuple[str, ...] = ()
        self._warned = ""
        self._leaving = asyncio.Event()

    @property
    def there(self) -> bool:
        """Whether the cluster answers and somebody there drives runs."""
        return bool(self.posts)

    async def open(self) -> None:
        """Begin supervisors, and wait until the first is at work.

        Raises:
            Refused: The cluster cannot be joined, or its nodes are of another version.
        """
        self._keeping = asyncio.create_task(self._keep(), name="supervisors")
        word = await self._first
        if word.refused:
            await self.close()
            raise Refused(word.refused)

    async def drain(self, seconds: float) -> tuple[str, ...]:
        """Have all supervisors leave; gives the runs that they gave up, as far as is known."""
        self._leaving.set()
        child = self._child
        if child is not None and child.stdin is not None and not child.stdin.is_closing():
            child.stdin.write(msgspec.json.encode(Leave(seconds=seconds)) + b"\n")
            try:
                async with asyncio.timeout(seconds + _LAST_WORDS):
                    await child.wait()
            except TimeoutError:
                _LOG.warning("supervisors did not leave in time; others take their runs up")
        await self.close()
        return self._left

    async def close(self) -> None:
        """End all supervisors at once; others take their runs up when their leases have lapsed."""
        self._leaving.set()
        if self._keeping is not None:
            if self._child is not None and self._child.stdin is not None:
                # It ends when nobody can tell it anything any more.
                self._child.stdin.close()
            _, late = await asyncio.wait([self._keeping], timeout=_LAST_WORDS)
            if late and self._child is not None:
                await _stop(self._child)
            await self._keeping
        self.posts = ()

    async def _keep(self) -> None:
        """Keep a child at it."""
        fails = 0
        while not self._leaving.is_set():
            well = await self._run()
            self.posts = ()
            if not self._first.done():
                refusal = "the process that was to join the cluster ended without a word"
                self._first.set_result(Word(refused=refusal))
            fails = 0 if well else fails + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSES[min(fails, len(_PAUSES) - 1)]):
                    await self._leaving.wait()

    async def _run(self) -> bool:
        """Let a child work until it ends; tells whether there were supervisors at any time."""
        well = False
        pipe = asyncio.subprocess.PIPE
        null = asyncio.subprocess.DEVNULL
        try:
            child = await asyncio.create_subprocess_exec(
                *_CHILD, stdin=pipe, stdout=pipe, stderr=null, limit=_LINE
            )
        except OSError as error:
            why = f"the process that is to join the cluster cannot be started: {error}"
            self._hear(Word(refused=why))
            return False
        assert child.stdin is not None and child.stdout is not None
        self._child = child
        try:
            if self._leaving.is_set():
                return False
            child.stdin.write(msgspec.json.encode(self._orders) + b"\n")
            patience = _JOIN
            while line := await _line_of(child.stdout, patience):
                patience = _SILENCE
                word = msgspec.json.decode(line, type=Word)
                self._hear(word)
                well = well or bool(word.posts)
        except (TimeoutError, msgspec.MsgspecError, ConnectionError, ValueError) as error:
            # A line beyond all measure is a ValueError.
            _LOG.warning("the process that keeps supervisors does not answer: %s", error)
        finally:
            child.stdin.close()
            await _end(child)
            self._child = None
        return well

    def _hear(self, word: Word) -> None:
        if word.left is not None:
            self._left = word.left
        if word.posts:
            self._warned = ""
        elif word.refused and word.refused != self._warned:
            # The child says it every second.
            self._warned = word.refused
            _LOG.warning("supervisors: %s", word.refused)
        self.posts = word.posts
        if not self._first.done() and (word.posts or word.refused):
            self._first.set_result(word)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Wait for the end of a child whose input has ended, and end it if that does not come."""
    assert child.stdout is not None
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORDS):
            # Who has more to say than the pipe holds would not come to its end.
            while await child.stdout.read(_LINE):
                continue
            await child.wait()
    await _stop(child)


async def _stop(child: asyncio.subprocess.Process) -> None:
    """End a child: asked to, it ends the Ray that it may just be beginning."""
    for end in (child.terminate, child.kill):
        if child.returncode is not None:
            return
        end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await child.wait()


async def _line_of(stream: asyncio.StreamReader, seconds: float) -> bytes:
    """Read a line; b"" at the end.

    Raises:
        TimeoutError: None came in time.
    """
    async with asyncio.timeout(seconds):
        return await stream.readline()
