"""What a recorded run tells of its agents' calls: how long, what they spent, how they failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import median
from typing import Final, NamedTuple, cast, get_args

import msgspec

from hocket.core.errors import FaultKind
from hocket.core.events import Usage, Wait
from hocket.insight.causes import cause_of
from hocket.insight.trace import Activity, Trace
from hocket.simulator.kinds import KindOfCall, Kinds
from hocket.simulator.observed import Fitted, Observed, Sample, fit, merged, pooled

_KINDS: Final = frozenset(get_args(FaultKind))
_CUT: Final = frozenset({"timeout", "stop", "hedge", "cancel", "lost"})
"""How calls end whose own end nobody has seen."""
_UNMADE: Final = frozenset({"over_budget"})
_WRITING: Final = frozenset({"author", "fixer"})
_ALL: Final = KindOfCall("", "")


class Trouble(NamedTuple):
    """One way in which calls fail.

    Fields:
        kind: How.
        share: The share of the calls that do.
        lasts: After how long.
        wait: How long the provider says to wait.
    """

    kind: FaultKind
    share: float
    lasts: Observed
    wait: int | None


class Known(NamedTuple):
    """What is known of one kind of call of an agent.

    Fields:
        lasts: How long one takes that gives something.
        usages: What they spent, by how long they took.
        troubles: How they fail.
        hangs: The share that never ends by itself.
    """

    lasts: Observed
    usages: tuple[Usage, ...]
    troubles: tuple[Trouble, ...]
    hangs: float


class One(NamedTuple):
    """A recorded call, as far as it tells something of its agent.

    Fields:
        activity: The call.
        kind: Which kind of call it is.
        took: From when nothing held it up until its end, the engine's own time with it.
        own: The engine's own time.
    """

    activity: Activity
    kind: KindOfCall
    took: int
    own: int

    @property
    def cut(self) -> bool:
        """Whether nobody knows how it would have ended."""
        return self.activity.how in _CUT

    @property
    def refused(self) -> bool:
        """Whether the provider would not have it."""
        return self.activity.how == "rate_limited"

    @property
    def failed(self) -> bool:
        """Whether it gave nothing, by its own doing."""
        return self.activity.how in _KINDS and not self.cut


def calls_of(trace: Trace, kinds: Kinds) -> list[One]:
    """Give the calls of a run that left and were made."""
    found, start = [], start_of(trace)
    for one in trace.activities:
        if (
            one.work not in ("model", "tool")
            or not one.agent
            or not one.left
            or one.cached
            or one.ended is None
            or one.how in _UNMADE
        ):
            continue
        own = _own_time(one, trace)
        if one.asked <= trace.began:
            own = max(0, own - start)
        found.append(One(one, kinds.of(one.path), one.ended - one.began + own, own))
    return found


def start_of(trace: Trace) -> int:
    """Give how long a run itself needed to begin, before it could let any call begin.

    It is needed once, however many calls are asked for then, and in whatever order they go.
    """
    own = [
        _own_time(one, trace)
        for one in trace.activities
        if one.asked <= trace.began
        and one.left
        and not one.cached
        and one.work in ("model", "tool")
        and all(_ours(wait) for wait in one.waits)
    ]
    return min(own, default=0)


def _own_time(one: Activity, trace: Trace) -> int:
    """Give how long the engine needed to let a call begin that nothing held up any more."""
    others = [wait for wait in one.waits if not _ours(wait)]
    stops = [
        stop.until for stop in trace.stops if one.asked < stop.until and stop.since < one.began
    ]
    if stops:
        # What it waited for before is not known any more, only what came after.
        free = max([*stops, *(wait.until for wait in others)])
        return max(0, one.began - free)
    held = sum(wait.until - wait.since for wait in others)
    return max(0, one.began - one.asked - held)


def _ours(wait: Wait) -> bool:
    """Tell whether it was the engine itself that a call waited for."""
    return cause_of(wait.cause).kind == "coordinator"


class Agents:
    """What is known of every agent, by kind of call.

    Args:
        calls: The calls of a run.
        waits: How long its limits were closed after refusals, by agent.

    Attributes:
        sure: How many calls there are by agent, whose end was seen.
        hung: How many are taken to have hung, by agent.
    """

    def __init__(self, calls: Sequence[One], waits: Mapping[str, int]) -> None:
        self._calls: dict[str, list[One]] = {}
        for one in calls:
            self._calls.setdefault(one.activity.agent, []).append(one)
        self._known: dict[tuple[str, KindOfCall], Known] = {}
        self.hung: dict[str, int] = {}
        self.sure: dict[str, int] = {}
        samples = {agent: _samples(ones) for agent, ones in self._calls.items()}
        spread = pooled(list(samples.values()))
        for agent, kinds in samples.items():
            self.sure[agent] = sum(not s.cut for some in kinds.values() for s in some)
            if self.sure[agent]:
                self._learn(agent, fit(kinds, spread), waits.get(agent))
        if any(self.sure.values()):
            merged = {
                agent: [sample for some in kinds.values() for sample in some]
                for agent, kinds in samples.items()
            }
            everybody = fit({agent: some for agent, some in merged.items() if some}, spread)
            for agent in [*(name for name, count in self.sure.items() if not count), ""]:
                self._learn_nothing(agent, everybody.all, waits.get(agent))

    def __contains__(self, agent: str) -> bool:
        """Tell whether an agent was called."""
        return agent in self._calls

    def of(self, agent: str, kind: KindOfCall) -> Known | None:
        """Give what is known of a kind of call, or of those like it; None if nothing is at all."""
        known = self._known
        for near in ((agent, kind), (agent, KindOfCall("", kind.what)), (agent, _ALL), ("", _ALL)):
            found = known.get(near)
            if found is not None:
                return found
        return None

    def calls(self, agent: str) -> list[One]:
        """Give an agent's calls."""
        return self._calls.get(agent, [])

    def _learn(self, agent: str, fitted: Fitted[KindOfCall], wait: int | None) -> None:
        ones = self._calls[agent]
        self.hung[agent] = fitted.hung
        hangs = fitted.hung / len(ones)
        by_kind: dict[KindOfCall, list[One]] = {}
        by_what: dict[str, list[One]] = {}
        for one in ones:
            by_kind.setdefault(one.kind, []).append(one)
            by_what.setdefault(one.kind.what, []).append(one)
        alike: dict[str, list[Observed]] = {}
        for kind, lasts in fitted.kinds.items():
            alike.setdefault(kind.what, []).append(lasts)
        for kind, own in by_kind.items():
            # Of a kind whose calls all failed it is known how, and how long they took to.
            lasts = fitted.kinds.get(kind, fitted.all)
            self._known[agent, kind] = Known(lasts, _usages(own), _faults(own, wait), hangs)
        for what, found in alike.items():
            lasts = found[0] if len(found) == 1 else merged(found)
            near = Known(lasts, _usages(by_what[what]), _faults(by_what[what], wait), hangs)
            self._known.setdefault((agent, KindOfCall("", what)), near)
        self._known[agent, _ALL] = Known(fitted.all, _usages(ones), _faults(ones, wait), hangs)

    def _learn_nothing(self, agent: str, lasts: Observed, wait: int | None) -> None:
        """Of an agent whose calls all came to nothing it is known how, and not how long."""
        ones = self._calls.get(agent, [])
        cut = sum(one.cut for one in ones)
        self.hung[agent] = cut
        hangs = cut / len(ones) if ones else 0.0
        self._known[agent, _ALL] = Known(lasts, (), _faults(ones, wait), hangs)


def _samples(ones: Sequence[One]) -> dict[KindOfCall, list[Sample]]:
    found: dict[KindOfCall, list[Sample]] = {}
    for one in ones:
        if not one.failed:
            found.setdefault(one.kind, []).append(Sample(one.took, one.cut))
    return found


def _usages(ones: Sequence[One]) -> tuple[Usage, ...]:
    spent = [(one.took, one.activity.usage) for one in ones if not one.failed and not one.cut]
    ordered = sorted(spent, key=lambda item: item[0])
    return tuple([usage for _, usage in ordered if usage is not None])


def _faults(ones: Sequence[One], wait: int | None) -> tuple[Trouble, ...]:
    """Give how calls fail that are like these, how often, and after how long."""
    failed: dict[str, list[Sample]] = {}
    for one in ones:
        # Whether repeating helps lies in what is asked, then: it is known path by path.
        if one.failed and one.activity.how != "permanent":
            failed.setdefault(one.activity.how, []).append(Sample(one.took))
    return tuple(
        [
            Trouble(
                cast(FaultKind, kind),
                len(some) / len(ones),
                fit({_ALL: some}).all,
                wait if kind == "rate_limited" else None,
            )
            for kind, some in sorted(failed.items())
        ]
    )


def judged(trace: Trace, kinds: Kinds) -> dict[str, str]:
    """Say of each verdict of a reviewed step on which artefact it is, in their order, by paths."""
    made: dict[str, list[tuple[int, str]]] = {}
    for one in trace.activities:
        kind = kinds.of(one.path)
        if kind.task in _WRITING and one.ended is not None and not one.how:
            made.setdefault(kind.step, []).append((one.ended, one.path))
    found = {}
    for one in trace.activities if made else ():
        kind = kinds.of(one.path)
        before = [] if kind.task in _WRITING else made.get(kind.step, [])
        shown = [item for item in before if item[0] <= one.asked]
        if shown:
            found[one.path] = max(shown)[1]
    # An artefact that came later is looked for first.
    order = {path: ended for some in made.values() for ended, path in some}
    return dict(sorted(found.items(), key=lambda item: (order[item[1]], item[0])))


def waits_of(trace: Trace) -> dict[str, int]:
    """Give how long a refusal made an agent wait, by what its limit or its next call did then."""
    found: dict[str, list[int]] = {}
    closed: dict[str, list[int]] = {}
    for change in trace.changes:
        if change.what == "closed" and change.until is not None:
            closed.setdefault(change.limit, []).append(change.until - change.at)
    refused = {one.path: one.ended for one in trace.activities if one.how == "rate_limited"}
    for one in trace.activities:
        if one.how == "rate_limited":
            for limit in one.claims:
                found.setdefault(one.agent, []).extend(closed.get(limit, ()))
        ended = refused.get(one.path)
        if ended is not None and one.asked >= ended and not found.get(one.agent):
            held = [w.until - w.since for w in one.waits if w.cause == "backoff"]
            found.setdefault(one.agent, []).extend(held)
    return {agent: round(median(some)) for agent, some in found.items() if some}


def slots_of(trace: Trace) -> dict[str, int]:
    """Give how many calls there were at once of agents that waited for slots of their own.

    Whoever runs commands gives them as many as it has processors, unless the plan says it.
    """
    waited: dict[str, list[tuple[int, int]]] = {}
    for one in trace.activities:
        if any(wait.cause == f"slot:agent:{one.agent}" for wait in one.waits):
            waited[one.agent] = []
    for one in trace.activities:
        if one.agent in waited and one.left and one.ended is not None:
            # What ends at an instant makes room for what begins then.
            waited[one.agent] += ((one.began, 1), (one.ended, -1))
    return {
        agent: max(accumulate(step for _, step in sorted(steps)))
        for agent, steps in waited.items()
        if steps
    }


def price_of(usages: Sequence[Usage]) -> tuple[int, int] | None:
    """Fit what a token read and a token written cost, in pico-dollars; None without any price."""
    priced = [
        (u.tokens_in or 0, u.tokens_out or 0, u.cost)
        for u in usages
        if u.cost is not None and (u.tokens_in or u.tokens_out)
    ]
    if not priced:
        return None
    rr = sum(r * r for r, _, _ in priced)
    rw = sum(r * w for r, w, _ in priced)
    ww = sum(w * w for _, w, _ in priced)
    rc = sum(r * c for r, _, c in priced)
    wc = sum(w * c for _, w, c in priced)
    apart = rr * ww - rw * rw
    if apart * 1_000 > rr * ww:
        read, written = (rc * ww - wc * rw) / apart, (wc * rr - rc * rw) / apart
        if read >= 0 and written >= 0:
            return round(read), round(written)
    # They say only what both cost together.
    both = round(sum(c for _, _, c in priced) / sum(r + w for r, w, _ in priced))
    return both, both


def spent(known: Known, share: float) -> Usage | None:
    """Draw what a call spends: as one did that took as long beside the others."""
    usages = known.usages
    return usages[min(int(share * len(usages)), len(usages) - 1)] if usages else None


def rewritten(usage: Usage, tokens_out: int, price: tuple[int, int] | None) -> Usage:
    """Give what a call spends that writes so many tokens, at a price."""
    read = usage.tokens_in or 0
    cost = usage.cost if price is None else read * price[0] + tokens_out * price[1]
    return msgspec.structs.replace(usage, tokens_out=tokens_out, cost=cost)
