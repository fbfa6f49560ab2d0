"""What people are asked over all runs, each question worked out once."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import msgspec

from hocket.app.host import Host
from hocket.app.preview import document, paused_for, previews
from hocket.core.errors import NotFound
from hocket.core.run import RunMachine
from hocket.journal.base import RunRow, Wanted
from hocket.report.board_rows import cut
from hocket.server.watch import Watch
from hocket.server.watch import document as alert_document
from hocket.workflows.open import open_questions

MOST_RUNS: Final = 100
"""So many of the newest runs that others drive, or nobody, are asked for their questions."""
_SHOWN: Final = 6_000
_MOST_ALERTS: Final = 50
_OPEN: Final = Wanted(status=("running", "paused"))
"""Who asks something has not ended."""


class Boards(Protocol):
    """Folds runs."""

    async def board(self, run: str) -> Any:
        """Give a run as the page shows it."""


class _Known(msgspec.Struct):
    """The questions of a run.

    Fields:
        events: After how many events; -1 for a run that is driven here.
        key: What they are known by, so that they are not worked out anew.
        questions: They.
    """

    events: int
    key: tuple[Any, ...]
    questions: list[dict[str, Any]]


class Inbox:
    """Knows what people are asked; works out only what is new.

    Args:
        host: Whose runs.
        live: Folds those that are not driven here.
        watch: Knows what has gone wrong.

    Attributes:
        unasked: How many runs that others drive, or nobody, were too many to be asked.
    """

    def __init__(self, host: Host, live: Boards, watch: Watch) -> None:
        self._host = host
        self._live = live
        self._watch = watch
        self._known: dict[str, _Known] = {}
        self.unasked = 0

    async def questions(self, run: str | None = None) -> list[dict[str, Any]]:
        """Give all open questions, those first that were asked first.

        Args:
            run: Of one run alone.

        Raises:
            JournalError: The journal cannot be read.
        """
        wanted = [row for row in await self._host.rows(_OPEN) if run in (None, row.id)]
        if run is None:
            others = [row for row in wanted if self._host.driven(row.id) is None]
            left = {row.id for row in others[MOST_RUNS:]}
            self.unasked = len(left)
            wanted = [row for row in wanted if row.id not in left]
        known = {row.id: await self._of(row) for row in wanted}
        if run is None:
            self._known = known
        found = [question for one in known.values() for question in one.questions]
        return sorted(found, key=lambda one: (one["asked_at"], one["run"], one["path"]))

    async def _of(self, row: RunRow) -> _Known:
        run, before = self._host.driven(row.id), self._known.get(row.id)
        if run is None and before is not None and before.events == row.events:
            return before
        try:
            machine: RunMachine = (
                run.machine if run is not None else (await self._live.board(row.id)).machine
            )
        except NotFound:
            return _Known(row.events, (), [])
        events = -1 if run is not None else row.events
        paused = paused_for(machine)
        key = tuple(
            (path, one.asked.at, getattr(one.asked, "digest", ""), one.expires, paused)
            for path, one in open_questions(machine).items()
        )
        if before is not None and before.key == key:
            return _Known(events, key, before.questions)
        if not key:
            return _Known(events, key, [])
        journal = self._host.engine.journal
        # A forecast takes a while, and must not hold the loop up.
        found = await asyncio.to_thread(previews, machine.fork(), journal)
        return _Known(events, key, [document(one) for one in found])

    async def told(self) -> dict[str, Any]:
        """Tell of all questions and alerts, long texts cut."""
        return {"questions": [_brief(one) for one in await self.questions()], **self.alerts()}

    def alerts(self) -> dict[str, Any]:
        """Tell of the newest alerts, and of how many runs were not asked."""
        alerts = self._watch.alerts.all()
        shown = [alert_document(one) for one in alerts[:_MOST_ALERTS]]
        return {"alerts": shown, "unasked": self.unasked}


def _brief(question: dict[str, Any]) -> dict[str, Any]:
    """Cut the long texts of a question, which says so: it can be had whole."""
    detail = dict(question["detail"])
    small = {**question, "detail": detail}
    long = False
    for part, name in ((small, "shown"), (detail, "diff"), (detail, "stdin")):
        text = part[name]
        if text is not None and not isinstance(text, str):
            text = msgspec.json.encode(text).decode()
        if text is not None and len(text) > _SHOWN:
            part[name], long = cut(text, _SHOWN), True
    if len(msgspec.json.encode(detail["command"])) > _SHOWN:
        detail["command"], long = None, True
    return {**small, "cut": True} if long else small
