"""Where a call belongs, and how each member of a team stands."""

from __future__ import annotations

import pytest
from tests.report.reports import decided, reviewed, vote

from hocket.core.reports import Contribution, Report, Row
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec, ToolSpec
from hocket.report.members import Doing, standings
from hocket.report.places import Place, Places

TEAM = ConsensusSpec(
    members=(Member(name="flash-1", agent="flash"), Member(name="pro", agent="large"))
)
REVIEW = ReviewSpec(members=TEAM.members, fixer="mender")
SPEC = RunSpec(
    workflow=PlanSpec(
        name="p",
        steps=(
            StepSpec(name="plain", agent="flash"),
            StepSpec(name="q", kind="consensus", team=TEAM),
            StepSpec(
                name="code", agent="flash", review=ReviewSpec(members=TEAM.members, fixer="mender")
            ),
            StepSpec(name="dig", agent="digger"),
            StepSpec(
                name="outer",
                kind="plan",
                plan=PlanSpec(
                    name="o",
                    steps=(
                        StepSpec(name="plain", agent="flash"),
                        StepSpec(name="inner", kind="review", team=ReviewSpec(members=())),
                    ),
                ),
            ),
        ),
    ),
    agents={
        "flash": AgentSpec(kind="model"),
        "digger": AgentSpec(kind="model", tools={"grep": ToolSpec(agent="flash")}),
    },
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("q/flash-1/answer", ("q", "consensus", "flash-1/answer")),
        ("q/3~2/flash-1/vote~4", ("q/3~2", "consensus", "flash-1/vote~4")),
        ("code/author/turn~2", ("code", "review", "author/turn~2")),
        ("dig/turn~2", ("dig", "tools", "turn~2")),
        ("dig~2/grep/1", ("dig~2", "tools", "grep/1")),
        ("outer/0/inner/flash-1/review", ("outer/0/inner", "review", "flash-1/review")),
        ("plain", None),
        ("plain/3~2", None),
        ("outer/plain", None),
        ("nobody/x", None),
    ],
)
def test_a_call_belongs_to_a_team(path: str, found: tuple[str, str, str] | None) -> None:
    at = Places(SPEC).find(path)
    assert (None if at is None else (at[0].path, at[0].kind, at[1])) == found


def test_a_plan_without_teams_has_none() -> None:
    alone = RunSpec(workflow=PlanSpec(name="p", steps=(StepSpec(name="a", agent="flash"),)))
    assert not Places(alone).any
    assert Places(SPEC).any


def place(path: str) -> Place:
    found = Places(SPEC).find(path)
    assert found is not None
    return found[0]


def test_everybody_stands_there_from_the_beginning() -> None:
    found = standings(place("q/x"), Report(kind="consensus"), [])
    assert [(one.member, one.agent, one.mood, one.words) for one in found] == [
        ("flash-1", "flash", "idle", ""),
        ("pro", "large", "idle", ""),
    ]


def test_what_is_under_way_comes_before_what_was() -> None:
    doing = [
        Doing("flash-1/vote~2", "waits for a slot of flash", True),
        Doing("pro/answer/grep/1", "3.0 s", False),
        Doing("pro/answer/read/2", "2.0 s", False),
    ]
    words = {one.member: one.words for one in standings(place("q/x"), decided(), doing)}
    assert words == {
        "flash-1": "voting: waits for a slot of flash",
        "pro": "answering, calls grep, 3.0 s, and 1 more (revision 2, restarted ×2)",
        "flash-2": "voted → B",
        "odd": "failed: no such model",
    }


def test_moods() -> None:
    moods = {one.member: one.mood for one in standings(place("q/x"), decided(), [])}
    assert moods == {"flash-1": "voted", "pro": "voted", "flash-2": "voted", "odd": "failed"}
    answer = Contribution(member="pro", label="A", revision=1, content="x")
    answered = Report(kind="consensus", contributions=(answer,))
    (_, pro) = standings(place("q/x"), answered, [])
    assert (pro.label, pro.mood, pro.words) == ("A", "done", "answered")


def test_who_abstains_says_why() -> None:
    report = Report(
        kind="consensus", rows=(Row(at=1, member="pro", what="abstains", detail="late"),)
    )
    assert standings(place("q/x"), report, [])[1].words == "abstains: late"


def test_reviewers_are_there_once_they_are_asked() -> None:
    doing = [Doing("r2/judge", "1.0 s", False, agent="flash")]
    found = standings(place("code/x"), reviewed(True), doing)
    assert {one.member: (one.agent, one.words) for one in found} == {
        "r2": ("flash", "judging 1.0 s"),
        "flash-1": ("", "approves 0.9"),
        "flash-2": ("", "approves 0.8"),
        "pro-1": ("", "rejects 0.5"),
    }


def test_a_verdict_of_an_earlier_round_says_nothing_of_this_one() -> None:
    old = reviewed(False, judgements=(vote("r1", "reject", counts=False),), status="open")
    (one,) = standings(place("code/x"), old, [])
    assert (one.mood, one.words) == ("idle", "")


@pytest.mark.parametrize(
    ("path", "words"), [("author~2/turn~3", "writing, turn 3, 1.0 s"), ("fixer", "fixing 1.0 s")]
)
def test_whoever_makes_what_is_reviewed_is_named_by_the_agent(path: str, words: str) -> None:
    (one,) = standings(place("code/x"), Report(kind="review"), [Doing(path, "1.0 s", False)])
    assert (one.member, one.words) == ("mender" if path == "fixer" else "flash", words)


def test_a_conversation_is_at_a_turn() -> None:
    (one,) = standings(place("dig/x"), Report(kind="tools"), [Doing("turn~3", "2.0 s", False)])
    assert (one.member, one.words) == ("digger", "turn 3, 2.0 s")
    (one,) = standings(place("dig/x"), Report(kind="tools"), [Doing("grep/1~2", "1.0 s", True)])
    assert one.words == "calls grep: 1.0 s"
