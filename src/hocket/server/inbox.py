"""The inbox: what people are asked, over all runs of the state folder, and what has gone wrong."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hocket.server.limits import limits_told
from hocket.server.live import Live
from hocket.server.routing import Asked, Route
from hocket.server.site import Site

_EVERY: Final = 0.5
_LIMITS_EVERY: Final = 1.0


class InboxQuery(msgspec.Struct, kw_only=True):
    """Which questions are wanted.

    Fields:
        run: Those of one run.
        path: The one at a path of it.
    """

    run: str | None = None
    path: str | None = None


def provide(live: Live, site: Site) -> None:
    """Let pages watch the inbox and the limits."""
    live.provide("inbox", site.inbox.told, _EVERY)
    live.provide("limits", lambda: limits_told(site), _LIMITS_EVERY)


async def inbox(site: Site, asked: Asked) -> dict[str, Any]:
    """Tell what people are asked, and what has gone wrong."""
    query: InboxQuery = asked.query
    found = await site.inbox.questions(query.run)
    if query.path is not None:
        found = [one for one in found if one["path"] == query.path]
    return {"questions": found, **site.inbox.alerts()}


ROUTES: Final[list[Route]] = [
    Route(
        method="GET",
        path="/api/inbox",
        role="view",
        handler=inbox,
        about="What people are asked, over all runs, and what has gone wrong.",
        query=InboxQuery,
        gives=dict[str, Any],
    )
]
"""The routes of this module."""
