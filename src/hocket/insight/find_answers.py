"""Finds agents whose answers are much longer than others': what is written takes its time."""

from __future__ import annotations

from statistics import median, median_low
from typing import Final

from hocket.insight.find_leads import CAUSE, Ground, Lead, lasted
from hocket.insight.find_norms import ended_well

_LONGER: Final = 5
"""Answers are long from so many times as many tokens on: steps differ by two or three."""
_SLOWER: Final = 2.5
"""If their calls don't take that much longer, the tokens are not what takes the time."""
_FEW: Final = 2
_SHARE: Final = 0.25
"""The share of the run from which on long answers are worth a finding: they may be wanted."""


def long_answers(ground: Ground) -> list[Lead]:
    """Tell of agents whose answers have many times as many tokens as others', and take as long."""
    own = {agent: _written(ground, agent) for agent in ground.by_agent}
    calls = [one for some in own.values() for one in some]
    everybody = _medians(calls)
    leads = []
    for agent, mine in own.items():
        if len(mine) < _FEW or len(calls) - len(mine) < _FEW:
            continue
        usual, time = everybody
        if 4 * len(mine) > len(calls):
            # Its own part in the medians matters.
            others = [one for other, some in own.items() if other != agent for one in some]
            usual, time = _medians(others)
        tokens = median_low([tokens for tokens, _ in mine])
        slower = median([ns for _, ns in mine]) / max(1, time)
        if tokens >= _LONGER * max(1, usual) and slower >= _SLOWER:
            leads.append(_lead(ground, agent, tokens, usual))
    return leads


def _medians(calls: list[tuple[int, int]]) -> tuple[float, float]:
    """Give the medians of what calls wrote and of how long they took."""
    if not calls:
        return 0.0, 0.0
    return median([tokens for tokens, _ in calls]), median([ns for _, ns in calls])


def _written(ground: Ground, agent: str) -> list[tuple[int, int]]:
    """Give how many tokens an agent's calls wrote, and how long each took."""
    calls = [ground.trace.activities[index] for index in ground.by_agent[agent]]
    return [
        (call.usage.tokens_out, lasted(call, ground.trace))
        for call in calls
        if ended_well(call) and call.usage is not None and call.usage.tokens_out is not None
    ]


def _lead(ground: Ground, agent: str, tokens: int, usual: float) -> Lead:
    parts: dict[int, int] = {}
    for place, segment, activity in ground.works():
        if activity.agent == agent:
            short = round(lasted(activity, ground.trace) * usual / tokens)
            parts[place] = segment.until - max(segment.since, activity.began + short)
    return Lead(
        "long_answers",
        agent,
        f"answers of {agent}, which are {tokens / max(1, usual):.0f} times as long as others'",
        parts,
        CAUSE,
        _SHARE,
        detail=f"Half of them have {tokens:,} tokens or more; others' have {usual:,.0f}.",
        advice="Ask for shorter answers, or have long ones written in parts side by side.",
        told=tuple(ground.by_agent[agent][:5]),
    )
