"""Who wins a ballot, whether that can still change, and how many votes it takes to tell.

Weights are counted in whole billionths, so sums and shares are exact: 3 of 5 is 0.6.

What can still happen follows from a few ways of casting the open votes, because every rule is
monotone: a vote for a candidate never harms it.
A candidate that can win at all wins if it gets every open vote.
A candidate that has won while open votes counted as abstentions fails to win in some way only if
it fails when all of them go to one of its rivals: nothing makes its share smaller, and nothing
makes a rival's weight larger.
"""

from __future__ import annotations

from math import floor, isfinite
from typing import Final, Literal

import msgspec

from hocket.core.teams import Rule, Tie

GRAIN: Final = 1_000_000_000
"""So many grains weigh 1."""
_HAIR: Final = 1e-6
"""By how much of a grain a threshold may be written too low."""


class Vote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A voter's part of a ballot.

    Fields:
        weight: What the vote or the abstention weighs; of an open vote, the most that it may.
        choice: The candidate that it is for; "" if it abstains.
        open: Whether it has still to be cast: for anybody, at any weight up to `weight`, or not
            at all, which then counts as an abstention of all its weight.
    """

    weight: float = 1.0
    choice: str = ""
    open: bool = False


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """The votes on some candidates, and the rule that decides.

    Nobody wins without weight, whatever the rule.

    Fields:
        candidates: Who can be voted for, in the order that breaks ties.
        votes: One for each voter.
        rule: What the candidate with the most weight needs in order to win. ``plurality``:
            nothing else. ``majority``: more than half of the base. ``threshold``: a share of the
            base of at least `threshold`. ``unanimous``: all of the base.
        threshold: That share; counted to nine places, the rest of them forgiven.
        of: The base: the weight of ``all`` votes and abstentions, or of the votes ``cast`` for a
            candidate.
        tie: Who wins of several with the most weight, where that is enough to win: the first in
            ``order``, or nobody before a ``runoff``.

    Raises:
        ValueError: A weight or the threshold is no such number, two candidates are alike, or a
            vote is for none of them.
    """

    candidates: tuple[str, ...]
    votes: tuple[Vote, ...]
    rule: Rule = "plurality"
    threshold: float = 0.6
    of: Literal["all", "cast"] = "all"
    tie: Tie = "order"

    def __post_init__(self) -> None:
        known = {"", *self.candidates}
        if len(known) != len(self.candidates) + 1:
            raise ValueError("candidates of a ballot have names, each its own")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"a threshold lies between 0 and 1, not at {self.threshold}")
        for vote in self.votes:
            if not (isfinite(vote.weight) and vote.weight >= 0):
                raise ValueError(f"a vote weighs 0 or more, not {vote.weight}")
            if vote.choice not in known or (vote.open and vote.choice):
                raise ValueError(f"{vote.choice!r} cannot be voted for here")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a ballot ends.

    Fields:
        winner: Who wins; None if nobody does.
        tied: Those who have the most weight, if they are several, in the order of candidates.
        runoff: Whether nobody has won only because `tied` go into a run-off.
        share: The share of the base that the most weight is.
        why: The same in words.
    """

    winner: str | None
    tied: tuple[str, ...]
    runoff: bool
    share: float
    why: str


def grains(weight: float) -> int:
    """Give a weight in grains."""
    return round(weight * GRAIN)


def reaches(threshold: float, part: int, base: int) -> bool:
    """Tell whether a part is a share of at least `threshold`; its tenth place is forgiven."""
    return part * GRAIN >= floor(threshold * GRAIN + _HAIR) * base


def standing(ballot: Ballot) -> dict[str, float]:
    """Give the weight of the votes for each candidate so far, in the order of candidates."""
    count = _Count(ballot)
    return {name: count.weights[i] / GRAIN for i, name in enumerate(ballot.candidates)}


def result(ballot: Ballot) -> Outcome:
    """Say how the ballot ends if the open votes are never cast: they count as abstentions."""
    count = _Count(ballot)
    count.silent += sum(count.open)
    return count.outcome()


def settled(ballot: Ballot) -> Outcome | None:
    """Give the outcome if no way of casting the open votes, or of not casting them, changes it.

    Who wins is then certain, or that nobody does; the shares are those of the votes so far.
    None if it can change. Exact for all rules and weights.
    """
    return result(ballot) if _Count(ballot).is_settled() else None


def needed(ballot: Ballot) -> int:
    """Give the fewest open votes that could settle it, if all of them went the best way.

    0 if it is settled. The best way may be towards a winner or towards nobody's winning, and
    abstentions are a way, too. The heaviest votes are taken first.
    It is never more than the fewest; it can be less where nobody's winning is nearer than a
    winner and shares are of the votes cast, because votes are taken to be divisible for that.
    """
    count = _Count(ballot)
    if count.is_settled():
        return 0
    # The more votes are in, the more is settled.
    low, high = 1, len(count.open)
    while low < high:
        middle = (low + high) // 2
        if count.could_settle(middle):
            high = middle
        else:
            low = middle + 1
    return low


class _Count:
    """The votes of a ballot, counted.

    Attributes:
        weights: What each candidate has.
        silent: What abstentions weigh.
        open: What each open vote weighs at most, the heaviest first.
    """

    def __init__(self, ballot: Ballot) -> None:
        self.ballot = ballot
        index = {name: i for i, name in enumerate(ballot.candidates)}
        self.weights = [0] * len(index)
        self.silent = 0
        self.open: list[int] = []
        for vote in ballot.votes:
            weight = grains(vote.weight)
            if vote.open:
                self.open.append(weight)
            elif vote.choice:
                self.weights[index[vote.choice]] += weight
            else:
                self.silent += weight
        self.open.sort(reverse=True)

    def is_settled(self) -> bool:
        """Tell whether nothing that the open votes may do changes who wins."""
        rest, weights = sum(self.open), self.weights
        if not rest:
            return True
        first = self._end(self.silent + rest)
        for i in range(len(weights)):
            weights[i] += rest
            end = self._end(self.silent)
            weights[i] -= rest
            if end != first:
                return False
        return True

    def could_settle(self, number: int) -> bool:
        """Tell whether the heaviest open votes, so many, could settle it."""
        return self._for_a_winner(number) or self._for_nobody(number)

    def outcome(self) -> Outcome:
        """Say how it ends, if nothing is open."""
        names = self.ballot.candidates
        index, runoff = self._end(self.silent)
        top, base = max(self.weights, default=0), self._base(self.silent)
        most = [name for i, name in enumerate(names) if self.weights[i] == top]
        tied = tuple(most) if top and len(most) > 1 else ()
        winner = None if index is None else names[index]
        return Outcome(
            winner=winner,
            tied=tied,
            runoff=runoff,
            share=top / base if base else 0.0,
            why=self._why(winner, most, runoff),
        )

    # -- within -----------------------------------------------------------------------------

    def _base(self, silent: int) -> int:
        return sum(self.weights) + (silent if self.ballot.of == "all" else 0)

    def _enough(self, weight: int, base: int) -> bool:
        """Tell whether the most weight is enough to win."""
        match self.ballot.rule:
            case "plurality":
                return weight > 0
            case "majority":
                return 2 * weight > base
            case "threshold":
                return weight > 0 and reaches(self.ballot.threshold, weight, base)
            case "unanimous":
                return 0 < weight == base

    def _end(self, silent: int) -> tuple[int | None, bool]:
        """Say who wins by number, and whether nobody does because of a run-off."""
        weights = self.weights
        top = max(weights, default=0)
        if not self._enough(top, self._base(silent)):
            return None, False
        if self.ballot.tie == "runoff" and weights.count(top) > 1:
            return None, True
        return weights.index(top), False

    def _for_a_winner(self, number: int) -> bool:
        """Tell whether it would be settled if so many votes went to one candidate.

        No candidate needs fewer than the one that is first now.
        """
        if not self.weights:
            return False
        index = self.weights.index(max(self.weights))
        open_, gone = self.open, sum(self.open[:number])
        self.open = open_[number:]
        self.weights[index] += gone
        settled = self.is_settled()
        self.weights[index] -= gone
        self.open = open_
        return settled

    def _for_nobody(self, number: int) -> bool:
        """Tell whether so many votes could see to it that nobody can win any more."""
        gone, rest = sum(self.open[:number]), sum(self.open[number:])
        top, base = max(self.weights, default=0), self._base(self.silent)
        if self.ballot.rule == "unanimous":
            # An abstention does it, or a vote for somebody else; of those there must be two
            # where nobody has voted yet.
            second = top > 0 or (number > 1 and self.open[1] > 0)
            return gone > 0 and (self.ballot.of == "all" or (second and len(self.weights) > 1))
        if self.ballot.of == "cast" and self.weights:
            # The votes are spread so that they add to the base, and to the first one little.
            top = max(top, -(-(base + gone) // len(self.weights)))
        return not self._enough(top + rest, base + gone + rest)

    def _why(self, winner: str | None, most: list[str], runoff: bool) -> str:
        top, base = max(self.weights, default=0), self._base(self.silent)
        if not top:
            return "nobody has voted for anybody"
        rule, one = self.ballot.rule, len(most) == 1
        names = most[0] if one else f"{', '.join(most[:-1])} and {most[-1]}"
        has = f"{names} has" if one else f"{names} each have"
        said = f"{has} {top / GRAIN:g} of {base / GRAIN:g}"
        if runoff:
            return f"a tie: {said}"
        if winner is None:
            return f"{_MISSED[rule].format(self.ballot.threshold)}: {said}"
        return f"{_WON[rule]}: {said}" + ("" if one else f"; {winner} comes first")


_WON: Final[dict[Rule, str]] = {
    "plurality": "most votes",
    "majority": "more than half",
    "threshold": "enough votes",
    "unanimous": "all votes",
}
_MISSED: Final[dict[Rule, str]] = {
    "majority": "nobody has more than half",
    "threshold": "nobody has a share of {:g}",
    "unanimous": "nobody has all votes",
}
