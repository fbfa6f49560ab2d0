"""Turns the steps of a file that a team does into specs: who takes part, and how it is decided."""

from __future__ import annotations

from typing import Final

from hocket.config.bounds import Bounds
from hocket.config.models import DefaultsPart
from hocket.config.panel_parts import ConsensusStep, ReviewStep, TeamStep
from hocket.config.places import Path, Places
from hocket.config.seats import Entry, seated
from hocket.config.settings import OF_A_STEP, given, retry_of
from hocket.config.staff import Say, Staff
from hocket.config.team_parts import ConsensusPart, ReviewPart, SeatPart
from hocket.config.team_shapes import consensus_shape, review_shape
from hocket.core.specs import StepSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec
from hocket.core.values import Json

CONSENSUS: Final = (
    *("policy", "rounds", "batch", "weigh", "of", "tie", "votes", "early", "max_rounds"),
    *("max_duration", "lead", "soft", "hard", "quorum", "final", "presenter"),
)
REVIEW: Final = (
    *("swarm", "protocol", "threshold", "criteria", "fail_open", "open_weight"),
    *("waves", "early", "max_rounds", "fixer"),
)
"""The fields that stand in a file's consensus and review as in their specs."""
_SETTINGS: Final = ("temperature", "max_tokens", "settings")


class Teams:
    """Translates the steps of one file that a team does."""

    def __init__(self, staff: Staff, bounds: Bounds, places: Places, say: Say) -> None:
        self._staff = staff
        self._bounds = bounds
        self._places = places
        self._say = say

    def step(
        self,
        where: Path,
        about: ConsensusStep | ReviewStep,
        defaults: DefaultsPart,
        common: dict[str, Json],
    ) -> StepSpec:
        """Translate a step that a team does."""
        team: ConsensusSpec | ReviewSpec
        if isinstance(about, ConsensusStep):
            team = consensus = self._consensus(where, about)
            asked, key = about.consensus.question, ("consensus", "question")
            shape = consensus_shape(consensus.answer, team.members)
        else:
            team = self.review(where, about.review)
            asked, key = about.review.of, ("review", "of")
            shape = review_shape()
        self._places.note(where, ("input",), key)
        self._bounds.use(about.uses)
        names = _agents_of(team)
        known = [self._staff.agents.get(name) for name in names]
        return StepSpec(
            **common,
            kind="consensus" if isinstance(about, ConsensusStep) else "review",
            team=team,
            input=asked,
            output=shape,
            options=self._options(where, about, names),
            retry=retry_of(about.retry or defaults.retry, *known),
            uses=about.uses,
            hedge=about.hedge,
        )

    def _consensus(self, where: Path, about: ConsensusStep) -> ConsensusSpec:
        part = about.consensus
        members = self._members(where, ("consensus", "agents"), part.agents)
        fields = consensus_fields(part)
        if part.weigh is None and any(member.weight != 1 for member in members):
            fields["weigh"] = "agent"
        if part.presenter is not None:
            self._staff.declare(part.presenter)
        answer = about.output
        if answer is not None and not (answer.named and answer.mode == "text"):
            fields["answer"] = answer.schema
        return ConsensusSpec(members=members, **fields)

    def review(self, where: Path, about: ReviewPart) -> ReviewSpec:
        """Translate a review of the step at `where`."""
        members = self._members(where, ("review", "by"), about.by)
        if about.fixer is not None:
            self._staff.declare(about.fixer)
        return ReviewSpec(members=members, **given(about, REVIEW))

    def _members(self, where: Path, key: Path, seats: list[SeatPart]) -> tuple[Member, ...]:
        """Give the members, each with a name of its own."""
        for seat in seats:
            for agent in (seat.agent, *seat.fallback):
                self._staff.declare(agent)
        found = seated(list(map(_entry, seats)))
        for number, (i, _) in enumerate(found):
            self._places.note(where, (*key, number), (*key, i))
        return tuple([member for _, member in found])

    def _options(self, where: Path, about: TeamStep, names: list[str]) -> dict[str, Json]:
        options = given(about, _SETTINGS)
        for key in options:
            for name in names:
                agent = self._staff.agents.get(name)
                if agent is None or name in self._staff.broken:
                    continue
                if key not in OF_A_STEP[agent.kind]:
                    said = f"agent {name!r} is a {agent.kind}, which has no setting {key!r}"
                    self._say((*where, key), said, "set it of those agents that have it")
                    break
        return options


def consensus_fields(part: ConsensusPart) -> dict[str, Json]:
    """Give the fields of a consensus that a file states, but for who takes part."""
    fields = given(part, CONSENSUS)
    if part.decide is not None:
        fields["rule"] = part.decide.rule
        if part.decide.threshold is not None:
            fields["threshold"] = part.decide.threshold
    return fields


def _agents_of(team: ConsensusSpec | ReviewSpec) -> list[str]:
    """Name the agents that members are, and those that stand in for them."""
    names: dict[str, None] = {}
    for member in team.members:
        names.update(dict.fromkeys((member.agent, *member.fallback)))
    last = team.presenter if isinstance(team, ConsensusSpec) else team.fixer
    return [*names, last] if last else [*names]


def _entry(seat: SeatPart) -> Entry:
    weight = 1.0 if seat.weight is None else seat.weight
    return Entry(seat.agent, seat.count, weight, seat.name or "", tuple(seat.fallback))
