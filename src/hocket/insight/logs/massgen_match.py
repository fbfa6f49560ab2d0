"""Tells the calls of agents apart that use the same model, by when their rounds began and ended."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

from hocket.core.values import MS
from hocket.insight.logs.massgen_rounds import Round
from hocket.insight.logs.massgen_server import ServerCall

_NEAR: Final = 64
"""Calls that are looked at, to find the one that fits best."""


def tell_apart(
    calls: Sequence[ServerCall],
    rounds: Sequence[Round],
    shared: Mapping[str, list[str]],
    offset: int,
) -> int:
    """Say of which agent each call of a shared model is, and give how many stay without one.

    A round ends when its last call has; a refused call is of a round that was open then, and whose
    next call came when the refused one had been asked to come again.

    Args:
        calls: The calls by their beginnings; `agent` of some is the name of a shared model.
        rounds: The rounds of the log.
        shared: The agents that use each such model.
        offset: What is to be added to the server's instants.
    """
    lost = 0
    for model, agents in shared.items():
        mine = [call for call in calls if call.agent == model]
        theirs = [each for each in rounds if each.agent in agents]
        served = _served([call for call in mine if not call.refused], theirs, offset)
        _refused([call for call in mine if call.refused], theirs, served, offset)
        lost += sum(call.agent == model for call in mine)
    return lost


def _served(
    calls: Sequence[ServerCall], rounds: Sequence[Round], offset: int
) -> dict[int, ServerCall]:
    """Give each round the call that ended last before it did."""
    found: dict[int, ServerCall] = {}
    free = sorted(calls, key=lambda call: (call.ended or call.began, call.record))
    ends = [(each.ended, place) for place, each in enumerate(rounds) if each.ended is not None]
    for end, place in sorted(ends, reverse=True):
        while free and (free[-1].ended or free[-1].began) + offset > end + MS:
            free.pop()
        for back in range(1, min(len(free), _NEAR) + 1):
            if free[-back].began + offset + MS >= rounds[place].began:
                found[place] = free.pop(-back)
                found[place].agent = rounds[place].agent
                break
    return found


def _refused(
    calls: Sequence[ServerCall],
    rounds: Sequence[Round],
    served: Mapping[int, ServerCall],
    offset: int,
) -> None:
    """Give each refused call to the round that went on when the call was to come again."""
    free = dict.fromkeys(served, True)
    order = sorted(served, key=lambda place: (served[place].began, place))
    begins = [served[place].began for place in order]
    for call in calls:
        again = call.began + (call.retry_after or 0)
        middle = bisect_left(begins, again)
        near = [
            (not free[place], abs(served[place].began - again), place)
            for place in order[max(0, middle - _NEAR) : middle + _NEAR]
            if rounds[place].began <= call.began + offset + MS and served[place].began > call.began
        ]
        if near:
            place = min(near)[2]
            free[place] = False
            call.agent = rounds[place].agent
