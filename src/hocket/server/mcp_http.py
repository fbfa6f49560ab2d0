"""The sessions of MCP over HTTP; newer clients have none."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from hocket.core.errors import Refused
from hocket.server.audit import Entry
from hocket.server.mcp_desk import Desk
from hocket.server.mcp_server import make_server
from hocket.server.quotas import TooMany
from hocket.server.routing import Caller

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

    def door(caller: Caller, tool: str) -> None:
        """Hold a tool that acts to what routes that act are held to."""
        line = Entry(
            seq=0,
            at=0.0,
            by=caller.by,
            role=caller.role,
            address=caller.address,
            method="MCP",
            path=f"/mcp/{tool}",
            status=200,
        )
        if caller.role != "operate":
            site.audit.refused(msgspec.structs.replace(line, status=403, reason="role"))
            raise Refused("this token may only look; acting takes one for operating")
        if wait := site.doors.acting.take(caller.address.rpartition(":")[0]):
            site.audit.refused(msgspec.structs.replace(line, status=429, reason="quota"))
            raise TooMany("too many requests that change something", wait)
        site.audit.add(line)

    server = make_server(Desk(site.host, explain, "mcp", door))
    return StreamableHTTPSessionManager(
        app=server._lowlevel_server,
        session_idle_timeout=_IDLE,
        max_sessions=_MOST_SESSIONS,
        max_request_body_size=_MOST_BYTES,
    )
