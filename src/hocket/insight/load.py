"""How many calls were in flight against their caps, and how much of each window was used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from hocket.core.specs import LimitSpec, PlanSpec, Rate
from hocket.core.values import step_of
from hocket.insight.causes import cause_of
from hocket.insight.trace import Activity, Trace

Steps: TypeAlias = list[tuple[int, int]]
"""A step function: each value from its instant on; the first one from the beginning of the run."""

RUN: Final = "run"
"""What the slots of the run itself are called."""
_CALLS: Final = frozenset({"model", "tool"})
_FOR_WINDOWS: Final = frozenset({"rate", "refused", "budget"})


class Course(msgspec.Struct, kw_only=True):
    """How many units were in use over time.

    Fields:
        name: Of what: ``run``, an agent, or a limit.
        cap: The most at once; None if nothing is known of one.
        span: How long it was looked at, in nanoseconds.
        steps: How many were in use from which instant on.
        area: The sum over time, in units times nanoseconds.
        peak: The most at once.
        full: For how long the cap was reached.
    """

    name: str
    cap: int | None
    span: int
    steps: Steps
    area: int
    peak: int
    full: int

    @property
    def mean(self) -> float:
        """How many were in use on average."""
        return self.area / self.span if self.span else 0.0

    @property
    def idle(self) -> int | None:
        """What was free under the cap, in units times nanoseconds; None without a cap."""
        return None if self.cap is None else max(0, self.cap * self.span - self.area)


class Load(msgspec.Struct, kw_only=True):
    """How many calls were in flight.

    Fields:
        run: Of the run, against ``max_parallel``.
        agents: Of each agent, against its ``concurrency``, in the order of their first calls.
        limits: The units in use of each limit on concurrency, by its name.
    """

    run: Course
    agents: dict[str, Course]
    limits: dict[str, Course]


class Fill(msgspec.Struct, kw_only=True):
    """How much of one window was used over time.

    Fields:
        kind: ``requests``, ``tokens``, ``tokens_in``, ``tokens_out``, ``cost`` or ``spacing``.
        amount: How much fits.
        per: In any stretch of so many nanoseconds; 0 for in all.
        steps: How much of it was used from which instant on: what counts then, each call from its
            start. What was refused has used none of it.
        peak: The most that counted at once.
        mean: How much counted on average over the run.
        held: How much counted on average while a call waited for the limit; 0 if none did.
    """

    kind: str
    amount: int
    per: int
    steps: Steps
    peak: int
    mean: float
    held: float


class Use(msgspec.Struct, kw_only=True):
    """What was used of a limit with windows.

    Fields:
        limit: Its name.
        windows: Each of its windows.
        calls: How many calls it has counted.
        waited: For how long calls waited for it, all together, in nanoseconds.
        waiting: For how long at least one did.
        held: How many calls it held up.
        refused: How many of its calls were refused.
    """

    limit: str
    windows: list[Fill]
    calls: int
    waited: int
    waiting: int
    held: int
    refused: int


def load(trace: Trace) -> Load:
    """Say how many calls were in flight over time: all, of each agent, and of each limit."""
    spans: list[tuple[int, int, int]] = []
    agents: dict[str, list[tuple[int, int, int]]] = {}
    caps = {name: limit.concurrency for name, limit in trace.limits.items() if limit.concurrency}
    limits: dict[str, list[tuple[int, int, int]]] = {name: [] for name in caps}
    units = Units(trace)
    for activity in trace.activities:
        if not is_made(activity):
            continue
        span = (activity.began, trace.ended if activity.ended is None else activity.ended, 1)
        spans.append(span)
        agents.setdefault(activity.agent, []).append(span)
        for name in activity.claims:
            if name in limits:
                limits[name].append((span[0], span[1], units.of(activity, name)))
    return Load(
        run=_course(trace, RUN, trace.max_parallel, spans),
        agents={n: _course(trace, n, agent_cap(trace, n), of) for n, of in agents.items()},
        limits={name: _course(trace, name, caps[name], of) for name, of in limits.items()},
    )


def uses(trace: Trace) -> list[Use]:
    """Say how much of each limit's windows was used over time, and what was waited for them."""
    kinds = {name: windows_of(limit) for name, limit in trace.limits.items()}
    kinds = {name: windows for name, windows in kinds.items() if windows}
    calls: dict[str, list[Activity]] = {name: [] for name in kinds}
    stretches: dict[str, list[tuple[int, int]]] = {name: [] for name in kinds}
    held = dict.fromkeys(kinds, 0)
    for activity in trace.activities:
        if is_made(activity):
            for name in activity.claims:
                if name in calls:
                    calls[name].append(activity)
        for name, waits in waits_for(trace, activity).items():
            if name in held:
                held[name] += 1
                stretches[name] += waits
    found = []
    for name, windows in kinds.items():
        waiting = _union(stretches[name])
        fills = [_fill(trace, kind, rate, calls[name], waiting) for kind, rate in windows]
        use = Use(
            limit=name,
            windows=fills,
            calls=len(calls[name]),
            waited=sum([until - since for since, until in stretches[name]]),
            waiting=sum([until - since for since, until in waiting]),
            held=held[name],
            refused=sum([activity.fate == "refused" for activity in calls[name]]),
        )
        found.append(use)
    return found


def is_made(activity: Activity) -> bool:
    """Tell whether an activity is a call that was really made."""
    return activity.work in _CALLS and activity.left and not activity.cached


def agent_cap(trace: Trace, name: str) -> int | None:
    """Say how many calls of an agent there may be at once, as far as it is known."""
    slots = trace.limits.get(f"agent:{name}")
    if slots is not None:
        return slots.concurrency
    spec = None if trace.spec is None else trace.spec.agents.get(name)
    return None if spec is None else spec.concurrency


def windows_of(limit: LimitSpec) -> list[tuple[str, Rate]]:
    """Give the windows of a limit and what each counts."""
    spacing = (Rate(1, limit.spacing),) if limit.spacing else ()
    rates = (
        ("requests", limit.requests),
        ("tokens", limit.tokens),
        ("tokens_in", limit.tokens_in),
        ("tokens_out", limit.tokens_out),
        ("cost", limit.cost),
        ("spacing", spacing),
    )
    return [(kind, rate) for kind, some in rates for rate in some]


def weight_of(activity: Activity, kind: str) -> int:
    """Say how much a call counts in a window; what is unknown of it counts nothing."""
    if kind in ("requests", "spacing"):
        return 1
    usage = activity.usage
    if usage is None:
        return 0
    if kind == "cost":
        return usage.cost or 0
    read = 0 if kind == "tokens_out" else usage.tokens_in or 0
    written = 0 if kind == "tokens_in" else usage.tokens_out or 0
    return read + written


def waits_for(trace: Trace, activity: Activity) -> dict[str, list[tuple[int, int]]]:
    """Give the stretches in which a call waited for windows, by the name of the limit."""
    found: dict[str, list[tuple[int, int]]] = {}
    for wait in activity.waits:
        cause = cause_of(wait.cause)
        if cause.kind in _FOR_WINDOWS and wait.until > wait.since:
            found.setdefault(cause.detail, []).append((wait.since, wait.until))
    return found


class Units:
    """How many units of limits calls hold, as their steps say.

    Args:
        trace: The run.
    """

    def __init__(self, trace: Trace) -> None:
        self._uses: dict[str, dict[str, int]] = {}
        self._known: dict[str, dict[str, int]] = {}
        plans: list[tuple[str, PlanSpec]] = []
        if trace.spec is not None:
            plans.append(("", trace.spec.workflow))
        while plans:
            above, plan = plans.pop()
            for step in plan.steps:
                if step.uses:
                    self._uses[above + step.name] = step.uses
                if step.plan is not None:
                    plans.append((f"{above}{step.name}/", step.plan))

    def of(self, activity: Activity, limit: str) -> int:
        """Say how many units of a limit a call holds that claims it."""
        if not self._uses:
            return 1
        known = self._known.get(activity.path)
        if known is None:
            step = step_of(activity.path)
            while step and step not in self._uses:
                step = step.rpartition("/")[0]
            known = self._known[activity.path] = self._uses.get(step, {})
        return known.get(limit, 1)


def _course(
    trace: Trace, name: str, cap: int | None, spans: Sequence[tuple[int, int, int]]
) -> Course:
    changes = {trace.began: 0}
    for since, until, units in spans:
        since, until = max(since, trace.began), min(until, trace.ended)
        if since < until:
            changes[since] = changes.get(since, 0) + units
            changes[until] = changes.get(until, 0) - units
    steps = _steps(changes, trace.ended)
    full = 0
    if cap is not None:
        full = sum([u - s for s, u, count in _pieces(steps, trace.ended) if count >= cap])
    return Course(
        name=name,
        cap=cap,
        span=trace.took,
        steps=steps,
        area=sum([(until - since) * n for since, until, n in _pieces(steps, trace.ended)]),
        peak=max([count for _, count in steps]),
        full=full,
    )


def _fill(
    trace: Trace,
    kind: str,
    rate: Rate,
    calls: Iterable[Activity],
    waiting: Sequence[tuple[int, int]],
) -> Fill:
    changes = {trace.began: 0}
    for activity in calls:
        weight = weight_of(activity, kind)
        if weight and activity.fate != "refused":
            since = max(activity.began, trace.began)
            changes[since] = changes.get(since, 0) + weight
            if rate.per:
                gone = max(activity.began + rate.per, trace.began)
                changes[gone] = changes.get(gone, 0) - weight
    steps = _steps(changes, trace.ended)
    area = sum([(until - since) * used for since, until, used in _pieces(steps, trace.ended)])
    waited = sum([until - since for since, until in waiting])
    return Fill(
        kind=kind,
        amount=rate.amount,
        per=rate.per,
        steps=steps,
        peak=max([used for _, used in steps]),
        mean=area / trace.took if trace.took else 0.0,
        held=_over(steps, trace.ended, waiting) / waited if waited else 0.0,
    )


def _steps(changes: dict[int, int], ended: int) -> Steps:
    """Add changes up to a step function that ends with the run."""
    steps: Steps = []
    count = 0
    for at in sorted(changes):
        if at >= ended and steps:
            break
        count += changes[at]
        if not steps or steps[-1][1] != count:
            steps.append((at, count))
    return steps


def _pieces(steps: Steps, ended: int) -> Iterable[tuple[int, int, int]]:
    """Give the stretches of a step function: since when, until when, and its value."""
    untils = [at for at, _ in steps[1:]]
    return [(at, until, n) for (at, n), until in zip(steps, [*untils, ended], strict=True)]


def _over(steps: Steps, ended: int, stretches: Sequence[tuple[int, int]]) -> int:
    """Sum a step function up over some stretches in order."""
    total, index = 0, 0
    for since, until, value in _pieces(steps, ended):
        while index < len(stretches) and stretches[index][1] <= since:
            index += 1
        here = index
        while here < len(stretches) and stretches[here][0] < until:
            low, high = stretches[here]
            total += value * (min(high, until) - max(low, since))
            here += 1
    return total


def _union(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join stretches that overlap or touch."""
    joined: list[tuple[int, int]] = []
    for since, until in sorted(stretches):
        if joined and since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(until, joined[-1][1]))
        else:
            joined.append((since, until))
    return joined
