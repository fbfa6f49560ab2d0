"""Plain HTTP to the enforcing server: the least that a call can be, for function agents."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from hocket.agents.base import Context
from hocket.core.errors import AgentError, Fault
from hocket.core.values import SECOND


async def post(
    address: str, target: str, body: Any = None, *, sent: Callable[[], None] | None = None
) -> tuple[int, dict[str, str], Any]:
    """Send one request over a connection of its own; give its status, head and body.

    Args:
        address: As in ``http://127.0.0.1:4711``.
        target: The path and the query.
        body: What to send as JSON.
        sent: Called when it is connected, right before the request leaves.
    """
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        data = json.dumps(body).encode()
        head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
        if sent is not None:
            sent()
        writer.write(head.encode() + data)
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(each.split(": ", 1) for each in rest)
        answer = await reader.readexactly(int(headers["Content-Length"]))
    finally:
        writer.close()
    return int(line.split(" ")[1]), headers, json.loads(answer)


async def call(address: str, model: str, context: Context) -> str:
    """Ask the server once, as a function agent: ``ref: tests.limits.client:call``.

    Raises:
        AgentError: ``rate_limited``: it has refused.
    """
    status, headers, answer = await post(address, f"/call?model={model}", sent=context.sent)
    context.told(())
    if status == 429:
        wait = headers.get("Retry-After")
        retry_after = None if wait is None else round(float(wait) * SECOND)
        message = answer["error"]["message"]
        raise AgentError(Fault(kind="rate_limited", message=message, retry_after=retry_after))
    return str(answer["model"])
