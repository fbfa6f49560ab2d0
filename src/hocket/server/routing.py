"""What a route is: one table makes the router, the checks at the gate, and the OpenAPI document.

Handlers know nothing of HTTP: each gets what was asked, decoded and checked, and gives a value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["view", "operate"]
"""What a token allows: to look, or to look and to act."""
Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks.

    Fields:
        role: What the token allows.
        by: The name that what is done is recorded under: ``page`` or ``api``, with the name behind
            it that the caller gave, as in ``page:anna``, or else its role and address, as in
            ``api (operate, 127.0.0.1)``.
        address: Where the request came from, as ``host:port``.
    """

    role: Role
    by: str
    address: str = ""

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.address.rpartition(":")[0]

    @property
    def client(self) -> str:
        """Who counts as one client: a role from an address."""
        return f"{self.role} {self.host}"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request, decoded and checked.

    Fields:
        caller: Who asks.
        path: What the placeholders of the route's path stand for, by name.
        query: The query, as the route's struct; None if it has none.
        body: The body, as the route's struct; None if it has none.
        accepts: The media types that the caller wants, as the header ``Accept`` has them.
        range: The header ``Range``, or "".
        last_event: The header ``Last-Event-ID``, or "".
    """

    caller: Caller
    path: dict[str, str] = {}
    query: Any = None
    body: Any = None
    accepts: str = ""
    range: str = ""
    last_event: str = ""


class Bytes(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not JSON.

    Fields:
        data: The bytes.
        media: Their media type.
        status: The HTTP status.
        headers: Further headers.
    """

    data: bytes
    media: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = {}


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that comes bit by bit, as server-sent events do.

    Fields:
        chunks: The bytes.
        media: Their media type.
    """

    chunks: AsyncIterator[bytes]
    media: str = "text/event-stream"


Answer: TypeAlias = Any
"""`Bytes`, `Stream`, or a value that becomes JSON."""

Handler: TypeAlias = Callable[[Any, Asked], Awaitable[Answer]]
"""Takes the `Site` and what was asked.

Raises:
    CallerError: It becomes a status of the 400s: 404 for `NotFound`, 409 for `Refused`, else 400.
    JournalError: It becomes 503.
"""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route.

    Fields:
        method: The HTTP method.
        path: The path, with placeholders in braces.
        role: What a token has to allow.
        handler: Who answers.
        about: One sentence for the OpenAPI document.
        query: The struct of the query; unknown names in a query are refused.
        body: The struct of the JSON body; None if there is to be no body.
        gives: The type of the JSON that is given, or None for bytes and streams.
        media: The media type of what is given.
        status: The status of success.
        most: The most bytes of a body.
        notes: Whether 202 may say that it was asked of another process, and not answered yet.
        computes: Whether it computes for long in a process of its own: it counts as acting does.
    """

    method: Method
    path: str
    role: Role
    handler: Handler
    about: str
    query: Any = None
    body: Any = None
    gives: Any = None
    media: str = "application/json"
    status: int = 200
    most: int = 1 << 20
    notes: bool = False
    computes: bool = False


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket.

    Fields:
        path: The path, without placeholders.
        role: What a token has to allow.
        handler: Takes the `Site`, the `Caller` and the socket (a ``starlette.websockets.WebSocket``
            that has been accepted), and returns when it is over.
        about: One sentence for people.
    """

    path: str
    role: Role
    handler: Callable[[Any, Caller, Any], Awaitable[None]]
    about: str


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A path whose requests another ASGI application answers, behind the same gate.

    Fields:
        path: The path; it and all below it.
        role: What a token has to allow.
        app: Makes the ASGI application, given the `Site`; the `Caller` is in the scope under
            ``hocket.caller``.
        about: One sentence for people.
        methods: The HTTP methods that it answers.
        most: The most bytes of a body.
    """

    path: str
    role: Role
    app: Callable[[Any], Any]
    about: str
    methods: tuple[str, ...] = ("GET", "POST")
    most: int = 1 << 20


Routes: TypeAlias = Sequence[Route]
