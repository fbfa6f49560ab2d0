"""Consensus by default: first answers side by side, votes asked once, stop when decided."""

from __future__ import annotations

from typing import Any

import pytest
from tests.workflows.parley import Parley

from hocket.workflows.consensus_state import labels_of

SEVEN = "a b c d e f g"


def test_everybody_answers_then_everybody_votes_then_it_is_over() -> None:
    parley = Parley("a b c", early=False)
    assert parley.asks == ["a/answer", "b/answer", "c/answer"]
    parley.answer("a", "b")
    assert parley.asks == ["c/answer"], "no vote is asked before all first answers are in"
    parley.answer("c")
    assert parley.asks == ["a/vote", "b/vote", "c/vote"]
    parley.vote(a="b", b="b").vote(0.4, "short", c="a")
    assert (parley.winner, parley.fates) == ("b", {"useful": 6})
    labels = {name: parley.label(name) for name in "abc"}
    assert parley.result == {
        "answer": "by b",
        "winner": {"member": "b", "agent": "b", "label": labels["b"]},
        "decision": "most votes: b has 2 of 3",
        "forced": False,
        "tally": {"b": 2.0, "a": 1.0, "c": 0.0},
        "votes": [
            {"member": "a", "choice": "b", "confidence": 1.0, "reason": "", "counts": True},
            {"member": "b", "choice": "b", "confidence": 1.0, "reason": "", "counts": True},
            {"member": "c", "choice": "a", "confidence": 0.4, "reason": "short", "counts": True},
        ],
        "dissent": [
            {"member": "c", "choice": "a", "confidence": 0.4, "reason": "short", "counts": True}
        ],
        "answers": {"a": "by a", "b": "by b", "c": "by c"},
        "calls": {"useful": 6},
    }


def test_the_report_says_who_did_what_and_best_supported_answers_come_first() -> None:
    parley = Parley("a b c", early=False).answer("c", "a", "b")
    b, c = parley.label("b"), parley.label("c")
    assert [(x.member, x.weight) for x in parley.report.contributions] == [
        ("a", 0.0),
        ("b", 0.0),
        ("c", 0.0),
    ]
    parley.vote(a="c", b="c").vote(0.5, "why", c="b").land()
    report = parley.report
    assert (report.kind, report.status, report.winner, report.waiting) == (
        "consensus",
        "decided",
        "c",
        0,
    )
    assert [(x.member, x.weight, x.revision) for x in report.contributions] == [
        ("c", 2.0, 1),
        ("b", 1.0, 1),
        ("a", 0.0, 1),
    ]
    assert [(j.member, j.choice, j.weight, j.reason) for j in report.judgements] == [
        ("a", c, 1.0, ""),
        ("b", c, 1.0, ""),
        ("c", b, 1.0, "why"),
    ]
    assert all(j.counts and set(j.seen) == {"A", "B", "C"} for j in report.judgements)
    a = parley.label("a")
    assert parley.rows == [
        f"c answers {c}",
        f"a answers {a}",
        f"b answers {b}",
        f"a votes for {c}, confidence 1",
        f"b votes for {c}, confidence 1",
        f"c votes for {b}, confidence 0.5: why",
        f"decides {c}: most votes: c has 2 of 3",
    ]
    assert [row.path for row in report.rows[:2]] == ["c/answer", "a/answer"]
    assert report.output == parley.result


def test_it_stops_once_no_vote_can_change_it() -> None:
    parley = Parley(SEVEN, rule="majority").answer(*SEVEN.split())
    parley.vote(a="d", b="d", c="d", d="d")
    assert parley.phase == "ending"
    assert parley.winner == "d"
    assert parley.result["decision"] == (
        "more than half: d has 4 of 7; 3 more votes could not change it"
    )
    assert parley.fates == {"useful": 11, "cancelled": 3}
    assert parley.result["calls"] == parley.fates


def test_a_vote_that_comes_after_the_decision_is_discarded() -> None:
    parley = Parley("a b c", rule="majority").answer("a", "b", "c").vote(a="a", b="a")
    parley.done("q/c/vote", {"vote": "A", "confidence": 1, "reason": ""})
    assert (parley.winner, parley.fates) == ("a", {"useful": 5, "discarded": 1})
    assert parley.result["calls"] == {"useful": 5, "cancelled": 1}, "as of the decision"


def test_ties_go_by_the_members_order_and_it_is_said() -> None:
    parley = Parley("a b c d").answer("a", "b", "c", "d").vote(a="c", b="c", c="b", d="b")
    assert parley.winner == "b"
    assert parley.result["decision"] == "most votes: b and c each have 2 of 4; b comes first"
    assert not parley.result["forced"]


def test_a_runoff_asks_everybody_once_more_between_the_tied() -> None:
    parley = Parley("a b c d", tie="runoff").answer("a", "b", "c", "d")
    parley.vote(a="c", b="c", c="b", d="b")
    assert parley.asks == ["a/vote~2", "b/vote~2", "c/vote~2", "d/vote~2"]
    schema = parley.machine.calls.jobs["q/a/vote~2"].spec.output
    assert schema["properties"]["vote"]["enum"] == sorted(map(parley.label, "bc"))
    parley.vote(a="c", b="c", c="c")
    assert parley.winner == "c"
    assert parley.result["decision"] == (
        "after a run-off, most votes: c has 3 of 4; 1 more vote could not change it"
    )
    assert parley.fates == {"useful": 11, "cancelled": 1}, "the votes before were needed"
    assert [v["counts"] for v in parley.result["votes"]] == [False] * 4 + [True] * 3


def test_without_a_tie_there_is_no_runoff() -> None:
    parley = Parley("a b c", tie="runoff", max_rounds=1, early=False).answer("a", "b", "c")
    parley.vote(a="b", b="b", c="a")
    assert parley.result["decision"] == "most votes: b has 2 of 3"
    parley = Parley("a b c", tie="runoff", early=False).answer("a", "b", "c")
    assert parley.vote(a="b", b="b", c="a").winner == "b"


def test_a_vote_in_a_runoff_is_for_one_of_those_left() -> None:
    parley = Parley("a b c d", tie="runoff").answer("a", "b", "c", "d")
    parley.vote(a="c", b="c", c="b", d="b").vote(a="a", b="b", c="b")
    assert f"a abstains there is no answer '{parley.label('a')}' to vote for" in parley.rows
    assert parley.winner == "b", "a tie at most, and b comes first"


def test_a_second_tie_goes_by_order() -> None:
    parley = Parley("a b", tie="runoff", early=False).answer("a", "b").vote(a="a", b="b")
    parley.vote(a="a", b="b")
    assert parley.winner == "a"
    assert parley.result["decision"].startswith("after a run-off, most votes: a and b each have 1")


def test_what_order_alone_decides_is_said_also_where_nobody_has_won() -> None:
    parley = Parley("a b", rule="majority", tie="runoff", early=False).answer("a", "b")
    parley.vote(a="b", b="a").vote(a="b", b="a")
    assert parley.result["decision"] == (
        "after a run-off, nobody has more than half: a and b each have 1 of 2;"
        " a comes first and has to do"
    )
    parley = Parley("a b c", rule="unanimous", early=False).answer("a", "b", "c")
    parley.vote(a="b", b="b", c="a")
    assert parley.result["decision"] == (
        "nobody has all votes: b has 2 of 3; the best supported answer has to do"
    )


@pytest.mark.parametrize(
    ("fields", "votes", "winner", "forced"),
    [
        ({"rule": "majority"}, "aab", "a", False),
        ({"rule": "majority"}, "aabbc", "a", True),
        ({"rule": "majority"}, "bb-aa", "a", True),
        ({"rule": "majority", "of": "cast"}, "ab-b-", "b", False),
        ({"rule": "threshold", "threshold": 0.6}, "bbbaa", "b", False),
        ({"rule": "threshold", "threshold": 0.7}, "bbbaa", "b", True),
        ({"rule": "unanimous"}, "ccc", "c", False),
        ({"rule": "unanimous"}, "cc-", "c", True),
        ({"rule": "unanimous", "of": "cast"}, "cc-", "c", False),
        ({"rule": "plurality"}, "---", "a", True),
    ],
)
def test_rules(fields: dict[str, Any], votes: str, winner: str, forced: bool) -> None:
    names = "abcde"[: len(votes)]
    parley = Parley(" ".join(names), early=False, **fields).answer(*names)
    for name, choice in zip(names, votes, strict=True):
        parley.vote(**{name: choice.strip("-")})
    assert (parley.winner, parley.result["forced"]) == (winner, forced)
    assert ("has to do" in parley.result["decision"]) == forced


def test_what_no_candidate_reaches_goes_into_a_runoff_of_the_first_two() -> None:
    parley = Parley(SEVEN, rule="majority", tie="runoff").answer(*SEVEN.split())
    parley.vote(a="d", b="d", c="d", d="e", e="e", f="g", g="f")
    assert len(parley.asks) == 7
    assert any("nothing yet: nobody has more than half: d has 3 of 7" in r for r in parley.rows)
    parley.vote(a="e", b="e", c="e", d="e")
    assert (parley.winner, parley.result["forced"]) == ("e", False)


def test_there_is_no_runoff_of_one() -> None:
    parley = Parley("a b c", rule="majority", tie="runoff").answer("a", "b", "c")
    parley.vote(a="b", b="", c="")
    assert parley.result["decision"] == (
        "nobody has more than half: b has 1 of 3; the best supported answer has to do"
    )


def test_votes_weigh_what_their_members_do() -> None:
    parley = Parley("a b:3 c", weigh="agent").answer("a", "b", "c").vote(a="a", b="c")
    assert parley.winner == "c"
    assert parley.result["tally"] == {"c": 3.0, "a": 1.0, "b": 0.0}


def test_votes_weigh_their_confidence() -> None:
    parley = Parley("a b c", weigh="confidence", early=False).answer("a", "b", "c")
    parley.vote(0.3, a="a").vote(0.3, b="a").vote(0.9, c="c")
    assert (parley.winner, parley.result["tally"]["c"]) == ("c", 0.9)


def test_confidence_can_still_change_the_outcome_where_votes_alone_could_not() -> None:
    parley = Parley("a b c", weigh="confidence").answer("a", "b", "c")
    assert parley.vote(0.4, a="a").vote(0.4, b="a").phase == "running", "c may be quite sure"
    assert parley.vote(0.9, c="c").winner == "c"


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (None, "what it gave is no vote"),
        ({"vote": 7}, "what it gave is no vote"),
        ({"vote": ""}, "what it gave is no vote"),
        ({"vote": "Z"}, "there is no answer 'Z' to vote for"),
        ({"action": "revise", "answer": "new"}, "it may not give a new answer now"),
        ({"action": "dance", "vote": "A"}, "what it gave is no vote"),
        ([1], "what it gave is no vote"),
    ],
)
def test_a_vote_that_makes_no_sense_is_an_abstention(output: Any, why: str) -> None:
    parley = Parley("a b c").answer("a", "b", "c").done("q/a/vote", output)
    assert isinstance(parley, Parley)
    assert parley.rows[-1] == f"a abstains {why}"
    assert parley.fates == {"useful": 3, "discarded": 1}
    assert parley.vote(b="b", c="b").winner == "b"
    assert parley.result["votes"][0] == {
        "member": "a",
        "choice": "",
        "confidence": 0.0,
        "reason": why,
        "counts": False,
    }
    assert parley.result["dissent"] == []


@pytest.mark.parametrize(
    ("given", "read"),
    [(0.25, 0.25), (85, 0.85), (-1, 0.0), (7e9, 1.0), ("high", 1.0), (True, 1.0), (None, 1.0)],
)
def test_a_confidence_is_read_with_good_will(given: Any, read: float) -> None:
    parley = Parley("a b", early=False).answer("a", "b")
    parley.say("a", vote=parley.label("a"), confidence=given).vote(b="a")
    assert parley.result["votes"][0]["confidence"] == read


def test_a_bare_label_is_a_vote() -> None:
    parley = Parley("a b", early=False).answer("a", "b")
    parley.done("q/a/vote", f" {parley.label('b')}\n")
    assert parley.vote(b="b").winner == "b"


@pytest.mark.parametrize("final", ["reuse", "present", "synthesize"])
def test_how_many_calls_it_takes(final: str) -> None:
    parley = Parley(SEVEN, early=False, final=final).answer(*SEVEN.split())
    parley.vote(**dict.fromkeys(SEVEN.split(), "c"))
    if final != "reuse":
        what = "q/c/present" if final == "present" else "q/final/synthesize"
        assert parley.flying == [what]
        parley.done(what, "in the end")
    assert parley.started == 14 + (final != "reuse")
    assert parley.fates == {"useful": parley.started}, "nothing is stale or discarded"
    assert parley.result["answer"] == ("by c" if final == "reuse" else "in the end")
    assert parley.result["winner"]["member"] == "c"


def test_a_presenter_makes_one_answer_of_all() -> None:
    parley = Parley("a b", final="synthesize", presenter="z").answer("a", "b").vote(a="b", b="b")
    assert parley.agent("q/final/synthesize") == "z"
    parley.done("q/final/synthesize", "both")
    assert parley.result["answer"] == "both"
    assert parley.rows[-1] == "final presents"


@pytest.mark.parametrize("how", ["fails", "is empty"])
def test_if_the_final_answer_fails_the_winner_s_own_stands(how: str) -> None:
    parley = Parley("a b", final="present").answer("a", "b").vote(a="b", b="b")
    if how == "fails":
        parley.fails("q/b/present")
    else:
        parley.done("q/b/present", None)
    assert parley.result["answer"] == "by b"
    said = "broken" if how == "fails" else "it is empty"
    assert parley.result["decision"].endswith(f"; the winner's answer stands as it was: {said}")
    assert parley.rows[-1] == f"b fails {said}"
    lost = "failed" if how == "fails" else "discarded"
    assert parley.fates == {"useful": 4, lost: 1}


def test_one_answer_alone_needs_no_votes() -> None:
    parley = Parley("a b c").answer("b").fail("a", "c")
    assert parley.result["decision"] == "it is the only answer"
    assert (parley.winner, parley.fates) == ("b", {"useful": 1, "failed": 2})


def test_votes_as_needed_are_never_more_than_the_decision_needs() -> None:
    parley = Parley(SEVEN, rule="majority", votes="as_needed").answer(*SEVEN.split())
    assert parley.asks == ["a/vote", "b/vote", "c/vote", "d/vote"]
    parley.vote(a="d", b="d", c="d")
    assert parley.asks == ["d/vote"]
    parley.vote(d="a")
    assert parley.asks == ["e/vote"], "one more for d would do"
    parley.vote(e="d")
    assert (parley.winner, parley.fates) == ("d", {"useful": 12}), "nothing was cut off"


def test_the_heaviest_votes_are_asked_first() -> None:
    parley = Parley("a b:2 c:4", weigh="agent", rule="majority", votes="as_needed")
    assert parley.answer("a", "b", "c").asks == ["c/vote"]
    assert parley.vote(c="a").winner == "a"


def test_what_a_fallback_gives_is_credited_to_it_and_the_seat_stays_the_member_s() -> None:
    parley = Parley("a|z b", early=False).fail("a").answer("a", "b")
    parley.vote(b="a").fail("a", what="vote").vote(a="a")
    a = parley.label("a")
    assert parley.result["winner"] == {"member": "a", "agent": "z", "label": a}
    report = parley.report
    assert [(one.member, one.agent) for one in report.contributions] == [("a", "z"), ("b", "b")]
    assert [(one.member, one.agent) for one in report.judgements] == [("b", "b"), ("a", "z")]
    assert f"a answers {a}, by z instead of a" in parley.rows


def test_who_takes_over_for_a_revision_has_given_the_answer() -> None:
    parley = Parley("a|z b", policy="rounds").answer("a", "b")
    parley.fail("a", what="vote").revise(a="more").vote(b="a").vote(b="a")
    assert parley.result["winner"]["agent"] == "z"


def test_each_question_deals_its_own_labels() -> None:
    def labels(question: Any) -> str:
        parley = Parley(SEVEN, drive={"question": question})
        return "".join(parley.label(name) for name in parley.members)

    assert labels({"x": 1, "y": 2}) == labels({"y": 2, "x": 1})
    assert len({labels(f"What is {i}?") for i in range(9)}) > 5


def test_labels_are_drawn_by_a_key_and_are_the_same_for_all() -> None:
    names = [f"m{i}" for i in range(30)]
    one, same = labels_of(names, ("r1", "q")), labels_of(names[::-1], ("r1", "q"))
    assert one == same
    assert sorted(one.values(), key=lambda label: (len(label), label))[-5:] == (
        ["Z", "AA", "AB", "AC", "AD"]
    )
    assert len({labels_of(names, (f"r{i}", "q"))["m0"] for i in range(50)}) > 20


def test_answers_have_the_shape_that_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    parley = Parley("a b", answer=schema, final="present")
    assert parley.machine.calls.jobs["q/a/answer"].spec.output == schema
    parley.answer(a={"title": "one"}, b={"title": "two"}).vote(a="b", b="b")
    assert parley.machine.calls.jobs["q/b/present"].spec.output == schema
    assert parley.done("q/b/present", {"title": "three"}).phase == "succeeded"
    assert parley.output["answer"] == {"title": "three"}
