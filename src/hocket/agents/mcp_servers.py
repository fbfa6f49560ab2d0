"""MCP servers that tools are called of: one connection each, kept from run to run.

A connection lives in a task of its own until its process ends or its engine is closed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple

from hocket.agents.base import Context
from hocket.agents.environment import child_environment
from hocket.agents.faults import redact, secrets_of
from hocket.agents.mcp_server import Server
from hocket.agents.output import clip, fault
from hocket.core.errors import AgentError
from hocket.core.values import Json

_CONNECT: Final = 30.0
"""How long a server may take to say who it is, in seconds."""
_MOST_PAGES: Final = 100


class Listed(NamedTuple):
    """A tool as its server describes it.

    Fields:
        name: What the server calls it.
        about: Its description.
        schema: The schema of its arguments.
    """

    name: str
    about: str
    schema: Json


class Connection:
    """A server that is connected.

    Args:
        name: What the file calls it.
        client: Speaks with it.
        secrets: What must not be shown.

    Attributes:
        names: The tools that it had when it was last asked.
    """

    def __init__(self, name: str, client: Any, secrets: tuple[str, ...]) -> None:
        self.secrets = secrets
        self.names: list[str] = []
        self._name = name
        self._client = client

    async def tools(self) -> list[Listed]:
        """Ask for the tools as they are now.

        Raises:
            AgentError: ``unavailable``: it does not answer, or not as it should.
        """
        found: list[Listed] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            try:
                page = await self._client.list_tools(cursor=cursor, cache_mode="bypass")
            except Exception as error:
                raise self.failure(error) from error
            found += [
                Listed(tool.name, tool.description or "", dict(tool.input_schema))
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if not cursor:
                break
        self.names = [tool.name for tool in found]
        return found

    async def find(self, name: str) -> Listed | None:
        """Ask for one tool as it is now.

        Raises:
            AgentError: ``unavailable``: the server does not answer, or not as it should.
        """
        return next((tool for tool in await self.tools() if tool.name == name), None)

    async def call(self, name: str, args: Mapping[str, Json], context: Context) -> Any:
        """Call a tool.

        Raises:
            AgentError: The connection fails, or the server has refused the call.
        """

        async def progress(done: float, total: float | None, said: str | None) -> None:
            if said:
                context.emit(redact(said, self.secrets) + "\n", "err")

        try:
            return await self._client.call_tool(name, dict(args), progress_callback=progress)
        except Exception as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> AgentError:
        """Say what went wrong with a server."""
        if isinstance(error, AgentError):
            return error
        said = clip(" ".join(redact(str(error), self.secrets).split()), 300)
        what = f"MCP server {self._name}: {said or type(error).__name__}"
        return fault("failed" if _refused(error) else "unavailable", what)


def _refused(error: Exception) -> bool:
    """Tell whether a server has answered, and would not; else the connection is to blame."""
    code = getattr(error, "code", None)
    if type(error).__name__ == "MCPError" and isinstance(code, int):
        # What the client's library says of a connection that is gone, or too slow.
        return code not in {-32000, -32001}
    return type(error).__name__ in {"RuntimeError", "ValidationError"}


class _Held:
    """A connection in its task."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Connection] = loop.create_future()
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def broken(self) -> bool:
        """Whether nobody can be asked by it any more."""
        return self.task is None or self.task.done()


class Servers:
    """Connections by what they are made of; for one event loop, and to be closed in it."""

    def __init__(self) -> None:
        self._held: dict[tuple[Server, int], _Held] = {}

    @asynccontextmanager
    async def connected(self, server: Server) -> AsyncIterator[Connection]:
        """Lend a connection; all who ask for the same server share it.

        Raises:
            AgentError: It cannot be made; whatever is raised in the block ends a connection whose
                server does not answer.
        """
        # What stands in the environment may be a key, of which only a name is in the file.
        around = {**_environment(server), **_headers(server)}
        key = (server, hash(tuple(sorted(around.items()))))
        held = self._held.get(key)
        if held is None or held.broken:
            held = self._held[key] = _Held()
            held.task = asyncio.create_task(_hold(server, held), name=f"mcp {server.name}")
        try:
            yield await asyncio.shield(held.ready)
        except AgentError as error:
            if error.fault.kind == "unavailable":
                held.over.set()
                if self._held.get(key) is held:
                    del self._held[key]
            raise

    async def close(self) -> None:
        """End all connections, and the servers that are programs."""
        held, self._held = list(self._held.values()), {}
        for one in held:
            one.over.set()
        tasks = [one.task for one in held if one.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hold(server: Server, held: _Held) -> None:
    """Connect, and stay so until it is over."""
    secrets = secrets_of(*_headers(server).values())
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(_CONNECT):
                client = await stack.enter_async_context(_client(server))
            held.ready.set_result(Connection(server.name, client, secrets))
            await held.over.wait()
    except Exception as error:
        if not held.ready.done():
            held.ready.set_exception(_not_connected(server, error, secrets))
            # Whoever asked may have been cancelled meanwhile.
            held.ready.exception()


def _client(server: Server) -> Any:
    try:
        library = import_module("hocket.agents.mcp_client")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"mcp", "mcp_types", "httpx2"}:
            raise
        raise fault("permanent", "MCP tools need the extra: pip install 'hocket[mcp]'") from error
    return library.client(server, _environment(server), _headers(server))


def _environment(server: Server) -> dict[str, str]:
    return child_environment(dict(server.env), server.env_pass)


def _headers(server: Server) -> dict[str, str]:
    return {
        name: os.environ[variable]
        for name, variable in server.headers_env
        if variable in os.environ
    }


def _not_connected(server: Server, error: Exception, secrets: tuple[str, ...]) -> AgentError:
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    if isinstance(inner, AgentError):
        return inner
    if isinstance(inner, TimeoutError):
        return fault("unavailable", f"MCP server {server.name}: no answer in {_CONNECT:g} s")
    said = clip(" ".join(redact(str(inner), secrets).split()) or type(inner).__name__, 300)
    return fault("unavailable", f"MCP server {server.name} cannot be reached: {said}")
