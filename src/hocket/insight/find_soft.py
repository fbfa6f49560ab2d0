"""Finds waits that ended because time was up: for contributions, members, a batch of answers."""

from __future__ import annotations

from hocket.core.specs import StepSpec
from hocket.core.teams import ConsensusSpec
from hocket.core.values import MS, format_duration
from hocket.insight.account import Segment
from hocket.insight.find_leads import CAUSE, Ground, Lead, length
from hocket.insight.trace import Activity


def soft_waits(ground: Ground) -> list[Lead]:
    """Find what was waited for until time was up, and not used or not to its end."""
    found: dict[str, dict[int, int]] = {}
    for place, segment in enumerate(ground.segments):
        activity = ground.activity(segment)
        step = "" if activity is None else _waiting(ground, segment, activity)
        if step:
            found.setdefault(step, {})[place] = length(segment)
    return [_lead(ground, step, parts) for step, parts in found.items()]


def _waiting(ground: Ground, segment: Segment, activity: Activity) -> str:
    """Give the step that waited, or "" if time did not end this."""
    kind = segment.cause.kind
    path = ground.path_of(activity.step)
    if kind == "idle" and activity.work == "timer":
        return path
    cut = activity.ended is None or activity.ended > segment.until
    stopped = activity.how == "stop" or (not activity.how and activity.fate == "discarded")
    if kind == "rework" and activity.fate in ("cancelled", "discarded") and (stopped or cut):
        return _wanted_by(ground, path) or (path if _bounded(ground, activity) else "")
    if kind in ("model", "tool") and cut:
        return _wanted_by(ground, path) or (path if _bounded(ground, activity) else "")
    return ""


def _bounded(ground: Ground, activity: Activity) -> bool:
    """Tell whether a call is of a team that does not wait for ever."""
    spec = ground.spec_of(activity.step) if activity.team else None
    team = None if spec is None else spec.team
    if not isinstance(team, ConsensusSpec) or team.policy in ("restart_all", "cancel"):
        return False
    return team.soft is not None or team.hard is not None or team.max_duration is not None


def _wanted_by(ground: Ground, path: str) -> str:
    """Give the step that wanted another and does not wait for it for ever, or ""."""
    return ground.wanted_by.get(path, "")


def _lead(ground: Ground, step: str, parts: dict[int, int]) -> Lead:
    spec = ground.steps.get(step)
    field, wait = _bound(spec)
    until = f" {format_duration(wait)}" if wait else ""
    change = (f"steps.{step}.{field}={wait // 2 // MS}ms",) if wait else ()
    return Lead(
        "soft_wait",
        step,
        f"{step or 'a step'}, which waited{until} for what did not come in time",
        parts,
        CAUSE,
        advice="Wait less long, ask for a quorum, or leave out who is always late.",
        change=change,
    )


def _bound(spec: StepSpec | None) -> tuple[str, int]:
    """Give the setting that says how long a step waits, and for how long; "" if there is none."""
    if spec is None:
        return "", 0
    if spec.within:
        return "within", spec.within
    if isinstance(spec.team, ConsensusSpec):
        team = spec.team
        if team.policy == "batch" and team.batch:
            return "batch", team.batch
        for field in ("soft", "hard", "max_duration"):
            if wait := getattr(team, field):
                return field, wait
    return "", 0
