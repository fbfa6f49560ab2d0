"""The events of a run since a number: as JSON, which may wait for them, or as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated, Any, Final

import msgspec

from hocket.core.errors import CallerError
from hocket.core.events import Recorded
from hocket.core.values import Json
from hocket.server.feed import Feed
from hocket.server.frames import encode
from hocket.server.routing import Asked, Route, Stream
from hocket.server.site import Site
from hocket.server.slim import slim

EVENT_STREAM: Final = "text/event-stream"
MOST_WAIT: Final = 50.0
_PAGE: Final = 500
ALIVE: Final = b": still here\n\n"
"""What a stream says while there is nothing to say."""
_ALIVE_EVERY: Final = 15.0


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events.

    Fields:
        after: Only those behind this number.
        limit: The most events.
        wait: How many seconds to wait for the first of them.
    """

    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = _PAGE
    wait: Annotated[float, msgspec.Meta(ge=0, le=MOST_WAIT)] = 0.0


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events.

    Fields:
        events: The events, without what is large.
        next: What to ask for those after.
        seq: The number of the last event that is on disk.
        ended: Whether the run has ended, so that nothing comes unless somebody has it go on.
    """

    events: list[dict[str, Json]]
    next: int
    seq: int
    ended: bool


async def _events(site: Site, asked: Asked) -> EventsPage | Stream:
    run, query = asked.path["run"], asked.query
    live: Any = site.live
    board = await live.board(run)
    streams = EVENT_STREAM in asked.accepts
    after = begin(asked.last_event, query.after) if streams else query.after
    if after > board.seq:
        raise beyond(run, after, board.seq)
    if streams:
        return Stream(chunks=_stream(site, run, after))
    if query.wait and board.seq <= after:
        with site.doors.streams.one(asked.caller.client):
            async with News(live.feeds.of(run)) as news:
                await news.wait_for(after, query.wait)
    board = await live.board(run)
    read = await asyncio.to_thread(page, live.store, run, query.after, query.limit)
    return EventsPage(
        events=[slim(recorded) for recorded in read],
        next=read[-1].seq if read else query.after,
        seq=board.seq,
        ended=board.machine.phase == "ended",
    )


async def _stream(site: Site, run: str, after: int) -> AsyncIterator[bytes]:
    live: Any = site.live
    async for recorded in follow(live, run, after):
        if recorded is None:
            yield ALIVE
        else:
            yield message(recorded.seq, slim(recorded))


async def follow(
    live: Any, run: str, after: int, beat: float = _ALIVE_EVERY
) -> AsyncIterator[Recorded | None]:
    """Give a run's events as they come on disk; None after so many seconds without any.

    It ends with the run; whoever comes when the run has ended gets what there is.
    """
    async with News(live.feeds.of(run)) as news:
        while True:
            read = await asyncio.to_thread(page, live.store, run, after, _PAGE)
            for recorded in read:
                after = recorded.seq
                yield recorded
            if read:
                continue
            board = await live.board(run)
            if board.seq > after:
                continue
            if board.machine.phase == "ended":
                return
            if not await news.wait_for(after, beat):
                yield None


def page(store: Any, run: str, after: int, limit: int) -> list[Recorded]:
    """Read some events."""
    return list(islice(store.read(run, after), limit))


def beyond(run: str, after: int, last: int) -> CallerError:
    """Say that a reader wants what comes after an event that there is not."""
    return CallerError(f"run {run} has {last} events, and none with number {after}: begin anew")


def begin(last_event: str, after: int) -> int:
    """Say where a stream begins: behind the last event that its reader has had.

    Raises:
        CallerError: That is no number.
    """
    if not last_event:
        return after
    if not (last_event.isascii() and last_event.isdecimal() and len(last_event) < 16):
        raise CallerError("Last-Event-ID is the number of an event")
    return int(last_event)


def message(seq: int | str, data: Json) -> bytes:
    """Write a server-sent event."""
    return b"id: %b\ndata: %b\n\n" % (str(seq).encode(), encode(data))


class News:
    """Watches a feed for a while: ``async with News(feed) as news``."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._news = asyncio.Event()

    def _heard(self) -> None:
        self._news.set()

    async def wait_for(self, after: int, seconds: float) -> bool:
        """Wait until there is an event behind a number; tells whether there is."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._news.clear()
                    board = self._feed.board
                    if board is not None and board.seq > after:
                        return True
                    await self._news.wait()
        except TimeoutError:
            return False

    async def __aenter__(self) -> News:
        """Begin."""
        self._feed.listen(self._heard)
        return self

    async def __aexit__(self, *error: object) -> None:
        """End."""
        self._feed.leave(self._heard)


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/runs/{run}/events",
        role="view",
        handler=_events,
        about="The events of a run since a number; with Accept: text/event-stream as they come.",
        query=EventsQuery,
        gives=EventsPage,
    ),
]
