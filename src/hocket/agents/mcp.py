"""Tools of MCP servers as agents: each call of one is a call of the run.

A tool is called only as long as it is the one that was looked at: its name, its description and
its schema, as its server gives them now, must have the pin that stands in the file.
What a server says of itself is data; nothing of it is obeyed, and what a changed tool says of
itself is shown to people alone.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from hocket.agents.base import Context, Reply, Request
from hocket.agents.faults import redact
from hocket.agents.mcp_server import Server
from hocket.agents.mcp_servers import Connection, Listed, Servers
from hocket.agents.output import clip, fault, fit, to_json
from hocket.agents.settings import read
from hocket.agents.talk import is_talk, no_tools
from hocket.agents.terminal import plain
from hocket.config.pin import tool_pin
from hocket.core.specs import AgentSpec
from hocket.core.values import Json

KEEP: Final = 1_000_000
_DETAIL: Final = 4_000


class McpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of an MCP server's tool.

    Fields:
        server: What the file calls the server.
        tool: What the server calls the tool.
        pin: Names the tool by all that a model is told of it.
        about: Its description, as it was pinned.
        args: The schema of its arguments, as it was pinned.
        command: The server's program and arguments.
        cwd: The working folder of the program.
        env: Variables to set for it.
        env_pass: Variables to hand on to it.
        url: The server's address, if it is no program.
        headers_env: Headers, by the variables that hold them.
        keep: The most bytes of output that are kept.
    """

    server: str
    tool: str
    pin: str
    about: str = ""
    args: Json = None
    command: list[str] = []
    cwd: str | None = None
    env: dict[str, str] = {}
    env_pass: list[str] = []
    url: str = ""
    headers_env: dict[str, str] = {}
    keep: int = KEEP

    @property
    def where(self) -> Server:
        """How the server is reached."""
        return Server(
            name=self.server,
            command=tuple(self.command),
            cwd=self.cwd,
            env=tuple(sorted(self.env.items())),
            env_pass=tuple(self.env_pass),
            url=self.url,
            headers_env=tuple(sorted(self.headers_env.items())),
        )


class McpAgent:
    """Calls one tool of an MCP server.

    The request's input is the tool's arguments, by name.
    The output is what the tool gives in a structure, else its text.

    Raises:
        SpecError: An option is unknown, missing or of a wrong type.
    """

    def __init__(
        self,
        name: str,
        spec: AgentSpec,
        *,
        state: Path,
        live: dict[str, Any],
        servers: Servers | None = None,
    ) -> None:
        self._options = read(McpOptions, name, spec.options)
        self._servers = Servers() if servers is None else servers
        self._shared = servers is not None
        self._where = self._options.where

    async def call(self, request: Request, context: Context) -> Reply:
        """Call the tool.

        Raises:
            AgentError: ``permanent`` if the server cannot be started or its tool has changed,
                ``unavailable`` if the connection fails, ``failed`` for what the tool says.
        """
        if is_talk(request.input):
            raise no_tools("an MCP tool")
        given = {} if request.input is None else request.input
        if not isinstance(given, dict):
            raise fault("permanent", "an MCP tool takes its arguments by name")
        async with self._servers.connected(self._where) as server:
            self._check(await server.find(self._options.tool), server)
            context.sent()
            result = await server.call(self._options.tool, given, context)
        return self._reply(result, request, server.secrets)

    async def close(self) -> None:
        """End what is not shared beyond the run."""
        if not self._shared:
            await self._servers.close()

    def _check(self, listed: Listed | None, server: Connection) -> None:
        """Refuse a tool that is not the one that was pinned.

        Raises:
            AgentError: ``permanent``: it has changed, or is gone.
        """
        known = f"{self._options.server}/{self._options.tool}"
        how = "hocket mcp FILE --pin shows it as it is now"
        if listed is None:
            there = clip(", ".join(server.names), 200)
            raise fault("permanent", f"MCP tool {known} is gone; the server has {there}")
        if tool_pin(listed.name, listed.about, listed.schema) == self._options.pin:
            return
        what = self._changes(listed)
        message = f"MCP tool {known} has changed since it was pinned, and was not called; {how}"
        raise fault("permanent", message, clip(plain(what), _DETAIL))

    def _changes(self, listed: Listed) -> str:
        before = _lines(self._options.about, self._options.args)
        after = _lines(listed.about, listed.schema)
        return "\n".join(difflib.unified_diff(before, after, "as pinned", "as it is now", n=1))

    def _reply(self, result: Any, request: Request, secrets: tuple[str, ...]) -> Reply:
        text, notes = _text(result.content)
        if result.is_error:
            said = redact(plain(text), secrets) or "the tool says only that it failed"
            line = clip(_line(said), 300)
            message = f"{self._options.server}/{self._options.tool}: {line}"
            raise fault("failed", message, "" if line == said.strip() else said[:_DETAIL])
        output: Json = text if result.structured_content is None else result.structured_content
        output = to_json(output)
        whole = output if isinstance(output, str) else msgspec.json.encode(output).decode()
        data = whole.encode()
        if len(data) > self._options.keep:
            output = data[: self._options.keep].decode("utf-8", "ignore")
            notes.append(f"output cut at {self._options.keep:,} of {len(data):,} bytes")
        if request.output is not None:
            fit(output, request.output)
        return Reply(output=output, notes=tuple(notes))


def _text(content: list[Any]) -> tuple[str, list[str]]:
    """Join the texts of a result, and say what else there was."""
    texts: list[str] = []
    others: dict[str, int] = {}
    for part in content:
        inner = getattr(part, "resource", part)
        text = getattr(inner, "text", None)
        if isinstance(text, str):
            texts.append(text)
        else:
            others[part.type] = others.get(part.type, 0) + 1
    notes = [f"left out: {count} × {kind}" for kind, count in others.items()]
    return "\n".join(texts), notes


def _lines(about: str, schema: Json) -> list[str]:
    return [*about.splitlines(), *json.dumps(schema, indent=1, sort_keys=True).splitlines()]


def _line(text: str) -> str:
    return " ".join(text.split())
