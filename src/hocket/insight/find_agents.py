"""Finds agents that are slow beside others who do the same."""

from __future__ import annotations

from math import exp
from statistics import median, median_low
from typing import Final, NamedTuple

from hocket.core.values import format_duration
from hocket.insight.find_leads import (
    CAUSE,
    GUESSED,
    ROOT,
    Ground,
    Lead,
    lasted,
    length,
    spent,
    times,
)
from hocket.insight.find_norms import Group, Norms, ended_well, role_of

_SLOWER: Final = 3.5
"""An agent is slow beside others at the same step from this ratio of medians on.

Small and large models of one maker differ by two or three."""
_CHANCE: Final = 3 * 0.45 * 1.25
"""Three standard deviations of a median of one call, for calls of ordinary variance."""
_FEW: Final = 2
"""One slow call does not make a slow agent."""


_SLOW_TOOL: Final = 3
"""A tool is slow if it takes so many times as long as the model that calls it."""
_TOOL_SHARE: Final = 0.25
"""The share of the run from which on slow tools are worth a finding: their work may be wanted."""


class Slower(NamedTuple):
    """How an agent compares with others.

    Fields:
        ratio: How many times as long it takes.
        mine: The median of its calls.
        theirs: What others take, by what is done.
    """

    ratio: float
    mine: int
    theirs: dict[Group, int]


def slow_agents(ground: Ground, norms: Norms) -> list[Lead]:
    """Tell of agents that take much longer than others who do the same."""
    leads = []
    for agent in ground.by_agent:
        slower = _slower(ground, norms, agent)
        if slower is None:
            continue
        parts: dict[int, int] = {}
        for place, segment, activity in ground.works():
            theirs = slower.theirs.get(_done(ground, activity.step, role_of(activity)))
            if activity.agent == agent and theirs is not None:
                over = segment.until - max(segment.since, activity.began + theirs)
                if over > 0:
                    parts[place] = over
        if parts:
            leads.append(_slow(ground, agent, parts, slower))
    return leads


def _done(ground: Ground, step: str, role: str) -> tuple[str, str]:
    return (ground.path_of(step), role)


def _slower(ground: Ground, norms: Norms, agent: str) -> Slower | None:
    """Compare an agent with others who do the same at the same steps."""
    own = [ground.trace.activities[i] for i in ground.by_agent[agent]]
    own = [activity for activity in own if ended_well(activity)]
    if len(own) < _FEW:
        return None
    ratios: list[float] = []
    theirs: dict[Group, int] = {}
    alone: dict[Group, None] = {}
    count = 0
    for activity in own:
        done = _done(ground, activity.step, role_of(activity))
        if done not in theirs and done not in alone:
            others = norms.others(*done, activity.work, agent)
            if len(others) < _FEW:
                alone[done] = None
                continue
            count += len(others)
            theirs[done] = round(median(others))
        if done in theirs:
            ratios.append(lasted(activity, ground.trace) / max(1, theirs[done]))
    if len(ratios) < _FEW:
        return None
    # Of two calls the quicker one counts, so that one that hangs does not make its agent slow.
    ratio = median_low(ratios)
    if ratio < max(_SLOWER, exp(_CHANCE * (1 / len(ratios) + 1 / count) ** 0.5)):
        return None
    return Slower(ratio, round(median([lasted(a, ground.trace) for a in own])), theirs)


def _slow(ground: Ground, agent: str, parts: dict[int, int], slower: Slower) -> Lead:
    activities = ground.trace.activities
    mine = ground.by_agent[agent]
    own = [activities[index] for index in mine]
    others = [a for a in activities if a.left and a.work == own[0].work and a.agent != agent]
    price = _dearer(spent(own)[0], len(own), spent(others)[0], len(others))
    slowest = sorted(mine, key=lambda index: (-lasted(activities[index], ground.trace), index))
    return Lead(
        "slow_agent",
        agent,
        f"{agent}, which takes {slower.ratio:.1f} times as long as others at the same work",
        parts,
        ROOT,
        GUESSED,
        detail=f"Half of its calls take over {format_duration(slower.mine)}.{price}",
        advice=f"Ask a faster model instead of {agent}, or go on without it when it is late.",
        told=tuple(slowest[:5]),
    )


def slow_tools(ground: Ground) -> list[Lead]:
    """Tell of tools that take much longer than the turns of the models that call them."""
    parts: dict[str, dict[int, int]] = {}
    tools = _tools(ground)
    for place, segment, activity in ground.works():
        if activity.work == "tool" and activity.team and activity.agent in tools:
            parts.setdefault(activity.agent, {})[place] = length(segment)
    leads = []
    for agent, explained in parts.items():
        own = [ground.trace.activities[index] for index in ground.by_agent[agent]]
        mine = [lasted(activity, ground.trace) for activity in own]
        steps = frozenset(activity.step for activity in own)
        turns = [
            lasted(activity, ground.trace)
            for activity in ground.trace.activities
            if activity.step in steps and activity.work == "model" and ended_well(activity)
        ]
        ratio = median(mine) / max(1, median(turns)) if turns else 0.0
        if ratio >= _SLOW_TOOL:
            leads.append(
                Lead(
                    "slow_tool",
                    agent,
                    f"{agent}, a tool that takes {ratio:.1f} times as long as the turns that "
                    "call it",
                    explained,
                    CAUSE,
                    _TOOL_SHARE,
                    detail=f"Half of its {times(len(mine), 'call')} take over "
                    f"{format_duration(round(median(mine)))}.",
                    advice="Make it faster, let it do several things at once, or ask it less.",
                    told=tuple(ground.by_agent[agent][:5]),
                )
            )
    return leads


def _tools(ground: Ground) -> frozenset[str]:
    """Name the agents that are tools of others."""
    spec = ground.trace.spec
    agents = () if spec is None else spec.agents.values()
    return frozenset([tool.agent for agent in agents for tool in agent.tools.values()])


def _dearer(mine: int, calls: int, theirs: int, others: int) -> str:
    """Say how the price of an agent's calls compares, where prices are known."""
    if not mine or not theirs or not calls or not others:
        return ""
    ratio = (mine / calls) / (theirs / others)
    return f" Its calls cost {ratio:.1f} times as much as theirs."
