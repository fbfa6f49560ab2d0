"""Plans whose every step is reviewed, played: the second seed's ten steps, and more of them.

A step takes 30 s, a reviewer's call about 5 s, and all reviewers together get 20 requests a minute.
Of each ten steps five are independent; each of the others needs the one before it, and the first of
them the five.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.teams import Member, ReviewSpec
from hocket.core.values import MINUTE, SECOND
from hocket.simulator.agents import Cast, Latency, Player
from hocket.simulator.parts import Played
from hocket.simulator.play import Part, play_together
from hocket.simulator.teams import author, reviewer

STEP = 30 * SECOND
REVIEWER = Latency(5 * SECOND, 0.3)
REQUESTS = 20
SWARM = 6

OURS: dict[str, Any] = {}
THEIRS: dict[str, Any] = {"protocol": "self-correct", "waves": False, "early": False}
"""As the seed's program reviews: each of the six makes three calls, whatever the others say."""


def review(**fields: Any) -> ReviewSpec:
    members = (Member(name="reviewer", agent="reviewer"),)
    return ReviewSpec(members=members, swarm=SWARM, threshold=0.6, **fields)


def spec_of(
    tens: int,
    how: dict[str, Any],
    *,
    serial: bool = False,
    rounds: int = 1,
    requests: int = REQUESTS,
) -> RunSpec:
    """Make a plan of so many times ten steps.

    Args:
        tens: How often ten.
        how: How a step is reviewed.
        serial: Whether each step waits for the one before it, as in the seed's program.
        rounds: The most rounds of review of a step.
        requests: How many requests a minute the reviewers get, over all runs.
    """
    steps: list[StepSpec] = []
    for ten in range(tens):
        names = [f"t{ten}s{number}" for number in range(10)]
        for number, name in enumerate(names):
            needs: tuple[str, ...] = ()
            if number == 5:
                needs = tuple(names[:5])
            elif number > 5:
                needs = (names[number - 1],)
            if serial:
                needs = (steps[-1].name,) if steps else ()
            steps.append(
                StepSpec(
                    name=name,
                    agent="coder",
                    needs=needs,
                    input=f"Do {name}.",
                    review=review(max_rounds=rounds, **how),
                )
            )
    return RunSpec(
        workflow=PlanSpec(name="p", steps=tuple(steps)),
        agents={
            "coder": AgentSpec(kind="scripted"),
            "reviewer": AgentSpec(kind="scripted", limits=("reviews",)),
        },
        limits={"reviews": LimitSpec(requests=(Rate(requests, MINUTE),))},
        max_parallel=64,
    )


def agents(faulty: float = 0.0, accuracy: float = 1.0) -> Cast:
    """Make the agents.

    Args:
        faulty: The share of first artefacts that are not sound; mended ones are.
        accuracy: The share of verdicts that are right.
    """
    return Cast(
        {
            "coder": Player(latency=Latency(STEP), gives=author(faulty)),
            "reviewer": Player(latency=REVIEWER, gives=reviewer(accuracy)),
        }
    )


class Went(NamedTuple):
    """How plans went: reviewers' calls, seconds until the last was done, and of each its own."""

    reviews: int
    seconds: float
    each: list[float]
    succeeded: int


def went(played: list[Played]) -> Went:
    calls = [made for one in played for made in one.calls if made.agent == "reviewer"]
    return Went(
        len(calls),
        max(one.end for one in played) / SECOND,
        [one.took / SECOND for one in played],
        sum(one.status == "succeeded" for one in played),
    )


def several(count: int, spec: RunSpec, cast: Cast, seed: int) -> Went:
    """Play a plan so many times at once, under the same limit."""
    parts = [Part(spec, {}, run=f"r{number}", seed=seed * 100 + number) for number in range(count)]
    return went(play_together(parts, cast))


def least_seconds(reviews: int, requests: int = REQUESTS) -> float:
    """Give how long the limit alone takes to let so many reviews begin after the first steps."""
    return STEP / SECOND + (reviews - 1) // requests * 60.0
