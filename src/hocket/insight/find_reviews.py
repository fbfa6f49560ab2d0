"""Finds reviews that went on although nothing could change the verdict any more."""

from __future__ import annotations

from typing import Final, NamedTuple

from hocket.core.reports import Judgement
from hocket.core.specs import StepSpec
from hocket.core.teams import ReviewSpec
from hocket.insight.find_leads import ROOT, Ground, Lead, spent, times
from hocket.insight.find_usage import made_wait

_HAIR: Final = 1e-9
"""What sums of weights may be off by."""


def review_of(spec: StepSpec | None) -> ReviewSpec | None:
    """Give how a step reviews or is reviewed."""
    if spec is None:
        return None
    return spec.team if isinstance(spec.team, ReviewSpec) else spec.review


class _Review(NamedTuple):
    """A review that went on.

    Fields:
        step: Its step.
        decided: When nothing could change the verdict any more.
        calls: The calls that could not.
        late: How many reviewers that were.
        all: How many there were.
    """

    step: str
    decided: int
    calls: list[int]
    late: int
    all: int


def needless_reviews(ground: Ground) -> list[Lead]:
    """Tell of reviewers who could not change the verdict any more, and of what waited for them."""
    reviews = [
        found
        for step, spec in ground.steps.items()
        if (how := review_of(spec)) is not None and not how.early
        if (found := _went_on(ground, step, how)) is not None
    ]
    if not reviews:
        return []
    parts: dict[int, int] = {}
    for review in reviews:
        for place, ns in _parts(ground, review).items():
            parts[place] = parts.get(place, 0) + ns
    calls = [index for review in reviews for index in review.calls]
    late, everybody = sum(one.late for one in reviews), sum(one.all for one in reviews)
    money, tokens = spent(ground.trace.activities[index] for index in calls)
    only = reviews[0].step if len(reviews) == 1 else ""
    kind = f"steps.{only}." if only else "review."
    return [
        Lead(
            "needless_reviews",
            only or "reviews",
            f"{late} of {times(everybody, 'reviewer')}{f' of {only}' * bool(only)}, who could not "
            "change the verdict any more",
            parts,
            ROOT,
            advice="Stop when the verdict cannot change, ask in waves, or ask fewer reviewers.",
            change=(f"{kind}early=true", f"{kind}waves=true"),
            told=tuple(calls),
            money=money,
            tokens=tokens,
            alone=2 * late >= everybody,
        )
    ]


def _went_on(ground: Ground, step: str, review: ReviewSpec) -> _Review | None:
    report = ground.trace.reports.get(step)
    if report is None:
        return None
    activities = ground.trace.activities
    own = [index for index in ground.of_team(step) if _judges(ground, index)]
    came = {_member(activities[index].path): activities[index].ended or 0 for index in own}
    heard = sorted(report.judgements, key=lambda one: came.get(one.member, 0))
    needed = _needed(review, heard)
    late = frozenset(one.member for one in heard[needed:])
    calls = [index for index in own if _member(activities[index].path) in late]
    others = [index for index in own if _member(activities[index].path) not in late]
    decided = max([activities[index].ended or 0 for index in others], default=0)
    if not calls or not decided:
        return None
    return _Review(step, decided, calls, len(late), len(report.judgements))


def _parts(ground: Ground, review: _Review) -> dict[int, int]:
    """Give what waited for the verdicts of a review after it was decided, or for their slots."""
    parts: dict[int, int] = {}
    for place, segment in enumerate(ground.segments):
        activity = ground.activity(segment)
        if activity is None or not activity.team or not _judges(ground, segment.activity):
            continue
        over = segment.until - max(segment.since, review.decided)
        if over > 0 and ground.path_of(activity.team) == review.step:
            parts[place] = over
    for place, ns in made_wait(ground, review.calls).items():
        parts[place] = parts.get(place, 0) + ns
    return parts


def _needed(review: ReviewSpec, judgements: list[Judgement]) -> int:
    """Count the verdicts after which nothing could change, in the order in which they came."""
    rest = sum(one.weight for one in judgements)
    approving = total = 0.0
    for count, one in enumerate(judgements, 1):
        weight = one.weight * one.confidence
        rest -= one.weight
        total += weight
        approving += weight if one.choice == "approve" else 0.0
        bar = review.threshold * (total + rest)
        if approving >= bar - _HAIR or approving + rest < bar - _HAIR:
            return count
    return len(judgements)


def _member(path: str) -> str:
    """Name the reviewer that a call is of: ``w/r3/judge`` is of ``r3``."""
    parts = path.split("/")
    return parts[-2].partition("~")[0] if len(parts) > 1 else ""


def _judges(ground: Ground, index: int) -> bool:
    """Tell whether a call is a reviewer's, not the author's."""
    path = ground.trace.activities[index].path
    return path.rpartition("/")[2].partition("~")[0] in ("judge", "assess", "correct", "vote")
