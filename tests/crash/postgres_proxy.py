"""A way to a PostgreSQL server that can be cut at any message of the client's, or go silent.

It knows the frames of the protocol, so that a cut comes between two messages: before one goes
through, or after the server has it and before its reply comes back.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

HOW: Final = ("before", "after", "late", "half")
"""How a connection is cut at a message.

``before``: the message does not go through.
``after``: the server has done all that it was asked, and its reply does not come back.
``late``: the message is held back, and reaches the server when the client has connected again.
``half``: the message goes through, and the server does not learn of the cut.
"""

ENCRYPT: Final = frozenset({80877103, 80877104})
"""The codes of requests for an encrypted connection, which are refused."""

STARTUP: Final = b"\0"
"""How the first message begins, which has no letter."""

ASKS: Final = frozenset({STARTUP, b"S", b"Q"})
"""The messages that the server answers with a ReadyForQuery."""

LAST: Final = ASKS | {b"H", b"X"}
"""The messages after which a client waits for an answer, or for nothing more."""

READY: Final = b"Z"
LATE: Final = 8
"""After how many messages of other connections one that is late comes through."""


class Cut(NamedTuple):
    """Where to cut, and how.

    Fields:
        at: At the how many-th message from clients since the last cut.
        how: One of `HOW`.
        said: Only messages that have this in them are counted.
    """

    at: int
    how: str
    said: bytes = b""


class _Link:
    """A client's connection, and the one to the server that was made for it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        replies: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self.reader = reader
        self.client = client
        self.replies = replies
        self.server = server
        self.deaf = False
        """Whether replies no longer reach the client."""
        self.awaited = 0
        """How many ReadyForQuery are to come."""
        self.quiet = asyncio.Event()
        """Set while none is."""
        self.over = asyncio.Event()
        """Set once the server has ended it."""
        self.quiet.set()

    async def forward(self, *messages: bytes) -> None:
        """Send messages to the server."""
        self.awaited += sum(message[:1] in ASKS for message in messages)
        if self.awaited:
            self.quiet.clear()
        self.server.write(b"".join(messages))
        await self.server.drain()

    def leave_client(self) -> None:
        """Cut the client off, at once and without a word."""
        self.deaf = True
        self.client.transport.abort()

    def close(self) -> None:
        """Cut both ends off."""
        self.leave_client()
        self.server.transport.abort()


class Proxy:
    """A port of its own that leads to a server.

    Attributes:
        port: The port.
        messages: How many messages clients have sent since it was armed.
        happened: Set once a cut has been made since then.
    """

    def __init__(self, address: str, port: int) -> None:
        self.port = 0
        self.messages = 0
        self.happened = threading.Event()
        self._server = (address, port)
        self._cuts: list[Cut] = []
        self._since = 0
        self._on_cut: Callable[[], None] | None = None
        self._links: set[_Link] = set()
        self._late: list[tuple[_Link, list[bytes], int]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._speaks: asyncio.Event | None = None
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._main()))
        self._thread.start()
        assert self._ready.wait(10)

    # -- called from any thread -----------------------------------------------------------------

    def arm(self, *cuts: Cut, on_cut: Callable[[], None] | None = None) -> None:
        """Count messages from now on, and cut; `on_cut` is called first, if there is one.

        It is called before the message goes through, or after the server has done as it says.
        """

        async def work() -> None:
            self.messages, self._since = 0, 0
            self._cuts, self._on_cut = list(cuts), on_cut
            self.happened.clear()

        self._do(work())

    def cut_all(self) -> None:
        """Cut all connections, as when a cable is pulled and both ends are told."""

        async def work() -> None:
            for link in list(self._links):
                link.close()

        self._do(work())

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let nothing through, and close nothing; afterwards everything that has waited."""
        assert self._speaks is not None
        self._loop.call_soon_threadsafe(self._speaks.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._speaks.set)

    def close(self) -> None:
        """Cut everything, and end."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # -- the thread -----------------------------------------------------------------------------

    async def _main(self) -> None:
        self._speaks = asyncio.Event()
        self._speaks.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        self._speaks.set()
        for link in list(self._links):
            link.close()
            link.over.set()
        await asyncio.gather(*self._tasks)

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            await self._serve_link(reader, client)
        except (OSError, asyncio.IncompleteReadError):
            pass  # One of the two ends is gone, and so is the other.
        finally:
            client.transport.abort()

    async def _serve_link(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        first = await self._greeting(reader, client)
        replies, server = await asyncio.open_connection(*self._server)
        link = _Link(reader, client, replies, server)
        self._links.add(link)
        back = asyncio.create_task(self._pump_back(link))
        try:
            if not await self._pass(link, first):
                return
            while await self._pass(link, await _message(reader)):
                pass
        finally:
            self._links.discard(link)
            link.close()
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)

    async def _greeting(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> bytes:
        while True:
            head = await reader.readexactly(8)
            size, code = struct.unpack("!ii", head)
            if code not in ENCRYPT:
                return head + await reader.readexactly(size - 8)
            client.write(b"N")

    async def _pass(self, link: _Link, message: bytes) -> bool:
        """Let a message through, or cut; gives whether the connection goes on."""
        assert self._speaks is not None
        await self._speaks.wait()
        self.messages += 1
        self._since += bool(self._cuts) and self._cuts[0].said in message
        await self._deliver_late(link)
        if not self._cuts or self._since != self._cuts[0].at:
            await link.forward(message)
            return True
        self._since = 0
        await self._make_cut(link, message, self._cuts.pop(0).how)
        return False

    async def _make_cut(self, link: _Link, message: bytes, how: str) -> None:
        link.deaf = True
        held = [message]
        while how != "before" and held[-1][:1] not in LAST:
            # All that belongs to the same request has been sent with it.
            held.append(await _message(link.reader))
        if how == "late":
            self._late.append((link, held, self.messages + LATE))
        elif how != "before":
            await link.forward(*held)
        if how == "after":
            await link.quiet.wait()
        if self._on_cut is not None:
            self._on_cut()
        link.leave_client()
        self.happened.set()
        if how in ("late", "half"):
            # The server's end stays, until the server itself ends it.
            await link.over.wait()

    async def _deliver_late(self, other: _Link) -> None:
        due = [item for item in self._late if item[2] <= self.messages and item[0] is not other]
        for item in due:
            self._late.remove(item)
            link, held, _ = item
            with suppress(OSError):
                await link.forward(*held)

    async def _pump_back(self, link: _Link) -> None:
        """Bring replies to the client, unless it is cut off."""
        assert self._speaks is not None
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await _message(link.replies)
                await self._speaks.wait()
                if not link.deaf:
                    link.client.write(message)
                    await link.client.drain()
                if message[:1] == READY:
                    link.awaited -= 1
                    if not link.awaited:
                        link.quiet.set()
        link.quiet.set()
        link.over.set()
        if not link.deaf:
            link.client.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read a message: a letter, its size, and what it says."""
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
