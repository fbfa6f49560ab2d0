"""The server's application: the gate, and behind it every route."""

from __future__ import annotations

import asyncio
import logging
import secrets
import traceback
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.websockets import WebSocket, WebSocketState

from hocket.agents.faults import redact, secrets_of
from hocket.server import (
    about,
    agui,
    controls,
    events,
    inbox,
    insights,
    limits,
    live,
    mcp,
    planning,
    plans,
    runs,
    stats,
    steps,
)
from hocket.server.answers import Reason, TurnedAway, encoded, turned_away
from hocket.server.gate import (
    CALLER,
    ENDS,
    PROTOCOL,
    App,
    Gate,
    Message,
    Receive,
    Scope,
    Send,
    answer_bytes,
    entry_of,
    headers_of,
    turn_away,
)
from hocket.server.openapi import document
from hocket.server.page_files import Page
from hocket.server.quotas import TooMany
from hocket.server.reading import read_body, read_query
from hocket.server.routing import Asked, Bytes, Caller, Mount, Role, Route, Socket, Stream
from hocket.server.site import Site


async def _document(site: Site, asked: Asked) -> Any:
    return document(ROUTES)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/openapi.json",
        role="view",
        handler=_document,
        about="This document.",
        gives=dict[str, Any],
    ),
    *about.ROUTES,
    *runs.ROUTES,
    *steps.ROUTES,
    *events.ROUTES,
    *agui.ROUTES,
    *controls.ROUTES,
    *plans.ROUTES,
    *planning.ROUTES,
    *stats.ROUTES,
    *insights.ROUTES,
    *limits.ROUTES,
    *inbox.ROUTES,
)
"""Every route; the OpenAPI document and the tests of the gate are made of it."""
SOCKETS: Final[tuple[Socket, ...]] = (*live.SOCKETS,)
"""Every WebSocket."""
MOUNTS: Final[tuple[Mount, ...]] = (mcp.MOUNT,)
"""Every application that answers for a path of its own."""

_LOG: Final = logging.getLogger("hocket.server")


def make_app(site: Site, page: Page | None = None) -> App:
    """Make the server's ASGI application.

    Args:
        site: What its routes work with.
        page: The page's files; by default those of the package.
    """
    if isinstance(site.live, live.Live):
        inbox.provide(site.live, site)
    shown = (page or Page()) if site.settings.page else None
    return Gate(Router(site, ROUTES, SOCKETS, MOUNTS), site, shown)


class Router:
    """Finds who answers, and answers; it stands behind the gate.

    Args:
        site: What the routes work with.
        routes: Who answers requests.
        sockets: Who answers WebSockets.
        mounts: Who answers for all below a path.
    """

    def __init__(
        self,
        site: Site,
        routes: Sequence[Route],
        sockets: Sequence[Socket],
        mounts: Sequence[Mount],
    ) -> None:
        self._site = site
        self._table = [(_parts(route.path), route) for route in routes]
        self._sockets = {socket.path: socket for socket in sockets}
        self._mounts = [(mount, mount.app(site)) for mount in mounts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection that has passed the gate."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        caller: Caller = scope[CALLER]
        watched = _Watched(send)
        acting = False
        reason: Reason = ""
        try:
            found = self._find(scope)
            acting = found.role == "operate"
            self._allow(caller, found.role)
            with self._site.doors.under_way.one(caller.client):
                if isinstance(found, Mount):
                    await self._mounted(found, scope, receive, watched)
                else:
                    await self._routed(found, scope, receive, watched)
        except asyncio.CancelledError:
            # The server ends, and has waited for this as long as it does.
            reason = "unavailable"
            await self._cut(scope, receive, watched)
        except Exception as error:
            refusal = turned_away(error) or self._bug(error)
            reason = refusal.reason
            if watched.status:
                # The answer has begun, and what is wrong with it cannot be said any more.
                raise
            await turn_away(scope, receive, watched, refusal)
        if acting or reason in {"role", "quota", "bug"}:
            line = entry_of(scope, caller.address, watched.status, reason, caller)
            if reason in {"role", "quota"}:
                self._site.audit.refused(line)
            else:
                self._site.audit.add(line)

    def _find(self, scope: Scope) -> Route | Mount:
        """Find who answers.

        Raises:
            TurnedAway: Nobody does, or not by this method.
        """
        path, method = scope["path"], scope["method"]
        for mount, _ in self._mounts:
            if path == mount.path or path.startswith(f"{mount.path}/"):
                if method not in mount.methods:
                    raise _wrong_method(method, mount.methods)
                return mount
        given = _segments(scope)
        routes = [route for parts, route in self._table if _match(parts, given) is not None]
        for route in routes:
            if route.method == method:
                return route
        if routes:
            raise _wrong_method(method, [route.method for route in routes])
        raise TurnedAway(404, "not_found", "path", "there is nothing at this address")

    def _allow(self, caller: Caller, role: Role) -> None:
        """Check that a caller may do what a route does.

        Raises:
            TurnedAway: Its token lets it look only.
            TooMany: It acts too often.
        """
        if role == "view":
            return
        if caller.role != "operate":
            hint = "the other token lets its bearer act"
            raise TurnedAway(403, "forbidden", "role", "this token lets you look only", hint)
        self._act(caller.host)

    def _act(self, who: str) -> None:
        """Count that somebody acts, or has something computed.

        Raises:
            TooMany: It does so too often.
        """
        if wait := self._site.doors.acting.take(who):
            raise TooMany("too many requests that change or compute something", wait)

    async def _routed(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a request, let its handler answer, and send that."""
        caller: Caller = scope[CALLER]
        doors = self._site.doors
        asked = await self._asked(route, scope, receive)
        if route.role == "operate":
            # What was begun to be done is done, also if nobody waits for the answer.
            answer = await route.handler(self._site, asked)
        elif route.computes:
            self._act(caller.client)
            with doors.computing.one(caller.client):
                answer = await _while_wanted(route.handler(self._site, asked), scope, receive)
        else:
            answer = await _while_wanted(route.handler(self._site, asked), scope, receive)
        if isinstance(answer, Stream):
            with doors.streams.one(caller.client):
                await _stream(answer, scope, receive, send)
            return
        if not isinstance(answer, Bytes):
            answer = Bytes(data=encoded(answer), media=route.media, status=route.status)
        await answer_bytes(send, answer)

    async def _asked(self, route: Route, scope: Scope, receive: Receive) -> Asked:
        """Read a request."""
        headers = headers_of(scope)
        query = read_query(route, scope["query_string"])
        patience = self._site.settings.quotas.body_seconds
        body = await read_body(route, headers, receive, patience)
        return Asked(
            caller=scope[CALLER],
            path=_match(_parts(route.path), _segments(scope)) or {},
            query=query,
            body=body,
            accepts=headers.get("accept", [""])[0],
            range=headers.get("range", [""])[0],
            last_event=headers.get("last-event-id", [""])[0],
        )

    async def _mounted(self, mount: Mount, scope: Scope, receive: Receive, send: Send) -> None:
        """Let another application answer, with a body no larger than it may be."""
        length = headers_of(scope).get("content-length", ["0"])[0]
        if not length.isdecimal() or int(length) > mount.most:
            said = f"a body may have {mount.most} bytes here"
            raise TurnedAway(413, "too_large", "size", said)
        left = mount.most

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        app = next(app for one, app in self._mounts if one is mount)
        with self._site.doors.streams.one(scope[CALLER].client):
            await app(scope, bounded, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller = scope[CALLER]
        socket = self._sockets.get(scope["path"])
        try:
            if socket is None:
                raise TurnedAway(404, "not_found", "path", "there is no socket at this address")
            self._allow(caller, socket.role)
            with self._site.doors.sockets.one(caller.client):
                await self._hold(socket, caller, WebSocket(scope, receive, send))
        except (TurnedAway, TooMany) as error:
            refusal = turned_away(error)
            assert refusal is not None
            self._site.audit.refused(
                entry_of(scope, caller.address, refusal.status, refusal.reason, caller)
            )
            await turn_away(scope, receive, send, refusal)

    async def _hold(self, socket: Socket, caller: Caller, open_: WebSocket) -> None:
        """Accept a socket and keep it until its handler is done."""
        await open_.accept(subprotocol=PROTOCOL)
        code = 1000
        try:
            await socket.handler(self._site, caller, open_)
        except Exception as error:
            self._bug(error)
            code = 1011
        both = open_.application_state, open_.client_state
        if all(state is WebSocketState.CONNECTED for state in both):
            await open_.close(code)

    async def _cut(self, scope: Scope, receive: Receive, send: _Watched) -> None:
        """End an answer that the server cannot wait for."""
        if not send.status:
            await turn_away(scope, receive, send, _ending())
        elif not send.over:
            await send({"type": "http.response.body", "body": b""})

    def _bug(self, error: Exception) -> TurnedAway:
        """Write an error that nobody foresaw to the log, and give what the client is told."""
        name = secrets.token_hex(4)
        told = "".join(traceback.format_exception(error))
        tokens = self._site.tokens
        _LOG.error("bug %s: %s", name, redact(told, secrets_of(tokens.view, tokens.operate)))
        hint = f"the server's log has more under {name}; please report it"
        return TurnedAway(500, "bug", "bug", f"this is a bug in Hocket ({name})", hint)


class _Watched:
    """Sends, and remembers the status that was sent, and whether that was all."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.over = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.over = not message.get("more_body", False)
        await self._send(message)


class _Part(NamedTuple):
    """One part of a route's path: a text, or the name of a placeholder."""

    text: str
    name: str


def _parts(path: str) -> tuple[_Part, ...]:
    return tuple(
        _Part("", part[1:-1]) if part.startswith("{") else _Part(part, "")
        for part in path.split("/")[1:]
    )


def _segments(scope: Scope) -> list[str]:
    """Cut a path before it is decoded: a coded slash belongs to a name, and cuts nothing.

    Raises:
        TurnedAway: It is no text.
    """
    raw: bytes = scope["raw_path"].partition(b"?")[0]
    try:
        return [unquote_to_bytes(part).decode("utf-8") for part in raw.split(b"/")[1:]]
    except UnicodeDecodeError as error:
        raise TurnedAway(404, "not_found", "path", "there is nothing at this address") from error


def _match(parts: tuple[_Part, ...], given: list[str]) -> dict[str, str] | None:
    """Give what a path's placeholders stand for; None if it is another path."""
    if len(parts) != len(given):
        return None
    found: dict[str, str] = {}
    for part, segment in zip(parts, given, strict=True):
        if part.name and segment:
            found[part.name] = segment
        elif part.text != segment or part.name:
            return None
    return found


def _wrong_method(method: str, known: Sequence[str]) -> TurnedAway:
    allowed = ", ".join(sorted(set(known)))
    said = f"this address does not take {method[:10]}"
    return TurnedAway(405, "bad_input", "method", said, headers=[("Allow", allowed)])


def _ending() -> TurnedAway:
    hint = "ask again when it has been started again"
    return TurnedAway(503, "unavailable", "unavailable", "this server is ending", hint)


async def _while_wanted(work: Awaitable[Any], scope: Scope, receive: Receive) -> Any:
    """Do something until it is done, its client goes, or the server ends.

    Raises:
        TurnedAway: It was ended before it was done.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(receive))
    gone.add_done_callback(lambda _: task.cancel())
    scope[ENDS] = task.cancel
    try:
        await asyncio.wait({task})
        if task.cancelled():
            raise _ending()
        return task.result()
    finally:
        del scope[ENDS]
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _stream(answer: Stream, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer as it comes, until it ends, the client goes, or the server ends."""
    headers = [(b"content-type", answer.media.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        await _while_wanted(_send_all(answer, send), scope, receive)
    except TurnedAway:
        # Whoever still listens is told in good order that nothing more comes.
        await send({"type": "http.response.body", "body": b""})


async def _send_all(answer: Stream, send: Send) -> None:
    chunks: Any = answer.chunks
    async with aclosing(chunks):
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
