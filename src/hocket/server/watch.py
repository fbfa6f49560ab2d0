"""Looks after the server's runs every few seconds: figures, alerts, memory."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from hocket.app.host import Host
from hocket.app.indicators import Indicators
from hocket.core.errors import HocketError
from hocket.core.values import HOUR, MINUTE, SECOND
from hocket.insight.alerts import DEFAULTS, Alert, Alerts, Reading, Recent, Rule
from hocket.insight.indicators import Figures, Stats, stats

_LOG: Final = logging.getLogger("hocket.alerts")
_EVERY: Final = 5.0
_DAY: Final = 24 * HOUR
_STATM: Final = Path("/proc/self/statm")

Told = Callable[[Alert], None]
"""Is told of each alert that fires; it must not block."""


def memory() -> int:
    """Give the bytes of memory that this process holds; where the system does not say, its peak."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class Watch:
    """Holds what is known of the server and its runs against rules.

    Args:
        host: Whose runs.
        rules: The rules.
        told: Who is told of alerts, beside the log.
        frame: Gives the bytes of the largest frame that was pushed.
        exhausted: Gives how often a pool of sessions had no worker free.

    Attributes:
        alerts: What the rules have found.
    """

    def __init__(
        self,
        host: Host,
        rules: Sequence[Rule] = DEFAULTS,
        *,
        told: Iterable[Told] = (),
        frame: Callable[[], int] = lambda: 0,
        exhausted: Callable[[], int] = lambda: 0,
    ) -> None:
        self.alerts: Final = Alerts(rules)
        self._host = host
        self._told = list(told)
        self._frame = frame
        self._exhausted = exhausted
        self._indicators = Indicators(host.engine.journal)
        self._reading = asyncio.Lock()
        self._refused, self._calls = Recent(HOUR), Recent(HOUR)
        self._failed, self._lacked = Recent(HOUR), Recent(MINUTE)

    def tell(self, told: Told) -> None:
        """Have somebody told of alerts from now on."""
        self._told.append(told)

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            try:
                await self.look()
            except HocketError:
                # What is wrong with the journal shows wherever it is used; the next look may work.
                _LOG.exception("runs could not be looked after")
            await asyncio.sleep(_EVERY)

    def known(self, run: str) -> Figures | None:
        """Give the figures of a run as they were last read; None if they never were."""
        return self._indicators.known(run)

    async def figures(self, since: int) -> dict[str, Figures]:
        """Give the figures of the runs that began at some instant or later, by id.

        Raises:
            JournalError: The journal cannot be read.
        """
        async with self._reading:
            return await asyncio.to_thread(self._indicators.figures, since)

    async def stats(self, since: int) -> Stats:
        """Sum up the runs that began at some instant or later, and what the server is at.

        Raises:
            JournalError: The journal cannot be read.
        """
        # It may be asked about more than is looked after, and that is to stay known.
        figures = await self.figures(0)
        return stats(
            figures.values(),
            since,
            time.time_ns(),
            frame=self._frame() or None,
            exhausted=self._exhausted(),
            memory=memory(),
        )

    async def look(self) -> list[Alert]:
        """Hold everything against the rules; gives the alerts that have fired now.

        Raises:
            JournalError: The journal cannot be read.
        """
        now = time.time_ns()
        figures = await self.figures(0)
        fired = self.alerts.look(now, self._readings(figures, now))
        for alert in fired:
            _LOG.warning("%s (rule: %s)", alert.message, alert.rule)
            for told in self._told:
                told(alert)
        return fired

    def _readings(self, figures: Mapping[str, Figures], now: int) -> Iterator[Reading]:
        yield Reading("memory", "", memory())
        yield Reading("exhausted", "", self._lacked.note(now, self._exhausted()))
        every = figures.values()
        yield Reading("refused", "", self._refused.note(now, sum(one.refused for one in every)))
        calls = self._calls.note(now, sum(one.calls for one in every))
        failed = self._failed.note(now, sum(one.failed - one.refused for one in every))
        if calls:
            yield Reading("errors", "", failed / calls)
        ended = [one for one in every if one.status != "running" and one.at >= now - HOUR]
        if ended:
            late = sum(one.plan_timed_out for one in ended)
            yield Reading("plan_timeouts", "", late / len(ended))
        for run in self._host.runs:
            if run in figures:
                yield from _of_run(figures[run], now)


def _of_run(one: Figures, now: int) -> Iterator[Reading]:
    for step, since in one.open.items():
        yield Reading("step", f"{one.run} {step}", float(max(0, now - since)), one.run, step)
    for limit, mark in one.warned.items():
        yield Reading("budget", f"{limit} of {one.run}", mark / 100, one.run)


def document(alert: Alert) -> dict[str, object]:
    """Give an alert for programs, instants in milliseconds."""
    return {
        "id": alert.id,
        "rule": alert.rule,
        "watched": alert.watched,
        "subject": alert.subject,
        "message": alert.message,
        "value": alert.value / SECOND if alert.watched == "step" else alert.value,
        "since": alert.since / 1e6,
        "until": None if alert.until is None else alert.until / 1e6,
        "seen": alert.seen,
        "run": alert.run,
        "step": alert.step,
    }
