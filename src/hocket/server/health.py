"""Whether a process is alive and ready, for whoever watches over processes: without a token.

    GET /health   200 as long as the event loop answers
    GET /ready    200, or 503 with what is missing

Nothing else is told: anybody who reaches the port may ask, under any name of the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hocket.core.errors import JournalError
from hocket.journal.base import Store

Missing: TypeAlias = Literal["cluster", "draining", "journal"]
"""What a process may lack that is not ready: it is about to end, or something does not answer."""

_Scope: TypeAlias = MutableMapping[str, Any]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BEAT: Final = 0.25
_BEATS: Final = 40
_PATIENCE: Final = 3.0
_FRESH: Final = 1.0
"""For how many seconds an answer of the journal is given again: many may ask."""
_NOBODY: Final = "-"
"""No run has this id: the journal is asked for it, and has nothing to give."""


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers.

    Fields:
        alive: That it does.
        lag_ms: How late the event loop was at worst in the last ten seconds, in milliseconds.
    """

    alive: bool = True
    lag_ms: float


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process is to be sent anything.

    Fields:
        ready: Whether it is.
        missing: What it lacks.
    """

    ready: bool
    missing: list[Missing]


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One way to ask.

    Fields:
        path: The path.
        gives: The type of the JSON that is given.
        statuses: The statuses that it may have.
        about: One sentence for the OpenAPI document.
    """

    path: str
    gives: type[Alive] | type[Ready]
    statuses: tuple[int, ...]
    about: str


PROBES: Final = (
    Probe(path="/health", gives=Alive, statuses=(200,), about="Whether the process answers."),
    Probe(path="/ready", gives=Ready, statuses=(200, 503), about="Whether it is to be sent to."),
)
"""All that anybody may ask without a token."""
PATHS: Final = frozenset(probe.path for probe in PROBES)


class Health:
    """Knows how a process is, and answers as an ASGI application.

    Args:
        store: The journal.
        draining: Tells whether the process is about to end.
    """

    def __init__(self, store: Store, draining: Callable[[], bool]) -> None:
        self._store = store
        self._checks: dict[Missing, Callable[[], bool]] = {"draining": lambda: not draining()}
        self._lags: deque[float] = deque(maxlen=_BEATS)
        self._asking: asyncio.Task[bool] | None = None
        self._asked = 0.0

    def needs(self, what: Missing, there: Callable[[], bool]) -> None:
        """Have the process count as ready only while this tells that something is there."""
        self._checks[what] = there

    async def run(self) -> None:
        """Measure how late the event loop is, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT
            await asyncio.sleep(_BEAT)
            self._lags.append(loop.time() - due)

    def alive(self) -> Alive:
        """Say how late the event loop is."""
        return Alive(lag_ms=round(1e3 * max(self._lags, default=0.0), 1))

    async def ready(self) -> Ready:
        """Say what is missing."""
        missing: list[Missing] = [what for what, there in self._checks.items() if not there()]
        if not await self._answers():
            missing.append("journal")
        return Ready(ready=not missing, missing=sorted(missing))

    async def _answers(self) -> bool:
        """Tell whether the journal answers; all who ask at once share one question."""
        now = asyncio.get_running_loop().time()
        asking = self._asking
        if asking is None or (asking.done() and now - self._asked > _FRESH):
            self._asked = now
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        try:
            async with asyncio.timeout(_PATIENCE):
                return await asyncio.shield(asking)
        except TimeoutError:
            # It is not asked again before it has answered, or failed.
            return False

    def _ask(self) -> bool:
        try:
            # It reads, and writes: by two connections, of which either may be lost.
            return self._store.find(_NOBODY) is None and self._store.writes(_PATIENCE)
        except JournalError:
            return False

    async def __call__(self, scope: _Scope, receive: Any, send: _Send) -> None:
        """Answer a request, and refuse whatever is none."""
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        status, told = await self._told(scope)
        body = b"" if told is None else msgspec.json.encode(told)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    async def _told(self, scope: _Scope) -> tuple[int, Alive | Ready | None]:
        if scope["path"] not in PATHS:
            return 404, None
        if scope["method"] not in {"GET", "HEAD"}:
            return 405, None
        if scope["path"] == "/health":
            return 200, self.alive()
        ready = await self.ready()
        return (200 if ready.ready else 503), ready
