"""Says who used a limit, how much of that came to nothing, and what waited because of it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from hocket.core.specs import LimitSpec, Rate
from hocket.insight.find_leads import Ground, length
from hocket.insight.trace import Activity
from hocket.limits.words import limit_label

RUN: Final = "run"
AGENT: Final = "agent:"
"""What the run's own slots and those of agents are called."""
_FOR_NOTHING: Final = frozenset({"stale", "discarded", "refused", "failed", "cancelled"})


class Used(NamedTuple):
    """Who took a limit, and how much of that came to nothing.

    Fields:
        calls: How many calls took it.
        agents: Who, and how often, most first.
        lost: How many of them came to nothing, by fate.
    """

    calls: int
    agents: list[tuple[str, int]]
    lost: Counter[str]


def wasted_share(ground: Ground, limit: str, until: int, lost: frozenset[int]) -> float:
    """Say which share of the waits for a limit's windows some calls have made.

    Without them fewer windows would have been filled: whole windows are what calls wait for.

    Args:
        ground: The run.
        limit: The limit.
        until: When it was last waited for; who began later has taken nothing away.
        lost: The calls, by index.
    """
    activities, takers = ground.trace.activities, taking(ground, limit)
    early = [index for index in lost if activities[index].began <= until]
    wasted = len([index for index in early if index in takers])
    if not wasted:
        return 0.0
    calls = len([index for index in takers if activities[index].began <= until])
    rate = fullest(spec_of(ground, limit).requests, calls)
    if rate is None:
        return wasted / calls
    filled = (calls - 1) // rate.amount
    needed = max(0, calls - wasted - 1) // rate.amount
    return (filled - needed) / filled if filled else wasted / calls


def windows_filled(ground: Ground, lost: frozenset[int]) -> dict[int, int]:
    """Give the waits for windows that some calls had filled."""
    until: dict[str, int] = {}
    for _, segment in ground.of("rate"):
        until[segment.cause.detail] = segment.until
    shares = {limit: wasted_share(ground, limit, at, lost) for limit, at in until.items()}
    parts = {}
    for place, segment in ground.of("rate"):
        share = shares[segment.cause.detail]
        if share:
            parts[place] = int(share * length(segment))
    return parts | _refusals_filled(ground, lost)


def _refusals_filled(ground: Ground, lost: frozenset[int]) -> dict[int, int]:
    """Give the waits after refusals, in another program's log, for windows that calls had filled.

    Such a program knows its provider's windows by refusals alone; what was refused fills none.
    """
    parts: dict[int, int] = {}
    if ground.trace.spec is not None:
        return parts
    activities = ground.trace.activities
    waits: dict[str, list[int]] = {}
    for place, segment in ground.of("refused"):
        waits.setdefault(segment.cause.detail, []).append(place)
    for limit, places in waits.items():
        served = [i for i in taking(ground, limit) if activities[i].fate != "refused"]
        vain = [index for index in served if index in lost]
        rate = fullest(spec_of(ground, limit).requests, len(served))
        if rate is None or not vain:
            continue
        filled = (len(served) - 1) // rate.amount
        spared = filled - (len(served) - len(vain) - 1) // rate.amount
        first = min(activities[index].began for index in vain)
        after = [place for place in places if ground.segments[place].since >= first]
        # Each window that need not have been filled is one wait less: the last ones.
        for place in after[-spared:] if spared else ():
            parts[place] = length(ground.segments[place])
    return parts


def usage_of(ground: Ground, limit: str) -> Used:
    """Say who took a limit."""
    agents: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for index in taking(ground, limit):
        activity = ground.trace.activities[index]
        agents[activity.agent] += 1
        if activity.fate in _FOR_NOTHING:
            lost[activity.fate] += 1
    return Used(sum(agents.values()), agents.most_common(), lost)


def taking(ground: Ground, limit: str) -> dict[int, None]:
    """Give the calls that took units of a limit, by index."""
    name = plain(limit)
    known = ground.takers.get(name)
    if known is None:
        known = ground.takers[name] = {
            index: None
            for index, activity in enumerate(ground.trace.activities)
            if not activity.cached and claims(activity, name)
        }
    return known


def claims(activity: Activity, limit: str) -> bool:
    """Tell whether a call took units of a limit."""
    if activity.work not in ("model", "tool") or not activity.left:
        return False
    if limit == RUN:
        return True
    if agent := slots_of(limit):
        return activity.agent == agent
    return any(plain(name) == limit for name in activity.claims)


def plain(limit: str) -> str:
    """Name a limit as the spec does: a run's own has the run's name behind it."""
    return limit.partition(" of ")[0]


def slots_of(limit: str) -> str:
    """Give the agent whose own slots are called so; "" for a limit that somebody states."""
    if not limit.startswith(AGENT) or label(limit) != limit:
        return ""
    return limit.removeprefix(AGENT)


def label(limit: str) -> str:
    """Call a limit as people do."""
    return limit_label(plain(limit))


def setting_of(ground: Ground, limit: str) -> str:
    """Begin a setting of a limit: by the name of the agent that states it, if that is enough."""
    name, spec = plain(limit), ground.trace.spec
    short = limit_label(name)
    if spec is None or short in spec.limits or short not in spec.agents:
        return f"limits.{name}"
    stated = [known for known in spec.agents[short].limits if limit_label(known) == short]
    return f"limits.{short if stated == [name] else name}"


def spec_of(ground: Ground, limit: str) -> LimitSpec:
    """Give what is known of a limit's bounds."""
    found = ground.trace.limits
    return found.get(limit) or found.get(plain(limit)) or LimitSpec()


def fullest(rates: tuple[Rate, ...], amount: int) -> Rate | None:
    """Give the window that takes longest for an amount."""
    return max(rates, key=lambda rate: (amount // rate.amount) * rate.per, default=None)


def capacity(ground: Ground, limit: str) -> int | None:
    """Give how many calls a concurrency limit holds at once, if that is known."""
    trace = ground.trace
    if limit == RUN:
        return trace.max_parallel
    if slots_of(limit) and trace.spec is not None:
        agent = trace.spec.agents.get(slots_of(limit))
        return None if agent is None else agent.concurrency
    return spec_of(ground, limit).concurrency


def held_up(ground: Ground, activity: Activity, since: int, until: int) -> dict[int, int]:
    """Say which waits for slots a call has made that held one for so long.

    With one slot it is all of the wait; with several, its share of them.
    """
    parts: dict[int, int] = {}
    slots = ground.slots
    # Segments don't overlap, so only the one before the first that begins later can reach in.
    start = max(0, bisect_right(slots, (since, len(ground.segments))) - 1)
    for begun, place in islice(slots, start, None):
        if begun >= until:
            break
        segment = ground.segments[place]
        both = min(until, segment.until) - max(since, begun)
        if both > 0 and claims(activity, plain(segment.cause.detail)):
            count = capacity(ground, segment.cause.detail)
            if count:
                parts[place] = both // count
    return parts


def made_wait(ground: Ground, calls: Iterable[int]) -> dict[int, int]:
    """Say which waits for windows and slots some calls have made, by what they took of them."""
    names = list(calls)
    parts = windows_filled(ground, frozenset(names))
    for index in names if ground.slots else ():
        call = ground.trace.activities[index]
        held = held_up(ground, call, call.began, call.ended or ground.trace.ended)
        for place, ns in held.items():
            parts[place] = parts.get(place, 0) + ns
    return parts
