"""Lower bounds: what no order of the calls that counted could have been faster than.

Only what was useful counts: what came to nothing need not have been done.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

import msgspec

from hocket.insight.load import RUN, Units, agent_cap, is_made, weight_of, windows_of
from hocket.insight.path import Reach, reach, worked
from hocket.insight.trace import Activity, Trace


class Bounds(msgspec.Struct, kw_only=True):
    """Lower bounds on how long the run had to take, in nanoseconds.

    Fields:
        path: The longest path of work that counted, one piece after the other.
        work: For each bound on calls at once, by ``run``, ``agent:NAME`` or the limit's name: all
            their work over the capacity, with what had to come before and after it.
        rate: For each limit with windows: how long they let so many calls, or tokens, take, with
            what had to come before and after them.
        best: The largest.
        binds: Which one that is: ``path``, ``slot:NAME`` or ``rate:NAME``.
        took: How long the run took.
        efficiency: `best` over `took`; 1 for no time at all.
        refuted: The bounds that the run itself was faster than: it has not kept to these limits
            as they are known.
    """

    path: int
    work: dict[str, int]
    rate: dict[str, int]
    best: int
    binds: str
    took: int
    efficiency: float
    refuted: tuple[str, ...] = ()

    @property
    def fraction(self) -> Fraction:
        """The efficiency exactly."""
        return Fraction(self.best, self.took) if self.took else Fraction(1)


class _Needed(NamedTuple):
    """A call that counted: how it stands among the rest."""

    activity: Activity
    work: int
    head: int
    tail: int
    below: int


def bounds(trace: Trace) -> Bounds:
    """Bound from below how long the run had to take, whatever the order of its calls."""
    works = [_needed(activity, trace.ended) for activity in trace.activities]
    reached = reach(trace, works)
    calls = _calls(trace, works, reached)
    path = max(
        [h + b for h, b in zip(reached.head, reached.below, strict=True) if b is not None],
        default=0,
    )
    work, rate = _work(trace, calls), _rate(trace, calls)
    refuted = [f"slot:{name}" for name, least in work.items() if least > trace.took]
    refuted += [f"rate:{name}" for name, least in rate.items() if least > trace.took]
    work = {name: least for name, least in work.items() if least <= trace.took}
    rate = {name: least for name, least in rate.items() if least <= trace.took}
    best, binds = path, "path"
    for kind, some in (("slot", work), ("rate", rate)):
        for name, least in some.items():
            if least > best:
                best, binds = least, f"{kind}:{name}"
    return Bounds(
        path=path,
        work=work,
        rate=rate,
        best=best,
        binds=binds,
        took=trace.took,
        efficiency=best / trace.took if trace.took else 1.0,
        refuted=tuple(refuted),
    )


def _needed(activity: Activity, until: int) -> int:
    """Say how much of an activity's work counted, or may still count."""
    return worked(activity, until) if activity.fate in ("useful", "") else 0


def _calls(trace: Trace, works: list[int], reached: Reach) -> list[_Needed]:
    return [
        _Needed(
            activity,
            works[i],
            reached.head[i],
            reached.tail[i] or 0,
            reached.below[i] or works[i],
        )
        for i, activity in enumerate(trace.activities)
        if activity.fate in ("useful", "") and is_made(activity)
    ]


def _work(trace: Trace, calls: list[_Needed]) -> dict[str, int]:
    """Bound by what has room at once."""
    units = Units(trace)
    found: dict[str, int] = {}
    if trace.max_parallel and calls:
        found[RUN] = _squeezed(trace.max_parallel, [(call, 1) for call in calls])
    agents: dict[str, list[tuple[_Needed, int]]] = {}
    for call in calls:
        agents.setdefault(call.activity.agent, []).append((call, 1))
    for agent, own in agents.items():
        cap = agent_cap(trace, agent)
        if cap:
            found[f"agent:{agent}"] = _squeezed(cap, own)
    for name, some in _claiming(calls).items():
        limit = trace.limits.get(name)
        if limit is not None and limit.concurrency and name not in found:
            weighed = [(call, units.of(call.activity, name)) for call in some]
            found[name] = _squeezed(limit.concurrency, weighed)
    return found


def _claiming(calls: list[_Needed]) -> dict[str, list[_Needed]]:
    """Sort calls by the limits that they claim."""
    found: dict[str, list[_Needed]] = {}
    for call in calls:
        for name in call.activity.claims:
            found.setdefault(name, []).append(call)
    return found


def _squeezed(cap: int, calls: list[tuple[_Needed, int]]) -> int:
    """Pack calls into so many slots without a gap, after the first head, before the last tail."""
    area = sum([call.work * units for call, units in calls])
    head = min([call.head for call, _ in calls])
    return head + -(-area // cap) + min([call.tail for call, _ in calls])


def _rate(trace: Trace, calls: list[_Needed]) -> dict[str, int]:
    """Bound by what fits into windows."""
    found: dict[str, int] = {}
    for name, claims in _claiming(calls).items():
        limit = trace.limits.get(name)
        for kind, rate in () if limit is None else windows_of(limit):
            if not rate.per or rate.amount < 1:
                # A budget is not a matter of time.
                continue
            # One that is larger than the whole window has it to itself.
            weighed = [(min(weight_of(c.activity, kind), rate.amount), c) for c in claims]
            least = _spread(rate.amount, rate.per, [pair for pair in weighed if pair[0]])
            if least is not None:
                found[name] = max(least, found.get(name, 0))
    return found


def _spread(amount: int, per: int, calls: Iterable[tuple[int, _Needed]]) -> int | None:
    """Say how long windows make calls take: the last one cannot start sooner than so many later."""
    some = list(calls)
    if not some:
        return None
    full = -(-sum([weight for weight, _ in some]) // amount) - 1
    head = min([call.head for _, call in some])
    return head + full * per + min([call.below for _, call in some])
