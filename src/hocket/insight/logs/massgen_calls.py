"""Finds where the calls that a server recorded lie in a run of MassGen.

A server counts its seconds from where it likes.
Whoever was asked had been given its context before, and what it gave was noted after it had ended:
so both clocks can only be so far apart, and that is worked out from all rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hocket.core.errors import LogError
from hocket.core.values import MS
from hocket.insight.logs.massgen_match import tell_apart
from hocket.insight.logs.massgen_rounds import Round
from hocket.insight.logs.massgen_server import ServerCall

_FAR: Final = 1 << 62
_GAVE: Final = frozenset({"answer", "vote", "ignored", "injected", "final"})


class Aligned(msgspec.Struct, kw_only=True):
    """Calls in the time of the log.

    Fields:
        calls: The calls by their beginnings.
        offset: What was added to the server's instants, in nanoseconds.
        within: How far off that may be at most.
        shared: Models that several agents used, whose calls were told apart by instants.
        lost: How many of these calls could not be told apart.
        strange: How many calls are of no agent of the log.
    """

    calls: list[ServerCall]
    offset: int
    within: int
    shared: dict[str, list[str]] = {}
    lost: int = 0
    strange: int = 0


def aligned(
    calls: Sequence[ServerCall], rounds: Sequence[Round], models: dict[str, str]
) -> Aligned:
    """Bring calls to the log's time, and say of which agent and round each is.

    Args:
        calls: The calls by their beginnings.
        rounds: The rounds of the log.
        models: The model of each agent.

    Raises:
        LogError: The calls are none of this run's.
    """
    users: dict[str, list[str]] = {}
    agents = dict.fromkeys([*models, *(each.agent for each in rounds)])
    for agent in agents:
        users.setdefault(models.get(agent, ""), []).append(agent)
    shared: dict[str, list[str]] = {}
    strange = 0
    for call in calls:
        mine = users.get(call.model, []) if call.model else []
        if call.agent:
            strange += call.agent not in agents
        elif len(mine) == 1:
            call.agent = mine[0]
        elif mine:
            shared[call.model] = mine
            call.agent = call.model
        else:
            strange += 1
            call.agent = call.model
    if strange == len(calls):
        known = ", ".join(model for model in models.values() if model) or "unknown"
        raise LogError(
            f"none of its calls is of an agent of the log (the models are {known})",
            hint="is this the record of that run?",
        )
    low, high = _first(calls, rounds, shared)
    lost = tell_apart(calls, rounds, shared, low if high == _FAR else high)
    _place(calls, rounds, low if high == _FAR else high)
    low, high = _closer(calls, rounds, low, high)
    offset = low if high == _FAR else (low + high) // 2
    for call in calls:
        call.began += offset
        call.ended = None if call.ended is None else call.ended + offset
    within = 0 if high == _FAR else (abs(high - low) + 1) // 2
    return Aligned(
        calls=list(calls), offset=offset, within=within, shared=shared, lost=lost, strange=strange
    )


def _first(
    calls: Sequence[ServerCall], rounds: Sequence[Round], shared: Mapping[str, list[str]]
) -> tuple[int, int]:
    """Give the least and the most that the log's clock can be ahead, by first rounds and calls.

    No call can have come before the first round had begun, and so many rounds cannot have given
    something before so many calls had ended.
    """
    low, high = -_FAR, _FAR
    names = {agent: name for name, agents in shared.items() for agent in agents}
    of: dict[str, list[Round]] = {}
    for each in rounds:
        of.setdefault(names.get(each.agent, each.agent), []).append(each)
    sent: dict[str, list[ServerCall]] = {}
    for call in calls:
        sent.setdefault(call.agent, []).append(call)
    for name, mine in sent.items():
        theirs = of.get(name, [])
        if theirs:
            low = max(low, theirs[0].began - mine[0].began)
        gave = sorted(e.ended for e in theirs if e.ended is not None and e.outcome in _GAVE)
        served = sorted(c.ended for c in mine if c.ended is not None and not c.refused)
        for end, ended in zip(gave, served, strict=False):
            high = min(high, end - ended)
    return low, high


def _place(calls: Sequence[ServerCall], rounds: Sequence[Round], offset: int) -> None:
    """Say of which round each call is: the last of its agent that had begun."""
    mine: dict[str, list[int]] = {}
    for index, each in enumerate(rounds):
        mine.setdefault(each.agent, []).append(index)
    reached: dict[str, int] = {}
    for call in calls:
        found = mine.get(call.agent)
        if not found:
            continue
        at = reached.get(call.agent, 0)
        while at + 1 < len(found) and rounds[found[at + 1]].began <= call.began + offset + MS:
            at += 1
        reached[call.agent] = at
        call.round = found[at]


def _closer(
    calls: Sequence[ServerCall], rounds: Sequence[Round], low: int, high: int
) -> tuple[int, int]:
    """Narrow down how far the clocks are apart, by all rounds."""
    seen: dict[int, bool] = {}
    for call in calls:
        if call.round is None:
            continue
        each = rounds[call.round]
        if call.round not in seen:
            seen[call.round] = True
            low = max(low, each.began - call.began)
        if each.ended is not None and call.ended is not None and not call.refused:
            high = min(high, each.ended - call.ended)
    return low, high
