"""Works out which limits refused calls, from when they were refused and for how long."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import DAY, HOUR, MINUTE, SECOND
from hocket.insight.logs.massgen_server import ServerCall

_WINDOWS: Final = (SECOND, MINUTE, HOUR, DAY)
_SLACK: Final = SECOND
"""How far off a server's ``retry_after`` may be: some round it up to whole seconds."""

_NUMBER: Final = re.compile(r"[-_.]?\d+\Z")


def limits_of(calls: Sequence[ServerCall]) -> tuple[dict[str, str], dict[str, LimitSpec]]:
    """Give the limit of each model that was refused, and what bounds those hold.

    Models whose names differ only in a number at the end share a limit if all their refusals fit
    one window of requests; otherwise each has its own, of which the bound may stay unknown.
    """
    models: dict[str, list[ServerCall]] = {}
    for call in calls:
        models.setdefault(call.model, []).append(call)
    stems: dict[str, list[str]] = {}
    for model in models:
        stems.setdefault(_NUMBER.sub("", model) or model, []).append(model)
    names: dict[str, str] = {}
    limits: dict[str, LimitSpec] = {}
    for stem, members in stems.items():
        together = sorted((c for m in members for c in models[m]), key=lambda c: c.began)
        rate = _window(together) if len(members) > 1 else None
        if rate is not None:
            limits[stem] = LimitSpec(requests=(rate,))
            names.update(dict.fromkeys(members, stem))
            continue
        for model in members:
            own = models[model]
            if not any(call.refused for call in own):
                continue
            names[model] = model
            rate = _window(own)
            if rate is not None:
                limits[model] = LimitSpec(requests=(rate,))
    return names, limits


def _window(calls: Sequence[ServerCall]) -> Rate | None:
    """Give the one window of requests that explains all refusals, if there is one."""
    starts = [call.began for call in calls if not call.refused]
    refusals = [call for call in calls if call.refused]
    if not refusals or any(call.retry_after is None for call in refusals):
        return None
    for per in _WINDOWS:
        amounts = [_within(starts, call.began, per) for call in refusals]
        amount = amounts[0]
        if not amount or amounts.count(amount) != len(amounts):
            continue
        # The least of all gaps in which one more came than the window lets through.
        most = max(_within(starts, at, per - _SLACK) for at in starts)
        if most <= amount and all(_opens(starts, call, amount, per) for call in refusals):
            return Rate(amount, per)
    return None


def _within(starts: Sequence[int], at: int, per: int) -> int:
    """Count the starts in a window that ends at an instant."""
    return bisect_right(starts, at) - bisect_right(starts, at - per)


def _opens(starts: Sequence[int], call: ServerCall, amount: int, per: int) -> bool:
    """Tell whether a refused call was asked to wait until the window would let it through."""
    oldest = starts[bisect_right(starts, call.began) - amount]
    return abs(call.began + (call.retry_after or 0) - oldest - per) <= _SLACK
