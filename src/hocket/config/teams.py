"""How a plan lets several agents do a step: consensus, review and panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, Unpack, overload

from hocket.config.agent import Agent
from hocket.config.draft import Draft, duration, output_schema, retry_of
from hocket.config.functions import mistake
from hocket.config.handles import Handle
from hocket.config.outcomes import Consensus, Decided, Judged, PanelReply, Replied, Reviewed
from hocket.config.panel import Contributor, Learned
from hocket.config.panels import Drawing
from hocket.config.shorthand import read_decision
from hocket.config.team import Review, Seats, seats_of
from hocket.config.team_shapes import consensus_shape, review_shape
from hocket.config.told import Agreeing, Begins, Duration, Reviewing
from hocket.core.teams import ConsensusSpec

O_ = TypeVar("O_")
P = TypeVar("P")

_SETTINGS: Final = ("temperature", "max_tokens", "settings")
_AS_TOLD: Final = (
    *("policy", "rounds", "weigh", "of", "tie", "votes", "early", "max_rounds"),
    *("lead", "quorum", "final"),
)
_DURATIONS: Final = ("batch", "max_duration", "soft", "hard")
_REVIEW: Final = (
    *("swarm", "protocol", "threshold", "criteria", "fail_open", "open_weight"),
    *("waves", "early", "max_rounds", "fixer"),
)


class Teams:
    """The part of a plan that lets several agents do a step; see `hocket.config.builder.Plan`."""

    _draft: Draft

    @overload
    def consensus(
        self,
        name: str,
        question: Any,
        *after: Handle,
        agents: Seats,
        output: None = None,
        **told: Unpack[Agreeing],
    ) -> Decided[str]: ...
    @overload
    def consensus(
        self,
        name: str,
        question: Any,
        *after: Handle,
        agents: Seats,
        output: type[P],
        **told: Unpack[Agreeing],
    ) -> Decided[P]: ...
    def consensus(
        self,
        name: str,
        question: Any,
        *after: Handle,
        agents: Seats,
        output: Any = None,
        **told: Any,
    ) -> Decided[Any]:
        """Let several agents answer one question, and decide by votes whose answer stands.

        Args:
            name: What the step is called.
            question: What everybody is asked: a text with templates and handles.
            after: Handles of steps that must have succeeded.
            agents: Who takes part: agents and seats, in the order that breaks ties.
            output: The type of an answer; text by default.
            told: See `Agreeing`: how answers and votes are gone about, and what decides.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        draft = self._draft
        fields = _taken(told, _AS_TOLD)
        for key in _DURATIONS:
            if (value := told.pop(key, None)) is not None:
                fields[key] = duration(name, key, value)
        if (decide := told.pop("decide", None)) is not None:
            try:
                decision = read_decision(decide)
            except ValueError as error:
                raise mistake(name, f"decide: {error}") from None
            fields["rule"] = decision.rule
            if decision.threshold is not None:
                fields["threshold"] = decision.threshold
        if (presenter := told.pop("presenter", None)) is not None:
            fields["presenter"] = draft.agent(name, presenter, "presenter")
        members = draft.seats(name, agents)
        if "weigh" not in fields and any(member.weight != 1 for member in members):
            fields["weigh"] = "agent"
        team = ConsensusSpec(members=members, answer=output_schema(output), **fields)
        kind = _of(Consensus, str if output is None else output)
        shape = consensus_shape(team.answer, members)
        _ask(told, agents)
        draft.add(name, kind, told, question, after, kind="consensus", team=team, output=shape)
        return Decided(self, name)

    def review(
        self, name: str, artefact: Any, *after: Handle, by: Seats, **told: Unpack[Reviewing]
    ) -> Judged:
        """Let reviewers judge an artefact, and stop when the verdict cannot change.

        Args:
            name: What the step is called.
            artefact: What is judged: a handle, or a text with templates and handles.
            after: Handles of steps that must have succeeded.
            by: Who may review: agents and seats; reviewers take them in rotation.
            told: See `Reviewing`, and `Review`.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        given: dict[str, Any] = {**told}
        about = _taken(given, _REVIEW)
        team = self._draft.review(name, Review(by, **about))
        _ask(given, by)
        self._draft.add(
            name,
            Reviewed,
            given,
            artefact,
            after,
            kind="review",
            team=team,
            output=review_shape(),
        )
        return Judged(self, name)

    def panel(
        self,
        name: str,
        question: Any,
        *after: Handle,
        agents: Mapping[str, Agent[Any] | Contributor[Any] | Callable[..., Any]],
        synthesis: Agent[O_] | Contributor[O_],
        quorum: int | None = None,
        within: Duration | Learned | None = None,
        select: str | Agent[Any] | Contributor[Any] | Callable[..., Any] | None = None,
        revise: bool | Duration = False,
        revision: Agent[Any] | Contributor[Any] | None = None,
        **told: Unpack[Begins],
    ) -> Replied[O_]:
        """Let specialists contribute side by side to one reply, made of what is there in time.

        Args:
            name: What the step is called.
            question: What everybody is asked: a text with templates and handles.
            after: Handles of steps that must have succeeded.
            agents: The contributors by name. They begin at once unless they need one another; one
                that fails is missing, and nothing else happens. If all fail, so does the step.
            synthesis: Who replies; without a prompt it gets the question, the contributions and
                what is missing, a function by the names question, contributions, missing.
            quorum: How many contributions are enough to begin the reply; by default all that come
                in time.
            within: How long contributions are waited for; by default as long as it takes.
            select: Who says which contributors are needed: an expression that gives a list of
                their names, or an agent or a function that does, which gets one text: the question
                and the names. By default all are asked, and so they are if it fails.
            revise: Whether a reply is revised when contributions come late, or for how long they
                are waited for.
            revision: Who revises, if not whoever replied.
            told: See `Begins`; `timeout` bounds all of it.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        draw = Drawing(self._draft, name, agents)
        panel = draw.panel(
            question, synthesis, quorum, within, select, revise, revision, told.get("timeout")
        )
        given: dict[str, Any] = {**told}
        given.pop("timeout", None)
        draw.add(panel, _of(PanelReply, draw.reply_of(synthesis)), given, after)
        return Replied(self, name)


def _of(outcome: Any, kind: Any) -> Any:
    """Give the type of an outcome whose main part is of some type."""
    return outcome[kind]


def _taken(told: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Take what was told of a team out of what was told of its step."""
    given = {name: told.pop(name, None) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _ask(told: dict[str, Any], seats: Seats) -> None:
    """Put what models are told in its place, and the retries that they need."""
    if options := _taken(told, _SETTINGS):
        told["options"] = options
    if told.get("retry") is None:
        agents = [agent for seat in seats_of(seats) for agent in (seat.agent, *seat.fallback)]
        told["retry"] = retry_of(*agents)
