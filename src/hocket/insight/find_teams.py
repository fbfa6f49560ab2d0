"""Finds what teams do in vain: stale votes, needless reviewers, turns one after the other."""

from __future__ import annotations

from typing import Final

from hocket.core.teams import ConsensusSpec, TeamSpec
from hocket.insight.find_leads import (
    CAUSE,
    GUESSED,
    ROOT,
    Ground,
    Lead,
    length,
    spent,
    times,
)
from hocket.insight.find_limits import window_words
from hocket.insight.find_norms import role_of
from hocket.insight.find_reviews import needless_reviews, review_of
from hocket.insight.find_usage import made_wait, taking, windows_filled
from hocket.insight.trace import Activity

_ASKED_ONCE: Final = frozenset({"once", "rounds", "sequential"})
"""Policies under which no answer makes anybody begin anew."""
_WASTED: Final[frozenset[str]] = frozenset({"stale", "discarded"})
_MONEY: Final = 0.2
"""The share of all tokens from which on waste is worth telling even if it cost no time."""
_MOST_ALONE: Final = 3
"""Fewer wasted calls than this are chance, and cost nobody much."""


def teams(ground: Ground) -> list[Lead]:
    """Find what teams do in vain."""
    leads = needless_reviews(ground)
    for step, indices in ground.teams.items():
        spec = ground.spec_of(step)
        if review_of(spec) is not None:
            continue
        team = None if spec is None else spec.team
        if isinstance(team, ConsensusSpec):
            leads += _one_by_one(ground, step, team)
        wasted = [i for i in indices if _in_vain(ground.trace.activities[i], team)]
        if wasted:
            leads.append(_wasted(ground, step, team, indices, wasted))
    return leads


# -- waste --------------------------------------------------------------------------------------


def _in_vain(activity: Activity, team: TeamSpec | None) -> bool:
    """Tell whether a call of a team did not count.

    Under a policy that begins anew with each answer, what was cut off had been made stale, too.
    """
    if activity.fate in _WASTED:
        return True
    again = isinstance(team, ConsensusSpec) and team.policy not in _ASKED_ONCE
    return again and activity.left and activity.fate == "cancelled" and activity.how == "stop"


def _wasted(
    ground: Ground, step: str, team: TeamSpec | None, indices: list[int], wasted: list[int]
) -> Lead:
    """Tell of answers and votes that did not count, and what waited because of them."""
    activities = ground.trace.activities
    names = frozenset(wasted)
    parts = {
        place: length(segment)
        for place, segment in ground.of("rework")
        if segment.activity in names
    }
    filled = windows_filled(ground, names)
    parts |= made_wait(ground, wasted)
    money, tokens = spent(activities[index] for index in wasted)
    all_tokens = spent(activities[index] for index in indices)[1]
    much = tokens >= _MONEY * all_tokens if all_tokens else 5 * len(wasted) >= len(indices)
    stale = sum(activities[index].fate != "discarded" for index in wasted)
    why = "a later answer made stale" if 2 * stale >= len(wasted) else "nobody needed"
    what = f"{len(wasted)} of {times(len(indices), 'call')} at {step}, whose outcome {why}"
    policy = team.policy if isinstance(team, ConsensusSpec) else ""
    change: tuple[str, ...] = ()
    if policy and policy not in _ASKED_ONCE:
        change = (_change(ground, step, "consensus", "policy=once"),)
    return Lead(
        "stale_votes",
        step,
        _what(ground, parts, filled, names, what),
        parts,
        ROOT,
        detail=f"The policy is {policy}." if policy else "",
        advice="Ask for votes once, when every first answer is in.",
        change=change,
        told=tuple(wasted),
        money=money,
        tokens=tokens,
        alone=much and len(wasted) >= _MOST_ALONE,
    )


def _what(
    ground: Ground, parts: dict[int, int], filled: dict[int, int], wasted: frozenset[int], what: str
) -> str:
    """Say what was waited for because of calls that did not count: most often a window."""
    if not filled or 2 * sum(filled.values()) < sum(parts.values()):
        return what
    most = max(filled, key=lambda place: (filled[place], -place))
    limit = ground.segments[most].cause.detail
    takers = taking(ground, limit)
    own = len([index for index in wasted if index in takers])
    if own < len(wasted):
        # Only those of this limit's own calls have used it up.
        what = f"{own} of its {times(len(takers), 'call')}, of {what}"
    return f"waiting for {window_words(ground, limit)}, which were used up by {what}"


def _change(ground: Ground, step: str, kind: str, what: str) -> str:
    """Write a setting of a team: of the step if it stands in the plan, else of all of its kind."""
    return f"steps.{step}.{what}" if step in ground.steps else f"{kind}.{what}"


# -- one after the other ------------------------------------------------------------------------


def _one_by_one(ground: Ground, step: str, team: ConsensusSpec) -> list[Lead]:
    """Tell of first answers that were given one after the other."""
    if team.policy != "sequential":
        return []
    parts = _all_but_longest(ground, step, ("answer",))
    change = (_change(ground, step, "consensus", "policy=once"),)
    advice = "Let all answer at once, if none needs to see the others' answers first."
    what = f"first answers at {step} that were given one after the other"
    return [
        Lead("sequential", step, what, parts, CAUSE, GUESSED, advice=advice, change=change)
    ] * bool(parts)


def _all_but_longest(ground: Ground, step: str, roles: tuple[str, ...]) -> dict[int, int]:
    """Give the chain's work at a step in some roles, but that of the longest call."""
    parts: dict[int, int] = {}
    for place, segment, activity in ground.works():
        if activity.team and ground.path_of(activity.team) == step and role_of(activity) in roles:
            parts[place] = length(segment)
    if len(parts) < 2:
        return {}
    del parts[max(parts, key=lambda place: (parts[place], -place))]
    return parts
