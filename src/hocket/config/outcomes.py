"""What steps of several agents give, and the handles of such steps, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hocket.config.handles import Ref, Step, owner

T = TypeVar("T")
A_co = TypeVar("A_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Winner:
    """Whose answer stands.

    Attributes:
        member: The seat.
        agent: Who gave the answer: the agent that sits there, or its fallback.
        label: What the others knew its answer by.
    """

    member: str
    agent: str
    label: str


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote in a consensus.

    Attributes:
        member: Whose it is.
        choice: Whose answer it is for; "" if it abstains.
        confidence: From 0 to 1.
        reason: Why.
        counts: Whether it counted in the end.
    """

    member: str
    choice: str
    confidence: float
    reason: str
    counts: bool


@dataclass(frozen=True, slots=True)
class Consensus(Generic[T]):
    """The output of a consensus.

    Attributes:
        answer: The answer that stands.
        winner: Whose it is.
        decision: How it came to that, in words.
        forced: Whether the rule was not met, so that what was there had to do.
        tally: The weight of the votes for each member's answer.
        votes: Every vote and abstention, in order.
        dissent: Those of the votes that were for another.
        answers: Every member's last answer.
        calls: How many calls came to which fate.
    """

    answer: T
    winner: Winner
    decision: str
    forced: bool
    tally: dict[str, float]
    votes: list[Ballot]
    dissent: list[Ballot]
    answers: dict[str, T]
    calls: dict[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reviewer has said.

    Attributes:
        member: Who.
        verdict: ``approve`` or ``reject``.
        confidence: From 0 to 1.
        reason: Why.
        issues: What was found.
    """

    member: str
    verdict: str
    confidence: float
    reason: str
    issues: list[str]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The output of a review.

    Attributes:
        approved: Whether the artefact was approved.
        score: The share of confidence that approved of it.
        verdicts: What each reviewer has said in the last round.
        issues: What was found.
        rounds: How many rounds there were.
        artefact: What was reviewed, as it is in the end.
        calls: How many calls came to which fate.
    """

    approved: bool
    score: float
    verdicts: list[Verdict]
    issues: list[str]
    rounds: int
    artefact: Any
    calls: dict[str, int]


@dataclass(frozen=True, slots=True)
class PanelReply(Generic[T]):
    """The output of a panel.

    Attributes:
        reply: The reply.
        contributions: What it was made of, by contributor.
        missing: Why others are missing from it, by contributor.
        skipped: Why others were not asked, by contributor.
        revised: Whether it was revised with what came late.
    """

    reply: T
    contributions: dict[str, Any]
    missing: dict[str, str]
    skipped: dict[str, str]
    revised: bool


class Decided(Step[Consensus[A_co]]):
    """A consensus of a plan, and its output once it has run."""

    __slots__ = ()

    @property
    def answer(self) -> Ref[A_co]:
        """The answer that stands."""
        return Ref(owner(self), f"{self.name}.answer")

    @property
    def dissent(self) -> Ref[list[Ballot]]:
        """The votes that were for another."""
        return Ref(owner(self), f"{self.name}.dissent")


class Judged(Step[Reviewed]):
    """A review of a plan, and its output once it has run."""

    __slots__ = ()

    @property
    def approved(self) -> Ref[bool]:
        """Whether the artefact was approved."""
        return Ref(owner(self), f"{self.name}.approved")

    @property
    def issues(self) -> Ref[list[str]]:
        """What was found."""
        return Ref(owner(self), f"{self.name}.issues")


class Replied(Step[PanelReply[A_co]]):
    """A panel of a plan, and its output once it has run."""

    __slots__ = ()

    @property
    def reply(self) -> Ref[A_co]:
        """The reply."""
        return Ref(owner(self), f"{self.name}.reply")

    @property
    def missing(self) -> Ref[dict[str, str]]:
        """Why contributions are missing from the reply, by contributor."""
        return Ref(owner(self), f"{self.name}.missing")
