"""Says how long calls of one kind take, and which are out of line, by median and spread.

Durations of models are about lognormal, so they are compared by their logarithms.
"""

from __future__ import annotations

import re
from math import exp, log
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from hocket.core.values import MS
from hocket.insight.find_leads import Ground, lasted, quantile
from hocket.insight.trace import Activity

Group: TypeAlias = tuple[str, ...]

_AT_LEAST: Final = 3
"""How many others a call is compared with at least; the fewer, the more it must be out of line."""
_PRIOR: Final = 6
"""What is assumed of the spread weighs like so many calls, since few calls show it badly."""
_Z: Final = 3.2
"""How many standard deviations are out of line: by chance one call in 1,500 is."""
_LARGE: Final = 50
"""Among so many calls one does not matter, and all are compared with the same."""
_WITHIN: Final = 0.4
"""The assumed standard deviation of the logarithms of one agent's calls for one step."""
_BETWEEN: Final[tuple[float, ...]] = (0.0, 0.3)
"""That of the medians themselves: for one agent and step there is none; then of an agent's steps
that ask the same."""
_MAD: Final = 1.4826
"""The standard deviation of a normal distribution, as a multiple of its median deviation."""
_FILLED_IN: Final = re.compile(r"\{\{.*?\}\}|\d+", re.DOTALL)
"""What differs between questions that ask the same of other things."""
_WORDS: Final = re.compile(r"[^\W\d_]")


class Norm(NamedTuple):
    """What calls like one take.

    Fields:
        typical: The median of the others.
        late: From when on a call is out of line.
        most: What nineteen of twenty of the others stay below.
        calls: How many others there are.
    """

    typical: int
    late: int
    most: int
    calls: int


class Norms:
    """What calls take, of each kind; a call is never compared with itself.

    Args:
        ground: The run.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._took: dict[Group, list[int]] = {}
        self._groups: dict[Group, tuple[Group, ...]] = {}
        self._longest: dict[str, int] = {}
        self._large: dict[Group, Norm] = {}
        self._shape: dict[Group, tuple[float, float]] = {}
        found = self._took
        for activity in ground.trace.activities:
            if ended_well(activity):
                took = max(MS, lasted(activity, ground.trace))
                step = ground.path_of(activity.step)
                self._longest[step] = max(took, self._longest.get(step, 0))
                for group in self.groups(activity):
                    if group in found:
                        found[group].append(took)
                    else:
                        found[group] = [took]
        for took_by in found.values():
            took_by.sort()

    def groups(self, activity: Activity) -> tuple[Group, ...]:
        """Name the kinds that a call is of, the narrowest first: an agent's calls all of them.

        Other agents are no measure, nor are other steps unless they ask the same.
        """
        role, agent, work = role_of(activity), activity.agent, activity.work
        key = (activity.step, role, agent, work)
        known = self._groups.get(key)
        if known is None:
            step = self._ground.path_of(activity.step)
            own, asked = (step, role, agent, work), self._asked(step)
            known = (own, (asked, "asked", role, agent, work)) if asked else (own,)
            self._groups[key] = known
        return known

    def longest(self, step: str) -> int:
        """Give what the longest call of a step took that came to its own end; 0 if none did."""
        return self._longest.get(step, 0)

    def of(self, activity: Activity) -> Norm | None:
        """Say what others like a call take, by the narrowest kind that has enough of them."""
        own = max(MS, lasted(activity, self._ground.trace)) if ended_well(activity) else None
        for group, between in zip(self.groups(activity), _BETWEEN, strict=False):
            norm = self._norm(group, between, own)
            if norm is not None:
                return norm
        return None

    def others(self, step: str, role: str, work: str, agent: str) -> list[int]:
        """Give how long calls of a kind took that others than an agent made at a step."""
        rest: list[int] = []
        for other in self._ground.by_agent:
            if other != agent:
                rest += self._took.get((step, role, other, work), [])
        return rest

    def _asked(self, step: str) -> str:
        """Give the words in which a step asks, without what is filled in; "" if it has none."""
        spec = self._ground.steps.get(step)
        if spec is None or spec.team is not None or not isinstance(spec.input, str):
            return ""
        words = _FILLED_IN.sub("", spec.input)
        return " ".join(words.split()) if _WORDS.search(words) else ""

    def _norm(self, group: Group, between: float, own: int | None) -> Norm | None:
        took = self._took.get(group, [])
        count = len(took) - (own is not None)
        if count < _AT_LEAST:
            return None
        if group in self._large:
            return self._large[group]
        if group not in self._shape:
            middle = median(took)
            away = median([abs(log(ns / middle)) for ns in took])
            self._shape[group] = (middle, _MAD * away)
        middle, seen = self._shape[group]
        if own is not None:
            middle = _without(took, own)
        variance = (count * seen**2 + _PRIOR * _WITHIN**2) / (count + _PRIOR)
        # A median of lognormal values is itself uncertain by this much.
        variance *= 1 + 1.57 / count
        late = middle * exp(_Z * (variance + between**2) ** 0.5)
        most = quantile(took, 0.95 * count / len(took))
        norm = Norm(round(middle), round(late), most, count)
        if count > _LARGE:
            self._large[group] = norm
        return norm


def ended_well(activity: Activity) -> bool:
    """Tell whether a call was made and came to its own end."""
    made = activity.work in ("model", "tool") and not activity.cached
    return made and activity.ended is not None and activity.fate in ("useful", "stale", "discarded")


def role_of(activity: Activity) -> str:
    """Say what a call does in its team: ``answer``, ``vote``, ``judge``; "" outside of one."""
    return activity.path.rpartition("/")[2].partition("~")[0] if activity.team else ""


def _without(took: list[int], own: int) -> float:
    """Give the median of sorted values without one of them."""
    middle = (len(took) - 1) / 2
    above = own <= took[int(middle)]
    rest = took[1:] if above else took[:-1]
    # One that lies below the middle shifts it up as much as the lowest one would.
    count = len(rest)
    return (rest[(count - 1) // 2] + rest[count // 2]) / 2
