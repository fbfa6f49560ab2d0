"""How a run's state shows in its steps: what is held, what a call asks, what was cut short.

A workflow calls a step running from when its turn has come; whether a call has left is the run's to
know.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

import msgspec

from hocket.core.calls import Calls
from hocket.core.machine import StepStatus, StepView, Workflow
from hocket.core.people import asking_call

CUT_SHORT: Final[tuple[StepStatus, ...]] = ("running", "waiting")
_SIGNS: Final[frozenset[StepStatus]] = frozenset({"succeeded", "failed", "waiting", "held"})
"""What a nested step does not come to before something was done of its outer one."""
_STANDS: Final = {
    "succeeded": "has succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
    "stopped": "was stopped",
}
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


def stands(status: str) -> str:
    """Say how a run or a step stands, as behind "it": "has failed", "was skipped", "is running"."""
    return _STANDS.get(status, f"is {status}")


def shown(
    views: list[StepView],
    workflow: Workflow,
    calls: Calls,
    phase: str,
    idle: Container[str] | None = None,
) -> list[StepView]:
    """Show steps, all or some, as they stand in a run of this phase.

    `idle` is what `not_begun` gives, if that is known already.
    """
    if phase == "ended":
        return stopped(views)
    views = under_way(views, calls)
    if phase != "pausing":
        return views
    if idle is None:
        idle = not_begun(workflow, calls)
    return [
        _restated(view, "pending") if view.status == "running" and view.path in idle else view
        for view in views
    ]


def counted(workflow: Workflow, calls: Calls, phase: str) -> dict[StepStatus, int]:
    """Count the outermost steps by their state; costs O(1), of a paused run what is live."""
    counts = workflow.counts()
    if phase == "ended":
        counts["stopped"] = sum(counts.pop(status, 0) for status in CUT_SHORT)
    elif phase == "pausing":
        # A step with a job runs or waits, and one that waits has begun.
        idle = sum("/" not in name for name in not_begun(workflow, calls))
        counts["running"] -= idle
        counts["pending"] += idle
    return counts


def not_begun(workflow: Workflow, calls: Calls) -> dict[str, None]:
    """Name the steps that have their turn and nothing done of them, where no call starts.

    It costs what is live: what has no job is not looked at.
    """
    idle = dict.fromkeys(unstarted(calls))
    if not idle:
        return idle
    begun: dict[str, None] = {}
    for job in calls.jobs.values():
        for name in _steps_of(job.path) if job.path not in idle else _rounds_of(job.path):
            begun[name] = None
    own = {name: None for path in idle for name in _steps_of(path) if name not in begun}
    # A step that is one job has nothing done of it before that; of others it shows within.
    within = {re.split("[/~]", name, maxsplit=1)[0]: None for name in own if name not in idle}
    if not within:
        return own
    for view in workflow.view(within):
        for name in _steps_of(view.path) if view.status in _SIGNS or view.done else ():
            own.pop(name, None)
    for path, report in workflow.reports().items():
        for name in _steps_of(path) if report.fates else ():
            own.pop(name, None)
    return own


def unstarted(calls: Calls) -> list[str]:
    """Give the paths of the jobs none of whose calls has ever left."""
    return [job.path for job in calls.jobs.values() if job.state == "asked" and not job.begun]


def _restated(view: StepView, status: StepStatus) -> StepView:
    return msgspec.structs.replace(view, status=status) if view.status in CUT_SHORT else view


def _asking(view: StepView, path: str) -> StepView:
    if view.status != "running":
        return view
    return msgspec.structs.replace(view, status="waiting", detail=f"waits for approval: {path}")


def _steps_of(path: str) -> list[str]:
    """Name the steps that a job's path leads through: ``a/3~2/b`` is of ``a`` and ``a/3~2/b``."""
    first, _, rest = path.partition("/")
    if (not rest or rest.isdigit()) and "~" not in path:
        # As most are.
        return [first]
    parts = path.split("/")
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return [_UNIT.sub("", prefix) for prefix in prefixes]


def _rounds_of(path: str) -> list[str]:
    """Name the steps on a job's path that are in a later round, and so were begun before."""
    if "~" not in path:
        return []
    parts = path.split("/")
    return [_UNIT.sub("", "/".join(parts[: i + 1])) for i, part in enumerate(parts) if "~" in part]
