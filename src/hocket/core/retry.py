"""Whether and when a failed call is done again; decided here and nowhere else."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.errors import Fault
from hocket.core.specs import Retry
from hocket.core.values import HOUR, SECOND, Call, unit_fraction

MAX_REFUSALS: Final = 50
"""How often a peer may say "not now" before that counts as its last word."""
LONGEST_RETRY_AFTER: Final = HOUR
"""A peer that asks for a longer wait is taken to mean this."""


class Again(msgspec.Struct, frozen=True):
    """Try again after a back-off of `delay` nanoseconds; `counts` tells if this cost a try."""

    delay: int
    counts: bool


Decision: TypeAlias = Again | Literal["give_up"]


def decide(
    retry: Retry, fault: Fault, tries: int, refusals: int, seed: int, call: Call
) -> Decision:
    """Decide after a failed call.

    Args:
        retry: The policy.
        fault: Why the call failed.
        tries: The tries that this agent has used, this one included unless it was refused.
        refusals: How often it was refused in a row, this time included.
        seed: The run's seed; with the call's name it fixes the jitter.
        call: The call that failed.
    """
    if fault.kind == "permanent" or fault.kind not in retry.on:
        return "give_up"
    least = min(fault.retry_after or 0, LONGEST_RETRY_AFTER)
    if fault.kind == "rate_limited":
        if refusals > MAX_REFUSALS:
            return "give_up"
        # Never before the peer's word, and spread out behind it so that callers don't herd.
        spread = unit_fraction(seed, call.path, call.attempt) * max(SECOND, least // 10)
        return Again(max(least, _backoff(retry, refusals)) + round(spread), counts=False)
    if tries >= retry.tries:
        return "give_up"
    delay = _backoff(retry, tries)
    share = retry.jitter * unit_fraction(seed, call.path, call.attempt)
    return Again(max(round(delay * (1 - share)), least), counts=True)


def _backoff(retry: Retry, nth: int) -> int:
    grown = retry.first * retry.factor ** min(nth - 1, 64)
    return int(min(grown, retry.longest))
