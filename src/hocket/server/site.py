"""All that the server's routes work with."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

from hocket.app.limits import KnownSpecs
from hocket.core.specs import RunSpec
from hocket.server.audit import Audit
from hocket.server.children import Children
from hocket.server.explained import Explanations
from hocket.server.health import Health
from hocket.server.questions import Inbox
from hocket.server.quotas import Buckets, Places, Total
from hocket.server.settings import Settings
from hocket.server.tokens import FOLDER, Tokens
from hocket.server.watch import Watch

if TYPE_CHECKING:
    from hocket.app.host import Host


class Live(Protocol):
    """Folds the runs that are watched."""

    async def board(self, run: str) -> Any:
        """Give a run as the page shows it.

        Raises:
            NotFound: No such run.
        """

    async def close(self) -> None:
        """Watch no more."""


class Doors:
    """What is open and how often who has asked."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        quotas = settings.quotas
        total = Total(quotas.connections)
        self.requests = Buckets(quotas.rate, quotas.burst, clock)
        self.acting = Buckets(quotas.acting, quotas.acting_burst, clock)
        self.refusals = Buckets(quotas.refusals, quotas.refusals_burst, clock)
        self.sockets = Places(quotas.sockets, total)
        self.streams = Places(quotas.streams, total)
        self.under_way = Places(quotas.under_way, Total(quotas.all_under_way))
        self.computing = Places(quotas.computing, Total(quotas.all_under_way))


class Site:
    """All that the server's routes work with.

    Args:
        host: Drives runs, and asks of them.
        settings: How the server listens; with the port that it has bound.
        tokens: Who may do what.
        live: Folds the runs that are watched.
        clock: Gives the seconds that have passed since some instant.
        watch: Looks after runs, and says when somebody should; by default by the usual rules.

    Attributes:
        audit: Who did what.
        doors: What is open and how often who has asked.
        cli: Runs commands of the command line that take long, in processes of their own.
        explanations: Explains runs, each at most every few seconds.
        specs: Remembers the limits of runs.
        inbox: Knows what people are asked.
        health: Says whether the server is alive and ready.
        closing: What else is to be ended with the server.
        started: When the server started, in nanoseconds since the epoch.
    """

    def __init__(
        self,
        host: Host,
        settings: Settings,
        tokens: Tokens,
        live: Live,
        clock: Callable[[], float] = time.monotonic,
        watch: Watch | None = None,
    ) -> None:
        self.host = host
        self.settings = settings
        self.tokens = tokens
        self.live = live
        self.doors = Doors(settings, clock)
        state = host.engine.state
        self.audit = Audit(state / FOLDER, settings.quotas.audit_bytes, time.time, clock)
        self.cli = Children(state)
        self.explanations = Explanations(self.cli, clock)
        self.specs = KnownSpecs(self._driven)
        self.watch = watch or Watch(host)
        self.inbox = Inbox(host, live, self.watch)
        self.health = Health(host.engine.journal, lambda: host.draining)
        self.closing: list[Callable[[], Awaitable[None]]] = []
        self.started = time.time_ns()

    async def close(self) -> None:
        """End the processes that are still at work for somebody, and what else there is."""
        async with AsyncExitStack() as stack:
            for close in (self.cli.close, self.live.close, *self.closing):
                stack.push_async_callback(close)

    def _driven(self, run: str) -> RunSpec | None:
        """Give the spec of a run that is driven here."""
        found = self.host.driven(run)
        return None if found is None else found.machine.spec
