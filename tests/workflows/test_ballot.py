"""Who wins a ballot, and when that is certain: compared with all ways in which it could go on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.workflows.ballot import Ballot, Vote, needed, result, settled, standing

RULES = ("plurality", "majority", "threshold", "unanimous")


def ballot(votes: str, names: str = "ABC", **fields: Any) -> Ballot:
    """Votes of weight 1 by letters: a candidate, ``-`` for an abstention, ``?`` for an open one."""
    made = [Vote(choice="" if v in "-?" else v, open=v == "?") for v in votes]
    return Ballot(candidates=tuple(names), votes=tuple(made), **fields)


# -- rules ----------------------------------------------------------------------------------


def test_plurality_takes_the_most_votes() -> None:
    outcome = result(ballot("BABC"))
    assert (outcome.winner, outcome.tied, outcome.share) == ("B", (), 0.5)
    assert outcome.why == "most votes: B has 2 of 4"


def test_a_tie_goes_to_the_first_in_order_and_that_is_said() -> None:
    outcome = result(ballot("CBBC-"))
    assert (outcome.winner, outcome.tied, outcome.runoff) == ("B", ("B", "C"), False)
    assert outcome.why == "most votes: B and C each have 2 of 5; B comes first"


def test_a_tie_may_want_a_runoff_instead() -> None:
    outcome = result(ballot("CBBC", tie="runoff"))
    assert (outcome.winner, outcome.tied, outcome.runoff) == (None, ("B", "C"), True)
    assert outcome.why == "a tie: B and C each have 2 of 4"


@pytest.mark.parametrize(
    ("votes", "of", "winner"),
    [("AAAB", "all", "A"), ("AABB", "all", None), ("AAB-", "all", None), ("AAB-", "cast", "A")],
)
def test_a_majority_is_more_than_half(votes: str, of: Any, winner: str | None) -> None:
    assert result(ballot(votes, rule="majority", of=of)).winner == winner


def test_without_a_majority_nobody_wins_and_it_is_said() -> None:
    outcome = result(ballot("AAB-", rule="majority"))
    assert (outcome.winner, outcome.why) == (None, "nobody has more than half: A has 2 of 4")


@pytest.mark.parametrize(
    ("count", "of", "threshold"),
    [(3, 5, 0.6), (7, 10, 0.7), (1, 10, 0.1), (29, 100, 0.29), (2, 3, 2 / 3), (1, 3, 1 / 3)],
)
def test_a_threshold_is_met_exactly(count: int, of: int, threshold: float) -> None:
    votes = "A" * count + "-" * (of - count)
    assert result(ballot(votes, rule="threshold", threshold=threshold)).winner == "A"
    less = "A" * (count - 1) + "-" * (of - count + 1)
    missed = result(ballot(less, rule="threshold", threshold=threshold))
    assert missed.winner is None
    if count > 1:
        share = f"{threshold:g}"
        assert missed.why == f"nobody has a share of {share}: A has {count - 1} of {of}"


@pytest.mark.parametrize(
    ("votes", "of", "winner"),
    [("AAA", "all", "A"), ("AA-", "all", None), ("AA-", "cast", "A"), ("AAB", "cast", None)],
)
def test_unanimous_means_all_of_the_base(votes: str, of: Any, winner: str | None) -> None:
    assert result(ballot(votes, rule="unanimous", of=of)).winner == winner


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("of", ["all", "cast"])
def test_nobody_wins_without_a_vote(rule: Any, of: Any) -> None:
    outcome = result(ballot("--", rule=rule, of=of, threshold=0.0))
    assert (outcome.winner, outcome.share) == (None, 0)
    assert outcome.why == "nobody has voted for anybody"


def test_weights_add_up_exactly() -> None:
    votes = tuple([Vote(choice="A", weight=0.1)] * 3 + [Vote(choice="B", weight=0.3)])
    many = Ballot(candidates=("A", "B"), votes=votes, tie="runoff")
    assert standing(many) == {"A": 0.3, "B": 0.3}
    assert result(many).tied == ("A", "B")


def test_a_ballot_without_candidates_is_settled() -> None:
    empty = ballot("?-", names="")
    outcome = settled(empty)
    assert outcome is not None and outcome.winner is None
    assert (needed(empty), standing(empty)) == (0, {})


@pytest.mark.parametrize(
    ("votes", "fields"),
    [
        ((Vote(choice="D"),), {}),
        ((Vote(choice="A", open=True),), {}),
        ((Vote(weight=-1.0),), {}),
        ((Vote(weight=float("nan")),), {}),
        ((Vote(weight=float("inf")),), {}),
        ((), {"threshold": 1.5}),
        ((), {"candidates": ("A", "A")}),
        ((), {"candidates": ("A", "")}),
    ],
)
def test_what_is_no_ballot_is_refused(votes: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"vote|threshold|candidates"):
        Ballot(**{"candidates": ("A", "B"), "votes": votes, **fields})


# -- settled --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("votes", "fields", "winner"),
    [
        ("AAAA???", {"rule": "majority"}, "A"),
        ("AAA????", {"rule": "majority"}, "open"),
        ("AAAB???", {"rule": "plurality"}, "open"),
        ("AAA??", {"rule": "plurality"}, "A"),
        ("AABC?", {"rule": "plurality"}, "A"),
        ("BBAC?", {"rule": "plurality"}, "open"),
        ("AAABB??", {"rule": "threshold", "threshold": 0.9}, None),
        ("AAA?", {"rule": "unanimous"}, "open"),
        ("AB?", {"rule": "unanimous"}, None),
        ("A-?", {"rule": "unanimous"}, None),
        ("A-?", {"rule": "unanimous", "of": "cast"}, "open"),
        ("AAA?", {"rule": "threshold", "threshold": 0.75, "of": "cast"}, "A"),
        ("AAA??", {"rule": "threshold", "threshold": 0.75, "of": "cast"}, "open"),
        ("AABC?", {"tie": "runoff"}, "open"),
    ],
)
def test_it_is_settled_when_nothing_can_change_it(
    votes: str, fields: dict[str, Any], winner: str | None
) -> None:
    outcome = settled(ballot(votes, **fields))
    if winner == "open":
        assert outcome is None
    else:
        assert outcome is not None and outcome.winner == winner


@pytest.mark.parametrize(
    ("votes", "fields", "count"),
    [
        ("???????", {"rule": "majority"}, 4),
        ("AA?????", {"rule": "majority"}, 2),
        ("AAB????", {"rule": "majority"}, 2),
        ("???????", {"rule": "plurality"}, 4),
        ("??????", {"rule": "plurality"}, 3),
        ("AAAA???", {"rule": "majority"}, 0),
        ("??????", {"rule": "threshold", "threshold": 0.6}, 3),
        ("AA????", {"rule": "threshold", "threshold": 0.6}, 2),
        ("???????", {"rule": "unanimous"}, 1),
        ("???????", {"rule": "unanimous", "of": "cast"}, 2),
        ("A??", {"rule": "unanimous", "of": "cast"}, 1),
    ],
)
def test_so_many_votes_could_settle_it(votes: str, fields: dict[str, Any], count: int) -> None:
    assert needed(ballot(votes, **fields)) == count


def test_the_heaviest_votes_could_settle_it_first() -> None:
    votes = tuple(Vote(weight=weight, open=True) for weight in (1.0, 1.0, 3.0, 1.0))
    assert needed(Ballot(candidates=("A", "B"), votes=votes, rule="majority")) == 1


def test_a_hundred_voters_and_candidates_are_no_trouble() -> None:
    names = tuple(f"c{i}" for i in range(100))
    votes = [Vote(choice=names[i % 7]) if i < 50 else Vote(open=True) for i in range(100)]
    many = Ballot(candidates=names, votes=tuple(votes))
    assert settled(many) is None
    assert needed(many) == 25


# -- against all ways in which it could go on -----------------------------------------------


def judged(ballot_: Ballot, votes: list[tuple[str, Fraction]]) -> Any:
    """Judge a full ballot from the rules' own words, with fractions."""
    of = {name: sum([w for c, w in votes if c == name], Fraction(0)) for name in ballot_.candidates}
    base = sum([w for c, w in votes if c or ballot_.of == "all"], Fraction(0))
    if not any(of.values()):
        return None
    top = max(of.values())
    most = [name for name in ballot_.candidates if of[name] == top]
    enough = {
        "plurality": True,
        "majority": top > base / 2,
        "threshold": top >= Fraction(str(ballot_.threshold)) * base,
        "unanimous": top == base,
    }
    if not enough[ballot_.rule]:
        return None
    return tuple(most) if ballot_.tie == "runoff" and len(most) > 1 else most[0]


def said(ballot_: Ballot) -> Any:
    outcome = result(ballot_)
    return outcome.tied if outcome.runoff else outcome.winner


def ways(ballot_: Ballot, shares: tuple[Fraction, ...]) -> Iterator[list[tuple[str, Fraction]]]:
    """Give all ways of casting the open votes, at some shares of their weights."""
    choices = []
    for vote in ballot_.votes:
        weight = Fraction(str(vote.weight))
        if not vote.open:
            choices.append([(vote.choice, weight)])
            continue
        cast = [(name, weight * share) for name in ballot_.candidates for share in shares]
        choices.append([("", weight), *cast])
    return (list(way) for way in product(*choices))


WHOLE = (Fraction(1),)
PARTS = (Fraction(1), Fraction(1, 2), Fraction(1, 5), Fraction(0))
FIELDS = {
    "rule": st.sampled_from(RULES),
    "threshold": st.sampled_from([0.0, 0.25, 0.4, 0.5, 0.51, 0.6, 0.75, 1.0]),
    "of": st.sampled_from(["all", "cast"]),
    "tie": st.sampled_from(["order", "runoff"]),
}


@st.composite
def ballots(draw: Any, weights: Any, most: int = 5) -> Ballot:
    names = tuple("ABC"[: draw(st.integers(1, 3))])
    cast = st.builds(Vote, choice=st.sampled_from(["", *names]), weight=weights)
    vote = st.one_of(cast, st.builds(Vote, open=st.just(True), weight=weights))
    votes = draw(st.lists(vote, min_size=1, max_size=most))
    return Ballot(candidates=names, votes=tuple(votes), **{k: draw(v) for k, v in FIELDS.items()})


EQUAL = ballots(st.just(1.0), 6)
WEIGHTED = ballots(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0]), 4)


@given(st.one_of(EQUAL, WEIGHTED))
def test_the_result_is_what_the_rule_says(some: Ballot) -> None:
    votes = [(vote.choice, Fraction(str(vote.weight))) for vote in some.votes]
    assert said(some) == judged(some, votes)


def follows(some: Ballot, shares: tuple[Fraction, ...]) -> bool:
    ends = {judged(some, way) for way in ways(some, shares)}
    outcome = settled(some)
    if outcome is not None:
        assert ends == {said(some)}
    return len(ends) == 1


@given(EQUAL)
def test_equal_votes_are_settled_exactly_when_all_ways_end_alike(some: Ballot) -> None:
    assert follows(some, WHOLE) == (settled(some) is not None)


@given(WEIGHTED)
def test_weighted_votes_are_settled_exactly_when_all_ways_end_alike(some: Ballot) -> None:
    assert follows(some, WHOLE) == (settled(some) is not None)


@given(ballots(st.sampled_from([0.2, 0.5, 1.0, 2.0]), 3))
def test_votes_of_any_confidence_are_settled_exactly_when_all_ways_end_alike(some: Ballot) -> None:
    assert follows(some, PARTS) == (settled(some) is not None)


def fewest(some: Ballot) -> int:
    """Try out how many votes settle it at best."""
    opened = [i for i, vote in enumerate(some.votes) if vote.open]
    for count in range(len(opened) + 1):
        for choices in product(["", *some.candidates], repeat=count):
            for places in [opened[:count]] if equal(some) else subsets(opened, count):
                votes = list(some.votes)
                for i, choice in zip(places, choices, strict=True):
                    votes[i] = Vote(choice=choice, weight=votes[i].weight)
                if settled(msgspec.structs.replace(some, votes=tuple(votes))) is not None:
                    return count
    raise AssertionError("a full ballot is settled")


def equal(some: Ballot) -> bool:
    return len({vote.weight for vote in some.votes if vote.open}) < 2


def subsets(places: list[int], count: int) -> list[list[int]]:
    return [list(found) for found in combinations(places, count)]


@given(st.one_of(EQUAL, WEIGHTED))
def test_no_fewer_votes_than_needed_could_settle_it(some: Ballot) -> None:
    count, least = needed(some), fewest(some)
    assert count <= least
    if some.of == "all" or some.rule in ("plurality", "unanimous"):
        assert count == least
