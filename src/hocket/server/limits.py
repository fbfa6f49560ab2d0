"""The limits that runs share: how full their windows are, when there is room, and who waits."""

from __future__ import annotations

import time
from typing import Any, Final

from hocket.app.limits import limit_document, shared_limits
from hocket.core.values import MS
from hocket.limits.words import limit_labels
from hocket.server.routing import Asked, Route
from hocket.server.site import Site


async def limits_told(site: Site) -> dict[str, Any]:
    """Tell how much of each shared limit is used now, and what waits for it.

    Raises:
        JournalError: The journal cannot be read.
    """
    now = time.time_ns()
    found = await shared_limits(site.host.engine.journal, now, site.specs)
    waiting = _waiting(site)
    labels = limit_labels([one.limit.name for one in found])
    limits, windows = [], []
    for one in found:
        told = limit_document(one, now)
        name = one.limit.name
        limits.append({**told, "label": labels[name], "waiting": waiting.get(name, {})})
        windows += [
            {
                "limit": name,
                "kind": use.kind,
                "per_ms": use.per / MS,
                "amount": use.amount,
                "allowed": use.allowed,
                "used": use.used,
                "next_free": None if use.free is None else use.free / MS,
            }
            for use in one.limit.used(now)
        ]
    return {"at": now / MS, "limits": limits, "windows": windows}


def _waiting(site: Site) -> dict[str, dict[str, int]]:
    """Count the calls that wait for each limit, by run; of the runs that are driven here."""
    found: dict[str, dict[str, int]] = {}
    for run in list(site.host.runs.values()):
        for queue in run.queued:
            _, _, limit = queue.cause.partition(":")
            if limit:
                of = found.setdefault(limit, {})
                of[run.id] = of.get(run.id, 0) + queue.count
    return found


async def limits(site: Site, asked: Asked) -> dict[str, Any]:
    """Tell how much of each shared limit is used now."""
    return await limits_told(site)


ROUTES: Final[list[Route]] = [
    Route(
        method="GET",
        path="/api/limits",
        role="view",
        handler=limits,
        about="The limits that runs share, how full their windows are, and who waits.",
        gives=dict[str, Any],
    )
]
"""The routes of this module."""
