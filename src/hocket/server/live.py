"""The live connection: a WebSocket over which a page is told what changes of what it looks at.

    client  {"watch": [{"topic": "run", "run": "r1", "after": null}, …]}   the whole set, each time
            {"ping": 1}
    server  {"t": "run", "run": "r1", "p": null, "s": 40, "snap": true, …}

`hocket.server.frames` says what a frame holds.

Each client pulls: its next frame is made when it can take one, and says what is new since its last.
So a client that reads slowly is sent less often and misses nothing that still stands, and whoever
does not read at all costs one frame, and after a minute no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from hocket.core.errors import CallerError, HocketError
from hocket.journal.base import Store
from hocket.report.board import Board
from hocket.server.feeds import Driven, Feeds, Polled, RunList
from hocket.server.frames import Kind, encode
from hocket.server.routing import Caller, Socket
from hocket.server.runs import outside, run_row
from hocket.server.topics import (
    EventsTopic,
    LogTopic,
    RowsTopic,
    RunsTopic,
    Topic,
    WholeTopic,
)

STALLED: Final = 60.0
"""Seconds after which a client is let go that does not read."""
MOST_TOPICS: Final = 40
MOST_MESSAGE: Final = 64 * 1024
_MOST_WRONG: Final = 10
_MOST_A_SECOND: Final = 20.0
_BURST: Final = 100.0
_WORDS: Final = 4
"""Answers that wait for the client; one who does not read them is sent no more of them."""

Seq = Annotated[int, msgspec.Meta(ge=0)]
RunId = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Watched(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topic as a client names it."""

    topic: Literal["runs", "run", "calls", "events", "log", "inbox", "limits"]
    run: RunId | None = None
    after: Seq | None = None
    path: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None
    attempt: Seq = 0
    start: Seq = msgspec.field(default=0, name="from")

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two topics the same, however far their clients are."""
        return self.topic, self.run, self.path, self.attempt


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says."""

    watch: Annotated[list[Watched], msgspec.Meta(max_length=MOST_TOPICS)] | None = None
    ping: int | float | None = None


_decode: Final = msgspec.json.Decoder(Message).decode


class Live:
    """All that is watched by way of this server.

    Args:
        store: The journal.
        state: The state folder.
        driven: Gives a run if it is driven in this process.
        stalled: Seconds after which a client is let go that does not read.

    Attributes:
        feeds: The runs that are watched.
        runs: The list of runs.
        clients: How many there are.
        largest: The bytes of the largest frame that was sent.
    """

    def __init__(
        self, store: Store, state: Path, driven: Driven, *, stalled: float = STALLED
    ) -> None:
        self.store: Final = store
        self.state: Final = state
        self.driven: Final = driven
        self.stalled: Final = stalled
        self.feeds: Final = Feeds(store, driven)
        self.runs: Final = RunList(store)
        self.polled: dict[str, Polled] = {}
        self.clients = 0
        self.largest = 0

    def provide(self, topic: str, ask: Callable[[], Any], every: float = 1.0) -> None:
        """Say how a small topic is asked for: ``inbox`` or ``limits``.

        Args:
            topic: The topic.
            ask: Gives what is sent, as an object; may be asynchronous.
            every: After how many seconds it is asked for again, while anybody watches.
        """
        self.polled[topic] = Polled(ask, every)

    async def board(self, run: str) -> Board:
        """Give a run as the page shows it, with all that is on disk now.

        Raises:
            NotFound: No such run.
            JournalError: An event cannot be read.
        """
        return await self.feeds.board(run)

    def aside(self, run: str) -> dict[str, Any]:
        """Give what is known of a run beyond its events."""
        return outside(self.driven(run), self.runs.rows.get(run))

    async def serve(self, site: Any, caller: Caller, socket: WebSocket) -> None:
        """Serve a client until it goes."""
        self.clients += 1
        try:
            await Client(self, site, socket).serve()
        finally:
            self.clients -= 1

    async def close(self) -> None:
        """Follow nothing more."""
        self.feeds.close()
        self.runs.close()
        for polled in self.polled.values():
            polled.close()


class Client:
    """One connection.

    Args:
        live: What can be watched.
        site: All that the server works with.
        socket: The connection; it has been accepted.
    """

    def __init__(self, live: Live, site: Any, socket: WebSocket) -> None:
        self._live = live
        self._site = site
        self._socket = socket
        self._topics: dict[tuple[Any, ...], Topic] = {}
        self._words: list[str] = []
        self._wake = asyncio.Event()
        self._wrong = 0
        self._credit = _BURST
        self._asked_at = time.monotonic()

    async def serve(self) -> None:
        """Serve until the client goes, or is let go."""
        self._live.runs.listen(self._beat)
        tasks = [
            asyncio.create_task(self._read(), name="reads from a page"),
            asyncio.create_task(self._write(), name="writes to a page"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._live.runs.leave(self._beat)
            for topic in self._topics.values():
                topic.close()
        for end in ended:
            if isinstance(end, _LetGo):
                await self._let_go(end)
            elif isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                raise end

    async def _let_go(self, end: _LetGo) -> None:
        """Close; one who does not read does not hear of it, either."""
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(1):
                await self._socket.close(end.code, end.why)

    def _beat(self) -> None:
        self._wake.set()

    # -- what the client says -----------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._pay()
            data = message.get("text") or message.get("bytes") or b""
            if len(data) > MOST_MESSAGE:
                raise _LetGo(1009, f"a message may have {MOST_MESSAGE} bytes")
            try:
                said = _decode(data)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                self._is_wrong(f"this is no message: {error}")
                continue
            if said.ping is not None:
                self._say(encode({"pong": said.ping}).decode())
            if said.watch is not None:
                self._watch(said.watch)
            self._wake.set()

    def _pay(self) -> None:
        """Let a client say so much in a second and no more."""
        now = time.monotonic()
        self._credit = min(_BURST, self._credit + (now - self._asked_at) * _MOST_A_SECOND) - 1
        self._asked_at = now
        if self._credit < 0:
            raise _LetGo(1008, "too many messages")

    def _is_wrong(self, why: str) -> None:
        self._wrong += 1
        if self._wrong > _MOST_WRONG:
            raise _LetGo(1008, "too many wrong messages")
        self._say(encode({"t": "error", "message": why[:500]}).decode())

    def _say(self, text: str) -> None:
        if len(self._words) < _WORDS:
            self._words.append(text)
            self._wake.set()

    def _watch(self, wanted: list[Watched]) -> None:
        """Watch these topics and no others; those that were watched before go on where they are."""
        keys = {one.key: one for one in wanted}
        for key in [key for key in self._topics if key not in keys]:
            self._topics.pop(key).close()
        for key, one in keys.items():
            if key not in self._topics:
                try:
                    self._topics[key] = self._open(one)
                except HocketError as error:
                    self._tell_problem(msgspec.to_builtins(one), error)

    def _open(self, one: Watched) -> Topic:
        """Begin to watch a topic.

        Raises:
            CallerError: There is none.
        """
        live, said, wake = self._live, msgspec.to_builtins(one), self._beat
        if one.topic == "runs":
            return RunsTopic(said, live.runs, lambda row: run_row(self._site, row), wake)
        if one.topic in {"inbox", "limits"}:
            if one.topic not in live.polled:
                raise _unknown(f"this server does not tell of {one.topic}")
            return WholeTopic(said, live.polled[one.topic], wake)
        if one.run is None:
            raise _unknown(f"{one.topic!r} is of a run: say which")
        feed = live.feeds.of(one.run)
        if one.topic == "events":
            return EventsTopic(said, feed, live.store, wake)
        if one.topic == "log":
            if not one.path:
                raise _unknown("a log is of a path: say which")
            return LogTopic(said, feed, live.store.logs, wake)
        kind: Kind = "calls" if one.topic == "calls" else "run"
        return RowsTopic(said, kind, feed, live.aside, wake)

    # -- what the client is told --------------------------------------------------------------

    async def _write(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._wake.clear()
            while self._words:
                await self._send(self._words.pop(0))
            sent, soonest = False, None
            for key, topic in list(self._topics.items()):
                now = clock()
                if topic.due > now:
                    soonest = topic.due if soonest is None else min(soonest, topic.due)
                    continue
                frame = await self._frame(key, topic, now)
                if frame is not None:
                    await self._send(frame)
                    sent = True
                    # Sending gives nobody else a turn as long as the client reads.
                    await asyncio.sleep(0)
                if topic.due > now:
                    soonest = topic.due if soonest is None else min(soonest, topic.due)
            if not sent:
                await self._pause(None if soonest is None else max(soonest - clock(), 0.0))

    async def _frame(self, key: tuple[Any, ...], topic: Topic, now: float) -> str | None:
        try:
            return await topic.take(now)
        except HocketError as error:
            if self._topics.get(key) is topic:
                del self._topics[key]
                topic.close()
            self._tell_problem(topic.said, error)
            return None

    async def _pause(self, longest: float | None) -> None:
        try:
            async with asyncio.timeout(longest):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send(self, text: str) -> None:
        self._live.largest = max(self._live.largest, len(text.encode()))
        try:
            async with asyncio.timeout(self._live.stalled):
                await self._socket.send_text(text)
        except TimeoutError:
            said = f"nothing was read for {self._live.stalled:g} s"
            raise _LetGo(1008, said) from None
        except RuntimeError as error:
            # The server has closed it by itself: its client did not answer pings, or is gone.
            self._socket.application_state = WebSocketState.DISCONNECTED
            raise WebSocketDisconnect(1006) from error

    def _tell_problem(self, said: dict[str, Any], error: HocketError) -> None:
        frame = {"t": "error", "topic": said, "message": str(error)[:500]}
        self._say(encode(frame).decode())


class _LetGo(Exception):
    """This client is let go, and told why if it still reads."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def _unknown(why: str) -> HocketError:
    return CallerError(why)


async def _serve(site: Any, caller: Caller, socket: WebSocket) -> None:
    await site.live.serve(site, caller, socket)


SOCKETS: Final = [
    Socket(
        path="/api/live",
        role="view",
        handler=_serve,
        about="What changes of what a page looks at, as it happens.",
    )
]
