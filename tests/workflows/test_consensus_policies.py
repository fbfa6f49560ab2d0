"""What each policy of a consensus does when there is a new answer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.workflows.parley import Parley

from hocket.core.specs import AgentSpec
from hocket.core.teams import ToolSpec
from hocket.workflows.consensus_policies import WAYS


@pytest.mark.parametrize("policy", sorted(WAYS))
def test_nothing_is_decided_before_the_last_first_answer(policy: str) -> None:
    fields: dict[str, Any] = {"batch": "5s"} if policy == "batch" else {}
    parley = Parley("a b c d e", policy=policy, rule="majority", **fields)
    while others := [asked for asked in parley.asks if asked[0] != "e"]:
        answer_or_vote(parley, others[0])
        parley.wait(10)
    assert parley.phase == "running"
    assert parley.asks == ["e/answer"]
    while parley.phase == "running":
        answer_or_vote(parley, parley.asks[0])
    assert parley.winner == "a"


def answer_or_vote(parley: Parley, asked: str) -> None:
    if "/answer" in asked:
        parley.answer(asked[0])
    else:
        parley.vote(**{asked[0]: "a"})


# -- once, sequential -----------------------------------------------------------------------


def test_in_sequence_each_sees_the_answers_before_it() -> None:
    parley = Parley("a b c", policy="sequential")
    assert parley.asks == ["a/answer"]
    assert parley.text("a", "answer") == "What is it?"
    parley.answer("a")
    assert parley.asks == ["b/answer"]
    assert "by a" in parley.text("b", "answer")
    parley.fail("b")
    assert "by a" in parley.text("c", "answer")
    parley.answer("c")
    assert parley.asks == ["a/vote", "c/vote"]
    assert parley.vote(a="c", c="c").winner == "c"
    assert parley.fates == {"useful": 4, "failed": 1}


# -- rounds ---------------------------------------------------------------------------------


def test_a_revision_voids_the_votes_that_have_not_seen_it() -> None:
    parley = Parley("a b c", policy="rounds", early=False).answer("a", "b", "c")
    parley.vote(a="b").revise(b="better").vote(c="c")
    assert parley.fates == {"useful": 4, "stale": 2}, "both votes were on the answers before"
    assert parley.asks == ["a/vote~2", "b/vote~2", "c/vote~2"]
    parley.vote(a="b", c="b", b="b")
    assert (parley.winner, parley.result["answer"]) == ("b", "better")
    assert parley.fates == {"useful": 7, "stale": 2}
    seen = {parley.label("a"): 1, parley.label("b"): 2, parley.label("c"): 1}
    assert [j.seen for j in parley.report.judgements if j.counts] == [seen] * 3


def test_nobody_is_asked_again_before_all_of_the_round_have_spoken() -> None:
    parley = Parley("a b c", policy="rounds").answer("a", "b", "c").revise(a="more")
    assert parley.asks == ["b/vote", "c/vote"]
    parley.revise(b="most")
    assert parley.asks == ["c/vote"]
    parley.vote(c="a")
    assert parley.asks == ["a/vote~2", "b/vote~2", "c/vote~2"]


def test_a_vote_that_waited_is_asked_with_the_revision_and_counts() -> None:
    parley = Parley("a b c", policy="rounds", early=False, drive={"start": False})
    for name in "abc":
        parley.launch(f"q/{name}/answer").answer(name)
    parley.launch("q/a/vote").revise(a="more")
    parley.launch("q/b/vote").launch("q/c/vote")
    assert "more" in parley.text("b")
    parley.vote(b="a", c="a")
    assert list(parley.asked) == ["q/a/vote~2"], "only the author has to vote yet"
    assert parley.launch("q/a/vote~2").vote(a="a").winner == "a"
    assert parley.fates == {"useful": 7}


def test_an_agent_may_revise_so_often_and_then_only_votes() -> None:
    parley = Parley("a b", policy="rounds", rounds=2).answer("a", "b")
    for content in ("a2", "a3"):
        parley.revise(a=content).vote(b="b")
    schema = parley.machine.calls.jobs["q/a/vote~3"].spec.output
    assert "action" not in schema["properties"]
    assert "action" in parley.machine.calls.jobs["q/b/vote~3"].spec.output["properties"]
    assert parley.vote(a="a").phase == "running", "b may still revise"
    assert parley.vote(b="a").result["answer"] == "a3"


def test_it_stops_early_only_if_nobody_may_revise_any_more() -> None:
    parley = Parley("a b c", policy="rounds", rule="majority").answer("a", "b", "c")
    assert parley.vote(a="a", b="a").phase == "running"
    assert parley.vote(c="b").winner == "a"


def test_as_needed_asks_all_who_may_revise_and_of_the_others_no_more_than_needed() -> None:
    parley = Parley("a b c d", policy="rounds", votes="as_needed", rule="majority", lead=1)
    parley.answer("a", "b", "c", "d").revise(a="a2", b="b2").vote(c="a", d="a")
    assert parley.asks == ["c/vote~2", "d/vote~2"], "they may still revise"
    parley.vote(c="a")
    assert parley.asks == ["d/vote~2", "a/vote~2"]
    parley.vote(d="a")
    assert parley.asks == ["a/vote~2"]
    assert parley.vote(a="a").winner == "a"
    assert parley.fates == {"useful": 9, "stale": 2}


def test_in_the_last_round_there_are_only_votes() -> None:
    parley = Parley("a b", policy="rounds", rounds=5, max_rounds=2).answer("a", "b")
    parley.revise(a="a2", b="b2")
    schema = parley.machine.calls.jobs["q/a/vote~2"].spec.output
    assert "action" not in schema["properties"]
    assert parley.vote(a="b", b="b").result["answer"] == "b2"


def test_nobody_is_further_ahead_than_the_slowest_by_more_than_the_lead() -> None:
    parley = Parley("a b", policy="rounds", rounds=5, lead=1).answer("a", "b")
    parley.revise(a="a2").vote(b="b")
    schemas = [parley.machine.calls.jobs[f"q/{n}/vote~2"].spec.output for n in "ab"]
    assert ["action" in schema["properties"] for schema in schemas] == [False, True]
    parley.vote(a="a").revise(b="b2")
    assert "action" in parley.machine.calls.jobs["q/a/vote~3"].spec.output["properties"]


def test_a_revision_that_changes_nothing_is_an_abstention() -> None:
    parley = Parley("a b", policy="rounds").answer("a", "b").revise(a="by a")
    assert parley.rows[-1] == "a abstains its new answer is the one that it gave before"
    assert parley.vote(b="b").winner == "b"
    assert parley.fates == {"useful": 3, "discarded": 1}


def test_an_answer_that_its_author_has_improved_was_useful() -> None:
    parley = Parley("a b", policy="rounds").answer("a", "b").revise(a="a2").vote(b="a")
    parley.vote(a="a", b="a")
    assert parley.fates == {"useful": 5, "stale": 1}
    assert parley.result["answers"] == {"a": "a2", "b": "by b"}
    label = parley.label("a")
    assert f"a revises answer {label}, revision 2" in parley.rows
    assert f"b is told new: {label}" in parley.rows


# -- restarts -------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["restart_all", "cancel", "restart_unanswered", "inject"])
def test_who_has_answered_votes_at_once(policy: str) -> None:
    parley = Parley("a b c", policy=policy).answer("a")
    assert parley.asks == ["b/answer", "c/answer", "a/vote"]


def test_restart_all_voids_votes_and_lets_calls_in_flight_run_to_their_end() -> None:
    parley = Parley("a b c", policy="restart_all").answer("a").vote(a="a").answer("b")
    assert parley.fates == {"useful": 2, "stale": 1}
    assert parley.asks == ["c/answer", "a/vote~2", "b/vote"]
    parley.answer("c")
    assert parley.asks == ["a/vote~2", "b/vote", "c/vote"], "nothing is cut off"
    parley.vote(a="a", b="b")
    assert parley.asks == ["c/vote", "a/vote~3", "b/vote~2"], "both were stale"
    parley.vote(c="b", a="b")
    assert parley.winner == "b"
    assert parley.land().fates == {"useful": 5, "stale": 3, "cancelled": 1}
    restarts = [row for row in parley.rows if "restarts" in row]
    b, c = parley.label("b"), parley.label("c")
    a = parley.label("a")
    assert f"a votes for {a}, confidence 1; void" in parley.rows
    assert restarts == [f"a restarts new: {b}", f"a restarts new: {c}", f"b restarts new: {c}"]


def test_a_restart_forgets_what_was_before() -> None:
    parley = Parley("a b", policy="restart_all").answer("a").vote(a="a").answer("b")
    assert "You voted" not in parley.text("a")
    assert parley.text("a") == parley.text("b")


@pytest.mark.parametrize("policy", ["restart_all", "cancel", "inject"])
def test_a_call_that_has_not_left_needs_no_restart(policy: str) -> None:
    parley = Parley("a b c", policy=policy, early=False, drive={"start": False})
    for name in "abc":
        parley.launch(f"q/{name}/answer").answer(name)
    assert list(parley.asked) == ["q/a/vote", "q/b/vote", "q/c/vote"]
    for name in "abc":
        parley.launch(f"q/{name}/vote").vote(**{name: "c"})
    assert (parley.winner, parley.fates) == ("c", {"useful": 6})


def test_cancel_cuts_off_votes_in_flight_and_never_first_answers() -> None:
    parley = Parley("a b c", policy="cancel", early=False).answer("a").answer("b")
    assert parley.asks == ["c/answer", "a/vote~2", "b/vote"]
    parley.stopped("q/a/vote")
    assert parley.fates == {"useful": 2, "cancelled": 1}
    assert parley.rows[-1] == f"a restarts new: {parley.label('b')}"
    parley.answer("c")
    assert parley.asks == ["a/vote~3", "b/vote~2", "c/vote"]
    parley.vote(a="a", b="a", c="a")
    assert parley.winner == "a"
    assert parley.fates == {"useful": 6, "cancelled": 3}


def test_restart_unanswered_begins_first_answers_anew() -> None:
    parley = Parley("a b c", policy="restart_unanswered", early=False)
    parley.answer("b")
    parley.answer("a", "c")
    assert parley.asks == ["b/vote", "a/answer~2", "c/answer~2"]
    assert parley.fates == {"useful": 1, "stale": 2}
    assert "by b" in parley.text("a", "answer")
    parley.answer("a").answer("c")
    assert parley.asks == ["b/vote", "a/vote", "c/answer~3"]
    parley.answer("c").vote(a="b", b="b", c="b").vote(a="b", b="b")
    assert parley.winner == "b"
    assert parley.result["calls"] == {"useful": 6, "stale": 5}


def test_inject_asks_for_one_confirming_turn_when_all_answers_are_in() -> None:
    parley = Parley("a b c", policy="inject", early=False).answer("a").vote(a="a")
    parley.answer("b")
    assert parley.asks == ["c/answer", "b/vote"], "a goes on, and is asked in the end"
    parley.vote(b="a").answer("c")
    assert parley.asks == ["a/vote~2", "b/vote~2", "c/vote"]
    text = parley.text("a")
    assert "You voted for" in text
    assert text.count("by b") == text.count("by c") == 1
    parley.vote(a="c", b="c", c="c")
    assert (parley.winner, parley.fates) == ("c", {"useful": 6, "stale": 2})
    b, c = parley.label("b"), parley.label("c")
    assert f"a is told new: {', '.join(sorted([b, c]))}" in parley.rows


def test_a_batch_collects_answers_for_a_while() -> None:
    parley = Parley("a b c", policy="batch", batch="5s", early=False).answer("a").wait(2)
    parley.answer("b").wait(2.9)
    assert parley.asks == ["c/answer"]
    parley.wait(0.1)
    assert parley.asks == ["c/answer", "a/vote", "b/vote"]
    parley.vote(a="a", b="a")
    parley.answer("c")
    assert sorted(parley.asks) == ["a/vote~2", "b/vote~2", "c/vote"], "nobody else can come"
    parley.vote(a="a", b="a", c="a")
    assert parley.fates == {"useful": 6, "stale": 2}


def test_a_batch_goes_out_at_once_when_nobody_is_left() -> None:
    parley = Parley("a b", policy="batch", batch="5s").answer("a", "b")
    assert parley.asks == ["a/vote", "b/vote"]
    assert parley.team.deadline() is None, "nothing is collected any more"


# -- tools ----------------------------------------------------------------------------------


def with_tools(policy: str, **fields: Any) -> Parley:
    agents = {
        name: AgentSpec(kind="model", tools={"look": ToolSpec(agent="eye")}) for name in "ab"
    } | {"eye": AgentSpec(kind="function")}
    return Parley("a b", policy=policy, drive={"agents": agents}, **fields)


def turn(parley: Parley, path: str, *, answer: Any = None, look: bool = False) -> None:
    calls = [{"id": "1", "name": "look", "args": {}}] if look else []
    parley.done(f"q/{path}", {"$": "turn", "text": "", "calls": calls, "answer": answer})


def texts(parley: Parley, path: str) -> str:
    return str(parley.given(f"q/{path}")["messages"])


def test_inject_tells_who_is_at_work_at_the_next_turn() -> None:
    parley = with_tools("inject")
    turn(parley, "a/answer/turn", look=True)
    turn(parley, "b/answer/turn", answer="by b")
    assert f"a is told answer {parley.label('b')} is new" in parley.rows
    parley.done("q/a/answer/look/0", "seen")
    assert "by b" in texts(parley, "a/answer/turn~2"), "between the tool and the next turn"
    turn(parley, "a/answer/turn~2", answer="by a")
    assert "b/vote/turn" in parley.asks


def test_the_turns_of_a_vote_that_fails_were_for_nothing() -> None:
    parley = with_tools("inject", early=False)
    turn(parley, "b/answer/turn", answer="by b")
    turn(parley, "b/vote/turn", look=True)
    parley.done("q/b/vote/look/0", "seen").fails("q/b/vote/turn~2")
    turn(parley, "a/answer/turn", answer="by a")
    assert parley.fates == {"useful": 2, "discarded": 2, "failed": 1}


def test_a_vote_that_was_told_of_the_new_answer_counts() -> None:
    parley = with_tools("inject", early=False)
    turn(parley, "b/answer/turn", answer="by b")
    turn(parley, "b/vote/turn", look=True)
    turn(parley, "a/answer/turn", answer="by a")
    parley.done("q/b/vote/look/0", "seen")
    assert "by a" in texts(parley, "b/vote/turn~2")
    vote = {"vote": parley.label("a"), "confidence": 1.0, "reason": ""}
    turn(parley, "b/vote/turn~2", answer=vote)
    assert parley.asks == ["a/vote/turn"], "b need not confirm what it has seen"
    turn(parley, "a/vote/turn", answer=vote)
    assert parley.winner == "a"
    assert set(parley.fates) == {"useful"}


def test_a_vote_that_was_not_told_in_time_has_to_be_confirmed() -> None:
    parley = with_tools("inject", early=False)
    turn(parley, "b/answer/turn", answer="by b")
    turn(parley, "a/answer/turn", answer="by a")
    turn(parley, "b/vote/turn", answer={"vote": parley.label("b"), "confidence": 1.0})
    assert sorted(parley.asks) == ["a/vote/turn", "b/vote~2/turn"]
    assert parley.fates == {"useful": 2, "stale": 1}


def test_who_only_votes_has_no_tools() -> None:
    parley = with_tools("once")
    turn(parley, "b/answer/turn", answer="by b")
    turn(parley, "a/answer/turn", answer="by a")
    assert parley.asks == ["a/vote", "b/vote"]
    parley = with_tools("rounds")
    turn(parley, "b/answer/turn", answer="by b")
    turn(parley, "a/answer/turn", answer="by a")
    assert parley.asks == ["a/vote/turn", "b/vote/turn"], "who may revise does"
