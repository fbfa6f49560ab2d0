"""Who sits in a consensus, with which answer and which vote: the state that its rules change."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_uppercase
from typing import Literal, Self, TypeAlias

import msgspec

from hocket.core.errors import EngineBug
from hocket.core.teams import ConsensusSpec, Member
from hocket.core.values import Json, unit_fraction
from hocket.workflows.ballot import Ballot, Outcome, Vote, needed, settled, standing
from hocket.workflows.consensus_policies import WAYS
from hocket.workflows.consensus_prompts import Answers, Turn, in_order

Place: TypeAlias = Literal["idle", "answering", "in", "late", "failed"]
"""How far a member is.

idle: nobody has asked it yet.
answering: its first answer is under way.
in: it has answered.
late: it was not waited for; what it gives all the same is noted and changes nothing.
failed: it has no answer to give.
"""


class Cast(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A vote that was given, or an abstention.

    Fields:
        member: Whose it is.
        path: The call that gave it.
        choice: The label that it is for; "" if it abstains.
        confidence: From 0 to 1.
        weight: What it weighs.
        reason: Why.
        seen: The revision of each label that the voter had seen.
        agent: Who has given it.
    """

    member: str
    path: str
    choice: str
    confidence: float = 1.0
    weight: float = 1.0
    reason: str = ""
    seen: dict[str, int] = {}
    agent: str = ""


class Seat:
    """A member as far as it has come.

    Attributes:
        member: Who it is.
        label: What the others know its answer by.
        place: How far it is.
        contents: Its answers, the latest last.
        by: The agent that has given the latest: the member's own, or a fallback.
        path: Where its answer or vote is under way, or "".
        may_revise: Whether the vote under way may be a new answer instead.
        done: Whether it has said what it had to say in this round of votes.
        out: Whether it votes no more, for it has failed to.
        vote: Its vote, if that counts.
        turns: Its turns as a voter that are told again when it is asked once more.
        why: Why it is late or has failed.
        gave_up: Where it has given up, if that was a call.
    """

    __slots__ = (
        "by",
        "contents",
        "done",
        "gave_up",
        "label",
        "may_revise",
        "member",
        "out",
        "path",
        "place",
        "turns",
        "vote",
        "why",
    )

    def __init__(self, member: Member, label: str) -> None:
        self.member = member
        self.label = label
        self.place: Place = "idle"
        self.contents: tuple[Json, ...] = ()
        self.by = member.agent
        self.path = ""
        self.may_revise = False
        self.done = False
        self.out = False
        self.vote: Cast | None = None
        self.turns: tuple[Turn, ...] = ()
        self.why = ""
        self.gave_up = ""

    @property
    def name(self) -> str:
        """The member's name."""
        return self.member.name

    @property
    def votes(self) -> bool:
        """Whether it takes part in votes."""
        return self.place == "in" and not self.out

    @property
    def open(self) -> bool:
        """Whether its vote of this round has still to come."""
        return self.votes and not self.done

    def fork(self) -> Seat:
        """Copy it."""
        other = Seat(self.member, self.label)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other


class Table:
    """All seats, and how far the whole is.

    Args:
        spec: What the team does.
        key: What the labels are drawn from.

    Attributes:
        seats: In the members' order, which breaks ties.
        round: The round of votes; 0 before the first answers are in.
        revised: Whether there was a new answer in this round.
        between: In a run-off, the labels of those left; else ().
        casts: Every vote and abstention, in the order in which they came.
    """

    def __init__(self, spec: ConsensusSpec, key: tuple[str, ...]) -> None:
        self.spec = spec
        self.way = WAYS[spec.policy]
        labels = labels_of([member.name for member in spec.members], key)
        self.seats = [Seat(member, labels[member.name]) for member in spec.members]
        self.round = 0
        self.revised = False
        self.between: tuple[str, ...] = ()
        self.casts: list[Cast] = []

    # -- answers ----------------------------------------------------------------------------

    def placed(self, *places: Place) -> list[Seat]:
        """Give the seats that are so far."""
        return [seat for seat in self.seats if seat.place in places]

    def latest(self) -> dict[str, int]:
        """Give the latest revision of each answer by its label, in the order of labels."""
        seats = {seat.label: seat for seat in self.placed("in")}
        return {label: len(seats[label].contents) for label in in_order(seats)}

    def is_fresh(self, seen: Json) -> bool:
        """Tell whether somebody who has seen this knows the latest revision of every answer."""
        latest = self.latest()
        return isinstance(seen, dict) and all(seen.get(k) == v for k, v in latest.items())

    def answers(self) -> Answers:
        """Give all answers in all revisions."""
        return Answers({seat.label: seat.contents for seat in self.seats})

    # -- votes ------------------------------------------------------------------------------

    def candidates(self) -> list[Seat]:
        """Give whose answers can be voted for."""
        seats = self.placed("in")
        return [s for s in seats if s.label in self.between] if self.between else seats

    def weight(self, seat: Seat, confidence: float = 1.0) -> float:
        """Say what a seat's vote weighs at most, or at a confidence."""
        match self.spec.weigh:
            case "equal":
                return 1.0
            case "agent":
                return seat.member.weight
            case "confidence":
                return confidence

    def may_revise(self, seat: Seat) -> bool:
        """Tell whether a seat may give a new answer in this round."""
        spec, made = self.spec, len(seat.contents) - 1
        if not self.way.revises or self.between or made >= spec.rounds:
            return False
        # In the last round there must be votes.
        if self.round >= spec.max_rounds:
            return False
        slowest = min(len(other.contents) for other in self.seats if other.votes)
        return spec.lead is None or made + 2 - slowest <= spec.lead

    def ballot(self) -> Ballot:
        """Give the ballot of this round; who has failed, is late or abstains weighs in full."""
        names = {seat.label: seat.name for seat in self.seats}
        votes = []
        for seat in self.seats:
            if seat.vote is not None:
                votes.append(Vote(weight=seat.vote.weight, choice=names[seat.vote.choice]))
            else:
                votes.append(Vote(weight=self.weight(seat), open=seat.open))
        spec = self.spec
        return Ballot(
            candidates=tuple([seat.name for seat in self.candidates()]),
            votes=tuple(votes),
            rule=spec.rule,
            threshold=spec.threshold,
            of=spec.of,
            # What is still a tie after a run-off is broken by the order.
            tie="order" if self.between or self.round >= spec.max_rounds else spec.tie,
        )

    def settled(self) -> Outcome | None:
        """Give the outcome if nothing that is still permitted can change who wins.

        That is not so while somebody may give a new answer, or has to vote on one.
        """
        if self.revised or any(s.open and self.may_revise(s) for s in self.seats):
            return None
        ballot = self.ballot()
        outcome = settled(ballot)
        if outcome is None or outcome.winner is not None:
            return outcome
        # Nobody can win by the rule, and the votes still say who is supported best, or comes into
        # the run-off.
        runs_off = ballot.tie == "runoff" and any(vote.open for vote in ballot.votes)
        return None if runs_off or settled(_by_most(ballot)) is None else outcome

    def needed(self) -> int:
        """Say how many more votes the decision needs at least."""
        ballot = self.ballot()
        if self.settled() is not None:
            return 0
        return needed(ballot) or needed(_by_most(ballot)) or sum(v.open for v in ballot.votes)

    def tally(self) -> dict[str, float]:
        """Give the weight of the votes for each answer, best supported first."""
        weights = standing(self.ballot())
        return dict(sorted(weights.items(), key=lambda item: -item[1]))

    def top(self) -> tuple[str, ...]:
        """Give the labels that a run-off is between: the first, or the first and the second."""
        tally = self.tally()
        most = sorted([weight for weight in tally.values() if weight], reverse=True)
        if not most:
            return ()
        least = most[min(1, len(most) - 1)]
        return tuple([s.label for s in self.candidates() if tally[s.name] >= least])

    def spoken(self) -> list[Seat]:
        """Give the seats that have said what they had to say in this round."""
        return [seat for seat in self.seats if seat.votes and seat.done]

    def most_flying(self) -> int:
        """Say how many votes may be under way at most."""
        everybody = len(self.seats)
        if self.spec.votes == "together" or not self.round or self.revised:
            return everybody
        return everybody if any(self.may_revise(s) for s in self.seats if s.open) else self.needed()

    def best(self) -> str:
        """Name who is supported best; of several the first by order."""
        return next(iter(self.tally()))

    # -- all --------------------------------------------------------------------------------

    def fork(self) -> Self:
        """Copy it."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.seats = [seat.fork() for seat in self.seats]
        other.casts = self.casts.copy()
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        spec = self.spec
        for seat in self.seats:
            if seat.vote is not None and not self.is_fresh(seat.vote.seen):
                raise EngineBug(f"a vote of {seat.name!r} counts that is not on the latest answers")
            if seat.vote is not None and (seat.path or not seat.done):
                raise EngineBug(f"{seat.name!r} has voted and is asked once more")
            if len(seat.contents) > 1 + (spec.rounds if self.way.revises else 0):
                raise EngineBug(f"{seat.name!r} has given more answers than it may")
        if self.round > spec.max_rounds:
            raise EngineBug("there are more rounds of votes than there may be")


def _by_most(ballot: Ballot) -> Ballot:
    return msgspec.structs.replace(ballot, rule="plurality", tie="order")


def labels_of(names: list[str], key: tuple[str, ...]) -> dict[str, str]:
    """Give each name a label, A, B, C …, in an order drawn from `key`."""
    drawn = sorted(names, key=lambda name: unit_fraction("label", *key, name))
    return dict(zip(drawn, _labels(), strict=False))


def _labels() -> Iterator[str]:
    yield from ascii_uppercase
    for label in _labels():
        yield from (label + letter for letter in ascii_uppercase)
