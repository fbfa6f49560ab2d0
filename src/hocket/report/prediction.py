"""A forecast for people and for programs."""

from __future__ import annotations

from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec
from hocket.core.values import SECOND, Json, format_duration
from hocket.forecast.predict import Prediction
from hocket.limits.words import limit_label
from hocket.report.text import dollars

_MANY = 5


def prediction_lines(found: Prediction, now: int) -> list[str]:
    """Say in lines what is expected of a run that starts now."""
    lines = []
    one = found.calls == 1
    calls = "1 call" if one else f"{found.calls:,} calls"
    if found.finish is None or found.low is None or found.high is None:
        lines.append(
            f"forecast: nothing is known of how long its {calls} {'takes' if one else 'take'}; "
            "run it once, or state takes"
        )
    else:
        whole, low, high = (
            format_duration(max(0, at - now)) for at in (found.finish, found.low, found.high)
        )
        span = "" if low == high else f"; nine in ten take {low} to {high}"
        lines.append(f"forecast: {calls} in {whole}{span}")
        binds = (
            f"bound by {limit_label(found.binds)}" if found.binds else "bound by its longest path"
        )
        if found.known < 1:
            binds += f"; known for {found.known:.0%} of the calls, the others are guessed"
        lines.append(f"  {binds}")
    if found.cost or found.unpriced < found.calls:
        unknown = f", and {found.unpriced:,} calls of unknown cost" if found.unpriced else ""
        lines.append(f"  about {dollars(found.cost)}{unknown}")
    if found.assumed:
        steps = ", ".join(found.assumed[:_MANY])
        lines.append(f"  nobody knows yet how many items these have: {steps}")
    return lines


def prediction_data(found: Prediction, now: int) -> Json:
    """Give the forecast of a run that starts now, durations in seconds and money in dollars."""

    def seconds(at: int | None) -> float | None:
        return None if at is None else round((at - now) / SECOND, 3)

    return {
        "seconds": seconds(found.finish),
        "low": seconds(found.low),
        "high": seconds(found.high),
        "binds": found.binds,
        "calls": found.calls,
        "known": found.known,
        "dollars": found.cost / 1e12,
        "unpriced": found.unpriced,
        "assumed": list(found.assumed),
    }


def compared_line(machine: RunMachine) -> str:
    """Compare how long a run took with what was first forecast.

    It is "" without a forecast, and for a run that has not come to its end by itself: one that
    failed or was cancelled, that people have to answer in, or that more than one process has done.
    """
    foreseen = machine.foreseen
    if foreseen is None or machine.said != "succeeded":
        return ""
    if machine.epoch > 1 or _asks_people(machine.spec.workflow):
        return ""
    expected = format_duration(foreseen.finish - machine.started_at)
    took = machine.at - machine.started_at
    off = took / max(1, foreseen.finish - machine.started_at) - 1
    within = foreseen.low <= machine.at <= foreseen.high
    share = f"{abs(off):.0%}"
    where = ", as foreseen" if within else f", {share} {'later' if off > 0 else 'sooner'}"
    if share == "0%" and not within:
        where = ""
    return f"forecast at its start: {expected}; it took {format_duration(took)}{where}"


def _asks_people(plan: PlanSpec) -> bool:
    return plan.approval is not None or any(
        step.kind in {"approve", "input"}
        or step.approval is not None
        or (step.plan is not None and _asks_people(step.plan))
        for step in plan.steps
    )
