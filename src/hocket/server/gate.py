"""The gate: every request and every socket passes here before anything else looks at it.

It stands outside of routing, so that a route cannot be forgotten, and it treats WebSockets as it
treats HTTP: the browser's own protections don't hold for them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from hocket.server.answers import Reason, TurnedAway, error_body, turned_away
from hocket.server.audit import Entry
from hocket.server.health import PATHS as PROBED
from hocket.server.page_files import ASSETS, Page
from hocket.server.public import is_loopback
from hocket.server.quotas import TooMany
from hocket.server.routing import Bytes, Caller, Role
from hocket.server.site import Site

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PROTOCOL: Final = "hocket"
"""The WebSocket subprotocol that is answered with; the token travels beside it."""
CALLER: Final = "hocket.caller"
"""Where the scope has who asks."""
ENDS: Final = "hocket.ends"
"""Where the scope has what ends an answer, as long as it may be ended without harm."""

_TOKEN: Final = "token."
_BEARER: Final = "bearer "
_OUR_SITE: Final = frozenset({"same-origin", "none"})
_MOST_PATH: Final = 2048
_MOST_QUERY: Final = 8192
_MOST_NAME: Final = 40
_MOST_DROPPED: Final = 4 << 20
_DROP_SECONDS: Final = 2.0

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
_ALWAYS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Gate:
    """Lets through who may come in, and gives every answer its safe headers.

    Args:
        app: What is behind it; finds the `Caller` in the scope.
        site: What the server works with.
        page: The page's own files, which hold no data and need no token.
    """

    def __init__(self, app: App, site: Site, page: Page | None) -> None:
        self._app = app
        self._site = site
        self._page = page
        self._proxies = frozenset(map(_address, site.settings.proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] not in {"http", "websocket"}:
            return
        safe = _with_headers(send)
        heard = Heard(receive)
        if scope["type"] == "http" and scope["path"] in PROBED:
            # Whoever watches over processes has no token, and calls a server by its bare address.
            await self._site.health(scope, heard, safe)
            return
        try:
            file = self._passed(scope)
        except TurnedAway as refusal:
            self._note(scope, refusal)
            await turn_away(scope, heard, safe, refusal)
            return
        if file is not None:
            await answer_bytes(safe, file, head=scope["method"] == "HEAD")
            return
        await self._app(scope, heard, safe)

    def _passed(self, scope: Scope) -> Bytes | None:
        """Check a connection; gives the page's file if that is all it wants.

        Raises:
            TurnedAway: It may not come in.
        """
        headers = headers_of(scope)
        self._check_place(scope, headers)
        if len(scope["path"]) > _MOST_PATH or len(scope["query_string"]) > _MOST_QUERY:
            raise TurnedAway(414, "bad_input", "size", "this address is too long")
        if (
            scope["type"] == "http"
            and self._page is not None
            and scope["method"] in {"GET", "HEAD"}
        ):
            file = self._page.file(scope["path"], headers.get("if-none-match", [""])[0])
            if file is not None:
                return file
            if scope["path"].startswith(ASSETS):
                # An older page, still open, asks for what has been built anew; it sends no token.
                raise TurnedAway(404, "not_found", "path", "the page has no such file")
        scope[CALLER] = self._caller(scope, headers, self._address(scope, headers))
        return None

    def _check_place(self, scope: Scope, headers: dict[str, list[str]]) -> None:
        """Check that a request was meant for us, and does not come from another site's page.

        Raises:
            TurnedAway: It was not, or does.
        """
        settings = self._site.settings
        proxied = self._by_proxy(scope) and headers.get("x-forwarded-proto") == ["https"]
        hosts = headers.get("host", [])
        known = settings.hosts(proxied=proxied)
        if settings.behind_proxy and not proxied and not is_loopback(_address(_peer(scope))):
            # What comes past the proxy has crossed a network in the clear.
            known = frozenset()
        if len(hosts) != 1 or hosts[0].lower() not in known:
            hint = "call it by an address that it was started with: hocket serve --name NAME"
            if settings.behind_proxy:
                hint += "; the proxy has to add X-Forwarded-Proto: https, and to be a --proxy"
            raise TurnedAway(421, "forbidden", "host", "this server has another name", hint)
        origins = headers.get("origin", [])
        if origins and (
            len(origins) > 1 or origins[0].lower() not in settings.origins(proxied=proxied)
        ):
            raise TurnedAway(403, "forbidden", "origin", "another site's page asks for this")
        sites = headers.get("sec-fetch-site", [])
        opens = _opens(scope, headers)
        if sites and not opens and (len(sites) > 1 or sites[0].lower() not in _OUR_SITE):
            raise TurnedAway(403, "forbidden", "cross_site", "another site's page asks for this")

    def _caller(self, scope: Scope, headers: dict[str, list[str]], address: str) -> Caller:
        """Find out who asks.

        Raises:
            TurnedAway: There is no good token, or too many requests came.
        """
        host = address.rpartition(":")[0]
        doors = self._site.doors
        role = self._site.tokens.role_of(_token(scope, headers))
        if role is None:
            if wait := doors.refusals.take(host):
                raise _too_many(TooMany("too many requests without a good token", wait))
            raise TurnedAway(
                401,
                "unauthorized",
                "token",
                "a token is needed, and this is none",
                "hocket serve prints the address with the token",
                headers=[("WWW-Authenticate", 'Bearer realm="hocket"')],
            )
        if wait := doors.requests.take(f"{role} {host}"):
            raise _too_many(TooMany("too many requests", wait))
        return Caller(role=role, by=_by(headers, role, host), address=address)

    def _by_proxy(self, scope: Scope) -> bool:
        """Tell whether a connection comes from the proxy that was declared."""
        return self._site.settings.behind_proxy and _address(_peer(scope)) in self._proxies

    def _address(self, scope: Scope, headers: dict[str, list[str]]) -> str:
        """Say where a connection comes from: what its proxy says, and nobody else."""
        host, port = scope.get("client") or ("", 0)
        if not self._by_proxy(scope):
            return f"{host}:{port}"
        said = [_address(one) for one in ",".join(headers.get("x-forwarded-for", [])).split(",")]
        # The last proxy adds to what it was told, which may be anything.
        far = next((one for one in reversed(said) if one and one not in self._proxies), host)
        return f"{far}:0"

    def _note(self, scope: Scope, refusal: TurnedAway) -> None:
        headers = headers_of(scope)
        address = self._address(scope, headers)
        self._site.audit.refused(entry_of(scope, address, refusal.status, refusal.reason))


class Heard:
    """Receives, and knows whether it has received all of a request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.all = False

    async def __call__(self) -> Message:
        """Receive what comes next."""
        message = await self._receive()
        self.all = not message.get("more_body", False)
        return message


def headers_of(scope: Scope) -> dict[str, list[str]]:
    """Give a connection's headers by their names in small letters."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return found


def _peer(scope: Scope) -> str:
    """Say what address a connection comes from."""
    host: str = (scope.get("client") or ("", 0))[0]
    return host


def _address(said: str) -> str:
    """Write an address as all write it; what is none is given as it is, as far as it is text."""
    said = said.strip()
    host = said[1:].partition("]")[0] if said.startswith("[") else said
    for one in (host, host.rpartition(":")[0]):
        with suppress(ValueError):
            address = ipaddress.ip_address(one)
            return str(getattr(address, "ipv4_mapped", None) or address)
    return _printable(said, _MOST_NAME)


def entry_of(
    scope: Scope, address: str, status: int, reason: Reason, caller: Caller | None = None
) -> Entry:
    """Make the audit's line of a connection."""
    return Entry(
        seq=0,
        at=0.0,
        by=caller.by if caller is not None else "",
        role=caller.role if caller is not None else "",
        address=address,
        method="SOCKET" if scope["type"] == "websocket" else scope["method"][:10],
        path=_printable(scope["path"], 300),
        status=status,
        reason=reason,
    )


async def turn_away(scope: Scope, receive: Receive, send: Send, refusal: TurnedAway) -> None:
    """Answer that a connection is not let in; a socket is refused before it is accepted."""
    body = error_body(refusal.told)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *_coded(refusal.headers),
    ]
    if scope["type"] == "http":
        if _has_body(scope) and not (isinstance(receive, Heard) and receive.all):
            # A client that is cut off while it still sends never reads why.
            headers.append((b"connection", b"close"))
            await _drop(receive)
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    start = {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body})


async def answer_bytes(send: Send, answer: Bytes, *, head: bool = False) -> None:
    """Send an answer as a whole."""
    headers = [
        (b"content-type", answer.media.encode("latin-1")),
        *(
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in answer.headers.items()
        ),
    ]
    names = {name for name, _ in headers}
    if answer.status != 304:
        headers.append((b"content-length", str(len(answer.data)).encode()))
    if b"cache-control" not in names:
        headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.data})


def _opens(scope: Scope, headers: dict[str, list[str]]) -> bool:
    """Tell whether a browser opens our page in a tab of its own.

    There is no data in it, and no other page can look into it: a link to it may stand anywhere.
    """
    return (
        scope["type"] == "http"
        and (scope["method"], scope["path"]) == ("GET", "/")
        and headers.get("sec-fetch-mode") == ["navigate"]
        and headers.get("sec-fetch-dest") == ["document"]
        and "origin" not in headers
    )


def _has_body(scope: Scope) -> bool:
    headers = headers_of(scope)
    return headers.get("content-length", ["0"]) != ["0"] or "transfer-encoding" in headers


async def _drop(receive: Receive) -> None:
    """Read the beginning of a body that nobody wants."""
    left = _MOST_DROPPED
    try:
        async with asyncio.timeout(_DROP_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        # Who sends so slowly is cut off.
        return


def _coded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


def _token(scope: Scope, headers: dict[str, list[str]]) -> str:
    """Find the token that is shown; "" if there is none, or more than one."""
    given: list[str] = []
    if scope["type"] == "websocket":
        protocols = [protocol for protocol in scope.get("subprotocols", [])]
        if PROTOCOL in protocols:
            given = [p.removeprefix(_TOKEN) for p in protocols if p.startswith(_TOKEN)]
    for value in headers.get("authorization", []):
        given.append(value[len(_BEARER) :].strip() if value.lower().startswith(_BEARER) else "")
    return given[0] if len(given) == 1 else ""


def _by(headers: dict[str, list[str]], role: Role, host: str) -> str:
    """Say under what name that is recorded what a caller does."""
    # Only browsers send this header, and a script on a page cannot change it.
    kind = "page" if headers.get("sec-fetch-site") else "api"
    name = _printable(headers.get("hocket-by", [""])[0], _MOST_NAME)
    return f"{kind}:{name}" if name else f"{kind} ({role}, {host})"


def _printable(text: str, most: int) -> str:
    """Give the beginning of a text from outside, without what could draw or break lines."""
    known = text.encode("latin-1", "ignore").decode("utf-8", "ignore") if _is_latin(text) else text
    kept = (c for c in unicodedata.normalize("NFC", known[: 4 * most]) if c.isprintable())
    return "".join(kept).strip()[:most]


def _is_latin(text: str) -> bool:
    return all(ord(c) < 256 for c in text)


def _too_many(error: TooMany) -> TurnedAway:
    refusal = turned_away(error)
    assert refusal is not None
    return refusal


def _with_headers(send: Send) -> Send:
    """Give every answer the headers that keep a browser from doing more with it than is meant."""

    async def safe(message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            own = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"set-cookie"]
            message["headers"] = [*own, *_ALWAYS]
        await send(message)

    return safe


async def _live(receive: Receive, send: Send) -> None:
    """Say that we are ready; whoever starts the server opens and closes all by himself."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
