"""What happens in teams as lines of text: answers, votes, verdicts, and how it was decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hocket.app.run import Run
from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    RunResumed,
    TimePassed,
)
from hocket.report.places import Place, Places
from hocket.report.team import closing, headline, row_words
from hocket.workflows.plan import report_at

_CALLS: Final = (CallStarted, CallFinished, CallFailed, CallCancelled, CallLost)


class TeamStory:
    """Tells what is new in teams, once it is on disk."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self._places: Places | None = None
        self._told: dict[str, int] = {}
        """How many lines of its table were told of each team that is at work."""
        self._over: dict[str, None] = {}
        self._open: dict[str, Place] = {}
        self._since = 0

    def tell(self, event: AnyEvent) -> Iterator[str]:
        """Give the lines that follow from an event that is on disk now."""
        if isinstance(event, RunResumed):
            # What was before was told by whoever drove the run then.
            self._since = event.at
        if self.run is None:
            return
        if self._places is None:
            self._places = Places(self.run.machine.spec)
        if not self._places.any:
            return
        if isinstance(event, _CALLS):
            found = self._places.find(event.call.path)
            if found is not None:
                place = found[0]
                if isinstance(event, CallStarted) and self._over.pop(place.path, 0) is None:
                    # It was done again after a failure.
                    self._open[place.path] = place
                elif place.path not in self._over:
                    self._open[place.path] = place
                # That a call has failed was just told, by the call's own line.
                twice = isinstance(event, CallFailed)
                yield from self._news(place, event.at, "fails" if twice else "")
        elif isinstance(event, TimePassed):
            for place in list(self._open.values()):
                yield from self._news(place, event.at)

    def _news(self, place: Place, at: int, but: str = "") -> Iterator[str]:
        """Tell what is new in a team up to an instant; what came later is not on disk yet."""
        assert self.run is not None
        report = report_at(self.run.machine.workflow, place.path)
        if report is None:
            return
        told = self._told.get(place.path, 0)
        for row in report.rows[told:]:
            if row.at > at:
                return
            told = self._told[place.path] = told + 1
            if row.at > self._since and row.member and row.what != but:
                yield f"{place.path}: {row_words(row, report)}"
        ended = report.ended
        if ended is not None and ended <= at and self._open.pop(place.path, None) is not None:
            self._over[place.path] = None
            yield headline(place.path, report)
            if report.status == "decided":
                yield from (f"  {line}" for line in closing(report))
