from __future__ import annotations

from typing import Any

import pytest
from tests.insight.hand import S, call, folded, plan_trace, team_trace, trace
from tests.simulator.policies import consensus, spec_of
from tests.simulator.test_incident import in_one_loop, restarts

from hocket.core.reports import Report, Row
from hocket.core.values import SECOND
from hocket.insight.chains import Chains, Coordination, chains
from hocket.insight.trace import START, Activity, Trace
from hocket.simulator.agents import Cast, Latency, Player
from hocket.simulator.play import play
from hocket.simulator.teams import voter, with_tools

POLICIES = (
    *("once", "rounds", "restart_all", "restart_unanswered"),
    *("cancel", "inject", "batch, 5 s", "sequential"),
)


def of(found: Chains) -> Coordination:
    (team,) = found.teams
    return team


def void(run: Trace, found: Coordination) -> dict[str, list[str]]:
    """Give what answers made void, by their labels."""
    return {
        answer.label: [run.activities[i].path.removeprefix("q/") for i in answer.void]
        for answer in found.answers
        if answer.void
    }


def one(path: str, began: float, ended: float | None, **fields: Any) -> Activity:
    return call(f"q/{path}", began, ended, team="q", agent=path.partition("/")[0], **fields)


def row(at: float, member: str, what: str, path: str = "", detail: str = "") -> Row:
    return Row(at=round(at * S), member=member, what=what, path=path, detail=detail)


def test_an_answer_makes_void_what_was_asked_before_it_came() -> None:
    run = trace(
        one("x/answer", 0, 2),
        one("y/answer", 0, 3),
        one("z/answer", 0, 6),
        one("x/vote", 2, 5, fate="stale", tokens=100),
        one("y/vote", 3, 4, fate="stale", tokens=10),
        one("x/vote~2", 5, 7, fate="stale", tokens=1),
        one("y/vote~2", 6, 8),
        one("z/vote", 6, 9),
        one("x/vote~3", 7, 10),
        ended=10,
        reports={
            "q": Report(
                kind="consensus",
                rows=(
                    row(2, "x", "answers", "x/answer"),
                    row(3, "y", "answers", "y/answer"),
                    row(4, "y", "votes", "y/vote"),
                    row(6, "z", "answers", "z/answer", "C"),
                    row(6, "y", "restarts", detail="new: C"),
                    row(10, "", "decides"),
                ),
            )
        },
    )
    found = chains(run)
    team = of(found)
    # x voted at 2 s, before y had answered; y's vote at 3 s counted until z answered.
    assert void(run, team) == {"y.1": ["x/vote"], "z.1": ["y/vote", "x/vote~2"]}
    assert [answer.label for answer in team.answers] == ["x.1", "y.1", "z.1"]
    last = team.answers[2]
    assert (last.member, last.at, last.activity) == ("z", 6 * S, 2)
    assert (last.took, last.tokens, last.cost) == (3 * S, 11, 110)
    assert team.unexplained == []
    seats = {seat.name: seat for seat in team.seats}
    assert list(seats) == ["x", "y", "z"]
    x = seats["x"]
    assert (x.calls, x.restarts, x.void, x.longest, x.chains) == (4, 2, 2, 2, [[3, 5]])
    assert (x.took, x.tokens, x.cost) == (5 * S, 101, 1_010)
    assert (seats["z"].restarts, seats["z"].chains, seats["z"].longest) == (0, [], 0)
    assert (found.restarts, found.void, found.longest) == (3, 3, 2)
    assert (found.took, found.tokens, found.cost) == (6 * S, 111, 1_110)
    lines = [
        (line.at // S, line.member, line.what, line.activity, line.void) for line in team.lines
    ]
    assert lines == [
        (2, "x", "answers", 0, 0),
        (3, "y", "answers", 1, 1),
        (4, "y", "votes", 4, 0),
        (6, "z", "answers", 2, 2),
        (6, "y", "restarts", START, 0),
        (10, "", "decides", START, 0),
    ]
    assert team.lines[3].detail == "C"


def test_what_counted_in_between_ends_a_chain() -> None:
    run = trace(
        one("x/vote", 0, 2, fate="stale"),
        one("x/vote~2", 2, 4),
        one("y/answer", 0, 1),
        one("x/vote~3", 5, 6, fate="stale"),
        one("x/vote~4", 6, 7, fate="stale"),
        one("z/answer", 0, 6.5),
        ended=9,
        reports={
            "q": Report(
                kind="consensus",
                rows=(row(1, "y", "answers", "y/answer"), row(6.5, "z", "answers", "z/answer")),
            )
        },
    )
    (x, *_) = of(chains(run)).seats
    assert (x.chains, x.longest, x.restarts) == ([[0], [3, 4]], 2, 3)


def test_a_conversation_is_void_as_a_whole_unless_it_was_told() -> None:
    def run(*more: Row) -> Trace:
        return trace(
            one("y/answer", 0, 3),
            one("x/vote/turn", 2, 4, fate="stale"),
            one("x/vote/turn/look", 4, 5, fate="stale", work="tool"),
            one("x/vote/turn~2", 5, 6, fate="stale"),
            one("z/answer", 0, 7),
            ended=9,
            reports={
                "q": Report(
                    kind="consensus",
                    rows=(
                        row(3, "y", "answers", "y/answer"),
                        *more,
                        row(7, "z", "answers", "z/answer"),
                    ),
                )
            },
        )

    plain = run()
    turns = ["x/vote/turn", "x/vote/turn/look", "x/vote/turn~2"]
    found = of(chains(plain))
    assert void(plain, found) == {"y.1": turns}
    seats = {seat.name: seat for seat in found.seats}
    assert (seats["x"].restarts, seats["x"].void, seats["x"].calls) == (1, 3, 3)
    told = run(row(3, "x", "is told", "x/vote"))
    assert void(told, of(chains(told))) == {"z.1": turns}


def test_each_try_of_a_call_is_told_what_is_new() -> None:
    run = trace(
        one("y/answer", 0, 3),
        one("x/vote", 2, 4, fate="failed"),
        one("x/vote", 5, 8, fate="stale", attempt=2),
        one("z/answer", 0, 7),
        ended=9,
        reports={
            "q": Report(
                kind="consensus",
                rows=(row(3, "y", "answers", "y/answer"), row(7, "z", "answers", "z/answer")),
            )
        },
    )
    found = of(chains(run))
    assert void(run, found) == {"z.1": ["x/vote"]}
    assert found.answers[1].void == [2]


@pytest.mark.parametrize("fate", ["cancelled", "discarded"])
def test_what_was_cut_off_is_void_if_it_was_asked_anew(fate: str) -> None:
    def run(asked: float) -> Trace:
        return trace(
            one("y/answer", 0, 3),
            one("x/vote", 2, 3.5, fate=fate),
            one("x/vote~2", asked, 6),
            ended=9,
            reports={
                "q": Report(kind="consensus", rows=(row(3, "y", "answers", "y/answer"),)),
            },
        )

    anew = run(3)
    assert void(anew, of(chains(anew))) == {"y.1": ["x/vote"]}
    # What was asked later has another reason, as a further round of votes.
    assert chains(run(5)).void == 0


def test_an_answer_that_came_too_late_makes_nothing_void() -> None:
    run = trace(
        one("y/answer", 0, 3, fate="discarded"),
        one("x/vote", 2, 4, fate="stale"),
        ended=9,
        reports={"q": Report(kind="consensus", rows=(row(3, "y", "answers", "y/answer"),))},
    )
    found = of(chains(run))
    assert found.answers == []
    assert found.unexplained == [1]


def test_calls_that_never_left_or_were_kept_cost_nothing() -> None:
    run = trace(
        one("y/answer", 0, 3),
        one("x/vote", 2, 4, fate="stale", cached=True, tokens=9),
        one("x/vote~2", 2, 2, fate="cancelled", left=False),
        ended=9,
        reports={"q": Report(kind="consensus", rows=(row(3, "y", "answers", "y/answer"),))},
    )
    found = chains(run)
    assert (found.void, found.took, found.tokens) == (1, 0, 0)
    assert sum(seat.calls for seat in of(found).seats) == 2


# ---- another program's log ----


def foreign() -> Trace:
    def of_agent(agent: str, doing: str, began: float, ended: float, **fields: Any) -> Activity:
        return call(f"c/{agent}/{doing}", began, ended, agent=agent, team="c", **fields)

    return trace(
        of_agent("agent1", "answer", 0, 2),
        of_agent("agent5", "answer", 0, 2.78),
        of_agent("agent1", "vote", 2.1, 2.9, asked=2, fate="refused", after=0, needs=(0,)),
        # The same question was sent again a minute later, knowing no more than before.
        of_agent("agent1", "vote", 62, 63, asked=2.9, fate="stale", after=2, needs=(2,)),
        of_agent("agent5", "vote", 3, 4, fate="useful", after=1, needs=(0, 1)),
        of_agent("agent1", "vote", 64, 65, asked=63, after=3, needs=(0, 1, 3)),
        ended=65,
        source="massgen 0.1.97",
    )


def test_without_a_report_calls_alone_tell_it() -> None:
    run = foreign()
    found = chains(run)
    team = of(found)
    assert [(answer.label, answer.void) for answer in team.answers] == [
        ("agent1.1", []),
        ("agent5.1", [3]),
    ]
    assert (found.restarts, found.void, found.took) == (1, 1, 1 * S)
    assert [(seat.name, seat.calls, seat.chains) for seat in team.seats] == [
        ("agent1", 4, [[3]]),
        ("agent5", 2, []),
    ]
    assert (team.team, team.kind) == ("c", "")
    assert [(line.member, line.what, line.detail, line.void) for line in team.lines] == [
        ("agent1", "answers", "agent1.1", 0),
        ("agent5", "answers", "agent5.1", 1),
        ("agent1", "refused", "", 0),
        ("agent5", "useful", "", 0),
        ("agent1", "is void", "", 0),
        ("agent1", "useful", "", 0),
    ]


def test_only_the_same_question_after_a_refusal_knows_no_more() -> None:
    other = foreign()
    other.activities[3].path = "c/agent1/revision"
    counted = foreign()
    counted.activities[2].fate = "useful"
    for run in (other, counted):
        found = of(chains(run))
        assert not any(answer.void for answer in found.answers)
        assert found.unexplained == [3]


def test_a_log_that_knows_of_no_team_is_one_if_anything_is_stale() -> None:
    run = foreign()
    for activity in run.activities:
        activity.team = ""
    assert of(chains(run)).team == ""
    for activity in run.activities:
        activity.fate = "useful"
    assert chains(run).teams == []


# ---- runs that were played ----


def test_the_seven_agents_and_what_each_answer_made_void() -> None:
    run = team_trace("restart_all", 3, limited=True, incident=True)
    # Answers came at 2.78, 2.84, 3.62, 4.41, 9, 12 and 14 s; votes took three seconds and more.
    assert void(run, of(chains(run))) == {
        "flash-2.1": ["flash-1/vote"],
        "flash-3.1": ["flash-2/vote"],
        "flash-4.1": ["flash-3/vote"],
        "flash-5.1": ["flash-4/vote"],
    }
    free = team_trace("restart_all", 3, limited=False, incident=True)
    found = chains(free)
    team = of(found)
    # Without limits they vote again and again: 14 calls would have done.
    assert (found.restarts, found.void, len(free.activities)) == (16, 16, 30)
    assert {seat.name: seat.longest for seat in team.seats} == {
        "flash-1": 3,
        "flash-2": 3,
        "flash-3": 4,
        "flash-4": 3,
        "flash-5": 2,
        "pro-1": 1,
        "pro-2": 0,
    }
    assert found.longest == 4
    (third,) = [seat for seat in team.seats if seat.name == "flash-3"]
    assert [free.activities[i].path for i in third.chains[0]] == [
        *("q/flash-3/vote", "q/flash-3/vote~2", "q/flash-3/vote~3", "q/flash-3/vote~4")
    ]
    assert chains(team_trace("once", 3, limited=False, incident=True)).void == 0


def test_the_incident_itself_seventeen_restarts_of_which_ten_were_in_vain() -> None:
    played = in_one_loop(0)
    assert restarts(played) == [1, 2, 2, 3, 3, 3, 3]
    run = folded(played)
    found = chains(run)
    assert sum(seat.calls - 1 for seat in of(found).seats) == 17
    assert (found.restarts, found.void, len(run.activities)) == (10, 10, 24)
    labels = [answer.label for answer in of(found).answers if answer.void]
    # At most one event for each of seven answers, and the first one made nothing void.
    assert labels == [
        *("flash-2.1", "flash-3.1", "flash-4.1", "flash-5.1", "pro-1.1", "pro-2.1"),
    ]


def check(run: Trace) -> Chains:
    """See to it that each stale call is explained, and by an answer that it did not know."""
    found = chains(run)
    for team in found.teams:
        report = run.reports[team.team]
        made = [i for answer in team.answers for i in answer.void]
        assert len(made) == len(set(made))
        stale = [i for i in made if run.activities[i].fate == "stale"]
        told = report.fates.get("stale")
        assert len(stale) + len(team.unexplained) == (0 if told is None else told.calls)
        assert team.unexplained == []
        assert sum(seat.void for seat in team.seats) == len(made)
        assert sum(len(chain) for seat in team.seats for chain in seat.chains) == sum(
            seat.restarts for seat in team.seats
        )
        for answer in team.answers:
            assert answer.activity != START
            assert run.activities[answer.activity].ended == answer.at
            calls = [run.activities[i] for i in answer.void]
            alone = [one for one in calls if one.path.count("/") == 2]
            assert all(one.began < answer.at for one in alone)
        assert len(team.lines) == len(report.rows)
        assert sum(line.void for line in team.lines) == len(made)
    return found


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_stale_call_of_a_team_is_explained(policy: str, limited: bool) -> None:
    for seed in range(5):
        found = check(team_trace(policy, seed, limited=limited))
        eager = policy in ("restart_all", "restart_unanswered", "cancel", "inject")
        assert bool(found.void) == eager or policy.startswith("batch")


def _revising(policy: str, seed: int, turns: int) -> Trace:
    gives = with_tools(voter(revises=0.4), turns)
    player = Player(latency=Latency(3 * SECOND, 0.5), gives=gives, failing=0.1)
    look = Player(latency=Latency(SECOND // 2))
    agents = Cast({"flash": player, "pro": player, "look": look})
    fields = {"rounds": 3} if policy == "rounds" else {}
    return folded(play(spec_of(consensus(policy, **fields), False, turns), {}, agents, seed))


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_revisions_and_conversations_are_explained_too(policy: str, turns: int) -> None:
    whats: dict[str, None] = {}
    for seed in range(4):
        run = _revising(policy, seed, turns)
        check(run)
        whats |= dict.fromkeys([row.what for row in run.reports["q"].rows])
    assert ("revises" in whats) == (policy == "rounds")


def test_a_run_without_a_team_has_no_chains() -> None:
    assert chains(plan_trace(0)).teams == []
    assert chains(trace(ended=1)) == Chains(
        teams=[], restarts=0, void=0, longest=0, took=0, tokens=0, cost=0
    )
