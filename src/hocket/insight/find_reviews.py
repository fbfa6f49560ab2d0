"""Finds reviews that went on although nothing could change the verdict any more."""

from __future__ import annotations

from hocket.core.reports import Judgement
from hocket.core.specs import StepSpec
from hocket.core.teams import ReviewSpec
from hocket.insight.find_leads import ROOT, Ground, Lead, spent, times
from hocket.insight.find_limits import held_up
from hocket.workflows.review_poll import Poll, Verdict


def reviews(spec: StepSpec | None) -> ReviewSpec | None:
    """Give how a step reviews or is reviewed."""
    if spec is None:
        return None
    return spec.team if isinstance(spec.team, ReviewSpec) else spec.review


def needless_reviews(ground: Ground, step: str, review: ReviewSpec) -> list[Lead]:
    """Tell of reviewers who could not change the verdict any more, and of what waited for them."""
    report = ground.trace.reports.get(step)
    if report is None or review.early:
        return []
    needed = _needed(review, report.judgements)
    late = frozenset(one.member for one in report.judgements[needed:])
    own = [
        index
        for index, activity in enumerate(ground.trace.activities)
        if activity.work == "model" and ground.path_of(activity.team) == step
    ]
    calls = [i for i in own if _member(ground.trace.activities[i].path) in late]
    known = [i for i in own if i not in frozenset(calls)]
    decided = max(
        [ground.trace.activities[i].ended or 0 for i in known if _judges(ground, i)], default=0
    )
    if not calls or not decided:
        return []
    parts: dict[int, int] = {}
    for place, segment in enumerate(ground.segments):
        activity = ground.activity(segment)
        if activity is not None and activity.team and ground.path_of(activity.team) == step:
            over = segment.until - max(segment.since, decided)
            if over > 0 and _judges(ground, segment.activity):
                parts[place] = over
    for index in calls if ground.slotted else ():
        call = ground.trace.activities[index]
        held = held_up(ground, call, call.began, min(decided, call.ended or decided))
        for place, ns in held.items():
            parts[place] = parts.get(place, 0) + ns
    money, tokens = spent(ground.trace.activities[index] for index in calls)
    kind = f"steps.{step}." if step in ground.steps else "review."
    change = tuple([f"{kind}early=true"] + [f"{kind}waves=true"] * (not review.waves))
    return [
        Lead(
            "needless_reviews",
            step,
            f"{len(late)} of {times(len(report.judgements), 'reviewer')} of {step}, who could not "
            "change the verdict any more",
            parts,
            ROOT,
            advice="Stop when the verdict cannot change, ask in waves, or ask fewer reviewers.",
            change=change,
            told=tuple(calls),
            money=money,
            tokens=tokens,
            alone=2 * len(late) >= len(report.judgements),
        )
    ]


def _needed(review: ReviewSpec, judgements: tuple[Judgement, ...]) -> int:
    """Count the verdicts after which nothing could change, in the order in which they came."""
    verdicts = [
        Verdict(
            approves=one.choice == "approve",
            weight=one.weight,
            confidence=one.confidence,
            failed=one.failed,
        )
        for one in judgements
    ]
    for count in range(1, len(verdicts)):
        rest = [verdict.weight for verdict in verdicts[count:]]
        if Poll(review, verdicts[:count], rest).settled() is not None:
            return count
    return len(verdicts)


def _member(path: str) -> str:
    """Name the reviewer that a call is of: ``w/r3/judge`` is of ``r3``."""
    parts = path.split("/")
    return parts[-2].partition("~")[0] if len(parts) > 1 else ""


def _judges(ground: Ground, index: int) -> bool:
    """Tell whether a call is a reviewer's, not the author's."""
    path = ground.trace.activities[index].path
    return path.rpartition("/")[2].partition("~")[0] in ("judge", "assess", "correct", "vote")
