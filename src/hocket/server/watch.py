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
from typing import Final, NamedTuple

from hocket.app.host import Host
from hocket.app.indicators import Indicators
from hocket.core.errors import JournalError
from hocket.core.values import HOUR, MINUTE, SECOND
from hocket.insight.alerts import DEFAULTS, Alert, Alerts, Reading, Recent, Rule
from hocket.insight.indicators import Figures, Stats, stats

_LOG: Final = logging.getLogger("hocket.alerts")
_EVERY: Final = 5.0
_MOST: Final = 500
"""So many runs are looked after, those whose last event is the newest, and all that run here."""
_SHARE: Final = 0.5
"""How much of the time reading may take from what else the server does."""
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


class _Counts(NamedTuple):
    """How many calls there were: refused ones, all, and those that failed otherwise."""

    refused: int
    calls: int
    failed: int


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
        self._looked = time.time_ns()
        self._blind = False
        self._counts: dict[str, _Counts] = {}
        self._sums = _Counts(0, 0, 0)
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
            except JournalError as error:
                # It may last: its beginning and its end are said.
                if not self._blind:
                    _LOG.error("runs cannot be looked after for now: %s", error)
                self._blind = True
            except Exception:
                # Alerts must not end with one look that went wrong; the next one may work.
                _LOG.exception("runs could not be looked after")
            else:
                if self._blind:
                    _LOG.warning("runs are looked after again")
                self._blind = False
            await asyncio.sleep(_EVERY)

    def known(self, run: str) -> Figures | None:
        """Give the figures of a run as they were last read; None if they never were."""
        return self._indicators.known(run)

    async def figures(self, since: int) -> dict[str, Figures]:
        """Give the figures of the runs that began at some instant or later, by id.

        All that was recorded since the last time is read, in slices: of a large state folder it
        takes a while the first time, and takes little from what else is done meanwhile.

        Raises:
            JournalError: The journal cannot be read.
        """
        return await self._figures(since, None)

    async def _figures(self, since: int, most: int | None) -> dict[str, Figures]:
        found: dict[str, Figures] = {}
        here = list(self._host.runs)
        rows = await asyncio.to_thread(self._indicators.rows, since, most, here)
        slices = self._indicators.read(rows, found)
        while True:
            began = time.monotonic()
            if await asyncio.to_thread(next, slices, True):
                return found
            await asyncio.sleep((time.monotonic() - began) * (1 - _SHARE) / _SHARE)

    async def stats(self, since: int) -> Stats:
        """Sum up the runs that began at some instant or later, and what the server is at.

        Raises:
            JournalError: The journal cannot be read.
        """
        figures = await self.figures(since)
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
        figures = await self._figures(0, _MOST)
        self._count(figures, now)
        fired = self.alerts.look(now, self._readings(figures, now))
        for alert in fired:
            _LOG.warning("%s (rule: %s)", alert.message, alert.rule)
            for told in self._told:
                told(alert)
        return fired

    def _count(self, figures: Mapping[str, Figures], now: int) -> None:
        """Add up what calls have come to since the last look.

        Of a run that was not looked after before only counts what cannot be older.
        """
        counts: dict[str, _Counts] = {}
        for run, one in figures.items():
            found = counts[run] = _Counts(one.refused, one.calls, one.failed - one.refused)
            fresh = _Counts(0, 0, 0) if one.began >= self._looked else found
            before = self._counts.get(run, fresh)
            self._sums = _Counts(
                *(
                    whole + part - old
                    for whole, part, old in zip(self._sums, found, before, strict=True)
                )
            )
        self._counts = counts
        self._looked = now

    def _readings(self, figures: Mapping[str, Figures], now: int) -> Iterator[Reading]:
        yield Reading("memory", "", memory())
        yield Reading("exhausted", "", self._lacked.note(now, self._exhausted()))
        refused = self._refused.note(now, self._sums.refused)
        yield Reading("refused", "", refused)
        calls = self._calls.note(now, self._sums.calls)
        failed = self._failed.note(now, self._sums.failed)
        if calls:
            yield Reading("errors", "", failed / calls)
        every = figures.values()
        ended = [one for one in every if one.status != "running" and one.at >= now - HOUR]
        if ended:
            late = sum(one.plan_timed_out for one in ended)
            yield Reading("plan_timeouts", "", late / len(ended))
        for run, one in figures.items():
            # Whoever only begins runs looks after those that others drive for it.
            if run in self._host.runs or (self._host.shares and one.status == "running"):
                yield from _of_run(one, now)


def _of_run(one: Figures, now: int) -> Iterator[Reading]:
    for step, since in one.open.items():
        yield Reading("step", f"{one.run} {step}", float(max(0, now - since)), one.run, step)
    for limit, mark in list(one.warned.items()):
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
