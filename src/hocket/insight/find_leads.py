"""What finders of causes share: the run that they look at, and the leads that they bring.

A lead says which stretches of what the finish waited for it explains.
Several leads may explain one stretch; it is counted once, to the most specific of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from hocket.core.specs import PlanSpec, StepSpec
from hocket.core.values import MS, format_duration, step_of
from hocket.insight.account import Account, Segment
from hocket.insight.findings import Finding
from hocket.insight.load import Use
from hocket.insight.trace import Activity, Trace

WAITED: Final = 0.05
"""The share of the run from which on a wait that was recorded is worth a finding.

It is a fact, and less than a twentieth is not worth a change."""
GUESSED: Final = 0.1
"""The same for what is concluded by comparing calls: a tenth is well above what chance does."""
LEAST: Final = 100 * MS
"""What no finding is shorter than: a run of a second is not worth mending."""
MOST_EVIDENCE: Final = 20
"""How many facts a finding points to at most; a person reads a few of them."""
ROOT, CAUSE, SYMPTOM, REST = range(4)
"""How deep a lead goes: what explains another lead comes before it."""


class Lead(NamedTuple):
    """What a finder brings.

    Fields:
        kind: As in `hocket.insight.find.FINDINGS`.
        subject: What it is about.
        what: What the time went to: the rest of the sentence "4.2 s went to …".
        parts: How much of which segment it explains, in nanoseconds.
        depth: `ROOT`, `CAUSE`, `SYMPTOM` or `REST`.
        least: The share of the run below which it is left out.
        detail: More, in sentences.
        advice: What to change.
        change: The same as settings.
        told: The activities that tell most, the most telling first.
        facts: Further facts, by their place in the source.
        money: Pico-dollars that it cost.
        tokens: Tokens that it cost.
        alone: Whether it is worth telling for its money and tokens alone.
    """

    kind: str
    subject: str
    what: str
    parts: dict[int, int]
    depth: int = CAUSE
    least: float = WAITED
    detail: str = ""
    advice: str = ""
    change: tuple[str, ...] = ()
    told: tuple[int, ...] = ()
    facts: tuple[int, ...] = ()
    money: int = 0
    tokens: int = 0
    alone: bool = False


class Ground:
    """A run and its account, looked up in the ways that finders need.

    Args:
        trace: The run.
        account: What its finish waited for.

    Attributes:
        segments: The account's segments.
        steps: The steps of the plan and of nested ones, by path.
        wanted_by: The step that waits for a step, but not for ever, by that one's path.
        slots: The segments in which a slot was waited for: since when, and their indices.
        by_agent: The indices of the calls of each agent.
        teams: The indices of the calls of each team's step.
        takers: The calls that took each limit, once somebody has asked for them.
        uses: What was used of each limit, once somebody has asked for it.
    """

    def __init__(self, trace: Trace, account: Account) -> None:
        self.trace = trace
        self.account = account
        self.segments: list[Segment] = account.segments
        self.steps: dict[str, StepSpec] = {}
        self.wanted_by: dict[str, str] = {}
        self._by_kind: dict[str, list[tuple[int, Segment]]] = {}
        for place, segment in enumerate(self.segments):
            self._by_kind.setdefault(segment.cause.kind, []).append((place, segment))
        self._beside: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        if trace.spec is not None:
            self._add_steps(trace.spec.workflow, "")
        self.slots = [(segment.since, place) for place, segment in self.of("slot")]
        self.by_agent: dict[str, list[int]] = {}
        self.teams: dict[str, list[int]] = {}
        self.takers: dict[str, dict[int, None]] = {}
        self.uses: dict[str, Use] = {}
        for index, activity in enumerate(trace.activities):
            if activity.work in ("model", "tool") and activity.left:
                self.by_agent.setdefault(activity.agent, []).append(index)
                if activity.team:
                    self.teams.setdefault(self.path_of(activity.team), []).append(index)

    def of(self, *kinds: str) -> Iterator[tuple[int, Segment]]:
        """Give the segments of some kinds of causes, with their indices, in order."""
        yield from sorted([item for kind in kinds for item in self._by_kind.get(kind, ())])

    def works(self) -> Iterator[tuple[int, Segment, Activity]]:
        """Give the segments in which a model or a tool did something that counted."""
        for index, segment in self.of("model", "tool"):
            if segment.activity >= 0:
                yield index, segment, self.trace.activities[segment.activity]

    def activity(self, segment: Segment) -> Activity | None:
        """Give the activity of a segment, if it has one."""
        return self.trace.activities[segment.activity] if segment.activity >= 0 else None

    def spec_of(self, step: str) -> StepSpec | None:
        """Give a step's spec, or that of the innermost step that it is a part of."""
        return self.steps.get(self.path_of(step))

    def path_of(self, step: str) -> str:
        """Give the path of the innermost step of the plan that a step is or is part of."""
        known = self._paths.get(step)
        if known is None:
            path = step_of(step)
            while path and path not in self.steps:
                path = path.rpartition("/")[0]
            known = self._paths[step] = path or step
        return known

    def of_team(self, step: str) -> list[int]:
        """Give the calls of a team's step."""
        return self.teams.get(step, [])

    def beside(self, path: str) -> str:
        """Name what steps have in common that stand side by side: what they need."""
        known = self._beside.get(path)
        if known is None:
            spec = self.steps.get(path)
            outer = path.rpartition("/")[0]
            needs = path if spec is None else ",".join(sorted((*spec.needs, *spec.wants)))
            # Steps that need nothing stand side by side, too.
            known = self._beside[path] = f"{outer}/{needs}"
        return known

    def _add_steps(self, plan: PlanSpec, prefix: str) -> None:
        for step in plan.steps:
            path = f"{prefix}{step.name}"
            self.steps[path] = step
            if step.within is not None or step.quorum is not None:
                self.wanted_by.update({f"{prefix}{want}": path for want in step.wants})
            if step.plan is not None:
                self._add_steps(step.plan, f"{path}/")


def length(segment: Segment) -> int:
    """Give how long a segment is."""
    return segment.until - segment.since


def spent(activities: Iterable[Activity]) -> tuple[int, int]:
    """Give the money and the tokens of calls, as far as known."""
    money = tokens = 0
    for activity in activities:
        if activity.usage is not None and not activity.cached:
            money += activity.usage.cost or 0
            tokens += (activity.usage.tokens_in or 0) + (activity.usage.tokens_out or 0)
    return money, tokens


def lasted(activity: Activity, trace: Trace) -> int:
    """Give how long a call was in flight, or has been so far."""
    return (trace.ended if activity.ended is None else activity.ended) - activity.began


def duration(ns: int) -> str:
    """Write a duration; what is shorter than a millisecond in microseconds."""
    if 0 < ns < MS:
        return f"{ns / 1_000:.0f} µs" if ns >= 1_000 else f"{ns} ns"
    return format_duration(ns)


def quantile(ordered: list[int], share: float) -> int:
    """Give the value below which that share of sorted values lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def times(count: int, thing: str) -> str:
    """Write a count with its noun: ``1 call``, ``1,200 calls``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def resolved(ground: Ground, leads: list[Lead]) -> list[Finding]:
    """Turn leads into findings: each stretch is counted once, and what is small is left out.

    The deepest leads take first; of equally deep ones the one that explains most.
    """
    wall = ground.trace.took
    left = [length(segment) for segment in ground.segments]
    order = sorted(
        range(len(leads)), key=lambda i: (leads[i].depth, -sum(leads[i].parts.values()), i)
    )
    found: list[tuple[int, int, Finding]] = []
    for place in order:
        lead = leads[place]
        takes = {index: min(ns, left[index]) for index, ns in lead.parts.items() if ns > 0}
        cost = sum(takes.values())
        if cost < max(LEAST, lead.least * wall):
            if lead.alone:
                found.append((0, place, _finding(ground, lead, {}, 0)))
            continue
        for index, ns in takes.items():
            left[index] -= ns
        found.append((cost, place, _finding(ground, lead, takes, cost)))
    found.sort(key=lambda item: (-item[0], -item[2].money, -item[2].tokens, item[1]))
    return [finding for _, _, finding in found]


def _finding(ground: Ground, lead: Lead, takes: dict[int, int], cost: int) -> Finding:
    wall = ground.trace.took
    return Finding(
        kind=lead.kind,
        subject=lead.subject,
        title=f"{_worth(lead, cost)} went to {lead.what}",
        detail=lead.detail,
        cost=cost,
        share=cost / wall if wall else 0.0,
        money=lead.money,
        tokens=lead.tokens,
        evidence=_evidence(ground, lead, takes),
        advice=lead.advice,
        change=lead.change,
    )


def _worth(lead: Lead, cost: int) -> str:
    """Say what a lead's cause cost: time, or else what was paid."""
    if cost:
        return duration(cost)
    paid = "money" if lead.money else f"{lead.tokens:,} tokens" if lead.tokens else "work"
    return f"No time, but {paid},"


def _evidence(ground: Ground, lead: Lead, takes: dict[int, int]) -> tuple[int, ...]:
    """Give the facts: those that the finder names, then those of the longest stretches."""
    places = sorted(takes, key=lambda index: (-takes[index], index))
    activities = ground.trace.activities
    names = [*lead.told, *(ground.segments[index].activity for index in places)]
    facts = dict.fromkeys(lead.facts)
    for name in names:
        if len(facts) >= MOST_EVIDENCE:
            break
        if name >= 0:
            facts.update(dict.fromkeys(activities[name].events))
    return tuple(facts)[:MOST_EVIDENCE]
