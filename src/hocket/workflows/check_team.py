"""Finds what is wrong with a step that a team does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from hocket.core.errors import Problem, suggest
from hocket.core.specs import RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec
from hocket.core.template import Place
from hocket.core.values import DAY, Json
from hocket.workflows.check_types import misfits
from hocket.workflows.consensus_policies import WAYS
from hocket.workflows.review_prompts import mends_itself

MAX_MEMBERS: Final = 1_000
MAX_VOTES: Final = 1_000
MAX_WEIGHT: Final = 1_000_000
LONGEST: Final = 3_650 * DAY

_PLACES: Final = {"rule": "decide", "threshold": "decide"}
"""Where the fields of a consensus are stated that are called otherwise there."""

# It is a part of paths, where what begins with a digit is the number of an item.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}\Z")


def team_problems(step: StepSpec, spec: RunSpec, where: Place) -> Iterator[Problem]:
    """Find what is wrong with a step that a team does; `where` is the step's own place."""
    if step.kind == "consensus":
        yield from consensus_problems(step, spec, where)
    elif isinstance(step.team, ConsensusSpec):
        said = f"step {step.name!r} is of kind {step.kind!r}, and has a consensus to do"
        yield Problem(where=where, message=said)
    if step.kind == "review" or step.review is not None or isinstance(step.team, ReviewSpec):
        yield from review_problems(step, spec, where)


def consensus_problems(step: StepSpec, spec: RunSpec, where: Place) -> Iterator[Problem]:
    """Find what is wrong with a consensus; `where` is the step's own place."""
    team = step.team
    if not isinstance(team, ConsensusSpec):
        yield Problem(where=where, message=f"step {step.name!r} does not say who is to agree")
        return
    where = (*where, "consensus")
    if wrong := [*_misfits(team, where, "agents", _PLACES)]:
        yield from wrong
        return
    yield from member_problems(team.members, spec, (*where, "agents"), fewest=2)
    yield from _policy(team, where)
    yield from _decision(team, where)
    yield from _times(team, where)
    if team.presenter:
        place: Place = (*where, "presenter")
        if team.final != "synthesize":
            said = f"final is {team.final!r}, and a presenter is for 'synthesize'"
            yield Problem(where=place, message=said)
        elif team.presenter not in spec.agents:
            hint = suggest(team.presenter, spec.agents)
            yield Problem(where=place, message=f"unknown agent {team.presenter!r}", hint=hint)
    if is_empty(step.input):
        yield Problem(where=(*where, "question"), message="there is no question to agree on")


def review_problems(step: StepSpec, spec: RunSpec, where: Place) -> Iterator[Problem]:
    """Find what is wrong with a review; `where` is the step's own place."""
    kind, team = step.kind, step.team if step.kind == "review" else step.review
    if isinstance(step.team, ReviewSpec) and kind != "review":
        said = f"step {step.name!r} is of kind {kind!r}, and has a review to do"
        yield Problem(where=where, message=said)
        return
    if not isinstance(team, ReviewSpec):
        yield Problem(where=where, message=f"step {step.name!r} does not say who is to review")
        return
    if kind not in ("call", "review"):
        return
    where = (*where, "review")
    if wrong := [*_misfits(team, where, "by", {})]:
        yield from wrong
        return
    if kind == "review" and is_empty(step.input):
        yield Problem(where=(*where, "of"), message="there is nothing to review")
    yield from member_problems(team.members, spec, (*where, "by"), fewest=1)
    yield from _verdict(team, where)
    yield from _rounds(team, step, spec, where)


def is_empty(asked: Json) -> bool:
    """Tell whether there is nothing in what is asked."""
    return asked is None or (isinstance(asked, str) and not asked.strip())


def _misfits(
    team: ConsensusSpec | ReviewSpec, where: Place, seats: str, places: Mapping[str, str]
) -> Iterator[Problem]:
    """Find values of types that no team can have; what else is wrong is then of no account."""
    for field, said, hint in misfits(team):
        if field == "members":
            for number, member in enumerate(team.members):
                for _, what, meant in misfits(member):
                    yield Problem(where=(*where, seats, number), message=what, hint=meant)
        else:
            place: Place = (*where, places.get(field, field))
            yield Problem(where=place, message=said, hint=hint)


def _verdict(team: ReviewSpec, where: Place) -> Iterator[Problem]:
    if not 1 <= team.swarm <= MAX_MEMBERS:
        said = f"swarm lies between 1 and {MAX_MEMBERS:,}, not {team.swarm:,}"
        yield Problem(where=(*where, "swarm"), message=said)
    if not 0 < team.threshold <= 1:
        said = f"a threshold lies above 0 and is 1 at most, not {team.threshold:g}"
        yield Problem(where=(*where, "threshold"), message=said)
    if not 0 < team.open_weight <= MAX_WEIGHT:
        said = f"open_weight lies above 0 and is {MAX_WEIGHT:,} at most"
        yield Problem(where=(*where, "open_weight"), message=said)
    elif team.open_weight != ReviewSpec(members=()).open_weight and not team.fail_open:
        said = "open_weight is about reviews that fail open, and this one does not"
        yield Problem(where=(*where, "open_weight"), message=said, hint="fail_open: true")


def _rounds(team: ReviewSpec, step: StepSpec, spec: RunSpec, where: Place) -> Iterator[Problem]:
    if not 1 <= team.max_rounds <= MAX_VOTES:
        said = f"max_rounds lies between 1 and {MAX_VOTES:,}, not {team.max_rounds:,}"
        yield Problem(where=(*where, "max_rounds"), message=said)
    if team.fixer:
        if team.fixer not in spec.agents:
            hint = suggest(team.fixer, spec.agents)
            message = f"unknown agent {team.fixer!r}"
            yield Problem(where=(*where, "fixer"), message=message, hint=hint)
        return
    known = all(name in spec.agents for name in (step.agent, *step.fallback) if name)
    if team.max_rounds > 1 and known and not (step.agent and mends_itself(step, spec.agents)):
        said = "there are several rounds, and nobody who could mend what was found between them"
        if step.agent:
            said = (
                f"there are several rounds, and {step.agent!r} cannot be asked to mend what was"
                " found between them: it gets arguments, not a text"
            )
        hint = "name a model as fixer, or leave max_rounds out"
        yield Problem(where=(*where, "max_rounds"), message=said, hint=hint)


def member_problems(
    members: tuple[Member, ...], spec: RunSpec, where: Place, *, fewest: int
) -> Iterator[Problem]:
    """Find what is wrong with a team's members."""
    if not fewest <= len(members) <= MAX_MEMBERS:
        said = f"a team like this has {fewest} to {MAX_MEMBERS:,} members, not {len(members):,}"
        hint = ""
        if len(members) < fewest:
            hint = "name another agent, or give one several seats with count"
        yield Problem(where=where, message=said, hint=hint)
    known: dict[str, None] = {}
    for number, member in enumerate(members):
        place: Place = (*where, number)
        if member.name in known:
            said = f"two members are called {member.name!r}"
            yield Problem(where=place, message=said, hint="give each a name of its own, or a count")
        known[member.name] = None
        if not _NAME.match(member.name):
            said = f"a member's name is spelt like an agent's, unlike {member.name[:60]!r}"
            yield Problem(where=place, message=said)
        if not 0 < member.weight <= MAX_WEIGHT:
            said = f"member {member.name!r} weighs more than 0 and {MAX_WEIGHT:,} at most"
            yield Problem(where=place, message=said)
        agents = (member.agent, *member.fallback)
        for i, name in enumerate(agents):
            if name not in spec.agents:
                hint = suggest(name, spec.agents)
                yield Problem(where=place, message=f"unknown agent {name!r}", hint=hint)
            elif name in agents[:i]:
                said = f"member {member.name!r}: agent {name!r} has had its tries already"
                yield Problem(where=place, message=said)


def _policy(team: ConsensusSpec, where: Place) -> Iterator[Problem]:
    usual, way = ConsensusSpec(members=()), WAYS[team.policy]
    if team.rounds != usual.rounds and not way.revises:
        yield _only(where, "rounds", "rounds", team)
    elif not 1 <= team.rounds <= MAX_VOTES:
        yield Problem(where=(*where, "rounds"), message=f"rounds are 1 to {MAX_VOTES:,}")
    if way.collects and not 0 < team.batch <= LONGEST:
        said = "policy 'batch' needs to know for how long answers are collected"
        yield Problem(where=(*where, "batch"), message=said, hint="batch: 5s")
    elif team.batch and not way.collects:
        yield _only(where, "batch", "batch", team)
    if team.lead is not None:
        if not way.revises:
            yield _only(where, "lead", "rounds", team)
        elif team.lead < 1:
            said = "lead is at least 1: with less nobody could ever give a new answer"
            yield Problem(where=(*where, "lead"), message=said)
    if team.votes == "as_needed" and way.eager:
        said = f"under policy {team.policy!r} members vote at once, not as needed"
        yield Problem(where=(*where, "votes"), message=said)
    elif team.votes == "as_needed" and not team.early:
        said = "no more votes are asked than needed, so voting stops early"
        yield Problem(where=(*where, "early"), message=said, hint="leave early out")


def _only(where: Place, field: str, policy: str, team: ConsensusSpec) -> Problem:
    said = f"{field} is about policy {policy!r}, and the policy is {team.policy!r}"
    return Problem(where=(*where, field), message=said)


def _decision(team: ConsensusSpec, where: Place) -> Iterator[Problem]:
    if not 0 < team.threshold <= 1:
        said = f"a threshold lies above 0 and is 1 at most, not {team.threshold:g}"
        yield Problem(where=(*where, "decide"), message=said)
    if not 1 <= team.max_rounds <= MAX_VOTES:
        said = f"max_rounds lies between 1 and {MAX_VOTES:,}, not {team.max_rounds:,}"
        yield Problem(where=(*where, "max_rounds"), message=said)
    if not 1 <= team.quorum <= len(team.members):
        said = f"quorum {team.quorum} of {len(team.members)} members cannot be met"
        if team.quorum < 1:
            said = "quorum is at least 1"
        yield Problem(where=(*where, "quorum"), message=said)
    if team.weigh != "agent" and any(member.weight != 1 for member in team.members):
        said = f"members have weights, and votes are weighed by {team.weigh!r}"
        yield Problem(where=(*where, "weigh"), message=said, hint="weigh: agent")


def _times(team: ConsensusSpec, where: Place) -> Iterator[Problem]:
    for field in ("max_duration", "soft", "hard"):
        value = getattr(team, field)
        if value is not None and not 0 < value <= LONGEST:
            said = f"{field} is longer than 0, 10 years at most"
            yield Problem(where=(*where, field), message=said)
    if team.soft is not None and team.hard is not None and team.hard < team.soft:
        said = "hard comes before soft: whoever is late is waited for first, and cut off then"
        yield Problem(where=(*where, "hard"), message=said)
