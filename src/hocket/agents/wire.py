"""Watches a model's HTTP client: when a request leaves, and what the head of its answer says.

Nothing is imported from the client packages; their clients are known by their hooks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from hocket.agents.base import Context
from hocket.agents.quotas import quotas_of

calling: Final[ContextVar[Context | None]] = ContextVar("calling", default=None)
"""Whose call the present task is making."""

_LEAVES = ".send_request_headers.started"


def watch(provider: Any) -> bool:
    """Have the HTTP client of a provider tell the call that it works for.

    The hooks are put on the client that the provider made for itself, so that its time-outs and its
    pool stay as they are.

    Returns:
        Whether it can: some providers have other clients, and then nobody tells anything.
    """
    http = getattr(provider, "_own_http_client", None)
    hooks = getattr(http, "event_hooks", None)
    if http is None or not isinstance(hooks, Mapping):
        return False
    http.event_hooks = {
        **hooks,
        "request": [*hooks.get("request", ()), _asked],
        "response": [*hooks.get("response", ()), _answered],
    }
    return True


class _Trace:
    """Follows one request: it may wait for a connection before it leaves."""

    def __init__(self, context: Context, others: Any) -> None:
        self.context = context
        self.left = False
        self._others = others

    async def __call__(self, event: str, info: Any) -> None:
        # Through a proxy the last one is the one to the provider.
        if event.endswith(_LEAVES):
            self.left = True
            self.context.sent()
        if self._others is not None:
            await self._others(event, info)


async def _asked(request: Any) -> None:
    context = calling.get()
    if context is not None:
        request.extensions["trace"] = _Trace(context, request.extensions.get("trace"))


async def _answered(response: Any) -> None:
    trace = response.request.extensions.get("trace")
    if isinstance(trace, _Trace):
        if not trace.left:
            # A transport that shows nothing on the way: late is safe, never is not.
            trace.context.sent()
        trace.context.told(quotas_of(response.headers, time.time()))
