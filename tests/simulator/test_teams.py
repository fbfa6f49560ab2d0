"""Simulated members of teams: they read what real members are shown."""

from __future__ import annotations

from msgspec.structs import replace

from hocket.core.machine import JobSpec
from hocket.core.specs import Retry
from hocket.core.teams import Tool
from hocket.core.values import HOUR, Json
from hocket.simulator.agents import Asked
from hocket.simulator.teams import (
    FAULTY,
    author,
    member_of,
    merit,
    reviewer,
    shown,
    voter,
    with_tools,
)
from hocket.workflows.consensus_prompts import (
    Answers,
    Turn,
    answer_prompt,
    revision_schema,
    vote_prompt,
    vote_schema,
)
from hocket.workflows.review_prompts import VERDICT, Work, review_prompt

LABELS = {"A": 1, "B": 1, "C": 1}
ANSWERS = Answers({"A": ["red"], "B": ["green\n\nor so"], "C": ["blue"]})


def asked(given: Json, schema: Json, path: str = "q/m-1/vote", seed: int = 0) -> Asked:
    job = JobSpec(
        agents=("m",), effects=(False,), retry=Retry(), timeout=HOUR, output=schema, options={}
    )
    return Asked("run", "m", path, 1, given, job, seed)


def voted(leaning: str, path: str, seed: int = 0) -> Json:
    prompt = vote_prompt("Which?", ANSWERS, (Turn(LABELS),))
    give = voter(leaning)  # type: ignore[arg-type]
    choices = {
        give(asked(g, vote_schema("ABC"), path, seed))["vote"] for g in (prompt.text, prompt.fields)
    }
    # As text or as named values: it is the same question.
    (choice,) = choices
    return choice


def test_a_member_reads_the_answers_that_it_is_shown() -> None:
    prompt = vote_prompt("Which?", ANSWERS, (Turn(LABELS),))
    assert shown(asked(prompt.text, None)) == {"A": "red", "B": "green\n\nor so", "C": "blue"}
    assert shown(asked(prompt.fields, None)) == shown(asked(prompt.text, None))
    assert shown(asked(answer_prompt("Which?", {}).text, None)) == {}
    assert member_of("q/flash-1/vote~2") == "flash-1"


def test_members_agree_split_or_draw() -> None:
    by_merit = sorted("ABC", key=lambda k: -merit(asked("", None), ANSWERS.by_label[k][0]))
    paths = [f"q/m-{number}/vote" for number in range(1, 7)]
    assert [voted("unanimous", path) for path in paths] == [by_merit[0]] * 6
    assert [voted("split", path) for path in paths] == [by_merit[1], by_merit[0]] * 3
    drawn = [voted("random", f"q/m-{number}/vote") for number in range(60)]
    assert {drawn.count(label) > 8 for label in "ABC"} == {True}
    assert drawn == [voted("random", f"q/m-{number}/vote") for number in range(60)]
    assert len({voted("unanimous", paths[0], seed) for seed in range(20)}) > 1


def test_a_member_revises_as_often_as_it_is_told_to() -> None:
    prompt = vote_prompt("Which?", ANSWERS, (Turn(LABELS, may_revise=True),)).text
    give = voter(revises=0.25)
    said = [give(asked(prompt, revision_schema("ABC", None), f"q/m/vote~{i}")) for i in range(400)]
    revised = [one for one in said if one["action"] == "revise"]
    assert 70 <= len(revised) <= 130
    assert all(one["answer"] and not one["vote"] for one in revised)
    assert all(one["vote"] in LABELS for one in said if one["action"] == "vote")


def test_reviewers_are_right_as_often_as_they_are_told_to_and_err_together() -> None:
    def approvals(artefact: str, **fields: float) -> list[list[bool]]:
        prompt = review_prompt("judge", Work(artefact, None, ""), None).text
        give = reviewer(**fields)
        return [
            [
                give(asked(prompt, VERDICT, f"s{step}/r{number}/judge"))["verdict"] == "approve"
                for number in range(6)
            ]
            for step in range(400)
        ]

    def share(found: list[list[bool]]) -> float:
        return sum(map(sum, found)) / 2400

    assert share(approvals("fine")) == 1.0
    assert share(approvals(f"a {FAULTY} thing")) == 0.0
    assert abs(share(approvals("fine", accuracy=0.8)) - 0.8) < 0.03
    assert abs(share(approvals(f"a {FAULTY} thing", accuracy=0.8)) - 0.2) < 0.03
    together = approvals("fine", accuracy=0.8, common=1.0)
    assert all(len(set(one)) == 1 for one in together)
    assert abs(share(together) - 0.8) < 0.06
    apart = approvals("fine", accuracy=0.8)
    assert sum(len(set(one)) == 1 for one in apart) < 200


def test_an_author_mends_what_was_found() -> None:
    give = author(faulty=0.5)
    first = [FAULTY in give(asked("do it", None, f"s{i}/author")) for i in range(200)]
    assert 70 <= sum(first) <= 130
    assert not any(FAULTY in give(asked("mend it", None, f"s{i}/author~2")) for i in range(200))


def test_a_member_with_tools_takes_its_turns_and_gives_in_the_last() -> None:
    look = Tool("look", "Looks things up", {"type": "object"})
    give = with_tools(voter(), 2)
    prompt = vote_prompt("Which?", ANSWERS, (Turn(LABELS),)).text
    talk = {"$": "talk", "messages": [{"role": "user", "text": prompt}]}
    turns = [asked(talk, vote_schema("ABC"), f"q/m-1/vote~3/{turn}") for turn in ("turn", "turn~2")]
    turns = [one._replace(job=replace(one.job, tools=(look,))) for one in turns]
    assert [member_of(one.path) for one in turns] == ["m-1", "m-1"]
    first, last = map(give, turns)
    assert [call["name"] for call in first["calls"]] == ["look"]
    assert not last["calls"]
    assert last["answer"]["vote"] == voted("unanimous", "q/m-1/vote")
