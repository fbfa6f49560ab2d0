"""Deadlines, failures, retries and crashes in a consensus: it ends, and says with what."""

from __future__ import annotations

from typing import Any

import pytest
from tests.machines import step
from tests.workflows.parley import Parley, spec_of

from hocket.core.specs import Retry

# -- deadlines of a round -------------------------------------------------------------------


def test_after_the_soft_deadline_a_quorum_goes_on_without_the_rest() -> None:
    parley = Parley("a b c", soft="10s", quorum=2).answer("a", "b").wait(9.9)
    assert parley.asks == ["c/answer"]
    parley.wait(0.1)
    assert parley.asks == ["c/answer", "a/vote", "b/vote"], "c is not cut off"
    assert "c fails late: not done after 10.0 s" in parley.rows


def test_without_a_quorum_it_goes_on_waiting() -> None:
    parley = Parley("a b c", soft="10s", quorum=2).answer("a").wait(20)
    assert parley.asks == ["b/answer", "c/answer"]
    parley.answer("b")
    assert parley.asks == ["c/answer", "a/vote", "b/vote"]


def test_a_late_answer_is_noted_and_changes_nothing() -> None:
    parley = Parley("a b c", soft="10s", quorum=2, early=False).answer("a", "b").wait(10)
    parley.answer("c")
    assert parley.rows[-1] == f"c answers {parley.label('c')}; too late to count"
    assert parley.asks == ["a/vote", "b/vote"]
    assert "by c" not in parley.text("a")
    parley.vote(a="a", b="a")
    assert (parley.winner, parley.fates) == ("a", {"useful": 4, "discarded": 1})
    assert parley.result["answers"] == {"a": "by a", "b": "by b", "c": "by c"}
    assert parley.result["decision"] == "most votes: a has 2 of 3", "c counts as an abstention"


@pytest.mark.parametrize("policy", ["restart_all", "inject", "rounds", "restart_unanswered"])
def test_a_late_answer_restarts_nobody_under_any_policy(policy: str) -> None:
    parley = Parley("a b c", policy=policy, soft="10s", quorum=2).answer("a").answer("b")
    while "b/answer" in " ".join(parley.asks):
        parley.answer("b")
    parley.wait(10)
    asked = [x for x in parley.asks if "/vote" in x]
    parley.answer("c")
    assert [x for x in parley.asks if "/vote" in x] == asked


def test_what_comes_after_the_decision_is_cut_off() -> None:
    parley = Parley("a b c", soft="10s", quorum=2).answer("a", "b").wait(10).vote(a="a")
    assert parley.land().fates == {"useful": 3, "cancelled": 2}


def test_after_the_hard_deadline_who_is_not_done_is_cut_off() -> None:
    parley = Parley("a b c", hard="10s").answer("a", "b").wait(10)
    assert parley.asks == ["a/vote", "b/vote"]
    assert parley.stops == [("q/c/answer", "stop", False)]
    parley.stopped("q/c/answer").vote(a="b").wait(10)
    assert (parley.winner, parley.fates) == ("b", {"useful": 3, "cancelled": 2})
    assert "b abstains not done after 10.0 s" in parley.rows
    assert parley.result["votes"][1]["counts"] is False


def test_the_votes_in_hand_decide_after_the_soft_deadline() -> None:
    parley = Parley("a b c d", soft="10s", quorum=2, rule="majority").answer("a", "b", "c", "d")
    parley.vote(a="b").wait(15)
    assert len(parley.asks) == 3, "one vote is no quorum"
    parley.vote(c="b")
    assert (parley.winner, parley.result["forced"]) == ("b", True)
    assert parley.result["decision"] == (
        "nobody has more than half: b has 2 of 4; the best supported answer has to do"
    )


def test_deadlines_run_anew_in_each_round() -> None:
    parley = Parley("a b", policy="rounds", hard="10s").wait(8).answer("a", "b").wait(8)
    parley.revise(a="a2").vote(b="b").wait(8)
    assert parley.asks == ["a/vote~2", "b/vote~2"]
    assert parley.vote(b="a").wait(2).winner == "a"


def test_a_runoff_has_its_own_time() -> None:
    parley = Parley("a b c", tie="runoff", hard="10s").answer("a", "b", "c").wait(9)
    parley.vote(a="b", b="c", c="a").wait(9)
    assert parley.asks == ["a/vote~2", "b/vote~2", "c/vote~2"]
    assert parley.vote(a="c").wait(1).winner == "c"


def test_in_sequence_each_has_its_own_time() -> None:
    parley = Parley("a b c", policy="sequential", hard="10s").wait(9).answer("a").wait(9)
    assert parley.asks == ["b/answer"]
    parley.wait(1)
    assert parley.asks == ["c/answer"]
    parley.answer("c")
    assert parley.asks == ["a/vote", "c/vote"]


def test_in_sequence_only_one_is_asked_at_a_time_whatever_the_clock_says() -> None:
    parley = Parley("a b c", policy="sequential", soft="5s").wait(6)
    assert parley.asks == ["a/answer"], "there is no quorum to go on with"
    assert parley.answer("a").wait(6).asks == ["b/answer", "c/answer"], "b is late, c is next"


# -- the longest that it may take -----------------------------------------------------------


def test_when_time_runs_out_the_votes_so_far_decide() -> None:
    parley = Parley("a b c", max_duration="1m", rule="majority").answer("a", "b", "c")
    parley.vote(c="b").wait(59.9)
    assert parley.phase == "running"
    parley.wait(0.1)
    assert (parley.winner, parley.result["forced"]) == ("b", True)
    assert parley.result["decision"] == (
        "time ran out after 1 m 00 s; nobody has more than half: b has 1 of 3;"
        " the best supported answer has to do"
    )
    assert parley.fates == {"useful": 4, "cancelled": 2}


def test_when_time_runs_out_without_votes_the_first_answer_has_to_do_and_it_is_said() -> None:
    parley = Parley("a b c", max_duration="1m").answer("c", "b").wait(60)
    assert (parley.winner, parley.result["forced"]) == ("b", True)
    assert parley.result["decision"] == (
        "time ran out after 1 m 00 s; nobody has voted for anybody; b comes first and has to do"
    )


def test_when_time_runs_out_below_the_quorum_it_fails_with_what_it_has() -> None:
    parley = Parley("a b c", max_duration="1m", quorum=2).answer("c").wait(60).land()
    assert parley.phase == "failed"
    assert parley.reason == (
        "step 'q' failed: 1 of 3 members answered, 2 must; a: time ran out after 1 m 00 s; "
        "b: time ran out after 1 m 00 s"
    )
    assert [c.content for c in parley.report.contributions] == ["by c"]
    assert (parley.report.status, parley.report.output) == ("failed", None)


def test_a_vote_on_old_answers_does_not_count_when_time_runs_out() -> None:
    parley = Parley("a b c", policy="restart_all", max_duration="1m").answer("c").vote(c="c")
    parley.answer("b").wait(60)
    assert parley.winner == "b"
    assert [vote["counts"] for vote in parley.result["votes"]] == [False]


def test_when_time_runs_out_in_the_end_the_winner_s_own_answer_stands() -> None:
    parley = Parley("a b", max_duration="1m", final="present").answer("a", "b")
    parley.vote(a="b", b="b").wait(60)
    assert parley.result["answer"] == "by b"
    assert parley.result["decision"].endswith(
        "; the winner's answer stands as it was: time ran out after 1 m 00 s"
    )
    assert parley.fates == {"useful": 4, "cancelled": 1}


def test_when_rounds_run_out_there_is_no_runoff() -> None:
    parley = Parley("a b", tie="runoff", max_rounds=1, early=False).answer("a", "b")
    parley.vote(a="b", b="a")
    assert (parley.winner, parley.result["forced"]) == ("a", True)
    assert parley.result["decision"] == (
        "most votes: a and b each have 1 of 2; a comes first; no round is left for a run-off"
    )


# -- failures -------------------------------------------------------------------------------


def test_who_has_failed_abstains_and_its_answer_can_still_win() -> None:
    parley = Parley("a b c d", early=False).answer("a", "b", "c").fail("d")
    assert parley.asks == ["a/vote", "b/vote", "c/vote"]
    parley.fail("b", what="vote").vote(a="b", c="b")
    assert (parley.winner, parley.fates) == ("b", {"useful": 5, "failed": 2})
    assert parley.result["decision"] == "most votes: b has 2 of 4"
    assert "d fails broken" in parley.rows
    assert "b abstains broken" in parley.rows


def test_a_failed_voter_is_not_asked_in_the_next_round() -> None:
    parley = Parley("a b c", policy="rounds").answer("a", "b", "c").fail("b", what="vote")
    parley.revise(a="a2").vote(c="c")
    assert parley.asks == ["a/vote~2", "c/vote~2"]


def test_below_the_quorum_it_fails_and_says_why() -> None:
    parley = Parley("a b c", quorum=3).answer("a").fail("b").done("q/c/answer", None)
    assert isinstance(parley, Parley)
    assert parley.phase == "failed"
    assert parley.reason == (
        "step 'q' failed: 1 of 3 members answered, 3 must; b: broken; c: it gave no answer"
    )
    assert parley.fates == {"useful": 1, "discarded": 1, "failed": 1}


def test_a_retry_asks_only_those_who_failed() -> None:
    parley = Parley("a b c", quorum=3).answer("a").fail("b").done("q/c/answer", None)
    assert isinstance(parley, Parley)
    parley.retry("q")
    assert parley.asks == ["b/answer", "c/answer~2"]
    parley.answer("b", "c").vote(a="c", b="c")
    assert parley.winner == "c"


def test_a_retry_asks_for_votes_that_were_cut_off() -> None:
    parley = Parley("a b", policy="restart_all", quorum=2, early=False).answer("a").fail("b")
    assert parley.land().phase == "failed"
    parley.retry("q")
    assert parley.asks == ["b/answer", "a/vote~2"]
    assert parley.answer("b").vote(a="a", b="b").vote(a="a").winner == "a"
    assert parley.fates == {"useful": 4, "stale": 1, "cancelled": 1, "failed": 1}


def test_after_a_retry_what_came_late_counts() -> None:
    parley = Parley("a b c", quorum=3, soft="5s", max_duration="10s").answer("a").wait(10)
    assert parley.land().phase == "failed"
    parley.retry("q")
    assert parley.asks == ["b/answer~2", "c/answer~2"]
    parley.answer("b", "c")
    assert parley.asks == ["a/vote", "b/vote", "c/vote"]


def test_a_retry_has_all_the_time_again() -> None:
    parley = Parley("a b c", quorum=3, max_duration="10s").answer("a").wait(10).land()
    parley.wait(100).retry("q").wait(9)
    assert parley.asks == ["b/answer~2", "c/answer~2"]
    parley.answer("b", "c").wait(1)
    assert parley.result["decision"] == (
        "time ran out after 10.0 s; nobody has voted for anybody; a comes first and has to do"
    )


def test_what_another_step_s_failure_has_cut_short_goes_on_after_a_retry() -> None:
    parley = Parley("a b c", drive={"also": (step("other", agent="a"),)})
    parley.answer("a").fails("other")
    parley.land().retry()
    assert sorted(parley.flying) == ["other", "q/b/answer", "q/c/answer"]
    parley.done("other").done("q/b/answer", "by b").done("q/c/answer", "by c")
    assert parley.asks == ["a/vote", "b/vote", "c/vote"]


def test_calls_are_retried_as_the_step_says() -> None:
    parley = Parley("a b", retry=Retry(tries=2, first=0, jitter=0.0)).fail("a").wait(1)
    assert sorted(parley.asks) == ["a/answer", "b/answer"]
    parley.answer("a", "b").vote(a="b", b="b")
    assert parley.fates == {"useful": 4, "failed": 1}


# -- crashes and cancels --------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["once", "rounds", "restart_all", "inject", "sequential"])
def test_after_a_crash_only_what_was_in_flight_is_asked_again(policy: str) -> None:
    parley = Parley("a b c", policy=policy, early=False).answer("a")
    before = parley.asks
    parley.crash()
    assert parley.asks == before
    while parley.phase == "running":
        asked = parley.asks[0]
        name = asked[0]
        if "/answer" in asked:
            parley.answer(name)
        else:
            parley.vote(**{name: "b"})
        if parley.phase == "running":
            parley.crash()
    assert parley.winner == "b"
    finished = [event.call.path for event in parley.said("CallFinished")]
    assert len(finished) == len(set(finished)), "what had finished is not asked for again"
    assert parley.fates["failed"] == len(parley.said("CallLost"))


def test_a_vote_repeated_after_a_crash_counts_what_it_sees_now() -> None:
    parley = Parley("a b", policy="restart_all", early=False).answer("a")
    parley.answer("b").crash()
    assert "by b" in parley.text("a"), "a's first call had not seen it and was lost"
    assert parley.vote(a="b", b="b").winner == "b"
    assert parley.fates == {"useful": 4, "failed": 2}


def test_partial_work_is_kept_on_cancel() -> None:
    parley = Parley("a b c").answer("a", "b", "c").vote(a="b").cancel().land()
    assert isinstance(parley, Parley)
    assert parley.phase == "cancelled"
    report = parley.report
    assert (report.status, report.winner, report.output) == ("open", "", None)
    assert [(c.member, c.weight) for c in report.contributions] == [("b", 1.0), ("a", 0), ("c", 0)]
    assert [j.member for j in report.judgements] == ["a"]
    assert parley.fates == {"useful": 4, "cancelled": 2}


@pytest.mark.parametrize(("rule", "left"), [("plurality", "b c"), ("majority", "a b c")])
def test_a_changed_spec_goes_on_where_it_was_if_the_consensus_is_alike(
    rule: Any, left: str
) -> None:
    parley = Parley("a b c", drive={"start": False})
    parley.launch("q/a/answer").answer("a")
    same = step("q", kind="consensus", input="What is it?", team=spec_of("a b c", rule=rule))
    parley.replace(same, step("more", agent="a", needs="q"))
    assert list(parley.asked) == [f"q/{name}/answer" for name in left.split()]
