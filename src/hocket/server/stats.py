"""Routes about how well the server's runs go: indicators, alerts, and what Prometheus reads."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from hocket.core.errors import NotFound, Refused
from hocket.core.values import parse_duration
from hocket.report.stats import stats_document
from hocket.server.metrics import exposition
from hocket.server.routing import Asked, Bytes, Route
from hocket.server.site import Site
from hocket.server.watch import document


class Since(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From when on runs count.

    Fields:
        since: How long ago, as ``24h``; "" for all.
    """

    since: str = ""


class StatsDocument(msgspec.Struct, kw_only=True):
    """Indicators over many runs, as ``hocket stats --json`` gives them, and this server's pools.

    Fields:
        since: From when on runs count.
        until: The present instant.
        indicators: The figures, each with its target.
        agents: What each agent has done and spent.
        pools: How the pools of warm sessions stand.
    """

    since: float
    until: float
    indicators: list[dict[str, Any]]
    agents: list[dict[str, Any]]
    pools: list[dict[str, Any]]


class AlertsDocument(msgspec.Struct, kw_only=True):
    """What rules have found, newest first.

    Fields:
        rules: The rules.
        alerts: What they have found.
    """

    rules: list[str]
    alerts: list[dict[str, Any]]


class Nothing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A body that says nothing."""


class Done(msgspec.Struct, kw_only=True):
    """It was done."""

    status: str = "done"


async def _stats(site: Site, asked: Asked) -> Any:
    query: Since = asked.query
    now = time.time_ns()
    try:
        since = now - parse_duration(query.since) if query.since else 0
    except ValueError as error:
        raise Refused(f"since: {error}") from error
    pools = [msgspec.to_builtins(pool) for pool in site.host.engine.sessions.state()]
    return {**stats_document(await site.watch.stats(max(0, since))), "pools": pools}


async def _alerts(site: Site, asked: Asked) -> Any:
    found = site.watch.alerts
    return AlertsDocument(
        rules=[rule.words for rule in found.rules], alerts=[document(one) for one in found.all()]
    )


async def _seen(site: Site, asked: Asked) -> Done:
    text = asked.path["id"]
    if not (text.isascii() and text.isdigit() and site.watch.alerts.see(int(text[:9]))):
        raise NotFound(f"there is no alert {text[:20]!r}")
    return Done()


async def _metrics(site: Site, asked: Asked) -> Bytes:
    data, media = await exposition(site)
    return Bytes(data=data, media=media)


ROUTES = [
    Route(
        method="GET",
        path="/api/stats",
        role="view",
        handler=_stats,
        about="Sum up how well runs go, with targets beside.",
        query=Since,
        gives=StatsDocument,
    ),
    Route(
        method="GET",
        path="/api/alerts",
        role="view",
        handler=_alerts,
        about="List what the rules for alerts have found.",
        gives=AlertsDocument,
    ),
    Route(
        method="POST",
        path="/api/alerts/{id}/seen",
        role="operate",
        handler=_seen,
        about="Note that somebody has seen an alert.",
        body=Nothing,
        gives=Done,
    ),
    Route(
        method="GET",
        path="/metrics",
        role="view",
        handler=_metrics,
        about="What Prometheus reads.",
        media="text/plain",
    ),
]
"""The routes."""
