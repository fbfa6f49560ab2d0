"""Connections: what is done with those on which nobody known asks anything.

Whoever has opened a connection costs the server a place before he has shown a token.
So a request's head has to come soon, and where many connections ask nothing the oldest of them go:
somebody new, from the same address, too, is heard all the same.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hocket.server.answers import Told, error_body
from hocket.server.gate import CALLER, ENDS, Receive, Scope, Send
from hocket.server.settings import Settings

HEAD_SECONDS: Final = 10.0
"""Seconds within which a request's head has to come."""
MOST_EACH: Final = 128
"""The most connections of one address on which nobody known asks anything."""
MOST_LOOSE: Final = 512
"""The most of them in all."""
MOST: Final = 1_000
"""The most connections of all kinds."""

_FULL: Final = Told(
    kind="unavailable",
    message=f"{MOST} connections are open, more than that are not held",
    hint="try again in a few seconds",
)
_WRONG: Final = Told(kind="bad_input", message="this is no HTTP request that can be read")


class Connection(H11Protocol):
    """An HTTP connection that is let go if nothing is asked on it.

    TLS begins only here, so that whoever has not even begun it is counted, and not waited for.
    """

    tls: ssl.SSLContext | None = None

    head_seconds = HEAD_SECONDS
    most_each = MOST_EACH
    most_loose = MOST_LOOSE
    most = MOST

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # Uvicorn's own answer to too many is no JSON.
        self.limit_concurrency = None
        self._head: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._early: bytearray | None = None

    @property
    def loose(self) -> bool:
        """Whether nothing is asked on it, or only by somebody unknown."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete or CALLER not in cycle.scope

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and make room for it."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._wait_for_head()
        if self.tls is not None:
            transport.pause_reading()
            self._early = bytearray()
            self._shaking = self.loop.create_task(self._shake_hands(self.tls))
        if len(self.connections) > self.most:
            self.app = _full
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take in what has come; a head that comes bit by bit has no more time than others."""
        if self._early is not None:
            # It came with the end of the handshake, of which we hear in the next turn.
            self._early += data
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._wait_for_head()
        else:
            self._stop_waiting()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Be idle from now on."""
        self._since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, as the contract says it."""
        body = error_body(_WRONG)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        said = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (said, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def shutdown(self) -> None:
        """End; what would go on for long ends at once, the rest has a moment to be done."""
        super().shutdown()
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete and ENDS in cycle.scope:
            cycle.scope[ENDS]()

    # -- within -----------------------------------------------------------------------------

    async def _shake_hands(self, tls: ssl.SSLContext) -> None:
        """Begin TLS."""
        transport = None
        with suppress(OSError):
            # It may be no TLS, come too slowly, or its client may go: there is nobody to tell.
            transport = await self.loop.start_tls(
                self.transport,
                self,
                tls,
                server_side=True,
                ssl_handshake_timeout=self.head_seconds,
            )
        if transport is None:
            self.connection_lost(None)
            return
        super().connection_made(transport)
        early, self._early = self._early, None
        if early:
            self.data_received(bytes(early))

    def _wait_for_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(self.head_seconds, self._abort)

    def _abort(self) -> None:
        self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _make_room(self) -> None:
        """Let the oldest connection go on which nothing is asked, if there are too many."""
        loose = [one for one in self.connections if isinstance(one, Connection) and one.loose]
        mine = [one for one in loose if one._host == self._host]
        if len(mine) > self.most_each:
            crowd = mine
        elif len(loose) > self.most_loose:
            hosts = Counter(one._host for one in loose)
            # Those of all addresses that have as many: whoever has just come may be one of them.
            most = max(hosts.values())
            crowd = [one for one in loose if hosts[one._host] == most]
        else:
            return
        oldest = min((one for one in crowd if one is not self), key=lambda one: one._since)
        # What it was still to be sent is not waited for: it may be read never.
        oldest._abort()
        # It is told so in the next turn only, and must not be counted until then.
        self.connections.discard(oldest)

    @property
    def _host(self) -> str:
        return self.client[0] if self.client else ""


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket that may be refused by an answer of HTTP."""

    async def send(self, message: Any) -> None:
        """Send; a refusal that has been sent is the end of the handshake."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            # Uvicorn logs an error otherwise, whenever the application is done before the client.
            self.handshake_complete = True


def protocols(settings: Settings) -> dict[str, Any]:
    """Give the options of `uvicorn.Config` that have it use these."""
    if settings.cert is None:
        return {"http": Connection, "ws": Socket}
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(settings.cert, settings.key)
    return {"http": type("Encrypted", (Connection,), {"tls": tls}), "ws": Socket}


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that too many connections are open."""
    body = error_body(_FULL)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"5"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
