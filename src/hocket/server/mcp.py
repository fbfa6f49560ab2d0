"""MCP over HTTP at ``/mcp``, behind the server's gate.

What it takes to speak MCP is imported with the first request: a server without one never pays
for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, Final, TypeAlias

from hocket.core.errors import Refused
from hocket.server.routing import Mount

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

PATH: Final = "/mcp"


class McpApp:
    """An ASGI application that speaks MCP, in both eras of the protocol.

    Args:
        site: Whose runs, files and commands it works with.
    """

    def __init__(self, site: Any) -> None:
        self._site = site
        self._starting: asyncio.Task[Any] | None = None
        self._over = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the `Caller` is in the scope under ``hocket.caller``."""
        if scope["path"] != PATH:
            await _say(send, 404, f"MCP is spoken at {PATH} alone")
            return
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        try:
            manager = await asyncio.shield(self._starting)
        except Refused as error:
            self._starting = None
            await _say(send, 503, str(error))
            return
        await manager.handle_request(scope, receive, send)

    async def _start(self) -> Any:
        """Import what is needed, and start what looks after sessions.

        Raises:
            Refused: The extra is not installed.
        """
        make = await asyncio.to_thread(_load)
        manager = make(self._site)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Its task group has to be entered and left by one task, which no request's can be.
        self._running = asyncio.create_task(self._run(manager, ready), name="mcp")
        await ready
        return manager

    async def _run(self, manager: Any, ready: asyncio.Future[None]) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(manager.run())
            ready.set_result(None)
            await self._over.wait()

    async def close(self) -> None:
        """End all sessions."""
        self._over.set()
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)


def mcp_app(site: Any) -> McpApp:
    """Make the ASGI application of a site, which ends with it."""
    app = McpApp(site)
    site.closing.append(app.close)
    return app


MOUNT: Final = Mount(
    path=PATH,
    role="view",
    app=mcp_app,
    about="MCP over HTTP; tools that act take a token for operating.",
    methods=("GET", "POST", "DELETE"),
)


def _load() -> Callable[[Any], Any]:
    """Import what speaks MCP.

    Raises:
        Refused: The extra is not installed.
    """
    try:
        module = import_module("hocket.server.mcp_http")
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    manager: Callable[[Any], Any] = module.session_manager
    return manager


def missing_extra(error: ModuleNotFoundError) -> Refused:
    """Say what to install, if that is what is missing.

    Raises:
        ModuleNotFoundError: It is something else.
    """
    if (error.name or "").partition(".")[0] not in {"mcp", "mcp_types"}:
        raise error
    return Refused("MCP needs the extra: pip install 'hocket[mcp]'")


async def _say(send: Send, status: int, message: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": message.encode()})
