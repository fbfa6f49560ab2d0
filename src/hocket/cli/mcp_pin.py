"""Shows the MCP tools that a file names as their servers give them now, and their pins."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hocket.agents.mcp import McpOptions
from hocket.agents.mcp_servers import Listed, Servers
from hocket.agents.terminal import visible
from hocket.app.written import written
from hocket.config.mcp_parts import McpUnion
from hocket.config.pin import tool_pin
from hocket.config.yaml import YamlError, parse
from hocket.core.errors import AgentError, NotFound, PeerError, Refused
from hocket.core.values import Json

_SERVER: TypeAdapter[Any] = TypeAdapter(McpUnion)


def pin(files: Sequence[Path]) -> int:
    """Show the tools of files' MCP servers; gives the exit status.

    What people read goes to standard error, and what the file should say to standard output.

    Raises:
        Refused: A file cannot be read, or its servers are not stated as they should be.
        NotFound: No file has MCP servers, or a server has no such tool.
        PeerError: A server cannot be reached.
    """
    found = 0
    for file in files:
        tree = _tree(file)
        servers = _part(tree, "mcp")
        tools = {
            name: about
            for name, about in _part(tree, "tools").items()
            if isinstance(about, dict) and "mcp" in about
        }
        found += len(servers)
        asyncio.run(_show(file, servers, tools))
    if not found:
        raise NotFound("no file here states an MCP server under mcp")
    return 0


def _tree(file: Path) -> dict[str, Json]:
    """Read a file as data: it may not be right yet, since its pins are not there."""
    try:
        tree = parse(file.read_bytes()).tree
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror or error}") from error
    except YamlError as error:
        raise Refused(f"{file}: {error.message}") from error
    return tree if isinstance(tree, dict) else {}


def _part(tree: dict[str, Json], name: str) -> dict[str, Json]:
    part = tree.get(name)
    return part if isinstance(part, dict) else {}


async def _show(file: Path, servers: dict[str, Json], tools: dict[str, Json]) -> None:
    pool = Servers()
    try:
        for server, about in servers.items():
            named = {
                str(told.get("tool") or name): name
                for name, told in tools.items()
                if told["mcp"] == server
            }
            where = _options(file, server, about).where
            async with pool.connected(where) as connection:
                listed = {tool.name: tool for tool in await connection.tools()}
            for tool in named:
                if tool not in listed:
                    known = ", ".join(listed) or "none"
                    raise NotFound(f"MCP server {server} has no tool {tool!r}; there are {known}")
            for tool, told in listed.items():
                # A file that names no tool of a server yet is shown all that it has.
                if tool in named or not named:
                    _print(server, named.get(tool, tool), told, tools)
    except AgentError as error:
        raise PeerError(error.fault.message) from error
    finally:
        await pool.close()


def _options(file: Path, server: str, about: Json) -> McpOptions:
    try:
        told = _SERVER.validate_python(about).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["mcp", server, *(str(part) for part in first["loc"][1:])])
        raise Refused(f"{file}: {place}: {first['msg']}") from error
    if "command" in told:
        told["cwd"] = str(file.resolve().parent / Path(told.get("cwd", "")).expanduser())
    return McpOptions(server=server, tool="", pin="", **told)


def _print(server: str, name: str, told: Listed, tools: dict[str, Json]) -> None:
    known = tools.get(name, {}).get("pin")
    now = tool_pin(told.name, told.about, told.schema)
    state = "" if known is None else " (as pinned)" if known == now else " (CHANGED)"
    print(f"{server}/{visible(told.name)}{state}", file=sys.stderr)
    for line in visible(told.about).splitlines():
        print(f"  {line}", file=sys.stderr)
    entry = {"mcp": server, "tool": told.name, "pin": now, "about": told.about, "args": told.schema}
    if name == told.name:
        del entry["tool"]
    print("".join(f"  {line}\n" for line in written({name: entry}).splitlines()), end="")
