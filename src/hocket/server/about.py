"""What the server is, and who has done what with it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hocket._version import __version__
from hocket.report.palette import FATES, LOOKS, TILE, UNDER_WAY, Look
from hocket.server.audit import Entry
from hocket.server.routing import Asked, Role, Route
from hocket.server.site import Site

_MOST: Final = 1000


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """How a kind of cause, or a fate, looks.

    Fields:
        colour: Its colour; "" for that of the page.
        hatch: Strokes within a tile, as the data of an SVG path.
        ink: The colour of these strokes.
        mark: Its character in a line of text.
        name: What it is called.
    """

    colour: str
    hatch: str
    ink: str
    mark: str
    name: str


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is.

    Fields:
        program: The program.
        version: Its version.
        role: What the token that was shown allows.
        by: What is done with it is recorded under this name.
        state: The state folder.
        started: When the server started, in milliseconds since the epoch.
        looks: How each kind of cause looks.
        fates: How each fate looks, and ``under_way`` for calls that have none yet.
        tile: Hatches repeat after so many pixels.
    """

    program: str
    version: str
    role: Role
    by: str
    state: str
    started: float
    looks: dict[str, Drawn]
    fates: dict[str, Drawn]
    tile: int


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of the audit.

    Fields:
        after: Only those behind this number.
        limit: The most lines.
    """

    after: int = 0
    limit: int = 200


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the audit, oldest first.

    Fields:
        entries: The lines.
        next: Give it as ``after`` for those behind them; None if there are none yet.
    """

    entries: list[Entry]
    next: int | None


async def _about(site: Site, asked: Asked) -> About:
    return About(
        program="hocket",
        version=__version__,
        role=asked.caller.role,
        by=asked.caller.by,
        state=str(site.host.engine.state),
        started=site.started / 1e6,
        looks={kind: _drawn(look) for kind, look in LOOKS.items()},
        fates={
            **{fate: _drawn(look) for fate, look in FATES.items()},
            "under_way": _drawn(UNDER_WAY),
        },
        tile=TILE,
    )


def _drawn(look: Look) -> Drawn:
    return Drawn(colour=look.colour, hatch=look.hatch, ink=look.ink, mark=look.mark, name=look.name)


async def _audit(site: Site, asked: Asked) -> Any:
    query: AuditQuery = asked.query
    limit = max(1, min(query.limit, _MOST))
    entries = site.audit.read(query.after, limit)
    return AuditPage(entries=entries, next=entries[-1].seq if len(entries) == limit else None)


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/about",
        role="view",
        handler=_about,
        about="What this server is, and how pictures look.",
        gives=About,
    ),
    Route(
        method="GET",
        path="/api/audit",
        role="operate",
        handler=_audit,
        about="Who did what with this state folder's servers, and who was turned away.",
        query=AuditQuery,
        gives=AuditPage,
    ),
]
