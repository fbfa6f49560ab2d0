"""Which calls a team's step is expected to make, for forecasts: stage by stage.

What a team really does depends on what its members say; here everybody answers, nobody revises,
and every vote is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from hocket.core.machine import JobSpec
from hocket.core.specs import AgentSpec, StepSpec
from hocket.core.teams import ConsensusSpec, ReviewSpec
from hocket.core.values import Json
from hocket.workflows.teams import kind_of

Stage: TypeAlias = list[tuple[str, str]]
"""Calls that may be in flight together: the path within the step, and the agent."""


def stages(step: StepSpec, agents: Mapping[str, AgentSpec]) -> list[Stage]:
    """Give the calls of a team's step in stages, each of which begins when the last is over.

    A step that no team does has none.
    """
    if isinstance(step.team, ConsensusSpec):
        return _consensus(step.team)
    if isinstance(step.team, ReviewSpec):
        return _review(step.team)
    kind = kind_of(step, agents)
    if kind == "review" and step.review is not None:
        return [[("author", step.agent)], *_review(step.review)]
    return [[("turn", step.agent)], [("turn", step.agent)]] if kind == "tools" else []


def _consensus(spec: ConsensusSpec) -> list[Stage]:
    answers = [(f"{member.name}/answer", member.agent) for member in spec.members]
    votes = [(f"{member.name}/vote", member.agent) for member in spec.members]
    found = [[answer] for answer in answers] if spec.policy == "sequential" else [answers]
    found.append(votes)
    if spec.final == "present":
        first = spec.members[0]
        found.append([(f"{first.name}/present", first.agent)])
    elif spec.final == "synthesize":
        agent = spec.presenter or spec.members[0].agent
        found.append([("final/synthesize", agent)])
    return found


def _review(spec: ReviewSpec) -> list[Stage]:
    whats = ("judge",) if spec.protocol == "single" else ("assess", "correct", "vote")
    seats = [
        (f"r{number}", spec.members[(number - 1) % len(spec.members)].agent)
        for number in range(1, spec.swarm + 1)
    ]
    waves = [seats]
    if spec.waves and spec.early:
        # All approve, so that nobody is asked beyond those who decide; a rejection may take fewer.
        enough = min(spec.swarm, max(1, math.ceil(spec.threshold * spec.swarm)))
        first = min(enough, spec.swarm - enough + 1)
        waves = [seats[:first], *([seat] for seat in seats[first:enough])]
    return [[(f"{name}/{what}", agent) for name, agent in wave] for wave in waves for what in whats]


def likely_output(job: JobSpec) -> Json:
    """Give an output that fits a job's schema, for a call of a team that is only imagined.

    Of several choices it is the first one, so that an imagined vote agrees with the others.
    """
    value = _likely(job.output, job.output)
    return {"$": "turn", "text": "", "calls": [], "answer": value} if job.tools else value


def _likely(schema: Json, root: Json, depth: int = 20) -> Json:
    if not isinstance(schema, dict) or not depth:
        # Nothing at all would be no answer.
        return "expected"
    if "$ref" in schema:
        target = root
        for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target.get(part) if isinstance(target, dict) else None
        return _likely(target, root, depth - 1)
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _likely(schema[several][0], root, depth - 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    match kind:
        case "object":
            fields = schema.get("properties", {})
            return {name: _likely(inner, root, depth - 1) for name, inner in fields.items()}
        case "array":
            return []
        case "number" | "integer":
            return schema.get("maximum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return ""
