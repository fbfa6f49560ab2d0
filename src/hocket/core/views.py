"""How a run's state shows in its steps: what is held, what a call asks, what was cut short."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hocket.core.calls import Calls
from hocket.core.machine import StepStatus, StepView
from hocket.core.people import asking_call

CUT_SHORT: Final[tuple[StepStatus, ...]] = ("running", "waiting")
_UNIT: Final = re.compile(r"(/\d+)?(~\d+)?\Z")


def stopped(views: list[StepView]) -> list[StepView]:
    """Show the steps of a run that has ended before they had."""
    return [_restated(view, "stopped") for view in views]


def under_way(views: list[StepView], calls: Calls) -> list[StepView]:
    """Show which steps of a run under way stand for a person's sake."""
    held = frozenset(path for job in calls.held() for path in _steps_of(job.path))
    asks: dict[str, str] = {}
    for path in calls.people.open:
        call = asking_call(path)
        for step in _steps_of(call.path) if call is not None else ():
            asks.setdefault(step, path)
    if not held and not asks:
        return views
    return [
        _restated(view, "held")
        if view.path in held
        else _asking(view, asks[view.path])
        if view.path in asks
        else view
        for view in views
    ]


def _restated(view: StepView, status: StepStatus) -> StepView:
    return msgspec.structs.replace(view, status=status) if view.status in CUT_SHORT else view


def _asking(view: StepView, path: str) -> StepView:
    if view.status != "running":
        return view
    return msgspec.structs.replace(view, status="waiting", detail=f"waits for approval: {path}")


def _steps_of(path: str) -> list[str]:
    """Name the steps that a job's path leads through: ``a/3~2/b`` is of ``a`` and ``a/3~2/b``."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return [_UNIT.sub("", prefix) for prefix in prefixes]
