"""Which step is done by which kind of team."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

from hocket.core.specs import AgentSpec, RunSpec, StepSpec
from hocket.core.values import Json
from hocket.workflows.consensus import Consensus
from hocket.workflows.review import Review
from hocket.workflows.solo import Solo
from hocket.workflows.team import MakeRules, Team

TeamMaker: TypeAlias = Callable[[Json, Mapping[str, Json]], Team]
"""Makes a team of its step's input and of what ``run.NAME`` means."""

VERSIONS: Final[dict[str, int]] = {"consensus": 1, "review": 1, "tools": 1}
"""The version of each kind's rules."""

_RULES: Final[dict[str, MakeRules]] = {"consensus": Consensus, "review": Review, "tools": Solo}


def team_of(step: StepSpec, agents: Mapping[str, AgentSpec]) -> TeamMaker | None:
    """Say which team does a step; None for a step that is no team's."""
    kind = kind_of(step, agents)
    return None if kind is None else partial(Team, _RULES[kind], step, agents)


def kind_of(step: StepSpec, agents: Mapping[str, AgentSpec]) -> str | None:
    """Name the kind of team that does a step: ``consensus``, ``review``, ``tools`` or None."""
    if step.team is not None:
        return str(step.team.__struct_config__.tag)
    if step.kind != "call":
        return None
    if step.review is not None:
        return "review"
    agent = agents.get(step.agent)
    return "tools" if agent is not None and agent.tools else None


def versions_of(spec: RunSpec) -> dict[str, int]:
    """Give the versions of the rules of all kinds of team in a run."""
    found: dict[str, int] = {}
    plans = [spec.workflow]
    while plans:
        for step in plans.pop().steps:
            kind = kind_of(step, spec.agents)
            if kind is not None:
                found[kind] = VERSIONS[kind]
            if step.plan is not None:
                plans.append(step.plan)
    return found
