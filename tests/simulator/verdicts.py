"""Reviewers who err, simulated: what a review costs in calls, and how often it is wrong.

Half of all artefacts are good.
A reviewer of accuracy 0.8 finds the truth in 80 of 100 cases, whichever it is.
Errors are independent, or correlated: then half of the reviewers, by chance, err together on an
artefact or not at all, because it is hard.
How sure a reviewer says to be has nothing to do with whether it is right, unless that is said.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from math import sqrt
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from hocket.core.machine import Departure, Do, End, Landing
from hocket.core.specs import AgentSpec, StepSpec
from hocket.core.teams import Member, ReviewSpec
from hocket.core.values import Json
from hocket.workflows.review import Review
from hocket.workflows.review_poll import Poll, Verdict
from hocket.workflows.team import Team

REVIEWERS: Final = 6
THRESHOLD: Final = 0.6
PHASES: Final = 3
ACCURACIES: Final = (0.6, 0.7, 0.8, 0.9, 0.95)
BETTER: Final = (0.0, 0.05, 0.1)
"""By how much a reviewer's accuracy may be better after it has corrected itself."""
TOGETHER: Final = 0.5
"""The share of reviewers who err together where errors are correlated."""

FIXED: Final[dict[str, Any]] = {"protocol": "self-correct", "waves": False, "early": False}
"""As the seed's swarm: everybody assesses, corrects and votes, whatever the others say."""

Errors: TypeAlias = Literal["independent", "correlated"]
Between: TypeAlias = tuple[float, float]

CONFIDENCES: Final[dict[str, tuple[Between, Between]]] = {
    "always 1": ((1.0, 1.0), (1.0, 1.0)),
    "0.5 to 1": ((0.5, 1.0), (0.5, 1.0)),
    "0.7 to 1 if right, 0.5 to 0.9 if wrong": ((0.7, 1.0), (0.5, 0.9)),
    "0 to 1": ((0.0, 1.0), (0.0, 1.0)),
}
"""How sure reviewers say to be who are right, and those who are wrong; any number between alike."""
USUAL: Final = "0.5 to 1"


class Case(NamedTuple):
    """An artefact, and the chance of each of its reviewers.

    Fields:
        good: Whether it is good.
        lots: For each reviewer a number from 0 to 1; it is right if its accuracy is above that.
        sure: For each reviewer where its confidence lies between the least and the greatest.
    """

    good: bool
    lots: tuple[float, ...]
    sure: tuple[float, ...]


class Went(NamedTuple):
    """What many reviews came to.

    Fields:
        calls: How many a review made on average.
        most: The most that one made.
        passed: The share of bad artefacts that were approved.
        held: The share of good artefacts that were not.
        wasted: Calls that were let go, over all.
    """

    calls: float
    most: int
    passed: float
    held: float
    wasted: int


def cases(count: int, errors: Errors, seed: int, reviewers: int = REVIEWERS) -> Iterator[Case]:
    """Draw artefacts and the chance of their reviewers; everything is compared on the same ones."""
    rng = random.Random(f"{seed} {errors} {reviewers}")
    for number in range(count):
        common = rng.random()
        joins = TOGETHER if errors == "correlated" else 0.0
        lots = tuple([common if rng.random() < joins else rng.random() for _ in range(reviewers)])
        yield Case(number % 2 == 0, lots, tuple([rng.random() for _ in range(reviewers)]))


def said(case: Case, accuracy: float, sure: str = USUAL) -> list[tuple[bool, float]]:
    """Say what reviewers of an accuracy find: whether they approve, and how sure they are."""
    found = []
    for lot, place in zip(case.lots, case.sure, strict=True):
        right = lot < accuracy
        low, high = CONFIDENCES[sure][0 if right else 1]
        found.append((right == case.good, round(low + place * (high - low), 2)))
    return found


# -- who judges -----------------------------------------------------------------------------

_AGENTS = {"a": AgentSpec(kind="model")}


@cache
def step_of(reviewers: int = REVIEWERS, *, fixed: bool = False) -> StepSpec:
    spec = ReviewSpec(
        members=(Member(name="a", agent="a"),),
        swarm=reviewers,
        threshold=THRESHOLD,
        **(FIXED if fixed else {}),
    )
    return StepSpec(name="s", kind="review", input="x", team=spec)


def by_machine(found: Sequence[tuple[bool, float]], step: StepSpec) -> tuple[bool, int, int]:
    """Let the review's own machine judge: the verdict, the calls, how many of them for nothing.

    Calls end in the order in which they began.
    """
    team = Team(Review, step, _AGENTS, "x", {})
    team.start(0)
    waiting: deque[str] = deque()
    made = heard = 0
    while True:
        for move in team.moves:
            if isinstance(move, Do):
                waiting.append(move.path)
                made += 1
            elif isinstance(move, End):
                return bool(move.output["approved"]), made, made - heard
        team.moves.clear()
        path = waiting.popleft()
        team.told(path, Departure(1), 0)
        team.told(path, Landing(attempt=1, agent="a", how="finished"), 0)
        team.ended(path, _output(path, found), None, 0)
        heard += 1


def by_rule(found: Sequence[tuple[bool, float]], step: StepSpec) -> bool:
    """Judge by all verdicts under the same rule, without anybody being asked."""
    spec = step.team
    assert isinstance(spec, ReviewSpec)
    verdicts = [Verdict(approves=ok, weight=1.0, confidence=sure) for ok, sure in found]
    return Poll(spec, verdicts, ()).settled() is True


def sequential(
    accuracy: float,
    errors: Errors,
    *,
    count: int,
    seed: int,
    reviewers: int = REVIEWERS,
    sure: str = USUAL,
) -> Went:
    """Let the machine review artefacts, one call for each reviewer that is heard."""
    step = step_of(reviewers)
    calls = most = wasted = 0
    wrong = {True: 0, False: 0}
    for case in cases(count, errors, seed, reviewers):
        approved, made, lost = by_machine(said(case, accuracy, sure), step)
        calls, most, wasted = calls + made, max(most, made), wasted + lost
        wrong[case.good] += approved != case.good
    return Went(calls / count, most, wrong[False] * 2 / count, wrong[True] * 2 / count, wasted)


def three_phases(accuracy: float, errors: Errors, *, count: int, seed: int) -> Went:
    """Let the fixed swarm review the same artefacts: three calls of every reviewer, always."""
    step = step_of(fixed=True)
    wrong = {True: 0, False: 0}
    for case in cases(count, errors, seed):
        wrong[case.good] += by_rule(said(case, accuracy), step) != case.good
    calls = PHASES * REVIEWERS
    return Went(calls, calls, wrong[False] * 2 / count, wrong[True] * 2 / count, 0)


def margin(share: float, count: int) -> float:
    """Give how far off a share may be, 19 times of 20, of so many artefacts of one kind."""
    return 1.96 * sqrt(share * (1 - share) / (count / 2))


def _output(path: str, found: Sequence[tuple[bool, float]]) -> Json:
    name, stage = path.split("/")
    if stage in ("assess", "correct"):
        return "what it thinks"
    approves, confidence = found[int(name[1:]) - 1]
    word = "approve" if approves else "reject"
    return {"verdict": word, "confidence": confidence, "issues": [], "reason": ""}
