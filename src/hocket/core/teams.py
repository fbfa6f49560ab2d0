"""What several agents do together, as plain data: consensus, review, tools, kept answers.

These are parts of a spec: they say what is wanted, and `hocket.workflows` what follows.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from hocket.core.values import HOUR, Json

Policy: TypeAlias = Literal[
    "once",
    "rounds",
    "restart_all",
    "restart_unanswered",
    "cancel",
    "inject",
    "batch",
    "sequential",
]
"""What happens to the others when an agent gives an answer.

once: nothing; votes are asked once, when every first answer is in, failed or late.
rounds: as ``once``, but instead of voting an agent may revise its answer; only those are asked
    again whose view is stale.
restart_all: every agent that has answered begins anew, and every vote is void.
restart_unanswered: those who have not answered begin anew; votes as in ``restart_all``.
cancel: as ``restart_all``, and calls in flight are cut off.
inject: agents go on, and get the new answer at a tool boundary or with their next turn.
batch: as ``restart_all``, but new answers are collected for a while first.
sequential: one first answer after the other, each with those before it in view; then votes.
"""

Rule: TypeAlias = Literal["plurality", "majority", "threshold", "unanimous"]
Weighing: TypeAlias = Literal["equal", "agent", "confidence"]
Tie: TypeAlias = Literal["order", "runoff"]
Final: TypeAlias = Literal["reuse", "present", "synthesize"]
Protocol: TypeAlias = Literal["single", "self-correct"]


class Tool(msgspec.Struct, frozen=True):
    """A tool as a model is told of it.

    Fields:
        name: What it is called.
        about: What it does, for the model.
        schema: JSON Schema of its arguments: an object's.
    """

    name: str
    about: str
    schema: Json


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool that a model agent may call; each call of it is a call of the run.

    Fields:
        agent: Who does it: a function or a command of the operator's.
        about: What it does, for the model.
        schema: JSON Schema of its arguments: an object's.
        input: What the agent gets: JSON whose texts are templates that know ``args``.
        approve: Whether a person approves of each call first.
        timeout: The longest that one call may take, in nanoseconds.
        tries: How many tries a call has in all.
    """

    agent: str
    about: str = ""
    schema: Json = None
    input: Json = "{{args}}"
    approve: bool = False
    timeout: int = HOUR
    tries: int = 1


class CacheSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long, and for which questions, an agent's answers are given again.

    Fields:
        mode: ``exact``: everything that went into the call is equal. ``similar``: the prompt may
            differ, as long as its meaning is near enough.
        ttl: For how long an answer counts, in nanoseconds; None for ever.
        threshold: The least cosine similarity of two prompts for ``similar``.
        embed: The model that says what a prompt means, as ``{model: …, base_url: …}``.
    """

    mode: Literal["exact", "similar"] = "exact"
    ttl: int | None = None
    threshold: float = 0.95
    embed: dict[str, Json] = {}


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent's seat in a team.

    Fields:
        name: What the seat is called, unique in the team: a part of its calls' paths.
        agent: Who sits there.
        weight: What its vote or verdict weighs.
        fallback: Agents that take the seat, in order, when one has used up its tries.
    """

    name: str
    agent: str
    weight: float = 1.0
    fallback: tuple[str, ...] = ()


class ConsensusSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="consensus"):
    """Several agents answer one question and decide by votes whose answer stands.

    Fields:
        members: Who takes part; their order breaks ties.
        policy: What a new answer does to the others.
        rounds: How often an agent may revise its answer under ``rounds``.
        batch: How long new answers are collected under ``batch``, in nanoseconds.
        rule: What decides: most votes; more than half; at least `threshold`; all.
        threshold: The share of all weight that ``threshold`` asks for.
        weigh: What a vote weighs: all alike, by the member's weight, or by its confidence.
        of: Whether shares are of all members' weight, or of the votes cast.
        tie: How a tie is broken: by the order of members, or by a run-off between the tied.
        votes: Whether votes are asked all at once, or never more than the decision still needs.
        early: Whether voting stops as soon as nothing can change the outcome.
        max_rounds: The most rounds of votes; then the votes so far decide.
        max_duration: The longest that it all may take, in nanoseconds; then the votes so far
            decide, else the best-supported answer.
        lead: The most revisions that a member may be ahead of the slowest one; None for any.
        soft: After how long in a round the members who are done go on without the rest, once
            `quorum` is there, in nanoseconds.
        hard: After how long in a round those who are not done are cut off, in nanoseconds.
        quorum: The fewest members who must have given an answer.
        final: What is given in the end: the winner's answer as it is, one that the winner writes
            with all answers and votes in view, or one that `presenter` makes of all answers.
        presenter: The agent that synthesizes; "" for the winner.
        answer: JSON Schema of an answer; None for text.
    """

    members: tuple[Member, ...]
    policy: Policy = "once"
    rounds: int = 1
    batch: int = 0
    rule: Rule = "plurality"
    threshold: float = 0.6
    weigh: Weighing = "equal"
    of: Literal["all", "cast"] = "all"
    tie: Tie = "order"
    votes: Literal["together", "as_needed"] = "together"
    early: bool = True
    max_rounds: int = 10
    max_duration: int | None = None
    lead: int | None = None
    soft: int | None = None
    hard: int | None = None
    quorum: int = 1
    final: Final = "reuse"
    presenter: str = ""
    answer: Json = None


class ReviewSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="review"):
    """A swarm of reviewers judges an artefact, and stops when the verdict cannot change.

    Fields:
        members: Who may review; reviewers take them in rotation.
        swarm: How many reviewers there are.
        protocol: One structured call each, or assess, correct, vote.
        threshold: The share of confidence that approval needs.
        criteria: What to judge by, for the reviewers.
        fail_open: Whether a reviewer who fails counts as a weak approval, not as a rejection.
        open_weight: What such an approval weighs.
        waves: Whether reviewers start in waves no larger than could decide, or all at once.
        early: Whether the swarm stops as soon as the verdict cannot change.
        max_rounds: The most rounds of review; between them the author fixes what was found.
        fixer: Who fixes; "" for the author.
    """

    members: tuple[Member, ...]
    swarm: int = 3
    protocol: Protocol = "single"
    threshold: float = 0.6
    criteria: str = ""
    fail_open: bool = False
    open_weight: float = 0.2
    waves: bool = True
    early: bool = True
    max_rounds: int = 1
    fixer: str = ""


TeamSpec: TypeAlias = ConsensusSpec | ReviewSpec
"""What a step of several agents does."""
