"""The sessions of MCP over HTTP; newer clients have none."""

from __future__ import annotations

from typing import Any, Final

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from hocket.server.mcp_desk import Desk
from hocket.server.mcp_server import make_server

_IDLE: Final = 1_800.0
_MOST_SESSIONS: Final = 64
_MOST_BYTES: Final = 1 << 20


def session_manager(site: Any) -> StreamableHTTPSessionManager:
    """Make what answers the requests of a site's MCP clients.

    Host and Origin, tokens and sizes are the gate's affair, before anything comes here.
    """

    async def explain(run: str) -> dict[str, Any]:
        found: dict[str, Any] = await site.cli(["explain", "--", run])
        return found

    server = make_server(Desk(site.host, explain, "mcp"))
    return StreamableHTTPSessionManager(
        app=server._lowlevel_server,
        session_idle_timeout=_IDLE,
        max_sessions=_MOST_SESSIONS,
        max_request_body_size=_MOST_BYTES,
    )
