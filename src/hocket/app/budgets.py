"""Sees that a budget can be kept: the most that a call may spend must be known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from hocket.agents.base import Agent, Estimate, Request, estimate
from hocket.app.adapters import adapter
from hocket.core.errors import Problem
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, TeamSpec
from hocket.core.values import Call, Json

_ASKED = Call(path="check", attempt=1)


def budget_problems(spec: RunSpec) -> list[Problem]:
    """Find models under a budget of which nobody can say what a call costs at most.

    Raises:
        SpecError: An agent's options don't make sense.
    """
    return list(_problems(spec))


def _problems(spec: RunSpec) -> Iterator[Problem]:
    told: dict[str, list[dict[str, Json]]] = {}
    for name, agent in spec.agents.items():
        if agent.kind != "model":
            continue
        cost, tokens = _budgets(spec, agent)
        if not cost and not tokens:
            continue
        if not told:
            told = _options(spec)
        made = adapter(agent.kind)(name, agent, state=Path(), live={})
        for options in told.get(name, []):
            said = _unknown(made, name, options, cost=bool(cost))
            if said:
                limit = (cost or tokens)[0]
                message = f"{limit!r} could not be kept: {said}"
                yield Problem(where=("agents", name), message=message)
                break


def uncounted(spec: RunSpec) -> list[str]:
    """Say in a line each which agents have a budget, and tell nobody what they spend."""
    return [
        f"agent {name}: a command tells nobody what it spends, so {limit!r} does not bound it"
        for name, agent in spec.agents.items()
        if agent.kind == "command"
        for limit in agent.limits
        if spec.limits[limit].cost or spec.limits[limit].tokens
    ]


def _budgets(spec: RunSpec, agent: AgentSpec) -> tuple[list[str], list[str]]:
    """Name the limits in money and the budgets in tokens that an agent's calls claim."""
    cost, tokens = [], []
    for name in (*agent.limits, *spec.claims):
        limit = spec.limits[name]
        if limit.cost:
            cost.append(name)
        elif limit.tokens and limit.on_exceed != "wait":
            tokens.append(name)
    return cost, tokens


def _options(spec: RunSpec) -> dict[str, list[dict[str, Json]]]:
    """Give what steps tell each agent, each different one once."""
    found: dict[str, dict[bytes, dict[str, Json]]] = {}
    plans: list[PlanSpec] = [spec.workflow]
    while plans:
        for step in plans.pop().steps:
            if step.plan is not None:
                plans.append(step.plan)
            key = msgspec.json.encode(step.options) if step.options else b""
            for agent in _callers(step):
                found.setdefault(agent, {}).setdefault(key, step.options)
            for agent in _guests(step):
                found.setdefault(agent, {}).setdefault(b"", {})
    return {agent: list(options.values()) for agent, options in found.items()}


def _callers(step: StepSpec) -> Iterator[str]:
    """Name the agents that a step's options are for."""
    if step.agent:
        yield from (step.agent, *step.fallback)
    if step.team is not None:
        yield from _seated(step.team)


def _guests(step: StepSpec) -> Iterator[str]:
    """Name the agents that review what a step has given; its options are not theirs."""
    if step.review is not None:
        yield from _seated(step.review)


def _seated(team: TeamSpec) -> Iterator[str]:
    for member in team.members:
        yield from (member.agent, *member.fallback)
    last = team.presenter if isinstance(team, ConsensusSpec) else team.fixer
    if last:
        yield last


def _unknown(agent: Agent, name: str, options: Mapping[str, Json], *, cost: bool) -> str:
    """Say why nobody knows the most that a call can spend, or ""."""
    request = Request(run="", call=_ASKED, agent=name, input="", options=dict(options))
    guess: Estimate = estimate(agent, request)
    most = guess.most_cost if cost else guess.most_tokens
    return "" if most is not None else guess.why or "nobody can say what a call takes"
