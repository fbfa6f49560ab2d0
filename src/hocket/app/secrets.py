"""Sees that no secret goes into the journal with a spec, whoever wrote the spec."""

from __future__ import annotations

from collections.abc import Mapping

from hocket.config.environment import environment_problems
from hocket.core.errors import Problem
from hocket.core.specs import PlanSpec, RunSpec
from hocket.core.values import Json

_Path = tuple[str | int, ...]


def secret_problems(spec: RunSpec) -> list[Problem]:
    """Find variables of commands that look like secrets, or cannot be."""
    found: list[Problem] = []
    for name, agent in spec.agents.items():
        if agent.kind in {"command", "mcp"}:
            found += _of(("agents", name), agent.options)
    return found + _of_plan((), spec.workflow)


def _of_plan(where: _Path, plan: PlanSpec) -> list[Problem]:
    found: list[Problem] = []
    for step in plan.steps:
        path = (*where, "steps", step.name)
        found += _of(path, step.options)
        if step.plan is not None:
            found += _of_plan((*path, "plan"), step.plan)
    return found


def _of(where: _Path, options: Mapping[str, Json]) -> list[Problem]:
    env, env_pass = options.get("env"), options.get("env_pass")
    given = {name: value for name, value in env.items() if isinstance(value, str)} if env else {}
    return environment_problems(where, given, env_pass or ())
