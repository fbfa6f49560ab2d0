"""The command that serves MCP clients: ``mcp``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.host import Host
from hocket.cli.options import FILE
from hocket.cli.user import user
from hocket.core.errors import Refused
from hocket.server.children import Children
from hocket.server.mcp import missing_extra


def mcp(
    *files: Path,
    pin: Annotated[
        bool, Parameter(help="Show the files' MCP tools in full, with their pins.", negative=())
    ] = False,
) -> int:
    """Let an MCP client plan, run, approve and explain, over standard input and output.

    Only the plans and agents of the files can be run. Runs that are under way when the client
    goes can be resumed.

    Args:
        files: The files to offer; hocket.yaml, if it is there and none is named.
    """
    if not files and Path(FILE).exists():
        files = (Path(FILE),)
    for file in files:
        if not file.exists():
            raise Refused(f"there is no file {file}")
    try:
        if pin:
            return int(import_module("hocket.cli.mcp_pin").pin(files))
        speak = import_module("hocket.server.mcp_server").serve_stdio
        desk = import_module("hocket.server.mcp_desk").Desk
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    if sys.stdin.isatty():
        print("an MCP client starts this and speaks with it; Ctrl-D ends it", file=sys.stderr)
    asyncio.run(_serve(files, desk, speak))
    return 0


async def _serve(files: Sequence[Path], desk: Any, speak: Any) -> None:
    async with Engine() as engine:
        host = Host(engine, files)
        children = Children(engine.state, most=1)

        async def explain(run: str) -> dict[str, Any]:
            found: dict[str, Any] = await children(["explain", "--", run])
            return found

        try:
            await speak(desk(host, explain, f"mcp:{user()}"))
        finally:
            await children.close()
            await host.close()
