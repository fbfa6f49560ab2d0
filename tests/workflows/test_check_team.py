"""What is wrong with a consensus is found before anything runs, all of it, with the place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.machines import plan, run_spec, step
from tests.workflows.parley import spec_of

from hocket.core.specs import AgentSpec
from hocket.core.teams import ConsensusSpec, Member
from hocket.workflows.check import problems
from hocket.workflows.consensus_policies import WAYS

AGENTS = {name: AgentSpec(kind="model") for name in ("a", "b", "pro")}


def found(spec: ConsensusSpec, **fields: Any) -> list[tuple[str, str, str]]:
    """What is found: the place behind the step, the message, the hint."""
    fields = {"input": "Why?"} | fields
    asked = step("q", kind="consensus", team=spec, **fields)
    return [
        (".".join(map(str, problem.where[2:])), problem.message, problem.hint)
        for problem in problems(run_spec(plan(asked), AGENTS))
    ]


@pytest.mark.parametrize("policy", sorted(WAYS))
def test_nothing_is_wrong_with_a_sound_one(policy: str) -> None:
    batch = {"batch": "5s"} if policy == "batch" else {}
    assert found(spec_of("a b", policy=policy, **batch)) == []


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"rounds": 2}, "rounds", "rounds is about policy 'rounds', and the policy is 'once'"),
        ({"policy": "rounds", "rounds": 0}, "rounds", "rounds are 1 to 1,000"),
        ({"batch": "5s"}, "batch", "batch is about policy 'batch', and the policy is 'once'"),
        (
            {"policy": "batch"},
            "batch",
            "policy 'batch' needs to know for how long answers are collected",
        ),
        ({"lead": 2}, "lead", "lead is about policy 'rounds', and the policy is 'once'"),
        (
            {"policy": "rounds", "lead": 0},
            "lead",
            "lead is at least 1: with less nobody could ever give a new answer",
        ),
        (
            {"policy": "restart_all", "votes": "as_needed"},
            "votes",
            "under policy 'restart_all' members vote at once, not as needed",
        ),
        (
            {"votes": "as_needed", "early": False},
            "early",
            "no more votes are asked than needed, so voting stops early",
        ),
        (
            {"rule": "threshold", "threshold": 0.0},
            "decide",
            "a threshold lies above 0 and is 1 at most, not 0",
        ),
        (
            {"rule": "threshold", "threshold": 60},
            "decide",
            "a threshold lies above 0 and is 1 at most, not 60",
        ),
        ({"max_rounds": 0}, "max_rounds", "max_rounds lies between 1 and 1,000, not 0"),
        ({"quorum": 3}, "quorum", "quorum 3 of 2 members cannot be met"),
        ({"quorum": 0}, "quorum", "quorum is at least 1"),
        ({"soft": 0}, "soft", "soft is longer than 0, 10 years at most"),
        ({"max_duration": -1}, "max_duration", "max_duration is longer than 0, 10 years at most"),
        (
            {"soft": "9s", "hard": "3s"},
            "hard",
            "hard comes before soft: whoever is late is waited for first, and cut off then",
        ),
        (
            {"presenter": "pro"},
            "presenter",
            "final is 'reuse', and a presenter is for 'synthesize'",
        ),
        ({"final": "synthesize", "presenter": "prp"}, "presenter", "unknown agent 'prp'"),
    ],
)
def test_each_mistake_is_named(fields: dict[str, Any], place: str, message: str) -> None:
    assert [(x, y) for x, y, _ in found(spec_of("a b", **fields))] == [
        (f"consensus.{place}", message)
    ]


@pytest.mark.parametrize(
    ("members", "messages"),
    [
        ([("a", {})], ["a team like this has 2 to 1,000 members, not 1"]),
        ([("a", {}), ("a", {})], ["two members are called 'a'"]),
        (
            [("a", {}), ("b/c", {"agent": "b"})],
            ["a member's name is spelt like an agent's, unlike 'b/c'"],
        ),
        (
            [("a", {}), ("2nd", {"agent": "b"})],
            ["a member's name is spelt like an agent's, unlike '2nd'"],
        ),
        ([("a", {}), ("b", {"agent": "c"})], ["unknown agent 'c'"]),
        ([("a", {}), ("b", {"fallback": ("x",)})], ["unknown agent 'x'"]),
        (
            [("a", {}), ("b", {"fallback": ("a", "b")})],
            ["member 'b': agent 'b' has had its tries already"],
        ),
        (
            [("a", {}), ("b", {"weight": 0.0})],
            [
                "member 'b' weighs more than 0 and 1,000,000 at most",
                "members have weights, and votes are weighed by 'equal'",
            ],
        ),
        (
            [("a", {}), ("b", {"weight": 2.0})],
            ["members have weights, and votes are weighed by 'equal'"],
        ),
    ],
)
def test_members_are_checked(
    members: list[tuple[str, dict[str, Any]]], messages: list[str]
) -> None:
    seats = [Member(name=name, **{"agent": name} | fields) for name, fields in members]
    spec = ConsensusSpec(members=tuple(seats))
    assert [message for _, message, _ in found(spec)] == messages
    last = len(members) - 1
    place = f"consensus.agents.{last}" if last else "consensus.agents"
    assert found(spec)[0][0] == (place if "weighed" not in messages[0] else "consensus.weigh")


def test_a_question_there_must_be() -> None:
    assert found(spec_of("a b"), input=None) == [
        ("consensus.question", "there is no question to agree on", "")
    ]


def test_who_is_asked_comes_with_the_kind_of_step() -> None:
    asked = step("q", kind="consensus", input="Why?")
    said = [problem.message for problem in problems(run_spec(plan(asked), AGENTS))]
    assert said == ["step 'q' does not say who is to agree"]
    call = msgspec.structs.replace(step("q", agent="a"), team=spec_of("a b"))
    said = [problem.message for problem in problems(run_spec(plan(call), AGENTS))]
    assert said == ["step 'q' is of kind 'call', and has a consensus to do"]


def test_a_hint_names_what_was_meant() -> None:
    spec = spec_of("a b", final="synthesize", presenter="prp")
    assert found(spec)[0][2] == "did you mean 'pro'?"
